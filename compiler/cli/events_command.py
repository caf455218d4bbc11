"""`spikeloom events`: recordings of event cameras as samples."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from ..data.event_folders import LabelledEvents

SETS = ("classes", "cifar10-dvs", "gesture-train", "gesture-test")
"""What a folder is: one of files for each class, or a data set as it comes."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "events",
        help="make samples of recordings of event cameras",
        description="Write the recordings of a folder, or a single file (AEDAT 2.0, 3.1, 4.0, Prophesee DAT and RAW, "
        "N-MNIST), as samples of frames: the number of events in each step and pixel (docs/events.md).",
    )
    parser.add_argument("recordings", type=Path, metavar="PATH", help="a file, or a folder of recordings")
    parser.add_argument("--set", choices=SETS, default=SETS[0], help="what a folder is (classes: one for each class)")
    parser.add_argument("--sensor", type=_numbers("CxRxC", 3), default=(2, 128, 128), metavar="CHANNELSxROWSxCOLUMNS")
    parser.add_argument("--crop", type=_numbers("TxLxRxC", 4), metavar="TOPxLEFTxROWSxCOLUMNS", help="the part to keep")
    parser.add_argument("--downsample", type=common.whole(1), default=1, metavar="N", help="N x N pixels become one")
    parser.add_argument("--step-us", type=common.whole(1), required=True, metavar="US", help="the width of a step")
    parser.add_argument("--steps", type=common.whole(1, 1 << 20), required=True, metavar="N", help="of a sample")
    parser.add_argument("--largest", type=common.whole(1, 255), default=1, metavar="N", help="cut counts off there (1)")
    parser.add_argument("--limit", type=common.whole(1), metavar="N", help="only the first N recordings")
    parser.add_argument("--output", type=Path, required=True, metavar="SAMPLES.npz")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Read, and write the samples."""
    import numpy as np

    from ...hdl.staging import replacement
    from ..data.event_folders import as_samples
    from ..data.events import Sensor
    from ..data.samples import MAX_RATIO, RATIO_FREE_BYTES
    from ..output.build_folder import check_file

    channels, rows, columns = options.sensor
    sensor = Sensor(channels=channels, rows=rows, columns=columns, crop=options.crop, downsample=options.downsample)
    check_file(options.output, force=options.force)
    samples = as_samples(
        islice(_recordings(options), options.limit),
        sensor,
        step_us=options.step_us,
        steps=options.steps,
        largest=options.largest,
    )
    spikes = samples.spikes.reshape(len(samples), samples.steps, *sensor.shape)
    arrays: dict[str, Any] = {"spikes": spikes}
    if not options.recordings.is_file():
        arrays["labels"] = samples.labels
    with replacement(options.output) as path:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)
        if spikes.nbytes > max(RATIO_FREE_BYTES, MAX_RATIO * path.stat().st_size):  # `load_samples` would refuse it
            with path.open("wb") as file:
                np.savez(file, **arrays)
    shape = " x ".join(map(str, sensor.shape))
    print(
        f"{len(samples)} samples of {samples.steps} steps, {shape}, {spikes.mean():.2%} of values per step: "
        f"{options.output}"
    )
    return 0


def _recordings(options: argparse.Namespace) -> Iterator[LabelledEvents]:
    from ..data.event_files import read_events
    from ..data.event_folders import LabelledEvents, cifar10_dvs, class_folders, dvs_gesture

    path: Path = options.recordings
    if path.is_file():
        return iter([LabelledEvents(read_events(path), 0, path.name)])
    if options.set == "cifar10-dvs":
        return cifar10_dvs(path)
    return class_folders(path) if options.set == "classes" else dvs_gesture(path, options.set.removeprefix("gesture-"))


def _numbers(form: str, count: int) -> Any:
    """A parser of so many whole numbers with an x between them."""

    def parse(text: str) -> tuple[int, ...]:
        if not re.fullmatch(r"\d{1,5}(x\d{1,5})" + f"{{{count - 1}}}", text):
            raise argparse.ArgumentTypeError(f"must be {count} whole numbers, {form}: got {text!r}")
        return tuple(map(int, text.split("x")))

    return parse

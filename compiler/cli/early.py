"""`--early-exit` of `run` and `simulate`: what samples that end before their last step save and cost."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from ...sim.recording import Recording
    from ..data.samples import Samples
    from ..ir.network import Network
    from ..output.build_folder import BuildFolder


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands whose samples may end before their last step."""
    parser.add_argument(
        "--early-exit",
        type=common.whole(1),
        metavar="MARGIN",
        help="end a sample once its class leads by MARGIN spikes (read by first-spike: once an output has fired)",
    )


def saved_by(
    build: BuildFolder | None, network: Network, samples: Samples, margin: int, recording: Recording
) -> dict[str, Any]:
    """What samples that end early save and cost, by the recording of all their steps."""
    import numpy as np

    from ...sim.early_exit import early_exit
    from ..flow.early import saving

    found = early_exit(recording.readout, recording.spikes, margin)
    saved: dict[str, Any] = {
        "margin": margin,
        "steps": samples.steps,
        "steps_taken": float(np.mean(found.steps)),
        "classes_changed": int(np.sum(found.classes != recording.predicted)),
    }
    if samples.labels is not None:
        saved["accuracy"] = float(np.mean(found.classes == samples.labels))
    if build is not None and build.coding is None and network.is_integer:
        cycles = saving(build, network, samples, found)
        saved |= {"cycles": cycles.whole, "cycles_taken": cycles.early, "cycles_of_samples": cycles.samples}
    return saved


def print_saved(saved: dict[str, Any]) -> None:
    """The figures of `saved_by`."""
    steps, taken = saved["steps"], saved["steps_taken"]
    right = f"; accuracy {saved['accuracy']:.2%}" if "accuracy" in saved else ""
    print(
        f"early exit at a margin of {saved['margin']}: {taken:.1f} of {steps} steps on average, "
        f"{saved['classes_changed']} classes are others{right}"
    )
    if "cycles" in saved:
        print(
            f"cycles of the core: {saved['cycles_taken']:,.0f} in place of {saved['cycles']:,.0f}, mean of "
            f"{saved['cycles_of_samples']} samples ({1 - saved['cycles_taken'] / saved['cycles']:.1%} saved)"
        )

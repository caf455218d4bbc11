"""`spikeloom reload`: retrained weights in a finished bitstream, without synthesis."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import ANSWERS
from . import common

if TYPE_CHECKING:
    from ..flow.reload import Reloaded


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "reload",
        parents=[common.model_options(ANSWERS)],
        help="put retrained weights into a finished bitstream",
        description="Put the weights of another network of the same shape into the bitstream of a build that was "
        "compiled with --headroom, without synthesis. A float network is compressed as the build's was. Every word is "
        "read back out of the new bitstream; with --data the new core is also compared with the integer reference. The "
        "old build stays until the new one is complete.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a build folder")
    parser.add_argument("model", type=Path, metavar="MODEL", help=common.MODEL)
    parser.add_argument("--data", type=Path, metavar="SAMPLES.npz", help="samples to quantise and compare with")
    parser.add_argument("--limit", type=common.whole(1), metavar="N", help="compare the first N samples only")
    parser.add_argument("--output", type=Path, metavar="NEW", help="another folder for the new build (default: DIR)")
    parser.add_argument("--force", action="store_true", help="replace an existing NEW")
    common.board_file_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Exchange, verify, print."""
    from ..flow.exchange import read_layout
    from ..flow.reload import reload_weights
    from ..frontends.samples import read_samples
    from ..output.build_folder import check_target, load_build_folder

    common.add_board_file(options)
    build = load_build_folder(options.folder)
    read_layout(build.path)
    if options.output is not None:
        check_target(options.output, force=options.force)
    network = common.read_model(options)
    samples = None if options.data is None else read_samples(options.data, network, coding=build.coding)
    files = {"model": options.model, "samples": options.data, "board": options.board_file}
    reloaded = reload_weights(
        build,
        network,
        output=options.output,
        samples=samples,
        limit=options.limit,
        inputs={role: path for role, path in files.items() if path is not None},
        conventions=common.conventions(options),
        force=options.force,
        step=common.progress_bar,
    )
    if options.json:
        print(json.dumps(_data(reloaded), indent=2))
    else:
        _print(reloaded)
    return 0


def _print(reloaded: Reloaded) -> None:
    """What was done, and how it was checked."""
    from ..report.wording import counted, number

    print(
        f"{counted(reloaded.changed, 'word')} of weights and parameters changed; the bitstream was written in "
        f"{reloaded.bitstream_s:.1f} s and verified in {reloaded.verified_s:.1f} s"
    )
    print(f"equal: {counted(reloaded.words, 'word')} read back out of the bitstream")
    regression = reloaded.regression
    if regression is None:
        print(f"not compared with the reference: spikeloom regress {reloaded.build.path} --data SAMPLES.npz")
    else:
        print(
            f"equal: {number(regression.spikes_compared)} spikes and {number(regression.membranes_compared)} membranes "
            f"of {counted(regression.samples, 'sample')} ({regression.level}, {regression.simulator})"
        )
    print(
        f"the design is {reloaded.identity:04x}, it was {reloaded.identity_before:04x}: write it to the board with "
        f"spikeloom flash {reloaded.build.path}"
    )


def _data(reloaded: Reloaded) -> dict[str, Any]:
    regression = reloaded.regression
    return {
        "folder": str(reloaded.build.path),
        "identity": reloaded.identity,
        "identity_before": reloaded.identity_before,
        "words_changed": reloaded.changed,
        "words_read_back": reloaded.words,
        "bitstream_seconds": round(reloaded.bitstream_s, 3),
        "verification_seconds": round(reloaded.verified_s, 3),
        "reloads": reloaded.reloads,
        "samples_compared": 0 if regression is None else regression.samples,
        "spikes_compared": 0 if regression is None else regression.spikes_compared,
        "membranes_compared": 0 if regression is None else regression.membranes_compared,
    }

"""`spikeloom sweep`: methods, sparsities and widths side by side on one's own network."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import METHODS
from . import common

if TYPE_CHECKING:
    from ..flow.sweep import SweepPoint


def method(text: str) -> str:
    """An argparse type: a method of compression."""
    if text not in METHODS:
        raise argparse.ArgumentTypeError(f"must be of {', '.join(METHODS)}: {text!r}")
    return text


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "sweep",
        parents=[common.model_options(), common.folding_options()],
        help="compare methods, sparsities and widths",
        description="Compress a float network by each method to each sparsity and width, and print accuracies on test "
        "samples with what the design should cost.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=common.MODEL)
    parser.add_argument("--data", type=Path, required=True, metavar="CAL.npz", help="calibration samples")
    parser.add_argument("--test", type=Path, required=True, metavar="TEST.npz", help="labelled samples to judge by")
    parser.add_argument("--methods", type=common.several(method), default=["magnitude", "obc", "osbc"], metavar="M,...")
    parser.add_argument("--sparsity", type=common.several(common.real(0, 1)), default=[0.5, 0.8, 0.9], metavar="S,...")
    parser.add_argument("--bits", type=common.several(common.whole(2, 16)), default=[4, 8], metavar="N,...")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--board", metavar="BOARD", help="the board that it is for (see spikeloom boards)")
    common.board_file_option(target)
    target.add_argument("--device", metavar="DEVICE", help="the FPGA that it is for, or ice40 (UP5K), ecp5 (25F)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw accuracy over sparsity")
    parser.add_argument("--force", action="store_true", help="replace an existing FILE.svg")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compress in all ways, and print the table."""
    from ..flow.options import CompileOptions, require_target
    from ..flow.sweep import sweep
    from ..frontends.samples import read_samples
    from ..output.build_folder import check_file
    from ..plan.readout import answered, require_answer
    from ..report.sweep_plot import sweep_svg

    if options.plot is not None:
        check_file(options.plot, force=options.force)
    common.add_board_file(options)
    network = answered(common.read_model(options))
    require_answer(network)
    folding = common.folding_of(options, network)
    wanted = CompileOptions(
        board=options.board,
        device=options.device,
        folding=folding,
        fast=common.fast_of(options),
        verilog_only=True,
    )
    require_target(wanted)
    calibration, test = (read_samples(file, network) for file in (options.data, options.test))
    total = len(options.methods) * len(options.sparsity) * len(options.bits)
    points: list[SweepPoint] = []
    with common.progress_bar(f"compressing in {total} ways") as progress:
        for point in sweep(network, options.methods, options.sparsity, options.bits, calibration, test, wanted):
            points.append(point)
            if progress is not None:
                progress(len(points), total)
    data = [point.data() for point in points]
    original = points[0].judged
    if options.plot is not None:
        common.write_text(options.plot, sweep_svg(network.name, data, original.original), force=options.force)
    if options.json:
        print(json.dumps({"float": original.original, "samples": original.samples, "points": data}, indent=2))
    elif options.csv:
        print(_csv(data), end="")
    else:
        _print(points)
    return 0


def _csv(data: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(data[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(data)
    return text.getvalue()


def _print(points: Sequence[SweepPoint]) -> None:
    from ..report.text import print_tables, table
    from ..report.wording import counted, number

    original = points[0].judged
    rows = [
        (
            point.method,
            f"{point.sparsity:.0%}",
            str(point.bits),
            f"{point.judged.compressed:.2%}",
            f"{point.judged.compressed_interval[0]:.1%} to {point.judged.compressed_interval[1]:.1%}",
            f"{point.judged.change:+.2%}",
            number(point.synapses),
            number(point.lcs),
            number(point.brams),
            number(round(point.cycles)),
        )
        for point in points
    ]
    headings = ("Method", "Sparse", "Bits", "Accuracy", "95 %", "Change", "Synapses", "Cells", "BRAM", "Cycles")
    title = f"float {original.original:.2%} of {counted(original.samples, 'test sample')}, by {original.readout}"
    print_tables(table(title, headings, rows, numeric=(1, 2, 3, 5, 6, 7, 8, 9)))

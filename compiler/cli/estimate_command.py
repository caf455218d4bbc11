"""`spikeloom estimate`: what a network should cost and how fast it should be, without running a tool."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..names import ANSWERS, WEIGHT_MEMORIES
from . import common
from .coding_options import check_coding_options, coding_of, coding_options
from .design_options import clock_option, design_of


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "estimate",
        parents=[
            common.model_options(ANSWERS),
            common.compression_options(),
            common.folding_options(),
            common.purpose_options(),
            coding_options(),
        ],
        help="say what a network should cost, without running a tool",
        description="Estimate resources, clock, cycles and work of a NIR file's design with its host link, or without "
        "--board and --device of the core alone for an iCE40 (docs/hardware.md says how good the figures are).",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=common.MODEL)
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--board", metavar="BOARD", help="the board that it is for (see spikeloom boards)")
    common.board_file_option(target)
    target.add_argument("--device", metavar="DEVICE", help="the FPGA that it is for, or ice40 (UP5K), ecp5 (25F)")
    parser.add_argument("--data", type=Path, metavar="SAMPLES.npz", help="samples to quantise with and count cycles on")
    parser.add_argument(
        "--weights",
        choices=WEIGHT_MEMORIES,
        default="auto",
        help="where weights lie: block RAM, or on a UP5K in SPRAM (default: as needed)",
    )
    common.headroom_option(parser)
    common.packed_option(parser)
    clock_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Estimate, and print the tables."""
    from ..flow.estimation import estimate_network
    from ..flow.options import CompileOptions
    from ..frontends.samples import read_samples
    from ..plan.readout import answered

    common.add_board_file(options)
    check_coding_options(options)
    source = answered(common.read_model(options))
    coding = coding_of(options, source)
    wanted = CompileOptions(**design_of(options), coding=coding)
    samples = None if options.data is None else read_samples(options.data, source, coding=coding)
    found = estimate_network(
        source,
        wanted,
        samples,
        folding=lambda network: common.folding_of(options, network),
        step=common.progress_bar,
    )
    summary = found.data()
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        _print(summary)
    return 0


def _print(summary: dict[str, Any]) -> None:
    from ..report.text import print_tables, table
    from ..report.wording import counted, number, resource_names, share

    rows = [
        (
            name,
            number(entry["estimated"]),
            "" if entry["available"] is None else number(entry["available"]),
            share({"used": entry["estimated"], "available": entry["available"]}),
        )
        for key, name in resource_names(summary["family"]).items()
        if (entry := summary["resources"][key])["estimated"] or entry["available"]
    ]
    where = ["with host link" if summary["host_link"] else "the core alone", summary["device"]]
    cost = table(
        f"Estimate ({', '.join(filter(None, where))})",
        ("Resource", "Estimated", "Available", "Share"),
        rows,
        numeric=(1, 2, 3),
    )
    activity = summary["activity"]
    samples = counted(activity["samples"], "random sample" if activity["stimulus"] == "random" else "sample")
    figures = [
        ("Fmax", f"{summary['fmax_mhz']:.1f} MHz", ""),
        ("Clock", f"{summary['clock_mhz']:g} MHz", "" if summary["device"] else "assumed for the time below"),
    ]
    if summary["guessed_parts"]:
        figures.append(("First guess", "", f"no price was measured of: {', '.join(summary['guessed_parts'])}"))
    if summary["fits"] is not None:
        figures.insert(0, ("Fits", "yes" if summary["fits"] else "NO", summary["device"]))
    if (cycles := summary["cycles_per_sample"]) is not None:
        counted_on = f"counted on {samples} of {counted(activity['steps'], 'step')}"
        figures.append(("Cycles per sample", number(cycles), counted_on))
        figures.append(("Time per sample", f"{number(summary['microseconds_per_sample'])} µs", "the core alone"))
    work = [(name.replace("_", " "), number(amount)) for name, amount in summary["work_per_sample"].items()]
    print_tables(
        cost,
        table("Performance", ("Figure", "Value", "Note"), figures, numeric=(1,)),
        table("Work per sample", ("Stands in for energy", "Times"), work, numeric=(1,)),
    )

"""`spikeloom compile`: a NIR file becomes a build folder with a bitstream and a report."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import ANSWERS, TOOLS, WEIGHT_MEMORIES
from . import common, early
from .coding_options import check_coding_options, coding_of, coding_options
from .design_options import clock_option, design_of

if TYPE_CHECKING:
    from ..flow.options import CompileOptions


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "compile",
        parents=[
            common.model_options(ANSWERS),
            common.compression_options(),
            common.folding_options(),
            common.purpose_options(),
            coding_options(),
        ],
        help="compile a network to a bitstream",
        description="Compile a NIR file to a build folder: bitstream, RTLIL, Verilog, integer network and report. "
        "Without --board or --device, --emit verilog makes the bare core for an iCE40.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=common.MODEL)
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--board", metavar="BOARD", help="the board to build for (see spikeloom boards)")
    common.board_file_option(target)
    target.add_argument("--device", metavar="DEVICE", help="an FPGA without pins, or ice40 (UP5K), ecp5 (25F)")
    parser.add_argument("--data", type=Path, metavar="CALIBRATION.npz", help="samples to quantise and measure with")
    parser.add_argument(
        "--weights",
        choices=WEIGHT_MEMORIES,
        default="auto",
        help="where weights lie: block RAM, or on a UP5K in SPRAM, loaded from flash (default: as needed)",
    )
    common.headroom_option(parser)
    early.add_option(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="the build folder (default: build/MODEL's name)")
    parser.add_argument("--force", action="store_true", help="replace an existing build folder")
    parser.add_argument("--emit", choices=("bitstream", "verilog"), default="bitstream", help="default: bitstream")
    parser.add_argument(
        "--wide",
        action="store_true",
        help="with --emit verilog: an input of several events per beat",
    )
    clock_option(parser)
    parser.add_argument(
        "--baud",
        type=common.whole(300, 12_000_000),
        metavar="N",
        help="default: the fastest that the board's serial bridge and the clock have in common",
    )
    parser.add_argument(
        "--link", choices=("uart", "spi"), default="uart", help="the line to the host; SPI for a microcontroller"
    )
    common.packed_option(parser)
    parser.add_argument("--seed", type=common.whole(0, 2**31 - 1), default=1, metavar="N", help="of the placement")
    parser.add_argument(
        "--seeds", type=common.whole(1, 100), default=1, metavar="N", help="placements to try; the fastest stays"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--tools", choices=TOOLS, default="yowasp", help="default: yowasp")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compile, and print the report."""
    from ..flow.compile import compile_network
    from ..flow.options import check_headroom, check_line, check_wide, require_target
    from ..frontends.samples import read_samples
    from ..output.build_folder import check_target
    from ..plan.readout import answered
    from ..report.about import report_of
    from ..report.text import print_report

    common.add_board_file(options)
    output = options.output or Path("build") / options.model.stem
    wanted = _wanted(options)
    for check in (require_target, check_wide, check_headroom, check_line):
        check(wanted)  # these mistakes first: they need no file to be read
    check_coding_options(options)
    check_target(output, force=options.force)
    network = common.read_model(options)
    coding = coding_of(options, answered(network))
    wanted = replace(wanted, folding=common.folding_of(options, network), coding=coding)
    samples = None if options.data is None else read_samples(options.data, network, coding=coding)
    files = {"model": options.model, "samples": options.data, "folding": options.folding, "board": options.board_file}
    build = compile_network(
        network,
        output,
        wanted,
        samples=samples,
        inputs={role: path for role, path in files.items() if path is not None},
        conventions=common.conventions(options),
        force=options.force,
        step=common.progress_bar,
    )
    if options.json:
        print(json.dumps(report_of(build) | {"folder": str(output)}, indent=2))
        return 0
    print_report(build.report())
    print(f"\nbuild folder: {output}")
    return 0


def _wanted(options: argparse.Namespace) -> CompileOptions:
    """What the options say that needs no file to be read."""
    from ..flow.options import CompileOptions

    return CompileOptions(
        **design_of(options),
        wide=options.wide,
        baud=options.baud,
        spi=options.link == "spi",
        seed=options.seed,
        seeds=options.seeds,
        native_tools=options.tools == "native",
        verilog_only=options.emit == "verilog",
        early_exit=options.early_exit,
    )

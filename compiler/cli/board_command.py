"""`spikeloom board`: a board that is a program, behind a pseudo-terminal."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..names import CABLE_FAULTS
from . import common

FAULT_BYTES = 2000
"""In how many bytes a fault comes once, on average, where nobody says."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "board",
        help="simulate a board, for spikeloom run",
        description="Compile the whole design of a build folder to a program and put it behind a pseudo-terminal, "
        "where hosts find it as they find a board at a serial port. Ends with Ctrl-C.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a build folder")
    parser.add_argument("--link", type=Path, metavar="PATH", help="a symbolic link to the terminal, as long as it is")
    parser.add_argument(
        "--faults",
        type=faults,
        metavar="KIND[=BYTES],...",
        help=f"a bad cable: {', '.join(CABLE_FAULTS)}, each once in so many bytes (default: {FAULT_BYTES})",
    )
    parser.add_argument("--seed", type=common.whole(0, 2**31 - 1), default=1, metavar="N", help="of the faults")
    parser.set_defaults(run=run)
    return parser


def faults(text: str) -> dict[str, int]:
    """An argparse type: kinds of faults, and in how many bytes each comes once."""
    every: dict[str, int] = {}
    for part in text.split(","):
        kind, said, count = part.partition("=")
        if kind not in CABLE_FAULTS or kind in every:
            raise argparse.ArgumentTypeError(f"must be some of {', '.join(CABLE_FAULTS)}, each once: {text!r}")
        every[kind] = common.whole(2, 2**31 - 1)(count) if said else FAULT_BYTES
    return every


def run(options: argparse.Namespace) -> int:
    """Print the terminal's name and serve it."""
    from ...boards.host.facts import read_facts
    from ...hdl.errors import OptionError, ToolError
    from ...sim.simulated_board import SimulatedBoard
    from ..flow.board_pins import board_program

    build = common.open_build(options.folder)
    facts = read_facts(build.path)
    if options.link is not None and (options.link.exists() or options.link.is_symlink()):
        raise OptionError(f"a link is made anew: {options.link} exists; remove it or take another name")
    if options.link is not None and not os.access(options.link.parent, os.W_OK):
        raise OptionError(f"a link needs a folder that can be written: that of {options.link} is none; take another")
    with common.progress_bar("compiling the board (yosys, C++)"):
        program = board_program(build)
    flash = None if facts.flash is None else build.path / facts.flash
    with SimulatedBoard(program, flash) as board, _port(board.port, options) as port:
        print(port, flush=True)
        common.tell(f"a simulated board: {common.own_command()} run {options.folder} --port {port} --data ...")
        board.wait()
    raise ToolError("a simulated board runs until it is stopped: its program ended by itself; report it")


@contextmanager
def _port(terminal: str, options: argparse.Namespace) -> Iterator[str]:
    """What a host opens: the board's terminal, a link to it, or a link to the terminal at the end of a bad cable."""
    from ...hdl.staging import scratch_folder
    from ...sim.bad_cable import bad_cable

    with ExitStack() as at_the_end:
        if options.faults is not None:
            link = options.link or at_the_end.enter_context(scratch_folder()) / "port"
            yield at_the_end.enter_context(bad_cable(link, terminal, options.faults, options.seed)).port
        elif options.link is not None:
            options.link.symlink_to(terminal)
            at_the_end.callback(options.link.unlink, missing_ok=True)
            yield str(options.link)
        else:
            yield terminal

"""`spikeloom board`: a board that is a program, behind a pseudo-terminal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import common


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
    parser.set_defaults(run=run)
    return parser


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
    with common.progress_bar("compiling the board (yosys, C++)"):
        program = board_program(build)
    flash = None if facts.flash is None else build.path / facts.flash
    with SimulatedBoard(program, flash) as board:
        try:
            if options.link is not None:
                options.link.symlink_to(board.port)
            print(f"{options.link or board.port}", flush=True)
            common.tell(
                f"a simulated board: {common.own_command()} run {options.folder} --port {board.port} --data ..."
            )
            board.wait()
        finally:
            if options.link is not None:
                options.link.unlink(missing_ok=True)
    raise ToolError("a simulated board runs until it is stopped: its program ended by itself; report it")

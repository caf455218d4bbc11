"""The `spikeloom` command: the parser, and what an error looks like to a user.

Nothing heavy is imported here or at the top of a command's module, so that `spikeloom --help` is immediate.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn, TextIO

from ...hdl.errors import InputError
from ..explain import explain, one_line
from . import (
    board_command,
    boards_command,
    common,
    compare_command,
    compile_command,
    completion,
    completion_command,
    compress_command,
    demo_command,
    estimate_command,
    events_command,
    fit_command,
    flash_command,
    inspect_command,
    regress_command,
    reload_command,
    report_command,
    run_command,
    simulate_command,
    studio_command,
    sweep_command,
)
from .interrupts import Terminated, interruptible

COMMANDS = (
    inspect_command,
    compile_command,
    compress_command,
    sweep_command,
    fit_command,
    simulate_command,
    compare_command,
    regress_command,
    report_command,
    estimate_command,
    events_command,
    boards_command,
    flash_command,
    run_command,
    board_command,
    reload_command,
    studio_command,
    demo_command,
    completion_command,
)

INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + signal.SIGPIPE


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(InputError.exit_status, f"{self.prog}: error: {one_line(message)}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each leaves its function in `run`."""
    parser = _Parser(
        prog="spikeloom",
        description="Compile trained spiking neural networks to verified iCE40 and ECP5 bitstreams.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"spikeloom {version('spikeloom')}")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = command.add_parser(commands)
        subparser.allow_abbrev = False
        # SUPPRESS: the option may stand before or after the command without the second resetting the first.
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 for a failing tool or a mismatch, 2 for a user's mistake."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    with interruptible():
        return _run(arguments, debug)


def _run(arguments: list[str], debug: bool) -> int:
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace")  # a model's name need not suit the terminal's encoding
    # Amaranth mourns components that an error or an interrupt left unfinished, some of them only at exit.
    warnings.filterwarnings("ignore", message=".*created but never used")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            parser = build_parser()
            if completion.wanted():
                completion.complete(parser)
            options = parser.parse_args(arguments)
            status: int = options.run(options)
        sys.stdout.flush()
        return status
    except SystemExit as exit_:  # argparse, after help or a mistake
        return exit_.code if isinstance(exit_.code, int) else 0
    except BrokenPipeError:
        # Whoever read our output has left: end quietly, and keep the interpreter from flushing into the void.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Terminated:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print("spikeloom: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        status, message = explain(error)
        print(f"spikeloom: error: {one_line(message)}", file=sys.stderr)
        return status


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning in one line, without the place in our code that Python would add."""
    common.warn(one_line(str(message)))

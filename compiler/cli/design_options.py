"""What `compile` and `estimate` are both told of a design."""

from __future__ import annotations

import argparse
from typing import Any

from . import common

FASTEST, OWN = "max", "board"
"""The clock that is near what the placed design reaches, and the target's own."""


def clock_option(parser: argparse.ArgumentParser) -> None:
    """The option of every command that says how fast a core runs."""
    frequency = common.real(0, open_=True)

    def clock(text: str) -> float | str:
        if text in (FASTEST, OWN):
            return text
        try:
            return frequency(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; or say {FASTEST} or {OWN}") from None

    parser.add_argument(
        "--clock-mhz",
        type=clock,
        metavar="F",
        help="default: 0.9 of the estimated Fmax on a board with a PLL, unless the least area is asked for, else the "
        f"target's own; {OWN}: the target's own; {FASTEST}: as fast as the placed design can be, which takes two or "
        "three builds",
    )


def _clock_of(options: argparse.Namespace) -> dict[str, Any]:
    """What `clock_option` says, as CompileOptions takes it."""
    if options.clock_mhz in (FASTEST, OWN):
        return {"fastest": options.clock_mhz == FASTEST, "own_clock": options.clock_mhz == OWN}
    return {"clock_mhz": options.clock_mhz}


def design_of(options: argparse.Namespace) -> dict[str, Any]:
    """What `compile` and `estimate` are both told of a design, as CompileOptions takes it. Raises OptionError as
    `common.purpose_of` does."""
    from ..compression.overrides import overrides_of

    names = ("board", "device", "method", "sparsity", "bits", "scheme", "shared_leaks", "weights", "packed", "headroom")
    said = {name: getattr(options, name) for name in names} | {"layers": overrides_of(options.layer)}
    return said | _clock_of(options) | common.purpose_of(options)

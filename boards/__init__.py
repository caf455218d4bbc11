"""The FPGA boards and devices that designs are built for, and the boards that are plugged in.

`Board` is one of these, reached through its serial line: `Board(port, build).predict(samples)`. It is imported when it
is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .host.board import Board

__all__ = ["Board"]


def __getattr__(name: str) -> Any:
    if name != "Board":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .host.board import Board

    return Board

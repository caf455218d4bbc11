"""What an error looks like to a user: one line, and the exit status that goes with it."""

from __future__ import annotations

import errno

from ..hdl.errors import InputError, SpikeloomError

LONGEST_LINE = 2000
"""Of an error or a warning, in characters."""


def explain(error: Exception) -> tuple[int, str]:
    """The exit status and the line for an error."""
    if isinstance(error, SpikeloomError):
        return error.exit_status, str(error)
    if (full := _disk_full(error)) is not None:
        file = f" at {full.filename}" if full.filename is not None else ""
        return 1, f"results need room: {full.strerror}{file}; make room, or write them elsewhere"
    if isinstance(error, OSError) and error.strerror:
        file = f": {error.filename}" if error.filename is not None else ""
        mistake = isinstance(error, FileNotFoundError | FileExistsError | PermissionError | NotADirectoryError)
        return InputError.exit_status if mistake else 1, f"{error.strerror}{file}"
    if isinstance(error, MemoryError):
        return 1, "out of memory; use fewer samples or a smaller network"
    return 1, f"internal error: {type(error).__name__}: {error}; run again with --debug and report it"


def _disk_full(error: BaseException | None) -> OSError | None:
    """What a full disk raised, if that is how it began: a library may have tripped over it since."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return error
        error = error.__context__
    return None


def one_line(text: str) -> str:
    """Text that may quote a hostile file, on one line, of bounded length and without control characters."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 400]}...{line[-397:]}"

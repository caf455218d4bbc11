"""Reading files that a user names: regular files of a bounded size, opened without waiting for anybody.

A path may name a device that never ends, a FIFO that nobody writes to, or far more than its kind ever holds.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from .errors import InputError

MAX_JSON_BYTES = 64 << 20
"""More than any JSON file of ours holds."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path, what: str, max_bytes: int, error: type[InputError] = InputError) -> BufferedReader:
    """Open a regular file of at most `max_bytes` for reading; `what` is what messages call it ("a folding").

    Raises `error` where it is something else or larger, and OSError where it cannot be opened.
    """
    _require_regular(path, path.stat(), what, error)  # before it is opened: that alone does things to some devices
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    try:
        status = os.fstat(descriptor)
        _require_regular(path, status, what, error)  # it may have been exchanged meanwhile
        if status.st_size > max_bytes:
            raise _too_large(path, what, max_bytes, error)
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: Path, what: str, max_bytes: int, error: type[InputError] = InputError) -> bytes:
    """The contents of a regular file; raises as `open_regular` does. The bound holds for what is read, too."""
    with open_regular(path, what, max_bytes, error) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise _too_large(path, what, max_bytes, error)
    return content


def require_regular(path: Path, what: str, error: type[InputError] = InputError) -> None:
    """Raise `error` where what is at `path` is no regular file, or cannot be known; for what others open or replace."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as failure:
        raise error(f"{what} must be a regular file: {path} cannot be looked at ({failure.strerror})") from None
    _require_regular(path, status, what, error)


def _require_regular(path: Path, status: os.stat_result, what: str, error: type[InputError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{what} must be a regular file: {path} is {_KINDS.get(stat.S_IFMT(status.st_mode), 'none')}")


def _too_large(path: Path, what: str, max_bytes: int, error: type[InputError]) -> InputError:
    return error(f"{what} may hold at most {max_bytes:,} bytes: {path} is larger")

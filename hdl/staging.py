"""Results that appear complete or not at all: made in a hidden folder beside their place, and put there at the end.

Such a folder is locked as long as its process lives, so that the next run tells those of the dead and clears them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"\.spikeloom-[0-9a-f]{12}")
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h


@contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder in `parent`, which vanishes when the block ends unless it has got another name by then."""
    _clear_abandoned(parent)
    folder, lock = _new_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files that is the user's alone and vanishes with the block.

    Where a process is killed, the next scratch folder takes those of the dead with it.
    """
    with staging_folder(Path(tempfile.gettempdir())) as folder:
        folder.chmod(0o700)
        yield folder


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A path for a file with the name of `path`, which it replaces when the block ends without raising."""
    with staging_folder(path.parent) as folder:
        yield folder / path.name
        (folder / path.name).replace(path)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders of one file system at once; False where the system cannot.

    Raises OSError where it can, but not these two.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EXDEV):
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _new_folder(parent: Path) -> tuple[Path, int]:
    """A folder, and the open file that locks it."""
    while True:
        folder = parent / f".spikeloom-{secrets.token_hex(6)}"
        folder.mkdir()
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks: there nobody clears up either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)  # it was taken for abandoned before it was locked


def _clear_abandoned(parent: Path) -> None:
    for folder in [path for path in parent.iterdir() if _NAME.fullmatch(path.name)]:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        with suppress(OSError):  # BlockingIOError: its process is at work
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)

"""Files that a page sends: bounded, written beside and then put in place, named harmlessly."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from ...hdl.errors import InputError, quoted
from ...hdl.staging import replacement
from .settings import MODELS

MAX_UPLOAD_BYTES = 1 << 30
_BLOCK = 1 << 20


class Stream(Protocol):
    """What a file comes from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def check(name: str, length: int) -> None:
    """InputError for a kind of file that is not taken, and for one that is empty or too large."""
    suffix = Path(name).suffix.lower()
    if suffix not in MODELS:
        raise InputError(
            f"files are .nir, .npz, .pt or .pth: {quoted(name)} is not; load a NIR file (.nir), quantised weights or "
            "samples (.npz), or a state dict (.pt)"
        )
    if not 0 < length <= MAX_UPLOAD_BYTES:
        raise InputError(
            f"files have 1 to {MAX_UPLOAD_BYTES:,} bytes: {quoted(name)} has {length:,}; put it into the folder instead"
        )


def receive(folder: Path, name: str, length: int, stream: Stream) -> str:
    """Write `length` bytes of a stream to a new file in the folder; returns its name.

    Raises InputError as `check` does, and for a file that ends early.
    """
    check(name, length)
    target = _free(
        folder, re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(name).stem).strip("._-")[:60] or "file", Path(name).suffix.lower()
    )
    with replacement(target) as temporary, temporary.open("wb") as file:
        left = length
        while left:
            block = stream.read(min(_BLOCK, left))
            if not block:
                raise InputError(f"a file comes whole: {quoted(name)} ended {left:,} bytes early; load it again")
            file.write(block)
            left -= len(block)
        file.flush()
        os.fsync(file.fileno())
    return target.name


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """A name that nothing has."""
    target, number = folder / f"{stem}{suffix}", 1
    while target.exists():
        number += 1
        target = folder / f"{stem}-{number}{suffix}"
    return target

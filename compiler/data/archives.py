"""What readers of NumPy's `.npz` files have in common: the zip as hostile input, and what its damages raise."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib

BLOCK_BYTES = 4 << 20
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes; others have damages and expansions of their own."""

DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, UnicodeDecodeError, OverflowError, EOFError)
"""What `zipfile` raises on damaged files."""

HEADER_ERRORS = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError)
"""What NumPy's header parser, which evaluates a Python literal, raises on nonsense."""


class BoundedFile(io.BufferedIOBase):
    """A file for `zipfile`, which reads tables of contents at once, whatever size they declare."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes; BadZipFile where that is more than a block."""
        if size is not None and size > BLOCK_BYTES:
            raise zipfile.BadZipFile("its table of contents is too large")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place; returns it. BadZipFile for one before the start, which a damaged table may name."""
        if whence == io.SEEK_SET and offset < 0:
            raise zipfile.BadZipFile("its table of contents is damaged")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._file.tell()

    def seekable(self) -> bool:
        """It is."""
        return True


def first_line(error: BaseException) -> str:
    """An error of a library in a few words."""
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__

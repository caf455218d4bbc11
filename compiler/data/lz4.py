"""Frames of LZ4, read: what AEDAT 4 compresses its packets with.

After the format's own descriptions (LZ4 frame 1.6, LZ4 block). Checksums are passed over, dictionaries refused. Plain
Python: some ten megabytes per second.
"""

from __future__ import annotations

from ...hdl.errors import SampleError

_MAGIC = b"\x04\x22\x4d\x18"
_LEAST_MATCH = 4
_STORED = 1 << 31
_DICTIONARY, _CONTENT_SIZE, _BLOCK_CHECKSUM = 0x01, 0x08, 0x10


def lz4_frame(data: bytes, most: int, enough: int | None = None) -> bytes:
    """The contents of a frame, or its first `enough` bytes or more.

    Raises SampleError for what is no frame, ends early, or has more than `most` bytes in it.
    """
    try:
        return _frame(data, most, most if enough is None else enough)
    except IndexError:
        raise SampleError("an LZ4 frame must be whole: one ends early") from None


def _frame(data: bytes, most: int, enough: int) -> bytes:
    if data[:4] != _MAGIC:
        raise SampleError(f"an LZ4 frame begins with {_MAGIC.hex()}: one has {data[:4].hex() or 'nothing'}")
    flags = data[4]
    if flags >> 6 != 1 or flags & _DICTIONARY:
        raise SampleError(f"LZ4 frames are of version 1 and without dictionary: the flags of one are {flags:#04x}")
    at = 4 + 3 + (8 if flags & _CONTENT_SIZE else 0)
    out = bytearray()
    while len(out) < enough:
        if at + 4 > len(data):
            raise IndexError
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if size == 0:
            break
        block = data[at : at + (size & ~_STORED)]
        if len(block) < size & ~_STORED:
            raise IndexError
        at += len(block) + (4 if flags & _BLOCK_CHECKSUM else 0)
        if size & _STORED:
            out += block
        else:
            _block(block, out, most)
        if len(out) > most:
            raise SampleError(f"a packet of events has at most {most:,} bytes: an LZ4 frame has more")
    return bytes(out)


def _block(data: bytes, out: bytearray, most: int) -> None:
    """Appends what a block stands for: literals, and copies of what is there already."""
    at, end = 0, len(data)
    while at < end:
        token = data[at]
        at += 1
        length = token >> 4
        if length == 15:
            length, at = _longer(data, at, length)
        if at + length > end:
            raise IndexError
        out += data[at : at + length]
        at += length
        if at == end:
            return
        offset = data[at] | data[at + 1] << 8
        at += 2
        length = token & 15
        if length == 15:
            length, at = _longer(data, at, length)
        length += _LEAST_MATCH
        if not 0 < offset <= len(out):
            raise SampleError(f"an LZ4 frame copies what came before: one goes back {offset} bytes at byte {len(out)}")
        if len(out) + length > most:
            raise SampleError(f"a packet of events has at most {most:,} bytes: an LZ4 frame has more")
        copied = out[-offset:]
        if length > offset:
            copied = copied * (length // offset + 1)
        out += copied[:length]


def _longer(data: bytes, at: int, length: int) -> tuple[int, int]:
    """A length that goes on in further bytes, and where it ends."""
    while True:
        more = data[at]
        at += 1
        length += more
        if more != 255:
            return length, at

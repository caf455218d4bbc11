"""Recordings of iniVation's and jAER's cameras: AEDAT 2.0 and AEDAT 3.1.

Of both only changes of brightness are read; frames, inertia and signals are passed over. Columns, rows and polarities
are as the file's bits say them, without turning the picture.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, SampleError, quoted
from .events import MAX_EVENTS, Events, read_event_bytes

ADDRESS_LAYOUTS = ("dvs128", "davis")
"""How an address of AEDAT 2.0 is read: bits 0 (polarity), 1 to 7 (column) and 8 to 14 (row) of a DVS128; bits 11, 12 to
21 and 22 to 30 of a DAVIS, where bits 31 and 10 are clear."""

FIRST_LINE = 32
"""Bytes of which an AEDAT file's first line has fewer: those that say its version."""

_MAX_HEADER = 1 << 16
_PACKET = struct.Struct("<hhiiiiii")
"""Type, source, size of an event, where its time lies in it, overflows of time, capacity, number and valid events."""

_POLARITY = 1
_END = b"#!END-HEADER"


def aedat_version(data: bytes) -> tuple[int, int] | None:
    """The version of an AEDAT file, None for another file."""
    found = re.match(rb"#!AER-DAT(\d{1,2})\.(\d{1,2})\r?\n", data)
    return None if found is None else (int(found[1]), int(found[2]))


def require_version(data: bytes, path: str | Path, wanted: tuple[int, int]) -> None:
    """SampleError for a file of another kind or version."""
    found = aedat_version(data)
    if found != wanted:
        got = "no AEDAT file" if found is None else f"AEDAT {found[0]}.{found[1]}"
        raise SampleError(f"AEDAT {wanted[0]}.{wanted[1]} is read here: {quoted(str(path))} is {got}")


def read_aedat2(path: str | Path, layout: str | None = None) -> Events:
    """The events of an AEDAT 2.0 file: after lines of `#` an address and a time of 32 bits for each, high bytes first.

    `layout` is one of ADDRESS_LAYOUTS; by default that of a DAVIS where the header's AEChip is one, else of a DVS128.
    Times that fall by half of their range have begun anew, and go on. Raises SampleError and OptionError.
    """
    data = read_event_bytes(path)
    require_version(data, path, (2, 0))
    if layout is not None and layout not in ADDRESS_LAYOUTS:
        raise OptionError(f"a layout is {' or '.join(ADDRESS_LAYOUTS)}: got {quoted(layout)}")
    start = _header_end(data)
    if (len(data) - start) % 8:
        raise SampleError(
            f"AEDAT 2.0 has 8 bytes for each event: {quoted(str(path))} has {len(data) - start} behind its header"
        )
    words = np.frombuffer(data, ">u4", offset=start).reshape(-1, 2).astype(np.int64)
    require_few(len(words), path)
    address, t = words[:, 0], unwrapped(words[:, 1], 32)
    if layout is None:
        layout = "davis" if re.search(rb"AEChip:[^\r\n]*davis", data[:start], re.IGNORECASE) else "dvs128"
    if layout == "dvs128":
        if np.any(address >> 15 & 1):  # a special event; higher bits mean nothing
            address, t = address[address >> 15 & 1 == 0], t[address >> 15 & 1 == 0]
        return Events(t=t, x=address >> 1 & 0x7F, y=address >> 8 & 0x7F, p=address & 1)
    kept = (address >> 31 == 0) & (address >> 10 & 1 == 0)
    address, t = address[kept], t[kept]
    return Events(t=t, x=address >> 12 & 0x3FF, y=address >> 22 & 0x1FF, p=address >> 11 & 1)


def _header_end(data: bytes) -> int:
    """Where the events begin: behind the last line that begins with `#` and is text."""
    at = 0
    while data[at : at + 1] == b"#" and at < _MAX_HEADER:
        stop = data.find(b"\n", at, at + _MAX_HEADER)
        line = data[at:stop]
        if stop < 0 or any(byte < 32 and byte not in b"\t\r" for byte in line):
            break  # an event whose first byte happens to be a `#`
        at = stop + 1
    return at


def read_aedat3(path: str | Path) -> Events:
    """The polarity events of an AEDAT 3.1 file, as cAER writes it and DVS128 Gesture has it.

    Packets of 28 bytes of header and their events: a word of 1 bit "valid", 1 of polarity, 15 of row, 15 of column, and
    31 bits of microseconds, to which the packet's overflows are added. Where a packet counts fewer valid events than it
    has, those are read that say so. Raises SampleError, for compressed files too.
    """
    data = read_event_bytes(path)
    require_version(data, path, (3, 1))
    end = data.find(_END, 0, _MAX_HEADER)
    start = data.find(b"\n", end) + 1
    if end < 0 or not start:
        raise SampleError(f"the header of an AEDAT 3.1 file ends with {_END.decode()}: {quoted(str(path))} has none")
    form = re.search(rb"^#Format:[ \t]*([^\r\n]*)", data[:start], re.MULTILINE)
    if form is not None and form[1].strip().upper() != b"RAW":
        raise SampleError(
            f"AEDAT 3.1 is read uncompressed (RAW): {quoted(str(path))} is {quoted(form[1].decode('latin1'))}"
        )
    parts: list[Events] = []
    count = 0
    at = start
    while at < len(data):
        events, at = _packet(data, at, path)
        if events is not None:
            parts.append(events)
            count += len(events)
            require_few(count, path)
    return joined(parts)


def _packet(data: bytes, at: int, path: str | Path) -> tuple[Events | None, int]:
    """The polarity events of the packet at `at`, None for one of another type, and where the next one begins."""
    if at + _PACKET.size > len(data):
        raise SampleError(f"an AEDAT 3.1 packet has a header of 28 bytes: {quoted(str(path))} ends inside one")
    kind, _, size, offset, overflows, capacity, number, valid = _PACKET.unpack_from(data, at)
    at += _PACKET.size
    if size < 1 or overflows < 0 or not 0 <= valid <= number <= capacity or size * capacity > len(data) - at:
        raise SampleError(
            f"an AEDAT 3.1 packet has valid <= number <= capacity events, and all of them: one of {quoted(str(path))} "
            f"has {valid}, {number} and {capacity} of {size} bytes, in {len(data) - at} bytes"
        )
    stop = at + size * capacity
    if kind != _POLARITY:
        return None, stop
    if (size, offset) != (8, 4):
        raise SampleError(f"a polarity event has 8 bytes, the time last: one of {quoted(str(path))} has {size}")
    words = np.frombuffer(data, "<u4", count=2 * number, offset=at).reshape(-1, 2).astype(np.int64)
    if valid < number:
        words = words[words[:, 0] & 1 == 1]
    word, t = words[:, 0], (words[:, 1] & 0x7FFFFFFF) + (overflows << 31)
    return Events(t=t, x=word >> 17, y=word >> 2 & 0x7FFF, p=word >> 1 & 1), stop


def joined(parts: list[Events]) -> Events:
    """Recordings one after the other."""
    columns = {}
    for name in ("t", "x", "y", "p"):
        arrays: list[npt.NDArray[np.int64]] = [getattr(part, name) for part in parts]
        columns[name] = np.concatenate([np.zeros(0, np.int64), *arrays])
    return Events(**columns)


def unwrapped(t: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.int64]:
    """Times of so many bits that begin anew now and then, as times that go on."""
    falls = np.diff(t, prepend=t[:1]) <= -(1 << bits - 1)
    return t + (np.cumsum(falls, dtype=np.int64) << bits)


def require_few(count: int, path: str | Path) -> None:
    """SampleError for more events than are held."""
    if count > MAX_EVENTS:
        raise SampleError(f"a recording has at most {MAX_EVENTS:,} events: {quoted(str(path))} has {count:,} or more")

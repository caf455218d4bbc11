"""Recordings of iniVation's DV software: AEDAT 4.0, FlatBuffers in packets.

After `#!AER-DAT4.0` come a header (`IOHE`: compression, where the table of packets lies, a description of the
streams), and packets: a stream's number, a size, and a FlatBuffer of that size, compressed. A packet whose FlatBuffer
is named `EVTS` holds events of 16 bytes: time int64 in microseconds, column and row int16, polarity. All others
(frames, inertia, signals) are passed over, and the table of packets is not needed.

Read are files without compression and with LZ4, which is what DV writes unless told otherwise; Zstandard is refused.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from ...hdl.errors import SampleError, quoted
from .aedat import joined, require_few, require_version
from .events import MAX_EVENT_BYTES, Events, read_event_bytes
from .lz4 import lz4_frame

_MAGIC = b"#!AER-DAT4.0\r\n"
_NAME_END = 12
"""Size, root and name: the first bytes of a FlatBuffer with a size before it."""

_COMPRESSIONS = {0: "none", 1: "LZ4", 2: "LZ4", 3: "Zstandard", 4: "Zstandard"}
_EVENT = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "itemsize": 16})


def read_aedat4(path: str | Path, stream: int | None = None) -> Events:
    """The events of an AEDAT 4.0 file, of the only stream that has some or of the one numbered `stream`.

    Raises SampleError for damaged files, Zstandard, and several streams of which none is named.
    """
    data = read_event_bytes(path)
    require_version(data, path, (4, 0))
    try:
        parts = _read(data, path, stream)
    except struct.error:
        raise SampleError(f"an AEDAT 4.0 file must be whole: {quoted(str(path))} points beside what it has") from None
    streams = {number for number, _ in parts}
    if len(streams) > 1:
        raise SampleError(f"events of one stream are read: {quoted(str(path))} has {sorted(streams)}; name one of them")
    return joined([part for _, part in parts])


def _read(data: bytes, path: str | Path, stream: int | None) -> list[tuple[int, Events]]:
    at = len(_MAGIC)
    size = _at(data, at, "<I")
    header = data[at + 4 : at + 4 + size]
    if len(header) < size or header[4:8] != b"IOHE":
        raise SampleError(f"an AEDAT 4.0 file has a header IOHE: {quoted(str(path))} has none that is whole")
    at += 4 + size
    compression = _field(header, 0, "<i", 0)
    if _COMPRESSIONS.get(compression) not in ("none", "LZ4"):
        raise SampleError(
            f"AEDAT 4.0 is read uncompressed or with LZ4: {quoted(str(path))} has "
            f"{_COMPRESSIONS.get(compression, f'compression {compression}')}; save it anew with LZ4"
        )
    end = _field(header, 1, "<q", -1)
    end = len(data) if end < 0 else end
    if not at <= end <= len(data):
        raise SampleError(f"AEDAT 4.0 has its table behind its packets: that of {quoted(str(path))} is at {end}")
    parts: list[tuple[int, Events]] = []
    count, left = 0, MAX_EVENT_BYTES
    while at < end:
        number, size = _at(data, at, "<i"), _at(data, at + 4, "<i")
        at += 8
        if not 0 <= size <= end - at:
            raise SampleError(f"a packet lies in its file: one of {quoted(str(path))} has {size} of {end - at} bytes")
        body = data[at : at + size]
        at += size
        if stream is not None and number != stream:
            continue
        if compression and lz4_frame(body, left, _NAME_END)[8:_NAME_END] != b"EVTS":
            continue  # without expanding an image
        packet = lz4_frame(body, left) if compression else body
        left -= len(packet)
        if packet[8:_NAME_END] != b"EVTS":
            continue
        parts.append((number, _events(packet[4:])))
        count += len(parts[-1][1])
        require_few(count, path)
    return parts


def _events(buffer: bytes) -> Events:
    """The events of a FlatBuffer, whose first field is their vector."""
    place = _place(buffer, 0)
    if place is None:
        return joined([])
    place += _at(buffer, place, "<I")
    count = _at(buffer, place, "<I")
    if count * _EVENT.itemsize > len(buffer) - place - 4:
        raise SampleError(f"a packet has its events: one counts {count} in {len(buffer) - place - 4} bytes")
    rows = np.frombuffer(buffer, _EVENT, count=count, offset=place + 4)
    return Events.of(rows["t"], rows["x"], rows["y"], rows["p"] != 0)


def _at(buffer: bytes, place: int, form: str) -> Any:
    """The number at a place. Raises struct.error beside the buffer, also before its begin."""
    if place < 0:
        raise struct.error("before the begin")
    return struct.unpack_from(form, buffer, place)[0]


def _place(buffer: bytes, number: int) -> int | None:
    """Where a field of the root table of a FlatBuffer lies, None where it has its default."""
    root = _at(buffer, 0, "<I")
    table = root - _at(buffer, root, "<i")
    entry = 4 + 2 * number
    offset = _at(buffer, table + entry, "<H") if entry + 2 <= _at(buffer, table, "<H") else 0
    return root + offset if offset else None


def _field(buffer: bytes, number: int, form: str, default: int) -> int:
    place = _place(buffer, number)
    return default if place is None else int(_at(buffer, place, form))

"""Files of events, written by the formats' own descriptions: an event at a time, with none of the readers' code.

Events are rows (t, x, y, p).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

Row = tuple[int, int, int, int]


def aedat2(rows: Iterable[Row], layout: str = "dvs128", header: str = "# created by a test\r\n") -> bytes:
    out = b"#!AER-DAT2.0\r\n" + header.encode()
    for t, x, y, p in rows:
        address = y << 8 | x << 1 | p if layout == "dvs128" else y << 22 | x << 12 | p << 11
        out += struct.pack(">II", address, t & 0xFFFFFFFF)
    return out


def aedat3_packet(rows: Sequence[Row], *, kind: int = 1, overflow: int = 0, spare: int = 0) -> bytes:
    """A packet of polarity events, with room for `spare` more."""
    count = len(rows)
    out = struct.pack("<hhiiiiii", kind, 1, 8, 4, overflow, count + spare, count, count)
    for t, x, y, p in rows:
        out += struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t)
    return out + bytes(8 * spare)


def aedat3(*packets: bytes, form: str = "RAW") -> bytes:
    header = f"#!AER-DAT3.1\r\n#Format: {form}\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    return header.encode() + b"".join(packets)


def lz4(data: bytes) -> bytes:
    """An LZ4 frame: repetitions of the four bytes before are found where they are, all else is literal."""
    block, at, literal = b"", 0, 0

    def sequence(literals: bytes, offset: int, match: int) -> bytes:
        token = min(15, len(literals)) << 4 | min(15, match - 4 if match else 0)
        out = bytes([token]) + (_length(len(literals) - 15) if len(literals) >= 15 else b"") + literals
        if match:
            out += struct.pack("<H", offset) + (_length(match - 19) if match >= 19 else b"")
        return out

    seen: dict[bytes, int] = {}
    while at < len(data) - 12:
        key = data[at : at + 4]
        before = seen.get(key)
        seen[key] = at
        if before is None or at - before > 65535:
            at += 1
            continue
        match = 4
        while at + match < len(data) - 5 and data[before + match] == data[at + match]:
            match += 1
        block += sequence(data[literal:at], at - before, match)
        at += match
        literal = at
    block += sequence(data[literal:], 0, 0)
    return b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", len(block)) + block + bytes(4)


def _length(rest: int) -> bytes:
    return bytes([255] * (rest // 255) + [rest % 255])


def aedat4_events(rows: Sequence[Row], name: bytes = b"EVTS") -> bytes:
    """A FlatBuffer with its size before it: root, name, a table of one field, its shape, and the vector."""
    events = b"".join(struct.pack("<qhh?xxx", t, x, y, bool(p)) for t, x, y, p in rows)
    # at 0: root 16; 4: name; 8: shape of the table (6 bytes long, table 8, field at 4), 2 bytes unused; 16: table,
    # whose shape is 8 before; its field at 20 leads to the vector at 28, whose events then lie at a multiple of 8
    body = struct.pack("<I4sHHHxxiI", 16, name, 6, 8, 4, 8, 8) + bytes(4) + struct.pack("<I", len(rows)) + events
    return struct.pack("<I", len(body)) + body


def aedat4(packets: Sequence[tuple[int, bytes]], compression: int = 1, table: int | None = None) -> bytes:
    """Packets (stream, FlatBuffer); `compression` 1 is LZ4. The header has compression, table and description."""
    bodies = b""
    for stream, packet in packets:
        body = lz4(packet) if compression == 1 else packet
        bodies += struct.pack("<ii", stream, len(body)) + body
    text = b'<dv version="2.0"></dv>\0'
    # root, name, shape (10 bytes: compression at 4, table at 8, description at 16), the table of 20 bytes, the text
    header = struct.pack("<I4sHHHHHxxiiqI", 20, b"IOHE", 10, 20, 4, 8, 16, 12, compression, 0, 4)
    header += struct.pack("<I", len(text) - 1) + text
    place = len(b"#!AER-DAT4.0\r\n") + 4 + len(header) + len(bodies) if table is None else table
    header = header[:28] + struct.pack("<q", place) + header[36:]
    tail = struct.pack("<I4sHHi", 12, b"FTAB", 4, 4, 4) if table is None else b""
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(header)) + header + bodies + tail


def dat(rows: Iterable[Row], header: str = "% Data file containing CD events\n% Version 2\n% Width 64\n") -> bytes:
    out = header.encode() + b"\x0c\x08"
    for t, x, y, p in rows:
        out += struct.pack("<II", t, p << 28 | y << 14 | x)
    return out


def evt2(rows: Iterable[Row], header: str = "% format EVT2;height=48;width=64\n% end\n") -> bytes:
    out, high = header.encode(), -1
    for t, x, y, p in rows:
        if t >> 6 != high:
            high = t >> 6
            out += struct.pack("<I", 8 << 28 | high & 0xFFFFFFF)
        out += struct.pack("<I", p << 28 | (t & 63) << 22 | x << 11 | y)
    return out


def evt21(rows: Iterable[Row], *, legacy: bool = False) -> bytes:
    """An event a word, with its column as a bit of 32."""
    words, high = [], -1
    for t, x, y, p in rows:
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 60 | (high & 0xFFFFFFF) << 32)
        words.append(p << 60 | (t & 63) << 54 | (x - x % 32) << 43 | y << 32 | 1 << x % 32)
    order = "legacy" if legacy else "little"
    out = f"% evt 2.1\n% format EVT21;endianness={order};height=48;width=64\n% end\n".encode()
    for word in words:
        out += struct.pack("<II", word >> 32, word & 0xFFFFFFFF) if legacy else struct.pack("<Q", word)
    return out


def evt3(rows: Sequence[Row], *, vectors: bool) -> bytes:
    """With `vectors` an event is a base and two vectors that have its column; all state is written when it changes."""
    words: list[int] = []
    row = low = high = -1
    for t, x, y, p in rows:
        if t >> 12 != high:
            high = t >> 12
            words.append(0x8000 | high & 0xFFF)
            low = -1
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(0x6000 | low)
        if y != row:
            row = y
            words.append(y)
        if not vectors:
            words.append(0x2000 | p << 11 | x)
        elif x >= 14:  # empty twelve columns, then the third of eight
            words += [0x3000 | p << 11 | x - 14, 0x4000, 0x5000 | 1 << 2]
        else:
            words += [0x3000 | p << 11, 0x4000 | (1 << x if x < 12 else 0), 0x5000 | (1 << x - 12 if x >= 12 else 0)]
    return b"% evt 3.0\n% geometry 64x48\n% end\n" + struct.pack(f"<{len(words)}H", *words)

"""Recordings of cameras in the formats of their makers, written here by the formats' descriptions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import event_writers as writers
import numpy as np
import pytest
from spikeloom.compiler.data.aedat import read_aedat2, read_aedat3
from spikeloom.compiler.data.aedat4 import read_aedat4
from spikeloom.compiler.data.event_files import read_events
from spikeloom.compiler.data.events import Events
from spikeloom.compiler.data.lz4 import lz4_frame
from spikeloom.compiler.data.prophesee import read_dat, read_raw
from spikeloom.hdl.errors import OptionError, SampleError

RNG = np.random.default_rng(3)
COLUMNS = np.sort(RNG.integers(0, 1 << 22, 300)), *(RNG.integers(0, most, 300) for most in (64, 48, 2))
ROWS = [(int(t), int(x), int(y), int(p)) for t, x, y, p in zip(*COLUMNS, strict=True)]
"""300 events of a sensor of 48 x 64 over four seconds."""

EARLY, LATE = ROWS[:150], ROWS[150:]
PACKETS = writers.aedat3_packet(EARLY), writers.aedat3_packet(LATE, spare=3)


def rows_of(events: Events) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(events, name).tolist() for name in "txyp"), strict=True))


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "AEDAT 2, DVS128": ("a.aedat", lambda: writers.aedat2(ROWS)),
    "AEDAT 2, DAVIS": ("a.aedat", lambda: writers.aedat2(ROWS, "davis", "# AEChip: x.y.DAVIS240C\r\n# é\r\n")),
    "AEDAT 3.1": (
        "a.aedat",
        lambda: writers.aedat3(writers.aedat3_packet(EARLY), writers.aedat3_packet(LATE, spare=3)),
    ),
    "AEDAT 4, LZ4": (
        "a.aedat4",
        lambda: writers.aedat4([(0, writers.aedat4_events(EARLY)), (0, writers.aedat4_events(LATE))]),
    ),
    "AEDAT 4, plain": ("a.aedat4", lambda: writers.aedat4([(2, writers.aedat4_events(ROWS))], 0)),
    "AEDAT 4, unfinished": ("a.aedat4", lambda: writers.aedat4([(2, writers.aedat4_events(ROWS))], 0, table=-1)),
    "DAT": ("a.dat", lambda: writers.dat(ROWS)),
    "EVT2": ("a.raw", lambda: writers.evt2(ROWS)),
    "EVT2.1": ("a.raw", lambda: writers.evt21(ROWS)),
    "EVT2.1, halves": ("a.raw", lambda: writers.evt21(ROWS, legacy=True)),
    "EVT3": ("a.raw", lambda: writers.evt3(ROWS, vectors=False)),
    "EVT3, vectors": ("a.RAW", lambda: writers.evt3(ROWS, vectors=True)),
}


@pytest.mark.parametrize("name", FILES)
def test_events_of_every_format(name: str, tmp_path: Path) -> None:
    file, content = FILES[name]
    path = tmp_path / file
    path.write_bytes(content())
    assert rows_of(read_events(path)) == ROWS


@pytest.mark.parametrize("name", FILES)
def test_cut_and_damaged_files_are_refused_or_read(name: str, tmp_path: Path) -> None:
    """Never another error than SampleError, and no memory that the file is not worth."""
    file, make = FILES[name]
    content, path = make(), tmp_path / file
    rng = np.random.default_rng(1)
    for trial in range(60):
        damaged = bytearray(content)
        if trial % 2:
            del damaged[int(rng.integers(0, len(content))) :]
        else:
            for place in rng.integers(0, min(len(content), 400 if trial % 4 else len(content)), 4):
                damaged[place] = int(rng.choice([0, 0x7F, 0x80, 0xFF]))
        path.write_bytes(damaged)
        try:
            assert len(read_events(path)) <= 64 * len(damaged)
        except SampleError as error:
            assert len(str(error)) < 300


def test_what_is_no_change_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    special, frame, inertia = (5, 0, 0x80, 0), 1 << 31 | 5 << 12, 1 << 10
    path.write_bytes(writers.aedat2([special, *ROWS]))
    assert rows_of(read_aedat2(path)) == ROWS
    davis = struct.pack(">II", frame, 3) + struct.pack(">II", inertia, 3)
    path.write_bytes(writers.aedat2(ROWS, "davis") + davis)
    assert rows_of(read_aedat2(path, "davis")) == ROWS
    other = writers.aedat3_packet(EARLY, kind=3)
    path.write_bytes(writers.aedat3(other, writers.aedat3_packet(ROWS)))
    assert rows_of(read_aedat3(path)) == ROWS
    image = writers.aedat4_events(EARLY, b"FRME")
    for compression in (0, 1):
        path.write_bytes(writers.aedat4([(1, image), (0, writers.aedat4_events(ROWS))], compression))
        assert rows_of(read_aedat4(path)) == ROWS
    path.write_bytes(writers.evt2(ROWS) + struct.pack("<III", 0xA << 28, 0xE << 28, 0xF << 28))
    assert rows_of(read_raw(path)) == ROWS


def test_invalid_events_of_a_packet(tmp_path: Path) -> None:
    """They are left out where the packet counts them, and read where it says that all are valid."""
    path = tmp_path / "a.aedat"
    packet = bytearray(writers.aedat3_packet(ROWS[:4]))
    packet[28] &= 0xFE
    path.write_bytes(writers.aedat3(bytes(packet)))
    assert rows_of(read_aedat3(path)) == ROWS[:4]
    packet[24:28] = struct.pack("<i", 3)
    path.write_bytes(writers.aedat3(bytes(packet)))
    assert rows_of(read_aedat3(path)) == ROWS[1:4]


def test_times_that_begin_anew_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    rows = [((1 << 32) - 2, 1, 2, 0), ((1 << 32) + 5, 1, 2, 0), ((1 << 32) + 4, 1, 2, 1)]
    path.write_bytes(writers.aedat2(rows))
    assert rows_of(read_aedat2(path)) == rows
    path.write_bytes(writers.aedat3(writers.aedat3_packet([(7, 1, 2, 0)], overflow=3)))
    assert read_aedat3(path).t.tolist() == [7 + (3 << 31)]
    path = tmp_path / "a.raw"
    rows = [(t, 3, 4, 1) for t in range(0, 3 << 24, 1 << 22)]
    path.write_bytes(writers.evt3(rows, vectors=False))
    assert rows_of(read_raw(path)) == rows


def test_vectors_of_evt3(tmp_path: Path) -> None:
    """Several events of a mask, the base that moves on by 12 and 8, and nothing before the first time and row."""
    path = tmp_path / "a.raw"
    words = [0x2001, 0x8001, 0x0005, 0x2001, 0x3802, 0x4003, 0x6007, 0x0005, 0x3802, 0x4801, 0x5081, 0x4002, 0x2009]
    path.write_bytes(b"% evt 3.0\n" + struct.pack(f"<{len(words)}H", *words))
    soon, t = 0x1000, 0x1007
    expected = [(soon, x, 5, p) for x, p in ((1, 0), (2, 1), (3, 1))] + [(t, x, 5, 1) for x in (2, 13, 14, 21, 23)]
    assert rows_of(read_raw(path)) == [*expected, (t, 9, 5, 0)]


def test_several_streams(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat4"
    path.write_bytes(writers.aedat4([(0, writers.aedat4_events(EARLY)), (3, writers.aedat4_events(LATE))]))
    with pytest.raises(SampleError, match=r"events of one stream are read: .* has \[0, 3\]; name one"):
        read_aedat4(path)
    assert rows_of(read_aedat4(path, 3)) == LATE


LZ4_TEXT = b"abcabcabcabc" + b"defdefdef" * 3 + bytes(range(20)) + b"xyxyxyzzyzz" * 5
LZ4_FRAME = bytes.fromhex(
    "04224d186c407200000000000000cc360000003561626303003f646566030005f007000102030405060708090a0b0c0d0e0f10111213787902"
    "005f7a7a797a7a0b0014507a7a797a7a0000000059d86d0b"
)
"""What lz4 4.4.5 made of the text, with a checksum and the size of the contents."""


def test_a_frame_of_the_lz4_library() -> None:
    """Whole, cut, with a bound, and only its begin."""
    assert lz4_frame(LZ4_FRAME, 1 << 20) == LZ4_TEXT
    assert LZ4_TEXT.startswith(begin := lz4_frame(LZ4_FRAME, 1 << 20, 12)) and len(begin) >= 12
    for stop in range(4, len(LZ4_FRAME) - 8):
        with pytest.raises(SampleError):
            lz4_frame(LZ4_FRAME[:stop], 1 << 20)
    with pytest.raises(SampleError, match="a packet of events has at most 50 bytes"):
        lz4_frame(LZ4_FRAME, 50)


def test_a_bomb_ends_at_the_bound() -> None:
    """65 kB that would be 16 MB."""
    block = b"\x1fa\x01\x00" + b"\xff" * 65000 + b"\x00\x00"
    bomb = b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", len(block)) + block + bytes(4)
    with pytest.raises(SampleError, match="a packet of events has at most 1,000,000 bytes"):
        lz4_frame(bomb, 1_000_000)


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "an old AEDAT": ("a.aedat", b"#!AER-DAT1.0\r\n", "AEDAT 2.0, 3.1, 4.0 are read: .* is AEDAT 1.0"),
    "half an address": ("a.aedat", writers.aedat2(ROWS) + b"123", "AEDAT 2.0 has 8 bytes for each event: .* has 2403"),
    "compressed packets": ("a.aedat", writers.aedat3(form="Serial-TS"), "AEDAT 3.1 is read uncompressed .*'Serial-TS'"),
    "a header without end": ("a.aedat", b"#!AER-DAT3.1\r\n#Format: RAW\r\n", "ends with #!END-HEADER"),
    "a cut packet": ("a.aedat", writers.aedat3(writers.aedat3_packet(ROWS)[:-8]), "and all of them"),
    "half a packet's header": ("a.aedat", writers.aedat3(bytes(20)), "has a header of 28 bytes"),
    "a packet of more than it holds": (
        "a.aedat",
        writers.aedat3(struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, 1 << 30, 1 << 30, 0)),
        "has 0, 1073741824 and 1073741824 of 8 bytes, in 0 bytes",
    ),
    "larger events": (
        "a.aedat",
        writers.aedat3(struct.pack("<hhiiiiii", 1, 0, 16, 4, 0, 1, 1, 1) + bytes(16)),
        "a polarity event has 8 bytes",
    ),
    "Zstandard": ("a.aedat4", writers.aedat4([], 3), "uncompressed or with LZ4: .* has Zstandard; save it anew"),
    "another compression": ("a.aedat4", writers.aedat4([], 77), "has compression 77"),
    "no header": ("a.aedat4", b"#!AER-DAT4.0\r\n\0\0\0\1", "has a header IOHE"),
    "a table beside": ("a.aedat4", writers.aedat4([], 0, table=1 << 40), "has its table behind its packets"),
    "a packet beside": (
        "a.aedat4",
        writers.aedat4([], 0, table=-1) + struct.pack("<ii", 0, 99),
        "a packet lies in its file: one .* has 99 of 0 bytes",
    ),
    "many events": (
        "a.aedat4",
        writers.aedat4([(0, writers.aedat4_events([])[:-4] + b"\xff\xff\xff\x0f")], 0),
        "a packet has its events: one counts 268435455 in 0 bytes",
    ),
    "an old DAT": ("a.dat", writers.dat(ROWS, "% Version 1\n"), "DAT files of version 2 are read: .* has '1'"),
    "triggers": ("a.dat", b"% Version 2\n\x0e\x08", "a DAT file has events of kind 0 or 12 and 8 bytes: .* has 0e 08"),
    "half an event": ("a.dat", writers.dat(ROWS)[:-3], "and 2397 bytes"),
    "no header of DAT": ("a.dat", b"\x0c\x08" + bytes(8), "a header has lines that begin with %"),
    "beside the sensor": ("a.raw", writers.evt2([(0, 64, 0, 0)]), "x of an event is 0 to 63: it has 64 to 64"),
    "a format of images": (
        "a.raw",
        b"% format HISTO3D\n",
        "RAW files of EVT2, EVT21, EVT3 are read: .*HISTO3D",
    ),
    "no format": ("a.raw", b"% date 2020\n", "RAW files of EVT2, EVT21, EVT3 are read: .*'EVT'"),
    "high bytes first": ("a.raw", b"% format EVT3;endianness=big\n", "words are low bytes first: .* has 'big'"),
    "half a word": ("a.raw", writers.evt3(ROWS, vectors=False) + b"1", "EVT3 has words of 2 bytes"),
    "another kind": ("a.raw", writers.evt2(ROWS) + b"\0\0\0\x50", "EVT2 has no words of kind 0x5"),
    "no AEDAT": ("a.aedat", b"junk", "begins with a line #!AER-DAT and its version: .* does not"),
    "another file": ("a.txt", b"1 2 3 4", r"events are \.aedat, \.aedat4 or \.dat, \.raw, \.bin files: got"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, tmp_path: Path) -> None:
    file, content, message = REFUSED[name]
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(SampleError, match=message):
        read_events(path)


def test_a_reader_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(writers.aedat2(ROWS))
    with pytest.raises(SampleError, match=r"AEDAT 3\.1 is read here: .* is AEDAT 2\.0"):
        read_aedat3(path)
    with pytest.raises(OptionError, match="a layout is dvs128 or davis: got 'dvs'"):
        read_aedat2(path, "dvs")
    path.write_bytes(writers.dat(ROWS))
    with pytest.raises(SampleError, match=r"AEDAT 2\.0 is read here: .* is no AEDAT file"):
        read_aedat2(path)
    assert rows_of(read_dat(path)) == ROWS

"""Recordings of Prophesee's cameras: DAT files, and RAW files in the formats EVT 2.0, 2.1 and 3.0.

Both begin with lines of `%`. Words are low bytes first. Triggers and words of other uses are passed over; kinds of
words that the formats do not have are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import SampleError, quoted
from .aedat import require_few, unwrapped
from .events import Events, read_event_bytes

Words = npt.NDArray[np.int64]

_MAX_HEADER = 1 << 16
_CD_KINDS = (0, 12)
"""Events of changes, as general or special ones."""

_TIME_HIGH = 8
_ONES = np.array([bin(octet).count("1") for octet in range(256)], np.uint8)


def read_dat(path: str | Path) -> Events:
    """The events of a DAT file of version 2: after the header two bytes, kind and size; then for each event 32 bits of
    microseconds, and 14 of column, 14 of row and 4 of polarity. Raises SampleError.
    """
    data = read_event_bytes(path)
    header, start = _header(data, path)
    if header.get("version") != "2":
        raise SampleError(
            f"DAT files of version 2 are read: {quoted(str(path))} has {quoted(header.get('version', 'none'))}"
        )
    kind_and_size = data[start : start + 2]
    body = len(data) - start - 2
    if len(kind_and_size) < 2 or kind_and_size[0] not in _CD_KINDS or kind_and_size[1] != 8 or body % 8:
        raise SampleError(
            f"a DAT file has events of kind 0 or 12 and 8 bytes: {quoted(str(path))} has "
            f"{kind_and_size.hex(' ') or 'nothing'}, and {body} bytes"
        )
    require_few(body // 8, path)
    words = np.frombuffer(data, "<u4", offset=start + 2).reshape(-1, 2).astype(np.int64)
    word = words[:, 1]
    events = Events(
        t=unwrapped(words[:, 0], 32), x=word & 0x3FFF, y=word >> 14 & 0x3FFF, p=(word >> 28 != 0).astype(np.int64)
    )
    return _inside(events, _size(header))


def read_raw(path: str | Path) -> Events:
    """The events of a RAW file. What comes before the first time (and row and column) is left out, as it has none.

    Raises SampleError, for other formats and for high bytes first too.
    """
    data = read_event_bytes(path)
    header, start = _header(data, path)
    form, _, options = header.get("format", "").partition(";")
    given = dict(part.split("=", 1) for part in options.split(";") if "=" in part)
    form = form or f"EVT{header.get('evt', '').removesuffix('.0').replace('.', '')}"
    if form not in _FORMATS:
        raise SampleError(f"RAW files of {', '.join(_FORMATS)} are read: {quoted(str(path))} has {quoted(form)}")
    order = given.get("endianness", header.get("endianness", "little"))
    if order not in ("little", *(("legacy",) if form == "EVT21" else ())):
        raise SampleError(f"words are low bytes first: {quoted(str(path))} has {quoted(order)}")
    bits, read = _FORMATS[form]
    if (len(data) - start) % (bits // 8):
        raise SampleError(
            f"{form} has words of {bits // 8} bytes: {quoted(str(path))} has {len(data) - start} after its header"
        )
    if form == "EVT21" and order == "legacy":  # the upper half of a word first
        halves = np.frombuffer(data, "<u4", offset=start).reshape(-1, 2).astype(np.uint64)
        words = halves[:, 0] << np.uint64(32) | halves[:, 1]
    else:
        words = np.frombuffer(data, f"<u{bits // 8}", offset=start)
    require_few(len(words), path)  # the states of words take memory, too
    kinds = (words >> words.dtype.type(bits - 4)).astype(np.int64)
    events = read(words, kinds, path)
    return _inside(events, _size({**header, **given}))


def _header(data: bytes, path: str | Path) -> tuple[dict[str, str], int]:
    """The header's words by their first, in small letters, and where it ends."""
    at, found = 0, dict[str, str]()
    while data[at : at + 1] == b"%":
        stop = data.find(b"\n", at, at + _MAX_HEADER)
        if stop < 0 or stop > _MAX_HEADER:
            raise SampleError(f"a header has lines that begin with %: {quoted(str(path))} has one without an end")
        key, _, value = data[at + 1 : stop].decode("latin1").strip().partition(" ")
        at = stop + 1
        if key.lower() == "end":
            break
        found.setdefault(key.lower(), value.strip())
    if not found:
        raise SampleError(f"a header has lines that begin with %: {quoted(str(path))} has none")
    return found, at


def _size(header: Mapping[str, str]) -> tuple[int, int] | None:
    """Rows and columns of the sensor, where the header has them."""
    geometry = re.fullmatch(r"(\d{1,5})x(\d{1,5})", header.get("geometry", ""))
    texts = (header.get("height", ""), header.get("width", "")) if geometry is None else (geometry[2], geometry[1])
    return (int(texts[0]), int(texts[1])) if all(re.fullmatch(r"\d{1,5}", text) for text in texts) else None


def _inside(events: Events, size: tuple[int, int] | None) -> Events:
    return events if size is None else events.require_inside(rows=size[0], columns=size[1])


def _require_kinds(kinds: Words, known: frozenset[int], form: str, path: str | Path) -> None:
    for kind in np.unique(kinds):
        if int(kind) not in known:
            raise SampleError(f"{form} has no words of kind {int(kind):#x}: {quoted(str(path))} has some")


def _evt2(words: npt.NDArray[Any], kinds: Words, path: str | Path) -> Events:
    """Words of 32 bits: kind 0 and 1, a change with 6 bits of time, 11 of column, 11 of row; 8, 28 bits of time."""
    _require_kinds(kinds, frozenset({0, 1, _TIME_HIGH, 0xA, 0xE, 0xF}), "EVT2", path)
    high = _latest(words.astype(np.int64) & 0xFFFFFFF, kinds == _TIME_HIGH)
    kept = (kinds <= 1) & (high >= 0)
    require_few(int(kept.sum()), path)
    word = words[kept].astype(np.int64)
    return Events(
        t=unwrapped(high[kept] << 6 | word >> 22 & 0x3F, 34), x=word >> 11 & 0x7FF, y=word & 0x7FF, p=kinds[kept]
    )


def _evt21(words: npt.NDArray[Any], kinds: Words, path: str | Path) -> Events:
    """Words of 64 bits: those of EVT2 in the upper half, and in the lower one which of 32 columns from there on."""
    _require_kinds(kinds, frozenset({0, 1, _TIME_HIGH, 0xA, 0xE, 0xF}), "EVT21", path)
    upper = (words >> np.uint64(32)).astype(np.int64)
    high = _latest(upper & 0xFFFFFFF, kinds == _TIME_HIGH)
    kept = (kinds <= 1) & (high >= 0)
    word, valid = upper[kept], words[kept].astype(np.uint32)
    number, column = _set_bits(valid, path)
    word, p = word[number], kinds[kept][number]
    t = unwrapped(high[kept] << 6 | upper[kept] >> 22 & 0x3F, 34)[number]
    return Events(t=t, x=(word >> 11 & 0x7FF) + column, y=word & 0x7FF, p=p)


def _evt3(words: npt.NDArray[Any], kinds: Words, path: str | Path) -> Events:
    """Words of 16 bits that change a state: row (0), event of a column (2), base column (3), which of the next 12 or 8
    columns from the base on, which then moves on (4, 5), 12 bits of time low (6) and high (8)."""
    _require_kinds(kinds, frozenset({0, 2, 3, 4, 5, 6, 7, _TIME_HIGH, 0xA, 0xE, 0xF}), "EVT3", path)
    value = words.astype(np.int64) & 0xFFF
    row = _latest(value & 0x7FF, kinds == 0)
    high = _high_of_evt3(value, kinds == _TIME_HIGH)
    fresh = (kinds == _TIME_HIGH) & (np.diff(high, prepend=-1) != 0)  # the low bits follow, and are 0 until then
    low = _latest(np.where(fresh, 0, value), (kinds == 6) | fresh)
    base = _latest(value, kinds == 3)
    widths = np.where(kinds == 4, 12, np.where(kinds == 5, 8, 0))
    passed = np.cumsum(widths) - widths  # columns of vectors before each word
    moved = passed - _latest(passed, kinds == 3)
    single, vector = kinds == 2, widths > 0
    there = (row >= 0) & (high >= 0) & (single | (vector & (base >= 0)))
    valid = np.where(single, 1, np.where(kinds == 4, value, value & 0xFF))[there].astype(np.uint32)
    number, offset = _set_bits(valid, path)
    first = np.where(single, value & 0x7FF, (base & 0x7FF) + moved)[there]
    p = np.where(single, value >> 11, base >> 11)[there]
    t = (high << 12 | low)[there]
    return Events(t=t[number], x=first[number] + offset, y=row[there][number], p=p[number])


def _high_of_evt3(value: Words, here: npt.NDArray[np.bool_]) -> Words:
    """The upper bits of the time at each word, which go on when their 12 bits begin anew; -1 before the first."""
    high = np.full(len(value), -1, np.int64)
    high[here] = unwrapped(value[here], 12)
    return _latest(high, here)


def _latest(values: Words, here: npt.NDArray[np.bool_]) -> Words:
    """For each word the value of the last one before it, or it, that is `here`; -1 where there is none."""
    last = np.maximum.accumulate(np.where(here, np.arange(len(values)), -1)) if len(values) else values
    return np.where(last >= 0, values[last], -1) if len(values) else values


def _set_bits(masks: npt.NDArray[np.uint32], path: str | Path) -> tuple[Words, Words]:
    """The bits that are set, mask after mask and the lowest first: the mask's number, and the bit's."""
    octets = masks.astype("<u4").view(np.uint8).reshape(-1, 4)
    require_few(int(_ONES[octets].sum(dtype=np.int64)), path)
    bits = np.unpackbits(octets, axis=1, bitorder="little")
    number, bit = np.nonzero(bits)
    return number.astype(np.int64), bit.astype(np.int64)


_FORMATS: dict[str, tuple[int, Callable[[npt.NDArray[Any], Words, str | Path], Events]]] = {
    "EVT2": (32, _evt2),
    "EVT21": (64, _evt21),
    "EVT3": (16, _evt3),
}

"""Taps to memory words: the tables of both axes, in which a tap generator finds the rows of an event of a map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...hdl.engines.engine import SparseContents, SparseFormat
from ...hdl.engines.tap_format import (
    STEPPED_LUTS,
    AxisFormat,
    MapTaps,
    OwnRow,
    Places,
    Segment,
    TapContents,
    TapFormat,
)
from ...hdl.memories.memory import LOGIC_ROM_LUTS
from ..ir.arrays import IntArray

Parts = tuple[tuple[tuple[int, int], ...], ...]
"""For each place along an axis its taps: the part of the row's number and the part of the origin."""


@dataclass(frozen=True, kw_only=True)
class MapJob:
    """The taps of a map's events: every pair of one `down` and one `across`."""

    down: Parts
    across: Parts


@dataclass(frozen=True, kw_only=True)
class SegmentJobs:
    """What the events from the address `first` on are for; as Segment, with taps in place of tables."""

    first: int
    jobs: tuple[OwnRow | MapJob, ...]
    places: Places | None = None
    looked_up: bool = False


@dataclass(frozen=True)
class Choice:
    """Which jobs of its segment an address has, a bit for each, and its number where that is looked up."""

    jobs: int
    number: int = 0


def encode_taps(
    segments: Sequence[SegmentJobs],
    *,
    addresses: int,
    rows: int,
    post: int,
    choices: Sequence[Choice] = (),
    logic_luts: int = LOGIC_ROM_LUTS,
    steps: bool = False,
) -> tuple[TapFormat, TapContents]:
    """The format and the contents of a tap generator; without `choices` every address has all jobs of its segment.
    Tables that would be block RAM may have `steps`."""
    jobs = [job for segment in segments for job in segment.jobs if isinstance(job, MapJob)]
    most = logic_luts if steps else None
    down, down_words, down_counts, rows_of = _axis([job.down for job in jobs], most)
    across, across_words, across_counts, columns_of = _axis([job.across for job in jobs], most)
    looks_up = any(segment.looked_up for segment in segments)

    def tables_of(job: OwnRow | MapJob) -> OwnRow | MapTaps:
        if isinstance(job, OwnRow):
            return job
        return MapTaps(rows=rows_of[job.down], columns=columns_of[job.across])

    form = TapFormat(
        addresses=addresses,
        rows=rows,
        post=post,
        segments=tuple(
            Segment(first=s.first, jobs=tuple(map(tables_of, s.jobs)), places=s.places, looked_up=s.looked_up)
            for s in segments
        ),
        down=down,
        across=across,
        choice_bits=max(len(segment.jobs) for segment in segments) if choices else 0,
        number_bits=max(choice.number for choice in choices).bit_length() if looks_up else 0,
        logic_luts=logic_luts,
    )
    words = tuple(choice.jobs | choice.number << form.choice_bits for choice in choices)
    return form, TapContents(
        down=down_words,
        across=across_words,
        down_counts=down_counts,
        across_counts=across_counts,
        choices=words,
    )


def taps_of(form: TapFormat, contents: TapContents, address: int) -> Iterator[tuple[int, int] | None]:
    """What a tap generator does with an event, cycle by cycle: a row and an origin, or None for a job without taps."""
    for taps in job_taps(form, contents, address):
        yield from taps


def job_taps(form: TapFormat, contents: TapContents, address: int) -> Iterator[list[tuple[int, int] | None]]:
    """The same for each job of the event."""
    segment = next(s for s in reversed(form.segments) if s.first <= address)
    number, chosen = address - segment.first, -1
    if form.chooses:
        word = contents.choices[address]
        chosen = word if form.choice_bits else -1
        number = word >> form.choice_bits if segment.looked_up else number
    for place, job in enumerate(segment.jobs):
        if not chosen >> place & 1:
            yield [None]
        elif isinstance(job, OwnRow):
            yield [((address + job.offset) % (1 << (form.rows - 1).bit_length()), job.origin)]
        else:
            assert segment.places is not None
            channel, row, column = place_of(segment.places, number)
            down = _words_at(form.down, contents.down, contents.down_counts, job.rows + row)
            across = _words_at(form.across, contents.across, contents.across_counts, job.columns + column)
            yield [
                (row_part + other_row + channel, origin_part + other_origin)
                for row_part, origin_part in down
                for other_row, other_origin in across
            ] or [None]


def event_beats(form: SparseFormat, contents: SparseContents, of_rows: IntArray, without: int = 0) -> IntArray:
    """The beats of every event of an engine, int64 (addresses,), where those of rows are `of_rows`: the sum over its
    taps, of a job without any `without`. Of events that are pooled their windows."""
    taps, pool = form.taps, form.pool
    if taps is None or contents.taps is None:
        return of_rows
    if pool is not None and contents.pool is not None:
        windows = (list(taps_of(pool.taps, contents.pool, address)) for address in range(pool.passing))
        return np.array([len(found) for found in windows], np.int64)
    every = (taps_of(taps, contents.taps, address) for address in range(taps.addresses))
    return np.array([sum(without if t is None else int(of_rows[t[0]]) for t in found) for found in every], np.int64)


def place_of(places: Places, number: int) -> tuple[int, int, int]:
    """The channel, row and column that a number says."""
    rest, inner = divmod(number, places.inner)
    rest, outer = divmod(rest, places.outer)
    return (rest, outer, inner) if places.planar else (inner, rest, outer)


def _axis(
    parts: Sequence[Parts], logic_luts: int | None
) -> tuple[AxisFormat, tuple[int, ...], tuple[int, ...], dict[Parts, int]]:
    """One table for several, each of which is there once: its format, its words and numbers, and the first place of
    each. One that takes more than `logic_luts` may have steps."""
    firsts: dict[Parts, int] = {}
    places = 0
    for part in parts:
        if part not in firsts:
            firsts[part] = places
            places += len(part)
    every = [taps for part in firsts for taps in part] or [((0, 0),)]
    longest = max(map(len, every))
    row_bits, row_shift = _field([row for taps in every for row, _ in taps])
    origin_bits, origin_shift = _field([origin for taps in every for _, origin in taps])
    form = AxisFormat(
        places=max(1, places),
        slots=1 << (max(1, longest) - 1).bit_length(),
        gaps=not all(every),
        row_bits=row_bits,
        row_shift=row_shift,
        origin_bits=origin_bits,
        origin_shift=origin_shift,
    )
    words = [_word(form, taps, slot) for taps in every for slot in range(form.slots)]
    if logic_luts is not None and form.slots > 1 and form.width * -(-len(words) // 16) > logic_luts:
        found = _steps(form, every)
        if found is not None and form.stepped_luts <= STEPPED_LUTS:
            form, words = replace(form, steps=found), words[:: form.slots]
    bits = (form.slots - 1).bit_length()
    counts = [max(0, len(taps) - 1) | int(form.gaps and bool(taps)) << bits for taps in every]
    return form, tuple(words), tuple(counts) if form.count_bits else (), firsts


def _steps(form: AxisFormat, every: Sequence[tuple[tuple[int, int], ...]]) -> tuple[int, ...] | None:
    """How far the word of each slot is from a place's first, if that is the same at all places that have the slot."""
    found: dict[int, int] = {}
    for taps in every:
        for slot, (row, origin) in enumerate(taps):
            rows, origins = (row - taps[0][0]) >> form.row_shift, (origin - taps[0][1]) >> form.origin_shift
            step = rows % (1 << form.row_bits) | origins % (1 << form.origin_bits) << form.row_bits
            if found.setdefault(slot, step) != step:
                return None
    return tuple(found.get(slot, 0) for slot in range(form.slots))


def _field(values: Sequence[int]) -> tuple[int, int]:
    """The bits of a field and the shift that all of its values have in common."""
    every = 0
    for value in values:
        every |= value
    shift = (every & -every).bit_length() - 1 if every else 0
    return (max(values, default=0) >> shift).bit_length(), shift


def _word(form: AxisFormat, taps: tuple[tuple[int, int], ...], slot: int) -> int:
    """The word of a slot; the words behind the last tap are never used."""
    row, origin = taps[slot] if slot < len(taps) else (0, 0)
    return row >> form.row_shift | origin >> form.origin_shift << form.row_bits


def _words_at(form: AxisFormat, words: tuple[int, ...], counts: tuple[int, ...], place: int) -> list[tuple[int, int]]:
    """The taps of a place."""
    bits = (form.slots - 1).bit_length()
    count = counts[place] if counts else 0
    if form.gaps and not count >> bits:
        return []
    found = []
    for slot in range((count & ((1 << bits) - 1)) + 1):
        word, step = (words[place], form.steps[slot]) if form.steps else (words[place * form.slots + slot], 0)
        row = (word + step) & ((1 << form.row_bits) - 1)
        origin = ((word >> form.row_bits) + (step >> form.row_bits)) & ((1 << form.origin_bits) - 1)
        found.append((row << form.row_shift, origin << form.origin_shift))
    return found

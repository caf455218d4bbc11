"""Weights to memory words: rows in the encoding that costs least.

That is compressed rows (`spikeloom.hdl.engines.row_format`) or bitmaps (`spikeloom.hdl.engines.bitmap_format`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from ...hdl.engines.bitmap_format import BitmapContents, BitmapFormat
from ...hdl.engines.engine import Rows, RowsContents
from ...hdl.engines.row_format import RowContents, RowFormat, Section
from ...hdl.memories.memory import NEVER_LOGIC, Family
from ..ir.arrays import IntArray
from .bitmap import bitmap_beats, bitmap_contents, bitmap_forms
from .cost import BRAM_LUTS, LOGIC_LUTS, Scarce
from .directory import (
    ALIGNMENTS,
    LEAST_USE,
    Codes,
    code_choices,
    code_of,
    directory_words,
    find_in_directory,
    group_starts,
    row_starts,
)
from .room import NoRoomError, Room, require_room
from .row_weights import RowWeights

GROUPS = (1, 2, 4, 8)
"""How many rows may share a word of the directory."""

LUT_BITS = 64
"""What a LUT is worth in stored bits where block RAMs are scarce: a block's bits are worth about as much again."""


START = (Section(first_row=0, first_post=0),)


def encode_rows(
    weights: RowWeights,
    weight_bits: int,
    family: Family,
    sections: Sequence[Section] = START,
    first_spram: int | None = None,
    scarce: Scarce = Scarce.BRAMS,
    placed_in: int | None = None,
    room: Room | None = None,
    bitmaps: bool = True,
    groups: Sequence[int] = GROUPS,
) -> tuple[Rows, RowsContents]:
    """The rows of integer weights in the encoding with the fewest SPRAMs, then the least of block RAMs and
    LUTs, weighed by what is `scarce`, then the fewest bits; of `groups` is how many rows share a word of the directory.

    `sections` say where the relative indices of which rows start: none of their weights may lie before. The format
    depends on the weights' places and on how many levels they have, not on their values, unless the levels are so few
    that their numbers are stored instead. With `first_spram` the entries lie in SPRAMs from that number on. Bitmaps
    are for rows of one section, and not for those without `bitmaps`. With `room` the rows are laid out for other
    weights, too, and no levels are numbered; where it is known how they were, these weights are, or NoRoomError is
    raised.
    """
    if room is not None and room.form is not None:
        return room.form, _refilled(room.form, weights, weight_bits, sections)
    gaps = gaps_of(weights, sections)
    compressed: Iterator[tuple[Rows, int]] = chain.from_iterable(
        _forms(weights, gaps, choice, weight_bits, sections, groups)
        for choice in code_choices(weights.code, weight_bits)
    )
    possible = bitmaps and len(sections) == 1 and placed_in is None
    as_bitmaps = bitmap_forms(weights, weight_bits) if possible else iter(())
    best = min(
        (
            (replace(form, first_spram=first_spram, logic_luts=NEVER_LOGIC if room else LOGIC_LUTS[scarce]), luts)
            for form, luts in chain(compressed, as_bitmaps)
            if room is None or form.levels is None
        ),
        key=lambda candidate: _cost(candidate[0], candidate[1], family, scarce),
    )[0]
    if room is not None and not best.uniform:
        most = min(weights.shape[1], room.words(best.longest_row))
        best = replace(best, entries=room.words(best.entries), longest_row=max(best.longest_row, most))
    if isinstance(best, BitmapFormat):
        return best, bitmap_contents(weights, best)
    placed = best if placed_in is None else replace(best, post=placed_in, placed=True)
    return placed, _contents(weights, gaps, best)


def row_lengths(form: Rows, contents: RowsContents) -> IntArray:
    """The beats of every row, int64 (rows,): its entries, or its synapses and the chunks without any."""
    if isinstance(form, BitmapFormat):
        assert isinstance(contents, BitmapContents)
        return bitmap_beats(form, contents)
    assert isinstance(contents, RowContents)
    return np.array([find_row(form, contents, row)[1] for row in range(form.rows)], np.int64)


def find_row(form: RowFormat, contents: RowContents, row: int) -> tuple[int, int]:
    """The first entry of a row, and how many it has."""
    if form.uniform:
        return row * form.longest_row, form.longest_row
    start, lengths = find_in_directory(form, contents.rows, row)
    return start, lengths[0]


def first_post(form: RowFormat, row: int) -> int:
    """The post neuron from which the row's first index counts."""
    return next(s.first_post for s in reversed(form.sections) if s.first_row <= row)


def gaps_of(weights: RowWeights, sections: Sequence[Section]) -> IntArray:
    """The neurons skipped before each synapse, int64."""
    row, post = weights.row, weights.post
    starts = np.zeros(weights.shape[0], np.int64)
    for section in sections:
        starts[section.first_row :] = section.first_post
    is_first = np.ones(len(row), bool)
    is_first[1:] = row[1:] != row[:-1]
    before: IntArray = np.where(is_first, starts[row], np.concatenate([[0], post[:-1] + 1]))
    return post - before


# ------------------------------------------------------------------------------------------------- candidates


def _bridges(gaps: IntArray, choice: Codes, index_bits: int) -> IntArray:
    """The entries without a synapse before each synapse."""
    reach = 1 << index_bits
    if choice.levels is None:
        return gaps // reach
    return gaps // (reach - 1) if index_bits else np.zeros_like(gaps)


def _entries_of_rows(weights: RowWeights, bridges: IntArray) -> IntArray:
    """How many entries each row has, int64."""
    return np.bincount(weights.row, weights=1 + bridges, minlength=weights.shape[0]).astype(np.int64)


def _forms(
    weights: RowWeights,
    gaps: IntArray,
    choice: Codes,
    weight_bits: int,
    sections: Sequence[Section],
    groups: Sequence[int],
) -> Iterator[tuple[RowFormat, int]]:
    """Every format that wastes few entries, with the LUTs of its decoder: an entry without a synapse costs a cycle."""
    count, post = weights.shape
    most = len(weights.row) / LEAST_USE
    for index_bits in range(0 if choice.levels is None else 1, (post - 1).bit_length() + 1):
        lengths = _entries_of_rows(weights, _bridges(gaps, choice, index_bits))
        if lengths.sum() > most:
            continue
        form = RowFormat(
            rows=count,
            post=post,
            entries=1,
            index_bits=index_bits,
            weight_bits=weight_bits,
            code_bits=choice.bits,
            longest_row=max(1, int(lengths.max())),
            levels=choice.levels,
            sections=tuple(sections),
        )
        for group in groups:
            for align in ALIGNMENTS if group > 1 else (0,):
                entries = max(1, int(group_starts(lengths, group, align)[1]))
                luts = choice.luts + _directory_luts(form, group)
                yield replace(form, entries=entries, group=group, align=align), luts
    if len(sections) > 1 or weights.cells > most:
        return
    if choice.levels is None:
        yield _dense(count, post, weight_bits), 0
    elif weights.is_full:
        dense = replace(_dense(count, post, weight_bits), levels=choice.levels, code_bits=choice.bits)
        yield dense, choice.luts


def _dense(rows: int, post: int, weight_bits: int) -> RowFormat:
    """Every weight, zero or not: no index and no directory."""
    return RowFormat(
        rows=rows,
        post=post,
        entries=rows * post,
        index_bits=0,
        weight_bits=weight_bits,
        code_bits=weight_bits,
        longest_row=post,
        uniform=True,
    )


def _directory_luts(form: RowFormat, group: int) -> int:
    """LUTs that find a row in the word of a group: masks, sums and a selection of lengths."""
    return 0 if group == 1 else (group - 1) * 3 * form.length_bits + 12


def _cost(form: Rows, luts: int, family: Family, scarce: Scarce) -> tuple[int, float, int]:
    shapes = form.memories(family).values()
    sprams, brams = sum(shape.spram for shape in shapes), sum(shape.brams for shape in shapes)
    bits, tables = sum(shape.bits for shape in shapes), sum(shape.luts for shape in shapes)
    room = bits / LUT_BITS if scarce is Scarce.BRAMS else 0
    return sprams, BRAM_LUTS[scarce] * brams + luts + tables + room, bits


# ----------------------------------------------------------------------------------------------------- contents


def _refilled(form: Rows, weights: RowWeights, weight_bits: int, sections: Sequence[Section]) -> RowsContents:
    """The contents of memories that were laid out for other weights. Raises NoRoomError where these do not fit."""
    require_room("a weight", form.weight_bits, weight_bits, "bit")
    rows = weights.shape[0]
    if form.rows != rows or (isinstance(form, RowFormat) and form.sections != tuple(sections)):
        raise NoRoomError(f"the rows were {form.rows:,} of other connections: the new weights have {rows:,}")
    if isinstance(form, BitmapFormat):
        lengths = weights.lengths
    elif form.uniform:
        return _contents(weights, gaps_of(weights, sections), form)
    else:
        gaps = gaps_of(weights, sections)
        lengths = _entries_of_rows(
            weights, _bridges(gaps, Codes(levels=None, bits=form.code_bits, luts=0), form.index_bits)
        )
    require_room("the longest row", (1 << form.length_bits) - 1, int(lengths.max(initial=0)), "word")
    require_room("the memory 'entries'", form.entries, group_starts(lengths, form.group, form.align)[1], "word")
    if isinstance(form, BitmapFormat):
        return bitmap_contents(weights, form)
    return _contents(weights, gaps, form)


def _contents(weights: RowWeights, gaps: IntArray, form: RowFormat) -> RowContents:
    if form.uniform:
        return RowContents(rows=(), entries=tuple(code_of(form, weight) for weight in weights.dense().ravel().tolist()))
    choice = Codes(levels=form.levels, bits=form.code_bits, luts=0)
    bridges = _bridges(gaps, choice, form.index_bits)
    lengths = _entries_of_rows(weights, bridges)
    starts, _ = group_starts(lengths, form.group, form.align)
    entries = [0] * form.entries
    place = row_starts(lengths, starts, form.group)
    step = (1 << form.index_bits) - 1 if form.escapes else 1 << form.index_bits
    bridge = ((1 << form.index_bits) - 1) << form.code_bits
    previous = -1
    for row, weight, gap, count in zip(*(a.tolist() for a in (weights.row, weights.code, gaps, bridges)), strict=True):
        if row != previous:
            cursor, previous = int(place[row]), row
        entries[cursor : cursor + count] = [bridge] * count
        cursor += count
        entries[cursor] = code_of(form, weight) | (gap - count * step) << form.code_bits
        cursor += 1
    return RowContents(rows=directory_words(form, lengths, starts), entries=tuple(entries))

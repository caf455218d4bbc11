"""Weights to bitmap rows (`spikeloom.hdl.engines.bitmap_format`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...hdl.engines.bitmap_format import BitmapContents, BitmapFormat
from ..ir.arrays import IntArray
from .directory import (
    ALIGNMENTS,
    LEAST_USE,
    code_choices,
    code_of,
    directory_words,
    group_starts,
    row_starts,
)
from .row_weights import RowWeights

GROUPS = (1, 2, 4)
"""How many rows may share a word of the directory."""

MOST_CHUNK_BITS = 32
"""In more bits it takes too long to find the lowest that is set."""

CHUNK_BIT_LUTS, SPARED_LUTS = 4, 35
"""LUTs of the walker per bit of a chunk, and those of compressed rows' walker that it does without: sums of indices."""


def bitmap_forms(weights: RowWeights, weight_bits: int) -> Iterator[tuple[BitmapFormat, int]]:
    """Every format of bitmaps for weights that wastes few cycles on empty chunks and rows, with the LUTs
    that it takes beyond those of compressed rows."""
    count, post = weights.shape
    lengths = weights.lengths
    choices = list(code_choices(weights.code, weight_bits))
    for chunks in (1 << power for power in range((post - 1).bit_length())):
        form = BitmapFormat(
            rows=count,
            post=post,
            entries=1,
            chunk_bits=-(-post // chunks),
            weight_bits=weight_bits,
            code_bits=weight_bits,
            longest_row=max(1, int(lengths.max())),
        )
        if form.chunk_bits > MOST_CHUNK_BITS or form.row_chunks != chunks:
            continue
        if LEAST_USE * _beats(weights, form) > np.maximum(1, lengths).sum():
            continue
        luts = CHUNK_BIT_LUTS * form.chunk_bits - SPARED_LUTS
        for group in GROUPS:
            for align in ALIGNMENTS if group > 1 else (0,):
                entries = max(1, group_starts(lengths, group, align)[1])
                grouped = replace(form, entries=entries, group=group, align=align)
                sums = (group - 1) * 2 * form.length_bits
                for choice in choices:
                    coded = replace(grouped, levels=choice.levels, code_bits=choice.bits)
                    yield coded, choice.luts + luts + sums


def bitmap_contents(weights: RowWeights, form: BitmapFormat) -> BitmapContents:
    """The memories' contents in a format of `bitmap_forms`."""
    lengths = weights.lengths
    starts, _ = group_starts(lengths, form.group, form.align)
    entries = [0] * form.entries
    codes = [code_of(form, weight) for weight in weights.code.tolist()]
    ends = np.cumsum(lengths).tolist()
    for start, end, length in zip(
        row_starts(lengths, starts, form.group).tolist(), ends, lengths.tolist(), strict=True
    ):
        entries[start : start + length] = codes[end - length : end]
    masks = [0] * (form.rows * form.row_chunks)
    for chunk, bit in zip(_chunks(weights, form).tolist(), (weights.post % form.chunk_bits).tolist(), strict=True):
        masks[chunk] |= 1 << bit
    return BitmapContents(rows=directory_words(form, lengths, starts), masks=tuple(masks), entries=tuple(entries))


def chunk_posts(form: BitmapFormat, contents: BitmapContents, row: int) -> list[list[int]]:
    """The post neurons of each chunk of a row."""
    masks = contents.masks[row * form.row_chunks : (row + 1) * form.row_chunks]
    return [
        [number * form.chunk_bits + bit for bit in range(form.chunk_bits) if mask >> bit & 1]
        for number, mask in enumerate(masks)
    ]


def bitmap_beats(form: BitmapFormat, contents: BitmapContents) -> IntArray:
    """The cycles that every row takes, int64 (rows,)."""
    beats = np.array([max(1, mask.bit_count()) for mask in contents.masks], np.int64)
    per_row: IntArray = beats.reshape(form.rows, form.row_chunks).sum(axis=1)
    return per_row


def _chunks(weights: RowWeights, form: BitmapFormat) -> IntArray:
    """The number of the chunk of each weight, in the order of the masks."""
    return weights.row * form.row_chunks + weights.post // form.chunk_bits


def _beats(weights: RowWeights, form: BitmapFormat) -> int:
    """The cycles of all chunks."""
    full = len(np.unique(_chunks(weights, form)))
    return len(weights.code) + form.rows * form.row_chunks - full

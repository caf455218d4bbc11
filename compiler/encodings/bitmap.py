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

GROUPS = (1, 2, 4)
"""How many rows may share a word of the directory."""

MOST_CHUNK_BITS = 32
"""In more bits it takes too long to find the lowest that is set."""

CHUNK_BIT_LUTS, SPARED_LUTS = 4, 35
"""LUTs of the walker per bit of a chunk, and those of compressed rows' walker that it does without: sums of indices."""


def bitmap_forms(codes: IntArray, weight_bits: int) -> Iterator[tuple[BitmapFormat, int]]:
    """Every format of bitmaps for weights [rows, post] that wastes few cycles on empty chunks and rows, with the LUTs
    that it takes beyond those of compressed rows."""
    count, post = codes.shape
    lengths = np.count_nonzero(codes, axis=1).astype(np.int64)
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
        if LEAST_USE * _beats(codes, form).sum() > np.maximum(1, lengths).sum():
            continue
        luts = CHUNK_BIT_LUTS * form.chunk_bits - SPARED_LUTS
        for group in GROUPS:
            for align in ALIGNMENTS if group > 1 else (0,):
                entries = max(1, group_starts(lengths, group, align)[1])
                grouped = replace(form, entries=entries, group=group, align=align)
                sums = (group - 1) * 2 * form.length_bits
                for choice in code_choices(codes, weight_bits):
                    coded = replace(grouped, levels=choice.levels, code_bits=choice.bits)
                    yield coded, choice.luts + luts + sums


def bitmap_contents(codes: IntArray, form: BitmapFormat) -> BitmapContents:
    """The memories' contents in a format of `bitmap_forms`."""
    lengths = np.count_nonzero(codes, axis=1).astype(np.int64)
    starts, _ = group_starts(lengths, form.group, form.align)
    entries = [0] * form.entries
    for row, start in zip(codes, row_starts(lengths, starts, form.group).tolist(), strict=True):
        kept = [code_of(form, weight) for weight in row[row != 0].tolist()]
        entries[start : start + len(kept)] = kept
    return BitmapContents(
        rows=directory_words(form, lengths, starts),
        masks=tuple(sum(1 << bit for bit in np.flatnonzero(chunk).tolist()) for chunk in _chunks(codes, form)),
        entries=tuple(entries),
    )


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


def _chunks(codes: IntArray, form: BitmapFormat) -> IntArray:
    """The weights [chunks, cells] in the order of the masks."""
    padding = form.row_chunks * form.chunk_bits - form.post
    return np.pad(codes, ((0, 0), (0, padding))).reshape(-1, form.chunk_bits)


def _beats(codes: IntArray, form: BitmapFormat) -> IntArray:
    """The cycles of every chunk."""
    return np.maximum(1, np.count_nonzero(_chunks(codes, form), axis=1))

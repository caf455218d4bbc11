"""What rows of every encoding are made of: codes of weights, groups of rows, and the words of a directory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...hdl.engines.row_format import StoredRows
from ..ir.arrays import IntArray

ALIGNMENTS = (0, 1, 2)

LEAST_USE = 0.9
"""The least share of beats that are synapses: an engine takes a cycle for every entry, and for an empty chunk."""


@dataclass(frozen=True)
class Codes:
    """How weights become codes: `levels` as in RowFormat, `bits` of a code, LUTs of the decoder."""

    levels: tuple[int, ...] | None
    bits: int
    luts: int


def code_choices(codes: IntArray, weight_bits: int) -> Iterator[Codes]:
    """The weights themselves, `codes` that are not 0, and the numbers of their levels where those are narrower."""
    yield Codes(levels=None, bits=weight_bits, luts=0)
    levels = np.unique(codes).tolist()
    bits = max(1, (len(levels) - 1).bit_length()) if levels else 1
    if levels and bits < weight_bits:
        padded = (*levels, *[levels[-1]] * ((1 << bits) - len(levels)))
        yield Codes(levels=tuple(padded), bits=bits, luts=weight_bits * max(1, 1 << max(0, bits - 4)))


def code_of(form: StoredRows, weight: int) -> int:
    if form.levels is not None:
        return form.levels.index(weight)
    return weight & ((1 << form.code_bits) - 1)


def weight_of(form: StoredRows, code: int) -> int:
    if form.levels is not None:
        return form.levels[code]
    return code - ((code >> (form.code_bits - 1)) << form.code_bits)


def group_starts(lengths: IntArray, group: int, align: int) -> tuple[IntArray, int]:
    """The first entry of every group of rows, and the number of entries with the gaps that alignment leaves."""
    padded = np.concatenate([lengths, np.zeros(-len(lengths) % group, np.int64)])
    sizes = padded.reshape(-1, group).sum(axis=1)
    aligned = (sizes + (1 << align) - 1) >> align << align
    ends = np.cumsum(aligned)
    return ends - aligned, int((ends - aligned + sizes)[sizes > 0].max(initial=0))


def row_starts(lengths: IntArray, starts: IntArray, group: int) -> IntArray:
    """The first entry of every row, from those of the groups."""
    padded = np.concatenate([lengths, np.zeros(-len(lengths) % group, np.int64)]).reshape(-1, group)
    before = (np.cumsum(padded, axis=1) - padded).ravel()[: len(lengths)]
    first: IntArray = np.repeat(starts, group)[: len(lengths)] + before
    return first


def directory_words(form: StoredRows, lengths: IntArray, starts: IntArray) -> tuple[int, ...]:
    """A word per group: its start, and as many lengths of its rows as it stores."""
    words = []
    for group, start in enumerate(starts.tolist()):
        word = min(start, form.entries - 1) >> form.align  # an empty group at the very end points anywhere
        first = group * form.group
        for number, length in enumerate(lengths[first : first + form.stored_lengths].tolist()):
            word |= length << (form.base_bits + number * form.length_bits)
        words.append(word)
    return tuple(words)


def find_in_directory(form: StoredRows, words: tuple[int, ...], row: int) -> tuple[int, list[int]]:
    """The first entry of a row, and the lengths of the rows of its group from its own on, as far as they are there."""
    group, place = divmod(row, form.group)
    word = words[group]
    lengths = [
        (word >> (form.base_bits + number * form.length_bits)) & ((1 << form.length_bits) - 1)
        for number in range(form.stored_lengths)
    ]
    return ((word & ((1 << form.base_bits) - 1)) << form.align) + sum(lengths[:place]), lengths[place:]

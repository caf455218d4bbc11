"""Weights to memory words: compressed rows with a relative index (see `spikeloom.hdl.rows` for the format)."""

from __future__ import annotations

import numpy as np

from ..hdl.memory import Family
from ..hdl.rows import RowFormat, RowImage
from .ir import IntArray

Entry = tuple[int, int]
"""(relative index, weight)"""


def encode_rows(codes: IntArray, weight_bits: int, family: Family) -> tuple[RowFormat, RowImage]:
    """The rows of integer weights [pre, post] in the encoding with the fewest block RAMs, then the fewest entries.

    An index of 0 bits stores a row densely up to its last weight; a wider one skips zeros.
    """
    post = codes.shape[1]
    candidates = []
    for index_bits in range((post - 1).bit_length() + 1):
        rows = [_encode_row(row, index_bits) for row in codes]
        form = RowFormat(
            pre=codes.shape[0],
            post=post,
            entries=max(1, sum(map(len, rows))),
            index_bits=index_bits,
            weight_bits=weight_bits,
            longest_row=max(map(len, rows)),
        )
        brams = form.row_memory(family).brams + form.entry_memory(family).brams
        candidates.append((brams, form.entries, index_bits, form, rows))
    *_, form, rows = min(candidates, key=lambda candidate: candidate[:3])
    return form, _image(form, rows)


def decode_rows(form: RowFormat, image: RowImage) -> IntArray:
    """The integer weights [pre, post] that `encode_rows` stored."""
    codes = np.zeros((form.pre, form.post), np.int64)
    for pre, word in enumerate(image.rows):
        start, length = word & ((1 << form.start_bits) - 1), word >> form.start_bits
        post = -1
        for entry in image.entries[start : start + length]:
            post += (entry >> form.weight_bits) + 1
            weight = entry & ((1 << form.weight_bits) - 1)
            codes[pre, post] += weight - ((weight >> (form.weight_bits - 1)) << form.weight_bits)
    return codes


def _encode_row(row: IntArray, index_bits: int) -> list[Entry]:
    reach = 1 << index_bits
    entries: list[Entry] = []
    previous = -1
    for post in np.flatnonzero(row):
        bridges, index = divmod(int(post) - previous - 1, reach)
        entries += [(reach - 1, 0)] * bridges
        entries.append((index, int(row[post])))
        previous = int(post)
    return entries


def _image(form: RowFormat, rows: list[list[Entry]]) -> RowImage:
    mask = (1 << form.weight_bits) - 1
    row_words: list[int] = []
    entry_words: list[int] = []
    for row in rows:
        start = min(len(entry_words), form.entries - 1)  # an empty row at the very end points at the last entry
        row_words.append(start | len(row) << form.start_bits)
        entry_words += [(weight & mask) | index << form.weight_bits for index, weight in row]
    return RowImage(rows=tuple(row_words), entries=tuple(entry_words))

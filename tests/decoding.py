"""What the weights in memories stand for, read back without the hardware."""

from __future__ import annotations

import numpy as np
from spikeloom.compiler.encodings.bitmap import chunk_posts
from spikeloom.compiler.encodings.directory import find_in_directory, weight_of
from spikeloom.compiler.encodings.rows import find_row, first_post
from spikeloom.compiler.ir.arrays import IntArray
from spikeloom.hdl.engines.bitmap_format import BitmapContents, BitmapFormat
from spikeloom.hdl.engines.engine import Rows, RowsContents
from spikeloom.hdl.engines.row_format import RowContents
from spikeloom.hdl.engines.vector import VectorContents, VectorFormat


def decode_rows(form: Rows, contents: RowsContents) -> IntArray:
    """The integer weights [rows, post] that `encode_rows` stored."""
    if isinstance(form, BitmapFormat):
        assert isinstance(contents, BitmapContents)
        return decode_bitmap(form, contents)
    assert isinstance(contents, RowContents)
    codes = np.zeros((form.rows, form.post), np.int64)
    for row in range(form.rows):
        start, length = find_row(form, contents, row)
        post = first_post(form, row)
        for entry in contents.entries[start : start + length]:
            index, code = entry >> form.code_bits, entry & ((1 << form.code_bits) - 1)
            post += index
            if form.escapes and index == (1 << form.index_bits) - 1:
                continue
            codes[row, post] += weight_of(form, code)
            post += 1
    return codes


def decode_bitmap(form: BitmapFormat, contents: BitmapContents) -> IntArray:
    """The integer weights [rows, post] that `bitmap_contents` stored."""
    codes = np.zeros((form.rows, form.post), np.int64)
    for row in range(form.rows):
        start, _ = find_in_directory(form, contents.rows, row)
        posts = [post for chunk in chunk_posts(form, contents, row) for post in chunk]
        for post, entry in zip(posts, contents.entries[start : start + len(posts)], strict=True):
            codes[row, post] = weight_of(form, entry)
    return codes


def decode_vector(form: VectorFormat, contents: VectorContents) -> IntArray:
    """The integer weights [pre, post] that `encode_vector` stored."""
    bits, posts = form.neurons.weight_bits, form.neurons.neurons
    codes = np.zeros((form.pre, posts), np.int64)
    for pre in range(form.pre):
        row, bank = divmod(pre, form.banks)
        words = contents.weights[bank][row * form.row_beats : (row + 1) * form.row_beats]
        for post in range(posts):
            part, lane = divmod(post, form.lanes)
            weight = words[part] >> (lane * bits) & ((1 << bits) - 1)
            codes[pre, post] = weight - (weight >> (bits - 1) << bits)
    return codes

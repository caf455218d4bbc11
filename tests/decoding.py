"""What the weights in memories stand for, read back without the hardware."""

from __future__ import annotations

import numpy as np
from spikeloom.compiler.encodings.bitmap import chunk_posts
from spikeloom.compiler.encodings.directory import find_in_directory, weight_of
from spikeloom.compiler.encodings.rows import find_row, first_post
from spikeloom.compiler.ir.arrays import IntArray
from spikeloom.hdl.engines.bitmap_format import BitmapFormat, BitmapImage
from spikeloom.hdl.engines.engine import Rows, RowsImage
from spikeloom.hdl.engines.row_format import RowImage
from spikeloom.hdl.engines.vector import VectorFormat, VectorImage


def decode_rows(form: Rows, image: RowsImage) -> IntArray:
    """The integer weights [rows, post] that `encode_rows` stored."""
    if isinstance(form, BitmapFormat):
        assert isinstance(image, BitmapImage)
        return decode_bitmap(form, image)
    assert isinstance(image, RowImage)
    codes = np.zeros((form.rows, form.post), np.int64)
    for row in range(form.rows):
        start, length = find_row(form, image, row)
        post = first_post(form, row)
        for entry in image.entries[start : start + length]:
            index, code = entry >> form.code_bits, entry & ((1 << form.code_bits) - 1)
            post += index
            if form.escapes and index == (1 << form.index_bits) - 1:
                continue
            codes[row, post] += weight_of(form, code)
            post += 1
    return codes


def decode_bitmap(form: BitmapFormat, image: BitmapImage) -> IntArray:
    """The integer weights [rows, post] that `bitmap_image` stored."""
    codes = np.zeros((form.rows, form.post), np.int64)
    for row in range(form.rows):
        start, _ = find_in_directory(form, image.rows, row)
        posts = [post for chunk in chunk_posts(form, image, row) for post in chunk]
        for post, entry in zip(posts, image.entries[start : start + len(posts)], strict=True):
            codes[row, post] = weight_of(form, entry)
    return codes


def decode_vector(form: VectorFormat, image: VectorImage) -> IntArray:
    """The integer weights [pre, post] that `encode_vector` stored."""
    bits, posts = form.neurons.weight_bits, form.neurons.neurons
    codes = np.zeros((form.pre, posts), np.int64)
    for pre in range(form.pre):
        row, bank = divmod(pre, form.banks)
        words = image.weights[bank][row * form.row_beats : (row + 1) * form.row_beats]
        for post in range(posts):
            part, lane = divmod(post, form.lanes)
            weight = words[part] >> (lane * bits) & ((1 << bits) - 1)
            codes[pre, post] = weight - (weight >> (bits - 1) << bits)
    return codes

"""What a row walker reads of each row, beat by beat."""

from __future__ import annotations

from ...hdl.engines.bitmap_format import BitmapContents, BitmapFormat
from ...hdl.engines.engine import Rows, RowsContents
from ...hdl.engines.row_format import RowContents, RowFormat
from ..encodings.bitmap import chunk_posts
from ..encodings.rows import find_row, first_post

Posts = list[int | None]
"""The post neuron of each entry of a row; None for a beat without one: a bridged gap, a chunk without synapses."""


def posts_of(form: Rows, contents: RowsContents) -> tuple[Posts, ...]:
    """The posts of each row, or of each chunk of each row."""
    if isinstance(form, RowFormat) and isinstance(contents, RowContents):
        return tuple(_posts(form, contents, row) for row in range(form.rows))
    assert isinstance(form, BitmapFormat)
    assert isinstance(contents, BitmapContents)
    return tuple([*chunk] or [None] for row in range(form.rows) for chunk in chunk_posts(form, contents, row))


def _posts(form: RowFormat, contents: RowContents, row: int) -> Posts:
    posts: Posts = []
    start, length = find_row(form, contents, row)
    post = first_post(form, row)
    for entry in contents.entries[start : start + length]:
        index = entry >> form.code_bits
        post += index
        if form.escapes and index == (1 << form.index_bits) - 1:
            posts.append(None)
        else:
            posts.append(post)
            post += 1
    return posts

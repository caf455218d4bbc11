"""Weights row by row: of a matrix only those that are not 0, as most of a sparse network's are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..ir.arrays import IntArray
from ..ir.bounds import signed_bits


@dataclass(frozen=True, eq=False, kw_only=True)
class RowWeights:
    """Integer weights [rows, post] of a `shape`: `row`, `post` and `code` of each that is not 0, int64, in the order of
    rows and within a row of post neurons."""

    shape: tuple[int, int]
    row: IntArray
    post: IntArray
    code: IntArray

    @classmethod
    def of(cls, codes: IntArray) -> RowWeights:
        """Those of a matrix."""
        row, post = (axis.astype(np.int64) for axis in np.nonzero(codes))
        return cls(shape=(codes.shape[0], codes.shape[1]), row=row, post=post, code=codes[row, post].astype(np.int64))

    @cached_property
    def lengths(self) -> IntArray:
        """How many there are in each row, int64."""
        return np.bincount(self.row, minlength=self.shape[0]).astype(np.int64)

    @property
    def cells(self) -> int:
        """Weights, zeros among them."""
        return self.shape[0] * self.shape[1]

    @property
    def is_full(self) -> bool:
        """Whether none is 0."""
        return len(self.code) == self.cells

    def dense(self) -> IntArray:
        """The matrix, int64."""
        codes = np.zeros(self.shape, np.int64)
        codes[self.row, self.post] = self.code
        return codes

    def of_posts(self, chosen: IntArray) -> RowWeights:
        """Those of some post neurons, in this order."""
        place = np.full(self.shape[1], -1, np.int64)
        place[chosen] = np.arange(len(chosen))
        kept = place[self.post] >= 0
        row, post, code = self.row[kept], place[self.post[kept]], self.code[kept]
        return added_up((self.shape[0], len(chosen)), [row], [post], [code])

    def sum_bits(self, x_max: int | IntArray) -> int:
        """The width of every sum of weights times inputs of one step, one for each row, of which `x_max` is the largest
        value of each, or of all."""
        largest = np.broadcast_to(np.asarray(x_max, np.int64), self.shape[:1])[self.row]
        low, high = np.zeros((2, self.shape[1]), np.int64)
        np.add.at(low, self.post, np.minimum(self.code, 0) * largest)
        np.add.at(high, self.post, np.maximum(self.code, 0) * largest)
        return signed_bits(int(low.min()), int(high.max()))


def added_up(
    shape: tuple[int, int], rows: Sequence[IntArray], posts: Sequence[IntArray], codes: Sequence[IntArray]
) -> RowWeights:
    """Weights of several parts that come in any order; those of the same row and post neuron are added."""
    row, post, code = (np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (rows, posts, codes))
    place, first = np.unique(row * shape[1] + post, return_inverse=True)
    total = np.zeros(len(place), np.int64)
    np.add.at(total, first, code)
    kept = total != 0
    row, post = np.divmod(place[kept], shape[1])
    return RowWeights(shape=shape, row=row, post=post, code=total[kept])

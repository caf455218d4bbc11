"""How a projection that shares weights reads its map: the rows that are stored, and where along an axis they are added.

A row is that of (kernel row, kernel column, pre channel); of a matrix behind a pooling that of (row, column, channel)
of what is pooled. Sums over windows, before or behind the weights, are more taps of the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..encodings.taps import Parts
from ..ir.arrays import IntArray
from ..ir.connectivity import Connectivity
from ..ir.convolution import Convolution
from ..ir.maps import MapShape, Window
from ..ir.pooled import Pooled
from ..ir.pooling import Pooling

Taps = list[list[tuple[int, int]]]
"""For each place along an axis the cells of the kernel by which it is seen, and the positions from which."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The parts of a connectivity that shares weights: the pooling before its weights, and what is `behind`."""

    before: Pooling | None
    behind: Connectivity

    @classmethod
    def of(cls, connectivity: Connectivity) -> Reading:
        if isinstance(connectivity, Pooled):
            return cls(connectivity.pooling, connectivity.behind)
        return cls(None, connectivity)

    @property
    def pool(self) -> Pooling | None:
        """The pooling of spikes by maxima, which is no matter of taps."""
        return None if self.before is None or self.before.is_linear else self.before

    @property
    def sum_pool(self) -> Pooling | None:
        """The pooling of sums by maxima, which is none either."""
        after = self._after
        return None if after is None or after.is_linear else after

    @property
    def read(self) -> MapShape:
        """The map whose places have taps: that of the pre neurons, or what is pooled of them by maxima."""
        if self.before is not None:
            return self.before.pre_shape if self.pool is None else self.before.post_shape
        assert self.behind.pre_map is not None
        return self.behind.pre_map

    @property
    def written(self) -> MapShape | None:
        """The map that taps lead to: that of the post neurons, or of the sums that are pooled by maxima."""
        if not isinstance(self.behind, Convolution):
            return None
        return self.behind.post_shape if self.sum_pool is None else self.behind.sum_shape

    def rows(self, codes: IntArray, channels_apart: int, order: IntArray | None) -> tuple[IntArray, int, int]:
        """The rows of `codes`, and how many rows apart neighbouring kernel rows and kernel columns are.

        Of a convolution post channels lie `channels_apart` from each other, of a matrix post neurons in `order`.
        """
        if isinstance(self.behind, Convolution):
            channels = self.behind.pre_shape[0]
            return _kernel_rows(self.behind, codes, channels_apart), codes.shape[3] * channels, channels
        assert self.before is not None
        channels, rows, columns = self.before.post_shape
        matrix = codes if order is None else codes[:, order]
        by_place = matrix.reshape(channels, rows * columns, -1).transpose(1, 0, 2)
        return by_place.reshape(len(matrix), -1), columns * channels, channels

    def taps(self, axis: int) -> Taps:
        """The taps along an axis (0 for rows, 1 for columns) of the map that it reads."""
        if not isinstance(self.behind, Convolution):
            assert self.before is not None
            taps: Taps = [[(place, 0)] for place in range(self.before.post_shape[1 + axis])]
        else:
            taps = _window_taps(self.behind.window, axis, self.behind.pre_shape, self.behind.sum_shape)
            if self._after is not None and self.sum_pool is None:
                pooled = pooling_taps(self._after, axis)
                taps = [[(cell, to) for cell, place in of_place for _, to in pooled[place]] for of_place in taps]
        if self.before is None or self.pool is not None:
            return taps
        return [[tap for _, place in of_place for tap in taps[place]] for of_place in pooling_taps(self.before, axis)]

    @property
    def _after(self) -> Pooling | None:
        return self.behind.pool_after if isinstance(self.behind, Convolution) else None


def pooling_taps(pooling: Pooling, axis: int) -> Taps:
    """The cells of a window by which each place of a map that is pooled is seen, and the windows."""
    return _window_taps(pooling.window, axis, pooling.pre_shape, pooling.post_shape)


def window_cells(pooling: Pooling, axis: int) -> list[list[int]]:
    """The places of the pre map in each window."""
    cells: list[list[int]] = [[] for _ in range(pooling.post_shape[1 + axis])]
    for place, seen in enumerate(pooling_taps(pooling, axis)):
        for _, position in seen:
            cells[position].append(place)
    return cells


def axis_parts(
    taps: Sequence[Sequence[tuple[int, int]]], apart: tuple[int, int], base: tuple[int, int] = (0, 0)
) -> Parts:
    """The parts of taps along an axis, where neighbouring cells are so many rows `apart`, and positions neurons."""
    return tuple(
        tuple((base[0] + cell * apart[0], base[1] + position * apart[1]) for cell, position in of_place)
        for of_place in taps
    )


def _kernel_rows(convolution: Convolution, codes: IntArray, channels_apart: int) -> IntArray:
    """The weights of a kernel [row of (row, column, pre channel), where post channels lie]."""
    posts, of_group, rows, columns = codes.shape
    result = np.zeros((rows, columns, convolution.pre_shape[0], (posts - 1) * channels_apart + 1), np.int64)
    for post in range(posts):
        first = post * convolution.groups // posts * of_group
        result[:, :, first : first + of_group, post * channels_apart] = codes[post].transpose(1, 2, 0)
    return result.reshape(-1, result.shape[-1])


def _window_taps(window: Window, axis: int, over: MapShape, positions: MapShape) -> Taps:
    """The cells of a window by which each place of a map is seen, and the positions from which."""
    return [list(_seen_by(window, axis, place, positions[1 + axis])) for place in range(over[1 + axis])]


def _seen_by(window: Window, axis: int, place: int, positions: int) -> Iterator[tuple[int, int]]:
    for cell in range(window.size[axis]):
        position, beside = divmod(place + window.padding[axis][0] - cell * window.dilation[axis], window.stride[axis])
        if not beside and 0 <= position < positions:
            yield cell, position

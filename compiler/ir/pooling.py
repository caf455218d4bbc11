"""Pooling: the sum or the maximum of each window of a map, channel by channel.

It stands before the weights of a projection, over the spikes of its pre neurons (`pooled.Pooled`), or behind a
convolution, over its sums (`Convolution.pool_after`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from .maps import MapShape, Padding, Pair, Window, map_problem, size_of

Array = npt.NDArray[Any]


class PoolKind(StrEnum):
    """What is taken of a window."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """The sum or the maximum over windows of each channel of a map `pre_shape`.

    What surrounds the map adds nothing to a sum and is absent from a maximum. Windows that reach beyond the map at its
    end (torch's `ceil_mode`) are padding below and on the right.
    """

    kind: PoolKind
    pre_shape: MapShape
    kernel: Pair
    stride: Pair
    padding: Padding = ((0, 0), (0, 0))

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding)

    @property
    def post_shape(self) -> MapShape:
        """The map of what it gives."""
        return (self.pre_shape[0], *self.window.positions(*self.pre_shape[1:]))

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of what goes in and of what comes out."""
        return size_of(self.pre_shape), size_of(self.post_shape)

    @property
    def is_linear(self) -> bool:
        return self.kind is PoolKind.SUM

    @property
    def has_whole_windows(self) -> bool:
        """Whether every window is over the map with all its cells."""
        down, across = self.post_shape[1:]
        last = (down - 1) * self.stride[0] + self.kernel[0], (across - 1) * self.stride[1] + self.kernel[1]
        (above, _), (left, _) = self.padding
        return not above and not left and last[0] <= self.pre_shape[1] and last[1] <= self.pre_shape[2]

    def __call__(self, values: Array) -> Array:
        """[..., post] of `values` [..., pre]. Sums of spikes are in int32."""
        maps = values.reshape(-1, *self.pre_shape) if values.size else values.reshape(0, *self.pre_shape)
        if self.kind is PoolKind.SUM:
            maps = maps.astype(np.int32) if maps.dtype.kind in "bu" else maps
        fill = 0 if self.kind is PoolKind.SUM else _lowest(maps.dtype)
        patches = self.window.patches(maps, fill)
        join: np.ufunc = np.add if self.kind is PoolKind.SUM else np.maximum
        pooled = reduce(join, (patches[..., i, j, :, :] for i, j in self.window.cells()))
        return np.asarray(pooled).reshape(*values.shape[:-1], size_of(self.post_shape))

    def cells(self) -> npt.NDArray[np.int64]:
        """The inputs in each window, [post, cells]; -1 beyond the map."""
        numbers = np.arange(size_of(self.pre_shape)).reshape(self.pre_shape)
        seen = np.moveaxis(self.window.patches(numbers, -1), (1, 2), (-2, -1))
        return seen.reshape(size_of(self.post_shape), -1)

    def spread(self, values: Array) -> Array:
        """What stands for each input in `values` [..., post] of all windows that it is in, summed: [..., pre]."""
        maps = values.reshape(-1, *self.post_shape)
        patches = np.broadcast_to(maps[:, :, None, None], (*maps.shape[:2], *self.kernel, *maps.shape[2:]))
        placed = self.window.placed(patches, *self.pre_shape[1:])
        return placed.reshape(*values.shape[:-1], size_of(self.pre_shape))

    def problem(self) -> str | None:
        """Why its windows do not suit its map, or None."""
        found = map_problem("pooling", self.pre_shape) or self.window.problem("pooling window", *self.pre_shape[1:])
        if found is not None:
            return found
        for size, length, (before, _), stride, count in zip(
            self.kernel, self.pre_shape[1:], self.padding, self.stride, self.post_shape[1:], strict=True
        ):
            if before >= size or (count - 1) * stride >= length + before:
                return (
                    f"every pooling window has a cell over the map: {self.kernel[0]} x {self.kernel[1]} with stride "
                    f"{self.stride} and padding {self.padding} has not over {self.pre_shape[1]} x {self.pre_shape[2]}"
                )
        return None


def _lowest(dtype: np.dtype[Any]) -> Any:
    """What no maximum is below."""
    if dtype.kind == "f":
        return dtype.type(-np.inf)
    return np.False_ if dtype.kind == "b" else dtype.type(np.iinfo(dtype).min)

"""Maps of neurons, (channels, rows, columns), and windows that move over them.

The neurons of a map are numbered row-major: (channel, row, column) is channel * rows * columns + row * columns +
column. What is one-dimensional is a map of one row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

Pair = tuple[int, int]
"""Something for rows and for columns."""

MapShape = tuple[int, int, int]
"""Channels, rows, columns."""

Padding = tuple[Pair, Pair]
"""What is added (above, below) and (left, right) of a map."""


MAX_CELLS = 1 << 24


@dataclass(frozen=True)
class Window:
    """A window over the rows and columns of a map: its cells, how far it moves, and what surrounds the map.

    Cell (i, j) of the window at position (y, x) is over row y * stride + i * dilation - padding above, and so for
    columns. Positions are those at which the whole window is over the padded map.
    """

    size: Pair
    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    @property
    def extent(self) -> Pair:
        """The rows and columns from its first cell to its last."""
        rows, columns = ((size - 1) * step + 1 for size, step in zip(self.size, self.dilation, strict=True))
        return rows, columns

    def positions(self, rows: int, columns: int) -> Pair:
        """How often it fits below and beside itself over a map."""
        down, across = (
            (length + sum(around) - extent) // stride + 1
            for length, around, extent, stride in zip(
                (rows, columns), self.padding, self.extent, self.stride, strict=True
            )
        )
        return down, across

    def patches(self, maps: Array, fill: Any = 0) -> Array:
        """What each cell sees at each position, a view [..., cell row, cell column, y, x] of `maps` [..., y, x]."""
        padded = np.pad(maps, (*((0, 0),) * (maps.ndim - 2), *self.padding), constant_values=fill)
        seen = np.lib.stride_tricks.sliding_window_view(padded, self.extent, axis=(-2, -1))
        seen = seen[..., :: self.stride[0], :: self.stride[1], :: self.dilation[0], :: self.dilation[1]]
        return np.moveaxis(seen, (-2, -1), (-4, -3))

    def placed(self, patches: Array, rows: int, columns: int) -> Array:
        """The sum, cell by cell of a map, of what `patches` holds for it: the transpose of looking at it."""
        (above, below), (left, right) = self.padding
        result = np.zeros((*patches.shape[:-4], rows + above + below, columns + left + right), patches.dtype)
        down, across = patches.shape[-2:]
        for i, j in self.cells():
            y, x = i * self.dilation[0], j * self.dilation[1]
            last = y + (down - 1) * self.stride[0] + 1, x + (across - 1) * self.stride[1] + 1
            result[..., y : last[0] : self.stride[0], x : last[1] : self.stride[1]] += patches[..., i, j, :, :]
        return result[..., above : above + rows, left : left + columns]

    def cells(self) -> Iterator[Pair]:
        """Its cells, row by row."""
        return iter(np.ndindex(*self.size))

    def problem(self, what: str, rows: int, columns: int) -> str | None:
        """Why it cannot move over a map, or None."""
        for name, pair, least in (("size", self.size, 1), ("stride", self.stride, 1), ("dilation", self.dilation, 1)):
            if not _whole_pair(pair, least):
                return f"the {name} of a {what} is two whole numbers of 1 or more: got {pair}"
        if len(self.padding) != 2 or not all(_whole_pair(pair, 0) for pair in self.padding):
            return f"the padding of a {what} is (above, below), (left, right), 0 or more: got {self.padding}"
        padded = rows + sum(self.padding[0]), columns + sum(self.padding[1])
        if math.prod(padded) > MAX_CELLS:
            return f"a map has at most {MAX_CELLS} cells: with its padding, that of a {what} has {math.prod(padded)}"
        if self.extent[0] > padded[0] or self.extent[1] > padded[1]:
            return (
                f"a {what} is no larger than the map with its padding: it covers {self.extent[0]} x {self.extent[1]} "
                f"of {padded[0]} x {padded[1]}"
            )
        return None


def map_problem(what: str, shape: Any) -> str | None:
    """Why this is no shape of a map that `what` works on, or None."""
    if not (isinstance(shape, tuple) and len(shape) == 3 and all(_whole(n, 1) for n in shape)):
        return f"a {what} works on a map (channels, rows, columns): got {shape}"
    if math.prod(shape) > MAX_CELLS:
        return f"a map has at most {MAX_CELLS} cells: that of a {what} has {math.prod(shape)}"
    return None


def as_map(shape: tuple[int, ...]) -> MapShape | None:
    """The map that a population's shape describes: (channels, length) is one of one row; None for any other."""
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def size_of(shape: MapShape) -> int:
    """The neurons of a map."""
    return math.prod(shape)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def _whole_pair(pair: Any, least: int) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and all(_whole(value, least) for value in pair)

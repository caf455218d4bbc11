"""The weights of all projections into a population as one matrix, whatever their connectivities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import IntArray
from .connectivity import Connectivity

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Place:
    """Where the columns of one connectivity stand: column g in column `group[g]`, in the slot `slot[g]` of its rows."""

    connectivity: Connectivity
    group: IntArray
    slot: IntArray

    @property
    def slots(self) -> int:
        return int(self.slot.max()) + 1

    def laid(self, columns: Array, groups: int) -> Array:
        """[slots * fan-in, groups] of [fan-in, own groups]; zeros where a column has no slot."""
        if np.array_equal(self.group, np.arange(groups)):
            return columns
        result = np.zeros((self.slots, len(columns), groups), columns.dtype)
        result[self.slot, :, self.group] = columns.T
        return result.reshape(-1, groups)

    def taken(self, rows: Array) -> Array:
        """What `laid` made of the columns, back."""
        groups = rows.shape[1]
        if np.array_equal(self.group, np.arange(groups)):
            return rows
        return rows.reshape(self.slots, -1, groups)[self.slot, :, self.group].T


@dataclass(frozen=True, eq=False)
class Columns:
    """The weights into one population, a column for each group of neurons that share a scale.

    Neurons that share weights in any of the projections share a group: `groups` (n,) says which. A column holds the
    weights into its group, projection after projection; where the groups of one projection are smaller, their columns
    stand one below the other, filled up with zeros.
    """

    groups: IntArray
    places: tuple[_Place, ...]

    @classmethod
    def of(cls, connectivities: Sequence[Connectivity]) -> Columns:
        own = [c.scale_groups() for c in connectivities]
        groups = _joined(own)
        return cls(groups, tuple(_place(c, g, groups) for c, g in zip(connectivities, own, strict=True)))

    @property
    def count(self) -> int:
        return int(self.groups.max()) + 1

    def laid(self, columns: Sequence[Array]) -> Array:
        """One matrix [fan-in, groups] of the `columns` of each connectivity."""
        return np.concatenate([p.laid(c, self.count) for p, c in zip(self.places, columns, strict=True)])

    def stacked(self, values: Sequence[Array]) -> Array:
        """One matrix [fan-in, groups] of an array per connectivity, in its own form."""
        return self.laid([p.connectivity.columns(v) for p, v in zip(self.places, values, strict=True)])

    def split(self, matrix: Array) -> list[Array]:
        """The arrays of which `stacked` made `matrix`."""
        sizes = [p.slots * len(p.connectivity.columns(p.connectivity.values)) for p in self.places]
        parts = np.split(matrix, np.cumsum(sizes)[:-1])
        return [p.connectivity.from_columns(p.taken(part)) for p, part in zip(self.places, parts, strict=True)]

    def joined(self, values: Array, join: np.ufunc) -> Array:
        """One value per group (groups,) of one per neuron (n,)."""
        order = np.argsort(self.groups, kind="stable")
        return join.reduceat(values[order], np.searchsorted(self.groups[order], np.arange(self.count)))

    def spread(self, values: Array) -> Array:
        """One value per neuron (n,) of one per group (groups,)."""
        return values[self.groups]


def _joined(partitions: Sequence[IntArray]) -> IntArray:
    """The finest partition in which neurons that stand together in any of these stand together."""
    label = np.arange(len(partitions[0]))
    while True:
        before = label
        for groups in partitions:
            lowest = np.full(int(groups.max()) + 1, len(groups))
            np.minimum.at(lowest, groups, label)
            label = lowest[groups]
        if np.array_equal(before, label):
            return np.unique(label, return_inverse=True)[1].reshape(-1)


def _place(connectivity: Connectivity, own: IntArray, groups: IntArray) -> _Place:
    first = np.unique(own, return_index=True)[1]
    group = groups[first]
    order = np.argsort(group, kind="stable")
    slot = np.empty_like(group)
    slot[order] = np.arange(len(group)) - np.searchsorted(group[order], group[order])
    return _Place(connectivity, group, slot)

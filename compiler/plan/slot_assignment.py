"""Which neurons share a group of a slotted engine: those that rarely hear the same input."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import numpy.typing as npt

from ..ir.arrays import IntArray
from ..ir.network import Network

EXCHANGES = 6_000
"""How many exchanges of two neurons are tried at most."""

_KNOWN: dict[bytes, IntArray] = {}
"""Orders that were found, by what they follow from: foldings are weighed, planned and counted in turn."""


def slot_order(network: Network, name: str, groups: int, replicas: int) -> IntArray:
    """The neurons of a population in the order in which they lie in groups of a slotted engine in turn, int64.

    Each of `groups` has `replicas` slots. A row has as many words as the fullest slots have synapses: neurons are dealt
    out, most synapses first, to where they make fewest words, then exchanged where that makes fewer. The output of the
    network keeps its order, as it is what the core's output addresses say, and so does what is in one group.
    """
    size = network.size_of(name)
    if groups == 1 or name == network.output:
        return np.arange(size, dtype=np.int64)
    hears = np.concatenate([p.connectivity.codes != 0 for p in network.projections_into(name)])
    key = sha256(np.packbits(hears).tobytes() + repr((hears.shape, groups, replicas)).encode()).digest()
    if key not in _KNOWN:
        _KNOWN[key] = _ordered(hears, groups, replicas)
    return _KNOWN[key]


def _ordered(hears: npt.NDArray[np.bool_], groups: int, replicas: int) -> IntArray:
    rows = [np.flatnonzero(column) for column in hears.T]
    group_of, counts = _dealt(rows, hears.shape[0], groups, replicas)
    _exchanged(hears, group_of, counts, replicas)
    members = [np.flatnonzero(group_of == group) for group in range(groups)]
    members.sort(key=len, reverse=True)  # where the groups do not divide them, the first have one more
    size = hears.shape[1]
    order = np.empty(size, np.int64)
    for group, neurons in enumerate(members):
        order[group::groups] = neurons
    return order


def _dealt(rows: list[IntArray], inputs: int, groups: int, replicas: int) -> tuple[IntArray, IntArray]:
    """The group of each neuron, and how many synapses each row has in each group."""
    size = len(rows)
    room = np.full(groups, size // groups)
    spare = size % groups  # so many groups may have one more
    counts = np.zeros((inputs, groups), np.int64)
    group_of = np.zeros(size, np.int64)
    for neuron in sorted(range(size), key=lambda n: -len(rows[n])):
        mine = counts[rows[neuron]]
        words = -(-mine.max(axis=1, initial=0) // replicas)
        more = np.maximum(0, -(-(mine + 1) // replicas) - words[:, None]).sum(axis=0)
        open_ = (room > 0) | ((room == 0) & (spare > 0))
        cost = np.where(open_, more * (inputs + 1) * size + mine.sum(axis=0), np.iinfo(np.int64).max)
        group = int(np.argmin(cost))
        spare -= int(room[group] == 0)
        room[group] -= 1
        group_of[neuron] = group
        counts[rows[neuron], group] += 1
    return group_of, counts


def _exchanged(hears: npt.NDArray[np.bool_], group_of: IntArray, counts: IntArray, replicas: int) -> None:
    """Exchange two neurons of different groups wherever that leaves fewer words."""
    columns = np.ascontiguousarray(hears.T)
    for one, other in np.random.default_rng(0).integers(len(columns), size=(EXCHANGES, 2)).tolist():
        a, b = group_of[one], group_of[other]
        if a == b:
            continue
        moved = np.flatnonzero(columns[one] ^ columns[other])
        was = counts[moved]
        now = was.copy()
        sign = np.where(columns[one][moved], 1, -1)
        now[:, b] += sign
        now[:, a] -= sign
        if _words(now, replicas) < _words(was, replicas):
            counts[moved] = now
            group_of[one], group_of[other] = b, a


def _words(counts: IntArray, replicas: int) -> int:
    """Of rows, one that costs a cycle in any case included."""
    return int(np.maximum(1, -(-counts.max(axis=1, initial=0) // replicas)).sum())

"""Which neurons share a group of a slotted engine, those that rarely hear the same input, and which a place, where it
has a weight for each of its neurons: those that often do."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import numpy.typing as npt

from ..ir.arrays import FloatArray, IntArray
from ..ir.network import Network

EFFORT = 2_000_000_000
"""Multiplications that exchanges of neurons may take."""

MOST_ROUNDS = 48
"""How often every neuron is exchanged at most."""

HEAT = 2.0
"""By how many words of a mean row an exchange may do harm at first, as it is drawn: less and less, at the end none."""

AT_ONCE = 1 << 16
"""Pairs that are looked at in turn, of those whose neurons are both free."""

MOST_PAIRED = 4096
"""Neurons that are paired: of more the pairs take gigabytes, and these keep their order."""

_KNOWN: dict[bytes, IntArray] = {}
"""Orders that were found, by what they follow from: foldings are weighed, planned and counted in turn."""


def slot_order(network: Network, name: str, groups: int, replicas: int, reach: int = 1) -> IntArray:
    """The neurons of a population in the order in which they lie in groups of a slotted engine in turn, int64.

    Each of `groups` has `replicas` slots. A row has as many words as the fullest slots have synapses: neurons are dealt
    out, most synapses first, to where they make fewest words, then exchanged where that makes fewer. One group has
    `reach` neurons at a place, which a slot may have weights for at once: those that hear the same inputs. The more
    synapses an input has the more its words count: training leaves most to those that are often active. The output of
    the network keeps its order, as it is what the core's output addresses say.
    """
    size = network.size_of(name)
    if groups == reach == 1 or (groups == 1 and size > MOST_PAIRED) or name == network.output:
        return np.arange(size, dtype=np.int64)
    hears = np.concatenate([p.connectivity.codes != 0 for p in network.projections_into(name)])
    key = sha256(np.packbits(hears).tobytes() + repr((hears.shape, groups, replicas, reach)).encode()).digest()
    if key not in _KNOWN:
        _KNOWN[key] = _abreast(hears, reach) if groups == 1 else _spread(hears, groups, replicas)
    return _KNOWN[key]


def _abreast(hears: npt.NDArray[np.bool_], reach: int) -> IntArray:
    """Neurons two by two, then pairs of them, each time those first that share most."""
    weights = hears.sum(axis=1, dtype=np.float64)
    bundles = np.arange(hears.shape[1], dtype=np.int64)[:, None]
    columns = hears.astype(np.float64)
    rest: list[IntArray] = []  # what nothing is left for
    while bundles.shape[1] < reach:
        one, other, alone = _pairs((columns.T * weights) @ columns)
        rest = [*bundles[alone], *rest]
        bundles = np.concatenate([bundles[one], bundles[other]], axis=1)
        columns = np.maximum(columns[:, one], columns[:, other])
    return np.concatenate([bundles.ravel(), *rest])


def _pairs(shared: FloatArray) -> tuple[list[int], list[int], list[int]]:
    """Pairs of what shares most with each other, the best first, and what is left alone."""
    first, second = (index.astype(np.int32) for index in np.triu_indices(len(shared), 1))
    best = np.argsort(-shared[first, second], kind="stable")
    one: list[int] = []
    other: list[int] = []
    free = np.ones(len(shared), np.bool_)
    for start in range(0, len(best), AT_ONCE):
        some = best[start : start + AT_ONCE]
        some = some[free[first[some]] & free[second[some]]]
        for a, b in zip(first[some].tolist(), second[some].tolist(), strict=True):
            if free[a] and free[b]:
                free[[a, b]] = False
                one.append(a)
                other.append(b)
    return one, other, np.flatnonzero(free).tolist()


def _spread(hears: npt.NDArray[np.bool_], groups: int, replicas: int) -> IntArray:
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
    """Exchange neurons, each with the one of another group with which it leaves fewest words, but for the heat."""
    inputs, size = hears.shape
    groups = counts.shape[1]
    columns = hears.astype(np.float32)  # sums of whole numbers, which are exact in any order
    weights = hears.sum(axis=1, dtype=np.float32)
    moved = np.zeros((groups, groups, inputs), np.float32)
    _weigh(moved, counts, weights, np.arange(inputs), replicas)
    visits = min(MOST_ROUNDS * size, EFFORT // (inputs * size * groups))
    heat = HEAT * float(weights.mean()) * np.maximum(0.0, np.linspace(1.0, -0.1, visits))
    rng = np.random.default_rng(0)
    for one, warm in zip(rng.integers(size, size=visits).tolist(), heat.tolist(), strict=True):
        mine, hear = group_of[one], columns[:, one]
        # A row that both hear stays as it is: what it costs that one goes is taken back where the other comes.
        comes = (moved[:, mine] * (1 - hear) - moved[mine] * hear) @ columns
        cost = (moved[mine] @ hear)[group_of] + comes[group_of, np.arange(size)] - rng.exponential(warm, size)
        cost[group_of == mine] = 0
        other = int(np.argmin(cost))
        if cost[other] < 0:
            theirs = group_of[other]
            changed = np.flatnonzero(hears[:, one] ^ hears[:, other])
            sign = np.where(hears[changed, one], 1, -1)
            counts[changed, theirs] += sign
            counts[changed, mine] -= sign
            group_of[one], group_of[other] = theirs, mine
            _weigh(moved, counts, weights, changed, replicas)


def _weigh(
    moved: npt.NDArray[np.float32], counts: IntArray, weights: npt.NDArray[np.float32], rows: IntArray, replicas: int
) -> None:
    """What it costs in words when a synapse of each of some `rows` goes from one group to another: [from, to, row]."""
    now = counts[rows].T
    most = now.max(axis=0)
    left = most - ((now == most) & ((now == most).sum(axis=0) == 1))  # the most of a row that one was taken from
    after = np.maximum(left[:, None], now[None] + 1)
    moved[:, :, rows] = (_words(after, replicas) - _words(most, replicas)) * weights[rows]


def _words(most: IntArray, replicas: int) -> IntArray:
    """Of rows that have so many synapses in their fullest group; one that costs a cycle in any case included."""
    return np.asarray(np.maximum(1, -(-most // replicas)), np.int64)

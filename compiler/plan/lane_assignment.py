"""Which neurons of a population go to which lane of its engine."""

from __future__ import annotations

import heapq
from typing import Protocol

import numpy as np

from ..ir.arrays import IntArray
from ..ir.network import Network


class Lanes(Protocol):
    """An engine of one population with a number of lanes."""

    @property
    def populations(self) -> tuple[str, ...]: ...

    @property
    def lanes(self) -> int: ...


def lane_neurons(network: Network, folding: Lanes) -> list[IntArray]:
    """The neurons of each lane, int64.

    Hidden neurons are dealt out by their synapses, most first, each to the lane with fewest that has room, so that the
    lanes carry equal work. The network's output keeps its order, as it is what the core's output addresses say.
    """
    (name,) = folding.populations
    size = network.size_of(name)
    if name == network.output:
        return [part.astype(np.int64) for part in np.array_split(np.arange(size), folding.lanes)]
    room = -(-size // folding.lanes)
    lanes: list[list[int]] = [[] for _ in range(folding.lanes)]
    loads = [(0, lane) for lane in range(folding.lanes)]
    synapses = _synapses(network, name)
    for neuron in np.argsort(-synapses, kind="stable").tolist():
        load, lane = heapq.heappop(loads)
        lanes[lane].append(neuron)
        if len(lanes[lane]) < room:
            heapq.heappush(loads, (load + int(synapses[neuron]) + 1, lane))
    return [np.array(sorted(lane), np.int64) for lane in lanes]


def _synapses(network: Network, name: str) -> IntArray:
    """The synapses into each neuron."""
    total = np.zeros(network.size_of(name), np.int64)
    for projection in network.projections_into(name):
        total += projection.connectivity.fan_in()
    return total

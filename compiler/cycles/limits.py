"""How long a working core may be silent, in clock cycles."""

from __future__ import annotations

import math

from ..ir.bounds import largest_input
from ..ir.network import Network, Projection
from ..ir.pooled import Pooled

FIND_CYCLES = 100
"""More than it takes to find the place of an event in a map."""


def silent_cycles(network: Network) -> int:
    """Cycles without a token after which a core counts as hung: four times a step with every spike.

    A core spends about a cycle per synapse of an arriving event and a few per neuron of a pass, one more for each spike
    of it, and it looks at every neuron whose spikes it keeps, once for each of its delays.
    """
    synapses = sum(_work(p) * largest_input(network, p.pre) for p in network.projections)
    kept = sum(network.size_of(p.pre) + _kept(p) for p in network.projections if p.step_edge)
    passes = sum(population.size * population.max_spikes for population in network.populations)
    return 4 * (synapses + kept + passes) + 1000


def _work(projection: Projection) -> int:
    """Cycles for a spike of every pre neuron: of a matrix an entry for each post neuron; of a map one for each cell of
    the kernel in each window that it is in, and what it takes to find its place."""
    connectivity = projection.connectivity
    pre, post = connectivity.shape
    if connectivity.one_per_pair or connectivity.pre_map is None:
        return pre * post
    cells = connectivity.values.size
    if isinstance(connectivity, Pooled):
        cells *= math.prod(connectivity.pooling.kernel)
    return pre * (cells + FIND_CYCLES)


def _kept(projection: Projection) -> int:
    """The spikes of every pre neuron that are said again later."""
    connectivity = projection.connectivity
    return connectivity.synapses if connectivity.one_per_pair else connectivity.shape[0]

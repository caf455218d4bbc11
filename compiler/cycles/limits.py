"""How long a working core may be silent, in clock cycles."""

from __future__ import annotations

from ..ir.bounds import largest_input
from ..ir.network import Network


def silent_cycles(network: Network) -> int:
    """Cycles without a token after which a core counts as hung: four times a step with every spike.

    A core spends about a cycle per synapse of an arriving event and a few per neuron of a pass, one more for each spike
    of it, and it looks at every neuron whose spikes it keeps, once for each of its delays.
    """
    synapses = sum(
        network.size_of(p.pre) * network.size_of(p.post) * largest_input(network, p.pre) for p in network.projections
    )
    kept = sum(network.size_of(p.pre) + p.connectivity.synapses for p in network.projections if p.step_edge)
    passes = sum(population.size * population.max_spikes for population in network.populations)
    return 4 * (synapses + kept + passes) + 1000

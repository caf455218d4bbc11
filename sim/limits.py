"""How long a working core may be silent, in clock cycles."""

from __future__ import annotations

from ..compiler.ir.network import INPUT, Network


def hang_cycles(network: Network) -> int:
    """Cycles without a token or a trace beat after which a core counts as hung: four times a step with every spike.

    A core spends about a cycle per synapse of an arriving event and a few per neuron of a pass.
    """
    synapses = sum(
        network.size_of(p.pre) * network.size_of(p.post) * (network.x_max if p.pre == INPUT else 1)
        for p in network.projections
    )
    return 4 * (synapses + _neurons(network)) + 1000


def drain_cycles(network: Network) -> int:
    """Cycles to listen after the last sample: in two passes of the neurons, a core that says too much says it."""
    return 2 * _neurons(network) + 200


def _neurons(network: Network) -> int:
    return sum(population.size for population in network.populations)

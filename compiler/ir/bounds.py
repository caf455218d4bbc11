"""What a step can add up to: the proofs by which executors and hardware size their arithmetic.

All bounds are exact Python integers for the worst input that the network admits (every input at 0..x_max, every
population's spikes at 0..`max_spikes`), so they cannot overflow themselves.
"""

from __future__ import annotations

import numpy as np

from .arrays import IntArray
from .network import INPUT, Network, Population, Projection


def largest_input(network: Network, pre: str) -> int:
    """The largest value that a pre neuron can have in one step: `x_max` for the input, `max_spikes` of a population."""
    return int(network.x_max) if pre == INPUT else network.population(pre).max_spikes


def projection_bounds(network: Network, projection: Projection) -> tuple[IntArray, IntArray]:
    """The smallest and largest sum of codes times inputs of one step per post neuron, before the shift; int64 (n,)."""
    low, high = projection.connectivity.input_bounds()
    x = largest_input(network, projection.pre)
    return low * x, high * x


def partial_sum_bound(network: Network, projection: Projection) -> int:
    """A bound on the magnitude of every partial sum of one step in any order, before the shift.

    Floating-point matrix products whose format holds all integers up to this bound are exact in any order.
    """
    low, high = projection.connectivity.sum_bounds()
    return int(max(-low.min(initial=0), high.max(initial=0))) * largest_input(network, projection.pre)


def drive_bounds_per_neuron(network: Network, population: Population) -> tuple[list[int], list[int]]:
    """The smallest and largest I[j] = bias[j] + sum over projections of (sum w x) << shift, one entry per neuron."""
    bias = np.broadcast_to(population.bias, (population.size,))
    low, high = [int(b) for b in bias], [int(b) for b in bias]
    for projection in network.projections_into(population.name):
        smallest, largest = projection_bounds(network, projection)
        low = [a + (int(b) << projection.shift) for a, b in zip(low, smallest, strict=True)]
        high = [a + (int(b) << projection.shift) for a, b in zip(high, largest, strict=True)]
    return low, high


def drive_bounds(network: Network, population: Population) -> tuple[int, int]:
    """The smallest and largest I of any neuron of `population` in any step, bias included, in membrane units."""
    low, high = drive_bounds_per_neuron(network, population)
    return min(low), max(high)


def signed_bits(low: int, high: int) -> int:
    """The smallest two's complement width that holds every integer from `low` to `high`."""
    return 1 + max((-low - 1).bit_length() if low < 0 else 0, max(high, 0).bit_length())

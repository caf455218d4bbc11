"""What a step can add up to: the proofs by which executors and hardware size their arithmetic.

All bounds are exact Python integers for the worst input that the network admits (every input at 0..x_max, every
population's spikes at 0..1), so they cannot overflow themselves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .ir import INPUT, IntArray, IntegerDynamics, Kind, Network, Population, Projection, Quantised, ResetMode


def largest_input(network: Network, pre: str) -> int:
    """The largest value that a pre neuron can have in one step: `x_max` for the input, 1 for a population."""
    return int(network.x_max) if pre == INPUT else 1


def projection_bounds(network: Network, projection: Projection) -> tuple[IntArray, IntArray]:
    """The smallest and largest sum of codes times inputs of one step per post neuron, before the shift; int64 (n,)."""
    codes = _codes(projection)
    x = largest_input(network, projection.pre)
    return np.minimum(codes, 0).sum(axis=0) * x, np.maximum(codes, 0).sum(axis=0) * x


def partial_sum_bound(network: Network, projection: Projection) -> int:
    """A bound on the magnitude of every partial sum of one step in any order, before the shift.

    Floating-point matrix products whose format holds all integers up to this bound are exact in any order.
    """
    low, high = projection_bounds(network, projection)
    return int(max(-low.min(initial=0), high.max(initial=0)))


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
    """The smallest and largest I of any neuron of `population` in any step, bias included, in membrane units.

    Partial sums stay inside too once 0 and the bias are: see `accumulator_bits`.
    """
    low, high = drive_bounds_per_neuron(network, population)
    return min(low), max(high)


def membrane_bounds(network: Network, population: Population) -> tuple[int, int]:
    """The smallest and largest integer that the neuron pass of `population` forms before it saturates.

    Covers every order in which a step's contributions, the bias, the decayed state and the reset may be added, each
    included or not yet: the sum of all negative terms and the sum of all positive terms. State and v_reset lie within
    `state_bits`, and decay(x) lies between 0 and x for all roundings.
    """
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    size = population.size
    limit = 1 << (dynamics.state_bits - 1)
    bias = np.broadcast_to(population.bias, (size,)).astype(object)
    low, high = _without_bias(network, population)
    down = low + np.minimum(bias, 0)
    up = high + np.maximum(bias, 0)
    if dynamics.kind is Kind.CUBALIF:  # two sums: g from the input, then V from g
        down, up = np.minimum(down, -limit), np.maximum(up, limit - 1)
    subtract_down, subtract_up = _reset_span(dynamics, size)
    return int(min(down - limit - subtract_down)), int(max(up + limit - 1 + subtract_up))


def accumulator_bits(network: Network, population: Population) -> int:
    """The two's complement width in which no sum inside a step of `population` overflows (`membrane_bounds`)."""
    return signed_bits(*membrane_bounds(network, population))


def signed_bits(low: int, high: int) -> int:
    """The smallest two's complement width that holds every integer from `low` to `high`."""
    return 1 + max((-low - 1).bit_length() if low < 0 else 0, max(high, 0).bit_length())


def _codes(projection: Projection) -> IntArray:
    weights = projection.weights
    assert isinstance(weights, Quantised)
    return weights.codes


def _without_bias(network: Network, population: Population) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    bias = np.broadcast_to(population.bias, (population.size,)).astype(object)
    low, high = drive_bounds_per_neuron(network, population)
    return np.array(low, dtype=object) - bias, np.array(high, dtype=object) - bias


def _reset_span(dynamics: IntegerDynamics, size: int) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """How far a subtracting reset can move a neuron down and up beyond the sum it starts from.

    `snntorch_same` subtracts r*sub and then (s - r)*sub, together s*sub: no further than the other places.
    """
    nothing = np.zeros(size, dtype=object)
    if dynamics.kind is Kind.LI or dynamics.reset_mode is not ResetMode.SUBTRACT:
        return nothing, nothing
    sub = np.broadcast_to(dynamics.sub, (size,)).astype(object)
    return np.maximum(sub, 0), np.maximum(-sub, 0)

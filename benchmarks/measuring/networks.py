"""Networks that there is no data for: random weights and random inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.ir.bounds import signed_bits
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import Decay, IntegerDynamics, Kind, ResetPlace
from spikeloom.compiler.neurons.reachable import reachable_membranes

FRACTION_BITS = 2

Spikes = npt.NDArray[np.uint8]


def random_network(
    seed: int, sizes: Sequence[int], density: float, bits: int, thresholds: tuple[int, int] = (8, 20)
) -> Network:
    """Integer LIF neurons with random weights, of which exactly the share `density` is not zero in every layer.

    Thresholds lie in a range in units of the weights. A membrane has two bits below that unit, leaks an eighth per step
    and is as wide as it can ever need.
    """
    rng = np.random.default_rng(seed)
    names = [INPUT, *(f"l{number + 1}" for number in range(len(sizes) - 1))]
    largest = 2 ** (bits - 1) - 1
    populations, projections = [], []
    for number, (pre, post) in enumerate(pairwise(sizes)):
        codes = rng.integers(1, largest + 1, pre * post) * rng.choice([-1, 1], pre * post, p=[0.4, 0.6])
        codes[rng.permutation(pre * post)[round(density * pre * post) :]] = 0
        fire = rng.integers(*thresholds, post) << FRACTION_BITS
        neuron = IntegerDynamics(
            kind=Kind.LIF,
            fire=fire,
            sub=fire,
            decay=Decay(c=1, k=3),
            reset_place=ResetPlace.NEXT,
            state_bits=32,
            fraction_bits=FRACTION_BITS,
        )
        populations.append(Population(name=names[number + 1], shape=(post,), dynamics=neuron))
        dense = Dense(weights=Quantised(codes=codes.reshape(pre, post), bits=bits))
        projections.append(
            Projection(pre=names[number], post=names[number + 1], connectivity=dense, shift=FRACTION_BITS)
        )
    network = Network(
        input_shape=(sizes[0],), populations=tuple(populations), projections=tuple(projections), output=names[-1]
    )
    return replace(network, populations=tuple(_narrowed(network, population) for population in populations))


def _narrowed(network: Network, population: Population) -> Population:
    reach = reachable_membranes(network, population)
    assert reach is not None and isinstance(population.dynamics, IntegerDynamics)
    return replace(population, dynamics=replace(population.dynamics, state_bits=signed_bits(*reach)))


def random_spikes(inputs: int, samples: int = 4, steps: int = 25, rate: float = 0.2) -> Spikes:
    return (np.random.default_rng(1).random((samples, steps, inputs)) < rate).astype(np.uint8)

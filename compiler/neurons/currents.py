"""The input currents of a population for given spikes of its sources.

The sums over synapses are made exact (`on_grid`), so that they, and every choice that hangs on them, do not
depend on the machine's matrix library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.arrays import FloatArray, SpikesByPopulation
from ..ir.arrivals import Arrival, apart
from ..ir.connectivity import Connectivity
from ..ir.network import INPUT, Network
from .contract import ContractForm


def currents(
    network: Network, form: ContractForm, weights: Sequence[FloatArray], bias: FloatArray, sources: SpikesByPopulation
) -> FloatArray:
    """The input currents of a population [steps, samples, neurons] for given spikes of all its sources."""
    parts = split_by_delay(form, on_grid(form, weights, network.largest_value))
    return np.stack([current_at(bias, parts, sources, step) for step in range(sources[INPUT].shape[1])])


@dataclass(frozen=True)
class Part:
    """The synapses of one projection whose spikes arrive together, in its connectivity's form."""

    pre: str
    connectivity: Connectivity
    arrival: Arrival
    weights: FloatArray


def on_grid(form: ContractForm, weights: Sequence[FloatArray], largest_value: int) -> list[FloatArray]:
    """The weights on a power-of-two grid on which every sum is exact in float64 in any order."""
    pairs = zip(form.projections, weights, strict=True)
    totals = [p.connectivity.totals(np.abs(w)) for p, w in pairs]
    largest = max(float(total.max(initial=0)) for total in totals) * largest_value * len(weights)
    if largest == 0:
        return list(weights)
    grid = 2.0 ** (math.frexp(largest)[1] - 51)  # rounding may add half a grid step per weight: one bit to spare
    return [np.round(w / grid) * grid for w in weights]


def split_by_delay(form: ContractForm, weights: Sequence[FloatArray]) -> list[Part]:
    return [
        Part(projection.pre, projection.connectivity, arrival, part)
        for projection, values in zip(form.projections, weights, strict=True)
        for arrival, part in apart(projection, values)
    ]


def current_at(bias: FloatArray, parts: Sequence[Part], sources: SpikesByPopulation, step: int) -> FloatArray:
    total = np.zeros((len(sources[INPUT]), len(bias)))
    for part in parts:
        arrived = part.arrival.of(sources[part.pre], step)
        if arrived is not None:
            total += part.connectivity.currents(arrived, part.weights)
    return total + bias

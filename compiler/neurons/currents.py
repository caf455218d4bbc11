"""The input currents of a population for given spikes of its sources.

The sums over synapses are made exact (`on_grid`), so that they, and every choice that hangs on them, do not
depend on the machine's matrix library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..ir.arrays import FloatArray
from ..ir.network import INPUT, Network
from .contract import Folded

Spikes = npt.NDArray[np.uint8]


def currents(
    network: Network, folded: Folded, weights: Sequence[FloatArray], bias: FloatArray, sources: Mapping[str, Spikes]
) -> FloatArray:
    """The input currents of a population [steps, samples, neurons] for given spikes of all its sources."""
    parts = split_by_delay(folded, on_grid(weights, network.x_max))
    return np.stack([current_at(bias, parts, sources, step) for step in range(sources[INPUT].shape[1])])


@dataclass(frozen=True)
class _Part:
    """The synapses of one projection that share a delay."""

    pre: str
    delay: int
    weights: FloatArray


def on_grid(weights: Sequence[FloatArray], x_max: int) -> list[FloatArray]:
    """The weights on a power-of-two grid on which every sum is exact in float64 in any order."""
    largest = max(float(np.abs(w).sum(axis=0).max(initial=0)) for w in weights) * x_max * len(weights)
    if largest == 0:
        return list(weights)
    grid = 2.0 ** (math.frexp(largest)[1] - 51)  # rounding may add half a grid step per weight: one bit to spare
    return [np.round(w / grid) * grid for w in weights]


def split_by_delay(folded: Folded, weights: Sequence[FloatArray]) -> list[_Part]:
    parts = []
    for projection, matrix in zip(folded.projections, weights, strict=True):
        for delay in np.unique(projection.delay):
            parts.append(_Part(projection.pre, int(delay), np.where(projection.delay == delay, matrix, 0.0)))
    return parts


def current_at(bias: FloatArray, parts: Sequence[_Part], sources: Mapping[str, Spikes], step: int) -> FloatArray:
    total = np.zeros((len(sources[INPUT]), len(bias)))
    for part in parts:
        if step >= part.delay:
            total += sources[part.pre][:, step - part.delay].astype(np.float64) @ part.weights
    return total + bias

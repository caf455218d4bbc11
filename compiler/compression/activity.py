"""How often neurons fire: measured on samples, or estimated from the weights alone.

The estimate is a mean-field one. Inputs spike in a tenth of the steps, independently. A neuron's input per step then
has the mean m = sum_i r_i w_i + bias and the variance v = sum_i r_i (1 - r_i) w_i^2, its free membrane (no reset) the
mean m / (1 - beta) and the variance v / (1 - beta^2), taken as normal; the neuron's rate is the chance that this is
above its threshold. Layers of a list, which say nothing of neurons, are given beta 0.9 and the threshold 1. It ranks
neurons of like populations; it is no measurement, and those who prune by it are warned.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.arrays import FloatArray
from ..ir.network import INPUT, Network
from ..neurons.contract import ContractForm, contract_form
from ..neurons.observe import observed
from .layers import Graph

INPUT_RATE = 0.1
BETA, THRESHOLD = 0.9, 1.0
"""The neurons that a list of layers is taken to have."""

LONGEST_MEMORY = 0.95
"""The largest beta of the estimate: the free membrane of a neuron without leak has no mean."""


def measured_rates(network: Network, samples: npt.NDArray[Any]) -> list[FloatArray]:
    """Mean spikes per step of the inputs and of every population, on samples [samples, steps, inputs...].

    In the form that `prune_weights` and `prune_neurons` take as `spike_rates`. Raises SampleError for bad samples,
    ModelError for an integer network.
    """
    sources = observed(network, samples)
    names = (INPUT, *(p.name for p in network.populations))
    return [sources[name].mean(axis=(0, 1), dtype=np.float64) for name in names]


def estimated_rates(graph: Graph, network: Network | None) -> tuple[FloatArray, ...]:
    """The estimate of the module's docstring; `network` is the one that the graph shows, None for a list of layers."""
    rates = [np.full(graph.sizes[0], INPUT_RATE)]
    for group in range(1, len(graph.sizes)):
        form = None if network is None else contract_form(network, network.populations[group - 1])
        rates.append(_rate(graph, group, rates, form))
    return tuple(rates)


def _rate(graph: Graph, group: int, rates: list[FloatArray], form: ContractForm | None) -> FloatArray:
    """The rates of one group; recurrent inputs, whose rates are not known yet, are left out."""
    size = graph.sizes[group]
    beta, threshold, bias, matrices = np.full(size, BETA), np.full(size, THRESHOLD), graph.biases[group], None
    if form is not None:
        beta, threshold, bias, matrices = form.beta, form.threshold, form.bias, form.weights
    mean = np.zeros(size) if bias is None else bias.astype(np.float64)
    variance = np.zeros(size)
    for number, connection in enumerate(graph.into(group)):
        if connection.pre < group:
            weights = connection.weights.astype(np.float64) if matrices is None else matrices[number]
            rate, connectivity = rates[connection.pre], connection.connectivity
            mean = mean + connectivity.currents(rate, weights)
            variance = variance + connectivity.currents(rate * (1 - rate), weights**2)
    beta = np.minimum(beta, LONGEST_MEMORY)
    return _exceeds(mean / (1 - beta), np.sqrt(variance / (1 - beta**2)), threshold)


def _exceeds(mean: FloatArray, deviation: FloatArray, threshold: FloatArray) -> FloatArray:
    """The chance that a normal variable is above the threshold; one that does not vary is or is not."""
    above = mean - threshold
    distance = np.divide(above, deviation, out=np.sign(above) * np.inf, where=deviation > 0)
    return np.array([0.5 * math.erfc(-d / math.sqrt(2)) if not math.isnan(d) else 0.0 for d in distance])

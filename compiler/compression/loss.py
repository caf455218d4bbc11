"""How far compression moved the membranes: the loss that OSBC minimises, measured on samples for any method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir.arrays import FloatArray, SpikesByPopulation
from ..ir.network import Network, Population
from ..ir.neurons import Drive, IntegerDynamics
from ..neurons.contract import ContractForm, contract_form
from ..neurons.currents import currents
from ..neurons.step import ARRAYS, steps


def membrane_losses(original: Network, compressed: Network, sources: SpikesByPopulation) -> dict[str, float]:
    """Per population the mean square error of its free membranes (no reset), relative to their mean square.

    Both networks see the same presynaptic spikes, `sources` by name [samples, steps, neurons], usually the original's;
    the original's leak holds for both. `compressed` is a float network or an integer one. 0 where nothing moves at all.
    """
    losses = {}
    for before, after in zip(original.populations, compressed.populations, strict=True):
        form = contract_form(original, before)
        weights, bias = _real(compressed, after)
        change = [new - old for new, old in zip(weights, form.weights, strict=True)]
        error = _power(original, form, change, bias - form.bias, sources)
        power = _power(original, form, form.weights, form.bias, sources)
        losses[before.name] = error / power if power > 0 else 0.0
    return losses


def _real(network: Network, population: Population) -> tuple[list[FloatArray], FloatArray]:
    """Weights and bias of a population in the contract's coordinates."""
    dynamics = population.dynamics
    if not isinstance(dynamics, IntegerDynamics):
        form = contract_form(network, population)
        return list(form.weights), form.bias
    weights = [p.connectivity.real for p in network.projections_into(population.name)]
    bias = np.broadcast_to(population.bias * (dynamics.scale / (1 << dynamics.fraction_bits)), (population.size,))
    return weights, bias


def _power(
    network: Network,
    form: ContractForm,
    weights: list[FloatArray] | tuple[FloatArray, ...],
    bias: FloatArray,
    sources: SpikesByPopulation,
) -> float:
    """The mean square of the free membranes that these weights lead to."""
    total, count = 0.0, 0
    free = replace(form.model.free(), drive=Drive.NEW)  # an old drive moves the same membranes by a step
    for state in steps(ARRAYS, free, currents(network, form, weights, bias, sources), np.zeros(())):
        total += float(np.square(state.v).sum())
        count += state.v.size
    return total / max(1, count)

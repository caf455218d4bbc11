"""How far an integer network is from its float original, in numbers for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.arrays import FloatArray
from ..ir.bounds import signed_bits
from ..ir.columns import Columns
from ..ir.network import Network, Population, Projection
from ..ir.neurons import Decay, IntegerDynamics, ResetMode
from ..neurons.contract import ContractForm, contract_form
from ..neurons.reachable import reachable_membranes
from .leak import digit_count


@dataclass(frozen=True, kw_only=True)
class PopulationError:
    """How far a quantised population is from its float original; every figure is the worst neuron's.

    `weights` is the root mean square error of a neuron's weights, relative to their root mean square; `threshold` and
    `bias` are relative to the threshold (for a readout `bias` is in real units); `leak` is the error of 1 - beta,
    relative, `leak_syn` that of 1 - alpha, `leak_a` that of 1 - rho. `leak_digits` counts the shift-and-add terms of
    the membrane's leak. `saturation_excluded` says that no input whatever saturates the membrane.
    """

    population: str
    weight_bits: int
    weights: float
    threshold: float
    bias: float
    leak: float
    leak_syn: float
    leak_a: float
    leak_digits: int
    fraction_bits: int
    state_bits: int
    saturation_excluded: bool


def quantisation_error(float_network: Network, integer_network: Network) -> tuple[PopulationError, ...]:
    """What `quantise` cost, population by population, for the report."""
    return tuple(
        _population_error(contract_form(float_network, before), integer_network, after)
        for before, after in zip(float_network.populations, integer_network.populations, strict=True)
    )


def _population_error(form: ContractForm, network: Network, population: Population) -> PopulationError:
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    unit = dynamics.scale / (1 << dynamics.fraction_bits)
    subtracts = form.spiking and form.reset_mode is ResetMode.SUBTRACT
    threshold = dynamics.sub * unit - form.sub if subtracts else (dynamics.fire + 0.5) * unit - form.threshold
    reach = reachable_membranes(network, population)
    projections = network.projections_into(population.name)
    return PopulationError(
        population=population.name,
        weight_bits=max(p.connectivity.quantised.bits for p in projections),
        weights=_weight_error(form, projections),
        threshold=_relative(threshold, form.threshold) if form.spiking else 0.0,
        bias=_relative(population.bias * unit - form.bias, form.threshold),
        leak=_leak_error(form.beta, dynamics.decay),
        leak_syn=0.0 if form.alpha is None else _leak_error(form.alpha, dynamics.decay_syn),
        leak_a=0.0 if form.rho is None else _leak_error(form.rho, dynamics.decay_a),
        leak_digits=0 if dynamics.decay is None else digit_count(dynamics.decay),
        fraction_bits=dynamics.fraction_bits,
        state_bits=dynamics.state_bits,
        saturation_excluded=reach is not None and signed_bits(*reach) <= dynamics.state_bits,
    )


def _relative(error: FloatArray, reference: FloatArray) -> float:
    return float(np.max(np.abs(error) / np.where(reference != 0, np.abs(reference), 1.0)))


def _weight_error(form: ContractForm, projections: Sequence[Projection]) -> float:
    columns = Columns.of([p.connectivity for p in projections])
    real, integer = columns.stacked(form.weights), columns.stacked([p.connectivity.real for p in projections])
    power = (real**2).sum(axis=0)
    return float(np.sqrt(np.max(((integer - real) ** 2).sum(axis=0) / np.where(power > 0, power, 1.0))))


def _leak_error(keep: FloatArray, decay: Decay | None) -> float:
    share = 0.0 if decay is None else decay.c / (1 << decay.k)
    return _relative(share - (1.0 - keep), 1.0 - keep)

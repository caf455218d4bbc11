"""Quantisation: a float network becomes an integer network of the arithmetic contract (docs/arithmetic.md).

Weights become symmetric fixed-point codes with one scale per post neuron, found by a clip search; a readout (LI, or an
output whose membranes are read) has one scale for all its neurons, as its membranes are compared. The scale is folded
into the neuron's constants: a membrane unit is scale / 2^F. Threshold, reset and bias round to membrane units, with

    fire = floor(threshold / unit) for `>`, ceil(threshold / unit) - 1 for `>=`     exact on integer membranes
    sub, v_reset, bias = round(x / unit)                                            off by half a unit at most

The leak's c and k, the fraction bits F and the state's width are the cheapest that keep the spikes of the calibration
samples; without samples they follow from bounds alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, OptionError, quoted
from ..ir.arrays import FloatArray, SpikesByPopulation
from ..ir.bounds import signed_bits
from ..ir.columns import Columns
from ..ir.connectivity import Quantised
from ..ir.network import Network, Population, Projection
from ..ir.neurons import Dynamics, IntegerDynamics, ResetMode, real_form, several, subtracts_other
from ..ir.verifier import MAX_WEIGHT_BITS, verify
from ..neurons.contract import ContractForm, contract_form
from ..neurons.observe import calibration_inputs, observe
from ..neurons.reachable import may_fire, most_spikes, reachable_membranes
from .activity import activity_of
from .constants import (
    constant_bits,
    integer_neurons,
    largest_constant,
    proven_bits,
    require_narrow,
    with_state_bits,
)
from .error import PopulationError, quantisation_error
from .leak import Leaks, choose_decay
from .rehearsal import MAX_FRACTION_BITS, Trial, may_integrate, slowest_leak, starting_fraction_bits
from .scales import Activity, codes_of, largest_code, search_scales

__all__ = [
    "PopulationError",
    "check_bits",
    "dequantise",
    "quantisation_error",
    "quantise",
    "tightened",
    "tightened_network",
]

MIN_WEIGHT_BITS = 2
MIN_STATE_BITS, MAX_STATE_BITS = 8, 24
WORD_BITS = 16
"""The widest word that one block RAM of either family holds for 256 neurons."""

MARGIN = 2
"""The membrane holds this many times the largest calibrated one, where no tighter bound is proven."""

UNMEASURED_FRACTION_BITS = 8
STUCK_SHARE = 0.004
"""Without samples, rounding may move a membrane by this share of a typical threshold."""

CONSTANT_SPAN = 256
"""A neuron's threshold or bias is at most this many times its largest weight; beyond, its scale is raised (so that one
neuron that hardly ever fires does not widen the whole population's membranes)."""

SAME_SCALE = 1e-9
"""Scales that differ by this share are the same: a gain was divided out of them and multiplied in again."""


def quantise(
    network: Network, bits: int, calibration: npt.NDArray[Any] | None = None, *, fraction_bits: int = MAX_FRACTION_BITS
) -> Network:
    """The integer network of a float network, with weights of `bits` (2 to 16).

    `calibration` are input samples, integers [samples, steps, inputs...]. Zero weights stay zero. Membranes have
    `fraction_bits` at most: narrower states, and the same shift everywhere, for coarser thresholds. Deterministic.
    Raises OptionError for bits out of range, SampleError for bad samples, ModelError for what integers cannot express.
    """
    check_bits(bits)

    def codes(form: ContractForm, sources: SpikesByPopulation | None) -> list[Quantised]:
        return _quantise_weights(form, bits, sources, network.largest_value)

    return _quantised(network, codes, calibration, fraction_bits)


def quantise_codes(
    network: Network, weights: Sequence[Quantised], calibration: npt.NDArray[Any] | None = None, *, exact: bool = False
) -> Network:
    """The integer network of a float network with these weights, one `Quantised` per projection, in their order.

    Their real values stand for the network's own weights, whose places they take. Only the neurons are quantised, as
    `quantise` does it; neurons whose weights are so small beside their threshold that they would widen everybody's
    membranes get a coarser scale, and their codes are rounded to it, unless codes are to stay `exact`. Raises
    ModelError besides for codes of another shape, for projections into one population (of a readout: into any of its
    neurons) whose scales, times the gain, differ, and where exact codes leave a threshold too large for any membrane.
    """
    given = {id(p): w for p, w in zip(network.projections, weights, strict=True)}

    def codes(form: ContractForm, sources: SpikesByPopulation | None) -> list[Quantised]:
        weights = _contract_codes(form, [given[id(p)] for p in form.projections])
        return weights if form.read else _coarsened(form, weights, sources, network.largest_value, exact)

    return _quantised(network, codes, calibration)


def _quantised(
    network: Network,
    weights_of: Callable[[ContractForm, SpikesByPopulation | None], list[Quantised]],
    calibration: npt.NDArray[Any] | None,
    most_fraction_bits: int = MAX_FRACTION_BITS,
) -> Network:
    verify(network)
    if network.is_integer:
        raise ModelError(f"quantisation starts from a float network: {quoted(network.name)} is an integer network")
    form = [contract_form(network, population) for population in network.populations]
    sources = None
    if calibration is not None:
        sources = observe(network, form, calibration_inputs(network, calibration))
    populations: list[Population] = []
    projections: dict[int, Projection] = {}
    for item in form:
        weights = weights_of(item, sources)
        population, shift = _quantise_neurons(network, item, weights, sources, most_fraction_bits)
        populations.append(population)
        for projection, quantised in zip(item.projections, weights, strict=True):
            connectivity = projection.connectivity.with_codes(quantised)
            projections[id(projection)] = replace(projection, connectivity=connectivity, shift=shift)
    result = replace(
        network, populations=tuple(populations), projections=tuple(projections[id(p)] for p in network.projections)
    )
    result = tightened_network(result)
    verify(result)
    return result


def check_bits(bits: int) -> None:
    """OptionError where weights cannot have this many bits."""
    if isinstance(bits, bool) or not isinstance(bits, int) or not MIN_WEIGHT_BITS <= bits <= MAX_WEIGHT_BITS:
        raise OptionError(f"weights have {MIN_WEIGHT_BITS} to {MAX_WEIGHT_BITS} bits: got {bits!r}")


# ----------------------------------------------------------------------------------------------------- weights


def _quantise_weights(
    form: ContractForm, bits: int, sources: SpikesByPopulation | None, largest_value: int
) -> list[Quantised]:
    columns = _columns(form)
    weights = columns.stacked(form.weights)
    scale = _scales(form, columns, weights, activity_of(form, columns, sources), bits)
    if not form.read:
        scale = _without_quiet_outliers(form, columns, scale, _may_fire(form, sources, largest_value))
    codes = columns.split(codes_of(weights, scale, bits))
    return [Quantised(codes=c, bits=bits, scale=columns.spread(scale)) for c in codes]


def _columns(form: ContractForm) -> Columns:
    return Columns.of([p.connectivity for p in form.projections])


def _scales(form: ContractForm, columns: Columns, weights: FloatArray, activity: Activity, bits: int) -> FloatArray:
    """The real value of a weight unit for each column."""
    shared = form.read
    limit = largest_code(bits)
    bias = columns.joined(np.abs(form.bias), np.maximum)
    scales = search_scales(weights, activity, bits, shared)
    scales = np.where(scales > 0, scales, (bias.max(keepdims=True) if shared else bias) / limit)
    scales = np.broadcast_to(np.where(scales > 0, scales, 1.0), (weights.shape[1],))
    constants = columns.joined(largest_constant(form), np.maximum)
    if shared:
        constants = constants.max(keepdims=True)
    return np.maximum(scales, constants / min(limit * CONSTANT_SPAN, 1 << (MAX_STATE_BITS - 2)))


def _may_fire(form: ContractForm, sources: SpikesByPopulation | None, largest_value: int) -> npt.NDArray[np.bool_]:
    """The neurons that fire on the samples; without samples those whose largest membrane reaches the threshold."""
    if sources is not None:
        fires: npt.NDArray[np.bool_] = np.any(sources[form.population.name], axis=(0, 1))
        return fires
    return may_fire(form, largest_value)


def _without_quiet_outliers(
    form: ContractForm, columns: Columns, scale: FloatArray, fires: npt.NDArray[np.bool_]
) -> FloatArray:
    """The scales of the columns, those of silent ones raised until their constants are no wider than the others'.

    Neurons that training left without use have tiny weights, and would widen everybody's membranes.
    """
    constants = columns.joined(largest_constant(form), np.maximum)
    active = columns.joined(fires, np.logical_or)
    if not active.any() or not np.any(constants[active] > 0):
        return scale
    widest = float((constants[active] / scale[active]).max())
    return np.where(active, scale, np.maximum(scale, constants / widest))


def _contract_codes(form: ContractForm, weights: Sequence[Quantised]) -> list[Quantised]:
    """Codes for the network's own weights as codes for those of the contract's form; the gain goes into the scale."""
    size = form.population.size
    for projection, matrix, quantised in zip(form.projections, form.weights, weights, strict=True):
        if quantised.shape != matrix.shape:
            raise ModelError(
                f"codes have the shape of the weights that they replace, {list(matrix.shape)}: those of "
                f"{quoted(projection.pre)} -> {quoted(projection.post)} have {list(quantised.shape)}"
            )
    scales = np.stack([np.broadcast_to(w.scale, (size,)) for w in weights]) * np.abs(form.gain)
    shared = scales[0, 0] if form.read else scales[0]
    if not np.allclose(scales, shared, rtol=SAME_SCALE, atol=0):
        rule = "a readout has one scale" if form.read else "projections into one population share its scales"
        raise ModelError(f"{rule}: those of population {quoted(form.population.name)} differ; quantise them together")
    scale = np.broadcast_to(shared, (size,))
    sign = np.sign(form.gain).astype(np.int64)
    scale = np.where(scale > 0, scale, 1.0)
    pairs = zip(form.projections, weights, strict=True)
    return [replace(w, codes=p.connectivity.scaled(sign, w.codes), scale=scale) for p, w in pairs]


def _coarsened(
    form: ContractForm,
    weights: Sequence[Quantised],
    sources: SpikesByPopulation | None,
    largest_value: int,
    exact: bool,
) -> list[Quantised]:
    """The same weights, with coarser scales and rounded codes for neurons that they hardly move; `exact` codes stay,
    and neurons without any get the scale of their constants."""
    columns = _columns(form)
    limit, scale = largest_code(weights[0].bits), columns.joined(weights[0].scale, np.maximum)
    constants = columns.joined(largest_constant(form), np.maximum)
    codes = columns.stacked([w.codes for w in weights])
    empty = ~np.any(codes, axis=0)
    wanted = np.where(empty & (constants > 0), constants / limit, scale)
    if exact:
        weights = [replace(w, scale=columns.spread(wanted)) for w in weights]
        require_narrow(form, weights[0].scale, MAX_STATE_BITS)
        return weights
    wanted = np.maximum(wanted, constants / min(limit * CONSTANT_SPAN, 1 << (MAX_STATE_BITS - 2)))
    wanted = _without_quiet_outliers(form, columns, wanted, _may_fire(form, sources, largest_value))
    rounded = columns.split(np.where(wanted == scale, codes, np.rint(codes * (scale / wanted))))
    return [replace(w, codes=c, scale=columns.spread(wanted)) for w, c in zip(weights, rounded, strict=True)]


# ----------------------------------------------------------------------------------------------------- neurons


def _quantise_neurons(
    network: Network, form: ContractForm, weights: Sequence[Quantised], sources: SpikesByPopulation | None, most: int
) -> tuple[Population, int]:
    """The integer population and the shift of the projections into it."""
    scale = np.broadcast_to(weights[0].scale, (form.population.size,))
    widest = min(most, MAX_STATE_BITS - constant_bits(integer_neurons(form, scale, 0)))
    trial = None if sources is None else Trial.of(network, form, weights, scale, sources, max(0, widest))
    if trial is None or not trial.informative:
        leaks = _unmeasured_leaks(form)
        roomy = MAX_STATE_BITS - proven_bits(form, weights, network.largest_value)
        fraction_bits = max(0, min(_unmeasured_fraction_bits(form, scale), widest, roomy))
        largest = None
    else:
        leaks = trial.choose_leaks()
        fraction_bits = trial.choose_fraction_bits(leaks)
        largest = trial.largest_state(fraction_bits, leaks)
        _say_unseen_leak(form, leaks, len(trial.drive))
    population = integer_neurons(form, scale, fraction_bits, leaks)
    return with_state_bits(population, _calibrated_bits(population, largest)), fraction_bits


def _say_unseen_leak(form: ContractForm, leaks: Leaks, steps: int) -> None:
    leak = 1.0 - float(form.beta.min())
    if form.leaky and leaks.membrane is None and leak > 0:
        warnings.warn(
            f"the leak of population {quoted(form.population.name)}, {leak:.2g} of its membrane in a step, does not "
            f"show on samples of {steps} steps: its neurons integrate without it",
            stacklevel=2,
        )


def _unmeasured_leaks(form: ContractForm) -> Leaks:
    if may_integrate(form) and np.all(form.beta == 1):
        return Leaks()
    shares = (form.beta if form.leaky else None, form.alpha, form.rho)
    return Leaks(*(None if kept is None else choose_decay(kept, None, 0.0) for kept in shares))


def _unmeasured_fraction_bits(form: ContractForm, scale: FloatArray) -> int:
    """The bits with which rounding moves a membrane by `STUCK_SHARE` of a typical threshold at most.

    Half a unit lost in every step adds up to 1 / (2 leak) units, as far as the leak moves no membrane either.
    """
    most = min(starting_fraction_bits(form), UNMEASURED_FRACTION_BITS)
    dynamics = integer_neurons(form, scale, 0).dynamics
    assert isinstance(dynamics, IntegerDynamics)
    fire = dynamics.fire
    if not form.spiking or not form.leaky or not np.any(fire > 0):
        return most
    stuck = 0.5 / slowest_leak(form)
    return min(most, max(0, math.ceil(math.log2(stuck / (STUCK_SHARE * float(np.median(fire[fire > 0])))))))


def _calibrated_bits(population: Population, largest: float | None) -> int:
    """A width with room for `MARGIN` times the largest state on the samples; the widest where none say it."""
    if largest is None:
        return MAX_STATE_BITS
    reach = math.ceil(MARGIN * largest)
    return min(MAX_STATE_BITS, max(MIN_STATE_BITS, constant_bits(population), signed_bits(-reach, reach)))


def tightened_network(network: Network) -> Network:
    """The network with every population `tightened`, in evaluation order."""
    for number in range(len(network.populations)):
        populations = list(network.populations)
        populations[number] = tightened(network, populations[number])
        network = replace(network, populations=tuple(populations))
    return network


def tightened(network: Network, population: Population) -> Population:
    """The population with the narrowest membrane that is proven not to saturate, where that is narrower or a word of
    `WORD_BITS` holds it: hardware that need not saturate is smaller than bits are dear. A floor that no membrane
    reaches goes, and so do spikes of a step that are more than it can have."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    reach = reachable_membranes(network, population)
    if reach is None:
        return population
    proven = max(MIN_STATE_BITS, constant_bits(population), signed_bits(*reach))
    bits = proven if proven <= WORD_BITS else min(dynamics.state_bits, proven)
    if dynamics.v_min is not None and reach[0] > int(dynamics.v_min.max()):
        population = replace(population, dynamics=replace(dynamics, v_min=None))
    if population.max_spikes > 1:
        dynamics = replace(_integer(population), max_spikes=several(most_spikes(network, population)))
        population = replace(population, dynamics=dynamics)
    return with_state_bits(population, bits)


def _integer(population: Population) -> IntegerDynamics:
    assert isinstance(population.dynamics, IntegerDynamics)
    return population.dynamics


# --------------------------------------------------------------------------------------------------- dequantise


def dequantise(network: Network) -> Network:
    """The float view of an integer network: the same real weights, thresholds and leaks, without rounding.

    On integer membranes its thresholds decide as the integers do: they stand between `fire` and `fire` + 1, and round
    to `sub` where that is one of both; else neurons have a `sub` of their own. Raises ModelError where such neurons
    fire several times in a step.
    """
    verify(network)
    if not network.is_integer:
        raise ModelError(f"dequantisation starts from an integer network: {quoted(network.name)} is a float network")
    populations = tuple(_dequantised_population(p) for p in network.populations)
    projections = tuple(
        replace(p, connectivity=p.connectivity.with_weights(p.connectivity.real), shift=0) for p in network.projections
    )
    return replace(network, populations=populations, projections=projections, dtype="float64")


def _dequantised_population(population: Population) -> Population:
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    unit = dynamics.scale / (1 << dynamics.fraction_bits)
    return replace(population, dynamics=_float_dynamics(population, dynamics), bias=population.bias * unit)


def _float_dynamics(population: Population, dynamics: IntegerDynamics) -> Dynamics:
    if not population.fires:
        return real_form(dynamics, dynamics.fire, dynamics.reset_mode)
    return real_form(dynamics, *_float_threshold(population, dynamics))


def _float_threshold(population: Population, dynamics: IntegerDynamics) -> tuple[FloatArray, ResetMode]:
    """The threshold in membrane units, and the reset."""
    if dynamics.reset_mode is ResetMode.VALUE or not np.any(dynamics.sub):
        none = dynamics.reset_mode is ResetMode.SUBTRACT
        return dynamics.fire.astype(np.float64) + 0.5, ResetMode.NONE if none else ResetMode.VALUE
    more = dynamics.sub - dynamics.fire
    if subtracts_other(dynamics):
        if population.max_spikes > 1:
            raise ModelError(
                "float neurons that fire several times in a step subtract their threshold, so sub is fire or fire + 1: "
                f"population {quoted(population.name)} differs by {int(np.min(more))} to {int(np.max(more))}; "
                "run it as integers"
            )
        return dynamics.fire.astype(np.float64) + 0.5, ResetMode.SUBTRACT
    return dynamics.fire.astype(np.float64) + 0.5 * more + 0.25, ResetMode.SUBTRACT

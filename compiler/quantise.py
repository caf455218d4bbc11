"""Quantisation: a float network becomes an integer network of the arithmetic contract (docs/arithmetic.md).

Weights become symmetric fixed-point codes with one scale per post neuron, found by a clip search; a readout (LI) has
one scale for all its neurons, as its membranes are compared. The scale is folded into the neuron's constants: a
membrane unit is scale / 2^F. Threshold, reset and bias round to membrane units, with

    fire = floor(threshold / unit) for `>`, ceil(threshold / unit) - 1 for `>=`     exact on integer membranes
    sub, v_reset, bias = round(x / unit)                                            off by half a unit at most

The leak's c and k, the fraction bits F and the state's width are the cheapest that keep the spikes of the calibration
samples; without samples they follow from bounds alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from ..hdl.errors import ModelError, OptionError
from .bounds import reachable_membranes, signed_bits
from .calibration import (
    NeuronModel,
    Response,
    Spikes,
    calibration_inputs,
    currents,
    integer_leak,
    observe,
    real_model,
)
from .folding import Folded, fold
from .ir import (
    IF,
    LI,
    LIF,
    Arithmetic,
    CubaLIF,
    Decay,
    Dense,
    Dynamics,
    Fire,
    FloatArray,
    IntArray,
    IntegerDynamics,
    Kind,
    Network,
    Population,
    Projection,
    Quantised,
    ResetMode,
)
from .leak import choose_decay, digit_count, most_exact_decay
from .scales import Activity, codes_of, largest_code, search_scales
from .verifier import MAX_WEIGHT_BITS, quoted, verify

MIN_WEIGHT_BITS = 2
MIN_STATE_BITS, MAX_STATE_BITS = 8, 24
MARGIN = 2
"""The membrane holds this many times the largest calibrated one, where no tighter bound is proven."""

MAX_FRACTION_BITS = 12
UNMEASURED_FRACTION_BITS = 8
CONSTANT_SPAN = 256
"""A neuron's threshold or bias is at most this many times its largest weight; beyond, its scale is raised (so that one
neuron that hardly ever fires does not widen the whole population's membranes)."""

TOLERANCE = 0.005
SHARE_OF_WEIGHTS = 1 / 8
"""A cheaper leak, or fewer fraction bits, may change this share of a population's spikes beyond the best choice, or
this share of what the weights' own rounding changes, whichever is more."""

UNMEASURED_RATE = 0.1
"""How often pre neurons fire where no samples say it."""

QUIET_VARIANCE = 1e-6
"""What keeps the weights of pre neurons that no sample activates from being arbitrary."""

FEW_SPIKES = 64
"""Fewer calibration spikes than this say nothing about a population."""


def quantise(network: Network, bits: int, calibration: npt.NDArray[Any] | None = None) -> Network:
    """The integer network of a float network, with weights of `bits` (2 to 16).

    `calibration` are input samples, integers [samples, steps, inputs...]. Zero weights stay zero. Deterministic.
    Raises OptionError for bits out of range, SampleError for bad samples, ModelError for what integers cannot express.
    """
    check_bits(bits)
    verify(network)
    if network.is_integer:
        raise ModelError(f"quantisation starts from a float network: {quoted(network.name)} is an integer network")
    folded = [fold(network, population) for population in network.populations]
    sources = None
    if calibration is not None:
        sources = observe(network, folded, calibration_inputs(network, calibration))
    populations: list[Population] = []
    projections: dict[int, Projection] = {}
    for item in folded:
        weights = _quantise_weights(item, bits, sources)
        population, shift = _quantise_neurons(network, item, weights, sources)
        populations.append(population)
        for projection, quantised in zip(item.projections, weights, strict=True):
            projections[id(projection)] = replace(projection, connectivity=Dense(weights=quantised), shift=shift)
    result = replace(
        network, populations=tuple(populations), projections=tuple(projections[id(p)] for p in network.projections)
    )
    result = replace(result, populations=tuple(_tightened(result, p) for p in result.populations))
    verify(result)
    return result


def check_bits(bits: int) -> None:
    """OptionError where weights cannot have this many bits."""
    if isinstance(bits, bool) or not isinstance(bits, int) or not MIN_WEIGHT_BITS <= bits <= MAX_WEIGHT_BITS:
        raise OptionError(f"weights have {MIN_WEIGHT_BITS} to {MAX_WEIGHT_BITS} bits: got {bits!r}")


# ----------------------------------------------------------------------------------------------------- weights


def _quantise_weights(folded: Folded, bits: int, sources: Mapping[str, Spikes] | None) -> list[Quantised]:
    weights = np.concatenate(folded.weights)
    scale = _scales(folded, weights, _activity(folded, sources), bits)
    return [Quantised(codes=codes_of(w, scale, bits), bits=bits, scale=scale) for w in folded.weights]


def _activity(folded: Folded, sources: Mapping[str, Spikes] | None) -> Activity:
    """How active the pre neurons of all projections are, in their order; without samples all alike."""
    if sources is None:
        size = sum(len(w) for w in folded.weights)
        return Activity(np.full(size, UNMEASURED_RATE), np.full(size, UNMEASURED_RATE * (1 - UNMEASURED_RATE)))
    x = np.concatenate(
        [sources[p.pre].reshape(-1, len(w)) for p, w in zip(folded.projections, folded.weights, strict=True)], axis=1
    )
    mean, variance = x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64)
    return Activity(mean, variance + 0.01 * variance.mean() + QUIET_VARIANCE)


def _scales(folded: Folded, weights: FloatArray, activity: Activity, bits: int) -> FloatArray:
    """The real value of a weight unit for each neuron."""
    shared = not folded.spiking
    limit = largest_code(bits)
    bias = np.abs(folded.bias).max(keepdims=True) if shared else np.abs(folded.bias)
    scales = search_scales(weights, activity, bits, shared)
    scales = np.where(scales > 0, scales, bias / limit)  # without synapses the bias is the only weight
    scales = np.broadcast_to(np.where(scales > 0, scales, 1.0), (weights.shape[1],))
    constants = np.maximum.reduce([np.abs(x) for x in (folded.threshold, folded.sub, folded.v_reset, folded.bias)])
    if shared:
        constants = constants.max(keepdims=True)
    return np.maximum(scales, constants / min(limit * CONSTANT_SPAN, 1 << (MAX_STATE_BITS - 2)))


# ----------------------------------------------------------------------------------------------------- neurons


@dataclass(frozen=True)
class _Constants:
    """A neuron's constants in membrane units."""

    fire: IntArray
    sub: IntArray
    v_reset: IntArray
    bias: IntArray

    @property
    def bits(self) -> int:
        """The two's complement width that holds them all."""
        values = (self.fire, self.sub, self.v_reset, self.bias)
        return signed_bits(min(int(v.min()) for v in values), max(int(v.max()) for v in values))


def _constants(folded: Folded, scale: FloatArray, fraction_bits: int) -> _Constants:
    units = [Fraction(s) / (1 << fraction_bits) for s in scale.tolist()]
    threshold = [Fraction(t) / unit for t, unit in zip(folded.threshold.tolist(), units, strict=True)]
    floor = folded.fire is Fire.GT
    fire = [math.floor(t) if floor else math.ceil(t) - 1 for t in threshold]
    return _Constants(
        fire=np.array(fire, np.int64),
        sub=_rounded(folded.sub, units),
        v_reset=_rounded(folded.v_reset, units),
        bias=_rounded(folded.bias, units),
    )


def _rounded(values: FloatArray, units: Sequence[Fraction]) -> IntArray:
    """values / units to the nearest integer, ties up, exactly."""
    half = Fraction(1, 2)
    return np.array([math.floor(Fraction(v) / u + half) for v, u in zip(values.tolist(), units, strict=True)], np.int64)


def _quantise_neurons(
    network: Network, folded: Folded, weights: Sequence[Quantised], sources: Mapping[str, Spikes] | None
) -> tuple[Population, int]:
    """The integer population, with the widest membrane, and its projections' shift."""
    scale = np.broadcast_to(weights[0].scale, (folded.population.size,))
    widest = MAX_STATE_BITS - _constants(folded, scale, 0).bits
    trial = None if sources is None else _Trial.of(network, folded, weights, scale, sources, max(0, widest))
    if trial is None or not trial.informative:
        decay, decay_syn = _unmeasured_decays(folded)
        roomy = MAX_STATE_BITS - _proven_bits(folded, weights, network.x_max)
        fraction_bits = max(0, min(_starting_fraction_bits(folded), UNMEASURED_FRACTION_BITS, widest, roomy))
    else:
        decay, decay_syn = trial.choose_decays()
        fraction_bits = trial.choose_fraction_bits(decay, decay_syn)
    observed = None if trial is None else trial.largest_state(fraction_bits, decay, decay_syn)
    constants = _constants(folded, scale, fraction_bits)
    dynamics = IntegerDynamics(
        kind=_kind(folded),
        fire=constants.fire,
        sub=constants.sub,
        v_reset=constants.v_reset,
        decay=decay,
        decay_syn=decay_syn,
        drive=folded.drive,
        reset_mode=ResetMode.VALUE if folded.reset_mode is ResetMode.VALUE else ResetMode.SUBTRACT,
        reset_place=folded.reset_place,
        state_bits=_calibrated_bits(constants, observed),
        fraction_bits=fraction_bits,
        scale=scale,
    )
    return replace(folded.population, dynamics=dynamics, bias=constants.bias), fraction_bits


def _kind(folded: Folded) -> Kind:
    dynamics = folded.population.dynamics
    assert not isinstance(dynamics, IntegerDynamics)
    return dynamics.kind


def _unmeasured_decays(folded: Folded) -> tuple[Decay | None, Decay | None]:
    decay = choose_decay(folded.beta, None, 0.0) if folded.leaky else None
    decay_syn = None if folded.alpha is None else choose_decay(folded.alpha, None, 0.0)
    return decay, decay_syn


def _starting_fraction_bits(folded: Folded) -> int:
    """log2(1/leak) + 2 for the slowest leak: below, nearest rounding lets a membrane of several units stand still."""
    leaks = [1.0 - folded.beta] + ([] if folded.alpha is None else [1.0 - folded.alpha])
    slowest = min((float(x[x > 0].min()) for x in leaks if np.any(x > 0)), default=0.25)
    return math.ceil(-math.log2(slowest)) + 2


def _proven_bits(folded: Folded, weights: Sequence[Quantised], x_max: int) -> int:
    """A width that every membrane fits without fraction bits: the largest input, added up over the leak."""
    drive = sum(np.abs(w.codes).sum(axis=0, dtype=np.float64) for w in weights) * x_max
    drive = drive + np.abs(folded.bias) / weights[0].scale
    for keep in (folded.alpha, folded.beta):
        if keep is not None:
            drive = drive / np.where(keep < 1, 1.0 - keep, 1.0)
    return 2 + math.ceil(math.log2(max(1.0, float(drive.max()))))


def _calibrated_bits(constants: _Constants, observed: float | None) -> int:
    if observed is None:
        return MAX_STATE_BITS
    reach = math.ceil(MARGIN * observed)
    return min(MAX_STATE_BITS, max(MIN_STATE_BITS, constants.bits, signed_bits(-reach, reach)))


def _tightened(network: Network, population: Population) -> Population:
    """The population with the narrowest membrane that is proven not to saturate, where that is narrower."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    reach = reachable_membranes(network, population)
    if reach is None:
        return population
    constants = _Constants(dynamics.fire, dynamics.sub, dynamics.v_reset, population.bias)
    proven = max(MIN_STATE_BITS, constants.bits, signed_bits(*reach))
    return replace(population, dynamics=replace(dynamics, state_bits=min(dynamics.state_bits, proven)))


# ---------------------------------------------------------------------------------------------- choices on data


@dataclass(frozen=True, eq=False)
class _Trial:
    """One population on calibration samples: its integer forms against its real neurons with the same weights."""

    folded: Folded
    scale: FloatArray
    drive: FloatArray
    """Integer sums of codes times inputs [steps, samples, neurons], without bias."""
    target: Response
    finest: int
    """The most fraction bits that are tried."""
    tolerance: float

    @classmethod
    def of(
        cls,
        network: Network,
        folded: Folded,
        weights: Sequence[Quantised],
        scale: FloatArray,
        sources: Mapping[str, Spikes],
        widest: int,
    ) -> _Trial:
        codes = [w.codes.astype(np.float64) for w in weights]
        drive = currents(network, folded, codes, np.zeros(len(scale)), sources)
        target = real_model(folded).respond(drive * scale + folded.bias)
        finest = min(MAX_FRACTION_BITS, widest, _starting_fraction_bits(folded) + 2)
        original = real_model(folded).respond(currents(network, folded, folded.weights, folded.bias, sources))
        tolerance = max(TOLERANCE, SHARE_OF_WEIGHTS * _change(target, original, folded.spiking))
        return cls(folded, scale, drive, target, finest, tolerance)

    @property
    def informative(self) -> bool:
        if self.folded.spiking:
            return bool(np.count_nonzero(self.target.spikes) >= FEW_SPIKES)
        return bool(self.target.membranes.any())

    def choose_decays(self) -> tuple[Decay | None, Decay | None]:
        """The leaks of membrane and synapse, each chosen while the other is exact."""
        folded = self.folded
        if not folded.leaky:
            return None, None
        finest = self.finest
        syn = None
        if folded.alpha is not None:
            exact = most_exact_decay(folded.beta)
            syn = choose_decay(folded.alpha, lambda d: self.change(finest, exact, d), self.tolerance)
        return choose_decay(folded.beta, lambda d: self.change(finest, d, syn), self.tolerance), syn

    def choose_fraction_bits(self, decay: Decay | None, decay_syn: Decay | None) -> int:
        """The fewest fraction bits that change hardly more spikes than the finest."""
        allowed = self.change(self.finest, decay, decay_syn) + self.tolerance
        for fraction_bits in range(self.finest):
            if self.change(fraction_bits, decay, decay_syn) <= allowed:
                return fraction_bits
        return self.finest

    def change(self, fraction_bits: int, decay: Decay | None, decay_syn: Decay | None) -> float:
        """The share of spikes that the integer form changes, or a readout's relative membrane error."""
        response = self._respond(fraction_bits, decay, decay_syn)
        unit = self.scale / (1 << fraction_bits)
        return _change(replace(response, membranes=response.membranes * unit), self.target, self.folded.spiking)

    def largest_state(self, fraction_bits: int, decay: Decay | None, decay_syn: Decay | None) -> float:
        """The largest magnitude of a state in membrane units."""
        return self._respond(fraction_bits, decay, decay_syn).largest

    def _respond(self, fraction_bits: int, decay: Decay | None, decay_syn: Decay | None) -> Response:
        constants = _constants(self.folded, self.scale, fraction_bits)
        model = NeuronModel(
            threshold=constants.fire.astype(np.float64),
            sub=constants.sub.astype(np.float64),
            v_reset=constants.v_reset.astype(np.float64),
            leak=None if decay is None else integer_leak(decay),
            leak_syn=None if decay_syn is None else integer_leak(decay_syn),
            fire=Fire.GT,
            spiking=self.folded.spiking,
            reset_mode=self.folded.reset_mode,
            reset_place=self.folded.reset_place,
            drive=self.folded.drive,
        )
        return model.respond(self.drive * (1 << fraction_bits) + constants.bias)


def _change(response: Response, target: Response, spiking: bool) -> float:
    """The share of the target's spikes that changed, or a readout's relative root mean square membrane error."""
    if spiking:
        return int(np.sum(response.spikes != target.spikes)) / max(1, int(np.sum(target.spikes)))
    power = float(np.mean(target.membranes**2))
    return math.sqrt(float(np.mean((response.membranes - target.membranes) ** 2)) / power) if power else 0.0


# ---------------------------------------------------------------------------------------------------- the report


@dataclass(frozen=True, kw_only=True)
class PopulationError:
    """How far a quantised population is from its float original; every figure is the worst neuron's.

    `weights` is the root mean square error of a neuron's weights, relative to their root mean square; `threshold` and
    `bias` are relative to the threshold (for a readout `bias` is in real units); `leak` is the error of 1 - beta,
    relative, `leak_syn` that of 1 - alpha. `leak_digits` counts the shift-and-add terms of the membrane's leak.
    `saturation_excluded` says that no input whatever saturates the membrane.
    """

    population: str
    weight_bits: int
    weights: float
    threshold: float
    bias: float
    leak: float
    leak_syn: float
    leak_digits: int
    fraction_bits: int
    state_bits: int
    saturation_excluded: bool


def quantisation_error(float_network: Network, integer_network: Network) -> tuple[PopulationError, ...]:
    """What `quantise` cost, population by population, for the report."""
    return tuple(
        _population_error(fold(float_network, before), integer_network, after)
        for before, after in zip(float_network.populations, integer_network.populations, strict=True)
    )


def _population_error(folded: Folded, network: Network, population: Population) -> PopulationError:
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    unit = dynamics.scale / (1 << dynamics.fraction_bits)
    subtracts = folded.spiking and folded.reset_mode is ResetMode.SUBTRACT
    threshold = dynamics.sub * unit - folded.sub if subtracts else (dynamics.fire + 0.5) * unit - folded.threshold
    reach = reachable_membranes(network, population)
    projections = network.projections_into(population.name)
    return PopulationError(
        population=population.name,
        weight_bits=max(_quantised(p).bits for p in projections),
        weights=_weight_error(folded, projections),
        threshold=_relative(threshold, folded.threshold) if folded.spiking else 0.0,
        bias=_relative(population.bias * unit - folded.bias, folded.threshold),
        leak=_leak_error(folded.beta, dynamics.decay),
        leak_syn=0.0 if folded.alpha is None else _leak_error(folded.alpha, dynamics.decay_syn),
        leak_digits=0 if dynamics.decay is None else digit_count(dynamics.decay),
        fraction_bits=dynamics.fraction_bits,
        state_bits=dynamics.state_bits,
        saturation_excluded=reach is not None and signed_bits(*reach) <= dynamics.state_bits,
    )


def _quantised(projection: Projection) -> Quantised:
    assert isinstance(projection.weights, Quantised)
    return projection.weights


def _relative(error: FloatArray, reference: FloatArray) -> float:
    return float(np.max(np.abs(error) / np.where(reference != 0, np.abs(reference), 1.0)))


def _weight_error(folded: Folded, projections: Sequence[Projection]) -> float:
    real = np.concatenate(folded.weights)
    integer = np.concatenate([_quantised(p).dequantise() for p in projections])
    power = (real**2).sum(axis=0)
    return float(np.sqrt(np.max(((integer - real) ** 2).sum(axis=0) / np.where(power > 0, power, 1.0))))


def _leak_error(keep: FloatArray, decay: Decay | None) -> float:
    share = 0.0 if decay is None else decay.c / (1 << decay.k)
    return _relative(share - (1.0 - keep), 1.0 - keep)


# --------------------------------------------------------------------------------------------------- dequantise


def dequantise(network: Network) -> Network:
    """The float view of an integer network: the same real weights, thresholds and leaks, without rounding.

    On integer membranes its thresholds decide as the integers do: they stand between `fire` and `fire` + 1, and round
    to `sub`. Raises ModelError where `sub` is neither `fire` nor `fire` + 1, as a float neuron subtracts its threshold.
    """
    verify(network)
    if not network.is_integer:
        raise ModelError(f"dequantisation starts from an integer network: {quoted(network.name)} is a float network")
    populations = tuple(_dequantised_population(p) for p in network.populations)
    projections = tuple(
        replace(p, connectivity=Dense(weights=_quantised(p).dequantise()), shift=0) for p in network.projections
    )
    return replace(network, populations=populations, projections=projections, dtype="float64")


def _dequantised_population(population: Population) -> Population:
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    unit = dynamics.scale / (1 << dynamics.fraction_bits)
    return replace(population, dynamics=_float_dynamics(population, dynamics, unit), bias=population.bias * unit)


def _float_dynamics(population: Population, dynamics: IntegerDynamics, unit: FloatArray) -> Dynamics:
    beta = None if dynamics.decay is None else 1.0 - dynamics.decay.c / (1 << dynamics.decay.k)
    if dynamics.kind is Kind.LI:
        return LI(beta=_given(beta), arithmetic=Arithmetic.DECAY)
    threshold, mode = _float_threshold(population, dynamics)
    common: dict[str, Any] = {
        "threshold": threshold * unit,
        "v_reset": dynamics.v_reset * unit,
        "reset_mode": mode,
        "reset_place": dynamics.reset_place,
        "fire": Fire.GT,
    }
    if dynamics.kind is Kind.IF:
        return IF(**common)
    if dynamics.kind is Kind.LIF:
        return LIF(beta=_given(beta), arithmetic=Arithmetic.DECAY, **common)
    assert dynamics.decay_syn is not None
    alpha = 1.0 - dynamics.decay_syn.c / (1 << dynamics.decay_syn.k)
    return CubaLIF(alpha=alpha, beta=_given(beta), drive=dynamics.drive, arithmetic=Arithmetic.DECAY, **common)


def _given(value: FloatArray | None) -> FloatArray:
    assert value is not None
    return value


def _float_threshold(population: Population, dynamics: IntegerDynamics) -> tuple[FloatArray, ResetMode]:
    """The threshold in membrane units, and the reset."""
    if dynamics.reset_mode is ResetMode.VALUE or not np.any(dynamics.sub):
        none = dynamics.reset_mode is ResetMode.SUBTRACT
        return dynamics.fire.astype(np.float64) + 0.5, ResetMode.NONE if none else ResetMode.VALUE
    more = dynamics.sub - dynamics.fire
    if np.any((more != 0) & (more != 1)):
        raise ModelError(
            f"a float neuron subtracts its threshold, so sub is fire or fire + 1: population {quoted(population.name)} "
            f"differs by {int(np.min(more))} to {int(np.max(more))}; run it as integers"
        )
    return dynamics.fire.astype(np.float64) + 0.5 * more + 0.25, ResetMode.SUBTRACT

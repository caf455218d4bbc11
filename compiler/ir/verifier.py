"""The rules that every network obeys, at the float and at the integer level.

Passes and executors do not check their input: they call `verify`, or are only reachable through something that did.
A network is frozen and its arrays read-only, so that one that was found valid stays so: `verify` remembers it, and the
rules run once per network, where it comes in and after each pass that makes another one. Each rule is one function
that raises `ModelError` with the name of the node at fault. The file is long as all rules stand in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, quoted
from ..names import SCHEMES
from .bounds import drive_bounds
from .connectivity import Connectivity, Quantised
from .maps import as_map
from .network import INPUT, Network, Population, Projection
from .neurons import (
    MODELS,
    Arithmetic,
    Decay,
    Drive,
    Fire,
    IntegerDynamics,
    Kind,
    ResetMode,
    ResetPlace,
    Rounding,
)

MAX_X = 255
MAX_DELAY = 4095
MAX_SHIFT = 24
MAX_DECAY_SHIFT = 30
MAX_STATE_BITS = 32
MAX_WEIGHT_BITS = 16
SUM_BITS = 62
"""Whatever one step adds up must fit a signed integer of this width, so that 64-bit executors never overflow."""

MAX_REAL = 1e30
"""Real parameters are at most this large, so that products and squares of them stay finite."""

DTYPES = ("float32", "float64")

_CHOICES: dict[str, type[StrEnum]] = {
    "reset_mode": ResetMode,
    "reset_place": ResetPlace,
    "fire": Fire,
    "arithmetic": Arithmetic,
    "drive": Drive,
}


_DECAYS = ("decay", "decay_syn", "decay_a")
"""The fields of an integer population that may hold a decay."""

_VALID: WeakSet[Network] = WeakSet()
"""The networks, as long as they live, that obey every rule."""


def verify(network: Network) -> None:
    """Check every rule of the IR, once; ModelError names the node that breaks the first broken one."""
    if network not in _VALID:
        _check_rules(network)
        _VALID.add(network)


def _check_rules(network: Network) -> None:
    _populations_exist(network)
    _names_unique(network)
    _sizes_positive(network)
    _network_fields(network)
    _output_exists(network)
    for projection in network.projections:
        _ends_exist(network, projection)
        _connectivity_known(projection)
    _levels_not_mixed(network)
    for population in network.populations:
        _parameter_shapes(population)
        _parameters_finite(population)
        _choices_known(population)
        _reset_combination(population)
        _own_subtraction(population)
        _floor_below_start(population)
        _several_spikes(population)
        _adaptation(population)
        _has_inputs(network, population)
        if isinstance(population.dynamics, IntegerDynamics):
            _integer_dynamics(population, population.dynamics)
        else:
            _decay_factors(population)
    for projection in network.projections:
        _connectivity_valid(projection)
        _weight_shape(network, projection)
        _weights_finite(projection)
        _delays_valid(network, projection)
        _shift_valid(network, projection)
        if projection.connectivity.is_integer:
            _codes_valid(network, projection, projection.connectivity.quantised)
    _evaluation_order(network)
    _readout_suits(network)
    _origin_plausible(network)
    if network.is_integer:
        for population in network.populations:
            _sums_fit(network, population)


# --------------------------------------------------------------------------------------------------- the graph


def _populations_exist(network: Network) -> None:
    if not network.populations:
        raise ModelError(f"a network has at least one population: {quoted(network.name)} has none; add one")


def _names_unique(network: Network) -> None:
    seen: set[str] = set()
    for population in network.populations:
        name = population.name
        if not isinstance(name, str) or not name:
            raise ModelError(f"a population's name is a string that is not empty: got {quoted(name)}; name it")
        if name == INPUT:
            raise ModelError(f"{INPUT!r} means the network's input: population {quoted(name)} uses it; rename it")
        if name in seen:
            raise ModelError(f"population names are unique: {quoted(name)} appears twice; rename one")
        seen.add(name)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and all(_is_integer(n) and n > 0 for n in shape)


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _sizes_positive(network: Network) -> None:
    if not _is_shape(network.input_shape):
        raise ModelError(
            f"a shape holds positive integers: the input of {quoted(network.name)} has {quoted(network.input_shape)}"
        )
    for population in network.populations:
        if not _is_shape(population.shape):
            raise ModelError(
                f"a shape holds positive integers: population {quoted(population.name)} has {quoted(population.shape)}"
            )


def _network_fields(network: Network) -> None:
    if not _is_integer(network.x_max) or not 1 <= network.x_max <= MAX_X:
        raise ModelError(f"x_max, the largest input value, is 1 to {MAX_X}: got {quoted(network.x_max)}")
    if not _is_integer(network.x_min) or not -network.x_max <= network.x_min <= 0:
        raise ModelError(
            f"x_min, the smallest input value, is -x_max ({-network.x_max}) to 0: got {quoted(network.x_min)}"
        )
    if network.x_min < 0 and network.input_shape[0] % 2:
        raise ModelError(
            f"signed inputs are two for each: the input of {quoted(network.name)} has the shape {network.input_shape}"
        )
    if network.dtype not in DTYPES:
        raise ModelError(f"dtype is one of {', '.join(DTYPES)}: got {quoted(network.dtype)}; convert the model first")
    if network.dt is not None and not (math.isfinite(network.dt) and network.dt > 0):
        raise ModelError(f"the time step dt is a positive number of seconds: got {network.dt}")


def _output_exists(network: Network) -> None:
    names = [p.name for p in network.populations]
    if network.output not in names:
        raise ModelError(f"the output is a population: {quoted(network.output)} is none; use {quoted(names[-1])}")


def _readout_suits(network: Network) -> None:
    if network.readout is None:
        return
    output = network.population(network.output)
    problem = network.readout.problem(output.size, network.output_fires)
    if problem is not None:
        raise ModelError(f"{problem}; the output is {quoted(output.name)}")


def _origin_plausible(network: Network) -> None:
    problem = None if network.origin is None else network.origin.problem(len(network.populations))
    if problem is not None:
        raise ModelError(f"{problem}; compress the network again")


def _levels_not_mixed(network: Network) -> None:
    for population in network.populations:
        if type(population.dynamics) not in (*(model.dynamics for model in MODELS.values()), IntegerDynamics):
            raise ModelError(
                f"dynamics are {', '.join(MODELS)} or their integer form: population {quoted(population.name)} "
                f"has {type(population.dynamics).__name__}"
            )
    first = network.populations[0]
    integer = isinstance(first.dynamics, IntegerDynamics)
    level = "integer" if integer else "float"
    for population in network.populations:
        if isinstance(population.dynamics, IntegerDynamics) != integer:
            raise ModelError(
                f"a network is float or integer as a whole: {quoted(first.name)} is {level}, population "
                f"{quoted(population.name)} is not; quantise the network as a whole"
            )
    for projection in network.projections:
        if projection.connectivity.is_integer != integer:
            raise ModelError(
                f"a network is float or integer as a whole: the populations are {level}, {_title(projection)} is not; "
                "quantise the network as a whole"
            )


def _has_inputs(network: Network, population: Population) -> None:
    if not network.projections_into(population.name):
        raise ModelError(
            f"every population has a projection into it: {quoted(population.name)} has none; connect or remove it"
        )


def _evaluation_order(network: Network) -> None:
    position = {p.name: i for i, p in enumerate(network.populations)}
    for projection in network.projections:
        if projection.pre == INPUT or position[projection.pre] < position[projection.post]:
            continue
        if not projection.step_edge or np.min(projection.delay) < 1:
            raise ModelError(
                f"populations stand in evaluation order and every cycle has a delay: {_title(projection)} has none "
                "and does not lead to a later population; reorder the populations or give it a delay of a step"
            )


# ------------------------------------------------------------------------------------------------- populations


def _parameters(population: Population) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    dynamics = population.dynamics
    if isinstance(dynamics, IntegerDynamics):
        for name in ("fire", "sub", "v_reset", "v_min", "jump", "scale"):
            if getattr(dynamics, name) is not None:
                yield name, getattr(dynamics, name)
        for name in _DECAYS:
            decay = getattr(dynamics, name)
            if isinstance(decay, Decay):
                yield f"{name}.c", decay.c
    else:
        yield from MODELS[dynamics.kind].parameters(dynamics).items()
    yield "bias", population.bias


def _parameter_shapes(population: Population) -> None:
    for name, value in _parameters(population):
        if not isinstance(value, np.ndarray) or value.shape not in ((), (population.size,)):
            shape = value.shape if isinstance(value, np.ndarray) else type(value).__name__
            raise ModelError(
                f"a parameter is a scalar or has one entry per neuron ({population.size}): {name} of population "
                f"{quoted(population.name)} has shape {shape}"
            )


def _parameters_finite(population: Population) -> None:
    for name, value in _parameters(population):
        where = f"{name} of population {quoted(population.name)}"
        if not np.all(np.isfinite(value)):
            raise ModelError(f"parameters are finite: {where} holds NaN or Inf; retrain or repair it")
        if np.max(np.abs(value)) > MAX_REAL:
            raise ModelError(
                f"parameters are at most {MAX_REAL:g}: {where} holds {np.max(np.abs(value)):g}; rescale it"
            )


def _choices_known(population: Population) -> None:
    for name, choices in _CHOICES.items():
        value = getattr(population.dynamics, name, None)
        if value is None or isinstance(value, np.ndarray):
            continue
        if not isinstance(value, choices):
            raise ModelError(
                f"{name} is one of {', '.join(choices)}: population {quoted(population.name)} has {quoted(value)}"
            )


def _reset_combination(population: Population) -> None:
    dynamics = population.dynamics
    mode = getattr(dynamics, "reset_mode", None)  # what never fires has none
    if isinstance(dynamics, IntegerDynamics) and mode is ResetMode.NONE:
        raise ModelError(
            f"an integer reset is subtract or value: population {quoted(population.name)} has none; "
            "use subtract with sub = 0"
        )
    if mode is ResetMode.VALUE and getattr(dynamics, "reset_place", None) is ResetPlace.SNNTORCH_SAME:
        raise ModelError(
            f"reset place snntorch_same subtracts: population {quoted(population.name)} resets to a value; use same"
        )


def _own_subtraction(population: Population) -> None:
    """What real neurons subtract in place of their threshold."""
    dynamics, name = population.dynamics, quoted(population.name)
    if isinstance(dynamics, IntegerDynamics) or getattr(dynamics, "sub", None) is None:
        return
    if (mode := getattr(dynamics, "reset_mode", None)) is not ResetMode.SUBTRACT:
        raise ModelError(f"sub is what a subtracting reset takes: population {name} has reset {mode}; leave it out")
    if population.max_spikes > 1:
        raise ModelError(
            f"neurons that fire several times in a step subtract their threshold: population {name} has max_spikes "
            f"{population.max_spikes} and sub; leave one of them out"
        )


def _floor_below_start(population: Population) -> None:
    floor = getattr(population.dynamics, "v_min", None)
    if floor is None:
        return
    above = floor > getattr(population.dynamics, "v_init", 0)
    if np.any(above):
        raise ModelError(
            "v_min, the floor of the membrane, is not above the membrane that a sample starts from: population "
            f"{quoted(population.name)} has {np.broadcast_to(floor, above.shape)[above][0]:g}; lower it"
        )


def _several_spikes(population: Population) -> None:
    dynamics, name = population.dynamics, quoted(population.name)
    most = getattr(dynamics, "max_spikes", None)
    if most is None:
        return
    if not _is_integer(most) or not 1 <= most <= MAX_X:
        raise ModelError(
            f"max_spikes, the spikes of a neuron in a step, is 1 to {MAX_X}: population {name} has {most!r}"
        )
    if most == 1:
        return
    if not population.fires:
        raise ModelError(f"max_spikes belongs to neurons that fire: population {name} is {dynamics.kind}; leave it out")
    mode, place = getattr(dynamics, "reset_mode", None), getattr(dynamics, "reset_place", None)
    if mode is not ResetMode.SUBTRACT or place is not ResetPlace.SAME:
        raise ModelError(
            f"neurons that fire several times in a step subtract in the same step: population {name} has max_spikes "
            f"{most}, reset {mode} and reset place {place}; use max_spikes 1, or subtract and same"
        )
    if not isinstance(dynamics, IntegerDynamics) and np.any(dynamics.threshold <= 0):  # type: ignore[union-attr]
        raise ModelError(
            f"neurons that fire several times in a step have thresholds above 0: population {name} has max_spikes "
            f"{most} and {np.min(dynamics.threshold):g}; use max_spikes 1, or raise it"  # type: ignore[union-attr]
        )


def _adaptation(population: Population) -> None:
    """A threshold that adapts: both of its parameters, and nothing that it does not go with."""
    dynamics, name = population.dynamics, quoted(population.name)
    share = "decay_a" if isinstance(dynamics, IntegerDynamics) else "rho"
    given = [field for field in (share, "jump") if getattr(dynamics, field, None) is not None]
    if not given:
        return
    if dynamics.kind is not Kind.LIF:
        raise ModelError(
            f"an adaptive threshold belongs to LIF neurons: population {name} is {dynamics.kind} and has "
            f"{' and '.join(given)}; leave it out"
        )
    if len(given) == 1:
        raise ModelError(
            f"an adaptive threshold has {share} and jump: population {name} has only {given[0]}; give both"
        )
    if population.max_spikes > 1:
        raise ModelError(
            f"a neuron whose threshold adapts fires once in a step at most: population {name} has max_spikes "
            f"{population.max_spikes}; leave one of them out"
        )
    mode, place = getattr(dynamics, "reset_mode", None), getattr(dynamics, "reset_place", None)
    if mode is ResetMode.NONE or place is ResetPlace.SNNTORCH_SAME:
        raise ModelError(
            f"a neuron whose threshold adapts resets, in the same step or the next: population {name} has reset {mode} "
            f"and reset place {place}; use subtract or value, and same or next"
        )


def _decay_factors(population: Population) -> None:
    model = MODELS[population.dynamics.kind]
    for name in sorted((*model.shares, *model.optional_shares)):
        value = getattr(population.dynamics, name)
        if value is not None and not np.all((value >= 0) & (value <= 1)):
            raise ModelError(
                f"{name} is the share that is kept in a step, 0 to 1: population {quoted(population.name)} has "
                f"{float(value.flat[np.argmax(np.abs(value - 0.5))]):g}"
            )
    arithmetic = getattr(population.dynamics, "arithmetic", Arithmetic.DECAY)
    if arithmetic is not Arithmetic.DECAY and np.any(population.dynamics.beta == 1):  # type: ignore[union-attr]
        raise ModelError(
            f"{arithmetic} arithmetic scales the input by the leak 1 - beta: population {quoted(population.name)} has "
            "beta 1, which ignores its input; make it an IF population"
        )


def _integer_dynamics(population: Population, dynamics: IntegerDynamics) -> None:
    name = quoted(population.name)
    if not isinstance(dynamics.kind, Kind):
        raise ModelError(f"kind is one of {', '.join(Kind)}: population {name} has {quoted(dynamics.kind)}")
    if not _is_integer(dynamics.state_bits) or not 2 <= dynamics.state_bits <= MAX_STATE_BITS:
        raise ModelError(f"state_bits is 2 to {MAX_STATE_BITS}: population {name} has {quoted(dynamics.state_bits)}")
    if not _is_integer(dynamics.fraction_bits) or not 0 <= dynamics.fraction_bits <= MAX_SHIFT:
        raise ModelError(f"fraction_bits is 0 to {MAX_SHIFT}: population {name} has {quoted(dynamics.fraction_bits)}")
    if not np.all(dynamics.scale > 0):
        raise ModelError(f"scales are positive: population {name} has {np.min(dynamics.scale):g}")
    if dynamics.v_min is not None and not population.fires:
        raise ModelError(
            f"v_min, the floor of the membrane, belongs to neurons that fire: population {name} is {dynamics.kind}; "
            "leave it out"
        )
    _decays_of_kind(population, dynamics)
    _constants_fit(population, dynamics)


def _decays_of_kind(population: Population, dynamics: IntegerDynamics) -> None:
    expected = MODELS[dynamics.kind].decays
    optional = [decay for decay, _ in MODELS[dynamics.kind].optional_shares.values()]
    for name in _DECAYS:
        decay = getattr(dynamics, name)
        if name not in optional and (decay is not None) != (name in expected):
            raise ModelError(
                f"an integer {dynamics.kind} has {' and '.join(expected) or 'no decay'}: {name} of "
                f"population {quoted(population.name)} is {'missing' if decay is None else 'one too many'}"
            )
        if decay is not None:
            _decay_valid(population, name, decay)


def _decay_valid(population: Population, name: str, decay: object) -> None:
    where = f"{name} of population {quoted(population.name)}"
    if not isinstance(decay, Decay):
        raise ModelError(f"a decay is a Decay(c, k, rounding): {where} is a {type(decay).__name__}")
    if not isinstance(decay.rounding, Rounding):
        raise ModelError(f"rounding is one of {', '.join(Rounding)}: {where} has {quoted(decay.rounding)}")
    if not _is_integer(decay.k) or not 0 <= decay.k <= MAX_DECAY_SHIFT:
        raise ModelError(f"a decay's k is 0 to {MAX_DECAY_SHIFT}: {where} has {quoted(decay.k)}")
    if not np.all((decay.c >= 0) & (decay.c <= 1 << decay.k)):
        raise ModelError(
            f"a decay's c is 0 to 2^k ({1 << decay.k}): {where} has {np.min(decay.c)} to {np.max(decay.c)}"
        )


def _constants_fit(population: Population, dynamics: IntegerDynamics) -> None:
    low, high = -(1 << (dynamics.state_bits - 1)), (1 << (dynamics.state_bits - 1)) - 1
    constants = {"fire": dynamics.fire, "sub": dynamics.sub, "v_reset": dynamics.v_reset, "bias": population.bias}
    names = ["fire", "sub", "v_reset", "bias"]
    for name, value in (("jump", dynamics.jump), ("v_min", dynamics.v_min)):
        if value is not None:
            names.append(name)
            constants[name] = value
    for name, value in constants.items():
        if not np.all((value >= low) & (value <= high)):
            raise ModelError(
                f"{', '.join(names[:-1])} and {names[-1]} fit the membrane's {dynamics.state_bits} bits ({low} to "
                f"{high}): {name} of population "
                f"{quoted(population.name)} has {np.min(value)} to {np.max(value)}; use more state_bits"
            )


# ------------------------------------------------------------------------------------------------- projections


def _title(projection: Projection) -> str:
    return f"projection {quoted(projection.pre)} -> {quoted(projection.post)}"


def _ends_exist(network: Network, projection: Projection) -> None:
    names = [p.name for p in network.populations]
    if projection.post not in names:
        raise ModelError(f"a projection ends at a population: {_title(projection)} ends at none; add it")
    if projection.pre != INPUT and projection.pre not in names:
        raise ModelError(
            f"a projection starts at a population or at {INPUT!r}: {_title(projection)} starts at neither; add it"
        )


def _connectivity_known(projection: Projection) -> None:
    if not isinstance(projection.connectivity, Connectivity):
        raise ModelError(
            f"connectivity is an object that answers for itself: {_title(projection)} has "
            f"{type(projection.connectivity).__name__}; use Dense, Convolution or Pooled"
        )


def _connectivity_valid(projection: Projection) -> None:
    problem = projection.connectivity.problem()
    if problem is not None:
        raise ModelError(f"{problem}; it is the {_title(projection)}")


def _weight_shape(network: Network, projection: Projection) -> None:
    expected, shape = (network.size_of(projection.pre), network.size_of(projection.post)), projection.connectivity.shape
    if shape != expected:
        raise ModelError(f"weights have the shape (pre, post) = {expected}: {_title(projection)} has {shape}")
    maps = projection.connectivity.pre_map, projection.connectivity.post_map
    for name, node, one in (("reads", projection.pre, maps[0]), ("writes", projection.post, maps[1])):
        own = as_map(network.input_shape if node == INPUT else network.population(node).shape)
        if one is not None and own not in (None, one):
            raise ModelError(f"a map has one shape: {_title(projection)} {name} {one} where {quoted(node)} is {own}")


def _weights_finite(projection: Projection) -> None:
    connectivity = projection.connectivity
    weights = connectivity.quantised.scale if connectivity.is_integer else connectivity.values
    if not np.all(np.isfinite(weights)):
        raise ModelError(f"weights are finite: {_title(projection)} holds NaN or Inf; retrain or repair it")
    if np.max(np.abs(weights)) > MAX_REAL:
        raise ModelError(f"weights are at most {MAX_REAL:g}: {_title(projection)} has more; rescale the network")


def _delays_valid(network: Network, projection: Projection) -> None:
    delay = projection.delay
    shape = projection.connectivity.shape if projection.connectivity.one_per_pair else projection.connectivity.shape[:1]
    if delay.shape not in ((), shape):
        whose = "synapse" if projection.connectivity.one_per_pair else "pre neuron where neurons share weights"
        raise ModelError(f"a delay is a scalar or one for each {whose} {shape}: {_title(projection)} has {delay.shape}")
    if not np.all((delay >= 0) & (delay <= MAX_DELAY)):
        raise ModelError(
            f"delays are 0 to {MAX_DELAY} steps: {_title(projection)} has {np.min(delay)} to {np.max(delay)}"
        )
    if projection.step_edge is not bool(np.any(delay)):
        raise ModelError(
            f"a step edge has a delay of a step or more: {_title(projection)} says {quoted(projection.step_edge)} and "
            f"has {np.max(delay)} steps; give it a delay, or make it no step edge"
        )


def _shift_valid(network: Network, projection: Projection) -> None:
    if not _is_integer(projection.shift) or not 0 <= projection.shift <= MAX_SHIFT:
        raise ModelError(f"a shift is 0 to {MAX_SHIFT}: {_title(projection)} has {quoted(projection.shift)}")
    if projection.shift and not network.is_integer:
        raise ModelError(f"a float projection has no shift: {_title(projection)} has {projection.shift}; use 0")


def _codes_valid(network: Network, projection: Projection, weights: Quantised) -> None:
    if weights.scheme not in SCHEMES:
        raise ModelError(
            f"a weight scheme is one of {', '.join(SCHEMES)}: {_title(projection)} has {quoted(weights.scheme)}"
        )
    if not _is_integer(weights.bits) or not 2 <= weights.bits <= MAX_WEIGHT_BITS:
        raise ModelError(f"weights have 2 to {MAX_WEIGHT_BITS} bits: {_title(projection)} has {quoted(weights.bits)}")
    limit = (1 << (weights.bits - 1)) - 1
    if not np.all((weights.codes >= -limit) & (weights.codes <= limit)):
        raise ModelError(
            f"{weights.bits}-bit weight codes are {-limit} to {limit}: {_title(projection)} has "
            f"{np.min(weights.codes)} to {np.max(weights.codes)}"
        )
    if weights.scale.shape not in ((), (network.size_of(projection.post),)) or not np.all(weights.scale > 0):
        raise ModelError(
            f"a weight scale is positive, a scalar or one per post neuron: {_title(projection)} has shape "
            f"{weights.scale.shape}, smallest {np.min(weights.scale, initial=np.inf):g}"
        )
    groups = projection.connectivity.scale_groups()
    if weights.scale.shape and np.any(weights.scale != weights.scale[np.unique(groups, return_index=True)[1]][groups]):
        raise ModelError(f"neurons that share weights share a scale: {_title(projection)} has several for one group")


def _sums_fit(network: Network, population: Population) -> None:
    low, high = drive_bounds(network, population)
    if max(-low, high) >= 1 << (SUM_BITS - 1):
        raise ModelError(
            f"what one step adds up fits {SUM_BITS} bits: population {quoted(population.name)} can reach "
            f"{max(-low, high)}; use a smaller shift or fewer bits"
        )

"""The neuron models: float dynamics as the frameworks have them, and the integer neuron of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .arrays import FloatArray, IntArray, array_fields, freeze, one, zero, zero_int


class ResetMode(StrEnum):
    """What a spike does to the membrane."""

    SUBTRACT = "subtract"
    VALUE = "value"
    NONE = "none"


class ResetPlace(StrEnum):
    """Where in the step the reset happens (DESIGN: arithmetic contract).

    With V the recorded membrane, u the membrane that is compared, s the spike, s_prev the spike of the step before:

    - `same`: u = decay(V) + I; s = fires(u); V = reset(u) if s else u
    - `next`, subtract: u = decay(V) + I - s_prev*threshold; s = fires(u); V = u
    - `next`, value: u = decay(v_reset if s_prev else V) + I; s = fires(u); V = u
    - `snntorch_same` (subtract only; snnTorch with `reset_delay=False`): r = fires(V);
      u = decay(V) + I - r*threshold; s = fires(u); V = u - (s - r)*threshold.

    Neurons with a `sub` of their own subtract that in place of the threshold. Neurons with a floor `v_min` end every
    step, whatever the place, with V = max(V, v_min). A threshold that adapts is `threshold + a` throughout. With
    `max_spikes` above 1 (`same`, subtract) comparison and subtraction repeat, so many times at most.
    """

    SAME = "same"
    NEXT = "next"
    SNNTORCH_SAME = "snntorch_same"


class Fire(StrEnum):
    """The comparison with the threshold."""

    GT = "gt"
    GE = "ge"


class Arithmetic(StrEnum):
    """The order of a framework's floating-point operations for one leaky integration.

    - `decay` (snnTorch, Sinabs): beta*V + r*I
    - `euler` (Norse, NIR): V + leak*((v_leak - V) + r*I), leak = 1 - beta = dt/tau
    - `euler_divide` (SpikingJelly): V + (r*I - (V - v_leak)) / tau, tau = 1/leak
    """

    DECAY = "decay"
    EULER = "euler"
    EULER_DIVIDE = "euler_divide"


class Drive(StrEnum):
    """Which synaptic current drives a CubaLIF membrane: that of this step, or (Norse) of the step before."""

    NEW = "new"
    OLD = "old"


class Rounding(StrEnum):
    """The r of decay(x) = x - ((x*c + r) >> k).

    `nearest`: r = 2^(k-1) (0 for k = 0); `floor`: r = 0; `toward_zero`: r = 2^k - 1 where x*c < 0, else 0.
    """

    NEAREST = "nearest"
    FLOOR = "floor"
    TOWARD_ZERO = "toward_zero"


class Kind(StrEnum):
    """The neuron models."""

    IF = "IF"
    LIF = "LIF"
    CUBALIF = "CubaLIF"
    LI = "LI"
    CUBALI = "CubaLI"


@dataclass(frozen=True, eq=False, kw_only=True)
class _FloatNeurons:
    """What the models at the float level share: read-only parameters, each a scalar or one per neuron."""

    kind: ClassVar[Kind]

    def __post_init__(self) -> None:
        freeze(self, array_fields(type(self)), np.float64)


@dataclass(frozen=True, eq=False, kw_only=True)
class IF(_FloatNeurons):
    """Integrate and fire: u = V + r*I, with `r` the gain of the input; see `ResetPlace` for the rest of the step.

    `max_spikes` is how often a neuron fires in a step at most; None is once. `sub` is what a subtracting reset takes;
    None is the threshold.
    """

    kind = Kind.IF

    threshold: FloatArray
    r: FloatArray = field(default_factory=one)
    v_reset: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    v_min: FloatArray | None = None
    sub: FloatArray | None = None
    max_spikes: int | None = None
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT


@dataclass(frozen=True, eq=False, kw_only=True)
class LIF(_FloatNeurons):
    """Leaky integrate and fire: u = beta*V + r*I + (1 - beta)*v_leak, in the order that `arithmetic` names.

    `beta` is the decay of one time step (1 - dt/tau; exactly the framework's value), `r` the gain of the input,
    `v_leak` the resting membrane, `v_init` the membrane at the start of a sample, `max_spikes` how often a neuron fires
    in a step at most (None: once), `sub` what a subtracting reset takes (None: the threshold).

    With `rho` and `jump` the threshold adapts (ALIF; Bellec et al., NeurIPS 2018): a = rho*a + s_prev*jump at the start
    of a step, from a = 0 at the start of a sample; in this step the threshold, as compared and as subtracted, is
    threshold + a.
    """

    kind = Kind.LIF

    beta: FloatArray
    threshold: FloatArray
    r: FloatArray = field(default_factory=one)
    v_leak: FloatArray = field(default_factory=zero)
    v_reset: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    v_min: FloatArray | None = None
    sub: FloatArray | None = None
    max_spikes: int | None = None
    rho: FloatArray | None = None
    jump: FloatArray | None = None
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT
    arithmetic: Arithmetic = Arithmetic.DECAY


@dataclass(frozen=True, eq=False, kw_only=True)
class CubaLIF(_FloatNeurons):
    """Current-based LIF: g = alpha*g + w_in*I; u = beta*V + r*drive + (1 - beta)*v_leak.

    `drive` is g (`new`) or the g of the step before (`old`, Norse). g starts a sample at 0. `max_spikes` is how often a
    neuron fires in a step at most; None is once. `sub` is what a subtracting reset takes; None is the threshold.
    """

    kind = Kind.CUBALIF

    alpha: FloatArray
    beta: FloatArray
    threshold: FloatArray
    w_in: FloatArray = field(default_factory=one)
    r: FloatArray = field(default_factory=one)
    v_leak: FloatArray = field(default_factory=zero)
    v_reset: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    v_min: FloatArray | None = None
    sub: FloatArray | None = None
    max_spikes: int | None = None
    drive: Drive = Drive.NEW
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT
    arithmetic: Arithmetic = Arithmetic.DECAY


@dataclass(frozen=True, eq=False, kw_only=True)
class LI(_FloatNeurons):
    """Leaky integrator, a readout that never fires: V = beta*V + r*I + (1 - beta)*v_leak."""

    kind = Kind.LI

    beta: FloatArray
    r: FloatArray = field(default_factory=one)
    v_leak: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    arithmetic: Arithmetic = Arithmetic.DECAY


@dataclass(frozen=True, eq=False, kw_only=True)
class CubaLI(_FloatNeurons):
    """Current-based LI, a readout that never fires: g = alpha*g + w_in*I; V = beta*V + r*drive + (1 - beta)*v_leak.

    `drive` is as in `CubaLIF`. g starts a sample at 0.
    """

    kind = Kind.CUBALI

    alpha: FloatArray
    beta: FloatArray
    w_in: FloatArray = field(default_factory=one)
    r: FloatArray = field(default_factory=one)
    v_leak: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    drive: Drive = Drive.NEW
    arithmetic: Arithmetic = Arithmetic.DECAY


@dataclass(frozen=True, eq=False, kw_only=True)
class Decay:
    """The integer leak: decay(x) = x - ((x*c + r) >> k), r from the rounding rule. 0 <= c <= 2^k."""

    c: IntArray
    k: int
    rounding: Rounding = Rounding.NEAREST

    def __post_init__(self) -> None:
        freeze(self, ("c",), np.int64)

    @property
    def kept(self) -> FloatArray:
        """The share that the leak leaves."""
        return np.asarray(1.0 - self.c / (1 << self.k))


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerDynamics:
    """The integer neuron of the arithmetic contract (DESIGN section 3); every executor from the reference on obeys it.

    `decay` is None for IF, `decay_syn` is there only for CubaLIF and CubaLI, `decay_a` and `jump` only for a LIF whose
    threshold adapts: a = sat(decay_a(a) + s_prev*jump) at the start of a step, and `fire` and `sub` are so much higher
    in it. `fire`, `sub`, `jump`, `v_reset`, `v_min` and the population's bias are in membrane units: `scale` is the
    real value of one weight unit per neuron, a membrane unit `scale / 2**fraction_bits`. A spike is u > fire; with
    `max_spikes` above 1 (None: 1) that is asked again after each subtraction, so many times at most. `state_bits` is
    the two's complement width of V, g and a, to which they saturate; where there is a floor, V is `v_min` at least
    after that. `reset_mode` is `subtract` or `value` (`none` is subtract with sub = 0).
    """

    kind: Kind
    fire: IntArray
    sub: IntArray
    v_reset: IntArray = field(default_factory=zero_int)
    v_min: IntArray | None = None
    max_spikes: int | None = None
    jump: IntArray | None = None
    decay: Decay | None = None
    decay_syn: Decay | None = None
    decay_a: Decay | None = None
    drive: Drive = Drive.NEW
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    state_bits: int = 16
    fraction_bits: int = 0
    scale: FloatArray = field(default_factory=one)

    def __post_init__(self) -> None:
        freeze(self, ("fire", "sub", "v_reset", "v_min", "jump"), np.int64)
        freeze(self, ("scale",), np.float64)


FiringDynamics = IF | LIF | CubaLIF
"""Those that can fire; the others are readouts."""

FloatDynamics = FiringDynamics | LI | CubaLI


Dynamics = FloatDynamics | IntegerDynamics


# ------------------------------------------------------------------------------------------------------- records


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the compiler knows of a neuron model beside its step; its equation stands in `dynamics`.

    `shares` are the parameters that a state keeps of itself in a step, 0 to 1, each with the integer decay that it
    becomes; `optional_shares` those of a state that not every population of the model has, each with the constant that
    comes with it. `gains` multiply the input, each with the share of the filter that it leads into (None: of none).
    `nir` are the fields of the NIR node, each with the parameter that it is made of; those in `nir_optional` may be
    missing.
    """

    dynamics: type[FloatDynamics]
    fires: bool = True
    shares: Mapping[str, str]
    optional_shares: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    gains: Mapping[str, str | None]
    nir: Mapping[str, str]
    nir_optional: tuple[str, ...] = ()

    def parameters(self, dynamics: FloatDynamics) -> dict[str, FloatArray]:
        """The parameters that neurons of this model have, each a scalar or one per neuron."""
        values = {name: getattr(dynamics, name) for name in array_fields(self.dynamics)}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def decays(self) -> tuple[str, ...]:
        """The decays at the integer level."""
        return tuple(self.shares.values())


_FIRING = {"v_threshold": "threshold", "v_reset": "v_reset"}
_LEAKING = {"r": "r", "v_leak": "v_leak"}

MODELS: Mapping[Kind, Model] = {
    Kind.IF: Model(dynamics=IF, shares={}, gains={"r": None}, nir={"r": "r", **_FIRING}, nir_optional=("v_reset",)),
    Kind.LIF: Model(
        dynamics=LIF,
        shares={"beta": "decay"},
        optional_shares={"rho": ("decay_a", "jump")},
        gains={"r": "beta"},
        nir={"tau": "beta", **_LEAKING, **_FIRING},
        nir_optional=("v_reset",),
    ),
    Kind.CUBALIF: Model(
        dynamics=CubaLIF,
        shares={"beta": "decay", "alpha": "decay_syn"},
        gains={"r": "beta", "w_in": "alpha"},
        nir={"tau_mem": "beta", "tau_syn": "alpha", **_LEAKING, **_FIRING, "w_in": "w_in"},
        nir_optional=("v_reset", "w_in"),
    ),
    Kind.LI: Model(
        dynamics=LI,
        fires=False,
        shares={"beta": "decay"},
        gains={"r": "beta"},
        nir={"tau": "beta", **_LEAKING},
    ),
    Kind.CUBALI: Model(
        dynamics=CubaLI,
        fires=False,
        shares={"beta": "decay", "alpha": "decay_syn"},
        gains={"r": "beta", "w_in": "alpha"},
        nir={"tau_mem": "beta", "tau_syn": "alpha", **_LEAKING, "w_in": "w_in"},
        nir_optional=("w_in",),
    ),
}
"""The record of each neuron model; docs/adding_a_neuron.md says what else a new one needs."""


def several(max_spikes: int) -> int | None:
    """How often neurons fire in a step at most, as dynamics have it: None where it is once."""
    return int(max_spikes) if max_spikes > 1 else None


def subtracts_other(dynamics: IntegerDynamics) -> bool:
    """Whether a spike subtracts something else than the threshold: `sub` is neither `fire` nor `fire` + 1."""
    more = dynamics.sub - dynamics.fire
    return bool(np.any((more != 0) & (more != 1)))


def real_form(dynamics: IntegerDynamics, threshold: npt.NDArray[Any], reset_mode: ResetMode) -> FloatDynamics:
    """The float neurons that integer ones stand for, with a `threshold` in membrane units.

    They subtract it where the integers subtract what it may be rounded to, `fire` or `fire` + 1, else what those do.
    """
    model = MODELS[dynamics.kind]
    unit = dynamics.scale / (1 << dynamics.fraction_bits)
    values: dict[str, Any] = {
        "threshold": threshold * unit,
        "v_reset": dynamics.v_reset * unit,
        "v_min": None if dynamics.v_min is None else dynamics.v_min * unit,
        "sub": dynamics.sub * unit if reset_mode is ResetMode.SUBTRACT and subtracts_other(dynamics) else None,
        "max_spikes": dynamics.max_spikes,
        "jump": None if dynamics.jump is None else dynamics.jump * unit,
        "reset_mode": reset_mode,
        "reset_place": dynamics.reset_place,
        "drive": dynamics.drive,
    }
    optional = {share: name for share, (name, _) in model.optional_shares.items()}
    for share, name in {**model.shares, **optional}.items():
        decay: Decay | None = getattr(dynamics, name)
        values[share] = None if decay is None else decay.kept
    wanted = {f.name for f in fields(model.dynamics)}
    return model.dynamics(**{name: value for name, value in values.items() if name in wanted})

"""The neuron models: float dynamics as the frameworks have them, and the integer neuron of the contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from .arrays import FloatArray, IntArray, freeze, one, zero, zero_int


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


@dataclass(frozen=True, eq=False, kw_only=True)
class IF:
    """Integrate and fire: u = V + r*I, with `r` the gain of the input; see `ResetPlace` for the rest of the step."""

    threshold: FloatArray
    r: FloatArray = field(default_factory=one)
    v_reset: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT

    def __post_init__(self) -> None:
        freeze(self, ("threshold", "r", "v_reset", "v_init"), np.float64)

    @property
    def kind(self) -> Kind:
        return Kind.IF


@dataclass(frozen=True, eq=False, kw_only=True)
class LIF:
    """Leaky integrate and fire: u = beta*V + r*I + (1 - beta)*v_leak, in the order that `arithmetic` names.

    `beta` is the decay of one time step (1 - dt/tau; exactly the framework's value), `r` the gain of the input,
    `v_leak` the resting membrane, `v_init` the membrane at the start of a sample.
    """

    beta: FloatArray
    threshold: FloatArray
    r: FloatArray = field(default_factory=one)
    v_leak: FloatArray = field(default_factory=zero)
    v_reset: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT
    arithmetic: Arithmetic = Arithmetic.DECAY

    def __post_init__(self) -> None:
        freeze(self, ("beta", "threshold", "r", "v_leak", "v_reset", "v_init"), np.float64)

    @property
    def kind(self) -> Kind:
        return Kind.LIF


@dataclass(frozen=True, eq=False, kw_only=True)
class CubaLIF:
    """Current-based LIF: g = alpha*g + w_in*I; u = beta*V + r*drive + (1 - beta)*v_leak.

    `drive` is g (`new`) or the g of the step before (`old`, Norse). g starts a sample at 0.
    """

    alpha: FloatArray
    beta: FloatArray
    threshold: FloatArray
    w_in: FloatArray = field(default_factory=one)
    r: FloatArray = field(default_factory=one)
    v_leak: FloatArray = field(default_factory=zero)
    v_reset: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    drive: Drive = Drive.NEW
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT
    arithmetic: Arithmetic = Arithmetic.DECAY

    def __post_init__(self) -> None:
        freeze(self, ("alpha", "beta", "threshold", "w_in", "r", "v_leak", "v_reset", "v_init"), np.float64)

    @property
    def kind(self) -> Kind:
        return Kind.CUBALIF


@dataclass(frozen=True, eq=False, kw_only=True)
class LI:
    """Leaky integrator, a readout that never fires: V = beta*V + r*I + (1 - beta)*v_leak."""

    beta: FloatArray
    r: FloatArray = field(default_factory=one)
    v_leak: FloatArray = field(default_factory=zero)
    v_init: FloatArray = field(default_factory=zero)
    arithmetic: Arithmetic = Arithmetic.DECAY

    def __post_init__(self) -> None:
        freeze(self, ("beta", "r", "v_leak", "v_init"), np.float64)

    @property
    def kind(self) -> Kind:
        return Kind.LI


@dataclass(frozen=True, eq=False, kw_only=True)
class Decay:
    """The integer leak: decay(x) = x - ((x*c + r) >> k), r from the rounding rule. 0 <= c <= 2^k."""

    c: IntArray
    k: int
    rounding: Rounding = Rounding.NEAREST

    def __post_init__(self) -> None:
        freeze(self, ("c",), np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerDynamics:
    """The integer neuron of the arithmetic contract (DESIGN section 3); every executor from the reference on obeys it.

    `decay` is None for IF, `decay_syn` only for CubaLIF. `fire`, `sub`, `v_reset` and the population's bias are in
    membrane units: `scale` is the real value of one weight unit per neuron, a membrane unit `scale / 2**fraction_bits`.
    A spike is u > fire. `state_bits` is the two's complement width of V and g, to which they saturate.
    `reset_mode` is `subtract` or `value` (`none` is subtract with sub = 0).
    """

    kind: Kind
    fire: IntArray
    sub: IntArray
    v_reset: IntArray = field(default_factory=zero_int)
    decay: Decay | None = None
    decay_syn: Decay | None = None
    drive: Drive = Drive.NEW
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    state_bits: int = 16
    fraction_bits: int = 0
    scale: FloatArray = field(default_factory=one)

    def __post_init__(self) -> None:
        freeze(self, ("fire", "sub", "v_reset"), np.int64)
        freeze(self, ("scale",), np.float64)


FloatDynamics = IF | LIF | CubaLIF | LI


Dynamics = FloatDynamics | IntegerDynamics

"""The sparse-layer IR: a graph of populations of neurons and the projections between them.

A `Network` exists at two levels. At the float level its dynamics are `IF`, `LIF`, `CubaLIF` or `LI` and its weights
are float arrays. At the integer level every dynamics is `IntegerDynamics` and every weight is `Quantised`; nothing in
between is valid. Both levels are executable (`spikeloom.sim`); `spikeloom.compiler.verifier.verify` checks either.

Arrays are read-only. A parameter of a population is a scalar (shape `()`) or has one entry per neuron (shape `(n,)`,
row-major over the population's shape).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

INPUT = "input"
"""The name that projections use for the network's input; no population may have it."""


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


def _freeze(instance: object, names: tuple[str, ...], dtype: type) -> None:
    for name in names:
        value = getattr(instance, name)
        if value is None:
            continue
        array: npt.NDArray[Any] = np.array(value, dtype=dtype)  # a copy, so that nobody else can write it
        array.setflags(write=False)
        object.__setattr__(instance, name, array)


def _zero() -> FloatArray:
    return np.zeros(())


def _one() -> FloatArray:
    return np.ones(())


def _zero_int() -> IntArray:
    return np.zeros((), np.int64)


# ---------------------------------------------------------------------------------------------- float dynamics


@dataclass(frozen=True, eq=False, kw_only=True)
class IF:
    """Integrate and fire: u = V + r*I, with `r` the gain of the input; see `ResetPlace` for the rest of the step."""

    threshold: FloatArray
    r: FloatArray = field(default_factory=_one)
    v_reset: FloatArray = field(default_factory=_zero)
    v_init: FloatArray = field(default_factory=_zero)
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT

    def __post_init__(self) -> None:
        _freeze(self, ("threshold", "r", "v_reset", "v_init"), np.float64)

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
    r: FloatArray = field(default_factory=_one)
    v_leak: FloatArray = field(default_factory=_zero)
    v_reset: FloatArray = field(default_factory=_zero)
    v_init: FloatArray = field(default_factory=_zero)
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT
    arithmetic: Arithmetic = Arithmetic.DECAY

    def __post_init__(self) -> None:
        _freeze(self, ("beta", "threshold", "r", "v_leak", "v_reset", "v_init"), np.float64)

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
    w_in: FloatArray = field(default_factory=_one)
    r: FloatArray = field(default_factory=_one)
    v_leak: FloatArray = field(default_factory=_zero)
    v_reset: FloatArray = field(default_factory=_zero)
    v_init: FloatArray = field(default_factory=_zero)
    drive: Drive = Drive.NEW
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    fire: Fire = Fire.GT
    arithmetic: Arithmetic = Arithmetic.DECAY

    def __post_init__(self) -> None:
        _freeze(self, ("alpha", "beta", "threshold", "w_in", "r", "v_leak", "v_reset", "v_init"), np.float64)

    @property
    def kind(self) -> Kind:
        return Kind.CUBALIF


@dataclass(frozen=True, eq=False, kw_only=True)
class LI:
    """Leaky integrator, a readout that never fires: V = beta*V + r*I + (1 - beta)*v_leak."""

    beta: FloatArray
    r: FloatArray = field(default_factory=_one)
    v_leak: FloatArray = field(default_factory=_zero)
    v_init: FloatArray = field(default_factory=_zero)
    arithmetic: Arithmetic = Arithmetic.DECAY

    def __post_init__(self) -> None:
        _freeze(self, ("beta", "r", "v_leak", "v_init"), np.float64)

    @property
    def kind(self) -> Kind:
        return Kind.LI


# -------------------------------------------------------------------------------------------- integer dynamics


@dataclass(frozen=True, eq=False, kw_only=True)
class Decay:
    """The integer leak: decay(x) = x - ((x*c + r) >> k), r from the rounding rule. 0 <= c <= 2^k."""

    c: IntArray
    k: int
    rounding: Rounding = Rounding.NEAREST

    def __post_init__(self) -> None:
        _freeze(self, ("c",), np.int64)


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
    v_reset: IntArray = field(default_factory=_zero_int)
    decay: Decay | None = None
    decay_syn: Decay | None = None
    drive: Drive = Drive.NEW
    reset_mode: ResetMode = ResetMode.SUBTRACT
    reset_place: ResetPlace = ResetPlace.SAME
    state_bits: int = 16
    fraction_bits: int = 0
    scale: FloatArray = field(default_factory=_one)

    def __post_init__(self) -> None:
        _freeze(self, ("fire", "sub", "v_reset"), np.int64)
        _freeze(self, ("scale",), np.float64)


FloatDynamics = IF | LIF | CubaLIF | LI
Dynamics = FloatDynamics | IntegerDynamics


# ------------------------------------------------------------------------------------------------------- graph


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantised:
    """Integer weights: real weight = codes * scale.

    `codes` int64 [pre, post], in -(2^(bits-1) - 1) .. 2^(bits-1) - 1; `scale` float, `()` or one per post neuron.
    """

    codes: IntArray
    bits: int
    scheme: str = "fixed_point"
    scale: FloatArray = field(default_factory=_one)

    def __post_init__(self) -> None:
        _freeze(self, ("codes",), np.int64)
        _freeze(self, ("scale",), np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    def dequantise(self) -> FloatArray:
        """The real weights, float64 [pre, post]."""
        return self.codes * self.scale


Weights = FloatArray | Quantised


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense:
    """All-to-all connectivity: `weights` [pre, post]; a zero is an absent synapse."""

    weights: Weights

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Quantised):
            _freeze(self, ("weights",), np.float64)


Connectivity = Dense


@dataclass(frozen=True, eq=False, kw_only=True)
class Population:
    """Neurons of one kind. `bias` is added to the input of every step; float, or integer in membrane units."""

    name: str
    shape: tuple[int, ...]
    dynamics: Dynamics
    bias: npt.NDArray[Any] = field(default_factory=_zero)

    def __post_init__(self) -> None:
        _freeze(self, ("bias",), np.int64 if isinstance(self.dynamics, IntegerDynamics) else np.float64)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Projection:
    """Synapses from `pre` (a population's name, or `INPUT`) to `post`.

    `delay` is in time steps: a scalar, or [pre, post] for one per synapse. `shift` is the e_p of the contract: the
    integer sum is shifted left by it into membrane units.
    """

    pre: str
    post: str
    connectivity: Connectivity
    delay: IntArray = field(default_factory=_zero_int)
    shift: int = 0

    def __post_init__(self) -> None:
        _freeze(self, ("delay",), np.int64)

    @property
    def weights(self) -> Weights:
        return self.connectivity.weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """A spiking network in discrete time.

    `populations` stand in evaluation order: a projection without delay comes from the input or from a population
    listed earlier. `input_shape` is the shape of one step's input, `x_max` the largest input value (spikes per step).
    `output` names the population that is read out. `dtype` is the framework's float type, `dt` its time step in seconds
    where that is known, `dialect` the conventions that it came from (for reports).
    """

    input_shape: tuple[int, ...]
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    output: str
    x_max: int = 1
    dtype: str = "float32"
    dt: float | None = None
    dialect: str = "spikeloom"
    name: str = "network"

    @property
    def input_size(self) -> int:
        return math.prod(self.input_shape)

    @property
    def is_integer(self) -> bool:
        """Whether this is the integer level."""
        return all(isinstance(p.dynamics, IntegerDynamics) for p in self.populations)

    def population(self, name: str) -> Population:
        """The population called `name`; KeyError where there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        raise KeyError(name)

    def size_of(self, name: str) -> int:
        """The number of neurons of a population, or of inputs for `INPUT`."""
        return self.input_size if name == INPUT else self.population(name).size

    def projections_into(self, name: str) -> tuple[Projection, ...]:
        """The projections whose post population is `name`, in order."""
        return tuple(p for p in self.projections if p.post == name)

"""The neuron in the coordinates of the arithmetic contract: no gain, no resting potential, V = 0 at the start.

All of a framework's conventions come down to one recursion per neuron (docs/arithmetic.md):

    g = alpha*g + I            (CubaLIF; else g = I)
    u = beta*V + g             I = bias + sum of weights times inputs
    a = rho*a + s_prev*jump    (ALIF; else a = 0), fires at u above threshold + a

- The gain of the input (r, times w_in for CubaLIF, times the leak 1 - beta for Euler arithmetic) multiplies weights
  and bias.
- Membranes are measured from v_init. What remains of the resting potential is the constant
  (1 - beta)*(v_leak - v_init) per step, part of the bias; in CubaLIF, whose bias is filtered, it has to be 0.

`ContractForm` is a float population in this form, with the synapses into it. `NeuronModel` are its neurons alone, real
or integer: what `step` advances.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from ...hdl.errors import ModelError, quoted
from ..ir.arrays import FloatArray
from ..ir.network import Network, Population, Projection
from ..ir.neurons import (
    MODELS,
    Arithmetic,
    Decay,
    Drive,
    Fire,
    FloatDynamics,
    IntegerDynamics,
    ResetMode,
    ResetPlace,
    Rounding,
)

Convert = Callable[[FloatArray], Any]


# ------------------------------------------------------------------------------------------------------ neurons


class Leak(Protocol):
    """What is left of a state after a step."""

    def __call__(self, x: Any) -> Any:
        """The state `x`, one step later."""

    def converted(self, convert: Convert) -> Leak:
        """The same leak with other arrays."""


@dataclass(frozen=True, eq=False)
class Kept:
    """A real leak: the share of the state that is kept, a number or one per neuron."""

    share: Any

    def __call__(self, x: Any) -> Any:
        return self.share * x

    def converted(self, convert: Convert) -> Kept:
        """The same leak with another array of shares."""
        return Kept(convert(self.share))


@dataclass(frozen=True, eq=False)
class IntegerLeak:
    """decay(x) of the contract: x - ((x*c + r) >> k), on int64, or on integers held in float64 (below 2^53)."""

    c: Any
    k: int
    rounding: Rounding

    def __call__(self, x: Any) -> Any:
        product = x * self.c
        if self.rounding is Rounding.NEAREST:
            product += (1 << self.k) >> 1
        elif self.rounding is Rounding.TOWARD_ZERO:
            product += np.where(product < 0, (1 << self.k) - 1, 0)
        return x - (product >> self.k if product.dtype.kind == "i" else np.floor(product / float(1 << self.k)))

    def converted(self, convert: Convert) -> IntegerLeak:
        """The same leak with another array of c."""
        return replace(self, c=convert(self.c))


@dataclass(frozen=True, eq=False, kw_only=True)
class NeuronModel:
    """Neurons in the contract's form: their constants, real or integer, and their leaks.

    The constants are NumPy arrays, or torch tensors (`converted`), scalar or one per neuron. A leak of None keeps
    everything; `leak_syn` is there for CubaLIF only, `leak_a` and `jump` where thresholds adapt. What is not `spiking`
    neither fires nor resets. With a floor, V is `v_min` at least at the end of a step. A neuron fires at most
    `max_spikes` times in a step.
    """

    threshold: Any
    sub: Any
    v_reset: Any
    v_min: Any | None
    max_spikes: int
    jump: Any | None
    leak: Leak | None
    leak_syn: Leak | None
    leak_a: Leak | None
    fire: Fire
    spiking: bool
    reset_mode: ResetMode
    reset_place: ResetPlace
    drive: Drive

    def converted(self, convert: Convert) -> NeuronModel:
        """The same neurons with other arrays."""
        return replace(
            self,
            threshold=convert(self.threshold),
            sub=convert(self.sub),
            v_reset=convert(self.v_reset),
            v_min=None if self.v_min is None else convert(self.v_min),
            jump=None if self.jump is None else convert(self.jump),
            leak=None if self.leak is None else self.leak.converted(convert),
            leak_syn=None if self.leak_syn is None else self.leak_syn.converted(convert),
            leak_a=None if self.leak_a is None else self.leak_a.converted(convert),
        )

    def raised(self, a: Any) -> NeuronModel:
        """The same neurons with thresholds, as compared and as subtracted, that are higher by `a`."""
        return replace(self, threshold=self.threshold + a, sub=self.sub + a)

    def free(self) -> NeuronModel:
        """The same neurons without threshold and floor: their membranes are linear in the input."""
        return replace(self, spiking=False)


def integer_model(dynamics: IntegerDynamics) -> NeuronModel:
    """The neurons of the integer level, in int64."""
    return NeuronModel(
        threshold=dynamics.fire,
        sub=dynamics.sub,
        v_reset=dynamics.v_reset,
        v_min=dynamics.v_min,
        max_spikes=dynamics.max_spikes or 1,
        jump=dynamics.jump,
        leak=_integer_leak(dynamics.decay),
        leak_syn=_integer_leak(dynamics.decay_syn),
        leak_a=_integer_leak(dynamics.decay_a),
        fire=Fire.GT,
        spiking=MODELS[dynamics.kind].fires,
        reset_mode=dynamics.reset_mode,
        reset_place=dynamics.reset_place,
        drive=dynamics.drive,
    )


def _integer_leak(decay: Decay | None) -> IntegerLeak | None:
    return None if decay is None else IntegerLeak(decay.c, decay.k, decay.rounding)


# -------------------------------------------------------------------------------------------- float populations


@dataclass(frozen=True, eq=False, kw_only=True)
class ContractForm:
    """One population in the contract's coordinates; all arrays float64 (n,), weights as their connectivities have them,
    read-only.

    `gain` is what the network's own weights were multiplied by, `sub` what a spike subtracts. LI has `spiking` False
    and zeros for what it lacks; IF has beta 1. `rho` and `jump` are there where thresholds adapt. `read` says that
    membranes are compared or read out, not spikes alone.
    """

    population: Population
    projections: tuple[Projection, ...]
    weights: tuple[FloatArray, ...]
    gain: FloatArray
    bias: FloatArray
    alpha: FloatArray | None
    beta: FloatArray
    threshold: FloatArray
    sub: FloatArray
    v_reset: FloatArray
    v_min: FloatArray | None
    rho: FloatArray | None
    jump: FloatArray | None
    max_spikes: int
    spiking: bool
    read: bool
    leaky: bool
    reset_mode: ResetMode
    reset_place: ResetPlace
    fire: Fire
    drive: Drive

    def __post_init__(self) -> None:
        for array in (*self.weights, *(value for value in vars(self).values() if isinstance(value, np.ndarray))):
            array.setflags(write=False)

    @property
    def model(self) -> NeuronModel:
        """The neurons with their real parameters."""
        return NeuronModel(
            threshold=self.threshold,
            sub=self.sub,
            v_reset=self.v_reset,
            v_min=self.v_min,
            max_spikes=self.max_spikes,
            jump=self.jump,
            leak=Kept(self.beta) if self.leaky else None,
            leak_syn=None if self.alpha is None else Kept(self.alpha),
            leak_a=None if self.rho is None else Kept(self.rho),
            fire=self.fire,
            spiking=self.spiking,
            reset_mode=self.reset_mode,
            reset_place=self.reset_place,
            drive=self.drive,
        )


_FORMS: WeakKeyDictionary[Network, dict[Population, ContractForm]] = WeakKeyDictionary()
"""The contract's forms that were asked for, as long as their networks live."""


def contract_form(network: Network, population: Population) -> ContractForm:
    """The population's real parameters in the contract's coordinates, worked out once for a network.

    Raises ModelError where the contract has no form for them: a CubaLIF whose v_init differs from its v_leak, a readout
    whose neurons start from different membranes.
    """
    forms = _FORMS.setdefault(network, {})
    if population not in forms:
        forms[population] = _contract_form(network, population)
    return forms[population]


def _contract_form(network: Network, population: Population) -> ContractForm:
    dynamics = population.dynamics
    assert not isinstance(dynamics, IntegerDynamics)
    size = population.size
    model = MODELS[dynamics.kind]
    parameters = {name: _vector(value, size) for name, value in model.parameters(dynamics).items()}
    beta = parameters.get("beta", np.ones(size))
    gain = _gain(dynamics, parameters)
    projections = network.projections_into(population.name)
    zero = np.zeros(size)
    threshold = parameters.get("threshold", zero)
    reset = getattr(dynamics, "reset_mode", ResetMode.NONE)
    v_init = parameters["v_init"] if model.fires else zero  # what those that never fire compare with nothing
    return ContractForm(
        population=population,
        projections=projections,
        weights=tuple(p.connectivity.scaled(gain, p.connectivity.real) for p in projections),
        gain=gain,
        bias=_vector(population.bias, size) * gain + _resting_drive(population, parameters),
        alpha=parameters.get("alpha"),
        beta=beta,
        threshold=threshold - v_init,
        sub=zero if reset is ResetMode.NONE else parameters.get("sub", threshold),
        v_reset=parameters.get("v_reset", zero) - v_init,
        v_min=parameters["v_min"] - v_init if "v_min" in parameters else None,
        rho=parameters.get("rho"),
        jump=parameters.get("jump"),
        max_spikes=population.max_spikes,
        spiking=model.fires,
        read=network.reads_membranes_of(population.name),
        leaky="beta" in parameters,
        reset_mode=reset,
        reset_place=getattr(dynamics, "reset_place", ResetPlace.SAME),
        fire=getattr(dynamics, "fire", Fire.GT),
        drive=getattr(dynamics, "drive", Drive.NEW),
    )


def _vector(value: FloatArray, size: int) -> FloatArray:
    return np.broadcast_to(value, (size,)).astype(np.float64)


def _gain(dynamics: FloatDynamics, parameters: Mapping[str, FloatArray]) -> FloatArray:
    gain = reduce(np.multiply, (parameters[name] for name in MODELS[dynamics.kind].gains))
    if getattr(dynamics, "arithmetic", Arithmetic.DECAY) is not Arithmetic.DECAY:
        gain = gain * (1 - parameters["beta"])
    return gain


def _resting_drive(population: Population, parameters: Mapping[str, FloatArray]) -> FloatArray:
    """(1 - beta)*(v_leak - v_init), what the resting potential adds in each step."""
    v_init = parameters["v_init"]
    if not population.fires and np.ptp(v_init) > 0:
        raise ModelError(
            f"the neurons of a readout share v_init, so that their membranes compare: population "
            f"{quoted(population.name)} has {v_init.min():g} to {v_init.max():g}; set one value"
        )
    if "v_leak" not in parameters:
        return np.zeros_like(v_init)
    v_leak = parameters["v_leak"]
    if "alpha" in parameters and np.any(v_leak != v_init):
        raise ModelError(
            f"an integer CubaLIF starts at its resting membrane: population {quoted(population.name)} has v_init "
            "different from v_leak; make them equal"
        )
    return (1 - parameters["beta"]) * (v_leak - v_init)

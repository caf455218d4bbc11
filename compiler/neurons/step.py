"""One step of neurons in the contract's form: the only one in the compiler, over arrays, tensors and intervals.

A step computes with what its `Domain` says: NumPy arrays (`ARRAYS`), torch tensors (`TENSORS`) or intervals (`Course`).
Real parameters and integer ones (exactly, as integers stay below 2^53) take the same step. It is no executor: it
neither keeps a framework's order of operations nor saturates. The integer reference, the float executor and the
hardware have steps of their own, which check this one and each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..ir.arrays import FloatArray, SpikeArray
from ..ir.neurons import Drive, Fire, ResetMode, ResetPlace
from .contract import Leak, NeuronModel


class Domain(Protocol):
    """What a step needs beside +, - and *. Spikes are whatever counts as 0 or 1 in a product."""

    def decayed(self, x: Any, leak: Leak | None) -> Any:
        """What a leak leaves of a state."""

    def left_by(self, model: NeuronModel, v: Any, spiked: Any) -> tuple[Any, Any]:
        """Membrane and spikes that the step before left."""

    def fires(self, model: NeuronModel, v: Any) -> Any:
        """Whether membranes are above the threshold."""

    def compared(self, model: NeuronModel, u: Any) -> tuple[Any, Any]:
        """The membrane as the comparison leaves it, and the spikes."""

    def repeated(self, model: NeuronModel, u: Any, spiked: Any) -> tuple[Any, Any]:
        """What is left of the membrane, and how often it fired, where neurons fire and subtract again in a step."""

    def chosen(self, spiked: Any, fired: Any, silent: Any) -> Any:
        """One value where there is a spike, the other where there is none."""

    def at_least(self, v: Any, v_min: Any) -> Any:
        """`v`, or the floor where that is higher."""

    def adapted(self, model: NeuronModel, a: Any, spiked: Any) -> Any:
        """How much higher thresholds are in this step, from the step before and its spikes."""


class State(NamedTuple):
    """What neurons have after a step: membrane V, synaptic current g, spikes, the membrane u that was compared, and
    the adaptation a by which thresholds were higher."""

    v: Any
    g: Any
    spiked: Any
    u: Any
    a: Any

    @classmethod
    def cleared(cls, zero: Any) -> State:
        """The state at the start of a sample."""
        return cls(zero, zero, zero, zero, zero)


def step(domain: Domain, model: NeuronModel, state: State, current: Any) -> State:
    """The state after a step with the input `current`, bias included."""
    g, drive = filtered(domain, model, state.g, current)
    place, mode = model.reset_place, model.reset_mode
    if not model.spiking:
        v = domain.decayed(state.v, model.leak) + drive
        return State(v, g, state.spiked, v, state.a)
    a = state.a
    if model.jump is not None:
        a = domain.adapted(model, a, state.spiked)
        model = model.raised(a)
    v, before = state.v, None  # the spikes whose reset this step owes
    if place is ResetPlace.NEXT:
        v, before = domain.left_by(model, v, state.spiked)
    elif place is ResetPlace.SNNTORCH_SAME:
        before = domain.fires(model, v)
    if place is ResetPlace.NEXT and mode is ResetMode.VALUE:
        v = domain.chosen(before, model.v_reset, v)
    u = domain.decayed(v, model.leak) + drive
    if before is not None and mode is ResetMode.SUBTRACT:
        u = u - before * model.sub
    u, spiked = domain.compared(model, u)
    if model.max_spikes > 1:
        v, spiked = domain.repeated(model, u, spiked)
    else:
        v = u if place is ResetPlace.NEXT else _reset(domain, model, u, spiked, before)
    if model.v_min is not None:
        v = domain.at_least(v, model.v_min)
    return State(v, g, spiked, u, a)


def filtered(domain: Domain, model: NeuronModel, g: Any, current: Any) -> tuple[Any, Any]:
    """The synaptic current after a step, and what drives the membrane in it."""
    if model.leak_syn is None:
        return g, current
    new = domain.decayed(g, model.leak_syn) + current
    return new, g if model.drive is Drive.OLD else new


def _reset(domain: Domain, model: NeuronModel, u: Any, spiked: Any, before: Any) -> Any:
    """What a spike leaves of the membrane in its own step; where `before` has been paid for, the difference."""
    if model.reset_mode is ResetMode.VALUE:
        return domain.chosen(spiked, model.v_reset, u)
    if model.reset_mode is ResetMode.SUBTRACT:
        return u - (spiked if before is None else 1 * spiked - before) * model.sub
    return u


def steps(domain: Domain, model: NeuronModel, currents: Iterable[Any], zero: Any) -> Iterator[State]:
    """The states after each of the steps with the inputs `currents`, from cleared state of the form of `zero`."""
    state = State.cleared(zero)
    for current in currents:
        state = step(domain, model, state, current)
        yield state


# ------------------------------------------------------------------------------------------- arrays and tensors


def _exceeds(model: NeuronModel, v: Any) -> Any:
    return v > model.threshold if model.fire is Fire.GT else v >= model.threshold


class _Numbers:
    """What arrays and tensors have in common: a state is a number, and nothing is left open."""

    def decayed(self, x: Any, leak: Leak | None) -> Any:
        return x if leak is None else leak(x)

    def left_by(self, model: NeuronModel, v: Any, spiked: Any) -> tuple[Any, Any]:
        return v, spiked

    def repeated(self, model: NeuronModel, u: Any, spiked: Any) -> tuple[Any, Any]:
        left, count = u - spiked * model.sub, 1 * spiked
        for _ in range(model.max_spikes - 1):
            more = _exceeds(model, left)
            if not more.any():
                break
            left, count = left - more * model.sub, count + more
        return left, count

    def adapted(self, model: NeuronModel, a: Any, spiked: Any) -> Any:
        return self.decayed(a, model.leak_a) + spiked * model.jump


class _Arrays(_Numbers):
    """NumPy arrays; spikes are booleans, or integers where there may be several."""

    def fires(self, model: NeuronModel, v: FloatArray) -> npt.NDArray[np.bool_]:
        fired: npt.NDArray[np.bool_] = _exceeds(model, v)
        return fired

    def compared(self, model: NeuronModel, u: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        return u, self.fires(model, u)

    def chosen(self, spiked: Any, fired: FloatArray, silent: FloatArray) -> FloatArray:
        return np.where(spiked, fired, silent)

    def at_least(self, v: FloatArray, v_min: FloatArray) -> FloatArray:
        return np.maximum(v, v_min)


class Tensors(_Numbers):
    """torch tensors; spikes are 0.0 or 1.0, or more. Nothing here loads torch."""

    def fires(self, model: NeuronModel, v: Any) -> Any:
        return _exceeds(model, v).to(v.dtype)

    def compared(self, model: NeuronModel, u: Any) -> tuple[Any, Any]:
        return u, self.fires(model, u)

    def chosen(self, spiked: Any, fired: Any, silent: Any) -> Any:
        return silent + spiked * (fired - silent)

    def at_least(self, v: Any, v_min: Any) -> Any:
        return v.maximum(v_min)


ARRAYS: Domain = _Arrays()
TENSORS: Domain = Tensors()


# ---------------------------------------------------------------------------------------------------- responses


@dataclass(frozen=True, eq=False)
class Response:
    """Spikes and membranes [steps, samples, neurons], and the largest magnitude of any state."""

    spikes: SpikeArray
    membranes: FloatArray
    largest: float


def respond(model: NeuronModel, currents: FloatArray) -> Response:
    """What neurons do from cleared state on the input currents [steps, samples, neurons]."""
    spikes = np.zeros(currents.shape, np.uint8)
    membranes = np.zeros(currents.shape)
    largest = 0.0
    for number, state in enumerate(steps(ARRAYS, model, currents, np.zeros(currents.shape[1:]))):
        spikes[number], membranes[number] = state.spiked, state.v
        largest = max(largest, *(np.abs(x).max() for x in (state.g, state.v, state.a)))
    return Response(spikes, membranes, float(largest))

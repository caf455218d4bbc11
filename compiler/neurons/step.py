"""What a network's neurons do on sample inputs, for the choices of the quantiser.

One neuron model in float64 runs the real parameters of a population as well as its integer ones (exactly, as integers
stay below 2^53). It is no executor: it neither keeps a framework's order of operations nor saturates.

The sums over synapses are made exact (`on_grid`), so that they, and every choice that hangs on them, do not depend on
the machine's matrix library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..ir.arrays import FloatArray
from ..ir.neurons import Decay, Drive, Fire, ResetMode, ResetPlace, Rounding
from .contract import Folded

Leak = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False, kw_only=True)
class NeuronModel:
    """The constants of one population, real or integer, and its leaks (None: no leak; `leak_syn`: CubaLIF only)."""

    threshold: FloatArray
    sub: FloatArray
    v_reset: FloatArray
    leak: Leak | None
    leak_syn: Leak | None
    fire: Fire
    spiking: bool
    reset_mode: ResetMode
    reset_place: ResetPlace
    drive: Drive

    def respond(self, currents: FloatArray) -> Response:
        """Run from cleared state on the input currents [steps, samples, neurons]."""
        neurons = Neurons(self, currents.shape[1:])
        spikes = np.zeros(currents.shape, np.bool_)
        membranes = np.zeros(currents.shape)
        largest = 0.0
        for step, current in enumerate(currents):
            spikes[step] = neurons.step(current)
            membranes[step] = neurons.v
            largest = max(largest, np.abs(neurons.g).max(), np.abs(neurons.v).max())
        return Response(spikes, membranes, float(largest))


@dataclass(frozen=True, eq=False)
class Response:
    """Spikes and membranes [steps, samples, neurons], and the largest magnitude of any state."""

    spikes: npt.NDArray[np.bool_]
    membranes: FloatArray
    largest: float


class Neurons:
    """The state of one population [samples, neurons] between steps."""

    def __init__(self, model: NeuronModel, shape: tuple[int, ...]) -> None:
        self.model = model
        self.v = np.zeros(shape)
        self.g = np.zeros(shape)
        self.spiked = np.zeros(shape, np.bool_)

    def step(self, current: FloatArray) -> npt.NDArray[np.bool_]:
        """Advance one step; returns the spikes."""
        model = self.model
        drive = self._filtered(current)
        if not model.spiking:
            self.v = self._decayed(self.v) + drive
        elif model.reset_place is ResetPlace.NEXT:
            self._step_next(drive)
        else:
            self._step_same(drive)
        return self.spiked

    def _filtered(self, current: FloatArray) -> FloatArray:
        model, old = self.model, self.g
        if model.leak_syn is None:
            return current
        self.g = model.leak_syn(old) + current
        return old if model.drive is Drive.OLD else self.g

    def _decayed(self, v: FloatArray) -> FloatArray:
        return v if self.model.leak is None else self.model.leak(v)

    def _fires(self, u: FloatArray) -> npt.NDArray[np.bool_]:
        return u > self.model.threshold if self.model.fire is Fire.GT else u >= self.model.threshold

    def _step_next(self, drive: FloatArray) -> None:
        model = self.model
        v = np.where(self.spiked, model.v_reset, self.v) if model.reset_mode is ResetMode.VALUE else self.v
        u = self._decayed(v) + drive
        self.v = u - self.spiked * model.sub if model.reset_mode is ResetMode.SUBTRACT else u
        self.spiked = self._fires(self.v)

    def _step_same(self, drive: FloatArray) -> None:
        model = self.model
        before = self._fires(self.v) if model.reset_place is ResetPlace.SNNTORCH_SAME else np.zeros((), np.bool_)
        u = self._decayed(self.v) + drive - before * model.sub
        self.spiked = self._fires(u)
        if model.reset_mode is ResetMode.VALUE:
            self.v = np.where(self.spiked, model.v_reset, u)
        else:
            self.v = u - (self.spiked.astype(np.float64) - before) * model.sub


def real_model(folded: Folded) -> NeuronModel:
    """The neurons with their real parameters."""
    return NeuronModel(
        threshold=folded.threshold,
        sub=folded.sub,
        v_reset=folded.v_reset,
        leak=_keep(folded.beta) if folded.leaky else None,
        leak_syn=None if folded.alpha is None else _keep(folded.alpha),
        fire=folded.fire,
        spiking=folded.spiking,
        reset_mode=folded.reset_mode,
        reset_place=folded.reset_place,
        drive=folded.drive,
    )


def _keep(share: FloatArray) -> Leak:
    return lambda x: share * x


def integer_leak(decay: Decay) -> Leak:
    """decay(x) of the contract on integers held in float64."""
    c, unit = decay.c.astype(np.float64), float(1 << decay.k)

    def leak(x: FloatArray) -> FloatArray:
        product = x * c
        if decay.rounding is Rounding.NEAREST:
            product += (1 << decay.k) >> 1
        elif decay.rounding is Rounding.TOWARD_ZERO:
            product += np.where(product < 0, unit - 1, 0)
        return x - np.floor(product / unit)

    return leak

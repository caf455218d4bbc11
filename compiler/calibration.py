"""What a network's neurons do on sample inputs, for the choices of the quantiser.

One neuron model in float64 runs the real parameters of a population as well as its integer ones (exactly, as integers
stay below 2^53). It is no executor: it neither keeps a framework's order of operations nor saturates.

The sums over synapses are made exact (`_on_grid`), so that they, and every choice that hangs on them, do not depend on
the machine's matrix library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..hdl.errors import SampleError
from .ir.arrays import FloatArray
from .ir.network import INPUT, Network
from .ir.neurons import Decay, Drive, Fire, ResetMode, ResetPlace, Rounding
from .neuron_folding import Folded

Spikes = npt.NDArray[np.uint8]
Leak = Callable[[FloatArray], FloatArray]

MAX_VALUES = 1 << 22
"""Neuron-steps of the largest population that are looked at; further samples are left out."""


def calibration_inputs(network: Network, samples: npt.NDArray[Any]) -> Spikes:
    """The first samples, as many as `MAX_VALUES` allows, uint8 [samples, steps, inputs]; SampleError if bad."""
    shape = samples.shape
    if samples.ndim < 3 or 0 in shape or shape[2:] not in ((network.input_size,), network.input_shape):
        raise SampleError(
            f"calibration samples have the shape [samples, steps, {network.input_size} inputs]: got {list(shape)}"
        )
    if samples.dtype.kind not in "iub":
        raise SampleError(f"calibration samples hold integers: got {samples.dtype}; convert them to uint8")
    largest = max(network.input_size, *(p.size for p in network.populations))
    kept = samples[: max(1, MAX_VALUES // (largest * shape[1]))]
    if kept.min() < 0 or kept.max() > network.x_max:
        raise SampleError(f"calibration samples hold 0 to {network.x_max}: got {kept.min()} to {kept.max()}")
    return kept.reshape(*kept.shape[:2], network.input_size).astype(np.uint8)


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


def observe(network: Network, populations: Sequence[Folded], inputs: Spikes) -> dict[str, Spikes]:
    """The spikes of the input and of every population [samples, steps, neurons] with real parameters."""
    samples, steps = inputs.shape[:2]
    sources = {INPUT: inputs}
    for folded in populations:
        sources[folded.population.name] = np.zeros((samples, steps, folded.population.size), np.uint8)
    neurons = [Neurons(real_model(f), (samples, f.population.size)) for f in populations]
    synapses = [_split(f, _on_grid(f.weights, network.x_max)) for f in populations]
    for step in range(steps):
        for folded, state, parts in zip(populations, neurons, synapses, strict=True):
            sources[folded.population.name][:, step] = state.step(_current(folded.bias, parts, sources, step))
    return sources


def currents(
    network: Network, folded: Folded, weights: Sequence[FloatArray], bias: FloatArray, sources: Mapping[str, Spikes]
) -> FloatArray:
    """The input currents of a population [steps, samples, neurons] for given spikes of all its sources."""
    parts = _split(folded, _on_grid(weights, network.x_max))
    return np.stack([_current(bias, parts, sources, step) for step in range(sources[INPUT].shape[1])])


@dataclass(frozen=True)
class _Part:
    """The synapses of one projection that share a delay."""

    pre: str
    delay: int
    weights: FloatArray


def _on_grid(weights: Sequence[FloatArray], x_max: int) -> list[FloatArray]:
    """The weights on a power-of-two grid on which every sum is exact in float64 in any order."""
    largest = max(float(np.abs(w).sum(axis=0).max(initial=0)) for w in weights) * x_max * len(weights)
    if largest == 0:
        return list(weights)
    grid = 2.0 ** (math.frexp(largest)[1] - 51)  # rounding may add half a grid step per weight: one bit to spare
    return [np.round(w / grid) * grid for w in weights]


def _split(folded: Folded, weights: Sequence[FloatArray]) -> list[_Part]:
    parts = []
    for projection, matrix in zip(folded.projections, weights, strict=True):
        for delay in np.unique(projection.delay):
            parts.append(_Part(projection.pre, int(delay), np.where(projection.delay == delay, matrix, 0.0)))
    return parts


def _current(bias: FloatArray, parts: Sequence[_Part], sources: Mapping[str, Spikes], step: int) -> FloatArray:
    total = np.zeros((len(sources[INPUT]), len(bias)))
    for part in parts:
        if step >= part.delay:
            total += sources[part.pre][:, step - part.delay].astype(np.float64) @ part.weights
    return total + bias

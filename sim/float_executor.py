"""The float executor: a float network in NumPy, in the framework's float type and order of operations.

It stands between the framework and the integer reference: what it computes must be the framework's own spikes. Every
operation on membranes is the framework's, in its order, so it gives the framework's bits. The one exception is the sum
over synapses, whose order a framework leaves to its matrix library and which changes with the library, the machine and
the batch. Here the sum runs in float64 and is rounded once, so that it depends on none of these.

How far that can move a membrane is bounded for every neuron-step (`_State.error`): with eps the distance from 1 to
the next number of the network's float type, a sum of k non-zero terms errs by at most (k + 2) * eps * sum |w x| between
any two orders (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), the operations of one neuron step
by at most 8 * eps times the magnitudes that take part in it, and the leak carries the error to the next step. Where
the membrane is closer to the threshold than this bound the neuron-step is ambiguous: another order may fire
differently. Anywhere else a mismatch with the framework is a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import FloatArray, SpikesByPopulation
from ..compiler.ir.arrivals import Arrival, apart
from ..compiler.ir.connectivity import Connectivity
from ..compiler.ir.network import INPUT, Network, Population, Projection
from ..compiler.ir.neurons import (
    IF,
    Arithmetic,
    CubaLI,
    CubaLIF,
    Drive,
    Fire,
    FiringDynamics,
    FloatDynamics,
    IntegerDynamics,
    ResetMode,
    ResetPlace,
)
from ..compiler.ir.verifier import verify
from ..hdl.errors import ModelError, quoted
from .inputs import checked_spikes
from .recording import PopulationRecording, Recording, with_membranes

Array = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]

_BLOCK_VALUES = 1 << 20
"""How many neuron states (inputs included) a block of samples holds: about 50 MB of temporaries."""

_NEURON_ERROR = 8
"""Rounding of one neuron step, in units of eps times the magnitudes that take part."""


def run_float(
    network: Network,
    spikes: npt.NDArray[Any],
    membranes: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Run a float network on `spikes`, integers 0..x_max [samples, steps, inputs] (inputs in any shape).

    Every sample starts from `v_init`. Records every population's spikes and, with `membranes`, V at the end of each
    step in the network's float type; `ambiguous` counts the neuron-steps whose spike the order of summation may
    change. `progress(done, total)` counts samples.

    Raises ModelError for an integer network and SampleError for samples that do not suit.
    """
    verify(network)
    _check_supported(network)
    inputs = checked_spikes(network, spikes)
    samples, steps = inputs.shape[:2]
    recorded = {p.name: np.zeros((samples, steps, p.size), np.uint8) for p in network.populations}
    shown = with_membranes(network, membranes)
    traces = {p.name: np.zeros((samples, steps, p.size), network.dtype) for p in network.populations if p.name in shown}
    engines = [_Engine.of(network, population) for population in network.populations]
    block = max(1, _BLOCK_VALUES // (network.input_size + sum(p.size for p in network.populations)))
    ambiguous = 0
    for start in range(0, samples, block):
        part = slice(start, start + block)
        sources = {INPUT: inputs[part], **{name: array[part] for name, array in recorded.items()}}
        ambiguous += _run_block(engines, sources, {name: array[part] for name, array in traces.items()})
        if progress is not None:
            progress(min(start + block, samples), samples)
    return Recording.of(
        network,
        {name: PopulationRecording(spikes=array, membranes=traces.get(name)) for name, array in recorded.items()},
        ambiguous=ambiguous,
    )


def _check_supported(network: Network) -> None:
    if network.is_integer:
        raise ModelError(
            f"the float executor runs float networks: {quoted(network.name)} is an integer network; "
            "run the integer reference, or dequantise it"
        )


# -------------------------------------------------------------------------------------------------------- sums


@dataclass(frozen=True)
class _Synapses:
    """The synapses of one projection whose spikes arrive together: weights, and their magnitudes for the rounding
    bound."""

    pre: str
    connectivity: Connectivity
    weights: FloatArray
    magnitudes: npt.NDArray[np.float32]
    arrival: Arrival
    fan_in: int
    """How many terms a sum has at most."""

    @classmethod
    def of(cls, projection: Projection, dtype: np.dtype[Any]) -> list[_Synapses]:
        connectivity = projection.connectivity
        real = connectivity.real.astype(dtype).astype(np.float64)
        fan_in = len(connectivity.columns(real))
        return [
            cls(projection.pre, connectivity, weights, np.abs(weights).astype(np.float32), arrival, fan_in)
            for arrival, weights in apart(projection, real)
        ]


@dataclass
class _Current:
    """The input of one population in one step [samples, neurons], and how far another order of summation is off."""

    value: Array
    error: Array


# ----------------------------------------------------------------------------------------------------- neurons


@dataclass
class _State:
    """What a population remembers from step to step, [samples, neurons], and the rounding bound of V and g.

    `threshold` and what a spike subtracts (`sub`) are those of the step: higher by `a` where they adapt. `spiked` are
    counts where there may be several.
    """

    v: Array
    g: Array
    a: Array
    threshold: Array
    sub: Array
    spiked: BoolArray | Array
    error: Array
    g_error: Array


@dataclass(frozen=True)
class _Engine:
    """One population with the synapses into it.

    `parameters` are the arrays of its dynamics by name, in the network's float type, one entry per neuron.
    """

    population: Population
    dynamics: FloatDynamics
    parameters: Mapping[str, Array]
    synapses: tuple[_Synapses, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, network: Network, population: Population) -> _Engine:
        dynamics = population.dynamics
        assert not isinstance(dynamics, IntegerDynamics)
        dtype = np.dtype(network.dtype)
        parameters = {name: value for name, value in vars(dynamics).items() if isinstance(value, np.ndarray)}
        parameters |= _decay_parameters(dynamics)
        return cls(
            population,
            dynamics,
            {name: np.broadcast_to(value.astype(dtype), (population.size,)) for name, value in parameters.items()},
            tuple(s for p in network.projections_into(population.name) for s in _Synapses.of(p, dtype)),
            dtype,
        )

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype).eps)

    def start(self, samples: int) -> _State:
        shape = (samples, self.population.size)
        v = np.empty(shape, self.dtype)
        v[:] = self.parameters["v_init"]
        zero = np.zeros(shape, self.dtype)
        threshold = self.parameters.get("threshold", zero)
        sub = self.parameters.get("sub", threshold)
        return _State(v, zero, zero, threshold, sub, np.zeros(shape, np.bool_), zero, zero)

    def step(self, state: _State, sources: SpikesByPopulation, step: int) -> BoolArray:
        """Advance one time step; returns which neurons are ambiguous in it."""
        drive = self.current(sources, step)
        if isinstance(self.dynamics, CubaLIF | CubaLI):
            drive = self.filtered(self.dynamics, state, drive)
        if not isinstance(self.dynamics, FiringDynamics):
            state.v, state.error = self.integrated(state.v, state.error, drive)
            return np.zeros(state.v.shape, np.bool_)
        if "jump" in self.parameters:
            state.a = self.parameters["rho"] * state.a + self.parameters["jump"] * state.spiked
            state.threshold = self.parameters["threshold"] + state.a
            state.sub = self.parameters.get("sub", self.parameters["threshold"]) + state.a
        reset = _RESETS[self.dynamics.reset_place] if self.population.max_spikes == 1 else _fire_repeatedly
        unsure = reset(self, self.dynamics, state, drive)
        if "v_min" in self.parameters:  # no two membranes are further apart after it
            state.v = np.maximum(state.v, self.parameters["v_min"])
        return unsure

    def current(self, sources: SpikesByPopulation, step: int) -> _Current:
        """I of the contract: the bias and the sum over all synapses, rounded once."""
        bias = self.population.bias.astype(self.dtype).astype(np.float64)
        total, magnitude = bias, np.abs(bias).astype(np.float32)
        terms = np.ones((), np.float32)
        for synapses in self.synapses:
            x = synapses.arrival.of(sources[synapses.pre], step)
            if x is None:
                continue  # there are no spikes from before the sample
            total = total + synapses.connectivity.currents(x, synapses.weights)
            magnitude = magnitude + synapses.connectivity.currents(x, synapses.magnitudes)
            terms = terms + np.minimum(np.count_nonzero(x, axis=1, keepdims=True), synapses.fan_in)
        error = ((terms + 2) * self.eps * magnitude).astype(self.dtype)
        return _Current(np.asarray(total).astype(self.dtype), error)

    def filtered(self, dynamics: CubaLIF | CubaLI, state: _State, current: _Current) -> _Current:
        """CubaLIF and CubaLI: g = alpha*g + w_in*I; the drive is the new or the old g."""
        old = _Current(state.g, state.g_error)
        inputs = self.parameters["w_in"] * current.value
        if dynamics.arithmetic is Arithmetic.DECAY:
            state.g = self.parameters["alpha"] * old.value + inputs
        else:
            state.g = (old.value - self.parameters["leak_syn"] * old.value) + inputs
        rounding = _NEURON_ERROR * self.eps * (np.abs(old.value) + np.abs(inputs))
        scaled = np.abs(self.parameters["w_in"]) * current.error
        state.g_error = self.parameters["alpha"] * old.error + scaled + rounding
        return old if dynamics.drive is Drive.OLD else _Current(state.g, state.g_error)

    def integrated(self, v: Array, error: Array, drive: _Current) -> tuple[Array, Array]:
        """The membrane after leak and input, with its rounding bound."""
        p = self.parameters
        inputs = p["r"] * drive.value
        input_error = np.abs(p["r"]) * drive.error
        magnitude = np.abs(v) + np.abs(inputs)
        if isinstance(self.dynamics, IF):
            return v + inputs, error + input_error + _NEURON_ERROR * self.eps * magnitude
        if self.dynamics.arithmetic is Arithmetic.DECAY:
            u = p["beta"] * v + inputs
            if np.any(p["v_leak"]):
                u = u + p["leak"] * p["v_leak"]
        else:
            if self.dynamics.arithmetic is Arithmetic.EULER:
                u = v + p["leak"] * ((p["v_leak"] - v) + inputs)
            else:
                u = v + (inputs - (v - p["v_leak"])) / p["tau"]
            input_error = p["leak"] * input_error
        rounding = _NEURON_ERROR * self.eps * (magnitude + np.abs(p["v_leak"]))
        return u, p["beta"] * error + input_error + rounding

    def fires(self, dynamics: FiringDynamics, state: _State, u: Array, error: Array) -> tuple[BoolArray, BoolArray]:
        """Which neurons fire at membrane `u`, and for which of them `error` may change that."""
        fired = u > state.threshold if dynamics.fire is Fire.GT else u >= state.threshold
        return fired, (np.abs(u - state.threshold) <= error) & (error > 0)

    def subtracted(self, state: _State, u: Array, error: Array, spiked: BoolArray | Array) -> tuple[Array, Array]:
        """`u` less what a spike subtracts where `spiked`, so many times, with its rounding bound."""
        amount = spiked * state.sub
        return u - amount, error + self.eps * (np.abs(u) + np.abs(amount)) * (spiked > 0)


def _decay_parameters(dynamics: FloatDynamics) -> dict[str, FloatArray]:
    """leak = 1 - beta and tau = 1/leak, and the synaptic leak, each from the exact beta and rounded once."""
    if isinstance(dynamics, IF):
        return {}
    parameters = {"leak": 1 - dynamics.beta}
    if dynamics.arithmetic is Arithmetic.EULER_DIVIDE:
        parameters["tau"] = 1 / parameters["leak"]
    if isinstance(dynamics, CubaLIF | CubaLI):
        parameters["leak_syn"] = 1 - dynamics.alpha
    return parameters


def _reset_same(engine: _Engine, dynamics: FiringDynamics, state: _State, drive: _Current) -> BoolArray:
    u, error = engine.integrated(state.v, state.error, drive)
    s, unsure = engine.fires(dynamics, state, u, error)
    if dynamics.reset_mode is ResetMode.SUBTRACT:
        state.v, state.error = engine.subtracted(state, u, error, s)
    elif dynamics.reset_mode is ResetMode.VALUE:
        state.v, state.error = np.where(s, engine.parameters["v_reset"], u), error * ~s
    else:
        state.v, state.error = u, error
    state.spiked = s
    return unsure


def _reset_next(engine: _Engine, dynamics: FiringDynamics, state: _State, drive: _Current) -> BoolArray:
    v, error = state.v, state.error
    if dynamics.reset_mode is ResetMode.VALUE:
        v, error = np.where(state.spiked, engine.parameters["v_reset"], v), error * (state.spiked == 0)
    u, error = engine.integrated(v, error, drive)
    if dynamics.reset_mode is ResetMode.SUBTRACT:
        u, error = engine.subtracted(state, u, error, state.spiked)
    state.spiked, unsure = engine.fires(dynamics, state, u, error)
    state.v, state.error = u, error
    return unsure


def _reset_snntorch_same(engine: _Engine, dynamics: FiringDynamics, state: _State, drive: _Current) -> BoolArray:
    r, unsure_before = engine.fires(dynamics, state, state.v, state.error)
    u, error = engine.integrated(state.v, state.error, drive)
    if dynamics.reset_mode is ResetMode.SUBTRACT:
        u, error = engine.subtracted(state, u, error, r)
    s, unsure = engine.fires(dynamics, state, u, error)
    state.v, state.error = u, error
    if dynamics.reset_mode is ResetMode.SUBTRACT:
        amount = (s.astype(engine.dtype) - r) * state.sub
        state.v = u - amount
        state.error = error + engine.eps * (np.abs(u) + np.abs(amount)) * (s | r)
    state.spiked = s
    return unsure | unsure_before


def _fire_repeatedly(engine: _Engine, dynamics: FiringDynamics, state: _State, drive: _Current) -> BoolArray:
    """Several spikes in a step, as Sinabs and Rockpool count them: the whole thresholds in the membrane."""
    u, error = engine.integrated(state.v, state.error, drive)
    most = engine.population.max_spikes
    ratio = u / state.threshold
    state.spiked = np.clip(np.ceil(ratio) - 1 if dynamics.fire is Fire.GT else np.floor(ratio), 0, most)
    state.v, state.error = engine.subtracted(state, u, error, state.spiked)
    nearest = np.clip(np.rint(ratio), 1, most) * state.threshold
    return np.asarray((np.abs(u - nearest) <= error) & (error > 0))


_RESETS: dict[ResetPlace, Callable[[_Engine, FiringDynamics, _State, _Current], BoolArray]] = {
    ResetPlace.SAME: _reset_same,
    ResetPlace.NEXT: _reset_next,
    ResetPlace.SNNTORCH_SAME: _reset_snntorch_same,
}


def _run_block(engines: list[_Engine], sources: SpikesByPopulation, traces: Mapping[str, Array]) -> int:
    """Run one block of samples through all steps, writing `sources` and `traces`; returns the ambiguous count."""
    samples, steps = sources[INPUT].shape[:2]
    states = [engine.start(samples) for engine in engines]
    ambiguous = 0
    for step in range(steps):
        for engine, state in zip(engines, states, strict=True):
            ambiguous += int(np.count_nonzero(engine.step(state, sources, step)))
            name = engine.population.name
            sources[name][:, step] = state.spiked
            if name in traces:
                traces[name][:, step] = state.v
    return ambiguous

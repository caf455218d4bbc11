"""The integer reference: the arithmetic contract (DESIGN section 3, docs/arithmetic.md) in NumPy.

This is the definition of correct. It is written from the contract and shares no code with the hardware generator.

Time runs step by step, populations in evaluation order, samples in blocks. The sums of a step are matrix products in
the fastest format that is proven exact for them (`bounds.partial_sum_bound`): float32 below 2^24, float64 below 2^53,
else int64. Everything behind the sums is int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import IntArray, SpikesByPopulation
from ..compiler.ir.arrivals import Arrival, apart
from ..compiler.ir.bounds import partial_sum_bound
from ..compiler.ir.connectivity import Connectivity
from ..compiler.ir.network import INPUT, Network, Population, Projection
from ..compiler.ir.neurons import Decay, Drive, IntegerDynamics, ResetMode, ResetPlace, Rounding
from ..compiler.ir.verifier import verify
from ..hdl.errors import ModelError, quoted
from .inputs import checked_spikes
from .recording import PopulationRecording, Recording, with_membranes

BoolArray = npt.NDArray[np.bool_]

_BLOCK_VALUES = 1 << 21
"""How many neuron states (inputs included) a block of samples holds: about 100 MB of temporaries."""


def run_reference(
    network: Network,
    spikes: npt.NDArray[Any],
    membranes: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Run an integer network on `spikes`, integers 0..x_max [samples, steps, inputs] (inputs in any shape).

    Every sample starts from cleared state. Records every population's spikes and, with `membranes`, V at the end of
    each step (int32). `progress(done, total)` counts samples. Raises ModelError for a network that is not a valid
    integer network and SampleError for samples that do not suit it.
    """
    verify(network)
    if not network.is_integer:
        raise ModelError(
            f"the reference runs integer networks: {quoted(network.name)} is a float network; quantise it first"
        )
    inputs = checked_spikes(network, spikes)
    samples, steps = inputs.shape[:2]
    recorded = {p.name: np.zeros((samples, steps, p.size), np.uint8) for p in network.populations}
    shown = with_membranes(network, membranes)
    traces = {p.name: np.zeros((samples, steps, p.size), np.int32) for p in network.populations if p.name in shown}
    engines = [_Engine.of(network, population) for population in network.populations]
    block = max(1, _BLOCK_VALUES // (network.input_size + sum(p.size for p in network.populations)))
    for start in range(0, samples, block):
        part = slice(start, start + block)
        sources = {INPUT: inputs[part], **{name: array[part] for name, array in recorded.items()}}
        _run_block(engines, sources, {name: array[part] for name, array in traces.items()})
        if progress is not None:
            progress(min(start + block, samples), samples)
    return Recording.of(
        network,
        {name: PopulationRecording(spikes=array, membranes=traces.get(name)) for name, array in recorded.items()},
    )


def decay(x: IntArray, leak: Decay) -> IntArray:
    """decay(x) = x - ((x*c + r) >> k), r from the rounding rule."""
    product = x * leak.c
    if leak.rounding is Rounding.NEAREST:
        product += (1 << leak.k) >> 1
    elif leak.rounding is Rounding.TOWARD_ZERO:
        product += np.where(product < 0, (1 << leak.k) - 1, 0)
    product >>= leak.k
    return x - product


def saturate(x: IntArray, bits: int) -> IntArray:
    """`x` limited to a two's complement width."""
    limit = 1 << (bits - 1)
    return np.clip(x, -limit, limit - 1)


# ----------------------------------------------------------------------------------------------------- sums


@dataclass(frozen=True)
class _Synapses:
    """The synapses of one projection whose spikes arrive together."""

    pre: str
    connectivity: Connectivity
    rows: npt.NDArray[np.intp] | None
    """The indices of the pre neurons that have any, or None for all of them."""
    weights: npt.NDArray[Any]
    """The codes, in the format in which their sums are exact."""
    arrival: Arrival
    shift: int

    def add_to(self, drive: IntArray, sources: SpikesByPopulation, step: int) -> None:
        """Add this step's (sum of w x) << shift, exactly."""
        x = self.arrival.of(sources[self.pre], step)
        if x is None:
            return  # spikes from before the sample are 0
        x = x if self.rows is None else x[:, self.rows]
        drive += self.connectivity.currents(x, self.weights).astype(np.int64) << self.shift


def _synapses(network: Network, projection: Projection) -> list[_Synapses]:
    connectivity = projection.connectivity
    bound = partial_sum_bound(network, projection)
    dtype = np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64
    groups = []
    for arrival, codes in apart(projection, connectivity.codes):
        if codes.any():
            rows, codes = connectivity.compacted(codes)
            weights = np.ascontiguousarray(codes, dtype=dtype)
            groups.append(_Synapses(projection.pre, connectivity, rows, weights, arrival, projection.shift))
    return groups


# ---------------------------------------------------------------------------------------------------- neurons


@dataclass
class _State:
    """What a population remembers from step to step, [samples, neurons]."""

    v: IntArray
    g: IntArray
    a: IntArray
    spiked: BoolArray | IntArray
    """How often each neuron fired in the step."""


@dataclass(frozen=True)
class _Engine:
    """One population with the synapses into it."""

    population: Population
    synapses: tuple[_Synapses, ...]

    @classmethod
    def of(cls, network: Network, population: Population) -> _Engine:
        groups = [g for p in network.projections_into(population.name) for g in _synapses(network, p)]
        return cls(population, tuple(groups))

    def start(self, samples: int) -> _State:
        shape = (samples, self.population.size)
        v, g, a = (np.zeros(shape, np.int64) for _ in range(3))
        return _State(v, g, a, np.zeros(shape, np.bool_))

    def step(self, state: _State, sources: SpikesByPopulation, step: int) -> None:
        dynamics = self.population.dynamics
        assert isinstance(dynamics, IntegerDynamics)
        drive = np.empty_like(state.v)
        drive[:] = self.population.bias
        for synapses in self.synapses:
            synapses.add_to(drive, sources, step)
        if dynamics.decay_syn is not None:
            drive = _filter(dynamics, state, drive)
        if not self.population.fires:
            state.v = saturate(_leak(dynamics, state.v) + drive, dynamics.state_bits)
        else:
            fire, sub = _thresholds(dynamics, state)
            if self.population.max_spikes > 1:
                _fire_repeatedly(dynamics, state, drive)
            else:
                _RESETS[dynamics.reset_place](dynamics, state, drive, fire, sub)
            if dynamics.v_min is not None:
                state.v = np.maximum(state.v, dynamics.v_min)


def _filter(dynamics: IntegerDynamics, state: _State, inputs: IntArray) -> IntArray:
    """CubaLIF and CubaLI: g = sat(decay_syn(g) + I); the drive is the new or the old g."""
    assert dynamics.decay_syn is not None
    old = state.g
    state.g = saturate(decay(old, dynamics.decay_syn) + inputs, dynamics.state_bits)
    return old if dynamics.drive is Drive.OLD else state.g


def _leak(dynamics: IntegerDynamics, v: IntArray) -> IntArray:
    return v if dynamics.decay is None else decay(v, dynamics.decay)


def _thresholds(dynamics: IntegerDynamics, state: _State) -> tuple[IntArray, IntArray]:
    """What this step compares with and subtracts. ALIF: a = sat(decay_a(a) + s_prev*jump) is added to both."""
    if dynamics.jump is None:
        return dynamics.fire, dynamics.sub
    assert dynamics.decay_a is not None
    state.a = saturate(decay(state.a, dynamics.decay_a) + state.spiked * dynamics.jump, dynamics.state_bits)
    return dynamics.fire + state.a, dynamics.sub + state.a


def _fire_repeatedly(dynamics: IntegerDynamics, state: _State, drive: IntArray) -> None:
    """Reset `same` by subtraction, up to `max_spikes` times: while u > fire, one spike more and u -= sub."""
    assert dynamics.max_spikes is not None
    u = _leak(dynamics, state.v) + drive
    state.spiked = np.zeros(u.shape, np.int64)
    for _ in range(dynamics.max_spikes):
        more = u > dynamics.fire
        if not more.any():
            break
        state.spiked += more
        u = u - more * dynamics.sub
    state.v = saturate(u, dynamics.state_bits)


def _reset_same(dynamics: IntegerDynamics, state: _State, drive: IntArray, fire: IntArray, sub: IntArray) -> None:
    u = _leak(dynamics, state.v) + drive
    s = u > fire
    after = u - sub if dynamics.reset_mode is ResetMode.SUBTRACT else dynamics.v_reset
    state.v = saturate(np.where(s, after, u), dynamics.state_bits)
    state.spiked = s


def _reset_next(dynamics: IntegerDynamics, state: _State, drive: IntArray, fire: IntArray, sub: IntArray) -> None:
    if dynamics.reset_mode is ResetMode.SUBTRACT:
        u = _leak(dynamics, state.v) + drive - state.spiked * sub
    else:
        u = _leak(dynamics, np.where(state.spiked, dynamics.v_reset, state.v)) + drive
    state.spiked = u > fire
    state.v = saturate(u, dynamics.state_bits)


def _reset_snntorch_same(
    dynamics: IntegerDynamics, state: _State, drive: IntArray, fire: IntArray, sub: IntArray
) -> None:
    r = state.v > fire
    u = _leak(dynamics, state.v) + drive - r * sub
    s = u > fire
    state.v = saturate(u - (s.astype(np.int64) - r) * sub, dynamics.state_bits)
    state.spiked = s


_RESETS: dict[ResetPlace, Callable[[IntegerDynamics, _State, IntArray, IntArray, IntArray], None]] = {
    ResetPlace.SAME: _reset_same,
    ResetPlace.NEXT: _reset_next,
    ResetPlace.SNNTORCH_SAME: _reset_snntorch_same,
}


def _run_block(
    engines: list[_Engine], sources: SpikesByPopulation, traces: Mapping[str, npt.NDArray[np.int32]]
) -> None:
    """Run one block of samples through all steps, writing spikes into `sources` and membranes into `traces`."""
    samples, steps = sources[INPUT].shape[:2]
    states = [engine.start(samples) for engine in engines]
    for step in range(steps):
        for engine, state in zip(engines, states, strict=True):
            engine.step(state, sources, step)
            name = engine.population.name
            sources[name][:, step] = state.spiked
            if name in traces:
                traces[name][:, step] = state.v

"""What is proven of random networks holds for what they do, and the compiler's own step does the same."""

from __future__ import annotations

import numpy as np
from golden import network_of
from hypothesis import strategies as st
from spikeloom.compiler.ir.arrivals import apart
from spikeloom.compiler.ir.bounds import drive_bounds_per_neuron, signed_bits
from spikeloom.compiler.ir.network import INPUT, Network, Population
from spikeloom.compiler.ir.neurons import IntegerDynamics
from spikeloom.compiler.neurons.contract import integer_model
from spikeloom.compiler.neurons.reachable import accumulator_bits, most_spikes, reachable_membranes, silent_neurons
from spikeloom.compiler.neurons.step import ARRAYS, steps

from .networks import networks
from .oracle import Data, Trace, run_sample

_ROUNDS = 500
"""Steps after which a proof gives up here, to be done soon."""


@st.composite
def whole_ir_cases(draw: st.DrawFn) -> tuple[Data, list[list[int]]]:
    """A network of the whole IR, and a sample [step][input]."""
    network = draw(networks(hardware=False))
    count = st.integers(0, network["input"]["x_max"])
    inputs = network["input"]["size"]
    return network, draw(st.lists(st.lists(count, min_size=inputs, max_size=inputs), min_size=1, max_size=9))


def check_proofs(data: Data, sample: list[list[int]]) -> None:
    """Every proof about a network, against the oracle's run of a sample."""
    network, traces = network_of(data), run_sample(data, sample)
    for population in network.populations:
        trace, dynamics = traces[population.name], population.dynamics
        assert isinstance(dynamics, IntegerDynamics)
        spikes, membranes = np.array(trace.spikes), np.array(trace.membranes)
        reach = reachable_membranes(network, population, _ROUNDS)
        saturates = reach is None or signed_bits(*reach) > dynamics.state_bits
        if reach is not None and not saturates:
            assert reach[0] <= membranes.min() and membranes.max() <= reach[1], f"reach of {population.name}"
            _check_step(network, population, sample, traces)
        assert spikes.max() <= most_spikes(network, population), f"most spikes of {population.name}"
        assert not spikes[:, silent_neurons(network, population, _ROUNDS)].any(), f"silence of {population.name}"
        _check_accumulator(network, population, np.array(trace.starts))


def _check_step(network: Network, population: Population, sample: list[list[int]], traces: dict[str, Trace]) -> None:
    """The compiler's step does the same where nothing saturates."""
    sources = {INPUT: np.array(sample)} | {name: np.array(trace.spikes) for name, trace in traces.items()}
    currents = np.zeros((len(sample), population.size), np.int64) + population.bias
    for projection in network.projections_into(population.name):
        for arrival, codes in apart(projection, projection.connectivity.codes):
            for step in range(len(sample)):
                x = arrival.of(sources[projection.pre][None], step)
                if x is not None:
                    currents[step] += projection.connectivity.currents(x, codes)[0] << projection.shift
    model = integer_model(population.dynamics)  # type: ignore[arg-type]
    done = list(steps(ARRAYS, model, currents, np.zeros(population.size, np.int64)))
    trace = traces[population.name]
    assert [s.v.tolist() for s in done] == trace.membranes, f"membranes of a step of {population.name}"
    if population.fires:
        assert [(1 * s.spiked).tolist() for s in done] == trace.spikes, f"spikes of a step of {population.name}"


def _check_accumulator(network: Network, population: Population, starts: np.ndarray) -> None:
    """What a step started from, and whatever its synapses may add to that, fits the accumulator."""
    lows, highs = drive_bounds_per_neuron(network, population)
    bias = np.broadcast_to(population.bias, (population.size,)).tolist()
    low = min(int(s) + a - b for s, a, b in zip(starts.min(axis=0), lows, bias, strict=True))
    high = max(int(s) + a - b for s, a, b in zip(starts.max(axis=0), highs, bias, strict=True))
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    if dynamics.decay_syn is None:
        assert signed_bits(low, high) <= accumulator_bits(network, population), f"accumulator of {population.name}"

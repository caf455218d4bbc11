"""Fraction bits go where a block RAM hangs on them, and stay where the spikes need them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from networks import random_spikes
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.flow import compile as compiling
from spikeloom.compiler.flow.compile import CompileOptions, block_rams, integers_of
from spikeloom.compiler.flow.narrow import Narrow
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LI, LIF, Fire, IntegerDynamics, ResetPlace
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

SIZES = (24, 20, 6)


def network(beta: float = 0.95, *, fire: Fire = Fire.GT, readout: bool = False, floor: float | None = None) -> Network:
    rng = np.random.default_rng(3)
    populations, projections = [], []
    for number, (pre, post) in enumerate(pairwise(SIZES)):
        last = number == len(SIZES) - 2
        v_min = None if floor is None else np.array(floor)
        spiking = LIF(beta=np.array(beta), threshold=np.array(1.0), reset_place=ResetPlace.NEXT, fire=fire, v_min=v_min)
        dynamics = LI(beta=np.array(beta)) if readout and last else spiking
        populations.append(Population(name=f"l{number}", shape=(post,), dynamics=dynamics, bias=np.full(post, 0.01)))
        weights = rng.normal(0, 0.4, (pre, post))
        name = INPUT if number == 0 else f"l{number - 1}"
        projections.append(Projection(pre=name, post=f"l{number}", connectivity=Dense(weights=weights)))
    return Network(input_shape=(SIZES[0],), populations=tuple(populations), projections=tuple(projections), output="l1")


def inputs(source: Network) -> np.ndarray:
    return random_spikes(5, source, samples=12, steps=20, rate=0.3)


def neurons(result: Network) -> list[IntegerDynamics]:
    return [p.dynamics for p in result.populations if isinstance(p.dynamics, IntegerDynamics)]


def widest(result: Network) -> int:
    return max(neuron.state_bits for neuron in neurons(result))


@pytest.fixture(params=(Fire.GT, Fire.GE))
def source(request: pytest.FixtureRequest) -> Network:
    return network(fire=request.param)


def test_a_network_whose_blocks_no_bit_saves_is_returned_as_it_is(source: Network) -> None:
    integers = quantise(source, 6, inputs(source))
    assert Narrow(source=source, spikes=inputs(source), price=lambda _: 3)(integers) is integers


def test_bits_go_where_an_edge_is_crossed_and_no_further(source: Network) -> None:
    integers = quantise(source, 6, inputs(source))
    edge = widest(integers) - 1
    narrow = Narrow(source=source, spikes=inputs(source), price=lambda n: 1 + (widest(n) > edge))(integers)
    assert widest(narrow) == edge
    for before, after in zip(neurons(integers), neurons(narrow), strict=True):
        less = before.fraction_bits - after.fraction_bits
        assert less == max(0, before.state_bits - edge)
        assert np.array_equal(after.fire, before.fire >> less)
        assert np.all(np.abs((after.sub << less) - before.sub) <= 1 << less >> 1)
    for before, after in zip(integers.projections, narrow.projections, strict=True):
        assert after.connectivity is before.connectivity
        assert after.shift == narrow.population(after.post).dynamics.fraction_bits  # type: ignore[union-attr]


def test_a_coarser_threshold_decides_as_the_real_one_does_on_its_grid(source: Network) -> None:
    integers = quantise(source, 6, inputs(source))
    narrow = Narrow(source=source, spikes=inputs(source), price=widest)(integers)
    unit = neurons(narrow)[0].scale / (1 << neurons(narrow)[0].fraction_bits)
    threshold = 1.0
    fire = neurons(narrow)[0].fire
    below, above = fire * unit, (fire + 1) * unit
    ge = source.populations[0].dynamics.fire is Fire.GE  # type: ignore[union-attr]
    assert np.all(below < threshold if ge else below <= threshold)
    assert np.all(above >= threshold if ge else above > threshold)


def test_the_spikes_keep_the_bits_that_they_need(source: Network) -> None:
    """Every bit saves something here, so that the tolerance alone decides."""
    spikes = inputs(source)
    integers = quantise(source, 6, spikes)
    narrow = Narrow(source=source, spikes=spikes, price=widest)(integers)
    assert 0 < neurons(narrow)[0].fraction_bits < neurons(integers)[0].fraction_bits
    target = run_float(source, spikes)

    def changed(result: Network) -> float:
        recording = run_reference(result, spikes)
        return sum(
            int(np.sum(recording.populations[name].spikes != expected.spikes))
            for name, expected in target.populations.items()
        ) / sum(int(expected.spikes.sum()) for expected in target.populations.values())

    assert changed(narrow) <= changed(integers) + 0.005


def test_a_floor_is_as_low_as_before() -> None:
    source = network(floor=-0.5)
    integers = quantise(source, 6, inputs(source))
    narrow = Narrow(source=source, spikes=inputs(source), price=widest)(integers)
    for before, after in zip(neurons(integers), neurons(narrow), strict=True):
        less = before.fraction_bits - after.fraction_bits
        assert before.v_min is not None and after.v_min is not None
        assert np.all(np.abs((after.v_min << less) - before.v_min) <= 1 << less >> 1)


def test_a_readout_of_membranes_keeps_its_bits() -> None:
    source = network(readout=True)
    integers = quantise(source, 6, inputs(source))
    narrow = Narrow(source=source, spikes=inputs(source), price=widest)(integers)
    assert neurons(narrow)[-1].fraction_bits == neurons(integers)[-1].fraction_bits


def test_neurons_that_compression_removed_are_no_hindrance() -> None:
    source = network()
    integers = quantise(source, 6, inputs(source))
    larger = replace(source, populations=(replace(source.populations[0], shape=(30,)), source.populations[1]))
    narrow = Narrow(source=larger, spikes=inputs(source), price=widest)(integers)
    assert widest(narrow) <= widest(integers)


def test_a_compilation_takes_no_more_blocks_than_quantisation_alone() -> None:
    source = network(0.99)
    spikes = inputs(source)
    options = CompileOptions(board="icestick", method="magnitude", bits=6)
    price = block_rams(options)
    built = integers_of(source, options, Samples(spikes=spikes))
    assert price(built.network) <= price(quantise(source, 6, spikes))
    assert [error.fraction_bits for error in built.errors] == [n.fraction_bits for n in neurons(built.network)]


@pytest.mark.parametrize(
    ("purpose", "asked"),
    [({}, True), ({"minimise": "brams"}, True), ({"minimise": "latency"}, False), ({"latency_us": 9.0}, False)],
)
def test_no_spike_is_changed_for_blocks_that_nobody_counts(
    monkeypatch: pytest.MonkeyPatch, purpose: dict[str, Any], asked: bool
) -> None:
    source = network(0.99)
    priced: list[CompileOptions] = []
    monkeypatch.setattr(compiling, "block_rams", lambda options: priced.append(options) or widest)
    options = CompileOptions(board="icestick", method="magnitude", bits=6, **purpose)
    integers_of(source, options, Samples(spikes=inputs(source)))
    assert bool(priced) is asked

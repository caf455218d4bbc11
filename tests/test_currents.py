"""Synaptic currents in hardware: a second word of every neuron, in every engine, under every rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth import Const, Signal
from amaranth.hdl import signed
from networks import RESETS, chain, random_spikes
from shipped import cycles_saved_by_skips
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.estimate.estimate import estimate
from spikeloom.compiler.flow.narrow import Narrow
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import CubaLIF, Decay, Drive, IntegerDynamics, Kind, ResetMode, ResetPlace, Rounding
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.neurons.reachable import current_saturates, saturates, start_bits, sum_bits
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.lean import without_silent
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.neurons.decay import DecayFormat
from spikeloom.hdl.neurons.shared_leaks import SharedLeaks
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.reference import run_reference
from spikeloom.sim.verilog_executor import run_verilog

SYNAPTIC: dict[str, Any] = {"kind": Kind.CUBALIF, "decay_syn": Decay(c=5, k=4)}


def currents(seed: int = 5, sizes: tuple[int, ...] = (9, 7, 5), **changes: Any) -> Network:
    """A chain of CubaLIF populations that fire often."""
    return chain(seed, sizes, **{**SYNAPTIC, "fire": np.array(25), "sub": np.array(26), **changes})


def mixed(**changes: Any) -> Network:
    """A LIF, a CubaLIF and an IF population."""
    network = currents(7, (9, 7, 6, 5), **changes)
    first, second, third = network.populations
    bare = {"kind": Kind.LIF, "decay_syn": None, "drive": Drive.NEW}
    populations = (
        replace(first, dynamics=replace(first.dynamics, **bare)),
        second,
        replace(third, dynamics=replace(third.dynamics, **bare | {"kind": Kind.IF, "decay": None})),
    )
    return replace(network, populations=populations)


def assert_agrees(plan: Plan, stress: int | None = 3, steps: int = 6) -> None:
    spikes = random_spikes(3, plan.network, samples=3, steps=steps, rate=0.5)
    spikes[1, 1:] = 0  # what is left of a current goes on alone
    expected = run_reference(plan.network, spikes, membranes=True).populations
    assert all(population.spikes.any() for population in expected.values())
    got = run_amaranth(plan, spikes, membranes=True, stress=stress).populations
    for name, population in expected.items():
        np.testing.assert_array_equal(got[name].spikes, population.spikes)
        np.testing.assert_array_equal(got[name].membranes, population.membranes)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("drive", list(Drive))
@pytest.mark.parametrize(("place", "mode"), RESETS)
@pytest.mark.parametrize("fold_with", [shared_folding, pipelined_folding])
def test_every_rule_and_both_drives(place: ResetPlace, mode: ResetMode, drive: Drive, fold_with: Any) -> None:
    network = currents(reset_place=place, reset_mode=mode, v_reset=np.array(-3), drive=drive)
    assert_agrees(make_plan(network, folding=fold_with(network)))


WAYS: dict[str, dict[str, Any]] = {
    "lanes": {"lanes": 2, "queue": 4},
    "few blocks of logic": {"scarce": "luts", "lanes": 3, "queue": 0},
    "vector": {"kind": EngineKind.VECTOR, "lanes": 0},
    "wide vector": {"kind": EngineKind.VECTOR, "lanes": 3, "events_per_beat": 2, "neurons_per_cycle": 2},
}


@pytest.mark.thinned(4)
@pytest.mark.parametrize("drive", list(Drive))
@pytest.mark.parametrize("place", list(ResetPlace))
@pytest.mark.parametrize("way", WAYS)
def test_lanes_and_vectors_have_them_too(way: str, place: ResetPlace, drive: Drive) -> None:
    network = currents(6, (9, 6, 3), reset_place=place, drive=drive)
    engines = (engine_folding(populations=(p.name,), **WAYS[way]) for p in network.populations)
    assert_agrees(make_plan(network, "ecp5", Folding(engines=tuple(engines))))


@pytest.mark.parametrize("drive", list(Drive))
@pytest.mark.parametrize("place", list(ResetPlace))
def test_an_engine_runs_neurons_with_currents_and_without(place: ResetPlace, drive: Drive) -> None:
    network = mixed(reset_place=place)
    second = network.populations[1]
    driven = replace(second, dynamics=replace(second.dynamics, drive=drive))
    network = replace(network, populations=(network.populations[0], driven, network.populations[2]))
    plan = make_plan(network, folding=shared_folding(network))
    assert [role for role in plan.engines[0].form.memories(Family.ICE40) if role != "rows"] == [
        "entries",
        "state",
        "currents",
        "parameters",
    ]
    assert_agrees(plan)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_parameters_of_each_neuron_and_a_floor(rounding: Rounding) -> None:
    rng = np.random.default_rng(2)
    own = {
        "decay": Decay(c=rng.integers(0, 9, 6), k=4, rounding=rounding),
        "decay_syn": Decay(c=rng.integers(0, 17, 6), k=4, rounding=rounding),
        "v_min": rng.integers(-14, -3, 6),
        "fire": rng.integers(11, 25, 6),
        "sub": rng.integers(11, 25, 6),
    }
    network = currents(8, (9, 6, 6), **own)
    plan = make_plan(network, folding=shared_folding(network))
    assert plan.engines[0].form.neurons.parameter_fields[-2:] == (("v_min", 5), ("c_syn", 4))
    assert_agrees(plan)
    engines = (engine_folding(populations=(p.name,), **WAYS["vector"]) for p in network.populations)
    assert_agrees(make_plan(network, folding=Folding(engines=tuple(engines))))


FIRST, SECOND, OWN = Decay(c=5, k=4), Decay(c=11, k=5), Decay(c=np.arange(5) + 3, k=4)
CROSSED = {
    "crossed": ((FIRST, SECOND), (SECOND, FIRST), (FIRST, SECOND)),
    "one constant for both states": ((FIRST, FIRST), (SECOND, FIRST), (FIRST, FIRST)),
    "of different widths": ((FIRST, SECOND), (FIRST, SECOND), (SECOND, FIRST)),
    "one term": ((Decay(c=1, k=2), SECOND), (FIRST, Decay(c=1, k=2)), (FIRST, SECOND)),
    "coefficients of each neuron": ((FIRST, OWN), (OWN, FIRST), (OWN, OWN)),
}


@pytest.mark.thinned(3)
@pytest.mark.parametrize("place", [ResetPlace.SAME, ResetPlace.NEXT, ResetPlace.SNNTORCH_SAME])
@pytest.mark.parametrize("leaks", CROSSED.values(), ids=CROSSED)
def test_what_membranes_leak_by_in_one_population_currents_do_in_another(leaks: Any, place: ResetPlace) -> None:
    network = currents(7, (9, 5, 5, 5), reset_place=place, fire=np.array(9), sub=np.array(9))
    populations = tuple(
        replace(p, dynamics=replace(p.dynamics, decay=decay, decay_syn=synaptic, state_bits=bits))
        for p, (decay, synaptic), bits in zip(network.populations, leaks, (10, 8, 14), strict=True)
    )
    network = replace(network, populations=populations)
    assert_agrees(make_plan(network, folding=shared_folding(network)))


def test_a_constant_is_built_once_where_choosing_is_cheaper() -> None:
    """The first rule's membranes leak by what the second's currents do, and the other way round."""
    shared = SharedLeaks(lambda choices: choices[0])
    v, g = Signal(signed(9)), Signal(signed(8))
    several, single = (DecayFormat(c=c, k=5, rounding="nearest", paired=True) for c in (11, 1))
    for rule, asked in enumerate((((v, several), (g, single)), ((v, single), (g, several)))):
        for state, form in asked:
            shared.of(rule, 9)(state, form, Const(0))
    assert shared.units == 3  # the constant with one term stands twice


@pytest.mark.parametrize("drive", list(Drive))
def test_a_current_saturates_in_the_pass_and_not_before(drive: Drive) -> None:
    """Inputs that would leave the state's width on their way, though their sum does not: I is exact."""
    dynamics = IntegerDynamics(
        **SYNAPTIC, fire=6, sub=6, decay=Decay(c=1, k=1), reset_place=ResetPlace.SAME, state_bits=4, drive=drive
    )
    weights = Quantised(codes=[[7], [7], [7], [-7], [-7], [-7], [1], [5]], bits=4)
    network = Network(
        input_shape=(8,),
        populations=(Population(name="p", shape=(1,), dynamics=dynamics, bias=2),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=weights)),),
        output="p",
    )
    (population,) = network.populations
    assert saturates(network, population) and current_saturates(network, population)
    everything, nothing = np.ones(8, np.uint8), np.zeros(8, np.uint8)
    high, low = np.array([1, 1, 1, 0, 0, 0, 1, 1], np.uint8), np.array([0, 0, 0, 1, 1, 1, 0, 0], np.uint8)
    spikes = np.array([[everything, high, nothing, low, nothing], [low, low, everything, high, high]])
    expected = run_reference(network, spikes, membranes=True)
    for kind in (EngineKind.SPARSE, EngineKind.VECTOR):
        plan = make_plan(network, folding=Folding(engines=(engine_folding(populations=("p",), kind=kind),)))
        got = run_amaranth(plan, spikes, membranes=True)
        np.testing.assert_array_equal(got.membranes, expected.membranes)
        np.testing.assert_array_equal(got.spikes, expected.spikes)


def test_only_engines_that_have_currents_pay_for_them() -> None:
    network = mixed()
    plan = make_plan(network, folding=pipelined_folding(network))
    roles = [set(engine.form.memories(Family.ICE40)) for engine in plan.engines]
    assert ["currents" in of_engine for of_engine in roles] == [False, True, False]
    for engine, fields in zip(plan.engines, (5, 6, 5), strict=True):
        assert len(engine.form.neurons.parameter_fields) == fields


def test_the_words_hold_every_start_and_every_sum() -> None:
    """What is left of a current, 0 to 10, the bias 8 and contributions of -3 to 3 make 21 at most, as g is then."""
    dynamics = IntegerDynamics(
        kind=Kind.CUBALIF, fire=3, sub=0, v_min=0, decay=Decay(c=0, k=0), decay_syn=Decay(c=1, k=1), drive=Drive.OLD
    )
    weights = Quantised(codes=[[3], [-3]], bits=3)
    network = Network(
        input_shape=(2,),
        populations=(Population(name="p", shape=(1,), dynamics=replace(dynamics, state_bits=6), bias=8),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=weights)),),
        output="p",
    )
    (population,) = network.populations
    assert not current_saturates(network, population)
    assert sum_bits(network, population) == 6
    assert start_bits(network, population) == 7  # a V of 0 to 31, and g
    new = replace(network, populations=(replace(population, dynamics=replace(population.dynamics, drive=Drive.NEW)),))
    assert start_bits(new, new.populations[0]) == 6


@pytest.mark.parametrize("drive", list(Drive))
def test_a_pass_is_not_skipped_while_a_current_changes(drive: Drive) -> None:
    """Nothing is left of V after a step, so that only the current changes, until it has faded: then the passes go. A
    current of 15 that did not fade would make a neuron fire with the 30 that come later."""
    dynamics = IntegerDynamics(
        kind=Kind.CUBALIF, fire=40, sub=40, decay=Decay(c=1, k=0), decay_syn=Decay(c=1, k=1), drive=drive
    )
    weights = Quantised(codes=[[60], [30]], bits=8)
    network = Network(
        input_shape=(2,),
        populations=(Population(name="p", shape=(1,), dynamics=dynamics),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=weights)),),
        output="p",
    )
    spikes = np.zeros((2, 24, 2), np.uint8)
    spikes[0, 1, 0] = spikes[0, 7, 1] = spikes[0, 20, 0] = spikes[1, 0, 0] = 1
    expected = run_reference(network, spikes).spikes
    assert expected.sum(axis=(1, 2)).tolist() == [2, 1]
    assert cycles_saved_by_skips(network, spikes, expected) > 40


@pytest.mark.parametrize("fold_with", [shared_folding, pipelined_folding])
def test_cycles_are_those_of_the_same_network_without_currents(fold_with: Any) -> None:
    """A pass takes a neuron per cycle as ever: spike trains say all, as the exact model does."""
    network = mixed()
    plan = make_plan(network, folding=fold_with(network))
    spikes = random_spikes(5, network, samples=2, steps=5)
    trains = run_reference(network, spikes).trains(spikes)
    assert count_cycles(plan, trains) == measure_cycles(plan, spikes)


def test_the_estimate_counts_their_memory_and_says_that_their_logic_is_a_guess() -> None:
    with_currents, without = (
        make_plan(network, folding=shared_folding(network))
        for network in (currents(9, (20, 300, 200)), chain(9, (20, 300, 200)))
    )
    assert with_currents.brams == without.brams + 2  # 500 neurons, words of at most 16 bits
    bare, more = estimate(without), estimate(with_currents)
    assert "currents" in more.guessed and "currents" not in bare.guessed
    assert more.resources.brams == with_currents.brams
    assert more.resources.luts > bare.resources.luts + 20


@pytest.mark.parametrize("level", ["rtl", pytest.param("netlist", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["new", "old"])
def test_verilog_has_them(name: str, level: str) -> None:
    network = mixed() if name == "new" else currents(drive=Drive.OLD, reset_place=ResetPlace.SNNTORCH_SAME)
    spikes = random_spikes(3, network, samples=2, steps=5, rate=0.5)
    expected = run_reference(network, spikes, membranes=True)
    got = run_verilog(network, spikes, membranes=True, level=level, stress=3)
    for population, record in expected.populations.items():
        np.testing.assert_array_equal(got.populations[population].membranes, record.membranes)
        np.testing.assert_array_equal(got.populations[population].spikes, record.spikes)


def test_narrowing_and_silence_speak_of_both_words() -> None:
    """A compilation's passes: a core without its silent neurons, whose words may lose a bit, equals the reference."""
    rng = np.random.default_rng(4)
    shape = {"alpha": 0.7, "beta": 0.9, "threshold": 1.0, "reset_place": ResetPlace.NEXT}
    weights = rng.normal(0.1, 0.4, (9, 40))
    weights[:, 5] = -1e-3  # never fires
    network = Network(
        input_shape=(9,),
        populations=(
            Population(name="a", shape=(40,), dynamics=CubaLIF(**shape)),
            Population(name="b", shape=(4,), dynamics=CubaLIF(**shape, drive=Drive.OLD)),
        ),
        projections=(
            Projection(pre=INPUT, post="a", connectivity=Dense(weights=weights)),
            Projection(pre="a", post="b", connectivity=Dense(weights=rng.normal(0.05, 0.3, (40, 4)))),
        ),
        output="b",
    )
    spikes = (rng.random((12, 20, 9)) < 0.3).astype(np.uint8)
    integer = quantise(network, 6, spikes)
    narrow = Narrow(source=network, spikes=spikes, price=state_bits)(integer)
    assert state_bits(narrow) < state_bits(integer)
    lean = without_silent(narrow)
    assert lean.left_out >= 1
    expected = run_reference(narrow, spikes[:2])
    assert expected.spikes.any()
    assert_agrees(make_plan(lean.network))
    np.testing.assert_array_equal(run_amaranth(make_plan(lean.network), spikes[:2]).spikes, expected.spikes)


def state_bits(network: Network) -> int:
    """Both words of the engine that runs it."""
    (engine,) = make_plan(network).engines
    shapes = engine.form.memories(Family.ICE40)
    return int(shapes["state"].width + shapes["currents"].width)

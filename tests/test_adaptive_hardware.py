"""Thresholds that adapt in hardware: a word more of every neuron, in every engine, under every rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from networks import chain
from shipped import cycles_saved_by_skips
from spikeloom.compiler.estimate.estimate import estimate
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import Decay, IntegerDynamics, Kind, ResetMode, ResetPlace, Rounding
from spikeloom.compiler.neurons.reachable import adaptation_bits, adaptation_saturates
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.memories.memory import Family
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.reference import run_reference
from test_currents import assert_agrees, currents

RESETS = [
    (ResetPlace.SAME, ResetMode.SUBTRACT),
    (ResetPlace.SAME, ResetMode.VALUE),
    (ResetPlace.NEXT, ResetMode.SUBTRACT),
    (ResetPlace.NEXT, ResetMode.VALUE),
]
ADAPTIVE: dict[str, Any] = {"decay_a": Decay(c=3, k=4), "jump": np.array(9)}


def adaptive(seed: int = 5, sizes: tuple[int, ...] = (9, 7, 5), **changes: Any) -> Network:
    """A chain of ALIF populations that fire often."""
    return chain(seed, sizes, **{**ADAPTIVE, "fire": np.array(12), "sub": np.array(13), **changes})


@pytest.mark.parametrize(("place", "mode"), RESETS)
@pytest.mark.parametrize("fold_with", [shared_folding, pipelined_folding])
def test_every_rule(place: ResetPlace, mode: ResetMode, fold_with: Any) -> None:
    network = adaptive(reset_place=place, reset_mode=mode, v_reset=np.array(-3))
    assert_agrees(make_plan(network, folding=fold_with(network)), steps=9)


WAYS: dict[str, dict[str, Any]] = {
    "lanes": {"lanes": 2, "queue": 4},
    "vector": {"kind": EngineKind.VECTOR, "lanes": 0},
    "wide vector": {"kind": EngineKind.VECTOR, "lanes": 3, "events_per_beat": 2, "neurons_per_cycle": 2},
}


@pytest.mark.parametrize(("place", "mode"), RESETS)
@pytest.mark.parametrize("way", WAYS)
def test_lanes_and_vectors_have_them_too(way: str, place: ResetPlace, mode: ResetMode) -> None:
    network = adaptive(6, (9, 6, 3), reset_place=place, reset_mode=mode)
    engines = (engine_folding(populations=(p.name,), **WAYS[way]) for p in network.populations)
    assert_agrees(make_plan(network, "ecp5", Folding(engines=tuple(engines))), steps=9)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_an_engine_runs_all_kinds_of_neurons_with_parameters_of_their_own(rounding: Rounding) -> None:
    """ALIF, CubaLIF and LIF neurons in turn: three words each."""
    rng = np.random.default_rng(3)
    network = currents(7, (9, 7, 6, 5), reset_place=ResetPlace.NEXT)
    first, second, third = network.populations
    own = {"decay_a": Decay(c=rng.integers(0, 9, 7), k=4, rounding=rounding), "jump": rng.integers(-2, 12, 7)}
    populations = (
        replace(first, dynamics=replace(first.dynamics, kind=Kind.LIF, decay_syn=None, **own)),
        second,
        replace(third, dynamics=replace(third.dynamics, kind=Kind.LIF, decay_syn=None)),
    )
    network = replace(network, populations=populations)
    plan = make_plan(network, folding=shared_folding(network))
    memories = plan.engines[0].form.memories(Family.ICE40)
    assert {"state", "currents", "adaptation", "parameters"} <= set(memories)
    assert_agrees(plan, steps=9)


def one_neuron(weight: int, **changes: Any) -> Network:
    neuron: dict[str, Any] = {"kind": Kind.LIF, "fire": 5, "sub": 5, "decay": Decay(c=1, k=1), **ADAPTIVE, **changes}
    return Network(
        input_shape=(1,),
        populations=(Population(name="p", shape=(1,), dynamics=IntegerDynamics(**neuron)),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=Quantised(codes=[[weight]], bits=8))),),
        output="p",
    )


@pytest.mark.parametrize("kind", [EngineKind.SPARSE, EngineKind.VECTOR])
def test_thresholds_stop_at_the_bounds_of_the_state(kind: EngineKind) -> None:
    """A jump of 7 on top of 7 is held at 7, of 4 bits; proven to stay below 64, a needs 7 bits."""
    network = one_neuron(7, state_bits=4, fire=0, sub=0, jump=np.array(7), decay_a=Decay(c=0, k=0))
    (population,) = network.populations
    assert adaptation_saturates(network, population) and adaptation_bits(network, population) == 4
    faded = one_neuron(7, jump=np.array(31), decay_a=Decay(c=1, k=1)).populations[0]
    assert not adaptation_saturates(network_of(faded), faded) and adaptation_bits(network_of(faded), faded) == 7
    spikes = np.ones((2, 8, 1), np.uint8)
    expected = run_reference(network, spikes, membranes=True)
    plan = make_plan(network, folding=Folding(engines=(engine_folding(populations=("p",), kind=kind),)))
    got = run_amaranth(plan, spikes, membranes=True)
    np.testing.assert_array_equal(got.membranes, expected.membranes)
    np.testing.assert_array_equal(got.spikes, expected.spikes)


def network_of(population: Population) -> Network:
    return replace(one_neuron(7), populations=(population,))


def test_a_pass_is_not_skipped_while_a_threshold_comes_down() -> None:
    """Nothing is left of V after a step: only the threshold changes, from 25 to 5, and later inputs of 12 tell it."""
    network = one_neuron(
        12, decay=Decay(c=1, k=0), jump=np.array(20), decay_a=Decay(c=1, k=1), reset_place=ResetPlace.SAME
    )
    spikes = np.zeros((2, 24, 1), np.uint8)
    spikes[0, [1, 9, 20], 0] = spikes[1, [0, 1], 0] = 1
    expected = run_reference(network, spikes).spikes
    assert expected.sum(axis=(1, 2)).tolist() == [3, 1]
    assert cycles_saved_by_skips(network, spikes, expected) > 40


def test_only_populations_that_adapt_pay_and_the_estimate_says_that_it_guesses() -> None:
    network = chain(9, (20, 300, 200))
    first, second = network.populations
    with_word = replace(network, populations=(first, replace(second, dynamics=replace(second.dynamics, **ADAPTIVE))))
    bare, more = (make_plan(each, folding=shared_folding(each)) for each in (network, with_word))
    assert more.brams == bare.brams + 1  # 500 neurons, a word of at most 8 bits
    assert "adaptation" in estimate(more).guessed and "adaptation" not in estimate(bare).guessed
    assert "adaptation" not in make_plan(with_word, folding=pipelined_folding(network)).engines[0].form.memories(
        Family.ICE40
    )

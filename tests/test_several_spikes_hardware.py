"""Several spikes of a neuron in a step in hardware: in every engine, beside other neurons, and back into their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from networks import chain, connect, random_spikes
from shipped import cycles_saved_by_skips
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.estimate.estimate import estimate
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import Decay, Kind, ResetMode, ResetPlace
from spikeloom.compiler.neurons.reachable import limits_spikes
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.hdl.link.linked_core import link_memories
from spikeloom.hdl.link.protocol import longest_content
from spikeloom.hdl.memories.memory import Family
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.image_executor import check_classes, reference_classes, run_images
from spikeloom.sim.reference import run_reference
from test_maps_hardware import NETWORKS, agrees
from test_several_spikes import integer, one_neuron

SEVERAL: dict[str, Any] = {
    "reset_place": ResetPlace.SAME,
    "reset_mode": ResetMode.SUBTRACT,
    "fire": np.array(7),
    "sub": np.array(8),
    "max_spikes": 3,
}


def several(seed: int = 5, sizes: tuple[int, ...] = (9, 7, 5), **changes: Any) -> Network:
    """A chain of populations that often fire several times in a step."""
    return chain(seed, sizes, **{**SEVERAL, **changes})


def mixed(**changes: Any) -> Network:
    """Neurons that fire once, three times and twice at most, under three rules."""
    network = several(7, (9, 7, 6, 5), **changes)
    first, second, third = network.populations
    once = replace(first.dynamics, max_spikes=None, reset_place=ResetPlace.NEXT)
    twice = replace(third.dynamics, max_spikes=2, kind=Kind.IF, decay=None, v_min=np.array(-5))
    return replace(network, populations=(replace(first, dynamics=once), second, replace(third, dynamics=twice)))


def recurrent() -> Network:
    """The first population hears itself a step later, and the second's spikes two and three steps later."""
    network = several(9, (6, 8, 5), fire=np.array(15), sub=np.array(11))
    rng = np.random.default_rng(2)
    back = replace(connect(rng, "p0", "p0", (8, 8)), delay=np.array(1))
    late = replace(connect(rng, "p1", "p0", (5, 8)), delay=rng.integers(2, 4, (5, 8)))
    return replace(network, projections=(*network.projections, back, late))


def assert_agrees(plan: Plan, stress: int | None = 3) -> None:
    """Every count and membrane; and without stalls, where no pass is skipped, every cycle."""
    spikes = random_spikes(3, plan.network, samples=3, steps=6, rate=0.5)
    recording = run_reference(plan.network, spikes, membranes=True)
    assert any((population.spikes > 1).any() for population in recording.populations.values())
    got = run_amaranth(plan, spikes, membranes=True, stress=stress).populations
    for name, population in recording.populations.items():
        np.testing.assert_array_equal(got[name].spikes, population.spikes)
        np.testing.assert_array_equal(got[name].membranes, population.membranes)
    assert count_cycles(plan, recording.trains(spikes)) == measure_cycles(plan, spikes)


KINDS: dict[str, dict[str, Any]] = {
    "as often as the proof says": {"max_spikes": 100},
    "up to a limit": {"max_spikes": 2},
    "nothing is subtracted": {"sub": np.array(0)},
    "something is added": {"sub": np.array([-3, 9, 8, 7, 2]), "max_spikes": 5, "state_bits": 6},
    "held by the state": {"state_bits": 5},
    "down to a floor": {"v_min": np.array(-2), "fire": np.array(2), "sub": np.array(9)},
    "below a threshold below 0": {"fire": np.array(-4), "sub": np.array(6)},
    "currents": {"kind": Kind.CUBALIF, "decay_syn": Decay(c=1, k=1)},
}


@pytest.mark.thinned(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fold_with", [shared_folding, pipelined_folding])
def test_every_rule(kind: str, fold_with: Any) -> None:
    network = several(sizes=(9, 5, 5), **KINDS[kind])
    assert_agrees(make_plan(network, folding=fold_with(network)))


def test_a_proof_spares_the_limit() -> None:
    unlimited, limited = (several(sizes=(9, 5), **KINDS[kind]) for kind in list(KINDS)[:2])
    assert not limits_spikes(unlimited, unlimited.populations[0])
    assert limits_spikes(limited, limited.populations[0])


WAYS: dict[str, dict[str, Any]] = {
    "lanes": {"lanes": 2, "queue": 4},
    "vector": {"kind": EngineKind.VECTOR, "lanes": 0},
    "wide vector": {"kind": EngineKind.VECTOR, "lanes": 4, "events_per_beat": 2, "neurons_per_cycle": 2},
}


@pytest.mark.thinned(2)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [mixed, recurrent, lambda: several(6, (9, 6, 5), sub=np.array(-1))])
def test_lanes_and_vectors_have_them_too(way: str, make: Any) -> None:
    network = make()
    engines = (engine_folding(populations=(p.name,), **WAYS[way]) for p in network.populations)
    assert_agrees(make_plan(network, "ecp5", Folding(engines=tuple(engines))))


@pytest.mark.parametrize("stress", [None, 3])
@pytest.mark.parametrize("make", [mixed, recurrent])
def test_an_engine_runs_all_kinds_of_neurons(make: Any, stress: int | None) -> None:
    network = make()
    assert_agrees(make_plan(network, folding=shared_folding(network)), stress)


@pytest.mark.parametrize("name", ["strided", "maxima"])
def test_maps_take_their_counts(name: str) -> None:
    """Convolutions and sums hear every spike, maxima the counts of a step."""
    network = NETWORKS[name]
    more = {key: value for key, value in SEVERAL.items() if key not in ("fire", "sub")}
    populations = tuple(replace(p, dynamics=replace(p.dynamics, **more)) for p in network.populations)
    network = replace(network, populations=populations)
    agrees(make_plan(network, folding=shared_folding(network)), random_spikes(3, network, 1, 4, 0.6))


def test_a_history_of_counts_makes_the_spikes_of_hidden_neurons_wait() -> None:
    """It takes an event every other cycle, and hears hidden neurons beside the rows that they walk at once."""
    network = several(9, (6, 8, 5), fire=np.array(12), sub=np.array(9))
    rng = np.random.default_rng(2)
    late = replace(connect(rng, "p0", "p1", (8, 5)), delay=rng.integers(1, 3, (8, 5)))
    back = replace(connect(rng, "p1", "p0", (5, 8)), delay=np.array(2))
    network = replace(network, projections=(*network.projections, late, back))
    plan = make_plan(network, folding=shared_folding(network))
    assert plan.engines[0].form.inner
    assert_agrees(plan)


def test_all_that_a_pass_can_have_waits_for_its_end() -> None:
    network = recurrent()
    memories = make_plan(network, folding=shared_folding(network)).engines[0].form.memories(Family.ICE40)
    assert memories["queue"].depth == 32  # 8 neurons, 3 spikes each


def test_passes_are_skipped_beside_them() -> None:
    network = one_neuron(integer(kind=Kind.LIF, decay=Decay(c=1, k=1)))
    spikes = np.zeros((2, 24, 1), np.uint8)
    spikes[:, [1, 9]] = 25
    expected = run_reference(network, spikes).spikes
    assert expected.max() == 2
    assert cycles_saved_by_skips(network, spikes, expected) > 40


def image_network() -> Network:
    return several(4, (9, 7, 5), max_spikes=4)


@pytest.mark.parametrize("decoder", [Decoder.ARGMAX, Decoder.COUNTS, Decoder.FIRST_SPIKE])
def test_images_are_classified_by_all_spikes(decoder: Decoder) -> None:
    network = image_network()
    coding = ImageCoding(encoder=Encoder.RATE, steps=6, decoder=decoder)
    images = np.random.default_rng(3).integers(0, 256, (4, 9)).astype(np.uint8)
    expected = reference_classes(network, images, coding)
    check_classes(expected, run_images(make_plan(network), images, coding).classes, "the hardware")
    assert len(set(expected)) > 1


def test_a_device_counts_as_far_as_all_spikes_go() -> None:
    network = image_network()
    coding = ImageCoding(encoder=Encoder.RATE, steps=6)
    counts = link_memories(link_of(network, coding), Family.ICE40)["counts"]
    assert counts.width == (6 * 4).bit_length()
    several, once = (link_of(n) for n in (network, chain(4, (9, 7, 5))))
    assert longest_content(several) == 4 * longest_content(once)


def test_only_engines_whose_neurons_fire_again_pay() -> None:
    network = mixed()
    bare = replace(
        network,
        populations=tuple(replace(p, dynamics=replace(p.dynamics, max_spikes=None)) for p in network.populations),
    )
    more, less = (estimate(make_plan(each, folding=shared_folding(each))) for each in (network, bare))
    assert more.resources.luts > less.resources.luts and more.resources.brams == less.resources.brams

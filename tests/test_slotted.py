"""Slotted engines: words of several synapses, whose spikes, membranes and cycles are those of the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from networks import chain, random_spikes
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.encodings.slotted import row_lengths, row_words
from spikeloom.compiler.estimate.candidates import candidate_foldings
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import Decay, ResetPlace, Rounding
from spikeloom.compiler.plan.folding import Folding, slotted_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.compiler.plan.slot_assignment import slot_order
from spikeloom.compiler.plan.slotted import SlottedFolding
from spikeloom.compiler.plan.sparse import SparseFolding
from spikeloom.hdl.engines.slotted_format import SlottedFormat
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.reference import run_reference
from test_fast import with_codes
from test_folding import assert_agrees


def slots_of(network: Network, *lanes: int, per_cycle: tuple[int, ...] = (1, 1)) -> Folding:
    names = (population.name for population in network.populations)
    ways = (
        {"kind": "slotted", "lanes": slots, "neurons_per_cycle": width}
        for slots, width in zip(lanes, per_cycle, strict=True)
    )
    return Folding(engines=tuple(engine_folding((name,), **way) for name, way in zip(names, ways, strict=True)))


@pytest.mark.parametrize(
    ("sizes", "lanes", "per_cycle", "place", "family", "stress"),
    [
        ((9, 5, 3), (2, 2), (1, 1), ResetPlace.NEXT, "ecp5", 3),
        pytest.param((5, 8, 1), (16, 2), (1, 1), ResetPlace.SNNTORCH_SAME, "ecp5", None, marks=pytest.mark.slow),
        ((6, 13, 6), (4, 2), (2, 4), ResetPlace.SAME, "ice40", 5),
    ],
)
def test_a_slotted_engine_does_what_the_reference_does(
    sizes: tuple[int, ...],
    lanes: tuple[int, ...],
    per_cycle: tuple[int, ...],
    place: ResetPlace,
    family: str,
    stress: int | None,
) -> None:
    network = chain(3, sizes, reset_place=place)
    assert_agrees(network, slots_of(network, *lanes, per_cycle=per_cycle), family, stress)


@pytest.mark.parametrize(
    ("sizes", "lanes", "per_cycle", "rate"),
    [
        ((12, 9, 4), (2, 2), (1, 1), 0.3),
        ((9, 13, 5), (8, 2), (2, 1), 0.9),
        ((3, 3, 18), (4, 16), (1, 4), 1.0),
    ],
)
def test_cycles_are_known_exactly(
    sizes: tuple[int, ...], lanes: tuple[int, ...], per_cycle: tuple[int, ...], rate: float
) -> None:
    """Where the walks are longer, where the pass is, and where spikes wait to leave."""
    network = chain(5, sizes)
    spikes = random_spikes(3, network, samples=1, steps=4, rate=rate)
    plan = make_plan(network, "ecp5", slots_of(network, *lanes, per_cycle=per_cycle))
    assert count_cycles(plan, run_reference(network, spikes).trains(spikes)) == measure_cycles(plan, spikes)


@pytest.mark.parametrize("width", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_all_that_fire_wait_in_the_queue(width: int) -> None:
    """A population that fires as a whole in every step, before one that hears each spike for many cycles."""
    network = chain(2, (3, 42 * width, 16))
    loud = replace(network.populations[0], bias=np.full(42 * width, 300))
    network = replace(network, populations=(loud, network.populations[1]))
    spikes = random_spikes(1, network, samples=1, steps=2, rate=0.5)
    first = engine_folding(("p0",), kind="slotted", lanes=8, neurons_per_cycle=width)
    engines = first, engine_folding(("p1",), kind="sparse")
    plan = make_plan(network, "ecp5", Folding(engines=engines))
    expected = run_reference(network, spikes)
    assert expected.populations["p0"].spikes.sum() > 80
    assert np.array_equal(run_amaranth(plan, spikes).populations["p1"].spikes, expected.populations["p1"].spikes)
    assert count_cycles(plan, expected.trains(spikes)) == measure_cycles(plan, spikes)


def test_any_synapse_of_a_group_takes_either_of_its_slots() -> None:
    row = [(0, 3), (1, -1), (4, 2), (6, 7)]
    first = [((3,), 0, 0), ((-1,), 0, 0), ((2,), 2, 0), None]
    assert row_words(row, 4, 2, 2) == [first, [((7,), 3, 0), None, None, None]]
    assert row_words(row, 2, 2, 1) == [[((3,), 0, 0), ((-1,), 0, 1)], [((2,), 2, 0), ((7,), 3, 0)]]
    assert row_words([], 4, 2, 2) == []


def test_synapses_that_lie_abreast_take_one_slot() -> None:
    row = [(0, 3), (1, -1), (4, 2), (7, 5)]
    found = row_words(row, 2, 2, 1, abreast=True)
    assert found == [[((3, -1), 0, 0), ((2, 0), 2, 0)], [((0, 5), 3, 0), None]]
    assert row_words(row[1:2], 4, 4, 2, abreast=True) == [[None, ((-1, 0), 0, 0), None, None]]


def test_neurons_that_hear_the_same_lie_abreast() -> None:
    """Where that makes fewer words of no more block RAMs; behind all pairs is who has no other."""
    network = chain(4, (6, 5, 3))
    hears = np.zeros((6, 5), np.int64)
    hears[:3, [0, 3]] = hears[2:5, [1, 4]] = hears[5, 2] = 1
    network = with_codes(network, {"p0": hears}, 4)
    order = slot_order(network, "p0", 1, 2, 2)
    assert {frozenset(order[:2].tolist()), frozenset(order[2:4].tolist())} == {frozenset({0, 3}), frozenset({1, 4})}
    (engine, _) = make_plan(network, "ecp5", slots_of(network, 2, 2)).engines
    assert isinstance(engine.form, SlottedFormat) and engine.form.abreast
    assert row_lengths(engine.form, engine.contents).tolist() == [1] * 6
    assert sorted(slot_order(network, "p0", 1, 2, 4).tolist()) == list(range(5))


def test_neurons_are_spread_so_that_rows_have_few_words() -> None:
    network = chain(4, (120, 64, 10))
    plain, spread = (
        sum(row_lengths(form, contents)) for form, contents in (_planned(network, ordered) for ordered in (False, True))
    )
    assert spread < 0.95 * plain
    order = slot_order(network, "p0", 4, 2)
    assert sorted(order.tolist()) == list(range(64))
    assert np.array_equal(slot_order(network, "p1", 4, 2), np.arange(10))  # what leaves the core keeps its numbers


def _planned(network: Network, ordered: bool) -> tuple[SlottedFormat, object]:
    network = network if ordered else replace(network, output="p0")
    engine = make_plan(network, "ecp5", slots_of(network, 8, 2)).engines[0]
    return engine.form, engine.contents


def several(network: Network) -> Network:
    first = network.populations[0]
    dynamics = replace(first.dynamics, reset_place=ResetPlace.SAME, max_spikes=3)
    return replace(network, populations=(replace(first, dynamics=dynamics), *network.populations[1:]))


def adaptive(network: Network) -> Network:
    first = network.populations[0]
    dynamics = replace(first.dynamics, decay_a=Decay(c=1, k=2, rounding=Rounding.NEAREST), jump=np.full(first.size, 5))
    return replace(network, populations=(replace(first, dynamics=dynamics), *network.populations[1:]))


@pytest.mark.parametrize(
    ("width", "message"),
    [
        (3, r"neurons per cycle, 1 to 4 for 9 neurons: that of 'p0' has neurons_per_cycle 3; the nearest is 2$"),
        (8, r"the nearest is 4$"),
        (0, r"the nearest is 1$"),
    ],
)
def test_passes_that_no_slotted_engine_has(width: int, message: str) -> None:
    network = chain(1, (8, 9, 4))
    with pytest.raises(ModelError, match=message):
        make_plan(network, "ecp5", slots_of(network, 8, 2, per_cycle=(width, 1)))


def test_wide_passes_are_for_large_populations() -> None:
    network = chain(1, (8, 64, 4))
    found = [engine.neurons_per_cycle for engine in slotted_folding(network, 8, 4).engines]  # type: ignore[attr-defined]
    assert found == [4, 1]
    weighed = [slotted_folding(network, slots, width) for slots in (2, 4, 8) for width in (1, 2)]
    assert all(folding in candidate_foldings(network) for folding in weighed)


@pytest.mark.parametrize(
    ("change", "lanes", "message"),
    [
        (lambda n: n, 3, r"a power of two of slots, 2 to 16 for 9 neurons: that of 'p0' has 3 lanes; .* are 2$"),
        (lambda n: n, 32, r"has 32 lanes; the nearest are 16$"),
        (lambda n: n, 1, r"has 1 lanes; the nearest are 2$"),
        (several, 4, r"has neurons that fire once in a step: 'p0' is not so; the nearest is sparse$"),
        (adaptive, 4, r"has fixed thresholds: 'p0' is not so"),
    ],
)
def test_what_no_slotted_engine_has(change: Callable[[Network], Network], lanes: int, message: str) -> None:
    network = change(chain(1, (8, 9, 4)))
    with pytest.raises(ModelError, match=message):
        make_plan(network, "ecp5", slots_of(network, lanes, 2))


def test_fields_of_other_kinds_are_refused() -> None:
    with pytest.raises(ModelError, match="a slotted engine has no skips: that of 'a' has; leave it out"):
        engine_folding(("a",), kind="slotted", lanes=4, skips=True)


def test_what_can_have_no_slots_is_sparse() -> None:
    network = several(chain(1, (8, 9, 4)))
    first, second = slotted_folding(network, 8).engines
    assert isinstance(first, SparseFolding) and second == SlottedFolding(populations=("p1",), lanes=2)

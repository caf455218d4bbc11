"""Queues between engines: the same spikes and membranes in fewer cycles, which the model counts exactly."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import chain, random_spikes
from spikeloom.compiler.cli.common import folding_of
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.estimate.candidates import candidate_foldings, searched_foldings
from spikeloom.compiler.estimate.estimate import parts_of
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.output.build_folder import write_json
from spikeloom.compiler.plan.folding import (
    Folding,
    folding_data,
    pipelined_folding,
    queued_folding,
    read_folding,
    shared_folding,
    slotted_folding,
)
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.layout import exchange, layout_number, with_spare_bits
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.core import CORE_INPUT
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference
from test_cycles import branching
from test_folding import assert_agrees

NEIGHBOURS: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "one lane each": ("ice40", {}, {}),
    "lanes in front": ("ecp5", {"lanes": 3}, {}),
    "lanes behind": ("ecp5", {}, {"lanes": 2, "queue": 0}),
    "slots": ("ecp5", {"kind": "slotted", "lanes": 4}, {"kind": "slotted", "lanes": 2}),
    "slots and one lane": ("ecp5", {"kind": "slotted", "lanes": 8}, {"fast": True}),
    "vectors": ("ice40", {"kind": "vector", "lanes": 0}, {"kind": "vector", "lanes": 0, "events_per_beat": 2}),
    "words": ("ecp5", {"kind": "wide", "lanes": 2}, {"kind": "wide", "lanes": 2}),
}
"""The family, the engine that sends, and the one that receives."""


def loud(network: Network) -> Network:
    """The network, whose first population fires so often that what hears it falls behind."""
    first, *others = network.populations
    return replace(network, populations=(replace(first, bias=np.full(first.size, 40)), *others))


def pair(first: dict[str, object], second: dict[str, object], depth: int) -> Folding:
    behind = engine_folding(("p1",), inlet_queue=depth, **second)
    return Folding(engines=(engine_folding(("p0",), **first), behind))


@pytest.mark.thinned(2)
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_queue_changes_no_spike_and_its_cycles_are_known(name: str) -> None:
    family, first, second = NEIGHBOURS[name]
    network = loud(chain(3, (8, 8, 4)))
    spikes = random_spikes(2, network, samples=1, steps=3)
    plan = make_plan(network, family, pair(first, second, 2 if first else 8))
    assert count_cycles(plan, run_reference(network, spikes).trains(spikes)) == measure_cycles(plan, spikes)
    assert_agrees(network, plan.folding, family, 5, random_spikes(2, network, samples=2, steps=3))


def test_where_streams_part_and_meet_each_has_its_queue() -> None:
    network = branching("c")
    pipelined = pipelined_folding(network)
    folding = queued_folding(network, pipelined, 4)
    plan = make_plan(network, "ecp5", folding)
    for engine in plan.engines:
        held = [queue is not None for queue in engine.queues] or [False] * len(engine.sources)
        assert held == [source != CORE_INPUT for source in engine.sources]
    roles = [(memory.engine, memory.role) for memory in plan.memories if memory.role.startswith("inlet")]
    assert roles == [(2, "inlet"), (2, "inlet1"), (3, "inlet"), (3, "inlet1")]
    spikes = random_spikes(1, network, samples=1, steps=3)
    assert count_cycles(plan, run_reference(network, spikes).trains(spikes)) == measure_cycles(plan, spikes)
    assert_agrees(network, folding, "ecp5", 5, random_spikes(2, network, samples=2, steps=3))


def test_what_sends_need_not_wait_for_what_receives() -> None:
    network = loud(chain(5, (20, 30, 12)))
    spikes = random_spikes(1, network, samples=1, steps=6, rate=0.9)
    trains = run_reference(network, spikes).trains(spikes)
    pipelined = pipelined_folding(network)
    cycles = [
        count_cycles(make_plan(network, "ecp5", folding), trains)[0]
        for folding in (pipelined, queued_folding(network, pipelined, 4), queued_folding(network, pipelined))
    ]
    assert cycles[0] > cycles[1] > cycles[2]


def test_a_queue_is_where_an_engine_listens_to_another() -> None:
    network = chain(1, (6, 5, 4))
    assert [engine.inlet_queue for engine in queued_folding(network, pipelined_folding(network)).engines] == [0, 32]
    lanes = pipelined_folding(network, 2)
    assert queued_folding(network, lanes) == lanes
    assert queued_folding(network, shared_folding(network)) == shared_folding(network)
    queued = queued_folding(network, pipelined_folding(network))
    assert queued in candidate_foldings(network)
    assert searched_foldings(network, ())["pipelined, with queues"] == queued
    found = parts_of(make_plan(network, "ecp5", queued)).luts
    assert found["queues"] > 0 and "queues" not in parts_of(make_plan(network, "ecp5", pipelined_folding(network))).luts


@pytest.mark.parametrize(
    ("depths", "message"),
    [
        ((0, 1), "the queue in front of the engine of 'p1' has 1; the nearest are 0 and 2$"),
        ((0, 12), "the queue in front of the engine of 'p1' has 12; the nearest are 8 and 16$"),
        ((0, 2048), "the queue in front of the engine of 'p1' are 0 to 1024: .* the nearest is 1024$"),
        ((0, -2), "the nearest is 0$"),
        ((8, 8), "what another says in the same step: that of 'p0' listens to none; leave inlet_queue out$"),
    ],
)
def test_a_queue_that_no_core_has_is_refused(depths: tuple[int, int], message: str) -> None:
    network = chain(1, (6, 5, 4))
    engines = (engine_folding((f"p{n}",), inlet_queue=depth) for n, depth in enumerate(depths))
    with pytest.raises(ModelError, match=message):
        make_plan(network, "ecp5", Folding(engines=tuple(engines)))


def asked(network: Network, **options: object) -> Folding | None:
    """The folding of a command line."""
    said = {"fold": None, "folding": None, "lanes": None, "fast": False, "queue": None}
    said |= {"pass_width": None, "lists": False}
    return folding_of(Namespace(**said | options), network)


def test_a_command_line_asks_for_queues_and_wide_passes() -> None:
    network = chain(1, (6, 64, 4))
    assert asked(network, fold="pipelined", queue=8) == queued_folding(network, pipelined_folding(network), 8)
    assert asked(network, fold="slotted", lanes=8, pass_width=2) == slotted_folding(network, 8, 2)
    with pytest.raises(OptionError, match="this folding has none; give each population its engine"):
        asked(network, queue=8)
    with pytest.raises(OptionError, match="--pass-width is for slotted engines: give it with --fold slotted"):
        asked(network, fold="pipelined", pass_width=2)


def test_a_folding_with_queues_is_read_as_it_was_written(tmp_path: Path) -> None:
    network = chain(1, (6, 5, 4))
    folding = queued_folding(network, pipelined_folding(network), 8)
    write_json(tmp_path / "folding.json", folding_data(folding))
    assert read_folding(tmp_path / "folding.json") == folding


def test_other_weights_take_the_place_of_those_behind_queues() -> None:
    network = chain(1, (12, 9, 6))
    folding = queued_folding(network, pipelined_folding(network), 4)
    laid = make_plan(with_spare_bits(network, 1), "ice40", folding, headroom=0.2)
    plan = exchange(laid, network)
    assert layout_number(plan) == layout_number(laid)
    assert layout_number(laid) != layout_number(
        make_plan(with_spare_bits(network, 1), "ice40", queued_folding(network, folding, 8), headroom=0.2)
    )
    spikes = random_spikes(1, network, samples=1, steps=4)
    assert count_cycles(plan, run_reference(network, spikes).trains(spikes)) == measure_cycles(plan, spikes)

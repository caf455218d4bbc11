"""Fast engines: sparse ones with registers on their way; spikes, membranes and cycles are those of the reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import chain, random_codes, random_spikes
from spikeloom.boards.devices import find_device
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.flow.folding import plan_for
from spikeloom.compiler.flow.options import CompileOptions
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import Kind, ResetMode, ResetPlace
from spikeloom.compiler.output.build_folder import write_json
from spikeloom.compiler.plan import fast as fast_plan
from spikeloom.compiler.plan.folding import Folding, folding_data, pipelined_folding, read_folding, shared_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.engines.row_format import RowFormat
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.hdl.memories import memory
from spikeloom.hdl.memories.memory import Family
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference
from test_folding import assert_agrees
from test_plan import branching


def fast(folding: Folding) -> Folding:
    return replace(folding, engines=tuple(replace(engine, fast=True) for engine in folding.engines))


def with_codes(network: Network, codes: dict[str, np.ndarray], bits: int) -> Network:
    """The network with other weights into some populations."""
    projections = tuple(
        replace(p, connectivity=Dense(weights=Quantised(codes=codes[p.post], bits=bits))) if p.post in codes else p
        for p in network.projections
    )
    return replace(network, projections=projections)


def registers(plan: Plan) -> tuple[int, int] | None:
    rows = plan.engines[0].form.rows  # type: ignore[attr-defined]
    assert isinstance(rows, RowFormat)
    return rows.registers


@pytest.mark.parametrize(
    ("seed", "place", "mode", "family", "stress"),
    [
        (1, ResetPlace.NEXT, ResetMode.SUBTRACT, "ecp5", 3),
        (2, ResetPlace.SNNTORCH_SAME, ResetMode.SUBTRACT, "ecp5", None),
        (3, ResetPlace.SAME, ResetMode.VALUE, "ice40", 4),
        (1, ResetPlace.NEXT, ResetMode.SUBTRACT, "ice40", None),
    ],
)
def test_a_fast_engine_does_what_the_reference_does(
    seed: int, place: ResetPlace, mode: ResetMode, family: str, stress: int | None
) -> None:
    network = chain(seed, (11, 7, 1, 5), reset_place=place, reset_mode=mode)
    assert_agrees(network, fast(shared_folding(network)), family, stress)


def test_populations_that_differ_share_a_fast_engine() -> None:
    network = chain(3, (12, 9, 6, 5))
    first, second, third = network.populations
    other = chain(4, (9, 6), reset_place=ResetPlace.SAME, state_bits=20).populations[0]
    changed = (first, replace(second, dynamics=other.dynamics), third)
    shifted = tuple(replace(p, shift=p.shift + n) for n, p in enumerate(network.projections))
    network = replace(network, populations=changed, projections=shifted)
    assert_agrees(network, fast(shared_folding(network)), "ecp5", None)


def test_populations_on_fast_engines_of_their_own() -> None:
    network = branching(5)
    assert_agrees(network, fast(pipelined_folding(network)), "ecp5", 7)


def test_a_neuron_that_is_added_to_again_and_again() -> None:
    """Two neurons that every input reaches, with gaps that entries without a synapse bridge."""
    codes = np.zeros((9, 24), np.int64)
    codes[:, [1, 22]] = 1
    codes[3:6, 1] = 0
    network = with_codes(chain(4, (9, 24), kind=Kind.IF, decay=None), {"p0": codes}, 2)
    spikes = random_spikes(2, network, samples=1, steps=3, rate=0.9)
    plan = make_plan(network, "ice40", fast(shared_folding(network)))
    assert count_cycles(plan, run_reference(network, spikes).trains(spikes)) == measure_cycles(plan, spikes)
    assert_agrees(network, plan.folding, "ecp5", None)


@pytest.mark.parametrize(
    ("sizes", "family", "rate"), [((12, 9, 4), "ecp5", 0.3), ((9, 13, 5), "ice40", 0.9), ((3, 18), "ecp5", 1.0)]
)
def test_cycles_are_known_exactly(sizes: tuple[int, ...], family: str, rate: float) -> None:
    network = chain(5, sizes)
    loud = replace(network.populations[0], bias=np.full(sizes[1], 300))  # spikes that wait for each other
    network = replace(network, populations=(loud, *network.populations[1:]))
    spikes = random_spikes(3, network, samples=1, steps=3, rate=rate)
    trains = run_reference(network, spikes).trains(spikes)
    for folding in (shared_folding(network), pipelined_folding(network)):
        plan = make_plan(network, family, fast(folding))
        assert count_cycles(plan, trains) == measure_cycles(plan, spikes)


def test_entries_in_many_blocks_have_two_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And rows that share a word of the directory have one more in front of the pointer."""
    monkeypatch.setattr(fast_plan, "MANY_BLOCKS", 2)
    monkeypatch.setattr(memory, "BLOCK_SHAPES", {Family.ECP5: ((16, 36), (32, 18))})
    memory._best_columns.cache_clear()
    network = chain(3, (30, 20, 5))
    keep = np.random.default_rng(1).random((30, 20)) < 0.3
    sparse = with_codes(network, {"p0": network.projections[0].connectivity.codes * keep}, 4)
    spikes = random_spikes(1, sparse, samples=1, steps=3, rate=0.3)
    plan = make_plan(sparse, "ecp5", fast(shared_folding(sparse)))
    assert registers(plan) in {(1, 2), (2, 2)}
    assert count_cycles(plan, run_reference(sparse, spikes).trains(spikes)) == measure_cycles(plan, spikes)
    assert_agrees(sparse, plan.folding, "ecp5", None)
    memory._best_columns.cache_clear()


def test_the_registers_suit_the_family() -> None:
    network = chain(1, (40, 9, 5))
    for family, found in (("ice40", (1, 0)), ("ecp5", (1, 1))):
        assert registers(make_plan(network, family, fast(shared_folding(network)))) == found
        assert registers(make_plan(network, family, shared_folding(network))) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fast": True, "skips": True}, "a fast engine has a pass in every step: that of 'p0' is not so; leave fast"),
        ({"fast": True, "lanes": 2}, "a fast engine has one lane: that of 'p0' has 2; leave fast out"),
        ({"fast": True, "kind": "vector"}, "a vector engine is not fast by registers: that of 'p0' is to be"),
        ({"fast": True, "kind": "slotted", "lanes": 2}, "a slotted engine has no fast: that of 'p0' has"),
        ({"fast": True, "kind": "wide", "lanes": 2}, "a wide engine has no fast"),
    ],
)
def test_what_is_not_fast_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_plan(chain(1, (4, 3)), "ecp5", Folding(engines=(engine_folding(("p0",), **given),)))


def test_neurons_that_no_fast_engine_has_are_refused() -> None:
    network = chain(1, (4, 3), reset_place=ResetPlace.SAME)
    (population,) = network.populations
    several = replace(network, populations=(replace(population, dynamics=replace(population.dynamics, max_spikes=3)),))
    with pytest.raises(ModelError, match="a fast engine has neurons that fire once in a step: that of 'p0' is not so"):
        make_plan(several, "ecp5", fast(shared_folding(several)))


def test_a_fast_folding_is_read_as_it_was_written(tmp_path: Path) -> None:
    folding = fast(shared_folding(chain(1, (4, 3, 2))))
    write_json(tmp_path / "folding.json", folding_data(folding))
    assert read_folding(tmp_path / "folding.json") == folding


def planned(network: Network, device: str, **options: object) -> Plan:
    """What a compilation for a device plans."""
    return plan_for(
        network,
        find_device(device),
        CompileOptions(device=device, **options),  # type: ignore[arg-type]
        link_of(network),
    )


def test_engines_are_fast_by_default_on_ecp5_where_that_takes_no_block_ram() -> None:
    network = chain(1, (40, 9, 5))
    assert planned(network, "lfe5u-25f").folding == fast(shared_folding(network))
    each = pipelined_folding(network)
    assert planned(network, "lfe5u-25f", folding=each).folding == each  # a memory more would be a block
    assert planned(network, "hx8k").folding == shared_folding(network)
    assert planned(network, "hx8k", fast=True).folding == fast(shared_folding(network))
    for given in (shared_folding(network), fast(shared_folding(network))):
        assert planned(network, "lfe5u-25f", folding=given, fast=False).folding == given
    dense = with_codes(chain(1, (256, 64)), {"p0": random_codes(np.random.default_rng(1), 256, 64, 4, 0.5)}, 4)
    assert planned(dense, "lfe5u-25f").folding == shared_folding(dense)  # of bitmaps, which fast engines lack
    assert planned(dense, "lfe5u-25f", fast=True).folding.fast


def test_a_folding_without_a_fast_engine_is_not_asked_for_one() -> None:
    network = chain(1, (8, 4), max_spikes=3, reset_place=ResetPlace.SAME)
    assert not planned(network, "lfe5u-25f").folding.fast
    with pytest.raises(OptionError, match="--fast is for engines of one lane with plain neurons"):
        planned(network, "lfe5u-25f", fast=True)

"""Plans: what the hardware lacks is refused by name, and what a plan says of its memories and cycles is so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from amaranth.lib import data
from networks import chain, connect, random_population, random_spikes
from spikeloom.compiler.encodings.rows import row_lengths
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Projection
from spikeloom.compiler.ir.neurons import Decay, Kind, ResetMode, ResetPlace
from spikeloom.compiler.plan.host_link import link_of, memory_needs, with_room
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.emit.emit import netlist_from_rtlil, to_rtlil
from spikeloom.hdl.engines.row_format import RowFormat
from spikeloom.hdl.errors import ModelError
from spikeloom.hdl.link.frame_fifo import FrameFifo
from spikeloom.hdl.resources import Resources
from spikeloom.sim import simulate
from spikeloom.sim.amaranth_executor import measure_cycles


def assert_hardware_agrees(network: Network, spikes: np.ndarray, family: str = "ice40") -> None:
    expected = simulate(network, spikes, executor="reference", membranes=True)
    got = simulate(network, spikes, executor="amaranth", membranes=True, family=family)
    assert any(population.spikes.any() for population in expected.populations.values())
    for name, population in expected.populations.items():
        assert np.array_equal(got.populations[name].spikes, population.spikes), name
        assert np.array_equal(got.populations[name].membranes, population.membranes), name


def branching(seed: int) -> Network:
    """Input to a, b and c; a to c; b to nobody; c to d; a to d: forks, merges and a dead end."""
    rng = np.random.default_rng(seed)
    sizes = {INPUT: 9, "a": 7, "b": 3, "c": 12, "d": 5}
    edges = [(INPUT, "a"), (INPUT, "b"), (INPUT, "c"), ("a", "c"), ("c", "d"), ("a", "d")]
    return Network(
        input_shape=(9,),
        populations=tuple(random_population(rng, name, sizes[name]) for name in "abcd"),
        projections=tuple(connect(rng, a, b, (sizes[a], sizes[b]), density=0.6) for a, b in edges),
        output="d",
        x_max=3,
    )


def test_branches_meet_in_step() -> None:
    network = branching(1)
    assert_hardware_agrees(network, random_spikes(2, network, samples=4, steps=8))


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_memories_of_several_blocks(family: str) -> None:
    network = chain(3, (300, 40, 10))
    assert_hardware_agrees(network, random_spikes(4, network, samples=2, steps=4, rate=0.1), family)


@pytest.mark.parametrize("shifts", [(1, 3), (3, 1)])
def test_parallel_projections_add_up_each_with_its_shift(shifts: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    parallel = tuple(dataclasses.replace(connect(rng, INPUT, "p0", (9, 7)), shift=shift) for shift in shifts)
    network = dataclasses.replace(chain(12, (9, 7)), projections=parallel)
    assert_hardware_agrees(network, random_spikes(13, network))


def test_an_entry_that_bridges_a_gap_is_no_synapse() -> None:
    """Weights of two levels, whose bridges have the code of a weight."""
    rng = np.random.default_rng(6)
    codes = rng.choice([-1, 1], (9, 120)) * (rng.random((9, 120)) < 0.04)
    projection = Projection(pre=INPUT, post="p0", connectivity=Dense(weights=Quantised(codes=codes, bits=4)), shift=4)
    network = dataclasses.replace(chain(14, (9, 120)), projections=(projection,))
    form = make_plan(network).engines[0].form.rows
    assert isinstance(form, RowFormat) and form.escapes and form.entries > np.count_nonzero(codes)
    assert_hardware_agrees(network, random_spikes(15, network))


@pytest.mark.parametrize("place", list(ResetPlace))
def test_leak_of_every_neuron(place: ResetPlace) -> None:
    rng = np.random.default_rng(5)
    network = chain(6, (10, 8), decay=Decay(c=rng.integers(0, 17, 8), k=4), reset_place=place)
    assert_hardware_agrees(network, random_spikes(7, network, steps=12))


def test_reset_to_a_value_other_than_zero() -> None:
    for place in (ResetPlace.SAME, ResetPlace.NEXT):
        network = chain(8, (10, 8), reset_mode=ResetMode.VALUE, reset_place=place, v_reset=np.arange(8) - 4)
        assert_hardware_agrees(network, random_spikes(9, network, steps=12))


def test_a_single_neuron_without_synapses() -> None:
    network = chain(10, (1, 1))
    silent = dataclasses.replace(network.projections[0], connectivity=connect_nothing())
    network = dataclasses.replace(network, projections=(silent,))
    biased = dataclasses.replace(network.populations[0], bias=np.array([40]))
    network = dataclasses.replace(network, populations=(biased,))
    assert_hardware_agrees(network, np.zeros((2, 5, 1), np.uint8))


def connect_nothing():  # type: ignore[no-untyped-def]
    return connect(np.random.default_rng(0), INPUT, "p0", (1, 1), density=0.0).connectivity


def test_cycles_follow_the_formula() -> None:
    network = chain(11, (40, 30))
    plan = make_plan(network)
    spikes = random_spikes(12, network, samples=3, steps=10)
    engine = plan.engines[0]
    lengths = row_lengths(engine.form.rows, engine.contents.rows)
    per_step = (spikes.astype(int) * np.maximum(1, lengths)).sum(axis=2) + 30 + 10
    cycles = np.array(measure_cycles(plan, spikes))
    assert np.all(cycles <= per_step.sum(axis=1) + 10)


def test_brams_are_the_memories_blocks() -> None:
    plan = make_plan(chain(13, (784, 128, 10)))
    assert plan.brams == sum(memory.shape.brams for memory in plan.memories)
    assert {memory.role for memory in plan.memories} == {"rows", "entries", "state", "parameters"}
    assert plan.needs.brams == plan.brams


def test_the_entropy_bound_is_below_what_is_stored() -> None:
    plan = make_plan(chain(14, (200, 50)))
    stored = sum(memory.shape.bits for memory in plan.memories if memory.role in ("rows", "masks", "entries"))
    assert 0 < plan.layers[0].entropy_bits <= stored


def test_what_the_hardware_lacks_is_named() -> None:
    network = chain(15, (4, 3, 2))
    first, second = network.projections
    delayed = dataclasses.replace(second, delay=np.array(256))
    with pytest.raises(ModelError, match=r"at most 255 steps: .*'p0' to 'p1' has a delay of 256"):
        make_plan(dataclasses.replace(network, projections=(first, delayed)))


def test_an_output_that_never_fires_gives_membranes() -> None:
    plan = make_plan(chain(16, (4, 3), kind=Kind.LI))
    assert plan.readout is not None and plan.engines[plan.output].form.neurons.gives_membranes


def test_a_queue_of_the_link_gives_way_where_it_is_the_block_that_lacks() -> None:
    """On ECP5, whose small memories need no block; a core that is too large itself keeps the link that it has."""
    plan = make_plan(chain(17, (300, 60, 10)), "ecp5")
    link = link_of(plan.network)
    assert memory_needs(plan, link).brams == plan.brams + 1
    for brams, words in ((plan.brams + 1, link.fifo_words), (plan.brams, 32), (plan.brams - 1, link.fifo_words)):
        assert with_room(link, plan, Resources(brams=brams)).fifo_words == words
    ice40 = make_plan(plan.network, "ice40")
    assert with_room(link, ice40, Resources(brams=ice40.brams)) == link


def test_a_short_queue_takes_no_block_of_an_ecp5(tmp_path: Path) -> None:
    """And one of an iCE40, which has no other memory."""
    for family, cells in (("ecp5", {"DP16KD": 0}), ("ice40", {"SB_RAM40_4K": 1})):
        file = tmp_path / f"{family}.il"
        file.write_text(to_rtlil(FrameFifo(data.StructLayout({"word": 13}), 32), "top"), encoding="utf-8")
        netlist_from_rtlil(file, tmp_path / f"{family}.v", family, "top", tmp_path / "log")
        text = (tmp_path / f"{family}.v").read_text(encoding="utf-8")
        assert {name: text.count(f"  {name} ") for name in cells} == cells
        assert family == "ice40" or "TRELLIS_DPR16X4 " in text

"""Memories laid out for other weights: their words, what synthesis sees of them, and which networks fit them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from networks import chain, connect, random_codes, random_population, random_spikes
from spikeloom.boards.routed_memories import PORT_WIDTHS, PlacedBlock, exchanged, find_blocks, read_words
from spikeloom.compiler.flow.exchange import block_words, identity_words
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.network import INPUT, Network, Projection
from spikeloom.compiler.ir.neurons import Decay
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.layout import (
    exchange,
    filled,
    layout_number,
    random_words,
    stored_memories,
    with_spare_bits,
)
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.engines.bitmap_format import BitmapFormat
from spikeloom.hdl.errors import CapacityError, InputError, ModelError, ToolError
from spikeloom.hdl.memories.memory import NEVER_LOGIC, Family, MemoryShape
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference

BUILT = chain(1, (20, 12, 5))
RETRAINED = chain(2, (20, 12, 5))


def changed(network: Network, name: str, **changes: object) -> Network:
    """With other dynamics of a population."""
    populations = tuple(
        replace(p, dynamics=replace(p.dynamics, **changes)) if p.name == name else p for p in network.populations
    )
    return replace(network, populations=populations)


def assert_equal(expected: Recording, got: Recording) -> None:
    """Every spike and every membrane that there is."""
    for name, population in expected.populations.items():
        assert np.array_equal(population.spikes, got.populations[name].spikes), name
        if population.membranes is not None:
            assert np.array_equal(population.membranes, got.populations[name].membranes), name


def foldings(network: Network) -> dict[str, Folding]:
    lanes = engine_folding(("p0",), lanes=3), engine_folding(("p1",))
    vector = (
        engine_folding(("p0",), kind="vector", lanes=12),
        engine_folding(("p1",), kind="vector", lanes=5, neurons_per_cycle=2),
    )
    return {
        "shared": shared_folding(network),
        "pipelined": pipelined_folding(network),
        "lanes": Folding(engines=lanes),
        "vector": Folding(engines=vector),
    }


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
@pytest.mark.parametrize("kind", ["shared", "pipelined", "lanes", "vector"])
def test_other_weights_take_the_place_of_a_plans_own(kind: str, family: str) -> None:
    laid = make_plan(with_spare_bits(BUILT, 1), family, foldings(BUILT)[kind], headroom=0.2)
    plan = exchange(laid, RETRAINED)
    assert [e.form for e in plan.engines] == [e.form for e in laid.engines]
    assert layout_number(plan) == layout_number(laid) == layout_number(filled(laid))
    assert stored_memories(plan).keys() == stored_memories(laid).keys()
    assert stored_memories(plan) != stored_memories(laid)
    assert stored_memories(exchange(laid, BUILT)) == stored_memories(laid)
    for memory in laid.memories:
        assert memory.shape.style == "block" or memory.shape.writable, memory.role


@pytest.mark.parametrize("kind", ["shared", "lanes", "vector"])
def test_a_core_with_other_weights_does_what_the_reference_does(kind: str) -> None:
    laid = make_plan(with_spare_bits(BUILT, 1), "ice40", foldings(BUILT)[kind], headroom=0.2)
    spikes = random_spikes(3, RETRAINED, samples=2)
    got = run_amaranth(exchange(laid, RETRAINED), spikes, membranes=True)
    assert_equal(run_reference(RETRAINED, spikes, membranes=True), got)


def full_enough(seed: int) -> Network:
    """A network whose first weights are cheapest as bitmaps."""
    codes = random_codes(np.random.default_rng(seed), 24, 40, density=0.6)
    return changed(with_codes(chain(seed, (24, 40, 5)), codes, 4), "p0", fire=np.full(40, 60), sub=np.full(40, 60))


def test_bitmaps_are_exchanged() -> None:
    built, retrained = full_enough(1), full_enough(2)
    laid = make_plan(with_spare_bits(built, 2), "ice40", pipelined_folding(built), headroom=0.2)
    assert isinstance(laid.engines[0].form.rows, BitmapFormat)
    spikes = random_spikes(3, retrained, samples=1, steps=3)
    got = run_amaranth(exchange(laid, retrained), spikes, membranes=True)
    assert_equal(run_reference(retrained, spikes, membranes=True), got)


def convolution(seed: int, *, fire: int = 30) -> Network:
    """A map and a matrix behind it, whose channels share parameters."""
    rng = np.random.default_rng(seed)
    kernel = Quantised(codes=rng.integers(-7, 8, (4, 2, 3, 3)), bits=4)
    connectivity = Convolution(weights=kernel, pre_shape=(2, 6, 6))
    maps = random_population(rng, "maps", 64, fire=np.repeat(fire + rng.integers(0, 9, 4), 16))
    fires = maps.dynamics.fire
    maps = replace(maps, shape=(4, 4, 4), bias=np.zeros(64, np.int64), dynamics=replace(maps.dynamics, sub=fires))
    return Network(
        input_shape=(2, 6, 6),
        populations=(maps, random_population(rng, "out", 3)),
        projections=(
            Projection(pre=INPUT, post="maps", connectivity=connectivity, shift=2),
            connect(rng, "maps", "out", (64, 3)),
        ),
        output="out",
    )


def test_kernels_and_parameters_of_channels_are_exchanged() -> None:
    built, retrained = convolution(1), convolution(2)
    laid = make_plan(with_spare_bits(built, 1), "ice40", pipelined_folding(built), headroom=0.3)
    plan = exchange(laid, retrained)
    assert plan.engines[0].form.neurons.populations[0].shared == 4
    spikes = random_spikes(3, retrained, samples=1, steps=3, rate=0.2)
    assert_equal(run_reference(retrained, spikes), run_amaranth(plan, spikes))


# ------------------------------------------------------------------------------------------------------ refusals


def with_connection(network: Network, place: int, **changes: object) -> Network:
    projections = list(network.projections)
    projections[place] = replace(projections[place], **changes)
    return replace(network, projections=tuple(projections))


def with_codes(network: Network, codes: np.ndarray, bits: int) -> Network:
    return with_connection(network, 0, connectivity=Dense(weights=Quantised(codes=codes, bits=bits)))


def full() -> Network:
    rng = np.random.default_rng(5)
    return with_codes(RETRAINED, rng.integers(1, 3, (20, 12)), 4)


def wider() -> Network:
    return with_codes(RETRAINED, RETRAINED.projections[0].connectivity.codes * 3, 6)


REFUSALS: list[tuple[Callable[[], Network], type[Exception], str]] = [
    (lambda: chain(2, (21, 12, 5)), ModelError, "input shape was .20,. and is .21,."),
    (lambda: chain(2, (20, 12, 6)), ModelError, "population 'p1' was .5. and is .6."),
    (lambda: chain(2, (20, 12, 7, 5)), ModelError, "populations were"),
    (lambda: replace(RETRAINED, x_max=3), ModelError, "x max was 1 and is 3"),
    (lambda: RETRAINED.with_readout("first-spike"), ModelError, "reading was"),
    (
        lambda: replace(
            RETRAINED, projections=(*RETRAINED.projections, connect(np.random.default_rng(0), "p1", "p0", (5, 12)))
        ),
        ModelError,
        "projections were",
    ),
    (
        full,
        CapacityError,
        "for the memory 'entries' there are 1[0-9]+ words, and the new weights take 2[0-9]+; compile",
    ),
    (wider, CapacityError, "for a weight there are 4 bits, and the new weights take 6"),
    (
        lambda: changed(RETRAINED, "p0", decay=Decay(c=5, k=4)),
        CapacityError,
        "the leak of population 'p0' is logic: it was 3 / 2.4 .nearest. and is 5 / 2.4 .nearest.",
    ),
    (
        lambda: changed(RETRAINED, "p1", fire=np.full(5, 300), sub=np.full(5, 300)),
        CapacityError,
        "the parameter fire has 7 bits, 0 to 127, and is 300",
    ),
    (
        lambda: with_connection(RETRAINED, 0, shift=3),
        CapacityError,
        "population 'p0' was built with 12 neurons and shifts of 2, not 12 and 3",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSALS, ids=[m for _, _, m in REFUSALS])
def test_what_does_not_fit_is_refused_by_name(
    make: Callable[[], Network], error: type[Exception], message: str
) -> None:
    laid = make_plan(with_spare_bits(BUILT, 1), "ice40", shared_folding(BUILT), headroom=0.1)
    with pytest.raises(error, match=message):
        exchange(laid, make())


def test_without_headroom_only_what_is_no_larger_fits() -> None:
    laid = make_plan(BUILT, "ice40", shared_folding(BUILT), headroom=0.0)
    assert stored_memories(exchange(laid, BUILT)) == stored_memories(laid)
    loud = changed(BUILT, "p1", fire=BUILT.population("p1").dynamics.fire * 4)
    with pytest.raises(CapacityError, match="the parameter fire has 6 bits"):
        exchange(laid, loud)


# ------------------------------------------------------------------------------------------- words and block RAMs


def test_synthesis_sees_no_two_bits_of_a_block_that_are_alike() -> None:
    words = random_words(MemoryShape(Family.ECP5, 16, 36, logic_luts=NEVER_LOGIC), "seed")
    columns = [tuple(word >> bit & 1 for word in words) for bit in range(36)]
    inverted = [tuple(1 - value for value in column) for column in columns]
    assert len({*columns, *inverted}) == 72
    assert all(0 < sum(column) < 16 for column in columns)


def routed(family: Family) -> str:
    """A routed design with two block RAMs, empty."""
    if family is Family.ICE40:
        rams = [f".ram_data 8 {y}\n" + ("0" * 64 + "\n") * 16 for y in (1, 3)]
        return ".comment x\n\n" + "\n".join(rams) + "\n.sym 1 a\n"
    rams = [f".bram_init {number}\n" + ("000 " * 7 + "000\n") * 256 for number in (0, 1)]
    return ".device X\n\n" + "\n".join(rams) + "\n"


@pytest.mark.parametrize("family", list(Family))
def test_words_are_found_where_they_were_put(family: Family) -> None:
    place = (8, 3) if family is Family.ICE40 else (1,)
    for width in PORT_WIDTHS[family]:
        words = random_words(MemoryShape(family, 48, width, logic_luts=NEVER_LOGIC), f"{width}")
        block = PlacedBlock(place, width)
        text = exchanged(routed(family), family, {block: words})
        assert text != routed(family)
        assert read_words(text, family, {"a": (block, 48)}) == {"a": list(words)}
        assert find_blocks(text, family, {"a": words}, {"a": width}) == {"a": block}
        assert exchanged(text, family, {block: [0] * 48}) == routed(family)


def test_the_bits_of_an_ice40_row_lie_as_yosys_lays_them() -> None:
    """brams_map.v: bit 1 of a word of 16 is RDATA[8], and an 8 bit word's address bit 0 chooses the odd bits."""
    text = exchanged(routed(Family.ICE40), Family.ICE40, {PlacedBlock((8, 1), 16): [2]})
    assert f".ram_data 8 1\n{1 << 8:064x}\n" in text
    text = exchanged(routed(Family.ICE40), Family.ICE40, {PlacedBlock((8, 1), 8): [0, 1]})
    assert f".ram_data 8 1\n{1 << 1:064x}\n" in text


def test_words_of_less_than_nine_bits_leave_the_ninth_out() -> None:
    text = exchanged(routed(Family.ECP5), Family.ECP5, {PlacedBlock((0,), 4): [0, 1, 2, 15]})
    assert ".bram_init 0\n010 0f2 000" in text


def test_a_block_that_is_not_there_once_is_refused() -> None:
    text, words = routed(Family.ICE40), {"a": [1, 2, 3]}
    with pytest.raises(ToolError, match="0 hold what a was given"):
        find_blocks(text, Family.ICE40, words, {"a": 8})
    twice = exchanged(text, Family.ICE40, {PlacedBlock((8, y), 8): [1, 2, 3] for y in (1, 3)})
    with pytest.raises(ToolError, match="2 hold what a was given"):
        find_blocks(twice, Family.ICE40, words, {"a": 8})
    gone = PlacedBlock((8, 5), 8)
    with pytest.raises(InputError, match=r"\(8, 5\) is missing"):
        exchanged(text, Family.ICE40, {gone: [1]})
    with pytest.raises(InputError, match=r"\(8, 5\) is missing"):
        read_words(text, Family.ICE40, {"a": (gone, 1)})


def test_every_block_of_a_design_has_its_words() -> None:
    laid = make_plan(with_spare_bits(BUILT, 1), "ecp5", shared_folding(BUILT), headroom=0.1)
    words = block_words(laid, identity_words(laid, 0x1234))
    assert sorted(words) == ["0.entries[0]", "0.parameters[0]", "0.rows[0]", "link.identity[0]"]
    assert set(words["link.identity[0]"].words) == {0x1234}
    parameters = laid.engines[0].contents.parameters
    assert words["0.parameters[0]"].words[: len(parameters)] == list(parameters)

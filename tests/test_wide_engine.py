"""Wide engines: words of several neurons do what the reference does, in the cycles of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import golden_cases
from networks import random_spikes
from shipped import run_shipped
from spikeloom.boards.boards import find_board
from spikeloom.compiler.cycles.count import busy_cycles, count_cycles
from spikeloom.compiler.cycles.wide import event_words
from spikeloom.compiler.estimate.estimate import estimate
from spikeloom.compiler.flow.folding import link_on, plan_for
from spikeloom.compiler.flow.options import CompileOptions
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.maps import size_of
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import Kind, ResetPlace
from spikeloom.compiler.ir.pooled import Pooled
from spikeloom.compiler.lowering.quantise import dequantise
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding, folding_data, read_folding, shared_folding, wide_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.monitors import monitors_of
from spikeloom.compiler.plan.plan import Plan, make_plan, with_spram, with_state_in_spram
from spikeloom.compiler.plan.wide import WideFolding
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.reference import run_reference
from spikeloom.sim.regress import regress_core
from spikeloom.sim.verilog_executor import core_in, emit_core
from test_maps_hardware import convolved, delayed, joined, maxima, strided, sum_of, weights

Changes = dict[str, Any]

INPUTS = (2, 3, 5)
"""Smaller than those of other tests, as a lane takes long to simulate."""


def firing(network: Network, **changes: Any) -> Network:
    """The same network of integrate-and-fire neurons that reset at once, without bias."""
    plain: Changes = {"kind": Kind.IF, "decay": None, "reset_place": ResetPlace.SAME, "state_bits": 9, **changes}
    populations = []
    for number, population in enumerate(network.populations):
        fire = np.abs(population.dynamics.fire) + 3  # type: ignore[union-attr]
        thresholds: Changes = {"fire": fire, "sub": fire + number % 2, "v_reset": 0}
        dynamics = replace(population.dynamics, **thresholds | plain)  # type: ignore[type-var]
        populations.append(replace(population, dynamics=dynamics, bias=np.zeros((), np.int64)))
    return replace(network, populations=tuple(populations))


def rows_of_words() -> Network:
    """More channels than lanes, columns that are no power of two, sums of windows, matrices of several words, one of
    which skips a map."""
    rng = np.random.default_rng(21)
    first = convolved(rng, INPUTS, 6, padding=((1, 1), (0, 1)))
    pool = sum_of(first.post_shape)
    second = Pooled(pooling=pool, behind=convolved(rng, pool.post_shape, 3, padding=((1, 1), (1, 1))))
    assert second.post_map is not None
    size = size_of(second.post_map)
    skip = Dense(weights=weights(rng, size_of(INPUTS), 9, density=0.1))
    last = Dense(weights=weights(rng, size, 9))
    layers = ((INPUT, "a", first, 0), ("a", "b", second, 0), ("b", "c", last, 0), (INPUT, "c", skip, 0))
    return replace(joined(*layers), input_shape=INPUTS)


def map_at_the_end() -> Network:
    """A map that is the output keeps its own order; so does one that a matrix leads to and a kernel reads."""
    rng = np.random.default_rng(22)
    shape = (2, 4, 4)
    first = Dense(weights=weights(rng, size_of(INPUTS), size_of(shape), density=0.2))
    layers = ((INPUT, "a", first, 0), ("a", "b", convolved(rng, shape, 5, padding=((1, 1), (1, 0))), 0))
    return replace(joined(*layers), input_shape=INPUTS)


def few_outputs() -> Network:
    """Matrices, the last of which has one word, for which events join; its inputs reach the first population alone."""
    rng = np.random.default_rng(3)
    first = Dense(weights=weights(rng, size_of(INPUTS), 8))
    layers = ((INPUT, "a", first, 0), ("a", "b", Dense(weights=weights(rng, 8, 4)), 0))
    return replace(joined(*layers), input_shape=INPUTS)


def spikes_that_wait() -> Network:
    """Many words fire at once while inputs of the next step are taken: their spikes wait behind these."""
    rng = np.random.default_rng(5)
    sizes = (size_of(INPUTS), 4, 4, 48, 4)
    names = (INPUT, "a", "b", "c", "d")
    layers = [
        (names[n], names[n + 1], Dense(weights=weights(rng, sizes[n], sizes[n + 1])), 0) for n in range(len(names) - 1)
    ]
    network = firing(joined(*layers))
    populations = [
        replace(p, dynamics=replace(p.dynamics, fire=np.zeros((), np.int64), sub=np.ones((), np.int64)))  # type: ignore[type-var]
        for p in network.populations
    ]
    return replace(network, input_shape=INPUTS, populations=tuple(populations))


def several_then_one() -> Network:
    """Neurons that fire several times in a step in front of some that fire once."""
    network = firing(rows_of_words(), max_spikes=3)
    first, *others = network.populations
    once = [replace(p, dynamics=replace(p.dynamics, max_spikes=1)) for p in others]  # type: ignore[type-var]
    return replace(network, populations=(first, *once))


def floored(build: Callable[[], Network], **changes: Any) -> Network:
    """Neurons with floors at minus what a spike subtracts, as Sinabs reads NIR."""
    network = firing(build(), **changes)
    populations = (replace(p, dynamics=replace(p.dynamics, v_min=-p.dynamics.sub)) for p in network.populations)  # type: ignore[type-var, union-attr, operator]
    return replace(network, populations=tuple(populations))


NETWORKS: dict[str, tuple[Callable[[], Network], Changes | None]] = {
    "words": (rows_of_words, {}),
    "words with leaks": (rows_of_words, None),
    "several spikes": (rows_of_words, {"max_spikes": 3}),
    "several spikes and a floor": (partial(floored, map_at_the_end, max_spikes=255), None),
    "several spikes and a floor of its own": (map_at_the_end, {"max_spikes": 255, "v_min": np.array(-9)}),
    "several spikes, then one": (several_then_one, None),
    "few outputs": (few_outputs, {}),
    "a floor": (map_at_the_end, {"v_min": np.array(-9)}),
    "floors at minus thresholds": (partial(floored, rows_of_words), None),
}


def network_of(name: str) -> Network:
    build, changes = NETWORKS[name]
    return build() if changes is None else firing(build(), **changes)


def one_engine(network: Network, lanes: int, **given: Any) -> Folding:
    names = tuple(population.name for population in network.populations)
    return Folding(engines=(engine_folding(names, kind="wide", lanes=lanes, **given),))


def an_engine_each(network: Network, lanes: int) -> Folding:
    return Folding(engines=tuple(engine_folding((p.name,), kind="wide", lanes=lanes) for p in network.populations))


def agrees(plan: Plan, spikes: np.ndarray) -> None:
    """Every spike and membrane of the traced core, the spikes of the shipped one under stress, and the cycles."""
    expected = run_reference(plan.network, spikes, membranes=True)
    assert all(expected.populations[p.name].spikes.any() for p in plan.network.populations)
    got = run_amaranth(plan, spikes, membranes=True, stress=3)
    for name, population in expected.populations.items():
        np.testing.assert_array_equal(got.populations[name].spikes, population.spikes, err_msg=name)
        np.testing.assert_array_equal(got.populations[name].membranes, population.membranes, err_msg=name)
    np.testing.assert_array_equal(run_shipped(plan, spikes, stress=4), expected.spikes)
    trains = {name: train[:1] for name, train in expected.trains(spikes).items()}
    cycles = count_cycles(plan, trains)
    assert cycles == measure_cycles(plan, spikes[:1])
    assert np.all(np.max(busy_cycles(plan, trains), axis=0) <= cycles)


@pytest.mark.parametrize("name", ["words", "few outputs", "several spikes and a floor"])
def test_words_do_what_the_reference_does_in_the_cycles_of_the_model(name: str) -> None:
    network = network_of(name)
    agrees(make_plan(network, "ecp5", one_engine(network, 4)), random_spikes(7, network, 2, 3, 0.5))


def test_additions_of_the_next_step_do_not_wait_for_a_pass_that_waits_for_them() -> None:
    network = spikes_that_wait()
    plan = make_plan(network, "ecp5", one_engine(network, 2))
    assert plan.engines[0].form.takes_ahead
    agrees(plan, random_spikes(7, network, 1, 3, 0.5))


def test_words_of_state_in_spram_are_read_and_written_in_turn() -> None:
    """In two cycles for each one. The first population's words are in SPRAM as a whole; nothing comes to some words."""
    network = network_of("several spikes and a floor")
    plan = make_plan(network, "ice40", one_engine(network, 4, spram=True, state_sprams=3))
    form = plan.engines[0].form
    assert plan.needs.spram == 4 and len(plan.sprams) == 1
    assert form.alternating_state(plan.family).first_rest == form.bases[1]
    agrees(plan, random_spikes(7, network, 2, 2, 0.1))


@pytest.mark.slow
@pytest.mark.parametrize(("lanes", "sprams"), [(2, 1), (8, 3)])
@pytest.mark.parametrize("name", [*NETWORKS, "strided"])
def test_words_of_all_sizes_lie_in_spram(name: str, lanes: int, sprams: int) -> None:
    network = strided() if name == "strided" else network_of(name)
    plan = make_plan(network, "ice40", one_engine(network, lanes, state_sprams=sprams))
    agrees(plan, random_spikes(7, network, 2, 4, 0.4))


@pytest.mark.slow
@pytest.mark.parametrize(("fold", "lanes"), [(one_engine, 2), (one_engine, 8), (an_engine_each, 4)])
@pytest.mark.parametrize("name", [*NETWORKS, "strided"])
def test_words_of_all_sizes_do_what_the_reference_does(name: str, fold: Any, lanes: int) -> None:
    network = strided() if name == "strided" else network_of(name)
    agrees(make_plan(network, "ice40", fold(network, lanes)), random_spikes(7, network, 2, 6, 0.4))


def test_what_the_networks_have() -> None:
    """The tables and queues that the tests above are about are there."""
    forms = {
        name: make_plan(n, "ecp5", one_engine(n, 4)).engines[0].form for name in NETWORKS for n in [network_of(name)]
    }
    assert [name for name, form in forms.items() if not form.visits] == ["words with leaks"]
    assert [name for name, form in forms.items() if not form.name_bits] == ["few outputs"]
    assert [name for name, form in forms.items() if form.joining] == ["few outputs"]
    assert [name for name, form in forms.items() if not form.takes_ahead] == [
        "words",
        "words with leaks",
        "several spikes",
        "several spikes, then one",
        "floors at minus thresholds",
    ]
    derived = [name for name, form in forms.items() if form.neurons.floor_is_sub]
    assert derived == ["several spikes and a floor", "floors at minus thresholds"]
    assert forms["words"].renumbered and not forms["a floor"].renumbered
    assert {section.words for section in forms["words"].rows} == {1, 2, 3}
    assert {rule.limited for rule in forms["several spikes"].neurons.rules} >= {True}
    mixed = network_of("several spikes, then one")
    assert not any(monitor.in_turn for monitor in monitors_of(mixed, one_engine(mixed, 4)))


def test_words_of_weights_lie_in_spram() -> None:
    network = network_of("few outputs")
    plan = make_plan(network, "ice40", one_engine(network, 4, spram=True))
    assert plan.needs.spram == len(plan.sprams) == 1
    agrees(plan, random_spikes(7, network, 2, 3, 0.5))
    larger = network_of("words")
    folding = one_engine(larger, 4)
    assert with_spram(make_plan(larger, "ice40", folding)).folding == one_engine(larger, 4, spram=True)


@pytest.mark.slow
@pytest.mark.parametrize("sprams", [0, 2])
def test_words_of_weights_in_spram_are_loaded(sprams: int, tmp_path: Path) -> None:
    network = network_of("few outputs")
    plan = make_plan(network, "ice40", one_engine(network, 4, spram=True, state_sprams=sprams))
    spikes = random_spikes(7, network, 2, 3, 0.5)
    emit_core(network, plan.family, core_in(tmp_path, False), plan.folding)
    expected = run_reference(network, spikes, membranes=True)
    for level in ("rtl", "netlist"):
        regress_core(
            network, tmp_path, spikes, expected, traced=False, family=plan.family, simulator="icarus", level=level
        )


GOLDEN = [case for case in golden_cases() if case.needs & {"convolution", "sum pooling"}]


def check_golden(case: Any, lanes: int, samples: slice, steps: slice) -> bool:
    """Whether a case can be folded in words; it agrees then."""
    try:
        plan = make_plan(case.network, "ecp5", one_engine(case.network, lanes))
    except ModelError as error:
        assert "the nearest engine is sparse, of one lane" in str(error) or "an engine of its own" in str(error)
        return False
    got = run_amaranth(plan, case.spikes[samples, steps], membranes=True, stress=lanes)
    for name, (spikes, membranes) in case.expected.items():
        np.testing.assert_array_equal(got.populations[name].spikes, spikes[samples, steps], err_msg=name)
        np.testing.assert_array_equal(got.populations[name].membranes, membranes[samples, steps], err_msg=name)
    if case.network.output_fires:
        shipped = run_shipped(plan, case.spikes[samples, steps], stress=lanes)
        np.testing.assert_array_equal(shipped, case.expected[case.network.output][0][samples, steps])
    return True


def test_words_agree_with_golden_maps() -> None:
    """Some of the cases, on their first steps; the slow test has all."""
    assert not GOLDEN or sum(check_golden(case, 4, slice(1), slice(3)) for case in GOLDEN[::8]) > 1


@pytest.mark.slow
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_words_agree_with_every_golden_map(case: Any) -> None:
    """A case at a time, on one sample, as all of them in all sizes take hours to simulate; every second one in words of
    16 neurons."""
    check_golden(case, 16 if GOLDEN.index(case) % 2 else 4, slice(1), slice(None))


@pytest.mark.slow
def test_words_can_have_some_golden_maps() -> None:
    def folds(case: Any) -> bool:
        try:
            return bool(make_plan(case.network, "ecp5", one_engine(case.network, 4)))
        except ModelError:
            return False

    assert not GOLDEN or sum(map(folds, GOLDEN)) > 10


def cycles_of_a_step(plan: Plan, events: np.ndarray) -> float:
    """Those of each step with the same inputs and no spikes, by the exact model."""
    trains = {p.name: np.zeros((1, 16, p.size), np.uint8) for p in plan.network.populations}
    trains[INPUT] = np.broadcast_to(events.astype(np.uint8), (1, 16, len(events)))
    counts = [count_cycles(plan, {name: train[:, :steps] for name, train in trains.items()})[0] for steps in (8, 16)]
    return float(counts[1] - counts[0]) / 8


def test_an_idle_layer_costs_a_few_cycles_a_step() -> None:
    for name, layers in (("few outputs", 2), ("words", 3)):
        network = network_of(name)
        plan = make_plan(network, "ecp5", one_engine(network, 4))
        assert cycles_of_a_step(plan, np.zeros(network.input_size)) == 11 + 2 * layers


@pytest.mark.parametrize("leaks", [False, True])
def test_a_step_costs_the_words_of_its_events_and_of_its_pass(leaks: bool) -> None:
    """With no bubble between two events where none reaches a word that is on its way, and no word that nothing came to,
    but where neurons leak."""
    kernel = convolved(np.random.default_rng(1), INPUTS, 8, padding=((1, 1), (1, 1)))
    network = replace(joined((INPUT, "a", kernel, 0)), input_shape=INPUTS)
    plan = make_plan(network if leaks else firing(network), "ecp5", one_engine(network, 4))
    form = plan.engines[0].form
    words = event_words(form, plan.engines[0].contents)
    order = np.random.default_rng(0).permutation(network.input_size)
    for count in (1, 30):
        chosen = np.isin(np.arange(network.input_size), order[:count])
        passed = form.words if leaks or count > 1 else words[chosen].sum()  # the many reach every word
        assert cycles_of_a_step(plan, chosen) == words[chosen].sum() + passed + 18
    assert cycles_of_a_step(plan, np.zeros(network.input_size)) == (form.words + 15 if leaks else 13)


def test_a_folding_of_words_is_read_back_and_estimated(tmp_path: Any) -> None:
    import json

    network = network_of("words")
    folding = wide_folding(network)
    assert folding.engines == (WideFolding(populations=("a", "b", "c"), lanes=16),)
    file = tmp_path / "folding.json"
    file.write_text(json.dumps(folding_data(folding)))
    assert read_folding(file) == folding
    plan = make_plan(network, "ecp5", folding)
    rates = {INPUT: 0.1, "a": 0.1, "b": 0.1, "c": 0.1}
    figures = estimate(plan, rates=rates, steps=4)
    assert figures.resources.brams == plan.brams and figures.cycles and figures.work
    assert not {"wide lanes", "wide adders", "words"} & set(figures.guessed)


def test_where_no_words_can_be_engines_are_as_they_were() -> None:
    network = maxima(1)
    kinds = [engine.kind for engine in wide_folding(network).engines]
    assert EngineKind.SPARSE in kinds


def test_a_population_without_words_has_an_engine_of_its_own() -> None:
    network = network_of("words").with_readout("membranes")
    wide = WideFolding(populations=("a", "b"), lanes=4)
    assert wide_folding(network, 4).engines == (wide, engine_folding(("c",)))
    make_plan(network, "ecp5", wide_folding(network, 4))


def test_the_folding_of_a_float_network_is_that_of_its_integers() -> None:
    network = network_of("words").with_readout("membranes")
    assert wide_folding(dequantise(network), 4) == wide_folding(network, 4)


@pytest.mark.parametrize(
    ("network", "lanes", "message"),
    [
        (strided, 3, r"a power of two of lanes, 2 to 64: that of 'a' has 3; the nearest is 2$"),
        (strided, 1, r"has 1; the nearest is 2$"),
        (strided, 128, r"has 128; the nearest is 64$"),
        (delayed, 4, r"in the step in which they are fired: .* would hear 'input' later; the nearest engine is sparse"),
        (
            lambda: maxima(1),
            4,
            r"takes no maxima: .* between 'input' and 'a'; the nearest engine is sparse, of one lane$",
        ),
    ],
)
def test_what_words_cannot_be(network: Callable[[], Network], lanes: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_plan(network(), "ecp5", one_engine(network(), lanes))


def test_a_state_goes_to_spram_where_weights_alone_are_too_little() -> None:
    network = network_of("words")
    plan = make_plan(network, "ice40", one_engine(network, 4, spram=True))
    emptied = with_state_in_spram(plan)
    assert emptied.folding == one_engine(network, 4, spram=True, state_sprams=3)
    assert emptied.brams < plan.brams and emptied.needs.spram == 4
    assert with_state_in_spram(emptied) is emptied
    shared = make_plan(network, "ice40")
    assert with_state_in_spram(shared) is shared


def test_maps_lie_in_words_where_the_smallest_core_is_too_large() -> None:
    """Of as few neurons as hold them, with their state in SPRAM; a folding that is given stays."""
    shape = (2, 32, 32)
    map_ = convolved(np.random.default_rng(3), shape, 16, padding=((1, 1), (1, 0)))
    network = firing(replace(joined((INPUT, "a", map_, 0)), input_shape=shape), fire=np.array(5), sub=np.array(5))
    board, options = find_board("icebreaker"), CompileOptions(board="icebreaker")
    link = link_on(board, network, options)
    plan = plan_for(network, board, options, link)
    assert plan.folding == one_engine(network, 4, spram=True, state_sprams=3)
    given = plan_for(network, board, replace(options, folding=shared_folding(network)), link)
    assert given.folding == shared_folding(network)


def test_what_words_in_spram_cannot_be() -> None:
    network = network_of("few outputs")
    for family, given, message in (
        ("ecp5", {"state_sprams": 1}, "only an iCE40UP5K has SPRAM"),
        ("ice40", {"state_sprams": 5}, "state_sprams are 0 to 4: the folding has 5; the nearest is 4"),
        ("ice40", {"state_sprams": 1, "lanes": 32}, "32 lanes of 'a' have 1; the nearest is 16 lanes"),
    ):
        with pytest.raises(ModelError, match=message):
            make_plan(network, family, one_engine(network, **{"lanes": 4, **given}))
    with pytest.raises(ModelError, match="only a wide engine has a state in SPRAM: that of 'a' has state_sprams"):
        engine_folding(("a",), state_sprams=1)


@pytest.mark.parametrize(("field", "value"), [("events_per_beat", 2), ("skips", True)])
def test_fields_that_engines_of_words_have_not(field: str, value: int) -> None:
    with pytest.raises(ModelError, match=f"a wide engine has no {field}: that of 'a' has; leave it out"):
        engine_folding(("a",), kind="wide", lanes=4, **{field: value})

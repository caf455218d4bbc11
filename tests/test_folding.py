"""However a network is folded, the core does what the reference does; a folding that contradicts it is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from networks import chain, random_spikes
from shipped import run_shipped
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import Kind, ResetPlace
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import (
    Folding,
    check_folding,
    default_folding,
    folding_data,
    pipelined_folding,
    read_folding,
    shared_folding,
)
from spikeloom.compiler.plan.kinds import NAMES, engine_folding
from spikeloom.compiler.plan.lane_assignment import lane_neurons
from spikeloom.compiler.plan.lanes import LanesFolding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.compiler.plan.sparse import SparseFolding
from spikeloom.compiler.plan.vector import VectorFolding
from spikeloom.hdl.errors import InputError, ModelError
from spikeloom.hdl.memories.memory import Family, MemoryShape
from spikeloom.hdl.streams.token_queue import TokenQueue
from spikeloom.hdl.streams.tokens import token_layout
from spikeloom.sim import simulate
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.reference import run_reference
from spikeloom.sim.regress import regress
from spikeloom.sim.verilog_executor import core_in, emit_core
from test_plan import branching


def assert_agrees(
    network: Network, folding: Folding, family: str, stress: int | None, spikes: np.ndarray | None = None
) -> None:
    """Spikes and membranes of samples that follow each other, with pauses where there is a `stress`."""
    spikes = random_spikes(3, network, samples=3, steps=5, rate=0.3) if spikes is None else spikes
    expected = run_reference(network, spikes, membranes=True)
    got = run_amaranth(make_plan(network, family, folding), spikes, membranes=True, stress=stress)
    for name, population in expected.populations.items():
        assert np.array_equal(got.populations[name].spikes, population.spikes), name
        assert np.array_equal(got.populations[name].membranes, population.membranes), name


WAYS = [
    {},
    {"lanes": 2, "queue": 4},
    {"lanes": 3, "queue": 0},
    {"kind": EngineKind.VECTOR, "lanes": 0},
    {"kind": EngineKind.VECTOR, "lanes": 0, "events_per_beat": 2, "neurons_per_cycle": 2},
    {"kind": EngineKind.SLOTTED, "lanes": 4},
]


def folded(network: Network, name: str, way: dict[str, object]) -> Folding:
    """An engine per population, the one of `name` working in some way."""
    engines = (
        engine_folding(populations=(p.name,), **(way if p.name == name else {}))  # type: ignore[arg-type]
        for p in network.populations
    )
    return Folding(engines=tuple(engines))


@pytest.mark.thinned(2)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(f"{key}={value}" for key, value in way.items()) or "1")
@pytest.mark.parametrize(("name", "family"), [("a", "ice40"), ("c", "ecp5"), ("d", "ice40")])
def test_an_engine_per_population(name: str, family: str, way: dict[str, object]) -> None:
    network = branching(5)
    for stress in (None, 7) if name == "a" else (7,):
        assert_agrees(network, folded(network, name, way), family, stress)


@pytest.mark.parametrize("place", list(ResetPlace))
@pytest.mark.parametrize("seed", [1, 2])
def test_one_engine_for_all_populations(seed: int, place: ResetPlace) -> None:
    network = chain(seed, (17, 9, 1, 12), reset_place=place)
    for stress in (None, seed):
        assert_agrees(network, shared_folding(network), "ice40", stress)
    assert_agrees(branching(seed), shared_folding(branching(seed)), "ecp5", seed)


def test_populations_that_differ_share_an_engine() -> None:
    """Reset, state width, shift and leak of each its own."""
    network = chain(3, (20, 12, 9, 5))
    first, second, third = network.populations
    other = chain(4, (12, 9), reset_place=ResetPlace.SAME, state_bits=20).populations[0]
    changed = (first, dataclasses.replace(second, dynamics=other.dynamics), third)
    shifted = tuple(dataclasses.replace(p, shift=p.shift + n) for n, p in enumerate(network.projections))
    network = dataclasses.replace(network, populations=changed, projections=shifted)
    assert_agrees(network, shared_folding(network), "ice40", None)


def test_what_each_folding_is_good_for() -> None:
    network = chain(6, (60, 40, 10))
    spikes = random_spikes(7, network, samples=1, steps=12, rate=0.2)
    vector = tuple(
        engine_folding(populations=(p.name,), kind=EngineKind.VECTOR, lanes=0, neurons_per_cycle=4)
        for p in network.populations
    )
    shared, pipelined, lanes, fastest = (
        measure_cycles(make_plan(network, "ecp5", folding), spikes)[0]
        for folding in (
            shared_folding(network),
            pipelined_folding(network),
            pipelined_folding(network, 4),
            Folding(engines=vector),
        )
    )
    assert shared > pipelined > lanes > fastest


def test_lanes_carry_equal_work_and_outputs_keep_their_order() -> None:
    network = chain(8, (50, 30, 7))
    hidden, output = pipelined_folding(network, 4).engines
    lanes = lane_neurons(network, hidden)
    codes = network.projections[0].weights.codes  # type: ignore[union-attr]
    loads = [int(np.count_nonzero(codes[:, lane])) + len(lane) for lane in lanes]
    assert sorted(np.concatenate(lanes).tolist()) == list(range(30))
    assert max(loads) - min(loads) <= max(np.count_nonzero(codes, axis=0))
    assert np.concatenate(lane_neurons(network, output)).tolist() == list(range(7))


def test_the_verilog_of_a_mixed_folding(tmp_path: Path) -> None:
    network = branching(9)
    a, b, c, d = (p.name for p in network.populations)
    engines = (
        engine_folding(populations=(a,), kind=EngineKind.VECTOR, lanes=0, neurons_per_cycle=3),
        engine_folding(populations=(b,)),
        engine_folding(populations=(c,), lanes=3, queue=4),
        engine_folding(populations=(d,), lanes=2, queue=0),
    )
    for traced in (True, False):
        emit_core(network, "ice40", core_in(tmp_path, traced), Folding(engines=engines))
    result = regress(network, tmp_path, random_spikes(10, network, samples=2, steps=4))
    assert result.membranes_compared == 2 * 4 * sum(p.size for p in network.populations)


def test_the_default_is_the_smallest_core() -> None:
    network = chain(11, (6, 5, 4))
    assert default_folding(network) == shared_folding(network)
    early = dataclasses.replace(network, output=network.populations[0].name)
    assert default_folding(early) == pipelined_folding(early)
    assert simulate(early, random_spikes(1, early, samples=1, steps=3), executor="amaranth").output == "p0"


def test_a_folding_file_says_what_was_written(tmp_path: Path) -> None:
    engines = (
        engine_folding(populations=("a",), kind=EngineKind.VECTOR, lanes=0, events_per_beat=2),
        engine_folding(populations=("b", "c")),
        engine_folding(populations=("d",), lanes=4, queue=16),
    )
    file = tmp_path / "folding.json"
    file.write_text(json.dumps(folding_data(Folding(engines=engines))))
    assert read_folding(file) == Folding(engines=engines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("[]", "holds something else"),
        ('{"engines": 3}', "holds something else"),
        ('{"engines": [{"lanes": 2}]}', "an engine has"),
        ('{"engines": [{"populations": ["a"], "lane": 2}]}', "an engine has"),
        ('{"engines": [{"populations": "a"}]}', "list of names"),
        ('{"engines": [{"populations": []}]}', "list of names"),
        ('{"engines": [{"populations": ["a"], "lanes": 1.5}]}', "lanes is a whole number"),
        ('{"engines": [{"populations": ["a"], "queue": true}]}', "queue is a whole number"),
        ('{"engines": [{"populations": ["a"], "spram": 1}]}', "spram is true or false"),
        ('{"engines": [{"populations": ["a"], "kind": "dense"}]}', "kind is sparse or vector"),
    ],
)
def test_a_folding_file_that_is_none(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "folding.json"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        read_folding(file)


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ([{"populations": ("p0",)}], "has every population once"),
        ([{"populations": ("p1", "p0")}], "evaluation order"),
        ([{"populations": ("p0", "q")}], "'q' is none of 'p0', 'p1'"),
        ([{"populations": ("p0", "p1"), "lanes": 2}], "has one lane"),
        ([{"populations": ("p0",), "lanes": 6}, {"populations": ("p1",)}], "1 to 5"),
        ([{"populations": ("p0",), "queue": 3}, {"populations": ("p1",)}], "power of two"),
        ([{"populations": ("p0",), "events_per_beat": 2}, {"populations": ("p1",)}], "only a vector engine"),
        ([{"populations": ("p0", "p1"), "kind": EngineKind.VECTOR}], "one population"),
        ([{"populations": ("p0",), "kind": EngineKind.VECTOR, "lanes": 2}, {"populations": ("p1",)}], "power of two"),
        ([{"populations": ("p0",), "kind": EngineKind.VECTOR, "spram": True}, {"populations": ("p1",)}], "spram"),
        ([{"populations": ("p0",), "lanes": 2, "spram": True}, {"populations": ("p1",)}], "SPRAM has one lane"),
        ([{"populations": ("p0",), "lanes": 7}, {"populations": ("p1",)}], "has 7; the nearest is 5$"),
        ([{"populations": ("p0",), "lanes": 2, "queue": 1}, {"populations": ("p1",)}], "the nearest are 0 and 2$"),
        ([{"populations": ("p0",), "lanes": 2, "queue": 6}, {"populations": ("p1",)}], "the nearest are 4 and 8$"),
        ([{"populations": ("p0",), "lanes": 2, "queue": 2048}, {"populations": ("p1",)}], "the nearest is 1024$"),
        ([{"populations": ("p0",), "kind": "vector", "lanes": 2}, {"populations": ("p1",)}], "the nearest is 3$"),
        (
            [{"populations": ("p0",), "kind": "vector", "lanes": 0, "events_per_beat": 3}, {"populations": ("p1",)}],
            "are 2 and 4",
        ),
        (
            [{"populations": ("p0",), "kind": "vector", "events_per_beat": 32}, {"populations": ("p1",)}],
            "is 16$",
        ),
        (
            [{"populations": ("p0",), "kind": "vector", "neurons_per_cycle": 6}, {"populations": ("p1",)}],
            "nearest is 5",
        ),
        ([{"populations": ("p0",), "kind": "vector", "skips": True}, {"populations": ("p1",)}], "passes in every step"),
    ],
)
def test_a_folding_that_contradicts_the_network(engines: list[dict[str, object]], message: str) -> None:
    network = chain(12, (8, 5, 4))
    with pytest.raises(ModelError, match=message):
        make_plan(network, "ice40", Folding(engines=tuple(engine_folding(**engine) for engine in engines)))


def test_a_queue_has_at_least_two_words() -> None:
    layout = token_layout(6)
    with pytest.raises(ValueError, match="a queue of 5 bits has a power of two of such words, at least 2"):
        TokenQueue(layout, MemoryShape(Family.ICE40, 1, layout.size, writable=True))


def test_a_field_that_makes_no_difference_is_left_out() -> None:
    """As files say it: of one lane there is no queue, and a vector engine has nothing to trade for block RAM."""
    assert engine_folding(("a",), queue=16) == engine_folding(("a",)) == SparseFolding(populations=("a",))
    assert engine_folding(("a",), kind="vector", scarce="luts") == VectorFolding(populations=("a",))
    assert isinstance(engine_folding(("a",), lanes=2), LanesFolding)
    with pytest.raises(TypeError, match=r"fast: got lane$"):
        engine_folding(("a",), lane=2)
    assert [
        NAMES[type(engine_folding(("a",), **way))]
        for way in ({}, {"lanes": 2}, {"kind": "vector"}, {"kind": "wide", "lanes": 4}, {"kind": "slotted", "lanes": 4})
    ] == list(NAMES.values())


def test_a_population_inside_an_engine_is_not_heard_outside() -> None:
    network = branching(13)
    names = tuple(p.name for p in network.populations)
    folding = Folding(engines=(engine_folding(populations=names[:3]), engine_folding(populations=names[3:])))
    with pytest.raises(ModelError, match="'a' is heard by 'd'"):
        make_plan(network, "ice40", folding)


@pytest.mark.parametrize(("fold", "seed"), [(shared_folding, 1), (pipelined_folding, 2)])
def test_passes_that_change_nothing_are_left_out(fold: Callable[[Network], Folding], seed: int) -> None:
    """The spikes are the same in fewer cycles; the traced core, whose monitors see every step, skips nothing."""
    network = chain(seed, (20, 12, 7), reset_place=list(ResetPlace)[seed])
    spikes = random_spikes(seed, network, samples=1, steps=60, rate=0.8)
    spikes[:, np.arange(60) % 30 > 3] = 0
    plans = []
    for skips in (False, True):
        engines = tuple(dataclasses.replace(engine, skips=skips) for engine in fold(network).engines)
        plans.append(make_plan(network, "ice40", Folding(engines=engines)))
    always, skipping = plans
    assert sum(measure_cycles(skipping, spikes)) < 0.95 * sum(measure_cycles(always, spikes))
    expected = run_reference(network, spikes)
    assert expected.spikes.any()
    for stress in (None, seed):
        assert np.array_equal(run_amaranth(skipping, spikes, stress=stress).spikes, expected.spikes)
        assert np.array_equal(run_shipped(skipping, spikes, stress=stress), expected.spikes)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_neuron_that_fires_and_keeps_its_word_is_not_skipped(steps: int) -> None:
    """A bias above the threshold that the spike takes off again: V is 0 after every step, each of which has a spike,
    the first one of a sample too, whatever the pass that ended the sample before has changed."""
    network = chain(1, (2, 1), kind=Kind.IF, decay=None, reset_place=ResetPlace.SAME, fire=3, sub=5)
    population = dataclasses.replace(network.populations[0], bias=np.array([5]))
    network = dataclasses.replace(network, populations=(population,))
    engine = dataclasses.replace(shared_folding(network).engines[0], skips=True)
    plan = make_plan(network, "ice40", Folding(engines=(engine,)))
    assert run_shipped(plan, np.zeros((3, steps, 2), np.uint8)).tolist() == [[[1]] * steps] * 3


def test_a_sample_starts_afresh_where_passes_would_change_nothing() -> None:
    """An IF neuron keeps two thirds of its threshold through silent steps, and loses it where the sample ends."""
    network = chain(1, (1, 1), kind=Kind.IF, decay=None, fire=29, sub=30)
    weights = Quantised(codes=np.array([[5]]), bits=4)
    projection = dataclasses.replace(network.projections[0], connectivity=Dense(weights=weights))
    population = dataclasses.replace(network.populations[0], bias=np.array([0]))
    network = dataclasses.replace(network, populations=(population,), projections=(projection,))
    engine = dataclasses.replace(shared_folding(network).engines[0], skips=True)
    plan = make_plan(network, "ice40", Folding(engines=(engine,)))
    once, twice = [[1], [0], [0], [0]], [[1], [0], [1], [0]]
    got = run_shipped(plan, np.array([once, once, twice], np.uint8))
    assert got[..., 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_step_takes_little_more_than_its_synapses(lanes: int) -> None:
    """At most 1.15 * (the slowest lane: rows and neurons) + 15 cycles; 9 in 10 cycles of long rows are synapses."""
    network = chain(14, (60, 64))
    spikes = random_spikes(15, network, samples=1, steps=20, rate=0.3)
    chosen = lane_neurons(network, pipelined_folding(network, lanes).engines[0])
    codes = network.projections[0].weights.codes  # type: ignore[union-attr]
    busy = np.array([np.maximum(1, np.count_nonzero(codes[:, lane], axis=1)) for lane in chosen])
    worst = (spikes[0] @ busy.T).max(axis=1) + max(map(len, chosen))
    cycles = measure_cycles(make_plan(network, "ecp5", pipelined_folding(network, lanes)), spikes)[0]
    assert cycles <= (1.15 * worst + 15).sum()
    operations = np.count_nonzero(codes, axis=1) @ spikes[0].sum(axis=0)
    passes = 20 * (64 // lanes + 9)
    if lanes == 1:
        assert operations >= 0.9 * (cycles - passes)


def test_a_folding_of_very_many_engines_is_refused_in_a_short_line() -> None:
    network = chain(1, (3, 4, 2))
    for name, end in (("nobody", "'nobody' is none of 'p0', 'p1'"), ("p0", " and 299,992 more")):
        engine = dataclasses.replace(shared_folding(network).engines[0], populations=(name,))
        with pytest.raises(ModelError) as caught:
            check_folding(network, Folding(engines=(engine,) * 300_000))
        assert str(caught.value).endswith(end) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "a folding is a JSON file: FILE cannot be read (maximum recursion depth exceeded"),
        ('{"engines": ' + "[" * 100_000, "a folding is a JSON file: FILE cannot be read ("),
        (
            '{"engines": [{"populations": ["a"], "lanes": true}]}',
            "lanes is a whole number: FILE has true in engines[0]",
        ),
        (
            '{"engines": [{"populations": ["a"], "lanes": NaN}]}',
            "a folding is a JSON file: FILE cannot be read (JSON is",
        ),
        ('{"engines": [{"populations": ["a", 5]}]}', "an engine's populations are a list of names: FILE has 5 in "),
        (
            '{"engines": [{"populations": ["a"], "scarce": "x"}]}',
            'what is scarce is brams or luts: FILE has "x" in eng',
        ),
        ('{"engines": [{"populations": ["a"]}], "wide": 1}', "wide is true or false: FILE has 1"),
        (
            '{"engines": [3]}',
            "an engine has events_per_beat, fast, inlet_queue, kind, lanes, lists, neurons_per_cycle, populations, ",
        ),
        (
            '{"engines": [' + '{"populations": ["a"]},' * 300_000 + '{"lanes": 1}]}',
            "an engine has events_per_beat, fast, inlet_queue, kind",
        ),
    ],
)
def test_what_is_wrong_with_a_folding_file_is_said_in_one_short_line(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "folding.json"
    file.write_text(content)
    with pytest.raises(InputError) as caught:
        read_folding(file)
    line = str(caught.value).replace(str(file), "FILE")
    assert line.startswith(message) and "\n" not in line and len(line) < 250

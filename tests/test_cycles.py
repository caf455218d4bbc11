"""The cycle model against the core in Amaranth's simulator, cycle for cycle; and the estimate from firing rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import chain, connect, random_population, random_spikes
from spikeloom.compiler.cycles.circuit import Circuit
from spikeloom.compiler.cycles.count import SpikesByPopulation, busy_cycles, count_cycles, cycles_from_rates
from spikeloom.compiler.cycles.lane import run_queue
from spikeloom.compiler.cycles.tokens import END_OF_SAMPLE
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Projection
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.errors import MismatchError
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference


def spikes_of(network: Network, spikes: np.ndarray) -> SpikesByPopulation:
    recording = run_reference(network, spikes)
    return recording.trains(spikes)


def check(plan: Plan, spikes: np.ndarray) -> None:
    assert count_cycles(plan, spikes_of(plan.network, spikes)) == measure_cycles(plan, spikes)


def branching(output: str = "d") -> Network:
    """Two branches that meet, a skip over them, and populations of very different sizes."""
    rng = np.random.default_rng(5)
    sizes = {INPUT: 12, "a": 9, "b": 21, "c": 5, "d": 7}
    edges = ((INPUT, "a"), (INPUT, "b"), ("a", "c"), ("b", "c"), ("c", "d"), ("a", "d"), (INPUT, "d"))
    return Network(
        input_shape=(sizes[INPUT],),
        populations=tuple(random_population(rng, name, size) for name, size in sizes.items() if name != INPUT),
        projections=tuple(connect(rng, pre, post, (sizes[pre], sizes[post])) for pre, post in edges),
        output=output,
    )


FOLDINGS = (shared_folding, pipelined_folding)


@pytest.mark.parametrize("fold", FOLDINGS)
@pytest.mark.parametrize(
    ("seed", "sizes", "rate"),
    [
        (1, (9, 5, 2, 3, 1), 0.0),
        (2, (30, 17, 5, 9), 1.0),
        (3, (1, 1), 0.5),
        (4, (3, 2, 30, 2), 0.3),
        (5, (17, 1, 17), 0.6),
    ],
)
def test_chains(fold: type, seed: int, sizes: tuple[int, ...], rate: float) -> None:
    network = chain(seed, sizes)
    check(make_plan(network, folding=fold(network)), random_spikes(seed, network, 2, 4, rate))


BRANCHES = {
    "shared": [("a", "b", "c", "d")],
    "one each": [("a",), ("b",), ("c",), ("d",)],
    "two and two": [("a",), ("b", "c"), ("d",)],
}


@pytest.mark.parametrize("engines", BRANCHES.values(), ids=BRANCHES)
def test_branches_forks_and_merges(engines: list[tuple[str, ...]]) -> None:
    network = branching()
    folding = Folding(engines=tuple(engine_folding(populations=names) for names in engines))
    check(make_plan(network, "ecp5", folding), random_spikes(3, network, 2, 5, 0.5))


@pytest.mark.parametrize("queue", [0, 2, 16])
def test_lanes_with_queues_and_without(queue: int) -> None:
    network = chain(8, (20, 23, 9))
    engines = tuple(
        engine_folding(populations=(name,), lanes=lanes, queue=queue) for name, lanes in (("p0", 4), ("p1", 3))
    )
    check(make_plan(network, folding=Folding(engines=engines)), random_spikes(3, network, 2, 5, 0.5))


@pytest.mark.parametrize(("lanes", "events", "per_cycle"), [(0, 1, 1), (0, 4, 3), (8, 1, 2)])
def test_vector_engines_alone_and_beside_others(lanes: int, events: int, per_cycle: int) -> None:
    network = chain(2, (17, 16, 9, 5))
    vector = engine_folding(
        populations=("p0",), kind=EngineKind.VECTOR, lanes=lanes, events_per_beat=events, neurons_per_cycle=per_cycle
    )
    last = replace(vector, populations=("p2",), lanes=0)
    folding = Folding(engines=(vector, engine_folding(populations=("p1",)), last))
    check(make_plan(network, "ecp5", folding), random_spikes(3, network, 2, 4, 0.5))


def test_an_output_that_others_hear_too() -> None:
    network = branching("c")
    check(make_plan(network, folding=pipelined_folding(network)), random_spikes(4, network, 2, 4, 0.5))


def with_weights(codes: np.ndarray, bits: int = 4) -> Network:
    network = chain(0, codes.shape)
    projection = Projection(
        pre=INPUT, post="p0", connectivity=Dense(weights=Quantised(codes=codes, bits=bits)), shift=2
    )
    return replace(network, projections=(projection,))


@pytest.mark.parametrize("length", [0, 1])
def test_rows_without_synapses_and_with_one(length: int) -> None:
    codes = np.zeros((24, 40), np.int64)
    codes[0, 7] = 3
    codes[np.arange(24), np.arange(24)] += length
    network = with_weights(codes)
    check(make_plan(network), random_spikes(1, network, 1, 4, 0.6))


def test_contributions_to_one_neuron_wait_for_each_other() -> None:
    """Every row ends at neuron 0, so that every event after the first stalls; its end does too."""
    codes = np.zeros((16, 30), np.int64)
    codes[:, 0] = np.arange(16) % 7 + 1
    network = with_weights(codes)
    check(make_plan(network), random_spikes(2, network, 2, 3, 0.9))


def test_gaps_that_are_bridged_with_and_without_an_entry_for_them() -> None:
    rng = np.random.default_rng(6)
    codes = np.where(rng.random((20, 250)) < 0.02, rng.integers(-7, 8, (20, 250)), 0)
    for weights in (codes, np.sign(codes)):
        network = with_weights(weights)
        check(make_plan(network), random_spikes(2, network, 1, 3, 0.8))


def test_values_above_one_are_that_many_events() -> None:
    network = replace(chain(2, (9, 12, 5)), x_max=3)
    check(make_plan(network), random_spikes(2, network, 2, 4, 0.5))


@pytest.mark.parametrize("fold", FOLDINGS)
def test_rates_alone_come_close(fold: type) -> None:
    network = chain(11, (60, 40, 20, 10))
    plan = make_plan(network, folding=fold(network))
    trains = spikes_of(network, random_spikes(1, network, 6, 30, 0.2))
    exact = float(np.mean(count_cycles(plan, trains)))
    rates = {name: train.mean(axis=(0, 1)) for name, train in trains.items()}
    assert cycles_from_rates(plan, rates, 30) == pytest.approx(exact, rel=0.05)
    evenly = {name: float(rate.mean()) for name, rate in rates.items()}
    assert cycles_from_rates(plan, evenly, 30) == pytest.approx(exact, rel=0.05)


def test_long_samples_cost_no_more_to_estimate() -> None:
    """The model is run on a few steps; the rest is extrapolated."""
    network = chain(11, (60, 40, 10))
    plan = make_plan(network)
    rates = {INPUT: 0.3, "p0": 0.1, "p1": 0.1}
    year, day = (cycles_from_rates(plan, rates, steps) for steps in (365 * 10**9, 10**9))
    assert year / day == pytest.approx(365, rel=0.01)


def test_tokens_keep_a_vector_engine_busy_one_by_one() -> None:
    """However many events a beat could have."""
    network = chain(3, (20, 10, 4))
    trains = spikes_of(network, random_spikes(1, network, 2, 5, 0.8))
    engines = (engine_folding(("p0",), kind="vector", lanes=0, events_per_beat=4), engine_folding(("p1",)))
    plan = make_plan(network, "ecp5", Folding(engines=engines))
    assert busy_cycles(plan, trains)[0].tolist() == trains[INPUT].sum(axis=(1, 2)).tolist()


def test_busy_cycles_are_those_of_rows_and_passes() -> None:
    network = chain(3, (20, 10, 4))
    spikes = random_spikes(1, network, 3, 5, 0.4)
    trains = spikes_of(network, spikes)
    for fold in FOLDINGS:
        plan = make_plan(network, folding=fold(network))
        busy = np.array(busy_cycles(plan, trains))
        assert busy.shape == (len(plan.engines), 3)
        assert np.all(busy.max(axis=0) <= count_cycles(plan, trains))


def test_a_core_that_hangs_is_given_up() -> None:
    """A queue of one word is never free: no folding has one, and the model says so instead of waiting for ever."""
    circuit = Circuit()
    entry = circuit.stream()
    exit_ = circuit.block(run_queue(1), entry)
    with pytest.raises(MismatchError, match="a core ends every sample: nothing has moved for 40 cycles; it hangs"):
        circuit.run(entry, exit_, [(END_OF_SAMPLE, 0)], patience=40)

"""Spikes that cross into a later step, in hardware, against an oracle of the contract that shares nothing with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fuzz.check import check_hardware, check_verilog, plan_of
from fuzz.oracle import Data
from golden import network_of
from spikeloom.compiler.cycles.count import busy_cycles, count_cycles, cycles_from_rates
from spikeloom.compiler.estimate.choose_folding import Objective, Purpose, choose_folding
from spikeloom.compiler.ir.network import INPUT
from spikeloom.compiler.plan.delays import MAX_KEPT_STEPS
from spikeloom.compiler.plan.folding import shared_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.errors import ModelError
from spikeloom.hdl.memories.memory import Family
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference

Edge = tuple[str, str, Any]
"""Pre, post, delay."""

SELF: list[Edge] = [("input", "a", 0), ("a", "a", 1), ("a", "b", 0)]
"""A recurrent layer in front of a readout."""

RETURNING: dict[str, tuple[dict[str, int], list[Edge]]] = {
    "a hidden layer to itself": ({"a": 9, "b": 4}, SELF),
    "the output to itself": ({"a": 5, "b": 6}, [("input", "a", 0), ("a", "b", 0), ("b", "b", 1)]),
    "the only layer": ({"a": 7}, [("input", "a", 0), ("a", "a", 1)]),
    "one neuron": ({"a": 1}, [("input", "a", 0), ("a", "a", 1)]),
    "two neurons": ({"a": 2, "b": 1}, [*SELF, ("b", "b", 1)]),
    "the output to a hidden layer": ({"a": 6, "b": 3}, [("input", "a", 0), ("a", "b", 0), ("b", "a", 1)]),
    "two layers back": (
        {"a": 4, "b": 8, "c": 3},
        [("input", "a", 0), ("a", "b", 0), ("b", "c", 0), ("c", "a", 1), ("b", "a", 1)],
    ),
    "everything to everything": (
        {"a": 4, "b": 5, "c": 3},
        [("input", x, 0) for x in "abc"] + [(x, y, int(x >= y)) for x in "abc" for y in "abc"],
    ),
    "a skip over a recurrent layer": (
        {"a": 4, "b": 5, "c": 6},
        [("input", "a", 0), ("a", "b", 0), ("b", "b", 1), ("b", "c", 0), ("a", "c", 0)],
    ),
}
"""Sizes and edges of networks whose step edges return inside a shared engine."""

LATE: dict[str, tuple[dict[str, int], list[Edge]]] = {
    "the input, after two steps": ({"a": 5}, [("input", "a", 2)]),
    "the input, at once and later": ({"a": 5, "b": 3}, [("input", "a", 0), ("input", "a", 3), ("a", "b", 0)]),
    "the input, axonal": ({"a": 5}, [("input", "a", [[d] * 5 for d in (3, 1, 4, 1, 5, 2)])]),
    "the input, axonal, some at once": ({"a": 3}, [("input", "a", [[d] * 3 for d in (0, 1, 4, 0, 5, 2)])]),
    "the input, per synapse": ({"a": 4}, [("input", "a", [[(i + j) % 5 for j in range(4)] for i in range(6)])]),
    "the input, past a layer": ({"a": 4, "b": 7}, [("input", "a", 0), ("a", "b", 0), ("input", "b", 2)]),
    "a chain, after a step": ({"a": 5, "b": 4}, [("input", "a", 0), ("a", "b", 1)]),
    "a chain, axonal": ({"a": 4, "b": 3}, [("input", "a", 0), ("a", "b", [[d] * 3 for d in (1, 7, 2, 1)])]),
    "both ways": ({"a": 4, "b": 5}, [("input", "a", 0), ("a", "b", 0), ("b", "a", 2), ("a", "a", 3), ("a", "b", 1)]),
    "one neuron": ({"a": 1}, [("input", "a", 0), ("a", "a", 3)]),
    "one neuron to another": ({"a": 1, "b": 1}, [("input", "a", 0), ("a", "b", [[2]]), ("b", "a", 1), ("b", "b", 2)]),
    "three layers back": (
        {"a": 3, "b": 4, "c": 5},
        [("input", "a", 0), ("a", "b", 0), ("b", "c", 0), ("c", "a", 1), ("c", "b", 2), ("a", "c", 2)],
    ),
    "inner layers of three": (
        {"a": 3, "b": 4, "c": 5},
        [("input", "a", 1), ("a", "b", 2), ("b", "b", [[1, 2, 3, 4], [2] * 4, [3] * 4, [1, 1, 4, 4]]), ("b", "c", 0)],
    ),
}
"""Sizes and edges of networks whose spikes are kept for later steps."""

FOLDED: dict[str, Any] = {
    "shared": lambda sizes: shared(sizes),
    "one each": lambda sizes: [{"populations": [name]} for name in sizes],
    "lanes": lambda sizes: [{"populations": [name], "lanes": min(2, sizes[name]), "queue": 4} for name in sizes],
    "vector": lambda sizes: [
        {"populations": [name], "kind": "vector", "lanes": 0, "events_per_beat": 2} for name in sizes
    ],
}
"""The engines of a network's populations."""

EAGER = -100
"""A threshold that every neuron is above in every step."""


def network(
    sizes: dict[str, int], edges: list[Edge], *, x_max: int = 1, fire: int | None = None, **changes: Any
) -> Data:
    """Random weights; thresholds of about a spike in three steps, or all `fire`."""
    rng = np.random.default_rng(sum(sizes.values()) + len(edges))
    size_of = {"input": 6, **sizes}
    assert all(np.ndim(delay) == 0 or np.shape(delay) == (size_of[pre], size_of[post]) for pre, post, delay in edges)
    return {
        "name": "loops",
        "input": {"size": size_of["input"], "x_max": x_max},
        "output": list(sizes)[-1],
        "populations": [
            {
                "name": name,
                "size": size,
                "dynamics": "LIF",
                "decay": {"c": 3, "k": 4, "rounding": "nearest"},
                "decay_syn": None,
                "drive": "new",
                "fire": rng.integers(-2, 9, size).tolist() if fire is None else fire,
                "sub": rng.integers(0, 9, size).tolist(),
                "v_reset": 0,
                "reset_mode": "subtract",
                "reset": "next",
                "state_bits": 9,
                "bias": rng.integers(-1, 2, size).tolist(),
                **changes,
            }
            for name, size in sizes.items()
        ],
        "projections": [
            {
                "pre": pre,
                "post": post,
                "weights": rng.integers(-5, 6, (size_of[pre], size_of[post])).tolist(),
                "bits": 4,
                "delay": delay,
                "shift": 0,
            }
            for pre, post, delay in edges
        ],
    }


def stimulus(data: Data, *, rate: float = 0.4, stalls: float = 0.0) -> Data:
    """Samples back to back, one of them aborted, after a reset in the middle of another."""
    rng = np.random.default_rng(7)
    inputs, x_max = data["input"]["size"], data["input"]["x_max"]

    def run(steps: int, *, aborted: bool = False) -> Data:
        counts = (rng.random((steps, inputs)) < rate) * rng.integers(1, x_max + 1, (steps, inputs))
        return {"steps": counts.tolist(), "aborted": aborted}

    return {
        "inputs": inputs,
        "before": [run(3)],
        "wait": 17,
        "runs": [run(4), run(1), run(2, aborted=True), run(5)],
        "pauses": stalls,
        "stalls": stalls,
        "seed": 5,
    }


def case(data: Data, engines: list[dict[str, Any]], family: str = "ice40", **how: Any) -> Data:
    return {
        "family": family,
        "network": data,
        "folding": {"engines": engines},
        "stimulus": stimulus(data, **how),
    }


def shared(sizes: dict[str, int], **fields: Any) -> list[dict[str, Any]]:
    return [{"populations": list(sizes), **fields}]


def check_cycles(plan: Plan) -> None:
    """The cycle model equals the simulator."""
    rng = np.random.default_rng(2)
    spikes = (rng.random((2, 5, plan.network.input_size)) < 0.5).astype(np.uint8)
    trains = run_reference(plan.network, spikes).trains(spikes)
    assert count_cycles(plan, trains) == measure_cycles(plan, spikes)


def check_core(folded: Data, *, traced: bool = True) -> None:
    check_hardware(folded, plan_of(folded), traced=traced)


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize("graph", RETURNING)
def test_spikes_return_inside_a_shared_engine(graph: str, stalls: float) -> None:
    sizes, edges = RETURNING[graph]
    check_core(case(network(sizes, edges), shared(sizes), stalls=stalls), traced=not stalls)


@pytest.mark.parametrize("graph", RETURNING)
def test_every_neuron_fires_in_every_step(graph: str) -> None:
    sizes, edges = RETURNING[graph]
    data = network(sizes, edges, fire=EAGER)
    check_core(case(data, shared(sizes), "ecp5", rate=1.0, stalls=0.3), traced=False)


@pytest.mark.parametrize("graph", RETURNING)
def test_cycles_of_spikes_that_return_are_exact(graph: str) -> None:
    sizes, edges = RETURNING[graph]
    for fire in (None, EAGER):
        check_cycles(make_plan(network_of(network(sizes, edges, fire=fire)), "ecp5"))


@pytest.mark.parametrize("place", ["same", "next", "snntorch_same"])
def test_spikes_return_under_every_reset_and_to_skipped_passes(place: str) -> None:
    sizes, edges = RETURNING["everything to everything"]
    data = network(sizes, edges, reset=place, fire=7, bias=0)
    check_core(case(data, shared(sizes, skips=True), rate=0.1))
    check_core(case(data, shared(sizes, spram=True), rate=0.3))


@pytest.mark.thinned(3)
@pytest.mark.parametrize("folded", FOLDED)
@pytest.mark.parametrize("graph", LATE)
def test_spikes_come_later_in_every_engine(graph: str, folded: str) -> None:
    sizes, edges = LATE[graph]
    data = network(sizes, edges)
    check_core(case(data, FOLDED[folded](sizes), "ecp5", stalls=0.3), traced=folded != "vector")


@pytest.mark.thinned(2)
@pytest.mark.parametrize("graph", LATE)
def test_every_neuron_fires_and_all_of_it_comes_later(graph: str) -> None:
    """As many events are kept as there can be; neither a stalled output nor an aborted sample blocks or leaks any."""
    sizes, edges = LATE[graph]
    data = network(sizes, edges, fire=EAGER)
    check_core(case(data, FOLDED["shared"](sizes), rate=1.0, stalls=0.3))
    check_core(case(data, FOLDED["one each"](sizes), rate=1.0), traced=False)


def test_an_input_whose_late_weights_are_all_zero_still_brings_the_steps() -> None:
    """None of its spikes is kept, and what the engine's populations tell each other goes on."""
    sizes = {"a": 3, "b": 4}
    data = network(sizes, [("input", "a", 1), ("a", "b", 0)], fire=1, bias=2)
    data["projections"][0]["weights"] = [[0] * 3 for _ in range(6)]
    folded = case(data, shared(sizes))
    assert run_reference(network_of(data), np.zeros((1, 9, 6), np.uint8)).spikes.any()
    check_core(folded)
    check_cycles(plan_of(folded))


def test_what_an_output_hears_later_waits_for_its_pass() -> None:
    """The rows of late events lead straight to the last of its neurons, which its pass comes to long after."""
    sizes = {"a": 3, "b": 40}
    data = network(sizes, [("input", "a", 0), ("a", "b", 0), ("input", "b", 1)])
    data["projections"][2]["weights"] = [[0] * 39 + [weight] for weight in (3, -2, 5, 4, -3, 2)]
    check_core(case(data, shared(sizes)))


NETLISTS = [
    ("the input, axonal", "shared", "ecp5"),
    ("the input, axonal", "shared", "ice40"),
    ("inner layers of three", "shared", "ecp5"),
    ("both ways", "one each", "ice40"),
    ("both ways", "lanes", "ecp5"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "folded", "family"), NETLISTS)
def test_netlists_keep_spikes_and_delays(graph: str, folded: str, family: str) -> None:
    """The delays that a history holds beside its spikes are there at the start, in block and in distributed RAM."""
    sizes, edges = LATE[graph]
    data = network(sizes, edges)
    rng = np.random.default_rng(4)
    runs = [{"steps": (rng.random((8, 6)) < 0.5).astype(int).tolist(), "aborted": False} for _ in range(3)]
    folding = case(data, FOLDED[folded](sizes), family)
    check_verilog({**folding, "traced": True, "stimulus": {**folding["stimulus"], "runs": runs}}, level="netlist")


@pytest.mark.parametrize("delay", [1, 3, [[d] * 3 for d in (2, 1, 1, 3, 2, 2)], [[1, 2, 3]] * 6])
def test_inputs_above_one_come_later_as_often(delay: Any) -> None:
    data = network({"a": 3}, [("input", "a", 0), ("input", "a", delay)], x_max=3)
    for family in ("ice40", "ecp5"):
        check_core(case(data, [{"populations": ["a"]}], family, rate=0.7, stalls=0.2))
    check_cycles(make_plan(network_of(data)))


def test_more_events_than_the_contract_has_do_not_change_delays() -> None:
    """A host that sends an event six times where inputs are 0 or 1 spoils its sample, and no other one."""
    sizes, edges = LATE["the input, axonal"]
    data = network(sizes, edges)
    often = [{"steps": [[6] * 6] * 4, "aborted": False}]
    folded = case(data, shared(sizes), rate=0.6)
    check_core({**folded, "stimulus": {**folded["stimulus"], "before": often, "wait": 100}})


def test_the_folding_is_chosen_among_those_of_step_edges() -> None:
    built = network_of(network(*LATE["three layers back"]))
    rates = {INPUT: 0.3, "a": 0.2, "b": 0.2, "c": 0.2}
    cycles = {}
    for objective in (Objective.LUTS, Objective.LATENCY):
        purpose = Purpose(objective=objective, clock_hz=12e6, steps=20)
        with pytest.warns(UserWarning, match="first guess: no price was measured of its .*delays"):
            folding = choose_folding(built, Family.ECP5, purpose, rates)
        cycles[objective] = cycles_from_rates(make_plan(built, "ecp5", folding), rates, 20)
    assert cycles[Objective.LATENCY] < cycles[Objective.LUTS]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("folded", FOLDED)
@pytest.mark.parametrize("graph", LATE)
def test_cycles_with_delays_are_exact(graph: str, folded: str) -> None:
    sizes, edges = LATE[graph]
    check_cycles(plan_of(case(network(sizes, edges), FOLDED[folded](sizes))))


def test_the_longest_delay_and_one_more() -> None:
    edges: list[Edge] = [("input", "a", 0), ("a", "a", MAX_KEPT_STEPS)]
    data = network({"a": 2}, edges, fire=EAGER)
    longer = {**stimulus(data, rate=0.2), "before": [], "runs": [{"steps": [[1] * 6] * 258, "aborted": False}]}
    check_core({**case(data, [{"populations": ["a"]}]), "stimulus": longer})
    beyond = network({"a": 2}, [("input", "a", 0), ("a", "a", MAX_KEPT_STEPS + 1)])
    with pytest.raises(ModelError, match=r"at most 255 steps: .* from 'a' to 'a' has a delay of 256; take longer time"):
        make_plan(network_of(beyond))


def test_spikes_are_kept_where_they_cost_least() -> None:
    def kept(sizes: dict[str, int], edges: list[Edge], family: str, x_max: int = 1) -> dict[str, tuple[int, int]]:
        plan = make_plan(network_of(network(sizes, edges, x_max=x_max)), family, None)
        roles = ("log", "history", "taps", "queue")
        return {m.role: (m.shape.depth, m.shape.width) for m in plan.memories if m.role.rstrip("0123456789") in roles}

    wide = {"a": 256, "b": 8}
    axonal = [[1 + n % 25] * 8 for n in range(256)]
    assert kept(wide, [("input", "a", 0), ("a", "b", 1)], "ice40") == {"log": (256, 8)}
    assert kept(wide, [("input", "a", 0), ("a", "b", axonal)], "ecp5") == {"history": (256, 30)}
    assert kept(wide, [("input", "a", 0), ("a", "b", 25)], "ecp5") == {"history": (256, 25)}
    synaptic = [[1 + (n + k) % 2 for k in range(8)] for n in range(256)]
    memories = kept(wide, [("input", "a", 0), ("a", "b", synaptic)], "ecp5")
    assert memories["history"] == (256, 2) and 500 <= memories["taps"][0] <= 512 and memories["taps"][1] == 2
    assert kept({"a": 300}, [("input", "a", 0), ("input", "a", 1)], "ice40", x_max=255) == {"history": (6, 8)}


def test_delays_cost_a_block_ram_for_256_neurons_and_25_steps() -> None:
    axonal = [[1 + n % 25] * 8 for n in range(256)]
    sizes = {"a": 256, "b": 8}
    plans = [
        make_plan(network_of(network(sizes, [("input", "a", 0), ("a", "b", delay)])), "ecp5", None)
        for delay in (0, axonal)
    ]
    without, with_delays = plans
    assert with_delays.brams - without.brams <= 1


def test_a_wide_input_leads_past_no_delay() -> None:
    engines = [{"populations": ["a"], "kind": "vector", "events_per_beat": 2}, {"populations": ["b"]}]
    folded = {"engines": engines, "wide": True}
    for edges, name in (
        ([("input", "a", 0), ("a", "a", 1), ("a", "b", 0)], "also listens to 'a'"),
        ([("input", "a", 0), ("a", "b", 1)], "also reaches the engine of 'b'"),
    ):
        data = network({"a": 4, "b": 2}, edges)
        with pytest.raises(ModelError, match=name):
            plan_of({"network": data, "family": "ecp5", "folding": folded})


def test_a_step_edge_costs_a_queue_only_where_it_must() -> None:
    def queues(graph: str) -> list[int]:
        plan = make_plan(network_of(network(*RETURNING[graph])))
        return [memory.shape.depth for memory in plan.memories if memory.role == "queue"]

    assert queues("the output to a hidden layer") == []
    assert queues("two layers back") == []
    assert queues("a hidden layer to itself") == [16]
    assert queues("everything to everything") == [8]
    assert queues("one neuron") == [2]


def test_a_step_takes_little_more_than_its_operations() -> None:
    """The goal of a recurrent network of 12-38-7: 1.15 times the additions, neurons and events, and 20."""
    sizes = {"a": 38, "b": 7}
    data = network(sizes, SELF, fire=4)
    built = network_of(data)
    plan = make_plan(built, folding=shared_folding(built))
    rng = np.random.default_rng(3)
    steps = 40
    spikes = (rng.random((1, steps, built.input_size)) < 0.3).astype(np.uint8)
    trains = run_reference(built, spikes).trains(spikes)
    (cycles,) = count_cycles(plan, trains)
    events = trains[INPUT].sum() + trains["a"].sum()
    additions = sum(
        np.count_nonzero(p.connectivity.codes, axis=1) @ trains[p.pre].sum(axis=(0, 1)) for p in built.projections
    )
    assert events > steps
    assert cycles <= 1.15 * (additions + steps * 45 + events) + 20 * steps
    assert busy_cycles(plan, trains)[0].item() >= additions

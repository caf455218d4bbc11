"""NIR graphs with cycles, delays and graphs within graphs: what they mean, and what is refused where that is open."""

from __future__ import annotations

from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from spikeloom.compiler.frontends.nir import subgraphs
from spikeloom.compiler.frontends.nir.nodes import NirNode
from spikeloom.compiler.frontends.nir.order import MAX_CYCLIC, evaluation_order
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import CubaLIF, ResetMode, ResetPlace
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

Edges = list[tuple[str, str]]

# ------------------------------------------------------------------------------------------------------- the order

ORDERS: dict[str, tuple[str, str, str, str]] = {
    "a chain": ("in>b b>a", "", "in b a", ""),
    "to itself": ("in>a a>a", "", "in a", "a>a"),
    "ties by name": ("in>b in>a b>c a>c", "", "in a b c", ""),
    "feedback over two": ("in>a a>b b>a", "", "in a b", "b>a"),
    "feedback and a skip": ("in>a a>b b>c a>c c>a", "", "in a b c", "c>a"),
    "one loop in another": ("in>a a>b b>c c>b c>a", "", "in a b c", "c>a c>b"),
    "a delay says which": ("in>a in>b a>b b>a", "b>a", "in a b", "b>a"),
    "a delay on the way in": ("in>a a>b b>c c>b", "a>b", "in a b c", "c>b"),
    "the input first, whatever its name": ("z>a a>b b>a", "", "z a b", "b>a"),
}


def _edges(text: str) -> Edges:
    return [(a, b) for a, b in (edge.split(">") for edge in text.split())]


@pytest.mark.parametrize("name", ORDERS)
def test_populations_are_evaluated_from_the_input_on(name: str) -> None:
    edges, delayed, order, back = ORDERS[name]
    source = order.split()[0]
    for shuffled in (_edges(edges), _edges(edges)[::-1]):
        assert evaluation_order(source, shuffled, _edges(delayed)) == (order.split(), set(_edges(back)))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (
            "in>a in>b a>b b>a",
            "that of 'a', 'b' is entered at several of them, so that this may be .a. -> .b. or .b. -> .a.",
        ),
        ("in>x x>a x>b a>c c>b b>a", "may be 'c' -> 'b' or 'b' -> 'a'; put a Delay"),
    ],
)
def test_a_cycle_with_two_entries_has_two_orders_and_is_refused(edges: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        evaluation_order("in", _edges(edges), [])


def _least_backs(names: list[str], edges: set[tuple[str, str]]) -> set[frozenset[tuple[str, str]]]:
    """Of all orders in which everything stands behind something that leads to it: the smallest sets of back edges."""
    found = set()
    for order in permutations(names[1:]):
        place = {name: number for number, name in enumerate([names[0], *order])}
        if all(any(place[a] < place[b] for a, b in edges if b == name) for name in order):
            found.add(frozenset((a, b) for a, b in edges if place[a] >= place[b]))
    return {back for back in found if not any(other < back for other in found)}


def test_edges_lead_back_as_in_every_order_that_has_few_of_them() -> None:
    rng = np.random.default_rng(1)
    accepted = refused = 0
    while accepted < 60 or refused < 60:
        names = ["in", "a", "b", "c", "d"][: rng.integers(3, 6)]
        edges = {(a, b) for a in names for b in names[1:] if rng.random() < 0.35}
        reached = {"in"}
        for _ in names:
            reached |= {b for a, b in edges if a in reached}
        if len(reached) < len(names):
            continue
        least = _least_backs(names, edges)
        if len(least) == 1:
            accepted += 1
            assert evaluation_order("in", edges, [])[1] == set(*least)
        else:
            refused += 1
            with pytest.raises(ModelError, match="put a Delay of a step on the one that is meant"):
                evaluation_order("in", edges, [])


def test_a_file_cannot_take_for_ever() -> None:
    names = [f"n{number}" for number in range(MAX_CYCLIC + 1)]
    chain = [("in", names[0]), *pairwise(names)]
    assert len(evaluation_order("in", chain, [])[0]) == MAX_CYCLIC + 2
    with pytest.raises(ModelError, match="at most 1000 populations: this one has 1002"):
        evaluation_order("in", [*chain, (names[-1], names[0])], [])
    ladder = [edge for a, b in pairwise(names[:-1]) for edge in ((a, b), (b, a))]
    assert len(evaluation_order(names[0], ladder, [])[1]) == MAX_CYCLIC - 1


# ------------------------------------------------------------------------------------------------- cycles and delays


def _lif(n: int, threshold: float = 0.7) -> nir.LIF:
    return nir.LIF(tau=np.full(n, 4e-3), r=np.full(n, 4.0), v_leak=np.zeros(n), v_threshold=np.full(n, threshold))


def _graph(path: Path, nodes: dict[str, nir.NIRNode], edges: str, **options: Any) -> Network:
    nir.write(path / "g.nir", nir.NIRGraph(nodes, _edges(edges), type_check=False))
    return read_nir(path / "g.nir", **({"dialect": "nir", "dt": 1e-3} | options))


def _weights(seed: int, *sizes: tuple[str, int, int]) -> dict[str, nir.NIRNode]:
    rng = np.random.default_rng(seed)
    return {name: nir.Linear(np.round(rng.normal(0, 40, (post, pre))) / 64) for name, pre, post in sizes}


def _ends(inputs: int, outputs: int) -> dict[str, nir.NIRNode]:
    return {"in": nir.Input(np.array([inputs])), "out": nir.Output(np.array([outputs]))}


def _loops(seed: int) -> dict[str, nir.NIRNode]:
    weights = _weights(seed, ("fc1", 5, 6), ("fc2", 6, 4), ("own", 4, 4), ("feedback", 4, 6), ("skip", 5, 6))
    return {**_ends(5, 4), **weights, "one": _lif(6), "two": _lif(4)}


LOOPS = "in>fc1 fc1>one one>fc2 fc2>two two>own own>two two>feedback feedback>one in>skip skip>one two>out"


def _by_hand(nodes: dict[str, nir.NIRNode], x: np.ndarray, late: tuple[int, int, int, int]) -> np.ndarray:
    """Spikes of `two`; feedback comes `late[0]`, own spikes `late[1]`, more inputs `late[2]`, `one` `late[3]` late."""
    fc1, fc2, own, feedback, skip = (nodes[n].weight for n in ("fc1", "fc2", "own", "feedback", "skip"))
    v1, v2 = np.zeros(6), np.zeros(4)
    ones, twos = np.zeros((len(x) + 9, 6)), np.zeros((len(x) + 9, 4))  # what lies before the first step is the end
    inputs = np.concatenate([x, np.zeros((9, 5))])
    for t in range(len(x)):
        v1 = v1 + 0.25 * ((0 - v1) + 4 * (fc1 @ inputs[t] + skip @ inputs[t - late[2]] + feedback @ twos[t - late[0]]))
        ones[t] = v1 > 0.7
        v1[v1 > 0.7] = 0
        current = fc2 @ ones[t - late[3]] + own @ twos[t - late[1]]
        v2 = v2 + 0.25 * ((0 - v2) + 4 * current)
        twos[t] = v2 > 0.7
        v2[v2 > 0.7] = 0
    return twos[: len(x)]


def _spikes(seed: int, inputs: int, steps: int = 40) -> np.ndarray:
    return (np.random.default_rng(seed).random((1, steps, inputs)) < 0.4).astype(np.uint8)


def test_cycles_over_one_and_two_populations_take_a_step(tmp_path: Path) -> None:
    nodes = _loops(1)
    network = _graph(tmp_path, nodes, LOOPS)
    edges = [(p.pre, p.post, int(p.delay)) for p in network.projections]
    assert edges == [
        ("input", "one", 0), ("input", "one", 0), ("two", "one", 1), ("one", "two", 0), ("two", "two", 1)
    ]  # fmt: skip
    x = _spikes(2, 5)
    expected = _by_hand(nodes, x[0].astype(float), (1, 1, 0, 0))
    assert 0.05 < expected.mean() < 0.95
    assert np.array_equal(run_float(network, x).spikes[0], expected)
    write_nir(network, tmp_path / "own.nir")
    assert np.array_equal(run_float(read_nir(tmp_path / "own.nir"), x).spikes[0], expected)


@pytest.mark.parametrize(
    ("node", "delay_s", "late"),
    [
        ("feedback", 3.4e-3, (3, 1, 0, 0)),  # to the nearest step
        ("feedback", 0.4e-3, (1, 1, 0, 0)),  # an edge that leads back takes a step at least
        ("own", 2.5e-3, (1, 3, 0, 0)),  # halves up
        ("skip", 4e-3, (1, 1, 4, 0)),
        ("fc2", 1e-3, (1, 1, 0, 1)),
    ],
)
@pytest.mark.parametrize("behind", [False, True], ids=["before the layer", "behind the layer"])
def test_delays_in_steps(
    tmp_path: Path, node: str, delay_s: float, late: tuple[int, int, int, int], behind: bool
) -> None:
    nodes = _loops(3)
    outputs, inputs = nodes[node].weight.shape
    nodes["late"] = nir.Delay(np.full(outputs if behind else inputs, delay_s))
    old, new = (f"{node}>", f"{node}>late late>") if behind else (f">{node} ", f">late late>{node} ")
    network = _graph(tmp_path, nodes, LOOPS.replace(old, new, 1))
    x = _spikes(4, 5)
    assert np.array_equal(run_float(network, x).spikes[0], _by_hand(nodes, x[0].astype(float), late))


def test_delays_of_each_neuron_add_up(tmp_path: Path) -> None:
    nodes = {**_ends(2, 3), **_weights(5, ("fc", 2, 3)), "lif": _lif(3)}
    nodes |= {"pre": nir.Delay(np.array([0.0, 2e-3])), "post": nir.Delay(np.array([1e-3, 0.0, 4e-3]))}
    network = _graph(tmp_path, nodes, "in>pre pre>fc fc>post post>lif lif>out")
    assert network.projections[0].delay.tolist() == [[1, 0, 4], [3, 2, 6]]
    nodes["pre"] = nir.Delay(np.array([2e-3]))
    nodes["post"] = nir.Delay(np.full(3, 1e-3))
    network = _graph(tmp_path, nodes, "in>pre pre>fc fc>post post>lif lif>out")
    assert network.projections[0].delay.shape == () and network.projections[0].delay == 3


def test_two_ways_through_one_layer_are_two_projections(tmp_path: Path) -> None:
    nodes = {**_ends(2, 3), **_weights(6, ("fc", 2, 3)), "lif": _lif(3), "late": nir.Delay(np.array([2e-3] * 3))}
    network = _graph(tmp_path, nodes, "in>fc fc>lif fc>late late>lif lif>out")
    assert sorted(int(p.delay) for p in network.projections) == [0, 2]


def test_a_delay_decides_where_two_orders_would(tmp_path: Path) -> None:
    nodes = {**_ends(2, 3), **_weights(7, ("i1", 2, 3), ("i2", 2, 3), ("ab", 3, 3), ("ba", 3, 3))}
    nodes |= {"a": _lif(3), "b": _lif(3)}
    edges = "in>i1 i1>a in>i2 i2>b a>ab ab>b b>ba ba>a b>out"
    with pytest.raises(ModelError, match="so that this may be 'a' -> 'b' or 'b' -> 'a'; put a Delay of a step on the"):
        _graph(tmp_path, nodes, edges)
    nodes["late"] = nir.Delay(np.array([1e-3] * 3))
    network = _graph(tmp_path, nodes, edges.replace("b>ba", "b>late late>ba"))
    assert [p.name for p in network.populations] == ["a", "b"]
    assert [(p.pre, p.post, int(p.delay)) for p in network.projections if p.delay] == [("b", "a", 1)]


BAD: dict[str, tuple[dict[str, nir.NIRNode], str, dict[str, Any], str]] = {
    "a cycle without neurons": (
        {"a": nir.Delay(np.ones(2)), "b": nir.Delay(np.ones(2))},
        "in>fc fc>lif lif>out fc>a a>b b>a b>lif",
        {},
        "Delay nodes have one source: 'a' has 2",
    ),
    "a ring of delays": (
        {"a": nir.Delay(np.ones(2)), "b": nir.Delay(np.ones(2)), "c": nir.Linear(np.eye(2))},
        "in>fc fc>lif lif>out a>b b>a b>lif",
        {},
        "'a' has none, the input does not reach it",
    ),
    "a negative delay": (
        {"a": nir.Delay(np.array([0.0, -1e-3]))}, "in>fc fc>a a>lif lif>out", {},
        "delays are 0 to 4095 steps: node 'a' has -0.001, with the time step 0.001",
    ),
    "a long delay": (
        {"a": nir.Delay(np.array([0.0, 4.1]))}, "in>fc fc>a a>lif lif>out", {}, "node 'a' has 4.1, with the time step"
    ),
    "delays that add up to too much": (
        {"a": nir.Delay(np.array([3.0])), "b": nir.Delay(np.array([2.0]))}, "in>a a>fc fc>b b>lif lif>out", {},
        "at most 4095 steps: those before and behind node 'fc' add up to 5000",
    ),
    "another number of delays": (
        {"a": nir.Delay(np.ones(3))}, "in>fc fc>a a>lif lif>out", {}, r"one for each value \(2\): node 'a' has.*\(3,\)"
    ),
    "a delayed output": (
        {"a": nir.Delay(np.array([1e-3]))}, "in>fc fc>lif lif>a a>out", {}, "a Delay stands before node 'out'; remove"
    ),
    "a delayed bias": (
        {"fc": nir.Affine(np.eye(2), np.ones(2)), "a": nir.Delay(np.array([1e-3]))}, "in>fc fc>a a>lif lif>out", {},
        "that of node 'fc' stands before a Delay; put the Delay before the layer",
    ),
    "recurrence of a framework whose layers are late": (
        {
            "rec": nir.Linear(np.eye(2)),
            "lif": nir.LIF(np.full(2, 2.0), np.full(2, 0.5), np.zeros(2), np.ones(2)),
        },
        "in>fc fc>lif lif>rec rec>lif lif>out",
        {"dialect": "spyx", "dt": None},
        "recurrence of the dialect 'spyx' is not supported: 'lif' -> 'lif' leads back",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_cycles_and_delays_are_refused(tmp_path: Path, name: str) -> None:
    nodes, edges, options, message = BAD[name]
    common = {**_ends(2, 2), "fc": nir.Linear(np.eye(2)), "lif": _lif(2)}
    with pytest.raises(ModelError, match=message) as caught:
        _graph(tmp_path, common | nodes, edges, **options)
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------- graphs within graphs


def _sub(nodes: dict[str, nir.NIRNode], edges: str) -> nir.NIRGraph:
    return nir.NIRGraph(nodes, _edges(edges), type_check=False)


def test_a_graph_within_a_graph_is_its_nodes(tmp_path: Path) -> None:
    flat, x = _loops(8), _spikes(9, 5)
    inner = {**_ends(4, 4), "own": flat["own"], "two": flat["two"]}
    deep = _sub({**_ends(4, 4), "core": _sub(inner, "in>two two>own own>two two>out")}, "in>core core>out")
    nodes = {n: node for n, node in flat.items() if n not in ("own", "two")} | {"x": deep}
    network = _graph(tmp_path, nodes, "in>fc1 fc1>one one>fc2 fc2>x x>feedback feedback>one in>skip skip>one x>out")
    assert [p.name for p in network.populations] == ["one", "x.core.two"]
    assert np.array_equal(run_float(network, x).spikes, run_float(_graph(tmp_path, flat, LOOPS), x).spikes)


def test_a_graph_whose_output_leads_to_its_input(tmp_path: Path) -> None:
    nodes = {**_ends(3, 3), **_weights(10, ("fc", 3, 3))}
    nodes["x"] = _sub({**_ends(3, 3), **_weights(11, ("w", 3, 3)), "lif": _lif(3)}, "in>w w>lif lif>out")
    network = _graph(tmp_path, {**_ends(3, 3), "x": nodes["x"]}, "in>x x>x x>out")
    assert sorted((p.pre, p.post, int(p.delay)) for p in network.projections) == [
        ("input", "x.lif", 0), ("x.lif", "x.lif", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "edges", "outer", "message"),
    [
        ({"lif": _lif(2)}, "lif>lif", "in>fc fc>x x>out", "a subgraph has one Input node: 'x' has 0"),
        (_ends(2, 2), "in>out", "in>fc fc>x x>out", "the Input of 'x' leads straight to its Output"),
        (
            {**_ends(2, 2), "in2": nir.Input(np.array([2])), "lif": _lif(2)},
            "in>lif in2>lif lif>out", "in>fc fc>x x>out", "a subgraph has one Input node: 'x' has 2",
        ),
        (
            {**_ends(2, 2), "lif": _lif(2), "conv": nir.I(np.ones(2))},
            "in>conv conv>lif lif>out", "in>fc fc>x x>out", "node 'x.conv' is a 'I'",
        ),
    ],
)  # fmt: skip
def test_bad_graphs_within_graphs(
    tmp_path: Path, nodes: dict[str, nir.NIRNode], edges: str, outer: str, message: str
) -> None:
    around = {**_ends(2, 2), "fc": nir.Linear(np.eye(2)), "x": _sub(nodes, edges)}
    with pytest.raises(ModelError, match=message):
        _graph(tmp_path, around, outer)


def test_names_and_edges_that_would_be_one_are_refused(tmp_path: Path) -> None:
    inner = _sub({**_ends(2, 2), "lif": _lif(2)}, "in>lif lif>out")
    nodes = {**_ends(2, 2), "fc": nir.Linear(np.eye(2)), "x": inner, "x.lif": _lif(2)}
    with pytest.raises(ModelError, match=r"'x\.lif' is that of two; rename one"):
        _graph(tmp_path, nodes, "in>fc fc>x x>out")
    twice = _sub({**_ends(2, 2), "lif": _lif(2), "fc": nir.Linear(np.eye(2))}, "in>fc in>lif fc>lif lif>out")
    with pytest.raises(ModelError, match="joins Input and LIF"):
        _graph(tmp_path, {**_ends(2, 2), "x": twice}, "in>x x>out")


def test_graphs_within_graphs_cannot_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = subgraphs.NestedGraph(
        {"in": NirNode("Input", {}), "out": NirNode("Output", {}), "a": NirNode("LIF", {}), "b": NirNode("LIF", {})},
        (("in", "a"), ("in", "b"), ("a", "out"), ("b", "out")),
    )
    around = {f"n{i}": NirNode("LIF", {}) for i in range(20)} | {"x": inner, "y": inner}
    edges = [(f"n{i}", "x") for i in range(10)] + [("x", "y")] + [("y", f"n{i}") for i in range(10, 20)]
    graph = subgraphs.NestedGraph(around, tuple(edges))
    assert len(subgraphs.flat(graph).edges) == 20 + 4 + 20
    monkeypatch.setattr(subgraphs, "MAX_EDGES", 43)
    with pytest.raises(ModelError, match="has at most 43 edges: with those through 'x' it has more"):
        subgraphs.flat(graph)
    monkeypatch.setattr(subgraphs, "MAX_SUBGRAPHS", 1)
    with pytest.raises(ModelError, match="at most 1 subgraphs"):
        monkeypatch.setattr(subgraphs, "MAX_EDGES", 1000)
        subgraphs.flat(graph)


def test_metadata_of_a_subgraph_is_heard(tmp_path: Path) -> None:
    nodes = {**_ends(3, 3), **_weights(10, ("fc", 3, 3))}
    sub = _sub({**_ends(3, 3), "lif": _lif(3)}, "in>lif lif>out")
    sub.metadata = {"time_step": 1e-3}
    with pytest.raises(OptionError, match=r"'time_step' in the metadata of node 'x' is 0\.001; give --dt"):
        _graph(tmp_path, {**nodes, "x": sub}, "in>fc fc>x x>out", dt=None)


# --------------------------------------------------------------------------------------------------------- snnTorch

RESETS = {"subtract": ("subtract", True), "subtract at once": ("subtract", False), "zero at once": ("zero", False)}


@pytest.mark.parametrize("all_to_all", [True, False])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_snntorchs_recurrent_layers(tmp_path: Path, reset: str, all_to_all: bool) -> None:
    torch, snn = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    pytest.importorskip("nirtorch")
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(1)
    mechanism, delay = RESETS[reset]
    recurrent = (
        {"linear_features": 24} if all_to_all else {"all_to_all": False, "V": torch.randint(-30, 60, (24,)) / 64}
    )
    rleaky = snn.RLeaky(
        torch.empty(24).uniform_(0.5, 1.0), threshold=torch.empty(24).uniform_(0.4, 1.5), init_hidden=True,
        reset_mechanism=mechanism, reset_delay=delay, **recurrent,
    )  # fmt: skip
    net = torch.nn.Sequential(
        torch.nn.Linear(12, 24), rleaky, torch.nn.Linear(24, 6),
        snn.Leaky(torch.full((6,), 0.9), threshold=torch.full((6,), 0.7), init_hidden=True, reset_mechanism=mechanism,
                  reset_delay=delay),
    )  # fmt: skip
    with torch.no_grad():  # sums that are exact in any order
        for parameter in net.parameters():
            parameter.copy_(torch.round(parameter * 64 * 2) / 64)
    nir.write(tmp_path / "a.nir", export_to_nir(net, torch.zeros(1, 12), ignore_dims=[0]))
    network = read_nir(tmp_path / "a.nir", dialect="snntorch", reset=mechanism, reset_delay=delay)
    assert [network.is_recurrent(p) for p in network.projections].count(True) == 1
    x = np.random.default_rng(3).random((8, 40, 12)) < 0.4
    rleaky.spk, rleaky.mem, net[3].mem = torch.zeros(0), torch.zeros(0), torch.zeros(0)
    with torch.no_grad():
        expected = torch.stack([net(torch.tensor(x[:, t]).float()) for t in range(40)], 1).numpy()
    recording = run_float(network, x.astype(np.uint8))
    assert 0.02 < expected.mean() < 0.9
    assert np.array_equal(recording.spikes, expected)


def test_a_recurrent_layer_that_loses_its_input_with_its_membrane_is_refused(tmp_path: Path) -> None:
    """snnTorch's RLeaky that resets to zero a step later sets the membrane to 0 behind that step's input."""
    node = nir.LIF(np.full(2, 2e-4), np.full(2, 2.0), np.zeros(2), np.ones(2))
    nodes = {**_ends(2, 2), "fc": nir.Linear(np.eye(2)), "lif": node, "rec": nir.Linear(np.eye(2))}
    options = {"dialect": "snntorch", "dt": None, "reset": "zero"}
    with pytest.raises(ModelError, match=r"an RLeaky that resets to zero a step later.*node 'lif' is read so"):
        _graph(tmp_path, nodes, "in>fc fc>lif lif>rec rec>lif lif>out", reset_delay=True, **options)
    assert _graph(tmp_path, nodes, "in>fc fc>lif lif>rec rec>lif lif>out", reset_delay=False, **options).output == "lif"


# ---------------------------------------------------------------------------------------- the NIR paper's third task


@pytest.fixture(scope="module")
def braille(shared: Path) -> tuple[Network, np.ndarray, np.ndarray]:
    """The network, its input [sample, step, taxel], and the hidden spikes [step, neuron] that the paper publishes."""
    folder = shared / "data" / "nir"
    network = read_nir(folder / "braille_noDelay_bias_zero.nir", dialect="snntorch", reset="zero", reset_delay=False)
    published = np.load(folder / "noDelay_bias_zero_hidden_ref_snntorch.npy")
    return network, np.load(folder / "braille_test0_input_T256x12.npy")[None], published


def test_braille_fires_as_published_in_every_bin(braille: tuple[Network, np.ndarray, np.ndarray]) -> None:
    network, x, published = braille
    hidden = network.population("lif1.lif").dynamics
    assert isinstance(hidden, CubaLIF)
    assert (hidden.reset_mode, hidden.reset_place) == (ResetMode.VALUE, ResetPlace.SAME)
    assert (float(hidden.alpha), float(hidden.beta)) == (np.float32(0.55), np.float32(0.9))
    recording = run_float(network, x)
    assert published.sum() == 119 and published.shape == (256, 38)
    assert np.array_equal(recording.populations["lif1.lif"].spikes[0], published)
    assert recording.ambiguous == 0


def test_braille_keeps_its_spikes_at_12_bits(braille: tuple[Network, np.ndarray, np.ndarray]) -> None:
    network, x, published = braille
    spikes = run_reference(quantise(network, 12, x), x).populations["lif1.lif"].spikes[0]
    assert np.count_nonzero(spikes != published) <= 0.02 * published.sum()

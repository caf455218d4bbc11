"""Networks with convolutions and poolings as NIR files: written and read without loss."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from golden import golden_entries, network_of
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.fingerprint import fingerprint
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.float_executor import run_float

ENTRIES = [entry for entry in golden_entries() if any("kernel" in p or "pool" in p for p in entry["projections"])]


def read_back(network: Network, path: Path) -> Network:
    write_nir(network, path)
    return read_nir(path)


@pytest.mark.parametrize("fold", [False, True])
def test_integer_networks_come_back_as_they_were(tmp_path: Path, fold: bool) -> None:
    if not ENTRIES:
        pytest.skip("no golden cases; set SPIKELOOM_SHARED")
    for entry in ENTRIES[::4]:
        network = network_of(entry, fold=fold)
        found = read_back(network, tmp_path / "a.nir")
        assert fingerprint(found) == fingerprint(network), entry["name"]


def map_network(member: Any, shape: tuple[int, ...], output: tuple[int, ...]) -> Network:
    population = Population(name="seen", shape=output, dynamics=LIF(beta=0.5, threshold=1.0), bias=np.array(0.25))
    return Network(
        input_shape=shape,
        populations=(population,),
        projections=(Projection(pre=INPUT, post="seen", connectivity=member),),
        output="seen",
    )


def kernel(*shape: int) -> Any:
    return np.random.default_rng(1).normal(size=shape)


def test_float_networks_are_nodes_of_nir(tmp_path: Path) -> None:
    member = Convolution(weights=kernel(4, 2, 3, 2), pre_shape=(2, 7, 6), stride=(2, 1), padding=((1, 1), (0, 0)))
    network = map_network(member, (2, 7, 6), member.post_shape)
    found = read_back(network, tmp_path / "a.nir")
    assert fingerprint(found) == fingerprint(network)
    graph = nir.read(tmp_path / "a.nir", type_check=False)
    node = graph.nodes["projection0"]
    assert isinstance(node, nir.Conv2d) and node.padding.tolist() == [1, 0] and node.stride.tolist() == [2, 1]
    assert np.array_equal(node.weight, member.real.astype(np.float32)) and node.bias.tolist() == [0.25] * 4
    assert graph.nodes["seen"].v_threshold.shape == member.post_shape
    assert ("input", "projection0") in graph.edges and ("seen flat", "output") in graph.edges


def test_a_line_is_a_conv1d(tmp_path: Path) -> None:
    member = Convolution(weights=kernel(4, 3, 1, 2), pre_shape=(3, 1, 9), dilation=(1, 2))
    found = read_back(map_network(member, (3, 9), (4, 7)), tmp_path / "a.nir")
    assert found.projections[0].connectivity.post_map == (4, 1, 7)
    node = nir.read(tmp_path / "a.nir", type_check=False).nodes["projection0"]
    assert isinstance(node, nir.Conv1d) and node.dilation == 2 and node.weight.shape == (4, 3, 2)
    assert node.input_shape == 9


def test_what_nir_has_no_node_for_is_refused_by_others(tmp_path: Path) -> None:
    member = Convolution(weights=kernel(1, 1, 2, 2), pre_shape=(1, 4, 4), padding=((0, 1), (0, 1)))
    assert member.post_shape == (1, 4, 4)
    network = map_network(member, (1, 4, 4), (1, 4, 4))
    assert fingerprint(read_back(network, tmp_path / "a.nir")) == fingerprint(network)
    with h5py.File(tmp_path / "a.nir") as file:
        assert file["node/nodes/projection0 pad/type"][()] == b"Pad2d"
    with pytest.raises(AssertionError):
        nir.read(tmp_path / "a.nir", type_check=False)


def test_changed_nodes_are_noticed(tmp_path: Path) -> None:
    member = Convolution(weights=kernel(2, 1, 2, 2), pre_shape=(1, 4, 4))
    write_nir(map_network(member, (1, 4, 4), member.post_shape), tmp_path / "a.nir")
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        file["node/nodes/projection0/stride"][...] = 2
    with pytest.raises(ModelError, match="describes the file's nodes: stride of node 'projection0' differs"):
        read_nir(tmp_path / "a.nir")


STORED = "node/metadata/spikeloom/network/projections/0"


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("convolution/stride", np.array([1, 2, 3]), "stride' is two integers, for rows and for columns, got .1, 2, 3."),
        ("convolution/padding", np.array([1, 1]), r"padding' is \(above, below\), \(left, right\), got .1, 1."),
        ("convolution/pre_shape", np.array([4, 4]), r"pre_shape' is \(channels, rows, columns\), got .4, 4."),
        ("convolution/pre_shape", np.array([1, 1 << 20, 1 << 20]), "a map has at most 16777216 cells"),
        ("convolution/groups", np.array(2), "groups divide the channels: 2 groups do not divide 1 pre and 3 post"),
        (
            "weights",
            np.ones((2, 2), np.float32),
            "weights' have the shape .post channel, pre channel, row, col",
        ),
    ],
)
def test_metadata_of_maps_is_not_trusted(tmp_path: Path, entry: str, value: Any, message: str) -> None:
    member = Convolution(weights=kernel(3, 1, 2, 2), pre_shape=(1, 4, 4))
    write_nir(map_network(member, (1, 4, 4), member.post_shape), tmp_path / "a.nir")
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file[f"{STORED}/{entry}"]
        file[f"{STORED}/{entry}"] = value
    with pytest.raises(ModelError, match=message):
        read_nir(tmp_path / "a.nir")


# --------------------------------------------------------------------------------------------- files of other tools


def ends(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> dict[str, Any]:
    return {"in": nir.Input(np.array(inputs)), "out": nir.Output(np.array(outputs))}


def integrate_and_fire(*shape: int, threshold: float = 1.0) -> Any:
    return nir.IF(np.ones(shape), np.full(shape, threshold))


def conv2d(weight: Any, bias: Any = None, **fields: Any) -> Any:
    form = {"input_shape": (99, 99), "stride": 1, "padding": 0, "dilation": 1, "groups": 1} | fields
    return nir.Conv2d(weight=weight, bias=np.zeros(len(weight)) if bias is None else bias, **form)


def written(path: Path, nodes: dict[str, Any], edges: str | list[tuple[str, str]]) -> Path:
    """A file with a chain of nodes or other edges, without the shapes that convolutions do not know."""
    found = list(pairwise(edges.split())) if isinstance(edges, str) else edges
    nir.write(path, nir.NIRGraph(nodes, found, type_check=False))
    with h5py.File(path, "r+") as file:
        for name, node in nodes.items():
            if getattr(node, "input_shape", None) == (99, 99):
                del file[f"node/nodes/{name}/input_shape"]
    return path


def read_plain(path: Path, **options: Any) -> Network:
    return read_nir(path, **({"dialect": "nir", "dt": 1.0, "reset": "subtract"} | options))


def inputs_of(network: Network, most: int = 1) -> Any:
    return np.random.default_rng(7).integers(0, most + 1, (3, 6, *network.input_shape)).astype(np.uint8)


def currents_of(network: Network, x: Any) -> Any:
    """The sum of the currents into the first population, [samples, neurons], by membranes that never reach a
    threshold."""
    recorded = run_float(network, x, membranes=True).populations[network.populations[0].name]
    assert recorded.membranes is not None and not recorded.spikes.any()
    return recorded.membranes[:, -1]


POOLED = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
AVERAGED = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 0]))


def expected_of(x: Any, layers: list[str]) -> Any:
    torch = pytest.importorskip("torch")
    maps = torch.tensor(x.reshape(-1, *x.shape[2:]).astype(float))
    weight = torch.tensor(kernel(4, 2, 3, 2))
    for layer in layers:
        if layer == "conv":
            maps = torch.nn.functional.conv2d(maps, weight, torch.tensor(BIAS), (1, 2), (1, 0))
        elif layer == "sum":
            maps = torch.nn.functional.avg_pool2d(maps, 2, divisor_override=1)
        elif layer == "average":
            maps = torch.nn.functional.avg_pool2d(maps, 2, padding=(1, 0))
        else:
            maps = maps * (torch.tensor(FACTORS) if maps.shape[1] == 4 else 0.5)
    return maps.reshape(*x.shape[:2], -1).sum(1).numpy()


BIAS = np.array([0.5, -1.0, 0.0, 0.25])
FACTORS = np.array([1.0, -2.0, 0.5, 0.0]).reshape(4, 1, 1)


@pytest.mark.parametrize(
    "layers",
    [
        "conv",
        "sum conv",
        "average conv",
        "conv sum",
        "conv average",
        "conv scale",
        "half conv scale sum",
        "sum",
        "half sum",
    ],
)
def test_layers_of_maps(tmp_path: Path, layers: str) -> None:
    names = layers.split()
    made = {
        "conv": conv2d(kernel(4, 2, 3, 2), BIAS, stride=(1, 2), padding=(1, 0)),
        "sum": POOLED,
        "average": AVERAGED,
        "scale": nir.Scale(FACTORS),
        "half": nir.Scale(np.float64(0.5)),
    }
    nodes = {name: made[name] for name in names} | ends((2, 8, 9), (1,)) | {"if": nir.IF(np.ones(1), np.full(1, 1e9))}
    x = np.random.default_rng(7).integers(0, 4, (3, 6, 2, 8, 9)).astype(np.uint8)
    expected = expected_of(x, names)
    nodes["out"] = nir.Output(np.array([expected.shape[1]]))
    network = read_plain(written(tmp_path / "a.nir", nodes, f"in {layers} if out"), x_max=3)
    assert network.dtype == ("float64" if "conv" in names else "float32")
    np.testing.assert_allclose(currents_of(network, x), expected, rtol=1e-5, atol=1e-5)


def test_a_sinabs_network_for_n_mnist(shared: Path) -> None:
    path = shared / "data" / "nir" / "cnn_sinabs.nir"
    several = read_nir(path, dialect="sinabs", x_max=2)
    assert [type(p.connectivity).__name__ for p in several.projections] == [
        *("Convolution", "Convolution", "Pooled", "Pooled", "Dense"),
    ]
    assert several.population("1").max_spikes == 255 and np.all(several.population("1").dynamics.v_min < 0)  # type: ignore[union-attr, operator]
    one = read_nir(path, dialect="sinabs", v_min="none", max_spikes=1)
    assert one.population("1").max_spikes == 1 and getattr(one.population("1").dynamics, "v_min", None) is None
    x = (np.random.default_rng(1).random((2, 10, 2, 34, 34)) < 0.05).astype(np.uint8)
    assert run_float(one, x).populations["1"].spikes.any()


def test_a_threshold_has_no_memory(tmp_path: Path) -> None:
    nodes = ends((1, 4, 4), (9,)) | {
        "conv": conv2d(np.ones((1, 1, 2, 2))),
        "fire": nir.Threshold(np.full((1, 3, 3), 1.5)),
    }
    network = read_plain(written(tmp_path / "a.nir", nodes, "in conv fire out"))
    x = inputs_of(network)
    sums = network.projections[0].connectivity.currents(x.reshape(3, 6, -1))
    assert np.array_equal(run_float(network, x).populations["fire"].spikes, sums > 1.5)
    assert network.populations[0].shape == (1, 3, 3)


def test_maps_lead_back_to_themselves(tmp_path: Path) -> None:
    nodes = ends((1, 5, 5), (25,)) | {
        "conv": conv2d(np.full((1, 1, 3, 3), 0.2), padding="same"),
        "back": conv2d(np.full((1, 1, 3, 3), -0.3), padding=1),
        "if": integrate_and_fire(1, 5, 5),
    }
    edges = [("in", "conv"), ("conv", "if"), ("if", "back"), ("back", "if"), ("if", "out")]
    network = read_plain(written(tmp_path / "a.nir", nodes, edges))
    assert network.populations[0].shape == (1, 5, 5) and [p.step_edge for p in network.projections] == [False, True]


def test_delays_of_pixels(tmp_path: Path) -> None:
    delays = (np.arange(16) % 3).reshape(1, 4, 4).astype(float)
    nodes = ends((1, 4, 4), (9,)) | {
        "wait": nir.Delay(delays),
        "conv": conv2d(np.full((1, 1, 2, 2), 0.4)),
        "if": integrate_and_fire(1, 3, 3),
    }
    network = read_plain(written(tmp_path / "a.nir", nodes, "in wait conv if out"))
    assert network.projections[0].delay.tolist() == delays.reshape(-1).tolist()
    nodes["wait"] = nir.Delay((np.arange(9) % 2).reshape(1, 3, 3).astype(float))
    with pytest.raises(ModelError, match="what shares weights has one delay behind it: several follow node 'conv'"):
        read_plain(written(tmp_path / "a.nir", nodes, "in conv wait if out"))


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "larger than the input": (
        {"conv": conv2d(np.ones((1, 1, 5, 5)))},
        "in conv if out",
        "a kernel is no larger than the map with its padding: it covers 5 x 5 of 4 x 4; it is node 'conv'",
    ),
    "groups": (
        {"conv": conv2d(np.ones((3, 1, 2, 2)), groups=2)},
        "in conv if out",
        "groups divide the channels: 2 groups do not divide 1 pre and 3 post channels; it is node 'conv'",
    ),
    "a declared shape": (
        {"conv": conv2d(np.ones((1, 1, 2, 2)), input_shape=(5, 4))},
        "in conv if out",
        r"node 'conv' has the input_shape \(5, 4\), \(1, 4, 4\) arrives",
    ),
    "padding in words": (
        {"conv": conv2d(np.ones((1, 1, 2, 2)), padding="valid")},
        "in conv conv2 if out",
        "a layer of weights is followed by neurons",
    ),
    "a window": (
        {"conv": nir.SumPool2d(np.array([5, 1]), np.array([1, 1]), np.array([0, 0]))},
        "in conv if out",
        "a pooling window is no larger .* covers 5 x 1 of 4 x 4; it is node 'conv'",
    ),
    "a factor of each pixel": (
        {"conv": nir.Scale(np.arange(16.0).reshape(1, 4, 4))},
        "in conv conv2 if out",
        "a factor before a convolution is one for all of a channel: node 'conv2' has several",
    ),
    "fractions": (
        {"conv": nir.SumPool2d(np.array([1.5, 1]), np.array([1, 1]), np.array([0, 0]))},
        "in conv if out",
        "kernel_size is one or two whole numbers: that of node 'conv' is",
    ),
    "an output that is pooled": (
        {"conv": conv2d(np.ones((1, 1, 2, 2)))},
        "in conv if pool out",
        "the output is spikes as",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_layers_are_named(tmp_path: Path, name: str) -> None:
    nodes, chain, message = REFUSED[name]
    others = {"conv2": conv2d(np.ones((1, 1, 2, 2))), "pool": POOLED, "if": integrate_and_fire(1, 3, 3)}
    used = {key: value for key, value in (others | nodes | ends((1, 4, 4), (9,))).items() if key in chain.split()}
    with pytest.raises(ModelError, match=message):
        read_plain(written(tmp_path / "a.nir", used, chain))

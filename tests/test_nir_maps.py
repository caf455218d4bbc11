"""Networks with convolutions and poolings as NIR files: written and read without loss."""

from __future__ import annotations

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

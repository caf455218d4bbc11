"""Networks of maps that frameworks export as NIR fire as they do in the framework.

Weights are multiples of 1/64, so that their sums are exact in every order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.sim.float_executor import run_float

torch = pytest.importorskip("torch")
pytest.importorskip("nirtorch")
from torch import nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

SHAPE, STEPS = (2, 8, 6), 20


def coarse(layer: Any, gain: float) -> Any:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.round(parameter * gain * 64) / 64)
    return layer


def frames(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return (np.random.default_rng(9).random((4, STEPS, *shape)) < 0.3).astype(np.uint8)


def steps_of(step: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.stack([step(torch.tensor(x[:, t], dtype=torch.float32)).numpy() for t in range(STEPS)], axis=1)


def check(network: Network, x: np.ndarray, expected: np.ndarray, path: Path) -> None:
    """The network fires as expected, and still does after a round trip through our own file."""
    assert 0.01 < expected.mean() < 0.9, "this network says nothing"
    assert np.array_equal(run_float(network, x).spikes, expected.reshape(*x.shape[:2], -1))
    write_nir(network, path)
    assert np.array_equal(run_float(read_nir(path), x).spikes, expected.reshape(*x.shape[:2], -1))


def test_spikingjelly_in_two_dimensions(tmp_path: Path) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional

    torch.manual_seed(3)
    net = nn.Sequential(
        coarse(nn.Conv2d(2, 4, 3, padding=1), 4),
        neuron.IFNode(),
        nn.AvgPool2d(2),
        coarse(nn.Conv2d(4, 3, 2, stride=(2, 1), bias=False), 16),
        neuron.LIFNode(tau=2.0),
        nn.Flatten(),
        coarse(nn.Linear(12, 5), 12),
        neuron.LIFNode(tau=2.0),
    )
    nir.write(tmp_path / "a.nir", exchange.export_to_nir(net, torch.zeros(1, *SHAPE)))
    network = read_nir(tmp_path / "a.nir", dialect="spikingjelly")
    assert [p.shape for p in network.populations] == [(4, 8, 6), (3, 2, 2), (5,)]
    functional.reset_net(net)
    check(network, frames(), steps_of(net, frames()), tmp_path / "b.nir")


def test_spikingjelly_in_one_dimension(tmp_path: Path) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional

    torch.manual_seed(4)
    layers = [coarse(nn.Conv1d(3, 4, 3, stride=2, padding=2, dilation=2), 4), neuron.IFNode()]
    net = nn.Sequential(*layers, nn.Flatten(), coarse(nn.Linear(24, 4), 12), neuron.LIFNode(tau=2.0))
    x = frames((3, 11))
    nir.write(tmp_path / "a.nir", exchange.export_to_nir(net, torch.zeros(1, 3, 11)))
    network = read_nir(tmp_path / "a.nir", dialect="spikingjelly")
    assert network.populations[0].shape == (4, 6) and network.input_shape == (3, 11)
    functional.reset_net(net)
    check(network, x, steps_of(net, x), tmp_path / "b.nir")


def test_norse(tmp_path: Path) -> None:
    norse = pytest.importorskip("norse.torch")
    from norse.torch.utils.export_nir import to_nir

    torch.manual_seed(5)
    threshold = norse.IAFParameters(v_th=torch.as_tensor(0.75))
    cells = [
        coarse(nn.Conv2d(2, 4, 3, padding=1, stride=2), 3),
        norse.IAFCell(threshold),
        coarse(nn.Conv2d(4, 3, 2), 3),
        norse.IAFCell(threshold),
    ]
    graph = to_nir(norse.SequentialState(*cells), torch.zeros(1, *SHAPE))
    convolutions = [node for node in graph.nodes.values() if isinstance(node, nir.Conv2d)]
    for node, shape in zip(convolutions, [(8, 6), (4, 3)], strict=True):
        node.input_shape = shape  # Norse leaves it out, which nir.write cannot write
    nir.write(tmp_path / "a.nir", graph, compression=None)
    network = read_nir(tmp_path / "a.nir", dialect="norse")
    assert network.input_shape == SHAPE and [p.shape for p in network.populations] == [(4, 4, 3), (3, 3, 2)]
    states: list[Any] = [None] * len(cells)

    def step(x: Any) -> Any:
        for index, cell in enumerate(cells):
            if isinstance(cell, nn.Conv2d):
                x = cell(x)
            else:
                x, states[index] = cell(x, states[index])
        return x

    check(network, frames(), steps_of(step, frames()), tmp_path / "b.nir")


def test_snntorch(tmp_path: Path) -> None:
    snntorch = pytest.importorskip("snntorch")
    from snntorch import utils
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(6)

    def neurons(*shape: int) -> Any:
        beta, threshold = torch.full(shape, 0.75), torch.full(shape, 0.5)
        return snntorch.Leaky(beta=beta, threshold=threshold, init_hidden=True)

    net = nn.Sequential(
        coarse(nn.Conv2d(2, 4, 3, padding=1), 2),
        neurons(4, 8, 6),
        nn.AvgPool2d(2),
        nn.Flatten(),
        coarse(nn.Linear(48, 5), 8),
        neurons(5),
    )
    nir.write(tmp_path / "a.nir", export_to_nir(net, torch.zeros(1, *SHAPE), ignore_dims=[0]))
    network = read_nir(tmp_path / "a.nir", dialect="snntorch", reset="subtract", reset_delay=True)
    utils.reset(net)
    check(network, frames(), steps_of(net, frames()), tmp_path / "b.nir")

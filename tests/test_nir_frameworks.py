"""Networks that frameworks export as NIR fire as they do in the framework: spike for spike, in the float executor.

Weights are multiples of 1/64, so that their sums are exact in every order and nothing is left to rounding; the decays,
thresholds and operations on membranes are as rough as any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import IF, LI, LIF, Arithmetic
from spikeloom.sim.float_executor import run_float

torch = pytest.importorskip("torch")
pytest.importorskip("nirtorch")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

INPUTS, HIDDEN, OUTPUTS, STEPS = 12, 24, 6, 40


def _layer(pre: int, post: int, bias: bool, gain: float = 1.0) -> Any:
    layer = torch.nn.Linear(pre, post, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(torch.round(layer.weight * gain * 64) / 64)
        if bias:
            layer.bias.copy_(torch.round(layer.bias * 64) / 64)
    return layer


def _spikes(seed: int, inputs: int = INPUTS) -> np.ndarray:
    return (np.random.default_rng(seed).random((8, STEPS, inputs)) < 0.4).astype(np.uint8)


def _run_steps(step: Callable[[Any], Any], spikes: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.stack([step(torch.tensor(spikes[:, t], dtype=torch.float32)).numpy() for t in range(STEPS)], axis=1)


def _check_spikes(network: Network, spikes: np.ndarray, expected: np.ndarray, path: Path) -> None:
    """The network fires as expected, and still does after a round trip through our own file."""
    assert 0.02 < expected.mean() < 0.9, "this network says nothing"
    recording = run_float(network, spikes)
    assert np.array_equal(recording.spikes, expected)
    write_nir(network, path)
    assert np.array_equal(run_float(read_nir(path), spikes).spikes, expected)


# ------------------------------------------------------------------------------------------------------ snnTorch


def _snntorch_steps(net: Any, spikes: np.ndarray) -> np.ndarray:
    import snntorch

    for module in net:
        if isinstance(module, snntorch.Leaky):
            module.mem = torch.zeros(0)
    return _run_steps(net, spikes)


@pytest.mark.parametrize("delay", [True, False], ids=["delay", "no delay"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("seed", range(3))
def test_snntorch(tmp_path: Path, seed: int, reset: str, delay: bool) -> None:
    snntorch = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(seed)
    resets = {"reset_mechanism": reset, "reset_delay": delay, "init_hidden": True}
    beta = torch.empty(HIDDEN).uniform_(0.5, 1.02)  # trained beyond 1, where snnTorch clips it
    common = torch.full((OUTPUTS,), [0.9, 1.0, 0.3][seed])
    net = torch.nn.Sequential(
        torch.nn.Flatten(),
        _layer(INPUTS, HIDDEN, True, 2),
        snntorch.Leaky(beta=beta, threshold=torch.empty(HIDDEN).uniform_(0.4, 1.5), **resets),
        _layer(HIDDEN, OUTPUTS, seed != 1, 2),
        snntorch.Leaky(beta=common, threshold=torch.full((OUTPUTS,), 0.7), **resets),
    )
    graph = export_to_nir(net, torch.zeros(1, 3, INPUTS // 3), ignore_dims=[0])
    nir.write(tmp_path / "a.nir", graph)
    network = read_nir(tmp_path / "a.nir", dialect="snntorch", reset=reset, reset_delay=delay)
    hidden, output = (population.dynamics for population in network.populations)
    assert isinstance(hidden, LIF) and isinstance(output, LIF)
    assert np.array_equal(hidden.beta, np.clip(beta.numpy(), 0, 1)) and output.beta == common[0].item()
    assert network.input_shape == (3, INPUTS // 3)
    spikes = _spikes(seed).reshape(8, STEPS, 3, INPUTS // 3)
    _check_spikes(network, spikes, _snntorch_steps(net, spikes), tmp_path / "b.nir")


# --------------------------------------------------------------------------------------------------------- Norse


def _norse_steps(cells: Sequence[Any], spikes: np.ndarray) -> np.ndarray:
    states: list[Any] = [None] * len(cells)

    def step(x: Any) -> Any:
        for index, cell in enumerate(cells):
            if isinstance(cell, torch.nn.Linear):
                x = cell(x)
            else:
                x, states[index] = cell(x, states[index])
        return x

    return _run_steps(step, spikes)


def _norse_network(path: Path, cells: Sequence[Any]) -> Network:
    norse = pytest.importorskip("norse.torch")
    from norse.torch.utils.export_nir import to_nir

    graph = to_nir(norse.SequentialState(*cells), torch.zeros(1, INPUTS))
    nir.write(path, graph, compression=None)  # with the default, nir.write fails on Norse's scalars
    return read_nir(path, dialect="norse")


@pytest.mark.parametrize("tau_mem_inv", [100.0, 200.0, 1 / 0.007, 333.3])
def test_norse_lif(tmp_path: Path, tau_mem_inv: float) -> None:
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(int(tau_mem_inv))

    def neurons(threshold: float) -> Any:
        inverse, v_th = torch.as_tensor(tau_mem_inv), torch.as_tensor(threshold)
        return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=inverse, v_th=v_th))

    cells = [_layer(INPUTS, HIDDEN, True, 6), neurons(0.3), _layer(HIDDEN, OUTPUTS, False, 8), neurons(0.2)]
    network = _norse_network(tmp_path / "a.nir", cells)
    dynamics = network.populations[0].dynamics
    assert isinstance(dynamics, LIF) and dynamics.arithmetic is Arithmetic.EULER
    assert (1 - dynamics.beta) == np.float32(0.001) * np.float32(tau_mem_inv)  # the very factor of Norse's step
    assert network.input_shape == (INPUTS,)  # without the batch axis that Norse exports
    spikes = _spikes(1)
    _check_spikes(network, spikes, _norse_steps(cells, spikes), tmp_path / "b.nir")


def test_norse_resting_membrane(tmp_path: Path) -> None:
    """A leak towards 0.125, where a sample also starts; and vectors of parameters."""
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(5)
    parameters = norse.LIFBoxParameters(
        tau_mem_inv=torch.empty(HIDDEN).uniform_(50, 900),
        v_th=torch.empty(HIDDEN).uniform_(0.2, 0.6),
        v_leak=torch.full((HIDDEN,), 0.125),
        v_reset=torch.zeros(HIDDEN),
    )
    iaf = norse.IAFCell(norse.IAFParameters(v_th=torch.as_tensor(1.5)))
    cells = [_layer(INPUTS, HIDDEN, False, 4), norse.LIFBoxCell(parameters), _layer(HIDDEN, OUTPUTS, True, 2), iaf]
    network = _norse_network(tmp_path / "a.nir", cells)
    assert isinstance(network.populations[1].dynamics, IF)
    spikes = _spikes(2)
    recording, expected = run_float(network, spikes), _norse_steps(cells, spikes)
    different = int(np.count_nonzero(recording.spikes != expected))
    assert different == 0 or recording.ambiguous > 0  # Norse adds v_leak in another order than the IR
    assert expected.mean() > 0.02 and different < 0.01 * expected.size


def test_norse_readout(tmp_path: Path) -> None:
    norse = pytest.importorskip("norse.torch")
    cells = [_layer(INPUTS, HIDDEN, True, 8), norse.IAFCell(), _layer(HIDDEN, OUTPUTS, True), norse.LIBoxCell()]
    network = _norse_network(tmp_path / "a.nir", cells)
    assert isinstance(network.populations[1].dynamics, LI)
    spikes = _spikes(3)
    membranes = run_float(network, spikes, membranes=True).membranes
    assert np.array_equal(membranes, _norse_steps(cells, spikes))  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------- SpikingJelly

SPIKINGJELLY: dict[str, tuple[str, dict[str, Any]]] = {
    "IF": ("IFNode", {}),
    "IF below zero": ("IFNode", {"v_reset": -0.25, "v_threshold": 0.75}),
    "LIF": ("LIFNode", {"tau": 2.0}),
    "LIF, resting at 0.1": ("LIFNode", {"tau": 3.7, "v_reset": 0.1}),
    "LIF, input not decayed": ("LIFNode", {"tau": 3.7, "decay_input": False}),
    "LIF, input not decayed, resting": ("LIFNode", {"tau": 2.0, "decay_input": False, "v_reset": -0.25}),
    "trained leak": ("ParametricLIFNode", {"init_tau": 2.5}),
    "CubaLIF": ("CUBALIFNode", {"c_decay": 0.6, "v_decay": 0.8}),
    "CubaLIF below zero": ("CUBALIFNode", {"c_decay": 0.3, "v_decay": 0.7, "v_reset": -0.25}),
}


@pytest.mark.parametrize("dt", [1e-4, 7e-4])
@pytest.mark.parametrize("name", SPIKINGJELLY)
def test_spikingjelly(tmp_path: Path, name: str, dt: float) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional

    torch.manual_seed(7)
    kind, options = SPIKINGJELLY[name]
    neurons = [getattr(neuron, kind)(**options) for _ in range(2)]
    gain = 4 if kind in ("IFNode", "CUBALIFNode") or options.get("decay_input") is False else 12
    net = torch.nn.Sequential(
        _layer(INPUTS, HIDDEN, True, gain), neurons[0], _layer(HIDDEN, OUTPUTS, False, gain), neurons[1]
    )
    nir.write(tmp_path / "a.nir", exchange.export_to_nir(net, torch.zeros(1, INPUTS), dt=dt))
    network = read_nir(tmp_path / "a.nir", dialect="spikingjelly", dt=None if dt == 1e-4 else dt)
    spikes = _spikes(4)
    functional.reset_net(net)
    _check_spikes(network, spikes, _run_steps(net, spikes), tmp_path / "b.nir")


def test_spikingjelly_fires_at_the_threshold(tmp_path: Path) -> None:
    """Weights of one half and a threshold of 1: exactly reached, which is a spike for SpikingJelly only."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    layer = torch.nn.Linear(INPUTS, HIDDEN, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.5)
    net = torch.nn.Sequential(layer, neuron.IFNode())
    nir.write(tmp_path / "a.nir", exchange.export_to_nir(net, torch.zeros(1, INPUTS)))
    spikes = np.zeros((1, STEPS, INPUTS), np.uint8)
    spikes[..., 0] = 1
    network = read_nir(tmp_path / "a.nir", dialect="spikingjelly")
    assert run_float(network, spikes).spikes[0, :4, 0].tolist() == [0, 1, 0, 1]
    strict = read_nir(tmp_path / "a.nir", dialect="spikingjelly", fire="gt")
    assert run_float(strict, spikes).spikes[0, :4, 0].tolist() == [0, 0, 1, 0]


def test_spikingjelly_soft_reset_is_not_exported() -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    net = torch.nn.Sequential(_layer(INPUTS, HIDDEN, True), neuron.IFNode(v_reset=None))
    with pytest.raises(NotImplementedError):
        exchange.export_to_nir(net, torch.zeros(1, INPUTS))

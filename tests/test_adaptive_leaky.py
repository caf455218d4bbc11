"""Our trainable layer of neurons whose thresholds adapt: its step, its gradient, its states, and what reads it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")

from snntorch import surrogate, utils  # noqa: E402
from spikeloom.compiler import from_snntorch, write_nir  # noqa: E402
from spikeloom.compiler.frontends.nir.reader import read_nir  # noqa: E402
from spikeloom.compiler.ir.network import Network  # noqa: E402
from spikeloom.compiler.ir.neurons import LIF, ResetMode, ResetPlace  # noqa: E402
from spikeloom.compiler.training import AdaptiveLeaky  # noqa: E402
from spikeloom.hdl.errors import ModelError, OptionError  # noqa: E402
from spikeloom.sim.float_executor import run_float  # noqa: E402
from torch import nn  # noqa: E402

RESETS = [(mechanism, delay) for mechanism in ("subtract", "zero") for delay in (True, False)]


def steps_of(layer: Any, inputs: list[float]) -> tuple[list[float], list[float]]:
    """Spikes and membranes of a layer of one neuron that keeps its states."""
    spikes, membranes = [], []
    for value in inputs:
        spikes.append(float(layer(torch.tensor([[value]]))))
        membranes.append(float(layer.mem))
    return spikes, membranes


@pytest.mark.parametrize(
    ("mechanism", "delay", "spikes", "membranes"),
    [
        # thresholds 9, 9 + 8, 9 + 4, 9 + 10
        ("subtract", True, [1, 0, 1, 0], [12, 7, 19, 12]),
        ("subtract", False, [1, 0, 1, 1], [3, 15, 14, 7]),
        ("zero", True, [1, 0, 1, 0], [12, 12, 24, 12]),
        ("zero", False, [1, 0, 1, 0], [0, 12, 0, 12]),
    ],
)
def test_by_hand(mechanism: str, delay: bool, spikes: list[float], membranes: list[float]) -> None:
    layer = AdaptiveLeaky(1.0, 0.5, 8.0, 9.0, reset_mechanism=mechanism, reset_delay=delay, init_hidden=True)
    assert steps_of(layer, [12.0] * 4) == (spikes, membranes)


def random_layer(seed: int, size: int, mechanism: str, delay: bool, **options: Any) -> Any:
    generator = torch.Generator().manual_seed(seed)
    beta, rho, jump = (torch.rand(size, generator=generator) for _ in range(3))
    threshold = 0.3 + torch.rand(size, generator=generator)
    return AdaptiveLeaky(
        beta, rho, 0.6 * jump - 0.1, threshold, reset_mechanism=mechanism, reset_delay=delay, **options
    )


def random_net(mechanism: str, delay: bool) -> Any:
    torch.manual_seed(4)
    layers = [nn.Linear(6, 9), random_layer(1, 9, mechanism, delay, init_hidden=True)]
    layers += [nn.Linear(9, 4), random_layer(2, 4, mechanism, delay, init_hidden=True, output=True)]
    for linear in layers[::2]:
        nn.init.normal_(linear.weight, 0.2, 0.6)
    return nn.Sequential(*layers)


def random_spikes(samples: int = 6, steps: int = 25) -> np.ndarray:
    return (np.random.default_rng(3).random((samples, steps, 6)) < 0.5).astype(np.uint8)


def run_module(module: Any, spikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Output spikes and membranes [samples, steps, outputs] of a module that is one step."""
    utils.reset(module)
    with torch.no_grad():
        results = [module(torch.from_numpy(spikes[:, step]).float()) for step in range(spikes.shape[1])]
    return tuple(np.stack([part.numpy() for part in parts], axis=1) for parts in zip(*results, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize(("mechanism", "delay"), RESETS)
def test_the_network_that_is_read_does_what_the_module_does(mechanism: str, delay: bool) -> None:
    module, spikes = random_net(mechanism, delay), random_spikes()
    network = from_snntorch(module, 6)
    expected, membranes = run_module(module, spikes)
    assert 0.1 < expected.mean() < 0.9
    found = run_float(network, spikes, membranes=True)
    np.testing.assert_array_equal(found.spikes, expected)
    np.testing.assert_allclose(found.membranes, membranes, atol=1e-5)
    for number, population in enumerate(network.populations):
        dynamics, layer = population.dynamics, module[2 * number + 1]
        assert isinstance(dynamics, LIF)
        assert dynamics.reset_mode is (ResetMode.SUBTRACT if mechanism == "subtract" else ResetMode.VALUE)
        assert dynamics.reset_place is (ResetPlace.NEXT if delay else ResetPlace.SAME)
        for name in ("rho", "jump"):
            np.testing.assert_array_equal(getattr(dynamics, name), getattr(layer, name).double())


class Loop(nn.Module):
    """A loop over steps that passes all states on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.linear, self.neurons = nn.Linear(6, 5), random_layer(3, 5, "subtract", True)
        nn.init.normal_(self.linear.weight, 0.3, 0.6)

    def forward(self, x: Any) -> Any:
        states = self.neurons.reset_mem()
        result = []
        for step in x:
            states = self.neurons(self.linear(step), *states)
            result.append(states[0])
        return torch.stack(result)


def test_a_loop_that_passes_states_on_is_read_too() -> None:
    module, spikes = Loop(), random_spikes()
    with torch.no_grad():
        expected = module(torch.from_numpy(spikes).float().transpose(0, 1)).numpy().transpose(1, 0, 2)
    assert 0.1 < expected.mean() < 0.9
    module.neurons.reset_mem()
    np.testing.assert_array_equal(run_float(from_snntorch(module, 6), spikes).spikes, expected)


def test_states_of_another_layer_are_refused() -> None:
    class Swapped(Loop):
        def forward(self, x: Any) -> Any:
            spk, mem, adapt = self.neurons.reset_mem()
            for step in x:
                spk, mem, adapt = self.neurons(self.linear(step), spk, mem, 2 * adapt)
            return spk

    with pytest.raises(ModelError, match="continues from its own adaptations: 'neurons' is given others in step 1"):
        from_snntorch(Swapped(), 6)


def test_what_is_learnt_is_read() -> None:
    """A step of training moves every parameter; what is read afterwards is what the module has."""
    learnt = {f"learn_{name}": True for name in ("beta", "rho", "jump", "threshold")}
    layer = AdaptiveLeaky(0.9, 0.8, 0.3, init_hidden=True, spike_grad=surrogate.fast_sigmoid(slope=5), **learnt)
    module = nn.Sequential(nn.Linear(6, 4), layer)
    torch.manual_seed(1)
    nn.init.normal_(module[0].weight, 0.4, 0.5)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-5)
    spikes = torch.from_numpy(random_spikes()).float()
    total = sum(module(spikes[:, step]).sum() for step in range(25))
    total.backward()  # type: ignore[union-attr]
    moved = {name: p.grad for name, p in layer.named_parameters()}
    assert set(moved) == {"beta", "rho", "jump", "threshold"}
    assert all(gradient is not None and float(gradient) != 0 for gradient in moved.values())
    assert float(moved["jump"]) < 0  # higher thresholds, fewer spikes
    optimizer.step()
    utils.reset(module)
    dynamics: Any = from_snntorch(module, 6).populations[0].dynamics
    assert (dynamics.rho, dynamics.jump) == (layer.rho.item(), layer.jump.item()) and dynamics.rho != np.float32(0.8)


def test_a_reset_of_snntorch_clears_everything() -> None:
    module = nn.Sequential(AdaptiveLeaky(1.0, 0.9, 5.0, init_hidden=True))
    layer = module[0]
    first = steps_of(layer, [2.0, 2.0, 8.0])
    assert float(layer.adapt) > 0
    utils.reset(module)
    assert float(layer.adapt) == float(layer.spk) == float(layer.mem) == 0
    assert steps_of(layer, [2.0, 2.0, 8.0]) == first
    layer.reset_mem()
    assert steps_of(layer, [2.0, 2.0, 8.0]) == first


def test_truncated_backpropagation_cuts_all_states() -> None:
    layer = AdaptiveLeaky(0.9, 0.9, 1.0, init_hidden=True, learn_jump=True)
    layer(torch.full((1, 1), 2.0))
    layer(torch.full((1, 1), 2.0))
    assert layer.adapt.requires_grad
    kept = layer.mem.item(), layer.spk.item(), layer.adapt.item()
    AdaptiveLeaky.detach_hidden()
    assert not any(state.requires_grad for state in (layer.mem, layer.spk, layer.adapt))
    assert (layer.mem.item(), layer.spk.item(), layer.adapt.item()) == kept


def test_layers_are_copied_and_kept() -> None:
    layer = random_layer(1, 3, "zero", False, init_hidden=True)
    x = torch.full((2, 3), 0.7)
    expected = [layer(x) for _ in range(5)]
    copied = copy.deepcopy(layer)
    copied.reset_mem()
    assert all(torch.equal(copied(x), spikes) for spikes in expected)
    other = random_layer(9, 3, "zero", False, init_hidden=True)
    assert set(layer.state_dict()) >= {"beta", "rho", "jump", "threshold"} and "adapt" not in layer.state_dict()
    other.load_state_dict(layer.state_dict())
    assert all(torch.equal(other(x), spikes) for spikes in expected)


def test_files_of_ours_keep_it(tmp_path: Path) -> None:
    spikes, network = random_spikes(), from_snntorch(random_net("subtract", True), 6)
    write_nir(network, tmp_path / "a.nir")
    back: Network = read_nir(tmp_path / "a.nir")
    np.testing.assert_array_equal(run_float(back, spikes).spikes, run_float(network, spikes).spikes)


def test_bad_options_are_named() -> None:
    with pytest.raises(
        OptionError, match=r"^neurons whose threshold adapts reset by one of subtract, zero: got 'none'"
    ):
        AdaptiveLeaky(0.9, 0.9, 1.0, reset_mechanism="none")
    with pytest.raises(OptionError, match=r"^rho is the share of the adaptation that a step keeps, 0 to 1: got 1\.5"):
        AdaptiveLeaky(0.9, 1.5, 1.0)
    with pytest.raises(TypeError, match="states are not passed to neurons that keep them"):
        AdaptiveLeaky(0.9, 0.9, 1.0, init_hidden=True)(torch.zeros(1, 1), torch.zeros(1, 1))
    layer = AdaptiveLeaky(0.9, 0.9, 1.0, init_hidden=True)
    layer.reset_mechanism = "none"
    with pytest.raises(ModelError, match="'1' was made with another"):
        from_snntorch(nn.Sequential(nn.Linear(3, 2), layer), 3)
    flat = AdaptiveLeaky(0.9, 0.9, 1.0, init_hidden=True, spike_grad=torch.sigmoid)
    with pytest.raises(ModelError, match="spike_grad of '1' is no step function"):
        from_snntorch(nn.Sequential(nn.Linear(3, 2), flat), 3)

"""snnTorch modules with convolutions, poolings and normalisation: the network does what the module does."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from golden import golden_folder  # noqa: E402
from snntorch import utils  # noqa: E402
from spikeloom.compiler import from_snntorch  # noqa: E402
from spikeloom.compiler.ir.connectivity import Dense  # noqa: E402
from spikeloom.compiler.ir.convolution import Convolution  # noqa: E402
from spikeloom.compiler.ir.pooled import Pooled  # noqa: E402
from spikeloom.hdl.errors import ModelError  # noqa: E402
from spikeloom.sim.float_executor import run_float  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402


def leaky(**fields: Any) -> nn.Module:
    return snn.Leaky(**({"beta": 0.8, "threshold": 0.4, "init_hidden": True} | fields))


def frames(shape: tuple[int, ...], *, samples: int = 4, steps: int = 12, most: int = 1) -> Any:
    rng = np.random.default_rng(sum(shape))
    return (rng.integers(1, most + 1, (samples, steps, *shape)) * (rng.random((samples, steps, *shape)) < 0.3)).astype(
        np.uint8
    )


def spikes_of(module: nn.Module, x: Any) -> Any:
    """Spikes [samples, steps, neurons] of a module of one step."""
    module.eval()
    utils.reset(module)
    with torch.no_grad():
        steps = [module(torch.tensor(x[:, t], dtype=torch.float32)) for t in range(x.shape[1])]
    utils.reset(module)
    results = [step[0] if isinstance(step, tuple) else step for step in steps]
    return torch.stack(results, 1).numpy().reshape(*x.shape[:2], -1)


def normalised(module: nn.Module) -> nn.Module:
    """Statistics that training would leave, in evaluation mode."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            generator = torch.Generator().manual_seed(4)
            for tensor, low, high in ((layer.running_mean, -0.3, 0.3), (layer.running_var, 0.2, 2.0)):
                tensor.uniform_(low, high, generator=generator)
            if layer.affine:
                nn.init.uniform_(layer.weight, -1.5, 1.5)
                nn.init.uniform_(layer.bias, 0, 0.4)
    return module.eval()


def assert_same(module: nn.Module, shape: tuple[int, ...], *, most: int = 1) -> Any:
    network = from_snntorch(module, shape, x_max=most)
    x = frames(shape, most=most)
    expected = spikes_of(module, x)
    found = run_float(network, x)
    spikes = found.populations[network.output].spikes
    differ = np.argwhere(spikes != expected)
    assert found.ambiguous or not len(differ), f"{len(differ)} of {spikes.size} differ, first {differ[:1]}"
    assert np.mean(spikes != expected) < 1e-3 and spikes.mean() > 0.005
    flat = run_float(network, x.reshape(*x.shape[:2], -1)).populations[network.output].spikes
    assert np.array_equal(flat, spikes)
    return network


def flat_size(*layers: nn.Module, shape: tuple[int, ...]) -> int:
    with torch.no_grad():
        return nn.Sequential(*layers).eval()(torch.zeros(1, *shape)).numel()


MAP, LINE = (2, 9, 8), (3, 20)
CASES: dict[str, tuple[Callable[[], list[nn.Module]], tuple[int, ...]]] = {
    "plain": (lambda: [nn.Conv2d(2, 4, 3)], MAP),
    "strides and padding": (lambda: [nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 2), bias=False)], MAP),
    "same": (lambda: [nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2))], MAP),
    "groups": (lambda: [nn.Conv2d(2, 6, 3, groups=2, dilation=2)], MAP),
    "maxima of currents": (lambda: [nn.Conv2d(2, 4, 3, padding="same"), nn.MaxPool2d(2)], MAP),
    "maxima with padding": (lambda: [nn.Conv2d(2, 4, 3), nn.MaxPool2d((3, 2), (2, 1), padding=(1, 0))], MAP),
    "maxima, rounded up": (lambda: [nn.Conv2d(2, 4, 2), nn.MaxPool2d(3, 2, ceil_mode=True)], MAP),
    "maxima, rounded up and padded": (lambda: [nn.Conv2d(2, 4, 2), nn.MaxPool2d(2, padding=1, ceil_mode=True)], MAP),
    "averages, rounded up and dense": (
        lambda: [nn.AvgPool2d(2, padding=1, ceil_mode=True), nn.Flatten(), nn.Linear(50, 9)],
        MAP,
    ),
    "averages of what is there and dense": (
        lambda: [
            nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
            nn.Flatten(),
            nn.Linear(50, 9),
        ],
        MAP,
    ),
    "averages of currents": (lambda: [nn.Conv2d(2, 4, 2), nn.AvgPool2d(2)], MAP),
    "normalised": (lambda: [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)], MAP),
    "normalised before maxima": (lambda: [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2)], MAP),
    "normalised and averaged": (lambda: [nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4, affine=False), nn.AvgPool2d(2)], MAP),
    "maxima of spikes": (lambda: [nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(2, 4, 2)], MAP),
    "averages of spikes": (lambda: [nn.AvgPool2d((2, 3), (2, 1)), nn.Conv2d(2, 4, 2)], MAP),
    "two poolings": (lambda: [nn.MaxPool2d(2), nn.MaxPool2d(2), nn.Conv2d(2, 4, 1)], (2, 12, 8)),
    "sums of spikes": (lambda: [nn.LPPool2d(1, 2), nn.Dropout2d(0.5), nn.Conv2d(2, 4, 2)], MAP),
    "normalised inputs": (lambda: [nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3, padding=1)], MAP),
    "pooled and dense": (lambda: [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 9)], MAP),
    "pooled alone": (lambda: [nn.AvgPool2d(2), nn.Identity()], MAP),
    "a line": (lambda: [nn.Conv1d(3, 5, 4, stride=2, padding=3, dilation=2)], LINE),
    "a line of one": (lambda: [nn.Conv1d(3, 5, 1)], (3, 1)),
    "a line, depthwise": (lambda: [nn.Conv1d(3, 6, 3, padding="same", groups=3), nn.MaxPool1d(2)], LINE),
    "a line, averaged": (lambda: [nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.AvgPool1d(3)], LINE),
    "a line of pooled spikes": (lambda: [nn.AvgPool1d(4), nn.Conv1d(3, 4, 2)], LINE),
}


@pytest.mark.parametrize("name", CASES)
def test_layers_before_neurons(name: str) -> None:
    torch.manual_seed(len(name))
    make, shape = CASES[name]
    layers = [normalised(layer) for layer in make()]
    size = flat_size(*layers, shape=shape)
    module = nn.Sequential(*layers, leaky(threshold=0.2), nn.Flatten(), nn.Linear(size, 5), leaky(threshold=0.15))
    network = assert_same(module, shape)
    assert not any(type(p.connectivity) is Dense and p.pre == "input" for p in network.projections)
    first = network.populations[0]
    assert first.size == size and (len(first.shape) == len(shape) or "dense" in name)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("delay", [True, False])
def test_counts_and_parameters_of_channels(reset: str, delay: bool) -> None:
    torch.manual_seed(3)
    beta, threshold = torch.rand(4, 1, 1), 0.2 + torch.rand(4, 1, 1)
    neurons = leaky(beta=beta, threshold=threshold, reset_mechanism=reset, reset_delay=delay)
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), neurons, nn.MaxPool2d(2), nn.Conv2d(4, 3, 2), leaky())
    network = assert_same(module, MAP, most=5)
    assert isinstance(network.projections[1].connectivity, Pooled)
    assert network.populations[0].dynamics.threshold.shape == (4 * 9 * 8,)  # type: ignore[union-attr]


class Tutorial(nn.Module):
    """snnTorch's tutorial 6: 12C5-MP2-64C5-MP2-10, with maxima of currents, in a loop over steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.lif1 = nn.Conv2d(1, 3, 5), snn.Leaky(beta=0.5, threshold=0.3)
        self.conv2, self.lif2 = nn.Conv2d(3, 5, 5), snn.Leaky(beta=0.5, threshold=0.3)
        self.fc1, self.lif3 = nn.Linear(5 * 4 * 4, 10), snn.Leaky(beta=0.5, threshold=0.1)

    def forward(self, x: Any) -> Any:
        mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
        spikes = []
        for step in range(x.size(0)):
            spk1, mem1 = self.lif1(functional.max_pool2d(self.conv1(x[step]), 2), mem1)
            spk2, mem2 = self.lif2(functional.max_pool2d(self.conv2(spk1), 2), mem2)
            spk3, mem3 = self.lif3(self.fc1(spk2.view(x.size(1), -1)), mem3)
            spikes.append(spk3)
        return torch.stack(spikes, dim=0)


def test_the_tutorial_network() -> None:
    torch.manual_seed(1)
    module = Tutorial()
    x = frames((1, 28, 28), samples=3, steps=6)
    network = from_snntorch(module, (1, 28, 28))
    with torch.no_grad():
        expected = module(torch.tensor(x.swapaxes(0, 1), dtype=torch.float32)).numpy().swapaxes(0, 1)
    found = run_float(network, x).populations["lif3"].spikes
    assert np.array_equal(found, expected) and found.any()
    first = network.projections[0].connectivity
    assert isinstance(first, Convolution) and first.pool_after is not None and not first.is_linear
    assert [p.shape for p in network.populations] == [(3, 12, 12), (5, 4, 4), (10,)]


class Gesture(nn.Module):
    """NeuroBench's network for DVS128 Gesture (neurobench/examples/dvs_gesture), one step."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (2, 16, 32, 64)
        for n, (a, b) in enumerate(pairwise(sizes), 1):
            setattr(self, f"conv{n}", nn.Conv2d(a, b, 5, padding="same"))
            setattr(self, f"pool{n}", nn.MaxPool2d(2))
            setattr(self, f"lif{n}", snn.Leaky(beta=torch.tensor(0.5), threshold=torch.tensor(1.0), init_hidden=True))
        self.linear1, self.drop = nn.Linear(1024, 11), nn.Dropout(0.5)
        self.lif4 = snn.Leaky(beta=torch.tensor(0.5), init_hidden=True, output=True)

    def forward(self, x: Any) -> Any:
        x = self.lif1(self.pool1(self.conv1(x)))
        x = self.lif2(self.pool2(self.conv2(x)))
        x = self.lif3(self.pool3(self.conv3(x)))
        return self.lif4(self.drop(self.linear1(x.flatten(1))))


def gesture_file() -> File:
    return golden_folder().parent / "data" / "neurobench" / "dvs_gesture_snntorch.pt"


@pytest.mark.skipif(not gesture_file().is_file(), reason="no NeuroBench networks; set SPIKELOOM_SHARED")
def test_neurobenchs_gesture_network() -> None:
    state = torch.load(gesture_file(), weights_only=True)
    module = Gesture()
    for name, layer in module.named_modules():
        if isinstance(layer, snn.Leaky):
            for key in ("beta", "threshold"):
                setattr(layer, key, state.get(f"{name}.{key}", getattr(layer, key)))
    own = module.state_dict()
    module.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
    x = frames((2, 32, 32), samples=2, steps=8, most=3)
    network = from_snntorch(module, (2, 32, 32), x_max=255)
    found = run_float(network, x)
    spikes = found.populations["lif4"].spikes
    expected = spikes_of(module, x)
    assert np.array_equal(spikes, expected) or found.ambiguous
    assert math.prod(network.populations[0].shape) == 16 * 16 * 16


REFUSED: dict[str, tuple[Callable[[], list[nn.Module]], str]] = {
    "two layers of weights": (lambda: [nn.Conv2d(2, 4, 3), nn.Conv2d(4, 2, 1)], "'1' receives the result of '0'"),
    "a pooling of a matrix": (
        lambda: [nn.Flatten(), nn.Linear(144, 16), nn.Unflatten(1, (1, 4, 4)), nn.MaxPool2d(2)],
        "a pooling stands before weights or behind a convolution: '3' is behind a matrix",
    ),
    "negative factors behind maxima": (
        lambda: [nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4)],
        "a factor behind a maximum is not negative: '2' has",
    ),
    "unlike poolings": (lambda: [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(2, 4, 1)], "'1' and the one before it"),
    "indices": (lambda: [nn.MaxPool2d(2, dilation=2), nn.Conv2d(2, 4, 1)], "neither indices nor dilation: '0' has"),
    "another norm": (lambda: [nn.LPPool2d(2, 2), nn.Conv2d(2, 4, 1)], "'0' is a norm of another power than 1"),
    "other padding": (
        lambda: [nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular")],
        "'0' receives the result of the operation 'pad'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_layer(name: str) -> None:
    torch.manual_seed(2)
    make, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        from_snntorch(nn.Sequential(*(normalised(layer) for layer in make()), leaky()), MAP)


def test_a_vector_is_no_map() -> None:
    with pytest.raises(ModelError, match=r"forward\(x\) takes"):
        from_snntorch(nn.Sequential(nn.Conv2d(2, 4, 3), leaky()), 144)


def test_signed_maps() -> None:
    torch.manual_seed(6)
    module = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(2, 4, 2, groups=2), leaky(threshold=0.1))
    network = from_snntorch(module, MAP, x_min=-1)
    x = frames(MAP).astype(np.int8) * np.random.default_rng(5).choice([-1, 1], (4, 12, *MAP)).astype(np.int8)
    expected = spikes_of(module, x)
    assert network.input_shape == (4, 9, 8)
    assert np.array_equal(run_float(network, x).populations[network.output].spikes, expected)

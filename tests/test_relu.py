"""ReLU networks as spiking ones: rates are the activations, outputs add up to the scores, in integers too."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler import from_relu
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import IF, LI
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.errors import ModelError, OptionError, SampleError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 200


def dense() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Dropout(0.5), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 4))


def maps() -> Any:
    torch.manual_seed(1)
    first = (nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten())
    return nn.Sequential(*first, nn.Linear(12, 6, bias=False), nn.ReLU(), nn.Linear(6, 3))


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).random((30, *shape)).astype(np.float32)


def shown(x: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """Spikes evenly spread, as often as an input is large: what is lost is the neurons' doing."""
    time = np.arange(1, steps + 1).reshape(-1, *[1] * (x.ndim - 1))
    total = np.floor(x[:, None] * time + 0.5)
    return np.diff(total, axis=1, prepend=0).astype(np.uint8)


def membranes(net: Network, spikes: np.ndarray) -> np.ndarray:
    recorded = run_float(net, spikes.reshape(*spikes.shape[:2], -1)).populations[net.output]
    return recorded.membranes[:, -1]


@pytest.mark.parametrize(("module", "shape"), [(dense(), (12,)), (maps(), (1, 6, 6))], ids=["dense", "maps"])
def test_the_last_membranes_are_the_scores_times_the_steps(module: Any, shape: tuple[int, ...]) -> None:
    x = inputs(*shape)
    net = from_relu(module, shape, x, percentile=100)
    wanted = module.eval()(torch.from_numpy(x)).detach().numpy()
    given = membranes(net, shown(x)) / STEPS
    assert np.abs(given - wanted).max() < 0.1 * np.abs(wanted).max()
    assert np.mean(given.argmax(axis=1) == wanted.argmax(axis=1)) > 0.9
    kinds = [type(p.dynamics) for p in net.populations]
    assert kinds == [IF] * (len(kinds) - 1) + [LI]


def test_more_steps_are_nearer() -> None:
    x = inputs(12)
    module = dense().eval()
    net, wanted = from_relu(module, 12, x, percentile=100), module(torch.from_numpy(x)).detach().numpy()
    errors = [np.abs(membranes(net, shown(x, steps)) / steps - wanted).mean() for steps in (5, 20, 80)]
    assert errors == sorted(errors, reverse=True)


def test_activations_beyond_the_percentile_are_cut_off() -> None:
    x = inputs(12)
    whole, cut = (from_relu(dense(), 12, x, percentile=p) for p in (100.0, 90.0))
    fired = [run_float(net, shown(x)).populations[net.populations[0].name].spikes.mean(axis=1) for net in (whole, cut)]
    assert fired[0].max() <= 1 and fired[0].max() > 0.95
    assert np.mean(fired[1] > 0.99) > np.mean(fired[0] > 0.99)


def test_integers_answer_as_the_floats() -> None:
    x = inputs(12)
    net = from_relu(dense(), 12, x)
    spikes = shown(x, 40)
    integers = quantise(net, 8, spikes)
    reference = run_reference(integers, spikes).predicted
    assert np.mean(reference == run_float(net, spikes).predicted) > 0.9


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Linear(12, 4), nn.Linear(4, 2)], "none follows 0"),
        ([nn.Linear(12, 4), nn.ReLU()], "no ReLU behind it"),
        ([nn.ReLU(), nn.Linear(12, 4)], "layer 0 follows none"),
        ([nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 2)], "layer 1 is Tanh"),
    ],
)
def test_other_networks_are_refused(layers: list[Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        from_relu(nn.Sequential(*layers), 12, inputs(12))


def test_bad_samples_and_percentiles_are_refused() -> None:
    with pytest.raises(SampleError, match=r"numbers \[samples, 12\]"):
        from_relu(dense(), 12, inputs(11))
    with pytest.raises(SampleError, match="rates, 0 to 1"):
        from_relu(dense(), 12, inputs(12) * 2)
    with pytest.raises(OptionError, match="a percentile"):
        from_relu(dense(), 12, inputs(12), percentile=0)
    with pytest.raises(ModelError, match=r"an nn\.Sequential"):
        from_relu(nn.Linear(12, 4), 12, inputs(12))


def test_the_example_says_what_steps_bring() -> None:
    file = Path(__file__).resolve().parent.parent / "examples" / "convert_relu.py"
    spec = importlib.util.spec_from_file_location("convert_relu", file)
    assert spec is not None and spec.loader is not None
    convert_relu = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(convert_relu)
    pixels, labels = convert_relu.images()
    model = convert_relu.trained(pixels[:600], labels[:600], epochs=8, seed=0)
    original, rows = convert_relu.compared(model, pixels[:960], labels[:960], (4, 32))
    assert original > 0.8 and [count for count, *_ in rows] == [4, 32]
    assert rows[0][1] < rows[1][1] and abs(rows[1][2] - original) < 0.08

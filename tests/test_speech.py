"""NeuroBench's trained speech network: inputs of -1, 0 and 1, three hidden layers, 35 words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler import from_snntorch, quantise
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.signed import unsigned
from spikeloom.compiler.report.neurobench import neurobench
from spikeloom.sim import simulate

WEIGHTS = "data/neurobench/gsc_snntorch.pt"
STEPS = 60


@pytest.fixture(scope="module")
def model(shared: Path) -> Any:
    torch = pytest.importorskip("torch")
    snn = pytest.importorskip("snntorch")
    if not (shared / WEIGHTS).is_file():
        pytest.skip(f"no {WEIGHTS} in {shared}")
    layers: list[Any] = [torch.nn.Flatten()]
    for pre, post in ((20, 256), (256, 256), (256, 256), (256, 35)):
        layers += [torch.nn.Linear(pre, post), snn.Leaky(beta=0.9, init_hidden=True, output=post == 35)]
    built = torch.nn.Sequential(*layers)
    built.load_state_dict(torch.load(shared / WEIGHTS, weights_only=True))
    return built.eval()


@pytest.fixture(scope="module")
def network(model: Any) -> Network:
    return from_snntorch(model, input_shape=(20,), x_min=-1)


def signed_events(samples: int, steps: int) -> np.ndarray:
    """int8 [samples, steps, 20]: -1 or 1 in three steps of ten."""
    rng = np.random.default_rng(1)
    shape = (samples, steps, 20)
    return ((rng.random(shape) < 0.3) * rng.choice([-1, 1], shape)).astype(np.int8)


def test_the_float_executor_fires_as_snntorch(model: Any, network: Network) -> None:
    """Every spike of the output and of the layers before it."""
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("snntorch.utils")
    spikes = signed_events(4, STEPS)
    utils.reset(model)
    fired: dict[str, list[Any]] = {population.name: [] for population in network.populations}
    with torch.no_grad():
        for step in range(STEPS):
            flowing = torch.as_tensor(spikes[:, step], dtype=torch.float32)
            for name, layer in model.named_children():
                flowing = layer(flowing)
                flowing = flowing[0] if isinstance(flowing, tuple) else flowing
                if name in fired:
                    fired[name].append(flowing)
    recording = simulate(network, spikes)
    for name, expected in fired.items():
        wanted = torch.stack(expected, 1).numpy()
        assert wanted.any()
        assert np.array_equal(recording.populations[name].spikes, wanted)


def test_an_input_with_a_sign_is_one_of_neurobenchs(network: Network) -> None:
    """Its dense operations of a step are the published 29,030,400 of 200 steps; the most that can be effective."""
    integers = quantise(network, 6, signed_events(2, STEPS))
    spikes = unsigned(integers, signed_events(2, STEPS))
    assert spikes.shape[2] == 40
    counted = neurobench(integers, simulate(integers, spikes, executor="reference").trains(spikes))
    assert counted.dense == STEPS * 29_030_400 / 200
    assert 0 < counted.effective_acs < counted.dense and counted.effective_macs == 0

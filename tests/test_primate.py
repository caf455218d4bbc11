"""NeuroBench's trained regression of finger velocities: its output is membranes in every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler import from_snntorch, quantise
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.sim import simulate
from spikeloom.sim.amaranth_executor import run_amaranth

WEIGHTS = "data/neurobench/primate_snn2_snntorch.pt"


@pytest.fixture(scope="module")
def model(shared: Path) -> Any:
    torch = pytest.importorskip("torch")
    snn = pytest.importorskip("snntorch")
    if not (shared / WEIGHTS).is_file():
        pytest.skip(f"no {WEIGHTS} in {shared}")

    class Primate(torch.nn.Module):  # type: ignore[misc,name-defined]
        """SNN2: 96 channels, 50 hidden neurons that reset to zero, two that integrate."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1 = torch.nn.Linear(96, 50, bias=False)
            self.lif1 = snn.Leaky(beta=0.96, reset_mechanism="zero")
            self.fc_out = torch.nn.Linear(50, 2, bias=False)
            self.lif_out = snn.Leaky(beta=0.96, reset_mechanism="none")

        def forward(self, x: Any) -> Any:
            hidden, output = self.lif1.init_leaky(), self.lif_out.init_leaky()
            spikes, membranes = [], []
            for step in x:
                fired, hidden = self.lif1(self.fc1(step), hidden)
                spike, output = self.lif_out(self.fc_out(fired), output)
                spikes.append(spike)
                membranes.append(output)
            return torch.stack(spikes), torch.stack(membranes)

    built = Primate()
    built.load_state_dict(torch.load(shared / WEIGHTS, weights_only=True))
    return built.eval()


@pytest.fixture(scope="module")
def network(model: Any) -> Network:
    return from_snntorch(model, input_shape=(96,)).with_readout("membranes")


def some_spikes(samples: int, steps: int) -> np.ndarray:
    return (np.random.default_rng(1).random((samples, steps, 96)) < 0.2).astype(np.uint8)


def test_the_float_executor_has_snntorchs_membranes(model: Any, network: Network) -> None:
    """To the last bit but one: torch adds the inputs of a neuron in an order of its own."""
    torch = pytest.importorskip("torch")
    spikes = some_spikes(4, 60)
    with torch.no_grad():
        _, membranes = model(torch.as_tensor(spikes, dtype=torch.float32).transpose(0, 1))
    recording = simulate(network, spikes)
    expected = membranes.transpose(0, 1).numpy()
    assert recording.membranes is not None
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(recording.membranes, expected, rtol=0, atol=1e-6)


def test_the_core_gives_the_velocities_in_every_step(network: Network) -> None:
    """At 8 bits the hardware's readings are the reference's, bit for bit, and near the float network's membranes."""
    spikes = some_spikes(2, 30)
    integers = quantise(network, 8, some_spikes(6, 60))
    plan = make_plan(integers)
    assert plan.readout is not None and plan.readout.every_step
    reference = simulate(integers, spikes[:, :6], executor="reference")
    assert np.array_equal(run_amaranth(plan, spikes[:, :6]).membranes, reference.membranes)  # type: ignore[arg-type]
    real, whole = simulate(network, spikes).membranes, simulate(integers, spikes, executor="reference").membranes
    assert real is not None
    assert whole is not None
    dynamics: Any = integers.population(integers.output).dynamics
    worth = whole * (dynamics.scale.max() / (1 << dynamics.fraction_bits))
    assert np.sqrt(np.mean((worth - real) ** 2)) < 0.2 * np.sqrt(np.mean(real**2))

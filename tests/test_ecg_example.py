"""The script that trains the electrocardiogram network: its gradients, its stages, and what the compiler gets."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler import quantise
from spikeloom.compiler.data.samples import load_samples
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.lowering.error import quantisation_error
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

torch = pytest.importorskip("torch")
utils = pytest.importorskip("snntorch.utils")
loadmat_writer = pytest.importorskip("scipy.io")

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "train_ecg.py"
RECORDS, STEPS = 12, 41


@pytest.fixture
def script() -> Iterator[Any]:
    """The script with eight hidden neurons that fire more."""
    spec = importlib.util.spec_from_file_location("train_ecg", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.HIDDEN, module.BATCH, module.CALIBRATION = 8, 6, 3
    torch.manual_seed(0)
    yield module


def records() -> tuple[np.ndarray, np.ndarray]:
    """Channel c fires in the steps of wave c and, for the last two waves, none or all do."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 6, (RECORDS, STEPS // 4 + 1)), 4, axis=1)[:, :STEPS]
    spikes = (labels[..., None] == np.arange(4)) | (labels == 5)[..., None]
    return spikes.astype(np.uint8), labels


class Plain(torch.nn.Module):
    """The step written out, for torch's own gradients: `spans` are cut where the script cuts them."""

    def __init__(self, script: Any, spans: int) -> None:
        super().__init__()
        self.script, self.spans = script, spans

    def forward(self, currents: Any, back: Any, beta: Any, rho: Any, jump: Any) -> Any:
        spikes = adapt = mem = torch.zeros_like(currents[0])
        length = len(currents) // self.spans
        record = []
        for step, current in enumerate(currents):
            if (step - len(currents)) % length == 0:
                spikes, adapt, mem = spikes.detach(), adapt.detach(), mem.detach()
            adapt = rho * adapt + jump * spikes
            mem = beta * mem + current + spikes @ back
            spikes = Surrogate.apply(mem - (adapt + 1), self.script)
            mem = mem - spikes * (adapt + 1)
            record.append(spikes)
        return torch.stack(record)


class Surrogate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, above: Any, script: Any) -> Any:
        ctx.save_for_backward(above)
        ctx.script = script
        return (above > 0).to(above.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (above,) = ctx.saved_tensors
        return gradients[0] * ctx.script.HEIGHT / ((above / ctx.script.WIDTH) ** 2 + 1), None


@pytest.mark.parametrize("spans", [1, 4])
def test_its_gradients_are_torchs(script: Any, spans: int) -> None:
    script.SPANS = spans
    currents = torch.randn(20, 3, 8) + 0.5
    numbers = [torch.randn(8, 8) / 3, torch.rand(8), torch.rand(8), torch.rand(8) / 2]
    weights = torch.randn(20, 3, 8)
    found = []
    for steps in (script.Hidden.apply, Plain(script, spans)):
        given = [x.clone().requires_grad_() for x in (currents, *numbers)]
        fired = steps(*given)
        (fired * weights).sum().backward()
        found.append((fired.detach(), [x.grad for x in given]))
    assert 0.1 < found[0][0].mean() < 0.9
    assert torch.equal(found[0][0], found[1][0])
    for mine, theirs in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_it_learns_and_the_compiler_gets_integers(script: Any, tmp_path: Path) -> None:
    """A small set is learnt; weights and leaks are integers at the width of the script, which hardware runs exactly."""
    spikes, labels = records()
    script.LEARNING_RATE, script.KEPT = 3e-2, 0.5
    net = script.Training(tmp_path / "checkpoint.pt", 60, 5).run(spikes, labels)
    layers = script.Layers(net)
    given = torch.from_numpy(spikes).float()
    with torch.no_grad():
        membranes = net(given, rounded=True)
        stepped = layers(given.transpose(0, 1))[1]
    torch.testing.assert_close(membranes, stepped, rtol=1e-4, atol=1e-4)

    utils.reset(layers)
    network = from_snntorch(layers, (4,)).with_readout("membranes")
    assert script.right(network, spikes, labels) > 0.5
    integers = quantise(network, script.BITS, spikes)
    for error in quantisation_error(network, integers):
        assert error.weights < 1e-6 and error.leak < 1e-6
    real, whole = run_float(network, spikes), run_reference(integers, spikes, membranes=True)
    hidden = integers.populations[0].name
    assert np.mean(real.populations[hidden].spikes != whole.populations[hidden].spikes) < 0.02
    assert abs(script.right(integers, spikes, labels) - script.right(network, spikes, labels)) < 0.03
    hardware = run_amaranth(make_plan(integers), spikes[:1, :12])
    assert np.array_equal(hardware.membranes, run_reference(integers, spikes[:1, :12]).membranes)  # type: ignore[arg-type]


def test_training_goes_on_from_its_checkpoint(script: Any, tmp_path: Path) -> None:
    spikes, labels = records()
    first = script.Training(tmp_path / "checkpoint.pt", 1, 0)
    first.run(spikes, labels)
    second = script.Training(tmp_path / "checkpoint.pt", 1, 2)
    assert second.epoch == 1 and second.rounded
    assert torch.equal(second.mean["back.weight"], first.mean["back.weight"])
    second.run(spikes, labels)
    assert second.epoch == 3 and not torch.equal(second.mean["back.weight"], first.mean["back.weight"])


def test_records_are_read_as_published(script: Any, tmp_path: Path) -> None:
    """The mark in the last step is no spike, and a step without a label counts as P."""
    x = np.zeros((2, 5, 4), np.int16)
    x[0, 1, 2], x[:, 4, 0] = 1, -1
    y = np.zeros((2, 5, 6), np.uint8)
    y[0, 3, 4] = 1
    loadmat_writer.savemat(tmp_path / "QTDB_train.mat", {"x": x, "y": y})
    spikes, labels = script.load(tmp_path, "train")
    assert spikes.dtype == np.uint8 and spikes.sum() == 1 and spikes[0, 1, 2] == 1
    assert labels.sum() == 4 and labels[0, 3] == 4


def test_neighbours_are_held_back_together(script: Any) -> None:
    aside = script.held_back(618)
    assert aside.sum() == 6 * 20 and np.count_nonzero(np.diff(aside.astype(int)) == 1) == 6


# ------------------------------------------------------------------------------------------ what it trained once


@pytest.fixture(scope="module")
def kept() -> Network:
    """examples/ecg8.nir, of 8 bits."""
    return read_nir(SCRIPT.with_name("ecg8.nir"))


def test_the_kept_network_is_right_in_the_published_share_of_test_steps(
    script: Any, kept: Network, shared: Path
) -> None:
    """In the hardware's integers; the published share is 85.9 %."""
    folder = shared / "data" / "ecg"
    if not (folder / "QTDB_test.mat").is_file():
        pytest.skip(f"no QTDB_test.mat in {folder}")
    assert kept.is_integer
    assert script.right(kept, *script.load(folder, "test")) > 0.87


def test_hardware_runs_the_kept_network_exactly(kept: Network) -> None:
    """Membranes of every step, in steps with spikes of its own."""
    spikes = load_samples(SCRIPT.with_name("ecg_short.npz")).spikes[:1, :10]
    expected = run_reference(kept, spikes, membranes=True)
    found = run_amaranth(make_plan(kept), spikes, membranes=True)
    assert expected.populations["hidden"].spikes.any()
    for name, population in expected.populations.items():
        assert np.array_equal(found.populations[name].spikes, population.spikes)
        assert np.array_equal(found.populations[name].membranes, population.membranes)  # type: ignore[arg-type]

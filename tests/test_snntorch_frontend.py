"""Networks read from snnTorch modules fire exactly when the modules do; what cannot be read is refused by name."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.data.samples import load_samples
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import LIF, ResetMode, ResetPlace
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
nn = torch.nn
functional = torch.nn.functional

RESETS = {
    "subtract": {"reset_mechanism": "subtract", "reset_delay": True},
    "subtract at once": {"reset_mechanism": "subtract", "reset_delay": False},
    "zero": {"reset_mechanism": "zero", "reset_delay": True},
    "zero at once": {"reset_mechanism": "zero", "reset_delay": False},
    "none": {"reset_mechanism": "none"},
}


def _sequential(reset: dict[str, Any], per_neuron: bool, bias: bool, seed: int) -> Any:
    """12-20-16-4 with weights and constants that make every layer fire at moderate rates."""
    torch.manual_seed(seed)
    sizes = (12, 20, 16, 4)
    layers: list[Any] = [nn.Flatten()]
    for pre, post in itertools.pairwise(sizes):
        linear = nn.Linear(pre, post, bias=bias)
        with torch.no_grad():
            linear.weight *= 4
        beta, threshold = (torch.rand(post), 0.3 + torch.rand(post)) if per_neuron else (0.9, 1.0)
        layers += [linear, snn.Leaky(beta=beta, threshold=threshold, init_hidden=True, **reset)]
    return nn.Sequential(*layers)


def _spikes(seed: int, samples: int, steps: int, inputs: int, x_max: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, x_max + 1, (samples, steps, inputs)) * (rng.random((samples, steps, inputs)) < 0.5)).astype(
        np.uint8
    )


def _clear(module: Any) -> None:
    for layer in module.modules():
        if isinstance(layer, snn.Leaky):
            layer.mem = torch.zeros(0)


def _step_by_step(module: Any, spikes: np.ndarray) -> np.ndarray:
    """Output spikes [samples, steps, outputs] of a module whose forward is one step."""
    _clear(module)
    x = torch.from_numpy(spikes).float()
    with torch.no_grad():
        return torch.stack([module(x[:, t]) for t in range(x.shape[1])], 1).numpy()


def _looped(module: Any, spikes: np.ndarray) -> np.ndarray:
    """Output spikes [samples, steps, outputs] of a module whose forward loops over [steps, samples, inputs]."""
    _clear(module)
    with torch.no_grad():
        result = module(torch.from_numpy(spikes).float().transpose(0, 1))
    return (result[0] if isinstance(result, tuple) else result).transpose(0, 1).numpy()


def _assert_same(network: Network, spikes: np.ndarray, expected: np.ndarray) -> None:
    """Spike for spike, without the excuse of an ambiguous neuron-step."""
    recording = run_float(network, spikes)
    mismatches = np.count_nonzero(recording.spikes != expected)
    assert mismatches == 0, f"{mismatches} spikes differ; {recording.ambiguous} neuron-steps are ambiguous"
    assert 0.01 < expected.mean() < 0.99, "the comparison needs neurons that fire, but not always"


# --------------------------------------------------------------------------------------------------- equality


@pytest.mark.parametrize("x_max", [1, 3])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("reset", RESETS)
def test_equals_snntorch_spike_for_spike(reset: str, per_neuron: bool, x_max: int) -> None:
    module = _sequential(RESETS[reset], per_neuron, bias=per_neuron, seed=x_max)
    network = from_snntorch(module, (3, 4), x_max=x_max)
    spikes = _spikes(2, 40, 60, 12, x_max)
    _assert_same(network, spikes, _step_by_step(module, spikes))


def test_membranes_equal_snntorch() -> None:
    module = _sequential(RESETS["subtract at once"], per_neuron=True, bias=True, seed=5)
    spikes = _spikes(6, 10, 30, 12)
    recording = run_float(from_snntorch(module, (12,)), spikes, membranes=True)
    _clear(module)
    with torch.no_grad():
        for t in range(30):
            module(torch.from_numpy(spikes[:, t]).float())
            for name in ("2", "4", "6"):
                membranes = recording.populations[name].membranes
                assert membranes is not None
                np.testing.assert_allclose(membranes[:, t], module.get_submodule(name).mem, rtol=1e-4, atol=1e-5)


def test_float64_modules() -> None:
    class Double(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(6, 9), snn.Leaky(0.9, init_hidden=True)
            self.fc2, self.lif2 = nn.Linear(9, 3), snn.Leaky(0.8, init_hidden=True)

        def forward(self, x: Any) -> Any:
            return self.lif2(self.fc2(self.lif1(self.fc1(x)).double()))

    torch.manual_seed(8)
    module = Double().double()
    with torch.no_grad():
        module.fc1.weight *= 3
        module.fc2.weight *= 3
    network = from_snntorch(module, (6,))
    assert network.dtype == "float64"
    spikes = _spikes(9, 20, 40, 6)
    x = torch.from_numpy(spikes).double()
    _clear(module)
    with torch.no_grad():
        expected = torch.stack([module(x[:, t]) for t in range(40)], 1).numpy()
    _assert_same(network, spikes, expected)


def test_parameters_are_exact() -> None:
    module = nn.Sequential(
        nn.Linear(4, 3), snn.Leaky(torch.tensor([0.1, 1.5, -0.5]), threshold=torch.tensor(0.3), init_hidden=True)
    )
    network = from_snntorch(module, [4], x_max=7)
    (population,) = network.populations
    assert isinstance(population.dynamics, LIF)
    assert population.dynamics.beta.tolist() == [float(np.float32(0.1)), 1.0, 0.0], "snnTorch clamps beta to 0..1"
    assert population.dynamics.threshold == np.float32(0.3)
    assert np.array_equal(network.projections[0].weights, module[0].weight.detach().numpy().T)
    assert np.array_equal(population.bias, module[0].bias.detach().numpy())
    assert (network.input_shape, network.x_max, network.dtype, network.dialect) == ((4,), 7, "float32", "snntorch")


@pytest.mark.parametrize(
    ("reset", "mode", "place"),
    [
        ("subtract", ResetMode.SUBTRACT, ResetPlace.NEXT),
        ("subtract at once", ResetMode.SUBTRACT, ResetPlace.SNNTORCH_SAME),
        ("zero", ResetMode.VALUE, ResetPlace.NEXT),
        ("zero at once", ResetMode.VALUE, ResetPlace.SAME),
        ("none", ResetMode.NONE, ResetPlace.SAME),
    ],
)
def test_resets(reset: str, mode: ResetMode, place: ResetPlace) -> None:
    module = nn.Sequential(nn.Linear(4, 3), snn.Leaky(0.9, init_hidden=True, **RESETS[reset]))
    dynamics = from_snntorch(module, (4,)).populations[0].dynamics
    assert isinstance(dynamics, LIF)
    assert (dynamics.reset_mode, dynamics.reset_place) == (mode, place)


EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_the_trained_digits_network_equals_snntorch_on_the_whole_test_set() -> None:
    network = read_nir(EXAMPLES / "digits.nir")
    samples = load_samples(EXAMPLES / "digits_test.npz", network)
    layers: list[Any] = []
    for projection, population in zip(network.projections, network.populations, strict=True):
        dynamics = population.dynamics
        assert isinstance(dynamics, LIF) and isinstance(projection.weights, np.ndarray)
        linear = nn.Linear(*projection.weights.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(projection.weights.T.copy()))
            linear.bias.copy_(torch.from_numpy(population.bias.copy()))
        layers += [linear, snn.Leaky(float(dynamics.beta), threshold=float(dynamics.threshold), init_hidden=True)]
    expected = _step_by_step(nn.Sequential(*layers), samples.spikes)
    _assert_same(network, samples.spikes, expected)
    assert samples.labels is not None and len(samples) == 360
    assert run_float(network, samples.spikes).accuracy(samples.labels) >= 0.96
    calibration = load_samples(EXAMPLES / "digits_calibration.npz", network)
    assert len(calibration) == 100


# ------------------------------------------------------------------------------------------- ways of writing it


class Net(nn.Module):
    """Layers for the ways of writing `forward` below."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 8), snn.Leaky(0.9, **options)
        self.fc2, self.lif2 = nn.Linear(8, 3, bias=False), snn.Leaky(0.8, **options)
        with torch.no_grad():
            self.fc1.weight *= 4
            self.fc2.weight *= 4

    def start(self) -> tuple[Any, Any]:
        return self.lif1.reset_mem(), self.lif2.init_leaky()

    def step(self, x: Any, mem1: Any, mem2: Any) -> tuple[Any, Any, Any]:
        spk1, mem1 = self.lif1(self.fc1(x), mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        return mem1, mem2, spk2


class TimeFirst(Net):
    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.start()
        spk_rec, mem_rec = [], []
        for step in range(x.size(0)):
            mem1, mem2, spk2 = self.step(x[step], mem1, mem2)
            spk_rec.append(spk2)
            mem_rec.append(mem2)
        return torch.stack(spk_rec, dim=0), torch.stack(mem_rec, dim=0)


class Iterated(Net):
    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.start()
        spikes = []
        for now in x:
            mem1, mem2, spk2 = self.step(now, mem1, mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


class BatchFirst(Net):
    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.start()
        spikes = []
        for step in range(x.shape[1]):
            mem1, mem2, spk2 = self.step(x[:, step].flatten(1), mem1, mem2)
            spikes.append(spk2)
        return {"spikes": torch.stack(spikes, 1), "mem": mem2}


class FixedSteps(Net):
    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.start()
        record = torch.zeros(30, x.shape[1], 3)
        for step in range(30):
            mem1, mem2, record[step] = self.step(x[step], mem1, mem2)
        return record


class FixedStepsBatchFirst(Net):
    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.start()
        spikes = []
        for step in range(25):
            mem1, mem2, spk2 = self.step(x[:, step], mem1, mem2)
            spikes.append(spk2)
        return torch.stack(spikes, dim=-1), mem2


class HiddenState(Net):
    """Neurons that keep their membranes, in a loop."""

    def forward(self, x: Any) -> Any:
        self.lif1.reset_mem()
        self.lif2.reset_mem()
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(x[t])))) for t in range(len(x))])


class LayerByLayer(Net):
    """Linear layers run on all steps together, and the layers one after the other."""

    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.start()
        spk1, spk2 = [], []
        for current in self.fc1(x):
            out, mem1 = self.lif1(current, mem1)
            spk1.append(out)
        steps = len(spk1)
        currents = self.fc2(torch.cat(spk1)).view(steps, -1, 3)
        for t in range(steps):
            out, mem2 = self.lif2(currents[t], mem2)
            spk2.append(out)
        return torch.stack(spk2)


class Static(Net):
    """The same input in each step."""

    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.start()
        spikes = []
        for _ in range(20):
            mem1, mem2, spk2 = self.step(x.view(x.size(0), -1), mem1, mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


class Skip(Net):
    """A second path around the hidden layer, and one within a step."""

    def __init__(self) -> None:
        super().__init__()
        self.skip = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.start()
        spikes = []
        for now in x:
            spk1, mem1 = self.lif1(self.fc1(now), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1) + self.skip(now), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


class OneStep(Net):
    def forward(self, x: Any) -> Any:
        return self.lif2(functional.dropout(self.fc2(self.lif1(self.fc1(x))), 0.5, self.training))


@pytest.mark.parametrize(
    "make", [TimeFirst, Iterated, FixedSteps, lambda: HiddenState(init_hidden=True), LayerByLayer, Skip]
)
def test_loops_over_time(make: Callable[[], Any]) -> None:
    torch.manual_seed(11)
    module = make()
    network = from_snntorch(module, (6,))
    spikes = _spikes(12, 20, 30, 6)
    _assert_same(network, spikes, _looped(module, spikes))


def test_batch_first_loops() -> None:
    torch.manual_seed(13)
    module, fixed = BatchFirst(), FixedStepsBatchFirst()
    spikes = _spikes(14, 20, 25, 6)
    with torch.no_grad():
        expected = module(torch.from_numpy(spikes).float().view(20, 25, 2, 3))["spikes"].numpy()
        expected_fixed = fixed(torch.from_numpy(spikes).float())[0].transpose(1, 2).numpy()
    _assert_same(from_snntorch(module, (2, 3)), spikes, expected)
    _assert_same(from_snntorch(fixed, (6,)), spikes, expected_fixed)


def test_static_input() -> None:
    torch.manual_seed(15)
    module = Static()
    network = from_snntorch(module, (6,), x_max=2)
    spikes = np.repeat(_spikes(16, 20, 1, 6, 2), 20, axis=1)
    with torch.no_grad():
        expected = module(torch.from_numpy(spikes[:, 0]).float()).transpose(0, 1).numpy()
    _assert_same(network, spikes, expected)


def test_one_step_forward() -> None:
    torch.manual_seed(17)
    module = OneStep(init_hidden=True).eval()
    spikes = _spikes(18, 20, 30, 6)
    _assert_same(from_snntorch(module, (6,)), spikes, _step_by_step(module, spikes))


def test_neurons_on_the_input_itself() -> None:
    torch.manual_seed(19)
    module = nn.Sequential(snn.Leaky(0.7, init_hidden=True), nn.Linear(6, 3), snn.Leaky(0.8, init_hidden=True))
    network = from_snntorch(module, (6,), x_max=2)
    assert [p.name for p in network.populations] == ["0", "2"]
    spikes = _spikes(20, 20, 30, 6, 2)
    _assert_same(network, spikes, _step_by_step(module, spikes))


def test_a_layer_may_be_called_input() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.input = nn.Linear(6, 3), snn.Leaky(0.9, init_hidden=True)

        def forward(self, x: Any) -> Any:
            return self.input(self.fc(x))

    network = from_snntorch(Named(), (6,))
    assert [p.name for p in network.populations] == ["input_neurons"]
    assert network.projections[0].pre == INPUT


def test_linear_layers_with_pruned_or_parametrised_weights() -> None:
    module = nn.Sequential(nn.Linear(6, 3), snn.Leaky(0.8, init_hidden=True))
    torch.nn.utils.parametrizations.weight_norm(module[0])
    assert np.array_equal(from_snntorch(module, (6,)).projections[0].weights, module[0].weight.detach().numpy().T)
    module = nn.Sequential(nn.Linear(6, 3), snn.Leaky(0.8, init_hidden=True))
    from torch.nn.utils import prune

    prune.l1_unstructured(module[0], "weight", amount=0.5)
    assert np.count_nonzero(from_snntorch(module, (6,)).projections[0].weights) == 9


@pytest.mark.parametrize("make", [lambda: TimeFirst(), lambda: HiddenState(init_hidden=True)])
def test_the_module_is_left_as_it_was(make: Callable[[], Any]) -> None:
    module = make().train()
    module.fc1.eval()
    module(torch.rand(4, 2, 6)).sum() if isinstance(module, HiddenState) else module(torch.rand(4, 2, 6))
    before = module.lif1.mem
    kept = before.detach().clone()
    attributes = {name: set(vars(layer)) for name, layer in module.named_modules()}
    state = torch.random.get_rng_state()
    from_snntorch(module, (6,))
    assert module.lif1.mem is before and torch.equal(before, kept)
    assert [layer.training for layer in module.children()] == [False, True, True, True] and module.training
    assert {name: set(vars(layer)) for name, layer in module.named_modules()} == attributes
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.modules())
    assert torch.equal(state, torch.random.get_rng_state())
    before.sum().backward()  # the graph of an unfinished training step still works


def test_membranes_left_in_the_module_do_not_matter() -> None:
    torch.manual_seed(21)
    module = OneStep(init_hidden=True).eval()
    spikes = _spikes(22, 5, 20, 6)
    expected = _step_by_step(module, spikes)
    module.lif1.mem = torch.full((5, 8), 7.0)
    module.lif2.mem = torch.full((5, 3), -7.0)
    _assert_same(from_snntorch(module, (6,)), spikes, expected)


# ----------------------------------------------------------------------------------------------------- refusals


def _forward(function: Callable[..., Any], **options: Any) -> Any:
    """A `Net` whose forward is `function(net, x)`."""

    class Custom(Net):
        def forward(self, x: Any) -> Any:
            return function(self, x)

    torch.manual_seed(23)
    return Custom(**options)


def _one_step(between: Callable[[Any], Any]) -> Any:
    return _forward(lambda net, x: net.lif2(net.fc2(between(net.lif1(net.fc1(x))))), init_hidden=True)


def _loop(net: Any, x: Any, step: Callable[..., Any]) -> Any:
    """Loop over time with `step(net, x, t, spk1, mem1, spk2, mem2) -> (spk1, mem1, spk2, mem2)`."""
    mem1, mem2 = net.start()
    spk1, spk2, record = torch.zeros(x.size(1), 8), torch.zeros(x.size(1), 3), []
    for t in range(x.size(0)):
        spk1, mem1, spk2, mem2 = step(net, x, t, spk1, mem1, spk2, mem2)
        record.append(spk2)
    return torch.stack(record)


def _feedback(net: Any, x: Any, t: int, spk1: Any, mem1: Any, spk2: Any, mem2: Any) -> Any:
    spk1, mem1 = net.lif1(net.fc1(x[t]) + spk1, mem1)
    spk2, mem2 = net.lif2(net.fc2(spk1), mem2)
    return spk1, mem1, spk2, mem2


def _old_spikes(net: Any, x: Any, t: int, spk1: Any, mem1: Any, spk2: Any, mem2: Any) -> Any:
    now, mem1 = net.lif1(net.fc1(x[t]), mem1)
    spk2, mem2 = net.lif2(net.fc2(spk1), mem2)
    return now, mem1, spk2, mem2


def _backwards(net: Any, x: Any, t: int, spk1: Any, mem1: Any, spk2: Any, mem2: Any) -> Any:
    mem1, mem2, spk2 = net.step(x[x.size(0) - 1 - t], mem1, mem2)
    return spk1, mem1, spk2, mem2


def _forgetful(net: Any, x: Any, t: int, spk1: Any, mem1: Any, spk2: Any, mem2: Any) -> Any:
    mem1, mem2, spk2 = net.step(x[t], net.lif1.reset_mem(), mem2)
    return spk1, mem1, spk2, mem2


def _leaking_twice(net: Any, x: Any, t: int, spk1: Any, mem1: Any, spk2: Any, mem2: Any) -> Any:
    mem1, mem2, spk2 = net.step(x[t], mem1 * 0.5, mem2)
    return spk1, mem1, spk2, mem2


def _alternating(net: Any, x: Any, t: int, spk1: Any, mem1: Any, spk2: Any, mem2: Any) -> Any:
    spk1, mem1 = net.lif1(net.fc1(x[t]) if t % 2 else net.fc3(x[t]), mem1)
    spk2, mem2 = net.lif2(net.fc2(spk1), mem2)
    return spk1, mem1, spk2, mem2


def _two_layers_of_fc3() -> Any:
    module = _forward(lambda net, x: _loop(net, x, _alternating))
    module.fc3 = nn.Linear(6, 8)
    return module


def _in_place(spikes: Any) -> Any:
    spikes.mul_(2)
    return spikes


def _item_in_place(spikes: Any) -> Any:
    spikes[0, 0] = 1.0
    return spikes


def _hidden_factor() -> Any:
    """A hook of the user's changes spikes where no operation is seen."""
    module = OneStep(init_hidden=True)
    module.lif1.register_forward_hook(lambda layer, args, result: result * 1.01)
    return module


def _poisson(x: Any) -> Any:
    return torch.bernoulli(torch.clamp(x, 0, 1))


def _sequence(*layers: Any) -> Any:
    return nn.Sequential(nn.Linear(6, 3), *layers)


def _changed_mechanism() -> Any:
    layer = snn.Leaky(0.9, init_hidden=True)
    layer.reset_mechanism = "zero"
    return _sequence(layer)


class QuantLinear(nn.Linear):
    """As in Brevitas: the weights are rounded when they are used."""

    def forward(self, input: Any) -> Any:
        return functional.linear(input, torch.round(self.weight * 8) / 8, self.bias)


class _Squared(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * x


def _quantisation_aware() -> Any:
    from torch.ao.nn import qat
    from torch.ao.quantization import get_default_qat_qconfig

    layer = qat.Linear(6, 3, qconfig=get_default_qat_qconfig("x86"))
    return nn.Sequential(layer, snn.Leaky(0.9, init_hidden=True))


def _one_leaky_in_a_loop() -> Any:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.lif = nn.Linear(6, 3), nn.Linear(3, 3), snn.Leaky(0.9)

        def forward(self, x: Any) -> Any:
            mem, record = self.lif.reset_mem(), []
            for now in x:
                spikes, mem = self.lif(self.fc1(now), mem)
                spikes, mem = self.lif(self.fc2(spikes), mem)
                record.append(spikes)
            return torch.stack(record)

    return Shared()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a constant": (
        lambda: _forward(lambda net, x: net.lif1(net.fc1(x) + net.fc1.bias), init_hidden=True),
        "'lif1' receives something that does not come from",
    ),
    "a relu": (lambda: _one_step(torch.relu), "'fc2' receives the result of the operation 'relu'"),
    "in place": (lambda: _one_step(_in_place), "'fc2' receives the result of the operation 'mul_'"),
    "an item in place": (lambda: _one_step(_item_in_place), "'fc2' receives something that does not come from"),
    "reversed neurons": (lambda: _one_step(lambda s: s.flip(1)), "'fc2' takes those of 'lif1' rearranged or in part"),
    "reversed samples": (lambda: _one_step(lambda s: s.flip(0)), "'fc2' takes those of 'lif1' rearranged or in part"),
    "numpy": (lambda: _one_step(lambda s: torch.from_numpy(s.numpy() * 2)), "it calls Tensor.numpy"),
    "a detour": (
        lambda: _one_step(lambda s: torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(s))),
        "'fc2' receives something that does not come from the input",
    ),
    "training dropout": (lambda: _one_step(functional.dropout), "the result of the operation 'dropout'"),
    "a hidden factor": (_hidden_factor, "'lif1' differs in step"),
    "random encoding": (
        lambda: _forward(lambda net, x: net.lif1(net.fc1(_poisson(x))), init_hidden=True),
        "'fc1' receives the result of the operation 'bernoulli'",
    ),
    "control flow on values": (
        lambda: _forward(
            lambda net, x: net.lif1(net.fc1(x)) if x.sum() > 0 else net.lif2(net.fc2(x)), init_hidden=True
        ),
        "it calls Tensor.__bool__",
    ),
    "item": (lambda: _one_step(lambda s: s * s.mean().item()), "it calls Tensor.item"),
    "time reversed": (
        lambda: _forward(lambda net, x: _loop(net, x, _backwards)),
        "'lif1' receives something else in step 3 than in step 4",
    ),
    "membranes forgotten": (lambda: _forward(lambda net, x: _loop(net, x, _forgetful)), "'lif1' is given others"),
    "membranes changed": (lambda: _forward(lambda net, x: _loop(net, x, _leaking_twice)), "'lif1' is given others"),
    "another graph": (_two_layers_of_fc3, "'lif1' receives something else in step 3 than"),
    "initial membranes": (
        lambda: _forward(lambda net, x: net.lif1(net.fc1(x), torch.ones(len(x), 8))[0]),
        "'lif1' is given others in the first step",
    ),
    "no membranes": (
        lambda: _forward(lambda net, x: net.lif1(net.fc1(x), torch.zeros(len(x), 8))[0]),
        "'lif1' is given others in step 1",
    ),
    "one Leaky for two layers": (
        lambda: nn.Sequential(nn.Linear(6, 6), (leaky := snn.Leaky(0.9, init_hidden=True)), nn.Linear(6, 6), leaky),
        "'1' receives its own spikes; use one Leaky for each layer",
    ),
    "membranes as signals": (
        lambda: _forward(lambda net, x: net.lif2(net.fc2(net.lif1(net.fc1(x))[1]))[0]),
        "'fc2' receives membranes of 'lif1'",
    ),
    "membranes as output": (
        lambda: _forward(lambda net, x: net.lif1(net.fc1(x))[1]),
        "forward returns the spikes of its output layer",
    ),
    "counts as output": (
        lambda: _forward(lambda net, x: TimeFirst.forward(net, x)[0].sum(0)),
        "forward returns the spikes of its output layer",
    ),
    "some outputs": (
        lambda: _forward(lambda net, x: net.lif1(net.fc1(x))[0][:, :4]),
        "forward returns the spikes of its output layer",
    ),
    "outputs in another order": (
        lambda: _forward(lambda net, x: net.lif1(net.fc1(x))[0].flip(1)),
        "forward returns the spikes of its output layer",
    ),
    "two outputs": (
        lambda: _forward(lambda net, x: (net.lif1(net.fc1(x)), net.lif2(net.fc3(x))), init_hidden=True),
        "those of lif1, lif2",
    ),
    "a dead end": (
        lambda: _forward(lambda net, x: (net.lif1(net.fc1(x)), net.lif2(net.fc3(x)))[1], init_hidden=True),
        "'lif1' does not; remove it",
    ),
    "linear on linear": (
        lambda: nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3), snn.Leaky(0.9, init_hidden=True)),
        "'1' receives the result of '0'; put neurons between",
    ),
    "sums of spikes": (lambda: _one_step(lambda s: s + s), "'fc2' receives a sum of spikes"),
    "no neurons": (lambda: nn.Sequential(nn.Linear(6, 3)), "calls no snntorch.Leaky or Synaptic layer"),
    "convolution in space": (lambda: nn.Sequential(nn.Conv3d(1, 1, 3)), "'0' is a Conv3d"),
    "relu layer": (lambda: _sequence(nn.ReLU(), snn.Leaky(0.9, init_hidden=True)), "'1' is a ReLU"),
    "another neuron": (lambda: _sequence(snn.Alpha(0.9, 0.8, init_hidden=True)), "'1' is a Alpha"),
    "inhibition": (lambda: _sequence(snn.Leaky(0.9, init_hidden=True, inhibition=True)), "inhibition .* '1' uses it"),
    "state_quant": (
        lambda: _sequence(snn.Leaky(0.9, init_hidden=True, state_quant=lambda x: x)),
        "state_quant .* '1' uses it",
    ),
    "graded spikes": (
        lambda: _sequence(snn.Leaky(0.9, init_hidden=True, graded_spikes_factor=0.5)),
        "'1' has a graded_spikes_factor of 0.5",
    ),
    "a spike function with noise": (
        lambda: _sequence(snn.Leaky(0.9, init_hidden=True, spike_grad=torch.sigmoid)),
        "spike_grad of '1'",
    ),
    "a changed mechanism": (_changed_mechanism, "the reset is chosen when a Leaky is made: '1'"),
    "negative thresholds": (
        lambda: _sequence(snn.Leaky(0.9, threshold=-0.5, init_hidden=True)),
        "thresholds are not negative: '1' has -0.5",
    ),
    "beta per sample": (
        lambda: _sequence(snn.Leaky(torch.rand(5, 3), init_hidden=True)),
        r"'1.beta' has the shape \[5, 3\]",
    ),
    "mixed float types": (
        lambda: _sequence(snn.Leaky(torch.rand(3, dtype=torch.float64), init_hidden=True)),
        "'1.beta' is float64",
    ),
    "half precision": (
        lambda: nn.Sequential(nn.Linear(6, 3).bfloat16(), snn.Leaky(0.9, init_hidden=True)),
        "bfloat16",
    ),
    "NaN": (lambda: _sequence(snn.Leaky(torch.tensor(float("nan")), init_hidden=True)), "NaN"),
    "tuples in a Sequential": (lambda: _sequence(snn.Leaky(0.9), nn.Linear(3, 2)), r"forward\(x\) takes \[batch"),
    "another input shape": (
        lambda: nn.Sequential(nn.Linear(7, 3), snn.Leaky(0.9, init_hidden=True)),
        r"forward\(x\) takes \[batch, \*\[6\]\].* it raised RuntimeError",
    ),
    "further arguments": (lambda: _forward(lambda net, x, mem: x), "it raised TypeError"),
    "part of the input": (
        lambda: _forward(lambda net, x: net.lif2(net.fc4(x[:, :4])), init_hidden=True),
        "'fc4' takes it rearranged, mixed or in part",
    ),
    "no module": (lambda: "net", "got str"),
    "quantised weights": (
        lambda: nn.Sequential(QuantLinear(6, 3), snn.Leaky(0.9, init_hidden=True)),
        "'1' receives the result of the operation 'linear' in '0', a QuantLinear, which Spikeloom does not know; put "
        "an nn.Linear with the weights and the bias that it computes with in its place",
    ),
    "quantised weights, in a block": (
        lambda: nn.Sequential(nn.Sequential(QuantLinear(6, 3), nn.Dropout()), snn.Leaky(0.9, init_hidden=True)),
        "the operation 'linear' in '0.0', a QuantLinear",
    ),
    "quantisation-aware training": (
        _quantisation_aware,
        r"'0' is a torch\.ao\.nn\.qat\.modules\.linear\.Linear; put an nn\.Linear with the weights and the bias",
    ),
    "an operation in a layer": (
        lambda: nn.Sequential(nn.Linear(6, 3), _Squared(), snn.Leaky(0.9, init_hidden=True)),
        "result of the operation 'mul' in '1', a _Squared, which Spikeloom does not know; remove it",
    ),
    "data parallel": (lambda: nn.DataParallel(OneStep(init_hidden=True)), "this, a DataParallel.*pass model.module$"),
    "data parallel within": (
        lambda: nn.Sequential(nn.DataParallel(nn.Linear(6, 3)), snn.Leaky(0.9, init_hidden=True)),
        "'0', a DataParallel, stands around one; put model.0.module in its place",
    ),
    "compiled": (lambda: torch.compile(OneStep(init_hidden=True)), "this, a OptimizedModule.*pass model._orig_mod$"),
    "traced": (
        lambda: torch.jit.trace(nn.Sequential(nn.Linear(6, 3)), torch.zeros(1, 6)),
        "pass the module that it was scripted or traced from",
    ),
    "one Leaky in a loop over two layers": (
        _one_leaky_in_a_loop,
        "'lif', a Leaky, serves two, one behind 'fc2': 'lif' receives its own spikes; use one Leaky for each layer",
    ),
    "one Leaky for the first and the last of three": (
        lambda: nn.Sequential(
            *(nn.Linear(6, 6), (leaky := snn.Leaky(0.9, init_hidden=True)), nn.Linear(6, 6)),
            *(snn.Leaky(0.9, init_hidden=True), nn.Linear(6, 6), leaky),
        ),
        "'1' ran 2 times, '3' 1 times, as one that is shared by several layers does; use one Leaky",
    ),
    "batch normalisation in training": (
        lambda: _sequence(nn.BatchNorm1d(3), snn.Leaky(0.9, init_hidden=True)),
        "which training does not use: '1' is in training mode; call module.eval",
    ),
    "batch normalisation without statistics": (
        lambda: _sequence(nn.BatchNorm1d(3, track_running_stats=False).eval(), snn.Leaky(0.9, init_hidden=True)),
        "folded with its running statistics: '1' has none; train it with track_running_stats=True",
    ),
    "the membranes of a membrane loss": (
        lambda: _forward(lambda net, x: net.lif2(net.fc2(net.lif1(net.fc1(x))[0]))[1]),
        r"it returns membranes of 'lif2'; return \(spikes, membranes\), and say how a class is read off with "
        r"network.with_readout\(\"membrane-last\"\)",
    ),
    "logits": (
        lambda: _forward(lambda net, x: net.fc2(net.lif1(net.fc1(x))), init_hidden=True),
        r"the result of 'fc2' \(logits\), which no neurons receive; end with snntorch.Leaky\(beta=1.0",
    ),
    "counts": (
        lambda: _forward(lambda net, x: TimeFirst.forward(net, x)[0].sum(0)),
        "the result of the operation 'sum'; return the spikes, and count them outside of forward",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:Inhibition")
def test_refusals(case: str) -> None:
    make, message = REFUSED[case]
    module = make()
    if isinstance(module, Net) and not hasattr(module, "fc3"):
        module.fc3, module.fc4 = nn.Linear(6, 3), nn.Linear(4, 3)
    with pytest.raises(ModelError, match=message) as error:
        from_snntorch(module, (6,))
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(("shape", "x_max"), [((), 1), ((0,), 1), ((2.5,), 1), ((6,), 0), ((6,), 256), ((6,), 1.5)])
def test_refuses_bad_arguments(shape: Any, x_max: Any) -> None:
    with pytest.raises(ModelError, match="input_shape" if x_max == 1 else "x_max"):
        from_snntorch(OneStep(init_hidden=True), shape, x_max=x_max)


def test_numbers_as_arguments() -> None:
    torch.manual_seed(29)
    module = OneStep(init_hidden=True)
    for shape in (6, np.int64(6), [np.int32(6)], torch.Size([6])):
        network = from_snntorch(module, shape, x_max=np.uint8(3))  # type: ignore[arg-type]
        assert network.input_shape == (6,) and network.x_max == 3
        assert type(network.input_shape[0]) is int and type(network.x_max) is int
    for wrong in (True, "six", 2.5, None, [True]):
        with pytest.raises(ModelError, match="input_shape is the shape of one step's input, such as"):
            from_snntorch(module, wrong)  # type: ignore[arg-type]


def test_a_module_that_is_compiled_in_place_is_read_as_it_was() -> None:
    torch.manual_seed(30)
    module = OneStep(init_hidden=True).eval()
    spikes = _spikes(31, 20, 30, 6)
    expected = _step_by_step(module, spikes)
    module.compile()
    compiled = module._compiled_call_impl
    _assert_same(from_snntorch(module, 6), spikes, expected)
    assert module._compiled_call_impl is compiled is not None


def test_the_ways_that_refusals_name() -> None:
    """A folded normalisation, and logits and membranes as a readout: read, and the same as the module."""
    torch.manual_seed(31)
    linear, norm = nn.Linear(6, 3).eval(), nn.BatchNorm1d(3).eval()
    norm.running_mean.uniform_(-1, 0), norm.running_var.uniform_(0.1, 0.3)  # type: ignore[union-attr]
    folded = torch.nn.utils.fusion.fuse_linear_bn_eval(linear, norm)
    spikes = _spikes(32, 20, 30, 6)
    module = nn.Sequential(folded, snn.Leaky(0.9, init_hidden=True))
    _assert_same(from_snntorch(module, (6,)), spikes, _step_by_step(module, spikes))
    logits = nn.Sequential(nn.Linear(6, 8), snn.Leaky(0.9, init_hidden=True), nn.Linear(8, 3))
    ending = nn.Sequential(*logits, snn.Leaky(beta=1.0, reset_mechanism="none", init_hidden=True))
    network = from_snntorch(ending, 6).with_readout("membrane-last")
    recording = run_float(network, spikes, membranes=True)
    expected = _step_by_step(logits, spikes).sum(1)
    assert np.allclose(recording.membranes[:, -1], expected, atol=1e-4)  # type: ignore[index]


def test_thresholds_below_zero_come_through() -> None:
    """snnTorch's Leaky(threshold=-0.4, reset_delay=False), whose first step already takes a threshold off."""
    torch.manual_seed(33)
    module = nn.Sequential(
        nn.Linear(6, 8),
        snn.Leaky(0.8, threshold=-0.4, reset_delay=False, init_hidden=True),
        nn.Linear(8, 3),
        snn.Leaky(0.9, threshold=-0.2, reset_delay=False, init_hidden=True),
    )
    with torch.no_grad():
        for linear, bias in ((module[0], -1.0), (module[2], -0.5)):
            linear.weight *= 4
            linear.bias += bias
    network, spikes = from_snntorch(module, 6), _spikes(34, 20, 30, 6)
    expected = _step_by_step(module, spikes)
    _assert_same(network, spikes, expected)
    integer = quantise(network, 10, spikes)
    assert np.mean(run_reference(integer, spikes).spikes != expected) < 0.02


def test_torch_is_loaded_only_to_read_a_module() -> None:
    modules = "spikeloom.compiler.frontends.snntorch.frontend, spikeloom.sim.float_executor"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"

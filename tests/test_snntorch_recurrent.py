"""snnTorch modules in which spikes come back: they fire as the network read from them, or are refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import CubaLIF, ResetMode, ResetPlace
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
nn = torch.nn

INPUTS, HIDDEN, OUTPUTS, STEPS = 8, 14, 5, 40

RESETS: dict[str, dict[str, Any]] = {
    "subtract": {"reset_mechanism": "subtract"},
    "subtract at once": {"reset_mechanism": "subtract", "reset_delay": False},
    "zero at once": {"reset_mechanism": "zero", "reset_delay": False},
    "none": {"reset_mechanism": "none"},
}


def _spikes(samples: int = 20, x_max: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (samples, STEPS, INPUTS)
    return (rng.integers(1, x_max + 1, shape) * (rng.random(shape) < 0.3)).astype(np.uint8)


def _neurons(kind: str, size: int, per_neuron: bool, all_to_all: bool, **options: Any) -> Any:
    """A recurrent layer; betas per neuron are learnt, some to values beyond 0..1, which snnTorch clips."""
    beta = torch.empty(size).uniform_(-0.1, 1.1) if per_neuron else 0.8
    leaks = {"beta": beta, "learn_beta": per_neuron}
    if kind == "RSynaptic":
        leaks["alpha"] = torch.rand(size) if per_neuron else 0.6
    back = (
        {"linear_features": size}
        if all_to_all
        else {"all_to_all": False, "V": torch.empty(size).uniform_(-1, 0.7) if per_neuron else 0.4}
    )
    threshold = 0.4 + torch.rand(size) if per_neuron else 0.9
    return getattr(snn, kind)(**leaks, **back, threshold=threshold, **options)


def _run(module: Any, spikes: np.ndarray) -> np.ndarray:
    """Output spikes [samples, steps, outputs] of a module whose forward loops over [steps, samples, inputs]."""
    _clear(module)
    with torch.no_grad():
        return module(torch.from_numpy(spikes).float().transpose(0, 1)).transpose(0, 1).numpy()


def _clear(module: Any) -> None:
    for layer in module.modules():
        for state in ("spk", "syn", "mem"):
            if hasattr(layer, state):
                setattr(layer, state, torch.zeros(0))


def _assert_same(network: Network, spikes: np.ndarray, expected: np.ndarray) -> None:
    recording = run_float(network, spikes)
    mismatches = np.count_nonzero(recording.spikes != expected)
    assert mismatches == 0, f"{mismatches} spikes differ; {recording.ambiguous} neuron-steps are ambiguous"
    assert 0.01 < expected.mean() < 0.99, "the comparison needs neurons that fire, but not always"


class Recurrent(nn.Module):
    """Two recurrent layers in a loop that passes their states on, or in which they keep them."""

    def __init__(self, kind: str, per_neuron: bool, all_to_all: bool, **options: Any) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, OUTPUTS)
        self.one = _neurons(kind, HIDDEN, per_neuron, all_to_all, **options)
        self.two = _neurons(kind, OUTPUTS, per_neuron, not all_to_all, **options)
        with torch.no_grad():
            self.fc1.weight *= 3
            self.fc2.weight *= 3

    def forward(self, x: Any) -> Any:
        if self.one.init_hidden:
            self.one.reset_mem(), self.two.reset_mem()
        states = 3 if hasattr(self.one, "alpha") else 2
        state1, state2 = ([torch.zeros(x.shape[1], size)] * states for size in (HIDDEN, OUTPUTS))
        fired = []
        for now in x:
            if self.one.init_hidden:
                fired.append(self.two(self.fc2(self.one(self.fc1(now)))))
            else:
                state1 = self.one(self.fc1(now), *state1)
                state2 = self.two(self.fc2(state1[0]), *state2)
                fired.append(state2[0])
        return torch.stack(fired)


@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("all_to_all", [False, True])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", ["RLeaky", "RSynaptic"])
@pytest.mark.filterwarnings("ignore:the RSynaptic")
def test_recurrent_layers_fire_spike_for_spike(kind: str, reset: str, all_to_all: bool, per_neuron: bool) -> None:
    torch.manual_seed(3)
    module = Recurrent(kind, per_neuron, all_to_all, **RESETS[reset])
    if kind == "RSynaptic" and reset == "zero at once":  # snnTorch 1.0.0 resets it a step later
        with pytest.raises(ModelError, match="also loses that step's current"):
            from_snntorch(module, INPUTS)
        return
    network = from_snntorch(module, INPUTS, x_max=2)
    assert [(p.pre, p.post, int(p.delay)) for p in network.projections] == [
        (INPUT, "one", 0), ("one", "one", 1), ("one", "two", 0), ("two", "two", 1)
    ]  # fmt: skip
    spikes = _spikes(x_max=2)
    _assert_same(network, spikes, _run(module, spikes))


@pytest.mark.parametrize("kind", ["RLeaky", "RSynaptic"])
def test_hidden_states_and_one_step_modules(kind: str) -> None:
    torch.manual_seed(4)
    module = Recurrent(kind, True, True, init_hidden=True)
    spikes = _spikes()
    expected = _run(module, spikes)
    with pytest.warns(UserWarning, match="states of 0: those that training or a run left in 'one', 'two' are not read"):
        network = from_snntorch(module, INPUTS)
    _assert_same(network, spikes, expected)
    step = nn.Sequential(module.fc1, module.one, module.fc2, module.two)
    _clear(step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = from_snntorch(step, INPUTS)
    _assert_same(network, spikes, expected)
    assert module.one.spk.numel() == 0, "the module is left as it was"


def test_parameters_are_exact() -> None:
    torch.manual_seed(5)
    module = Recurrent("RSynaptic", True, True)
    network = from_snntorch(module, INPUTS)
    loop, own = network.projections[1], network.projections[3]
    assert np.array_equal(loop.connectivity.real, module.one.recurrent.weight.detach().numpy().T)
    assert np.array_equal(own.connectivity.real, np.diag(module.two.V.detach().numpy()))
    bias = module.fc1.bias.detach().double() + module.one.recurrent.bias.detach().double()
    assert np.array_equal(network.populations[0].bias, bias.numpy())
    dynamics = network.populations[0].dynamics
    assert isinstance(dynamics, CubaLIF)
    assert np.array_equal(dynamics.beta, module.one.beta.detach().clamp(0, 1).numpy())


def test_the_reset_that_rsynaptic_does_is_read_and_not_the_one_it_names() -> None:
    module = Recurrent("RSynaptic", False, True, reset_delay=False)
    with pytest.warns(UserWarning, match="the RSynaptic 'one' resets a step later whatever its reset_delay says"):
        network = from_snntorch(module, INPUTS)
    assert network.populations[0].dynamics.reset_place is ResetPlace.NEXT  # type: ignore[union-attr]
    module = Recurrent("RLeaky", False, True, reset_delay=False)
    dynamics: Any = from_snntorch(module, INPUTS).populations[0].dynamics
    assert (dynamics.reset_mode, dynamics.reset_place) == (ResetMode.SUBTRACT, ResetPlace.SNNTORCH_SAME)


def test_a_quantised_recurrent_network_runs_on_the_reference() -> None:
    torch.manual_seed(6)
    module = Recurrent("RSynaptic", False, True)
    spikes = _spikes()
    integer = quantise(from_snntorch(module, INPUTS), 12, spikes)
    assert np.mean(run_reference(integer, spikes).spikes != _run(module, spikes)) < 0.02


# ------------------------------------------------------------------------------------- recurrence written by hand


class Written(nn.Module):
    """Plain neurons; `step(net, t, x, one, two)` gives the spikes of a step from all inputs and the spikes so far."""

    def __init__(self, step: Callable[..., tuple[Any, Any]], **options: Any) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.fc1, self.fc2 = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, OUTPUTS)
        self.own, self.back = nn.Linear(HIDDEN, HIDDEN), nn.Linear(OUTPUTS, HIDDEN, bias=False)
        self.skip = nn.Linear(INPUTS, OUTPUTS)
        self.one, self.two = snn.Leaky(0.8, init_hidden=True), snn.Synaptic(0.5, 0.7, init_hidden=True)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter *= 2
        self.step = step

    def forward(self, x: Any) -> Any:
        self.one.reset_mem(), self.two.reset_mem()
        one, two = [], []
        for t in range(len(x)):
            fired = self.step(self, t, x, one, two)
            one.append(fired[0])
            two.append(fired[1])
        return torch.stack(two)


def _before(spikes: list[Any], like: Any, size: int) -> Any:
    return spikes[-1] if spikes else torch.zeros(like.shape[1], size)


def _feedback(net: Any, t: int, x: Any, one: list[Any], two: list[Any]) -> tuple[Any, Any]:
    """Own spikes through a layer with a bias, those of the next layer, and a skip connection."""
    current = net.fc1(x[t]) + net.own(_before(one, x, HIDDEN)) + net.back(_before(two, x, OUTPUTS))
    spk1 = net.one(current)
    return spk1, net.two(net.fc2(spk1) + net.skip(x[t]))


def _added_when_there(net: Any, t: int, x: Any, one: list[Any], two: list[Any]) -> tuple[Any, Any]:
    """Feedback as spikes are, left out in the first step."""
    current = net.fc1(x[t])
    spk1 = net.one(current if not one else current + one[-1])
    return spk1, net.two(net.fc2(spk1))


def _delays(net: Any, t: int, x: Any, one: list[Any], two: list[Any]) -> tuple[Any, Any]:
    """The input of two steps before, and hidden spikes of one and of three."""
    spk1 = net.one(net.fc1(x[t - 2] if t >= 2 else torch.zeros_like(x[0])))
    current = net.fc2(one[t - 1] if t >= 1 else torch.zeros_like(spk1))
    old = one[t - 3] if t >= 3 else torch.zeros_like(spk1)
    return spk1, net.two(current + net.fc2(old))


@pytest.mark.parametrize(
    ("step", "edges"),
    [
        (_feedback, {(INPUT, "one", 0), ("one", "one", 1), ("two", "one", 1), ("one", "two", 0), (INPUT, "two", 0)}),
        (_added_when_there, {(INPUT, "one", 0), ("one", "one", 1), ("one", "two", 0)}),
        (_delays, {(INPUT, "one", 2), ("one", "two", 1), ("one", "two", 3)}),
    ],
)
def test_feedback_skips_and_delays_in_a_loop(step: Any, edges: set[tuple[str, str, int]]) -> None:
    module = Written(step)
    network = from_snntorch(module, INPUTS)
    assert {(p.pre, p.post, int(p.delay)) for p in network.projections} == edges
    spikes = _spikes()
    _assert_same(network, spikes, _run(module, spikes))


def test_a_recurrent_output_layer_among_several_is_found() -> None:
    torch.manual_seed(8)

    class Both(Recurrent):
        def forward(self, x: Any) -> Any:
            state1, state2, kept = self.one.reset_mem(), self.two.reset_mem(), []
            for now in x:
                state1 = self.one(self.fc1(now), *state1)
                state2 = self.two(self.fc2(state1[0]), *state2)
                kept.append((state1[0], state2[0]))
            return [torch.stack(part) for part in zip(*kept, strict=True)]

    assert from_snntorch(Both("RLeaky", False, True), INPUTS).output == "two"


# ----------------------------------------------------------------------------------------- delays of each synapse


class Delayed(nn.Module):
    """Neurons behind learnable delays, which are whole steps."""

    def __init__(self) -> None:
        super().__init__()
        from spikeloom.compiler.training import DelayLinear

        torch.manual_seed(9)
        self.fc1, self.fc2 = DelayLinear(INPUTS, HIDDEN, max_delay=12), DelayLinear(HIDDEN, OUTPUTS, 6, bias=False)
        self.one, self.two = (
            snn.Leaky(0.8, init_hidden=True),
            snn.RLeaky(0.7, linear_features=OUTPUTS, init_hidden=True),
        )
        with torch.no_grad():
            for layer in (self.fc1, self.fc2):
                layer.weight *= 4
                layer.delay.round_()

    def forward(self, x: Any) -> Any:
        return self.two(self.fc2(self.one(self.fc1(x))))

    def run(self, spikes: np.ndarray) -> np.ndarray:
        _clear(self)
        self.fc1.reset(), self.fc2.reset()
        x = torch.from_numpy(spikes).float()
        with torch.no_grad():
            return torch.stack([self(x[:, t]) for t in range(x.shape[1])], 1).numpy()


def test_learnt_delays_are_those_of_their_synapses() -> None:
    module, spikes = Delayed(), _spikes()
    expected = module.run(spikes)
    history = list(module.fc1._history)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = from_snntorch(module, INPUTS)
    assert (
        np.array_equal(network.projections[0].delay, module.fc1.delays_int) and network.projections[0].delay.max() > 4
    )
    assert [p.delay.ndim for p in network.projections] == [2, 2, 0]
    assert all(a is b for a, b in zip(history, module.fc1._history, strict=True)), "the module is left as it was"
    _assert_same(network, spikes, expected)
    with torch.no_grad():
        module.fc1.delay[2, 3] = 1.5
    _clear(module)
    with pytest.raises(ModelError, match=r"delays are whole steps: 'fc1' has 1.5; round them, with fc1\.delay\.data"):
        from_snntorch(module, INPUTS)


# ---------------------------------------------------------------------------------------------------- refused


def _future(net: Any, t: int, x: Any, one: list[Any], two: list[Any]) -> tuple[Any, Any]:
    spk1 = net.one(net.fc1(x[min(t + 1, len(x) - 1)]))
    return spk1, net.two(net.fc2(spk1))


def _growing(net: Any, t: int, x: Any, one: list[Any], two: list[Any]) -> tuple[Any, Any]:
    spk1 = net.one(net.fc1(x[t]) + net.own(one[0] if one else torch.zeros(x.shape[1], HIDDEN)))
    return spk1, net.two(net.fc2(spk1))


def _from_ones(net: Any, t: int, x: Any, one: list[Any], two: list[Any]) -> tuple[Any, Any]:
    spk1 = net.one(net.fc1(x[t]) + net.own(one[-1] if one else torch.ones(x.shape[1], HIDDEN)))
    return spk1, net.two(net.fc2(spk1))


class Given(Recurrent):
    """A recurrent layer that is given spikes that are not its own of the step before."""

    def forward(self, x: Any) -> Any:
        spk, mem = self.one.reset_mem()
        older, fired = spk, []
        for now in x:
            given, older = older, spk
            spk, mem = self.one(self.fc1(now), given, mem)
            fired.append(spk)
        return torch.stack(fired)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "RLeaky that loses its input": (
        lambda: Recurrent("RLeaky", False, True, reset_mechanism="zero"),
        "a RLeaky that resets to zero a step later also loses that step's current.*'one' does",
    ),
    "RSynaptic that loses its current": (
        lambda: Recurrent("RSynaptic", False, True, reset_mechanism="zero"),
        "a RSynaptic that resets to zero a step later",
    ),
    "a convolution": (
        lambda: nn.Sequential(snn.RLeaky(0.9, conv2d_channels=2, kernel_size=3, init_hidden=True)),
        "recurrent neurons have linear_features, or all_to_all=False and V: '0' has a Conv2d",
    ),
    "the next step": (
        lambda: Written(_future),
        "a step receives what came before: in step 3, 'one' receives the input of step 4",
    ),
    "the first step": (lambda: Written(_growing), "'one' receives something else in step 3 than in step 4"),
    "spikes before the sample": (
        lambda: Written(_from_ones),
        "'one' differs in step 0; it may start from spikes of before the sample: start from zeros",
    ),
    "older spikes": (
        lambda: Given("RLeaky", False, True),
        "a neuron layer continues from its own spikes: 'one' is given others in step 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    make, message = REFUSED[case]
    shape = (2, 4, 4) if case == "a convolution" else INPUTS
    with pytest.raises(ModelError, match=message) as error:
        from_snntorch(make(), shape)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400

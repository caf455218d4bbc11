"""The float executor against hand-computed steps and against the frameworks' own neurons."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import (
    IF,
    LI,
    LIF,
    Arithmetic,
    CubaLIF,
    Decay,
    Drive,
    Fire,
    FloatDynamics,
    IntegerDynamics,
    Kind,
    ResetMode,
    ResetPlace,
)
from spikeloom.hdl.errors import ModelError, SampleError
from spikeloom.sim import float_executor
from spikeloom.sim.float_executor import run_float


def _layer(dynamics: FloatDynamics, weights: Any = 1.0, bias: Any = 0.0, **fields: Any) -> Network:
    weights = np.atleast_2d(weights)
    return Network(
        input_shape=(weights.shape[0],),
        populations=(Population(name="out", shape=(weights.shape[1],), dynamics=dynamics, bias=bias),),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=weights)),),
        output="out",
        **fields,
    )


def _run_one(dynamics: FloatDynamics, inputs: list[int], **fields: Any) -> tuple[list[int], list[float]]:
    """Spikes and membranes of a single neuron with one synapse of weight 1."""
    network = _layer(dynamics, **{"x_max": 4, "dtype": "float64", **fields})
    recording = run_float(network, np.array(inputs)[None, :, None], membranes=True)
    assert recording.membranes is not None
    return recording.spikes[0, :, 0].tolist(), recording.membranes[0, :, 0].tolist()


# Constants that are sums of powers of two, so that every expected value is exact.
STEPS: dict[str, tuple[FloatDynamics, list[int], list[int], list[float]]] = {
    "IF subtracts": (IF(threshold=1.5), [1, 1, 1, 1], [0, 1, 0, 1], [1, 0.5, 1.5, 1]),
    "IF fires at the threshold only with GE": (IF(threshold=1.0, fire=Fire.GE), [1, 0, 1], [1, 0, 1], [0, 0, 0]),
    "IF gain": (IF(threshold=1.0, r=0.5), [1, 1, 1], [0, 0, 1], [0.5, 1, 0.5]),
    "IF resets to a value": (
        IF(threshold=1.0, v_reset=-0.5, v_init=0.25, reset_mode=ResetMode.VALUE),
        [1, 1, 1],
        [1, 0, 1],
        [-0.5, 0.5, -0.5],
    ),
    "LIF subtracts": (LIF(beta=0.5, threshold=1.0), [2, 1, 0], [1, 1, 0], [1, 0.5, 0.25]),
    "LIF without reset": (LIF(beta=0.5, threshold=1.0, reset_mode=ResetMode.NONE), [2, 0, 0], [1, 0, 0], [2, 1, 0.5]),
    "LIF subtracts in the next step": (
        LIF(beta=0.5, threshold=1.0, reset_place=ResetPlace.NEXT),
        [2, 2, 0, 0],
        [1, 1, 0, 0],
        [2, 2, 0, 0],
    ),
    "LIF resets to a value in the next step": (
        LIF(beta=0.5, threshold=1.0, v_reset=0.5, reset_mode=ResetMode.VALUE, reset_place=ResetPlace.NEXT),
        [2, 2, 0, 0],
        [1, 1, 0, 0],
        [2, 2.25, 0.25, 0.125],
    ),
    "LIF as snnTorch without delay": (  # V = 3 still is above the threshold: reset before the comparison, not after
        LIF(beta=0.5, threshold=1.0, reset_place=ResetPlace.SNNTORCH_SAME),
        [4, 1, 0],
        [1, 1, 0],
        [3, 1.5, 0.75],
    ),
    "LIF leaks to v_leak": (
        LIF(beta=0.5, threshold=8.0, v_leak=1.0, v_init=3.0),
        [0, 0],
        [0, 0],
        [2, 1.5],
    ),
    "LIF Euler scales the input": (
        LIF(beta=0.75, threshold=1.0, v_leak=-1.0, arithmetic=Arithmetic.EULER),
        [4, 0],
        [0, 0],
        [0.75, 0.3125],
    ),
    "LIF Euler by division": (
        LIF(beta=0.75, threshold=1.0, v_leak=-1.0, arithmetic=Arithmetic.EULER_DIVIDE),
        [4, 0],
        [0, 0],
        [0.75, 0.3125],
    ),
    "CubaLIF drives with the new current": (
        CubaLIF(alpha=0.5, beta=0.5, threshold=2.0, w_in=2.0),
        [1, 0, 0],
        [0, 0, 0],
        [2, 2, 1.5],
    ),
    "CubaLIF drives with the old current": (
        CubaLIF(alpha=0.5, beta=0.5, threshold=2.0, w_in=2.0, drive=Drive.OLD),
        [1, 0, 0],
        [0, 0, 0],
        [0, 2, 2],
    ),
    "LI never fires": (LI(beta=0.5, v_init=1.0), [4, 4], [0, 0], [4.5, 6.25]),
}


@pytest.mark.parametrize("case", STEPS)
def test_steps(case: str) -> None:
    dynamics, inputs, spikes, membranes = STEPS[case]
    assert _run_one(dynamics, inputs) == (spikes, membranes)


def test_bias_and_parameters_per_neuron() -> None:
    dynamics = LIF(beta=[0.5, 0.0], threshold=[1.0, 0.5])
    network = _layer(dynamics, weights=[[1.0, 0.25]], bias=[0.25, 0.125], dtype="float64")
    recording = run_float(network, np.ones((1, 2, 1), np.uint8), membranes=True)
    assert recording.membranes is not None
    assert recording.membranes[0].tolist() == [[0.25, 0.375], [0.375, 0.375]]
    assert recording.spikes[0].tolist() == [[1, 0], [1, 0]]


def test_several_projections_into_one_population_and_a_skip() -> None:
    spiking = IF(threshold=0.25)
    network = Network(
        input_shape=(1,),
        populations=(
            Population(name="hidden", shape=(1,), dynamics=spiking),
            Population(name="out", shape=(1,), dynamics=IF(threshold=2.5)),
        ),
        projections=(
            Projection(pre=INPUT, post="hidden", connectivity=Dense(weights=[[1.0]])),
            Projection(pre="hidden", post="out", connectivity=Dense(weights=[[1.0]])),
            Projection(pre=INPUT, post="out", connectivity=Dense(weights=[[2.0]])),
        ),
        output="out",
    )
    recording = run_float(network, np.array([[[1], [0]]]))
    assert recording.populations["hidden"].spikes[0, :, 0].tolist() == [1, 1]
    assert recording.spikes[0, :, 0].tolist() == [1, 0]


def test_delays_of_synapses_and_projections() -> None:
    """Pulses in the first and the last step arrive at each post neuron after its synapse's delay, or not at all."""
    pulse = np.array([1, 0, 0, 0, 1], np.uint8).reshape(1, 5, 1)

    def increments(delay: Any) -> list[list[float]]:
        network = _layer(LI(beta=1.0), [[1.0, 2.0, 3.0]])
        delayed = dataclasses.replace(network.projections[0], delay=delay)
        trace = run_float(dataclasses.replace(network, projections=(delayed,)), pulse, membranes=True).membranes
        assert trace is not None
        return np.diff(trace[0], axis=0, prepend=0).tolist()

    zero = [0, 0, 0]
    assert increments(2) == [zero, zero, [1, 2, 3], zero, zero]
    assert increments([[0, 4, 2]]) == [[1, 0, 0], zero, [0, 0, 3], zero, [1, 2, 0]]


def test_recurrence_arrives_a_step_later_and_a_sample_starts_without_spikes() -> None:
    network = _layer(IF(threshold=4.0), [[5.0]])
    loop = Projection(pre="out", post="out", connectivity=Dense(weights=[[3.5]]), delay=1)
    network = dataclasses.replace(network, projections=(*network.projections, loop))
    recording = run_float(network, np.array([[[1], [0], [0]]] * 2, np.uint8), membranes=True)
    assert recording.membranes is not None
    assert recording.spikes[..., 0].tolist() == [[1, 1, 0]] * 2
    assert recording.membranes[..., 0].tolist() == [[1, 0.5, 4]] * 2


def test_sums_of_delayed_synapses_widen_what_is_ambiguous() -> None:
    """Terms that arrive in one step from several steps before, in an order that a framework may choose."""
    weights = np.array([[0.1], [0.2], [0.3]])
    tie = float(np.float32(weights.astype(np.float32).astype(np.float64).sum()))
    network = _layer(IF(threshold=tie), weights)
    late = dataclasses.replace(network.projections[0], delay=[[0], [1], [2]])
    spikes = np.array([[[0, 0, 1], [0, 1, 0], [1, 0, 0]]], np.uint8)
    assert run_float(dataclasses.replace(network, projections=(late,)), spikes).ambiguous == 1


def test_every_sample_starts_afresh_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    network = _layer(LIF(beta=0.9, threshold=1.0), weights=rng.normal(size=(5, 7)), x_max=3)
    spikes = rng.integers(0, 4, (9, 6, 5), dtype=np.uint8)
    whole = run_float(network, spikes, membranes=True)
    monkeypatch.setattr(float_executor, "_BLOCK_VALUES", 24)  # two samples a block
    calls: list[tuple[int, int]] = []
    blocks = run_float(network, spikes, membranes=True, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 9), (4, 9), (6, 9), (8, 9), (9, 9)]
    assert np.array_equal(whole.spikes, blocks.spikes)
    assert np.array_equal(whole.membranes, blocks.membranes)  # type: ignore[arg-type]
    assert whole.ambiguous == blocks.ambiguous
    assert whole.membranes is not None and whole.membranes.dtype == np.float32


def test_ambiguous_counts_what_another_order_of_summation_may_change() -> None:
    weights = np.array([[0.1], [0.2], [0.3]])
    tie = float(np.float32(weights.astype(np.float32).astype(np.float64).sum()))
    spikes = np.ones((2, 1, 3), np.uint8)
    assert run_float(_layer(IF(threshold=tie), weights), spikes).ambiguous == 2
    assert run_float(_layer(IF(threshold=tie * (1 + 1e-7)), weights), spikes).ambiguous == 2
    assert run_float(_layer(IF(threshold=tie * (1 + 1e-5)), weights), spikes).ambiguous == 0
    assert run_float(_layer(IF(threshold=tie * (1 + 1e-7)), weights, dtype="float64"), spikes).ambiguous == 0


def test_ambiguity_covers_random_orders_of_summation() -> None:
    """Membranes of sums in random order, in float32, stay within the bound that decides what is ambiguous."""
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(200, 1)).astype(np.float32)
    network = _layer(LIF(beta=0.95, threshold=1e6), weights)
    spikes = rng.integers(0, 2, (1, 50, 200), dtype=np.uint8)
    ours = run_float(network, spikes, membranes=True).membranes
    assert ours is not None
    engine = float_executor._Engine.of(network, network.populations[0])
    state = engine.start(1)
    v = np.float32(0)
    for step in range(50):
        engine.step(state, {INPUT: spikes}, step)
        current = np.float32(0)
        for i in rng.permutation(200):
            current = np.float32(current + weights[i, 0] * np.float32(spikes[0, step, i]))
        v = np.float32(np.float32(0.95) * v + current)
        assert abs(v - ours[0, step, 0]) <= state.error[0, 0]
    assert state.error[0, 0] < 0.1


def test_mismatches_with_another_order_start_at_ambiguous_neuron_steps() -> None:
    """Weights and threshold that are multiples of a tenth: sums meet the threshold but for their rounding."""
    snntorch = pytest.importorskip("snntorch")
    layer = _linear(10, 1.0)
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-3, 4, layer.weight.shape) * 0.1)
        layer.bias.zero_()
    network = _network_of(layer, LIF(beta=0.5, threshold=0.5, reset_place=ResetPlace.NEXT))
    spikes = _random(11, (100, 40, 40))
    leaky = snntorch.Leaky(beta=0.5, threshold=0.5)
    expected, _ = _run_torch(lambda x, mem: leaky(x, mem), layer(torch.from_numpy(spikes).float()))
    engine = float_executor._Engine.of(network, network.populations[0])
    state = engine.start(len(spikes))
    agree = np.ones((100, 30), np.bool_)
    ambiguous = 0
    for step in range(40):
        unsure = engine.step(state, {INPUT: spikes}, step)
        assert not np.any(agree & (state.spiked != expected[:, step]) & ~unsure)
        agree &= state.spiked == expected[:, step]
        ambiguous += np.count_nonzero(unsure)
    assert agree.mean() > 0.9
    assert 0 < ambiguous == run_float(network, spikes).ambiguous


# ------------------------------------------------------------------------------------------------- frameworks


def _random(seed: int, shape: tuple[int, ...], rate: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < rate).astype(np.uint8)


def _assert_same(network: Network, spikes: np.ndarray, framework_spikes: np.ndarray, framework_v: np.ndarray) -> None:
    recording = run_float(network, spikes, membranes=True)
    assert 0.02 < framework_spikes.mean() < 0.9, "the comparison needs neurons that fire"
    assert np.array_equal(recording.spikes, framework_spikes)
    assert recording.membranes is not None
    np.testing.assert_allclose(recording.membranes, framework_v, rtol=1e-4, atol=1e-4)


def _run_torch(step: Callable[[Any, Any], tuple[Any, Any]], currents: Any) -> tuple[np.ndarray, np.ndarray]:
    """Loop a framework's neuron over currents [samples, steps, neurons]; spikes and membranes in that layout."""
    import torch

    state, spikes, membranes = None, [], []
    with torch.no_grad():
        for t in range(currents.shape[1]):
            z, state = step(currents[:, t], state)
            spikes.append(z)
            membranes.append(getattr(state, "v", state))
    return torch.stack(spikes, 1).numpy(), torch.stack(membranes, 1).numpy()


def _linear(seed: int, gain: float) -> Any:
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    layer = torch.nn.Linear(40, 30)
    with torch.no_grad():
        layer.weight *= gain
    return layer


def _network_of(layer: Any, dynamics: FloatDynamics) -> Network:
    return _layer(dynamics, layer.weight.detach().numpy().T, layer.bias.detach().numpy())


def test_equals_norse_lif_box() -> None:
    norse = pytest.importorskip("norse.torch")
    torch = pytest.importorskip("torch")
    layer = _linear(3, 10.0)
    tau_inv = torch.full((30,), 80.0)
    cell = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=tau_inv, v_th=torch.tensor(0.4)))
    spikes = _random(4, (20, 50, 40))
    expected = _run_torch(cell, layer(torch.from_numpy(spikes).float()))
    leak = (0.001 * tau_inv).double().numpy()
    dynamics = LIF(
        beta=1 - leak,
        threshold=float(np.float32(0.4)),
        reset_mode=ResetMode.VALUE,
        arithmetic=Arithmetic.EULER,
    )
    _assert_same(_network_of(layer, dynamics), spikes, *expected)


def test_equals_norse_lif_with_current() -> None:
    norse = pytest.importorskip("norse.torch")
    torch = pytest.importorskip("torch")
    layer = _linear(5, 8.0)
    parameters = norse.LIFParameters(tau_syn_inv=torch.tensor(200.0), tau_mem_inv=torch.tensor(90.0))
    spikes = _random(6, (20, 50, 40))
    expected = _run_torch(norse.LIFCell(p=parameters), layer(torch.from_numpy(spikes).float()))
    leaks = [float(0.001 * torch.tensor(x)) for x in (200.0, 90.0)]
    dynamics = CubaLIF(
        alpha=1 - leaks[0],
        beta=1 - leaks[1],
        threshold=1.0,
        reset_mode=ResetMode.VALUE,
        arithmetic=Arithmetic.EULER,
    )
    _assert_same(_network_of(layer, dynamics), spikes, *expected)


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.25])
@pytest.mark.parametrize("tau", [2.0, 3.0, 7.3])
def test_equals_spikingjelly_lif(v_reset: float | None, tau: float) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    torch = pytest.importorskip("torch")
    layer = _linear(7, 10.0)
    node = neuron.LIFNode(tau=tau, v_reset=v_reset, v_threshold=0.5)
    spikes = _random(8, (20, 50, 40))

    def step(current: Any, _: Any) -> tuple[Any, Any]:
        return node(current), node.v.clone()

    expected = _run_torch(step, layer(torch.from_numpy(spikes).float()))
    rest = v_reset or 0.0
    dynamics = LIF(
        beta=1 - 1 / tau,
        threshold=0.5,
        v_leak=rest,
        v_reset=rest,
        v_init=rest,
        reset_mode=ResetMode.SUBTRACT if v_reset is None else ResetMode.VALUE,
        fire=Fire.GE,
        arithmetic=Arithmetic.EULER_DIVIDE,
    )
    _assert_same(_network_of(layer, dynamics), spikes, *expected)


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((2, 3, 4), np.uint8), "shape"),
        (np.zeros((2, 5), np.uint8), "shape"),
        (np.zeros((2, 3, 5)), "integers"),
        (np.full((2, 3, 5), 3), "0 to 2 spikes"),
        (np.full((2, 3, 5), -1), "0 to 2 spikes"),
    ],
)
def test_refuses_samples_that_do_not_suit(spikes: np.ndarray, message: str) -> None:
    network = _layer(IF(threshold=1.0), weights=np.ones((5, 2)), x_max=2)
    with pytest.raises(SampleError, match=message) as error:
        run_float(network, spikes)
    assert "\n" not in str(error.value)


def test_takes_inputs_in_the_networks_shape() -> None:
    network = dataclasses.replace(_layer(IF(threshold=1.0), weights=np.ones((6, 2))), input_shape=(2, 3))
    spikes = _random(9, (4, 3, 6))
    assert np.array_equal(run_float(network, spikes).spikes, run_float(network, spikes.reshape(4, 3, 2, 3)).spikes)


def test_refuses_integer_networks() -> None:
    dynamics = IntegerDynamics(kind=Kind.LIF, fire=[3], sub=[4], decay=Decay(c=1, k=2))
    network = Network(
        input_shape=(1,),
        populations=(Population(name="out", shape=(1,), dynamics=dynamics),),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=Quantised(codes=[[1]], bits=4))),),
        output="out",
    )
    with pytest.raises(ModelError, match="'network' is an integer network; run the integer reference"):
        run_float(network, np.zeros((1, 1, 1), np.uint8))

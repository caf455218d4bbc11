"""The torch simulation does what the float executor does, and its traces are the membranes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.compression.augmentation import image_shape, warped
from spikeloom.compiler.compression.hessian import MAX_LEAKS, Loss, leak_groups, problems_of
from spikeloom.compiler.compression.loss import membrane_losses
from spikeloom.compiler.compression.simulation import inputs_of, layers_of, simulate
from spikeloom.compiler.compression.sources import gather
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, LI, LIF, Arithmetic, CubaLIF, Drive, Dynamics, Fire, ResetMode, ResetPlace
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.float_executor import run_float

torch = pytest.importorskip("torch")


pytestmark = pytest.mark.usefixtures("one_thread")


def network(dynamics: Dynamics, readout: Dynamics | None = None) -> Network:
    """Two populations, the second also driven by the input, with biases."""
    rng = np.random.default_rng(1)
    last = readout or dynamics
    shapes = {(INPUT, "a"): (12, 9), ("a", "b"): (9, 4), (INPUT, "b"): (12, 4)}
    return Network(
        input_shape=(12,),
        populations=(
            Population(name="a", shape=(9,), dynamics=dynamics, bias=rng.normal(0, 0.05, 9)),
            Population(name="b", shape=(4,), dynamics=last, bias=rng.normal(0, 0.05, 4)),
        ),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=rng.normal(0.1, 0.5, shape)))
            for (pre, post), shape in shapes.items()
        ),
        output="b",
        dtype="float64",
    )


def samples(count: int = 7, steps: int = 15, inputs: int = 12, rate: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(2).random((count, steps, inputs)) < rate).astype(np.uint8)


CASES: list[Dynamics] = [
    *(
        LIF(beta=0.8, threshold=1.0, v_reset=0.1, reset_mode=mode, reset_place=place, fire=fire)
        for mode in ResetMode
        for place in (ResetPlace.SAME, ResetPlace.NEXT)
        for fire in Fire
    ),
    LIF(beta=0.8, threshold=1.0, reset_place=ResetPlace.SNNTORCH_SAME),
    LIF(beta=0.8, threshold=0.3, r=1.5, v_leak=0.1, v_init=0.05, arithmetic=Arithmetic.EULER),
    IF(threshold=1.0),
    CubaLIF(alpha=0.6, beta=0.8, threshold=1.0),
    CubaLIF(alpha=0.6, beta=0.8, threshold=1.0, w_in=0.5, drive=Drive.OLD, reset_place=ResetPlace.NEXT),
]


@pytest.mark.parametrize("dynamics", CASES, ids=range(len(CASES)))
def test_spikes_are_those_of_the_float_executor(dynamics: Dynamics) -> None:
    net, inputs = network(dynamics), samples()
    recorded = run_float(net, inputs).populations
    answers = simulate(layers_of(net, dtype=torch.float64), inputs_of(inputs, dtype=torch.float64))
    assert recorded["b"].spikes.any()
    for name, answer in answers.items():
        assert answer.spikes is not None
        assert np.array_equal(answer.spikes.numpy().transpose(1, 0, 2), recorded[name].spikes)


def test_a_readout_has_the_float_executors_membranes_and_no_spikes() -> None:
    net, inputs = network(LIF(beta=0.8, threshold=1.0), LI(beta=0.9)), samples()
    answer = simulate(layers_of(net, dtype=torch.float64), inputs_of(inputs, dtype=torch.float64))["b"]
    membranes = run_float(net, inputs, membranes=True).populations["b"].membranes
    assert answer.spikes is None and membranes is not None
    np.testing.assert_allclose(answer.membranes.numpy().transpose(1, 0, 2), membranes, atol=1e-12)


def test_delayed_projections_see_earlier_spikes() -> None:
    net = network(LIF(beta=0.8, threshold=1.0))
    late = replace(net, projections=tuple(replace(p, delay=np.array(2)) for p in net.projections))
    layer = layers_of(late)[0]
    x = inputs_of(samples())
    seen = gather(layer, {INPUT: x})
    assert not seen[:2].any() and torch.equal(seen[2:], x[:-2])


def test_surrogate_gradients_pass_through_spikes_and_leave_them_alone() -> None:
    layers, x = layers_of(network(LIF(beta=0.8, threshold=1.0))), inputs_of(samples())
    weights = [layer.weight.clone().requires_grad_() for layer in layers]
    answer = simulate(layers, x, weights, surrogate=True)["b"].spikes
    assert torch.equal(answer.detach(), simulate(layers, x)["b"].spikes)
    answer.sum().backward()
    assert all(bool(w.grad.any()) for w in weights)


def test_delays_per_synapse_are_refused_by_name() -> None:
    net = network(LIF(beta=0.8, threshold=1.0))
    first = replace(net.projections[0], delay=np.ones((12, 9), np.int64))
    with pytest.raises(ModelError, match="one delay per projection"):
        layers_of(replace(net, projections=(first, *net.projections[1:])))


@pytest.mark.parametrize("dynamics", [LIF(beta=0.8, threshold=1e9), CubaLIF(alpha=0.6, beta=0.8, threshold=1e9)])
def test_the_loss_is_the_mean_square_error_of_membranes_that_never_fire(dynamics: Any) -> None:
    net, x = network(dynamics), inputs_of(samples(), dtype=torch.float64)
    layers = layers_of(net, dtype=torch.float64)
    layer = layers[0]
    (problem,) = problems_of(layer, layer.weight, layer.bias, gather(layer, {INPUT: x}), damping=0.0)
    changed = layer.weight + 0.1 * torch.randn(layer.weight.shape, dtype=torch.float64)
    bias = problem.bias_for(changed.T)
    before = simulate(layers[:1], x)["a"].membranes
    after = simulate(layers[:1], x, [changed], [bias])["a"].membranes
    np.testing.assert_allclose(problem.loss(changed.T), ((after - before) ** 2).mean(dim=(0, 1)), rtol=1e-9)


def test_the_current_loss_ignores_the_leak() -> None:
    layer = layers_of(network(LIF(beta=0.8, threshold=1.0)))[0]
    x = gather(layer, {INPUT: inputs_of(samples())})
    (problem,) = problems_of(layer, layer.weight, layer.bias, x, loss=Loss.CURRENT, damping=0.0, free_bias=False)
    flat = x.reshape(-1, 12).double()
    np.testing.assert_allclose(problem.hessian, 2 * flat.T @ flat / len(flat), rtol=1e-9)


def test_the_sequential_target_undoes_what_the_seen_spikes_lack() -> None:
    """Inputs seen at half their size need weights twice as large."""
    layer = layers_of(network(LIF(beta=0.8, threshold=1.0)), dtype=torch.float64)[0]
    x = gather(layer, {INPUT: inputs_of(samples(60), dtype=torch.float64)})
    (problem,) = problems_of(layer, layer.weight, layer.bias, x, seen=x / 2, damping=1e-9)
    np.testing.assert_allclose(problem.target, 2 * layer.weight.T, rtol=1e-5)
    np.testing.assert_allclose(problem.bias, layer.bias, atol=1e-5)


def test_dead_inputs_and_silence_leave_a_positive_definite_hessian() -> None:
    layer = layers_of(network(LIF(beta=0.8, threshold=1.0)))[0]
    x = gather(layer, {INPUT: inputs_of(samples())})
    x[:, :, :5] = 0
    for inputs, active in ((x, 7), (torch.zeros_like(x), 0)):
        (problem,) = problems_of(layer, layer.weight, layer.bias, inputs)
        assert int(problem.active.sum()) == active
        torch.linalg.cholesky(problem.hessian)


def test_damping_is_a_share_of_the_mean_diagonal() -> None:
    layer = layers_of(network(LIF(beta=0.8, threshold=1.0)))[0]
    x = gather(layer, {INPUT: inputs_of(samples())})
    plain, damped = (
        problems_of(layer, layer.weight, layer.bias, x, damping=damping, free_bias=False)[0].hessian
        for damping in (0.0, 0.5)
    )
    expected = plain + 0.5 * float(plain.diagonal().mean()) * torch.eye(12, dtype=plain.dtype)
    np.testing.assert_allclose(damped, expected, rtol=1e-9)


def test_neurons_with_many_leaks_share_a_few_hessians() -> None:
    layer = layers_of(network(LIF(beta=np.linspace(0.1, 0.9, 9), threshold=1.0), LI(beta=0.5)))[0]
    groups = list(leak_groups(layer))
    assert len(groups) <= MAX_LEAKS
    assert sorted(np.concatenate([neurons for neurons, _, _ in groups])) == list(range(9))
    betas = np.linspace(0.1, 0.9, 9)
    assert [beta for _, _, beta in groups] == pytest.approx([betas[neurons].mean() for neurons, _, _ in groups])
    assert len(list(leak_groups(layers_of(network(LIF(beta=0.8, threshold=1.0)))[0]))) == 1


def test_images_are_recognised_by_shape_or_by_their_smoothness() -> None:
    y, x = np.mgrid[:10, :10]
    blobs = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in np.random.default_rng(0).uniform(2, 8, (20, 2))]
    spikes = (np.random.default_rng(1).random((20, 30, 100)) < np.stack(blobs).reshape(20, 1, 100)).astype(np.uint8)
    assert image_shape((100,), spikes) == (1, 10, 10)
    assert image_shape((100,), spikes[:, :, np.random.default_rng(2).permutation(100)]) is None
    assert image_shape((99,), spikes[:, :, :99]) is None
    assert image_shape((10, 10), spikes) == (1, 10, 10)
    assert image_shape((4, 5, 5), spikes) == (4, 5, 5)


def test_warps_move_pixels_alike_in_every_step_and_channel() -> None:
    image = np.random.default_rng(0).integers(0, 2, (3, 1, 1, 144))
    spikes = torch.as_tensor(np.tile(image, (1, 5, 2, 1)).reshape(3, 5, 288))
    moved = warped(spikes, (2, 12, 12), torch.Generator().manual_seed(0))
    assert moved.shape == spikes.shape and not torch.equal(moved, spikes)
    assert torch.equal(moved, moved[:, :1].expand_as(moved))
    assert torch.equal(moved[:, :, :144], moved[:, :, 144:])


@pytest.mark.parametrize(
    ("dynamics", "traces"),
    [
        (LIF(beta=0.5, threshold=1e9), ([1, 0.5, 0.25], [0, 1, 0.5])),
        (CubaLIF(alpha=0.25, beta=0.5, threshold=1e9), ([1, 0.75, 0.4375], [0, 1, 0.75])),
    ],
)
def test_the_membrane_loss_has_the_leak(dynamics: Any, traces: tuple[list[float], list[float]]) -> None:
    """Two inputs that fire once, one after the other; the second one's synapse is lost. Traces worked out by hand."""
    net = Network(
        input_shape=(2,),
        populations=(Population(name="a", shape=(1,), dynamics=dynamics),),
        projections=(Projection(pre=INPUT, post="a", connectivity=Dense(weights=np.ones((2, 1)))),),
        output="a",
    )
    lost = Dense(weights=np.array([[1.0], [0.0]]))
    changed = replace(net, projections=(replace(net.projections[0], connectivity=lost),))
    spikes = np.array([[[1, 0], [0, 1], [0, 0]]], np.uint8)
    whole = np.sum(traces, axis=0)
    expected = np.sum(np.square(traces[1])) / np.sum(np.square(whole))
    assert membrane_losses(net, changed, {INPUT: spikes}) == pytest.approx({"a": expected})

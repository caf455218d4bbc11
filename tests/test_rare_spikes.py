"""Sums over lists of rare spikes are those of the matrices that hold them, and compression finds the same by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.compression import rare
from spikeloom.compiler.compression.hessian import Loss, problems_of
from spikeloom.compiler.compression.simulation import layers_of, simulate
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, LIF, CubaLIF

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists pay however few values there are; rows are summed a few at a time."""
    monkeypatch.setattr(rare, "WORTH", 1)
    monkeypatch.setattr(rare, "BLOCK", 25)


def spikes(largest: int = 1, empty: bool = False) -> Any:
    rng = np.random.default_rng(3)
    values = (rng.random((12, 7, 40)) < 0.015) * rng.integers(1, largest + 1, (12, 7, 40))
    values[:, 2] = 0
    return torch.as_tensor(values * (not empty), dtype=torch.float32)


@pytest.mark.parametrize("x", [spikes(), spikes(3), spikes(empty=True)], ids=["spikes", "counts", "silence"])
def test_sums_and_their_gradients_are_those_of_the_matrix(x: Any, lists: None) -> None:
    assert rare.is_rare(x)
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 9, generator=rng, requires_grad=True)
    outer = torch.randn(12, 7, 9, generator=rng)
    (rare.summed(x, weight) * outer).sum().backward()
    gradient, weight.grad = weight.grad, None
    (x @ weight * outer).sum().backward()
    torch.testing.assert_close(rare.summed(x, weight), x @ weight)
    torch.testing.assert_close(gradient, weight.grad)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.95, rare.MOST_KEPT])
@pytest.mark.parametrize("x", [spikes(), spikes(3), spikes(empty=True)], ids=["spikes", "counts", "silence"])
def test_second_moments_are_those_of_the_traces(x: Any, beta: float, lists: None) -> None:
    trace = torch.cat([x, torch.ones(12, 7, 1)], dim=2).double()
    for step in range(1, 12):
        trace[step] += beta * trace[step - 1]
    flat = trace.reshape(-1, 41)
    torch.testing.assert_close(rare.second_moments(x, beta), flat.T @ flat, rtol=1e-4, atol=1e-4)


def network(neurons: Any) -> Network:
    weights = np.random.default_rng(5).normal(0.3, 0.5, (40, 6))
    return Network(
        input_shape=(40,),
        populations=(Population(name="out", shape=(6,), dynamics=neurons, bias=np.zeros(6)),),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=weights)),),
        output="out",
    )


@pytest.mark.parametrize("loss", list(Loss))
@pytest.mark.parametrize(
    "neurons",
    [
        LIF(beta=0.8, threshold=1.0),
        LIF(beta=np.linspace(0.5, 0.9, 6), threshold=1.0),
        IF(threshold=1.0),
        CubaLIF(alpha=0.6, beta=0.8, threshold=1.0),
    ],
    ids=["LIF", "leaks", "IF", "CubaLIF"],
)
def test_problems_and_spikes_are_the_same_by_lists(neurons: Any, loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where traces are no plain leaks, they are made as ever."""
    (layer,) = layers_of(network(neurons))
    x = spikes(2)
    plain = problems_of(layer, layer.weight, layer.bias, x, loss=loss)
    fired = simulate([layer], x)["out"].spikes
    monkeypatch.setattr(rare, "WORTH", 1)
    assert rare.is_rare(x)
    for one, other in zip(plain, problems_of(layer, layer.weight, layer.bias, x, loss=loss), strict=True):
        torch.testing.assert_close(one.hessian, other.hessian, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.slope, other.slope, rtol=1e-4, atol=1e-5)
        assert torch.equal(one.active, other.active)
    assert fired.any() and torch.equal(fired, simulate([layer], x)["out"].spikes)


def test_lists_are_for_many_rare_spikes_that_no_gradient_asks_for() -> None:
    rare_ones = torch.zeros(1 << 5, 1 << 5, 1 << 10)
    assert rare.is_rare(rare_ones)
    assert not rare.is_rare(rare_ones + 1) and not rare.is_rare(rare_ones[1:])
    assert not rare.is_rare(rare_ones.double()) and not rare.is_rare(rare_ones.clone().requires_grad_())

"""Our Adam moves values as torch's does."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from spikeloom.compiler.compression.adam import Adam  # noqa: E402


def test_values_move_as_with_torch() -> None:
    rng = torch.Generator().manual_seed(0)
    own = [torch.randn(3, 4, generator=rng), torch.randn(5, generator=rng), torch.ones(2)]
    theirs = [value.clone().requires_grad_() for value in own]
    rates = [0.1, 0.01, 0.3]
    optimiser = Adam(zip(own, rates, strict=True))
    other = torch.optim.Adam([{"params": [v], "lr": rate} for v, rate in zip(theirs, rates, strict=True)])
    for share in (1.0, 0.5, 0.25, 0.1):
        optimiser.forget()
        other.zero_grad()
        for values in (own, theirs):
            (values[0].square().sum() + (values[1] ** 4).sum()).backward()  # the third has no part in it
        optimiser.step(share)
        for group, rate in zip(other.param_groups, rates, strict=True):
            group["lr"] = share * rate
        other.step()
    for one, two in zip(own, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(optimiser.square_of(own[0]), other.state[theirs[0]]["exp_avg_sq"])
    assert torch.equal(own[2], torch.ones(2))


def test_long_gradients_are_shortened_together() -> None:
    values = [torch.zeros(2), torch.zeros(3), torch.zeros(1)]
    optimiser = Adam((value, 0.1) for value in values)
    values[0].grad, values[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.0, -4.0])
    optimiser.limit(10.0)
    assert values[1].grad.tolist() == [0, 0, -4]
    optimiser.limit(1.0)
    torch.testing.assert_close(values[0].grad, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(values[1].grad, torch.tensor([0.0, 0.0, -0.8]))

"""Sums over the synapses that a mask keeps are those of the matrix, and so are the gradients of what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from spikeloom.compiler.compression import masked

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")


def layer(kept: Any) -> tuple[Any, Any]:
    """Spikes [steps, samples, inputs] and weights that are 0 but where they are kept."""
    rng = torch.Generator().manual_seed(0)
    spikes = (torch.rand(12, 7, 40, generator=rng) < 0.3).float() * 2
    return spikes, (torch.randn(40, 9, generator=rng) * kept).requires_grad_()


def masks() -> dict[str, Any]:
    some = torch.rand(40, 9, generator=torch.Generator().manual_seed(1)) < 0.08
    some[:, [0, 4, 8]] = False  # neurons without any synapse, the first and the last among them
    return {"some": some, "one": torch.arange(360).reshape(40, 9) == 123, "none": torch.zeros(40, 9, dtype=torch.bool)}


@pytest.mark.parametrize("case", masks())
def test_sums_and_their_gradients_are_those_of_the_matrix(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked, "WORTH", 1)
    kept = masks()[case]
    spikes, weight = layer(kept)
    outer = torch.randn(12, 7, 9, generator=torch.Generator().manual_seed(2))
    for x in (spikes, spikes.permute(2, 0, 1).contiguous().permute(1, 2, 0)):
        assert masked._pays(x, weight, kept)
        weight.grad = None
        sums = masked.summed_where(x, weight, kept)
        (sums * outer).sum().backward()
        torch.testing.assert_close(sums, x @ weight)
        expected = torch.einsum("tsi,tsn->in", x, outer) * kept
        torch.testing.assert_close(weight.grad, expected)


def test_matrices_are_multiplied_where_many_stay_and_where_gradients_reach_the_spikes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = masks()["some"]
    spikes, weight = layer(kept)
    assert not masked._pays(spikes, weight, kept)  # too small
    monkeypatch.setattr(masked, "WORTH", 1)
    assert masked._pays(spikes, weight, kept)
    assert not masked._pays(spikes, weight, torch.ones_like(kept))
    assert not masked._pays(spikes.requires_grad_(), weight, kept)
    torch.testing.assert_close(masked.summed_where(spikes, weight, kept), spikes @ weight)

"""Exact elimination, its staged form, allocation and rounding on small least-squares problems."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from spikeloom.compiler.compression.allocation import allocate, kept_after, zeros
from spikeloom.compiler.compression.gptq import round_rows
from spikeloom.compiler.compression.grid import Grid
from spikeloom.compiler.compression.hessian import Problem
from spikeloom.compiler.compression.obs import PANEL, bytes_per_row, eliminate, eliminate_kept, refit
from spikeloom.compiler.compression.staged import eliminate_in_stages, thinned
from spikeloom.hdl.errors import OptionError

torch = pytest.importorskip("torch")


pytestmark = pytest.mark.usefixtures("one_thread")


def hessian(size: int, seed: int = 0) -> torch.Tensor:
    x = np.random.default_rng(seed).normal(size=(3 * size, size)) @ np.random.default_rng(seed + 1).normal(
        size=(size, size)
    )
    return torch.as_tensor(x.T @ x / len(x) + 0.05 * np.eye(size))


def rows(count: int, size: int, seed: int = 5) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(size=(count, size)))


def problem(count: int, size: int) -> Problem:
    target = rows(count, size)
    zero = torch.zeros(count, dtype=torch.float64)
    return Problem(
        neurons=np.arange(count),
        hessian=hessian(size),
        target=target,
        bias=zero,
        slope=torch.zeros(size, dtype=torch.float64),
        active=torch.ones(size, dtype=torch.bool),
    )


def one_by_one(h: np.ndarray, w: np.ndarray, price: np.ndarray | None = None) -> tuple[list[int], list[float]]:
    """The elimination of one row as the paper writes it, each loss times the `price` of its input."""
    inverse, w = np.linalg.inv(h), w.copy()
    price = np.ones_like(w) if price is None else price
    left, order, losses = list(range(len(w))), [], []
    while left:
        p = min(left, key=lambda i: price[i] * w[i] ** 2 / inverse[i, i])
        losses.append(price[p] * w[p] ** 2 / inverse[p, p] / 2)
        w -= inverse[:, p] * w[p] / inverse[p, p]
        inverse = inverse - np.outer(inverse[:, p], inverse[p]) / inverse[p, p]
        left.remove(p)
        order.append(p)
    return order, losses


def loss(h: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    error = weights - target
    return 0.5 * ((error @ h) * error).sum(dim=1)


@pytest.mark.parametrize("size", [5, 2 * PANEL + 7])
def test_elimination_is_that_of_the_paper(size: int) -> None:
    h, w = hessian(size), rows(4, size)
    found = eliminate(h, w, torch.zeros_like(w, dtype=torch.bool))
    for row in range(4):
        order, losses = one_by_one(h.numpy(), w[row].numpy())
        assert found.synapses[row].tolist() == order
        np.testing.assert_allclose(found.losses[row], losses, rtol=1e-6)


def test_elimination_counts_the_price_of_an_input() -> None:
    h, w = hessian(12), rows(3, 12)
    price = torch.as_tensor(np.random.default_rng(2).uniform(0.1, 3.0, 12))
    found = eliminate(h, w, torch.zeros_like(w, dtype=torch.bool), price=price)
    for row in range(3):
        order, losses = one_by_one(h.numpy(), w[row].numpy(), price.numpy())
        assert found.synapses[row].tolist() == order
        np.testing.assert_allclose(found.losses[row], losses, rtol=1e-9)


@pytest.mark.parametrize(("weights", "sparsity", "expected"), [(10, 0.25, 3), (3, 0.5, 2), (7, 0.2, 1), (5, 0.0, 0)])
def test_the_share_of_zeros_is_the_nearest_number(weights: int, sparsity: float, expected: int) -> None:
    assert zeros(weights, sparsity) == expected


def test_losses_add_up_to_that_of_the_refitted_row() -> None:
    h, w = hessian(40), rows(6, 40)
    order = eliminate(h, w, torch.zeros_like(w, dtype=torch.bool))
    counts = torch.tensor([0, 5, 17, 25, 39, 40])
    kept = kept_after(order.synapses, counts)
    weights = refit(h, w, kept)
    assert kept.sum(dim=1).tolist() == (40 - counts).tolist() and not weights[~kept].any()
    expected = [float(order.losses[i, :c].sum()) for i, c in enumerate(counts.tolist())]
    np.testing.assert_allclose(loss(h, w, weights), expected, rtol=1e-9, atol=1e-12)


def test_blocks_of_rows_change_nothing_and_a_budget_below_one_row_is_refused() -> None:
    h, w = hessian(30), rows(9, 30)
    gone = torch.zeros_like(w, dtype=torch.bool)
    whole, done = eliminate(h, w, gone), []
    parts = eliminate(h, w, gone, memory_budget=2 * bytes_per_row(30), advance=done.append)
    assert torch.equal(whole.synapses, parts.synapses) and sum(done) == 9 * 30 and len(done) == 5
    kept = kept_after(whole.synapses, torch.full((9,), 20))
    torch.testing.assert_close(refit(h, w, kept), refit(h, w, kept, memory_budget=1))
    with pytest.raises(OptionError, match="staged"):
        eliminate(h, w, gone, memory_budget=100)


def test_absent_synapses_go_first() -> None:
    h, w = hessian(20), rows(3, 20)
    gone = torch.as_tensor(np.random.default_rng(0).random((3, 20)) < 0.4)
    order = eliminate(h, torch.where(gone, 0.0, w), gone)
    for row in range(3):
        count = int(gone[row].sum())
        assert set(order.synapses[row, :count].tolist()) == set(gone[row].nonzero()[:, 0].tolist())


def test_n_of_m_keeps_n_of_every_m_and_the_rest_of_the_last_group() -> None:
    h, w = hessian(70), rows(5, 70)
    order = eliminate(h, w, torch.zeros_like(w, dtype=torch.bool), pattern=(2, 4))
    kept = kept_after(order.synapses, order.losses.isfinite().sum(dim=1))
    assert bool((kept[:, :68].reshape(5, 17, 4).sum(dim=2) == 2).all()) and bool(kept[:, 68:].all())


def test_allocation_takes_the_cheapest_per_energy_and_keeps_each_rows_order() -> None:
    a = torch.tensor([[1.0, 5.0, 2.0], [3.0, 4.0, 9.0]])
    b = torch.tensor([[-torch.inf, 40.0, 41.0]])
    assert [c.tolist() for c in allocate([a, b], [1.0, 10.0], 5 / 9)] == [[1, 2], [2]]
    assert [c.tolist() for c in allocate([a, b], [1.0, 10.0], 0.0)] == [[0, 0], [1]]


def test_the_staged_form_loses_little_against_the_exact_one() -> None:
    p = problem(16, 60)
    gone = torch.zeros_like(p.target, dtype=torch.bool)
    gone[0, :30] = True
    (kept,) = eliminate_in_stages([p], [gone], 0.8, tile=(1, 1))
    assert int((~kept).sum()) == round(0.8 * kept.numel()) and not bool((kept & gone).any())
    order = eliminate(p.hessian, p.target, gone)
    (counts,) = allocate([order.losses.masked_fill(gone.gather(1, order.synapses), -torch.inf)], [p.energy], 0.8)
    exact = p.loss(refit(p.hessian, p.target, kept_after(order.synapses, counts))).sum()
    assert p.loss(refit(p.hessian, p.target, kept)).sum() < 1.3 * exact


def test_elimination_of_what_is_kept_is_that_of_the_rest_alone() -> None:
    h, w = hessian(40), rows(6, 40)
    kept = torch.as_tensor(np.random.default_rng(2).random((6, 40)) < np.linspace(0.1, 1, 6)[:, None])
    start, done = refit(h, w, kept), []
    order = eliminate_kept(h, w, kept, memory_budget=2 * 4 * 8 * 40**2, advance=done.append)
    assert sum(done) == kept.numel() and len(done) > 1
    for row, found, losses, mask in zip(start, order.synapses, order.losses, kept, strict=True):
        assert sorted(found.tolist()) == list(range(40))
        count = int(mask.sum())
        assert bool((losses[: 40 - count] == -torch.inf).all()) and not bool(mask[found[: 40 - count]].any())
        names = mask.nonzero()[:, 0]
        order_alone, losses_alone = one_by_one(h[names][:, names].numpy(), row[names].numpy())
        assert names[order_alone].tolist() == found[40 - count :].tolist()
        np.testing.assert_allclose(losses[40 - count :], losses_alone, rtol=1e-8, atol=1e-12)


def test_thinning_before_the_elimination_loses_nothing_to_speak_of() -> None:
    p = problem(24, 90)
    gone = torch.zeros_like(p.target, dtype=torch.bool)
    gone[0, :30] = True
    (kept,) = thinned([p], [gone], 0.4)
    assert int(kept.sum()) == round(0.4 * kept.numel()) and not bool((kept & gone).any())
    exact = eliminate(p.hessian, p.target, torch.zeros_like(gone))
    some = eliminate_kept(p.hessian, p.target, kept)
    losses = []
    for order in (exact, some):
        (counts,) = allocate([order.losses], [p.energy], 0.9)
        losses.append(float(p.loss(refit(p.hessian, p.target, kept_after(order.synapses, counts))).sum()))
    assert losses[1] < 1.05 * losses[0]


def test_tiles_go_as_a_whole() -> None:
    p = problem(10, 22)
    (kept,) = eliminate_in_stages([p], [torch.zeros_like(p.target, dtype=torch.bool)], 0.6, tile=(4, 2))
    for post, pre in product(range(0, 10, 2), range(0, 22, 4)):
        part = kept[post : post + 2, pre : pre + 4]
        assert bool(part.all()) or not bool(part.any())
    assert 0.6 <= 1 - float(kept.double().mean()) < 0.65


def test_stages_leave_exactly_as_many_as_asked() -> None:
    p = problem(10, 22)
    (kept,) = eliminate_in_stages([p], [torch.zeros_like(p.target, dtype=torch.bool)], 0.6, tile=(1, 1))
    assert int(kept.sum()) == 88


@pytest.mark.parametrize("bits", [2, 4])
def test_rounding_loses_less_than_nearest_codes_and_keeps_the_mask(bits: int) -> None:
    h, w = hessian(40), rows(12, 40)
    limit = 2 ** (bits - 1) - 1
    for kept in (torch.ones_like(w, dtype=torch.bool), w.abs() > 0.7):
        found = round_rows(h, w, kept, Grid(limit), least_scales=torch.zeros(12, dtype=torch.float64))
        assert bool((found.codes.abs() <= limit).all()) and torch.equal(found.codes, found.codes.round())
        assert not found.codes[~kept].any()
        fitted = refit(h, w, kept)
        nearest = (fitted / found.scales[:, None]).round().clamp(-limit, limit) * found.scales[:, None]
        floor = loss(h, w, fitted).sum()
        assert loss(h, w, found.weights).sum() - floor < 0.75 * (loss(h, w, nearest).sum() - floor)


def test_no_single_code_would_be_better() -> None:
    """At the scales that were found, a code more or less loses more, in every place."""
    h, w = hessian(12), rows(8, 12, seed=50)
    kept = w.abs() > 0.2
    found = round_rows(h, w, kept, Grid(3), least_scales=torch.zeros(8, dtype=torch.float64))
    best = loss(h, w, found.weights)
    for row, place in kept.nonzero().tolist():
        for change in (-1, 1):
            codes = found.codes.clone()
            codes[row, place] += change
            if abs(codes[row, place]) <= 3:
                assert loss(h, w, codes * found.scales[:, None])[row] > best[row]


def test_a_readout_has_one_scale_and_small_scales_are_raised() -> None:
    h, w = hessian(20), rows(5, 20) * 10.0 ** torch.arange(5)[:, None]
    kept = torch.ones_like(w, dtype=torch.bool)
    least = torch.full((5,), 3.0, dtype=torch.float64)
    assert len(round_rows(h, w, kept, Grid(127), least_scales=least * 0, shared=True).scales.unique()) == 1
    assert bool((round_rows(h, w, kept, Grid(127), least_scales=least).scales >= 3).all())


def test_rows_without_synapses_have_scale_one() -> None:
    kept = torch.zeros(2, 10, dtype=torch.bool)
    found = round_rows(hessian(10), rows(2, 10), kept, Grid(7), least_scales=torch.zeros(2, dtype=torch.float64))
    assert found.scales.tolist() == [1, 1] and not found.codes.any()

"""ExactOBS: in which order a neuron loses its synapses, what each costs, and the best weights for those that stay.

Optimal Brain Compression (Frantar, Singh, Alistarh, NeurIPS 2022), algorithm 1, batched over rows (post neurons): the
synapse with the smallest w_p^2 / [H^-1]_pp goes, the others move by -H^-1[:,p] w_p / [H^-1]_pp to make up for it, and
H^-1 loses row and column p. As every row removes one synapse in a step, all keep matrices of the same size.

The rank-one updates of H^-1 are not applied one by one, which would move rows * d^2 numbers per synapse through memory,
but collected: column p of the current inverse is A[:,p] - U U[p]^T with U the pending updates. Every `PANEL` steps they
are applied in one matrix product, and what was removed is cut out. In all 2/3 rows d^3 multiplications.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...hdl.errors import OptionError

if TYPE_CHECKING:
    import torch

PANEL = 32
"""How many eliminations are collected before the inverses are updated."""

AT_ONCE = 1 << 28
"""Bytes of inverses that are worked on at once, one row at least: more are no faster."""

Advance = Callable[[int], None]
"""Called with the number of synapses that were ordered, for progress."""


@dataclass(frozen=True, eq=False)
class Order:
    """For each row [rows, d]: the synapses in the order in which they go, and what each adds to the loss.

    Synapses that a pattern keeps come last, with infinite loss.
    """

    synapses: torch.Tensor
    losses: torch.Tensor


def eliminate(
    hessian: torch.Tensor,
    weights: torch.Tensor,
    gone: torch.Tensor,
    *,
    pattern: tuple[int, int] | None = None,
    price: torch.Tensor | None = None,
    memory_budget: int = 1 << 30,
    advance: Advance | None = None,
) -> Order:
    """Order all synapses of `weights` [rows, d] under the positive definite `hessian` [d, d].

    `gone` [rows, d] marks synapses that were absent before; they go first and stay absent. `pattern` (n, m) keeps n of
    every m consecutive synapses. A loss counts `price` (d,) times, one for each input. Rows are handled in blocks that
    fit `memory_budget` bytes.
    Raises OptionError where not even one row fits.
    """
    import torch

    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    rows, size = weights.shape
    prices = (torch.ones_like(weights[0]) if price is None else price).expand(rows, size)
    block = _rows_per_block(size, memory_budget)
    parts = []
    for start in range(0, rows, block):
        part = slice(start, start + block)
        own = inverse.expand(len(weights[part]), size, size)
        parts.append(_eliminate_block(own, weights[part], gone[part], prices[part], pattern))
        if advance is not None:
            advance(len(parts[-1].synapses) * size)
    return Order(torch.cat([p.synapses for p in parts]), torch.cat([p.losses for p in parts]))


def eliminate_kept(
    hessian: torch.Tensor,
    target: torch.Tensor,
    kept: torch.Tensor,
    *,
    price: torch.Tensor | None = None,
    memory_budget: int = 1 << 30,
    advance: Advance | None = None,
) -> Order:
    """Order the synapses `kept` [rows, d], which start from what suits `target` best; the others come first, at -inf.

    `price` is as for `eliminate`. Every row has an inverse of its own, of the size of what it keeps: about 5/3 k^3
    multiplications for k synapses.
    """
    import torch

    size = target.shape[1]
    pull = target @ hessian
    synapses = torch.empty(target.shape, dtype=torch.int64, device=target.device)
    losses = torch.full(target.shape, -torch.inf, dtype=torch.float64, device=target.device)
    for support in supports(kept, min(memory_budget // 2, AT_ONCE)):  # twice the copies that a refit makes
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(support.submatrices(hessian)))
        weights = torch.bmm(inverse, support.take(pull).unsqueeze(2)).squeeze(2)
        prices = torch.ones_like(weights) if price is None else price[support.index]
        order = _eliminate_block(inverse, weights, ~support.valid, prices)
        ordered = support.index.gather(1, order.synapses)
        synapses[support.rows] = torch.cat([_missing(ordered, size), ordered], dim=1)
        padded = ~support.valid.gather(1, order.synapses)
        losses[support.rows, size - ordered.shape[1] :] = order.losses.masked_fill(padded, -torch.inf)
        if advance is not None:
            advance(len(support.rows) * size)
    return Order(synapses, losses)


def _missing(synapses: torch.Tensor, size: int) -> torch.Tensor:
    """The numbers below `size` that each row of `synapses` [rows, k] lacks, [rows, size - k]."""
    import torch

    present = torch.zeros(len(synapses), size, dtype=torch.int8, device=synapses.device)
    present.scatter_(1, synapses, 1)
    return present.argsort(dim=1, stable=True)[:, : size - synapses.shape[1]]


def bytes_per_row(size: int) -> int:
    """What exact elimination of one row with `size` synapses takes: two copies of its inverse, and the panel."""
    return 8 * (2 * size * size + (PANEL + 8) * size)


def _rows_per_block(size: int, memory_budget: int) -> int:
    rows = memory_budget // bytes_per_row(size)
    if rows < 1:
        raise OptionError(
            f"exact elimination keeps {bytes_per_row(size) / 2**20:.0f} MiB for a neuron with {size} inputs: the "
            f"memory budget is {memory_budget / 2**20:.0f} MiB; raise it, or use the staged form"
        )
    return min(rows, max(1, AT_ONCE // bytes_per_row(size)))


def _eliminate_block(
    inverse: torch.Tensor,
    weights: torch.Tensor,
    gone: torch.Tensor,
    price: torch.Tensor,
    pattern: tuple[int, int] | None = None,
) -> Order:
    """The order of each row under its `inverse` [rows, d, d], losses times `price` [rows, d]."""
    import torch

    rows, size = weights.shape
    every = torch.arange(rows, device=weights.device)
    a = inverse
    w, absent = weights.clone(), gone.clone()
    names = torch.arange(size, device=weights.device).expand(rows, size)
    synapses = torch.empty(rows, size, dtype=torch.int64, device=weights.device)
    losses = torch.full((rows, size), torch.inf, dtype=torch.float64, device=weights.device)
    spare = None if pattern is None else _spare(size, pattern, rows, weights.device)
    last = size if spare is None else int(spare[0].sum())
    done = 0
    while done < last:
        left = names.shape[1]
        count = min(PANEL, last - done)
        updates = torch.zeros(rows, left, count, dtype=a.dtype, device=a.device)
        diagonal = a.diagonal(dim1=1, dim2=2).clone()
        taken = torch.zeros(rows, left, dtype=torch.bool, device=a.device)
        for number in range(count):
            score = (price * w * w / diagonal).masked_fill(absent, -1.0).masked_fill(taken, torch.inf)
            if spare is not None and pattern is not None:
                score = score.masked_fill(spare.gather(1, names // pattern[1]) == 0, torch.inf)
            p = score.argmin(dim=1)
            past = updates[:, :, :number]
            column = a[every, :, p] - torch.bmm(past, past[every, p].unsqueeze(2)).squeeze(2)
            pivot = column[every, p]
            u = column / pivot.sqrt().unsqueeze(1)
            step = w[every, p] / pivot
            synapses[:, done + number] = names[every, p]
            losses[:, done + number] = 0.5 * price[every, p] * w[every, p] * step
            updates[:, :, number] = u
            diagonal = diagonal - u * u
            w = w - column * step.unsqueeze(1)
            taken[every, p] = True
            if spare is not None and pattern is not None:
                spare[every, names[every, p] // pattern[1]] -= 1
        done += count
        keep = (~taken).nonzero()[:, 1].reshape(rows, left - count)
        a = _cut(a, updates, keep)
        w, price = w.gather(1, keep), price.gather(1, keep)
        absent, names = absent.gather(1, keep), names.gather(1, keep)
    synapses[:, last:] = names
    return Order(synapses, losses)


def _cut(a: torch.Tensor, updates: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """The inverses after the pending updates, without what was removed: rows and columns `keep` [rows, k]."""
    import torch

    rows, count = keep.shape
    every = torch.arange(rows, device=a.device)[:, None, None]
    u = updates.gather(1, keep.unsqueeze(2).expand(rows, count, updates.shape[2]))
    return torch.baddbmm(a[every, keep[:, :, None], keep[:, None, :]], u, u.transpose(1, 2), alpha=-1.0)


def _spare(size: int, pattern: tuple[int, int], rows: int, device: torch.device) -> torch.Tensor:
    """How many synapses each group of `pattern` still has to lose."""
    import torch

    keep, group = pattern
    counts = torch.bincount(torch.arange(size, device=device) // group)
    return (counts - keep).clamp(min=0).expand(rows, len(counts)).clone()


def refit(
    hessian: torch.Tensor, target: torch.Tensor, kept: torch.Tensor, memory_budget: int = 1 << 30
) -> torch.Tensor:
    """The best weights [rows, d] on the kept synapses `kept` [rows, d]: w_K = H_KK^-1 (H target)_K, elsewhere 0."""
    import torch

    pull = target @ hessian
    result = torch.zeros_like(target)
    for support in supports(kept, memory_budget):
        system = support.submatrices(hessian)
        right = support.take(pull)
        solved = torch.cholesky_solve(right.unsqueeze(2), torch.linalg.cholesky(system)).squeeze(2)
        support.put(result, solved)
    return result


@dataclass(frozen=True, eq=False)
class Support:
    """The kept synapses of a block of rows, padded to the same number k: `index` and `valid` [rows, k]."""

    rows: torch.Tensor
    index: torch.Tensor
    valid: torch.Tensor

    def submatrices(self, hessian: torch.Tensor) -> torch.Tensor:
        """H_KK of each row [rows, k, k]; identity where padded."""
        import torch

        both = self.valid[:, :, None] & self.valid[:, None, :]
        eye = torch.eye(self.index.shape[1], dtype=hessian.dtype, device=hessian.device)
        return torch.where(both, hessian[self.index[:, :, None], self.index[:, None, :]], eye)

    def take(self, values: torch.Tensor) -> torch.Tensor:
        """The entries of `values` [all rows, d] on the support [rows, k]; 0 where padded."""
        return values[self.rows].gather(1, self.index) * self.valid

    def put(self, result: torch.Tensor, values: torch.Tensor) -> None:
        """Write `values` [rows, k] into `result` [all rows, d]."""
        import torch

        part = torch.zeros(len(self.rows), result.shape[1], dtype=result.dtype, device=result.device)
        part.scatter_add_(1, self.index, values * self.valid)
        result[self.rows] = part


def supports(kept: torch.Tensor, memory_budget: int = 1 << 30) -> list[Support]:
    """The supports of all rows of `kept` [rows, d], in blocks of similar size that fit the budget."""
    import torch

    counts = kept.sum(dim=1)
    order = counts.argsort(descending=True, stable=True)
    result = []
    start = 0
    while start < len(order):
        k = max(1, int(counts[order[start]]))
        rows = order[start : start + max(1, memory_budget // (8 * 4 * k * k))]
        index = (~kept[rows]).to(torch.int8).argsort(dim=1, stable=True)[:, :k]
        result.append(Support(rows, index, kept[rows].gather(1, index)))
        start += len(rows)
    return result

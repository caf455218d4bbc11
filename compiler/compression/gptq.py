"""Rounding weights to codes so that a neuron's least-squares loss, not each weight's error, stays small.

GPTQ (Frantar, Ashkboos, Hoefler, Alistarh, ICLR 2023), which is OBQ in one order for all rows: the error of each
rounded weight is pushed onto those not yet rounded, through the inverse Hessian of the synapses that are kept. The
scale comes from a search over clipping points by that same loss. Coordinate descent then moves single codes, and
refits the scale, as long as the loss falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .grid import Grid
from .obs import Support, refit, supports

if TYPE_CHECKING:
    import torch

CLIPS = 12
"""How many clipping points are tried, from none down to `_least_clip` of the largest weight."""

COARSE = 7
"""Codes of up to 4 bits gain by harder clipping."""

ROUNDS = 4
"""How often codes and scale are improved in turn."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """Codes [rows, d] (whole numbers, float64) and the scale of each row; weights are their product."""

    codes: torch.Tensor
    scales: torch.Tensor

    @property
    def weights(self) -> torch.Tensor:
        return self.codes * self.scales[:, None]


def round_rows(
    hessian: torch.Tensor,
    target: torch.Tensor,
    kept: torch.Tensor,
    grid: Grid,
    *,
    least_scales: torch.Tensor,
    shared: bool = False,
    memory_budget: int = 1 << 30,
) -> Rounded:
    """Codes of `grid` for the kept synapses `kept` [rows, d] of `target` [rows, d]; the others are 0.

    Rows have a scale each, of at least `least_scales` (rows,), or one for all where `shared` (a readout's). The loss is
    1/2 (v - target) H (v - target)^T.
    """
    import torch

    search = _Search(hessian, target, kept, grid, least_scales, shared)
    weights = refit(hessian, target, kept, memory_budget)
    blocks = [_Block.of(hessian, support) for support in _supports(kept, memory_budget)]
    largest = search.joined(weights.abs().amax(dim=1), torch.max)
    best: Rounded | None = None
    best_loss = torch.full_like(least_scales, torch.inf)
    for clip in np.geomspace(1.0, _least_clip(grid), CLIPS):
        scales = search.limited(largest / grid.limit * float(clip))
        codes = torch.zeros_like(target)
        for block in blocks:
            block.round(weights, scales, grid, codes)
        best, best_loss = search.better(best, best_loss, Rounded(codes, scales))
    assert best is not None
    for _ in range(ROUNDS):
        best, best_loss = search.better(best, best_loss, search.descend(search.rescaled(best)))
    return best


def _least_clip(grid: Grid) -> float:
    return 0.1 if grid.limit <= COARSE else 0.3


@dataclass(frozen=True, eq=False)
class _Search:
    """The problem that codes are searched for."""

    hessian: torch.Tensor
    target: torch.Tensor
    kept: torch.Tensor
    grid: Grid
    least: torch.Tensor
    shared: bool

    def joined(self, values: torch.Tensor, join: object) -> torch.Tensor:
        """One value per row, or all joined into one where rows share a scale."""
        assert callable(join)
        return join(values).expand(values.shape) if self.shared else values

    def limited(self, scales: torch.Tensor) -> torch.Tensor:
        """Scales no smaller than allowed; 1 where a row has no weights."""
        import torch

        scales = torch.maximum(scales, self.joined(self.least, torch.max))
        return torch.where(scales > 0, scales, torch.ones_like(scales))

    def losses(self, rounded: Rounded) -> torch.Tensor:
        import torch

        error = rounded.weights - self.target
        return self.joined(0.5 * ((error @ self.hessian) * error).sum(dim=1), torch.sum)

    def better(self, best: Rounded | None, best_loss: torch.Tensor, other: Rounded) -> tuple[Rounded, torch.Tensor]:
        """The better of two for each row."""
        import torch

        loss = self.losses(other)
        if best is None:
            return other, loss
        won = loss < best_loss
        codes = torch.where(won[:, None], other.codes, best.codes)
        return Rounded(codes, torch.where(won, other.scales, best.scales)), torch.where(won, loss, best_loss)

    def rescaled(self, rounded: Rounded) -> Rounded:
        """The same codes with the scale that suits them best."""
        import torch

        pull = rounded.codes @ self.hessian
        power = self.joined((pull * rounded.codes).sum(dim=1), torch.sum)
        match = self.joined((pull * self.target).sum(dim=1), torch.sum)
        fitted = match / power.clamp(min=torch.finfo(power.dtype).tiny)
        return Rounded(rounded.codes, self.limited(torch.where(fitted > 0, fitted, rounded.scales)))

    def descend(self, rounded: Rounded) -> Rounded:
        """One sweep of coordinate descent over the codes."""
        codes, scales = rounded.codes.clone(), rounded.scales
        gradient = (rounded.weights - self.target) @ self.hessian
        diagonal = self.hessian.diagonal()
        for i in self.kept.any(dim=0).nonzero()[:, 0].tolist():
            wanted = codes[:, i] - gradient[:, i] / (diagonal[i] * scales)
            change = (self.grid.nearest(wanted) - codes[:, i]) * self.kept[:, i]
            if bool(change.any()):
                codes[:, i] += change
                gradient += (change * scales)[:, None] * self.hessian[i]
        return Rounded(codes, scales)


def _supports(kept: torch.Tensor, memory_budget: int) -> list[Support]:
    """Supports in blocks; rows that keep everything are one block, as they share one matrix."""
    full = kept.all(dim=1)
    if not bool(full.all()):
        return supports(kept, memory_budget)
    rows, size = kept.shape
    index = kept.new_ones(size).nonzero()[:, 0].expand(rows, size)
    return [Support(kept.new_ones(rows).nonzero()[:, 0], index, kept)]


@dataclass(frozen=True, eq=False)
class _Block:
    """The synapses of some rows with the largest H_ii first, and the factor U of the inverse [rows or 1, k, k]."""

    support: Support
    factor: torch.Tensor

    @classmethod
    def of(cls, hessian: torch.Tensor, support: Support) -> _Block:
        import torch

        weight = hessian.diagonal()[support.index].masked_fill(~support.valid, -1.0)
        order = weight.argsort(dim=1, descending=True, stable=True)
        support = Support(support.rows, support.index.gather(1, order), support.valid.gather(1, order))
        same = bool((support.index == support.index[:1]).all()) and bool(support.valid.all())
        first = Support(support.rows[:1], support.index[:1], support.valid[:1]) if same else support
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(first.submatrices(hessian)))
        return cls(support, torch.linalg.cholesky(inverse).transpose(1, 2).contiguous())

    def round(self, weights: torch.Tensor, scales: torch.Tensor, grid: Grid, codes: torch.Tensor) -> None:
        """Round the weights of the block's rows at `scales` into `codes`."""
        import torch

        w, s = self.support.take(weights), scales[self.support.rows]
        rounded = torch.zeros_like(w)
        for i in range(w.shape[1]):
            rounded[:, i] = grid.nearest(w[:, i] / s)
            error = (w[:, i] - rounded[:, i] * s) / self.factor[:, i, i]
            w[:, i:] -= error[:, None] * self.factor[:, i, i:]
        self.support.put(codes, rounded)

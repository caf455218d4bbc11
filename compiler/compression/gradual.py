"""Pruning while training: synapses leave a few at a time, those first whose absence would change the loss least.

What a synapse is worth is w^2 E[g^2], its weight and the gradient of the loss with respect to it: the change of the
loss to second order, the curvature taken for the mean square gradient (Fisher pruning, Theis et al., arXiv 1801.05787).
Adam keeps that mean square anyway. It compares synapses of different layers, as it is in units of the loss. The number
that stays falls as a cubic, fast at first while there is choice (Zhu and Gupta, arXiv 1710.01878). What is gone stays
gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PRUNED_BY = 0.6
"""The share of the training after which the mask is final."""

STAGES = 40
"""In how many steps synapses leave."""


def synapses_at(share: float, first: int, last: int) -> int:
    """How many of the `first` synapses are left after that share of the training if `last` are to stay."""
    left = max(0.0, 1 - share / PRUNED_BY)
    return last + round(max(0, first - last) * left**3)


def most_valuable(values: Sequence[torch.Tensor], kept: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
    """Masks of the `count` synapses of the highest values among those `kept`, exactly (fewer where fewer are kept)."""
    import torch

    flat = torch.cat([v.masked_fill(~k, -torch.inf).reshape(-1) for v, k in zip(values, kept, strict=True)])
    count = min(count, sum(int(k.sum()) for k in kept))
    mask = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    mask[flat.argsort(descending=True, stable=True)[:count]] = True
    return [part.reshape(k.shape) for part, k in zip(mask.split([k.numel() for k in kept]), kept, strict=True)]

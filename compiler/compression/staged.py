"""Elimination in stages: of all neurons' cheapest synapses at once, for large layers and for tiles.

While neurons have all their inputs they share H, so that one inverse tells what every synapse of a layer costs:
w_p^2 / [H^-1]_pp. `thinned` removes the cheapest by that alone. Large layers are thinned until the exact elimination of
what is left is affordable: a synapse that goes last in the exact order is hardly ever among the first here.

`eliminate_in_stages` goes on like this to the end, for tiles (a x b: a consecutive pre neurons, b consecutive post
neurons), which go or stay as a whole, by the sum of what their synapses cost: a row of the weight memory then holds
whole words of neighbouring synapses. A later stage inverts a matrix for every neuron: with k the synapses that it has
left, about rows * k^3 multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .hessian import Problem
from .obs import refit, supports

if TYPE_CHECKING:
    import torch

STAGES = 6
FIRST_DENSITY = 0.35
"""What the first stage leaves at most, where the target is below."""


def eliminate_in_stages(
    problems: Sequence[Problem],
    gone: Sequence[torch.Tensor],
    sparsity: float,
    *,
    tile: tuple[int, int],
    stages: int = STAGES,
    memory_budget: int = 1 << 30,
) -> list[torch.Tensor]:
    """Which synapses [rows, fan-in] of each problem stay, so that the share `sparsity` of all goes.

    `gone` marks synapses that were absent before. Losses compare once divided by their problem's energy.
    """
    kept = [~g for g in gone]
    weights = [p.target * k for p, k in zip(problems, kept, strict=True)]
    for density in _densities(1 - sparsity, stages):
        costs = [_costs(p, w, k, memory_budget) for p, w, k in zip(problems, weights, kept, strict=True)]
        kept = _cheapest_removed(costs, kept, _count(kept, density), tile)
        weights = [refit(p.hessian, p.target, k, memory_budget) for p, k in zip(problems, kept, strict=True)]
    return kept


def thinned(problems: Sequence[Problem], gone: Sequence[torch.Tensor], density: float) -> list[torch.Tensor]:
    """Which synapses [rows, fan-in] of each problem stay when a single stage leaves the share `density` of all."""
    import torch

    kept = [~g for g in gone]
    costs = []
    for problem, mask in zip(problems, kept, strict=True):
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(problem.hessian))
        costs.append(_priced(problem, (problem.target * mask) ** 2 / inverse.diagonal()))
    return _cheapest_removed(costs, kept, _count(kept, density), (1, 1))


def _densities(target: float, stages: int) -> list[float]:
    """The share of synapses after each stage."""
    first = max(target, min(FIRST_DENSITY, target ** (1 / stages)))
    return [float(d) for d in np.geomspace(first, target, stages)] if first > target else [target]


def _costs(problem: Problem, weights: torch.Tensor, kept: torch.Tensor, memory_budget: int) -> torch.Tensor:
    """What removing each kept synapse adds to the loss, relative to the energy; 0 for absent ones."""
    import torch

    if bool(kept.all()):
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(problem.hessian))
        return _priced(problem, weights**2 / inverse.diagonal())
    costs = torch.zeros_like(weights)
    for support in supports(kept, memory_budget):
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(support.submatrices(problem.hessian)))
        support.put(costs, support.take(weights) ** 2 / inverse.diagonal(dim1=1, dim2=2))
    return _priced(problem, costs)


def _priced(problem: Problem, costs: torch.Tensor) -> torch.Tensor:
    """Costs w_p^2 / [H^-1]_pp as shares of the energy, times the price."""
    shares = costs * (0.5 / problem.energy if problem.energy > 0 else 0.5)
    return shares if problem.price is None else shares * problem.price


def _count(kept: Sequence[torch.Tensor], density: float) -> int:
    """How many synapses the share `density` is."""
    total = sum(k.numel() for k in kept)
    return total - math.floor((1 - density) * total + 0.5)


def _cheapest_removed(
    costs: Sequence[torch.Tensor], kept: Sequence[torch.Tensor], count: int, tile: tuple[int, int]
) -> list[torch.Tensor]:
    """The `count` most expensive synapses, in whole tiles."""
    import torch

    sums = [_tiled(c, tile) for c in costs]
    sizes = [_tiled(k.to(c.dtype), tile) for k, c in zip(kept, costs, strict=True)]
    flat, size = torch.cat([s.reshape(-1) for s in sums]), torch.cat([s.reshape(-1) for s in sizes])
    order = (flat / size.clamp(min=1)).masked_fill(size == 0, -1).argsort(descending=True, stable=True)
    stays = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    stays[order] = (size[order].cumsum(0) <= count) & (size[order] > 0)
    parts = stays.split([s.numel() for s in sums])
    return [k & _spread(part.reshape(s.shape), k.shape, tile) for part, s, k in zip(parts, sums, kept, strict=True)]


def _tiled(values: torch.Tensor, tile: tuple[int, int]) -> torch.Tensor:
    """The sums of `values` [post, pre] over tiles; those at the edge are smaller."""
    from torch.nn import functional

    pre, post = tile
    rows, columns = values.shape
    padded = functional.pad(values, (0, -columns % pre, 0, -rows % post))
    return padded.reshape(padded.shape[0] // post, post, -1, pre).sum(dim=(1, 3))


def _spread(tiles: torch.Tensor, shape: torch.Size, tile: tuple[int, int]) -> torch.Tensor:
    pre, post = tile
    return tiles.repeat_interleave(post, 0).repeat_interleave(pre, 1)[: shape[0], : shape[1]]

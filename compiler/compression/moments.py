"""Compression on second moments: which synapses stay by what they cost, and the weights or codes that suit them.

`obc` keeps input currents, `osbc` membranes. Every choice is made on what the original network does on the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..ir.network import INPUT
from ..lowering.quantise import CONSTANT_SPAN
from .allocation import allocate, kept_after, price_of
from .calibration import Calibration
from .finetune import Weights
from .gptq import round_rows
from .hessian import Problem, problems_of
from .job import Job
from .meter import Meter
from .obs import Order, bytes_per_row, eliminate, eliminate_kept, refit
from .recurrence import groups_of
from .simulation import Layer, respond_together
from .sources import gather
from .staged import eliminate_in_stages, thinned

if TYPE_CHECKING:
    import torch

EXACT_OPERATIONS = 5e10
"""Layers whose exact elimination takes more multiplications (2/3 rows d^3) are thinned before, unless told."""

DAMPING = 0.03


def fitted(job: Job, layers: Sequence[Layer], data: Calibration, meter: Meter) -> list[Weights]:
    """Masks by loss and the weights that suit them, in sequential mode where that is better."""
    problems = [_problems(job, x, x.weight, x.bias, data.spikes) for x in layers]
    kept = _kept(job, layers, problems, meter)
    plain = [_weights(job, layer, p, k) for layer, p, k in zip(layers, problems, kept, strict=True)]
    if job.recipe.method == "obc" or all(pre == INPUT for layer in layers for pre, _ in layer.sources):
        return plain
    return data.better(layers, plain, _sequential(job, layers, data, plain, kept))


def rounded(job: Job, layers: Sequence[Layer], data: Calibration, weights: Sequence[Weights]) -> list[Weights]:
    """The codes that keep what real weights do on their own spikes."""
    real, biases = [item.effective() for item in weights], [item.bias for item in weights]
    seen = {INPUT: data.spikes[INPUT]}
    result = list(weights)
    for group in groups_of(layers):
        own = respond_together(layers, group, seen, real, biases)
        seen |= {name: response.spikes for name, response in own.items() if response.spikes is not None}
        for index in group:
            layer, item = layers[index], weights[index]
            problems = _problems(job, layer, real[index], item.bias, seen)
            masks = [item.kept[:, _index(p.neurons, layer)].T for p in problems]
            result[index] = _weights(job, layer, problems, masks)
    return result


def _problems(
    job: Job,
    layer: Layer,
    weight: torch.Tensor,
    bias: torch.Tensor,
    spikes: Mapping[str, torch.Tensor],
    seen: torch.Tensor | None = None,
) -> list[Problem]:
    """The problems of a population that hears `spikes`, by population, and what it has `seen` instead."""
    inputs = gather(layer, spikes)
    problems = problems_of(
        layer,
        weight,
        bias,
        inputs,
        seen=seen,
        loss=job.loss,
        damping=DAMPING,
        free_bias=job.recipe.method == "osbc",
        memory_budget=job.recipe.memory_budget,
    )
    price = price_of(inputs, job.recipe.operation_weight, layer.view.members)
    return problems if price is None else [replace(p, price=price) for p in problems]


def _sequential(
    job: Job, layers: Sequence[Layer], data: Calibration, plain: Sequence[Weights], kept: Sequence[list[torch.Tensor]]
) -> list[Weights]:
    """The weights that give the original membranes on the spikes of the compressed network, layer after layer.

    Layers that feed each other hear of each other what the original network said.
    """
    seen = {INPUT: data.spikes[INPUT]}
    result = list(plain)
    real = [item.effective() for item in plain]
    for group in groups_of(layers):
        known = {**data.spikes, **seen}
        for index in group:
            layer = layers[index]
            if any(pre != INPUT for pre, _ in layer.sources):
                problems = _problems(job, layer, layer.weight, layer.bias, data.spikes, gather(layer, known))
                result[index] = _weights(job, layer, problems, kept[index])
                real[index] = result[index].effective()
        own = respond_together(layers, group, seen, real, [item.bias for item in result])
        seen |= {name: response.spikes for name, response in own.items() if response.spikes is not None}
    return result


def _weights(job: Job, layer: Layer, problems: Sequence[Problem], kept: Sequence[torch.Tensor]) -> Weights:
    """The best weights, or codes, of one population on what is kept."""
    import torch

    result = Weights(torch.zeros_like(layer.weight), layer.bias.clone(), torch.zeros_like(layer.weight).bool())
    if job.formats is not None:
        result.grid = job.formats[layer.name].grid
        result.least_scales = _least_scales(layer, result.grid.limit)
        result.scales = torch.ones_like(layer.bias)
        result.shared = layer.form.read
    for problem, mask in zip(problems, kept, strict=True):
        neurons = torch.as_tensor(problem.neurons, device=mask.device)
        if result.scales is None or result.least_scales is None or result.grid is None:
            rows = refit(problem.hessian, problem.target, mask, job.recipe.memory_budget)
        else:
            rounded = round_rows(
                problem.hessian,
                problem.target,
                mask,
                result.grid,
                least_scales=result.least_scales[neurons].double(),
                shared=result.shared,
                memory_budget=job.recipe.memory_budget,
            )
            rows = rounded.weights
            result.scales[neurons] = rounded.scales.to(result.scales.dtype)
        result.shadow[:, neurons] = rows.T.to(result.shadow.dtype)
        result.bias[neurons] = problem.bias_for(rows).to(result.bias.dtype)
        result.kept[:, neurons] = mask.T
    if result.scales is not None and result.shared:
        result.scales = result.scales.max().expand_as(result.scales).clone()
    return result


def _least_scales(layer: Layer, limit: int) -> torch.Tensor:
    """The smallest scales whose constants still fit beside their weights (see spikeloom.compiler.lowering.quantise)."""
    import torch

    held = (layer.threshold, layer.sub, layer.v_reset, layer.bias, layer.model.jump)
    constants = torch.stack([constant for constant in held if constant is not None]).abs().amax(dim=0)
    if layer.form.read:
        constants = constants.max().expand_as(constants)
    return constants / (limit * CONSTANT_SPAN)


def _kept(
    job: Job, layers: Sequence[Layer], problems: Sequence[list[Problem]], meter: Meter
) -> list[list[torch.Tensor]]:
    """Which synapses [rows, fan-in] stay, for each problem of each population."""
    gone = [
        [layer.weight[:, _index(p.neurons, layer)].T == 0 for p in group]
        for layer, group in zip(layers, problems, strict=True)
    ]
    if job.groups is not None:
        gone = [[_outside(job, p, g) for p, g in zip(*pair, strict=True)] for pair in zip(problems, gone, strict=True)]
    result = [[~g for g in group] for group in gone]
    shares = [share for share in job.shares if share.sparsity > 0]
    for number, share in enumerate(shares):
        members = [index for index, layer in enumerate(layers) if layer.name in share.populations]
        flat = [p for index in members for p in problems[index]]
        advance = meter.advance_in(number, len(shares), sum(p.target.numel() for p in flat))
        masks = _kept_of(job, flat, [g for index in members for g in gone[index]], share.sparsity, advance)
        for index in members:
            result[index], masks = masks[: len(problems[index])], masks[len(problems[index]) :]
    return result


def _index(neurons: npt.NDArray[np.int64], layer: Layer) -> torch.Tensor:
    import torch

    return torch.as_tensor(neurons, device=layer.weight.device)


def _outside(job: Job, problem: Problem, gone: torch.Tensor) -> torch.Tensor:
    """What goes, earlier zeros included, so that n of every m synapses stay."""
    assert job.groups is not None
    order = eliminate(
        problem.hessian,
        problem.target,
        gone,
        pattern=job.groups,
        price=problem.price,
        memory_budget=job.recipe.memory_budget,
    )
    counts = order.losses.isfinite().sum(dim=1)
    return gone | ~kept_after(order.synapses, counts)


def _kept_of(
    job: Job, problems: list[Problem], gone: list[torch.Tensor], sparsity: float, advance: Callable[[int], None]
) -> list[torch.Tensor]:
    """Which synapses of problems that share a sparsity stay."""
    if job.tile is not None:
        return eliminate_in_stages(problems, gone, sparsity, tile=job.tile, memory_budget=job.recipe.memory_budget)
    budget = job.recipe.memory_budget
    if job.recipe.exact or _affordable(problems, budget):
        orders = [_order(p, g, budget, advance) for p, g in zip(problems, gone, strict=True)]
    else:
        density = max(1 - sparsity, _affordable_density(problems, budget))
        kept = thinned(problems, gone, density)
        if density == 1 - sparsity:
            return kept
        orders = [
            eliminate_kept(p.hessian, p.target, k, price=p.price, memory_budget=budget, advance=advance)
            for p, k in zip(problems, kept, strict=True)
        ]
    counts = allocate([o.losses for o in orders], [p.energy for p in problems], sparsity)
    return [kept_after(o.synapses, c) for o, c in zip(orders, counts, strict=True)]


def _affordable(problems: Sequence[Problem], memory_budget: int) -> bool:
    sizes = [(len(p.target), int(p.active.sum())) for p in problems]
    operations = sum(2 / 3 * rows * size**3 for rows, size in sizes)
    return operations <= EXACT_OPERATIONS and all(bytes_per_row(size) <= memory_budget for _, size in sizes)


def _affordable_density(problems: Sequence[Problem], memory_budget: int) -> float:
    """The share of synapses whose exact elimination, each row with an inverse of its own, is within the budgets."""
    operations = sum(5 / 3 * len(p.target) * p.target.shape[1] ** 3 for p in problems)
    most = max(p.target.shape[1] for p in problems)
    return min(1.0, (EXACT_OPERATIONS / operations) ** (1 / 3), (memory_budget / bytes_per_row(most)) ** 0.5)


def _order(problem: Problem, gone: torch.Tensor, memory_budget: int, advance: Callable[[int], None]) -> Order:
    """The order of all synapses: those absent before, those of dead inputs, the others by exact elimination.

    A dead input shares no second moment with any other: what it costs is what the damping makes of its weight.
    """
    import torch

    active, dead = problem.active.nonzero()[:, 0], (~problem.active).nonzero()[:, 0]
    found = eliminate(
        problem.hessian[active][:, active],
        problem.target[:, active],
        gone[:, active],
        price=None if problem.price is None else problem.price[active],
        memory_budget=memory_budget,
        advance=advance,
    )
    costs = 0.5 * problem.target[:, dead] ** 2 * problem.hessian.diagonal()[dead]
    costs = costs if problem.price is None else costs * problem.price[dead]
    cheapest = costs.argsort(dim=1, stable=True)
    synapses = torch.cat([dead[cheapest], active[found.synapses]], dim=1)
    losses = torch.cat([costs.gather(1, cheapest), found.losses], dim=1)
    absent = gone.gather(1, synapses)
    first = absent.logical_not().to(torch.int8).argsort(dim=1, stable=True)
    return Order(synapses.gather(1, first), losses.masked_fill(absent, -torch.inf).gather(1, first))

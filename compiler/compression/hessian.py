"""What a population's synapses see on calibration data: second moments of its presynaptic traces.

Optimal Spiking Brain Compression (Shi, Li, Ward-Cherrier, arXiv 2506.03996) keeps a neuron's membrane potential. As
long as it does not fire, that is linear in its weights, u_t = w . xf_t, with the presynaptic spikes filtered by the
neuron's own leaks, and the squared error of the membrane has the Hessian H = 2 E[xf xf^T] over samples and steps.
Optimal Brain Compression (Frantar, Singh, Alistarh, NeurIPS 2022) keeps the input current: the same without the
filter. Resets are left out, as the paper does.

The bias is one more input, always 1, that is never compressed: eliminated from the least-squares problem it takes up
the mean error of whatever the weights lose (`Problem`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from ..ir.arrays import IntArray
from ..neurons.contract import Kept, NeuronModel
from ..neurons.step import TENSORS, steps
from .rare import BLOCK, MOST_KEPT, is_rare, second_moments
from .simulation import Layer

if TYPE_CHECKING:
    import torch

MAX_LEAKS = 8
"""Neurons of one population with more different leaks share Hessians: one for each of this many groups."""

DAMPING = 0.01
"""What is added to the diagonal of a Hessian, as a share of its mean."""


class Loss(StrEnum):
    """Which error compression minimises."""

    CURRENT = "current"
    MEMBRANE = "membrane"


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """Least squares for the neurons of one population that share a leak; float64.

    The loss of weights v [rows, fan-in] is 1/2 (v - target) H (v - target)^T per row, where H already has the bias
    eliminated and is damped, so that it is positive definite whatever the inputs. `active` are the inputs that ever
    fired. The bias that goes with v is `bias` - (v - target) . `slope`. Where there is a `price` (fan-in,), pruning an
    input's synapse counts so many times its loss.
    """

    neurons: IntArray
    hessian: torch.Tensor
    target: torch.Tensor
    bias: torch.Tensor
    slope: torch.Tensor
    active: torch.Tensor
    price: torch.Tensor | None = None

    def loss(self, weights: torch.Tensor) -> torch.Tensor:
        """The loss of each row of `weights` [rows, fan-in]."""
        error = weights - self.target
        return 0.5 * ((error @ self.hessian) * error).sum(dim=1)

    def bias_for(self, weights: torch.Tensor) -> torch.Tensor:
        """The best bias of each row beside `weights`."""
        return self.bias - (weights - self.target) @ self.slope

    @property
    def energy(self) -> float:
        """tr(W H W^T), what losing every weight would cost (twice)."""
        return float(((self.target @ self.hessian) * self.target).sum())


def problems_of(
    layer: Layer,
    weight: torch.Tensor,
    bias: torch.Tensor,
    inputs: torch.Tensor,
    *,
    seen: torch.Tensor | None = None,
    loss: Loss = Loss.MEMBRANE,
    damping: float = DAMPING,
    free_bias: bool = True,
    memory_budget: int = 1 << 30,
) -> list[Problem]:
    """The least-squares problems of a population, one for each group of neurons with the same leak.

    `weight` [fan-in, n] and `bias` (n,) are what is to be compressed, `inputs` [steps, samples, fan-in] the spikes that
    the original network's synapses see. With `seen`, the spikes in the compressed network, the target is what gives the
    original membrane on those instead (sequential mode). Without `free_bias` the bias stays what it is.
    """
    result = []
    for neurons, alpha, beta in leak_groups(layer):
        moments = _Moments(layer, alpha, beta, inputs, inputs if seen is None else seen, loss, memory_budget)
        rows = weight.double()[:, neurons].T
        result.append(_problem(neurons, moments, rows, bias.double()[neurons], seen is not None, damping, free_bias))
    return result


def leak_groups(layer: Layer) -> Iterator[tuple[IntArray, float | None, float]]:
    """The neurons that share a leak (synaptic, membrane); where there are too many leaks, neighbours share the mean."""
    form = layer.form
    beta = form.beta
    alpha = np.zeros_like(beta) if form.alpha is None else form.alpha
    pairs, group = np.unique(np.stack([beta, alpha], axis=1).astype(np.float32), axis=0, return_inverse=True)
    group = group.reshape(-1)
    if len(pairs) > MAX_LEAKS:
        group = group * MAX_LEAKS // len(pairs)
    for number in np.unique(group):
        neurons = np.flatnonzero(group == number)
        mean_alpha = None if form.alpha is None else float(form.alpha[neurons].mean())
        yield neurons, mean_alpha, float(beta[neurons].mean())


def filtered(x: torch.Tensor, alpha: float | None, beta: float, model: NeuronModel) -> torch.Tensor:
    """The membrane that the spikes `x` [steps, samples, fan-in] would leave through a synapse of weight 1 in a neuron
    like those of `model`, but with these leaks and without threshold."""
    import torch

    if alpha is None and beta == 1.0:
        result = x.clone()
        for step in range(1, len(x)):
            result[step] += result[step - 1]
        return result
    free = replace(model.free(), leak=Kept(beta), leak_syn=None if alpha is None else Kept(alpha))
    result = torch.empty_like(x)
    for step, state in enumerate(steps(TENSORS, free, x, torch.zeros_like(x[0]))):
        result[step] = state.v
    return result


class _Moments:
    """2 E[x x^T] of traces with a constant input appended: of those seen, and of seen with original ones."""

    def __init__(
        self,
        layer: Layer,
        alpha: float | None,
        beta: float,
        inputs: torch.Tensor,
        seen: torch.Tensor,
        loss: Loss,
        memory_budget: int,
    ) -> None:
        import torch

        steps, samples, fan_in = inputs.shape
        size = fan_in + 1
        scale = 2.0 / (steps * samples)
        if seen is inputs and (kept := _kept_by_trace(layer, alpha, beta, loss)) is not None and is_rare(inputs):
            self.seen = self.cross = second_moments(inputs, kept) * scale
            return
        fires = _fires(inputs) if seen is inputs else _fires(inputs) | _fires(seen)
        active = torch.cat([fires, fires.new_ones(1)]).nonzero()[:, 0]  # silent inputs have moments of 0
        small = torch.zeros(len(active), len(active), dtype=torch.float64, device=inputs.device)
        cross = small.clone()
        block = max(1, min(BLOCK, memory_budget // (6 * 8 * size)) // steps)
        for start in range(0, samples, block):
            part = slice(start, start + block)
            x = _trace(layer, seen[:, part, fires], alpha, beta, loss)
            original = x if seen is inputs else _trace(layer, inputs[:, part, fires], alpha, beta, loss)
            small += x.T @ x
            if seen is not inputs:
                cross += x.T @ original
        self.seen = _among(size, active, small * scale)
        self.cross = self.seen if seen is inputs else _among(size, active, cross * scale)


def _kept_by_trace(layer: Layer, alpha: float | None, beta: float, loss: Loss) -> float | None:
    """What a trace keeps from step to step where that is a plain leak that `second_moments` takes; else None."""
    if loss is Loss.CURRENT:
        return 0.0
    kept = beta if layer.model.leak is not None else 1.0
    return kept if alpha is None and kept <= MOST_KEPT else None


def _fires(spikes: torch.Tensor) -> torch.Tensor:
    """Which inputs of `spikes` [steps, samples, fan-in] ever fire."""
    import torch

    blocks = spikes.split(max(1, BLOCK // len(spikes)), dim=1)
    return torch.stack([(block != 0).any(dim=0).any(dim=0) for block in blocks]).any(dim=0)


def _among(size: int, active: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """The `moments` of the `active` inputs among those of all [size, size]."""
    result = moments.new_zeros(size, size)
    result[active[:, None], active] = moments
    return result


def _trace(layer: Layer, spikes: torch.Tensor, alpha: float | None, beta: float, loss: Loss) -> torch.Tensor:
    """Traces [steps * samples, fan-in + 1] with the bias's own trace last."""
    import torch

    x = torch.cat([spikes, torch.ones(*spikes.shape[:2], 1, dtype=spikes.dtype, device=spikes.device)], dim=2)
    if loss is Loss.MEMBRANE:
        x = filtered(x, alpha, beta, layer.model)
    return x.reshape(-1, x.shape[2])


def _problem(
    neurons: IntArray,
    moments: _Moments,
    rows: torch.Tensor,
    bias: torch.Tensor,
    sequential: bool,
    damping: float,
    free_bias: bool,
) -> Problem:
    import torch

    seen = moments.seen
    diagonal = seen.diagonal()[:-1]
    active = diagonal > 0
    ridge = damping * float(diagonal.mean()) if bool(active.any()) else 1.0
    bias_power = seen[-1, -1]
    damped = seen + ridge * torch.eye(len(seen), dtype=seen.dtype, device=seen.device)
    damped[-1, -1] = bias_power
    target = torch.cat([rows, bias[:, None]], dim=1)
    if sequential:
        damper = torch.full_like(target, ridge)
        damper[:, -1] = 0
        target = torch.linalg.solve(damped, moments.cross @ target.T + (damper * target).T).T
    slope = seen[:-1, -1] / bias_power if free_bias else torch.zeros_like(seen[:-1, -1])
    return Problem(
        neurons=neurons,
        hessian=damped[:-1, :-1] - (torch.outer(slope, slope) * bias_power if free_bias else 0.0),
        target=target[:, :-1].contiguous(),
        bias=target[:, -1],
        slope=slope,
        active=active,
    )

"""Gradients of the steps of a population, backwards in time, with spikes as constants in resets and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.neurons import Drive, ResetMode, ResetPlace
from ..neurons.step import TENSORS
from . import recurrence
from .surrogate import slope

if TYPE_CHECKING:
    import torch

    from .simulation import Layer


def leaky_sum(gradient: torch.Tensor, leak: torch.Tensor, passes: torch.Tensor | None = None) -> None:
    """Add to each step what a leak hands back to it from the next one, where it `passes` (a share), in place."""
    for t in range(len(gradient) - 2, -1, -1):
        passed = leak * gradient[t + 1]
        gradient[t] += passed if passes is None else passed * passes[t]


def of_subtraction(
    layer: Layer,
    gradient: torch.Tensor,
    spikes: torch.Tensor,
    leaked: torch.Tensor,
    passes: torch.Tensor | None,
) -> torch.Tensor:
    """The gradient of what a spike subtracts (groups,), from those of the compared membranes in all steps.

    A spike lowers the membrane that the next step leaks, or where resets are late the next one that is compared.
    """
    place = layer.model.reset_place
    if place is ResetPlace.NEXT:
        return -(gradient[1:] * spikes[:-1]).sum(dim=(0, 1))
    before = TENSORS.fires(layer.model, leaked) if place is ResetPlace.SNNTORCH_SAME else None
    left = spikes if before is None else spikes - before
    if passes is not None:
        left = left * passes
    sums = (gradient[1:] * left[:-1]).sum(dim=(0, 1)) * layer.beta
    return -sums if before is None else -(sums + (gradient * before).sum(dim=(0, 1)))


def passes_of(layer: Layer, spikes: torch.Tensor, floored: torch.Tensor | None) -> torch.Tensor | None:
    """The share of each step's membrane that reaches the next one; None where it all does."""
    forgets = layer.model.spiking and layer.model.reset_mode is ResetMode.VALUE
    passes = 1 - spikes if forgets else None
    if floored is not None:
        passes = 1 - floored if passes is None else passes * (1 - floored)
    return passes


def straight(
    layer: Layer,
    gradients: Sequence[torch.Tensor],
    membranes: torch.Tensor,
    raised: torch.Tensor | None,
    passes: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of compared membranes and of currents, where no spike comes back."""
    import torch

    if layer.model.spiking:
        gradient = gradients[0] * slope(layer, membranes, raised)
        gradient += gradients[1]
    else:
        gradient = gradients[1].clone()
    leaky_sum(gradient, layer.beta, passes)
    if layer.alpha is None:
        return gradient, gradient
    given = gradient.clone()
    if layer.model.drive is Drive.OLD:
        given = torch.cat([gradient[1:], torch.zeros_like(gradient[:1])])
    leaky_sum(given, layer.alpha)
    return gradient, given


def around_loops(
    layer: Layer,
    gradients: Sequence[torch.Tensor],
    steep: torch.Tensor,
    passes: torch.Tensor | None,
    delays: Sequence[int],
    weights: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of compared membranes and of currents where spikes come back: of what they do, so much goes on as
    `recurrence.PASSED` says."""
    import torch

    of_spikes, of_membranes = gradients
    gradient, given = torch.empty_like(of_membranes), torch.empty_like(of_membranes)
    zero = torch.zeros_like(of_membranes[0])
    transposed = [weight.t() for weight in weights]
    for t in range(len(given) - 1, -1, -1):
        spiked = of_spikes[t]
        for delay, weight in zip(delays, transposed, strict=True):
            if t + delay < len(given):
                spiked = torch.addmm(spiked, given[t + delay], weight, alpha=recurrence.PASSED)
        later, later_given = (gradient[t + 1], given[t + 1]) if t + 1 < len(given) else (zero, zero)
        kept = layer.beta * later
        kept = kept if passes is None else kept * passes[t]
        gradient[t] = torch.addcmul(of_membranes[t] + kept, spiked, steep[t])
        given[t] = gradient[t]
        if layer.alpha is not None:
            given[t] = torch.addcmul(later if layer.model.drive is Drive.OLD else gradient[t], layer.alpha, later_given)
    return gradient, given

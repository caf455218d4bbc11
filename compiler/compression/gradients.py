"""Gradients of the steps of a population, backwards in time.

Spikes are constants in resets and thresholds, but where they come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.neurons import Drive, ResetMode, ResetPlace
from ..neurons.step import TENSORS
from .surrogate import slope, slope_in_loops

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


@dataclass(frozen=True, eq=False)
class Course:
    """What a population did in all steps, [steps, samples, groups]: its spikes, the membranes that were compared, where
    it has them 1 where the floor ended a step, and by how much thresholds were higher."""

    layer: Layer
    spikes: torch.Tensor
    membranes: torch.Tensor
    floored: torch.Tensor | None
    raised: torch.Tensor | None

    def of_left(self, t: int, later: torch.Tensor) -> torch.Tensor:
        """The gradient of the membrane that a step leaves, from that of the membrane compared in the next one."""
        kept = self.layer.beta * later
        return kept if self.floored is None else kept * (1 - self.floored[t])

    def of_reset(self, t: int, of_left: torch.Tensor, later: torch.Tensor) -> torch.Tensor | float:
        """The gradient of a step's spikes through their reset."""
        model, late = self.layer.model, self.layer.model.reset_place is ResetPlace.NEXT
        if not model.spiking or model.reset_mode is ResetMode.NONE:
            return 0.0
        if model.reset_mode is ResetMode.VALUE:
            before = self.membranes[t] if model.v_min is None else self.membranes[t].maximum(model.v_min)
            return of_left * (model.v_reset - before)
        sub = model.sub if self.raised is None else model.sub + self.raised[min(t + late, len(self.raised) - 1)]
        return -(later if late else of_left) * sub

    def of_sub(self, t: int, of_left: torch.Tensor, of_compared: torch.Tensor) -> torch.Tensor | float:
        """The gradient of what spikes subtract in a step."""
        model = self.layer.model
        if model.reset_mode is not ResetMode.SUBTRACT:
            return 0.0
        if model.reset_place is ResetPlace.NEXT:
            return -of_compared * self.spikes[t - 1] if t else 0.0
        return -of_left * self.spikes[t]

    def passed(self, t: int, of_left: torch.Tensor) -> torch.Tensor:
        """What of it reaches the membrane that the step compared."""
        model = self.layer.model
        forgets = model.spiking and model.reset_mode is ResetMode.VALUE
        return of_left * (1 - self.spikes[t]) if forgets else of_left


def around_loops(
    course: Course, gradients: Sequence[torch.Tensor], delays: Sequence[int], weights: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of compared membranes and of currents where spikes come back.

    They pass through resets and thresholds: a spike takes from the membrane what would make the next one. As constants
    these would let the gradients of a loop grow without bound.
    """
    import torch

    layer, model = course.layer, course.layer.model
    of_spikes, of_membranes = gradients
    gradient, given = torch.empty_like(of_membranes), torch.empty_like(of_membranes)
    zero = of_raise = torch.zeros_like(of_membranes[0])
    steep = slope_in_loops(layer, course.membranes, course.raised)
    transposed = [weight.t() for weight in weights]
    for t in range(len(given) - 1, -1, -1):
        spiked = of_spikes[t]
        for delay, weight in zip(delays, transposed, strict=True):
            if t + delay < len(given):
                spiked = torch.addmm(spiked, given[t + delay], weight)
        if course.raised is not None:
            spiked = torch.addcmul(spiked, of_raise, model.jump)
        later, later_given = (gradient[t + 1], given[t + 1]) if t + 1 < len(given) else (zero, zero)
        of_left = course.of_left(t, later)
        above = (spiked + course.of_reset(t, of_left, later)) * steep[t]
        gradient[t] = of_membranes[t] + above + course.passed(t, of_left)
        if course.raised is not None:
            of_raise = TENSORS.decayed(of_raise, model.leak_a) - above + course.of_sub(t, of_left, gradient[t])
        given[t] = gradient[t]
        if layer.alpha is not None:
            given[t] = torch.addcmul(later if model.drive is Drive.OLD else gradient[t], layer.alpha, later_given)
    return gradient, given

"""What stands for the derivative of a spike, which has none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .simulation import Layer

SLOPE = 2.0
"""Steepness of the surrogate arctangent (Fang et al., ICCV 2021) in units of the threshold."""

HEIGHT, WIDTH = 0.35, 0.5
"""The surrogate where spikes come back, HEIGHT / (1 + (x / WIDTH)^2), in units of the threshold: with it training a
recurrent network of hundreds of steps is stable."""


def slope(layer: Layer, membranes: torch.Tensor, raised: torch.Tensor | None) -> torch.Tensor:
    """What stands for the derivative of a spike by its compared membrane; thresholds may be `raised`."""
    unit = layer.threshold.abs().clamp(min=1e-6)
    x = _above(layer, membranes, raised) * (SLOPE * math.pi / 2 / unit)
    return (SLOPE / 2 / unit) / x.square_().add_(1)


def _above(layer: Layer, membranes: torch.Tensor, raised: torch.Tensor | None) -> torch.Tensor:
    """How far membranes are above the threshold of their step; of several, each a subtraction higher, the nearest."""
    distance = membranes - layer.threshold
    if raised is not None:
        distance -= raised
    if layer.model.max_spikes > 1:
        distance -= layer.sub * (distance / layer.sub).round().clamp(0, layer.model.max_spikes - 1)
    return distance


def slope_in_loops(layer: Layer, membranes: torch.Tensor, raised: torch.Tensor | None) -> torch.Tensor:
    """The same where spikes come back, through many of which gradients go: flatter and wider."""
    unit = layer.threshold.abs().clamp(min=1e-6)
    x = _above(layer, membranes, raised) / (WIDTH * unit)
    return (HEIGHT / unit) / x.square_().add_(1)

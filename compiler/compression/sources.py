"""What reaches the weights of a population: the spikes of its sources, as late as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .simulation import Layer


def gather(layer: Layer, spikes: Mapping[str, torch.Tensor], of: Sequence[int] | None = None) -> torch.Tensor:
    """What reaches a population's weights, [steps, samples * members, fan-in], from its sources' spikes.

    `of` are the numbers of the sources that are asked for, all of them unless told.
    """
    import torch

    parts = []
    for number in range(len(layer.sources)) if of is None else of:
        pre, delay = layer.sources[number]
        x = layer.view.seen(spikes[pre], number)
        parts.append(_delayed(x, delay) if delay else x)
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _delayed(x: torch.Tensor, steps: int) -> torch.Tensor:
    """What was there `steps` ago, zeros at first."""
    import torch

    return torch.cat([torch.zeros_like(x[:steps]), x[:-steps]])[: len(x)]

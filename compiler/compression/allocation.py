"""How many synapses each neuron loses, from what they cost.

The losses of all neurons and layers are comparable once each is divided by its layer's energy tr(W H W^T): the cheapest
go first, wherever they are. Inside a neuron the order is fixed, so a loss counts as the largest up to there. Layers
with a sparsity of their own are left out of that, and so is every layer where each is to lose the same share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...hdl.errors import OptionError, quoted
from ..names import FITTED

if TYPE_CHECKING:
    import torch

LEAST_RATE = 0.05
"""Inputs that fire less than this share of the mean rate count as if they fired so often."""


@dataclass(frozen=True)
class Share:
    """Populations whose input weights lose the share `sparsity` together, wherever in them it costs least."""

    populations: tuple[str, ...]
    sparsity: float


def shares_of(names: Iterable[str], sparsity: float, own: Mapping[str, float], scope: str) -> list[Share]:
    """Who shares what: those in `own` have a sparsity of their own, the rest share one (each alone: scope "layer")."""
    rest = tuple(name for name in names if name not in own)
    groups = [(name,) for name in rest] if scope == "layer" else [rest] if rest else []
    return [Share(group, sparsity) for group in groups] + [Share((name,), value) for name, value in own.items()]


def zeros(weights: int, sparsity: float) -> int:
    """How many of so many weights become zero."""
    return math.floor(sparsity * weights + 0.5)


def price_of(inputs: torch.Tensor, operation_weight: float, places: int = 1) -> torch.Tensor | None:
    """What a loss counts for each input of `inputs` [steps, samples, fan-in]: its rate, at all `places` that share the
    weight, to the power -operation_weight.

    The weight memory is read once for each spike and synapse that it meets, so that at 1 the loss per operation is
    what decides. Inputs that hardly fire count as `LEAST_RATE` of the mean, those that never do as the mean: nothing is
    gained by keeping their synapses. None where all count alike.
    """
    import torch

    if operation_weight == 0:
        return None
    rates = inputs.double().mean(dim=(0, 1))
    mean = rates.mean()
    used = torch.where(rates > 0, rates.clamp(min=LEAST_RATE * mean), mean)
    return (places * torch.where(used > 0, used, torch.ones_like(used))) ** -operation_weight


def check_operation_weight(operation_weight: float, method: str) -> None:
    """OptionError for what is no weight of operations, and for methods that know none."""
    number = isinstance(operation_weight, int | float) and not isinstance(operation_weight, bool)
    if not (number and 0 <= operation_weight <= 1):
        raise OptionError(f"an operation weight is 0 to 1: got {quoted(operation_weight)}")
    if operation_weight and method not in FITTED:
        raise OptionError(f"operations are weighed by obc and osbc: got {quoted(method)}; leave the weight out")


def allocate(losses: Sequence[torch.Tensor], energies: Sequence[float], sparsity: float) -> list[torch.Tensor]:
    """How many synapses each row loses, int64 (rows,) per problem, so that the share `sparsity` of all goes.

    `losses` [rows, fan-in] are in the order of elimination; those that must go (absent before) are -inf.
    """
    import torch

    scores = [
        (row / energy if energy > 0 else row).cummax(dim=1).values for row, energy in zip(losses, energies, strict=True)
    ]
    flat = torch.cat([s.reshape(-1) for s in scores])
    forced = int((flat == -torch.inf).sum())
    count = max(forced, zeros(len(flat), sparsity))
    gone = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    gone[flat.argsort(stable=True)[:count]] = True
    parts = gone.split([s.numel() for s in scores])
    return [part.reshape(s.shape).sum(dim=1) for part, s in zip(parts, scores, strict=True)]


def kept_after(synapses: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Which synapses [rows, fan-in] stay when each row loses the first `counts` (rows,) of its order `synapses`."""
    import torch

    position = torch.arange(synapses.shape[1], device=synapses.device)
    stays = position >= counts[:, None]
    return torch.zeros_like(stays).scatter(1, synapses, stays)

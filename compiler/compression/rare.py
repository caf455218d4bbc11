"""Sums over spikes that are rare: neither silent inputs nor silent steps are multiplied.

Long recordings of events hold a spike in some thousandths of their values. There the sums of a weight matrix, and
second moments of traces, follow from a list of the spikes. With x_t the spikes of a step and
xf_t = beta xf_(t-1) + x_t their trace, over all steps from 1 to T

    (1 - beta^2) sum xf_t xf_t^T = G + G^T - beta^2 xf_T xf_T^T    with    G = sum x_t (xf_t - x_t / 2)^T

as xf_t xf_t^T = beta^2 xf_(t-1) xf_(t-1)^T + x_t (xf_t - x_t / 2)^T + (xf_t - x_t / 2) x_t^T. Without a leak sums are
those of the spikes themselves.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

RARE = 0.02
"""The share of values that spike up to which lists of spikes pay."""

WORTH = 1 << 20
"""Fewer values are multiplied as they are."""

MOST_KEPT = 0.995
"""Leaks that keep more would divide by next to nothing."""

LOOKED_AT = 64
"""So many rows say how rare spikes are."""

BLOCK = 4096
"""Rows that are summed in float32 at a time."""


def is_rare(spikes: torch.Tensor) -> bool:
    """Whether a list of the spikes [steps, samples, fan-in] pays, and can be made: gradients do not reach them, and
    they are float32. A part of the rows tells how rare they are: counting all takes as long as some products."""
    import torch

    if spikes.requires_grad or spikes.numel() < WORTH or spikes.dtype != torch.float32 or spikes.is_cuda:
        return False
    steps, samples, _ = spikes.shape
    number = torch.arange(0, steps * samples, max(1, steps * samples // LOOKED_AT) | 1)
    rows = spikes[number % steps, number // steps]
    return int(rows.count_nonzero()) <= RARE * rows.numel()


def summed(spikes: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`spikes` [steps, samples, fan-in] times `weight` [fan-in, n], with the gradient of the weight where they are
    rare."""
    if is_rare(spikes) and weight.dtype == spikes.dtype:
        result: torch.Tensor = _sums().apply(weight, spikes)
        return result
    return spikes @ weight


def second_moments(spikes: torch.Tensor, beta: float) -> torch.Tensor:
    """sum xf_t xf_t^T over steps and samples, float64 [fan-in + 1, fan-in + 1], of the traces of rare `spikes` [steps,
    samples, fan-in] (float32) with a constant input of 1 behind them.

    Traces keep `beta` from step to step: 0 for the spikes themselves, `MOST_KEPT` at most.
    """
    import torch

    steps, samples, fan_in = spikes.shape
    size = fan_in + 1
    sums = torch.zeros(size, size, dtype=torch.float64)
    last = []
    block = max(1, BLOCK // steps)
    for start in range(0, samples, block):
        part = spikes[:, start : start + block]
        x = torch.cat([part, torch.ones_like(part[:, :, :1])], dim=2)
        trace = torch.empty_like(x)
        state = torch.zeros_like(x[0])
        for time, arriving in enumerate(x):
            state = state * beta + arriving
            trace[time] = state
        beside = (trace - x / 2).reshape(-1, size)
        sums[:-1] += _Spikes.of(part).rows_of_inputs(beside)
        sums[-1] += beside.double().sum(dim=0)
        last.append(state.double())
    ends = torch.cat(last)
    return (sums + sums.T - beta * beta * (ends.T @ ends)) / (1 - beta * beta)


@dataclass(frozen=True, eq=False)
class _Spikes:
    """Where values are not 0: `row` (of [steps, samples], in ascending order), `input`, and the `value` where some are
    not 1; how many rows and inputs there are."""

    row: torch.Tensor
    input: torch.Tensor
    value: torch.Tensor | None
    rows: int
    inputs: int

    @classmethod
    def of(cls, spikes: torch.Tensor) -> _Spikes:
        flat = spikes.reshape(-1, spikes.shape[-1])
        row, number = flat.nonzero().unbind(dim=1)
        value = flat[row, number]
        return cls(row, number, None if bool((value == 1).all()) else value, *flat.shape)

    def weights_of_rows(self, weight: torch.Tensor) -> torch.Tensor:
        """For each row the sum of the `weight`s [inputs, n] of its spikes."""
        return _bags(self.input, weight, self.row, self.rows, self.value)

    def rows_of_inputs(self, values: torch.Tensor) -> torch.Tensor:
        """For each input the sum of the rows of `values` [rows, n] in which it spikes."""
        order = self.input.argsort(stable=True)
        value = None if self.value is None else self.value[order]
        return _bags(self.row[order], values, self.input[order], self.inputs, value)


def _bags(
    chosen: torch.Tensor, table: torch.Tensor, bag: torch.Tensor, bags: int, value: torch.Tensor | None
) -> torch.Tensor:
    """For each of so many bags the sum of the chosen rows of a table, each times its value; `bag` ascends."""
    import torch
    from torch.nn import functional

    offsets = torch.searchsorted(bag.contiguous(), torch.arange(bags, device=bag.device))
    if not len(chosen):
        return table.new_zeros(bags, table.shape[1])
    return functional.embedding_bag(chosen.contiguous(), table, offsets, mode="sum", per_sample_weights=value)


@functools.cache
def _sums() -> Any:
    """The autograd function `(weight, spikes) -> sums` [steps, samples, n]; spikes are constants."""
    import torch

    class Sums(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, weight: torch.Tensor, spikes: torch.Tensor) -> torch.Tensor:
            found = _Spikes.of(spikes)
            ctx.found = found
            return found.weights_of_rows(weight).reshape(*spikes.shape[:-1], -1)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
            found: _Spikes = ctx.found
            return found.rows_of_inputs(gradients[0].reshape(found.rows, -1).contiguous()), None

    return Sums

"""Taking values by number, with a gradient that is taken too.

What the neurons of a map see of the one before is each of its values several times, once for every window that it is
in. torch adds the gradients of such copies one after the other, which takes most of the time of training a
convolutional network. Here each value takes those of its copies, in the same order: sums are the same to the last bit.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.arrays import IntArray

if TYPE_CHECKING:
    import torch


def taken(values: torch.Tensor, numbers: IntArray) -> torch.Tensor:
    """[steps, samples, *numbers] of `values` [steps, samples, n]; 0 where a number is -1, for none."""
    import torch

    if values.requires_grad and torch.is_grad_enabled():
        result: torch.Tensor = _taking().apply(values, numbers)
        return result
    return _picked(values.detach(), numbers)


def copies_of(numbers: IntArray, size: int) -> IntArray:
    """Where each of `size` values stands among the flat `numbers`, [most copies, size], in ascending order; behind the
    last number where it has no more copies."""
    flat = numbers.ravel()
    order = np.argsort(flat, kind="stable")
    order = order[flat[order] >= 0]  # -1 is for none
    value = flat[order]
    counts = np.bincount(value, minlength=size)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    copies = np.full((int(counts.max(initial=0)), size), flat.size)
    copies[rank, value] = order
    return copies


def _picked(values: torch.Tensor, numbers: IntArray) -> torch.Tensor:
    import torch

    if (numbers < 0).any():
        values = torch.cat([values, torch.zeros_like(values[..., :1])], dim=2)
    flat = values.flatten(0, 1)
    return _columns(flat, numbers.ravel() % flat.shape[1]).reshape(*values.shape[:2], *numbers.shape)  # -1 is the last


def _columns(matrix: torch.Tensor, numbers: IntArray) -> torch.Tensor:
    """The columns of those numbers. NumPy takes them in half the time, where it knows the type."""
    import torch

    if matrix.is_cuda or matrix.dtype == torch.bfloat16:
        return matrix.index_select(1, torch.as_tensor(numbers, device=matrix.device))
    return torch.from_numpy(matrix.numpy().take(numbers, axis=1, mode="clip"))


@functools.cache
def _taking() -> Any:
    """The autograd function `(values, numbers) -> taken values`."""
    import torch

    class Taking(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, values: torch.Tensor, numbers: IntArray) -> torch.Tensor:
            ctx.numbers, ctx.size = numbers, values.shape[2]
            return _picked(values, numbers)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
            gradient = gradients[0]
            flat = gradient.flatten(2).flatten(0, 1)
            padded = torch.cat([flat, torch.zeros_like(flat[:, :1])], dim=1)
            sums = flat.new_zeros(len(flat), ctx.size)
            for copies in copies_of(ctx.numbers, ctx.size):
                sums += _columns(padded, copies)
            return sums.reshape(*gradient.shape[:2], ctx.size), None

    return Taking

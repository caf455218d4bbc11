"""Sums over the few synapses that a mask keeps: pruned ones are neither multiplied nor differentiated.

While a sparse network is trained, most of a product with its dense matrix, and all but a few of the gradients that come
back from it, are zeros. Here a neuron's sum is that of the trains of its own inputs, so that time goes with synapses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rare import is_rare, summed

if TYPE_CHECKING:
    import torch

FEW = 0.1
"""The share of synapses that stay up to which summing over them pays."""

WORTH = 1 << 15
"""Smaller matrices are multiplied as they are."""


def summed_where(spikes: torch.Tensor, weight: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """`spikes` [steps, samples, fan-in] times `weight` [fan-in, n], where that is 0 but where it is `kept`.

    Gradients reach the kept weights; pruned ones may get none.
    """
    if not _pays(spikes, weight, kept):
        return summed(spikes, weight)
    from torch.nn import functional

    steps, samples, fan_in = spikes.shape
    trains = spikes.permute(2, 0, 1).reshape(fan_in, -1)
    neuron, source = kept.t().nonzero().unbind(dim=1)
    ends = kept.sum(dim=0).cumsum(dim=0)
    first = ends.new_zeros(len(ends))
    first[1:] = ends[:-1]
    sums = functional.embedding_bag(
        source.contiguous(), trains, first, mode="sum", per_sample_weights=weight[source, neuron]
    )
    return sums.t().reshape(steps, samples, -1)


def _pays(spikes: torch.Tensor, weight: torch.Tensor, kept: torch.Tensor) -> bool:
    """Whether synapses are few, many would be multiplied, and nothing better is known of the spikes: gradients do not
    reach them, and they are neither rare nor of another kind than the weights."""
    if weight.numel() < WORTH or spikes.requires_grad or spikes.is_cuda or spikes.dtype != weight.dtype:
        return False
    return int(kept.count_nonzero()) <= FEW * kept.numel() and not is_rare(spikes)

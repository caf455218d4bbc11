"""What an output says of the classes, differentiable, and how far that is from what another one says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.readout import ReadBy, Readout
from .simulation import Response

if TYPE_CHECKING:
    import torch


def divergence(given: torch.Tensor, wanted: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """The Kullback-Leibler divergence of the classes' probabilities, mean over samples, from scores [samples, classes].

    Scores are divided by the temperature, and the result multiplied by its square, which keeps its gradients' size.
    """
    from torch.nn import functional

    probabilities = (wanted / temperature).softmax(dim=1)
    return functional.kl_div((given / temperature).log_softmax(dim=1), probabilities, reduction="batchmean") * (
        temperature * temperature
    )


def scores(response: Response, readout: Readout) -> torch.Tensor:
    """What classes are decided by [samples, classes], differentiable: `Readout` says what; sums of membranes are means.

    One output neuron that no threshold reads is told from silence.
    """
    import torch

    said = _said(response, readout.by)
    if readout.threshold is not None:
        return torch.cat([torch.full_like(said, readout.threshold - 0.5), said], dim=1)
    if readout.classes is not None:
        groups = said.unflatten(1, (readout.classes, -1))
        largest = readout.by in (ReadBy.FIRST_SPIKE, ReadBy.MEMBRANE_MAX)
        return groups.amax(dim=2) if largest else groups.sum(dim=2)
    return said if said.shape[1] > 1 else torch.cat([torch.zeros_like(said), said], dim=1)


def _said(response: Response, by: ReadBy) -> torch.Tensor:
    """What every output neuron says [samples, outputs]."""
    import torch

    membranes, spikes = response.membranes, response.spikes
    if by in (ReadBy.MEMBRANE_LAST, ReadBy.MEMBRANES):
        return membranes[-1]
    if by is ReadBy.MEMBRANE_MAX:
        return membranes.amax(dim=0)
    if by is ReadBy.MEMBRANE_SUM:
        return membranes.mean(dim=0)
    assert spikes is not None, "an output that never fires is read by its membranes"
    if by is ReadBy.SPIKES:
        return spikes.sum(dim=0)
    left = torch.arange(len(spikes), 0, -1, device=spikes.device, dtype=spikes.dtype)
    return (spikes * left[:, None, None]).amax(dim=0)

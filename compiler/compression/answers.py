"""What an output says of the classes, differentiable, and how far that is from what another one says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..data.samples import UNLABELLED
from ..ir.readout import ReadBy, Readout
from .simulation import Response

if TYPE_CHECKING:
    import torch

LEAST_VARIANCE = 1e-12
"""What keeps errors of values that never change finite."""


def divergence(given: torch.Tensor, wanted: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """How far what a network says is from what another one does (`learnt`), mean over samples and steps.

    Of scores [samples, classes] it is the Kullback-Leibler divergence of the classes' probabilities. Scores are divided
    by the temperature, and the result multiplied by its square, which keeps its gradients' size. Of values [samples,
    steps, outputs], which may tell classes or be what is asked for, it is that of every step and their mean square
    error, in units of the variance of those wanted.
    """
    from torch.nn import functional

    error: torch.Tensor | float = 0.0
    if given.dim() == 3:
        given, wanted = given.flatten(0, 1), wanted.flatten(0, 1)
        error = (given - wanted).square().mean() / wanted.var(dim=0, correction=0).mean().clamp(min=LEAST_VARIANCE)
    probabilities = (wanted / temperature).softmax(dim=1)
    apart = functional.kl_div((given / temperature).log_softmax(dim=1), probabilities, reduction="batchmean")
    return error + apart * (temperature * temperature)


def mistaken(response: Response, readout: Readout, labels: torch.Tensor) -> torch.Tensor:
    """The cross entropy of what an output says and the labels, [samples] or of every step [samples, steps].

    Mean over samples, or over the steps that are not `UNLABELLED`.
    """
    from torch.nn import functional

    if labels.dim() == 1:
        return functional.cross_entropy(scores(response, readout), labels)
    classes, labels = _values(response, readout).flatten(0, 1), labels.flatten()
    total = functional.cross_entropy(classes, labels, ignore_index=UNLABELLED, reduction="sum")
    return total / (labels != UNLABELLED).sum().clamp(min=1)


def labels_steps(readout: Readout) -> bool:
    """Whether steps may have labels: outputs that are a class each are read in every step."""
    return readout.by is ReadBy.MEMBRANES and readout.classes is None


Told = Callable[[Response, Readout], "torch.Tensor"]
"""What an output says, as a student learns it: scores of classes [samples, classes] or values [samples, steps,
outputs]."""


def learnt(own: Readout, teachers: Readout) -> Told:
    """What is learnt by who is read by `own` from who is read by `teachers`: values of every step where both are asked
    for those, else scores of classes."""
    return _values if labels_steps(own) and labels_steps(teachers) else scores


def _values(response: Response, readout: Readout) -> torch.Tensor:
    return response.membranes.transpose(0, 1)


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

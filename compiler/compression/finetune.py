"""Training what compression left over: surrogate gradients with the mask fixed, on the integer grid where there is one.

The compressed network learns from the original one (distillation): the spike counts of the output, as probabilities,
and the membranes of every population before the output. Without labels the calibration samples do, as the original
network answers any input: warped copies of images (`augmentation`), or else blends of two samples, each thinned at
random (mixup, Zhang et al., ICLR 2018). That still counts as one-shot compression. With labels their cross entropy
joins in.

Weights on the grid are rounded in the forward pass and trained straight through; scales are trained along (LSQ, Esser
et al., ICLR 2020). A pruned synapse stays pruned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, SampleError
from .augmentation import ImageShape, warped
from .grid import Grid
from .simulation import Layer, Response, simulate

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTune:
    """How to train. Without `spikes` [samples, steps, inputs] on the calibration samples, without `labels` too.

    `epochs` passes over the samples in batches of `batch_size` with a learning rate up to `learning_rate` (one cycle,
    Adam; in units of a typical threshold of 1). `blend` is the share of samples that are blends, fresh in
    every epoch; `hidden` the weight of the membranes' error, `labels_weight` that of the labels
    beside the distillation. Everything random comes from `seed`.
    """

    spikes: npt.NDArray[np.uint8] | None = None
    labels: npt.NDArray[np.int64] | None = None
    epochs: int = 70
    batch_size: int = 100
    learning_rate: float = 3e-3
    blend: float = 0.7
    hidden: float = 0.05
    labels_weight: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise OptionError(f"fine-tuning needs {name} of at least {least}: got {getattr(self, name)}")
        if not self.learning_rate > 0 or not math.isfinite(self.learning_rate):
            raise OptionError(f"a learning rate is above 0: got {self.learning_rate:g}")
        if not 0 <= self.blend <= 1:
            raise OptionError(f"the share of blended samples is 0 to 1: got {self.blend:g}")
        if self.labels is not None and (self.spikes is None or len(self.labels) != len(self.spikes)):
            count = 0 if self.spikes is None else len(self.spikes)
            raise SampleError(f"every training sample has a label: got {count} samples and {len(self.labels)} labels")


@dataclass(eq=False)
class Weights:
    """The compressed weights of one population: `shadow` [fan-in, n] (real), `bias` (n,), the mask `kept`.

    With `scales` (n,) the weights are `scales` times codes of `grid`: the rounded shadow. Where they are `shared` all
    are equal.
    """

    shadow: torch.Tensor
    bias: torch.Tensor
    kept: torch.Tensor
    scales: torch.Tensor | None = None
    least_scales: torch.Tensor | None = None
    grid: Grid | None = None
    shared: bool = False

    def copy(self) -> Weights:
        """Weights that can be trained without changing these."""
        scales = None if self.scales is None else self.scales.clone()
        return replace(self, shadow=self.shadow.clone(), bias=self.bias.clone(), scales=scales)

    def codes(self) -> torch.Tensor:
        """The integer codes [fan-in, n], as floats."""
        assert self.scales is not None and self.grid is not None
        return self.grid.nearest(self.shadow / self.scales) * self.kept

    def effective(self) -> torch.Tensor:
        """The weights that the network runs on; gradients reach `shadow` and `scales` straight through."""
        if self.scales is None or self.grid is None:
            return self.shadow * self.kept
        ratio = (self.shadow / self.scales).clamp(-self.grid.limit, self.grid.limit)
        return (ratio + (self.grid.nearest(ratio) - ratio).detach()) * self.scales * self.kept


def finetune(
    layers: Sequence[Layer],
    weights: Sequence[Weights],
    calibration: npt.NDArray[Any],
    output: str,
    options: FineTune,
    image: ImageShape | None = None,
    progress: Progress | None = None,
) -> None:
    """Train `weights` (of `layers`, in their order) in place towards the original network that `layers` are.

    Samples without labels are warped where they are images of the shape `image`, and blended where they are not.
    """
    import torch

    samples = calibration if options.spikes is None else options.spikes
    generator = torch.Generator().manual_seed(options.seed)
    batches = _Batches(layers, torch.as_tensor(samples), options, image, generator)
    parameters = _parameters(weights)
    optimiser = torch.optim.Adam(parameters)
    total = options.epochs * batches.count
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["rate"] * options.learning_rate for group in parameters], total_steps=total, pct_start=0.1
    )
    done = 0
    for _ in range(options.epochs):
        for inputs, targets, labels in batches.epoch():
            optimiser.zero_grad()
            loss = _loss(layers, weights, inputs, targets, labels, output, options)
            loss.backward()
            optimiser.step()
            schedule.step()
            _clip_scales(weights)
            done += 1
            if progress is not None:
                progress(done, total)
    for item in weights:
        item.shadow.requires_grad_(False)
        item.bias.requires_grad_(False)
        if item.scales is not None:
            item.scales.requires_grad_(False)


def _parameters(weights: Sequence[Weights]) -> list[dict[str, Any]]:
    """What is trained, with learning rates relative to that of real weights."""
    groups: list[dict[str, Any]] = []
    for item in weights:
        groups.append({"params": [item.shadow.requires_grad_(), item.bias.requires_grad_()], "rate": 1.0, "lr": 1.0})
        if item.scales is not None:
            groups.append({"params": [item.scales.requires_grad_()], "rate": 0.1, "lr": 1.0})
    return groups


def _clip_scales(weights: Sequence[Weights]) -> None:
    import torch

    with torch.no_grad():
        for item in weights:
            if item.scales is not None and item.least_scales is not None:
                scales = item.scales.mean().expand_as(item.scales) if item.shared else item.scales
                item.scales.copy_(torch.maximum(scales, item.least_scales))


class _Batches:
    """Batches of inputs with what the original network makes of them; blends are fresh in every epoch."""

    def __init__(
        self,
        layers: Sequence[Layer],
        samples: torch.Tensor,
        options: FineTune,
        image: ImageShape | None,
        generator: torch.Generator,
    ) -> None:
        self.layers, self.samples, self.options, self.image, self.generator = layers, samples, options, image, generator
        self.count = math.ceil(len(samples) / options.batch_size)

    def epoch(self) -> Iterator[tuple[torch.Tensor, dict[str, Response], torch.Tensor | None]]:
        import torch

        labels = None if self.options.labels is None else torch.as_tensor(self.options.labels)
        weight = self.layers[0].weight
        for part in torch.randperm(len(self.samples), generator=self.generator).split(self.options.batch_size):
            samples = self.samples[part]
            if labels is None:
                samples = self._varied(samples)
            inputs = samples.transpose(0, 1).contiguous().to(weight.device, weight.dtype)
            with torch.no_grad():
                targets = simulate(self.layers, inputs)
            yield inputs, targets, None if labels is None else labels[part].to(weight.device)

    def _varied(self, samples: torch.Tensor) -> torch.Tensor:
        if self.image is not None:
            return warped(samples, self.image, self.generator)
        return _blended(samples, self.options.blend, self.generator)


def _blended(samples: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """The samples, the share of them replaced by thinned blends of two."""
    import torch

    count = len(samples)
    keep = torch.rand(count, 1, 1, generator=generator)
    keep = torch.where(torch.rand(count, 1, 1, generator=generator) < share, keep, torch.ones_like(keep))
    other = samples[torch.randperm(count, generator=generator)]
    mine = samples * (torch.rand(samples.shape, generator=generator) < keep)
    return torch.maximum(mine, other * (torch.rand(samples.shape, generator=generator) < 1 - keep))


def _loss(
    layers: Sequence[Layer],
    weights: Sequence[Weights],
    inputs: torch.Tensor,
    targets: dict[str, Response],
    labels: torch.Tensor | None,
    output: str,
    options: FineTune,
) -> torch.Tensor:
    from torch.nn import functional

    answer = simulate(layers, inputs, [w.effective() for w in weights], [w.bias for w in weights], surrogate=True)
    loss = divergence(answer[output], targets[output])
    if labels is not None:
        mix = options.labels_weight
        loss = (1 - mix) * loss + mix * functional.cross_entropy(scores(answer[output]), labels)
    for layer in layers:
        if layer.name != output and options.hidden:
            unit = layer.threshold.abs().clamp(min=1e-6) if layer.folded.spiking else 1.0
            error = (answer[layer.name].membranes - targets[layer.name].membranes) / unit
            loss = loss + options.hidden * (error * error).mean()
    return loss


def divergence(answer: Response, target: Response) -> torch.Tensor:
    """The Kullback-Leibler divergence of the classes' probabilities (softmax of their scores), mean over samples."""
    from torch.nn import functional

    wanted = scores(target).softmax(dim=1)
    return functional.kl_div(scores(answer).log_softmax(dim=1), wanted, reduction="batchmean")


def scores(response: Response) -> torch.Tensor:
    """What classes are decided by [samples, classes]: spike counts, or a readout's mean membranes."""
    return response.membranes.mean(dim=0) if response.spikes is None else response.spikes.sum(dim=0)

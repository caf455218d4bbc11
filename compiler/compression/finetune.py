"""Training what compression left over: surrogate gradients, on the integer grid where there is one.

The compressed network learns from the original one (distillation): what its output says of each class (`Readout`), as
probabilities softened by a temperature (Hinton et al., arXiv 1503.02531), and where wanted the membranes of every
population before the output. Without labels the calibration samples do, as the original network answers any input:
warped copies of images (`augmentation`), or else blends of two samples, each thinned at random (mixup, Zhang et al.,
ICLR 2018). That still counts as one-shot compression. With labels their cross entropy joins in.

Weights on the grid are rounded in the forward pass and trained straight through; scales are trained along (LSQ, Esser
et al., ICLR 2020). A pruned synapse stays pruned. Training may begin with more synapses than are to stay and prune the
others on the way (`gradual`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, SampleError
from ..ir.readout import ReadBy, Readout
from .allocation import Share, zeros
from .augmentation import ImageShape, warped
from .gradual import PRUNED_BY, STAGES, most_valuable, synapses_at
from .grid import Grid
from .meter import Progress
from .simulation import Layer, Response, simulate

if TYPE_CHECKING:
    import torch

ROOMY = 0.25
"""The share of weights that stay above which labelled images are warped unless told."""

RISES_FOR = 0.1
"""The share of the training in which the learning rate rises."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTune:
    """How to train. Without `spikes` [samples, steps, inputs] on the calibration samples, without `labels` too.

    `epochs` passes over the samples in batches of `batch_size` with a learning rate up to `learning_rate` (one cycle,
    Adam; in units of a typical threshold of 1). `temperature` softens what the original network answers,
    `labels_weight` is the share of the labels beside it, `hidden` the weight of the membranes' error. Where synapses
    are pruned, training begins with `surplus` times those that are to stay; with 1 the mask is fixed from the start.
    `warp` trains on warped copies of labelled images too; None does so where more than `ROOMY` of the weights stay, as
    fewer have no room for images that no test asks for. `blend` is the share of samples that are blends, fresh in every
    epoch, where unlabelled samples are no images. `mixed_precision` multiplies spikes and weights in bfloat16, which
    takes half the time where the processor has it (membranes stay float32). Everything random comes from `seed`.
    """

    spikes: npt.NDArray[np.uint8] | None = None
    labels: npt.NDArray[np.int64] | None = None
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 5e-3
    temperature: float = 3.0
    labels_weight: float = 0.5
    hidden: float = 0.0
    surplus: float = 3.0
    warp: bool | None = None
    blend: float = 0.7
    mixed_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise OptionError(f"fine-tuning needs {name} of at least {least}: got {getattr(self, name)}")
        for name in ("learning_rate", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise OptionError(f"fine-tuning needs a {name} above 0: got {getattr(self, name):g}")
        if not 1 <= self.surplus < math.inf:
            raise OptionError(f"training begins with 1 or more times the synapses that stay: got {self.surplus:g}")
        if not 0 <= self.hidden < math.inf:
            raise OptionError(f"the weight of the membranes' error is 0 or more: got {self.hidden:g}")
        for name in ("blend", "labels_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is a share, 0 to 1: got {getattr(self, name):g}")
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
    readout: Readout,
    image: ImageShape | None = None,
    progress: Progress | None = None,
    shares: Sequence[Share] = (),
) -> None:
    """Train `weights` (of `layers`, in their order) in place towards the original network that `layers` are.

    `readout` says how a class is read off the `output`. What `shares` asks for beyond the zeros there are is pruned on
    the way. Samples without labels are warped where they are images of the shape `image`, and blended where they are
    not.
    """
    import torch

    samples = calibration if options.spikes is None else options.spikes
    generator = torch.Generator().manual_seed(options.seed)
    prunings = [_Pruning.of(share, layers, weights) for share in shares]
    if options.warp is None:
        options = replace(options, warp=_staying(weights, prunings) > ROOMY)
    batches = _Batches(layers, torch.as_tensor(samples), output, options, readout, image, generator)
    optimiser = torch.optim.Adam(_parameters(weights, options.learning_rate))
    total = options.epochs * batches.count
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _one_cycle(step / total))
    between = max(1, int(PRUNED_BY * total) // STAGES)
    done = 0
    for _ in range(options.epochs):
        for batch in batches.epoch():
            optimiser.zero_grad()
            loss = _loss(layers, weights, batch, output, options, readout)
            loss.backward()
            optimiser.step()
            schedule.step()
            _stay_on_grid(weights)
            done += 1
            if done % between == 0 or done == total:
                for pruning in prunings:
                    pruning.prune(optimiser, done / total)
            if progress is not None:
                progress(done, total)
    for item in weights:
        item.shadow.requires_grad_(False)
        item.bias.requires_grad_(False)
        if item.scales is not None:
            item.scales.requires_grad_(False)


def _parameters(weights: Sequence[Weights], rate: float) -> list[dict[str, Any]]:
    """What is trained, with its learning rate."""
    groups: list[dict[str, Any]] = []
    for item in weights:
        groups.append({"params": [item.shadow.requires_grad_(), item.bias.requires_grad_()], "lr": rate})
        if item.scales is not None:
            groups.append({"params": [item.scales.requires_grad_()], "lr": 0.1 * rate})
    return groups


def _one_cycle(share: float) -> float:
    """The learning rate after that share of the training, relative to the highest: up, and down along a cosine."""
    rising = (share + 1e-3) / RISES_FOR
    return rising if rising < 1 else 0.5 + 0.5 * math.cos(math.pi * (share - RISES_FOR) / (1 - RISES_FOR))


@dataclass(frozen=True, eq=False)
class _Pruning:
    """The populations that share a sparsity: how many synapses they had together and how many stay."""

    weights: Sequence[Weights]
    first: int
    last: int

    @classmethod
    def of(cls, share: Share, layers: Sequence[Layer], weights: Sequence[Weights]) -> _Pruning:
        members = [w for layer, w in zip(layers, weights, strict=True) if layer.name in share.populations]
        size = sum(w.kept.numel() for w in members)
        return cls(members, sum(int(w.kept.sum()) for w in members), size - zeros(size, share.sparsity))

    def prune(self, optimiser: torch.optim.Adam, share: float) -> None:
        """Keep what that share of the training leaves."""
        values = [w.shadow.detach().square() * optimiser.state[w.shadow]["exp_avg_sq"] for w in self.weights]
        masks = most_valuable(values, [w.kept for w in self.weights], synapses_at(share, self.first, self.last))
        for item, mask in zip(self.weights, masks, strict=True):
            item.kept = mask


def _staying(weights: Sequence[Weights], prunings: Sequence[_Pruning]) -> float:
    """The share of all weights that stay."""
    kept = sum(min(p.first, p.last) for p in prunings) if prunings else sum(int(w.kept.sum()) for w in weights)
    return kept / sum(w.kept.numel() for w in weights)


def _stay_on_grid(weights: Sequence[Weights]) -> None:
    """Hold scales where constants fit, and shadows within the codes: beyond them no gradient would bring them back."""
    import torch

    with torch.no_grad():
        for item in weights:
            if item.scales is not None and item.least_scales is not None and item.grid is not None:
                scales = item.scales.mean().expand_as(item.scales) if item.shared else item.scales
                item.scales.copy_(torch.maximum(scales, item.least_scales))
                most = item.scales * item.grid.limit
                item.shadow.copy_(torch.minimum(torch.maximum(item.shadow, -most), most))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Batch:
    """Inputs [steps, samples, inputs], the original's scores [samples, classes], and its membranes where wanted."""

    inputs: torch.Tensor
    scores: torch.Tensor
    responses: Mapping[str, Response]
    labels: torch.Tensor | None


class _Batches:
    """Batches of inputs with what the original network makes of them, computed once where samples do not vary."""

    def __init__(
        self,
        layers: Sequence[Layer],
        samples: torch.Tensor,
        output: str,
        options: FineTune,
        readout: Readout,
        image: ImageShape | None,
        generator: torch.Generator,
    ) -> None:
        self.layers, self.samples, self.output, self.options, self.readout = layers, samples, output, options, readout
        self.image, self.generator = image, generator
        self.count = math.ceil(len(samples) / options.batch_size)
        self.vary = options.labels is None or (options.warp and image is not None)
        self.scores = None if self.vary or options.hidden else self._scores()

    def epoch(self) -> Iterator[_Batch]:
        import torch

        labels = None if self.options.labels is None else torch.as_tensor(self.options.labels)
        for part in torch.randperm(len(self.samples), generator=self.generator).split(self.options.batch_size):
            inputs = self._inputs(self._varied(self.samples[part]) if self.vary else self.samples[part])
            responses = {} if self.scores is not None else self._responses(inputs)
            yield _Batch(
                inputs=inputs,
                scores=scores(responses[self.output], self.readout) if self.scores is None else self.scores[part],
                responses=responses,
                labels=None if labels is None else labels[part].to(inputs.device),
            )

    def _scores(self) -> torch.Tensor:
        """What the original network makes of the samples as they are."""
        import torch

        parts = self.samples.split(self.options.batch_size)
        return torch.cat([scores(self._responses(self._inputs(part))[self.output], self.readout) for part in parts])

    def _responses(self, inputs: torch.Tensor) -> dict[str, Response]:
        import torch

        with torch.no_grad(), _precision(self.options, inputs):
            return simulate(self.layers, inputs)

    def _inputs(self, samples: torch.Tensor) -> torch.Tensor:
        import torch

        weight = self.layers[0].weight
        dtype = torch.bfloat16 if self.options.mixed_precision else weight.dtype  # exact for counts up to 255
        return samples.transpose(0, 1).contiguous().to(weight.device, dtype)

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
    layers: Sequence[Layer], weights: Sequence[Weights], batch: _Batch, output: str, options: FineTune, readout: Readout
) -> torch.Tensor:
    from torch.nn import functional

    real, biases = [w.effective() for w in weights], [w.bias for w in weights]
    with _precision(options, batch.inputs):
        answer = simulate(layers, batch.inputs, real, biases, surrogate=True)
    given = scores(answer[output], readout)
    loss = divergence(given, batch.scores, options.temperature)
    if batch.labels is not None:
        mix = options.labels_weight
        loss = (1 - mix) * loss + mix * functional.cross_entropy(given, batch.labels)
    for layer in layers:
        if layer.name != output and options.hidden:
            unit = layer.view.per_neuron(layer.threshold.abs().clamp(min=1e-6)) if layer.form.spiking else 1.0
            error = (answer[layer.name].membranes - batch.responses[layer.name].membranes) / unit
            loss = loss + options.hidden * (error * error).mean()
    return loss


def _precision(options: FineTune, inputs: torch.Tensor) -> torch.autocast:
    import torch

    return torch.autocast(inputs.device.type, torch.bfloat16, enabled=options.mixed_precision)


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

"""Training what compression left over: surrogate gradients, on the integer grid where there is one.

The compressed network learns from the original one, or from another teacher (distillation): what its output says of
each class (`Readout`), as probabilities softened by a temperature (Hinton et al., arXiv 1503.02531), and where wanted
the original's membranes of every population before the output. Without labels the calibration samples do, as a teacher
answers any input: warped copies of images (`augmentation`), or else blends of two samples, each thinned at random
(mixup, Zhang et al., ICLR 2018). That still counts as one-shot compression. With labels their cross entropy joins in.

Weights on the grid are rounded in the forward pass and trained straight through; scales are trained along (LSQ, Esser
et al., ICLR 2020). A pruned synapse stays pruned. Training may begin with more synapses than are to stay and prune the
others on the way (`gradual`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, SampleError
from ..ir.network import Network
from ..ir.readout import Readout
from .adam import Adam
from .allocation import Share, zeros
from .answers import Told, divergence, learnt, mistaken
from .augmentation import ImageShape
from .batches import Batch, Batches, Teacher, precision
from .gradual import PRUNED_BY, STAGES, most_valuable, synapses_at
from .grid import Grid
from .material import Arrays, Material
from .meter import Progress
from .recurrence import groups_of, is_recurrent
from .simulation import Layer, simulate
from .trained import begin, hold, trained_of, trains_neurons, with_trained

if TYPE_CHECKING:
    import torch

ROOMY = 0.25
"""The share of weights that stay above which labelled images are warped unless told."""

MANY_EPOCHS = 40
"""From so many epochs on images are warped however few weights stay, and the learning rate is `BOLD`, unless told."""

BOLD, CAREFUL = 8e-3, 5e-3
"""Learning rates, in units of a typical threshold of 1."""

RISES_FOR = 0.1
"""The share of the training in which the learning rate rises."""

LONGEST = 1.0
"""The longest gradient that recurrent networks are trained by."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTune:
    """How to train. Without `material` or `spikes` on the calibration samples, without labels too.

    `material` are the samples (`Arrays`, `Images`, `Recordings`); `spikes` [samples, steps, inputs] with `labels` are a
    short way to say `Arrays`. Labels are [samples], or [samples, steps] where a class is read in every step: -1 where a
    step has none. `teacher` is the float network whose answers are learnt, of any size, with the original's
    inputs and classes; None is the original.

    `epochs` passes over the samples in batches of `batch_size` with a learning rate up to `learning_rate` (one cycle,
    Adam; in units of a typical threshold of 1; None is `BOLD` or, for few epochs, `CAREFUL`). `temperature` softens
    what the teacher answers, `labels_weight` is the share of the labels beside it, `hidden` the weight of the error of
    the original's membranes. Where synapses are pruned, training begins with `surplus` times those that are to stay;
    with 1 the mask is fixed from the start. `warp` trains on warped copies of labelled images too; None does so where
    more than `ROOMY` of the weights stay or the epochs are `MANY_EPOCHS`, as fewer epochs leave sparse networks no time
    for images that no test asks for, and never with material that varies by itself in more than its code. `blend` is
    the share of samples that are blends, fresh in every epoch, where unlabelled samples are no images.
    `leaks` trains what the membrane of each neuron keeps from step to step too, `resets` what a spike subtracts of it.
    `mixed_precision` multiplies spikes and weights in bfloat16, which takes half the time where the processor has it
    (membranes stay float32). Everything random comes from `seed`.
    """

    spikes: npt.NDArray[np.uint8] | None = None
    labels: npt.NDArray[np.int64] | None = None
    material: Material | None = None
    teacher: Network | None = None
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float | None = None
    temperature: float = 3.0
    labels_weight: float = 0.5
    hidden: float = 0.0
    surplus: float = 3.0
    warp: bool | None = None
    blend: float = 0.7
    leaks: bool = False
    resets: bool = False
    mixed_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise OptionError(f"fine-tuning needs {name} of at least {least}: got {getattr(self, name)}")
        for name in ("learning_rate", "temperature"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"fine-tuning needs a {name} above 0: got {value:g}")
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
        if self.material is not None and self.spikes is not None:
            raise OptionError("samples to train on are given once: got material and spikes; leave one out")

    @property
    def samples(self) -> Material | None:
        """What is trained on; None for the calibration samples."""
        if self.spikes is None:
            return self.material
        return Arrays(spikes=self.spikes, labels=self.labels)

    def settled(self, staying: float) -> FineTune:
        """The same with what is left to it decided, where the share `staying` of all weights does."""
        many = self.epochs >= MANY_EPOCHS
        own = self.samples is not None and self.samples.augmented
        return replace(
            self,
            learning_rate=(BOLD if many else CAREFUL) if self.learning_rate is None else self.learning_rate,
            warp=(many or staying > ROOMY) and not own if self.warp is None else self.warp,
        )


@dataclass(eq=False)
class Weights:
    """The compressed weights of one population: `shadow` [fan-in, n] (real), `bias` (n,), the mask `kept`.

    With `scales` (n,) the weights are `scales` times codes of `grid`: the rounded shadow. Where they are `shared` all
    are equal. `beta` (n,) is what membranes keep, `sub` (n,) what a spike subtracts, where that is trained.
    """

    shadow: torch.Tensor
    bias: torch.Tensor
    kept: torch.Tensor
    scales: torch.Tensor | None = None
    least_scales: torch.Tensor | None = None
    grid: Grid | None = None
    shared: bool = False
    beta: torch.Tensor | None = None
    sub: torch.Tensor | None = None

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

    generator = torch.Generator().manual_seed(options.seed)
    prunings = [_Pruning.of(share, layers, weights) for share in shares]
    options = options.settled(_staying(weights, prunings))
    device = str(layers[0].weight.device)
    teacher = Teacher(layers, output, readout) if options.teacher is None else Teacher.of(options.teacher, device)
    told = learnt(readout, teacher.readout)
    batches = Batches(layers, options.samples or Arrays(spikes=calibration), teacher, told, options, image, generator)
    assert options.learning_rate is not None
    if trains_neurons(options):
        begin(layers, weights, options)
    optimiser = Adam(_parameters(weights, options.learning_rate))
    total = options.epochs * batches.count
    between = max(1, int(PRUNED_BY * total) // STAGES)
    loops = any(is_recurrent(layers, group) for group in groups_of(layers))
    done = 0
    for _ in range(options.epochs):
        for batch in batches.epoch():
            optimiser.forget()
            loss = _loss(layers, weights, batch, output, options, readout, told)
            loss.backward()
            if loops:
                optimiser.limit(LONGEST)
            optimiser.step(_one_cycle(done / total))
            _stay_on_grid(weights)
            done += 1
            if done % between == 0 or done == total:
                for pruning in prunings:
                    pruning.prune(optimiser, done / total)
            if progress is not None:
                progress(done, total)
    for item in weights:
        item.shadow.requires_grad_(False)
        for value in (item.bias, item.scales, *(value for _, value in trained_of(item))):
            if value is not None:
                value.requires_grad_(False)


def _parameters(weights: Sequence[Weights], rate: float) -> Iterator[tuple[torch.Tensor, float]]:
    """What is trained, with its learning rate."""
    for item in weights:
        yield from ((item.shadow, rate), (item.bias, rate), *((value, rate) for _, value in trained_of(item)))
        if item.scales is not None:
            yield item.scales, 0.1 * rate


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

    def prune(self, optimiser: Adam, share: float) -> None:
        """Keep what that share of the training leaves."""
        values = [w.shadow.detach().square() * optimiser.square_of(w.shadow) for w in self.weights]
        masks = most_valuable(values, [w.kept for w in self.weights], synapses_at(share, self.first, self.last))
        for item, mask in zip(self.weights, masks, strict=True):
            item.kept = mask


def _staying(weights: Sequence[Weights], prunings: Sequence[_Pruning]) -> float:
    """The share of all weights that stay."""
    kept = sum(min(p.first, p.last) for p in prunings) if prunings else sum(int(w.kept.sum()) for w in weights)
    return kept / sum(w.kept.numel() for w in weights)


def _stay_on_grid(weights: Sequence[Weights]) -> None:
    """Hold neurons in their ranges, scales where constants fit, and shadows within the codes: beyond them no gradient
    would bring them back."""
    import torch

    with torch.no_grad():
        for item in weights:
            hold(item)
            if item.scales is not None and item.least_scales is not None and item.grid is not None:
                scales = item.scales.mean().expand_as(item.scales) if item.shared else item.scales
                item.scales.copy_(torch.maximum(scales, item.least_scales))
                most = item.scales * item.grid.limit
                item.shadow.copy_(torch.minimum(torch.maximum(item.shadow, -most), most))


def _loss(
    layers: Sequence[Layer],
    weights: Sequence[Weights],
    batch: Batch,
    output: str,
    options: FineTune,
    readout: Readout,
    told: Told,
) -> torch.Tensor:
    real, biases = [w.effective() for w in weights], [w.bias for w in weights]
    layers = with_trained(layers, weights)
    with precision(options, batch.inputs):
        answer = simulate(layers, batch.inputs, real, biases, surrogate=True, kept=[w.kept for w in weights])
    loss = divergence(told(answer[output], readout), batch.said, options.temperature)
    if batch.labels is not None:
        mix = options.labels_weight
        loss = (1 - mix) * loss + mix * mistaken(answer[output], readout, batch.labels)
    for layer in layers:
        if layer.name != output and options.hidden:
            unit = layer.view.per_neuron(layer.threshold.abs().clamp(min=1e-6)) if layer.form.spiking else 1.0
            error = (answer[layer.name].membranes - batch.responses[layer.name].membranes) / unit
            loss = loss + options.hidden * (error * error).mean()
    return loss

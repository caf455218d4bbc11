"""The batches of an epoch: samples of a `Material`, varied where they are to be, with what a teacher makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..ir.arrays import IntArray
from ..ir.network import Network
from ..ir.readout import Readout
from .answers import Told
from .augmentation import ImageShape, warped
from .material import Images, Material
from .simulation import Layer, Response, layers_of, simulate

if TYPE_CHECKING:
    import torch

    from .finetune import FineTune


@dataclass(frozen=True, eq=False)
class Teacher:
    """The network whose answers are learnt: its layers, which of them is the output, and how that is read."""

    layers: Sequence[Layer]
    output: str
    readout: Readout

    @classmethod
    def of(cls, network: Network, device: str) -> Teacher:
        """The teacher that a float network is."""
        return cls(layers_of(network, device), network.output, network.reading)

    def says(self, inputs: torch.Tensor, told: Told) -> torch.Tensor:
        """What it says on inputs [steps, samples, inputs]."""
        return told(simulate(self.layers, inputs)[self.output], self.readout)


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Inputs [steps, samples, inputs], what the teacher said (`learnt`), and the original's membranes where wanted."""

    inputs: torch.Tensor
    said: torch.Tensor
    responses: Mapping[str, Response]
    labels: torch.Tensor | None


class Batches:
    """Batches of inputs with what the teacher makes of them, worked out once where samples do not vary."""

    def __init__(
        self,
        layers: Sequence[Layer],
        material: Material,
        teacher: Teacher,
        told: Told,
        options: FineTune,
        image: ImageShape | None,
        generator: torch.Generator,
    ) -> None:
        self.layers, self.material, self.teacher, self.told, self.options = layers, material, teacher, told, options
        self.image, self.generator = image, generator
        self.rng = np.random.default_rng(options.seed)
        self.count = math.ceil(len(material) / options.batch_size)
        warps = options.warp and image is not None
        self.vary = bool(warps) or (material.labels is None and not material.fresh)
        self.known = None if self.vary or material.fresh or options.hidden else self._said()

    def epoch(self) -> Iterator[Batch]:
        """All samples, in another order each time."""
        import torch

        labels = None if self.material.labels is None else torch.as_tensor(self.material.labels)
        for part in torch.randperm(len(self.material), generator=self.generator).split(self.options.batch_size):
            inputs = self._inputs(self._varied(part.numpy()) if self.vary else self._taken(part.numpy()))
            responses = self._responses(inputs) if self.options.hidden else {}
            yield Batch(
                inputs=inputs,
                said=self._answers(inputs, responses) if self.known is None else self.known[part],
                responses=responses,
                labels=None if labels is None else labels[part].to(inputs.device),
            )

    def _said(self) -> torch.Tensor:
        """What the teacher makes of the samples as they are."""
        import torch

        parts = np.array_split(np.arange(len(self.material)), self.count)
        return torch.cat([self._answers(self._inputs(self._taken(part)), {}) for part in parts])

    def _answers(self, inputs: torch.Tensor, responses: Mapping[str, Response]) -> torch.Tensor:
        """What the teacher makes of the inputs; what it does is among the `responses` where it is the original."""
        import torch

        if responses and self.teacher.layers is self.layers:
            return self.told(responses[self.teacher.output], self.teacher.readout)
        with torch.no_grad(), precision(self.options, inputs):
            return self.teacher.says(inputs, self.told)

    def _responses(self, inputs: torch.Tensor) -> dict[str, Response]:
        import torch

        with torch.no_grad(), precision(self.options, inputs):
            return simulate(self.layers, inputs)

    def _inputs(self, samples: torch.Tensor) -> torch.Tensor:
        import torch

        weight = self.layers[0].weight
        dtype = torch.bfloat16 if self.options.mixed_precision else weight.dtype  # exact for counts up to 255
        trains = samples.permute(2, 1, 0).contiguous()  # of each input in one piece, as few synapses take them
        return trains.to(weight.device, dtype).permute(1, 2, 0)

    def _taken(self, numbers: IntArray) -> torch.Tensor:
        import torch

        return torch.as_tensor(self.material.take(numbers, self.rng))

    def _varied(self, numbers: IntArray) -> torch.Tensor:
        """Samples, images warped: where there are pixels those, which are then encoded."""
        import torch

        if self.image is None:
            return _blended(self._taken(numbers), self.options.blend, self.generator)
        if not isinstance(self.material, Images):
            return warped(self._taken(numbers), self.image, self.generator)
        pixels = torch.as_tensor(self.material.pixels[numbers, None])
        changed = warped(pixels, self.image, self.generator)[:, 0]
        return torch.as_tensor(self.material.encoded(changed.numpy(), self.rng))


def _blended(samples: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """The samples, the share of them replaced by thinned blends of two."""
    import torch

    count = len(samples)
    keep = torch.rand(count, 1, 1, generator=generator)
    keep = torch.where(torch.rand(count, 1, 1, generator=generator) < share, keep, torch.ones_like(keep))
    other = samples[torch.randperm(count, generator=generator)]
    mine = samples * (torch.rand(samples.shape, generator=generator) < keep)
    return torch.maximum(mine, other * (torch.rand(samples.shape, generator=generator) < 1 - keep))


def precision(options: FineTune, inputs: torch.Tensor) -> torch.autocast:
    """The numbers that training multiplies."""
    import torch

    return torch.autocast(inputs.device.type, torch.bfloat16, enabled=options.mixed_precision)

"""What compression knows of a network: calibration samples, what the original does on them, samples held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..ir.arrays import SpikeArray
from ..ir.network import INPUT, Network
from ..ir.readout import Readout
from .answers import divergence, learnt
from .augmentation import ImageShape, image_shape, warped
from .finetune import Weights
from .simulation import Layer, inputs_of, simulate

if TYPE_CHECKING:
    import torch

HELD_OUT = 8
"""Every eighth sample is held out for choices, where there are at least four times as many samples."""

COPIES = 3
"""Warped copies of the samples for the second moments."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """Samples [samples, steps, inputs], spikes of the original network on them, and its answers on those held out.

    `spikes` are by population, the inputs included; where the inputs form an image, on warped copies too.
    """

    output: str
    readout: Readout
    samples: SpikeArray
    image: ImageShape | None
    spikes: Mapping[str, torch.Tensor]
    held_out: torch.Tensor
    answers: torch.Tensor

    @classmethod
    def of(cls, network: Network, layers: Sequence[Layer], samples: SpikeArray, device: str) -> Calibration:
        import torch

        generator = torch.Generator().manual_seed(0)
        apart = np.arange(len(samples)) % HELD_OUT == HELD_OUT - 1
        if len(samples) < 4 * HELD_OUT:
            apart[:] = False
        calibration, held_out = samples[~apart], samples[apart] if apart.any() else samples
        image = image_shape(network.input_shape, calibration)
        extended, judges = torch.as_tensor(calibration), torch.as_tensor(held_out)
        if image is not None:
            extended = torch.cat([extended, *(warped(extended, image, generator) for _ in range(COPIES))])
            judges = torch.cat([judges, *(warped(judges, image, generator) for _ in range(COPIES))])
        inputs, judge = inputs_of(extended, device), inputs_of(judges, device)
        with torch.no_grad():
            spikes = {INPUT: inputs}
            spikes |= {name: r.spikes for name, r in simulate(layers, inputs).items() if r.spikes is not None}
            told = learnt(network.reading, network.reading)
            answers = told(simulate(layers, judge)[network.output], network.reading)
        return cls(
            output=network.output,
            readout=network.reading,
            samples=calibration,
            image=image,
            spikes=spikes,
            held_out=judge,
            answers=answers,
        )

    def better(self, layers: Sequence[Layer], first: list[Weights], second: list[Weights]) -> list[Weights]:
        """Whichever weights answer more like the original network on the samples that were held out."""
        return second if self._distance(layers, second) < self._distance(layers, first) else first

    def _distance(self, layers: Sequence[Layer], weights: Sequence[Weights]) -> float:
        import torch

        with torch.no_grad():
            answer = simulate(layers, self.held_out, [w.effective() for w in weights], [w.bias for w in weights])
            told = learnt(self.readout, self.readout)
            return float(divergence(told(answer[self.output], self.readout), self.answers))

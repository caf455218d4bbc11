"""What an executor records: spikes and, on request, membranes of every population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.network import INPUT

SpikeArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False, kw_only=True)
class PopulationRecording:
    """One population: `spikes` uint8 [samples, steps, neurons]; `membranes` V at the end of each step, same shape."""

    spikes: SpikeArray
    membranes: npt.NDArray[Any] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """The whole network.

    `populations` holds every population by name, the output included. `ambiguous` counts the neuron-steps whose
    distance to the threshold is below the floating-point rounding bound, where another order of summation may fire
    differently; it is 0 for integer executors.
    """

    output: str
    populations: Mapping[str, PopulationRecording]
    ambiguous: int = 0

    @property
    def spikes(self) -> SpikeArray:
        """Output spikes, uint8 [samples, steps, outputs]."""
        return self.populations[self.output].spikes

    @property
    def membranes(self) -> npt.NDArray[Any] | None:
        """Output membranes [samples, steps, outputs], or None where they were not asked for."""
        return self.populations[self.output].membranes

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The class of each sample: most output spikes, ties to the lowest index."""
        return np.argmax(self.spikes.sum(axis=1, dtype=np.int64), axis=1).astype(np.int64)

    def trains(self, inputs: SpikeArray, count: int | None = None) -> dict[str, SpikeArray]:
        """The spikes [samples, steps, neurons] of the input, under `INPUT`, and of every population.

        Of the first `count` samples; `inputs` may go on after those that were recorded.
        """
        spikes = {INPUT: inputs} | {name: recorded.spikes for name, recorded in self.populations.items()}
        return {name: train[:count] for name, train in spikes.items()}

    def accuracy(self, labels: npt.NDArray[np.int64]) -> float:
        """The share of samples whose predicted class is its label."""
        return float(np.mean(self.predicted == labels))

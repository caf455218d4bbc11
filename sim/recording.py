"""What an executor records: spikes and, on request, membranes of every population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import SpikeArray
from ..compiler.ir.network import INPUT, Network
from ..compiler.ir.neurons import IntegerDynamics
from ..compiler.ir.readout import Readout
from . import readout as judge


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
    differently; it is 0 for integer executors. `readout` says how a class is read, `scale` (outputs,) what a membrane
    unit of each output is worth where integer membranes are compared that have not one unit. `readings` int64 [samples,
    steps, outputs] are what a host got in place of spikes, where nothing else of the output is known.
    """

    output: str
    populations: Mapping[str, PopulationRecording]
    ambiguous: int = 0
    readout: Readout = field(default_factory=Readout)
    scale: npt.NDArray[np.float64] | None = None
    readings: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(cls, network: Network, populations: Mapping[str, PopulationRecording], ambiguous: int = 0) -> Recording:
        """What was recorded of a network, with its readout."""
        dynamics, scale = network.population(network.output).dynamics, None
        if network.reading.of_membranes and isinstance(dynamics, IntegerDynamics) and np.ptp(dynamics.scale):
            scale = dynamics.scale
        return cls(
            output=network.output, populations=populations, ambiguous=ambiguous, readout=network.reading, scale=scale
        )

    @property
    def spikes(self) -> SpikeArray:
        """Output spikes, uint8 [samples, steps, outputs]."""
        return self.populations[self.output].spikes

    @property
    def membranes(self) -> npt.NDArray[Any] | None:
        """Output membranes [samples, steps, outputs], or None where they were not asked for."""
        return self.populations[self.output].membranes

    @property
    def scores(self) -> npt.NDArray[Any]:
        """What each class says [samples, classes], the most for the one that is predicted."""
        if self.readings is not None:  # those of the last step are by the readout already
            return judge.scores(self.readout, self.spikes, self.readings[:, -1:])
        return judge.scores(self.readout, self.spikes, self.membranes, self.scale)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The class of each sample by the readout, ties to the lowest index."""
        return np.argmax(self.scores, axis=1).astype(np.int64)

    def trains(self, inputs: SpikeArray, count: int | None = None) -> dict[str, SpikeArray]:
        """The spikes [samples, steps, neurons] of the input, under `INPUT`, and of every population.

        Of the first `count` samples; `inputs` may go on after those that were recorded.
        """
        spikes = {INPUT: inputs} | {name: recorded.spikes for name, recorded in self.populations.items()}
        return {name: train[:count] for name, train in spikes.items()}

    def accuracy(self, labels: npt.NDArray[np.int64]) -> float:
        """The share of samples whose predicted class is its label."""
        return float(np.mean(self.predicted == labels))


def with_membranes(network: Network, wanted: bool) -> frozenset[str]:
    """The populations whose membranes an executor records: all where they are wanted, else what a class is read off."""
    if wanted:
        return frozenset(population.name for population in network.populations)
    return frozenset([network.output] if network.reading.of_membranes else [])

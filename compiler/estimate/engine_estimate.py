"""What the estimate of an engine answers for, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ...hdl.memories.memory import Family
from ...hdl.neurons.neuron_format import NeuronFormat
from .parts import Parts


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a core does in a sample, the mean: a stand-in for its dynamic energy, which no open tool tells.

    `events` walk rows, `synaptic_operations` are the additions that they cause, `neuron_updates` the passes over
    neurons; `memory_reads` and `memory_writes` are those that these need, of all memories.
    """

    events: float
    synaptic_operations: float
    neuron_updates: float
    memory_reads: float
    memory_writes: float


class EngineEstimate(ABC):
    """What one engine costs and does."""

    @abstractmethod
    def add_parts(self, parts: Parts, family: Family) -> None:
        """Count the engine's parts, its memories apart."""

    @abstractmethod
    def modules(self, family: Family) -> Iterator[tuple[str, Parts]]:
        """Its modules that synthesis can be asked about one by one: the path in the engine, and the parts."""

    def registered(self, family: Family) -> bool:
        """Whether words of its memories come into registers first."""
        return False

    @abstractmethod
    def multipliers(self, family: Family) -> int:
        """Multiplier blocks, where the device has some."""

    @abstractmethod
    def work(self, rows: npt.NDArray[Any], steps: int) -> Work:
        """What it does in `steps` steps with so many events of each row."""


def work_of(
    events: float, additions: float, reads: float, writes: float, banks: Sequence[NeuronFormat], steps: int
) -> Work:
    """With the passes of `banks`, which read and write every word of every neuron, and read its parameters."""
    updates = float(steps * sum(bank.neurons for bank in banks))
    words = float(steps * sum(bank.neurons * (1 + bank.has_currents + bank.has_adaptation) for bank in banks))
    return Work(
        events=events,
        synaptic_operations=additions,
        neuron_updates=updates,
        memory_reads=reads + words + steps * sum(bank.neurons * bool(bank.parameter_bits) for bank in banks),
        memory_writes=writes + words,
    )

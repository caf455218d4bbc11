"""What the cycle model of an engine answers, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.arrays import SpikeArray
from .circuit import Circuit

Events = npt.NDArray[Any]
"""Events [..., rows] of each row of an engine in a sample."""


class EngineCycles(ABC):
    """The cycles of one engine."""

    @property
    def no_model(self) -> str | None:
        """Why its cycles cannot be told from spikes alone, where they cannot."""
        return None

    @abstractmethod
    def block(self, circuit: Circuit, spikes: SpikeArray, inlet: int) -> int:
        """Put an engine whose neuron n fires in step t where `spikes[t, n]` behind a stream; returns the stream that it
        feeds."""

    def beats(self, events: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The beats that the events [steps, inputs] of each step come in, where the core's wide input leads to it."""
        raise ValueError("only an engine that takes beats has a wide input")

    @abstractmethod
    def busy(self, events: Events, steps: int, *, wide: bool) -> npt.NDArray[np.float64]:
        """Cycles [...] in which it walks rows or passes over neurons in `steps` steps, stalls apart; `wide` is whether
        the core's wide input leads to it."""

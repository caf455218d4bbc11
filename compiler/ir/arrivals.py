"""Which spikes reach the synapses of a projection in a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import IntArray
from .network import Projection

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Arrival:
    """Spikes arrive `delay` steps late: all of them, or those of each pre neuron (pre,). There are none from before a
    sample."""

    delay: int | IntArray

    @property
    def oldest(self) -> int:
        """The largest delay."""
        return int(np.max(self.delay, initial=0))

    def of(self, spikes: Array, step: int) -> Array | None:
        """The spikes [samples, pre] that arrive in `step`, of `spikes` [samples, steps, pre]; None before the first."""
        if isinstance(self.delay, int):
            return spikes[:, step - self.delay] if step >= self.delay else None
        then = step - self.delay
        arrived = spikes[:, np.maximum(then, 0), np.arange(spikes.shape[2])]
        return np.where(then >= 0, arrived, 0).astype(spikes.dtype, copy=False)

    def in_all_steps(self, spikes: Array) -> Array:
        """The spikes that arrive in each step, [samples, steps, pre] as `spikes`; those still under way at the end of
        a sample are lost."""
        arrived = np.zeros_like(spikes)
        delays = np.broadcast_to(self.delay, spikes.shape[2:])
        for steps in np.unique(delays):
            late = delays == steps
            arrived[:, steps:, late] = spikes[:, : max(0, spikes.shape[1] - steps), late]
        return arrived


def apart(projection: Projection, values: Array) -> Iterator[tuple[Arrival, Array]]:
    """`values`, in the form of a projection's weights, apart by when what they take arrives; zeros elsewhere."""
    delay = projection.delay
    if delay.ndim == 1:
        yield Arrival(delay), values
        return
    for steps, part in projection.connectivity.by_delay(delay, values):
        yield Arrival(steps), part

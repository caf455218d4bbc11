"""Where two recordings of the same network first differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import SpikeArray
from ..compiler.ir.network import Network
from ..hdl.errors import MismatchError
from ..hdl.neurons.readout import ReadoutFormat
from .readout import readings
from .recording import PopulationRecording

Readings = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]
"""Readings [samples, steps, outputs], and classes [samples, steps, 1]; None where classes are not compared."""

SPIKE = "spike"
MEMBRANE = "membrane"
EVENTS = "output events"
READING = "reading"
CLASS = "class"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One thing to compare: `quantity` of a population, arrays [samples, steps, neurons].

    Only the first `finished` steps, counted over all samples, were recorded; None means all of them. What comes `once`
    comes in the last step of a sample, and counts as one value there.
    """

    population: int
    quantity: str
    expected: npt.NDArray[Any]
    got: npt.NDArray[Any]
    finished: int | None = None
    once: bool = False

    @property
    def values(self) -> int:
        """How many values are compared."""
        samples, steps, neurons = self.expected.shape
        finished = samples * steps if self.finished is None else min(self.finished, samples * steps)
        return neurons * (finished // steps if self.once else finished)


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The first difference. Samples, steps and neurons count from 0; `population` is an index in evaluation order."""

    sample: int
    step: int
    population: int
    neuron: int
    quantity: str
    expected: int
    got: int

    def describe(self, population: str) -> str:
        """One line, with the population's name."""
        where = f"sample {self.sample}, step {self.step}, population {population!r}, neuron {self.neuron}"
        return f"{where}: {self.quantity} expected {self.expected}, got {self.got}"


def first_divergence(comparisons: Iterable[Comparison]) -> Divergence | None:
    """The earliest difference: by sample, then step, then population, then neuron; None where there is none.

    A difference in a later population of the same step may follow from one in an earlier population, never the other
    way round, so the first one in this order is where to look. Of several quantities the one listed first counts.
    """
    found = [divergence for comparison in comparisons if (divergence := _first_in(comparison)) is not None]
    return min(found, key=lambda d: (d.sample, d.step, d.population, d.neuron), default=None)


def count_compared(comparisons: Iterable[Comparison]) -> dict[str, int]:
    """How many values of each quantity were compared: of spikes, membranes and events 0 where none were, and of
    readings and classes where there are any."""
    counts = {SPIKE: 0, MEMBRANE: 0, EVENTS: 0}
    for comparison in comparisons:
        counts[comparison.quantity] = counts.get(comparison.quantity, 0) + comparison.values
    return counts


def reading_comparisons(
    form: ReadoutFormat, population: int, expected: Readings, got: Readings, finished: int | None = None
) -> list[Comparison]:
    """What there is to compare of the readings and classes that a core gives out."""
    pairs = [(READING, expected[0], got[0], not form.every_step)]
    if form.names_class and expected[1] is not None and got[1] is not None:
        pairs.append((CLASS, expected[1], got[1], True))
    return [
        Comparison(population=population, quantity=quantity, expected=a, got=b, finished=finished, once=once)
        for quantity, a, b, once in pairs
    ]


def check_readings(network: Network, form: ReadoutFormat, expected: Readings, got: Readings) -> None:
    """What a core gives out must be `expected` (`sim.readout.readings`); raises MismatchError."""
    index = [population.name for population in network.populations].index(network.output)
    divergence = first_divergence(reading_comparisons(form, index, expected, got))
    if divergence is not None:
        raise MismatchError(divergence.describe(network.output))


def check_output(
    network: Network,
    form: ReadoutFormat | None,
    expected: PopulationRecording,
    events: SpikeArray,
    given: Readings | None,
) -> None:
    """What a core with the readout `form` gives out must be what is `expected` of its output population: the `events`,
    or what is `given` by its membranes; raises MismatchError."""
    if form is None:
        check_output_events(network, events, expected.spikes)
        return
    assert expected.membranes is not None and given is not None, "what is read off is recorded"
    check_readings(network, form, readings(form, expected.membranes), given)


def check_output_events(network: Network, events: SpikeArray, spikes: SpikeArray) -> None:
    """A core's output stream must carry exactly the `spikes` of its output population; raises MismatchError.

    Both are [samples, steps, outputs]; `events` counts the events on the stream.
    """
    index = [population.name for population in network.populations].index(network.output)
    divergence = first_divergence([Comparison(population=index, quantity=EVENTS, expected=spikes, got=events)])
    if divergence is not None:
        raise MismatchError(divergence.describe(network.output))


def _first_in(comparison: Comparison) -> Divergence | None:
    samples, steps, neurons = comparison.expected.shape
    expected = comparison.expected.reshape(samples * steps, neurons)[: comparison.finished]
    got = comparison.got.reshape(samples * steps, neurons)[: comparison.finished]
    differing = np.flatnonzero((expected != got).any(axis=1))
    if not len(differing):
        return None
    row = int(differing[0])
    neuron = int(np.flatnonzero(expected[row] != got[row])[0])
    return Divergence(
        sample=row // steps,
        step=row % steps,
        population=comparison.population,
        neuron=neuron,
        quantity=comparison.quantity,
        expected=int(expected[row, neuron]),
        got=int(got[row, neuron]),
    )

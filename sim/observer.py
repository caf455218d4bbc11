"""What comes out of a core, recorded token by token and checked against the protocol.

Plain Python, used by every hardware executor: the simulators differ only in how they sample ports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import SpikeArray
from ..hdl.neurons.readout import ReadoutFormat
from ..hdl.streams.tokens import TokenKind, address_bits
from .stimulus import KIND_BITS

OUTPUT, INPUT = -1, -2
"""The sources of a problem at the output and the input stream; a population's trace has its index."""


class ProtocolError(Exception):
    """A core that says something else than the protocol allows; `source` is `OUTPUT`, `INPUT` or a trace's index."""

    def __init__(self, source: int, sample: int, step: int, problem: str) -> None:
        super().__init__(problem)
        self.source = source
        self.sample = sample
        self.step = step
        self.problem = problem

    def describe(self, populations: Sequence[str]) -> str:
        """One line, with the populations' names."""
        return describe_problem(self.source, self.sample, self.step, self.problem, populations)


def describe_problem(source: int, sample: int, step: int, problem: str, populations: Sequence[str]) -> str:
    """One line that says what is wrong and where."""
    places = {OUTPUT: "the output stream", INPUT: "the input stream"}
    where = places.get(source) or f"population {populations[source]!r}"
    return f"sample {sample}, step {step}, {where}: {problem}"


class _Observer:
    """The place in samples and steps that a source has reached."""

    def __init__(self, source: int, samples: int, steps: int, neurons: int) -> None:
        self.source = source
        self.samples = samples
        self.steps = steps
        self.neurons = neurons
        self.spikes: SpikeArray = np.zeros((samples, steps, neurons), np.uint8)
        self.finished = 0
        """Steps that are complete, over all samples."""

    @property
    def place(self) -> tuple[int, int]:
        """(sample, step) that comes next."""
        return divmod(self.finished, self.steps)

    @property
    def done(self) -> bool:
        return self.finished == self.samples * self.steps

    def error(self, problem: str) -> ProtocolError:
        return ProtocolError(self.source, *self.place, problem)


class _StreamObserver(_Observer):
    """The tokens of the output stream: `_event` and `_end` take what those of events and ends carry."""

    def __init__(self, samples: int, steps: int, neurons: int) -> None:
        super().__init__(OUTPUT, samples, steps, neurons)

    def token(self, payload: int) -> bool:
        """Take the next token; True when it ends a step. Raises ProtocolError."""
        kind, carried = TokenKind(payload & (1 << KIND_BITS) - 1), payload >> KIND_BITS
        if self.done:
            raise self.error(f"an extra {kind.name} token follows the last sample")
        if kind is TokenKind.ABORT:
            self._abort()
            return False
        if kind is TokenKind.EVENT:
            self._event(carried)
            return False
        due: Any = TokenKind.END_OF_SAMPLE if self.place[1] == self.steps - 1 else TokenKind.END_OF_STEP
        if kind is not due:
            raise self.error(f"expected the token {due.name}, got {kind.name}")
        self._end(carried)
        self.finished += 1
        return True

    def _event(self, carried: int) -> None:
        raise NotImplementedError

    def _end(self, carried: int) -> None:
        """An end that is due says no more than that."""

    def _abort(self) -> None:
        """Forget the sample under way: its steps come again."""
        sample = self.place[0]
        self.spikes[sample] = 0
        self.finished = sample * self.steps


class OutputObserver(_StreamObserver):
    """Records the output stream: `spikes` uint8 [samples, steps, neurons] counts the events (255 means 255 or more)."""

    def _event(self, carried: int) -> None:
        if carried >= self.neurons:
            raise self.error(f"expected events of neurons 0 to {self.neurons - 1}, got neuron {carried}")
        sample, step = self.place
        self.spikes[sample, step, carried] = min(255, int(self.spikes[sample, step, carried]) + 1)


class ReadingObserver(_StreamObserver):
    """Records the output stream of a core that gives readings (`hdl.neurons.readout`): int64 `readings` [samples,
    steps, neurons], and `classes` [samples, steps, 1] where ends of samples name them.

    `once` says that readings come in the last step of a sample only. They come in order, all of them.
    """

    def __init__(
        self, samples: int, steps: int, neurons: int, *, value_bits: int, once: bool, names_class: bool
    ) -> None:
        super().__init__(samples, steps, neurons)
        self.readings: npt.NDArray[np.int64] = np.zeros((samples, steps, neurons), np.int64)
        self.classes: npt.NDArray[np.int64] = np.zeros((samples, steps, 1), np.int64)
        self.names_class = names_class
        self._sign = 1 << (value_bits - 1)
        self._once = once
        self._address_bits = address_bits(neurons)
        self._next = 0

    @property
    def class_bits(self) -> int:
        """The width of the class that the end of a sample names; 0 where it names none."""
        return self._address_bits if self.names_class else 0

    @property
    def _due_readings(self) -> int:
        return 0 if self._once and self.place[1] < self.steps - 1 else self.neurons

    def _event(self, carried: int) -> None:
        address, value = self._split(carried)
        if self._next >= self._due_readings or address != self._next:
            expected = f"the reading of neuron {self._next}" if self._next < self._due_readings else "no more readings"
            raise self.error(f"expected {expected}, got that of neuron {address}")
        self.readings[(*self.place, address)] = (value ^ self._sign) - self._sign
        self._next += 1

    def _end(self, carried: int) -> None:
        if self._next != self._due_readings:
            raise self.error(f"expected {self._due_readings} readings, got {self._next}")
        sample, step = self.place
        if step == self.steps - 1 and self.names_class:
            self.classes[sample, step] = self._split(carried)[0]
        self._next = 0

    def _abort(self) -> None:
        sample = self.place[0]
        self.readings[sample], self.classes[sample] = 0, 0
        self._next = 0
        super()._abort()

    def _split(self, carried: int) -> tuple[int, int]:
        """The address and the value of a token."""
        return carried & (1 << self._address_bits) - 1, carried >> self._address_bits


def output_observer(
    form: ReadoutFormat | None, samples: int, steps: int, neurons: int
) -> OutputObserver | ReadingObserver:
    """What watches the output of a core: of spikes, or where it has that readout of readings."""
    if form is None:
        return OutputObserver(samples, steps, neurons)
    options = {"once": not form.every_step, "names_class": form.names_class}
    return ReadingObserver(samples, steps, neurons, value_bits=form.value_bits, **options)


class TraceObserver(_Observer):
    """Records one population's neuron passes: `spikes` uint8 and `membranes` int64, [samples, steps, neurons].

    A step is complete when each neuron has given its beat; several monitors may watch the population's neurons, each
    some of them, and need not be in the same step.
    """

    def __init__(self, source: int, samples: int, steps: int, neurons: int) -> None:
        super().__init__(source, samples, steps, neurons)
        self.membranes: npt.NDArray[np.int64] = np.zeros((samples, steps, neurons), np.int64)
        self._taken = np.zeros(neurons, np.int64)
        self._missing = neurons  # neurons that have not given their beat in the first unfinished step

    def beat(self, neuron: int, membrane: int, spike: int) -> bool:
        """Take a neuron's next step; True when it completes a step of all. Raises ProtocolError."""
        taken = int(self._taken[neuron])
        if taken == self.samples * self.steps:
            raise self.error("an extra neuron pass follows the last sample")
        sample, step = divmod(taken, self.steps)
        self.spikes[sample, step, neuron] = spike
        self.membranes[sample, step, neuron] = membrane
        self._taken[neuron] += 1
        if taken > self.finished:
            return False
        self._missing -= 1
        if self._missing:
            return False
        self.finished += 1
        self._missing = int(np.count_nonzero(self._taken == self.finished))
        return True


Source = TraceObserver | OutputObserver | ReadingObserver


class MonitorObserver:
    """One monitor of a population: its beats say `numbers`, which are the population's `neurons`, once in each pass;
    in turn, or where not `in_turn` in any order."""

    def __init__(
        self, port: int, trace: TraceObserver, numbers: Sequence[int], neurons: Sequence[int], *, in_turn: bool = True
    ) -> None:
        self.port = port
        self.trace = trace
        self._numbers = numbers
        self._neurons = dict(zip(numbers, neurons, strict=True))
        self._in_turn = in_turn
        self._seen: set[int] = set()  # in the pass under way

    def beat(self, number: int, membrane: int, spike: int) -> bool:
        """Take the next beat; True when it completes a step of the population. Raises ProtocolError."""
        expected = self._numbers[len(self._seen)]
        if self._in_turn and number != expected:
            raise self.trace.error(f"expected neuron {expected} next in the pass, got neuron {number}")
        if number in self._seen or number not in self._neurons:
            raise self.trace.error(f"expected each neuron once in the pass, got neuron {number}")
        self._seen.add(number)
        if len(self._seen) == len(self._numbers):
            self._seen.clear()
        return self.trace.beat(self._neurons[number], membrane, spike)

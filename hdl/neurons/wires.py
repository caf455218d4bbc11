"""What the parts of a neuron bank tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amaranth import Cat, Const, Mux, Signal
from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import enum, stream

from ..memories.memory import ShapedMemory
from ..streams.tokens import TokenKind, address_bits
from .neuron_format import NeuronFormat


class _Job(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]
    """What the state memory's ports are used for."""

    INTEGRATE = 0
    PASS = 1
    DRAIN = 2
    END = 3


Job = _Job
"""The RTLIL of cores has the name that it had in the bank."""


class StepWires:
    """What the parts of every bank tell each other of the step: the job, and the end whose passes run."""

    def __init__(self) -> None:
        self.job = Signal(Job, init=Job.PASS)
        self.end = Signal(TokenKind, init=TokenKind.ABORT)  # what the passes end
        self.announce = Signal()  # the pass after a reset ends nothing
        self.quiet = self.end == TokenKind.ABORT
        self.clear = self.end != TokenKind.END_OF_STEP


class NeuronWires(StepWires):
    """Those where a pass asks for one neuron after another, and of the contribution that comes."""

    def __init__(self, form: NeuronFormat, i: stream.Interface) -> None:
        super().__init__()
        self.shared = form.shared
        self.listens = self.job == Job.INTEGRATE
        self.neuron = Signal(range(form.neurons + 1))  # the next one of the pass
        self.accept = i.valid & i.ready
        self.is_event = i.payload.kind == TokenKind.EVENT
        self.comes = i.valid & self.is_event if self.shared else self.listens
        self.post = Signal(address_bits(form.neurons))  # whose sum is written


class ListWires:
    """What a pass knows of the list that it takes neurons from, while it is `listing`: the number of the next neuron,
    `place`, then is its place there."""

    def __init__(self, place: Signal, listing: Value, entry: Value, most: int) -> None:
        self.listing = listing
        self.count = Signal(range(most + 1), name="listed")  # for the next pass
        self.past = Signal.like(self.count, name="past")  # behind the last place of this one
        self.begins = Signal()  # a pass, a cycle before it asks for the first neuron
        self.at_end = listing & (place == self.past)
        self.asked = Mux(listing, entry, place)
        self.read = Signal.like(place, name="read")  # the neuron that was asked for last


class Wires(NeuronWires):
    """What the parts of a bank tell each other: the job, the pass under way, and the contribution that is added.

    Contributions are added to words of `sums`, the currents where there are some, else the `state` itself. Words of all
    the other memories are the pass's `own`.
    """

    def __init__(
        self, form: NeuronFormat, i: stream.Interface, o: stream.Interface, memories: Mapping[str, ShapedMemory]
    ) -> None:
        super().__init__(form, i)
        self.state = state = memories["state"]
        self.sums = sums = memories.get("currents", state)
        self.adaptation = memories.get("adaptation")
        self.touched = memories.get("touched")
        self.visits = memories.get("visits")
        self.own = [memory for memory in memories.values() if memory not in (sums, self.touched, self.visits)]
        start_bits = form.membrane_start_bits
        self.accumulator = sums.read_data[: form.accumulator_bits].as_signed()
        self.start = state.read_data[:start_bits].as_signed()
        self.kept_bit = state.read_data[start_bits : start_bits + form.remembers_firing]
        self.listed = state.read_data[start_bits + form.remembers_firing :]  # whether the next pass visits it
        self.a = None if self.adaptation is None else self.adaptation.read_data.as_signed()
        self.words = self._words()

        self.drops = Signal() if form.returns else Const(0, 1)  # the next step's contributions from this one go
        self.still = Signal(len(form.populations))  # populations that a pass would not change

        self.stages = [Signal(name=f"stage{number}") for number in (1, 2)]
        self.lists = self._lists(form)
        self.read = (self.neuron - 1)[: len(self.neuron)] if self.lists is None else self.lists.read
        self.written = Signal.like(self.neuron, name="written")
        self.spike = Signal()
        self.spikes = self.stages[1] & self.spike
        self.again = Signal() if form.repeats else None  # it fires once more
        self.stall = self.spikes & (~o.ready if self.again is None else ~o.ready | self.again)

        self.adding = Signal()
        self.weight = Signal(signed(form.weight_bits + max(p.shift for p in form.populations)))
        self.passes_by = Signal() if self.touched is not None else None  # of the next neurons nothing would change
        self.issue = (self.job == Job.PASS) & ~self.comes & ~self.stall
        if self.passes_by is not None:
            self.issue = self.issue & ~self.passes_by
        if self.lists is not None:
            self.issue = self.issue & ~self.lists.begins & ~self.lists.at_end
        self.hold = self.stall | self.adding if self.shared else self.stall

    @property
    def asked(self) -> Value:
        """The next neuron of the pass."""
        return self.neuron if self.lists is None else self.lists.asked

    def _lists(self, form: NeuronFormat) -> ListWires | None:
        """Where passes take the first population's neurons from a list."""
        if self.visits is None:
            return None
        listing = ~self.clear if len(form.populations) == 1 else ~self.clear & (self.neuron < form.ends[0])
        return ListWires(self.neuron, listing, self.visits.read_data, form.ends[0])

    def _words(self) -> Value:
        """All that is read of a neuron, in the order in which it is written."""
        words = [self.state.read_data]
        if self.sums is not self.state:
            words.append(self.accumulator)
        if self.adaptation is not None:
            words.append(self.adaptation.read_data)
        return words[0] if len(words) == 1 else Cat(*words)


class Compared(NamedTuple):
    """Stage 2: the membrane and spike that are traced, and those and the parameters that the next step starts from;
    current and adaptation too, where there are some."""

    v: Signal
    traced_spike: Signal
    kept_v: Signal
    kept_spike: Signal
    kept: Mapping[str, Signal]
    kept_g: Signal | None
    kept_a: Signal | None

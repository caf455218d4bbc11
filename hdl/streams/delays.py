"""Spikes kept for later steps: of one step in a log, of several in a history of every neuron.

Both take the tokens of a step and say what of the steps before is due in it, each event as the number of a row, and
then an end, whose kind means nothing: the first step of a sample has its end before anything has come. What is due in a
step is said before the events of that step are taken, so that what feeds on its own spikes never waits for itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, unsigned
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory, select_from
from .tokens import TokenKind, address_bits, token_layout


@dataclass(frozen=True, kw_only=True)
class DelayFormat(ABC):
    """Of whom spikes are kept: `neurons`, each with `most` events in a step."""

    neurons: int
    most: int = 1

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many addresses its output has."""

    @abstractmethod
    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """Its memories by their role."""

    @abstractmethod
    def create(self, contents: DelayContents, family: Family) -> Log | History:
        """The component."""

    @property
    def output(self) -> stream.Signature:
        """Tokens over the rows."""
        return stream.Signature(token_layout(self.rows))


@dataclass(frozen=True, kw_only=True)
class LogFormat(DelayFormat):
    """Every event comes back in the next step, with its own address."""

    @property
    def rows(self) -> int:
        return self.neurons

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """`log`: a word per event of a step."""
        depth = max(2, self.neurons * self.most)
        return {"log": MemoryShape(family, depth, address_bits(self.neurons), writable=True)}

    def create(self, contents: DelayContents, family: Family) -> Log:
        return Log(self, family)


@dataclass(frozen=True, kw_only=True)
class HistoryFormat(DelayFormat):
    """An event of a neuron comes back in one step for each of the neuron's taps, up to `steps` later, as the number of
    the tap. With `delay_bits` 0 every neuron has one tap, after all `steps`.

    Events from `outside` may be more than `most`: what is kept of them then means nothing, but the delays stay."""

    steps: int
    taps: int
    delay_bits: int
    outside: bool = False

    @property
    def rows(self) -> int:
        return self.taps

    @property
    def count_bits(self) -> int:
        """What a step of a neuron takes."""
        return self.most.bit_length()

    @property
    def one_each(self) -> bool:
        """Whether every neuron has one tap, whose delay then lies beside its history."""
        return self.taps == self.neurons

    @property
    def history_bits(self) -> int:
        return self.steps * self.count_bits

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """`history`: a word per neuron, the events of each step before, the last one's lowest, and above them a tap's
        delay less one; `taps`, where neurons have several: that delay, and above it whether it is the neuron's last."""
        if self.one_each:
            width = self.history_bits + self.delay_bits
            return {"history": MemoryShape(family, self.neurons, width, writable=True)}
        return {
            "history": MemoryShape(family, self.neurons, self.history_bits, writable=True),
            "taps": MemoryShape(family, self.taps, self.delay_bits + 1),
        }

    def create(self, contents: DelayContents, family: Family) -> History:
        return History(self, contents, family)


@dataclass(frozen=True, kw_only=True)
class DelayContents:
    """What the memories `history` and `taps` hold."""

    history: tuple[int, ...] = ()
    taps: tuple[int, ...] = ()


class _Replay(enum.Enum, shape=unsigned(1)):  # type: ignore[call-arg]
    SAY = 0
    KEEP = 1


class Log(wiring.Component):
    """Keeps the events of a step, and says them in the next one.

    ==== === ====================================================
    Port Dir Meaning
    ==== === ====================================================
    i    in  stream of tokens, the steps as they come
    o    out stream of tokens, the steps before; ends of any kind
    ==== === ====================================================

    A step of k events takes k + 2 cycles to be said after its end came. Events are taken one per cycle, once what is
    due has been said; the end of a step once the consumer has taken the one before it. END_OF_SAMPLE and ABORT empty
    it.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: LogFormat, family: Family) -> None:
        self._shape = form.memories(family)["log"]
        super().__init__({"i": In(stream.Signature(token_layout(form.neurons))), "o": Out(form.output)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.log = log = ShapedMemory(self._shape, transparent=False)
        state = Signal(_Replay)
        count, said = Signal(range(self._shape.depth + 1)), Signal(range(self._shape.depth + 1))
        free = ~self.o.valid | self.o.ready
        is_event = self.i.payload.kind == TokenKind.EVENT
        m.d.comb += [
            log.read_address.eq(said),
            log.read_enable.eq((state == _Replay.SAY) & free),
            log.write_address.eq(count),
            log.write_data.eq(self.i.payload.address),
            log.write_enable.eq(self.i.valid & self.i.ready & is_event),
            self.o.payload.address.eq(log.read_data),
            self.i.ready.eq((state == _Replay.KEEP) & (is_event | ~self.o.valid)),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If((state == _Replay.SAY) & free):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.kind.eq(TokenKind.EVENT), said.eq(said + 1)]
            with m.If(said == count):
                m.d.sync += [self.o.payload.kind.eq(TokenKind.END_OF_STEP), state.eq(_Replay.KEEP)]
                m.d.sync += [said.eq(0), count.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += count.eq(count + 1)
            with m.If(~is_event):
                m.d.sync += [state.eq(_Replay.SAY), count.eq(count)]
                with m.If(self.i.payload.kind != TokenKind.END_OF_STEP):
                    m.d.sync += count.eq(0)
        return m


class _Job(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]
    """What the history is used for: its first word is asked for, what is due is said, the end too, events are kept."""

    START = 0
    SAY = 1
    END = 2
    KEEP = 3


class History(wiring.Component):
    """Keeps the events of several steps, and says each again after the delays of its neuron's taps.

    ==== === ===========================================================
    Port Dir Meaning
    ==== === ===========================================================
    i    in  stream of tokens over the neurons, the steps as they come
    o    out stream of tokens over the taps; ends of any kind
    ==== === ===========================================================

    What is due is found in taps + 2 cycles, and one more for its end, if every event is taken at once; of inputs above
    1 every event takes a cycle more. Meanwhile the history moves on by a step. Events are then taken one per cycle, of
    inputs above 1 every other cycle, and the end of a step once the consumer has taken the one before it. After
    END_OF_SAMPLE and ABORT, and after a reset, nothing is due and the history is cleared as it moves.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: HistoryFormat, contents: DelayContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._shapes = form.memories(family)
        super().__init__({"i": In(stream.Signature(token_layout(form.neurons))), "o": Out(form.output)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        m.submodules.history = history = ShapedMemory(
            self._shapes["history"], self._contents.history, transparent=False
        )
        job = Signal(_Job)
        fresh = Signal(init=1)  # nothing has come in this sample
        neuron = Signal(range(form.neurons))  # the one whose word is there
        following = (neuron + 1)[: len(neuron)]
        advance, keeping = Signal(), Signal()
        tap, delay, last = self._tap(m, history.read_data[form.history_bits :], neuron, job, advance)
        free = ~self.o.valid | self.o.ready
        due = self._due(history.read_data, delay, fresh)
        says = self._say(m, due, (job == _Job.SAY) & free, advance, job)
        is_event = self.i.payload.kind == TokenKind.EVENT
        pauses = keeping & (form.most > 1)  # two in a row could be of one neuron, whose word is being written
        if form.outside and form.most == 1:
            pauses = keeping & (neuron == self.i.payload.address)
        takes = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq((job == _Job.KEEP) & Mux(is_event, ~pauses, ~self.o.valid & ~keeping)),
            history.read_enable.eq((job == _Job.START) | (advance & last) | takes),
            history.read_address.eq(following & (job == _Job.SAY).replicate(len(neuron))),
            history.write_enable.eq(keeping | (advance & last)),
            history.write_address.eq(neuron),
            history.write_data.eq(self._word(history.read_data, keeping, fresh)),
        ]
        with m.If(job == _Job.KEEP):
            m.d.comb += history.read_address.eq(self.i.payload.address)
        with m.If(history.read_enable):
            m.d.sync += neuron.eq(history.read_address)
        m.d.sync += keeping.eq(takes & is_event)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.Switch(job):
            with m.Case(_Job.START):
                m.d.sync += job.eq(_Job.SAY)
            with m.Case(_Job.SAY):
                with m.If(says):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.kind.eq(TokenKind.EVENT)]
                    m.d.sync += self.o.payload.address.eq(tap)
                with m.If(advance & last & (neuron == form.neurons - 1)):
                    m.d.sync += job.eq(_Job.END)
            with m.Case(_Job.END):
                with m.If(free):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.kind.eq(TokenKind.END_OF_STEP)]
                    m.d.sync += [job.eq(_Job.KEEP), fresh.eq(0)]
            with m.Case(_Job.KEEP):
                with m.If(takes & ~is_event):
                    m.d.sync += [job.eq(_Job.START), fresh.eq(self.i.payload.kind != TokenKind.END_OF_STEP)]
        return m

    def _tap(
        self, m: Module, beside: Value, neuron: Signal, job: Signal, advance: Signal
    ) -> tuple[Value, Value, Value]:
        """The number of the tap that is looked at, its delay less one, and whether it is its neuron's last."""
        form = self._format
        if form.one_each:
            return neuron, beside if form.delay_bits else Const(form.steps - 1), Const(1)
        m.submodules.taps = taps = ShapedMemory(self._shapes["taps"], self._contents.taps)
        number = Signal(range(form.taps))
        following = (number + 1)[: len(number)]
        m.d.comb += [
            taps.read_enable.eq((job == _Job.START) | advance),
            taps.read_address.eq(following & (job != _Job.START).replicate(len(number))),
        ]
        with m.If(taps.read_enable):
            m.d.sync += number.eq(taps.read_address)
        return number, taps.read_data[: form.delay_bits], taps.read_data[form.delay_bits]

    def _due(self, word: Value, delay: Value, fresh: Signal) -> Value:
        """How many events of a neuron are due after a delay."""
        bits = self._format.count_bits
        steps = [word[step * bits :][:bits] for step in range(self._format.steps)]
        return Mux(fresh, 0, select_from(steps, delay))

    def _say(self, m: Module, due: Value, may: Value, advance: Signal, job: Signal) -> Value:
        """Whether an event is said in this cycle; `advance` where a tap is done with."""
        if self._format.most == 1:
            m.d.comb += advance.eq((job == _Job.SAY) & (~due.any() | may))
            return due.any() & may
        said = Signal(self._format.count_bits)
        says = (due != said) & may
        m.d.comb += advance.eq((job == _Job.SAY) & (due == said))
        m.d.sync += said.eq(Mux(advance, 0, said + says))
        return says

    def _word(self, word: Value, keeping: Signal, fresh: Signal) -> Value:
        """A word with an event more in the step under way, or moved on by a step."""
        form, bits = self._format, self._format.count_bits
        history, beside = word[: form.history_bits], word[form.history_bits :]
        kept = Cat((history[:bits] + 1)[:bits], history[bits:])
        moved = Cat(Const(0, bits), history[: form.history_bits - bits]) & ~fresh.replicate(form.history_bits)
        return Cat(Mux(keeping, kept, moved), beside)

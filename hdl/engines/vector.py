"""A population integrated by all its lanes at once: dense rows, several events per beat, the pass beside the next step.

Two halves work on different steps. `VectorIntegrator` reads a row of weights for every event of a beat and adds them to
one register per neuron; at the end of a step it hands all sums over at once. `VectorPass` takes the neurons through
their dynamics, a few per cycle, while the next step is integrated.

The file is long as a format makes the engine whose halves are shaped by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, ValueLike, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.dual_port import DualPortMemory, DualPortShape
from ..memories.memory import LOGIC_ROM_LUTS, NEVER_LOGIC, Family, MemoryShape, ShapedMemory, read_only
from ..neurons.dynamics import (
    compared,
    current,
    fired,
    left_current,
    next_adaptation,
    next_start,
    next_sum,
    parameters_of,
    raised,
    resized,
    start_bits,
    with_bias,
)
from ..neurons.neuron_format import NeuronFormat
from ..neurons.repeats import left_bits, repeated
from ..streams.beats import BeatPacker, BeatUnpacker, multiple
from ..streams.tokens import BeatShape, TokenKind, address_bits, beat_layout
from .format import EngineFormat

_SHORTEST_PASS = 4
"""Cycles for which a pass issues, so that a word is written back before the next pass reads it."""

_SHALLOW = 64
"""On ECP5, whose block RAM is at least 512 words deep, a ROM of so few words is built from look-up tables."""


@dataclass(frozen=True, kw_only=True)
class VectorFormat(EngineFormat):
    """Shapes, widths and folding of a vector engine; the hardware depends on nothing else.

    The inputs lie in `banks` memories, input a in bank a % banks, and each memory is read for `ports` events at once (2
    need dual-port block RAM). A row is read `lanes` neurons at a time. Sums of a step are `sum_bits` wide, in the
    weights' unit, and may wrap on the way. The pass takes `neurons_per_cycle`.

    Raises ValueError unless there is one population, the beats of a row are a power of two, a bank has one port or two,
    all sizes are at least 1, and membranes that leave do so one per cycle.
    """

    pre: int
    neurons: NeuronFormat
    sum_bits: int
    lanes: int
    banks: int = 1
    ports: int = 1
    neurons_per_cycle: int = 1

    def __post_init__(self) -> None:
        for name in ("pre", "sum_bits", "lanes", "banks", "neurons_per_cycle"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of a vector engine is at least 1: got {getattr(self, name)}")
        if len(self.neurons.populations) != 1:
            raise ValueError(f"a vector engine has one population: got {len(self.neurons.populations)}")
        if self.ports not in (1, 2):
            raise ValueError(f"a bank is read through 1 or 2 ports: got {self.ports}")
        if self.neurons.gives_membranes and self.neurons_per_cycle > 1:
            raise ValueError(f"membranes leave one per cycle: the pass takes {self.neurons_per_cycle} neurons")
        if self.row_beats & (self.row_beats - 1):
            raise ValueError(
                f"a row is read in a power of two of beats: {self.lanes} lanes read {self.neurons.neurons} weights "
                f"in {self.row_beats}; choose another number of lanes"
            )

    @property
    def inputs(self) -> int:
        return self.pre

    @property
    def outputs(self) -> int:
        return self.neurons.neurons

    @property
    def monitors(self) -> tuple[wiring.Signature, ...]:
        """One for each neuron of a pass word."""
        (population,) = self.neurons.populations
        return (population.monitor,) * self.neurons_per_cycle

    def stored(self, contents: VectorContents) -> dict[str, tuple[int, ...]]:
        words = {f"weights{bank}": bank_words for bank, bank_words in enumerate(contents.weights)}
        return words | ({"parameters": contents.parameters} if self.neurons.parameter_bits else {})

    def with_stored(self, contents: VectorContents, words: Mapping[str, tuple[int, ...]]) -> VectorContents:
        weights = tuple(words.get(f"weights{bank}", own) for bank, own in enumerate(contents.weights))
        return replace(contents, weights=weights, parameters=words.get("parameters", contents.parameters))

    def create(self, contents: VectorContents, family: Family) -> VectorEngine:
        return VectorEngine(self, contents, family)

    def traced(self) -> VectorFormat:
        """The same engine: its monitors see every neuron in every step."""
        return self

    @property
    def row_beats(self) -> int:
        """Words that make up a row."""
        return -(-self.neurons.neurons // self.lanes)

    @property
    def slots(self) -> int:
        """Events per beat."""
        return self.banks * self.ports

    @property
    def rows(self) -> int:
        """Inputs of a bank."""
        return -(-self.pre // self.banks)

    @property
    def pass_words(self) -> int:
        """Words of state in a pass."""
        return -(-self.neurons.neurons // self.neurons_per_cycle)

    @property
    def takes_beats(self) -> bool:
        return self.slots > 1

    def packer(self) -> BeatPacker | None:
        return BeatPacker(self.pre, self.slots, self.banks) if self.takes_beats else None

    @property
    def beats(self) -> BeatShape:
        """What the input brings at once."""
        return BeatShape(addresses=self.pre, slots=self.slots, banks=self.banks)

    @property
    def input_layout(self) -> data.StructLayout:
        """Tokens for one event per beat, else beats."""
        return self.beats.layout

    @property
    def beat_layout(self) -> data.StructLayout:
        """The beats that a pass emits; with membranes those of single neurons, each with its own."""
        beats = beat_layout(self.neurons.neurons, self.neurons_per_cycle)
        if not self.neurons.gives_membranes:
            return beats
        members = self.neurons.output_layout.members
        return data.StructLayout({**beats.members, "last": members["last"], "value": members["value"]})

    @property
    def output_layout(self) -> data.StructLayout:
        return self.neurons.output_layout

    @property
    def sums_layout(self) -> data.StructLayout:
        """What the integrator hands over at the end of a step."""
        sums = data.ArrayLayout(signed(self.sum_bits), self.neurons.neurons)
        return data.StructLayout({"kind": TokenKind, "sums": sums})

    def weight_memory(self, family: Family) -> MemoryShape:
        """One bank: `row_beats` words per input; a slot without an event reads the row of zeros behind the last."""
        depth = (self.rows + (self.slots > 1)) * self.row_beats
        width = min(self.lanes, self.neurons.neurons) * self.neurons.weight_bits
        if self.ports == 2:
            depth = read_only(family, depth, width, self.neurons.logic_luts).depth
            return DualPortShape(family, depth, width, logic_luts=self.neurons.logic_luts)
        return read_only(family, depth, width, self._logic_luts(family, depth, width))

    @property
    def start_bits(self) -> int:
        """What a membrane starts a step from, its bias included, but where a synaptic current starts from that."""
        bits = start_bits(self.neurons)
        return bits if self.neurons.has_currents else with_bias(self.neurons, bits)

    @property
    def current_bits(self) -> int:
        """What a synaptic current starts a step from, its bias included."""
        return self.neurons.accumulator_bits if self.neurons.has_currents else 0

    @property
    def membrane_bits(self) -> int:
        """The membrane that is compared."""
        return with_bias(self.neurons, self.neurons.accumulator_bits)

    @property
    def state_bits(self) -> int:
        """What is kept of a neuron from step to step: what its membrane starts from, r, what its current does, a."""
        return self.start_bits + self.neurons.remembers_firing + self.current_bits + self.neurons.adaptation_bits

    def _logic_luts(self, family: Family, depth: int, width: int) -> int:
        """How many look-up tables a ROM may take in place of block RAM."""
        if self.neurons.logic_luts == NEVER_LOGIC:
            return NEVER_LOGIC
        return width * -(-depth // 16) if family is Family.ECP5 and depth <= _SHALLOW else LOGIC_ROM_LUTS

    def state_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, self.pass_words, self.neurons_per_cycle * self.state_bits, writable=True)

    def parameter_memory(self, family: Family) -> MemoryShape:
        width = self.neurons_per_cycle * self.neurons.parameter_bits
        return read_only(family, self.pass_words, width, self._logic_luts(family, self.pass_words, width))

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """Every memory of the engine by its role."""
        shapes = {f"weights{bank}": self.weight_memory(family) for bank in range(self.banks)}
        shapes["state"] = self.state_memory(family)
        if self.neurons.parameter_bits:
            shapes["parameters"] = self.parameter_memory(family)
        return shapes


@dataclass(frozen=True, kw_only=True)
class VectorContents:
    """What the memories hold: `weights[bank]`, a row of neurons low first; `parameters`, a word for each pass word."""

    weights: tuple[tuple[int, ...], ...]
    parameters: tuple[int, ...]


class VectorIntegrator(wiring.Component):
    """Adds the weight rows of a step's events into one register per neuron.

    ==== === ===============================================
    Port Dir Meaning
    ==== === ===============================================
    i    in  stream of tokens or beats over the inputs
    o    out one beat per end: its kind, and the step's sums
    ==== === ===============================================

    Latency 1 + ceil(log2(slots)) cycles from an end to the sums. Throughput `row_beats` cycles per beat of events and
    one cycle per end. An end is taken only when the output is ready, which then has to stay so.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: VectorFormat, contents: VectorContents, family: Family) -> None:
        self._form = form
        self._contents = contents
        self._family = family
        super().__init__({"i": In(stream.Signature(form.input_layout)), "o": Out(stream.Signature(form.sums_layout))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._form
        # Stages never wait, which spares them all an enable: an end enters only when nothing keeps it from leaving.
        part = Signal(range(max(2, form.row_beats)))
        ending = Signal()
        is_event = self.i.payload.kind == TokenKind.EVENT
        m.d.comb += self.i.ready.eq(Mux(is_event, part == form.row_beats - 1, self.o.ready & ~ending))
        if form.row_beats > 1:
            with m.If(self.i.valid & is_event):
                m.d.sync += part.eq(part + 1)

        tag = Signal(data.StructLayout({"valid": 1, "kind": TokenKind, "part": part.shape()}))
        m.d.sync += [
            tag.valid.eq(self.i.valid & (is_event | self.i.ready)),
            tag.kind.eq(self.i.payload.kind),
            tag.part.eq(part),
        ]
        weights = self._read_rows(m, part)
        while len(weights) > 1:
            weights = [
                [_registered(m, 1, sum(terms[1:], start=terms[0])) for terms in zip(*pair, strict=True)]
                for pair in (weights[first : first + 2] for first in range(0, len(weights), 2))
            ]
            tag = _registered(m, 1, tag, resets=True)

        is_end = tag.kind != TokenKind.EVENT
        m.d.comb += [self.o.valid.eq(tag.valid & is_end), self.o.payload.kind.eq(tag.kind)]
        with m.If(self.i.valid & self.i.ready & ~is_event):
            m.d.sync += ending.eq(1)
        with m.Elif(self.o.valid):
            m.d.sync += ending.eq(0)
        for neuron in range(form.neurons.neurons):
            turn, lane = divmod(neuron, form.lanes)
            total = Signal(signed(form.sum_bits), name=f"total{neuron}")
            m.d.comb += self.o.payload.sums[neuron].eq(total)
            with m.If(self.o.valid):
                m.d.sync += total.eq(0)
            with m.Elif(tag.valid & ~is_end & (tag.part == turn)):
                m.d.sync += total.eq(total + weights[0][lane])
        return m

    def _read_rows(self, m: Module, part: Signal) -> list[list[Value]]:
        """The weights [slot][lane] of the beat at the input, one cycle later."""
        form = self._form
        shape = form.weight_memory(self._family)
        reads: list[tuple[Signal, Value]] = []  # bank by bank
        for bank, words in enumerate(self._contents.weights):
            if isinstance(shape, DualPortShape):
                pair = DualPortMemory(shape, words)
                m.submodules[f"weights{bank}"] = pair
                m.d.comb += pair.enable.eq(1)
                reads += [(pair.address0, pair.data0), (pair.address1, pair.data1)]
            else:
                single = ShapedMemory(shape, words)
                m.submodules[f"weights{bank}"] = single
                m.d.comb += single.read_enable.eq(1)
                reads.append((single.read_address, single.read_data))
        part_bits = (form.row_beats - 1).bit_length()
        bits = form.neurons.weight_bits
        for number, (address, _) in enumerate(reads):
            bank, port = divmod(number, form.ports)
            m.d.comb += address.eq(Cat(part[:part_bits], self._row(port * form.banks + bank)))
        return [[word[low : low + bits].as_signed() for low in range(0, len(word), bits)] for _, word in reads]

    def _row(self, slot: int) -> Value:
        """The row that a slot reads: that of its event, or the zeros behind the last."""
        form, payload = self._form, self.i.payload
        if form.slots == 1:
            return Value.cast(payload.address)
        return Mux(payload.mask[slot], payload.rows[slot], form.rows)


class _Decided(NamedTuple):
    """A neuron in stage 2: its spike, V, its current and its adaptation where it has them, its parameters, how often it
    has fired, and whether it does `again`, where it may."""

    spike: Signal
    v: Signal
    g: Signal | None
    a: Signal | None
    parameters: Mapping[str, Value]
    count: Signal
    again: Value | None = None


class VectorPass(wiring.Component):
    """Takes all neurons through the end of a step, a few per cycle.

    =========== === =========================================================================================
    Port        Dir Meaning
    =========== === =========================================================================================
    i           in  one beat per end: its kind, and the sums of the step that it ends
    o           out beats of spikes, a slot for each neuron of a word, or of membranes; then the end
    trace0, ... out monitors without back-pressure; number k gives every `neurons_per_cycle`-th neuron from k
    =========== === =========================================================================================

    Latency 4 cycles from an end to its first beat. Throughput max(w, 3) + 2 cycles per pass of w = ceil(neurons /
    neurons_per_cycle) words when the output never stalls; a word stays as long as one of its neurons fires once more,
    and each time brings a beat of those that do. END_OF_SAMPLE clears every state word in the same pass;
    ABORT, and the start after a reset, run a clearing pass without spikes or trace.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: VectorFormat, contents: VectorContents, family: Family) -> None:
        self._form = form
        self._contents = contents
        self._family = family
        ports = {"i": In(stream.Signature(form.sums_layout)), "o": Out(stream.Signature(form.beat_layout))}
        super().__init__(ports | _trace_ports(form))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._form
        move = Signal()  # every stage moves, unless spikes or an end wait for the output
        stay = Signal()  # those of a word have left, and some of its neurons fire once more

        # A word of neurons is issued per cycle, then the end itself.
        running = Signal(init=1)
        kind = Signal(TokenKind, init=TokenKind.ABORT)
        announce = Signal()  # the pass after a reset ends nothing
        word = Signal(range(max(form.pass_words + 1, _SHORTEST_PASS)))
        m.d.comb += self.i.ready.eq(~running)
        with m.If(~running):
            m.d.sync += [running.eq(self.i.valid), kind.eq(self.i.payload.kind), announce.eq(1), word.eq(0)]
        with m.Elif(move):
            m.d.sync += [running.eq(word != max(form.pass_words, _SHORTEST_PASS - 1)), word.eq(word + 1)]

        # Stage 1: the words are there. 2: spikes and V. 3: the starts of the next step, bias included.
        turn = Signal(data.StructLayout({"is_word": 1, "is_end": 1, "kind": TokenKind, "word": word.shape()}))
        issue = Signal()
        m.d.comb += issue.eq(running & (word < form.pass_words))
        with m.If(move):
            m.d.sync += [
                turn.is_word.eq(issue),
                turn.is_end.eq(running & (word == form.pass_words) & announce),
                turn.kind.eq(kind),
                turn.word.eq(word),
            ]
        decided = _registered(m, move, turn, resets=True)
        quiet = turn.kind == TokenKind.ABORT
        clear = decided.kind != TokenKind.END_OF_STEP
        parameters = self._read_parameters(m, word, move & issue)
        sums = self._queue(m, ~running, turn.is_word & move)
        state, write = self._read_state(m, word, move & issue)
        neurons = []
        for slot, now in enumerate(parameters):
            start, place = (word.word_select(slot, form.state_bits) for word in (state, write.data))
            neuron = self._decide(m, move, stay, start, sums[slot], now, quiet)
            begin = self._begin(neuron, clear)
            with m.If(move):
                m.d.sync += place.eq(begin)
            neurons.append(neuron)
        with m.If(move):
            m.d.sync += [write.enable.eq(decided.is_word), write.address.eq(decided.word)]
        self._emit(m, decided, neurons, move, stay)
        self._monitor(m, decided, neurons, move)
        return m

    def _decide(
        self,
        m: Module,
        move: Signal,
        stay: Signal,
        start: Value,
        comes: Value,
        parameters: Mapping[str, Value],
        quiet: Value,
    ) -> _Decided:
        """From a neuron's state word and the sum that comes, to stage 2."""
        form = self._form
        (population,) = form.neurons.populations
        rule, comes = population.rule, comes << population.shift
        if form.neurons.has_currents:
            total = start[form.start_bits + rule.remembers_firing :][: form.current_bits].as_signed() + comes
            now = current(rule, total[: form.current_bits].as_signed(), rule.state_bits)
            u = compared(rule, start[: form.start_bits].as_signed(), now)
        else:
            now = None
            u = (start[: form.start_bits].as_signed() + comes)[: form.membrane_bits].as_signed()
        was_firing = start[form.start_bits :][: rule.remembers_firing]
        a = start[-form.neurons.adaptation_bits :].as_signed() if form.neurons.has_adaptation else None
        fires, membrane = fired(rule, u, was_firing, raised(rule, parameters, a))
        spike = _registered(m, move, fires & ~quiet)
        left = Signal(signed(left_bits(form.neurons, [membrane])), name="register", reset_less=True)
        with m.If(move):
            m.d.sync += left.eq(membrane)
        g = None if now is None else _registered(m, move, now)
        a = None if a is None else _registered(m, move, a)
        kept = {name: _registered(m, move, value) for name, value in parameters.items()}
        if not rule.repeats:
            return _Decided(spike, left, g, a, kept, spike)
        count = Signal(form.neurons.spike_bits)
        more = repeated(form.neurons, left, count, kept, lambda choices: choices[0])
        with m.If(move):
            m.d.sync += count.eq(fires)
        with m.If(stay):
            m.d.sync += spike.eq(more.again & spike)
            with m.If(more.again & spike):
                m.d.sync += [left.eq(more.left), count.eq(count + 1)]
        return _Decided(spike, more.v, g, a, kept, count, more.again & spike)

    def _begin(self, neuron: _Decided, clear: Value) -> Value:
        """The state word that the next step begins from, or a sample, where what came before is to `clear`.

        A sample starts from V = 0. Above a threshold below 0 that is a spike before the first one (`snntorch_same`).
        """
        form, bias = self._form, neuron.parameters["bias"]
        (population,) = form.neurons.populations
        rule, bits = population.rule, form.start_bits
        if neuron.g is not None:
            v, g, spike = (Mux(clear, 0, value) for value in (neuron.v, neuron.g, neuron.spike))
            begun = next_sum(left_current(rule, g, neuron.parameters), neuron.parameters, form.current_bits)
            return Cat(next_start(rule, v, spike, neuron.parameters, bits, g=g), begun)
        if neuron.a is not None:
            v, a, spike = (Mux(clear, 0, value) for value in (neuron.v, neuron.a, neuron.spike))
            adapted = next_adaptation(rule, a, spike, neuron.parameters, form.neurons.adaptation_bits)
            rested = next_start(rule, v, spike, raised(rule, neuron.parameters, adapted), bits)
            return Cat((rested + bias)[:bits], adapted)
        starts_firing = rule.remembers_firing and "fire" not in form.neurons.unsigned
        v = Mux(clear, 0, neuron.v) if starts_firing else neuron.v
        rested = next_start(rule, v, neuron.spike, neuron.parameters, bits)
        begin = Cat((rested[:bits] + bias)[:bits], rested[bits:])
        return begin if starts_firing else Mux(clear, resized(bias, bits), begin)

    def _queue(self, m: Module, takes: Value, moves_up: Value) -> list[Value]:
        """The sums of the neurons in stage 1: all are taken at once and move up, a word at a time."""
        form = self._form
        sums: list[Value] = [self.i.payload.sums[neuron] for neuron in range(form.neurons.neurons)]
        places = form.pass_words * form.neurons_per_cycle
        sums += [Const(0, signed(form.sum_bits))] * (places - len(sums))
        queue: list[Value] = [
            Signal(signed(form.sum_bits), name=f"queue{place}", reset_less=True) for place in range(places)
        ]
        with m.If(takes | moves_up):
            for place, taken in enumerate(sums):
                behind = place + form.neurons_per_cycle
                m.d.sync += queue[place].eq(Mux(takes, taken, queue[behind]) if behind < places else taken)
        return queue[: form.neurons_per_cycle]

    def _read_state(self, m: Module, word: Signal, enable: Value) -> tuple[Value, Any]:
        """The state words, one cycle after `enable`, and a register for the word to write.

        A word is never read while it is written (`_SHORTEST_PASS`), so that nothing is forwarded.
        """
        shape = self._form.state_memory(self._family)
        address = unsigned(address_bits(shape.depth))
        write = Signal(data.StructLayout({"enable": 1, "address": address, "data": shape.width}))
        words = []
        lows = [low for low, _ in shape.columns]
        for number, (low, high) in enumerate(zip(lows, [*lows[1:], shape.width], strict=True)):
            attributes = {"ram_style": shape.style, "no_rw_check": 1}
            column = memory.Memory(shape=high - low, depth=shape.depth, init=[], attrs=attributes)
            m.submodules[f"state{number}"] = column
            read_port, write_port = column.read_port(), column.write_port()
            m.d.comb += [
                read_port.addr.eq(word),
                read_port.en.eq(enable),
                write_port.addr.eq(write.address),
                write_port.data.eq(write.data[low:high]),
                write_port.en.eq(write.enable),
            ]
            words.append(read_port.data)
        return Cat(*words), write

    def _read_parameters(self, m: Module, word: Signal, enable: Value) -> list[dict[str, Value]]:
        """The parameters of each neuron of a word, one cycle after `enable`."""
        form = self._form
        bits = form.neurons.parameter_bits
        if not bits:
            return [parameters_of(form.neurons, Const(0, 1)) for _ in range(form.neurons_per_cycle)]
        m.submodules.parameters = words = ShapedMemory(form.parameter_memory(self._family), self._contents.parameters)
        m.d.comb += [words.read_address.eq(word), words.read_enable.eq(enable)]
        return [
            parameters_of(form.neurons, words.read_data.word_select(k, bits)) for k in range(form.neurons_per_cycle)
        ]

    def _emit(
        self, m: Module, turn: data.View[data.StructLayout], neurons: Sequence[_Decided], move: Signal, stay: Signal
    ) -> None:
        gives = self._form.neurons.gives_membranes
        mask = turn.kind != TokenKind.ABORT if gives else Cat(*(neuron.spike for neuron in neurons))
        emits = (turn.is_word & mask.any()) | turn.is_end
        blocked = self.o.valid & ~self.o.ready
        again = [neuron.again for neuron in neurons if neuron.again is not None]
        if not again:
            m.d.comb += move.eq(~(emits & blocked))
        else:
            more = turn.is_word & Cat(*again).any()
            m.d.comb += [move.eq(~(emits & blocked) & ~more), stay.eq(more & ~blocked)]
        with m.If(~blocked):
            m.d.sync += [
                self.o.valid.eq(emits),
                self.o.payload.kind.eq(Mux(turn.is_end, turn.kind, TokenKind.EVENT)),
                self.o.payload.mask.eq(mask),
                *(row.eq(turn.word) for row in self.o.payload.rows),
            ]
            if gives:
                last = turn.kind == TokenKind.END_OF_SAMPLE
                m.d.sync += [self.o.payload.last.eq(last), self.o.payload.value.eq(neurons[0].v)]

    def _monitor(
        self, m: Module, turn: data.View[data.StructLayout], neurons: Sequence[_Decided], move: Signal
    ) -> None:
        form = self._form
        spare = form.pass_words * form.neurons_per_cycle - form.neurons.neurons
        for slot, neuron in enumerate(neurons):
            trace = getattr(self, f"trace{slot}")
            beyond = turn.word == form.pass_words - 1 if slot >= form.neurons_per_cycle - spare else 0
            m.d.comb += [
                trace.valid.eq(turn.is_word & move & (turn.kind != TokenKind.ABORT) & ~Value.cast(beyond)),
                trace.neuron.eq(multiple(turn.word, form.neurons_per_cycle) + slot),
                trace.membrane.eq(neuron.v),
                trace.spike.eq(neuron.count),
            ]


class VectorEngine(wiring.Component):
    """Turns the events of the inputs into the spikes of a population, a step being integrated while another passes.

    =========== === ==========================================================
    Port        Dir Meaning
    =========== === ==========================================================
    i           in  stream of tokens, or of beats (`VectorFormat.input_layout`)
    o           out stream of tokens, or of beats (`VectorFormat.output_layout`)
    trace0, ... out monitors of the neurons (see VectorPass)
    =========== === ==========================================================

    Throughput, when nothing stalls: the larger of `row_beats` * beats of events + 1 and max(w, 3) + 3 +
    ceil(log2(slots)) cycles per step, w = ceil(neurons / neurons_per_cycle). Tokens leave one per cycle, so that many
    spikes in few words stall the pass.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: VectorFormat, contents: VectorContents, family: Family) -> None:
        self._form = form
        self._contents = contents
        self._family = family
        ports = {"i": In(stream.Signature(form.input_layout)), "o": Out(stream.Signature(form.output_layout))}
        super().__init__(ports | _trace_ports(form))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._form
        m.submodules.integrator = integrator = VectorIntegrator(form, self._contents, self._family)
        m.submodules.neurons = neurons = VectorPass(form, self._contents, self._family)
        wiring.connect(m, wiring.flipped(self.i), integrator.i)
        wiring.connect(m, integrator.o, neurons.i)
        if form.neurons_per_cycle == 1:
            m.d.comb += [
                neurons.o.ready.eq(self.o.ready),
                self.o.valid.eq(neurons.o.valid),
                self.o.payload.kind.eq(neurons.o.payload.kind),
                self.o.payload.address.eq(neurons.o.payload.rows[0]),
            ]
            if form.neurons.gives_membranes:
                given = neurons.o.payload
                m.d.comb += [self.o.payload.last.eq(given.last), self.o.payload.value.eq(given.value)]
        else:
            m.submodules.unpacker = unpacker = BeatUnpacker(form.neurons.neurons, form.neurons_per_cycle)
            wiring.connect(m, neurons.o, unpacker.i)
            wiring.connect(m, unpacker.o, wiring.flipped(self.o))
        for name in _trace_ports(form):
            wiring.connect(m, getattr(neurons, name), wiring.flipped(getattr(self, name)))
        return m


def _trace_ports(form: VectorFormat) -> dict[str, Out]:
    return {f"trace{slot}": Out(monitor) for slot, monitor in enumerate(form.monitors)}


def _registered(m: Module, enable: ValueLike, value: Any, *, resets: bool = False) -> Any:
    """`value` one cycle of `enable` later."""
    register = Signal.like(value, name="register", reset_less=not resets)
    with m.If(enable):
        m.d.sync += register.eq(value)
    return register

"""The pass of a slotted engine: a word of neurons after the other, while the next step's words are added."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, ShapedMemory, select_from
from ..neurons.dynamics import fired, loses_later, next_start, parameters_of
from ..streams.beats import BeatUnpacker
from ..streams.tokens import TokenKind, address_bits
from .slotted_format import SlottedContents, SlottedFormat

DECIDED = 4
"""The stage of the pass in which a word's spikes and membranes are there; its state is written in the next."""


class SlottedPass(wiring.Component):
    """Takes all neurons through the end of a step.

    =========== === ==========================================================================================
    Port        Dir Meaning
    =========== === ==========================================================================================
    ended       in  pulse: a step has ended, of the kind `kind`; its last words are on their way
    kind        in  its kind
    past        in  the set of its sums
    busy        out another end may not come
    shut        out nothing may come
    place       out which place of every bank is looked at (`SlottedSums`)
    look        out the set that is looked at
    odd         out whose turn it is
    totals      in  the sums of that place
    o           out stream of tokens: the spikes, then the end
    trace0, ... out monitors without back-pressure; number k gives every `neurons_per_cycle`-th neuron from k, in order
    =========== === ==========================================================================================

    Passes are turns * (places + 1) + 3 cycles apart when the output does not stall. No neuron waits on its way, as
    none is asked for while half of the queue of spikes is taken. END_OF_SAMPLE clears every state word in the same
    pass; ABORT, and the start after a reset, run clearing passes without spikes or trace.
    """

    ended: Signal
    kind: Signal
    past: Signal
    busy: Signal
    shut: Signal
    place: Signal
    look: Signal
    odd: Signal
    totals: data.View[data.ArrayLayout]
    o: stream.Interface

    def __init__(self, form: SlottedFormat, contents: SlottedContents, family: Family) -> None:
        self._form = form
        self._contents = contents
        self._family = family
        ports: dict[str, In | Out] = {f"trace{number}": Out(monitor) for number, monitor in enumerate(form.monitors)}
        super().__init__(
            {
                "ended": In(1),
                "kind": In(TokenKind),
                "past": In(1),
                "busy": Out(1, init=1),
                "shut": Out(1, init=1),
                "place": Out(form.place_bits),
                "look": Out(1),
                "odd": Out(1),
                "totals": In(data.ArrayLayout(signed(form.sum_bits), form.banks)),
                "o": Out(stream.Signature(form.output_layout)),
            }
            | ports
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._form
        turn, room = Signal(range(form.turns)), Signal()
        kind, announce = Signal(TokenKind, init=TokenKind.ABORT), Signal()
        m.d.sync += turn.eq(turn + 1)
        m.d.comb += [self.odd.eq(turn[0]), self.look.eq(self.past ^ self.shut)]
        present, final, asked_all = self._ask(m, turn, room)
        with m.If(self.ended):
            m.d.sync += [self.busy.eq(1), kind.eq(self.kind), announce.eq(1)]
        with m.Elif(asked_all):  # after a reset there are two passes, one for each set of sums
            m.d.sync += [self.busy.eq(self.shut), self.shut.eq(0)]
        for _ in range(form.sum_latency - 1):
            present, final = _later(m, present), _later(m, final)
        stages, words, ends = self._count(m, present, final)
        asked_as = _later(m, Cat(kind, announce), form.sum_latency + DECIDED - 2)  # in the stage before it is decided
        quiet, clear = asked_as[:2] == TokenKind.ABORT, asked_as[:2] != TokenKind.END_OF_STEP

        # 0: the state is asked for. 1: it comes, and so do the sums. 2: both are in registers. 3: what came in this
        # step is known. 4: it is decided. 5: the state is written.
        shape = form.memories(self._family)["state"]
        m.submodules.state = state = ShapedMemory(shape, transparent=False)
        turns = [(t - form.sum_latency) % form.turns for t in range(form.turns)]  # whose sums are there in each turn
        parameters = self._parameters(m, words[1])
        spikes, written = [], []
        for number in range(form.neurons_per_cycle):
            bits = form.state_layout.size
            word = data.View(form.state_layout, state.read_data[number * bits : (number + 1) * bits])
            totals = select_from([self.totals[t * form.neurons_per_cycle + number] for t in turns], turn)
            comes = _later(m, Value.cast(totals), 1)
            start, other = _later(m, Cat(word.start), 2), _later(m, Cat(word.other), 4)
            came = _later(m, (comes - _later(m, Cat(word.before)))[: form.sum_bits]).as_signed()
            there = self._there(number, stages, ends)
            spike, begun = self._decide(m, number, start, came, parameters[number], there, quiet, clear)
            m.d.comb += getattr(self, f"trace{number}").neuron.eq(self._neuron(words[DECIDED], number))
            spikes.append(spike)
            written.append(Cat(_later(m, begun), other, _later(m, comes, 3)))
        m.d.comb += [
            state.read_address.eq(words[0]),
            state.read_enable.eq(1),
            state.write_address.eq(words[DECIDED + 1]),
            state.write_enable.eq(stages[DECIDED + 1]),
            state.write_data.eq(Cat(*written)),
        ]
        said = _later(m, asked_as, 2)  # the end is a cycle behind the last word
        self._leave(m, Cat(*spikes), ends[DECIDED] & said[2], said[:2], words[DECIDED], room)
        return m

    def _neuron(self, word: Value, number: int) -> Value:
        """The neuron that has a place in a word."""
        return Cat(Const(number, (self._form.neurons_per_cycle - 1).bit_length()), word)

    def _there(self, number: int, stages: list[Value], ends: list[Value]) -> list[Value]:
        """Stage by stage whether there is a neuron at a place of the word; behind the last there is none."""
        form = self._form
        if number < form.outputs - (form.pass_words - 1) * form.neurons_per_cycle:
            return stages
        return [stages[0], *(stage & ~final for stage, final in zip(stages[1:], ends, strict=False))]

    def _ask(self, m: Module, turn: Signal, room: Signal) -> tuple[Value, Value, Value]:
        """Whether the neurons of a place are looked at, word by word; whether it is the last word; whether it was the
        last place."""
        form = self._form
        last_turn, last_place = turn == form.turns - 1, self.place == form.places - 1
        pending = Signal(init=1)
        running, asked = Signal(), Signal()
        goes_on = pending | (running & ~(asked & last_place))
        asked_all = last_turn & asked & last_place
        with m.If(last_turn):
            m.d.sync += [running.eq(goes_on), asked.eq(goes_on & room), pending.eq(0)]
            with m.If(asked):
                m.d.sync += self.place.eq(self.place + 1)
                with m.If(last_place):
                    m.d.sync += self.place.eq(0)
        with m.If(_later(m, self.ended, 2) | (asked_all & self.shut)):  # the step's last words are added until then
            m.d.sync += pending.eq(1)
        present: Value = asked
        rest = form.pass_words - (form.places - 1) * form.turns
        if rest < form.turns:
            present = asked & ~(last_place & (turn >= rest))
        return present, asked & last_place & (turn == rest - 1), asked_all

    def _count(self, m: Module, present: Value, final: Value) -> tuple[list[Value], list[Value], list[Value]]:
        """Stage by stage: whether a word is there, which one, and whether the end is there in place of one."""
        word = Signal(address_bits(self._form.pass_words))
        with m.If(present):
            m.d.sync += word.eq(word + 1)
        with m.If(final):
            m.d.sync += word.eq(0)
        stages, words, ends = [present], [word], [_later(m, final)]
        for _ in range(DECIDED + 1):
            stages.append(_later(m, stages[-1]))
            words.append(_later(m, words[-1]))
            ends.append(_later(m, ends[-1]))
        return stages, words, ends

    def _parameters(self, m: Module, word: Value) -> list[dict[str, Value]]:
        """Those of a word's neurons, two cycles later."""
        form, several = self._form.neurons, range(self._form.neurons_per_cycle)
        if not form.parameter_bits:
            return [parameters_of(form, Const(0, 1)) for _ in several]
        shape = self._form.memories(self._family)["parameters"]
        m.submodules.parameters = words = ShapedMemory(shape, self._contents.parameters)
        m.d.comb += [words.read_address.eq(word), words.read_enable.eq(1)]
        held = _later(m, words.read_data)
        return [parameters_of(form, held.word_select(number, form.parameter_bits)) for number in several]

    def _decide(
        self,
        m: Module,
        number: int,
        start: Value,
        came: Value,
        parameters: Mapping[str, Value],
        there: list[Value],
        quiet: Value,
        clear: Value,
    ) -> tuple[Value, Value]:
        """Stages 3 and 4 of a place of the word: the spike, and the start of the next step."""
        form, trace = self._form, getattr(self, f"trace{number}")
        (population,) = form.neurons.populations
        rule, bits = population.rule, form.start_bits
        u = (start[:bits].as_signed() + (came << population.shift))[: form.membrane_bits].as_signed()
        fires, membrane = fired(rule, u, start[bits:], parameters)
        v, kept_v = (Signal(signed(rule.state_bits), name=name) for name in ("v", "kept_v"))
        spike, kept_spike, leaves = Signal(), Signal(), Signal()
        kept = {name: Signal(value.shape(), name=f"{name}_kept") for name, value in parameters.items()}
        masked = loses_later(rule)
        m.d.sync += [
            *(signal.eq(membrane) for signal in (v, kept_v)),
            *(signal.eq(fires) for signal in (spike, kept_spike)),
            leaves.eq(fires & there[DECIDED - 1] & ~quiet),
            *(kept[name].eq(value) for name, value in parameters.items()),
        ]
        with m.If(clear):  # a sample ends with neither
            m.d.sync += [kept_v.eq(0), kept_spike.eq(0)]
        if masked:
            with m.If(clear | ~fires):
                m.d.sync += [kept["fire"].eq(0), kept["sub_delta"].eq(0)]
        rested = next_start(rule, kept_v, kept_spike, kept, bits, masked=masked)
        begun = Cat((rested[:bits].as_signed() + kept["bias"])[:bits], rested[bits:])
        m.d.comb += [
            trace.valid.eq(there[DECIDED] & ~_later(m, quiet)),
            trace.membrane.eq(v),
            trace.spike.eq(spike),
        ]
        return leaves, begun

    def _leave(self, m: Module, spikes: Value, ends: Value, kind: Value, word: Value, room: Signal) -> None:
        """Spikes and the end wait in a queue; those of a word leave it one by one."""
        form = self._form
        several = form.neurons_per_cycle > 1
        valid, ready = (Signal(name="waiting"), Signal(name="leaves")) if several else (self.o.valid, self.o.ready)
        m.submodules.spikes = memory = ShapedMemory(form.memories(self._family)["spikes"], transparent=False)
        written, taken = Signal(range(form.queued)), Signal(range(form.queued))
        load = Signal()
        m.d.comb += [
            memory.write_address.eq(written),
            memory.write_data.eq(Cat(Mux(ends, kind, TokenKind.EVENT), word, spikes if several else Const(0, 0))),
            memory.write_enable.eq(spikes.any() | ends),
            load.eq((taken != written) & (~valid | ready)),
            memory.read_address.eq(taken),
            memory.read_enable.eq(load),
        ]
        m.d.sync += [
            written.eq(written + memory.write_enable),
            taken.eq(taken + load),
            valid.eq(load | (valid & ~ready)),
            room.eq(~(written - taken)[len(written) - 1]),
        ]
        if several:
            self._unpack(m, data.View(form.spike_layout, memory.read_data), valid, ready)
        else:
            m.d.comb += self.o.payload.as_value().eq(memory.read_data)

    def _unpack(self, m: Module, waiting: data.View[data.StructLayout], valid: Signal, ready: Signal) -> None:
        """The spikes of a word, one by one."""
        form = self._form
        m.submodules.unpacker = unpacker = BeatUnpacker(form.outputs, form.neurons_per_cycle)
        beat = unpacker.i.payload
        m.d.comb += [
            unpacker.i.valid.eq(valid),
            ready.eq(unpacker.i.ready),
            beat.kind.eq(waiting.kind),
            beat.mask.eq(waiting.mask),
            *(row.eq(waiting.word) for row in beat.rows),
        ]
        wiring.connect(m, unpacker.o, wiring.flipped(self.o))


def _later(m: Module, value: Value, cycles: int = 1) -> Value:
    """A value so many cycles later."""
    for _ in range(cycles):
        register = Signal(value.shape(), name="later")
        m.d.sync += register.eq(value)
        value = register
    return value

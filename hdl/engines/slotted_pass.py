"""The pass of a slotted engine: one neuron after the other, while the next step's words are added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, ShapedMemory, select_from
from ..neurons.dynamics import fired, loses_later, next_start, parameters_of
from ..streams.tokens import TokenKind, address_bits
from .slotted_format import SlottedContents, SlottedFormat

DECIDED = 4
"""The stage of the pass in which a neuron's spike and membrane are there; its state is written in the next."""


class SlottedPass(wiring.Component):
    """Takes all neurons through the end of a step.

    ====== === ===============================================================================================
    Port   Dir Meaning
    ====== === ===============================================================================================
    ended  in  pulse: a step has ended, of the kind `kind`; its last words are on their way
    kind   in  its kind
    past   in  the set of its sums
    busy   out another end may not come
    shut   out nothing may come
    place  out which place of every bank is looked at (`SlottedSums`)
    look   out the set that is looked at
    odd    out whose turn it is
    totals in  the sums of that place
    o      out stream of tokens: the spikes, then the end
    trace  out monitor without back-pressure, one beat per neuron and step, in order
    ====== === ===============================================================================================

    Passes are banks * (places + 1) + 3 cycles apart when the output does not stall. No neuron waits on its way, as
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
    trace: Any

    def __init__(self, form: SlottedFormat, contents: SlottedContents, family: Family) -> None:
        self._form = form
        self._contents = contents
        self._family = family
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
                "trace": Out(form.monitors[0]),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._form
        turn, room = Signal(range(form.banks)), Signal()
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
        stages, neurons, ends = self._count(m, present, final)
        asked_as = _later(m, Cat(kind, announce), form.sum_latency + DECIDED - 2)  # in the stage before it is decided
        quiet, clear = asked_as[:2] == TokenKind.ABORT, asked_as[:2] != TokenKind.END_OF_STEP

        # 0: the state is asked for. 1: it comes, and so do the sums. 2: both are in registers. 3: what came in this
        # step is known. 4: it is decided. 5: the state is written.
        shape = form.memories(self._family)["state"]
        m.submodules.state = state = ShapedMemory(shape, transparent=False)
        word = data.View(form.state_layout, state.read_data)
        banks = [(t - form.sum_latency) % form.banks for t in range(form.banks)]  # whose sums are there in each turn
        totals = select_from([self.totals[bank] for bank in banks], turn)
        comes = _later(m, Value.cast(totals), 1)
        start, other = _later(m, Cat(word.start), 2), _later(m, Cat(word.other), 4)
        came = _later(m, (comes - _later(m, Cat(word.before)))[: form.sum_bits])
        parameters = self._parameters(m, neurons[1])
        spike, begun = self._decide(m, start, came.as_signed(), parameters, stages, neurons[DECIDED], quiet, clear)
        m.d.comb += [
            state.read_address.eq(neurons[0]),
            state.read_enable.eq(1),
            state.write_address.eq(neurons[DECIDED + 1]),
            state.write_enable.eq(stages[DECIDED + 1]),
            state.write_data.eq(Cat(_later(m, begun), other, _later(m, comes, 3))),
        ]
        said = _later(m, asked_as, 2)  # the end is a cycle behind the last neuron
        self._leave(m, spike, ends[DECIDED] & said[2], said[:2], neurons[DECIDED], room)
        return m

    def _ask(self, m: Module, turn: Signal, room: Signal) -> tuple[Value, Value, Value]:
        """Whether a neuron's place is looked at, bank by bank; whether it is the last neuron; whether it was the last
        place."""
        form = self._form
        last_turn, last_place = turn == form.banks - 1, self.place == form.places - 1
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
        rest = form.outputs - (form.places - 1) * form.banks
        if rest < form.banks:
            present = asked & ~(last_place & (turn >= rest))
        return present, asked & last_place & (turn == rest - 1), asked_all

    def _count(self, m: Module, present: Value, final: Value) -> tuple[list[Value], list[Value], list[Value]]:
        """Stage by stage: whether a neuron is there, which one, and whether the end is there in place of one."""
        neuron = Signal(address_bits(self._form.outputs))
        with m.If(present):
            m.d.sync += neuron.eq(neuron + 1)
        with m.If(final):
            m.d.sync += neuron.eq(0)
        stages, neurons, ends = [present], [neuron], [_later(m, final)]
        for _ in range(DECIDED + 1):
            stages.append(_later(m, stages[-1]))
            neurons.append(_later(m, neurons[-1]))
            ends.append(_later(m, ends[-1]))
        return stages, neurons, ends

    def _parameters(self, m: Module, neuron: Value) -> Mapping[str, Value]:
        """Those of a neuron, two cycles later."""
        form = self._form.neurons
        if not form.parameter_bits:
            return parameters_of(form, Const(0, 1))
        shape = self._form.memories(self._family)["parameters"]
        m.submodules.parameters = words = ShapedMemory(shape, self._contents.parameters)
        m.d.comb += [words.read_address.eq(neuron), words.read_enable.eq(1)]
        return parameters_of(form, _later(m, words.read_data))

    def _decide(
        self,
        m: Module,
        start: Value,
        came: Value,
        parameters: Mapping[str, Value],
        stages: list[Value],
        neuron: Value,
        quiet: Value,
        clear: Value,
    ) -> tuple[Value, Value]:
        """Stages 3 and 4: the spike, and the start of the next step."""
        form = self._form
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
            leaves.eq(fires & stages[DECIDED - 1] & ~quiet),
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
            self.trace.valid.eq(stages[DECIDED] & ~_later(m, quiet)),
            self.trace.neuron.eq(neuron),
            self.trace.membrane.eq(v),
            self.trace.spike.eq(spike),
        ]
        return leaves, begun

    def _leave(self, m: Module, spike: Value, ends: Value, kind: Value, neuron: Value, room: Signal) -> None:
        """Spikes and the end wait in a queue."""
        form = self._form
        m.submodules.spikes = memory = ShapedMemory(form.memories(self._family)["spikes"], transparent=False)
        written, taken = Signal(range(form.queued)), Signal(range(form.queued))
        load = Signal()
        m.d.comb += [
            memory.write_address.eq(written),
            memory.write_data.eq(Cat(Mux(ends, kind, TokenKind.EVENT), neuron)),
            memory.write_enable.eq(spike | ends),
            load.eq((taken != written) & (~self.o.valid | self.o.ready)),
            memory.read_address.eq(taken),
            memory.read_enable.eq(load),
            self.o.payload.as_value().eq(memory.read_data),
        ]
        m.d.sync += [
            written.eq(written + memory.write_enable),
            taken.eq(taken + load),
            self.o.valid.eq(load | (self.o.valid & ~self.o.ready)),
            room.eq(~(written - taken)[len(written) - 1]),
        ]


def _later(m: Module, value: Value, cycles: int = 1) -> Value:
    """A value so many cycles later."""
    for _ in range(cycles):
        register = Signal(value.shape(), name="later")
        m.d.sync += register.eq(value)
        value = register
    return value

"""The neurons of a fast engine: a bank with registers behind its memories and in front of its output."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, signed
from amaranth.lib import stream

from ..memories.memory import Family, MemoryShape, ShapedMemory
from ..streams.tokens import TokenKind
from .bank import NeuronBank
from .dynamics import fired, next_start, parameters_of
from .neuron_format import NeuronFormat
from .wires import Job, NeuronWires


class FastBank(NeuronBank):
    """A bank (`NeuronBank`) of plain neurons, with the same ports.

    A word is asked for, comes, is compared or added to, and in a pass is written a cycle after that. So contributions
    to one neuron are three cycles apart, and an end waits for a cycle behind one. A pass of n neurons takes n + 6
    cycles when the output never stalls. A spike waits at the output for who takes it, and behind it a second one where
    it arose: the neurons behind that are asked for again when it has moved on.

    On ECP5, where block RAM is slow, a word comes into a register, and has the bias of the step in it already; on iCE40
    its sum with a contribution or the bias comes into one.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        shapes = form.memories(self._family)
        m.submodules.state = state = ShapedMemory(shapes["state"], transparent=False, late=int(self._late))
        if self._late:
            m.d.comb += state.move.eq(1)
        w = _Wires(form, self.i, self.o)
        self._accept(m, w, state)
        self._ask(m, w)
        early, parameters = self._two_parameters(m, shapes.get("parameters"), w.neuron)
        u, total, kept_bit = self._totals(m, w, state.read_data, early["bias"])
        begun = self._decide(m, w, u, kept_bit, parameters)
        m.d.comb += [
            state.write_enable.eq(w.adding[1] | w.writes),
            state.write_address.eq(Mux(w.adding[1], w.post, w.written)),
            state.write_data.eq(Mux(w.adding[1], Cat(total[: self._bits], kept_bit), begun)),
        ]
        self._end(m, w)
        return m

    @property
    def _late(self) -> bool:
        return self._family is Family.ECP5

    @property
    def _bits(self) -> int:
        """Of a word, without the bit beside it."""
        return self._format.fast_bits(self._family)

    def _accept(self, m: Module, w: _Wires, state: ShapedMemory) -> None:
        """A contribution's word is asked for, or that of the next neuron of the pass."""
        payload = self.i.payload
        collides = (w.adding[0] & payload.repeats) | (w.adding[1] & (payload.repeats | payload.recurs))
        takes = w.listens | ~w.quiet if w.shared else w.listens
        shifted = self._shifted(payload)
        weights = w.weights = [Signal(shifted.shape(), name=f"weight{number}") for number in (1, 2)]
        m.d.comb += [
            self.i.ready.eq(Mux(w.is_event, takes & ~collides, w.listens & ~w.adding[0])),
            state.read_enable.eq(1),  # unused words do no harm
            state.read_address.eq(Mux(w.comes, payload.post, w.neuron)),
        ]
        m.d.sync += [
            w.adding[0].eq(w.accept & w.is_event),
            w.adding[1].eq(w.adding[0]),
            *(register.eq(value) for register, value in zip(weights, [shifted, weights[0]], strict=True)),
            w.post.eq(payload.before),
        ]

    def _ask(self, m: Module, w: _Wires) -> None:
        """The pass goes on to its next neuron, or back to that behind the one whose spike cannot leave."""
        form = self._format
        m.d.sync += [w.stages[0].eq(w.issue), w.stages[1].eq(w.stages[0] & ~w.stall)]
        with m.If(w.again):
            m.d.sync += [w.neuron.eq(w.read), w.job.eq(Job.PASS)]
        with m.Elif(w.issue):
            m.d.sync += w.neuron.eq(w.neuron + 1)
            with m.If((w.neuron == form.neurons - 1) | (self._any(w.neuron, form.bases[1:], -1) & ~w.quiet)):
                m.d.sync += w.job.eq(Job.DRAIN)
        with m.If(w.accept & ~w.is_event):
            m.d.sync += [w.job.eq(Job.PASS), w.end.eq(self.i.payload.kind), w.announce.eq(1)]

    def _two_parameters(
        self, m: Module, shape: MemoryShape | None, neuron: Value
    ) -> tuple[Mapping[str, Value], Mapping[str, Value]]:
        """The parameters of a neuron when its word comes, and a cycle later."""
        if shape is None:
            none = parameters_of(self._format, Const(0, 0))
            return none, none
        m.submodules.parameters = words = ShapedMemory(shape, self._parameters, late=int(self._late))
        m.d.comb += [words.read_address.eq(self._parameter_word(neuron)), words.read_enable.eq(1)]
        if self._late:
            m.d.comb += words.move.eq(1)
            late = parameters_of(self._format, words.read_data)
            return late, late
        later = Signal.like(words.read_data, name="parameters_late")
        m.d.sync += later.eq(words.read_data)
        return parameters_of(self._format, words.read_data), parameters_of(self._format, later)

    def _totals(self, m: Module, w: _Wires, word: Value, early_bias: Value) -> tuple[Value, Value, Value]:
        """What is compared, a word and a contribution, and the bit that is kept beside it."""
        held, kept_bit = word[: self._bits].as_signed(), word[self._bits :]
        if self._late:
            return held, held + w.weights[1], kept_bit
        total = held + Mux(w.adding[0], w.weights[0], early_bias)
        late, late_bit = Signal(total.shape(), name="total"), Signal(len(kept_bit), name="kept_bit")
        m.d.sync += [late.eq(total), late_bit.eq(kept_bit)]
        return late, late, late_bit

    def _decide(self, m: Module, w: _Wires, u: Value, kept_bit: Value, parameters: Mapping[str, Value]) -> Signal:
        """A neuron is compared, and what it starts the next step from is made a cycle later."""
        form = self._format
        results = [fired(rule, u, kept_bit, parameters) for rule in self._rules]
        fires = self._of_rule(w.read, [result[0] for result in results])
        membrane = self._of_rule(w.read, [result[1] for result in results])
        leaves = fires | (w.read >= form.bases[-1]) if form.gives_membranes else fires
        v, kept_v = (Signal(signed(form.state_bits), name=name) for name in ("v", "kept_v"))
        fired_now, kept_spike = Signal(), Signal()  # a sample ends with neither
        kept = {name: Signal(value.shape(), name=f"{name}2") for name, value in parameters.items()}
        with m.If(~w.holds):
            m.d.sync += [
                w.stages[2].eq(w.stages[1]),
                *(register.eq(membrane) for register in (v, kept_v)),
                *(register.eq(fires) for register in (fired_now, kept_spike)),
                w.spike.eq(leaves & ~w.quiet),
                *(kept[name].eq(value) for name, value in parameters.items()),
            ]
            with m.If(w.clear):
                m.d.sync += [kept_v.eq(0), kept_spike.eq(0)]
            if self._masked:
                with m.If(w.clear | ~fires):
                    m.d.sync += [kept["fire"].eq(0), kept["sub_delta"].eq(0)]
            with m.If(w.stages[1]):
                m.d.sync += w.written.eq(w.read)
        with m.Elif(~self.o.valid):
            m.d.sync += w.spike.eq(0)  # it moves on before its neuron is written
        bits = self._bits
        starts = [next_start(rule, kept_v, kept_spike, kept, bits, masked=self._masked) for rule in self._rules]
        start = self._of_rule(w.written, starts)
        begun = Signal(bits + form.remembers_firing)
        if self._late:
            start = Cat((start[:bits].as_signed() + kept["bias"])[:bits], start[bits:])
        m.d.comb += [
            begun.eq(start),
            self.trace.valid.eq(w.writes & ~w.quiet),
            self.trace.neuron.eq(w.written),
            self.trace.membrane.eq(v),
            self.trace.spike.eq(fired_now),
        ]
        with m.If(w.leaves & ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.kind.eq(TokenKind.EVENT),
                self.o.payload.address.eq(w.written),
            ]
            if form.gives_membranes:
                m.d.sync += [self.o.payload.last.eq(w.end == TokenKind.END_OF_SAMPLE), self.o.payload.value.eq(v)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return begun

    def _end(self, m: Module, w: _Wires) -> None:
        """Pass after pass, and the end behind the last one."""
        form = self._format
        last = w.neuron == form.neurons
        settled = last | (self.settled & ~self.o.valid)
        with m.If((w.job == Job.DRAIN) & ~Cat(*w.stages, *w.adding).any() & settled):
            with m.If(last):
                m.d.sync += w.job.eq(Job.END)
            if len(form.populations) > 1:
                with m.Else():
                    m.d.sync += w.job.eq(Job.PASS)
                    m.d.comb += self.release.eq((w.neuron == form.bases[-1]) & form.overlaps)
        with m.If((w.job == Job.END) & ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(w.announce),
                self.o.payload.kind.eq(w.end),
                w.neuron.eq(0),
                w.written.eq(-1),
                w.job.eq(Job.INTEGRATE),
            ]
            m.d.comb += self.release.eq(w.quiet | (not form.overlaps))


class _Wires(NeuronWires):
    """What the parts of a fast bank tell each other. A neuron of the pass is in one of three stages: its word comes, it
    is compared, it is written."""

    def __init__(self, form: NeuronFormat, i: stream.Interface, o: stream.Interface) -> None:
        super().__init__(form, i)
        self.written = Signal.like(self.neuron, init=-1)  # the last one that was compared
        self.read = (self.written + 1)[: len(self.neuron)]
        self.stages = [Signal(name=f"stage{number}") for number in (1, 2, 3)]
        self.spike = Signal()

        self.adding = [Signal(name=f"adding{number}") for number in (1, 2)]
        self.weights: list[Signal] = []

        self.leaves = self.stages[2] & self.spike
        self.stall = self.leaves & o.valid
        self.holds = self.stages[2] & (self.stall | self.adding[1])
        self.writes = self.stages[2] & ~self.stall & ~self.adding[1]
        self.issue = (self.job == Job.PASS) & ~self.comes & ~self.stall
        self.again = self.stall & (self.stages[0] | self.stages[1])

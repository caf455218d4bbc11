"""The neurons of an engine: their state memory, the integration of contributions, and the passes that end a step.

The state word of a neuron holds what the next comparison starts from, so that a contribution is one addition in place:
decay(V), less what a delayed reset takes away, plus the contributions of the step so far. The pass adds the bias,
compares, resets, saturates, and writes the start of the next step back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory
from ..streams.contribution import contribution_layout
from ..streams.tokens import TokenKind, address_bits, token_layout
from .dynamics import fired, loses_later, next_start, parameters_of
from .neuron_format import NeuronFormat, NeuronRule, trace_signature


class _Job(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]
    """What the state memory's ports are used for."""

    INTEGRATE = 0
    PASS = 1
    DRAIN = 2
    END = 3


class NeuronBank(wiring.Component):
    """Integrates contributions and, at the end of each step, passes over the neurons, population after population.

    ======== === =============================================================================================
    Port     Dir Meaning
    ======== === =============================================================================================
    i        in  stream of contributions; its ends start the passes
    o        out stream of tokens: the spikes of the passes, then their end
    settled  in  nothing that a spike of a pass set off is still on its way to `i`
    release  out pulse: the contributions of the next step may come
    trace    out monitor without back-pressure, one beat per neuron and step, in order
    ======== === =============================================================================================

    Throughput one contribution per cycle, but two cycles apart where two in a row go to one neuron. A pass of n neurons
    takes n + 4 cycles when the output never stalls. With one population nothing is integrated meanwhile. With several
    the spikes of a pass come back as contributions to later populations, which are integrated between two neurons of
    the pass at no more cost than their own cycles; the next population's pass starts when they have `settled`.
    END_OF_SAMPLE clears every state word in the same pass; ABORT, and the start after a reset, run a clearing pass
    without spikes or trace.

    Where it `skips`, a population's pass takes 1 cycle if its last one changed no word and had no spike, nothing has
    arrived since, and the step does not end the sample. The trace is silent then.
    """

    i: stream.Interface
    o: stream.Interface
    settled: Signal
    release: Signal

    def __init__(self, form: NeuronFormat, parameters: Sequence[int], family: Family) -> None:
        self._format = form
        self._parameters = tuple(parameters)
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(contribution_layout(form.neurons, form.weight_bits))),
                "o": Out(stream.Signature(token_layout(form.neurons))),
                "settled": In(1, init=1),
                "release": Out(1),
                "trace": Out(trace_signature(form.neurons, form.state_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        memories = form.memories(self._family)
        m.submodules.state = state = ShapedMemory(memories["state"], transparent=False)
        accumulator = state.read_data[: form.accumulator_bits].as_signed()

        shared = len(form.populations) > 1
        job = Signal(_Job, init=_Job.PASS)
        end = Signal(TokenKind, init=TokenKind.ABORT)  # what the passes end
        announce = Signal()  # the pass after a reset ends nothing
        quiet = end == TokenKind.ABORT
        clear = end != TokenKind.END_OF_STEP
        neuron = Signal(range(form.neurons + 1))  # the next one of the pass
        stages = [Signal(name=f"stage{number}") for number in (1, 2)]
        read, written = ((neuron - 1)[: len(neuron)], Signal.like(neuron))  # the ones in the stages
        spike = Signal()
        spikes = stages[1] & spike
        stall = spikes & ~self.o.ready

        still = Signal(len(form.populations))  # populations that a pass would not change
        changed = Signal()  # the pass under way changed something

        # Integration: read, then add and write back one cycle later, when the same word must not be read.
        accept = self.i.valid & self.i.ready
        is_event = self.i.payload.kind == TokenKind.EVENT
        adding = Signal()
        post = Signal(address_bits(form.neurons))
        weight = Signal(signed(form.weight_bits + max(p.shift for p in form.populations)))
        collides = adding & is_event & (post == self.i.payload.post)
        if not shared:
            m.d.comb += self.i.ready.eq((job == _Job.INTEGRATE) & ~collides)
        else:
            m.d.comb += self.i.ready.eq(((job == _Job.INTEGRATE) | (is_event & ~quiet)) & ~collides)
        m.d.sync += adding.eq(accept & is_event)
        with m.If(accept):
            m.d.sync += [post.eq(self.i.payload.post), weight.eq(self._shifted(self.i.payload))]
            with m.If(~is_event):
                m.d.sync += [job.eq(_Job.PASS), end.eq(self.i.payload.kind), announce.eq(1)]
                with m.If(self.i.payload.kind == TokenKind.END_OF_STEP):
                    self._skip(m, job, neuron, still, 0)
                with m.Else():
                    m.d.sync += still.eq(0)

        # The pass asks for one neuron's words per cycle, unless a contribution comes. A neuron whose words arrive while
        # the spike before it cannot leave is asked for again.
        comes = self.i.valid & is_event if shared else job == _Job.INTEGRATE
        issue = (job == _Job.PASS) & ~comes & ~stall
        again = stall & stages[0]
        with m.If(issue | again):
            m.d.sync += neuron.eq(neuron + Cat(Const(1, 1), again.replicate(len(neuron) - 1)))
        with m.If(issue & ((neuron == form.neurons - 1) | (self._any(neuron, form.bases[1:], -1) & ~quiet))):
            m.d.sync += job.eq(_Job.DRAIN)
        with m.If(again):
            m.d.sync += job.eq(_Job.PASS)
        m.d.comb += [
            state.read_enable.eq(1),  # unused words do no harm
            state.read_address.eq(Mux(comes, self.i.payload.post, neuron)),
        ]
        parameters = self._read_parameters(m, memories.get("parameters"), neuron)

        # Stage 1: both words are there. Stage 2: spike and membrane, and the start of the next step is written, which
        # waits while contributions are.
        u = accumulator + parameters["bias"]
        kept_bit = state.read_data[form.accumulator_bits :]
        results = [fired(rule, u, kept_bit, parameters) for rule in self._rules]
        fires = self._of_rule(read, [result[0] for result in results])
        membrane = self._of_rule(read, [result[1] for result in results])
        v = Signal(signed(form.state_bits))
        kept_v, kept_spike = Signal.like(v), Signal()  # a sample ends with neither
        traced_spike = Signal()
        kept = {name: Signal(value.shape(), name=f"{name}2") for name, value in parameters.items()}
        masked = all(map(loses_later, self._rules))  # a register's reset does it at no cost
        hold = stall | adding if shared else stall
        m.d.sync += stages[0].eq(issue)
        with m.If(~hold):
            m.d.sync += [
                stages[1].eq(stages[0]),
                written.eq(read),
                v.eq(membrane),
                spike.eq(fires & ~quiet),
                kept_v.eq(membrane),
                kept_spike.eq(fires),
                traced_spike.eq(fires),
                *(kept[name].eq(value) for name, value in parameters.items()),
            ]
            with m.If(clear):
                m.d.sync += [kept_v.eq(0), kept_spike.eq(0)]
            if masked:
                with m.If(clear | ~fires):
                    m.d.sync += [kept["fire"].eq(0), kept["sub_delta"].eq(0)]
        with m.Elif(self.o.ready):
            m.d.sync += spike.eq(0)  # it left before its neuron was written
        bits = form.accumulator_bits
        starts = [next_start(rule, kept_v, kept_spike, kept, bits, masked=masked) for rule in self._rules]
        word = Signal(bits + form.remembers_firing)
        m.d.comb += word.eq(self._of_rule(written, starts))
        m.d.comb += [
            state.write_enable.eq(adding | (stages[1] & ~hold)),
            state.write_address.eq(written),
            state.write_data.eq(word),
        ]
        with m.If(adding):
            total = (accumulator + weight)[: form.accumulator_bits]
            m.d.comb += [state.write_address.eq(post), state.write_data.eq(Cat(total, kept_bit))]

        # Spikes leave from stage 2, the end of the step when the last word is written back.
        m.d.comb += [
            self.o.valid.eq(spikes),
            self.o.payload.kind.eq(TokenKind.EVENT),
            self.o.payload.address.eq(written),
        ]
        last_passed = neuron == form.neurons
        passed = (job == _Job.DRAIN) & ~Cat(*stages, adding).any() & (last_passed | self.settled)
        with m.If(passed):
            with m.If(last_passed):
                m.d.sync += job.eq(_Job.END)
            if shared:
                with m.Else():
                    m.d.sync += job.eq(_Job.PASS)
                    for number, base in enumerate(form.bases[1:], start=1):
                        with m.If((neuron == base) & ~clear):
                            self._skip(m, job, neuron, still, number)
                    m.d.comb += self.release.eq((neuron == form.bases[-1]) & form.overlaps)
        with m.If(job == _Job.END):
            m.d.comb += [self.o.valid.eq(announce), self.o.payload.kind.eq(end)]
            m.d.sync += neuron.eq(0)
            with m.If(self.o.ready | ~announce):
                m.d.sync += job.eq(_Job.INTEGRATE)
                m.d.comb += self.release.eq(quiet | (not form.overlaps))

        if form.skips:
            before = Signal.like(word)
            with m.If(~hold):
                m.d.sync += before.eq(state.read_data)
            with m.If(stages[1] & ((before != word) | kept_spike)):
                m.d.sync += changed.eq(1)
            with m.If(passed):
                m.d.sync += changed.eq(0)
                for number, past in enumerate(form.ends):
                    with m.If(neuron == past):
                        m.d.sync += still[number].eq(~changed & ~clear)
            with m.If(accept & is_event):
                for number, (base, past) in enumerate(zip(form.bases, form.ends, strict=True)):
                    with m.If((self.i.payload.post >= base) & (self.i.payload.post < past)):
                        m.d.sync += still[number].eq(0)

        m.d.comb += [
            self.trace.valid.eq(stages[1] & ~hold & ~quiet),
            self.trace.neuron.eq(written),
            self.trace.membrane.eq(v),
            self.trace.spike.eq(traced_spike),
        ]
        return m

    def _skip(self, m: Module, job: Signal, neuron: Signal, still: Signal, number: int) -> None:
        """Instead of the pass of a population that starts now, go to its end if it would change nothing."""
        if self._format.skips:
            with m.If(still[number]):
                m.d.sync += [job.eq(_Job.DRAIN), neuron.eq(self._format.ends[number])]

    @property
    def _rules(self) -> list[NeuronRule]:
        """The distinct rules."""
        return list(dict.fromkeys(population.rule for population in self._format.populations))

    def _of_population(self, neuron: Value, choices: Sequence[Value]) -> Value:
        """Of one choice per population, the one for `neuron`."""
        reached = [neuron >= base for base in self._format.bases[1:]]
        chosen = choices[0]
        for here, choice in zip(reached, choices[1:], strict=True):
            if choice is not chosen:
                chosen = Mux(here, choice, chosen)
        return chosen

    def _of_rule(self, neuron: Value, choices: Sequence[Value]) -> Value:
        """Of one choice per distinct rule, the one for `neuron`."""
        rules = self._rules
        return self._of_population(neuron, [choices[rules.index(p.rule)] for p in self._format.populations])

    def _shifted(self, contribution: Value) -> Value:
        """A contribution's weight in membrane units."""
        by_shift = {p.shift: contribution.weight << p.shift for p in self._format.populations}
        return self._of_population(contribution.post, [by_shift[p.shift] for p in self._format.populations])

    def _any(self, neuron: Value, numbers: Sequence[int], offset: int) -> Value:
        return reduce(or_, (neuron == number + offset for number in numbers), Const(0, 1))

    def _read_parameters(self, m: Module, shape: MemoryShape | None, neuron: Signal) -> dict[str, Value]:
        """The parameter fields of `neuron` by name, one cycle later."""
        if shape is None:
            return parameters_of(self._format, Const(0, 0))
        m.submodules.parameters = words = ShapedMemory(shape, self._parameters)
        m.d.comb += [words.read_address.eq(neuron), words.read_enable.eq(1)]
        return parameters_of(self._format, words.read_data)

"""The neurons of an engine: their state memory, the integration of contributions, and the passes that end a step.

The state word of a neuron holds what the next comparison starts from, so that a contribution is one addition in place:
decay(V), less what a delayed reset takes away, plus the contributions of the step so far. The pass adds the bias,
compares, resets, saturates, and writes the start of the next step back.

A bank in which a population has synaptic currents has a second word for every neuron, in a memory of its own: the sum
of decay(g), the bias and the contributions so far, which thereby stays exact until the pass saturates it. The state
words then belong to the pass. Neurons without currents start that sum from the bias alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory
from ..streams.contribution import contribution_layout
from ..streams.tokens import TokenKind
from .decay import decayed
from .dynamics import (
    compared,
    current,
    fired,
    left_current,
    loses_later,
    next_adaptation,
    next_start,
    next_sum,
    parameters_of,
    raised,
)
from .idle import pass_by, skip, watch_still
from .listed import list_visits
from .neuron_format import NeuronFormat, NeuronRule, trace_signature
from .repeats import left_bits, repeated
from .shared_leaks import SharedLeaks
from .wires import Compared, Job, Wires


class NeuronBank(wiring.Component):
    """Integrates contributions and, at the end of each step, passes over the neurons, population after population.

    ======== === =============================================================================================
    Port     Dir Meaning
    ======== === =============================================================================================
    i        in  stream of contributions; its ends start the passes
    o        out stream of tokens: the spikes of the passes, then their end; of a last population that gives its
                 membranes (`membrane_layout`) every neuron is an event
    settled  in  nothing that a spike of a pass set off is still on its way to `i`
    release  out pulse: the contributions of the next step may come
    waits    out where spikes return: a pass is over, but not yet all that it set off
    trace    out monitor without back-pressure, one beat per neuron and step, in order
    ======== === =============================================================================================

    Throughput one contribution per cycle, but two cycles apart where two in a row go to one neuron. A pass of n neurons
    takes n + 4 cycles when the output never stalls, and k more for a neuron that fires k > 1 times, which stays until
    its spikes have left. With one population nothing is integrated meanwhile. With several the spikes of a pass come
    back as contributions to later populations, which are integrated between two neurons of the pass at no more cost
    than their own cycles; the next population's pass starts when they have `settled`. END_OF_SAMPLE clears every state
    word in the same pass; ABORT, and the start after a reset, run a clearing pass without spikes or trace.

    A contribution to a neuron whose pass is over is one to the next step, as its word already is the start of that.
    Where spikes return, the pass of a population that sends some is over when they have `settled`, and after an
    END_OF_SAMPLE such contributions are dropped.

    Where it `skips`, a population's pass takes 1 cycle if its last one changed no word and had no spike, nothing has
    arrived since, and the step does not end the sample. The trace is silent then.

    Where it looks at what is `touched`, a pass that does not end the sample takes a cycle for each block of so many
    neurons to which nothing has come since the last pass and in which none fired then. The trace is silent there.

    Where it `lists` visits, a pass that does not end the sample takes of the first population only the neurons to which
    something has come since the last pass, or that fired in it, and one cycle more. The trace is silent of the others.
    """

    i: stream.Interface
    o: stream.Interface
    settled: Signal
    release: Signal
    waits: Signal

    def __init__(self, form: NeuronFormat, parameters: Sequence[int], family: Family) -> None:
        self._format = form
        self._parameters = tuple(parameters)
        self._family = family
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(contribution_layout(form.neurons, form.weight_bits, fast=form.fast))),
            "o": Out(stream.Signature(form.output_layout)),
            "settled": In(1, init=1),
            "release": Out(1),
            "trace": Out(trace_signature(form.neurons, form.state_bits, form.spike_bits)),
        }
        super().__init__(ports | ({"waits": Out(1)} if form.returns else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shapes = self._format.memories(self._family)
        memories = {
            role: ShapedMemory(shape, transparent=False) for role, shape in shapes.items() if role != "parameters"
        }
        for role, words in memories.items():
            m.submodules[role] = words
        w = Wires(self._format, self.i, self.o, memories)
        self._integrate(m, w)
        self._issue(m, w)
        parameters = self._read_parameters(m, shapes.get("parameters"), w.asked)
        after = self._compare(m, w, parameters)
        written = self._write(m, w, after)
        passed = self._leave(m, w)
        if self._format.gives_membranes:
            m.d.comb += [
                self.o.payload.last.eq(w.end == TokenKind.END_OF_SAMPLE),
                self.o.payload.value.eq(after.v),
            ]
        if self._format.skips:
            watch_still(m, self._format, w, self.i.payload.post, written, after.kept_spike, passed)
        if self._format.touched:
            pass_by(m, self._format, w, self.i.payload.post, after.kept_spike)
        if self._format.lists:
            list_visits(m, self._format, w, again=w.stall & w.stages[0], kept_spike=after.kept_spike)
        m.d.comb += [
            self.trace.valid.eq(w.stages[1] & ~w.hold & ~w.quiet),
            self.trace.neuron.eq(w.written),
            self.trace.membrane.eq(after.v),
            self.trace.spike.eq(after.traced_spike),
        ]
        return m

    def _integrate(self, m: Module, w: Wires) -> None:
        """Read, then add and write back one cycle later, when the same word must not be read."""
        collides = w.adding & w.is_event & (w.post == self.i.payload.post)
        if not w.shared:
            m.d.comb += self.i.ready.eq((w.job == Job.INTEGRATE) & ~collides)
        else:
            m.d.comb += self.i.ready.eq(((w.job == Job.INTEGRATE) | (w.is_event & ~w.quiet)) & ~collides)
        adds = w.accept & w.is_event
        if self._format.returns:
            adds = adds & ~(w.drops & (self.i.payload.post < w.neuron))
            with m.If(w.accept & ~w.is_event):
                m.d.sync += w.drops.eq(self.i.payload.kind != TokenKind.END_OF_STEP)
            with m.Elif(self.release):
                m.d.sync += w.drops.eq(0)
        m.d.sync += w.adding.eq(adds)
        with m.If(w.accept):
            m.d.sync += [w.post.eq(self.i.payload.post), w.weight.eq(self._shifted(self.i.payload))]
            with m.If(~w.is_event):
                m.d.sync += [w.job.eq(Job.PASS), w.end.eq(self.i.payload.kind), w.announce.eq(1)]
                with m.If(self.i.payload.kind == TokenKind.END_OF_STEP):
                    skip(m, self._format, w, 0)
                with m.Else():
                    m.d.sync += w.still.eq(0)

    def _issue(self, m: Module, w: Wires) -> None:
        """The pass asks for one neuron's words per cycle, unless a contribution comes.

        A neuron whose words arrive while the spike before it cannot leave, or is not the last, is asked for again.
        """
        form = self._format
        again = w.stall & w.stages[0]
        with m.If(w.issue | again):
            m.d.sync += w.neuron.eq(w.neuron + Cat(Const(1, 1), again.replicate(len(w.neuron) - 1)))
        with m.If(w.issue & ((w.neuron == form.neurons - 1) | (self._any(w.neuron, form.bases[1:], -1) & ~w.quiet))):
            m.d.sync += w.job.eq(Job.DRAIN)
        with m.If(again):
            m.d.sync += w.job.eq(Job.PASS)
        m.d.comb += [
            w.sums.read_enable.eq(1),  # unused words do no harm
            w.sums.read_address.eq(Mux(w.comes, self.i.payload.post, w.asked)),
        ]
        for memory in w.own:
            m.d.comb += [memory.read_enable.eq(1), memory.read_address.eq(w.asked)]

    def _compare(self, m: Module, w: Wires, parameters: Mapping[str, Value]) -> Compared:
        """Stage 1: both words are there. Stage 2, which waits while contributions are written, has what follows."""
        currents = [current(rule, w.accumulator, self._format.state_bits) for rule in self._rules]
        if self._format.has_currents:
            us = [compared(rule, w.start, now) for rule, now in zip(self._rules, currents, strict=True)]
        else:
            us = [w.accumulator + parameters["bias"]] * len(self._rules)
        results = [
            fired(rule, u, w.kept_bit, raised(rule, parameters, w.a)) for rule, u in zip(self._rules, us, strict=True)
        ]
        fires = self._of_rule(w.read, [result[0] for result in results])
        membrane = self._of_rule(w.read, [result[1] for result in results])
        left = Signal(signed(left_bits(self._format, [result[1] for result in results])), name="v")
        v, traced_spike = left, Signal(self._format.spike_bits)
        kept_v, kept_spike = Signal.like(self.trace.membrane), Signal()  # a sample ends with neither
        kept_g = self._keep_current(m, w, currents) if self._format.has_currents else None
        kept_a = None if w.a is None else self._keep(m, w, Signal(w.a.shape(), name="kept_a"), w.a)
        leaves = fires | (w.read >= self._format.bases[-1]) if self._format.gives_membranes else fires
        kept = {name: Signal(value.shape(), name=f"{name}2") for name, value in parameters.items()}
        m.d.sync += w.stages[0].eq(w.issue)
        more = None
        if w.again is not None:
            more = repeated(self._format, left, traced_spike, kept, partial(self._of_rule, w.written))
            v = Signal(signed(self._format.state_bits), name="settled")
            m.d.comb += [w.again.eq(w.spikes & more.again), v.eq(more.v), kept_v.eq(Mux(w.clear, 0, v))]
        with m.If(~w.hold):
            m.d.sync += [
                w.stages[1].eq(w.stages[0]),
                w.written.eq(w.read),
                left.eq(membrane),
                w.spike.eq(leaves & ~w.quiet),
                *([kept_v.eq(membrane)] if more is None else []),
                kept_spike.eq(fires),
                traced_spike.eq(fires),
                *(kept[name].eq(value) for name, value in parameters.items()),
            ]
            with m.If(w.clear):
                m.d.sync += [*([kept_v.eq(0)] if more is None else []), kept_spike.eq(0)]
            if self._masked:
                with m.If(w.clear | ~fires):
                    m.d.sync += [kept["fire"].eq(0), kept["sub_delta"].eq(0)]
        with m.Elif(self.o.ready):
            m.d.sync += w.spike.eq(0)  # it left before its neuron was written
            if w.again is not None and more is not None:
                with m.If(w.again):
                    m.d.sync += [w.spike.eq(1), left.eq(more.left), traced_spike.eq(traced_spike + 1)]
        return Compared(v, traced_spike, kept_v, kept_spike, kept, kept_g, kept_a)

    def _keep_current(self, m: Module, w: Wires, currents: Sequence[Value]) -> Signal:
        """g in stage 2, of which a sample ends with none."""
        choices = [now if rule.current else None for rule, now in zip(self._rules, currents, strict=True)]
        first = next(now for now in choices if now is not None)
        chosen = self._of_rule(w.read, [first if now is None else now for now in choices])
        return self._keep(m, w, Signal(signed(self._format.current_bits), name="kept_g"), chosen)

    def _keep(self, m: Module, w: Wires, register: Signal, value: Value) -> Signal:
        """A state in stage 2, which no sample leaves to the next."""
        with m.If(~w.hold):
            m.d.sync += register.eq(value)
            with m.If(w.clear):
                m.d.sync += register.eq(0)
        return register

    def _write(self, m: Module, w: Wires, after: Compared) -> Value:
        """Stage 2: the start of the next step is written, or a contribution's sum. Gives the words of the former."""
        form = self._format
        bits = form.membrane_start_bits
        parameters, adapted = self._adapt(m, w, after)
        shared = SharedLeaks(partial(self._of_rule, w.written))
        alone = after.kept_g is None or len(self._rules) == 1
        leaks = [decayed if alone else shared.of(number, rule.state_bits) for number, rule in enumerate(self._rules)]
        starts = [
            next_start(
                rule, after.kept_v, after.kept_spike, of_rule, bits, masked=self._masked, g=after.kept_g, leak=leak
            )
            for rule, of_rule, leak in zip(self._rules, parameters, leaks, strict=True)
        ]
        word = Signal(bits + form.remembers_firing + form.lists)
        m.d.comb += word[: bits + form.remembers_firing].eq(self._of_rule(w.written, starts))
        if form.lists:
            m.d.comb += word[-1].eq(after.kept_spike)
        total = (w.accumulator + w.weight)[: form.accumulator_bits]
        if after.kept_g is None:
            self._write_sums(m, w, word, Cat(total, w.kept_bit, Const(1, int(form.lists))))
            return word if adapted is None else Cat(word, adapted)
        left = [
            left_current(rule, after.kept_g, after.kept, leak) for rule, leak in zip(self._rules, leaks, strict=True)
        ]
        shared.build(m, len(self._rules))
        begun = Signal(form.accumulator_bits)
        m.d.comb += begun.eq(next_sum(self._of_rule(w.written, left), after.kept, form.accumulator_bits))
        self._write_sums(m, w, begun, total)
        self._write_own(m, w, w.state, word)
        return Cat(word, begun) if adapted is None else Cat(word, begun, adapted)

    def _adapt(self, m: Module, w: Wires, after: Compared) -> tuple[list[Mapping[str, Value]], Value | None]:
        """Stage 2: by how much thresholds are higher in the next step is written. Gives each rule's parameters with it,
        and the word."""
        if after.kept_a is None or w.adaptation is None:
            return [after.kept] * len(self._rules), None
        form = self._format
        choices = [
            next_adaptation(rule, after.kept_a, after.kept_spike, after.kept, form.adaptation_bits)
            for rule in self._rules
        ]
        adapted = Signal(form.adaptation_bits)
        m.d.comb += adapted.eq(self._of_rule(w.written, choices))
        self._write_own(m, w, w.adaptation, adapted)
        adds = [Mux(after.kept_spike, a, 0) if self._masked else a for a in choices]
        return [raised(rule, after.kept, a) for rule, a in zip(self._rules, adds, strict=True)], adapted

    def _write_own(self, m: Module, w: Wires, memory: ShapedMemory, word: Value) -> None:
        """A word that belongs to the pass."""
        m.d.comb += [
            memory.write_enable.eq(w.stages[1] & ~w.hold),
            memory.write_address.eq(w.written),
            memory.write_data.eq(word),
        ]

    def _write_sums(self, m: Module, w: Wires, begun: Signal, total: Value) -> None:
        """What the pass begins, or the `total` after a contribution."""
        m.d.comb += [
            w.sums.write_enable.eq(w.adding | (w.stages[1] & ~w.hold)),
            w.sums.write_address.eq(w.written),
            w.sums.write_data.eq(begun),
        ]
        with m.If(w.adding):
            m.d.comb += [w.sums.write_address.eq(w.post), w.sums.write_data.eq(total)]

    def _leave(self, m: Module, w: Wires) -> Value:
        """Spikes leave from stage 2, the end of the step when the last word is written back.

        Gives whether the pass of a population is over.
        """
        form = self._format
        m.d.comb += [
            self.o.valid.eq(w.spikes),
            self.o.payload.kind.eq(TokenKind.EVENT),
            self.o.payload.address.eq(w.written),
        ]
        last_passed = w.neuron == form.neurons
        settled = self.settled if form.last_returns else last_passed | self.settled
        passed = (w.job == Job.DRAIN) & ~Cat(*w.stages, w.adding).any() & settled
        if form.returns:
            m.d.comb += self.waits.eq((w.job == Job.DRAIN) & ~Cat(*w.stages).any())
        with m.If(passed):
            with m.If(last_passed):
                m.d.sync += w.job.eq(Job.END)
            if len(form.populations) > 1:
                with m.Else():
                    m.d.sync += w.job.eq(Job.PASS)
                    for number, base in enumerate(form.bases[1:], start=1):
                        with m.If((w.neuron == base) & ~w.clear):
                            skip(m, self._format, w, number)
                    m.d.comb += self.release.eq((w.neuron == form.bases[-1]) & form.overlaps)
        with m.If(w.job == Job.END):
            m.d.comb += [self.o.valid.eq(w.announce), self.o.payload.kind.eq(w.end)]
            m.d.sync += w.neuron.eq(0)
            with m.If(self.o.ready | ~w.announce):
                m.d.sync += w.job.eq(Job.INTEGRATE)
                m.d.comb += self.release.eq(w.quiet | (not form.overlaps))
        return passed

    @property
    def _masked(self) -> bool:
        """Whether parameters are 0 unless a neuron fires: a register's reset does it at no cost."""
        return all(map(loses_later, self._rules))

    @property
    def _rules(self) -> list[NeuronRule]:
        """The distinct rules."""
        return self._format.rules

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
        m.d.comb += [words.read_address.eq(self._parameter_word(neuron)), words.read_enable.eq(1)]
        return parameters_of(self._format, words.read_data)

    def _parameter_word(self, neuron: Signal) -> Value:
        """The number of the word of a neuron's parameters."""
        form = self._format
        if all(population.shared is None for population in form.populations):
            return neuron
        words: list[Value] = []
        first = 0
        for base, population in zip(form.bases, form.populations, strict=True):
            shared = population.shared
            place = neuron - base if shared is None else neuron[: (shared - 1).bit_length()]
            words.append(place + first)
            first += population.parameter_words
        return self._of_population(neuron, words)

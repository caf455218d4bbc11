"""The neurons of a wide engine: words of state, to which words of weights are added, and the passes that end a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.alternating import AlternatingMemory
from ..memories.memory import Family, ShapedMemory, select_from
from ..memories.spram import SpramMemory, load_signature
from ..neurons.dynamics import parameters_of
from ..neurons.wires import Job
from ..streams.tokens import TokenKind
from .visit_map import VisitMap
from .wide_format import WideContents, WideFormat, work_layout
from .wide_lanes import Lane, ended, exceeds, is_plain, left_over, lost, plain_end, sinks
from .wide_monitors import show_lane
from .wide_spikes import emit_spikes, keep_spikes
from .wide_waiting import wait_for_words
from .wide_wires import Wires, of_population, of_rule, spike_layout


class WideBank(wiring.Component):
    """Adds words of weights to words of state and, at the end of a step, passes over the words of each population.

    ======= === ================================================================================================
    Port    Dir Meaning
    ======= === ================================================================================================
    i       in  stream of words (`work_layout`); its ends start the passes
    o       out stream of the spikes of the passes (`spike_layout`), then their end
    last    out the spikes are those of the last population
    settled in  nothing that a spike of a pass set off is still on its way to `i`
    release out pulse: the events of the next step may come
    ahead   out those that reach the first population may, behind all spikes that are there (`WideFormat.takes_ahead`)
    trace*  out monitors, in the order of `WideFormat.monitored`
    load    in  words for SPRAMs, where weights lie there
    ======= === ================================================================================================

    Throughput one word per cycle, added to or passed, but five cycles apart where two go to one word. Where the last
    population is a single word, that too takes an addition per cycle, as those that wait for it are added up. Additions
    of the step under way go before passes, whose spikes wait in a queue: passes fill the cycles in which no taps are
    there. Those of the next step wait for passes. A pass looks at every word of its population, or where it `visits` at
    those to which something was added since the last pass, or in which a neuron fired then. Where neurons fire several
    times in a step, a pass looks at a word once more each time that one did (`wide_turns`).

    END_OF_SAMPLE clears every word in the same pass; ABORT, and the start after a reset, run a clearing pass without
    spikes or trace.
    """

    i: stream.Interface
    o: stream.Interface
    last: Signal
    settled: Signal
    release: Signal
    ahead: Signal

    def __init__(self, form: WideFormat, contents: WideContents, family: Family) -> None:
        self._form = form
        self._contents = contents
        self._family = family
        self._wires = Wires(form, contents, family)
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(work_layout(form.words, form.weight_words))),
            "o": Out(stream.Signature(spike_layout(form))),
            "last": Out(1),
            "settled": In(1),
            "release": Out(1),
            "ahead": Out(1),
        }
        ports |= {f"trace{n}": Out(monitor) for n, monitor in enumerate(form.monitors)}
        super().__init__(ports | ({"load": In(load_signature())} if form.uses_spram else {}))

    @property
    def outside(self) -> dict[str, Any]:
        """The memories that go on in every cycle: submodules of whoever has the bank, where it alternates."""
        return {"state": self._wires.state, "entries": self._wires.entries} if self._form.alternates else {}

    @property
    def tick(self) -> Value:
        """The cycle in which the bank's registers change; whoever has it drives it, where it alternates."""
        return self._wires.tick

    def elaborate(self, platform: object) -> Module:
        m = Module()
        w = self._wires
        if not self.outside:
            m.submodules.state, m.submodules.entries = w.state, w.entries
        m.submodules.spikes = w.spikes
        if isinstance(w.state, AlternatingMemory):
            m.d.comb += w.state.tick.eq(w.tick)
        if w.visits is not None:
            m.submodules.visits = w.visits
        if isinstance(w.entries, SpramMemory):
            wiring.connect(m, wiring.flipped(self.load), w.entries.load)
        valid, word, take, done = self._look(m, w)
        wait_for_words(m, w, self._form, self.i)
        self._issue(m, w, valid & w.has_room, word, take)
        self._second(m, w, self._first(m, w, self._read_parameters(m, w, word)))
        names = None
        if self._form.name_bits:
            m.submodules.names = names = ShapedMemory(self._form.memories(self._family)["names"], self._contents.names)
        keep_spikes(m, w, self._form, names, word)
        emit_spikes(m, w, self._form, self.o)
        m.d.comb += self.last.eq(w.population == len(self._form.layouts) - 1)
        self._turn(m, w, done)
        return m

    # -- which words -------------------------------------------------------------------------------------------

    def _look(self, m: Module, w: Wires) -> tuple[Value, Value, Signal, Value]:
        """The next word that a pass looks at, if there is one; the signal that says that it does; whether it was the
        last."""
        form = self._form
        take = Signal()
        next_word = Signal(range(form.words + 1))
        end = _choice(w.population, form.ends)
        in_turn = w.passing & (next_word != end)
        with m.If(w.job == Job.END):
            m.d.sync += next_word.eq(0)
        if w.visits is None:
            with m.If(take):
                m.d.sync += next_word.eq(next_word + 1)
            m.d.comb += w.looks.eq((in_turn | w.turns.again) & w.has_room)
            return *self._once_more(w, in_turn, next_word[: len(w.read.word)]), take, next_word == end
        visits = w.visits
        with m.If(take & w.clear):
            m.d.sync += next_word.eq(next_word + 1)
        m.d.comb += [
            visits.put.eq(w.touches),
            visits.put_word.eq(w.written.word),
            visits.begins.eq(w.begins),
            visits.number.eq(w.population + (w.job == Job.DRAIN)),
            visits.forgets.eq((w.job == Job.END) & w.clear),
            visits.take.eq(take & ~w.clear),
            *(self._wipe(visits, w) if isinstance(visits, VisitMap) else ()),
            w.looks.eq(((w.passing & visits.valid) | w.turns.again) & w.has_room),
        ]
        valid = Mux(w.clear, in_turn, w.passing & visits.valid)
        word = Mux(w.clear, next_word[: len(w.read.word)], visits.word)
        return *self._once_more(w, valid, word), take, Mux(w.clear, next_word == end, visits.done)

    def _wipe(self, visits: VisitMap, w: Wires) -> Sequence[Any]:
        """A sample that ends leaves no bits."""
        return [visits.clears.eq(w.clear), visits.wipes.eq(w.written.passes & w.clear)]

    def _once_more(self, w: Wires, valid: Value, word: Value) -> tuple[Value, Value]:
        """Where neurons fire several times, a word in which some have is looked at once more before others are."""
        if not self._form.neurons.repeats:
            return valid, word
        return valid | w.turns.again, Mux(w.turns.again, w.turns.again_word, word)

    def _issue(self, m: Module, w: Wires, valid: Value, offered: Value, take: Signal) -> None:
        """The word that is read: one that is added to, or the one that a pass looks at."""
        form, pending = self._form, w.pending
        waits = w.collides | (w.looks & ~pending.now) if form.takes_ahead else w.collides
        adds = pending.event & ~waits
        passes = valid & ~adds
        word = Mux(adds, pending.word, offered)
        m.d.comb += [
            w.goes.eq(Mux(pending.event, ~waits, (w.job == Job.INTEGRATE) & ~w.busy)),
            take.eq(passes & ~w.turns.again),
            w.state.read_address.eq(w.read.word if form.alternates else word),
            w.state.read_enable.eq(1),
        ]
        m.d.sync += [
            *(w.read.passes.eq(passes), w.read.adds.eq(adds), w.read.word.eq(word), w.read.now.eq(pending.now)),
            *(its.eq(mine) for mine, its in zip((*w.read, *w.compared), (*w.compared, *w.written), strict=True)),
            *(due.eq(both) for due, both in zip(w.due, w.both, strict=True)),
            *(weight.eq(due) for weight, due in zip(w.weights, w.due, strict=True)),
            w.held_word.eq(w.state.read_data),
        ]
        w.turns.issue(m, offered, passes)
        with m.If(~adds):
            m.d.sync += [due.eq(0) for due in w.due]

    def _read_parameters(self, m: Module, w: Wires, word: Value) -> list[Mapping[str, Value]]:
        """Those of each lane of the word that is compared."""
        form = self._form
        bits = form.neurons.parameter_bits
        if not bits:
            return [parameters_of(form.neurons, Const(0, 0))] * form.lanes
        shape = form.memories(self._family)["parameters"]
        m.submodules.parameters = words = ShapedMemory(shape, self._contents.parameters)
        asked, held = w.read.word, words.read_data
        if not form.alternates:
            asked, held = word, Signal.like(held, name="held_parameters", reset_less=True)
            m.d.sync += held.eq(words.read_data)
        m.d.comb += [words.read_address.eq(self._parameter_word(asked)), words.read_enable.eq(1)]
        return [parameters_of(form.neurons, held.word_select(n, bits)) for n in range(form.lanes)]

    def _parameter_word(self, word: Value) -> Value:
        """The number of the word of parameters of a word of state."""
        form = self._form
        numbers: list[Value] = []
        first = 0
        for base, population, count in zip(form.bases, form.neurons.populations, form.parameter_words_of, strict=True):
            shared = population.shared
            place = word - base if shared is None else (word - base)[: (shared - 1).bit_length()]
            numbers.append(place + first)
            first += count
        return of_population(self._form, word, numbers)

    # -- arithmetic --------------------------------------------------------------------------------------------

    def _first(self, m: Module, w: Wires, parameters: Sequence[Mapping[str, Value]]) -> list[Lane]:
        """Words that are held are added and compared. Gives each lane as the second stage has it."""
        form = self._form
        neurons, bits = form.neurons, form.sum_bits
        allowed = of_rule(
            self._form,
            w.compared.word,
            [
                w.turns.round != rule.most_spikes
                if neurons.repeats and (rule.limited or not rule.repeats)
                else Const(1, 1)
                for rule in neurons.rules
            ],
        )
        fires = w.compared.passes & ~w.quiet & allowed
        floors = w.compared.passes & of_rule(form, w.compared.word, [Const(int(r.has_floor), 1) for r in neurons.rules])
        lanes = []
        for number, mine in enumerate(parameters):
            word = w.held_word.word_select(number, form.lane_bits)
            start, shifted = word[:bits].as_signed(), self._shifted(w.compared.word, w.weights[number])
            u, added = start, shifted
            if neurons.bias_bits:
                bias = Mux(w.turns.round.any(), 0, mine["bias"]) if neurons.repeats else mine["bias"]
                u, added = start + bias, Mux(w.compared.adds, shifted, bias)
            above = exceeds(neurons, self._family, u, mine)
            spike = of_rule(
                self._form, w.compared.word, [above if rule.fires else Const(0, 1) for rule in neurons.rules]
            )
            m.d.sync += w.fired[number].eq(spike)
            if is_plain(neurons):
                low = floors & sinks(neurons, u, mine) if neurons.floor_is_sub else Const(0, 1)
                lanes.append(self._plain(m, start + added, spike & fires, low, mine))
            else:
                lanes.append(self._registered(m, start + added, word[bits:], mine))
        with m.If(~fires):  # a register's reset, as no gate must stand behind the longest carry chain
            m.d.sync += w.fired.eq(0)
        return lanes

    def _plain(self, m: Module, total: Value, spikes: Value, low: Value, parameters: Mapping[str, Value]) -> Lane:
        """A plain lane in the second stage: where it does not spike nothing is subtracted; where it is `low`, below its
        floor, what a spike subtracts is, from 0. Both are resets of registers, which take no logic."""
        held, loses = Signal(signed(self._form.sum_bits), name="total"), lost(parameters)
        subtracted = Signal(len(loses), name="lost")
        m.d.sync += [held.eq(total), subtracted.eq(loses)]
        with m.If(~(spikes | low)):
            m.d.sync += subtracted.eq(0)
        with m.If(low):
            m.d.sync += held.eq(0)
        return Lane(held, subtracted, Const(0, 0), {})

    def _registered(self, m: Module, total: Value, kept: Value, parameters: Mapping[str, Value]) -> Lane:
        """A lane in the second stage."""
        held = Signal(signed(self._form.sum_bits), name="total", reset_less=True)
        own = {name: Signal(value.shape(), name=f"{name}2", reset_less=True) for name, value in parameters.items()}
        bit = Signal(int(self._form.neurons.remembers_firing), name="kept")
        m.d.sync += [held.eq(total), *(own[name].eq(value) for name, value in parameters.items()), bit.eq(kept)]
        return Lane(held, Const(0, 0), bit, own)

    def _second(self, m: Module, w: Wires, lanes: Sequence[Lane]) -> None:
        """What comes of the words is written."""
        form = self._form
        neurons, bits = form.neurons, form.sum_bits
        words: list[Value] = []
        traces = [getattr(self, f"trace{number}") for number in range(len(form.monitored))]
        redo = w.written.passes & w.fired.any() if neurons.repeats else Const(0, 1)

        def choose(choices: Sequence[Value]) -> Value:
            return of_rule(self._form, w.written.word, choices)

        for number, lane in enumerate(lanes):
            fired = w.fired[number]
            if is_plain(neurons):
                v = plain_end(neurons, lane, choose, w.written.passes & ~redo, bits)
                words.append(v[:bits])
            else:
                after = ended(neurons, lane, fired, choose, w.clear, bits)
                v, begun = after.v, after.start
                if neurons.repeats:
                    begun = Mux(redo, left_over(neurons, lane, fired, choose), begun)
                words.append(
                    Cat(
                        Mux(w.written.passes, begun[:bits], lane.total)[:bits],
                        Mux(w.written.passes, begun[bits:], lane.kept)[: neurons.remembers_firing],
                    )
                )
            show_lane(m, w, form, traces, number, v, fired, redo)
        looks = self._looks_again(w, redo)
        if form.lists_visits:
            was = Signal()
            m.d.sync += was.eq(w.held_word[-1])
            m.d.comb += w.touches.eq((w.written.adds & ~was) | (w.written.passes & looks))
            words.append(w.written.adds | looks)
        elif form.visits:
            m.d.comb += w.touches.eq(w.written.adds | (w.written.passes & (looks | w.clear)))
        m.d.sync += [  # the ways into the memory are long: registers alone stand in front of them
            w.state.write_address.eq(w.written.word),
            w.state.write_data.eq(Cat(*words)),
            w.state.write_enable.eq(w.written.passes | w.written.adds),
        ]
        if is_plain(neurons):  # others know of the end of a sample themselves
            with m.If(w.written.passes & w.clear & ~redo):
                m.d.sync += w.state.write_data.eq(0)
        if neurons.repeats:
            w.turns.fires(m, redo)

    def _looks_again(self, w: Wires, redo: Value) -> Value:
        """Whether the pass of the next step looks at a word as it is written: neurons in it may be above their
        threshold still."""
        neurons = self._form.neurons
        if not neurons.repeats:
            return w.fired.any() & ~w.clear
        keeps = [Const(int(rule.limited or not rule.repeats), 1) for rule in neurons.rules]
        return ~redo & w.turns.written_round.any() & ~w.clear & of_rule(self._form, w.written.word, keeps)

    # -- turns -------------------------------------------------------------------------------------------------

    def _turn(self, m: Module, w: Wires, done: Value) -> None:
        """From step to step: integration, the pass of each population, and the end."""
        last = w.population == len(self._form.layouts) - 1
        drained = (w.job == Job.DRAIN) & ~w.busy_now & ~w.waits & ~w.held & (self.settled | last)
        accepts = w.pending.valid & ~w.pending.event & w.goes
        m.d.comb += w.begins.eq(accepts | (drained & ~last))
        with m.If(w.passing & done):
            m.d.sync += [w.job.eq(Job.DRAIN), w.passing.eq(0)]
        with m.If(accepts):
            m.d.sync += [w.end.eq(w.pending.kind), w.announce.eq(1), w.job.eq(Job.PASS), w.passing.eq(1)]
        with m.If(drained):
            m.d.sync += [w.job.eq(Mux(last, Job.END, Job.PASS)), w.passing.eq(~last)]
            with m.If(~last):
                m.d.sync += w.population.eq(w.population + 1)
        with m.If((w.job == Job.END) & (self.o.ready | ~w.announce)):
            m.d.sync += [w.job.eq(Job.INTEGRATE), w.population.eq(0)]
            m.d.comb += self.release.eq(1)
        if self._form.takes_ahead:
            m.d.comb += self.ahead.eq((w.population >= self._form.ahead_from) & (w.end == TokenKind.END_OF_STEP))

    # -- populations -------------------------------------------------------------------------------------------

    def _shifted(self, word: Value, weight: Value) -> Value:
        """A weight in membrane units."""
        shifts = [population.shift for population in self._form.neurons.populations]
        by_shift = {shift: weight << shift for shift in shifts}
        return of_population(self._form, word, [by_shift[shift] for shift in shifts])


def _choice(index: Value, numbers: Sequence[int]) -> Value:
    """The number at `index`."""
    return Value.cast(select_from([Const(number) for number in numbers], index))

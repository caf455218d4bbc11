"""The neurons of a wide engine: words of state, to which words of weights are added, and the passes that end a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
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
from .wide_lanes import Lane, ended, is_plain, left_over, plain_end, subtracted_at_once
from .wide_monitors import show_lane
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
        self._keep_spikes(m, w, word)
        self._emit(m, w)
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
        in_turn = (w.job == Job.PASS) & (next_word != end)
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
            w.looks.eq((((w.job == Job.PASS) & visits.valid) | w.turns.again) & w.has_room),
        ]
        valid = Mux(w.clear, in_turn, (w.job == Job.PASS) & visits.valid)
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
        is_event = pending.kind == TokenKind.EVENT
        waits = w.collides | (w.looks & ~pending.now) if form.takes_ahead else w.collides
        adds = pending.valid & is_event & ~waits
        passes = valid & ~adds
        word = Mux(adds, pending.word, offered)
        m.d.comb += [
            w.goes.eq(Mux(is_event, ~waits, (w.job == Job.INTEGRATE) & ~w.busy)),
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

    def _first(self, m: Module, w: Wires, parameters: Sequence[Mapping[str, Value]]) -> list[tuple[Lane, Lane]]:
        """Words that are held are added and compared. Gives each lane as it is written, and as it is shown: the
        words of a sample that ends are cleared."""
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
        lanes = []
        for number, mine in enumerate(parameters):
            word = w.held_word.word_select(number, form.lane_bits)
            start, shifted = word[:bits].as_signed(), self._shifted(w.compared.word, w.weights[number])
            u, added = start, shifted
            if neurons.bias_bits:
                bias = Mux(w.turns.round.any(), 0, mine["bias"]) if neurons.repeats else mine["bias"]
                u, added = start + bias, Mux(w.compared.adds, shifted, bias)
            # The sign of a difference takes a carry chain; that one is above the other is a tree behind it.
            above = (mine["fire"] - u)[-1]
            spike = of_rule(
                self._form, w.compared.word, [above if rule.fires else Const(0, 1) for rule in neurons.rules]
            )
            m.d.sync += w.fired[number].eq(spike)
            lanes.append(self._registered(m, w, start + added, spike, word[bits:], mine))
            with m.If(~fires):  # a register's reset, as no gate must stand behind the longest carry chain
                m.d.sync += [w.fired[number].eq(0), *(shown.fired.eq(0) for shown in lanes[-1])]
        return lanes

    def _registered(
        self, m: Module, w: Wires, total: Value, fires: Value, kept: Value, parameters: Mapping[str, Value]
    ) -> tuple[Lane, Lane]:
        """A lane in the second stage, as it is written and as it is shown."""
        totals = [Signal(signed(self._form.sum_bits), name=name, reset_less=True) for name in ("total", "shown")]
        spikes = [Signal(name=name) for name in ("fired", "shown_fired")]
        if is_plain(self._form.neurons):
            parameters = subtracted_at_once(parameters)
        held = {name: Signal(value.shape(), name=f"{name}2", reset_less=True) for name, value in parameters.items()}
        bit = Signal(int(self._form.neurons.remembers_firing), name="kept")
        m.d.sync += [
            *(signal.eq(total) for signal in totals),
            *(signal.eq(fires) for signal in spikes),
            *(held[name].eq(value) for name, value in parameters.items()),
            bit.eq(kept),
        ]
        if is_plain(self._form.neurons):
            with m.If(w.compared.passes & w.clear):  # what is written becomes 0: a register's reset costs nothing
                m.d.sync += [totals[0].eq(0), spikes[0].eq(0)]
        mine, shown = (Lane(t, s, bit, held) for t, s in zip(totals, spikes, strict=True))
        return mine, shown

    def _second(self, m: Module, w: Wires, lanes: Sequence[tuple[Lane, Lane]]) -> None:
        """What comes of the words is written."""
        form = self._form
        neurons, bits = form.neurons, form.sum_bits
        words: list[Value] = []
        traces = [getattr(self, f"trace{number}") for number in range(len(form.monitored))]
        redo = w.written.passes & w.fired.any() if neurons.repeats else Const(0, 1)

        def choose(choices: Sequence[Value]) -> Value:
            return of_rule(self._form, w.written.word, choices)

        for number, (mine, shown) in enumerate(lanes):
            if is_plain(neurons):
                v = plain_end(neurons, shown, choose, w.written.passes, bits)
                words.append(plain_end(neurons, mine, choose, w.written.passes, bits)[:bits])
            else:
                after = ended(neurons, shown, choose, w.clear, bits)
                v, begun = after.v, after.start
                if neurons.repeats:
                    begun = Mux(redo, left_over(neurons, shown, choose), begun)
                words.append(
                    Cat(
                        Mux(w.written.passes, begun[:bits], shown.total)[:bits],
                        Mux(w.written.passes, begun[bits:], shown.kept)[: neurons.remembers_firing],
                    )
                )
            show_lane(m, w, form, traces, number, v, shown.fired, redo)
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

    # -- spikes ------------------------------------------------------------------------------------------------

    def _keep_spikes(self, m: Module, w: Wires, word: Value) -> None:
        """Words in which neurons fire wait for their events to be made."""
        form = self._form
        name: Value = w.written.word
        if form.name_bits:
            shape = form.memories(self._family)["names"]
            m.submodules.names = names = ShapedMemory(shape, self._contents.names)
            m.d.comb += [names.read_address.eq(word), names.read_enable.eq(1)]
            held, name = (Signal(form.name_bits, name=of) for of in ("held_name", "name"))
            m.d.sync += [held.eq(names.read_data), name.eq(held)]
        m.d.comb += [
            w.fires.eq(w.written.passes & w.fired.any()),
            w.spikes.i.valid.eq(w.fires & ~w.direct),
            w.spikes.i.payload.mask.eq(w.fired),
            w.spikes.i.payload.name.eq(name),
        ]

    def _emit(self, m: Module, w: Wires) -> None:
        """Their events, from the lowest lane on, then the end of the step."""
        held, mask = w.held, Signal(self._form.lanes)
        name = Signal(self._form.name_width)
        lowest = mask & (~mask + 1)[: len(mask)]
        rest = mask & ~lowest
        lane = [reduce(or_, (lowest[n] for n in range(len(mask)) if n >> bit & 1)) for bit in range(_bits(len(mask)))]
        load = w.spikes.o.ready
        is_end = w.job == Job.END
        m.d.comb += [
            load.eq(~held | (self.o.ready & ~rest.any())),
            w.direct.eq(w.fires & load & ~w.waiting.any()),
            self.o.valid.eq(held | (is_end & w.announce)),
            self.o.payload.kind.eq(Mux(is_end, w.end, TokenKind.EVENT)),
            self.o.payload.lane.eq(Cat(*lane)),
            self.o.payload.name.eq(name),
            self.last.eq(w.population == len(self._form.layouts) - 1),
        ]
        with m.If(load):
            m.d.sync += held.eq(w.spikes.o.valid | w.direct)
            first, new = (end.payload.as_value() for end in (w.spikes.o, w.spikes.i))
            m.d.sync += Cat(mask, name).eq(Mux(w.waiting.any(), first, new))
        with m.Elif(self.o.ready):
            m.d.sync += mask.eq(rest)
        m.d.sync += w.waiting.eq(w.waiting + w.spikes.i.valid - (w.spikes.o.valid & load))

    # -- turns -------------------------------------------------------------------------------------------------

    def _turn(self, m: Module, w: Wires, done: Value) -> None:
        """From step to step: integration, the pass of each population, and the end."""
        last = w.population == len(self._form.layouts) - 1
        drained = (w.job == Job.DRAIN) & ~w.busy_now & ~w.waiting.any() & ~w.held & (self.settled | last)
        accepts = w.pending.valid & w.goes & (w.pending.kind != TokenKind.EVENT)
        m.d.comb += w.begins.eq(accepts | (drained & ~last))
        with m.If((w.job == Job.PASS) & done):
            m.d.sync += w.job.eq(Job.DRAIN)
        with m.If(accepts):
            m.d.sync += [w.end.eq(w.pending.kind), w.announce.eq(1), w.job.eq(Job.PASS)]
        with m.If(drained):
            m.d.sync += w.job.eq(Mux(last, Job.END, Job.PASS))
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


def _bits(lanes: int) -> int:
    return (lanes - 1).bit_length()

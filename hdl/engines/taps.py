"""The tap generator turns events into taps (`tap_format`), in front of a row walker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, ShapedMemory, select_from
from ..streams.tokens import TokenKind, address_bits, token_layout
from .axis_table import AxisTable
from .tap_format import AxisFormat, MapTaps, OwnRow, Places, Segment, TapContents, TapFormat, tap_layout


class _Placed(NamedTuple):
    """A job of a token whose place is known; it is taken by `take`."""

    ready: Value
    take: Signal
    watched: Value
    kind: Signal
    job: Value
    chosen: Value
    number: Value
    row: Value
    column: Value


class _Asked(NamedTuple):
    """A job for which the numbers of its taps are being read; it is taken by `take`."""

    valid: Signal
    take: Signal
    watched: Signal
    kind: Signal
    job: Signal
    chosen: Signal
    number: Signal
    row: Signal
    column: Signal


class _Offered(NamedTuple):
    """A slot of a job for which the tables are asked."""

    valid: Value
    watched: Signal
    kind: Signal
    number: Signal
    job: Signal


class _Axis(NamedTuple):
    """The table of an axis, and that of the numbers of taps, where they differ."""

    form: AxisFormat
    words: AxisTable
    counts: ShapedMemory | None


class TapGenerator(wiring.Component):
    """Makes taps of events; ends and aborts pass through in order.

    ==== === ===========================================
    Port Dir Meaning
    ==== === ===========================================
    i    in  stream of tokens over the addresses
    o    out stream of taps (`tap_layout`)
    idle out no token is under way but events that nobody watches: those from the address `watched` on
    ==== === ===========================================

    Latency 6 cycles, and `TapFormat.wait` where places are found by division: 2 for every bit of a map's number, which
    pass while the taps of the event before are made. Throughput one tap per cycle without a bubble between two taps,
    and none between two events as long as the division is hidden; one cycle for a job of an event without any tap, and
    for an end.
    """

    i: stream.Interface
    o: stream.Interface
    idle: Signal

    def __init__(self, form: TapFormat, contents: TapContents, family: Family, *, watched: int | None = None) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        self._watched = form.addresses if watched is None else watched
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(form.addresses))),
                "o": Out(stream.Signature(tap_layout(form.rows, form.post))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form, contents = self._format, self._contents
        down = self._axis(m, "down", form.down, contents.down, contents.down_counts)
        across = self._axis(m, "across", form.across, contents.across, contents.across_counts)
        placed, held = self._place(m)
        asked = self._ask(m, placed, down, across)
        walking = self._walk(m, asked, down, across)
        m.d.comb += self.idle.eq(~Cat(held & placed.watched, asked.valid & asked.watched, walking).any())
        return m

    def _axis(self, m: Module, role: str, form: AxisFormat, words: Sequence[int], numbers: Sequence[int]) -> _Axis:
        shapes = self._format.memories(self._family)
        m.submodules[role] = table = AxisTable(form, shapes[role], words)
        counts = None
        if form.count_bits:
            m.submodules[f"{role}_counts"] = counts = ShapedMemory(shapes[f"{role}_counts"], numbers)
        return _Axis(form, table, counts)

    # -- stage 1: the place of an event ------------------------------------------------------------------------

    def _place(self, m: Module) -> tuple[_Placed, Signal]:
        """Stage 1: a token waits until its place is known, then for each of its jobs to be taken. Gives whether there
        is one, too."""
        form, token = self._format, self.i.payload
        held, kind, address = Signal(), Signal(TokenKind), Signal(address_bits(form.addresses))
        take = Signal()
        segment = Signal(range(len(form.segments)))
        coming = self._segment(token.address)
        job, is_last = self._next_job(m, segment, coming, take)
        is_event = kind == TokenKind.EVENT
        m.d.comb += self.i.ready.eq(~held | (take & (~is_event | is_last)))
        with m.If(self.i.ready):
            m.d.sync += [held.eq(self.i.valid), kind.eq(token.kind), address.eq(token.address), segment.eq(coming)]
        choices, looked_up = self._choose(m)
        numbers = [self._number(s, address) for s in form.segments]
        if looked_up is not None:
            some = [looked_up if s.looked_up else n for s, n in zip(form.segments, numbers, strict=True)]
            numbers = [value[: form.place_bits] for value in some]
        waits = Const(0, 1)
        if form.divides:
            parts, waits = self._divide(m, _select(segment, numbers), coming, segment)
        else:
            parts = self._fields(numbers, segment)
        row, column, channel = parts
        jobs = form.jobs
        own = address + _constant(job, [j.offset if isinstance(j, OwnRow) else 0 for j in jobs])
        placed = _Placed(
            ready=held & ~waits,
            take=take,
            watched=~is_event | _constant(segment, [int(s.first < self._watched) for s in form.segments]),
            kind=kind,
            job=job,
            chosen=self._chosen(job, choices) if form.choice_bits else Const(1, 1),
            number=Mux(self._is_map(job), channel, own),
            row=row + _constant(job, [j.rows if isinstance(j, MapTaps) else 0 for j in jobs]),
            column=column + _constant(job, [j.columns if isinstance(j, MapTaps) else 0 for j in jobs]),
        )
        return placed, held

    def _next_job(self, m: Module, segment: Signal, coming: Value, take: Signal) -> tuple[Value, Value]:
        """The job of an event that is next, one more each time that one is taken; whether it is the event's last."""
        form = self._format
        if all(len(s.jobs) == 1 for s in form.segments):
            return segment, Const(1, 1)
        job = Signal(range(len(form.jobs)))
        with m.If(self.i.ready):
            m.d.sync += job.eq(_constant(coming, self._first_jobs))
        with m.Elif(take):
            m.d.sync += job.eq(job + 1)
        return job, _constant(job, self._is_last_job)

    def _choose(self, m: Module) -> tuple[Value, Value | None]:
        """Which jobs an event has, and its number where that is looked up."""
        form = self._format
        if not form.chooses:
            return Const(0, 0), None
        m.submodules.choices = words = ShapedMemory(form.memories(self._family)["choices"], self._contents.choices)
        m.d.comb += [
            words.read_address.eq(self.i.payload.address),
            words.read_enable.eq(self.i.valid & self.i.ready),
        ]
        choices = words.read_data[: form.choice_bits]
        return choices, words.read_data[form.choice_bits :] if form.number_bits else None

    def _number(self, segment: Segment, address: Value) -> Value:
        """What says a place, where `address` lies in the segment: its low bits, where these are 0 in the first one."""
        bits = self._format.place_bits
        return address[:bits] if segment.first % (1 << bits) == 0 else (address - segment.first)[:bits]

    def _fields(self, numbers: Sequence[Value], segment: Value) -> tuple[Value, Value, Value]:
        """Row, column and channel as bits of the segment's number."""
        parts: list[list[Value]] = []
        for places, number in zip(self._places, numbers, strict=True):
            low, high = (places.inner - 1).bit_length(), (places.outer - 1).bit_length()
            parts.append(_named(places, number[:low], number[low : low + high], number[low + high :]))
        row, column, channel = ([part[axis] for part in parts] for axis in range(3))
        return _select(segment, row), _select(segment, column), _select(segment, channel)

    def _divide(
        self, m: Module, number: Value, coming: Value, segment: Value
    ) -> tuple[tuple[Value, Value, Value], Value]:
        """Row, column and channel as remainders: one bit of a quotient in a cycle. Gives whether that still runs."""
        form = self._format
        bits = form.place_bits
        left = Signal(range(2 * bits + 1))
        value, rest, inner = Signal(bits), Signal(bits), Signal(bits)
        divisor = Mux(
            left > bits,
            _constant(segment, [places.inner for places in self._places]),
            _constant(segment, [places.outer for places in self._places]),
        )
        fresh = left == 2 * bits
        dividend = Mux(fresh, number, value)
        shifted = Cat(dividend[-1], Mux(fresh, 0, rest))
        less = shifted - divisor
        fits = ~less[-1]
        remainder = Mux(fits, less, shifted)[:bits]
        with m.If(self.i.ready):
            is_event = self.i.valid & (self.i.payload.kind == TokenKind.EVENT)
            m.d.sync += left.eq(Mux(is_event, _constant(coming, [form.wait(s) for s in form.segments]), 0))
        with m.Elif(left.any()):
            m.d.sync += [left.eq(left - 1), value.eq(Cat(fits, dividend[:-1])), rest.eq(remainder)]
            with m.If(left == bits + 1):
                m.d.sync += [inner.eq(remainder), rest.eq(0)]
        named = [_named(places, inner, rest, value) for places in self._places]
        row, column, channel = (_select(segment, [part[axis] for part in named]) for axis in range(3))
        return (row, column, channel), left.any()

    # -- stage 2: how many taps a job has ----------------------------------------------------------------------

    def _ask(self, m: Module, placed: _Placed, down: _Axis, across: _Axis) -> _Asked:
        """Stage 2: a job, while the numbers of its taps are read."""
        form = self._format
        asked = _Asked(
            valid=Signal(name="asked"),
            take=Signal(name="asked_take"),
            watched=Signal(name="asked_watched"),
            kind=Signal(TokenKind, name="asked_kind"),
            job=Signal(range(len(form.jobs)), name="asked_job"),
            chosen=Signal(name="asked_chosen"),
            number=Signal(address_bits(form.rows), name="asked_number"),
            row=Signal(address_bits(form.down.places), name="asked_row"),
            column=Signal(address_bits(form.across.places), name="asked_column"),
        )
        free = ~asked.valid | asked.take
        m.d.comb += placed.take.eq(placed.ready & free)
        with m.If(free):
            m.d.sync += [
                asked.valid.eq(placed.ready),
                *(getattr(asked, name).eq(getattr(placed, name)) for name in asked._fields[2:]),
            ]
        for axis, place in ((down, placed.row), (across, placed.column)):
            if axis.counts is not None:
                m.d.comb += [axis.counts.read_address.eq(place), axis.counts.read_enable.eq(free)]
        return asked

    # -- stage 3: its taps, one after another ------------------------------------------------------------------

    def _walk(self, m: Module, asked: _Asked, down: _Axis, across: _Axis) -> Value:
        """Stage 3: the slots of a job, which the tables are asked for. Gives for it and the stages behind whether they
        have a token that is watched."""
        active, watched, kind, number = (Signal.like(s) for s in (asked.valid, asked.watched, asked.kind, asked.number))
        job, row, column, shows = Signal.like(asked.job), Signal.like(asked.row), Signal.like(asked.column), Signal()
        slots = [Signal(range(axis.form.slots), name=f"slot{n}") for n, axis in enumerate((down, across))]
        lasts = [Signal.like(slot, name=f"last{n}") for n, slot in enumerate(slots)]
        ends = [slot == last for slot, last in zip(slots, lasts, strict=True)]
        free = ~self.o.valid | self.o.ready
        m.d.comb += asked.take.eq(asked.valid & (~active | (free & ends[0] & ends[1])))

        is_event = asked.kind == TokenKind.EVENT
        is_map = is_event & self._is_map(asked.job)
        (last_down, some_down), (last_across, some_across) = _count(down), _count(across)
        has_taps = asked.chosen & some_down & some_across
        with m.If(asked.take):
            m.d.sync += [
                *(mine.eq(its) for mine, its in ((watched, asked.watched), (kind, asked.kind), (number, asked.number))),
                *(mine.eq(its) for mine, its in ((job, asked.job), (row, asked.row), (column, asked.column))),
                active.eq(1),
                shows.eq(~is_event | Mux(is_map, has_taps, asked.chosen)),
                lasts[0].eq(Mux(is_map & has_taps, last_down, 0)),
                lasts[1].eq(Mux(is_map & has_taps, last_across, 0)),
                *(slot.eq(0) for slot in slots),
            ]
        with m.Elif(free):
            m.d.sync += [
                active.eq(active & ~(ends[0] & ends[1])),
                slots[1].eq(Mux(ends[1], 0, slots[1] + 1)),
                slots[0].eq(slots[0] + ends[1]),
            ]
        for axis, slot, place in ((down, slots[0], row), (across, slots[1], column)):
            m.d.comb += [axis.words.slot.eq(slot), axis.words.place.eq(place), axis.words.read_enable.eq(free)]
        offered = _Offered(active & shows, watched, kind, number, job)
        return Cat(active & watched, self._tap(m, offered, free, down, across))

    # -- stages 4 to 6: the words of the tables are there, held, and added up -----------------------------------

    def _tap(self, m: Module, offered: _Offered, free: Value, down: _Axis, across: _Axis) -> Value:
        """Gives for all of them whether they have a token that is watched."""
        there, mine = (
            _Offered(*(Signal.like(value, name=f"{name}{stage}") for name, value in offered._asdict().items()))
            for stage in (4, 5)
        )
        words = [Signal.like(axis.words.word, name=f"word{n}") for n, axis in enumerate((down, across))]
        seen, base = Signal(), Signal.like(mine.number)
        row, origin = Signal.like(self.o.payload.address), Signal.like(self.o.payload.origin)
        own_origin = Signal.like(origin)
        (down_row, down_origin), (across_row, across_origin) = (
            _parts(axis.form, word) for axis, word in zip((down, across), words, strict=True)
        )
        is_map = self._is_map(mine.job)
        origins = [j.origin if isinstance(j, OwnRow) else 0 for j in self._format.jobs]
        with m.If(free):
            m.d.sync += [
                *(one.eq(its) for one, its in zip((*there, *mine), (*offered, *there), strict=True)),
                *(word.eq(axis.words.word) for word, axis in zip(words, (down, across), strict=True)),
                self.o.valid.eq(mine.valid),
                self.o.payload.kind.eq(mine.kind),
                seen.eq(mine.watched),
                base.eq(mine.number),
                row.eq(down_row + across_row),
                origin.eq(down_origin + across_origin),
                own_origin.eq(_constant(mine.job, origins)),
            ]
            with m.If(~is_map):
                m.d.sync += [row.eq(0), origin.eq(0)]
        m.d.comb += [self.o.payload.address.eq(row + base), self.o.payload.origin.eq(origin | own_origin)]
        return Cat(there.valid & there.watched, mine.valid & mine.watched, self.o.valid & seen)

    def _is_map(self, job: Value) -> Value:
        return _constant(job, [int(isinstance(j, MapTaps)) for j in self._format.jobs])[:1]

    def _chosen(self, job: Value, choices: Value) -> Value:
        """Whether an event has a job: bit n of its choices is for the nth of its segment."""
        return _select(job, [choices[number] for s in self._format.segments for number in range(len(s.jobs))])

    # -- constants ---------------------------------------------------------------------------------------------

    @property
    def _places(self) -> list[Places]:
        """Those of every segment; of one without any, those of another, which nobody looks at."""
        some = next(s.places for s in self._format.segments if s.places is not None)
        return [some if s.places is None else s.places for s in self._format.segments]

    @property
    def _first_jobs(self) -> list[int]:
        counts = [len(segment.jobs) for segment in self._format.segments]
        return [sum(counts[:number]) for number in range(len(counts))]

    @property
    def _is_last_job(self) -> list[int]:
        return [int(job is segment.jobs[-1]) for segment in self._format.segments for job in segment.jobs]

    def _segment(self, address: Value) -> Value:
        """The number of the segment that an address lies in."""
        later: list[Segment] = list(self._format.segments[1:])
        number: Value = Const(0, 1)
        for segment in later:
            number = number + (address >= segment.first)
        return number[: max(1, len(later).bit_length())]


def _constant(index: Value, numbers: Sequence[int]) -> Value:
    """The number at `index`; a constant where all are the same."""
    if len(set(numbers)) == 1:
        return Const(numbers[0])
    return Value.cast(select_from(numbers, index))


def _select(index: Value, values: Sequence[Value]) -> Value:
    """The value at `index`."""
    return Value.cast(select_from(values, index))


def _count(axis: _Axis) -> tuple[Value, Value]:
    """The last slot of a place, and whether it has any tap."""
    if axis.counts is None:
        return Const(0, 1), Const(1, 1)
    word, bits = axis.counts.read_data, (axis.form.slots - 1).bit_length()
    return word[:bits] if bits else Const(0, 1), word[bits] if axis.form.gaps else Const(1, 1)


def _parts(form: AxisFormat, word: Value) -> tuple[Value, Value]:
    """What a word of an axis table adds to the row and to the origin."""
    row, origin = word[: form.row_bits], word[form.row_bits : form.row_bits + form.origin_bits]
    return row << form.row_shift, origin << form.origin_shift


def _named(places: Places, inner: Value, outer: Value, quotient: Value) -> list[Value]:
    """Row, column and channel."""
    return [outer, inner, quotient] if places.planar else [quotient, outer, inner]

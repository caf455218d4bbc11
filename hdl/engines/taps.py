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
from .tap_format import AxisFormat, MapTaps, OwnRow, Places, Segment, TapContents, TapFormat, tap_layout


class _Placed(NamedTuple):
    """A token whose place is known; it is taken by `take`."""

    ready: Value
    take: Signal
    kind: Signal
    address: Signal
    segment: Value
    row: Value
    column: Value
    channel: Value
    choices: Value


class _Tables(NamedTuple):
    """The words of both axes under way."""

    down: ShapedMemory
    across: ShapedMemory


class TapGenerator(wiring.Component):
    """Makes taps of events; ends and aborts pass through in order.

    ==== === ===========================================
    Port Dir Meaning
    ==== === ===========================================
    i    in  stream of tokens over the addresses
    o    out stream of taps (`tap_layout`)
    idle out no token is under way
    ==== === ===========================================

    Latency 3 cycles, and `TapFormat.wait` where places are found by division: 2 for every bit of a map's number, which
    pass while the taps of the event before are made. Throughput one tap per cycle without a bubble between two taps,
    and none between two events as long as the division is hidden; one cycle for a job of an event without any tap, and
    for an end.
    """

    i: stream.Interface
    o: stream.Interface
    idle: Signal

    def __init__(self, form: TapFormat, contents: TapContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(form.addresses))),
                "o": Out(stream.Signature(tap_layout(form.rows, form.post))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shapes = self._format.memories(self._family)
        m.submodules.down = down = ShapedMemory(shapes["down"], self._contents.down)
        m.submodules.across = across = ShapedMemory(shapes["across"], self._contents.across)
        placed, held = self._place(m)
        active = self._tap(m, placed, _Tables(down, across))
        m.d.comb += self.idle.eq(~Cat(held, active, self.o.valid).any())
        return m

    # -- stage 1: the place of an event ------------------------------------------------------------------------

    def _place(self, m: Module) -> tuple[_Placed, Signal]:
        """Stage 1: a token waits until its place is known. Gives whether there is one, too."""
        form, token = self._format, self.i.payload
        held, kind, address = Signal(), Signal(TokenKind), Signal(address_bits(form.addresses))
        take = Signal()
        segment = Signal(range(len(form.segments)))
        coming = self._segment(token.address)
        m.d.comb += self.i.ready.eq(~held | take)
        with m.If(self.i.ready):
            m.d.sync += [held.eq(self.i.valid), kind.eq(token.kind), address.eq(token.address), segment.eq(coming)]
        choices, looked_up = self._choose(m)
        number = address - _constant(segment, [s.first for s in form.segments])
        if looked_up is not None:
            number = Mux(_constant(segment, [int(s.looked_up) for s in form.segments]), looked_up, number)
        number = number[: form.place_bits]
        waits = Const(0, 1)
        if form.divides:
            parts, waits = self._divide(m, number, coming, segment)
        else:
            parts = self._fields(number, segment)
        row, column, channel = parts
        placed = _Placed(held & ~waits, take, kind, address, segment, row, column, channel, choices)
        return placed, held

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

    def _fields(self, number: Value, segment: Value) -> tuple[Value, Value, Value]:
        """Row, column and channel as bits of a number."""
        parts: list[list[Value]] = []
        for places in self._places:
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

    # -- stage 2: its taps -------------------------------------------------------------------------------------

    def _tap(self, m: Module, placed: _Placed, tables: _Tables) -> Signal:
        """Stage 2: the words of both axes are there, and ask for the next ones. Stage 3 is the output register.

        Gives whether stage 2 is taken.
        """
        form = self._format
        active, kind, address = Signal(), Signal(TokenKind), Signal.like(placed.address)
        row, column = Signal.like(placed.row), Signal.like(placed.column)
        channel = Signal.like(placed.channel)
        job = Signal(range(len(form.jobs)))
        down_slot, across_slot = Signal(range(form.down.slots)), Signal(range(form.across.slots))
        choices = Signal.like(placed.choices)

        is_event = kind == TokenKind.EVENT
        is_map = _constant(job, [int(isinstance(j, MapTaps)) for j in form.jobs]) & is_event
        down, across = _word(form.down, tables.down.read_data), _word(form.across, tables.across.read_data)
        has_tap = ~is_map | (down.some & across.some)
        if form.choice_bits:
            has_tap = has_tap & (~is_event | self._chosen(job, choices))
        ends_column = ~is_map | across.last
        ends_job = ~has_tap | (ends_column & (~is_map | down.last))
        ends_event = ends_job & (~is_event | _constant(job, self._is_last_job))
        free = ~self.o.valid | self.o.ready
        step = active & (~has_tap | free)
        m.d.comb += placed.take.eq(placed.ready & (~active | (step & ends_event)))

        first_job = _constant(placed.segment, self._first_jobs)
        next_job = Mux(placed.take, first_job, job + ends_job) if len(form.jobs) > 1 else job
        next_down = Mux(placed.take | ends_job, 0, down_slot + across.last)
        next_across = Mux(placed.take | ends_job | across.last, 0, across_slot + 1)
        enable = placed.take | step
        self._ask(
            m, tables.down, form.down, Mux(placed.take, placed.row, row) + self._down(next_job), next_down, enable
        )
        place = Mux(placed.take, placed.column, column) + self._across(next_job)
        self._ask(m, tables.across, form.across, place, next_across, enable)
        with m.If(placed.take):
            m.d.sync += [
                active.eq(1),
                kind.eq(placed.kind),
                address.eq(placed.address),
                row.eq(placed.row),
                column.eq(placed.column),
                channel.eq(placed.channel),
                choices.eq(placed.choices),
            ]
        with m.Elif(step & ends_event):
            m.d.sync += active.eq(0)
        with m.If(enable):
            m.d.sync += [job.eq(next_job), down_slot.eq(next_down), across_slot.eq(next_across)]

        with m.If(free):
            m.d.sync += self.o.valid.eq(active & has_tap)
            with m.If(active):
                m.d.sync += self.o.payload.kind.eq(kind)
                self._place_row(m, job, is_map, (down, across), Mux(is_map, channel, address))
        return active

    def _ask(self, m: Module, table: ShapedMemory, form: AxisFormat, place: Value, slot: Value, enable: Value) -> None:
        """Read the word of a slot of a place."""
        slot_bits = (form.slots - 1).bit_length()
        m.d.comb += [table.read_address.eq(Cat(slot[:slot_bits], place)), table.read_enable.eq(enable)]

    def _place_row(self, m: Module, job: Value, is_map: Value, words: tuple[_Word, _Word], number: Value) -> None:
        """Put the row, to whose number `number` is added, and the origin of a tap into the output register."""
        down, across = words
        own = [j if isinstance(j, OwnRow) else OwnRow(offset=0, origin=0) for j in self._format.jobs]
        offset, origin = _constant(job, [j.offset for j in own]), _constant(job, [j.origin for j in own])
        m.d.sync += [
            self.o.payload.address.eq(Mux(is_map, down.row + across.row, offset) + number),
            self.o.payload.origin.eq(Mux(is_map, down.origin + across.origin, origin)),
        ]

    def _chosen(self, job: Value, choices: Value) -> Value:
        """Whether an event has a job: bit n of its choices is for the nth of its segment."""
        return _select(job, [choices[number] for s in self._format.segments for number in range(len(s.jobs))])

    # -- constants ---------------------------------------------------------------------------------------------

    @property
    def _places(self) -> list[Places]:
        """Those of every segment; of one without any, those of another, which nobody looks at."""
        some = next(s.places for s in self._format.segments if s.places is not None)
        return [some if s.places is None else s.places for s in self._format.segments]

    def _down(self, job: Value) -> Value:
        """Where the places of a job begin in the table of rows."""
        return _constant(job, [j.rows if isinstance(j, MapTaps) else 0 for j in self._format.jobs])

    def _across(self, job: Value) -> Value:
        """Where they begin in the table of columns."""
        return _constant(job, [j.columns if isinstance(j, MapTaps) else 0 for j in self._format.jobs])

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


class _Word(NamedTuple):
    """A word of an axis table."""

    last: Value
    some: Value
    row: Value
    origin: Value


def _word(form: AxisFormat, word: Value) -> _Word:
    low = 1 + form.gaps
    row, origin = word[low : low + form.row_bits], word[low + form.row_bits :]
    some = word[1] if form.gaps else Const(1, 1)
    return _Word(word[0], some, row << form.row_shift, origin << form.origin_shift)


def _named(places: Places, inner: Value, outer: Value, quotient: Value) -> list[Value]:
    """Row, column and channel."""
    return [outer, inner, quotient] if places.planar else [quotient, outer, inner]

"""The row walker turns events into contributions: it reads the compressed row of every event (`row_format`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory, select_from
from ..memories.spram import SpramMemory, SpramShape, load_signature
from ..streams.contribution import contribution_layout
from ..streams.tokens import TokenKind, address_bits, token_layout
from .row_format import RowContents, RowFormat, Section, StoredRows
from .tap_format import tap_layout


def weight_of(code: Value, levels: Sequence[int] | None, bits: int) -> Value:
    """The weight that a code stands for: itself, two's complement, or the level of that number."""
    if levels is None:
        return code.as_signed()
    return Value.cast(select_from([level & ((1 << bits) - 1) for level in levels], code))


def entries_memory(
    shape: MemoryShape | SpramShape, words: Sequence[int], first_spram: int | None, *, late: int = 0
) -> ShapedMemory | SpramMemory:
    """The memory of an engine's weights: SPRAMs from that number on, which are never `late`, or block RAM."""
    if isinstance(shape, SpramShape):
        return SpramMemory(shape, first_spram or 0, words)
    return ShapedMemory(shape, words, late=late)


def add_entries(
    m: Module,
    shape: MemoryShape | SpramShape,
    words: Sequence[int],
    first_spram: int | None,
    walker: Any,
    *,
    late: int = 0,
) -> ShapedMemory | SpramMemory:
    """The memory of a walker's entries, as the submodule `entries`; SPRAMs are loaded through the walker's port."""
    m.submodules.entries = entries = entries_memory(shape, words, first_spram, late=late)
    if isinstance(entries, SpramMemory):
        wiring.connect(m, wiring.flipped(walker.load), entries.load)
    return entries


def read_directory(
    m: Module, form: StoredRows, family: Family, words: Sequence[int], row: Value, enable: Value
) -> tuple[Value, Value, Value]:
    """Where a row starts, as the sum of two, and its length if it is stored, one cycle after `enable`."""
    m.submodules.rows = rows = ShapedMemory(form.directory_memory(family), words)
    m.d.comb += [rows.read_address.eq(row[form.group_bits :]), rows.read_enable.eq(enable)]
    place = Signal(form.group_bits)
    if form.group_bits:
        with m.If(enable):
            m.d.sync += place.eq(row[: form.group_bits])
    return found_in_word(form, rows.read_data, place)


def found_in_word(form: StoredRows, word: Value, place: Value) -> tuple[Value, Value, Value]:
    """Where the row at a `place` of a group starts, as the sum of two, and its length if it is stored, of the group's
    word of the directory."""
    base = word[: form.base_bits] << form.align
    lengths = [
        word[form.base_bits + number * form.length_bits :][: form.length_bits] for number in range(form.stored_lengths)
    ]
    if form.group == 1:
        return base, Const(0), lengths[0] if lengths else Const(0)
    before = [Mux(place > number, length, 0) for number, length in enumerate(lengths[: form.group - 1])]
    while len(before) > 1:
        before = [a + b for a, b in zip(before[::2], before[1::2], strict=False)] + before[len(before) & ~1 :]
    return base, before[0], Value.cast(select_from(lengths, place))


class Fetched(NamedTuple):
    """A token and where its row lies: `base` + `offset`, of that `length`; it is taken by `take`.

    `section` is the number of its section, or of the post neuron from which on it is `placed`.
    """

    valid: Signal
    take: Signal
    kind: Signal
    section: Signal
    base: Value
    offset: Value
    length: Value


class Walked(NamedTuple):
    """The beat whose entry is asked for; `first` is the first of its row."""

    valid: Signal
    kind: Signal
    first: Signal
    section: Signal


class RowWalker(wiring.Component):
    """Reads the row of every event and emits its entries as contributions; ends and aborts pass through in order.

    ==== === =====================================================
    Port Dir Meaning
    ==== === =====================================================
    i    in  stream of tokens over the rows, of taps (`tap_layout`) where these are `placed`
    o    out stream of contributions (`contribution_layout`)
    idle out no token is under way
    load in  words for the SPRAMs, if the entries lie there
    ==== === =====================================================

    Latency 4 cycles from an event to its first contribution. Throughput max(1, length) cycles per event and one cycle
    per end, with no bubble between them.
    """

    i: stream.Interface
    o: stream.Interface
    idle: Signal
    load: Any

    def __init__(self, form: RowFormat, contents: RowContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(tap_layout(form.rows, form.post) if form.placed else token_layout(form.rows))),
            "o": Out(
                stream.Signature(contribution_layout(form.post, form.weight_bits, fast=form.registers is not None))
            ),
            "idle": Out(1),
        }
        super().__init__(ports | ({} if form.first_spram is None else {"load": In(load_signature())}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        entries = add_entries(m, form.entry_memory(self._family), self._contents.entries, form.first_spram, self)

        # Every stage moves when the last one can: one enable for the whole pipeline.
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        fetched = self._fetch(m)
        walked = self._walk(m, fetched, entries, advance)
        entry_valid = self._emit(m, walked, entries, advance)
        m.d.comb += self.idle.eq(~Cat(fetched.valid, walked.valid, entry_valid, self.o.valid).any())
        return m

    def _fetch(self, m: Module) -> Fetched:
        """Stage 1: a token waits beside its directory word."""
        fetched = Signal()
        fetched_kind = Signal(TokenKind)
        take = Signal()
        intake = Signal()
        m.d.comb += [self.i.ready.eq(~fetched | take), intake.eq(self.i.valid & self.i.ready)]
        row = self.i.payload.address
        section = self.i.payload.origin if self._format.placed else self._section(row)
        fetched_section = Signal.like(section)
        with m.If(self.i.ready):
            m.d.sync += [
                fetched.eq(self.i.valid),
                fetched_kind.eq(self.i.payload.kind),
                fetched_section.eq(section),
            ]
        base, offset, length = self._find(m, row, intake)
        return Fetched(fetched, take, fetched_kind, fetched_section, base, offset, length)

    def _walk(self, m: Module, fetched: Fetched, entries: ShapedMemory | SpramMemory, advance: Signal) -> Walked:
        """Stage 2: the pointer walks along the row. An end is a walk of one beat without an entry."""
        form = self._format
        take = fetched.take
        walking = Signal()
        kind = Signal(TokenKind)
        first = Signal()
        walked_section = Signal.like(fetched.section)
        pointer = Signal(form.start_bits)
        remaining = Signal(form.length_bits)
        last = remaining[1:] == 0
        m.d.comb += [
            take.eq(fetched.valid & (~walking | (last & advance))),
            entries.read_address.eq(pointer),
            entries.read_enable.eq(walking & advance),
        ]
        is_event = fetched.kind == TokenKind.EVENT
        with m.If(take):
            m.d.sync += [
                walking.eq(~is_event | fetched.length.any()),
                kind.eq(fetched.kind),
                first.eq(1),
                walked_section.eq(fetched.section),
                remaining.eq(Mux(is_event, fetched.length, 1)),
            ]
        with m.Elif(walking & advance):
            m.d.sync += [
                walking.eq(~last),
                first.eq(0),
                remaining.eq(remaining - 1),
            ]

        with m.If(take | (walking & advance)):  # one adder for both: it is as wide as the entries' address
            m.d.sync += pointer.eq(Mux(take, fetched.base, pointer) + Mux(take, fetched.offset, 1))
        return Walked(walking, kind, first, walked_section)

    def _emit(self, m: Module, walked: Walked, entries: ShapedMemory | SpramMemory, advance: Signal) -> Signal:
        """Stage 3: the entry is there; stage 4 is the output register. Gives whether stage 3 is taken."""
        form = self._format
        entry_valid = Signal()
        entry_kind = Signal(TokenKind)
        entry_first = Signal()
        entry_section = Signal.like(walked.section)
        code, index = entries.read_data[: form.code_bits], entries.read_data[form.code_bits :]
        is_bridge = index.all() if form.escapes else Const(0, 1)
        past = Signal()  # whether the post neuron of the output register is taken
        post = self._post(m, entry_first, entry_section, index, past)
        with m.If(advance):
            m.d.sync += [
                entry_valid.eq(walked.valid),
                entry_kind.eq(walked.kind),
                entry_first.eq(walked.first),
                entry_section.eq(walked.section),
                self.o.valid.eq(entry_valid & ~(is_bridge & (entry_kind == TokenKind.EVENT))),
            ]
            with m.If(entry_valid):
                m.d.sync += [
                    self.o.payload.kind.eq(entry_kind),
                    self.o.payload.post.eq(post),
                    *self._compared(post, (entry_kind == TokenKind.EVENT) & ~is_bridge),
                    self.o.payload.weight.eq(weight_of(code, form.levels, form.weight_bits)),
                    past.eq(~is_bridge),
                ]
        return entry_valid

    def _compared(self, post: Value, is_synapse: Value) -> list[Any]:
        """What the output register says of a beat and those before it."""
        return [self.o.payload.repeats.eq(post == self.o.payload.post)]

    def _post(self, m: Module, entry_first: Signal, entry_section: Value, index: Value, past: Signal) -> Signal:
        """The post neuron of an entry: relative to where its section starts, or to the one before."""
        form = self._format
        origin = Signal(address_bits(form.post))
        step = Signal()
        with m.If(entry_first):
            first = entry_section if form.placed else select_from([s.first_post for s in form.sections], entry_section)
            m.d.comb += origin.eq(first)
        with m.Else():
            m.d.comb += [origin.eq(self.o.payload.post), step.eq(past)]
        post = Signal(address_bits(form.post))
        m.d.comb += post.eq(origin + index + step)
        return post

    def _section(self, row: Value) -> Value:
        """The number of the section that a row lies in."""
        later: list[Section] = list(self._format.sections[1:])
        number: Value = Cat(*(row >= section.first_row for section in later))
        if len(later) <= 1:
            return number
        total: Value = number[0]
        for reached in number[1:]:
            total = total + reached
        return total[: len(later).bit_length()]

    def _find(self, m: Module, row: Value, intake: Value) -> tuple[Value, Value, Value]:
        """Where a row starts, as the sum of two, and its length, one cycle after `intake`."""
        form = self._format
        if form.uniform:
            fetched_row = Signal(address_bits(form.rows))
            with m.If(intake):
                m.d.sync += fetched_row.eq(row)
            return fetched_row * form.longest_row, Const(0), Const(form.longest_row)
        return read_directory(m, form, self._family, self._contents.rows, row, intake)

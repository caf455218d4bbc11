"""The walker of a fast engine: a row walker with registers behind its memories."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value

from ..memories.memory import Family, ShapedMemory
from ..memories.spram import SpramMemory
from ..streams.tokens import TokenKind
from .rows import Fetched, RowWalker, Walked, add_entries, found_in_word


class FastRowWalker(RowWalker):
    """A row walker (`RowWalker`): its latency is so many cycles longer as its form has `registers`.

    On ECP5, where block RAM is slow, a word of the directory or of the entries comes into a register before anything is
    made of it. On iCE40 a register holds what is made of a word.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        assert form.registers is not None
        late = form.registers[1]
        self._counts, self._before_counts = Signal(), Signal()  # whether a beat has a synapse: else its neuron is open
        entries = add_entries(
            m, form.entry_memory(self._family), self._contents.entries, form.first_spram, self, late=late
        )
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        fetched = self._fetch(m)
        walked = self._walk(m, fetched, entries, advance)
        asked = [walked]
        if isinstance(entries, ShapedMemory) and late:
            m.d.comb += entries.move.eq(advance)
        for _ in range(late):
            asked.append(self._asked(m, asked[-1], advance))
        entry_valid = self._emit(m, asked[-1], entries, advance)
        with m.If(advance):
            m.d.sync += [self.o.payload.before.eq(self.o.payload.post), self._before_counts.eq(self._counts)]
        under_way = [*self._waiting, *(beat.valid for beat in asked), entry_valid, self.o.valid]
        m.d.comb += self.idle.eq(~Cat(*under_way).any())
        return m

    def _asked(self, m: Module, walked: Walked, advance: Signal) -> Walked:
        """A beat whose entry comes into the memory's registers."""
        later = Walked(*(Signal.like(signal, name=f"asked_{name}") for name, signal in walked._asdict().items()))
        with m.If(advance):
            m.d.sync += [register.eq(signal) for register, signal in zip(later, walked, strict=True)]
        return later

    def _walk(self, m: Module, fetched: Fetched, entries: ShapedMemory | SpramMemory, advance: Signal) -> Walked:
        """The pointer walks along the row (`RowWalker._walk`); what it takes next waits for nothing but the enable."""
        form = self._format
        walking, first, last = Signal(), Signal(), Signal()
        kind = Signal(TokenKind)
        section = Signal.like(fetched.section)
        pointer, remaining = Signal(form.start_bits), Signal(form.length_bits)
        loads = ~walking | last
        moves = ~walking | advance
        is_event = fetched.kind == TokenKind.EVENT
        m.d.comb += [
            last.eq((remaining[1:] == 0) | (kind != TokenKind.EVENT)),
            fetched.take.eq(fetched.valid & loads & moves),
            entries.read_address.eq(pointer),
            entries.read_enable.eq(walking & advance),
        ]
        with m.If(moves):
            m.d.sync += [
                walking.eq(Mux(loads, fetched.valid & (~is_event | fetched.length.any()), 1)),
                first.eq(loads),
                remaining.eq(Mux(loads, fetched.length, remaining) - ~loads),
                pointer.eq(Mux(loads, fetched.base, pointer) + ~loads),
            ]
            with m.If(loads):
                m.d.sync += [kind.eq(fetched.kind), section.eq(fetched.section)]
        return Walked(walking, kind, first, section)

    def _compared(self, post: Value, is_synapse: Value) -> list[Any]:
        payload = self.o.payload
        return [
            payload.repeats.eq(self._counts & (post == payload.post)),
            payload.recurs.eq(self._before_counts & (post == payload.before)),
            self._counts.eq(is_synapse),
        ]

    def _fetch(self, m: Module) -> Fetched:
        """A token beside its directory word, and in each of the registers between that and the pointer."""
        form = self._format
        assert form.registers is not None
        stages = 1 + form.registers[0]
        valid = [Signal(name=f"fetched{number}") for number in range(stages)]
        moves: list[Value] = [Signal(name=f"moves{number}") for number in range(stages)]
        take = Signal()
        for number, move in enumerate(moves):
            m.d.comb += move.eq(~valid[number] | (moves[number + 1] if number + 1 < stages else take))
        m.d.comb += self.i.ready.eq(moves[0])
        self._waiting = valid
        row = self.i.payload.address
        token = Cat(self.i.payload.kind, self._section(row), row if form.uniform else row[: form.group_bits])
        kind_bits, section_bits = len(Value.cast(self.i.payload.kind)), len(self._section(row))
        tokens: list[Signal] = []
        before: Value = self.i.valid
        for number, move in enumerate(moves):
            register = Signal.like(token, name=f"token{number}")
            with m.If(move):
                m.d.sync += [valid[number].eq(before), register.eq(token)]
            before, token = valid[number], register
            tokens.append(register)
        places = [held[kind_bits + section_bits :] for held in tokens]
        start, length = self._located(m, row, places, moves)
        kind = Signal(TokenKind)
        section = Signal(section_bits)
        m.d.comb += [Value.cast(kind).eq(tokens[-1][:kind_bits]), section.eq(tokens[-1][kind_bits:])]
        return Fetched(valid[-1], take, kind, section, start, Const(0), length)

    def _located(self, m: Module, row: Value, places: list[Value], moves: list[Value]) -> tuple[Value, Value]:
        """Where a row starts, and its length, in the last register in front of the pointer."""
        form = self._format
        start, length = Signal(form.start_bits), Signal(form.length_bits)
        if form.uniform:
            product = places[-2] * form.longest_row
            with m.If(moves[-1]):
                m.d.sync += start.eq(product)
            return start, Const(form.longest_row)
        late = self._family is Family.ECP5
        shape = form.directory_memory(self._family)
        m.submodules.rows = rows = ShapedMemory(shape, self._contents.rows, late=int(late))
        m.d.comb += [rows.read_address.eq(row[form.group_bits :]), rows.read_enable.eq(moves[0])]
        if late:
            m.d.comb += rows.move.eq(moves[1])
        held = 1 if late else 0
        base, offset, found = found_in_word(form, rows.read_data, places[held])
        if held == len(moves) - 1:
            return base, found
        with m.If(moves[-1]):
            m.d.sync += [start.eq(base + offset), length.eq(found)]
        return start, length

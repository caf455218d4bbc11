"""Words of weights: the walker turns taps into words of state and the words of weights that are added to them."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import MemoryShape, ShapedMemory, select_from
from ..streams.beats import multiple
from ..streams.tokens import TokenKind, token_layout
from .tap_format import tap_layout
from .wide_format import WordRows, work_layout


class WordWalker(wiring.Component):
    """Gives the words of each tap's row, one after another; ends and aborts pass through in order.

    ==== === ===================================
    Port Dir Meaning
    ==== === ===================================
    i    in  stream of taps (`tap_layout`)
    o    out stream of words (`work_layout`)
    ==== === ===================================

    Latency 1 cycle. Throughput one word per cycle, and none between two taps.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, sections: Sequence[WordRows], rows: int, words: int, weight_words: int) -> None:
        self._sections = tuple(sections)
        super().__init__(
            {
                "i": In(stream.Signature(tap_layout(rows, words))),
                "o": Out(stream.Signature(work_layout(words, weight_words))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tap, work = self.i.payload, self.o.payload
        most = max(section.words for section in self._sections)
        left = Signal(range(most))  # words of the row behind this one
        m.d.comb += self.i.ready.eq(~self.o.valid | (self.o.ready & ~left.any()))
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                work.kind.eq(tap.kind),
                work.word.eq(tap.origin),
                work.weights.eq(self._of_section(tap.address, [_first_word(s, tap.address) for s in self._sections])),
                left.eq(0),
            ]
            with m.If(tap.kind == TokenKind.EVENT):
                m.d.sync += left.eq(self._of_section(tap.address, [s.words - 1 for s in self._sections]))
        with m.Elif(self.o.ready):
            m.d.sync += [work.word.eq(work.word + 1), work.weights.eq(work.weights + 1), left.eq(left - 1)]
        return m

    def _of_section(self, row: Value, choices: Sequence[Value | int]) -> Value:
        """The choice of the section that a row lies in."""
        if len(set(map(str, choices))) == 1:
            return Value.cast(choices[0])
        number: Value = Value.cast(0)
        for section in self._sections[1:]:
            number = number + (row >= section.first_row)
        return Value.cast(select_from(choices, number[: (len(choices) - 1).bit_length()]))


def _first_word(section: WordRows, row: Value) -> Value:
    """Where a row of a section starts."""
    return multiple(row, section.words) + (section.first_word - section.first_row * section.words)


class Skid(wiring.Component):
    """Keeps what comes when nobody takes it, so that `i.ready` is a register: no path leads through it from one
    handshake to the other. Latency 0 cycles, throughput one payload per cycle. One that never `keeps` is only wires.

    ==== === ==================================
    Port Dir Meaning
    ==== === ==================================
    i    in  stream of payloads
    o    out the same
    ==== === ==================================
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, layout: data.StructLayout, *, keeps: bool = True) -> None:
        self._keeps = keeps
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if not self._keeps:
            wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
            return m
        kept, payload = Signal(), Signal.like(self.i.payload.as_value())
        m.d.comb += [
            self.i.ready.eq(~kept),
            self.o.valid.eq(kept | self.i.valid),
            self.o.payload.as_value().eq(Mux(kept, payload, self.i.payload.as_value())),
        ]
        m.d.sync += kept.eq(self.o.valid & ~self.o.ready)
        with m.If(~kept):
            m.d.sync += payload.eq(self.i.payload.as_value())
        return m


class Renumber(wiring.Component):
    """Numbers events by a table; ends pass through. Latency 2 cycles, as what comes behind it takes long, too;
    throughput one token per cycle.

    ==== === =======================
    Port Dir Meaning
    ==== === =======================
    i    in  stream of tokens
    o    out the same, renumbered
    ==== === =======================
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, addresses: int, shape: MemoryShape, numbers: Sequence[int]) -> None:
        self._shape = shape
        self._numbers = tuple(numbers)
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(addresses))),
                "o": Out(stream.Signature(token_layout(1 << shape.width))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.numbers = numbers = ShapedMemory(self._shape, self._numbers)
        found, kind, moves = Signal(), Signal(TokenKind), Signal()
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(~found | moves),
            numbers.read_address.eq(self.i.payload.address),
            numbers.read_enable.eq(self.i.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += [found.eq(self.i.valid), kind.eq(self.i.payload.kind)]
        with m.If(moves):
            m.d.sync += [
                self.o.valid.eq(found),
                self.o.payload.kind.eq(kind),
                self.o.payload.address.eq(numbers.read_data),
            ]
        return m

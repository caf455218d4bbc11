"""A bit for each word that says whether the next pass of a wide engine looks at it: one block RAM of an iCE40 for 4,096
words, where lists of them take ten for half as many, and two cycles for 16 words that nothing came to."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory, select_from
from ..streams.tokens import address_bits

ROW = 16
"""The bits of a row."""


def visit_shape(family: Family, words: int) -> MemoryShape:
    """The memory of the bits of so many words."""
    return MemoryShape(family, -(-words // ROW), ROW, writable=True)


class VisitMap(wiring.Component):
    """The words of each population whose bit is set, from its first one on.

    ======== === ======================================================================================
    Port     Dir Meaning
    ======== === ======================================================================================
    put      in  the bit of a word is set
    put_word in  which
    wipes    in  in a cycle of `put`: all bits of its row are 0 instead
    begins   in  the words of a population are to be taken; their bits are cleared before they are
    number   in  which population's
    clears   in  nothing is taken
    forgets  in  and nothing will be
    valid    out there is a word to take
    word     out which
    take     in  it is taken
    done     out all words that the population had are taken
    ======== === ======================================================================================

    A word may be put in while others are taken: one of the same population only where it has been taken before. A row
    takes two cycles, the first of which is that in which the last word of the one before is taken.
    """

    put: Signal
    put_word: Signal
    wipes: Signal
    begins: Signal
    number: Signal
    clears: Signal
    forgets: Signal
    valid: Signal
    word: Signal
    take: Signal
    done: Signal

    def __init__(self, bases: Sequence[int], words: int, shape: MemoryShape) -> None:
        """Of populations whose first words are `bases`, of `words` in all."""
        self._bounds = tuple(zip(bases, (*bases[1:], words), strict=True))
        self._shape = shape
        word = address_bits(words)
        ports = {"put": In(1), "put_word": In(word), "wipes": In(1), "begins": In(1), "number": In(range(len(bases)))}
        ports |= {"clears": In(1), "forgets": In(1), "valid": Out(1), "word": Out(word), "take": In(1), "done": Out(1)}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rows = rows = ShapedMemory(self._shape)
        row_bits = max(1, (self._shape.depth - 1).bit_length())
        setting, wiping, bit = Signal(), Signal(), Signal(range(ROW))
        row, number = Signal(row_bits), Signal.like(self.number)
        scanning, fetched = Signal(), Signal()
        mask, mask_row = Signal(ROW), Signal(row_bits)

        put_row = self.put_word[4:] if len(self.put_word) > 4 else Const(0, 1)
        others = mask & (mask - 1)[:ROW]
        frees = ~mask.any() | (self.take & ~others.any())
        fetches = Signal()
        read_row = Signal(row_bits)  # of the last cycle
        mine = self._mine(number, read_row)
        m.d.comb += [
            fetches.eq(scanning & ~self.put & ~self.clears & ~fetched & frees),
            rows.read_address.eq(Mux(self.put, put_row, row)),
            rows.read_enable.eq(1),
            rows.write_address.eq(read_row),
            rows.write_data.eq(Mux(setting, Mux(wiping, 0, rows.read_data | (1 << bit)[:ROW]), rows.read_data & ~mine)),
            rows.write_enable.eq(setting | fetched),
            self.valid.eq(mask.any()),
            self.word.eq(Cat(_lowest(mask), mask_row)),
            self.done.eq(~scanning & ~fetched & ~mask.any()),
        ]
        m.d.sync += [
            *(setting.eq(self.put), wiping.eq(self.wipes), bit.eq(self.put_word[:4])),
            *(read_row.eq(rows.read_address), fetched.eq(fetches)),
        ]
        with m.If(fetches):
            m.d.sync += [row.eq(row + 1), scanning.eq(row != self._last_row(number))]
        with m.If(self.begins):
            firsts = [Const(first // ROW, row_bits) for first, _ in self._bounds]
            m.d.sync += [number.eq(self.number), scanning.eq(1), row.eq(Value.cast(select_from(firsts, self.number)))]
        with m.If(self.take):
            m.d.sync += mask.eq(others)
        with m.If(fetched):
            m.d.sync += [mask.eq(rows.read_data & mine), mask_row.eq(read_row)]
        with m.If(self.forgets):
            m.d.sync += scanning.eq(0)
        return m

    def _mine(self, number: Value, row: Value) -> Value:
        """The bits of a row that are a population's."""
        masks: list[Value] = []
        for first, past in self._bounds:
            mine: Value = Const(-1, ROW)
            if first % ROW:
                mine = Mux(row == first // ROW, Const(-1 << first % ROW, ROW), mine)
            if past % ROW:
                mine = mine & Mux(row == past // ROW, Const((1 << past % ROW) - 1, ROW), Const(-1, ROW))
            masks.append(mine[:ROW])
        return Value.cast(select_from(masks, number))[:ROW]

    def _last_row(self, number: Value) -> Value:
        return Value.cast(select_from([Const((past - 1) // ROW) for _, past in self._bounds], number))


def _lowest(mask: Value) -> Value:
    """The number of the lowest bit that is set."""
    number: Value = Const(0, 4)
    for place in reversed(range(len(mask))):
        number = Mux(mask[place], place, number)
    return number[:4]

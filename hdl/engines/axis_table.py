"""The table of one axis of a tap generator: what a place's taps bring to the number of a row and to an origin."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Module, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import MemoryShape, ShapedMemory, select_from
from ..streams.tokens import address_bits
from .tap_format import AxisFormat


class AxisTable(wiring.Component):
    """Gives the word of a slot of a place (`AxisFormat`).

    =========== === =================================================
    Port        Dir Meaning
    =========== === =================================================
    place, slot in  the word to read
    read_enable in  start a read; the word stays until the next one
    word        out the word, one cycle after `read_enable`
    =========== === =================================================

    Where the slots of all places are `steps` apart, the memory has a place's first word alone, to which the step is
    added field by field. Latency one cycle, throughput one word per cycle.
    """

    place: Signal
    slot: Signal
    read_enable: Signal
    word: Signal

    def __init__(self, form: AxisFormat, shape: MemoryShape, words: Sequence[int]) -> None:
        self._format = form
        self._shape = shape
        self._words = words
        super().__init__(
            {
                "place": In(address_bits(form.places)),
                "slot": In(address_bits(form.slots)),
                "read_enable": In(1),
                "word": Out(form.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        m.submodules.words = words = ShapedMemory(self._shape, self._words)
        m.d.comb += words.read_enable.eq(self.read_enable)
        if not form.steps:
            slot = self.slot[: (form.slots - 1).bit_length()]
            m.d.comb += [words.read_address.eq(Cat(slot, self.place)), self.word.eq(words.read_data)]
            return m
        step = Signal(form.width)
        with m.If(self.read_enable):
            m.d.sync += step.eq(Value.cast(select_from(form.steps, self.slot)))
        first = words.read_data
        row, past = form.row_bits, form.row_bits + form.origin_bits
        sums = [(first[low:high] + step[low:high])[: high - low] for low, high in ((0, row), (row, past))]
        m.d.comb += [words.read_address.eq(self.place), self.word.eq(Cat(*sums))]
        return m

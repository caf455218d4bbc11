"""Words that change, in SPRAMs: single-ported, they are read in one cycle and written in the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .memory import MemoryShape, ShapedMemory
from .spram import SPRAM_DEPTH, SPRAM_WIDTH, Spram, SpramShape


@dataclass(frozen=True, kw_only=True)
class AlternatingShape:
    """Words of so many `lanes`, whose low bits lie in the SPRAMs of `low`, the others in the block RAM of `rest`, if
    there are any. Of the words before number `first_rest` they are copies of the lane's highest one in SPRAM.
    """

    lanes: int
    low: SpramShape
    rest: MemoryShape | None = None
    first_rest: int = 0

    @property
    def low_bits(self) -> int:
        """Of a lane, in SPRAM."""
        return self.low.width // self.lanes

    @property
    def rest_bits(self) -> int:
        """Of a lane, in block RAM."""
        return 0 if self.rest is None else self.rest.width // self.lanes


class AlternatingMemory(wiring.Component):
    """One read and one write in two cycles. What is read is read before what is written.

    ============= === =====================================================================
    Port          Dir Meaning
    ============= === =====================================================================
    tick          in  the second of two cycles, through which the other inputs are the same
    read_address  in  word to read
    read_enable   in  start a read: one is started in any case
    read_data     out the word, in the second cycle
    write_*       in  address, data and enable
    ============= === =====================================================================

    To who lives in pairs of cycles it is a `ShapedMemory` whose address was held by a register in front of it.
    """

    tick: Signal
    read_address: Signal
    read_enable: Signal
    read_data: Signal
    write_address: Signal
    write_data: Signal
    write_enable: Signal

    def __init__(self, shape: AlternatingShape) -> None:
        if shape.low.depth > SPRAM_DEPTH:
            raise ValueError(f"an SPRAM has {SPRAM_DEPTH} words: a memory of {shape.low.depth} was asked for")
        self._shape = shape
        address = max(1, (shape.low.depth - 1).bit_length())
        width = shape.lanes * (shape.low_bits + shape.rest_bits)
        super().__init__(
            {
                "tick": In(1),
                "read_address": In(address),
                "read_enable": In(1),
                "read_data": Out(width),
                "write_address": In(address),
                "write_data": In(width),
                "write_enable": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = self._shape
        lanes = [self.write_data.word_select(n, shape.low_bits + shape.rest_bits) for n in range(shape.lanes)]
        low = self._low(m, Cat(*(lane[: shape.low_bits] for lane in lanes)))
        lows = [low.word_select(n, shape.low_bits) for n in range(shape.lanes)]
        highs = self._rest(m, shape.rest, Cat(*(lane[shape.low_bits :] for lane in lanes)), lows) if shape.rest else []
        words = zip(lows, highs, strict=True) if highs else lows
        m.d.comb += self.read_data.eq(Cat(*words))
        return m

    def _low(self, m: Module, written: Value) -> Value:
        """The low bits, as they were read."""
        words = []
        for number, low in enumerate(range(0, len(written), SPRAM_WIDTH)):
            m.submodules[f"spram{number}"] = spram = Spram()
            m.d.comb += [
                spram.enable.eq(~self.tick | self.write_enable),
                spram.write.eq(self.tick),
                spram.address.eq(Mux(self.tick, self.write_address, self.read_address)),
                spram.write_data.eq(written[low : low + SPRAM_WIDTH]),
            ]
            words.append(spram.read_data)
        return Cat(*words)[: len(written)]

    def _rest(self, m: Module, shape: MemoryShape, written: Value, lows: Sequence[Value]) -> list[Value]:
        """The other bits of each lane."""
        first, bits = self._shape.first_rest, self._shape.rest_bits
        m.submodules.rest = rest = ShapedMemory(shape, transparent=False)
        m.d.comb += [
            rest.read_address.eq(self.read_address - first),
            rest.read_enable.eq(~self.tick),
            rest.write_address.eq(self.write_address - first),
            rest.write_data.eq(written),
            rest.write_enable.eq(self.write_enable & self.tick & (self.write_address >= first)),
        ]
        words = [rest.read_data.word_select(number, bits) for number in range(self._shape.lanes)]
        if not first:
            return words
        there = self.read_address >= first
        return [Mux(there, word, low[-1].replicate(bits)) for word, low in zip(words, lows, strict=True)]

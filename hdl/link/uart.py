"""An asynchronous serial port: 8 data bits, least significant first, no parity, one stop bit."""

from __future__ import annotations

from fractions import Fraction

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ..memories.memory import select_from

RECEIVED = data.StructLayout({"byte": 8, "broken": 1})
"""A received byte; `broken` where the stop bit was missing."""


class BitClock:
    """How long each bit lasts: `clocks_per_bit` clock cycles, on average where they are no whole number."""

    def __init__(self, clocks_per_bit: int | Fraction) -> None:
        clocks = Fraction(clocks_per_bit)
        self.cycles = int(clocks)
        """Clock cycles of a short bit; a long one has one more."""
        self._bits = clocks.denominator
        self._long = clocks.numerator % clocks.denominator

    @property
    def most(self) -> int:
        """Clock cycles of the longest bit."""
        return self.cycles + bool(self._long)

    def is_long(self, m: Module, over: Value) -> Value | int:
        """Whether the bit under way is a long one, of `_bits` in turn `_long`; `over` in one cycle of each bit."""
        if not self._long:
            return 0
        place = Signal(range(self._bits))
        with m.If(over):
            m.d.sync += place.eq(Mux(place == self._bits - 1, 0, place + 1))
        return place < self._long

    def ends(self, m: Module, timer: Value) -> Value:
        """Whether `timer`, which starts from 0 with each bit, is in its last cycle."""
        over = Signal()
        last = self.cycles - 1 + self.is_long(m, over)
        if isinstance(last, int):
            return timer == last
        m.d.comb += over.eq(timer == last)
        return over


class UartReceiver(wiring.Component):
    """Samples every bit in its middle.

    ==== === =====================================================================
    Port Dir Meaning
    ==== === =====================================================================
    rx   in  the line, asynchronous
    o    out stream of `RECEIVED`, without waiting: a byte not taken at once is lost
    ==== === =====================================================================

    A byte is valid for one cycle in the middle of its stop bit; its payload stays for `clocks_per_bit` - 1 cycles more.
    """

    rx: Signal
    o: stream.Interface

    def __init__(self, clocks_per_bit: int | Fraction) -> None:
        self._bit = BitClock(clocks_per_bit)
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(RECEIVED, always_ready=True))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, line, init=1)
        receiving = Signal()
        started = Signal()  # the start bit has been sampled
        timer = Signal(range(self._bit.most))
        middle = receiving & (timer == self._bit.cycles // 2 - 1)
        # The start bit leads the others through ones: when it reaches the bottom, the next sample is the stop bit.
        shifter = Signal(9)
        m.d.comb += [self.o.payload.byte.eq(shifter[:8]), self.o.payload.broken.eq(~shifter[8])]

        m.d.sync += [timer.eq(timer + 1), self.o.valid.eq(0)]
        with m.If(~receiving | self._bit.ends(m, timer)):
            m.d.sync += timer.eq(0)
        with m.If(~receiving):
            m.d.sync += [receiving.eq(~line), started.eq(0)]
        with m.Elif(middle):
            m.d.sync += [started.eq(1), shifter.eq(Cat(shifter[1:], line))]
            with m.If(~started):
                m.d.sync += [shifter[:8].eq(~0), receiving.eq(~line)]  # high: a glitch, no start bit
            with m.Elif(~shifter[0]):
                m.d.sync += [receiving.eq(0), self.o.valid.eq(1)]
        return m


class UartTransmitter(wiring.Component):
    """Sends bytes.

    ==== === =====================================================
    Port Dir Meaning
    ==== === =====================================================
    i    in  stream of bytes, each taken at the end of its last bit
    tx   out the line
    ==== === =====================================================

    Throughput one byte per 10 * clocks_per_bit cycles.
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, clocks_per_bit: int | Fraction) -> None:
        self._bit = BitClock(clocks_per_bit)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self._bit.most))
        # 0 is the stop bit and the pause after it, 7 the start bit, 8 to 15 are the data bits.
        position = Signal(4)
        advance = (timer == 0) & (self.i.valid | position[3] | position[0])
        long = self._bit.is_long(m, advance)
        is_data, is_start = position[3], position[0]
        m.d.comb += self.i.ready.eq((timer == 0) & position.all())
        m.d.sync += self.tx.eq(Mux(is_data, select_from(list(self.i.payload), position[:3]), ~is_start))
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(self.i.valid | is_data | is_start):
            m.d.sync += [timer.eq(self._bit.cycles - 1 + long), position.eq(position + 1)]
            with m.If(~is_data & ~is_start):
                m.d.sync += position.eq(7)
        return m

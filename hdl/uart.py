"""An asynchronous serial port: 8 data bits, least significant first, no parity, one stop bit."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

BITS_PER_BYTE = 10
"""A byte on the line: start bit, eight data bits, stop bit."""

RECEIVED = data.StructLayout({"byte": 8, "broken": 1})
"""A received byte; `broken` where the stop bit was missing."""


class UartReceiver(wiring.Component):
    """Samples every bit in its middle.

    ==== === =====================================================================
    Port Dir Meaning
    ==== === =====================================================================
    rx   in  the line, asynchronous
    o    out stream of `RECEIVED`, without waiting: a byte not taken at once is lost
    ==== === =====================================================================

    A byte is there in the middle of its stop bit.
    """

    rx: Signal
    o: stream.Interface

    def __init__(self, clocks_per_bit: int) -> None:
        self._clocks_per_bit = clocks_per_bit
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(RECEIVED, always_ready=True))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(self._clocks_per_bit))
        bits_left = Signal(range(BITS_PER_BYTE + 1))
        shifter = Signal(BITS_PER_BYTE)
        m.d.sync += self.o.valid.eq(0)
        with m.If(bits_left == 0):
            with m.If(~line):
                m.d.sync += [timer.eq(self._clocks_per_bit // 2), bits_left.eq(BITS_PER_BYTE)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [
                timer.eq(self._clocks_per_bit - 1),
                bits_left.eq(bits_left - 1),
                shifter.eq(Cat(shifter[1:], line)),
            ]
            with m.If((bits_left == BITS_PER_BYTE) & line):
                m.d.sync += bits_left.eq(0)  # a glitch, no start bit
            with m.If(bits_left == 1):
                m.d.sync += self.o.valid.eq(1)
        m.d.comb += [self.o.payload.byte.eq(shifter[1:9]), self.o.payload.broken.eq(~shifter[9])]
        return m


class UartTransmitter(wiring.Component):
    """Sends bytes.

    ==== === ===============
    Port Dir Meaning
    ==== === ===============
    i    in  stream of bytes
    tx   out the line
    ==== === ===============

    Throughput one byte per 10 * clocks_per_bit + 1 cycles.
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, clocks_per_bit: int) -> None:
        self._clocks_per_bit = clocks_per_bit
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self._clocks_per_bit))
        bits_left = Signal(range(BITS_PER_BYTE + 1))
        shifter = Signal(BITS_PER_BYTE, init=-1)
        m.d.comb += [self.tx.eq(shifter[0]), self.i.ready.eq(bits_left == 0)]
        with m.If(bits_left == 0):
            with m.If(self.i.valid):
                m.d.sync += [
                    shifter.eq(Cat(0, self.i.payload, 1)),
                    bits_left.eq(BITS_PER_BYTE),
                    timer.eq(self._clocks_per_bit - 1),
                ]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [
                timer.eq(self._clocks_per_bit - 1),
                bits_left.eq(bits_left - 1),
                shifter.eq(Cat(shifter[1:], 1)),
            ]
        return m

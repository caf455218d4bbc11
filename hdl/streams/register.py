"""A register on a stream's way."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out


class StreamRegister(wiring.Component):
    """Holds what a slow memory gives, so that no path leads through both it and what follows.

    ==== === ==========
    Port Dir Meaning
    ==== === ==========
    i    in  a stream
    o    out the stream
    ==== === ==========

    `o` and `i.ready` depend on registers only. Throughput one every two cycles, one cycle later.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, layout: StructLayout) -> None:
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(~self.o.valid):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m

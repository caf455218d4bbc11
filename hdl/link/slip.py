"""SLIP (RFC 1055) in hardware: frames end with a byte that escapes keep out of them."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.hdl import unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .protocol import END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE
from .uart import RECEIVED


class FrameByte(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]
    """What a beat of a frame is; BROKEN is seen by receivers only."""

    BYTE = 0
    END = 1
    BROKEN = 2


FRAME_BEAT = data.StructLayout({"kind": FrameByte, "byte": 8})
"""A beat of a frame; `byte` means something for BYTE."""


class SlipDecoder(wiring.Component):
    """Undoes SLIP escapes.

    ==== === ==========================================================================================
    Port Dir Meaning
    ==== === ==========================================================================================
    i    in  stream of `RECEIVED` bytes, always ready; the payload stays for one cycle more
    o    out stream of `FRAME_BEAT`, without waiting; BROKEN spoils the frame under way
    ==== === ==========================================================================================

    Latency 0 cycles. The payload of `o` stays for one cycle more, too.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(RECEIVED, always_ready=True)),
                "o": Out(stream.Signature(FRAME_BEAT, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        escaping = Signal()
        byte = self.i.payload.byte
        is_escape = ~escaping & (byte == ESCAPE)
        is_escaped = (byte == ESCAPED_END) | (byte == ESCAPED_ESCAPE)
        # The two that stand for others differ in their lowest bit.
        unescape = Mux(byte[0], ESCAPED_ESCAPE ^ ESCAPE, ESCAPED_END ^ END)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & (~is_escape | self.i.payload.broken)),
            self.o.payload.byte.eq(byte ^ Mux(escaping, unescape, 0)),
        ]
        with m.If(byte == END):
            m.d.comb += self.o.payload.kind.eq(FrameByte.END)
        with m.If(self.i.payload.broken | (escaping & (byte != END) & ~is_escaped)):
            m.d.comb += self.o.payload.kind.eq(FrameByte.BROKEN)
        was_valid = Signal()
        m.d.sync += was_valid.eq(self.i.valid)
        with m.If(was_valid):
            m.d.sync += escaping.eq(is_escape & ~self.i.payload.broken)
        return m


class SlipEncoder(wiring.Component):
    """Escapes the bytes of frames.

    ==== === =====================================
    Port Dir Meaning
    ==== === =====================================
    i    in  stream of `FRAME_BEAT`, never BROKEN
    o    out stream of bytes
    ==== === =====================================

    Latency 0 cycles; an escaped byte takes two transfers.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(FRAME_BEAT)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        byte = self.i.payload.byte
        escaped = Signal()  # the escape has left
        special = (self.i.payload.kind == FrameByte.BYTE) & ((byte == END) | (byte == ESCAPE))
        m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready & (escaped | ~special))]
        with m.If(self.i.payload.kind == FrameByte.END):
            m.d.comb += self.o.payload.eq(END)
        with m.Elif(escaped):
            m.d.comb += self.o.payload.eq(Mux(byte[0], ESCAPED_ESCAPE, ESCAPED_END))
        with m.Elif(special):
            m.d.comb += self.o.payload.eq(ESCAPE)
        with m.Else():
            m.d.comb += self.o.payload.eq(byte)
        with m.If(self.i.valid & self.o.ready):
            m.d.sync += escaped.eq(special & ~escaped)
        return m

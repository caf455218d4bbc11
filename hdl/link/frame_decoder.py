"""The receiving half of the link that knows frames and checksums, but not what frames say."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .serial_crc import SerialCrc
from .slip import FrameByte, SlipDecoder
from .uart import RECEIVED


class FrameDecoder(wiring.Component):
    """Splits received bytes into frames and checks their checksums.

    ======= === =============================================================================
    Port    Dir Meaning
    ======= === =============================================================================
    i       in  stream of received bytes, always ready; the payload stays for one cycle more
    arrives out a byte is there; `take` follows in the next cycle
    take    out `byte` is the next byte of the frame, its checksum included
    byte    out the byte, while `take`
    before  out the byte before it, while `take`
    end     out the frame is over
    intact  out its last two bytes were the checksum of those before, while `end`
    broken  out the frame is spoilt
    ======= === =============================================================================

    Throughput one byte per 12 cycles.
    """

    i: stream.Interface
    arrives: Signal
    take: Signal
    byte: Signal
    before: Signal
    end: Signal
    intact: Signal
    broken: Signal

    def __init__(self) -> None:
        strobes = {name: Out(1) for name in ("arrives", "take", "end", "intact", "broken")}
        bytes_ = {"byte": Out(8), "before": Out(8)}
        super().__init__({"i": In(stream.Signature(RECEIVED, always_ready=True))} | strobes | bytes_)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.slip = slip = SlipDecoder()
        m.submodules.crc = crc = SerialCrc()
        wiring.connect(m, wiring.flipped(self.i), slip.i)
        kind = slip.o.payload.kind
        m.d.comb += [
            self.arrives.eq(slip.o.valid & (kind == FrameByte.BYTE)),
            self.end.eq(slip.o.valid & (kind == FrameByte.END)),
            self.broken.eq(slip.o.valid & (kind == FrameByte.BROKEN)),
            self.byte.eq(slip.o.payload.byte),
        ]
        # `before` turns once while the checksum takes its bits; the counter's top bit says that it does.
        turns = Signal(4)
        clean, clean_before = Signal(), Signal()  # no bit of the last byte, or of that before, differed
        m.d.sync += self.take.eq(self.arrives)
        m.d.comb += [
            crc.restart.eq(self.end),
            crc.shift.eq(turns[-1]),
            crc.bit.eq(self.before[-1]),
            self.intact.eq(clean & clean_before),
        ]
        with m.If(self.take):
            m.d.sync += [self.before.eq(self.byte), turns.eq(8), clean.eq(1), clean_before.eq(clean)]
        with m.Elif(turns[-1]):
            m.d.sync += [self.before.eq(Cat(self.before[-1], self.before[:-1])), turns.eq(turns + 1)]
            with m.If(crc.differs):
                m.d.sync += clean.eq(0)
        return m

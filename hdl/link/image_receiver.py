"""The receiving half of a link that takes images: one frame is one image."""

from __future__ import annotations

from typing import Any

from amaranth import Const, Module, Signal
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..images.encoders import image_signature
from .frame_decoder import FrameDecoder
from .packing import MOST_ZEROS
from .protocol import REASON_BITS, Header, Reason
from .uart import RECEIVED


class ImageReceiver(wiring.Component):
    """Checks frames and writes their pixels; only an image whose checksum held is started.

    ======= === ==============================================================================
    Port    Dir Meaning
    ======= === ==============================================================================
    i       in  stream of received bytes, always ready; the payload stays for one cycle more
    image   out the image, to an encoder (`image_signature`)
    refused out stream of refused frames
    reason  out why the last one was
    ready   in  the core's weights are there; until then every frame is refused
    ======= === ==============================================================================

    Throughput one byte per 12 cycles; one per 32 where they are packed, whose zeros are written one per cycle.
    """

    i: stream.Interface
    image: Any
    refused: stream.Interface
    reason: Signal
    ready: Signal

    def __init__(self, packed: bool = False) -> None:
        """Images have their zeros counted where they are `packed` (`link.packing`)."""
        self._packed = packed
        super().__init__(
            {
                "i": In(stream.Signature(RECEIVED, always_ready=True)),
                "image": Out(image_signature()),
                "refused": Out(stream.Signature(0)),
                "reason": Out(REASON_BITS),
                "ready": In(1, init=1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        image = self.image
        m.submodules.frame = frame = FrameDecoder()
        wiring.connect(m, wiring.flipped(self.i), frame.i)
        has_header = Signal()
        has_pixel = Signal()  # `frame.before` is one, or of the checksum
        has_more = Signal()  # the pixels were all there, and the checksum's first byte came in place of one
        fault = Signal(REASON_BITS)
        m.d.comb += image.value.eq(frame.before)
        counts = Signal() if self._packed else Const(0, 1)  # `frame.before` says how many zeros there are
        zeros = Signal(range(MOST_ZEROS + 1)) if self._packed else Const(0, 1)  # still to be written

        with m.If(frame.take & ~has_header):
            m.d.sync += has_header.eq(1)
            with m.If((fault == 0) & ~self.ready):
                m.d.sync += fault.eq(Reason.FLASH)
            with m.Elif((fault == 0) & (frame.byte != Header.FIRST | Header.END_OF_SAMPLE)):
                m.d.sync += fault.eq(Reason.HEADER)
        with m.Elif(frame.take & ~has_pixel):
            m.d.sync += has_pixel.eq(1)
        with m.Elif(frame.take & (fault == 0)):
            with m.If(~image.idle):
                m.d.sync += fault.eq(Reason.OVERRUN)
            with m.Elif(counts):
                self._take_count(m, frame.before, counts, zeros, fault)
            with m.Elif(~image.complete):
                self._take_pixel(m, frame.before, counts)
            with m.Elif(has_more):
                m.d.sync += fault.eq(Reason.SIZE)
            with m.Else():
                m.d.sync += has_more.eq(1)
        if self._packed:
            with m.If(zeros.any()):
                m.d.comb += [image.write.eq(1), image.value.eq(0)]
                m.d.sync += zeros.eq(zeros - 1)
                with m.If(image.complete & (fault == 0)):
                    m.d.sync += fault.eq(Reason.SIZE)
            with m.If(frame.end):
                m.d.sync += [counts.eq(0), zeros.eq(0)]
        with m.If(frame.broken):
            m.d.sync += fault.eq(Reason.CHECKSUM)

        with m.If(self.refused.ready):
            m.d.sync += self.refused.valid.eq(0)
        verdict = Signal(REASON_BITS)
        with m.If(~has_pixel | ~frame.intact):
            m.d.comb += verdict.eq(Reason.CHECKSUM)
        with m.Elif(fault != 0):
            m.d.comb += verdict.eq(fault)
        with m.Elif(~has_more):
            m.d.comb += verdict.eq(Reason.SIZE)
        with m.If(frame.end):
            m.d.sync += [has_header.eq(0), has_pixel.eq(0), has_more.eq(0), fault.eq(0)]
            with m.If(verdict == 0):
                m.d.comb += image.start.eq(1)
            with m.Elif(has_header | (fault != 0)):  # else two ENDs in a row
                m.d.comb += image.forget.eq(1)
                m.d.sync += [self.refused.valid.eq(1), self.reason.eq(verdict)]
        return m

    def _take_pixel(self, m: Module, byte: Value, counts: Value) -> None:
        if not self._packed:
            m.d.comb += self.image.write.eq(1)
            return
        m.d.comb += self.image.write.eq(byte != 0)
        m.d.sync += counts.eq(byte == 0)

    def _take_count(self, m: Module, byte: Value, counts: Value, zeros: Value, fault: Signal) -> None:
        if not self._packed:
            return
        m.d.sync += [counts.eq(0), zeros.eq(byte)]
        with m.If(byte[len(zeros) :].any()):
            m.d.sync += fault.eq(Reason.SIZE)

"""Frames of packed events from the host (`link.packing`): checked, and unpacked on their way into the store."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data

from ..streams.tokens import address_bits
from .frame_decoder import FrameDecoder
from .frame_fifo import FrameFifo
from .frame_receiver import FrameReceiver, Seen, WordKind, at_least
from .packing import AGAIN, GAP_BITS, LONG_GAP, MOST_EVENTS, STEP_ENDS
from .protocol import Reason

_SPECIALS = (STEP_ENDS >> GAP_BITS, AGAIN >> GAP_BITS)


class PackedReceiver(FrameReceiver):
    """A `FrameReceiver` whose frames are packed.

    A code is unpacked when the second byte after it comes, for the last two of a frame are its checksum. Its events go
    into the store one per cycle.
    """

    def _address(self, frame: FrameDecoder) -> Value:
        return Signal(max(address_bits(self._format.inputs), 8) + 1)  # no skip carries it past its top bit

    def _take(
        self, m: Module, frame: FrameDecoder, fifo: FrameFifo, word: data.View, address: Value, seen: Seen
    ) -> None:
        code = Signal(8)  # the byte before `frame.before`
        left = Signal(range(MOST_EVENTS))
        emitting = Signal()
        kept = Signal()  # there are words of this frame in the store: if it is full, it is full of words
        gap, run = code[:GAP_BITS], code[GAP_BITS:]
        long = gap == LONG_GAP
        ends, again = (long & (run == number) for number in _SPECIALS)

        ended = Signal()
        fits = (seen.fault == 0) & ~(kept & fifo.full)
        m.d.comb += [fifo.write.eq(fits & (emitting | ended)), fifo.advance.eq(fifo.write)]
        with m.If(fifo.write):
            m.d.sync += kept.eq(1)
        with m.If(frame.take):
            m.d.sync += code.eq(frame.before)
        with m.If(frame.take & ~seen.has_header):
            self._take_header(m, frame.byte, seen)
        with m.Elif(frame.take & ~seen.half):
            m.d.sync += seen.half.eq(1)
        with m.Elif(frame.take & ~seen.has_word):
            m.d.sync += seen.has_word.eq(1)
        with m.Elif(frame.take):
            m.d.comb += ended.eq(ends)
            m.d.sync += [emitting.eq(~long), left.eq(run)]
            m.d.sync += address.eq(Mux(ends | again, 0, address + Cat(gap, Mux(long, run, 0))))
        with m.Elif(emitting):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1), emitting.eq(left != 0)]
            with m.If((seen.fault == 0) & at_least(address, self._format.inputs)):
                m.d.sync += seen.fault.eq(Reason.ADDRESS)
        with m.If(ended):
            m.d.comb += word.kind.eq(WordKind.END_OF_STEP)
        with m.If((seen.fault == 0) & kept & fifo.full):
            m.d.sync += seen.fault.eq(Reason.OVERRUN)
        with m.Elif((seen.fault == 0) & address[-1]):
            m.d.sync += seen.fault.eq(Reason.ADDRESS)
        with m.If(frame.end):
            m.d.sync += [kept.eq(0), address.eq(0)]

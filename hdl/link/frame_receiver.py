"""Frames from the host: checked, and their events released once the checksum has held."""

from __future__ import annotations

from typing import NamedTuple

from amaranth import Cat, Const, Module, Signal
from amaranth.hdl import Value, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..streams.tokens import address_bits
from .frame_decoder import FrameDecoder
from .frame_fifo import FrameFifo
from .protocol import REASON_BITS, LinkFormat, Reason
from .uart import RECEIVED


class WordKind(enum.Enum, shape=unsigned(3)):  # type: ignore[call-arg]
    """What a word of the FIFO says: the token kinds by the same numbers, and the end of a frame that ends no step."""

    EVENT = 0
    END_OF_STEP = 1
    END_OF_SAMPLE = 2
    ABORT = 3
    END_OF_FRAME = 4


def word_layout(inputs: int) -> data.StructLayout:
    """A word of the FIFO; in place of an address an abort has its reason."""
    return data.StructLayout({"kind": WordKind, "address": unsigned(max(REASON_BITS, address_bits(inputs)))})


def at_least(value: Value, bound: int) -> Value:
    """`value` >= `bound`, in logic: a subtractor's carry chain would take a cell per bit."""
    if bound >> len(value):
        return Const(0, 1)
    result: Value = Const(1, 1)
    for number, bit in enumerate(value):
        result = bit & result if bound >> number & 1 else bit | result
    return result


class Seen(NamedTuple):
    """What has been seen of a frame.

    `half`: `FrameDecoder.before` is half an address, or with addresses of one byte the last one. `has_word`: there is a
    word in the open place; the last one of a frame is its checksum. `out_of_range`: the address in it is.
    """

    has_header: Signal
    ends_step: Signal
    ends_sample: Signal
    half: Signal
    has_word: Signal
    out_of_range: Signal
    fault: Signal


class FrameReceiver(wiring.Component):
    """Checks frames and releases their events.

    ====== === ==============================================================
    Port   Dir Meaning
    ====== === ==============================================================
    i      in  stream of received bytes, always ready; the payload stays for one cycle more
    o      out stream of FIFO words, of accepted frames and aborts only
    reason out why the last frame was refused
    busy   out a sample is under way
    ready  in  the core's weights are there; until then every frame is refused
    ====== === ==============================================================

    Throughput one byte per 12 cycles. It hears nothing while the abort after an overrun waits for room.
    """

    i: stream.Interface
    o: stream.Interface
    reason: Signal
    busy: Signal
    ready: Signal

    def __init__(self, form: LinkFormat) -> None:
        self._format = form
        super().__init__(
            {
                "i": In(stream.Signature(RECEIVED, always_ready=True)),
                "o": Out(stream.Signature(word_layout(form.inputs))),
                "reason": Out(REASON_BITS),
                "busy": Out(1),
                "ready": In(1, init=1),
            }
        )

    @property
    def _has_halves(self) -> bool:
        """Whether a frame can end with half an address."""
        return self._format.input_bytes == 2 and not self._format.packed

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.frame = frame = FrameDecoder()
        m.submodules.fifo = fifo = FrameFifo(word_layout(self._format.inputs), self._format.fifo_words)
        wiring.connect(m, wiring.flipped(self.i), frame.i)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))

        has_header = Signal()
        ends_step, ends_sample = Signal(), Signal()
        half = Signal()
        has_word = Signal()
        out_of_range = Signal()
        fault = Signal(REASON_BITS)
        word = Signal(word_layout(self._format.inputs))
        address = self._address(frame)
        m.d.comb += [fifo.word.eq(word), word.address.eq(address)]

        seen = Seen(has_header, ends_step, ends_sample, half, has_word, out_of_range, fault)
        with m.FSM():
            with m.State("FRAME"):
                self._take(m, frame, fifo, word, address, seen)
                with m.If(frame.broken):
                    m.d.sync += fault.eq(Reason.CHECKSUM)
                with m.If(frame.end):
                    m.d.sync += [has_header.eq(0), half.eq(0), has_word.eq(0), out_of_range.eq(0), fault.eq(0)]
                    self._end_frame(m, frame.intact, fifo, word, seen)
            self._settle(m, fifo, word, ends_sample)
        return m

    def _address(self, frame: FrameDecoder) -> Value:
        """Where the event is that a frame has come to."""
        return Cat(frame.before, frame.byte) if self._format.input_bytes == 2 else frame.before

    def _take(
        self, m: Module, frame: FrameDecoder, fifo: FrameFifo, word: data.View, address: Value, seen: Seen
    ) -> None:
        """Take what is in a frame: the event under way lies in the open place until the next byte comes."""
        two_bytes = self._format.input_bytes == 2
        half, has_word, fault = seen.half, seen.has_word, seen.fault
        m.d.comb += fifo.advance.eq(frame.arrives & half & has_word & (fault == 0))
        with m.If(frame.take & ~seen.has_header):
            self._take_header(m, frame.byte, seen)
        with m.Elif(frame.take & ~half):
            m.d.sync += half.eq(1)
        with m.Elif(frame.take):
            m.d.comb += fifo.write.eq((fault == 0) & ~(fifo.full & has_word))
            m.d.sync += [half.eq(not two_bytes), has_word.eq(1)]
            m.d.sync += seen.out_of_range.eq(at_least(address, self._format.inputs))
            with m.If((fault == 0) & seen.out_of_range):
                m.d.sync += fault.eq(Reason.ADDRESS)
            with m.Elif((fault == 0) & fifo.full & has_word):
                m.d.sync += fault.eq(Reason.OVERRUN)

    def _take_header(self, m: Module, byte: Value, seen: Seen) -> None:
        fault = seen.fault
        m.d.sync += [seen.has_header.eq(1), seen.ends_step.eq(byte[1]), seen.ends_sample.eq(byte[2])]
        with m.If((fault == 0) & ~self.ready):
            m.d.sync += fault.eq(Reason.FLASH)
        with m.Elif((fault == 0) & (byte[3:].any() | (byte[1] & byte[2]))):
            m.d.sync += fault.eq(Reason.HEADER)
        with m.Elif((fault == 0) & (byte[0] == self.busy)):
            m.d.sync += fault.eq(Reason.ORDER)

    def _end_frame(self, m: Module, intact: Value, fifo: FrameFifo, word: data.View, seen: Seen) -> None:
        """Accept the frame, its end in the place of its checksum, or refuse it."""
        with m.If(~seen.has_word | ~intact):
            with m.If(seen.has_header | (seen.fault != 0)):  # else two ENDs in a row
                m.d.sync += self.reason.eq(Reason.CHECKSUM)
                m.next = "REFUSE"
        with m.Elif(seen.fault != 0):
            m.d.sync += self.reason.eq(seen.fault)
            m.next = "REFUSE"
        with m.Elif(seen.half & self._has_halves):
            m.d.sync += self.reason.eq(Reason.ADDRESS)
            m.next = "REFUSE"
        with m.Else():
            m.d.comb += [fifo.write.eq(1), fifo.advance.eq(1), word.kind.eq(WordKind.END_OF_FRAME)]
            with m.If(seen.ends_step):
                m.d.comb += word.kind.eq(WordKind.END_OF_STEP)
            with m.If(seen.ends_sample):
                m.d.comb += word.kind.eq(WordKind.END_OF_SAMPLE)
            m.next = "ACCEPT"

    def _settle(self, m: Module, fifo: FrameFifo, word: data.View, ends_sample: Signal) -> None:
        """The states after a frame: its words are released, or rolled back and the sample aborted."""
        with m.State("ACCEPT"):
            m.next = "FRAME"
            m.d.comb += fifo.commit.eq(~fifo.full)
            m.d.sync += self.busy.eq(~ends_sample)
            with m.If(fifo.full):
                m.d.sync += self.reason.eq(Reason.OVERRUN)
                m.next = "REFUSE"
        with m.State("REFUSE"):
            m.d.comb += fifo.rollback.eq(1)
            m.d.sync += self.busy.eq(0)
            m.next = "ABORT"
        with m.State("ABORT"):
            m.d.comb += [fifo.write.eq(1), fifo.advance.eq(1), word.kind.eq(WordKind.ABORT)]
            m.d.comb += word.address.eq(self.reason)
            m.next = "ABORTED"
        with m.State("ABORTED"):
            m.d.comb += fifo.commit.eq(~fifo.full)
            m.next = "FRAME"
            with m.If(fifo.full):
                m.next = "REFUSE"

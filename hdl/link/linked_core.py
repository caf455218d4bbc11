"""The host link: a core behind a UART, speaking the protocol of `spikeloom.hdl.link.protocol`.

Events wait in a FIFO until their frame's checksum has held, so the core never sees a broken frame; a refused frame
rolls the FIFO back and drops its sample. A byte on the line lasts 40 cycles at least: the link works through it in
small steps, which keeps it small, and no path through it is longer than from one register to the next.
"""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, ValueLike, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..core import Core
from ..images.coding import Decoder, ImageCoding
from ..images.decoders import count_memory, create_decoder
from ..images.encoders import ImageEncoder, pixel_memory
from ..memories.memory import Family, MemoryShape
from ..memories.spram import load_signature
from ..streams.tokens import TokenKind, address_bits, token_layout
from .frame_decoder import FrameDecoder
from .frame_fifo import FrameFifo
from .image_receiver import ImageReceiver
from .protocol import REASON_BITS, Code, LinkFormat, Reason
from .serial_crc import SerialCrc
from .slip import FrameByte, SlipEncoder
from .uart import RECEIVED, UartReceiver, UartTransmitter


class WordKind(enum.Enum, shape=unsigned(3)):  # type: ignore[call-arg]
    """What a word of the FIFO says: the token kinds by the same numbers, and the end of a frame that ends no step."""

    EVENT = 0
    END_OF_STEP = 1
    END_OF_SAMPLE = 2
    ABORT = 3
    END_OF_FRAME = 4


def word_layout(inputs: int) -> data.StructLayout:
    """A word of the FIFO."""
    return data.StructLayout({"kind": WordKind, "address": unsigned(address_bits(inputs))})


def link_memories(form: LinkFormat, family: Family) -> dict[str, MemoryShape]:
    """The memories of a link, by role."""
    coding = form.coding
    if coding is None:
        return {"fifo": MemoryShape(family, form.fifo_words, word_layout(form.inputs).size, writable=True)}
    memories = {"image": pixel_memory(form.inputs, coding, family)}
    if coding.decoder is Decoder.ARGMAX:
        memories["counts"] = count_memory(form.outputs, coding.steps, family)
    return memories


def at_least(value: Value, bound: int) -> Value:
    """`value` >= `bound`, in logic: a subtractor's carry chain would take a cell per bit."""
    if bound >> len(value):
        return Const(0, 1)
    result: Value = Const(1, 1)
    for number, bit in enumerate(value):
        result = bit & result if bound >> number & 1 else bit | result
    return result


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

    def elaborate(self, platform: object) -> Module:
        m = Module()
        two_bytes = self._format.input_bytes == 2
        m.submodules.frame = frame = FrameDecoder()
        m.submodules.fifo = fifo = FrameFifo(word_layout(self._format.inputs), self._format.fifo_words)
        wiring.connect(m, wiring.flipped(self.i), frame.i)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))

        has_header = Signal()
        ends_step, ends_sample = Signal(), Signal()
        half = Signal()  # `frame.before` is half an address, or with addresses of one byte the last one
        has_word = Signal()  # there is a word in the open place; the last one of a frame is its checksum
        out_of_range = Signal()  # the address in it is
        fault = Signal(REASON_BITS)
        address = Cat(frame.before, frame.byte) if two_bytes else frame.before
        word = Signal(word_layout(self._format.inputs))
        m.d.comb += [fifo.word.eq(word), word.address.eq(address)]

        with m.FSM():
            with m.State("FRAME"):
                m.d.comb += fifo.advance.eq(frame.arrives & half & has_word & (fault == 0))
                with m.If(frame.take & ~has_header):
                    m.d.sync += [has_header.eq(1), ends_step.eq(frame.byte[1]), ends_sample.eq(frame.byte[2])]
                    with m.If((fault == 0) & ~self.ready):
                        m.d.sync += fault.eq(Reason.FLASH)
                    with m.Elif((fault == 0) & (frame.byte[3:].any() | (frame.byte[1] & frame.byte[2]))):
                        m.d.sync += fault.eq(Reason.HEADER)
                    with m.Elif((fault == 0) & (frame.byte[0] == self.busy)):
                        m.d.sync += fault.eq(Reason.ORDER)
                with m.Elif(frame.take & ~half):
                    m.d.sync += half.eq(1)
                with m.Elif(frame.take):
                    m.d.comb += fifo.write.eq((fault == 0) & ~(fifo.full & has_word))
                    m.d.sync += [half.eq(not two_bytes), has_word.eq(1)]
                    m.d.sync += out_of_range.eq(at_least(address, self._format.inputs))
                    with m.If((fault == 0) & out_of_range):
                        m.d.sync += fault.eq(Reason.ADDRESS)
                    with m.Elif((fault == 0) & fifo.full & has_word):
                        m.d.sync += fault.eq(Reason.OVERRUN)
                with m.If(frame.broken):
                    m.d.sync += fault.eq(Reason.CHECKSUM)
                with m.If(frame.end):
                    m.d.sync += [has_header.eq(0), half.eq(0), has_word.eq(0), out_of_range.eq(0), fault.eq(0)]
                    # The end takes the place of the checksum.
                    with m.If(~has_word | ~frame.intact):
                        with m.If(has_header | (fault != 0)):  # else two ENDs in a row
                            m.d.sync += self.reason.eq(Reason.CHECKSUM)
                            m.next = "REFUSE"
                    with m.Elif(fault != 0):
                        m.d.sync += self.reason.eq(fault)
                        m.next = "REFUSE"
                    with m.Elif(half & two_bytes):
                        m.d.sync += self.reason.eq(Reason.ADDRESS)
                        m.next = "REFUSE"
                    with m.Else():
                        m.d.comb += [fifo.write.eq(1), fifo.advance.eq(1), word.kind.eq(WordKind.END_OF_FRAME)]
                        with m.If(ends_step):
                            m.d.comb += word.kind.eq(WordKind.END_OF_STEP)
                        with m.If(ends_sample):
                            m.d.comb += word.kind.eq(WordKind.END_OF_SAMPLE)
                        m.next = "ACCEPT"
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
                m.next = "ABORTED"
            with m.State("ABORTED"):
                m.d.comb += fifo.commit.eq(~fifo.full)
                m.next = "FRAME"
                with m.If(fifo.full):
                    m.next = "REFUSE"
        return m


class ReplySender(wiring.Component):
    """Frames the core's output tokens, and what else answers a frame, as replies.

    ======== === ==========================================================================================
    Port     Dir Meaning
    ======== === ==========================================================================================
    i        in  stream of the core's output tokens
    other    in  stream of frames that reach no core: those that end no step are accepted, images are refused
    reason   in  the reason of the next ERROR reply
    o        out stream of bytes for the transmitter
    ======== === ==========================================================================================

    A token that makes n bytes takes n * (10 + the transmitter's time) cycles; `i.ready` depends on registers only.
    """

    i: stream.Interface
    other: stream.Interface
    reason: Signal
    o: stream.Interface

    def __init__(self, form: LinkFormat) -> None:
        self._format = form
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(form.outputs))),
                "other": In(stream.Signature(0)),
                "reason": In(REASON_BITS),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = SerialCrc()
        m.submodules.slip = slip = SlipEncoder()
        wiring.connect(m, slip.o, wiring.flipped(self.o))
        two_bytes = self._format.output_bytes == 2
        token = self.i.payload
        high = Signal(max(0, len(token.address) - 8))  # of an address of two bytes
        byte = Signal(8)  # what to send
        turns = Signal(4)  # while the top bit is set, `byte` turns once, into the checksum or out of it
        loaded = Signal()
        sent = Signal()
        under_way = Signal()  # a reply has begun
        m.d.comb += [
            crc.shift.eq(turns[-1]),
            crc.bit.eq(byte[-1]),
            slip.i.valid.eq(loaded & ~turns[-1]),
            slip.i.payload.byte.eq(byte),
            sent.eq(slip.i.valid & slip.i.ready),
        ]
        with m.If(turns[-1]):
            m.d.sync += [turns.eq(turns + 1), byte.eq(Cat(Mux(crc.unload, crc.top, byte[-1]), byte[:-1]))]
        with m.If(sent):
            m.d.sync += loaded.eq(0)

        def load(value: ValueLike, state: str) -> None:
            m.d.sync += [byte.eq(value), turns.eq(8), loaded.eq(1)]
            m.next = state

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.i.ready.eq(1), self.other.ready.eq(~self.i.valid & ~under_way)]
                with m.If(self.i.valid):
                    m.d.sync += [under_way.eq(1), high.eq(token.address[8:])]
                    with m.Switch(token.kind):
                        with m.Case(TokenKind.EVENT):
                            load(token.address[:8], "LOW" if two_bytes else "EVENT")
                        with m.Case(TokenKind.END_OF_STEP):
                            load(Code.STEP, "CODE")
                        with m.Case(TokenKind.END_OF_SAMPLE):
                            load(Code.SAMPLE, "CODE")
                        with m.Case(TokenKind.ABORT):
                            load(self.reason, "REASON")
                with m.Elif(self.other.valid & ~under_way):
                    if self._format.coding is None:
                        load(Code.ACCEPTED, "CODE")
                    else:
                        load(self.reason, "REASON")
            if two_bytes:
                with m.State("LOW"), m.If(sent):
                    load(high, "EVENT")
            with m.State("EVENT"), m.If(sent):
                m.next = "IDLE"
            with m.State("REASON"), m.If(sent):
                load(Code.ERROR, "CODE")
            with m.State("CODE"), m.If(sent):
                load(byte, "CRC_HIGH")
            with m.State("CRC_HIGH"):
                m.d.comb += crc.unload.eq(1)
                with m.If(sent):
                    load(byte, "CRC_LOW")
            with m.State("CRC_LOW"):
                m.d.comb += crc.unload.eq(1)
                with m.If(sent):
                    m.d.sync += loaded.eq(1)
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [slip.i.payload.kind.eq(FrameByte.END), crc.restart.eq(1)]
                with m.If(sent):
                    m.d.sync += under_way.eq(0)
                    m.next = "IDLE"
        return m


class LinkedCore(wiring.Component):
    """A core that a host reaches through a UART.

    ======== === ===============================================
    Port     Dir Meaning
    ======== === ===============================================
    rx       in  from the host, asynchronous
    tx       out to the host
    activity out a sample is under way
    ready    in  the weights are there; else every frame is refused
    load     in  words for the SPRAMs, if the core has some
    ======== === ===============================================
    """

    rx: Signal
    tx: Signal
    activity: Signal
    ready: Signal
    load: Any

    def __init__(self, core: Core, form: LinkFormat, clocks_per_bit: int, family: Family) -> None:
        self._core = core
        self._format = form
        self._clocks_per_bit = clocks_per_bit
        self._family = family
        ports = {"rx": In(1, init=1), "tx": Out(1, init=1), "activity": Out(1), "ready": In(1, init=1)}
        super().__init__(ports | ({"load": In(load_signature())} if core.has_spram else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = self._core
        m.submodules.uart_receiver = uart_receiver = UartReceiver(self._clocks_per_bit)
        m.submodules.uart_transmitter = uart_transmitter = UartTransmitter(self._clocks_per_bit)
        m.submodules.sender = sender = ReplySender(self._format)
        m.d.comb += [uart_receiver.rx.eq(self.rx), self.tx.eq(uart_transmitter.tx)]
        wiring.connect(m, sender.o, uart_transmitter.i)
        if core.has_spram:
            wiring.connect(m, wiring.flipped(self.load), core.load)
        if self._format.coding is None:
            self._take_events(m, uart_receiver, sender)
        else:
            self._take_images(m, uart_receiver, sender, self._format.coding)
        return m

    def _take_events(self, m: Module, uart_receiver: UartReceiver, sender: ReplySender) -> None:
        core = self._core
        m.submodules.receiver = receiver = FrameReceiver(self._format)
        m.d.comb += [
            self.activity.eq(receiver.busy),
            sender.reason.eq(receiver.reason),
            receiver.ready.eq(self.ready),
        ]
        wiring.connect(m, uart_receiver.o, receiver.i)
        wiring.connect(m, core.o, sender.i)
        words = receiver.o
        is_token = words.payload.kind != WordKind.END_OF_FRAME
        m.d.comb += [
            core.i.valid.eq(words.valid & is_token),
            core.i.payload.kind.eq(words.payload.kind.as_value()[:2]),
            core.i.payload.address.eq(words.payload.address),
            sender.other.valid.eq(words.valid & ~is_token),
            words.ready.eq(Mux(is_token, core.i.ready, sender.other.ready)),
        ]

    def _take_images(self, m: Module, uart_receiver: UartReceiver, sender: ReplySender, coding: ImageCoding) -> None:
        m.submodules.receiver = receiver = ImageReceiver()
        m.submodules.encoder = encoder = ImageEncoder(self._format.inputs, coding, self._family)
        m.submodules.decoder = decoder = create_decoder(self._format.outputs, coding, self._family)
        m.d.comb += [
            self.activity.eq(~encoder.image.idle),
            sender.reason.eq(receiver.reason),
            receiver.ready.eq(self.ready),
        ]
        wiring.connect(m, uart_receiver.o, receiver.i)
        wiring.connect(m, receiver.image, encoder.image)
        wiring.connect(m, encoder.o, self._core.i)
        wiring.connect(m, self._core.o, decoder.i)
        wiring.connect(m, decoder.o, sender.i)
        wiring.connect(m, receiver.refused, sender.other)

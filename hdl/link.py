"""The host link: a core behind a UART, speaking the protocol of `spikeloom.hdl.link_protocol`.

Events wait in a FIFO until their frame's checksum has held, so the core never sees a broken frame; a refused frame
rolls the FIFO back and drops its sample.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .core import Core
from .link_protocol import CRC, END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE, Code, LinkFormat, Reason
from .memory import Family, MemoryShape, ShapedMemory
from .tokens import TokenKind, address_bits, token_layout
from .uart import RECEIVED, UartReceiver, UartTransmitter


class WordKind(enum.Enum, shape=unsigned(3)):  # type: ignore[call-arg]
    """What a word of the FIFO says: the token kinds by the same numbers, and the end of a frame that ends no step."""

    EVENT = 0
    END_OF_STEP = 1
    END_OF_SAMPLE = 2
    ABORT = 3
    END_OF_FRAME = 4


REASON_BITS = max(Reason).bit_length()


def word_layout(inputs: int) -> data.StructLayout:
    """A word of the FIFO."""
    return data.StructLayout({"kind": WordKind, "address": unsigned(address_bits(inputs))})


class FrameByte(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]
    """What a beat out of the SLIP decoder is."""

    BYTE = 0
    END = 1
    BROKEN = 2


class SlipDecoder(wiring.Component):
    """Undoes SLIP escapes.

    ==== === ==========================================================================================
    Port Dir Meaning
    ==== === ==========================================================================================
    i    in  stream of `RECEIVED` bytes, always ready
    o    out stream of {kind: FrameByte, byte}, without waiting; BROKEN spoils the frame under way
    ==== === ==========================================================================================
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        layout = data.StructLayout({"kind": FrameByte, "byte": 8})
        super().__init__(
            {
                "i": In(stream.Signature(RECEIVED, always_ready=True)),
                "o": Out(stream.Signature(layout, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        escaping = Signal()
        byte = self.i.payload.byte
        m.d.comb += [self.o.valid.eq(self.i.valid), self.o.payload.byte.eq(byte)]
        with m.If(self.i.valid):
            m.d.sync += escaping.eq(0)
        with m.If(self.i.payload.broken):
            m.d.comb += self.o.payload.kind.eq(FrameByte.BROKEN)
        with m.Elif(byte == END):
            m.d.comb += self.o.payload.kind.eq(FrameByte.END)
        with m.Elif(escaping):
            with m.Switch(byte):
                with m.Case(ESCAPED_END):
                    m.d.comb += self.o.payload.byte.eq(END)
                with m.Case(ESCAPED_ESCAPE):
                    m.d.comb += self.o.payload.byte.eq(ESCAPE)
                with m.Default():
                    m.d.comb += self.o.payload.kind.eq(FrameByte.BROKEN)
        with m.Elif(byte == ESCAPE):
            m.d.comb += self.o.valid.eq(0)
            with m.If(self.i.valid):
                m.d.sync += escaping.eq(1)
        return m


class FrameFifo(wiring.Component):
    """A FIFO whose writes count only once they are committed.

    ======== === ==============================================================
    Port     Dir Meaning
    ======== === ==============================================================
    word     in  what to write
    write    in  write `word` behind those written before
    commit   in  publish all words written, this cycle's included
    rollback in  forget the words written since the last commit
    full     out no room for another word
    o        out stream of the published words
    ======== === ==============================================================

    Holds `depth` - 1 words; `depth` is a power of two. A word comes out two cycles after its commit; one per cycle.
    """

    o: stream.Interface
    word: Signal
    write: Signal
    commit: Signal
    rollback: Signal
    full: Signal

    def __init__(self, layout: data.StructLayout, depth: int, family: Family) -> None:
        self._memory = MemoryShape(family, depth, layout.size, writable=True)
        super().__init__(
            {
                "word": In(layout.size),
                "write": In(1),
                "commit": In(1),
                "rollback": In(1),
                "full": Out(1),
                "o": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = ShapedMemory(self._memory)
        bits = (self._memory.depth - 1).bit_length()
        written, published, taken = Signal(bits), Signal(bits), Signal(bits)
        after = Signal(bits)
        m.d.comb += [
            self.full.eq((written + 1)[:bits] == taken),
            after.eq(written + self.write),
            memory.write_address.eq(written),
            memory.write_data.eq(self.word),
            memory.write_enable.eq(self.write),
        ]
        m.d.sync += written.eq(Mux(self.rollback, published, after))
        with m.If(self.commit):
            m.d.sync += published.eq(after)
        load = Signal()
        m.d.comb += [
            load.eq((taken != published) & (~self.o.valid | self.o.ready)),
            memory.read_address.eq(taken),
            memory.read_enable.eq(load),
            Cat(self.o.payload).eq(memory.read_data),
        ]
        m.d.sync += [taken.eq(taken + load), self.o.valid.eq(load | (self.o.valid & ~self.o.ready))]
        return m


class FrameReceiver(wiring.Component):
    """Checks frames and releases their events.

    ====== === ==============================================================
    Port   Dir Meaning
    ====== === ==============================================================
    i      in  stream of received bytes, always ready
    o      out stream of FIFO words, of accepted frames and aborts only
    reason out why the last frame was refused
    busy   out a sample is under way
    ====== === ==============================================================
    """

    i: stream.Interface
    o: stream.Interface
    reason: Signal
    busy: Signal

    def __init__(self, form: LinkFormat, family: Family) -> None:
        self._format = form
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(RECEIVED, always_ready=True)),
                "o": Out(stream.Signature(word_layout(form.inputs))),
                "reason": Out(8),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        m.submodules.slip = slip = SlipDecoder()
        m.submodules.crc = crc = CRC.create()
        m.submodules.fifo = fifo = FrameFifo(word_layout(form.inputs), form.fifo_words, self._family)
        wiring.connect(m, wiring.flipped(self.i), slip.i)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))

        beat = slip.o
        is_byte = beat.valid & (beat.payload.kind == FrameByte.BYTE)
        is_end = beat.valid & (beat.payload.kind == FrameByte.END)

        # The last two bytes are the checksum: a byte is content once two more have come.
        checksum = Signal(16)
        held = Signal(2)  # how many of the two are there
        content = Signal(8)
        content_valid = Signal()
        m.d.comb += [
            crc.data.eq(beat.payload.byte),
            crc.valid.eq(is_byte),
            crc.start.eq(is_end),
            content.eq(checksum[8:]),
            content_valid.eq(is_byte & (held == 2)),
        ]
        with m.If(is_byte):
            m.d.sync += checksum.eq(Cat(beat.payload.byte, checksum[:8]))
            with m.If(held != 2):
                m.d.sync += held.eq(held + 1)

        header = Signal(8)
        has_header = Signal()
        fault = Signal(REASON_BITS)
        half = Signal()
        low = Signal(8)
        address = content if form.input_bytes == 1 else Cat(low, content)
        refused = Signal()  # an abort is still to be written
        no_room = fifo.full | refused
        word = Signal(word_layout(form.inputs))
        m.d.comb += fifo.word.eq(word)

        with m.If(content_valid & ~has_header):
            m.d.sync += [has_header.eq(1), header.eq(content)]
        with m.Elif(content_valid & ~half & (form.input_bytes == 2)):
            m.d.sync += [half.eq(1), low.eq(content)]
        with m.Elif(content_valid):
            m.d.comb += [word.kind.eq(WordKind.EVENT), word.address.eq(address), fifo.write.eq(~no_room)]
            m.d.sync += half.eq(0)
            with m.If(address >= form.inputs):
                m.d.sync += fault.eq(Reason.ADDRESS)
            with m.Elif(no_room):
                m.d.sync += fault.eq(Reason.OVERRUN)
        with m.If(beat.valid & (beat.payload.kind == FrameByte.BROKEN)):
            m.d.sync += fault.eq(Reason.CHECKSUM)

        verdict = Signal(REASON_BITS)
        ends_step, ends_sample = header[1], header[2]
        with m.If(~has_header | ~crc.match_detected):
            m.d.comb += verdict.eq(Reason.CHECKSUM)
        with m.Elif(fault != 0):
            m.d.comb += verdict.eq(fault)
        with m.Elif(half):
            m.d.comb += verdict.eq(Reason.ADDRESS)
        with m.Elif(header[3:].any() | (ends_step & ends_sample)):
            m.d.comb += verdict.eq(Reason.HEADER)
        with m.Elif(header[0] == self.busy):
            m.d.comb += verdict.eq(Reason.ORDER)
        with m.Elif(no_room):
            m.d.comb += verdict.eq(Reason.OVERRUN)

        is_empty = (held == 0) & (fault == 0)  # two ENDs in a row
        with m.If(is_end & ~is_empty):
            with m.If(verdict == 0):
                m.d.comb += [fifo.write.eq(1), fifo.commit.eq(1), word.kind.eq(WordKind.END_OF_FRAME)]
                with m.If(ends_step):
                    m.d.comb += word.kind.eq(WordKind.END_OF_STEP)
                with m.If(ends_sample):
                    m.d.comb += word.kind.eq(WordKind.END_OF_SAMPLE)
                m.d.sync += self.busy.eq(~ends_sample)
            with m.Else():
                m.d.comb += fifo.rollback.eq(1)
                m.d.sync += [self.reason.eq(verdict), refused.eq(1), self.busy.eq(0)]
        with m.If(is_end):
            m.d.sync += [held.eq(0), has_header.eq(0), half.eq(0), fault.eq(0)]
        with m.Elif(refused & ~fifo.full):
            m.d.comb += [word.kind.eq(WordKind.ABORT), fifo.write.eq(1), fifo.commit.eq(1)]
            m.d.sync += refused.eq(0)
        return m


class ReplySender(wiring.Component):
    """Frames the core's output tokens, and the acceptance of frames that end no step, as replies.

    ======== === =========================================================
    Port     Dir Meaning
    ======== === =========================================================
    i        in  stream of the core's output tokens
    accepted in  stream of frames to be acknowledged
    reason   in  the reason byte of the next ERROR reply
    o        out stream of bytes for the transmitter
    ======== === =========================================================
    """

    i: stream.Interface
    accepted: stream.Interface
    reason: Signal
    o: stream.Interface

    def __init__(self, form: LinkFormat) -> None:
        self._format = form
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(form.outputs))),
                "accepted": In(stream.Signature(0)),
                "reason": In(8),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC.create()
        byte = Signal(8)
        put = Signal()  # `byte` is offered
        taken = Signal()  # `byte` has left
        m.d.comb += crc.data.eq(byte)
        code = Signal(8)
        under_way = Signal()  # a reply has begun
        token = self.i.payload
        address = token.address

        with m.FSM():
            with m.State("BODY"):
                with m.If(self.accepted.valid & ~under_way):
                    m.d.comb += self.accepted.ready.eq(1)
                    m.d.sync += code.eq(Code.ACCEPTED)
                    m.next = "CODE"
                with m.Elif(self.i.valid & (token.kind == TokenKind.EVENT)):
                    m.d.comb += [byte.eq(address[:8]), put.eq(1), crc.valid.eq(taken)]
                    m.d.sync += under_way.eq(1)
                    if self._format.output_bytes == 1:
                        m.d.comb += self.i.ready.eq(taken)
                    else:
                        with m.If(taken):
                            m.next = "HIGH"
                with m.Elif(self.i.valid):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += [under_way.eq(1), code.eq(Code.STEP)]
                    m.next = "CODE"
                    with m.If(token.kind == TokenKind.END_OF_SAMPLE):
                        m.d.sync += code.eq(Code.SAMPLE)
                    with m.If(token.kind == TokenKind.ABORT):
                        m.d.sync += code.eq(Code.ERROR)
                        m.next = "REASON"
            if self._format.output_bytes == 2:
                with m.State("HIGH"):
                    m.d.comb += [byte.eq(address[8:]), put.eq(1), crc.valid.eq(taken), self.i.ready.eq(taken)]
                    with m.If(taken):
                        m.next = "BODY"
            for state, value, following in (
                ("REASON", self.reason, "CODE"),
                ("CODE", code, "CRC_HIGH"),
                ("CRC_HIGH", crc.crc[8:], "CRC_LOW"),
                ("CRC_LOW", crc.crc[:8], "END"),
            ):
                with m.State(state):
                    m.d.comb += [byte.eq(value), put.eq(1)]
                    if not state.startswith("CRC"):
                        m.d.comb += crc.valid.eq(taken)
                    with m.If(taken):
                        m.next = following
            with m.State("END"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(END)]
                with m.If(self.o.ready):
                    m.d.comb += crc.start.eq(1)
                    m.d.sync += under_way.eq(0)
                    m.next = "BODY"

        # SLIP: END and ESCAPE leave as two bytes.
        escaped = Signal()  # the first of the two has left
        special = (byte == END) | (byte == ESCAPE)
        with m.If(put):
            m.d.comb += [self.o.valid.eq(1), taken.eq(self.o.ready & (escaped | ~special))]
            with m.If(escaped):
                m.d.comb += self.o.payload.eq(Mux(byte == END, ESCAPED_END, ESCAPED_ESCAPE))
            with m.Elif(special):
                m.d.comb += self.o.payload.eq(ESCAPE)
            with m.Else():
                m.d.comb += self.o.payload.eq(byte)
            with m.If(self.o.ready):
                m.d.sync += escaped.eq(special & ~escaped)
        return m


class LinkedCore(wiring.Component):
    """A core that a host reaches through a UART.

    ======== === ===============================================
    Port     Dir Meaning
    ======== === ===============================================
    rx       in  from the host, asynchronous
    tx       out to the host
    activity out a sample is under way
    ======== === ===============================================
    """

    rx: Signal
    tx: Signal
    activity: Signal

    def __init__(self, core: Core, form: LinkFormat, clocks_per_bit: int, family: Family) -> None:
        self._core = core
        self._format = form
        self._clocks_per_bit = clocks_per_bit
        self._family = family
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "activity": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = self._core
        m.submodules.uart_receiver = uart_receiver = UartReceiver(self._clocks_per_bit)
        m.submodules.uart_transmitter = uart_transmitter = UartTransmitter(self._clocks_per_bit)
        m.submodules.receiver = receiver = FrameReceiver(self._format, self._family)
        m.submodules.sender = sender = ReplySender(self._format)
        m.d.comb += [
            uart_receiver.rx.eq(self.rx),
            self.tx.eq(uart_transmitter.tx),
            self.activity.eq(receiver.busy),
            sender.reason.eq(receiver.reason),
        ]
        wiring.connect(m, uart_receiver.o, receiver.i)
        wiring.connect(m, core.o, sender.i)
        wiring.connect(m, sender.o, uart_transmitter.i)

        words = receiver.o
        is_token = words.payload.kind != WordKind.END_OF_FRAME
        m.d.comb += [
            core.i.valid.eq(words.valid & is_token),
            core.i.payload.kind.eq(words.payload.kind.as_value()[:2]),
            core.i.payload.address.eq(words.payload.address),
            sender.accepted.valid.eq(words.valid & ~is_token),
            words.ready.eq(Mux(is_token, core.i.ready, sender.accepted.ready)),
        ]
        return m

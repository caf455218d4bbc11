"""The host link: a core behind a UART or SPI, speaking the protocol of `spikeloom.hdl.link.protocol`.

Events wait in a FIFO until their frame's checksum has held, so the core never sees a broken frame; a refused frame
rolls the FIFO back and drops its sample. A byte on the line lasts 40 cycles at least: the link works through it in
small steps, which keeps it small, and no path through it is longer than from one register to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..core import Core
from ..images.coding import Decoder, ImageCoding
from ..images.decoders import count_memory, create_decoder
from ..images.encoders import ImageEncoder, pixel_memory
from ..memories.memory import NEVER_LOGIC, Family, MemoryShape, ShapedMemory, read_only
from ..memories.spram import load_signature
from ..streams.register import StreamRegister
from ..streams.tokens import TokenKind
from .frame_receiver import FrameReceiver, WordKind, word_layout
from .image_receiver import ImageReceiver
from .packed_receiver import PackedReceiver
from .protocol import CRC_BYTES, LinkFormat
from .reply_sender import ReplySender
from .spi import SpiPeripheral
from .uart import UartReceiver, UartTransmitter


def identity_memory(family: Family) -> MemoryShape:
    """The memory of an identity that is exchanged with weights: it is the same word everywhere."""
    return read_only(family, 1, 8 * CRC_BYTES, NEVER_LOGIC)


def link_memories(form: LinkFormat, family: Family, *, exchanged: bool = False) -> dict[str, MemoryShape]:
    """The memories of a link, by role: where weights can be `exchanged` the identity lies in one."""
    return _link_memories(form, family) | ({"identity": identity_memory(family)} if exchanged else {})


def _link_memories(form: LinkFormat, family: Family) -> dict[str, MemoryShape]:
    coding = form.coding
    if coding is None:
        return {"fifo": MemoryShape(family, form.fifo_words, word_layout(form.inputs).size, writable=True)}
    memories = {"image": pixel_memory(form.inputs, coding, family)}
    if coding.decoder is Decoder.ARGMAX:
        memories["counts"] = count_memory(form.outputs, coding.steps * form.most_spikes, family)
    return memories


class LinkedCore(wiring.Component):
    """A core that a host reaches through a UART, or by SPI. The words of its `identity` lie in a memory where they are
    given.

    ======== === ===============================================
    Port     Dir Meaning
    ======== === ===============================================
    rx       in  from the host, asynchronous; by SPI its COPI
    tx       out to the host; by SPI its CIPO
    host_cs  in  by SPI alone: 0 while the host speaks
    host_sck in  by SPI alone: its clock
    activity out a sample is under way
    ready    in  the weights are there; else every frame is refused
    load     in  words for the SPRAMs, if the core has some
    identity out what the checksums of replies start from, where that is read from a memory
    ======== === ===============================================
    """

    rx: Signal
    tx: Signal
    activity: Signal
    ready: Signal
    load: Any
    host_cs: Signal
    host_sck: Signal
    identity: Signal

    def __init__(
        self,
        core: Core,
        form: LinkFormat,
        clocks_per_bit: int | Fraction | None,
        family: Family,
        identity: Sequence[int] | None = None,
    ) -> None:
        """`clocks_per_bit` is that of the UART, None for SPI."""
        self._core = core
        self._format = form
        self._clocks_per_bit = clocks_per_bit
        self._family = family
        self._identity = identity
        ports = {"rx": In(1, init=1), "tx": Out(1, init=1), "activity": Out(1), "ready": In(1, init=1)}
        ports |= {} if identity is None else {"identity": Out(8 * CRC_BYTES)}
        if self.by_spi:
            ports |= {"host_cs": In(1, init=1), "host_sck": In(1)}
        super().__init__(ports | ({"load": In(load_signature())} if core.has_spram else {}))

    @property
    def by_spi(self) -> bool:
        """Whether the host speaks SPI."""
        return self._clocks_per_bit is None

    @property
    def tells_identity(self) -> bool:
        """Whether its identity lies in a memory."""
        return self._identity is not None

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = self._core
        heard, spoken = self._line(m)
        m.submodules.sender = sender = ReplySender(self._format, is_told=self._identity is not None)
        wiring.connect(m, sender.o, spoken)
        if self._identity is not None:
            m.submodules.identity = words = ShapedMemory(identity_memory(self._family), self._identity)
            m.d.comb += [words.read_enable.eq(1), self.identity.eq(words.read_data), sender.identity.eq(self.identity)]
        if core.has_spram:
            wiring.connect(m, wiring.flipped(self.load), core.load)
        if self._format.coding is None:
            self._take_events(m, heard, sender)
        else:
            self._take_images(m, heard, sender, self._format.coding)
        return m

    def _line(self, m: Module) -> tuple[Any, Any]:
        """The streams of bytes from and to the host."""
        if self._clocks_per_bit is None:
            m.submodules.spi = spi = SpiPeripheral()
            m.d.comb += [spi.cs_n.eq(self.host_cs), spi.sck.eq(self.host_sck), spi.copi.eq(self.rx)]
            m.d.comb += self.tx.eq(spi.cipo)
            return spi.o, spi.i
        m.submodules.uart_receiver = uart_receiver = UartReceiver(self._clocks_per_bit)
        m.submodules.uart_transmitter = uart_transmitter = UartTransmitter(self._clocks_per_bit)
        m.d.comb += [uart_receiver.rx.eq(self.rx), self.tx.eq(uart_transmitter.tx)]
        return uart_receiver.o, uart_transmitter.i

    def _take_events(self, m: Module, heard: Any, sender: ReplySender) -> None:
        core = self._core
        receiver = PackedReceiver(self._format) if self._format.packed else FrameReceiver(self._format)
        m.submodules.receiver = receiver
        m.d.comb += [
            self.activity.eq(receiver.busy),
            receiver.ready.eq(self.ready),
        ]
        wiring.connect(m, heard, receiver.i)
        wiring.connect(m, core.o, sender.i)
        words = self._words(m, receiver.o)
        is_token = words.payload.kind != WordKind.END_OF_FRAME
        # The core takes one abort at a time: its reason waits here until the sender answers.
        aborting = Signal()
        is_abort = words.payload.kind == WordKind.ABORT
        goes = ~(is_abort & aborting)
        with m.If(words.valid & is_abort & words.ready):
            m.d.sync += [aborting.eq(1), sender.reason.eq(words.payload.address)]
        with m.If(core.o.valid & core.o.ready & (core.o.payload.kind == TokenKind.ABORT)):
            m.d.sync += aborting.eq(0)
        m.d.comb += [
            core.i.valid.eq(words.valid & is_token & goes),
            core.i.payload.kind.eq(words.payload.kind.as_value()[:2]),
            core.i.payload.address.eq(words.payload.address),
            sender.other.valid.eq(words.valid & ~is_token),
            words.ready.eq(Mux(is_token, core.i.ready & goes, sender.other.ready)),
        ]

    def _words(self, m: Module, words: Any) -> Any:
        """The words of the FIFO; on ECP5 through a register, as its block RAMs are slow and the walker's are next."""
        if self._family is not Family.ECP5:
            return words
        m.submodules.words = register = StreamRegister(word_layout(self._format.inputs))
        wiring.connect(m, words, register.i)
        return register.o

    def _take_images(self, m: Module, heard: Any, sender: ReplySender, coding: ImageCoding) -> None:
        m.submodules.receiver = receiver = ImageReceiver(self._format.packed)
        m.submodules.encoder = encoder = ImageEncoder(self._format.inputs, coding, self._family)
        m.submodules.decoder = decoder = create_decoder(
            self._format.outputs, coding, self._family, self._format.readout, self._format.most_spikes
        )
        m.d.comb += [
            self.activity.eq(~encoder.image.idle),
            sender.reason.eq(receiver.reason),
            receiver.ready.eq(self.ready),
        ]
        wiring.connect(m, heard, receiver.i)
        wiring.connect(m, receiver.image, encoder.image)
        wiring.connect(m, encoder.o, self._core.i)
        wiring.connect(m, self._core.o, decoder.i)
        wiring.connect(m, decoder.o, sender.i)
        wiring.connect(m, receiver.refused, sender.other)

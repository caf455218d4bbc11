"""Weights from SPI flash into SPRAM at start-up, refused unless their checksum holds.

In flash, from `FlashFormat.offset` on and every number with its most significant byte first: a header of 16 bytes, the
16-bit words of the SPRAMs, and a CRC-32 (polynomial 0x04C11DB7, initial value 0xFFFFFFFF, neither reflected nor
inverted) over header and words. The hardware knows which header it expects, so it reads the words only and starts its
CRC from the one that this header has: a wrong magic, version, length or design is a wrong checksum.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

from amaranth import Cat, Const, Module, Signal
from amaranth.hdl import Value, signed
from amaranth.lib import wiring
from amaranth.lib.crc.catalog import CRC32_MPEG_2
from amaranth.lib.wiring import In, Out

from ..memories.spram import MAX_SPRAMS, SPRAM_DEPTH, SPRAM_WIDTH, load_signature
from .serial_crc import SerialCrc

MAGIC = b"SPKW"
VERSION = 1
HEADER = struct.Struct(">4sBBxxII")
"""Magic, version, bits of an address in an SPRAM, number of words, design."""

CRC_BYTES = 4

WEIGHTS_OFFSET = 0x20000
"""Where weights lie in flash: two 64 KiB sectors, an iCE40UP5K's bitstream takes 104,090 bytes of them."""

_WAKE, _READ = 0xAB, 0x03
_COMMAND_BITS = 32
_FIRST_BIT = -_COMMAND_BITS - SPRAM_WIDTH
_PAUSE_BITS = 10
_IDENTITY_BITS = 16


@dataclass(frozen=True, kw_only=True)
class FlashFormat:
    """What bitstream and flash agree on.

    `words` is how many 16-bit words there are; word `n` belongs into SPRAM `n >> address_bits`, at the address that the
    low `address_bits` bits of `n` are. `design` is a number that tells designs apart: weights for another one are
    refused. `offset` is where the header lies, in bytes.
    """

    words: int
    address_bits: int
    design: int
    offset: int = WEIGHTS_OFFSET

    def __post_init__(self) -> None:
        if not 0 < self.words <= MAX_SPRAMS << self.address_bits or 1 << self.address_bits > SPRAM_DEPTH:
            raise ValueError(f"{self.words} words do not lie in {MAX_SPRAMS} SPRAMs of 2^{self.address_bits} words")

    @property
    def header(self) -> bytes:
        """The bytes in front of the words."""
        return HEADER.pack(MAGIC, VERSION, self.address_bits, self.words, self.design)

    def named(self, identity: int) -> FlashFormat:
        """The format whose header leaves the checksum as a design with that `identity` in a memory expects it: the
        design's number, as which it takes the same for all identities, is changed by so much."""
        change = identity
        for _ in range(CRC32_MPEG_2.crc_width):
            fed_back = change & 1
            change = (change ^ (CRC32_MPEG_2.polynomial if fed_back else 0)) >> 1 | fed_back << 31
        return replace(self, design=self.design ^ change)

    @property
    def size(self) -> int:
        """Bytes of header, words and CRC."""
        return HEADER.size + self.words * SPRAM_WIDTH // 8 + CRC_BYTES


def flash_crc(data: bytes) -> int:
    """The CRC-32; 0 for data that end with theirs."""
    return int(CRC32_MPEG_2(data_width=8).compute(data))


def load_cycles(words: int) -> int:
    """Clock cycles of an attempt to load so many words."""
    return 32 * words + 4430


class FlashLoader(wiring.Component):
    """Fills the SPRAMs of a design from SPI flash.

    It wakes the flash (an iCE40 sends it to sleep after configuration), reads the weights (command 0x03) and compares
    their checksum. Whatever goes wrong, it starts again, and so recovers from a flash that was not ready yet.

    ======== === ========================================================================
    Port     Dir Meaning
    ======== === ========================================================================
    cs       out the flash is selected (active high; the pin is active low)
    sck      out its clock, at half the clock's frequency, mode 0
    copi     out its data input
    cipo     in  its data output
    load     out what to write into the SPRAMs
    ready    out the weights are there and their checksum held
    failed   out the last attempt ended with a wrong checksum
    identity in  the design's, where that `is_told`: weights for another are refused
    ======== === ========================================================================

    An attempt takes `load_cycles`: at 12 MHz 44 ms for 16,384 words (256 kbit). The pauses before
    and after waking last 1,024 periods of `sck`: 42 us at 48 MHz, where flashes ask for up to 35 us.
    """

    cs: Signal
    sck: Signal
    copi: Signal
    cipo: Signal
    load: Any
    ready: Signal
    failed: Signal
    identity: Signal

    def __init__(self, form: FlashFormat, *, is_told: bool = False) -> None:
        self._format = form
        self._is_told = is_told
        ports = {
            "cs": Out(1),
            "sck": Out(1),
            "copi": Out(1),
            "cipo": In(1),
            "load": Out(load_signature()),
            "ready": Out(1),
            "failed": Out(1),
        }
        super().__init__(ports | ({"identity": In(_IDENTITY_BITS)} if is_told else {}))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        form = self._format
        # A bit on the line takes two cycles. The pins are registers: they show what `bit` and `half` say one cycle
        # later, and `cipo` is taken at the end of the clock's high half, so the bit that arrives is number `bit - 1`.
        half = Signal()
        bit = Signal(signed(max((form.words + 1).bit_length() + 4, _PAUSE_BITS + 1) + 1), init=_FIRST_BIT)
        selected = Signal()
        m.d.sync += [half.eq(~half), bit.eq(bit + half), self.cs.eq(selected), self.sck.eq(selected & half)]

        # Bits -48 to -17 are the command, -16 to -1 the first word: word n has arrived at bit 16 * n.
        arrived = half & (bit[:4] == 0)
        word = bit[4:]
        in_words, in_crc = Signal(), Signal()
        intact = self._receive(m, half, word, in_words, in_crc)
        reading = Signal()
        self._send(m, bit, reading)
        awake = Signal()
        with m.FSM():
            with m.State("PAUSE"):
                with m.If(half & ~bit[-1] & bit[_PAUSE_BITS]):
                    m.d.sync += bit.eq(_FIRST_BIT)
                    with m.If(awake):
                        m.next = "READ"
                    with m.Else():
                        m.next = "WAKE"
            with m.State("WAKE"):
                m.d.comb += selected.eq(1)
                with m.If(half & (bit[:3] == 7)):
                    m.d.sync += awake.eq(1)
                    m.next = "PAUSE"
            with m.State("READ"):
                m.d.comb += [selected.eq(1), reading.eq(1)]
                with m.If(arrived):
                    with m.If(~in_words):
                        m.d.sync += in_words.eq(bit[4] & bit[5])
                    with m.Elif(~in_crc):
                        m.d.comb += self.load.valid.eq(1)
                        m.d.sync += in_crc.eq(word == form.words - 1)
                    with m.Elif(word[0] != form.words % 2):  # its second half
                        m.d.sync += [bit.eq(_FIRST_BIT), awake.eq(0), in_words.eq(0), in_crc.eq(0)]
                        m.d.sync += [self.ready.eq(intact), self.failed.eq(~intact)]
                        m.next = "PAUSE"
                        with m.If(intact):
                            m.next = "READY"
            with m.State("READY"):
                pass
        return m

    def _send(self, m: Module, bit: Value, reading: Signal) -> None:
        """The command for each bit: to read from where the words begin, or to wake."""
        command = Const(_READ << 24 | self._format.offset + HEADER.size, 32)
        wake = Const(_WAKE << 24, 32)
        number = Cat(~bit[:4], bit[4])  # 31 at the first bit: commands leave with their highest bit first
        with m.If(reading):
            m.d.sync += self.copi.eq(command.bit_select(number, 1))
        with m.Else():
            m.d.sync += self.copi.eq(wake.bit_select(number, 1))

    def _receive(self, m: Module, half: Signal, word: Value, in_words: Signal, in_crc: Signal) -> Signal:
        """Words to load from the bits of each low half, and whether their checksum holds so far."""
        form = self._format
        initial = flash_crc(form.header)
        told = None if self._is_told else initial
        m.submodules.crc = crc = SerialCrc(CRC32_MPEG_2.crc_width, CRC32_MPEG_2.polynomial, told)
        if self._is_told:
            m.d.comb += crc.initial.eq(initial ^ self.identity)
        intact = Signal()
        m.d.comb += [
            crc.bit.eq(self.cipo),
            crc.shift.eq(~half),
            crc.restart.eq(~in_words),
            self.load.address.eq(word[: form.address_bits]),
            self.load.block.eq(word[form.address_bits :]),
        ]
        with m.If(~half):
            m.d.sync += [
                self.load.data.eq(Cat(self.cipo, self.load.data)),
                intact.eq(~in_crc | (intact & ~crc.differs)),
            ]
        return intact

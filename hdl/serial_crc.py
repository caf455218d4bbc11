"""The link's checksum, a bit per cycle: a UART leaves the time, and a byte per cycle takes twice the logic."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .link_protocol import CRC_INITIAL, CRC_POLYNOMIAL


class SerialCrc(wiring.Component):
    """CRC-16, most significant bit first.

    ======== === ====================================================================
    Port     Dir Meaning
    ======== === ====================================================================
    restart  in  begin a new message
    shift    in  take `bit` into the checksum
    bit      in  the next bit
    unload   in  with `shift`: push the checksum out instead, 16 times
    top      out the checksum's most significant bit
    differs  out `bit` is not the next bit of the checksum
    ======== === ====================================================================

    A message followed by its checksum is intact if `differs` stays 0 over the last 16 bits.
    """

    restart: Signal
    shift: Signal
    bit: Signal
    unload: Signal
    top: Signal
    differs: Signal

    def __init__(self) -> None:
        super().__init__(
            {name: In(1) for name in ("restart", "shift", "bit", "unload")} | {"top": Out(1), "differs": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        checksum = Signal(16, init=CRC_INITIAL)
        m.d.comb += [self.top.eq(checksum[-1]), self.differs.eq(self.bit ^ self.top)]
        with m.If(self.restart):
            m.d.sync += checksum.eq(CRC_INITIAL)
        with m.Elif(self.shift):
            feedback = Mux(self.differs & ~self.unload, CRC_POLYNOMIAL, 0)
            m.d.sync += checksum.eq(Cat(0, checksum[:-1]) ^ feedback)
        return m

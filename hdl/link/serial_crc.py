"""Checksums a bit per cycle: a serial line leaves the time, and a byte per cycle takes twice the logic."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .protocol import CRC_INITIAL, CRC_POLYNOMIAL


class SerialCrc(wiring.Component):
    """A CRC of `width` bits, most significant bit first; by default the link's.

    ======== === ====================================================================
    Port     Dir Meaning
    ======== === ====================================================================
    restart  in  begin a new message
    shift    in  take `bit` into the checksum
    bit      in  the next bit
    initial  in  what a message starts from, where that is no constant: begin the first one with `restart`, too
    unload   in  with `shift`: push the checksum out instead, `width` times
    top      out the checksum's most significant bit
    differs  out `bit` is not the next bit of the checksum
    ======== === ====================================================================

    A message followed by its checksum is intact if `differs` stays 0 over the last `width` bits.
    """

    restart: Signal
    shift: Signal
    bit: Signal
    unload: Signal
    initial: Signal
    top: Signal
    differs: Signal

    def __init__(self, width: int = 16, polynomial: int = CRC_POLYNOMIAL, initial: int | None = CRC_INITIAL) -> None:
        self._width = width
        self._polynomial = polynomial
        self._initial = initial
        ports = {name: In(1) for name in ("restart", "shift", "bit", "unload")} | {"top": Out(1), "differs": Out(1)}
        super().__init__(ports | ({"initial": In(width)} if initial is None else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        checksum = Signal(self._width, init=self._initial or 0)
        m.d.comb += [self.top.eq(checksum[-1]), self.differs.eq(self.bit ^ self.top)]
        with m.If(self.restart):
            m.d.sync += checksum.eq(self.initial if self._initial is None else self._initial)
        with m.Elif(self.shift):
            feedback = Mux(self.differs & ~self.unload, self._polynomial, 0)
            m.d.sync += checksum.eq(Cat(0, checksum[:-1]) ^ feedback)
        return m

"""A second line to a host, for microcontrollers: SPI in mode 0, the device as the peripheral.

Bytes go both ways at once, so that each direction has bytes for when there is nothing to say. From the host these are
ENDs, which make empty frames. From the device they are ENDs too, but within a frame whose next byte is not there yet
`STUFFING`, an escape that stands for nothing.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .protocol import END, ESCAPE
from .uart import RECEIVED

STUFFED = 0xDE
STUFFING = bytes([ESCAPE, STUFFED])

FEWEST_CLOCKS = 6
"""Clock cycles of a bit: the device sees an edge two cycles late, answers in the next, and the host samples at the edge
after."""


class SpiPeripheral(wiring.Component):
    """Takes and gives bytes, most significant bit first.

    ==== === =====================================================================================================
    Port Dir Meaning
    ==== === =====================================================================================================
    cs_n in  0 while the host speaks, from `FEWEST_CLOCKS` cycles before its first edge on; asynchronous
    sck  in  the host's clock, low at rest; `copi` is valid at its rising edges, and `cipo` before them; asynchronous
    copi in  from the host
    cipo out to the host
    o    out stream of `RECEIVED`, without waiting: a byte not taken at once is lost
    i    in  stream of bytes
    ==== === =====================================================================================================

    The host must end a byte that it began; between bytes it may deselect the device. A byte is valid for one cycle; its
    payload stays until the next bit.
    """

    cs_n: Signal
    sck: Signal
    copi: Signal
    cipo: Signal
    o: stream.Interface
    i: stream.Interface

    def __init__(self) -> None:
        super().__init__(
            {"cs_n": In(1, init=1), "sck": In(1), "copi": In(1), "cipo": Out(1)}
            | {"o": Out(stream.Signature(RECEIVED, always_ready=True)), "i": In(stream.Signature(8))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idle, clock, before, bit = Signal(init=1), Signal(), Signal(), Signal()
        for number, (pin, seen) in enumerate(((self.cs_n, idle), (self.sck, clock), (self.copi, bit))):
            m.submodules[f"synchroniser_{number}"] = FFSynchronizer(pin, seen, init=seen.init)
        taken, given = Signal(8), Signal(8)
        place = Signal(3)
        due = Signal(init=1)  # the next byte to the host is to be chosen
        within = Signal()  # of a frame: the last byte was not its end
        stuffing = Signal()  # half of it has been sent

        m.d.comb += [self.cipo.eq(given[-1]), self.o.payload.byte.eq(taken)]
        m.d.sync += [before.eq(clock), self.o.valid.eq(0)]
        with m.If(idle):
            m.d.sync += place.eq(0)
        with m.Elif(clock & ~before):
            m.d.sync += [taken.eq(Cat(bit, taken[:-1])), given.eq(given << 1), place.eq(place + 1)]
            with m.If(place.all()):
                m.d.sync += [self.o.valid.eq(1), due.eq(1)]
        with m.Elif(due):
            m.d.comb += self.i.ready.eq(~stuffing)
            m.d.sync += [due.eq(0), stuffing.eq(0)]
            with m.If(stuffing):
                m.d.sync += given.eq(STUFFED)
            with m.Elif(self.i.valid):
                m.d.sync += [given.eq(self.i.payload), within.eq(self.i.payload != END)]
            with m.Else():
                m.d.sync += [given.eq(Mux(within, ESCAPE, END)), stuffing.eq(within)]
        return m

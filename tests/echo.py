"""The smallest core behind a serial line: it sends back what it receives."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from spikeloom.hdl.link.uart import UartReceiver, UartTransmitter


class Echo(wiring.Component):
    """Sends every byte back; `activity` shows bit 0 of a ROM of `rom_words` 16-bit words at the last byte's place."""

    rx: Signal
    tx: Signal
    activity: Signal

    def __init__(self, clocks_per_bit: int = 12, rom_words: int = 256) -> None:
        self.clocks_per_bit = clocks_per_bit
        self.rom_words = rom_words
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "activity": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self.clocks_per_bit)
        m.submodules.transmitter = transmitter = UartTransmitter(self.clocks_per_bit)
        m.submodules.rom = rom = memory.Memory(
            shape=16, depth=self.rom_words, init=[(word * 40503) & 0xFFFF for word in range(self.rom_words)]
        )
        read = rom.read_port()
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            transmitter.i.payload.eq(receiver.o.payload.byte),
            transmitter.i.valid.eq(receiver.o.valid),
            self.activity.eq(read.data.xor()),
        ]
        with m.If(receiver.o.valid):
            m.d.sync += read.addr.eq(read.addr * 256 + receiver.o.payload.byte)
        return m

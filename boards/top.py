"""The top level around a core: clock, reset, serial pins and a light."""

from __future__ import annotations

from typing import Any, Protocol

from amaranth import Elaboratable, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer

from .boards import Board
from .clock import ClockGenerator, ClockPlan

# How long the light stays on after activity, so that an eye sees it.
_LIGHT_SECONDS = 0.05


class SerialCore(Protocol):
    """A component in the domain `sync` behind a serial line: `rx` comes in, `tx` and `activity` go out."""

    rx: Signal
    tx: Signal
    activity: Signal

    def elaborate(self, platform: Any) -> Any:
        """The hardware."""


class BoardTop(Elaboratable):
    """A core on a board's pins."""

    def __init__(self, core: SerialCore, board: Board, clock: ClockPlan) -> None:
        self.core = core
        self.board = board
        self.clock = clock

    def elaborate(self, platform: Any) -> Module:
        """The hardware, for the platform that `Board.create_platform` makes."""
        m = Module()
        m.submodules.clock = ClockGenerator(self.clock)
        m.submodules.core = self.core
        uart = platform.request(*self.board.uart, dir="-")
        m.submodules.rx_buffer = rx = io.Buffer("i", uart.rx)
        m.submodules.tx_buffer = tx = io.Buffer("o", uart.tx)
        m.submodules.rx_synchroniser = FFSynchronizer(rx.i, self.core.rx, init=1)
        m.d.comb += tx.o.eq(self.core.tx)
        if self.board.led is not None:
            m.submodules.led_buffer = led = io.Buffer("o", self._led(platform))
            m.d.comb += led.o.eq(_stretched(m, self.core.activity, self.clock.hz))
        return m

    def _led(self, platform: Any) -> Any:
        assert self.board.led is not None
        name, number, *subsignal = self.board.led
        port = platform.request(name, number, dir="-")
        return getattr(port, subsignal[0]) if subsignal else port


class DeviceTop(Elaboratable):
    """A core on a device without a board: the ports are `clk`, `rx`, `tx` and `activity`."""

    def __init__(self, core: SerialCore, clock: ClockPlan) -> None:
        self.core = core
        self.clock = clock
        self.clk = Signal()
        self.rx = Signal()
        self.tx = Signal()
        self.activity = Signal()

    @property
    def ports(self) -> list[Signal]:
        """The ports."""
        return [self.clk, self.rx, self.tx, self.activity]

    def elaborate(self, platform: Any) -> Module:
        """The hardware, which depends on no platform."""
        m = Module()
        m.submodules.clock = clock = ClockGenerator(self.clock)
        m.submodules.core = self.core
        m.submodules.rx_synchroniser = FFSynchronizer(self.rx, self.core.rx, init=1)
        m.d.comb += [
            clock.clk.eq(self.clk),
            self.tx.eq(self.core.tx),
            self.activity.eq(self.core.activity),
        ]
        return m


def _stretched(m: Module, pulse: Signal, clock_hz: float) -> Signal:
    """`pulse`, made long enough to see: the top bit of a counter that `pulse` sets and that then counts down."""
    remaining = Signal(max(1, round(_LIGHT_SECONDS * clock_hz).bit_length()))
    with m.If(pulse):
        m.d.sync += remaining.eq(~0)
    with m.Elif(remaining[-1]):
        m.d.sync += remaining.eq(remaining - 1)
    return remaining[-1]

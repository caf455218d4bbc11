"""The top level around a core: clock, reset, serial pins and a light."""

from __future__ import annotations

from typing import Any, Protocol

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module, ResetSignal, Signal
from amaranth.lib import io

from .boards import Board
from .clock import ClockGenerator, ClockPlan

# How long the light stays on after activity, so that an eye sees it.
_LIGHT_SECONDS = 0.05


class SerialCore(Protocol):
    """A component in the domain `sync` behind a serial line.

    `rx` comes in and is asynchronous, `tx` and `activity` go out.
    """

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
        _drive_sync(m, ClockGenerator(self.clock))
        m.submodules.core = self.core
        uart = platform.request(*self.board.uart, dir="-")
        m.submodules.rx_buffer = rx = io.Buffer("i", uart.rx)
        m.submodules.tx_buffer = tx = io.Buffer("o", uart.tx)
        m.d.comb += [self.core.rx.eq(rx.i), tx.o.eq(self.core.tx)]
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
        clock = ClockGenerator(self.clock)
        _drive_sync(m, clock)
        m.submodules.core = self.core
        m.d.comb += [
            clock.source.eq(self.clk),
            self.core.rx.eq(self.rx),
            self.tx.eq(self.core.tx),
            self.activity.eq(self.core.activity),
        ]
        return m


def _drive_sync(m: Module, clock: ClockGenerator) -> None:
    m.submodules.clock = clock
    m.domains.sync = ClockDomain("sync")
    m.d.comb += [ClockSignal("sync").eq(clock.clk), ResetSignal("sync").eq(clock.rst)]


def _stretched(m: Module, pulse: Signal, clock_hz: float) -> Signal:
    """`pulse`, made long enough to see: the top bit of a counter that `pulse` sets and that then counts down."""
    remaining = Signal(max(1, round(_LIGHT_SECONDS * clock_hz).bit_length()))
    with m.If(pulse):
        m.d.sync += remaining.eq(~0)
    with m.Elif(remaining[-1]):
        m.d.sync += remaining.eq(remaining - 1)
    return remaining[-1]

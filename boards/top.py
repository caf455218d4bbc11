"""The top level around a core: clock, reset, serial pins and a light."""

from __future__ import annotations

from typing import Any, Protocol

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module, ResetSignal, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out

from ..hdl.link.flashed_core import FlashedCore
from .boards import Board
from .clock import ClockGenerator, ClockPlan

# How long the light stays on after activity, so that an eye sees it.
_LIGHT_SECONDS = 0.05

_SPI_PINS = ("host_cs", "host_sck")
_FLASH_PINS = ("cs", "sck", "copi", "cipo", "failed")


class SerialCore(Protocol):
    """A component in the domain `sync` behind a serial line, or by SPI (`speaks_spi`).

    `rx` comes in and is asynchronous, `tx` and `activity` go out.
    """

    rx: Signal
    tx: Signal
    activity: Signal

    def elaborate(self, platform: Any) -> Any:
        """The hardware."""


def speaks_spi(core: SerialCore) -> bool:
    """Whether the host of a core is behind SPI, whose other pins are `host_cs` and `host_sck`."""
    return bool(getattr(core, "by_spi", False))


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
        self._connect_host(m, platform)
        if isinstance(self.core, FlashedCore):
            self._connect_flash(m, self.core, platform)
        if self.board.led is not None:
            m.submodules.light = light = ActivityLight(self.clock.hz)
            m.submodules.led_buffer = led = io.Buffer("o", self._led(platform))
            m.d.comb += [light.activity.eq(self.core.activity), led.o.eq(light.light)]
            if isinstance(self.core, FlashedCore):
                m.d.comb += light.alarm.eq(self.core.failed)
        return m

    def _connect_host(self, m: Module, platform: Any) -> None:
        if speaks_spi(self.core):
            assert self.board.spi is not None
            port = platform.request(*self.board.spi, dir="-")
            pins = {"rx": port.copi, "tx": port.cipo, "host_cs": port.cs_n, "host_sck": port.sck}
        else:
            uart = platform.request(*self.board.uart, dir="-")
            pins = {"rx": uart.rx, "tx": uart.tx}
        for name, pin in pins.items():
            m.submodules[f"{name}_buffer"] = buffer = io.Buffer("o" if name == "tx" else "i", pin)
            inner = getattr(self.core, name)
            m.d.comb += buffer.o.eq(inner) if name == "tx" else inner.eq(buffer.i)

    def _connect_flash(self, m: Module, core: FlashedCore, platform: Any) -> None:
        """Its two pins for quad mode, which also stop it, stay inactive."""
        assert self.board.flash is not None
        port = platform.request(*self.board.flash, dir="-")
        for name, value in (("cs", core.cs), ("clk", core.sck), ("copi", core.copi), ("wp", 0), ("hold", 0)):
            m.submodules[f"flash_{name}_buffer"] = buffer = io.Buffer("o", getattr(port, name))
            m.d.comb += buffer.o.eq(value)
        m.submodules.flash_cipo_buffer = cipo = io.Buffer("i", port.cipo)
        m.d.comb += core.cipo.eq(cipo.i)

    def _led(self, platform: Any) -> Any:
        assert self.board.led is not None
        name, number, *subsignal = self.board.led
        port = platform.request(name, number, dir="-")
        return getattr(port, subsignal[0]) if subsignal else port


class DeviceTop(Elaboratable):
    """A core on a device without a board: the ports are `clk`, `rx`, `tx` and `activity`, and its flash pins if any."""

    def __init__(self, core: SerialCore, clock: ClockPlan) -> None:
        self.core = core
        self.clock = clock
        self.clk = Signal()
        self.rx = Signal()
        self.tx = Signal()
        self.activity = Signal()
        self.spi = {name: Signal(name=name, init=name == "host_cs") for name in _SPI_PINS if speaks_spi(core)}
        self.flash = {name: Signal(name=name) for name in _FLASH_PINS} if isinstance(core, FlashedCore) else {}

    @property
    def ports(self) -> list[Signal]:
        """The ports."""
        return [self.clk, self.rx, self.tx, self.activity, *self.spi.values(), *self.flash.values()]

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
        for name, pin in self.spi.items():
            m.d.comb += getattr(self.core, name).eq(pin)
        for name, pin in self.flash.items():
            inner = getattr(self.core, name)
            m.d.comb += inner.eq(pin) if name == "cipo" else pin.eq(inner)
        return m


def _drive_sync(m: Module, clock: ClockGenerator) -> None:
    m.submodules.clock = clock
    m.domains.sync = ClockDomain("sync")
    m.d.comb += [ClockSignal("sync").eq(clock.clk), ResetSignal("sync").eq(clock.rst)]


class ActivityLight(wiring.Component):
    """Makes activity long enough to see, and blinks 10 to 20 times a second while there is an alarm.

    ======== === ===========================
    Port     Dir Meaning
    ======== === ===========================
    activity in  something happens
    alarm    in  something is wrong
    light    out
    ======== === ===========================

    The light is the top bit of a counter that counts down: from all ones after activity, on and on during an alarm.
    """

    activity: Signal
    alarm: Signal
    light: Signal

    def __init__(self, clock_hz: float) -> None:
        self._bits = max(1, round(_LIGHT_SECONDS * clock_hz).bit_length())
        super().__init__({"activity": In(1), "alarm": In(1), "light": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        """The hardware."""
        m = Module()
        remaining = Signal(self._bits)
        with m.If(self.activity):
            m.d.sync += remaining.eq(~0)
        with m.Elif(self.light | self.alarm):
            m.d.sync += remaining.eq(remaining - 1)
        m.d.comb += self.light.eq(remaining[-1])
        return m

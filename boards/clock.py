"""Where a design's clock comes from, and when its reset ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from amaranth import ClockDomain, ClockSignal, Const, Elaboratable, Instance, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer

from ..hdl.errors import OptionError
from .boards import Board
from .devices import Device
from .pll import TOLERANCE, Pll, find_pll, pll_outputs

# iCE40 block RAM reads zeros for about 3 us after configuration; Amaranth's own reset waits five times that.
_SETTLE_SECONDS = 15e-6
# The iCE40's internal oscillator is stable after this time.
_OSCILLATOR_SECONDS = 100e-6

_OSCILLATOR = "SB_HFOSC"

_OSCILLATOR_OFF = 0.1
"""How far off it may be."""

_TENTH = 1e5


@dataclass(frozen=True, kw_only=True)
class ClockPlan:
    """How a design gets its clock: `hz` as it will be, through `pll` or the oscillator's divider where there is one."""

    hz: float
    pll: Pll | None = None
    oscillator_div: int | None = None
    pll_pad: bool = False

    @property
    def reset_cycles(self) -> int:
        """Clock cycles that the reset lasts at least."""
        seconds = _SETTLE_SECONDS if self.oscillator_div is None else _OSCILLATOR_SECONDS
        return math.ceil(seconds * self.hz)


def plan_clock(target: Board | Device, wanted_hz: float | None = None) -> ClockPlan:
    """The clock of a design on a board, or on a bare device, where any frequency will do.

    Without `wanted_hz` it is the target's default. The plan's `hz` may differ by up to 2 %: a serial link must be
    built for the plan's. Raises `OptionError` when the target cannot make it.
    """
    wanted = target.clock_hz if wanted_hz is None else wanted_hz
    if not (math.isfinite(wanted) and wanted > 0):
        raise OptionError(f"a clock frequency must be positive: {wanted:g} Hz; give one in hertz")
    if isinstance(target, Device):
        return ClockPlan(hz=wanted)
    if _has_oscillator(target):
        return _plan_oscillator(target, wanted)
    if wanted == target.source_hz:
        return ClockPlan(hz=wanted)
    pll = find_pll(target.device.family, target.source_hz, wanted)
    return ClockPlan(hz=pll.output_hz, pll=pll, pll_pad=target.pll_pad)


def _has_oscillator(board: Board) -> bool:
    return board.create_platform().default_clk == _OSCILLATOR


def _plan_oscillator(board: Board, wanted: float) -> ClockPlan:
    choices = [board.source_hz / 2**div for div in range(4)]
    div = min(range(4), key=lambda div: abs(choices[div] - wanted))
    if abs(choices[div] - wanted) > TOLERANCE * wanted:
        offered = ", ".join(f"{hz / 1e6:g}" for hz in choices)
        raise OptionError(f"{board.id} has no clock of {wanted / 1e6:g} MHz; its oscillator offers {offered} MHz")
    return ClockPlan(hz=choices[div], oscillator_div=div)


def _choices(board: Board) -> list[float]:
    """The frequencies in hertz that a board's clock can have."""
    if _has_oscillator(board):
        return [board.source_hz / 2**div for div in range(4)]
    return [board.source_hz, *pll_outputs(board.device.family, board.source_hz)]


def has_pll(target: Board | Device) -> bool:
    """Whether a target's clock can have other frequencies by a PLL."""
    return isinstance(target, Board) and not _has_oscillator(target) and len(_choices(target)) > 1


def fastest_hz(target: Board | Device) -> float:
    """The fastest clock that there can be, in hertz: of a bare device any, infinity."""
    return math.inf if isinstance(target, Device) else max(_choices(target))


def clock_below(target: Board | Device, most_hz: float, suits: Callable[[float], bool]) -> ClockPlan:
    """The fastest clock of at most `most_hz` that a target can make and that `suits`, or its slowest that does.

    On a bare device it is one of whole tenths of a megahertz; an internal oscillator has room for how far it may be
    off. Raises OptionError where none suits.
    """
    if isinstance(target, Device):
        tenths = range(max(1, math.floor(most_hz / _TENTH)), 0, -1)
        choices = [tenth * _TENTH for tenth in tenths]
    else:
        choices = sorted(_choices(target), reverse=True)
        if _has_oscillator(target):
            most_hz /= 1 + _OSCILLATOR_OFF
    suiting = [hz for hz in choices if suits(hz)]
    if not suiting:
        raise OptionError(f"{target.id} has no clock that suits its serial line; choose one by --clock-mhz")
    return plan_clock(target, next((hz for hz in suiting if hz <= most_hz), suiting[-1]))


class ClockGenerator(Elaboratable):
    """Makes the clock `clk` and its synchronous reset `rst` from the board's clock, or from `source` without a board.

    The reset ends when the PLL has locked and the time that block RAM needs after configuration has passed; the
    board's reset button starts it again.
    """

    def __init__(self, plan: ClockPlan) -> None:
        self.plan = plan
        self.source = Signal()
        self.clk = Signal()
        self.rst = Signal()

    def elaborate(self, platform: Any) -> Module:
        """The hardware."""
        m = Module()
        locked = Signal(init=1)
        source = self._source(m, platform)
        if self.plan.pll is None:
            m.d.comb += self.clk.eq(source)
        else:
            m.submodules.pll = self.plan.pll.create(source, self.clk, locked)
        m.submodules.reset = reset = PowerOnReset(self.plan.reset_cycles)
        m.d.comb += [
            reset.clk.eq(self.clk),
            reset.hold.eq(~locked | self._button(m, platform)),
            self.rst.eq(reset.rst),
        ]
        return m

    def _source(self, m: Module, platform: Any) -> Any:
        """The clock before any PLL."""
        if not _has_pins(platform):
            return self.source
        if self.plan.oscillator_div is not None:
            oscillator = Signal()
            m.submodules.oscillator = Instance(
                _OSCILLATOR,
                p_CLKHF_DIV=f"0b{self.plan.oscillator_div:02b}",
                i_CLKHFEN=Const(1),
                i_CLKHFPU=Const(1),
                o_CLKHF=oscillator,
            )
            return oscillator
        port = platform.request(platform.default_clk, dir="-")
        if self.plan.pll_pad:
            return port.io
        m.submodules.clk_buffer = buffer = io.Buffer("i", port)
        return buffer.i

    def _button(self, m: Module, platform: Any) -> Any:
        """The board's reset button, pressed = 1."""
        if not _has_pins(platform) or platform.default_rst is None:
            return Const(0)
        m.submodules.rst_buffer = buffer = io.Buffer("i", platform.request(platform.default_rst, dir="-"))
        return buffer.i


def _has_pins(platform: Any) -> bool:
    """Whether a platform is a board, and neither a simulation nor a bare device."""
    return hasattr(platform, "request")


class PowerOnReset(Elaboratable):
    """A reset `rst`, synchronous to `clk`, from configuration until `cycles` cycles after `hold` was last 1.

    `hold` is asynchronous.
    """

    def __init__(self, cycles: int) -> None:
        self.cycles = cycles
        self.clk = Signal()
        self.hold = Signal()
        self.rst = Signal(init=1)

    def elaborate(self, platform: Any) -> Module:
        """The hardware."""
        m = Module()
        m.domains.start = ClockDomain("start", reset_less=True, local=True)
        m.d.comb += ClockSignal("start").eq(self.clk)

        hold = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.hold, hold, o_domain="start", init=1)
        # The top bit ends the reset, so that it ends whatever value the counter starts from.
        timer = Signal((self.cycles - 1).bit_length() + 1)
        with m.If(hold):
            m.d.start += timer.eq(0)
        with m.Elif(~timer[-1]):
            m.d.start += timer.eq(timer + 1)
        m.d.comb += self.rst.eq(~timer[-1])
        return m


BAUD = 1_000_000
"""The serial rate of a build without a board."""


FEWEST_CLOCKS = 4
"""Clock cycles of a bit: the link has 40 for a byte, of which it needs 12, and a receiver that sees an edge up to one
late still samples the last bit in its middle half."""

FEWEST_BROKEN_CLOCKS = 8
"""The same where bits differ by a cycle, so that a bit may be sampled one more late."""

BAUD_TOLERANCE = 0.02
"""How far a UART's rate may be off: half of what eight bits and their ends bear, the host having the other half."""

BAUD_ERROR = 0.01
"""How far the rate may be off that a design gets unless it is asked for one."""


def fastest_baud(board: Board, clock_hz: float) -> int:
    """The fastest rate that a board's serial bridge and a clock have in common; the bridge's slowest where there is
    none, which `clocks_per_bit` then judges."""
    near = (baud for baud in board.bauds if _error(clock_hz, baud, _nearest(clock_hz, baud)) <= BAUD_ERROR)
    return next(near, board.bauds[-1])


def _nearest(clock_hz: float, baud: int) -> Fraction:
    """Clock cycles of a bit: a whole number where that is near enough, else in thirds or halves."""
    wanted = clock_hz / baud
    choices = [Fraction(max(FEWEST_CLOCKS, round(wanted)))]
    if wanted >= FEWEST_BROKEN_CLOCKS:
        choices += [Fraction(round(wanted * parts), parts) for parts in (2, 3)]
    return next(
        (clocks for clocks in choices if _error(clock_hz, baud, clocks) <= BAUD_ERROR / 2),
        min(choices, key=lambda clocks: _error(clock_hz, baud, clocks)),
    )


def _error(clock_hz: float, baud: int, clocks: Fraction) -> float:
    return abs(clock_hz / float(clocks) / baud - 1)


def clocks_per_bit(clock_hz: float, baud: int) -> Fraction:
    """Clock cycles of a UART bit. Raises OptionError where the clock cannot make the rate."""
    clocks = _nearest(clock_hz, baud)
    if _error(clock_hz, baud, clocks) > BAUD_TOLERANCE:
        raise OptionError(
            f"a serial rate must be the clock divided by a whole number of at least {FEWEST_CLOCKS}, or by thirds from "
            f"{FEWEST_BROKEN_CLOCKS} on, within {BAUD_TOLERANCE:.0%}: {baud} baud at {clock_hz / 1e6:g} MHz is not; "
            f"choose --baud {round(clock_hz / float(clocks))}"
        )
    return clocks

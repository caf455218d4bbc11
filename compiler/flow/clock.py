"""The clock of a design that is to run near its Fmax: by default on a board with a PLL, and as fast as it can with
`--clock-mhz max`.

The estimated Fmax says what to aim at, and the placed design what it bears. By default the aim is so far below the
estimate that the first build mostly reaches it. As fast as it can means more builds, each with another setting
of the PLL and another divisor of the serial line, until the design reaches its clock and that is near its Fmax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...boards.boards import Board, device_of
from ...boards.clock import ClockPlan, clock_below, plan_clock
from ...boards.devices import Device
from ...boards.toolchain import BuildResult
from ...hdl.errors import CapacityError, OptionError, TimingError
from ...hdl.link.protocol import LinkFormat
from ..estimate.estimate import estimate
from ..plan.plan import Plan
from .options import CompileOptions, clocks_of

AIMED = 0.9
"""What the clock is of the estimated Fmax by default: an estimate is some 5 to 10 % off (docs/hardware.md)."""

NEAR = 0.9
"""A clock of so much of the placed Fmax is near it."""

BELOW = 0.97
"""What the next build aims at, of the Fmax of the one before: placements differ."""

TRIES, FASTEST_TRIES = 2, 3
"""After so many builds, by default and for the fastest clock, the fastest that was reached, else the board's own, has
the last."""


def aimed_clock(target: Board | Device, options: CompileOptions, plan: Plan, link: LinkFormat) -> ClockPlan:
    """The fastest clock that a design should bear by its estimate, and that its serial line can work with. Raises
    OptionError where the target has none."""
    figures = estimate(plan, device=device_of(target).id, link=link)
    return _below(target, options, figures.fmax_mhz * aimed_share(options))


def aimed_share(options: CompileOptions) -> float:
    """What a clock that follows the Fmax is of its estimate."""
    return 1.0 if options.fastest else AIMED


def _below(target: Board | Device, options: CompileOptions, most_mhz: float) -> ClockPlan:
    def suits(hz: float) -> bool:
        clock = ClockPlan(hz=hz)
        try:
            clocks_of(target, options, clock)
        except OptionError:
            return False
        return True

    return clock_below(target, 1e6 * most_mhz, suits)


@dataclass(frozen=True)
class Paced:
    """What was built, at which clock, and why it is that."""

    built: BuildResult
    clock: ClockPlan
    choice: str


def built_near_fmax(
    target: Board | Device, options: CompileOptions, aim: ClockPlan, build: Callable[[ClockPlan], BuildResult]
) -> Paced:
    """A design as it is built at a clock that follows its Fmax, first at what is aimed at. `build` raises TimingError
    where a clock is not reached; this does where the target's own is not either. A design that by default is too large
    by the cells that a faster clock takes has its target's own."""
    own, clock = plan_clock(target, None), aim
    reached: ClockPlan | None = None
    tries = FASTEST_TRIES if options.fastest else TRIES
    for builds in range(1, tries + 1):
        met = True
        try:
            built = build(clock)
            fmax_mhz = built.timing.fmax_mhz
        except TimingError as error:
            fmax_mhz, met = error.fmax_mhz, False
            if _below(target, options, BELOW * fmax_mhz).hz >= clock.hz:
                raise  # there is no slower one
        except CapacityError:
            if options.fastest or clock == own:
                raise
            break
        if met and not options.fastest:
            return _paced(built, clock, own, options, builds)
        following = _below(target, options, BELOW * fmax_mhz)
        if met and (builds > 1 or clock.hz >= NEAR * 1e6 * fmax_mhz or following.hz <= clock.hz):
            return _paced(built, clock, own, options, builds)
        if reached is not None and following.hz <= reached.hz:
            break
        reached = clock if met else reached
        clock = following
    clock = own if reached is None else reached
    return _paced(build(clock), clock, own, options, builds + 1)


def _paced(built: BuildResult, clock: ClockPlan, own: ClockPlan, options: CompileOptions, builds: int) -> Paced:
    """What was built, with the reason of its clock."""
    share = clock.hz / 1e6 / built.timing.fmax_mhz
    count = f"in build {builds}"
    if options.fastest:
        choice = f"as asked near its Fmax: {share:.0%} of it, {count}"
    elif clock == own:
        choice = f"the board's own: {share:.0%} of its Fmax, {count}"
    else:
        choice = (
            f"near its Fmax by the board's PLL: {share:.0%} of it, {count} (--clock-mhz board: {own.hz / 1e6:g} MHz)"
        )
    return Paced(built, clock, choice)

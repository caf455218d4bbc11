"""The clock of a design that is to run near its Fmax: by default on a board with a PLL, and as fast as it can with
`--clock-mhz max`.

The estimated Fmax says what to aim at, and the placed design what it bears. By default the aim is so far below the
estimate that the first build mostly reaches it, and a second is made where that missed it or bears a much faster
one. As fast as it can means more builds, until the design reaches its clock and that is near its Fmax. A build is
synthesised anew, as the PLL's setting is not all that follows the clock: so do the divisor of the serial line and the
reset's length, which are logic.
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
"""What the clock is of the estimated Fmax by default, and of the placed one of a design whose clock is far from it: an
estimate is some 5 to 10 % off (docs/hardware.md), and so are placements from each other."""

NEAR = 0.9
"""A clock of so much of the placed Fmax is near it."""

FAR = 0.8
"""By default a clock of less than so much of the placed Fmax is worth another build."""

BELOW = 0.97
"""What the next build aims at, of the Fmax of the one before, as fast as it can and where a clock was missed."""

TRIES, FASTEST_TRIES = 2, 3
"""After so many builds, by default and for the fastest clock, the fastest that was reached stays; where none was, the
board's own clock has one more."""


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


Keep = Callable[[], Callable[[], None]]
"""Puts aside what was built last; what it returns brings it back."""


@dataclass(frozen=True)
class _Reached:
    """The first build where that reached its clock, and what brings it back."""

    built: BuildResult
    clock: ClockPlan
    restore: Callable[[], None]


def built_near_fmax(
    target: Board | Device,
    options: CompileOptions,
    aim: ClockPlan,
    build: Callable[[ClockPlan], BuildResult],
    keep: Keep,
) -> Paced:
    """A design as it is built at a clock that follows its Fmax, first at what is aimed at. `build` raises TimingError
    where a clock is not reached; this does where the target's own is not either. What was reached is put aside while a
    faster clock is tried. A design that by default is too large by the cells that a faster clock takes has its
    target's own."""
    own, clock = plan_clock(target, None), aim
    reached: _Reached | None = None
    tries = FASTEST_TRIES if options.fastest else TRIES
    for number in range(1, tries + 1):
        built = None
        try:
            built = build(clock)
            fmax_mhz = built.timing.fmax_mhz
        except TimingError as error:
            fmax_mhz = error.fmax_mhz
            if _below(target, options, BELOW * fmax_mhz).hz >= clock.hz:
                raise  # there is no slower one
        except CapacityError:
            if reached is None and (options.fastest or clock == own):
                raise
            break
        following = _following(target, options, fmax_mhz, met=built is not None)
        if built is not None:
            near = clock.hz >= (NEAR if options.fastest else FAR) * 1e6 * fmax_mhz
            if near or number > 1 or following.hz <= clock.hz:
                return _paced(built, clock, own, options, number)
            reached = _Reached(built, clock, keep())
        elif reached is not None and following.hz <= reached.clock.hz:
            break
        clock = following
    if reached is None:
        return _paced(build(own), own, own, options, number + 1)
    reached.restore()
    return _paced(reached.built, reached.clock, own, options, 1, of=number)


def _following(target: Board | Device, options: CompileOptions, fmax_mhz: float, *, met: bool) -> ClockPlan:
    """The clock of the build that follows one that was placed for `fmax_mhz`."""
    return _below(target, options, fmax_mhz * (AIMED if met and not options.fastest else BELOW))


def _paced(
    built: BuildResult, clock: ClockPlan, own: ClockPlan, options: CompileOptions, number: int, of: int | None = None
) -> Paced:
    """What was built, with the reason of its clock; of more builds where later ones missed theirs."""
    share = clock.hz / 1e6 / built.timing.fmax_mhz
    count = f"in build {number}" + ("" if of is None else f" of {of}")
    if options.fastest:
        choice = f"as asked near its Fmax: {share:.0%} of it, {count}"
    elif clock == own:
        choice = f"the board's own: {share:.0%} of its Fmax, {count}"
    else:
        choice = (
            f"near its Fmax by the board's PLL: {share:.0%} of it, {count} (--clock-mhz board: {own.hz / 1e6:g} MHz)"
        )
    return Paced(built, clock, choice)

"""The clock of a design that is to run near its Fmax: by default on a board with a PLL, and as fast as it can with
`--clock-mhz max`.

The estimated Fmax says what to aim at, and the placed design what it bears. By default the aim is so far below the
estimate that the first build mostly reaches it. As fast as it can means more builds, each with another setting
of the PLL and another divisor of the serial line, until the design reaches its clock and that is near its Fmax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...boards.boards import Board, device_of
from ...boards.clock import ClockPlan, clock_below
from ...boards.devices import Device
from ...boards.toolchain import BuildResult
from ...hdl.errors import CapacityError, OptionError, TimingError
from ...hdl.link.protocol import LinkFormat
from ..estimate.estimate import estimate
from ..plan.plan import Plan
from .facts import Design
from .options import CompileOptions, baud_of, clocks_of

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


def with_clock(design: Design, options: CompileOptions, clock: ClockPlan) -> Design:
    """The design with another clock, and with the rate that its serial line then has."""
    return replace(design, clock=clock, baud=baud_of(design.target, options, clock))


def built_near_fmax(design: Design, options: CompileOptions, build: Callable[[Design], BuildResult]) -> Design:
    """The design as it is built at a clock that follows its Fmax. `build` raises TimingError where a clock is not
    reached; this does where the target's own, which the design has, is not either. A design that by default is too
    large by the cells that a faster clock takes has its target's own."""
    target, own = design.target, design.clock
    assert target is not None, "what is built has a target"
    design = with_clock(design, options, aimed_clock(target, options, design.plan, design.link))
    reached: ClockPlan | None = None
    tries = FASTEST_TRIES if options.fastest else TRIES
    for builds in range(1, tries + 1):
        clock = design.clock
        try:
            design = replace(design, built=build(design))
        except TimingError as error:
            fmax_mhz, met = error.fmax_mhz, False
            if _below(target, options, BELOW * fmax_mhz).hz >= clock.hz:
                raise  # there is no slower one
        except CapacityError:
            if options.fastest or clock == own:
                raise
            break
        else:
            assert design.built is not None
            fmax_mhz, met = design.built.timing.fmax_mhz, True
        if met and not options.fastest:
            return _said(design, options, own, builds)
        following = _below(target, options, BELOW * fmax_mhz)
        if met and (builds > 1 or clock.hz >= NEAR * 1e6 * fmax_mhz or following.hz <= clock.hz):
            return _said(design, options, own, builds)
        if reached is not None and following.hz <= reached.hz:
            break
        reached = clock if met else reached
        design = with_clock(design, options, following)
    design = with_clock(design, options, own if reached is None else reached)
    return _said(replace(design, built=build(design)), options, own, builds + 1)


def _said(design: Design, options: CompileOptions, own: ClockPlan, builds: int) -> Design:
    """The design with the reason of its clock."""
    assert design.built is not None
    share = design.clock.hz / 1e6 / design.built.timing.fmax_mhz
    built = f"in build {builds}"
    if options.fastest:
        choice = f"as asked near its Fmax: {share:.0%} of it, {built}"
    elif design.clock == own:
        choice = f"the board's own: {share:.0%} of its Fmax, {built}"
    else:
        choice = (
            f"near its Fmax by the board's PLL: {share:.0%} of it, {built} (--clock-mhz board: {own.hz / 1e6:g} MHz)"
        )
    return replace(design, clock_choice=choice)

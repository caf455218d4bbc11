"""The clock of a design that is to run as fast as it can (`--clock-mhz max`).

The estimated Fmax says what to aim at first, and the placed design what it bears: the design is built again, with
another setting of the PLL and another divisor of its serial line, until it reaches its clock and that is near its Fmax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...boards.boards import Board, device_of
from ...boards.clock import ClockPlan, clock_below
from ...boards.devices import Device
from ...boards.toolchain import BuildResult
from ...hdl.errors import OptionError, TimingError
from ...hdl.link.protocol import LinkFormat
from ..estimate.estimate import estimate
from ..plan.plan import Plan
from .facts import Design
from .options import CompileOptions, baud_of, clocks_of

NEAR = 0.9
"""A clock of so much of the placed Fmax is near it."""

BELOW = 0.97
"""What the next build aims at, of the Fmax of the one before: placements differ."""

TRIES = 3
"""After so many builds the fastest clock that was reached, else the board's own, has the last."""


def aimed_clock(target: Board | Device, options: CompileOptions, plan: Plan, link: LinkFormat) -> ClockPlan:
    """The fastest clock that a design should bear by its estimate, and that its serial line can work with. Raises
    OptionError where the target has none."""
    figures = estimate(plan, device=device_of(target).id, link=link)
    return _below(target, options, figures.fmax_mhz)


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


def built_fastest(design: Design, options: CompileOptions, build: Callable[[Design], BuildResult]) -> Design:
    """The design as it is built at the fastest clock that it reaches. `build` raises TimingError where a clock is not
    reached; this does where the target's own, which the design has, is not either."""
    target, own = design.target, design.clock
    assert target is not None, "what is built has a target"
    design = with_clock(design, options, aimed_clock(target, options, design.plan, design.link))
    reached: ClockPlan | None = None
    for builds in range(1, TRIES + 1):
        clock = design.clock
        try:
            design = replace(design, built=build(design))
        except TimingError as error:
            fmax_mhz, met = error.fmax_mhz, False
        else:
            assert design.built is not None
            fmax_mhz, met = design.built.timing.fmax_mhz, True
        following = _below(target, options, BELOW * fmax_mhz)
        if met and (builds > 1 or clock.hz >= NEAR * 1e6 * fmax_mhz or following.hz <= clock.hz):
            return _said(design, builds)
        if reached is not None and following.hz <= reached.hz:
            break
        reached = clock if met else reached
        design = with_clock(design, options, following)
    design = with_clock(design, options, own if reached is None else reached)
    return _said(replace(design, built=build(design)), builds + 1)


def _said(design: Design, builds: int) -> Design:
    """The design with the reason of its clock."""
    assert design.built is not None
    share = design.clock.hz / 1e6 / design.built.timing.fmax_mhz
    return replace(design, clock_choice=f"as asked near its Fmax: {share:.0%} of it, in build {builds}")

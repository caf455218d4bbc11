"""The folding that serves a purpose: of those that fit a device and are fast enough, the best by an objective.

The candidates go from one shared engine to vector engines that take several events at once, with and without registers
on their way. Their costs, clocks and cycles are estimates (`spikeloom.compiler.estimate.estimate`), but for block RAMs,
which are exact. A folding takes the time of its cycles at the clock that it can have.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum

from ...hdl.errors import CapacityError, ModelError, listed
from ...hdl.link.protocol import LinkFormat
from ...hdl.memories.memory import Family
from ...hdl.resources import Resources
from ..cycles.count import Rates, busy_from_rates
from ..ir.network import Network
from ..plan.folding import Folding
from ..plan.plan import Plan, make_plan
from .candidates import candidate_foldings, wide_foldings
from .estimate import Estimate, estimate, microseconds


class Objective(StrEnum):
    """What the best folding has least of."""

    LUTS = "luts"
    BRAMS = "brams"
    LATENCY = "latency"
    ENERGY = "energy"


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a core is for: `objective`, and a sample of `steps` in `latency_us`, or `samples_per_s`, where a clock of
    `clock_hz` can be had; a folding that is slower has the fastest clock that it bears, or `share` of that."""

    objective: Objective = Objective.LUTS
    latency_us: float | None = None
    samples_per_s: float | None = None
    clock_hz: float
    share: float = 1.0
    steps: int

    @property
    def most_us(self) -> float:
        """The microseconds that a sample may take."""
        limits = [float("inf")]
        if self.latency_us is not None:
            limits.append(self.latency_us)
        if self.samples_per_s is not None:
            limits.append(1e6 / self.samples_per_s)
        return min(limits)


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    plan: Plan
    figures: Estimate
    purpose: Purpose

    @property
    def folding(self) -> Folding:
        return self.plan.folding

    @property
    def cycles(self) -> float:
        return float("inf") if self.figures.cycles is None else self.figures.cycles

    @property
    def microseconds(self) -> float:
        """Of a sample."""
        bears_mhz = self.figures.fmax_mhz * self.purpose.share
        return microseconds(self.cycles, bears_mhz, self.purpose.clock_hz / 1e6)

    def cost(self, objective: Objective) -> tuple[float, ...]:
        used, work = self.figures.resources, self.figures.work
        assert work is not None
        costs = {
            Objective.LUTS: (used.luts,),
            Objective.BRAMS: (used.brams, used.luts),
            Objective.LATENCY: (self.microseconds, used.luts),
            Objective.ENERGY: (work.memory_reads + work.memory_writes, used.luts),
        }
        return costs[objective]


def choose_folding(
    network: Network,
    family: Family,
    purpose: Purpose,
    rates: Rates,
    *,
    device: str | None = None,
    capacity: Resources | None = None,
    link: LinkFormat | None = None,
    wide: bool = False,
    headroom: float | None = None,
    fast: bool | None = None,
    placed: Callable[[Plan], Plan] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Folding:
    """The folding of an integer network that serves the purpose best.

    `rates` are mean events per step of the input and every population. With a `capacity` the design, with its `link`,
    must fit it by the estimate. Warns where the choice rests on prices that are a guess. With `wide` only foldings are
    weighed whose first engine takes beats, as the core's input then brings them; with `headroom` only those whose
    memories can have it; with `fast` true or false only those with engines with registers on their way, or without.
    `placed` moves what a plan stores to where the device has room.
    Raises CapacityError where no folding is fast enough or fits, naming the nearest.
    """
    foldings = list(wide_foldings(network) if wide else candidate_foldings(network))
    if headroom is not None:
        foldings = [folding for folding in foldings if all(engine.has_room for engine in folding.engines)]
    if fast is not None:
        foldings = [folding for folding in foldings if folding.fast is fast]
    if not foldings:
        raise ModelError(
            "a fast engine has one lane and plain neurons, whose spikes do not come back: no folding of this network "
            "has one; leave --fast out"
        )
    candidates = []
    for number, folding in enumerate(foldings):
        plan = make_plan(network, family.value, folding, headroom=headroom)
        plan = plan if placed is None else placed(plan)
        figures = estimate(plan, device=device, link=link, rates=rates, steps=purpose.steps)
        candidates.append(_Candidate(plan=plan, figures=figures, purpose=purpose))
        if progress is not None:
            progress(number + 1, len(foldings))
    fitting = [c for c in candidates if capacity is None or c.figures.resources.fits(capacity)]
    in_time = [c for c in fitting if c.microseconds <= purpose.most_us]
    if not in_time:
        raise CapacityError(_too_slow(fitting, purpose, rates) if fitting else _too_large(candidates, capacity))
    best = min(in_time, key=lambda c: c.cost(purpose.objective))
    if best.figures.guessed:
        message = (
            f"the folding was chosen by a first guess: no price was measured of its {', '.join(best.figures.guessed)}"
        )
        warnings.warn(message, UserWarning, stacklevel=2)
    return best.folding


def _too_large(candidates: list[_Candidate], capacity: Resources | None) -> str:
    assert capacity is not None
    nearest = min((c.figures.resources for c in candidates), key=lambda used: _overflow(used, capacity))
    return (
        f"no folding fits the device: the nearest takes about {nearest.luts:,} LUTs and {nearest.brams:,} block RAMs "
        f"of {capacity.luts:,} and {capacity.brams:,}; prune more, use fewer bits, or take a larger device"
    )


def _overflow(used: Resources, capacity: Resources) -> float:
    """The share of its capacity that the scarcest resource takes."""
    return max(getattr(used, f.name) / max(1, getattr(capacity, f.name)) for f in fields(Resources))


def _too_slow(fitting: list[_Candidate], purpose: Purpose, rates: Rates) -> str:
    """What the fastest takes, and which of its engines is at work longest."""
    fastest = min(fitting, key=lambda c: c.microseconds)
    busy = busy_from_rates(fastest.plan, rates, purpose.steps)
    bound = max(range(len(busy)), key=lambda number: busy[number])
    names = listed(fastest.folding.engines[bound].populations)
    clock_mhz = fastest.cycles / fastest.microseconds
    return (
        f"no folding that fits takes at most {purpose.most_us:,.6g} us per sample: the fastest takes "
        f"{fastest.microseconds:,.6g}, {fastest.cycles:,.0f} cycles at {clock_mhz:.4g} MHz, of which the "
        f"engine of {names} is at work in {busy[bound]:,.0f}; choose a faster clock (--clock-mhz), a larger device, a "
        "longer time, or prune more"
    )

"""The folding that serves a purpose: small, fast or frugal, within a device and a time."""

from __future__ import annotations

from functools import cache

import pytest
from networks import chain, random_spikes
from spikeloom.compiler.estimate import estimate as estimate_module
from spikeloom.compiler.estimate.choose_folding import Objective, Purpose, candidate_foldings, choose_folding
from spikeloom.compiler.estimate.estimate import Estimate, estimate, parts_of
from spikeloom.compiler.ir.neurons import ResetPlace
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding
from spikeloom.compiler.plan.plan import make_plan, with_spram
from spikeloom.hdl.errors import CapacityError, ModelError
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.resources import Resources
from spikeloom.sim.reference import run_reference

NETWORK = chain(1, (60, 24, 10))
STEPS = 10
CLOCK = 10e6


@cache
def rates() -> dict[str, object]:
    spikes = random_spikes(2, NETWORK, samples=2, steps=STEPS, rate=0.2)
    trains = run_reference(NETWORK, spikes).trains(spikes)
    return {name: train.mean(axis=(0, 1)) for name, train in trains.items()}


@cache
def chosen(
    objective: Objective = Objective.LUTS,
    capacity: Resources | None = None,
    clock_hz: float = CLOCK,
    fast: bool | None = None,
    **limits: float,
) -> Folding:
    purpose = Purpose(objective=objective, clock_hz=clock_hz, steps=STEPS, **limits)
    given = {"capacity": capacity, "fast": fast}
    return choose_folding(NETWORK, Family.ECP5, purpose, rates(), **given)  # type: ignore[arg-type]


@cache
def figures(folding: Folding) -> Estimate:
    return estimate(make_plan(NETWORK, "ecp5", folding), rates=rates(), steps=STEPS)  # type: ignore[arg-type]


def test_each_objective_finds_the_least_of_all_candidates() -> None:
    every = [figures(folding) for folding in candidate_foldings(NETWORK)]
    assert figures(chosen(Objective.LUTS)).resources.luts == min(e.resources.luts for e in every)
    assert figures(chosen(Objective.BRAMS)).resources.brams == min(e.resources.brams for e in every)
    assert figures(chosen(Objective.LATENCY)).cycles == min(e.cycles for e in every if e.cycles)


def test_the_smallest_shares_an_engine_and_the_fastest_has_vectors() -> None:
    assert len(chosen(Objective.LUTS).engines) == 1
    assert chosen(Objective.LATENCY).engines[0].kind is EngineKind.VECTOR


def test_weights_in_spram_make_room_for_what_block_ram_has_not() -> None:
    purpose = Purpose(clock_hz=CLOCK, steps=STEPS)
    blocks = [make_plan(NETWORK, "ice40", folding).brams for folding in candidate_foldings(NETWORK)]
    most = 10**6
    capacity = Resources(luts=most, ffs=most, lcs=most, brams=min(blocks) - 1, spram=4, dsps=9)
    with pytest.raises(CapacityError, match="no folding fits the device"):
        choose_folding(NETWORK, Family.ICE40, purpose, rates(), capacity=capacity)  # type: ignore[arg-type]
    folding = choose_folding(
        NETWORK,
        Family.ICE40,
        purpose,
        rates(),  # type: ignore[arg-type]
        capacity=capacity,
        placed=with_spram,
    )
    assert all(engine.wants_spram for engine in folding.engines)


def test_time_is_that_of_the_clock_that_a_folding_can_have() -> None:
    """Where the clock is slow cycles decide, and registers on an engine's way only take some; where it can be as fast
    as a design bears, they pay."""
    least = figures(chosen()).resources.luts
    small = Resources(luts=least + 60, ffs=10**6, lcs=10**6, brams=99, dsps=9)
    for clock_hz in (CLOCK, float("inf")):
        fitting = [
            found for folding in candidate_foldings(NETWORK) if (found := figures(folding)).resources.fits(small)
        ]
        times = [(found.cycles or 0) / min(found.fmax_mhz, clock_hz / 1e6) for found in fitting]
        found = figures(chosen(Objective.LATENCY, small, clock_hz))
        assert (found.cycles or 0) / min(found.fmax_mhz, clock_hz / 1e6) == min(times)
    slow, quick = (chosen(Objective.LATENCY, small, clock_hz) for clock_hz in (CLOCK, float("inf")))
    assert quick != slow and figures(quick).fmax_mhz > figures(slow).fmax_mhz


def test_engines_are_fast_where_that_is_asked_for() -> None:
    assert chosen(fast=True).fast and not chosen(fast=False).fast
    several = chain(6, (12, 9, 6), max_spikes=3, reset_place=ResetPlace.SAME)
    purpose = Purpose(clock_hz=CLOCK, steps=STEPS)
    with pytest.raises(ModelError, match="no folding of this network has one; leave --fast out"):
        choose_folding(several, Family.ECP5, purpose, {}, fast=True)


def test_a_time_asks_for_no_more_than_it_needs() -> None:
    slowest = figures(chosen()).cycles
    assert slowest is not None
    within = chosen(latency_us=0.7 * slowest / CLOCK * 1e6)
    assert within != chosen() and within != chosen(Objective.LATENCY)
    assert (figures(within).cycles or 0) <= 0.7 * slowest
    assert chosen(samples_per_s=CLOCK / (0.7 * slowest)) == within


def test_a_device_bounds_the_choice() -> None:
    most = figures(chosen(Objective.LATENCY)).resources
    smaller = chosen(Objective.LATENCY, capacity=Resources(luts=most.luts - 1, ffs=10**6, lcs=10**6, brams=99, dsps=9))
    assert smaller != chosen(Objective.LATENCY)


def test_a_choice_by_a_guess_says_so(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    """Of a kind of engine of which nothing was measured, and only where it is the one that is chosen."""
    plans = [make_plan(NETWORK, "ecp5", folding) for folding in candidate_foldings(NETWORK)]
    every = {kind: {part for plan in plans for part in getattr(parts_of(plan), kind)} for kind in ("luts", "ffs")}
    prices = {kind: {part: 1.0 for part in parts if not part.startswith("vector")} for kind, parts in every.items()}
    factors = estimate_module._factors()["ecp5"] | prices
    monkeypatch.setattr(estimate_module, "_factors", lambda: {"ecp5": factors})
    choose = chosen.__wrapped__  # whose choices are not kept
    assert len(choose(Objective.LUTS).engines) == 1
    assert not recwarn.list
    with pytest.warns(UserWarning, match="by a first guess: no price was measured of its vector pass, vector queue"):
        choose(Objective.LATENCY)


def test_what_cannot_be_had_is_said_with_the_nearest() -> None:
    slowest = (
        r"at most 1 us per sample: the fastest takes [\d.]+, [\d,]+ cycles at 10 MHz, of which the engine of 'p0' is "
        r"at work in [\d,]+; choose a faster clock"
    )
    with pytest.raises(CapacityError, match=slowest):
        chosen(latency_us=1)
    with pytest.raises(CapacityError, match=r"no folding fits the device: the nearest takes about [\d,]+ LUTs"):
        chosen(capacity=Resources(luts=10, brams=50))

"""Factors from measurements: least squares without negative prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.optimize import nnls
from spikeloom.compiler.estimate.engines import engine_estimates
from spikeloom.compiler.estimate.estimate import cell_amounts, estimate, parts_of, path_amounts
from spikeloom.compiler.estimate.parts import Parts
from spikeloom.compiler.plan.plan import Plan
from spikeloom.hdl.resources import Resources

from .measurements import Measurement, Routed
from .trials import Trial

Prior = Mapping[str, tuple[float, float]]
"""By name: a factor before anything is measured, and how far it may be from that."""

PART = (0.9, 0.5)
FLIP_FLOPS = (0.9, 0.3)

LEAST_CELLS: Prior = {"luts": (1.0, 0.3), "ffs": (0.3, 0.3), "carries": (0.5, 0.5), "rams": (6.0, 1.0)}

DELAYS: Prior = {
    "constant": (2.5, 1.5),
    "level": (1.0, 0.3),
    "carry": (0.04, 0.02),
    "kiloluts": (0.2, 0.1),
    "spread": (0.2, 0.1),
    "walker": (5.0, 1.0),
    "integrate": (5.0, 1.0),
    "decide": (5.0, 1.0),
    "compare": (6.0, 1.0),
    "memory": (5.0, 1.0),
    "next": (5.0, 1.0),
    "entries": (5.0, 1.0),
    "vector": (3.0, 3.0),
    "registers": (0.0, 2.0),
    "slotted": (0.0, 2.0),
    "wide": (0.0, 2.0),
    "link": (5.0, 1.0),
    "image link": (7.0, 3.0),
}
"""Nanoseconds: of a register, its wire and the next one, a look-up table with its wire, a bit of carry, a thousand
look-up tables in the design, the square root of its block RAMs, and what each kind of path has beside: most begin at a
block RAM."""

ALWAYS = {"constant", "level", "carry", "kiloluts", "spread"}
"""What every path has."""

ROUNDS = 60

PARTS = 5
"""In how many the designs are divided: no divisor of the number of kinds."""

NOISE = 0.05
"""What cannot be explained of a figure, relative to it: synthesis has its moods."""

Rows = list[tuple[dict[str, float], float]]
"""Amounts by name, and the figure that they should add up to."""


def fit(
    rows: Rows,
    prior: Prior | tuple[float, float] = PART,
    noise: float = NOISE,
    known: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, float]:
    """Factors by name, none below 0: least squares of the relative errors, drawn towards the prior where little is
    known. Factors that are `known` stay."""
    names = sorted({name for amounts, _ in rows for name in amounts if name not in known})
    if not names:
        return dict(known)
    priors = [prior if isinstance(prior, tuple) else prior[name] for name in names]
    middle, width = (np.array(column) for column in zip(*priors, strict=True))
    wanted = np.array([figure for _, figure in rows])
    fixed = np.array([sum(count * known.get(name, 0.0) for name, count in amounts.items()) for amounts, _ in rows])
    matrix = np.array([[amounts.get(name, 0.0) for name in names] for amounts, _ in rows]) / wanted[:, None] / noise
    system = np.vstack([matrix, np.diag(1 / width)])
    target = np.concatenate([(1 - fixed / wanted) / noise, middle / width])
    solution, _ = nnls(system, target)
    return {**known, **{name: round(float(value), 5) for name, value in zip(names, solution, strict=True)}}


def measured(factors: Mapping[str, float]) -> dict[str, float]:
    """Factors that are not still what they were before anything was measured."""
    return {name: factor for name, factor in factors.items() if factor != PART[0]}


def fit_family(results: Sequence[tuple[Trial, Measurement]], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All coefficients of a family; of those that are `known` the prices of parts without one alone."""
    luts: Rows = []
    ffs: Rows = []
    for trial, found in results:
        luts += module_rows(trial.plan, found.modules)
        for parts, used in ((parts_of(trial.plan), found.core), (parts_of(trial.plan, trial.link), found.linked)):
            if used is not None:
                luts.append((parts.luts, used.luts))
                ffs.append((parts.ffs, used.ffs))
    periods = [row for trial, found in results for row in period_rows(trial, found)]
    if known is not None:
        prices = {name: fit(rows, known=measured(known[name])) for name, rows in (("luts", luts), ("ffs", ffs))}
        prices = {name: dict(sorted((known[name] | found).items())) for name, found in prices.items()}
        return {**known, **prices, "period_ns": fit_periods(periods, known["period_ns"])}
    placed = [(found, parts_of(trial.plan, trial.link)) for trial, found in results if isinstance(found, Routed)]
    cells = [(cell_amounts(found.whole, parts), found.whole.lcs) for found, parts in placed]
    return {
        "luts": fit(luts),
        "ffs": fit(ffs, FLIP_FLOPS, noise=0.02),
        "lcs": fit(cells, LEAST_CELLS, noise=0.02),
        "period_ns": fit_periods(periods),
    }


PeriodRow = tuple[Parts, float, float]
"""The parts and look-up tables of what was placed, and its shortest period in nanoseconds."""


def period_rows(trial: Trial, found: Measurement) -> Iterator[PeriodRow]:
    """Of a core that was placed alone, and of a whole design."""
    if found.core is not None and found.core_mhz is not None:
        yield parts_of(trial.plan), found.core.luts, 1000 / found.core_mhz
    if isinstance(found, Routed):
        yield parts_of(trial.plan, trial.link), found.whole.luts, 1000 / found.fmax_mhz


def fit_periods(rows: Sequence[PeriodRow], known: Mapping[str, float] = MappingProxyType({})) -> dict[str, float]:
    """Nanoseconds of each thing in a path; of those that are `known` as they are, the others of paths that are there.
    Which path is the longest depends on what is looked for: a few rounds settle it."""
    there = {kind for parts, _, _ in rows for kind, _, _ in parts.paths} | ALWAYS
    delays = {name: prior for name, (prior, _) in DELAYS.items() if name in there} | dict(known)
    for _ in range(ROUNDS):
        amounts = [(path_amounts(parts, luts, delays), period) for parts, luts, period in rows]
        found = fit(amounts, DELAYS, noise=0.08, known=known)
        delays = {name: round((delay + found.get(name, delay)) / 2, 5) for name, delay in delays.items()}
    return delays


def module_rows(plan: Plan, modules: Mapping[str, Resources]) -> Rows:
    """The parts and look-up tables of the modules that are known one by one: none where yosys had to flatten."""
    return [
        (parts.luts, modules[name].luts)
        for number, engine in enumerate(engine_estimates(plan))
        for path, parts in engine.modules(plan.family)
        if (name := f"engine{number}.{path}") in modules and modules[name].luts
    ]


def errors_of(results: Sequence[tuple[Trial, Measurement]], factors: dict[str, Any]) -> dict[str, list[float]]:
    """Relative errors of every figure that was measured, and of the cores of each kind."""
    errors: dict[str, list[float]] = {}

    def add(name: str, guess: float, found: float) -> None:
        errors.setdefault(name, []).append(guess / found - 1)

    for trial, found in results:
        alone = estimate(trial.plan, factors=factors)
        linked = estimate(trial.plan, link=trial.link, factors=factors)
        for name, guess, used in (("core ", alone.resources, found.core), ("", linked.resources, found.linked)):
            if used is not None:
                add(f"{name}LUTs", guess.luts, used.luts)
                add(f"{name}FFs", guess.ffs, used.ffs)
                add(f"{name}LUTs, {trial.kind}", guess.luts, used.luts)
        if found.core_mhz is not None:
            add("core Fmax", alone.fmax_mhz, found.core_mhz)
            add(f"core Fmax, {trial.kind}", alone.fmax_mhz, found.core_mhz)
        if isinstance(found, Routed):
            add("LCs", linked.resources.lcs, found.whole.lcs)
            add("block RAMs", linked.resources.brams, found.whole.brams)
            add("Fmax", linked.fmax_mhz, found.fmax_mhz)
            add(f"Fmax, {trial.kind}", linked.fmax_mhz, found.fmax_mhz)
    return errors


def held_out(
    results: Sequence[tuple[Trial, Measurement]], slower: dict[str, float], known: Mapping[str, Any] | None = None
) -> dict[str, list[float]]:
    """Errors on each design of factors fitted to the others: in five parts, in which every kind is."""
    errors: dict[str, list[float]] = {}
    for part in range(PARTS):
        rest = [result for number, result in enumerate(results) if number % PARTS != part]
        factors = fit_family(rest, known) | {"slower": slower}
        for name, values in errors_of(results[part::PARTS], factors).items():
            errors.setdefault(name, []).extend(values)
    return errors

"""Designs that were built, by name, with the figures that are kept in `built.json`: prices are fitted to them at once.

A name is `trial FAMILY NUMBER`, one of the random designs (`trials`), or `fold FOLD SYNAPSES FAMILY`, the network of
`benchmarks/scaling.py` with about so many synapses, in one of `FOLDS`, or `row ROW FAMILY`, a row of the folding axis
of `benchmarks/hardware.py`, whose network for MNIST that benchmark trains: only who has it can fit to these.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from measuring.bench import place, synthesise
from measuring.foldings import FRONT, lanes_folding, vector_folding
from measuring.networks import random_network
from scaling import BITS, DENSITY, sizes_of
from spikeloom.boards.devices import DEVICES
from spikeloom.boards.utilisation import count_cells
from spikeloom.compiler.estimate.estimate import estimate, parts_of
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import IntegerDynamics, Kind
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import (
    Folding,
    fast_folding,
    listing_folding,
    pipelined_folding,
    queued_folding,
    shared_folding,
    slotted_folding,
)
from spikeloom.compiler.plan.lean import without_silent
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.emit.emit import to_rtlil

from .fit import LEAST_CELLS, PARTS, PeriodRow, Prior, Rows, fit, fit_periods
from .trials import trial_of

FILE = Path(__file__).resolve().parent / "built.json"

FOLDS: dict[str, Callable[[Network], Folding]] = {
    "shared": shared_folding,
    "fast": lambda network: fast_folding(network, shared_folding(network)),
    "pipelined": pipelined_folding,
    "queued": lambda network: queued_folding(network, pipelined_folding(network)),
    "lanes4": lambda network: lanes_folding(network, 4),
    "slotted8": lambda network: slotted_folding(network, 8),
    "vector1": lambda network: vector_folding(network, 1, neurons_per_cycle=2),
    "vector2": lambda network: vector_folding(network, 2),
    "listed": lambda network: listing_folding(network, shared_folding(network)),
    "unlisted": shared_folding,
}

WITHOUT_LEAK = ("listed", "unlisted")
"""Folds whose networks integrate and fire, as lists are for these."""

DEVICES_OF = {"ecp5": "lfe5u-25f", "ice40": "hx8k"}
"""What designs of folds are built for."""

WITHOUT = {"queued": ("pipelined", "front-pipelined"), "queued4": ("front-lanes4",), "listed": ("unlisted",)}
"""By fold or row, that of the same network which lacks only one thing: the difference is its price."""

STAYS = 0.25
"""How far a price may be from the one that there is, relative to it, and by how much more beside."""

BESIDE = 0.15


@dataclass(frozen=True, kw_only=True)
class Built:
    """What the tools said of a core. `fmax_mhz` and `lcs` are None where it was not placed, `ffs` where nobody kept
    them; `commit` had the sources."""

    device: str
    luts: int
    ffs: int | None = None
    lcs: int | None = None
    fmax_mhz: float | None = None
    commit: str = ""


def read_built() -> dict[str, Built]:
    """By name."""
    return {name: Built(**figures) for name, figures in json.loads(FILE.read_text(encoding="utf-8")).items()}


def write_built(known: Mapping[str, Built]) -> None:
    """A line for each, in order."""
    lines = [f" {json.dumps(name)}: {json.dumps(asdict(known[name]))}" for name in sorted(known, key=_order)]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _order(name: str) -> tuple[str, ...]:
    return tuple(word.zfill(9) if word.isdigit() else word for word in name.split())


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """A design of a name: its kind, the device that it is for, and its plan."""

    kind: str
    device: str
    plan: Plan


@cache
def design_of(name: str, mnist: Path | None = None) -> Made:
    """The design of a name; that of a row has the network in the file `mnist`."""
    what, *words = name.split()
    if what == "row":
        assert mnist is not None, "rows are left out without their network"
        network = without_silent(read_nir(mnist)).network
        plan = make_plan(network, words[1], FRONT[words[0]][1](network))
        return Made(kind=_kind(plan), device=DEVICES_OF[words[1]], plan=plan)
    if what == "trial":
        trial = trial_of(words[0], int(words[1]))
        return Made(kind=trial.kind, device=trial.device.id, plan=trial.plan)
    fold, synapses, family = words
    network = random_network(int(synapses), sizes_of(int(synapses)), DENSITY, BITS)
    if fold in WITHOUT_LEAK:
        network = replace(network, populations=tuple(map(_without_leak, network.populations)))
    plan = make_plan(network, family, FOLDS[fold](network))
    return Made(kind=_kind(plan), device=DEVICES_OF[family], plan=plan)


def _kind(plan: Plan) -> str:
    """As trials have it, of a fold or a row."""
    engines = plan.folding.engines
    if len(engines) == 1:
        return "fast" if plan.folding.fast else "shared"
    several = any(engine.kind == EngineKind.SPARSE and engine.lanes > 1 for engine in engines)
    return "lanes" if several else "pipelined" if engines[0].kind == EngineKind.SPARSE else str(engines[0].kind)


def _without_leak(population: Any) -> Any:
    assert isinstance(population.dynamics, IntegerDynamics)
    return replace(population, dynamics=replace(population.dynamics, kind=Kind.IF, decay=None))


def build(name: str, commit: str, *, placed: bool = True) -> Built:
    """The figures of a design, by the real tools."""
    made = design_of(name)
    device, rtlil = made.device, to_rtlil(made.plan.core(), "core")
    with tempfile.TemporaryDirectory(prefix="spikeloom-fit-") as folder:
        place_in = Path(folder) / "placed"
        (Path(folder) / "logs").mkdir()
        (place_in / "logs").mkdir(parents=True)
        netlist = synthesise(rtlil, DEVICES[device], Path(folder), "core")
        if not placed:
            used = count_cells(netlist["cells"])
            return Built(device=device, luts=used.luts, ffs=used.ffs, commit=commit)
        found = place(netlist, rtlil, DEVICES[device], place_in, seed=1)
        amounts = {kind: found["used"][kind] for kind in ("luts", "ffs", "lcs")}
        return Built(device=device, **amounts, fmax_mhz=round(found["fmax_mhz"], 1), commit=commit)


# -------------------------------------------------------------------------------------------------------- fit


Designs = Mapping[str, Made]
"""By name."""


def designs_of(known: Mapping[str, Built], family: str, mnist: Path | None = None) -> dict[str, Made]:
    """All of a family, those of every kind together; without the network in `mnist` no rows."""
    names = [name for name in known if family in name.split() and (mnist is not None or not name.startswith("row"))]
    made = {name: design_of(name, mnist if name.startswith("row") else None) for name in names}
    return dict(sorted(made.items(), key=lambda item: (item[1].kind, _order(item[0]))))


def fit_built(
    known: Mapping[str, Built], designs: Designs, factors: Mapping[str, Any], *, anew: bool = False
) -> dict[str, Any]:
    """All factors of a family: those that there are, and of what has none a fitted one; with `anew` those of all that
    these designs have, prices drawn towards those that there are."""
    parts = {name: parts_of(made.plan) for name, made in designs.items()}
    luts: Rows = [(parts[name].luts, known[name].luts) for name in designs]
    ffs: Rows = [(parts[name].ffs, found) for name in designs if (found := known[name].ffs) is not None]
    for name, other in _pairs(designs):
        luts.append((_beside(parts[name].luts, parts[other].luts), known[name].luts - known[other].luts))
    cells: Rows = []
    periods: list[PeriodRow] = []
    for name in designs:
        found = known[name]
        if found.lcs is not None and found.ffs is not None:
            there = {"luts": float(found.luts), "ffs": float(found.ffs)}
            there |= {"carries": parts[name].carries, "rams": parts[name].rams}
            cells.append((there, found.lcs))
        if found.fmax_mhz is not None:
            periods.append((parts[name], found.luts, 1000 / found.fmax_mhz))
    delays = fit_periods(periods) if anew else fit_periods(periods, factors["period_ns"])
    return {
        **factors,
        "luts": _updated(luts, factors["luts"], anew=anew),
        "ffs": _updated(ffs, factors["ffs"], anew=anew),
        "lcs": {**factors["lcs"], **fit(cells, LEAST_CELLS, noise=0.02)} if anew else factors["lcs"],
        "period_ns": {**factors["period_ns"], **delays},
    }


def _pairs(designs: Designs) -> Iterator[tuple[str, str]]:
    """Designs of which the second lacks only one thing that the first has."""
    for name in designs:
        what, which, *rest = name.split()
        for without in WITHOUT.get(which, ()):
            if (other := " ".join([what, without, *rest])) in designs:
                yield name, other


def _beside(amounts: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    """What there is more of."""
    more = {name: amount - others.get(name, 0.0) for name, amount in amounts.items()}
    return {name: amount for name, amount in more.items() if abs(amount) > 1e-9}


def _updated(rows: Rows, factors: Mapping[str, float], *, anew: bool) -> dict[str, float]:
    """Prices that there are stay, or `anew` move a little; others are free."""
    if not anew:
        return dict(sorted(fit(rows, known=factors).items()))
    names = {name for amounts, _ in rows for name in amounts}
    prior: Prior = {
        name: (factors[name], BESIDE + STAYS * factors[name]) if name in factors else (0.9, 0.5) for name in names
    }
    return dict(sorted({**factors, **fit(rows, prior)}.items()))


def errors_of_built(known: Mapping[str, Built], designs: Designs, factors: Mapping[str, Any]) -> dict[str, list[float]]:
    """Relative errors of every figure, by kind."""
    errors: dict[str, list[float]] = {}
    for name, made in designs.items():
        found, guess = known[name], estimate(made.plan, device=made.device, factors=factors)
        figures = {
            "LUTs": (guess.resources.luts, found.luts),
            "FFs": (guess.resources.ffs, found.ffs),
            "LCs": (guess.resources.lcs, found.lcs),
            "Fmax": (guess.fmax_mhz, found.fmax_mhz),
        }
        for figure, (guessed, measured) in figures.items():
            if measured is not None:
                errors.setdefault(figure, []).append(guessed / measured - 1)
                errors.setdefault(f"{figure}, {made.kind}", []).append(guessed / measured - 1)
    return dict(sorted(errors.items()))


def held_out_of_built(
    known: Mapping[str, Built], designs: Designs, factors: Mapping[str, Any], *, anew: bool = False
) -> dict[str, list[float]]:
    """Errors on each design of factors fitted to the others: in five parts, in which every kind is."""
    errors: dict[str, list[float]] = {}
    for part in range(PARTS):
        numbered = list(enumerate(designs.items()))
        rest = {name: made for number, (name, made) in numbered if number % PARTS != part}
        left = {name: made for number, (name, made) in numbered if number % PARTS == part}
        for figure, values in errors_of_built(known, left, fit_built(known, rest, factors, anew=anew)).items():
            errors.setdefault(figure, []).extend(values)
    return dict(sorted(errors.items()))

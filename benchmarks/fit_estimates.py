"""Fits the resource and timing estimates (spikeloom.compiler.estimate) to random networks built with the real tools.

    python benchmarks/fit_estimates.py --cache FOLDER [--ice40 40] [--ecp5 25] [--jobs 1] [--write]

Every network is random in its sizes, density, weights, neurons and folding. For each the core alone is synthesised, and
the whole design with its host link is placed and routed, which takes 10 to 60 seconds; figures are kept in FOLDER under
a hash of the RTLIL, the device and the tools' versions, so that a second run measures only what has changed. Printed
are the errors on the networks that the factors were fitted to, and on those that they were not (each eighth in turn);
with `--write` the factors fitted to all of them become `compiler/estimate/coefficients.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spikeloom.boards.devices import DEVICES, Device
from spikeloom.boards.toolchain import build, synthesise_hierarchical
from spikeloom.boards.utilisation import count_cells
from spikeloom.compiler.estimate.engines import engine_estimates
from spikeloom.compiler.estimate.estimate import COEFFICIENTS, cell_amounts, estimate, parts_of, path_amounts
from spikeloom.compiler.estimate.parts import Parts
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, LIF, ResetMode, ResetPlace
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.emit.emit import to_rtlil
from spikeloom.hdl.emit.synthesis import synthesis_passes
from spikeloom.hdl.emit.tools import find_tool, run_tool, tool_version
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.resources import Resources

DEVICE = {"ice40": "hx8k", "ecp5": "lfe5u-25f"}
"""The device that the networks of a family are built for."""

CLOCKS_PER_BIT = 12

CORE = "core"

COEFFICIENTS_FILE = Path(__file__).resolve().parent.parent / "compiler" / "estimate" / COEFFICIENTS


# -------------------------------------------------------------------------------------------------- networks


def random_network(seed: int) -> tuple[Network, Folding]:
    """An integer network of one to four populations, and a folding."""
    rng = np.random.default_rng(seed)
    depth = int(rng.choice([1, 2, 2, 2, 3, 3, 4]))
    sizes = [int(2 ** rng.uniform(4, 10)), *(int(2 ** rng.uniform(3.5, 7.5)) for _ in range(depth - 1))]
    sizes.append(int(rng.integers(2, 21)))
    bits = int(rng.choice([2, 3, 4, 4, 4, 5, 6, 8]))
    names = [INPUT, *(f"p{number}" for number in range(depth))]
    shape = (ResetMode(rng.choice(["subtract", "subtract", "value"])), ResetPlace(rng.choice(["same", "next", "next"])))
    same, has_bias = rng.random() < 0.7, rng.random() < 0.25  # all populations alike, as mostly
    dynamics = _dynamics(rng, *shape)
    populations, projections = [], []
    for pre, post, inputs, size in zip(names, names[1:], sizes, sizes[1:], strict=False):
        bias = rng.normal(0, 0.1, size) if has_bias else np.zeros(())
        kind = dynamics if same else _dynamics(rng, *shape)
        populations.append(Population(name=post, shape=(size,), dynamics=kind, bias=bias))
        weights = rng.normal(0, 1 / np.sqrt(inputs), (inputs, size))
        weights[rng.random(weights.shape) >= _density(rng, inputs * size)] = 0
        projections.append(Projection(pre=pre, post=post, connectivity=Dense(weights=weights)))
    network = Network(
        input_shape=(sizes[0],), populations=tuple(populations), projections=tuple(projections), output=names[-1]
    )
    integers = quantise(network, bits)
    return integers, _folding(rng, integers)


def _density(rng: np.random.Generator, cells: int) -> float:
    """Sparse mostly, and never so dense that no device holds it."""
    return float(min(rng.choice([0.03, 0.05, 0.1, 0.2, 0.4, 1.0]), 6000 / cells))


def _dynamics(rng: np.random.Generator, mode: ResetMode, place: ResetPlace) -> IF | LIF:
    threshold = np.array(float(rng.choice([0.5, 1.0, 1.0, 1.5])))
    if rng.random() < 0.15:
        return IF(threshold=threshold, reset_mode=mode, reset_place=place)
    beta = np.array(float(rng.choice([0.5, 0.75, 0.8, 0.9, 0.9375, 0.95, 0.97])))
    return LIF(beta=beta, threshold=threshold, reset_mode=mode, reset_place=place)


def _folding(rng: np.random.Generator, network: Network) -> Folding:
    names = [population.name for population in network.populations]
    kind = rng.choice(["shared", "shared", "shared", "pipelined", "split", "lanes"])
    if kind == "split" and len(names) > 2:
        cut = int(rng.integers(1, len(names)))
        parts = (tuple(names[:cut]), tuple(names[cut:]))
        return Folding(engines=tuple(engine_folding(populations=part) for part in parts))
    return shared_folding(network) if kind == "shared" else pipelined_folding(network, 1 + 2 * (kind == "lanes"))


def random_plans(family: str, count: int) -> list[Plan]:
    """The first random networks that the family's device can hold, planned."""
    capacity = DEVICES[DEVICE[family]].capacity
    plans: list[Plan] = []
    seed = 0 if family == "ice40" else 10_000
    while len(plans) < count:
        network, folding = random_network(seed)
        plan = make_plan(network, family, folding)
        if plan.brams < min(capacity.brams, 32):
            plans.append(plan)
        seed += 1
    return plans


# ---------------------------------------------------------------------------------------------- measurements


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What synthesis says: of the core's modules by path, synthesised apart, and of the core alone."""

    modules: dict[str, Resources]
    core: Resources


@dataclass(frozen=True, kw_only=True)
class Routed(Measurement):
    """The whole design with its host link besides, placed and routed."""

    whole: Resources
    fmax_mhz: float


def measure(plan: Plan, device: Device, cache: Path, *, route: bool = True) -> Measurement:
    """The measurement of a plan, from the cache where it is there; without `route` nothing is placed."""
    core = to_rtlil(plan.core(), CORE)
    yosys = [tool_version("yosys", False), plan.family.value, str(device.capacity.dsps > 0)]
    figures = _cached(cache, ["modules", core, *yosys], lambda folder: _modules(core, plan, folder))
    modules = {name: Resources(**amounts) for name, amounts in figures.items()}
    alone = Resources(**_cached(cache, ["core", core, *yosys], lambda folder: _flat(core, plan, device, folder)))
    if not route:
        return Measurement(modules=modules, core=alone)
    router = tool_version(f"nextpnr-{plan.family.value}", False)
    texts = ["whole", to_rtlil(_linked(plan), "linked"), *yosys, router, device.id]
    whole = _cached(cache, texts, lambda folder: _routed(plan, device, folder))
    return Routed(modules=modules, core=alone, whole=Resources(**whole["used"]), fmax_mhz=whole["fmax_mhz"])


def _cached(cache: Path, texts: list[str], compute: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What `compute` made in a folder of its own, now or in an earlier run."""
    file = cache / f"{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:32]}.json"
    if not file.is_file():
        with tempfile.TemporaryDirectory(prefix="spikeloom-fit-") as name:
            (Path(name) / "logs").mkdir()
            data = compute(Path(name))
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(data), encoding="utf-8")
        temporary.replace(file)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _linked(plan: Plan) -> LinkedCore:
    return LinkedCore(plan.core(), link_of(plan.network), CLOCKS_PER_BIT, plan.family)


def _modules(rtlil: str, plan: Plan, folder: Path) -> dict[str, Any]:
    (folder / "core.il").write_text(rtlil, encoding="utf-8")
    found = synthesise_hierarchical(folder / "core.il", plan.family, top=CORE)
    return {name: asdict(resources) for name, resources in found.items()}


def _flat(rtlil: str, plan: Plan, device: Device, folder: Path) -> dict[str, Any]:
    (folder / "core.il").write_text(rtlil, encoding="utf-8")
    passes = synthesis_passes(plan.family, CORE, dsp=device.capacity.dsps > 0)
    script = "; ".join(["read_rtlil core.il", *passes, "tee -q -o stat.json stat -json"])
    run_tool([*find_tool("yosys", False), "-q", "-p", script], cwd=folder, log=folder / "logs" / "core.log")
    cells = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    return asdict(count_cells(cells))


def _routed(plan: Plan, device: Device, folder: Path) -> dict[str, Any]:
    built = build(_linked(plan), device, folder)
    path = [hop.block for hop in built.timing.critical_path]
    return {"used": asdict(built.utilisation.used), "fmax_mhz": built.timing.fmax_mhz, "path": path}


def _measure_one(job: tuple[Plan, str, Path, bool]) -> Measurement | str:
    plan, device, cache, route = job
    warnings.filterwarnings("ignore", message=".*created but never used")
    try:
        return measure(plan, DEVICES[device], cache, route=route)
    except Exception as error:  # one that fails must not cost the others
        return f"{type(error).__name__}: {error}"


def measure_all(plans: Sequence[Plan], device: str, options: argparse.Namespace) -> list[tuple[Plan, Measurement]]:
    """The measurements that could be made, in order; says how far it is."""
    jobs = [(plan, device, options.cache, number < options.routed) for number, plan in enumerate(plans)]
    results: list[tuple[Plan, Measurement]] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for number, (plan, result) in enumerate(zip(plans, pool.map(_measure_one, jobs), strict=True)):
            shown = result if isinstance(result, str) else f"{result.core.luts} LUTs"
            if isinstance(result, Measurement):
                results.append((plan, result))
                shown += f", {result.fmax_mhz:.1f} MHz" if isinstance(result, Routed) else ""
            print(f"{device} {number + 1}/{len(plans)}: {shown}", flush=True)
    return results


# ------------------------------------------------------------------------------------------------------- fit


Prior = Mapping[str, tuple[float, float]]
"""By name: a factor before anything is measured, and how far it may be from that."""

PART = (0.9, 0.5)
FLIP_FLOPS = (0.9, 0.3)

LEAST_CELLS: Prior = {"luts": (1.0, 0.3), "ffs": (0.3, 0.3), "carries": (0.5, 0.5), "rams": (6.0, 1.0)}

DELAYS: Prior = {
    "constant": (6.0, 3.0),
    "level": (0.6, 0.4),
    "carry": (0.1, 0.06),
    "kiloluts": (0.4, 0.4),
    "walker": (0.0, 1.0),
    "integrate": (0.0, 1.0),
    "decide": (0.0, 1.0),
    "next": (0.0, 1.0),
    "entries": (0.0, 1.0),
}
"""Nanoseconds: of registers and wires, a look-up table, a bit of carry, a thousand look-up tables in the design, and
what each kind of path has beside."""

ROUNDS = 30

NOISE = 0.05
"""What cannot be explained of a figure, relative to it: synthesis has its moods."""

Rows = list[tuple[dict[str, float], float]]
"""Amounts by name, and the figure that they should add up to."""


def fit(rows: Rows, prior: Prior | tuple[float, float] = PART, noise: float = NOISE) -> dict[str, float]:
    """Factors by name: least squares of the relative errors, drawn towards the prior where little is known."""
    names = sorted({name for amounts, _ in rows for name in amounts})
    priors = [prior if isinstance(prior, tuple) else prior[name] for name in names]
    middle, width = (np.array(column) for column in zip(*priors, strict=True))
    wanted = np.array([figure for _, figure in rows])
    matrix = np.array([[amounts.get(name, 0.0) for name in names] for amounts, _ in rows]) / wanted[:, None] / noise
    system = np.vstack([matrix, np.diag(1 / width)])
    target = np.concatenate([np.full(len(rows), 1 / noise), middle / width])
    solution = np.linalg.lstsq(system, target, rcond=None)[0]
    return {name: round(float(value), 5) for name, value in zip(names, solution, strict=True)}


def fit_family(results: Sequence[tuple[Plan, Measurement]]) -> dict[str, Any]:
    """All coefficients of a family."""
    luts: Rows = []
    for plan, found in results:
        luts += module_rows(plan, found.modules)
        luts.append((parts_of(plan).luts, found.core.luts))
    ffs: Rows = [(parts_of(plan).ffs, found.core.ffs) for plan, found in results]
    linked = [(found, parts_of(plan, link_of(plan.network))) for plan, found in results if isinstance(found, Routed)]
    for found, parts in linked:
        luts.append((parts.luts, found.whole.luts))
        ffs.append((parts.ffs, found.whole.ffs))
    cells = [(cell_amounts(found.whole, parts), found.whole.lcs) for found, parts in linked]
    periods = [(parts, found.whole.luts, 1000 / found.fmax_mhz) for found, parts in linked]
    return {
        "luts": fit(luts),
        "ffs": fit(ffs, FLIP_FLOPS, noise=0.02),
        "lcs": fit(cells, LEAST_CELLS, noise=0.02),
        "period_ns": fit_periods(periods),
    }


def fit_periods(rows: Sequence[tuple[Parts, float, float]]) -> dict[str, float]:
    """Nanoseconds of each thing in a path, from parts, look-up tables and periods. The path that is the longest depends
    on what is looked for: a few rounds settle it."""
    delays = {name: prior for name, (prior, _) in DELAYS.items()}
    for _ in range(ROUNDS):
        found = fit([(path_amounts(parts, luts, delays), period) for parts, luts, period in rows], DELAYS, noise=0.08)
        delays = {name: round((delays[name] + found.get(name, delays[name])) / 2, 5) for name in DELAYS}
    return delays


def module_rows(plan: Plan, modules: Mapping[str, Resources]) -> Rows:
    """The parts and look-up tables of the modules that are known one by one."""
    rows: Rows = []
    for number, engine in enumerate(engine_estimates(plan)):
        for path, parts in engine.modules(plan.family):
            rows.append((parts.luts, modules[f"engine{number}.{path}"].luts))
    return rows


def errors_of(results: Sequence[tuple[Plan, Measurement]], factors: dict[str, Any]) -> dict[str, list[float]]:
    """Relative errors of every figure that was measured."""
    errors: dict[str, list[float]] = {name: [] for name in ("core LUTs", "LUTs", "FFs", "LCs", "block RAMs", "Fmax")}
    for plan, found in results:
        errors["core LUTs"].append(estimate(plan, factors=factors).resources.luts / found.core.luts - 1)
        if not isinstance(found, Routed):
            continue
        guess = estimate(plan, link=link_of(plan.network), factors=factors)
        for name, key in (("LUTs", "luts"), ("FFs", "ffs"), ("LCs", "lcs"), ("block RAMs", "brams")):
            errors[name].append(getattr(guess.resources, key) / getattr(found.whole, key) - 1)
        errors["Fmax"].append(guess.fmax_mhz / found.fmax_mhz - 1)
    return errors


def held_out(results: Sequence[tuple[Plan, Measurement]], slower: dict[str, float]) -> dict[str, list[float]]:
    """Errors on each network of factors fitted to the others: in eight parts."""
    errors: dict[str, list[float]] = {}
    for part in range(8):
        rest = [result for number, result in enumerate(results) if number % 8 != part]
        factors = fit_family(rest) | {"slower": slower}
        for name, values in errors_of(results[part::8], factors).items():
            errors.setdefault(name, []).extend(values)
    return errors


def measure_slower(plans: Sequence[Plan], family: str, options: argparse.Namespace) -> dict[str, float]:
    """How much longer the period is on the other kinds of a family's devices, by how their ids begin."""
    slower = {}
    for prefix, device in OTHERS[family].items():
        ratios = [
            fmax_of(plan, DEVICE[family], options.cache) / fmax_of(plan, device, options.cache)
            for plan in plans[: options.others]
        ]
        slower[prefix] = round(float(np.mean(ratios)), 3)
    return slower


def fmax_of(plan: Plan, device: str, cache: Path) -> float:
    found = measure(plan, DEVICES[device], cache)
    assert isinstance(found, Routed)
    return found.fmax_mhz


OTHERS = {"ice40": {"up": "up5k", "u4": "u4k", "lp": "lp8k"}, "ecp5": {"lfe5um5g": "lfe5um5g-45f"}}
"""Devices whose logic is slower or faster than that of the family's own, by how their ids begin."""


def _print(title: str, errors: Mapping[str, Sequence[float]]) -> None:
    print(f"\n{title}\n| figure | networks | root mean square | largest |\n|---|---|---|---|")
    for name, values in errors.items():
        if values:
            size = np.abs(values)
            print(f"| {name} | {len(values)} | {np.sqrt((size**2).mean()):.1%} | {size.max():.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="where measurements are kept")
    parser.add_argument("--ice40", type=int, default=40, help="networks for the iCE40")
    parser.add_argument("--ecp5", type=int, default=25, help="networks for the ECP5")
    parser.add_argument("--routed", type=int, default=40, help="how many of each are placed and routed")
    parser.add_argument("--others", type=int, default=3, help="how many of them on the family's other devices too")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--write", action="store_true", help="write the coefficients into the package")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    coefficients = json.loads(COEFFICIENTS_FILE.read_text(encoding="utf-8")) if COEFFICIENTS_FILE.is_file() else {}
    for family in ("ice40", "ecp5"):
        plans = random_plans(family, getattr(options, family))
        if not plans:
            continue
        results = measure_all(plans, DEVICE[family], options)
        slower = measure_slower(plans, family, options)
        factors = fit_family(results) | {"slower": slower}
        _print(f"{family}, the networks that the factors were fitted to", errors_of(results, factors))
        _print(f"{family}, held out", held_out(results, slower))
        coefficients[family] = factors
    if options.write:
        COEFFICIENTS_FILE.write_text(json.dumps(coefficients, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

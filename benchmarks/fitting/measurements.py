"""What the tools say of the designs; figures are kept, so that only what has changed is built again."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from measuring.bench import place, synthesise
from spikeloom.boards.devices import DEVICES, Device
from spikeloom.boards.toolchain import build, synthesise_hierarchical
from spikeloom.boards.utilisation import count_cells
from spikeloom.hdl.emit.emit import to_rtlil
from spikeloom.hdl.emit.synthesis import block_map, synthesis_passes
from spikeloom.hdl.emit.tools import find_tool, run_tool, tool_version
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.resources import Resources

from .trials import Trial

TOP = "core"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What synthesis says of a core's modules by path, synthesised apart, and of the core alone; of the whole design
    with its host link where that is what it is about, or where it was placed; how fast a core is that was placed alone.
    What it was not asked is None."""

    modules: dict[str, Resources]
    core: Resources | None = None
    linked: Resources | None = None
    core_mhz: float | None = None


@dataclass(frozen=True, kw_only=True)
class Routed(Measurement):
    """The whole design placed and routed besides."""

    whole: Resources
    fmax_mhz: float


def measure(trial: Trial, device: Device, cache: Path, *, route: bool = True, place_core: bool = False) -> Measurement:
    """The measurement of a design, from the cache where it is there; without `route` its whole is not placed."""
    family = trial.plan.family
    dsp = device.capacity.dsps > 0
    yosys = [tool_version("yosys", False), family.value, str(dsp)]
    linked = to_rtlil(trial.design(), TOP)

    def flat(text: str) -> Resources:
        return Resources(**_cached(cache, ["core", text, *yosys], lambda folder: _flat(text, family, dsp, folder)))

    found = Measurement(modules={}, linked=flat(linked)) if trial.about_its_link else Measurement(modules={})
    if not trial.about_its_link:
        core = to_rtlil(trial.plan.core(), TOP)
        figures = _cached(cache, ["modules", core, *yosys], lambda folder: _modules(core, family, folder))
        modules = {name: Resources(**amounts) for name, amounts in figures.items()}
        found = Measurement(modules=modules, core=flat(core))
        if place_core and trial.placeable:
            texts = ["placed", core, *yosys, tool_version(f"nextpnr-{family.value}", False), device.id]
            placed = _cached(cache, texts, lambda folder: _placed(core, device, folder))
            found = replace(found, core_mhz=placed["fmax_mhz"])
    if not (route and trial.placeable):
        return found
    texts = ["whole", linked, *yosys, tool_version(f"nextpnr-{family.value}", False), device.id]
    whole = _cached(cache, texts, lambda folder: _routed(trial, device, folder))
    used = Resources(**whole["used"])
    kept = {"modules": found.modules, "core": found.core, "core_mhz": found.core_mhz}
    return Routed(**kept, linked=used, whole=used, fmax_mhz=whole["fmax_mhz"])


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


def _modules(rtlil: str, family: Family, folder: Path) -> dict[str, Any]:
    (folder / "core.il").write_text(rtlil, encoding="utf-8")
    found = synthesise_hierarchical(folder / "core.il", family, top=TOP)
    return {name: asdict(resources) for name, resources in found.items()}


def _flat(rtlil: str, family: Family, dsp: bool, folder: Path) -> dict[str, Any]:
    (folder / "core.il").write_text(rtlil, encoding="utf-8")
    passes = ["read_rtlil core.il", *synthesis_passes(family, TOP, dsp=dsp), "tee -q -o stat.json stat -json"]
    with block_map(folder, family):
        argv = [*find_tool("yosys", False), "-q", "-p", "; ".join(passes)]
        run_tool(argv, cwd=folder, log=folder / "logs" / "core.log")
    cells = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    return asdict(count_cells(cells))


def _routed(trial: Trial, device: Device, folder: Path) -> dict[str, Any]:
    built = build(trial.design(), device, folder)
    path = [hop.block for hop in built.timing.critical_path]
    return {"used": asdict(built.utilisation.used), "fmax_mhz": built.timing.fmax_mhz, "path": path}


def _placed(rtlil: str, device: Device, folder: Path) -> dict[str, Any]:
    (folder / "placed" / "logs").mkdir(parents=True)
    return place(synthesise(rtlil, device, folder, TOP), rtlil, device, folder / "placed", seed=1)


def _measure_one(job: tuple[Trial, Path, bool, bool]) -> Measurement | str:
    trial, cache, route, place_core = job
    warnings.filterwarnings("ignore", message=".*created but never used")
    try:
        return measure(trial, trial.device, cache, route=route, place_core=place_core)
    except Exception as error:  # one that fails must not cost the others
        return f"{type(error).__name__}: {error}"


def measure_all(trials: Sequence[Trial], options: argparse.Namespace) -> list[tuple[Trial, Measurement]]:
    """The measurements that could be made, in order; says how far it is."""
    jobs = [(t, options.cache, n < options.routed, n < options.cores) for n, t in enumerate(trials)]
    results: list[tuple[Trial, Measurement]] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for number, (trial, result) in enumerate(zip(trials, pool.map(_measure_one, jobs), strict=True)):
            shown = result
            if isinstance(result, Measurement):
                results.append((trial, result))
                used = result.core or result.linked
                shown = "" if used is None else f"{used.luts} LUTs"
                shown += f", {result.fmax_mhz:.1f} MHz" if isinstance(result, Routed) else ""
                shown += "" if result.core_mhz is None else f", core {result.core_mhz:.1f} MHz"
            print(f"{trial.device.id} {number + 1}/{len(trials)} {trial.kind}: {shown}", flush=True)
    return results


def fmax_of(trial: Trial, device: str, cache: Path) -> float:
    """Of a design that can be placed."""
    found = measure(trial, DEVICES[device], cache)
    assert isinstance(found, Routed)
    return found.fmax_mhz

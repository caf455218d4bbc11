"""What rows measure with: the files that the user gave, the real tools, and what was measured before."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spikeloom.boards.boards import find_board
from spikeloom.boards.clock import clocks_per_bit
from spikeloom.boards.critical_path import module_paths, read_timing
from spikeloom.boards.devices import DEVICES, Device
from spikeloom.boards.toolchain import build
from spikeloom.boards.top import SerialCore
from spikeloom.boards.utilisation import read_utilisation
from spikeloom.compiler.data.samples import load_samples
from spikeloom.compiler.flow.folding import link_beside, link_on, plan_for
from spikeloom.compiler.flow.options import CompileOptions, baud_of, plan_target_clock
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.output.flash_image import plan_flash
from spikeloom.compiler.plan.lean import without_silent
from spikeloom.compiler.plan.plan import Plan
from spikeloom.hdl.emit.emit import to_rtlil
from spikeloom.hdl.emit.synthesis import block_map, synthesis_passes
from spikeloom.hdl.emit.tools import find_tool, run_tool, tool_version
from spikeloom.hdl.link.flashed_core import FlashedCore
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.memories.memory import Family

from .accuracy import accuracy
from .goals import Figures, Result
from .networks import Spikes

TOP = "top"
MHZ = 100.0
"""What nextpnr is asked for: enough to make it try."""

MODELLED = 50
"""Samples whose cycles are counted."""


class Skipped(Exception):
    """A row that cannot be measured, and why."""


@dataclass(frozen=True)
class Bench:
    """What rows measure with: the options, and the folder that keeps what was measured."""

    options: argparse.Namespace
    folder: Path
    networks: dict[str, Network] = field(default_factory=dict)

    def path(self, option: str) -> Path:
        """A file that the user gave. Raises Skipped where there is none."""
        file: Path | None = getattr(self.options, option)
        if file is None:
            raise Skipped(f"--{option.replace('_', '-')} is not given")
        return file

    def network(self, option: str) -> Network:
        """What a core runs of a network that the user gave, as `spikeloom compile` builds it."""
        if option not in self.networks:
            self.networks[option] = without_silent(read_nir(self.path(option))).network
        return self.networks[option]

    def spikes(self, option: str) -> Spikes:
        return load_samples(self.path(option)).first(MODELLED).spikes

    def kept(self, kind: str, texts: Sequence[str], measure: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """What `measure` found in a folder of its own, now or in an earlier run."""
        folder = self.folder / "designs" / f"{kind}-{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:24]}"
        file = folder / "figures.json"
        if not file.is_file():
            (folder / "logs").mkdir(parents=True, exist_ok=True)
            write_figures(file, measure(folder))
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def accuracy(self, network: str, data: str) -> float:
        """Percent of all samples, by the integer reference."""
        texts = [hashlib.sha256(self.path(name).read_bytes()).hexdigest() for name in (network, data)]
        return float(self.kept("accuracy", texts, lambda _: self._accuracy(network, data))["accuracy"])

    def _accuracy(self, network: str, data: str) -> dict[str, Any]:
        samples = load_samples(self.path(data))
        if samples.labels is None:
            raise Skipped(f"--{data.replace('_', '-')} has no labels")
        return {"accuracy": 100 * accuracy(self.network(network), samples)}

    def core(self, plan: Plan, device: str, *, seeds: int = 1) -> Result:
        """The core alone, placed and routed; of several seeds the first's size, and the lowest Fmax."""
        rtlil = to_rtlil(plan.core(), TOP)
        target = DEVICES[device]
        yosys, router = tool_version("yosys", False), tool_version(f"nextpnr-{target.family.value}", False)
        netlist = self.kept("netlist", [rtlil, device, yosys], lambda folder: synthesise(rtlil, target, folder))
        runs = []
        for seed in range(self.options.seed, self.options.seed + seeds):
            texts = [rtlil, device, yosys, router, str(seed)]
            runs.append(self.kept("placed", texts, lambda to, s=seed: place(netlist, rtlil, target, to, s)))
        speeds = [run["fmax_mhz"] for run in runs]
        figures = named(runs[0]["used"], target.family) | {"fmax_mhz": min(speeds)}
        remarks = [f"longest path through {runs[speeds.index(min(speeds))]['path']}"]
        if seeds > 1:
            remarks.append(f"Fmax of seeds {self.options.seed} to {seed}: {', '.join(f'{mhz:.1f}' for mhz in speeds)}")
        return Result(figures, tuple(remarks))

    def design(self, network: Network, board: str, **chosen: Any) -> Figures:
        """The whole design with its host link, as `spikeloom compile` builds it, with the `chosen` options and for the
        board's own clock, with which it takes the least area."""
        options = CompileOptions(board=board, seed=self.options.seed, own_clock=True, **chosen)
        target = find_board(board)
        link = link_on(target, network, options)
        plan = plan_for(network, target, options, link)
        link = link_beside(plan, target, link)
        clock = plan_target_clock(target, options)
        bit = clocks_per_bit(clock.hz, baud_of(target, options, clock))
        core: SerialCore = LinkedCore(plan.core(), link, bit, plan.family)
        if plan.sprams:
            core = FlashedCore(core, plan_flash(plan)[0])
        texts = [to_rtlil(core, TOP), board, tool_version("yosys", False), str(options.seed)]

        def measure(folder: Path) -> dict[str, Any]:
            built = build(core, target, folder, seed=options.seed)
            return {"used": asdict(built.utilisation.used), "fmax_mhz": built.timing.fmax_mhz}

        found = self.kept("design", texts, measure)
        return named(found["used"], plan.family) | {"fmax_mhz": found["fmax_mhz"]}


def named(used: Mapping[str, float], family: Family) -> Figures:
    """Resources under the names that they have in the family; what there is none of is left out."""
    names = {"lcs": "comb", "brams": "dp16kd"} if family is Family.ECP5 else {}
    return {names.get(name, name): amount for name, amount in used.items() if amount or name == "spram"}


def synthesise(rtlil: str, device: Device, folder: Path, top: str = TOP) -> dict[str, Any]:
    """Writes top.json into the folder; returns where it is and which cells it has."""
    (folder / "top.il").write_text(rtlil, encoding="utf-8")
    passes = synthesis_passes(device.family, top, dsp=device.capacity.dsps > 0)
    script = ["read_rtlil top.il", *passes, "tee -q -o stat.json stat -json", "write_json top.json"]
    log = folder / "logs" / "yosys.console.log"
    with block_map(folder, device.family):
        run_tool([*find_tool("yosys"), "-q", "-l", "logs/yosys.log", "-p", "; ".join(script)], cwd=folder, log=log)
    cells = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    return {"netlist": str(folder / "top.json"), "cells": cells}


def place(netlist: Mapping[str, Any], rtlil: str, device: Device, folder: Path, seed: int) -> dict[str, Any]:
    """What a synthesised design takes, how fast it is, and where its longest path leads."""
    shutil.copyfile(netlist["netlist"], folder / "top.json")
    speed = [] if device.speed is None else ["--speed", str(device.speed)]
    unconstrained = "--lpf-allow-unconstrained" if device.family is Family.ECP5 else "--pcf-allow-unconstrained"
    argv = [
        *find_tool(f"nextpnr-{device.family.value}"),
        *("--quiet", "--log", "logs/nextpnr.log", "--json", "top.json", "--report", "nextpnr.json"),
        *("--timing-allow-fail", "--freq", str(MHZ), "--seed", str(seed), unconstrained),
        *(device.flag, "--package", device.package, *speed),
    ]
    run_tool(argv, cwd=folder, log=folder / "logs" / "nextpnr.console.log")
    (folder / "top.json").unlink()
    report = json.loads((folder / "nextpnr.json").read_text(encoding="utf-8"))
    log = (folder / "logs" / "nextpnr.log").read_text(encoding="utf-8", errors="replace")
    used = read_utilisation(report, log, netlist["cells"], device.family, device.capacity).used
    timing = read_timing(report, module_paths(rtlil))
    path = ", ".join(dict.fromkeys(hop.block for hop in timing.critical_path))
    return {"used": asdict(used), "fmax_mhz": timing.fmax_mhz, "path": path}


def write_figures(file: Path, content: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    temporary.replace(file)

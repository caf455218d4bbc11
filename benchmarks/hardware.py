"""What the hardware takes and how fast it is, against its goals and published work: the real tools, real activity.

    python benchmarks/hardware.py --output FOLDER --mnist NET.nir --mnist-data TEST.npz
        [--mnist16 NET.nir --mnist16-data TEST.npz] [--only ROW ...] [--front] [--seed 1] [--docs docs]
    python benchmarks/hardware.py --output FOLDER --table [--docs docs]

Networks are integer ones, as `spikeloom compress` writes them: `--mnist` 784-128-10, `--mnist16` 256-128-10 for images
of 16 x 16 pixels. Data are spikes [samples, steps, inputs] and labels. Rows whose files are not given are skipped, and
said to be. Networks that there is no data for have random weights and inputs, and say so.

A core alone is synthesised, placed and routed with its ports on any pins; a whole design is what `spikeloom compile`
builds. Cycles per step are the cycles of a sample alone on the core, from its first token in to its last out, divided
by its steps: of the exact model (`spikeloom.compiler.cycles`), checked against the simulated hardware, or of the latter
where there is no model. Placement starts from one seed, except where a row says otherwise. FOLDER keeps designs under a
hash of their RTLIL, so that an interrupted run goes on, and every row's figures, so that `--table` needs no tool;
`hardware.json` and `benchmarks_hardware.md` are written there, and the latter to `--docs` too, with the plot.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.sim import Simulator, SimulatorContext
from spikeloom.boards.boards import find_board
from spikeloom.boards.clock import clocks_per_bit
from spikeloom.boards.critical_path import module_paths, read_timing
from spikeloom.boards.devices import DEVICES, Device
from spikeloom.boards.toolchain import build
from spikeloom.boards.top import SerialCore
from spikeloom.boards.utilisation import read_utilisation
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.data.samples import load_samples
from spikeloom.compiler.encodings.cost import Scarce
from spikeloom.compiler.encodings.vector import pack_events
from spikeloom.compiler.flow.compile import CompileOptions, plan_for, plan_target_clock
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.bounds import signed_bits
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import Decay, IntegerDynamics, Kind, ResetPlace
from spikeloom.compiler.neurons.reachable import reachable_membranes
from spikeloom.compiler.output.flash_image import plan_flash
from spikeloom.compiler.plan import folding
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan, with_spram
from spikeloom.hdl.emit.emit import to_rtlil
from spikeloom.hdl.emit.synthesis import synthesis_passes
from spikeloom.hdl.emit.tools import find_tool, run_tool, tool_version, warm_up
from spikeloom.hdl.engines.vector import VectorFormat
from spikeloom.hdl.errors import SpikeloomError
from spikeloom.hdl.link.flashed_core import FlashedCore
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.streams.tokens import TokenKind
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference

TOP = "top"
MHZ = 100.0
"""What nextpnr is asked for: enough to make it try."""

STEPS_OF_AN_IMAGE = 25
MODELLED, SIMULATED = 50, 2
"""Samples whose cycles are counted by the model, and of these by simulation."""

FRACTION_BITS = 2

LARGE_LAYER = 2000
"""Synapses of a layer whose stored bits count."""

HANG = 100_000
"""Cycles after which a simulated sample counts as hung."""

Figures = dict[str, float]
Spikes = npt.NDArray[np.uint8]


class Skipped(Exception):
    """A row that cannot be measured, and why."""


# ------------------------------------------------------------------------------------------------ goals and rivals


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure and its limit: at most so much, or at least. `bound` is what keeps it from being met, if it is not."""

    figure: str
    limit: float
    at_least: bool = False
    bound: str = ""

    def met(self, figures: Mapping[str, float]) -> bool | None:
        """None where it was not measured."""
        if self.figure not in figures:
            return None
        value = figures[self.figure]
        return value >= self.limit if self.at_least else value <= self.limit

    def missed_by(self, figures: Mapping[str, float]) -> float:
        """How far, relative to the limit; 0 where it is met."""
        distance = figures[self.figure] - self.limit
        return max(0.0, (-distance if self.at_least else distance) / self.limit)


NAMES = {
    "lcs": "LC",
    "comb": "COMB",
    "luts": "LUT4",
    "ffs": "FF",
    "brams": "block RAMs",
    "dp16kd": "DP16KD",
    "kbit": "kbit of block RAM",
    "spram": "SPRAM",
    "fmax_mhz": "MHz",
    "core_lcs": "LC (core)",
    "cycles_per_step": "cycles per step",
    "us_per_step": "us per step",
    "us_per_image": "us per image",
    "accuracy": "% accuracy",
    "seconds": "s",
    "cpu_seconds": "s of processor time",
    "ratio": "of the bound",
    "events_per_step": "input events per step",
    "synapses": "synapses",
}
"""How figures are called in the table, and their order."""


@dataclass(frozen=True)
class Row:
    """One line of the table: how it is measured, what for, and what others reached."""

    id: str
    title: str
    goals: tuple[Goal, ...] = ()
    rival: str = "-"


@dataclass(frozen=True)
class Result:
    """What a row measured: figures by name, and remarks on how."""

    figures: Figures
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rival:
    """Published work in the plot; latency in microseconds per image of 25 steps, or as published."""

    name: str
    luts: float
    us_per_image: float
    source: str


MEASURED, QUOTED = "measured with the same tools", "quoted"
SPIKER = "Spiker+ 7,808 LUT4 (11,854 COMB), 31 DP16KD, 924 cycles per step at 46 MHz"

RIVALS = (
    Rival("Spiker+ 784-128-10", 7808, 924 / 46 * STEPS_OF_AN_IMAGE, MEASURED),
    Rival("Flexi-NeurA 256-128-10 (Xilinx)", 1623, 1100, QUOTED),
)

ROWS = (
    Row(
        "icestick",
        "MNIST 784-128-10, whole design with host link, iCEstick (iCE40HX1K)",
        (
            Goal(figure="lcs", limit=1100),
            Goal(figure="brams", limit=16),
            Goal(figure="core_lcs", limit=400, bound="about 57 choose between the blocks of the entries' memory"),
            Goal(figure="accuracy", limit=97.0, at_least=True),
        ),
        "nobody fits it",
    ),
    Row(
        "ecp5",
        "MNIST 784-128-10, core, smallest fold, ECP5-25k",
        (Goal(figure="luts", limit=500), Goal(figure="dp16kd", limit=6)),
        SPIKER,
    ),
    Row(
        "vector2",
        "MNIST 784-128-10, core, two events per beat, ECP5-25k",
        (
            Goal(figure="cycles_per_step", limit=64),
            Goal(figure="us_per_step", limit=1.2),
            Goal(figure="us_per_image", limit=30),
            Goal(figure="luts", limit=5000),
            Goal(figure="dp16kd", limit=48),
        ),
        SPIKER,
    ),
    Row(
        "vector3",
        "MNIST 784-128-10, core, three events per beat, ECP5-25k",
        (
            Goal(
                figure="cycles_per_step",
                limit=40,
                bound="33 are beats, as a step's events lie unevenly in banks, about 6 a sample's end, over its steps",
            ),
            Goal(figure="us_per_image", limit=30),
            Goal(figure="luts", limit=5000),
            Goal(figure="dp16kd", limit=48),
        ),
        SPIKER,
    ),
    Row(
        "hx8k-small",
        "64-32-10, 90 % sparse, core, smallest fold, iCE40HX8K",
        (
            Goal(figure="lcs", limit=400),
            Goal(figure="brams", limit=4),
            Goal(figure="cycles_per_step", limit=110),
            Goal(
                figure="fmax_mhz",
                limit=90,
                at_least=True,
                bound="one of three placements; the path goes from the bank back into the walker",
            ),
        ),
        "Spiker+ (dense) 3,027 LC, 11 block RAMs, 69 MHz, 103 cycles per step",
    ),
    Row(
        "hx8k-fast",
        "64-32-10, 90 % sparse, core, fast fold, iCE40HX8K",
        (
            Goal(figure="lcs", limit=900),
            Goal(figure="brams", limit=8),
            Goal(figure="cycles_per_step", limit=40),
            Goal(figure="fmax_mhz", limit=90, at_least=True),
        ),
        "Spiker+ (dense) 3,027 LC, 11 block RAMs, 69 MHz, 103 cycles per step",
    ),
    Row(
        "up5k-pruned",
        "32-64-128-64-12, 8 bits, 80 % pruned, core without SPRAM, iCE40UP5K",
        (Goal(figure="lcs", limit=600), Goal(figure="brams", limit=30), Goal(figure="spram", limit=0)),
        "SYNtzulu 3,467 LC (SoC), 2,400 cycles per step",
    ),
    Row(
        "up5k-dense",
        "32-64-128-64-12, 8 bits, dense, whole design, weights from flash in SPRAM, iCEBreaker (iCE40UP5K)",
        (Goal(figure="lcs", limit=5280), Goal(figure="brams", limit=30), Goal(figure="spram", limit=4)),
        "SYNtzulu 3,467 LC (SoC), 2,400 cycles per step",
    ),
    Row(
        "mnist16",
        "MNIST 16 x 16 images 256-128-10, core, an engine per layer, ECP5-25k",
        (
            Goal(figure="luts", limit=450),
            Goal(figure="kbit", limit=64),
            Goal(figure="us_per_image", limit=200),
            Goal(figure="accuracy", limit=97.5, at_least=True),
        ),
        "Flexi-NeurA 1,623 cells, 252 kbit, 1.1 ms, 97.2 % (quoted, Xilinx)",
    ),
    Row(
        "compile",
        "784-128-10 for an iCE40UP5K, from .nir to bitstream and report, warm tools",
        (Goal(figure="cpu_seconds", limit=60),),
    ),
    Row(
        "stored",
        "bits stored, layers of over 2,000 synapses, one lane",
        (Goal(figure="ratio", limit=1.25),),
        "full pointers 1.36 to 1.47",
    ),
)


# -------------------------------------------------------------------------------------------------------- foldings


def vector_folding(network: Network, events: int, *, neurons_per_cycle: int = 4) -> Folding:
    """All neurons at once: `events` per beat into the first population, one into the others."""
    first, *others = [population.name for population in network.populations]
    wide = engine_folding(
        populations=(first,),
        kind=EngineKind.VECTOR,
        lanes=0,
        events_per_beat=events,
        neurons_per_cycle=neurons_per_cycle,
    )
    rest = (engine_folding(populations=(name,), kind=EngineKind.VECTOR, lanes=0) for name in others)
    return Folding(engines=(wide, *rest), wide=events > 1)


def lanes_folding(network: Network, lanes: int) -> Folding:
    """Lanes for the first population, one for the others, whose rows are short."""
    first, *others = [population.name for population in network.populations]
    rest = (engine_folding(populations=(name,)) for name in others)
    return Folding(engines=(engine_folding(populations=(first,), lanes=lanes), *rest))


def half_vector_folding(network: Network, lanes: int) -> Folding:
    """A vector engine for the first population, sparse rows for the second."""
    first, second = (population.name for population in network.populations)
    vector = engine_folding(populations=(first,), kind=EngineKind.VECTOR, lanes=lanes)
    return Folding(engines=(vector, engine_folding(populations=(second,))))


FRONT: dict[str, tuple[str, Callable[[Network], Folding]]] = {
    "front-shared": ("shared", shared_folding),
    "front-pipelined": ("an engine each", pipelined_folding),
    "front-lanes2": ("2 lanes", lambda network: lanes_folding(network, 2)),
    "front-lanes4": ("4 lanes", lambda network: lanes_folding(network, 4)),
    "front-lanes8": ("8 lanes", lambda network: lanes_folding(network, 8)),
    "front-vector1": ("vector, 1 event", lambda network: vector_folding(network, 1, neurons_per_cycle=2)),
    "vector2": ("vector, 2 events", lambda network: vector_folding(network, 2)),
    "vector3": ("vector, 3 events", lambda network: vector_folding(network, 3, neurons_per_cycle=5)),
}
"""The folding axis of 784-128-10 on an ECP5: what each is called in the plot."""


# -------------------------------------------------------------------------------------------------------- networks


def random_network(
    seed: int, sizes: Sequence[int], density: float, bits: int, thresholds: tuple[int, int] = (8, 20)
) -> Network:
    """Integer LIF neurons with random weights, of which exactly the share `density` is not zero in every layer.

    Thresholds lie in a range in units of the weights. A membrane has two bits below that unit, leaks an eighth per step
    and is as wide as it can ever need.
    """
    rng = np.random.default_rng(seed)
    names = [INPUT, *(f"l{number + 1}" for number in range(len(sizes) - 1))]
    largest = 2 ** (bits - 1) - 1
    populations, projections = [], []
    for number, (pre, post) in enumerate(pairwise(sizes)):
        codes = rng.integers(1, largest + 1, pre * post) * rng.choice([-1, 1], pre * post, p=[0.4, 0.6])
        codes[rng.permutation(pre * post)[round(density * pre * post) :]] = 0
        fire = rng.integers(*thresholds, post) << FRACTION_BITS
        neuron = IntegerDynamics(
            kind=Kind.LIF,
            fire=fire,
            sub=fire,
            decay=Decay(c=1, k=3),
            reset_place=ResetPlace.NEXT,
            state_bits=32,
            fraction_bits=FRACTION_BITS,
        )
        populations.append(Population(name=names[number + 1], shape=(post,), dynamics=neuron))
        dense = Dense(weights=Quantised(codes=codes.reshape(pre, post), bits=bits))
        projections.append(
            Projection(pre=names[number], post=names[number + 1], connectivity=dense, shift=FRACTION_BITS)
        )
    network = Network(
        input_shape=(sizes[0],), populations=tuple(populations), projections=tuple(projections), output=names[-1]
    )
    return replace(network, populations=tuple(_narrowed(network, population) for population in populations))


def _narrowed(network: Network, population: Population) -> Population:
    reach = reachable_membranes(network, population)
    assert reach is not None and isinstance(population.dynamics, IntegerDynamics)
    return replace(population, dynamics=replace(population.dynamics, state_bits=signed_bits(*reach)))


def random_spikes(inputs: int, samples: int = 4, steps: int = 25, rate: float = 0.2) -> Spikes:
    return (np.random.default_rng(1).random((samples, steps, inputs)) < rate).astype(np.uint8)


# ------------------------------------------------------------------------------------------------------ the tools


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
        if option not in self.networks:
            self.networks[option] = read_nir(self.path(option))
        return self.networks[option]

    def spikes(self, option: str) -> Spikes:
        return load_samples(self.path(option)).first(MODELLED).spikes

    def kept(self, kind: str, texts: Sequence[str], measure: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """What `measure` found in a folder of its own, now or in an earlier run."""
        folder = self.folder / "designs" / f"{kind}-{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:24]}"
        file = folder / "figures.json"
        if not file.is_file():
            (folder / "logs").mkdir(parents=True, exist_ok=True)
            _write(file, measure(folder))
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
        right = 0
        for first in range(0, len(samples), 1000):
            part = slice(first, first + 1000)
            counts = run_reference(self.network(network), samples.spikes[part]).spikes.sum(axis=1, dtype=np.int64)
            right += int((counts.argmax(axis=1) == samples.labels[part]).sum())
        return {"accuracy": 100 * right / len(samples)}

    def core(self, plan: Plan, device: str, *, seeds: int = 1) -> Result:
        """The core alone, placed and routed; of several seeds the first's size, and the lowest Fmax."""
        rtlil = to_rtlil(plan.core(), TOP)
        target = DEVICES[device]
        yosys, router = tool_version("yosys", False), tool_version(f"nextpnr-{target.family.value}", False)
        netlist = self.kept("netlist", [rtlil, device, yosys], lambda folder: _synthesise(rtlil, target, folder))
        runs = []
        for seed in range(self.options.seed, self.options.seed + seeds):
            texts = [rtlil, device, yosys, router, str(seed)]
            runs.append(self.kept("placed", texts, lambda to, s=seed: _place(netlist, rtlil, target, to, s)))
        speeds = [run["fmax_mhz"] for run in runs]
        figures = named(runs[0]["used"], target.family) | {"fmax_mhz": min(speeds)}
        remarks = [f"longest path through {runs[speeds.index(min(speeds))]['path']}"]
        if seeds > 1:
            remarks.append(f"Fmax of seeds {self.options.seed} to {seed}: {', '.join(f'{mhz:.1f}' for mhz in speeds)}")
        return Result(figures, tuple(remarks))

    def design(self, network: Network, board: str) -> Figures:
        """The whole design with its host link, as `spikeloom compile` builds it."""
        options = CompileOptions(board=board, seed=self.options.seed)
        target = find_board(board)
        link = link_of(network)
        plan = plan_for(network, target, options, link)
        bit = clocks_per_bit(plan_target_clock(target, options).hz, target.baud)
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


def _synthesise(rtlil: str, device: Device, folder: Path) -> dict[str, Any]:
    """Writes top.json into the folder."""
    (folder / "top.il").write_text(rtlil, encoding="utf-8")
    passes = synthesis_passes(device.family, TOP, dsp=device.capacity.dsps > 0)
    script = ["read_rtlil top.il", *passes, "tee -q -o stat.json stat -json", "write_json top.json"]
    log = folder / "logs" / "yosys.console.log"
    run_tool([*find_tool("yosys"), "-q", "-l", "logs/yosys.log", "-p", "; ".join(script)], cwd=folder, log=log)
    cells = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    return {"netlist": str(folder / "top.json"), "cells": cells}


def _place(netlist: Mapping[str, Any], rtlil: str, device: Device, folder: Path, seed: int) -> dict[str, Any]:
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


# --------------------------------------------------------------------------------------------------------- cycles


def cycles_per_step(plan: Plan, spikes: Spikes, *, wide: bool = False) -> tuple[float, str]:
    """The mean over samples, and how it was found."""
    steps = spikes.shape[1]
    if wide:
        simulated = [simulate_beats(plan, sample) for sample in spikes[:SIMULATED]]
        return float(np.mean(simulated)) / steps, f"cycles of {len(simulated)} simulated samples"
    simulated = measure_cycles(plan, spikes[:SIMULATED])
    if any(isinstance(engine.form, VectorFormat) for engine in plan.engines):
        return float(np.mean(simulated)) / steps, f"cycles of {len(simulated)} simulated samples"
    modelled = count_cycles(plan, run_reference(plan.network, spikes).trains(spikes))
    if modelled[:SIMULATED] != simulated:
        raise AssertionError(f"the cycle model says {modelled[:SIMULATED]}, the simulated core {simulated}")
    return float(np.mean(modelled)) / steps, f"cycles of {len(modelled)} samples"


def beats(form: VectorFormat, sample: Spikes) -> list[int]:
    """The payloads of a sample [steps, inputs] for a core with a wide input."""
    payloads = []
    for number, counts in enumerate(sample):
        payloads += pack_events(form, np.repeat(np.arange(counts.size), counts).tolist())
        payloads.append((TokenKind.END_OF_STEP if number < len(sample) - 1 else TokenKind.END_OF_SAMPLE).value)
    return payloads


def simulate_beats(plan: Plan, sample: Spikes) -> int:
    """The cycles of a sample [steps, inputs] on a core with a wide input, whose output must be the reference's."""
    form = plan.engines[0].form
    assert isinstance(form, VectorFormat)
    core = plan.core()
    payloads = beats(form, sample)
    counts = np.zeros((len(sample), plan.network.size_of(plan.network.output)), np.int64)
    times: list[int] = []

    async def drive(context: SimulatorContext) -> None:
        for payload in payloads:
            context.set(core.i.payload.as_value(), payload)
            context.set(core.i.valid, 1)
            while not (await context.tick().sample(core.i.ready))[-1]:
                pass
        context.set(core.i.valid, 0)

    async def watch(context: SimulatorContext) -> None:
        context.set(core.o.ready, 1)
        step = cycle = 0
        ports = (core.i.valid & core.i.ready, core.o.valid, core.o.payload)
        async for _, _, accepted, valid, token in context.tick().sample(*ports):
            cycle += 1
            if accepted and not times:
                times.append(cycle)
            if valid and token.kind == TokenKind.EVENT:
                counts[step, token.address] += 1
            elif valid:
                step += 1
            if step == len(sample):
                times.append(cycle)
                return
            if cycle > HANG:
                raise AssertionError(f"the core has not finished a sample after {HANG} cycles")

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    np.testing.assert_array_equal(counts, run_reference(plan.network, sample[None]).spikes[0])
    return times[1] - times[0] + 1


def timed(figures: Figures, cycles: float, steps: int) -> Figures:
    """The figures with the time that a step and an image of `steps` steps take at Fmax."""
    us = cycles / figures["fmax_mhz"]
    return figures | {"cycles_per_step": cycles, "us_per_step": us, "us_per_image": us * steps}


# ----------------------------------------------------------------------------------------------------------- rows


def facts(network: Network, spikes: Spikes) -> tuple[str, ...]:
    """What a network and its input are like."""
    layers = make_plan(network).layers
    synapses = sum(layer.synapses for layer in layers)
    sparsity = 1 - synapses / sum(layer.fan_in * layer.neurons for layer in layers)
    bits = max(layer.weight_bits for layer in layers)
    events = spikes.sum() / spikes.shape[0] / spikes.shape[1]
    return (f"{synapses:,} synapses ({sparsity:.1%} sparse), {bits} bits", f"{events:.1f} input events per step")


def measure_icestick(bench: Bench) -> Result:
    network = bench.network("mnist")
    whole = bench.design(network, "icestick")
    core = bench.core(make_plan(network, "ice40"), "hx1k")
    spikes = bench.spikes("mnist_data")
    cycles, how = cycles_per_step(make_plan(network, "ice40"), spikes)
    figures = timed(whole, cycles, STEPS_OF_AN_IMAGE) | {"core_lcs": core.figures["lcs"]}
    figures["accuracy"] = bench.accuracy("mnist", "mnist_data")
    clock = find_board("icestick").clock_hz / 1e6
    board = f"at the board's {clock:g} MHz {cycles * STEPS_OF_AN_IMAGE / clock:,.0f} us per image"
    alone = f"core alone: {core.figures['brams']:.0f} block RAMs, {core.figures['fmax_mhz']:.1f} MHz"
    return Result(figures, (*facts(network, spikes), how, board, alone))


def measure_fold(bench: Bench, id: str) -> Result:
    """A point of the folding axis."""
    network = bench.network("mnist")
    plan = make_plan(network, "ecp5", FRONT[id][1](network))
    spikes = bench.spikes("mnist_data")
    cycles, how = cycles_per_step(plan, spikes, wide=plan.folding.wide)
    core = bench.core(plan, "lfe5u-25f")
    figures = timed(core.figures, cycles, STEPS_OF_AN_IMAGE)
    figures["accuracy"] = bench.accuracy("mnist", "mnist_data")
    return Result(figures, (*facts(network, spikes), how, *core.remarks))


def measure_hx8k(bench: Bench, folding: Callable[[Network], Folding]) -> Result:
    network = random_network(0, (64, 32, 10), 0.1, 4)
    spikes = random_spikes(64)
    plan = make_plan(network, "ice40", folding(network))
    cycles, how = cycles_per_step(plan, spikes)
    core = bench.core(plan, "hx8k", seeds=3)
    rates = [run.spikes.mean() for run in run_reference(network, spikes).populations.values()]
    fired = f"random weights and inputs; {', '.join(f'{rate:.0%}' for rate in rates)} of the neurons fire in a step"
    return Result(timed(core.figures, cycles, 25), (*facts(network, spikes), fired, how, *core.remarks))


def measure_up5k(bench: Bench, *, dense: bool) -> Result:
    """Pruned, the core alone; dense, the whole design, as the port that fills SPRAM needs more pins than there are."""
    density, thresholds = (1, (300, 900)) if dense else (0.2, (100, 300))
    network = random_network(0, (32, 64, 128, 64, 12), density, 8, thresholds)
    spikes = random_spikes(32)
    plan = with_spram(make_plan(network, "ice40")) if dense else make_plan(network, "ice40")
    recording = run_reference(network, spikes)
    events = recording.trains(spikes)
    cycles = float(np.mean(count_cycles(plan, events))) / spikes.shape[1]
    found = Result(bench.design(network, "icebreaker")) if dense else bench.core(plan, "up5k")
    rates = ", ".join(f"{run.spikes.mean():.0%}" for run in recording.populations.values())
    fired = f"random weights and inputs; {rates} of the neurons fire in a step"
    return Result(timed(found.figures, cycles, 25), (*facts(network, spikes), fired, *found.remarks))


def measure_mnist16(bench: Bench) -> Result:
    network = bench.network("mnist16")
    spikes = bench.spikes("mnist16_data")
    plan = make_plan(network, "ecp5", pipelined_folding(network))
    cycles, how = cycles_per_step(plan, spikes)
    core = bench.core(plan, "lfe5u-25f")
    figures = timed(core.figures, cycles, spikes.shape[1])
    figures["kbit"] = sum(memory.shape.bits for memory in plan.memories if memory.shape.brams) / 1024
    figures["accuracy"] = bench.accuracy("mnist16", "mnist16_data")
    whole = 18 * figures["dp16kd"]
    steps = f"images of {spikes.shape[1]} steps; kbit are those of all words in block RAMs, which hold {whole:.0f}"
    return Result(figures, (*facts(network, spikes), steps, how, *core.remarks))


def measure_compile(bench: Bench) -> Result:
    """The command as a user runs it, in its own process. Processor time is what counts: others may use the machine."""
    warm_up()
    command = [str(Path(sys.executable).with_name("spikeloom")), "compile", str(bench.path("mnist").resolve())]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as name:
        output = ["--board", "icebreaker", "--seed", str(bench.options.seed), "--output", f"{name}/build"]
        failed = subprocess.run([*command, *output], check=False, stdout=subprocess.DEVNULL).returncode
    if failed:
        raise Skipped("spikeloom compile fails")
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores while it ran; board iCEBreaker"
    return Result({"seconds": seconds, "cpu_seconds": busy}, (load,))


def measure_stored(bench: Bench) -> Result:
    """Row starts and entries, all words that are allocated, against the entropy bound; the ratio is the worst."""
    given = [name for name in ("mnist", "mnist16") if getattr(bench.options, name) is not None]
    if not given:
        raise Skipped("neither --mnist nor --mnist16 is given")
    ratios, remarks = [], []
    for name, family in product(given, Family):
        network = bench.network(name)
        plan = make_plan(network, family, pipelined_folding(network))
        for engine, layer in enumerate(plan.layers):
            stored = [m for m in plan.memories if m.engine == engine and m.role in ("rows", "masks", "entries")]
            bits = sum(m.shape.bits for m in stored)
            ratio = bits / layer.entropy_bits
            if layer.synapses > LARGE_LAYER:
                ratios.append(ratio)
            weights = f"{family.value}, {layer.fan_in} x {layer.neurons}, {layer.synapses:,} synapses"
            remarks.append(f"{weights}: {bits:,} bits, {ratio:.3f} of the bound {layer.entropy_bits:,.0f}")
    return Result({"ratio": max(ratios)} if ratios else {}, tuple(remarks))


MEASURES: dict[str, Callable[[Bench], Result]] = {
    "icestick": measure_icestick,
    "ecp5": lambda bench: measure_fold(bench, "front-shared"),
    "hx8k-small": lambda bench: measure_hx8k(bench, lambda network: shared_folding(network, Scarce.LUTS)),
    "hx8k-fast": lambda bench: measure_hx8k(bench, lambda network: half_vector_folding(network, 16)),
    "up5k-pruned": lambda bench: measure_up5k(bench, dense=False),
    "up5k-dense": lambda bench: measure_up5k(bench, dense=True),
    "mnist16": measure_mnist16,
    "compile": measure_compile,
    "stored": measure_stored,
} | {id: lambda bench, id=id: measure_fold(bench, id) for id in FRONT}  # type: ignore[misc]


def measure_rows(bench: Bench, ids: Sequence[str]) -> None:
    """Measure rows and keep their figures."""
    for id in ids:
        try:
            result = MEASURES[id](bench)
        except Skipped as reason:
            print(f"{id}: skipped, {reason}", flush=True)
            continue
        except SpikeloomError as error:  # the other rows are worth having
            print(f"{id}: failed, {error}", flush=True)
            continue
        result = replace(result, remarks=(*result.remarks, *_commit()))
        _write(bench.folder / "rows" / f"{id}.json", asdict(result))
        print(f"{id}: {shown(result.figures)}; {'; '.join(result.remarks)}", flush=True)


def read_results(folder: Path) -> dict[str, Result]:
    """The rows that were measured, now or in earlier runs."""
    results = {}
    for id in MEASURES:
        file = folder / "rows" / f"{id}.json"
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            results[id] = Result(content["figures"], tuple(content["remarks"]))
    return results


def _commit() -> tuple[str, ...]:
    """The commit of the sources that were measured, where there is one."""
    root = Path(folding.__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", check=False)
    return (f"commit {found.stdout.strip()}",) if found.returncode == 0 else ()


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    temporary.replace(file)


# ------------------------------------------------------------------------------------------------------ the table


def number(value: float) -> str:
    """As many digits as tell something."""
    if value == round(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 20 else f"{value:.2f}"


def shown(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{number(figures[name])} {label}" for name, label in NAMES.items() if name in figures)


def verdict(goal: Goal, figures: Mapping[str, float]) -> str:
    """One goal and whether it is met."""
    sign = ">=" if goal.at_least else "<="
    text = f"{NAMES[goal.figure]} {sign} {number(goal.limit)}"
    met = goal.met(figures)
    if met is None:
        return f"{text}: not measured"
    if met:
        return f"{text}: met ({number(figures[goal.figure])})"
    missed = f"{text}: **missed** by {goal.missed_by(figures):.1%} ({number(figures[goal.figure])})"
    return f"{missed}; {goal.bound}" if goal.bound else missed


def markdown(results: Mapping[str, Result]) -> str:
    """The page for the docs."""
    lines = [*INTRODUCTION.splitlines(), "", "| | measured | goals | others |", "|---|---|---|---|"]
    for row in ROWS:
        if row.id in results:
            figures = results[row.id].figures
            goals = "<br>".join(verdict(goal, figures) for goal in row.goals)
            lines.append(f"| {row.title} | {shown(figures)} | {goals} | {row.rival} |")
        else:
            lines.append(f"| {row.title} | not measured | | {row.rival} |")
    lines += ["", "How each was measured:", ""]
    lines += [f"- {row.title}: {'; '.join(results[row.id].remarks)}" for row in ROWS if row.id in results]
    lines += [
        "",
        *FRONT_TEXT.splitlines(),
        "",
        "| fold | LUT4 | COMB | DP16KD | MHz | cycles per step | us per image |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for name, figures in front(results):
        columns = ("luts", "comb", "dp16kd", "fmax_mhz", "cycles_per_step", "us_per_image")
        lines.append(f"| {name} | {' | '.join(number(figures[column]) for column in columns)} |")
    for rival in RIVALS:
        lines.append(f"| {rival.name}, {rival.source} | {number(rival.luts)} | | | | | {number(rival.us_per_image)} |")
    lines += ["", "![Look-up tables over time per image](benchmarks_hardware.svg)", "", *TOOLS_TEXT.splitlines()]
    return "\n".join(lines) + "\n"


INTRODUCTION = """\
# Benchmarks of the hardware

Made by `benchmarks/hardware.py` with the real tools (YoWASP's yosys and nextpnr), on spikes of MNIST's test images
where the network is for MNIST. Figures of others are measured with the same tools unless they are marked as quoted.
LUT4 of an ECP5 are look-up tables with logic; COMB are all cells, those of carry chains included. One placement seed,
except for 64-32-10, of whose three seeds the slowest counts. Cycles per step are those of a sample alone, from its
first token in to its last out, divided by its steps; time is at the Fmax of the same core, for images of 25 steps
unless a row says otherwise.

The networks for MNIST were trained with snnTorch, then pruned, quantised and trained on by `spikeloom compress`; that
of 256-128-10 keeps about as many synapses as 16 steps in 0.2 ms leave room for. 64-32-10 and 32-64-128-64-12 have
random weights and so no accuracy. Compilation counts processor time, as the machine did other work as well."""

FRONT_TEXT = """\
## The folding axis

784-128-10 as a core on an ECP5-25k, from one shared engine to all neurons at once. Four events per beat would need both
ports of two banks of block RAM, 58 DP16KD for 4-bit weights, which is more than the device has (56): three events from
three banks need 45."""

TOOLS_TEXT = "LUT4 over time per image: the lower left is better."


def front(results: Mapping[str, Result]) -> list[tuple[str, Figures]]:
    """The points of the folding axis that were measured."""
    return [(name, results[id].figures) for id, (name, _) in FRONT.items() if id in results]


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is at least as good as in both, by their first figure."""
    best: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    return best


def plot(results: Mapping[str, Result], file: Path) -> None:
    """Look-up tables over time per image."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "spikeloom", "font.size": 9})
    figure, axes = plt.subplots(figsize=(6.4, 4))
    points = {name: (figures["us_per_image"], figures["luts"]) for name, figures in front(results)}
    if points:
        axes.plot(*zip(*points.values(), strict=True), "o", color="tab:blue", label="784-128-10, measured")
        axes.plot(*zip(*pareto(list(points.values())), strict=True), "-", color="tab:blue", alpha=0.4, zorder=0)
    if "mnist16" in results:
        small = results["mnist16"].figures
        points["256-128-10"] = (small["us_per_image"], small["luts"])
        axes.plot(*points["256-128-10"], "D", color="tab:green", label="256-128-10, measured")
    for source, marker in ((MEASURED, "s"), (QUOTED, "^")):
        others = {r.name: (r.us_per_image, r.luts) for r in RIVALS if r.source == source}
        axes.plot(*zip(*others.values(), strict=True), marker, color="tab:red", label=f"others, {source}")
        points |= others
    for number, (name, (x, y)) in enumerate(points.items()):
        # Neighbours on the folding axis must not write over each other, nor the rightmost beyond the frame.
        right = x == max(x for x, _ in points.values())
        offset = (-5 if right else 5, -10 if number % 2 else 5)
        side = "right" if right else "left"
        axes.annotate(name, (x, y), xytext=offset, textcoords="offset points", fontsize=7, ha=side)
    axes.set(xscale="log", yscale="log", xlabel="µs per image (784-128-10: of 25 steps)", ylabel="LUT4")
    axes.grid(alpha=0.3, which="both")
    axes.margins(x=0.3, y=0.12)
    axes.legend(fontsize=8)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def write_tables(results: Mapping[str, Result], folder: Path, docs: Path | None) -> None:
    goals = {row.id: [asdict(goal) for goal in row.goals] for row in ROWS}
    _write(
        folder / "hardware.json", {id: asdict(result) | {"goals": goals.get(id, [])} for id, result in results.items()}
    )
    for place in (folder, *([] if docs is None else [docs])):
        (place / "benchmarks_hardware.md").write_text(markdown(results), encoding="utf-8")
        plot(results, place / "benchmarks_hardware.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    for name in ("mnist", "mnist16"):
        parser.add_argument(f"--{name}", type=Path, metavar="NET.nir")
    for name in ("mnist-data", "mnist16-data"):
        parser.add_argument(f"--{name}", type=Path, metavar="TEST.npz")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="ROW", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--front", action="store_true", help="measure every point of the folding axis too")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the table of earlier runs")
    parser.add_argument("--seed", type=int, default=1, help="of the placement")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="where the page and its plot go too")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*created but never used")
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.table:
        ids = [row.id for row in ROWS] + [id for id in FRONT if id.startswith("front-") and options.front]
        measure_rows(Bench(options, options.output), options.only or ids)
    results = read_results(options.output)
    write_tables(results, options.output, options.docs)
    for row in ROWS:
        for goal in row.goals if row.id in results else ():
            print(f"{row.id}: {verdict(goal, results[row.id].figures)}")


if __name__ == "__main__":
    main()

"""How each line of the hardware's table is measured."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
from spikeloom.boards.boards import find_board
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.encodings.cost import Scarce
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding, slotted_folding
from spikeloom.compiler.plan.plan import make_plan, with_spram
from spikeloom.hdl.emit.tools import warm_up
from spikeloom.hdl.errors import SpikeloomError
from spikeloom.hdl.memories.memory import Family
from spikeloom.sim.reference import run_reference

from .bench import Bench, Skipped, write_figures
from .cycles import cycles_per_step, timed
from .foldings import FRONT, half_vector_folding
from .goals import STEPS_OF_AN_IMAGE, Result, shown
from .networks import Spikes, random_network, random_spikes

FEW_STEPS = 10
"""Of long recordings so many steps are simulated, to check the model of cycles."""

LARGE_LAYER = 2000
"""Synapses of a layer whose stored bits count."""


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
    cycles, how = cycles_per_step(plan, spikes)
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


def measure_nmnist(bench: Bench, *, whole: bool) -> Result:
    """Recordings of many steps with few events: the pass is most of a step. As a whole design a small one: one
    shared engine that spares look-up tables, and a plain link."""
    network = bench.network("nmnist")
    spikes = bench.spikes("nmnist_data")
    small = shared_folding(network, Scarce.LUTS)
    if whole:
        plan = with_spram(make_plan(network, "ice40", small))
    else:
        plan = make_plan(network, "ecp5", slotted_folding(network, 4, neurons_per_cycle=2))
    cycles_per_step(plan, spikes[:, :FEW_STEPS])
    cycles = float(np.mean(count_cycles(plan, run_reference(network, spikes).trains(spikes)))) / spikes.shape[1]
    if whole:
        found = Result(bench.design(network, "icebreaker", folding=small, packed=False))
    else:
        found = bench.core(plan, "lfe5u-25f")
    figures = timed(found.figures, cycles, spikes.shape[1])
    figures["accuracy"] = bench.accuracy("nmnist", "nmnist_data")
    steps = f"recordings of {spikes.shape[1]} steps, cycles of {len(spikes)}"
    return Result(figures, (*facts(network, spikes), steps, *found.remarks))


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
    "nmnist": lambda bench: measure_nmnist(bench, whole=False),
    "nmnist-up5k": lambda bench: measure_nmnist(bench, whole=True),
    "compile": measure_compile,
    "stored": measure_stored,
} | {id: lambda bench, id=id: measure_fold(bench, id) for id in FRONT}  # type: ignore[misc]


def measure_rows(bench: Bench, ids: Sequence[str]) -> None:
    """Measure rows and keep what became of each, in place of what was known of it."""
    commit = commit_of_sources()
    done = _measured_before(bench, commit) if bench.options.resume else frozenset()
    for id in (id for id in ids if id not in done):
        try:
            result = MEASURES[id](bench)
        except Skipped as reason:
            result = Result({}, missing=f"skipped: {reason}")
        except SpikeloomError as error:  # the other rows are worth having
            result = Result({}, missing=f"failed: {error}")
        result = replace(result, commit=commit)
        write_figures(bench.folder / "rows" / f"{id}.json", asdict(result))
        print(f"{id}: {result.missing or shown(result.figures)}; {'; '.join(result.remarks)}", flush=True)


def _measured_before(bench: Bench, commit: str) -> frozenset[str]:
    """The rows that an earlier run measured on these very sources; none where these differ from their commit."""
    if not commit or commit.endswith("-dirty"):
        return frozenset()
    results = read_results(bench.folder)
    return frozenset(id for id, result in results.items() if result.measured and result.commit == commit)


def read_results(folder: Path) -> dict[str, Result]:
    """What became of the rows, now or in earlier runs."""
    results = {}
    for id in MEASURES:
        file = folder / "rows" / f"{id}.json"
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            results[id] = Result(**content | {"remarks": tuple(content["remarks"])})
    return results


def require_one_commit(results: Mapping[str, Result]) -> None:
    """Exits where rows were measured on different sources: their figures are not of one table."""
    commits: dict[str, list[str]] = {}
    for id, result in results.items():
        commits.setdefault(result.commit, []).append(id)
    if len(commits) > 1:
        found = "; ".join(f"{commit or 'unknown'}: {', '.join(ids)}" for commit, ids in commits.items())
        sys.exit(f"a table has the figures of one commit: {found}; measure the older rows again")


def commit_of_sources() -> str:
    """The commit of the sources beside this file, marked where they differ from it; empty outside a checkout."""
    root = Path(__file__).resolve().parent.parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*"]
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", check=False)
    return found.stdout.strip() if found.returncode == 0 else ""

"""How compiling and the core grow with the synapses: processor time, memory, look-up tables, block RAMs and Fmax.

    python benchmarks/scaling.py --output FOLDER [--synapses 100 300 ...] [--folds shared fast] [--seed 1] [--docs docs]

Each point is a network of two layers with random weights (4 bits, 95 % sparse) as one engine on the largest ECP5, core
alone, and has a process of its own. `compiler` is from the integer network to the core's RTLIL, `tools` are yosys and
nextpnr; memory is the largest that either needed. Cycles are those of the exact model, checked against the simulated
hardware below 10,000 synapses, for random events at a tenth of the inputs. FOLDER keeps the points, so that an
interrupted run goes on; `scaling.md` and `scaling.svg` are written there, and to `--docs` too.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from measuring.bench import Bench, write_figures
from measuring.cycles import cycles_per_step
from measuring.goals import number
from measuring.networks import random_network, random_spikes
from measuring.rows import commit_of_sources
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.folding import Folding, fast_folding, shared_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.emit.emit import to_rtlil
from spikeloom.hdl.emit.tools import warm_up
from spikeloom.sim.reference import run_reference

SYNAPSES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
DENSITY = 0.05
BITS = 4
OUTPUTS = 10
DEVICE = "lfe5u-85f"
STEPS = 25
RATE = 0.1

MOST_SIMULATED = 10_000
"""Synapses up to which the core is simulated beside the model."""

FOLDS: dict[str, Callable[[Network], Folding]] = {
    "shared": lambda network: shared_folding(network),
    "fast": lambda network: fast_folding(network, shared_folding(network)),
}

COLUMNS = {
    "compiler_s": "compiler, s",
    "tools_s": "tools, s",
    "compiler_mib": "compiler, MiB",
    "tools_mib": "tools, MiB",
    "luts": "LUT4",
    "dp16kd": "DP16KD",
    "fmax_mhz": "MHz",
    "cycles_per_step": "cycles per step",
}


def sizes_of(synapses: int) -> list[int]:
    """Inputs, half as many hidden neurons, and outputs, of which `DENSITY` makes about so many synapses."""
    hidden = max(4, round((math.sqrt(OUTPUTS**2 + 8 * synapses / DENSITY) - OUTPUTS) / 4))
    return [2 * hidden, hidden, OUTPUTS]


def measure(synapses: int, fold: str, folder: Path, seed: int) -> dict[str, float]:
    """One point; in a process that did nothing before, whose memory and tools are the point's alone."""
    warnings.filterwarnings("ignore", message=".*created but never used")
    network = random_network(synapses, sizes_of(synapses), DENSITY, BITS)
    before = resource.getrusage(resource.RUSAGE_SELF)
    plan = make_plan(network, "ecp5", FOLDS[fold](network))
    to_rtlil(plan.core(), "top")
    after = resource.getrusage(resource.RUSAGE_SELF)
    core = Bench(Namespace(seed=seed), folder).core(plan, DEVICE)
    tools = resource.getrusage(resource.RUSAGE_CHILDREN)
    stored = sum(layer.synapses for layer in plan.layers)
    spikes = random_spikes(network.input_size, samples=2, steps=STEPS, rate=RATE)
    if stored <= MOST_SIMULATED:
        cycles, _ = cycles_per_step(plan, spikes)
    else:
        cycles = float(np.mean(count_cycles(plan, run_reference(network, spikes).trains(spikes)))) / STEPS
    return core.figures | {
        "synapses": stored,
        "compiler_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "compiler_mib": after.ru_maxrss / 1024,
        "tools_s": tools.ru_utime + tools.ru_stime,
        "tools_mib": tools.ru_maxrss / 1024,
        "cycles_per_step": cycles,
    }


Points = dict[str, list[dict[str, float]]]
"""What was measured of each fold, by synapses."""


def read_points(folder: Path, commit: str) -> dict[str, dict[str, float]]:
    """What an earlier run of the same commit measured."""
    file = folder / "scaling.json"
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    points: dict[str, dict[str, float]] = found["points"] if found["commit"] == commit else {}
    return points


def markdown(points: Points, commit: str) -> str:
    lines = [*INTRODUCTION.splitlines(), "", f"Measured on commit {commit}.", ""]
    lines += [f"| synapses | fold | {' | '.join(COLUMNS.values())} |", "|---" * (2 + len(COLUMNS)) + "|"]
    for together in zip(*points.values(), strict=True):
        for fold, point in zip(points, together, strict=True):
            figures = " | ".join(number(point.get(column, 0)) for column in COLUMNS)
            lines.append(f"| {number(point['synapses'])} | {fold} | {figures} |")
    return "\n".join([*lines, "", "![Time, memory, look-up tables and clock over synapses](scaling.svg)"]) + "\n"


INTRODUCTION = """\
# How it scales

Made by `benchmarks/scaling.py`: networks of two layers with random weights, 95 % sparse, as one engine on an LFE5U-85F,
core alone, without (`shared`) and with (`fast`) registers for the clock. `compiler` is from the integer network to the
core's RTLIL, `tools` are yosys and nextpnr, in processor time, as the machine did other work as well; memory is the
largest that either needed. Cycles are for random events at a tenth of the inputs. One placement seed."""


def plot(points: Points, file: Path) -> None:
    """Four panels over the synapses."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "spikeloom", "font.size": 9})
    figure, panels = plt.subplots(2, 2, figsize=(7.2, 5.2), sharex=True, layout="constrained")
    shown = (
        ("processor time, s", {"compiler_s": "compiler", "tools_s": "tools"}, "log"),
        ("memory, MiB", {"compiler_mib": "compiler", "tools_mib": "tools"}, "log"),
        ("LUT4", {"luts": ""}, "linear"),
        ("Fmax, MHz", {"fmax_mhz": ""}, "linear"),
    )
    for axes, (title, columns, scale) in zip(panels.flat, shown, strict=True):
        for fold, style in zip(points, ("-", "--"), strict=False):
            for index, (column, name) in enumerate(columns.items()):
                x = [point["synapses"] for point in points[fold]]
                y = [point[column] for point in points[fold]]
                label = f"{name} ({fold})" if name else fold
                axes.plot(x, y, style, marker="o", markersize=3, color=f"C{index}", label=label)
        axes.set(xscale="log", yscale=scale, ylabel=title)
        if scale == "linear":
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    for axes in panels[1]:
        axes.set_xlabel("synapses")
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def write(found: Mapping[str, dict[str, float]], synapses: Sequence[int], options: Namespace, commit: str) -> None:
    """The points as JSON; the page and the plot of the sizes that every fold was measured at."""
    write_figures(options.output / "scaling.json", {"commit": commit, "points": found})
    whole = [size for size in synapses if all(f"{size} {fold}" in found for fold in options.folds)]
    if not whole:
        return
    points = {fold: [found[f"{size} {fold}"] for size in whole] for fold in options.folds}
    for place in [options.output, *([options.docs] if options.docs else [])]:
        (place / "scaling.md").write_text(markdown(points, commit), encoding="utf-8")
        plot(points, place / "scaling.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--synapses", type=int, nargs="+", default=list(SYNAPSES), metavar="N")
    parser.add_argument("--folds", nargs="+", choices=FOLDS, default=list(FOLDS))
    parser.add_argument("--seed", type=int, default=1, help="of the placement")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="where the page and its plot go too")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    commit = commit_of_sources()
    found = read_points(options.output, commit)
    sizes = sorted(set(options.synapses))
    warm_up()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn, max_tasks_per_child=1) as alone:
        for size in sizes:
            for fold in options.folds:
                key = f"{size} {fold}"
                if key not in found:
                    folder = options.output / key.replace(" ", "_") / commit
                    found[key] = alone.submit(measure, size, fold, folder, options.seed).result()
                figures = (f"{name} {number(found[key].get(column, 0))}" for column, name in COLUMNS.items())
                print(f"{size:,} synapses, {fold}: {', '.join(figures)}", flush=True)
                write(found, sizes, options, commit)


if __name__ == "__main__":
    main()

"""The tasks of the NIR paper (Pedersen et al., Nature Communications 2024) on our executors and hardware.

    python benchmarks/nir_tasks.py --nir FOLDER [--tools FOLDER] [--seed 1] [--docs docs]

FOLDER of `--nir` holds graphs of the paper's repository: `lif_norse.nir`, `lif_rockpool.nir`, `two_lif_neurons.nir`
(task 1), `cnn_sinabs.nir` (task 2), and of task 3 `braille_noDelay_bias_zero.nir` with one input and the hidden spikes
that the paper publishes for it. What is not there is said to be missing.

With `--tools` cores alone are synthesised, placed and routed for an iCE40UP5K, and keep their figures in that FOLDER.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring.bench import Bench
from measuring.cycles import cycles_per_step
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.lean import without_silent
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import CapacityError, ModelError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference

DEVICE = "up5k"
STEPS = 1000
"""Of task 1: single neurons on a random train."""

PAGE = "nir_tasks.md"
ABOUT = """Made by `benchmarks/nir_tasks.py` from the graphs of the paper's repository, and of task 3 the one input and
the hidden spikes that it publishes for snnTorch.

Agreement is told in spikes, as a silent network agrees in nearly all bins: bins of all populations (of the published
ones in task 3) that differ, of the spikes that are wanted; a spike that comes a step late is two of them. Wanted are
the published spikes where there are any, else the float executor's on a random train. Integer weights are dense, fitted
by `spikeloom compress --method osbc --sparsity 0 --no-distil` on that very input, the only one at hand. Of the two LIF
neurons the first fires by its v_leak alone, even without inputs, so that small errors of its leak add up for 179 steps.
"""
MEASURED = """Hardware is the core alone as `spikeloom compile` builds it, the smallest and without neurons that can
never fire, synthesised, placed and routed for an iCE40UP5K; cycles are the exact model's, checked against the simulated
core, on the same input. There is none of float weights."""
UNMEASURED = "Hardware was not measured in this run, which had no `--tools`."
COLUMNS = ("arithmetic", "spikes that differ", "accuracy", "LC", "block RAMs", "MHz", "cycles per step", "us per step")
NOT_MEASURED = ("-",) * 5

Spikes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One graph: how its file is read, its input, whose spikes are wanted, and what the paper reports of others."""

    title: str
    file: str
    reading: dict[str, Any]
    bits: tuple[int, ...] = (8,)
    input: str | None = None
    published: tuple[str, str] | None = None
    """The file of published spikes [step, neuron], and their population."""
    others: str = "the paper compares traces"
    accuracy: str = "a neuron has none"
    elsewhere: str | None = None
    """The benchmark that runs it in the place of this one."""


TASKS = (
    Task(title="1: a LIF neuron of Norse", file="lif_norse.nir", reading={"dialect": "norse", "dt": 1e-4}),
    Task(title="1: a LIF neuron of Rockpool", file="lif_rockpool.nir", reading={"dialect": "rockpool"}),
    Task(title="1: two LIF neurons", file="two_lif_neurons.nir", reading={"dialect": "nir", "dt": 1e-4}),
    Task(
        title="2: N-MNIST, convolutions",
        file="cnn_sinabs.nir",
        reading={"dialect": "sinabs"},
        others="Sinabs 98.47 %, SpiNNaker2 98.20, Loihi 98.15, Norse and Nengo 98.11, snnTorch 97.85, Spyx 97.12, "
        "Speck 95.40",
        accuracy="see there",
        elsewhere="benchmarks/convolution.py",
    ),
    Task(
        title="3: Braille, recurrent CubaLIF 12-38-7, reset to zero, with bias",
        file="braille_noDelay_bias_zero.nir",
        reading={"dialect": "snntorch", "reset": "zero", "reset_delay": False},
        bits=(12, 8),
        input="braille_test0_input_T256x12.npy",
        published=("noDelay_bias_zero_hidden_ref_snntorch.npy", "lif1.lif"),
        others="snnTorch 95.0 %, Norse 94.3, SpiNNaker2 85.0, Spyx 84.3, Nengo 55.7, Loihi 48.6",
        accuracy="one sample is at hand",
    ),
)


@dataclass(frozen=True)
class Line:
    """One line of the table: a task in one arithmetic."""

    task: Task
    cells: tuple[str, ...]


def lines_of(task: Task, folder: Path, bench: Bench | None) -> Iterator[Line]:
    """The task in float and at each number of bits, or why not."""
    if not (folder / task.file).is_file():
        yield Line(task, (f"not run: {task.file} is not there", "-", task.accuracy, *NOT_MEASURED))
        return
    if task.elsewhere is not None:
        yield Line(task, (f"run by {task.elsewhere}, on real recordings", "-", task.accuracy, *NOT_MEASURED))
        return
    network = read_nir(folder / task.file, **task.reading)
    spikes = task_input(task, folder, network)
    real = run_float(network, spikes)
    wanted = _all(real)
    said: Callable[[Recording], npt.NDArray[Any]] = _all
    if task.published is not None:
        file, population = task.published
        wanted = np.load(folder / file)

        def said(recording: Recording) -> npt.NDArray[Any]:
            return recording.populations[population].spikes[0]

    agreement = f"{wanted.sum()} are wanted" if task.published is None else differing(said(real), wanted)
    yield Line(task, (f"float ({network.dtype})", agreement, task.accuracy, *NOT_MEASURED))
    for bits in task.bits:
        integer = compress_weights(network, Recipe(method="osbc", sparsity=0.0, bits=bits, distil=False), spikes)
        agreement = differing(said(run_reference(integer, spikes)), wanted)
        yield Line(task, (f"{bits} bits", agreement, task.accuracy, *hardware(integer, spikes, bench)))


def task_input(task: Task, folder: Path, network: Network) -> Spikes:
    """The task's own input [1, steps, inputs], or a random train."""
    if task.input is not None:
        return np.load(folder / task.input)[None].astype(np.uint8)
    return (np.random.default_rng(0).random((1, STEPS, network.input_size)) < 0.3).astype(np.uint8)


def _all(recording: Recording) -> npt.NDArray[Any]:
    return np.concatenate([record.spikes[0] for record in recording.populations.values()], axis=1)


def differing(spikes: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> str:
    """In how many bins spikes differ from those that are wanted, of how many of these."""
    different, total = int(np.count_nonzero(spikes != wanted)), int(np.sum(wanted, dtype=np.int64))
    return f"{different} of {total}" + (f" ({different / total:.1%})" if total else "")


def hardware(network: Network, spikes: Spikes, bench: Bench | None) -> tuple[str, ...]:
    """LCs, block RAMs, MHz, cycles and us per step of the core alone; dashes where nothing is measured."""
    if bench is None:
        return NOT_MEASURED
    try:
        plan = make_plan(without_silent(network).network, "ice40")
        figures = bench.core(plan, DEVICE).figures
        cycles = cycles_per_step(plan, spikes)[0]
    except (ModelError, CapacityError) as error:
        return (f"not built: {error}", *NOT_MEASURED[1:])
    mhz = figures["fmax_mhz"]
    sizes = (f"{figures['lcs']:,.0f}", f"{figures.get('brams', 0):.0f}")
    return (*sizes, f"{mhz:.1f}", f"{cycles:,.1f}", f"{cycles / mhz:.2f}")


def table(lines: list[Line]) -> str:
    """The lines in Markdown, each task's figures of others in its first."""
    rows = [f"| task | {' | '.join(COLUMNS)} | others, as published |", "|---" * (len(COLUMNS) + 2) + "|"]
    shown: Task | None = None
    for line in lines:
        first = line.task is not shown
        shown = line.task
        ends = (line.task.title, line.task.others) if first else ("", "")
        rows.append(f"| {ends[0]} | {' | '.join(cell.replace('|', ',') for cell in line.cells)} | {ends[1]} |")
    return "\n".join(rows)


def page(lines: list[Line], measured: bool) -> str:
    """The documentation's page."""
    return f"# The tasks of the NIR paper\n\n{ABOUT}\n{MEASURED if measured else UNMEASURED}\n\n{table(lines)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nir", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--tools", type=Path, metavar="FOLDER", help="measure cores with the real tools, and keep them")
    parser.add_argument("--seed", type=int, default=1, help="of the placement")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help=f"write {PAGE} there")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*created but never used")
    bench = None if options.tools is None else Bench(options, options.tools)
    lines = [line for task in TASKS for line in lines_of(task, options.nir, bench)]
    print(table(lines))
    if options.docs is not None:
        (options.docs / PAGE).write_text(page(lines, bench is not None), encoding="utf-8")


if __name__ == "__main__":
    main()

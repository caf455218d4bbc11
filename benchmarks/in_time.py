"""What networks in time cost in hardware: synaptic currents, delays, and NeuroBench's speech network.

    python benchmarks/in_time.py --tools FOLDER [--neurobench FOLDER] [--only ROW ...] [--seed 1]
    python benchmarks/in_time.py --tools FOLDER --table

`--neurobench` is the folder of NeuroBench's trained snnTorch networks, of which `gsc_snntorch.pt` is taken. Cores alone
are synthesised, placed and routed; whole designs are what `spikeloom compile` builds. FOLDER keeps designs under a hash
of their RTLIL, so that an interrupted run goes on, and the rows, so that the tables (docs/in_time.md) have those of
earlier runs too.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring.bench import Bench, Skipped, write_figures
from measuring.networks import random_network
from spikeloom.boards.boards import find_board
from spikeloom.boards.devices import DEVICES
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.flow.folding import plan_for
from spikeloom.compiler.flow.options import CompileOptions
from spikeloom.compiler.ir.network import Network, Population
from spikeloom.compiler.ir.neurons import Decay, IntegerDynamics, Kind
from spikeloom.compiler.ir.signed import unsigned
from spikeloom.compiler.plan.folding import shared_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.lean import without_silent
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.compiler.report.neurobench import neurobench
from spikeloom.hdl.errors import SpikeloomError
from spikeloom.sim.reference import run_reference

DELAY = 25
"""Steps, of the longest axonal delay."""

EVENTS = 0.3
"""The share of input channels with an event, of either sign: there the network makes about as many effective
accumulates in a step (17,443) as NeuroBench publishes for speech (16,449)."""

SPEECH_SHAPE = (4, 100, 20)
"""Random samples, steps and channels."""


# ------------------------------------------------------------------------------------- what an option of neurons costs


def with_currents(network: Network) -> Network:
    """The same integer network, whose neurons have synaptic currents too (CubaLIF)."""
    return replace(network, populations=tuple(map(_with_current, network.populations)))


def _with_current(population: Population) -> Population:
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    return replace(population, dynamics=replace(dynamics, kind=Kind.CUBALIF, decay_syn=Decay(c=np.array(77), k=8)))


def with_leak(network: Network, leak: Decay) -> Network:
    """The same network with another leak of membranes."""
    populations = [replace(p, dynamics=replace(p.dynamics, decay=leak)) for p in network.populations]
    return replace(network, populations=tuple(populations))


def with_axonal_delays(network: Network) -> Network:
    """The same network, whose last projection has a random delay of 1 to `DELAY` steps for each pre neuron."""
    *before, last = network.projections
    pre, post = last.connectivity.shape
    delays = np.random.default_rng(2).integers(1, DELAY + 1, pre)
    delays[0] = DELAY
    return replace(network, projections=(*before, last.delayed(np.repeat(delays[:, None], post, axis=1))))


def cost(bench: Bench, title: str, device: str, networks: Sequence[Network]) -> dict[str, Any]:
    """The cores of a network without and with something, each in one shared engine."""
    family = DEVICES[device].family
    found = [bench.core(make_plan(n, family, shared_folding(n)), device).figures for n in networks]
    return {"title": title, "device": device, "without": found[0], "with": found[1]}


def measure_currents(bench: Bench, sizes: Sequence[int], density: float, bits: int, device: str) -> dict[str, Any]:
    network = with_leak(random_network(0, sizes, density, bits), Decay(c=np.array(51), k=9))
    title = f"synaptic currents: {'-'.join(map(str, sizes))}, {density:.0%} dense, {bits} bits"
    return cost(bench, title, device, (network, with_currents(network)))


def measure_delays(bench: Bench, device: str) -> dict[str, Any]:
    network = random_network(0, (64, 256, 10), 0.2, 4)
    title = f"axonal delays of 1 to {DELAY} steps on 256 neurons: 64-256-10, 20% dense, 4 bits"
    return cost(bench, title, device, (network, with_axonal_delays(network)))


# --------------------------------------------------------------------------------------------------- speech network


def speech_network(folder: Path) -> Network:
    """NeuroBench's 20-256-256-256-35, with signed inputs."""
    import snntorch
    import torch
    from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch

    layers: list[Any] = [torch.nn.Flatten()]
    for pre, post in ((20, 256), (256, 256), (256, 256), (256, 35)):
        layers += [torch.nn.Linear(pre, post), snntorch.Leaky(beta=0.9, init_hidden=True, output=post == 35)]
    model = torch.nn.Sequential(*layers)
    model.load_state_dict(torch.load(folder / "gsc_snntorch.pt", weights_only=True))
    return from_snntorch(model.eval(), (20,), x_min=-1)


def signed_events(seed: int) -> npt.NDArray[np.int8]:
    """int8 [samples, steps, channels] of -1, 0 and 1."""
    rng = np.random.default_rng(seed)
    return ((rng.random(SPEECH_SHAPE) < EVENTS) * rng.choice([-1, 1], SPEECH_SHAPE)).astype(np.int8)


def measure_speech(bench: Bench, board: str, sparsity: float, bits: int) -> dict[str, Any]:
    """Magnitude pruning and plain rounding: nothing is fitted to events that are no speech."""
    folder: Path | None = bench.options.neurobench
    if folder is None or not (folder / "gsc_snntorch.pt").is_file():
        raise Skipped("--neurobench has no gsc_snntorch.pt")
    network = speech_network(folder)
    calibration, spikes = (unsigned(network, signed_events(seed)) for seed in (0, 1))
    integers = compress_weights(network, Recipe(method="magnitude", sparsity=sparsity, bits=bits), calibration)
    recording = run_reference(integers, spikes)
    metrics = neurobench(integers, recording.trains(spikes))
    lean = without_silent(integers).network
    target = find_board(board)
    plan: Plan = plan_for(lean, target, CompileOptions(board=board), link_of(lean))
    cycles = count_cycles(plan, run_reference(lean, spikes[:1]).trains(spikes[:1]))[0] / spikes.shape[1]
    row = {"title": f"{sparsity:.0%} pruned, {bits} bits", "board": board, "cycles_per_step": cycles}
    return row | {"figures": bench.design(lean, board), "metrics": vars(metrics), "steps": spikes.shape[1]}


# ------------------------------------------------------------------------------------------------------------ table

COSTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "currents-braille": lambda bench: measure_currents(bench, (12, 38, 7), 1.0, 8, "up5k"),
    "currents-256": lambda bench: measure_currents(bench, (64, 246, 10), 0.3, 6, "hx8k"),
    "delays-ecp5": lambda bench: measure_delays(bench, "lfe5u-25f"),
    "delays-ice40": lambda bench: measure_delays(bench, "hx8k"),
}
SPEECH: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "speech-ecp5": lambda bench: measure_speech(bench, "ulx3s-25f", 0.5, 6),
    "speech-up5k": lambda bench: measure_speech(bench, "icebreaker", 0.5, 6),
}
ROWS = COSTS | SPEECH


def measure(bench: Bench, ids: Sequence[str]) -> None:
    """Measure rows, and keep what became of each."""
    for id in ids:
        try:
            row = ROWS[id](bench)
        except Skipped as reason:
            row = {"missing": f"skipped: {reason}"}
        except SpikeloomError as error:  # the other rows are worth having
            row = {"missing": f"failed: {error}"}
        write_figures(bench.folder / "in_time" / f"{id}.json", row)
        print(f"{id}: {row.get('missing', 'measured')}", flush=True)


def read_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """What became of the rows, now or in earlier runs."""
    files = {id: folder / "in_time" / f"{id}.json" for id in ROWS}
    return {id: json.loads(file.read_text(encoding="utf-8")) for id, file in files.items() if file.is_file()}


def cost_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| what | device | LUT4 | logic cells | block RAMs | MHz |", "|---|---|---|---|---|---|"]
    for row in rows.values():
        pairs = [(row["without"], row["with"])]
        cells = [_change(*pairs[0], keys) for keys in (("luts",), ("lcs", "comb"), ("brams", "dp16kd"))]
        mhz = f"{row['without']['fmax_mhz']:.1f} → {row['with']['fmax_mhz']:.1f}"
        lines.append(f"| {row['title']} | {row['device']} | {' | '.join(cells)} | {mhz} |")
    return "\n".join(lines)


def _change(before: Mapping[str, float], after: Mapping[str, float], keys: Sequence[str]) -> str:
    old, new = (next(figures[key] for key in keys if key in figures) for figures in (before, after))
    return f"{old:.0f} → {new:.0f} ({new - old:+.0f}, {new / old - 1:+.0%})"


def speech_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "| board | weights | logic cells | block RAMs | SPRAM | MHz | cycles per step | footprint, bytes "
        "| connection sparsity | activation sparsity | effective ACs per step | dense per step |",
        "|" + "---|" * 12,
    ]
    for row in rows.values():
        figures, metrics = row["figures"], row["metrics"]
        cells = next(figures[key] for key in ("lcs", "comb") if key in figures)
        brams = next(figures[key] for key in ("brams", "dp16kd") if key in figures)
        lines.append(
            f"| {row['board']} | {row['title']} | {cells:,.0f} | {brams:.0f} | {figures.get('spram', 0):.0f} "
            f"| {figures['fmax_mhz']:.1f} | {row['cycles_per_step']:,.0f} | {metrics['footprint_bytes']:,.0f} "
            f"| {metrics['connection_sparsity']:.3f} | {metrics['activation_sparsity']:.4f} "
            f"| {metrics['effective_acs'] / row['steps']:,.0f} | {metrics['dense'] / row['steps']:,.0f} |"
        )
    return "\n".join(lines)


def tables(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Both tables of what was measured, and what was not and why."""
    measured = {id: row for id, row in rows.items() if "missing" not in row}
    parts = [
        make({id: row for id, row in measured.items() if id in group})
        for group, make in ((COSTS, cost_table), (SPEECH, speech_table))
    ]
    missing = "\n".join(f"- {id}: {row['missing']}" for id, row in rows.items() if "missing" in row)
    return "\n\n".join([*parts, missing] if missing else parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=Path, required=True, metavar="FOLDER", help="keeps designs and rows")
    parser.add_argument("--neurobench", type=Path, metavar="FOLDER", help="of NeuroBench's trained networks")
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the tables of earlier runs")
    parser.add_argument("--seed", type=int, default=1, help="of the placement")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*created but never used")
    if not options.table:
        measure(Bench(options, options.tools), options.only or list(ROWS))
    print(tables(read_rows(options.tools)))


if __name__ == "__main__":
    main()

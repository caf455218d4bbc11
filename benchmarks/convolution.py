"""The NIR paper's convolutional network for N-MNIST on real recordings: accuracy in float and in integers, and cores.

    python benchmarks/convolution.py --nir cnn_sinabs.nir --recordings nmnist_train.npz [--count 50] [--bits 8 4]
                                     [--fraction-bits 2] [--cores 1 [--core-steps 300] [--tools FOLDER]]

The network is read as Sinabs reads it, with its floor and several spikes in a step, and without both. A recording is
300 steps of 1 ms; a pixel with an event is a spike. Classes are told by the most spikes. `--count` recordings are
judged; quantisation is calibrated on others. Events are those into each layer of weights, for a recording. With
`--fraction-bits` membranes have so many at most: the same shift in all layers, for which words of neurons are smallest.

With `--cores` there is a table of cores for an ECP5-25F after the first: the block RAMs that they are planned with, and
the cycles of so many recordings by the exact model, the mean; with `--tools` they are synthesised, placed and routed,
and keep their figures in that FOLDER.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring.bench import Bench
from measuring.recordings import framed_recordings
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import IntegerDynamics
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.lowering.rehearsal import MAX_FRACTION_BITS
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, wide_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference

STEPS, STEP_US = 300, 1000
CALIBRATION = 4
READINGS: dict[str, dict[str, Any]] = {
    "no floor, one spike": {"v_min": "none", "max_spikes": 1},
    "floor, several spikes": {},
}
COLUMNS = ("reading", "arithmetic", "right", "events into each layer", "state bits", "fraction bits", "s")

DEVICE, FAMILY = "lfe5u-25f", "ecp5"
CORE_COLUMNS = ("reading", "arithmetic", "folding", "DP16KD planned", "cycles per recording", "LUT4", "COMB", "MHz")
LANES = 4

Spikes = npt.NDArray[np.uint8]


def recordings(file: Path, which: slice) -> tuple[Spikes, npt.NDArray[np.int64]]:
    """Frames and labels of some of a file's recordings (`framed_recordings`)."""
    return framed_recordings(file, which, step_us=STEP_US, steps=STEPS)


def rows_of(
    network: Network,
    title: str,
    spikes: Spikes,
    labels: Any,
    bits: list[int],
    given: Spikes,
    most: int = MAX_FRACTION_BITS,
) -> Iterator[list[str]]:
    """A row of the table for float and for each number of bits."""
    yield [title, f"float ({network.dtype})", *_judged(network, run_float, spikes, labels)]
    for width in bits:
        whole = quantise(network, width, given, fraction_bits=most)
        yield [title, f"{width} bits", *_judged(whole, run_reference, spikes, labels)]


def _judged(network: Network, run: Callable[[Network, Spikes], Recording], spikes: Spikes, labels: Any) -> list[str]:
    start = time.process_time()
    recording = run(network, spikes)
    seconds = time.process_time() - start
    fired = {INPUT: spikes} | {name: record.spikes for name, record in recording.populations.items()}
    counts = fired[network.output].sum(axis=1, dtype=np.int64)
    right = float(np.mean(counts.argmax(axis=1) == labels))
    events = [int(fired[p.pre].sum(dtype=np.int64)) // len(spikes) for p in network.projections]
    dynamics = [p.dynamics for p in network.populations if isinstance(p.dynamics, IntegerDynamics)]
    widths = [" ".join(str(getattr(d, name)) for d in dynamics) or "-" for name in ("state_bits", "fraction_bits")]
    return [f"{100 * right:.1f} %", " ".join(f"{n:,}" for n in events), *widths, f"{seconds:.0f}"]


def with_lanes(network: Network) -> Folding:
    """An engine per layer, and several lanes for the matrix that takes most of the work."""
    largest = max(network.projections, key=lambda projection: projection.connectivity.possible_synapses).post
    engines = (
        engine_folding(engine.populations, lanes=LANES) if engine.first == largest else engine
        for engine in pipelined_folding(network).engines
    )
    return Folding(engines=tuple(engines))


FOLDINGS: dict[str, Callable[[Network], Folding]] = {
    "an engine per layer": pipelined_folding,
    f"{LANES} lanes for the largest matrix": with_lanes,
    "one engine, words of 16 neurons": wide_folding,
}


def cores_of(network: Network, title: str, spikes: Spikes, bench: Bench | None) -> Iterator[list[str]]:
    """A row for each folding of an integer network, on recordings."""
    trains = run_reference(network, spikes).trains(spikes.reshape(*spikes.shape[:2], -1))
    for name, fold in FOLDINGS.items():
        plan = make_plan(network, FAMILY, fold(network))
        cycles = float(np.mean(count_cycles(plan, trains)))
        figures = None if bench is None else bench.core(plan, DEVICE).figures
        built = ["-"] * 3 if figures is None else [f"{figures[key]:,.0f}" for key in ("luts", "comb", "fmax_mhz")]
        bits = network.projections[0].connectivity.quantised.bits
        yield [title, f"{bits} bits", name, str(plan.brams), f"{cycles:,.0f}", *built]


def _table(columns: tuple[str, ...], rows: Iterator[list[str]]) -> None:
    """Print a table as it comes."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> int:
    """Print the tables as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nir", type=Path, required=True, help="cnn_sinabs.nir of the NIR paper's repository")
    parser.add_argument("--recordings", type=Path, required=True, help="recordings, all events in one .npz file")
    parser.add_argument("--count", type=int, default=50, help="how many are judged (50)")
    parser.add_argument("--bits", type=int, nargs="*", default=[8, 4], help="of integer weights (8 4)")
    parser.add_argument(
        "--fraction-bits",
        type=int,
        default=MAX_FRACTION_BITS,
        help=f"of integer membranes, at most ({MAX_FRACTION_BITS})",
    )
    parser.add_argument("--cores", type=int, default=0, help="recordings whose cycles are counted (0)")
    parser.add_argument("--core-steps", type=int, default=STEPS, help=f"the first steps of them ({STEPS})")
    parser.add_argument("--tools", type=Path, help="build the cores, and keep their figures in this folder")
    parser.add_argument("--seed", type=int, default=1, help="of placement (1)")
    options = parser.parse_args()
    given, _ = recordings(options.recordings, slice(0, CALIBRATION))
    spikes, labels = recordings(options.recordings, slice(CALIBRATION, CALIBRATION + options.count))
    networks = {title: read_nir(options.nir, dialect="sinabs", **reading) for title, reading in READINGS.items()}
    judged = (
        rows_of(n, title, spikes, labels, options.bits, given, options.fraction_bits) for title, n in networks.items()
    )
    _table(COLUMNS, chain.from_iterable(judged))
    if options.cores:
        bench = None if options.tools is None else Bench(options, options.tools)
        some = spikes[: options.cores, : options.core_steps]
        built = (
            cores_of(quantise(network, width, given, fraction_bits=options.fraction_bits), title, some, bench)
            for title, network in networks.items()
            for width in options.bits
        )
        print()
        _table(CORE_COLUMNS, chain.from_iterable(built))
    return 0


if __name__ == "__main__":
    sys.exit(main())

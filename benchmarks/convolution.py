"""The NIR paper's convolutional network for N-MNIST on real recordings: accuracy in float and in integers.

    python benchmarks/convolution.py --nir cnn_sinabs.nir --recordings nmnist_train.npz [--count 50] [--bits 8 4]

The network is read as Sinabs reads it, with its floor and several spikes in a step, and without both. A recording is
300 steps of 1 ms; a pixel with an event is a spike. Classes are told by the most spikes. `--count` recordings are
judged; quantisation is calibrated on others. Events are those into each layer of weights, for a recording.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.data.events import Events, Sensor, frames
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import IntegerDynamics
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference

STEPS, STEP_US = 300, 1000
SENSOR = Sensor(channels=2, rows=34, columns=34)
CALIBRATION = 4
READINGS: dict[str, dict[str, Any]] = {
    "no floor, one spike": {"v_min": "none", "max_spikes": 1},
    "floor, several spikes": {},
}
COLUMNS = ("reading", "arithmetic", "right", "events into each layer", "state bits", "fraction bits", "s")

Spikes = npt.NDArray[np.uint8]


def recordings(file: Path, which: slice) -> tuple[Spikes, npt.NDArray[np.int64]]:
    """Frames [recordings, steps, channel, row, column] and labels, of recordings in a fixed random order.

    The file holds the events of all recordings one after the other, `x`, `y`, `p` and `t_us`, where each recording
    begins, `offsets`, and its `label`.
    """
    with np.load(file) as data:
        columns = {name: data[name] for name in ("t_us", "x", "y", "p", "offsets", "label")}
    chosen = np.random.default_rng(0).permutation(len(columns["label"]))[which]
    parts = []
    for number in chosen:
        part = slice(columns["offsets"][number], columns["offsets"][number + 1])
        events = Events.of(*(columns[name][part] for name in ("t_us", "x", "y", "p")))
        parts.append(frames(events, SENSOR, step_us=STEP_US, steps=STEPS))
    return np.stack(parts), columns["label"][chosen].astype(np.int64)


def rows_of(
    network: Network, title: str, spikes: Spikes, labels: Any, bits: list[int], given: Spikes
) -> Iterator[list[str]]:
    """A row of the table for float and for each number of bits."""
    yield [title, f"float ({network.dtype})", *_judged(network, run_float, spikes, labels)]
    for width in bits:
        whole = quantise(network, width, given)
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


def main() -> int:
    """Print the table as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nir", type=Path, required=True, help="cnn_sinabs.nir of the NIR paper's repository")
    parser.add_argument("--recordings", type=Path, required=True, help="recordings, all events in one .npz file")
    parser.add_argument("--count", type=int, default=50, help="how many are judged (50)")
    parser.add_argument("--bits", type=int, nargs="*", default=[8, 4], help="of integer weights (8 4)")
    options = parser.parse_args()
    given, _ = recordings(options.recordings, slice(0, CALIBRATION))
    spikes, labels = recordings(options.recordings, slice(CALIBRATION, CALIBRATION + options.count))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for title, reading in READINGS.items():
        network = read_nir(options.nir, dialect="sinabs", **reading)
        for row in rows_of(network, title, spikes, labels, options.bits, given):
            print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

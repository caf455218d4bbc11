"""What one-shot compression keeps on real events: N-MNIST recordings, method x sparsity x bits.

    python benchmarks/compression_nmnist.py NETWORK.nir --recordings FILE.npz [--hidden 512] [--methods osbc ...]

Trains a linear 2312-hidden-10 network with labels on 700 of 1,000 recordings, slightly warped anew in every
epoch, and writes it to NETWORK.nir; a file that is there already is read instead.
Calibration are 100 of those recordings without labels, another 100 for each seed. Accuracy is that on 200 other
recordings that nothing else sees (its standard error is about two points; 100 more are left for choosing). Each
recording becomes `--steps` equal bins; a bin with an event is a spike.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import snntorch as snn
import torch
from compression import METHODS, table
from snntorch import functional, utils
from spikeloom.compiler import from_snntorch
from spikeloom.compiler.compression.augmentation import warped
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.network import Network

SETTINGS: tuple[tuple[float, int | None], ...] = (
    (0.95, None),
    (0.97, None),
    (0.98, None),
    (0.0, 4),
    (0.97, 4),
    (0.0, 2),
)
WIDTH = 34
INPUTS = 2 * WIDTH * WIDTH
TRAINING, CHOOSING, CALIBRATION = 700, 100, 100


def recordings(file: Path, steps: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Spikes [recordings, steps, inputs] in a fixed random order, and their labels.

    The file holds the events of all recordings one after the other, `x`, `y`, `p` and `t_us`, where each recording
    begins, `offsets`, and its `label`.
    """
    with np.load(file) as data:
        events = {name: data[name] for name in ("x", "y", "p", "t_us", "offsets", "label")}
    count = len(events["label"])
    spikes = np.zeros((count, steps, INPUTS), np.uint8)
    address = (events["p"].astype(np.int64) * WIDTH + events["y"]) * WIDTH + events["x"]
    for number, (first, last) in enumerate(zip(events["offsets"], events["offsets"][1:], strict=False)):
        t = events["t_us"][first:last].astype(np.float64)
        bins = np.minimum((t / (t.max() + 1) * steps).astype(np.int64), steps - 1)
        spikes[number, bins, address[first:last]] = 1
    order = np.random.default_rng(0).permutation(count)
    return spikes[order], events["label"][order].astype(np.int64)


def train(spikes: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], hidden: int, epochs: int) -> torch.nn.Module:
    """A trained Sequential with one time step per call."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(INPUTS, hidden),
        snn.Leaky(beta=0.95, init_hidden=True),
        torch.nn.Linear(hidden, 10),
        snn.Leaky(beta=0.95, init_hidden=True),
    )
    neurons = model[1:]
    samples, wanted = torch.from_numpy(spikes), torch.from_numpy(labels)
    batches = -(-len(samples) // 32)
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * batches, pct_start=0.2)
    loss_of = functional.ce_count_loss()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(samples), generator=generator).split(32):
            utils.reset(model)
            x = warped(samples[batch], (2, WIDTH, WIDTH), generator).float()
            currents = model[0](x)  # of all steps at once: a matrix product per step takes ten times as long
            out = torch.stack([neurons(currents[:, step]) for step in range(x.shape[1])])
            loss = loss_of(out, wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"\rtraining: epoch {epoch + 1} of {epochs}, loss {total / len(spikes):.3f}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return model


def trained(
    file: Path, spikes: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], options: argparse.Namespace
) -> Network:
    """The network of `file`, trained on the recordings where there is none."""
    if not file.exists():
        model = train(spikes[:TRAINING], labels[:TRAINING], options.hidden, options.epochs)
        write_nir(from_snntorch(model, (INPUTS,)), file)
    return read_nir(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="the trained network, .nir; made where there is none")
    parser.add_argument("--recordings", type=Path, required=True, metavar="FILE.npz", help="N-MNIST's events")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument(
        "--seeds", type=int, default=1, choices=range(1, 8), help="how many sets of calibration recordings"
    )
    options = parser.parse_args()
    spikes, labels = recordings(options.recordings, options.steps)
    network = trained(options.network, spikes, labels, options)
    calibrations = [spikes[k * CALIBRATION : (k + 1) * CALIBRATION] for k in range(options.seeds)]
    test = slice(TRAINING + CHOOSING, None)
    table(network, SETTINGS, [(m, m, None) for m in options.methods], calibrations, (spikes[test], labels[test]))


if __name__ == "__main__":
    main()

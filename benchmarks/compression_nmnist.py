"""What one-shot compression keeps on real events: N-MNIST recordings, method x sparsity x bits.

    python benchmarks/compression_nmnist.py [--hidden 256] [--steps 30] [--methods magnitude obc osbc]

Trains a linear 2312-hidden-10 network on 700 of the 1,000 recordings in `$SPIKELOOM_SHARED/data/nmnist`, calibrates on
100 of those without labels, and reports accuracy on 200 others that nothing else sees (its standard error is about one
point; 100 more are left for choosing). Each recording becomes `--steps` equal bins; a bin with an event is a spike.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import snntorch as snn
import torch
from compression import METHODS, accuracy, storage
from snntorch import functional, utils
from spikeloom.compiler import from_snntorch
from spikeloom.compiler.compression.one_shot import compress_weights

SETTINGS: tuple[tuple[float, int | None], ...] = ((0.95, None), (0.97, None), (0.98, None), (0.0, 4), (0.97, 4))
WIDTH = 34
INPUTS = 2 * WIDTH * WIDTH
TRAINING, CHOOSING = 700, 100


def recordings(steps: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Spikes [recordings, steps, inputs] in a fixed random order, and their labels."""
    root = Path(__file__).resolve().parent.parent
    file = root / os.environ.get("SPIKELOOM_SHARED", "../shared") / "data" / "nmnist" / "nmnist_train.npz"
    if not file.is_file():
        sys.exit(f"N-MNIST is not at {file}; set SPIKELOOM_SHARED")
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
    model = torch.nn.Sequential(
        torch.nn.Linear(INPUTS, hidden),
        snn.Leaky(beta=0.95, init_hidden=True),
        torch.nn.Linear(hidden, 10),
        snn.Leaky(beta=0.95, init_hidden=True),
    )
    optimizer = torch.optim.Adam(model.parameters(), 5e-4, weight_decay=1e-5)
    loss_of = functional.ce_count_loss()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(spikes)).split(32):
            utils.reset(model)
            x = torch.from_numpy(spikes[batch.numpy()]).float()
            out = torch.stack([model(x[:, step]) for step in range(x.shape[1])])
            loss = loss_of(out, torch.from_numpy(labels[batch.numpy()]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        print(f"\rtraining: epoch {epoch + 1} of {epochs}, loss {total / len(spikes):.3f}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["magnitude", "obc", "osbc"])
    arguments = parser.parse_args()
    spikes, labels = recordings(arguments.steps)
    network = from_snntorch(train(spikes[:TRAINING], labels[:TRAINING], arguments.hidden, arguments.epochs), (INPUTS,))
    test, test_labels = spikes[TRAINING + CHOOSING :], labels[TRAINING + CHOOSING :]
    print(f"float: {accuracy(network, test, test_labels):.2f} % of {len(test)} test recordings")
    print(f"{'method':12}{'sparsity':>9}{'bits':>6}{'accuracy':>10}{'seconds':>9}")
    for sparsity, bits in SETTINGS:
        for method in arguments.methods:
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # magnitude silences neurons at these sparsities
                result = compress_weights(
                    network, method=method, sparsity=sparsity, bits=bits, calibration=spikes[:100]
                )
            seconds = time.perf_counter() - started
            reached, *_ = storage(result)
            right = accuracy(result, test, test_labels)
            print(f"{method:12}{reached:9.4f}{bits or 'float':>6}{right:10.2f}{seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()

"""What compression costs a recurrent network that is read in every step: the ECG network of `examples/train_ecg.py`.

    python benchmarks/compression_ecg.py NETWORK.nir --data ECG [--sparsity 0.9] [--bits 4] [--epochs E]
        [--whole] [--test]

NETWORK.nir is that network, `examples/ecg8.nir` say, whose weights count as real here; ECG is the folder of
QTDB_train.mat and QTDB_test.mat. Records are cut into windows of `--steps` steps. Calibration are `--windows` of them
without labels; with `--epochs` the network is trained on all windows and the labels of their steps. The last fifth of
each of six parts of the training records, which are of patients of their own, is for choices (validation); test records
are looked at once, with `--test`. `examples/ecg8.nir` was trained on all of them, so that on validation it has what no
compression of it can have learnt; with `--whole` the compressed network is trained on all, too, and judged by the test
records alone. Printed are the points of right steps that are lost, mean over records, with the standard error of the
difference between networks.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.lowering.quantise import dequantise
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

Records = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""Spikes [records, steps, channels] and the wave of each step [records, steps]."""

PARTS = 6
"""Parts of the training records, neighbours in which are of one patient."""

BLOCK = 20
"""Records that are run at a time."""


def records(folder: Path, part: str) -> Records:
    """Those for training, or for the test."""
    content = loadmat(folder / f"QTDB_{part}.mat")
    return (content["x"] > 0).astype(np.uint8), content["y"].argmax(-1).astype(np.int64)


def held_back(count: int) -> npt.NDArray[np.bool_]:
    """Which training records are for choices."""
    part = count // PARTS
    return np.arange(count) % part >= 0.8 * part


def windows(found: Records, steps: int) -> Records:
    """The records in pieces of so many steps, one behind the other; what is left at their ends is left out."""
    count = found[0].shape[1] // steps
    spikes, labels = (part[:, : count * steps].reshape(-1, steps, *part.shape[2:]) for part in found)
    return spikes, labels


def right(network: Network, found: Records) -> npt.NDArray[np.float64]:
    """The share of right steps of each record."""
    run = run_reference if network.is_integer else run_float
    shares = []
    for first in range(0, len(found[0]), BLOCK):
        spikes, labels = (part[first : first + BLOCK] for part in found)
        membranes = run(network, spikes, membranes=True).membranes
        assert membranes is not None
        shares.append((membranes.argmax(axis=-1) == labels).mean(axis=1))
    return np.concatenate(shares)


def main() -> None:
    """Compress once, and judge."""
    parser = argparse.ArgumentParser(description="Compress the ECG network and tell what it lost.")
    parser.add_argument("network", type=Path, metavar="NETWORK.nir")
    parser.add_argument("--data", type=Path, required=True, metavar="ECG")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--bits", type=int, help="of the weights that stay; default: float")
    parser.add_argument("--epochs", type=int, default=0, help="of training with labels; default: none")
    parser.add_argument("--learning-rate", type=float, help="of it; default: FineTune's")
    parser.add_argument("--steps", type=int, default=200, help="of a window")
    parser.add_argument("--windows", type=int, default=100, help="for calibration")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="train on the validation records, too; with --test")
    parser.add_argument("--test", action="store_true", help="judge by the test records too")
    options = parser.parse_args()

    network = read_nir(options.network)
    network = dequantise(network) if network.is_integer else network
    training = records(options.data, "train")
    aside = held_back(len(training[0]))
    used = ~aside | options.whole
    own = windows((training[0][used], training[1][used]), options.steps)
    chosen = np.random.default_rng(options.seed).choice(len(own[0]), options.windows, replace=False)
    finetune = None
    if options.epochs:
        finetune = FineTune(
            spikes=own[0],
            labels=own[1],
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            batch_size=64,
            temperature=1.0,
            seed=options.seed,
        )
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # neurons that fall silent are counted by what is lost
        recipe = Recipe(method="osbc", sparsity=options.sparsity, bits=options.bits)
        small = compress_weights(network, recipe, own[0][chosen], finetune=finetune)
    print(f"{time.process_time() - started:.0f} s of processor time")
    judges = {} if options.whole else {"validation": (training[0][aside], training[1][aside])}
    if options.test:
        judges["test"] = records(options.data, "test")
    for name, found in judges.items():
        before, after = right(network, found), right(small, found)
        lost = 100 * (before - after)
        error = lost.std() / len(lost) ** 0.5
        print(f"{name}: {before.mean():.2%} of the steps of {len(lost)} records, lost {lost.mean():.2f} +- {error:.2f}")


if __name__ == "__main__":
    main()

"""A convolutional network of our own for N-MNIST: trained on real recordings, compressed to 97 % and 4 bits.

    python benchmarks/nmnist_maps.py NETWORK.nir --recordings FILE.npz [--epochs 40] [--methods osbc ...] [--seeds 3]

Trains 2x34x34 - 12C5/2 - 24C3/2 - 32C3/2 - 128 - 10 with labels on 700 of 1,000 recordings, slightly warped anew in
every epoch, and writes the epoch that tells 100 others apart best to NETWORK.nir; a file that is there already is read
instead. The neurons integrate and fire, without leak and bias, so that a core's passes go by what was not touched. A
recording is 15 steps of 20 ms; a pixel with an event is a spike.

Calibration are 100 of the training recordings without labels, another 100 for each seed. Judged are the 200 recordings
that nothing else sees. What compression loses is judged recording by recording: its standard error is that of the
differences, which is smaller than that of either accuracy.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch as snn
import torch
from compression import METHODS, storage
from measuring.recordings import SENSOR, framed_recordings
from snntorch import functional, surrogate, utils
from spikeloom.compiler import from_snntorch
from spikeloom.compiler.compression.augmentation import warped
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference
from torch import nn

STEPS, STEP_US = 15, 20_000
TRAINING, CHOOSING, CALIBRATION = 700, 100, 100
BATCH, LEARNING_RATE = 32, 2e-3
SETTINGS = ("0:8", "0:4", "0.97:float", "0.97:4")
"""Sparsity and bits."""

COLUMNS = ("method", "sparsity", "bits", "right", "lost, points", "its standard error", "stored bits")

Spikes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def make_model() -> nn.Sequential:
    """The network; its forward is one time step."""
    torch.manual_seed(0)

    def fires() -> nn.Module:
        neurons: nn.Module = snn.Leaky(beta=1.0, init_hidden=True, spike_grad=surrogate.fast_sigmoid(slope=10))
        return neurons

    model = nn.Sequential(
        nn.Conv2d(2, 12, 5, stride=2, padding=2, bias=False),
        fires(),
        nn.Conv2d(12, 24, 3, stride=2, padding=1, bias=False),
        fires(),
        nn.Conv2d(24, 32, 3, stride=2, padding=1, bias=False),
        fires(),
        nn.Flatten(),
        nn.Linear(32 * 5 * 5, 128, bias=False),
        fires(),
        nn.Linear(128, 10, bias=False),
        fires(),
    )
    with torch.no_grad():  # wake the neurons up
        for weights in model.parameters():
            weights *= 2.5
    return model


def all_steps(model: nn.Sequential, spikes: torch.Tensor) -> torch.Tensor:
    """The output's spikes [steps, samples, 10] of [samples, steps, channel, row, column], layer after layer.

    A layer of weights takes all steps at once, which is several times as fast as a step at a time.
    """
    utils.reset(model)
    x = spikes.transpose(0, 1)
    for layer in model:
        if isinstance(layer, snn.Leaky):
            x = torch.stack([layer(step) for step in x])
        else:
            x = layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    return x


def train(spikes: Spikes, labels: Labels, epochs: int) -> nn.Sequential:
    """The model of the best epoch."""
    model = make_model()
    generator = torch.Generator().manual_seed(0)
    samples, wanted = torch.from_numpy(spikes[:TRAINING]), torch.from_numpy(labels[:TRAINING])
    batches = -(-len(samples) // BATCH)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * batches, pct_start=0.2
    )
    loss_of = functional.ce_count_loss()
    best, kept = -1.0, model.state_dict()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(samples), generator=generator).split(BATCH):
            flat = warped(samples[batch].flatten(2), (2, 34, 34), generator).float()
            loss = loss_of(all_steps(model, flat.unflatten(2, (2, 34, 34))), wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        right = accuracy(model, spikes[TRAINING : TRAINING + CHOOSING], labels[TRAINING : TRAINING + CHOOSING])
        if right >= best:
            best, kept = right, {name: value.clone() for name, value in model.state_dict().items()}
        print(f"epoch {epoch + 1} of {epochs}: loss {total / TRAINING:.3f}, {right:.1%}", file=sys.stderr, flush=True)
    model.load_state_dict(kept)
    utils.reset(model)
    return model


def accuracy(model: nn.Sequential, spikes: Spikes, labels: Labels) -> float:
    with torch.no_grad():
        counts = all_steps(model, torch.from_numpy(spikes).float()).sum(0).numpy()
    return float(np.mean(counts.argmax(axis=1) == labels))


def right(network: Network, spikes: Spikes, labels: Labels) -> npt.NDArray[np.bool_]:
    """Which recordings a network tells right, by the most spikes."""
    run = run_reference if network.is_integer else run_float
    counts = run(network, spikes).populations[network.output].spikes.sum(axis=1, dtype=np.int64)
    told: npt.NDArray[np.bool_] = counts.argmax(axis=1) == labels
    return told


def rows_of(
    network: Network,
    settings: list[str],
    methods: list[str],
    calibrations: list[Spikes],
    spikes: Spikes,
    labels: Labels,
) -> Iterator[list[str]]:
    """A row of the table for the float network, and for each setting and method the mean over the calibrations."""
    original = right(network, spikes, labels)
    error = np.sqrt(original.mean() * (1 - original.mean()) / len(original))
    yield ["-", "0", "float", f"{100 * original.mean():.1f} ± {100 * error:.1f} %", "-", "-", f"{storage(network)[1]}"]
    for setting in settings:
        sparsity, _, bits = setting.partition(":")
        for method in methods:
            recipe = Recipe(method=method, sparsity=float(sparsity), bits=None if bits == "float" else int(bits))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # magnitude silences neurons at these sparsities
                small = [compress_weights(network, recipe, given) for given in calibrations]
            told = np.mean([right(one, spikes, labels) for one in small], axis=0)
            lost = original - told
            yield [
                method,
                f"{np.mean([storage(one)[0] for one in small]):.3f}",
                bits,
                f"{100 * told.mean():.1f} %",
                f"{100 * lost.mean():.2f}",
                f"{100 * lost.std(ddof=1) / np.sqrt(len(lost)):.2f}",
                f"{np.mean([storage(one)[1] for one in small]):.0f}",
            ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="the trained network, .nir; made where there is none")
    parser.add_argument("--recordings", type=Path, required=True, metavar="FILE.npz", help="N-MNIST's events")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--settings", nargs="+", default=SETTINGS, help="sparsity:bits (0:8 0:4 0.97:float 0.97:4)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, default=1, choices=range(1, 8), help="how many sets of calibration")
    options: Any = parser.parse_args()
    spikes, labels = framed_recordings(options.recordings, step_us=STEP_US, steps=STEPS)
    if not options.network.exists():
        write_nir(from_snntorch(train(spikes, labels, options.epochs), SENSOR.shape), options.network)
    network = read_nir(options.network)
    calibrations = [spikes[k * CALIBRATION : (k + 1) * CALIBRATION] for k in range(options.seeds)]
    test = slice(TRAINING + CHOOSING, None)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for row in rows_of(network, options.settings, options.methods, calibrations, spikes[test], labels[test]):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()

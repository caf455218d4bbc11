"""Convert a ReLU network for scikit-learn's digits to spiking neurons, and say how accurate it is after how many steps.

    python examples/convert_relu.py [--output FOLDER] [--epochs 60] [--seed 0]

trains 64-64-32-10 in torch (some seconds), converts it with `from_relu`, quantises it to 8 bits for each number of
steps, and prints the accuracy on the 360 test images of the original, the float network and the integers that hardware
runs. Images are rate coded. With `--output` digits_relu.nir (float) and, for 32 steps, digits_relu_calibration.npz and
digits_relu_test.npz are written, for `spikeloom compile`. It needs torch, snntorch and scikit-learn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from spikeloom.compiler import from_relu, quantise, write_nir
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference
from torch import nn

SIZES = (64, 64, 32, 10)
TEST = 360
STEPS = (4, 8, 16, 32, 64, 128)
WRITTEN_STEPS = 32
CALIBRATION = 200
BITS = 8

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def images() -> tuple[Images, Labels]:
    """All digits in a fixed random order, pixels 0 to 1, and their classes."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    return (digits.data[order] / 16).astype(np.float32), digits.target[order].astype(np.int64)


def trained(pixels: Images, labels: Labels, epochs: int, seed: int) -> nn.Sequential:
    """The ReLU network."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in pairwise(SIZES):
        layers += [nn.Linear(before, after), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimiser = torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-4)
    x, wanted = torch.from_numpy(pixels), torch.from_numpy(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), wanted[batch]).backward()
            optimiser.step()
    return model.eval()


def rate_code(pixels: Images, steps: int, seed: int) -> npt.NDArray[np.uint8]:
    """Spikes [images, steps, pixels]: a pixel fires with the probability that it is bright."""
    drawn = np.random.default_rng(seed).random((len(pixels), steps, pixels.shape[1]), np.float32)
    return (drawn < pixels[:, None]).astype(np.uint8)


def compared(
    model: nn.Sequential, pixels: Images, labels: Labels, steps: Sequence[int]
) -> tuple[float, list[tuple[int, float, float]]]:
    """The accuracy of the original on the test images; and for each number of steps those of floats and of integers."""
    training, test = pixels[:-TEST], pixels[-TEST:]
    with torch.no_grad():
        original = float((model(torch.from_numpy(test)).argmax(1).numpy() == labels[-TEST:]).mean())
    network = from_relu(model, SIZES[0], training)
    rows = []
    for count in steps:
        integers = quantise(network, BITS, rate_code(training[:CALIBRATION], count, seed=1))
        spikes = rate_code(test, count, seed=2)
        accuracies = (
            run(n, spikes).accuracy(labels[-TEST:]) for run, n in ((run_float, network), (run_reference, integers))
        )
        rows.append((count, *accuracies))
    return original, rows


def write(model: nn.Sequential, pixels: Images, labels: Labels, folder: Path) -> None:
    """The network and its samples."""
    folder.mkdir(parents=True, exist_ok=True)
    training, test = pixels[:-TEST], pixels[-TEST:]
    write_nir(from_relu(model, SIZES[0], training), folder / "digits_relu.nir")
    calibration = rate_code(training[:CALIBRATION], WRITTEN_STEPS, seed=1)
    np.savez_compressed(folder / "digits_relu_calibration.npz", spikes=calibration)
    spikes = rate_code(test, WRITTEN_STEPS, seed=2)
    np.savez_compressed(folder / "digits_relu_test.npz", spikes=spikes, labels=labels[-TEST:])


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert a ReLU network to spiking neurons.")
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pixels, labels = images()
    model = trained(pixels[:-TEST], labels[:-TEST], options.epochs, options.seed)
    original, rows = compared(model, pixels, labels, STEPS)
    print(f"ReLU network: {original:.2%} of {TEST} test images")
    print(f"{'steps':>6}{'float':>9}{f'{BITS} bits':>9}")
    for count, real, whole in rows:
        print(f"{count:6}{real:9.2%}{whole:9.2%}")
    if options.output is not None:
        write(model, pixels, labels, options.output)


if __name__ == "__main__":
    main()

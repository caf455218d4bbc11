"""Trains the MNIST networks that the benchmarks speak of, from MNIST's own IDX files.

    python benchmarks/mnist.py --mnist FOLDER --output FOLDER [--only NAME ...] [--epochs 6] [--seed 0]

FOLDER of `--mnist` holds the four files of MNIST (`train-images-idx3-ubyte.gz` and so on, packed or not). Written are,
for each network, NAME.nir with float weights, and once for each size of image SIZE_calibration.npz (2,000 training
images), SIZE_train.npz (all 60,000, only with `--training-set`) and SIZE_test.npz (the 10,000 test images), spikes
[samples, steps, inputs] of a rate code with labels.

The networks have one hidden layer of 128 snnTorch neurons and differ in leak and reset, so that a figure is not one
network's. Training stops at the epoch whose accuracy on 5,000 training images apart is best; the test images are looked
at once, after that. A network of 784 inputs takes about half a minute of one core per epoch.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.sim.float_executor import run_float

STEPS = 20
HIDDEN, CLASSES = 128, 10
VALIDATION = 5_000
"""Training images that no epoch sees."""

CALIBRATION = 2_000
BATCH = 200
LEARNING_RATE = 2e-3
SIDE = 28

Images = npt.NDArray[np.uint8]
Spikes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network: what its snnTorch neurons are, and the side of its images."""

    about: str
    beta: float
    reset: str = "subtract"
    reset_delay: bool = True
    side: int = SIDE


NETWORKS = {
    "half": Recipe(about="leak 0.5, subtracting a step later", beta=0.5),
    "slow": Recipe(about="leak 0.9, subtracting a step later", beta=0.9),
    "zero": Recipe(about="leak 0.8, reset to zero at once", beta=0.8, reset="zero", reset_delay=False),
    "same": Recipe(about="leak 0.95, subtracting at once", beta=0.95, reset_delay=False),
    "small": Recipe(about="leak 0.5, subtracting a step later, images of 16 x 16", beta=0.5, side=16),
}
"""784-128-10, and 256-128-10 for `small`. The decay of the membrane per step is called leak, as snnTorch's beta."""


# ------------------------------------------------------------------------------------------------------- images


def read_images(folder: Path, name: str) -> tuple[Images, Labels]:
    """MNIST's `train` or `t10k` images uint8 [images, 784] and their labels. Exits where the files are not there."""
    pixels, labels = (_read(folder, f"{name}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    return (
        np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, SIDE * SIDE),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


def _read(folder: Path, name: str) -> bytes:
    packed, plain = folder / f"{name}.gz", folder / name
    if packed.is_file():
        return gzip.decompress(packed.read_bytes())
    if plain.is_file():
        return plain.read_bytes()
    sys.exit(f"MNIST's {name} is not in {folder}: give the folder of its four IDX files")


def shrunk(images: Images, side: int) -> Images:
    """Images of `side` x `side` pixels, each the mean of the area that it covers."""
    if side == SIDE:
        return images
    edges = np.arange(side + 1) * SIDE / side
    pixel = np.arange(SIDE)
    cover = np.clip(np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel), 0, 1)
    cover /= cover.sum(axis=1, keepdims=True)
    square = images.reshape(-1, SIDE, SIDE).astype(np.float64)
    return np.rint(cover @ square @ cover.T).astype(np.uint8).reshape(len(images), -1)


def rate_code(images: Images, steps: int, seed: int) -> Spikes:
    """Spikes [images, steps, pixels]: a pixel of grey level g fires with probability g / 255."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(images.shape, np.float32) < images / 255.0 for _ in range(steps)], 1).astype(np.uint8)


# ----------------------------------------------------------------------------------------------------- training


def make_model(recipe: Recipe) -> Any:
    """The torch module: Linear, Leaky, Linear, Leaky; its forward is one time step."""
    import snntorch
    from snntorch import surrogate
    from torch import nn

    def leaky(**options: Any) -> Any:
        return snntorch.Leaky(
            beta=recipe.beta,
            reset_mechanism=recipe.reset,
            reset_delay=recipe.reset_delay,
            spike_grad=surrogate.fast_sigmoid(slope=10),
            init_hidden=True,
            **options,
        )

    return nn.Sequential(nn.Linear(recipe.side**2, HIDDEN), leaky(), nn.Linear(HIDDEN, CLASSES), leaky(output=True))


def _counts(model: Any, spikes: Any) -> Any:
    """Output spikes [images, classes] of the spikes [images, steps, inputs]; the first layer sees all steps at once."""
    first, hidden, second, output = model
    for neurons in (hidden, output):
        neurons.reset_mem()
    currents = first(spikes)
    total = 0.0
    for step in range(spikes.shape[1]):
        fired, _ = output(second(hidden(currents[:, step])))
        total = total + fired
    return total


def _batches(images: Images, labels: Labels, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    import torch

    order = rng.permutation(len(images))
    for start in range(0, len(images), BATCH):
        chosen = order[start : start + BATCH]
        grey = torch.from_numpy(images[chosen]).float()[:, None] / 255
        spikes = (torch.rand(len(chosen), STEPS, images.shape[1]) < grey).float()
        yield spikes, torch.from_numpy(labels[chosen])


def train(recipe: Recipe, images: Images, labels: Labels, epochs: int, seed: int) -> Any:
    """The module whose epoch answered most of the last `VALIDATION` images, which no epoch trains on."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)  # so that the result does not depend on the machine's cores
    rng = np.random.default_rng(seed)
    model = make_model(recipe)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    held = torch.from_numpy(rate_code(images[-VALIDATION:], STEPS, seed + 1)).float()
    best, kept = -1.0, {}
    for epoch in range(epochs):
        for spikes, wanted in _batches(images[:-VALIDATION], labels[:-VALIDATION], rng):
            loss = torch.nn.functional.cross_entropy(_counts(model, spikes), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            right = float((_counts(model, held).argmax(1).numpy() == labels[-VALIDATION:]).mean())
        print(f"  epoch {epoch + 1} of {epochs}: {right:.2%} of {VALIDATION:,} validation images", flush=True)
        if right > best:
            best, kept = right, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return model


# ------------------------------------------------------------------------------------------------------ command


def _write_samples(folder: Path, mnist: Path, side: int, *, training_set: bool) -> None:
    images, labels = read_images(mnist, "train")
    test, test_labels = read_images(mnist, "t10k")
    parts = {"calibration": (images[:CALIBRATION], labels[:CALIBRATION], 11), "test": (test, test_labels, 12)}
    if training_set:
        parts["train"] = (images, labels, 13)
    for name, (pixels, classes, seed) in parts.items():
        spikes = rate_code(shrunk(pixels, side), STEPS, seed)
        np.savez_compressed(folder / f"{side}x{side}_{name}.npz", spikes=spikes, labels=classes)


def main() -> None:
    """Train, write, and print the accuracy on the test images."""
    parser = argparse.ArgumentParser(description="Train the MNIST networks of the benchmarks.")
    parser.add_argument("--mnist", type=Path, required=True, metavar="FOLDER", help="MNIST's IDX files")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--training-set", action="store_true", help="write all training images too, for fine-tuning")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    sides = {NETWORKS[name].side for name in options.only}
    for side in sorted(sides):
        _write_samples(options.output, options.mnist, side, training_set=options.training_set)
    images, labels = read_images(options.mnist, "train")
    for name in options.only:
        recipe = NETWORKS[name]
        print(f"{name}: {recipe.about}", flush=True)
        model = train(recipe, shrunk(images, recipe.side), labels, options.epochs, options.seed)
        network = from_snntorch(model, (recipe.side**2,))
        write_nir(network, options.output / f"{name}.nir")
        with np.load(options.output / f"{recipe.side}x{recipe.side}_test.npz") as test:
            accuracy = run_float(network, test["spikes"]).accuracy(test["labels"])
        print(f"  {accuracy:.2%} of the 10,000 test images", flush=True)


if __name__ == "__main__":
    main()

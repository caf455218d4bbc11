"""Train the convolutional network of snnTorch's tutorial on MNIST, and say what 8 and 4 bits keep of it.

    python examples/train_mnist_conv.py --mnist FOLDER --output FOLDER [--epochs 2]

FOLDER of `--mnist` holds MNIST's four IDX files (`train-images-idx3-ubyte.gz` and so on). The network is the
tutorial's, 12C5-MP2-64C5-MP2-10 of Leaky neurons with beta 0.5 and with the maxima of currents, before the neurons; the
tutorial feeds pixels as currents, here they are spikes over 10 steps of the very rate encoder that a device has
(`--encoder rate --steps 10`). Written are mnist_conv.nir, mnist_conv_calibration.npz (200 training images) and
mnist_conv_test.npz (the 10,000 test images), as images. `mnist_conv.nir` is read instead of trained where it is there.

10,000 images take about a minute of one core. Needs torch and snntorch.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from snntorch import surrogate, utils
from spikeloom.compiler.data.images import encode
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.images.coding import Encoder, ImageCoding
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference
from torch import nn

SIDE = 28
CODING = ImageCoding(encoder=Encoder.RATE, steps=10)
BETA, SLOPE = 0.5, 25
WAKE = 2.5
BATCH, LEARNING_RATE = 128, 2e-3
CALIBRATION = 200
AT_ONCE = 500
"""Images that are executed together."""

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def read_images(folder: Path, name: str) -> tuple[Images, Labels]:
    """MNIST's `train` or `t10k` images uint8 [images, 784] and their labels. Exits where the files are not there."""
    contents = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        file = folder / f"{name}-{kind}.gz"
        if not file.is_file():
            sys.exit(f"MNIST's {file.name} is not in {folder}: give the folder of its four IDX files")
        contents.append(gzip.decompress(file.read_bytes()))
    pixels, labels = contents
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, SIDE * SIDE)
    return images, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


def frames(images: Images) -> npt.NDArray[np.uint8]:
    """Spikes [images, steps, 1, row, column]."""
    spikes: npt.NDArray[np.uint8] = encode(images, CODING).reshape(len(images), CODING.steps, 1, SIDE, SIDE)
    return spikes


def make_model() -> nn.Sequential:
    """The tutorial's network; its forward is one time step."""
    torch.manual_seed(0)

    def leaky() -> Any:
        return snntorch.Leaky(beta=BETA, spike_grad=surrogate.fast_sigmoid(slope=SLOPE), init_hidden=True)

    model = nn.Sequential(
        *(nn.Conv2d(1, 12, 5), nn.MaxPool2d(2), leaky()),
        *(nn.Conv2d(12, 64, 5), nn.MaxPool2d(2), leaky()),
        *(nn.Flatten(), nn.Linear(64 * 4 * 4, 10), leaky()),
    )
    with torch.no_grad():  # wake the neurons up
        for weights in model.parameters():
            weights *= WAKE
    return model.to(memory_format=torch.channels_last)  # twice as fast on a CPU


def all_steps(model: nn.Sequential, spikes: torch.Tensor) -> torch.Tensor:
    """The output's spikes [steps, images, 10]: layers without neurons take all steps at once."""
    utils.reset(model)
    x = spikes.transpose(0, 1)
    for layer in model:
        if isinstance(layer, snntorch.Leaky):
            x = torch.stack([layer(step) for step in x])
        else:
            frame = x.flatten(0, 1)
            if frame.dim() == 4:
                frame = frame.contiguous(memory_format=torch.channels_last)
            x = layer(frame).unflatten(0, x.shape[:2])
    return x


def train(images: Images, labels: Labels, epochs: int) -> nn.Sequential:
    """Minimise the cross-entropy of the output's spike counts."""
    model = make_model()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    batches = -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    wanted = torch.from_numpy(labels)
    for epoch in range(epochs):
        seen, losses = 0, []
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            counts = all_steps(model, torch.from_numpy(frames(images[batch.numpy()])).float()).sum(0)
            loss = nn.functional.cross_entropy(counts, wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            seen += len(batch)
            losses.append(loss.item())
            print(
                f"\repoch {epoch + 1} of {epochs}: {seen} images, loss {np.mean(losses[-50:]):.3f}", end="", flush=True
            )
        print()
    utils.reset(model)
    return model


def accuracy(network: Network, images: Images, labels: Labels) -> float:
    """The share of images whose class has the most output spikes, in float or in integers."""
    run = run_reference if network.is_integer else run_float
    right = 0
    for start in range(0, len(images), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        counts = run(network, frames(images[part])).populations[network.output].spikes.sum(axis=1, dtype=np.int64)
        right += int(np.sum(counts.argmax(axis=1) == labels[part]))
    return right / len(images)


def main() -> None:
    """Train, write, and judge float, 8 and 4 bits on the test images."""
    parser = argparse.ArgumentParser(description="Train the convolutional network of snnTorch's tutorial on MNIST.")
    parser.add_argument("--mnist", type=Path, required=True, metavar="FOLDER", help="of MNIST's four IDX files")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, help="train on so many images only")
    parser.add_argument("--test-images", type=int, help="judge on so many images only")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the sums, and with them the result, do not depend on the machine's cores
    images, labels = read_images(options.mnist, "train")
    test, test_labels = (array[: options.test_images] for array in read_images(options.mnist, "t10k"))
    file = options.output / "mnist_conv.nir"
    if not file.exists():
        model = train(images[: options.images], labels[: options.images], options.epochs)
        write_nir(from_snntorch(model, (1, SIDE, SIDE)), file)
    network = read_nir(file)
    given = frames(images[:CALIBRATION])
    np.savez_compressed(
        options.output / "mnist_conv_calibration.npz", images=images[:CALIBRATION], labels=labels[:CALIBRATION]
    )
    np.savez_compressed(options.output / "mnist_conv_test.npz", images=test, labels=test_labels)
    for name, one in (
        ("float", network),
        ("8 bits", quantise(network, 8, given)),
        ("4 bits", quantise(network, 4, given)),
    ):
        print(f"{name}: {accuracy(one, test, test_labels):.2%} of {len(test)} test images", flush=True)


if __name__ == "__main__":
    main()

"""Train the digits network that `spikeloom demo` compiles: 64-64-10 Leaky neurons on scikit-learn's digits.

    python examples/train_digits.py [--output FOLDER]

writes digits.nir, digits_test.npz (360 samples that training never saw) and digits_calibration.npz (100 training
samples). It takes about a minute and needs torch, snntorch and scikit-learn.

The network learns to stand compression: every second batch sees its weights pruned and rounded as the compiler would,
an L1 penalty makes room for pruning, and a penalty on hidden spikes keeps the hardware's work small. All choices were
made on the validation samples.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from sklearn.datasets import load_digits
from snntorch import surrogate
from spikeloom.compiler.compression.magnitude import prune
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.compiler.ir.network import Network
from spikeloom.sim.float_executor import run_float
from torch import nn

STEPS = 16
LEVELS = 4
"""An image's pixels, 0 to 16, become 0 to 4 spikes."""

HIDDEN = 64
BETA = 0.875
TRAINING, VALIDATION = 1197, 240
"""Samples of the 1797; the other 360 are the test samples."""

EPOCHS = 200
BATCH = 100
LEARNING_RATE = 4e-3
SPARSITY, BITS = 0.85, 4
"""The compression that training prepares for."""

L1, ACTIVITY = 0.6, 0.5
SHIFT = 0.05
"""How often an image is moved by a pixel, in each of the four directions."""

Images = npt.NDArray[np.int64]
Spikes = npt.NDArray[np.uint8]


def encode(images: Images) -> Spikes:
    """Images [samples, 64] of values 0..16 as spikes [samples, steps, 64].

    A pixel p fires n = round(p / 4) times, in the middle of each n-th part of the 16 steps.
    """
    count = ((images + 2) // 4)[:, None, :]
    fired = (2 * np.arange(STEPS + 1)[None, :, None] * count + STEPS - 1) // (2 * STEPS)
    return np.diff(fired, axis=1).astype(np.uint8)


class DigitsNet(nn.Module):
    """Two layers of leaky integrate-and-fire neurons. The class is the output neuron with most spikes."""

    def __init__(self) -> None:
        super().__init__()
        gradient = surrogate.fast_sigmoid(slope=10)
        self.hidden, self.hidden_neurons = nn.Linear(64, HIDDEN), snntorch.Leaky(BETA, spike_grad=gradient)
        self.output, self.output_neurons = nn.Linear(HIDDEN, 10), snntorch.Leaky(BETA, spike_grad=gradient)
        with torch.no_grad():  # wake the neurons up
            self.hidden.weight *= 2.5
            self.output.weight *= 2

    def forward(self, spikes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Spikes [samples, steps, 64] to output and hidden spikes [samples, steps, neurons]."""
        hidden_mem, output_mem = self.hidden_neurons.reset_mem(), self.output_neurons.reset_mem()
        output_record, hidden_record = [], []
        for step in range(spikes.shape[1]):
            hidden, hidden_mem = self.hidden_neurons(self.hidden(spikes[:, step]), hidden_mem)
            output, output_mem = self.output_neurons(self.output(hidden), output_mem)
            hidden_record.append(hidden)
            output_record.append(output)
        return torch.stack(output_record, 1), torch.stack(hidden_record, 1)


def augmented(images: Images, rng: np.random.Generator) -> Images:
    """Some images moved by a pixel, and all inked pixels lighter or darker by up to 1."""
    padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    offsets = rng.choice(3, size=(2, len(images)), p=[SHIFT, 1 - 2 * SHIFT, SHIFT])
    moved = np.stack([image[y : y + 8, x : x + 8] for image, y, x in zip(padded, *offsets, strict=True)])
    flat = moved.reshape(-1, 64)
    return np.clip(np.where(flat > 0, flat + rng.integers(-1, 2, flat.shape), 0), 0, 16)


def compressed(net: DigitsNet, masks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The parameters with weights pruned by `masks` and rounded to `BITS`; gradients pass the rounding."""
    parameters = dict(net.named_parameters())
    for name, mask in masks.items():
        weight = parameters[name] * mask
        scale = weight.detach().abs().amax(1, keepdim=True).clamp(min=1e-6) / (2 ** (BITS - 1) - 1)
        parameters[name] = weight + (torch.round(weight / scale) * scale - weight).detach()
    return parameters


def pruning_masks(net: DigitsNet, sparsity: float) -> dict[str, torch.Tensor]:
    """Which weights the compiler's own pruning keeps."""
    with warnings.catch_warnings(action="ignore"):  # of neurons that lose their inputs: training may do without them
        pruned = [p.connectivity.real for p in prune(from_snntorch(net, (64,)), sparsity).projections]
    names = ("hidden.weight", "output.weight")
    return {n: torch.from_numpy(w.T != 0) for n, w in zip(names, pruned, strict=True)}


def train(net: DigitsNet, images: Images, labels: Images, rng: np.random.Generator) -> None:
    """Minimise the cross-entropy of the output spike counts."""
    optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for epoch in range(EPOCHS):
        masks = pruning_masks(net, SPARSITY * min(1.0, 2 * epoch / EPOCHS))
        order = rng.permutation(len(images))
        losses = []
        for number, start in enumerate(range(0, len(images), BATCH)):
            chosen = order[start : start + BATCH]
            spikes = torch.from_numpy(encode(augmented(images[chosen], rng))).float()
            parameters = compressed(net, masks) if number % 2 else dict(net.named_parameters())
            output, hidden = torch.func.functional_call(net, parameters, (spikes,))
            loss = nn.functional.cross_entropy(output.sum(1) / 2, torch.from_numpy(labels[chosen]))
            penalty = L1 * (net.hidden.weight.abs().mean() + net.output.weight.abs().mean())
            optimiser.zero_grad()
            (loss + penalty + ACTIVITY * hidden.mean()).backward()
            optimiser.step()
            losses.append(loss.item())
        schedule.step()
        print(f"\repoch {epoch + 1:3} of {EPOCHS}, loss {np.mean(losses):.3f}", end="", flush=True)
    print()


def accuracy(net: DigitsNet, network: Network, spikes: Spikes, labels: Images) -> float:
    """The accuracy of the network that the compiler gets, once it fires as snnTorch does."""
    recording = run_float(network, spikes)
    with torch.no_grad():
        output, hidden = net(torch.from_numpy(spikes).float())
    for name, expected in (("output_neurons", output), ("hidden_neurons", hidden)):
        if not np.array_equal(recording.populations[name].spikes, expected.numpy()):
            raise SystemExit(f"the spikes of {name} differ from snnTorch's")
    return recording.accuracy(labels)


def main() -> None:
    """Train, check against snnTorch, write."""
    parser = argparse.ArgumentParser(description="Train the digits network that spikeloom demo compiles.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    torch.set_num_threads(1)  # the sums, and with them the result, do not depend on the machine's cores
    rng = np.random.default_rng(0)
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    images, labels = digits.data.astype(np.int64)[order], digits.target.astype(np.int64)[order]
    validation, test = slice(TRAINING, TRAINING + VALIDATION), slice(TRAINING + VALIDATION, None)

    net = DigitsNet()
    train(net, images[:TRAINING], labels[:TRAINING], rng)
    network = from_snntorch(net, (64,))
    for name, part in (("validation", validation), ("test", test)):
        print(f"{name} accuracy {accuracy(net, network, encode(images[part]), labels[part]):.2%}")
    write_nir(network, folder / "digits.nir")
    for name, part in (("digits_test", test), ("digits_calibration", slice(0, 100))):
        np.savez_compressed(folder / f"{name}.npz", spikes=encode(images[part]), labels=labels[part])


if __name__ == "__main__":
    main()

"""Train a small network that needs its delays, once with a delay for each synapse and once for each neuron.

    python examples/train_delays.py [--output FOLDER]

writes delays_synaptic.nir, delays_axonal.nir, and delays_test.npz (400 samples that training never saw), and prints
what each reaches, and what the same network does without delays. It takes about a minute and needs torch and snntorch.

In a sample each of 6 inputs spikes once, no two in the same step. A class is an order of these spikes with their
distances; where it starts is random. The neurons keep nothing from step to step (their leak is whole), so that without
delays what a network says in a step depends on that step's spikes alone. All samples have the same six steps with a
spike, in another order: the outputs' spike counts are the same for every sample, whatever the weights, and any class
read off them is right by chance. With delays the spikes of a class arrive at its neurons together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from snntorch import surrogate, utils
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.compiler.training import DelayLinear
from torch import nn

INPUTS, CLASSES, STEPS = 6, 8, 24
LENGTH = 10
"""Steps from a pattern's first to its last spike, at most."""

RELAYS = 24
"""Hidden neurons: each passes on what it hears, to be delayed."""

EPOCHS, FIXED = 24, 8
"""Passes over the training samples, and those of them at the end with delays of whole steps that stay."""

SAMPLES, TESTED, BATCH = 800, 400, 100
LEARNING_RATE, DELAY_RATE = 2e-2, 0.2

SYNAPTIC, AXONAL, NONE = "synaptic", "axonal", "none"

Spikes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def patterns(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The step of each input's spike [classes, inputs] from the pattern's start, no two of a class alike."""
    return np.stack([rng.choice(LENGTH, INPUTS, replace=False) for _ in range(CLASSES)])


def samples(rng: np.random.Generator, times: npt.NDArray[np.int64], count: int) -> tuple[Spikes, Labels]:
    """Spikes [count, steps, inputs] and classes, as many of each; a pattern starts in one of the first steps."""
    labels = rng.permutation(np.arange(count) % CLASSES)
    starts = rng.integers(0, STEPS - 2 * LENGTH + 1, count)
    spikes = np.zeros((count, STEPS, INPUTS), np.uint8)
    spikes[np.arange(count)[:, None], starts[:, None] + times[labels], np.arange(INPUTS)] = 1
    return spikes, labels


class DelayNet(nn.Module):
    """Relays, delays, and a neuron for each class. The class is the output neuron with most spikes."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        gradient = surrogate.fast_sigmoid(slope=5)
        self.kind = kind
        self.relay, self.relays = (
            nn.Linear(INPUTS, RELAYS, bias=False),
            snntorch.Leaky(0.0, spike_grad=gradient, reset_mechanism="zero"),
        )
        options = {"learn_delay": False, "init_delay": 0.0} if kind == NONE else {}
        self.late = DelayLinear(RELAYS, CLASSES, max_delay=LENGTH, **options)
        self.classes = snntorch.Leaky(0.0, spike_grad=gradient, reset_mechanism="zero")
        with torch.no_grad():  # each relay hears one input
            self.relay.weight.copy_(1.5 * torch.eye(INPUTS).repeat(RELAYS // INPUTS, 1))
            self.late.weight.uniform_(0, 0.6)
        self.share_delays()

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Spikes [steps, samples, inputs] to output spikes [steps, samples, classes]."""
        self.late.reset()
        relay, output = self.relays.reset_mem(), self.classes.reset_mem()
        record = []
        for step in spikes:
            passed, relay = self.relays(self.relay(step), relay)
            fired, output = self.classes(self.late(passed), output)
            record.append(fired)
        return torch.stack(record)

    def share_delays(self) -> None:
        """Axonal delays: one for all synapses of a relay."""
        if self.kind == AXONAL:
            with torch.no_grad():
                self.late.delay.copy_(self.late.delay.mean(0, keepdim=True).expand_as(self.late.delay))

    def fix_delays(self) -> None:
        """Round delays to whole steps, which they keep."""
        with torch.no_grad():
            self.late.delay.clamp_(0, LENGTH).round_()
        self.late.delay.requires_grad_(False)


def train(net: DelayNet, spikes: Spikes, labels: Labels, epochs: int = EPOCHS, fixed: int = FIXED) -> None:
    """Minimise the cross-entropy of the output spike counts; the last `fixed` epochs with delays of whole steps."""
    weights = [p for name, p in net.named_parameters() if name != "late.delay"]
    optimiser = torch.optim.Adam([{"params": weights}, {"params": [net.late.delay], "lr": DELAY_RATE}], LEARNING_RATE)
    given, wanted = torch.from_numpy(spikes).float().transpose(0, 1), torch.from_numpy(labels)
    for epoch in range(epochs):
        if epoch == epochs - fixed:
            net.fix_delays()
        for chosen in torch.randperm(len(labels)).split(BATCH):
            counts = net(given[:, chosen]).sum(0)
            optimiser.zero_grad()
            nn.functional.cross_entropy(3 * counts, wanted[chosen]).backward()
            optimiser.step()
            net.share_delays()


def accuracy(net: DelayNet, spikes: Spikes, labels: Labels) -> float:
    """The share of samples whose class has the most spikes, ties to the lowest."""
    with torch.no_grad():
        counts = net(torch.from_numpy(spikes).float().transpose(0, 1)).sum(0).numpy()
    return float(np.mean(counts.argmax(1) == labels))


def main() -> None:
    """Train the three, write those with delays."""
    parser = argparse.ArgumentParser(description="Train a small network that needs its delays.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    times = patterns(rng)
    (spikes, labels), (test_spikes, test_labels) = (samples(rng, times, count) for count in (SAMPLES, TESTED))
    for kind in (SYNAPTIC, AXONAL, NONE):
        torch.manual_seed(1)
        net = DelayNet(kind)
        train(net, spikes, labels)
        print(f"{kind} delays: test accuracy {accuracy(net, test_spikes, test_labels):.2%}", flush=True)
        if kind != NONE:
            utils.reset(net)
            write_nir(from_snntorch(net, (INPUTS,)), folder / f"delays_{kind}.nir")
    np.savez_compressed(folder / "delays_test.npz", spikes=test_spikes, labels=test_labels)


if __name__ == "__main__":
    main()

"""Train a recurrent network with adaptive thresholds that names the wave of an electrocardiogram in every step.

    python examples/train_ecg.py --data FOLDER --output OUT [--validate]
    python examples/train_ecg.py --data FOLDER --judge NETWORK.nir

FOLDER holds QTDB_train.mat and QTDB_test.mat, spike-coded records of PhysioNet's QT database as Yin, Corradi and Bohté
prepared them (Nature Machine Intelligence 2021; repository byin-cwi/Efficient-spiking-networks, folder `data`): 4 spike
channels, 1,301 steps of 4 ms, the wave of each step (P, PQ, QR, RS, ST, TP). The first command writes ecg.nir, and of
some training records ecg_calibration.npz and ecg_short.npz; the second says in how many test steps the integer
network's largest membrane is the step's wave. Interrupted training goes on from its checkpoint in OUT. It takes an hour
on one core and needs torch, snntorch and scipy.

The network is 4-80-6: adaptive neurons (ALIF) that hear each other, and leaky integrators whose membranes are read in
every step. It learns to be integers: a step's leaks are whole 64ths and 256ths from the start, and at the end weights
are rounded as the compiler does. Choices are made with `--validate`, which holds a fifth of the training records back,
neighbours together, as they are of one patient; without it the network learns from all.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from scipy.io import loadmat
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.training import AdaptiveLeaky
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference
from torch import nn

CHANNELS, HIDDEN, CLASSES = 4, 80, 6
EPOCHS, ROUNDED = 80, 16
"""Passes over the records with real weights, then with rounded ones."""

BITS = 8
LEARNING_RATE, ROUNDED_RATE = 1e-2, 2e-3
BATCH = 64
KEPT = 0.98
"""What the running mean of the parameters, which is the result, keeps in an update."""

LEAK, ADAPTATION_LEAK, FINEST = 64, 256, 15
"""A neuron's leak is 1 to 15 64ths of its membrane, and 1 to 15 256ths of its adaptation."""

READOUT = 1 - 1 / 16
"""What the readout keeps of its membranes in a step."""

SPANS = 5
"""Gradients go back as far as the start of the fifth of a record that they are in."""

WIDTH, HEIGHT = 0.5, 0.35
"""The surrogate gradient: HEIGHT / (1 + ((u - threshold) / WIDTH)^2)."""

CALIBRATION = 24
"""Training records that are written for the compiler."""

SHORT = 100
"""Steps of four of these, for simulations of hardware."""

Spikes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def load(folder: Path, part: str) -> tuple[Spikes, Labels]:
    """Spikes [records, steps, channels] and waves [records, steps].

    Steps that nobody labelled count as P, as published. The one -1 in a record marks its last step and is no spike.
    """
    content = loadmat(folder / f"QTDB_{part}.mat")
    return (content["x"] > 0).astype(np.uint8), content["y"].argmax(-1).astype(np.int64)


def held_back(records: int) -> npt.NDArray[np.bool_]:
    """Which records `--validate` holds back: the last fifth of each of six parts, as neighbours are of one patient."""
    place = np.arange(records) % (records // 6)
    return place >= 0.8 * (records // 6)


# ----------------------------------------------------------------------------------------------------- the network


class Hidden(torch.autograd.Function):
    """All steps of the adaptive neurons: currents [steps, records, neurons] to spikes of the same shape.

    The step is that of `AdaptiveLeaky(reset_delay=False)` with a threshold of 1. Gradients pass through resets.
    """

    @staticmethod
    def forward(ctx: Any, currents: Any, back: Any, beta: Any, rho: Any, jump: Any) -> Any:
        steps, *shape = currents.shape
        spikes, above, adapt, mem = (torch.zeros(steps + 1, *shape) for _ in range(4))
        for step in range(steps):
            torch.mul(adapt[step], rho, out=adapt[step + 1]).addcmul_(spikes[step], jump)
            torch.addmm(currents[step], spikes[step], back, out=mem[step + 1]).addcmul_(mem[step], beta)
            threshold = adapt[step + 1] + 1
            torch.sub(mem[step + 1], threshold, out=above[step + 1])
            torch.gt(above[step + 1], 0, out=spikes[step + 1])
            mem[step + 1].addcmul_(spikes[step + 1], threshold, value=-1)
        ctx.save_for_backward(spikes, above, adapt, mem, back, beta, rho, jump)
        return spikes[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        spikes, above, adapt, mem, back, beta, rho, jump = ctx.saved_tensors
        slope = (above[1:] / WIDTH).square_().add_(1).reciprocal_().mul_(HEIGHT)
        parts = [_side_by_side(x) for x in (gradients[0], slope, spikes[1:], adapt[1:] + 1)]
        to_current, to_adapt = torch.empty_like(parts[0]), torch.empty_like(parts[0])
        to_mem, to_a, to_next = (torch.zeros_like(parts[0][0]) for _ in range(3))
        for step in reversed(range(len(to_current))):
            given, steep, fired, threshold = (part[step] for part in parts)
            to_above = torch.addmm(given, to_next, back.T).addcmul_(to_a, jump).addcmul_(to_mem, threshold, value=-1)
            to_above.mul_(steep)
            to_threshold = torch.addcmul(to_above, to_mem, fired)
            to_next = torch.add(to_mem, to_above, out=to_current[step])
            to_a = torch.mul(to_a, rho, out=to_adapt[step]).sub_(to_threshold)
            to_mem = to_next * beta
        to_current, to_adapt = (_one_after_another(x, spikes[1:].shape) for x in (to_current, to_adapt))
        to_back = spikes[:-1].flatten(0, 1).T @ to_current.flatten(0, 1)
        shares = [(to_current * mem[:-1]).sum((0, 1)), (to_adapt * adapt[:-1]).sum((0, 1))]
        return to_current, to_back, *shares, (to_adapt * spikes[:-1]).sum((0, 1))


def _side_by_side(x: Any) -> Any:
    """The spans of a record as records of their own; steps before the first span are left out."""
    steps = len(x) // SPANS
    return x[len(x) - SPANS * steps :].unflatten(0, (SPANS, steps)).transpose(0, 1).flatten(1, 2)


def _one_after_another(x: Any, shape: Any) -> Any:
    """The opposite, with zeros in the steps that were left out."""
    whole = torch.zeros(shape)
    spans = x.unflatten(1, (SPANS, shape[1])).transpose(0, 1).flatten(0, 1)
    whole[len(whole) - len(spans) :] = spans
    return whole


class Readout(torch.autograd.Function):
    """Leaky integrators: currents [steps, ...] to membranes."""

    @staticmethod
    def forward(ctx: Any, currents: Any) -> Any:
        return _integrated(currents, range(len(currents)))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _integrated(gradients[0], reversed(range(len(gradients[0]))))


def _integrated(values: Any, order: Any) -> Any:
    result, before = torch.empty_like(values), torch.zeros_like(values[0])
    for step in order:
        before = torch.add(values[step], before, alpha=READOUT, out=result[step])
    return result


class EcgNet(nn.Module):
    """The network. Rounded, its weights are integers times a scale: one per hidden neuron, one for the readout."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.back = nn.Linear(CHANNELS, HIDDEN), nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.outward = nn.Linear(HIDDEN, CLASSES)
        with torch.no_grad():
            self.inward.weight.uniform_(-0.6, 0.6)
            self.inward.bias.fill_(0.02)
            nn.init.orthogonal_(self.back.weight).mul_(0.2)
            self.outward.weight.mul_(0.5)
        self.beta = nn.Parameter(_shares(3, 60))
        self.rho = nn.Parameter(_shares(20, 400))
        self.jump = nn.Parameter(torch.full((HIDDEN,), 0.1))

    def numbers(self, rounded: bool) -> dict[str, torch.Tensor]:
        """Weights and shares as they are used; gradients pass the rounding."""
        found = {
            "beta": 1 - _whole(LEAK * (1 - self.beta)).clamp(1, FINEST) / LEAK,
            "rho": 1 - _whole(ADAPTATION_LEAK * (1 - self.rho)).clamp(1, FINEST) / ADAPTATION_LEAK,
            "jump": self.jump,
            "inward": self.inward.weight,
            "back": self.back.weight,
            "outward": self.outward.weight,
        }
        if rounded:
            largest = torch.cat([found["inward"], found["back"]], 1).detach().abs().amax(1, keepdim=True)
            for name, most in (
                ("inward", largest),
                ("back", largest),
                ("outward", found["outward"].detach().abs().max()),
            ):
                scale = most.clamp(min=1e-6) / (2 ** (BITS - 1) - 1)
                found[name] = _whole(found[name] / scale) * scale
        return found

    def forward(self, spikes: torch.Tensor, rounded: bool = False) -> torch.Tensor:
        """Spikes [records, steps, channels] to the readout's membranes [steps, records, classes]."""
        own = self.numbers(rounded)
        currents = nn.functional.linear(spikes.transpose(0, 1), own["inward"], self.inward.bias).contiguous()
        fired = Hidden.apply(currents, own["back"].T.contiguous(), own["beta"], own["rho"], own["jump"])
        membranes: torch.Tensor = Readout.apply(nn.functional.linear(fired, own["outward"], self.outward.bias))
        return membranes


def _shares(shortest: float, longest: float) -> torch.Tensor:
    """What a step keeps, for time constants between two numbers of steps, evenly in their logarithm."""
    low, high = np.log((shortest, longest))
    return torch.exp(-1 / torch.exp(torch.empty(HIDDEN).uniform_(low, high)))


def _whole(x: torch.Tensor) -> torch.Tensor:
    """Rounded; the gradient passes."""
    return x + (x.round() - x).detach()


class Layers(nn.Module):
    """The same network, step by step, of layers that the compiler reads."""

    def __init__(self, net: EcgNet) -> None:
        super().__init__()
        own = {name: value.detach() for name, value in net.numbers(rounded=True).items()}
        self.inward, self.back, self.outward = net.inward, net.back, net.outward
        for name in ("inward", "back", "outward"):
            getattr(self, name).weight.data = own[name]
        self.hidden = AdaptiveLeaky(own["beta"], own["rho"], own["jump"], reset_delay=False)
        self.readout = snntorch.Leaky(READOUT, reset_mechanism="none")

    def forward(self, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Spikes [steps, records, channels] to the readout's spikes, of which nobody asks, and membranes."""
        _, mem, adapt = self.hidden.reset_mem()
        read = self.readout.reset_mem()
        fired = torch.zeros(steps.shape[1], HIDDEN)
        spikes, membranes = [], []
        for step in steps:
            fired, mem, adapt = self.hidden(self.inward(step) + self.back(fired), fired, mem, adapt)
            said, read = self.readout(self.outward(fired), read)
            spikes.append(said)
            membranes.append(read)
        return torch.stack(spikes), torch.stack(membranes)


# ------------------------------------------------------------------------------------------------------- training


class Training:
    """A network in training, with the running mean of its parameters; kept in a file after every epoch."""

    def __init__(self, file: Path, epochs: int, rounded: int) -> None:
        self.file, self.epochs, self.total = file, epochs, epochs + rounded
        self.net = EcgNet()
        self.mean = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.optimiser = torch.optim.Adam(self._groups(LEARNING_RATE))
        self.epoch = 0
        if file.is_file():
            content = torch.load(file, weights_only=True)
            self.net.load_state_dict(content["net"])
            self.optimiser.load_state_dict(content["optimiser"])
            self.mean, self.epoch = content["mean"], content["epoch"]

    def _groups(self, rate: float) -> list[dict[str, Any]]:
        """Shares are a tenth as fast as weights."""
        shares = [self.net.beta, self.net.rho]
        return [
            {"params": [p for p in self.net.parameters() if all(p is not share for share in shares)], "lr": rate},
            {"params": shares, "lr": rate / 10},
        ]

    @property
    def rounded(self) -> bool:
        """Whether weights are rounded."""
        return self.epoch >= self.epochs

    def run(self, spikes: Spikes, labels: Labels) -> EcgNet:
        """Train to the end, and give the mean network."""
        given, wanted = torch.from_numpy(spikes).float(), torch.from_numpy(labels)
        while self.epoch < self.total:
            if self.epoch == self.epochs:  # the stage starts from the mean
                self.net.load_state_dict(self.mean)
            self._set_rates()
            losses = [
                self._update(given[chosen], wanted[chosen]) for chosen in torch.randperm(len(wanted)).split(BATCH)
            ]
            self.epoch += 1
            self._keep()
            print(f"\repoch {self.epoch:3} of {self.total}, loss {np.mean(losses):.3f}", end="", flush=True)
        print()
        self.net.load_state_dict(self.mean)
        return self.net

    def _set_rates(self) -> None:
        """A cosine from the full rate to a hundredth, once for each stage."""
        first, length = (self.epochs, self.total - self.epochs) if self.rounded else (0, self.epochs)
        full = ROUNDED_RATE if self.rounded else LEARNING_RATE
        rate = float(full * (0.01 + 0.99 * (1 + np.cos(np.pi * (self.epoch - first) / length)) / 2))
        for group, own in zip(self.optimiser.param_groups, (rate, rate / 10), strict=True):
            group["lr"] = own

    def _update(self, spikes: torch.Tensor, labels: torch.Tensor) -> float:
        membranes = self.net(spikes, self.rounded)
        loss = nn.functional.cross_entropy(membranes.flatten(0, 1), labels.T.flatten())
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.net.beta.clamp_(1 - FINEST / LEAK, 1 - 1 / LEAK)
            self.net.rho.clamp_(1 - FINEST / ADAPTATION_LEAK, 1 - 1 / ADAPTATION_LEAK)
            for name, value in self.net.state_dict().items():
                self.mean[name].mul_(KEPT).add_(value, alpha=1 - KEPT)
        return loss.item()

    def _keep(self) -> None:
        content = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "mean": self.mean,
            "epoch": self.epoch,
        }
        part = self.file.with_suffix(".part")
        torch.save(content, part)
        part.replace(self.file)


def right(network: Network, spikes: Spikes, labels: Labels) -> float:
    """The share of steps whose wave has the largest membrane, ties to the lowest; some records are run at a time."""
    run = run_reference if network.is_integer else run_float
    parts = [slice(first, first + 20) for first in range(0, len(labels), 20)]
    membranes = [run(network, spikes[part], membranes=True).membranes for part in parts]
    return float(np.mean(np.concatenate(membranes).argmax(-1) == labels))


def main() -> None:
    """Train and write, or judge a network."""
    parser = argparse.ArgumentParser(description="Train a network that names the waves of electrocardiograms.")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="with QTDB_train.mat, QTDB_test.mat")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", type=Path, metavar="OUT", help="train, and write there")
    what.add_argument("--judge", type=Path, metavar="NETWORK.nir", help="its share of the test steps")
    parser.add_argument("--validate", action="store_true", help="hold training records back and judge by them")
    options = parser.parse_args()
    if options.judge is not None:
        print(f"right in {right(read_nir(options.judge), *load(options.data, 'test')):.2%} of the test steps")
        return

    torch.manual_seed(0)
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    spikes, labels = load(options.data, "train")
    aside = held_back(len(labels)) if options.validate else np.zeros(len(labels), np.bool_)
    net = Training(options.output / "checkpoint.pt", EPOCHS, ROUNDED).run(spikes[~aside], labels[~aside])
    network = from_snntorch(Layers(net), (CHANNELS,)).with_readout("membranes")
    if options.validate:
        print(f"right in {right(network, spikes[aside], labels[aside]):.2%} of the steps held back")
    write_nir(network, options.output / "ecg.nir")
    chosen = np.linspace(0, len(labels) - 1, CALIBRATION).astype(np.int64)
    np.savez_compressed(options.output / "ecg_calibration.npz", spikes=spikes[chosen])
    np.savez_compressed(options.output / "ecg_short.npz", spikes=spikes[chosen[:4], :SHORT])


if __name__ == "__main__":
    main()

"""Accuracy that compression costs, over several networks: paired losses on the same samples, and their errors."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.ir.network import Network

from .accuracy import Right, answers


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A sparsity and bits (None: float), and the points that may be lost by it."""

    sparsity: float
    bits: int | None
    goal: float

    def __str__(self) -> str:
        return f"{self.sparsity:.0%}" + ("" if self.bits is None else f", {self.bits} bits")


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A float network, the samples on which it is compressed, in one set for each seed, and the labelled samples that
    judge it, by name."""

    name: str
    network: Network
    calibrations: Sequence[npt.NDArray[np.uint8]]
    judges: Mapping[str, Samples]
    training: FineTune | None = None

    @cached_property
    def float_right(self) -> dict[str, Right]:
        """Which samples of each judge the float network answers right."""
        return {name: answers(self.network, samples) for name, samples in self.judges.items()}


def compressed(subject: Subject, setting: Setting, calibration: npt.NDArray[np.uint8]) -> Network:
    """The network of a setting, by OSBC with what its defaults are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # neurons that fall silent are counted by their accuracy
        recipe = Recipe(method="osbc", sparsity=setting.sparsity, bits=setting.bits)
        return compress_weights(subject.network, recipe, calibration, finetune=subject.training)


def table(subjects: Sequence[Subject], settings: Sequence[Setting]) -> None:
    """Print what each setting costs each network, in points, and the mean over networks and seeds.

    The error beside a network is that of the paired difference over its samples, the one beside the mean that over the
    networks and seeds, where they are two or more.
    """
    for subject in subjects:
        whole = ", ".join(f"{right.mean():.2%} of {len(right):,} {n}" for n, right in subject.float_right.items())
        print(f"{subject.name}: float {whole}", flush=True)
    for setting in settings:
        lost: dict[str, list[float]] = {name: [] for name in subjects[0].judges}
        for subject in subjects:
            for seed, calibration in enumerate(subject.calibrations):
                started = time.process_time()
                network = compressed(subject, setting, calibration)
                seconds = time.process_time() - started
                cells = []
                for name, samples in subject.judges.items():
                    change = subject.float_right[name].astype(int) - answers(network, samples)
                    lost[name].append(100 * float(change.mean()))
                    error = 100 * float(change.std()) / len(change) ** 0.5
                    cells.append(f"{name} {lost[name][-1]:6.2f} +- {error:.2f}")
                print(f"  {setting!s:12} {subject.name:8} seed {seed}: {', '.join(cells)}; {seconds:.0f} s", flush=True)
        means = []
        for name, values in lost.items():
            error = f" +- {np.std(values, ddof=1) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
            means.append(f"{name} {np.mean(values):.2f}{error}")
        print(f"{setting!s:12} mean of {len(values)}: {', '.join(means)} points lost, goal {setting.goal}", flush=True)

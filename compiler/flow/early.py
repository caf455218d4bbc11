"""What samples that end early save: cycles of a build's core, by its cycle model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...sim.early_exit import EarlyExit
from ...sim.reference import run_reference
from ..cycles.count import count_cycles
from ..data.samples import Samples
from ..ir.arrays import SpikeArray, SpikesByPopulation
from ..ir.network import Network
from ..output.build_folder import BuildFolder
from ..plan.folding import read_folding
from ..plan.lean import read_lean
from ..plan.plan import make_plan

COUNTED = 10
"""Samples whose cycles are counted."""


@dataclass(frozen=True)
class Saving:
    """Mean cycles of the first `samples`: of all their steps, and until their classes are certain, the empty step that
    ends a sample early included."""

    samples: int
    whole: float
    early: float


def saving(build: BuildFolder, network: Network, samples: Samples, found: EarlyExit) -> Saving:
    """The cycles of a build's core that the early exits which were found on the samples save."""
    plan = make_plan(read_lean(build.numbering_file, network).network, build.family, read_folding(build.folding_file))
    first = samples.first(COUNTED)
    shorter = first.spikes.copy()
    for sample, steps in zip(shorter, found.steps, strict=False):
        sample[steps:] = 0
    lengths = [min(int(steps) + 1, first.steps) for steps in found.steps[: len(first)]]
    whole = count_cycles(plan, _trains(plan.network, first.spikes))
    trains = _trains(plan.network, shorter)
    early = [
        count_cycles(plan, {name: spikes[k : k + 1, :length] for name, spikes in trains.items()})[0]
        for k, length in enumerate(lengths)
    ]
    return Saving(samples=len(first), whole=float(np.mean(whole)), early=float(np.mean(early)))


def _trains(network: Network, spikes: SpikeArray) -> SpikesByPopulation:
    return run_reference(network, spikes).trains(spikes)

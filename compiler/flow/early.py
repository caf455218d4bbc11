"""What samples that end early save and cost: steps, classes, and cycles of a core by its cycle model."""

from __future__ import annotations

import numpy as np

from ...hdl.errors import OptionError
from ...sim.early_exit import EarlyExit, early_exit
from ...sim.recording import Recording
from ...sim.reference import run_reference
from ..cycles.count import count_cycles
from ..data.samples import Samples
from ..ir.arrays import SpikeArray, SpikesByPopulation
from ..ir.network import Network
from ..output.build_folder import BuildFolder
from ..plan.folding import read_folding
from ..plan.lean import read_lean
from ..plan.plan import Plan, make_plan
from ..report.facts import EarlyExits, SavedCycles

COUNTED = 10
"""Samples whose cycles are counted."""


def early_exits(recording: Recording, samples: Samples, margin: int, plan: Plan | None = None) -> EarlyExits:
    """What ends early of the samples that `recording` is of, and what that saves the core of a `plan`.

    OptionError where the class is not read by the spikes of several.
    """
    found = early_exit(recording.readout, recording.spikes, margin)
    return EarlyExits(
        margin=margin,
        samples=len(samples),
        steps=samples.steps,
        steps_taken=float(np.mean(found.steps)),
        classes_changed=int(np.sum(found.classes != recording.predicted)),
        accuracy=None if samples.labels is None else float(np.mean(found.classes == samples.labels)),
        cycles=None if plan is None else _saved(plan, samples, found),
    )


def require_early_exit(network: Network, images: bool, margin: int | None) -> None:
    """OptionError where a class is not read by the spikes of several, or the device goes through all steps itself."""
    if margin is None:
        return
    early_exit(network.reading, np.zeros((1, 1, network.size_of(network.output)), np.uint8), margin)
    if images:
        raise OptionError(
            "a sample ends early where the host sends its steps: a device with an encoder makes them of images itself; "
            "leave out the early exit"
        )


def plan_of_build(build: BuildFolder, network: Network) -> Plan:
    """The plan of a build of an integer network."""
    return make_plan(read_lean(build.numbering_file, network).network, build.family, read_folding(build.folding_file))


def _saved(plan: Plan, samples: Samples, found: EarlyExit) -> SavedCycles:
    """The cycles of the first samples with all their steps, and without those that early exits leave out."""
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
    return SavedCycles(samples=len(first), whole=float(np.mean(whole)), early=float(np.mean(early)))


def _trains(network: Network, spikes: SpikeArray) -> SpikesByPopulation:
    return run_reference(network, spikes).trains(spikes)

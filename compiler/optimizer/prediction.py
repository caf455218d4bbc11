"""What a planned design should cost, before any tool runs."""

from __future__ import annotations

import numpy as np

from ...hdl.resources import Resources
from ..cycles.count import busy_cycles
from ..estimate.estimate import estimate
from ..ir.arrays import SpikesByPopulation
from ..ir.network import INPUT
from ..plan.host_link import link_for, link_of, memory_needs, with_room
from ..plan.plan import Plan
from .candidate import Prediction
from .target import Target

MOST_SAMPLES = 50
"""Cycles are the mean over so many samples at most."""


def whole_brams(plan: Plan, target: Target) -> int:
    """Block RAMs of the core and its host link, exactly."""
    return memory_needs(plan, with_room(link_of(plan.network), plan, target.capacity)).brams


def predicted(plan: Plan, target: Target, spikes: SpikesByPopulation | None) -> Prediction:
    """The estimate of a plan's design, with its cycles per sample where spikes are known.

    Look-up tables of the Artix-7 have six inputs, so that nothing is said of how many there will be.
    """
    rates = None if spikes is None else {name: array.mean(axis=(0, 1)) for name, array in spikes.items()}
    steps = 1 if spikes is None else spikes[INPUT].shape[1]
    link = with_room(link_for(plan.network, target.capacity), plan, target.capacity)
    found = estimate(plan, device=target.device_id, link=link, rates=rates, steps=steps)
    cycles = found.cycles
    if cycles is None and spikes is not None:  # what passes are skipped depends on membranes: as if none were
        cycles = float(np.mean(np.max(busy_cycles(plan, spikes), axis=0)))
    if target.place is None:
        return Prediction(resources=Resources(brams=found.resources.brams), cycles=cycles)
    return Prediction(resources=found.resources, fmax_mhz=found.fmax_mhz, cycles=cycles)

"""Cycles per step: of the exact model, checked against the simulated core."""

from __future__ import annotations

import numpy as np
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.plan.plan import Plan
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference

from .goals import Figures
from .networks import Spikes

SIMULATED = 2
"""Samples whose cycles are counted by simulation too."""


def cycles_per_step(plan: Plan, spikes: Spikes) -> tuple[float, str]:
    """The mean over samples, and how it was found."""
    simulated = measure_cycles(plan, spikes[:SIMULATED])
    modelled = count_cycles(plan, run_reference(plan.network, spikes).trains(spikes))
    if modelled[:SIMULATED] != simulated:
        raise AssertionError(f"the cycle model says {modelled[:SIMULATED]}, the simulated core {simulated}")
    return float(np.mean(modelled)) / spikes.shape[1], f"cycles of {len(modelled)} samples"


def timed(figures: Figures, cycles: float, steps: int) -> Figures:
    """The figures with the time that a step and an image of `steps` steps take at Fmax."""
    us = cycles / figures["fmax_mhz"]
    return figures | {"cycles_per_step": cycles, "us_per_step": us, "us_per_image": us * steps}

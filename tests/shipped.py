"""The core without monitors, as it is shipped."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from spikeloom.compiler.ir.arrays import SpikeArray
from spikeloom.compiler.plan.plan import Plan
from spikeloom.sim.amaranth_executor import CoreSimulation
from spikeloom.sim.inputs import checked_spikes
from spikeloom.sim.stimulus import make_stimulus


def run_shipped(plan: Plan, spikes: npt.NDArray[Any], *, stress: int | None = None) -> SpikeArray:
    """The output spikes [samples, steps, outputs]; else as `run_amaranth`."""
    inputs = checked_spikes(plan.network, spikes)
    simulation = CoreSimulation(plan, inputs.shape[:2], traced=False, progress=None)
    simulation.run(make_stimulus(inputs, stress=stress, beats=plan.beats), stress)
    return simulation.output.spikes

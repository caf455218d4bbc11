"""The core without monitors, as it is shipped."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.ir.arrays import SpikeArray
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.folding import Folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.sim.amaranth_executor import CoreSimulation, measure_cycles
from spikeloom.sim.inputs import checked_spikes
from spikeloom.sim.stimulus import make_stimulus


def run_shipped(plan: Plan, spikes: npt.NDArray[Any], *, stress: int | None = None) -> SpikeArray:
    """The output spikes [samples, steps, outputs]; else as `run_amaranth`."""
    inputs = checked_spikes(plan.network, spikes)
    simulation = CoreSimulation(plan, inputs.shape[:2], traced=False, progress=None)
    simulation.run(make_stimulus(inputs, stress=stress, beats=plan.beats), stress)
    return simulation.output.spikes


def cycles_saved_by_skips(network: Network, spikes: SpikeArray, expected: SpikeArray) -> int:
    """The cycles that a core of the population `p` saves by skipping passes; its spikes are the `expected` ones."""
    cycles = []
    for skips in (False, True):
        plan = make_plan(network, folding=Folding(engines=(engine_folding(populations=("p",), skips=skips),)))
        for stress in (None, 4):
            np.testing.assert_array_equal(run_shipped(plan, spikes, stress=stress), expected)
        cycles.append(sum(measure_cycles(plan, spikes)))
    return cycles[0] - cycles[1]

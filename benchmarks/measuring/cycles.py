"""Cycles per step: of the exact model, checked against the simulated core, or of the latter where there is none."""

from __future__ import annotations

import numpy as np
from amaranth.sim import Simulator, SimulatorContext
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.encodings.vector import pack_events
from spikeloom.compiler.plan.plan import Plan
from spikeloom.hdl.engines.vector import VectorFormat
from spikeloom.hdl.streams.tokens import TokenKind
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference

from .goals import Figures
from .networks import Spikes

SIMULATED = 2
"""Samples whose cycles are counted by simulation."""

HANG = 100_000
"""Cycles after which a simulated sample counts as hung."""


def cycles_per_step(plan: Plan, spikes: Spikes, *, wide: bool = False) -> tuple[float, str]:
    """The mean over samples, and how it was found."""
    steps = spikes.shape[1]
    if wide:
        simulated = [simulate_beats(plan, sample) for sample in spikes[:SIMULATED]]
        return float(np.mean(simulated)) / steps, f"cycles of {len(simulated)} simulated samples"
    simulated = measure_cycles(plan, spikes[:SIMULATED])
    if any(isinstance(engine.form, VectorFormat) for engine in plan.engines):
        return float(np.mean(simulated)) / steps, f"cycles of {len(simulated)} simulated samples"
    modelled = count_cycles(plan, run_reference(plan.network, spikes).trains(spikes))
    if modelled[:SIMULATED] != simulated:
        raise AssertionError(f"the cycle model says {modelled[:SIMULATED]}, the simulated core {simulated}")
    return float(np.mean(modelled)) / steps, f"cycles of {len(modelled)} samples"


def beats(form: VectorFormat, sample: Spikes) -> list[int]:
    """The payloads of a sample [steps, inputs] for a core with a wide input."""
    payloads = []
    for number, counts in enumerate(sample):
        payloads += pack_events(form, np.repeat(np.arange(counts.size), counts).tolist())
        payloads.append((TokenKind.END_OF_STEP if number < len(sample) - 1 else TokenKind.END_OF_SAMPLE).value)
    return payloads


def simulate_beats(plan: Plan, sample: Spikes) -> int:
    """The cycles of a sample [steps, inputs] on a core with a wide input, whose output must be the reference's."""
    form = plan.engines[0].form
    assert isinstance(form, VectorFormat)
    core = plan.core()
    payloads = beats(form, sample)
    counts = np.zeros((len(sample), plan.network.size_of(plan.network.output)), np.int64)
    times: list[int] = []

    async def drive(context: SimulatorContext) -> None:
        for payload in payloads:
            context.set(core.i.payload.as_value(), payload)
            context.set(core.i.valid, 1)
            while not (await context.tick().sample(core.i.ready))[-1]:
                pass
        context.set(core.i.valid, 0)

    async def watch(context: SimulatorContext) -> None:
        context.set(core.o.ready, 1)
        step = cycle = 0
        ports = (core.i.valid & core.i.ready, core.o.valid, core.o.payload)
        async for _, _, accepted, valid, token in context.tick().sample(*ports):
            cycle += 1
            if accepted and not times:
                times.append(cycle)
            if valid and token.kind == TokenKind.EVENT:
                counts[step, token.address] += 1
            elif valid:
                step += 1
            if step == len(sample):
                times.append(cycle)
                return
            if cycle > HANG:
                raise AssertionError(f"the core has not finished a sample after {HANG} cycles")

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    np.testing.assert_array_equal(counts, run_reference(plan.network, sample[None]).spikes[0])
    return times[1] - times[0] + 1


def timed(figures: Figures, cycles: float, steps: int) -> Figures:
    """The figures with the time that a step and an image of `steps` steps take at Fmax."""
    us = cycles / figures["fmax_mhz"]
    return figures | {"cycles_per_step": cycles, "us_per_step": us, "us_per_image": us * steps}

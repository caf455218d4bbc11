"""A core in Amaranth's own simulator: no Verilog, no tool, for tests and for counting cycles."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy.typing as npt
from amaranth.hdl import Module
from amaranth.sim import Simulator as AmaranthSimulator
from amaranth.sim import SimulatorContext

from ..compiler.plan.monitors import monitors_of
from ..compiler.plan.plan import Plan
from ..hdl.core import Core
from ..hdl.errors import MismatchError
from .divergence import check_output
from .inputs import checked_spikes
from .limits import drain_cycles, hang_cycles, run_cycles
from .observer import (
    MonitorObserver,
    ProtocolError,
    ReadingObserver,
    Source,
    TraceObserver,
    output_observer,
)
from .port_sampler import PortSampler
from .recording import PopulationRecording, Recording, with_membranes
from .stimulus import Stimulus, make_stimulus

_LONGEST_STALL = 8
_CLOCK_SECONDS = 1e-6


def run_amaranth(
    plan: Plan,
    spikes: npt.NDArray[Any],
    membranes: bool = False,
    progress: Callable[[int, int], None] | None = None,
    *,
    stress: int | None = None,
) -> Recording:
    """Simulate a plan's traced core on `spikes`, integers 0..x_max [samples, steps, inputs], samples back to back.

    `stress` is the seed of random input gaps, event order and output stalls; without it the core runs at full speed.
    Raises SampleError, and MismatchError where the core hangs, breaks its protocol, or its output events differ from
    its output population's spikes.
    """
    inputs = checked_spikes(plan.network, spikes)
    stimulus = make_stimulus(inputs, stress=stress, beats=plan.beats)
    simulation = CoreSimulation(plan, inputs.shape[:2], traced=True, progress=progress)
    simulation.run(stimulus, stress)
    _check_output(plan, simulation)
    shown = with_membranes(plan.network, membranes)
    return Recording.of(
        plan.network,
        {
            name: PopulationRecording(spikes=trace.spikes, membranes=trace.membranes if name in shown else None)
            for name, trace in zip(plan.populations, simulation.traces, strict=True)
        },
    )


def _check_output(plan: Plan, simulation: CoreSimulation) -> None:
    """The output must say what its population's trace does; raises MismatchError."""
    output, trace = simulation.output, simulation.traces[plan.populations.index(plan.network.output)]
    expected = PopulationRecording(spikes=trace.spikes, membranes=trace.membranes)
    given = (output.readings, output.classes) if isinstance(output, ReadingObserver) else None
    check_output(plan.network, plan.readout, expected, output.spikes, given)


def measure_cycles(
    plan: Plan, spikes: npt.NDArray[Any], progress: Callable[[int, int], None] | None = None
) -> list[int]:
    """The clock cycles that each sample takes alone on the core: from its first token in to its END_OF_SAMPLE out.

    Input and output never wait for the host. `spikes` and errors as for `run_amaranth`.
    """
    inputs = checked_spikes(plan.network, spikes)
    cycles = []
    for index in range(len(inputs)):
        simulation = CoreSimulation(plan, (1, inputs.shape[1]), traced=False, progress=None)
        simulation.run(make_stimulus(inputs[index : index + 1], beats=plan.beats), None)
        cycles.append(simulation.last_end - simulation.first_token + 1)
        if progress is not None:
            progress(index + 1, len(inputs))
    return cycles


class CoreSimulation:
    """One core being simulated."""

    def __init__(
        self, plan: Plan, shape: tuple[int, ...], *, traced: bool, progress: Callable[[int, int], None] | None
    ) -> None:
        samples, steps = shape
        network = plan.network
        self.plan = plan
        self.core: Core = plan.core(trace=traced)
        self.output = output_observer(plan.readout, samples, steps, network.size_of(network.output))
        names = plan.populations if traced else ()
        self.traces = [TraceObserver(k, samples, steps, network.size_of(name)) for k, name in enumerate(names)]
        self.monitors = [
            MonitorObserver(port, self.traces[m.population], m.numbers, m.neurons, in_turn=m.in_turn)
            for port, m in enumerate(monitors_of(network, plan.folding) if traced else ())
        ]
        self._sampler = PortSampler(self._sampled_ports())
        self.progress = progress
        self.first_token = -1
        self.last_end = -1

    def run(self, stimulus: Stimulus, stress: int | None) -> None:
        """Send the stimulus and record until everything has arrived. Raises MismatchError."""

        async def drive(context: SimulatorContext) -> None:
            await self._drive(context, stimulus)

        async def watch(context: SimulatorContext) -> None:
            await self._watch(context)

        async def stall(context: SimulatorContext) -> None:
            await self._stall(context, stress)

        top = Module()
        top.submodules.core = self.core
        self._sampler.drive(top)
        simulator = AmaranthSimulator(top)
        simulator.add_clock(_CLOCK_SECONDS)
        simulator.add_testbench(watch)
        simulator.add_testbench(drive, background=True)
        simulator.add_testbench(stall, background=True)
        try:
            simulator.run()
        except ProtocolError as error:
            raise MismatchError(error.describe(self.plan.populations)) from None

    async def _drive(self, context: SimulatorContext, stimulus: Stimulus) -> None:
        stream = self.core.i
        payload = stream.payload.as_value()
        for token, gap in zip(stimulus.payloads.tolist(), stimulus.gaps.tolist(), strict=True):
            if gap:
                context.set(stream.valid, 0)
                await _wait(context, gap)
            context.set(payload, token)
            context.set(stream.valid, 1)
            while not (await context.tick().sample(stream.ready))[-1]:
                pass
        context.set(stream.valid, 0)

    async def _stall(self, context: SimulatorContext, stress: int | None) -> None:
        context.set(self.core.o.ready, 1)
        if stress is None:
            return
        rng = random.Random(stress)
        while True:
            for ready in (0, 1):
                context.set(self.core.o.ready, ready)
                await _wait(context, rng.randint(1, _LONGEST_STALL))

    async def _watch(self, context: SimulatorContext) -> None:
        """Sample every port at every clock edge."""
        patience, drain = hang_cycles(self.plan.network), drain_cycles(self.plan.network)
        most = run_cycles(self.plan.network, self.output.samples, self.output.steps)
        cycle = quiet = 0
        moving = self._sampler.mask_of([0, 1, *(3 + 4 * index for index in range(len(self.monitors)))])
        async for _, _, seen in context.tick().sample(self._sampler.seen):
            moved = bool(seen & moving)
            if moved:
                self._record(cycle, self._sampler.values(seen))
            cycle += 1
            quiet = 0 if moved else quiet + 1
            finished = all(source.done for source in (self.output, *self.traces))
            if finished and quiet >= drain:
                return
            if quiet > patience:
                raise self._behind().error(f"nothing has moved for {patience} cycles: the core hangs")
            if cycle > most:
                raise self._behind().error(f"the run has not ended after {most} cycles: the core goes on for ever")

    def _behind(self) -> Source:
        """What has got least far."""
        sources: list[Source] = [*self.traces, self.output]
        return min(sources, key=lambda source: source.finished)

    def _sampled_ports(self) -> list[Any]:
        core = self.core
        ports = [core.i.valid & core.i.ready, core.o.valid & core.o.ready, core.o.payload.as_value()]
        for monitor in self.monitors:
            trace = getattr(core, f"trace{monitor.port}")
            ports += [trace.valid, trace.neuron, trace.membrane, trace.spike]
        return ports

    def _record(self, cycle: int, values: list[int]) -> None:
        """Take one clock edge's values."""
        accepted, emitted, payload = values[:3]
        if accepted and self.first_token < 0:
            self.first_token = cycle
        if emitted and self.output.token(payload) and self.output.place[1] == 0:
            self.last_end = cycle
            if self.progress is not None:
                self.progress(self.output.place[0], self.output.samples)
        for index, monitor in enumerate(self.monitors):
            valid, number, membrane, spike = values[3 + 4 * index : 7 + 4 * index]
            if valid:
                monitor.beat(number, membrane, spike)


async def _wait(context: SimulatorContext, cycles: int) -> None:
    """Plain ticks: a simulation that ends early leaves no generator behind, as `repeat` would."""
    for _ in range(cycles):
        await context.tick()

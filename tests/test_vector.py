"""The vector engine equals the integer reference, spike for spike and membrane for membrane, whatever its folding."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator, SimulatorContext
from golden import GoldenCase, golden_cases
from networks import chain, random_spikes
from spikeloom.compiler.encode_vector import decode_vector, encode_vector, pack_events
from spikeloom.compiler.ir import INPUT, Kind, Network, ResetMode, ResetPlace
from spikeloom.compiler.plan_neurons import plan_neurons
from spikeloom.hdl.beats import BeatPacker, BeatUnpacker
from spikeloom.hdl.dual_port import DualPortMemory, DualPortShape
from spikeloom.hdl.memory import Family
from spikeloom.hdl.tokens import TokenKind, beat_layout, token_layout
from spikeloom.hdl.vector import VectorEngine, VectorFormat, VectorImage
from spikeloom.sim.reference import run_reference

HANG = 2000
LIVELY: dict[str, object] = {"fire": 14, "sub": 15}


@dataclass(frozen=True)
class Fold:
    """How every engine of a chain is folded; lanes None is one for each neuron."""

    lanes: int | None = None
    banks: int = 1
    ports: int = 1
    neurons_per_cycle: int = 1
    wide: bool = False


def encoded(network: Network, number: int, fold: Fold) -> tuple[VectorFormat, VectorImage]:
    """The engine of the population that hears the one before it, or the input, by one projection."""
    population = network.populations[number]
    (projection,) = network.projections_into(population.name)
    shift = projection.shift
    neurons, parameters = plan_neurons(network, [population], projection.weights.bits, [shift], overlaps=False)
    return encode_vector(
        projection.weights.codes,
        neurons,
        parameters,
        lanes=fold.lanes or population.size,
        x_max=network.x_max if projection.pre == INPUT else 1,
        banks=fold.banks,
        ports=fold.ports,
        neurons_per_cycle=fold.neurons_per_cycle,
        wide_output=fold.wide and number + 1 < len(network.populations),
    )


class Chain(wiring.Component):
    """Engines in a row, tokens between them unless the next one takes beats; `monitors` [engine][slot]."""

    def __init__(self, engines: Sequence[tuple[VectorFormat, VectorImage]], family: Family) -> None:
        self.forms = [form for form, _ in engines]
        self.engines = [VectorEngine(form, image, family) for form, image in engines]
        self.monitors = [
            [getattr(engine, f"trace{slot}") for slot in range(form.neurons_per_cycle)]
            for engine, form in zip(self.engines, self.forms, strict=True)
        ]
        super().__init__(
            {
                "i": In(stream.Signature(self.forms[0].input_layout)),
                "o": Out(stream.Signature(self.forms[-1].output_layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = wiring.flipped(self.i)
        for number, (engine, form) in enumerate(zip(self.engines, self.forms, strict=True)):
            m.submodules[f"engine{number}"] = engine
            if number and form.slots > 1 and not self.forms[number - 1].wide_output:
                m.submodules[f"packer{number}"] = packer = BeatPacker(form.pre, form.slots, form.banks)
                wiring.connect(m, source, packer.i)
                source = packer.o
            wiring.connect(m, source, engine.i)
            source = engine.o
        wiring.connect(m, source, wiring.flipped(self.o))
        return m


@dataclass(frozen=True)
class Run:
    """What came out of a chain: `spikes` and `membranes` [engine][sample, step, neuron], `output` events, `cycles`."""

    spikes: list[np.ndarray]
    membranes: list[np.ndarray]
    output: np.ndarray
    cycles: int


def run(
    network: Network,
    spikes: np.ndarray,
    folds: Sequence[Fold],
    *,
    family: Family = Family.ECP5,
    stress: int | None = None,
    abort: int | None = None,
) -> Run:
    """Simulate a chain on `spikes` [samples, steps, inputs]; `abort` sends half of that sample and aborts it first."""
    engines = [encoded(network, number, fold) for number, fold in enumerate(folds)]
    return simulate(Chain(engines, family), spikes, stress, abort)


def simulate(dut: Chain, spikes: np.ndarray, stress: int | None = None, abort: int | None = None) -> Run:
    samples, steps, _ = spikes.shape
    shapes = [(samples, steps, form.neurons.neurons) for form in dut.forms]
    traced = [np.zeros(shape, np.int64) for shape in shapes]
    membranes = [np.zeros(shape, np.int64) for shape in shapes]
    output = np.zeros(shapes[-1], np.int64)
    rng = random.Random(stress)
    payloads = stimulus(dut.forms[0], spikes, abort, None if stress is None else rng)
    times: list[int] = []

    async def drive(context: SimulatorContext) -> None:
        for payload in payloads:
            while stress is not None and rng.random() < 0.3:
                await context.tick()
            context.set(dut.i.payload.as_value(), payload)
            context.set(dut.i.valid, 1)
            while not (await context.tick().sample(dut.i.ready))[-1]:
                pass
            context.set(dut.i.valid, 0)

    async def watch(context: SimulatorContext) -> None:
        place = cycle = quiet = 0
        while place < samples * steps:
            ready = stress is None or rng.random() < 0.6
            context.set(dut.o.ready, ready)
            _, _, valid, payload = await context.tick().sample(dut.o.valid, dut.o.payload)
            cycle += 1
            quiet += 1
            assert quiet < HANG, "the chain hangs"
            if not (valid and ready):
                continue
            quiet = 0
            if payload.kind == TokenKind.ABORT:
                sample = place // steps
                output[sample] = 0
                place = sample * steps
            elif payload.kind == TokenKind.EVENT:
                output.reshape(-1, shapes[-1][-1])[place, payload.address] += 1
            else:
                place += 1
                expected = TokenKind.END_OF_STEP if place % steps else TokenKind.END_OF_SAMPLE
                assert payload.kind == expected, f"the end of step {place - 1}"
                times.append(cycle)

    def monitor(engine: int) -> object:
        form = dut.forms[engine]
        ports = [
            port for trace in dut.monitors[engine] for port in (trace.valid, trace.neuron, trace.membrane, trace.spike)
        ]

        async def record(context: SimulatorContext) -> None:
            neurons = form.neurons.neurons
            beats = 0
            async for _, _, *values in context.tick().sample(*ports):
                for valid, neuron, membrane, spike in zip(*[iter(values)] * 4, strict=True):
                    if not valid:
                        continue
                    place, index = divmod(beats, neurons)
                    assert neuron == index
                    traced[engine].reshape(-1, neurons)[place % (samples * steps), neuron] = spike
                    membranes[engine].reshape(-1, neurons)[place % (samples * steps), neuron] = membrane
                    beats += 1

        return record

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive, background=True)
    simulator.add_testbench(watch)
    for engine in range(len(dut.forms)):
        simulator.add_testbench(monitor(engine), background=True)
    simulator.run()
    return Run(spikes=traced, membranes=membranes, output=output, cycles=times[-1])


def stimulus(form: VectorFormat, spikes: np.ndarray, abort: int | None, rng: random.Random | None) -> list[int]:
    """The payloads of all samples; with `rng`, the events of a step in random order."""
    payloads: list[int] = []

    def sample(steps: np.ndarray, last: TokenKind) -> None:
        for number, counts in enumerate(steps):
            addresses = np.repeat(np.arange(counts.size), counts).tolist()
            if rng is not None:
                rng.shuffle(addresses)
            payloads.extend(pack_events(form, addresses))
            payloads.append((last if number == len(steps) - 1 else TokenKind.END_OF_STEP).value)

    for number, steps in enumerate(spikes):
        if number == abort:
            sample(steps[: len(steps) // 2], TokenKind.ABORT)
        sample(steps, TokenKind.END_OF_SAMPLE)
    return payloads


def assert_equal(network: Network, spikes: np.ndarray, got: Run) -> None:
    expected = run_reference(network, spikes, membranes=True)
    for number, population in enumerate(network.populations):
        recorded = expected.populations[population.name]
        np.testing.assert_array_equal(got.membranes[number], recorded.membranes)
        np.testing.assert_array_equal(got.spikes[number], recorded.spikes)
    np.testing.assert_array_equal(got.output, expected.spikes)


def samples(network: Network, seed: int = 0) -> np.ndarray:
    """Three samples, of which the middle one is empty."""
    spikes = random_spikes(seed, network, samples=3, steps=5, rate=0.6)
    spikes[1] = 0
    return spikes


NETWORKS = {
    "same subtract": chain(1, (9, 7, 5), **LIVELY, reset_place=ResetPlace.SAME),
    "same value": chain(2, (9, 7, 5), **LIVELY, reset_place=ResetPlace.SAME, reset_mode=ResetMode.VALUE, v_reset=3),
    "next subtract": chain(13, (9, 7, 5), **LIVELY, reset_place=ResetPlace.NEXT),
    "next value": chain(4, (9, 7, 5), **LIVELY, reset_place=ResetPlace.NEXT, reset_mode=ResetMode.VALUE, v_reset=-2),
    "snntorch same": chain(5, (9, 7, 5), **LIVELY, reset_place=ResetPlace.SNNTORCH_SAME),
    "IF": chain(6, (9, 7, 5), **LIVELY, kind=Kind.IF, decay=None, reset_place=ResetPlace.SAME),
    "saturating": chain(7, (9, 7), state_bits=6, fire=np.full(7, 30), sub=np.full(7, 31)),
    "one neuron": chain(13, (1, 1, 1), fire=3, sub=4),
}

FOLDS = {
    "one event": [Fold(), Fold()],
    "rows of two beats": [Fold(lanes=4, neurons_per_cycle=2), Fold(lanes=3)],
    "two banks": [Fold(banks=2, neurons_per_cycle=3), Fold(banks=2)],
    "three banks": [Fold(banks=3, neurons_per_cycle=16), Fold()],
    "two ports": [Fold(ports=2, neurons_per_cycle=4), Fold(ports=2)],
    "beats between": [Fold(lanes=4, banks=2, ports=2, neurons_per_cycle=3, wide=True), Fold(banks=3)],
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stress", [None, 3])
def test_every_reset_rule_equals_the_reference(name: str, stress: int | None) -> None:
    network = NETWORKS[name]
    spikes = samples(network)
    fold = Fold(lanes=4, neurons_per_cycle=2)
    assert_equal(network, spikes, run(network, spikes, [fold] * len(network.populations), stress=stress))


@pytest.mark.parametrize("name", FOLDS)
@pytest.mark.parametrize("stress", [None, 4])
def test_every_folding_equals_the_reference(name: str, stress: int | None) -> None:
    for network in (NETWORKS["next subtract"], NETWORKS["one neuron"]):
        spikes = samples(network, 2)
        assert_equal(network, spikes, run(network, spikes, FOLDS[name], stress=stress))

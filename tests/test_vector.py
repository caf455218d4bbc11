"""The vector engine equals the integer reference, spike for spike and membrane for membrane, whatever its folding."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator, SimulatorContext
from decoding import decode_vector
from golden import GoldenCase, golden_cases
from networks import chain, random_spikes
from spikeloom.compiler.encodings.row_weights import RowWeights
from spikeloom.compiler.encodings.vector import encode_vector, pack_beats
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import Kind, ResetMode, ResetPlace
from spikeloom.compiler.plan.neurons import plan_neurons
from spikeloom.hdl.emit.emit import cells_sim, netlist_from_rtlil, to_rtlil
from spikeloom.hdl.engines.vector import VectorContents, VectorEngine, VectorFormat
from spikeloom.hdl.memories.dual_port import DualPortMemory, DualPortShape
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.streams.beats import BeatPacker, BeatUnpacker
from spikeloom.hdl.streams.tokens import TokenKind, beat_layout
from spikeloom.sim.reference import run_reference

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

HANG = 2000
"""Cycles without an output after which a chain counts as hung."""

LIVELY: dict[str, object] = {"fire": 14, "sub": 15}


@dataclass(frozen=True)
class Fold:
    """How every engine of a chain is folded; lanes None is one for each neuron."""

    lanes: int | None = None
    banks: int = 1
    ports: int = 1
    neurons_per_cycle: int = 1


def encoded(network: Network, number: int, fold: Fold) -> tuple[VectorFormat, VectorContents]:
    """The engine of the population that hears the one before it, or the input, by one projection."""
    population = network.populations[number]
    (projection,) = network.projections_into(population.name)
    shift = projection.shift
    neurons, parameters = plan_neurons(network, [population], projection.weights.bits, [shift], overlaps=False)
    return encode_vector(
        RowWeights.of(projection.weights.codes),
        neurons,
        parameters,
        lanes=fold.lanes or population.size,
        x_max=network.x_max if projection.pre == INPUT else 1,
        banks=fold.banks,
        ports=fold.ports,
        neurons_per_cycle=fold.neurons_per_cycle,
    )


class Chain(wiring.Component):
    """Engines in a row, packers before those that take beats; `monitors` [engine][slot]."""

    def __init__(self, engines: Sequence[tuple[VectorFormat, VectorContents]], family: Family) -> None:
        self.forms = [form for form, _ in engines]
        self.engines = [VectorEngine(form, contents, family) for form, contents in engines]
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
            if number and form.slots > 1:
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
            payloads.extend(pack_beats(form.beats, addresses))
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
    "banks of ports": [Fold(lanes=4, banks=2, ports=2, neurons_per_cycle=3), Fold(banks=4)],
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


@pytest.mark.parametrize("folds", FOLDS.values(), ids=FOLDS)
def test_an_aborted_sample_leaves_nothing_behind(folds: list[Fold]) -> None:
    network = NETWORKS["snntorch same"]
    spikes = random_spikes(3, network, samples=2, steps=4, rate=0.7)
    got = run(network, spikes, folds, stress=6, abort=1)
    np.testing.assert_array_equal(got.output, run_reference(network, spikes).spikes)


def test_repeated_events_of_an_input_add_up() -> None:
    network = NETWORKS["next subtract"]
    loud = Network(
        input_shape=network.input_shape,
        populations=network.populations,
        projections=network.projections,
        output=network.output,
        x_max=5,
    )
    spikes = random_spikes(8, loud, samples=2, steps=4)
    assert spikes.max() > 2
    assert_equal(loud, spikes, run(loud, spikes, FOLDS["two banks"], stress=1))


def test_ice40_has_no_dual_port_but_everything_else() -> None:
    network = NETWORKS["same value"]
    spikes = samples(network)
    assert_equal(network, spikes, run(network, spikes, FOLDS["two banks"], family=Family.ICE40, stress=2))
    with pytest.raises(ValueError, match="ice40 has no block RAM with two read ports; use one port"):
        run(network, spikes, FOLDS["two ports"], family=Family.ICE40)


GOLDEN = [
    case for case in golden_cases() if not case.needs & {"recurrence", "delays"} and len(case.network.projections) == 1
]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_golden_cases(case: GoldenCase) -> None:
    fold = Fold(lanes=-(-case.network.populations[0].size // 2), banks=2, neurons_per_cycle=3)
    got = run(case.network, case.spikes, [fold], stress=9)
    for name, (spikes, membranes) in case.expected.items():
        assert name == case.network.output
        np.testing.assert_array_equal(got.spikes[0], spikes)
        np.testing.assert_array_equal(got.membranes[0], membranes)
        np.testing.assert_array_equal(got.output, spikes)


def test_a_step_takes_the_longer_of_its_events_and_the_pass() -> None:
    network = chain(4, (20, 12), **LIVELY, reset_place=ResetPlace.SAME)
    steps = 12

    def cycles_per_step(events: int, fold: Fold) -> float:
        spikes = np.zeros((1, steps, 20), np.uint8)
        spikes[:, :, :events] = 1
        short = run(network, spikes[:, : steps // 2], [fold])
        return (run(network, spikes, [fold]).cycles - short.cycles) / (steps - steps // 2)

    assert cycles_per_step(20, Fold(neurons_per_cycle=4)) == 20 + 1
    assert cycles_per_step(20, Fold(lanes=6, neurons_per_cycle=4)) == 2 * 20 + 1
    assert cycles_per_step(0, Fold()) == 12 + 3
    assert cycles_per_step(0, Fold(banks=2, ports=2, neurons_per_cycle=2)) == 6 + 3 + 2


@pytest.mark.parametrize("fold", [Fold(), Fold(lanes=4), Fold(banks=3), Fold(banks=2, ports=2, lanes=2)])
def test_weights_are_read_back(fold: Fold) -> None:
    network = NETWORKS["next value"]
    form, contents = encoded(network, 0, fold)
    np.testing.assert_array_equal(decode_vector(form, contents), network.projections[0].weights.codes)
    assert all(len(words) <= form.weight_memory(Family.ECP5).depth for words in contents.weights)


def test_events_are_packed_into_the_fewest_beats() -> None:
    form, _ = encoded(NETWORKS["IF"], 0, Fold(banks=2, ports=2))
    layout = form.input_layout

    def beats(addresses: list[int]) -> list[set[int]]:
        views = [layout.from_bits(payload) for payload in pack_beats(form.beats, addresses)]
        assert all(view.kind == TokenKind.EVENT for view in views)
        return [{view.rows[slot] * 2 + slot % 2 for slot in range(4) if view.mask >> slot & 1} for view in views]

    assert beats([]) == []
    assert beats([0, 1, 2, 3]) == [{0, 1, 2, 3}]
    assert [len(beat) for beat in beats([0, 2, 4, 6, 8])] == [2, 2, 1]
    assert len(beats([5, 5, 5])) == 2
    assert pack_beats(encoded(NETWORKS["IF"], 0, Fold())[0].beats, [7]) == [7 << 2]


def test_blocks_are_known_before_any_tool_runs() -> None:
    mnist = chain(0, (784, 128))
    form, _ = encoded(mnist, 0, Fold(ports=2, neurons_per_cycle=4))
    assert form.weight_memory(Family.ECP5).brams == 29
    assert {role: shape.brams for role, shape in form.memories(Family.ECP5).items()} == {
        "weights0": 29,
        "state": 0,
        "parameters": 0,
    }
    form, _ = encoded(mnist, 0, Fold(banks=3, neurons_per_cycle=4))
    assert [form.memories(Family.ECP5)[f"weights{bank}"].brams for bank in range(3)] == [15, 15, 15]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 0}, "lanes of a vector engine is at least 1: got 0"),
        ({"banks": 0}, "banks of a vector engine is at least 1: got 0"),
        ({"neurons_per_cycle": 0}, "neurons_per_cycle of a vector engine is at least 1: got 0"),
        ({"pre": 0}, "pre of a vector engine is at least 1: got 0"),
        ({"ports": 3}, "a bank is read through 1 or 2 ports: got 3"),
        ({"lanes": 3}, "power of two of beats: 3 lanes read 7 weights in 3; choose another number of lanes"),
    ],
)
def test_impossible_formats_are_refused(changes: dict[str, int], message: str) -> None:
    form, _ = encoded(NETWORKS["IF"], 0, Fold())
    with pytest.raises(ValueError, match=message):
        replace(form, **changes)


def test_a_vector_engine_has_one_population() -> None:
    form, _ = encoded(NETWORKS["IF"], 0, Fold())
    with pytest.raises(ValueError, match="a vector engine has one population: got 2"):
        replace(form, neurons=replace(form.neurons, populations=form.neurons.populations * 2))


@pytest.mark.parametrize(("depth", "width", "columns"), [(784, 512, 29), (1024, 18, 1), (1025, 18, 2), (3000, 9, 3)])
def test_dual_port_blocks(depth: int, width: int, columns: int) -> None:
    assert DualPortShape(Family.ECP5, depth, width).brams == columns


@pytest.mark.parametrize("depth", [0, 16385])
def test_impossible_dual_port_memories_are_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=f"read-only and has 1 to 16384 words: got {depth}"):
        DualPortShape(Family.ECP5, depth, 8)
    with pytest.raises(ValueError, match="a memory of 2 words cannot hold 3"):
        DualPortMemory(DualPortShape(Family.ECP5, 2, 8), [1, 2, 3])


def test_both_ports_read_while_enabled() -> None:
    rng = random.Random(1)
    words = [rng.getrandbits(40) for _ in range(50)]
    dut = DualPortMemory(DualPortShape(Family.ECP5, 60, 40), words)

    async def check(context: SimulatorContext) -> None:
        for _ in range(100):
            addresses = rng.randrange(50), rng.randrange(50)
            context.set(dut.address0, addresses[0])
            context.set(dut.address1, addresses[1])
            context.set(dut.enable, 1)
            await context.tick()
            context.set(dut.enable, 0)
            context.set(dut.address0, 0)
            await context.tick()
            assert (context.get(dut.data0), context.get(dut.data1)) == tuple(words[address] for address in addresses)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(check)
    simulator.run()


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_unpacked_beats_are_tokens(slots: int) -> None:
    rng = random.Random(slots)
    dut = BeatUnpacker(20, slots)
    layout = beat_layout(20, slots)
    sent: list[tuple[TokenKind, int]] = []
    got: list[tuple[TokenKind, int]] = []
    beats = []
    for _ in range(60):
        mask, row = rng.getrandbits(slots), rng.randrange(-(-20 // slots) - 1)
        kind = TokenKind.EVENT if mask else TokenKind.END_OF_STEP
        beats.append(layout.const({"kind": kind, "mask": mask, "rows": [row] * slots}).as_bits())
        sent += [(kind, row * slots + slot) for slot in range(slots) if mask >> slot & 1] or [(kind, -1)]

    async def drive(context: SimulatorContext) -> None:
        for payload in beats:
            while rng.random() < 0.2:
                await context.tick()
            context.set(dut.i.payload.as_value(), payload)
            context.set(dut.i.valid, 1)
            while not (await context.tick().sample(dut.i.ready))[-1]:
                pass
            context.set(dut.i.valid, 0)

    async def watch(context: SimulatorContext) -> None:
        while len(got) < len(sent):
            ready = rng.random() < 0.7
            context.set(dut.o.ready, ready)
            _, _, valid, payload = await context.tick().sample(dut.o.valid, dut.o.payload)
            if valid and ready:
                got.append((payload.kind, payload.address if payload.kind == TokenKind.EVENT else -1))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    assert got == sent


def test_impossible_beats_are_refused() -> None:
    with pytest.raises(ValueError, match="power of two of banks: got 3; send beats instead"):
        BeatPacker(20, 3, 3)
    for slots, banks in ((3, 2), (0, 1), (2, 0)):
        with pytest.raises(ValueError, match=f"got {slots} slots for {banks} banks"):
            beat_layout(20, slots, banks)


BENCH = """
`timescale 1ns/1ps
module bench;
    reg clk = 0, rst = 0, enable = 1;
    reg [{address}:0] address0, address1;
    wire [{data}:0] data0, data1;
    integer step;
    always #5 clk = !clk;
    top top(
        .clk(clk), .rst(rst), .enable(enable), .address0(address0), .address1(address1), .data0(data0), .data1(data1)
    );
    initial begin
        for (step = 0; step <= {words}; step = step + 1) begin
            address0 = step;
            address1 = {words} - 1 - step;
            @(negedge clk) if (step < {words}) $display("%h %h", data0, data1);
        end
        $finish;
    end
endmodule
"""


@pytest.mark.parametrize(("words", "width"), [(900, 20), pytest.param(1500, 20, marks=pytest.mark.slow)])
def test_a_synthesised_dual_port_memory_reads_the_same_words(words: int, width: int, tmp_path: Path) -> None:
    rng = random.Random(words)
    content = [rng.getrandbits(width) for _ in range(words)]
    dut = DualPortMemory(DualPortShape(Family.ECP5, words, width), content)
    il, netlist, bench, program = (tmp_path / name for name in ("top.il", "netlist.v", "bench.v", "bench"))
    il.write_text(to_rtlil(dut, "top"), encoding="utf-8")
    netlist_from_rtlil(il, netlist, "ecp5", "top", tmp_path / "log")
    text = netlist.read_text(encoding="utf-8")
    assert text.count("DP16KD #(") == DualPortShape(Family.ECP5, words, width).brams
    bench.write_text(BENCH.format(address=(words - 1).bit_length() - 1, data=width - 1, words=words), encoding="utf-8")
    sources = [bench, netlist, *cells_sim("ecp5").sources]
    subprocess.run(["iverilog", "-g2012", "-o", program, *sources], check=True)
    printed = subprocess.run(["vvp", program], check=True, capture_output=True, text=True).stdout
    pairs = [tuple(int(word, 16) for word in line.split()) for line in printed.splitlines()]
    assert pairs == list(zip(content, reversed(content), strict=True))

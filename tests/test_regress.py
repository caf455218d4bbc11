"""The regression of a build folder: what passes, what it catches, where it says that a fault is, what it leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import chain, random_spikes
from recordings import compare_recordings
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import Network, Population, Projection
from spikeloom.compiler.ir.neurons import IntegerDynamics, ResetPlace
from spikeloom.hdl.errors import InputError, MismatchError, SampleError, ToolError
from spikeloom.sim import verilog_executor
from spikeloom.sim.reference import run_reference
from spikeloom.sim.regress import regress, regress_core
from spikeloom.sim.verilog_executor import core_in, emit_core

NETWORK = chain(1, (9, 7, 5), reset_place=ResetPlace.SAME, fire=14, sub=15)
SPIKES = random_spikes(2, NETWORK, samples=3, steps=5, rate=0.6)


def write_cores(network: Network, folder: Path, family: str = "ice40") -> Path:
    """What a build folder holds for the regression."""
    folder.mkdir(parents=True, exist_ok=True)
    for traced in (True, False):
        emit_core(network, family, core_in(folder, traced))
    return folder


@pytest.fixture(scope="module")
def cores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cores(NETWORK, tmp_path_factory.mktemp("a folder") / "with spaces")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the regression makes its own folders."""
    folder = tmp_path / "temporary files"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_correct_core_passes_and_leaves_nothing_behind(cores: Path, temporary: Path) -> None:
    before = sorted(path.name for path in cores.iterdir())
    seen: list[tuple[int, int]] = []
    for _ in range(2):  # the second run goes over the first
        result = regress(NETWORK, cores, SPIKES, progress=lambda done, total: seen.append((done, total)))
    assert (result.samples, result.steps) == (3, 5)
    assert result.spikes_compared == 3 * 5 * (7 + 5 + 5)
    assert result.membranes_compared == 3 * 5 * (7 + 5)
    assert len(result.cycles) == 3
    assert min(result.cycles) > 5 * 7
    assert seen[-1] == (30, 30)  # steps of both cores
    assert [done for done, _ in seen].count(30) == 2
    assert not list(temporary.iterdir())
    assert sorted(path.name for path in cores.iterdir()) == before


def test_the_netlist_passes(cores: Path) -> None:
    result = regress(NETWORK, cores, SPIKES[:2], level="netlist")
    assert result.level == "netlist"
    assert (result.spikes_compared, result.membranes_compared) == (2 * 5 * 17, 2 * 5 * 12)


def test_waveforms_are_written_where_they_are_asked_for(cores: Path, tmp_path: Path) -> None:
    result = regress(NETWORK, cores, SPIKES[:1], waves=tmp_path / "new" / "run.fst")
    assert [file.name for file in result.waves] == ["run.fst", "run-shipped.fst"]
    assert all(file.stat().st_size > 1000 for file in result.waves)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_many_samples_pass(cores: Path, simulator: str) -> None:
    spikes = random_spikes(3, NETWORK, samples=40, steps=10, rate=0.5)
    assert regress(NETWORK, cores, spikes, simulator=simulator).samples == 40


@pytest.mark.slow
def test_verilator_writes_waveforms_or_says_what_it_lacks(cores: Path, tmp_path: Path) -> None:
    waves = tmp_path / "waves.fst"
    try:
        regress(NETWORK, cores, SPIKES[:1], simulator="verilator", waves=waves)
    except ToolError as error:
        assert re.search(r"Verilator's waveforms need the C header \w+\.h; install it", str(error))
    else:
        assert waves.stat().st_size > 1000


def test_verilator_refuses_a_folder_with_spaces(cores: Path, temporary: Path) -> None:
    with pytest.raises(ToolError, match=r"break paths at spaces: .*temporary files; use icarus"):
        regress(NETWORK, cores, SPIKES, simulator="verilator")


# ---------------------------------------------------------------------------------------------------- what it catches


def expected_place(changed: Network) -> str:
    """Where the first spike or membrane of another network differs."""
    expected, got = (run_reference(network, SPIKES, membranes=True) for network in (NETWORK, changed))
    divergence = compare_recordings(expected, got)
    assert divergence is not None
    return divergence.describe(NETWORK.populations[divergence.population].name)


def with_weight(network: Network, projection: int, pre: int, post: int, code: int) -> Network:
    original = network.projections[projection]
    assert isinstance(original.weights, Quantised)
    codes = original.weights.codes.copy()
    assert codes[pre, post] not in (0, code)
    codes[pre, post] = code
    changed = replace(original, connectivity=Dense(weights=replace(original.weights, codes=codes)))
    return replace(network, projections=tuple(changed if p is original else p for p in network.projections))


def with_lower_thresholds(network: Network) -> Network:
    """`>=` in place of `>`: fire lower by one, what a spike subtracts unchanged."""

    def lowered(population: Population) -> Population:
        assert isinstance(population.dynamics, IntegerDynamics)
        return replace(population, dynamics=replace(population.dynamics, fire=population.dynamics.fire - 1))

    return replace(network, populations=tuple(lowered(population) for population in network.populations))


@pytest.mark.parametrize("projection", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_wrong_weight_is_caught_and_named(tmp_path: Path, projection: int) -> None:
    codes = NETWORK.projections[projection].weights.codes  # type: ignore[union-attr]
    pre, post = (int(index) for index in np.argwhere(codes > 1)[3])
    changed = with_weight(NETWORK, projection, pre, post, 1)
    folder = write_cores(changed, tmp_path)
    with pytest.raises(MismatchError, match=re.escape(f"traced core, {expected_place(changed)}")):
        regress(NETWORK, folder, SPIKES)


def test_a_comparison_changed_in_the_verilog_is_caught_and_named(cores: Path, tmp_path: Path) -> None:
    text = (cores / "core_traced.v").read_text(encoding="utf-8")
    changed, count = re.subn(r"(= \$signed\(\w+\)) > (\$signed\((?:\{ 1'h0, )?\\?read_data)", r"\1 >= \2", text)
    assert count
    (tmp_path / "core_traced.v").write_text(changed, encoding="utf-8")
    place = expected_place(with_lower_thresholds(NETWORK))
    assert "spike expected 0, got 1" in place
    with pytest.raises(MismatchError, match=re.escape(f"traced core, {place}")):
        regress(NETWORK, tmp_path, SPIKES)


@pytest.mark.slow
def test_the_netlist_of_another_network_is_caught(tmp_path: Path) -> None:
    changed = with_lower_thresholds(NETWORK)
    folder = write_cores(changed, tmp_path)
    with pytest.raises(MismatchError, match=re.escape(expected_place(changed))):
        regress(NETWORK, folder, SPIKES, level="netlist")


WRAPPER = """
module spikeloom_core(
    input clk, rst, i__valid, o__ready, input [5:0] i__payload,
    output i__ready, o__valid, output [4:0] o__payload
);
    wire inner_ready, inner_valid;
    wire [4:0] inner_payload;
    reg [9:0] tokens = 0;
    reg [9:0] since = 0;
    reg [3:0] samples = 0;
    reg used = 0;
    always @(posedge clk) if (i__valid && i__ready) used <= 1;
    always @(posedge clk) tokens <= rst ? 0 : tokens + (o__valid && o__ready);
    always @(posedge clk) samples <= rst ? 0 : samples + (o__valid && o__ready && o__payload[1:0] == 2);
    always @(posedge clk) since <= samples == 3 ? since + 1 : 0;
    shipped inner(
        .clk(clk), .rst(%(rst)s), .i__valid(%(offer)s), .i__ready(inner_ready), .i__payload(i__payload),
        .o__valid(inner_valid), .o__ready(o__ready), .o__payload(inner_payload)
    );
    assign i__ready = %(ready)s;
    assign o__valid = %(valid)s;
    assign o__payload = %(payload)s;
endmodule
"""
HEALTHY = {
    "rst": "rst",
    "offer": "i__valid",
    "ready": "inner_ready",
    "valid": "inner_valid",
    "payload": "inner_payload",
}
FAULTS = {
    "keeps state over a reset": ({"rst": "rst && !used"}, r"sample 0, step \d"),
    "deaf": ({"ready": "1'b0"}, r"sample 0, step 0, the output stream: nothing has moved for \d+ cycles.*hangs"),
    "deaf to aborts": (
        {"offer": "i__valid && i__payload[1:0] != 3", "ready": "inner_ready || i__payload[1:0] == 3"},
        r"sample 1, step \d, population 'p1', neuron \d: output events expected \d, got \d",
    ),
    "mute": ({"valid": "inner_valid && tokens < 12"}, r"sample \d, step \d, the output stream: .* the core hangs"),
    "unknown": ({"valid": "tokens == 2 ? 1'bx : inner_valid"}, r"a port has no known value: o__valid is X"),
    "unknown payload": ({"payload": "5'bx"}, r"a port has no known value: o__payload is XXXXX"),
    "talkative": ({"valid": "1'b1", "payload": "inner_valid ? inner_payload : 5'd2"}, r"the output stream: expected"),
    "never done": ({"valid": "inner_valid || since == 200"}, r"an extra \w+ token follows the last sample"),
    "wrong address": (
        {"payload": "inner_payload ^ (inner_payload[1:0] == 0 ? 5'd4 : 5'd0)"},
        r"sample 0, step \d, population 'p1', neuron \d: output events expected \d, got \d",
    ),
    "out of range": ({"payload": "inner_payload | (inner_payload[1:0] == 0 ? 5'd28 : 5'd0)"}, r"0 to 4, got neuron 7"),
}


def wrap_shipped(cores: Path, folder: Path, changes: dict[str, str]) -> None:
    """The shipped core inside one that changes what passes through it."""
    text = (cores / "core.v").read_text(encoding="utf-8")
    inner = re.sub(r"\bmodule spikeloom_core\b(?!\.)", "module shipped", text, count=1)
    assert inner != text
    (folder / "core.v").write_text(inner + WRAPPER % {**HEALTHY, **changes}, encoding="utf-8")


def test_the_address_of_an_end_means_nothing(cores: Path, tmp_path: Path) -> None:
    unknown = "inner_payload[1:0] == 0 ? inner_payload : {3'bx1x, inner_payload[1:0]}"
    wrap_shipped(cores, tmp_path, {"payload": unknown})
    expected = run_reference(NETWORK, SPIKES, membranes=True)
    run = regress_core(NETWORK, tmp_path, SPIKES, expected, traced=False)
    assert np.array_equal(run.events, expected.spikes)


RARE = ("unknown payload", "out of range", "talkative")
"""Faults that are left to the slow tests."""


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=pytest.mark.slow) if fault in RARE else fault for fault in FAULTS]
)
def test_a_shipped_core_with_a_fault_is_caught(cores: Path, tmp_path: Path, fault: str) -> None:
    changes, message = FAULTS[fault]
    wrap_shipped(cores, tmp_path, changes)
    expected = run_reference(NETWORK, SPIKES, membranes=True)
    with pytest.raises(MismatchError, match=message) as failure:
        regress_core(NETWORK, tmp_path, SPIKES, expected, traced=False)
    assert str(failure.value).startswith("sample ")
    assert "\n" not in str(failure.value)


def test_a_membrane_that_moves_no_spike_is_compared(cores: Path) -> None:
    expected = run_reference(NETWORK, SPIKES, membranes=True)
    membranes = expected.populations["p1"].membranes
    assert membranes is not None
    membranes[2, 4, 3] += 1
    with pytest.raises(
        MismatchError, match=r"sample 2, step 4, population 'p1', neuron 3: membrane expected -?\d+, got"
    ):
        regress_core(NETWORK, cores, SPIKES, expected, traced=True)


PAUSED = """
    reg was = 0, paused = 0;
    always @(posedge clk) was <= i__valid && !rst;
    always @(posedge clk) paused <= !rst && (paused || (was && !i__valid));
endmodule
"""
"""Set by the first pause of the input after a token."""


@pytest.mark.parametrize("fault", ["loses what it says while the output stalls", "deaf after a pause"])
def test_the_regression_stalls_and_pauses(cores: Path, tmp_path: Path, fault: str) -> None:
    text = (cores / "core_traced.v").read_text(encoding="utf-8")
    start = re.search(r"^module spikeloom_core_traced\b", text, re.MULTILINE)
    assert start is not None
    before, (top, after) = text[: start.start()], text[start.start() :].split("endmodule\n", 1)
    if fault == "deaf after a pause":
        changed, count = re.subn(r"\(i__valid\)", "(i__valid && !paused)", top)
        changed += PAUSED
    else:
        changed, count = re.subn(r"\(o__ready\)", "(1'h1)", top)
        changed += "endmodule\n"
    assert count
    (tmp_path / "core_traced.v").write_text(before + changed + after, encoding="utf-8")
    expected = run_reference(NETWORK, SPIKES, membranes=True)
    with pytest.raises(MismatchError):
        regress_core(NETWORK, tmp_path, SPIKES, expected, traced=True)


def test_a_core_that_goes_on_for_ever_is_stopped(cores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events without end move all the time, so that it never counts as hung."""
    monkeypatch.setattr(verilog_executor, "run_cycles", lambda *_: 4000)
    wrap_shipped(cores, tmp_path, {"valid": "1'b1", "payload": "5'd8"})
    expected = run_reference(NETWORK, SPIKES, membranes=True)
    message = "sample 0, step 0, the output stream: the run has not ended after 4000 cycles: the core goes on for ever"
    with pytest.raises(MismatchError, match=f"^{message}$"):
        regress_core(NETWORK, tmp_path, SPIKES, expected, traced=False)


def test_the_bench_counts_what_it_compared(cores: Path) -> None:
    """Not what it might have: of a recording without membranes none are."""
    runs = [
        regress_core(NETWORK, cores, SPIKES[:1], run_reference(NETWORK, SPIKES[:1], membranes), traced=traced)
        for membranes, traced in ((True, True), (False, True), (True, False))
    ]
    assert [run.compared for run in runs] == [
        {"spike": 5 * 12, "membrane": 5 * 12, "output events": 5 * 5},
        {"spike": 5 * 12, "membrane": 0, "output events": 5 * 5},
        {"spike": 0, "membrane": 0, "output events": 5 * 5},
    ]


def test_the_waveforms_of_a_mismatch_are_named(tmp_path: Path) -> None:
    folder = write_cores(with_lower_thresholds(NETWORK), tmp_path / "cores")
    waves = tmp_path / "fault.fst"
    with pytest.raises(MismatchError, match=re.escape(f"; waveforms: {waves}")):
        regress(NETWORK, folder, SPIKES, waves=waves)
    assert waves.stat().st_size > 1000


# ------------------------------------------------------------------------------------------------------ bad input


def test_a_folder_without_cores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"core_traced\.v.*is missing; compile again"):
        regress(NETWORK, tmp_path, SPIKES)


def test_samples_of_another_shape_are_refused(cores: Path) -> None:
    with pytest.raises(SampleError, match=r"9 inputs\]: got \[3, 5, 8\]"):
        regress(NETWORK, cores, SPIKES[:, :, :8])


LONG_REGRESSION = """
import sys, tempfile
from pathlib import Path
tests, tempfile.tempdir, cores = sys.argv[1:]
sys.path.insert(0, tests)
from networks import random_spikes
from test_regress import NETWORK, regress
regress(NETWORK, Path(cores), random_spikes(0, NETWORK, samples=500, steps=20))
"""


def test_an_interrupted_regression_leaves_no_process_and_no_file(cores: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_REGRESSION, str(Path(__file__).parent), str(temporary), str(cores)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not list(temporary.glob("*/simulation.log")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait() != 0
    finally:
        process.kill()
    assert not list(temporary.iterdir())
    assert not [pid for pid in running_processes() if str(temporary) in pid]


def running_processes() -> list[str]:
    """The command lines of all processes."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has just ended
    return lines


def test_foreign_settings_of_cocotb_do_not_matter(cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCOTB_TEST_FILTER", "nothing")
    monkeypatch.setenv("WAVES", "1")
    monkeypatch.chdir(os.path.sep)
    assert regress(NETWORK, cores, SPIKES[:1]).samples == 1


def test_a_single_input_and_neuron_regress(tmp_path: Path) -> None:
    weights = Quantised(codes=np.array([[3]]), bits=3)
    network = Network(
        input_shape=(1,),
        populations=(
            Population(
                name="only\none",
                shape=(1,),
                dynamics=replace(NETWORK.populations[0].dynamics, fire=np.array(5), sub=np.array(5), fraction_bits=0),  # type: ignore[type-var]
            ),
        ),
        projections=(Projection(pre="input", post="only\none", connectivity=Dense(weights=weights)),),
        output="only\none",
    )
    result = regress(network, write_cores(network, tmp_path), np.ones((1, 4, 1), np.uint8))
    assert result.spikes_compared == 8

"""The command line: what a user sees, above all when something is wrong; and the whole way once with the real tools."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from spikeloom.boards.boards import BOARDS, find_board
from spikeloom.boards.clock import clocks_per_bit
from spikeloom.boards.host.facts import read_facts
from spikeloom.compiler import write_nir
from spikeloom.compiler.cli import simulate_command
from spikeloom.compiler.cli.interrupts import interruptible
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.cycles.count import busy_cycles
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.estimate.estimate import Estimate
from spikeloom.compiler.flow import compile as flow
from spikeloom.compiler.flow import measure, writing
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.output.build_folder import is_build, load_build_folder
from spikeloom.compiler.output.verified import Verification, keep_verification, verifications
from spikeloom.compiler.plan.folding import read_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import CapacityError, InputError, MismatchError, OptionError, SpikeloomError, ToolError
from spikeloom.hdl.link.protocol import LinkFormat
from spikeloom.hdl.resources import Resources
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference
from spikeloom.sim.simulate import EXECUTORS as EVERY_EXECUTOR

INPUTS, HIDDEN, OUTPUTS, STEPS = 8, 6, 3, 5


def small_network(hidden: int = HIDDEN) -> Network:
    rng = np.random.default_rng(7)
    dynamics = LIF(beta=np.array(0.875), threshold=np.array(1.0))
    sizes = {"hidden": (INPUT, INPUTS, hidden), "out": ("hidden", hidden, OUTPUTS)}
    return Network(
        input_shape=(INPUTS,),
        populations=tuple(Population(name=n, shape=(post,), dynamics=dynamics) for n, (_, _, post) in sizes.items()),
        projections=tuple(
            Projection(pre=pre, post=name, connectivity=Dense(weights=rng.normal(0.3, 0.4, (inputs, post))))
            for name, (pre, inputs, post) in sizes.items()
        ),
        output="out",
        name="small",
    )


def small_samples(count: int = 6) -> dict[str, Any]:
    rng = np.random.default_rng(8)
    spikes = (rng.random((count, STEPS, INPUTS)) < 0.4).astype(np.uint8)
    return {"spikes": spikes, "labels": rng.integers(0, OUTPUTS, count)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.nir"
    write_nir(small_network(), path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "samples.npz"
    np.savez_compressed(path, **small_samples())
    return path


TARGET = ("--board", "icebreaker", "--method", "magnitude", "--bits", "4", "--fire", "gt")
EXIT = ("--early-exit", "1")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build for the iCEBreaker with the real tools, in a folder with an awkward name, made by another process."""
    folder = tmp_path_factory.mktemp("größe 1")
    write_nir(small_network(), folder / "model ü.nir")
    np.savez_compressed(folder / "samples.npz", **small_samples())
    script = (
        "import sys; from spikeloom.compiler.cli.main import main; status = main(sys.argv[1:]); "
        "sys.exit(99 if 'torch' in sys.modules else status)"
    )
    argv = ["compile", "model ü.nir", *TARGET, *EXIT, "--data", "samples.npz", "--output", "o u t"]
    run = subprocess.run(
        [sys.executable, "-c", script, *argv],
        cwd=folder,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "\x1b" not in run.stdout and "Block RAMs" in run.stdout
    return folder / "o u t"


# ----------------------------------------------------------------------------------------------------- outside


COMMAND = str(Path(sys.executable).with_name("spikeloom"))
"""The installed command, which needs no activated environment."""


def test_help_and_version_load_nothing_heavy() -> None:
    script = (
        "import sys; from spikeloom.compiler.cli.main import main; main(['--help']); main(['compile', '--help']); "
        "print([m for m in ('torch', 'numpy', 'amaranth', 'rich', 'h5py') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    script = (
        "import sys; from spikeloom.compiler.cli.main import main; main(['boards']); "
        "print([m for m in ('torch', 'numpy', 'h5py') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    version = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, env={"PATH": "/bin"}, check=True)
    assert version.stdout.startswith("spikeloom 0.")


@pytest.mark.parametrize("argv", [["boards"], ["boards", "--json"]])
def test_a_reader_that_leaves_early_is_no_error(argv: list[str]) -> None:
    with subprocess.Popen([COMMAND, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() in (1, 128 + signal.SIGPIPE)  # rich prefers 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_compilation_leaves_nothing(model: Path, number: signal.Signals, status: int) -> None:
    argv = [COMMAND, "compile", str(model), "--board", "icebreaker", "--output", str(model.parent / "out")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("building"):
                break
        time.sleep(0.3)  # yosys is at work now
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait() == status
    assert "Traceback" not in rest
    assert [path.name for path in model.parent.iterdir()] == [model.name]


# ---------------------------------------------------------------------------------------------------- mistakes


def refused(capsys: pytest.CaptureFixture[str], argv: list[Any], status: int = 2) -> str:
    """The one line of an error."""
    assert main([str(argument) for argument in argv]) == status
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "error:" in line]
    assert len(lines) == 1 and "Traceback" not in captured.err and captured.out == ""
    return lines[0]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "COMMAND"),
        (["explode"], "invalid choice: 'explode'"),
        (["compile"], "required: MODEL"),
        (["compile", "m.nir", "--bits", "0", "--board", "icebreaker"], "--bits: must be 1 to 16: 0"),
        (["compile", "m.nir", "--bits", "x", "--board", "icebreaker"], "--bits: must be a whole number: 'x'"),
        (["compile", "m.nir", "--sparsity", "1.5", "--board", "icebreaker"], "--sparsity: must be 0 or more and"),
        (["compile", "m.nir", "--sparsity", "nan", "--board", "icebreaker"], "--sparsity: must be 0 or more"),
        (["compile", "m.nir", "--dt", "0", "--board", "icebreaker"], "--dt: must be above 0: 0"),
        (["compile", "m.nir", "--dt", "inf", "--board", "icebreaker"], "--dt: must be above 0: inf"),
        (["compile", "m.nir", "--reset", "never", "--board", "icebreaker"], "--reset: invalid choice"),
        (["compile", "m.nir", "--dialect", "brian", "--board", "icebreaker"], "--dialect: invalid choice"),
        (["compile", "m.nir", "--board", "icebreaker", "--device", "up5k"], "not allowed with"),
        (["compile", "m.nir", "--clock-mhz", "-1", "--board", "icebreaker"], "--clock-mhz: must be above 0"),
        (["compile", "m.nir", "--seed", "-1", "--board", "icebreaker"], "--seed: must be 0 to"),
        (["compile", "m.nir"], "a bitstream needs a target"),
        (["compile", "m.nir", "--board", "icebraker"], "'icebraker'; did you mean icebreaker"),
        (["compile", "m.nir", "--device", "up5"], "'up5'; did you mean up5k"),
        (["compile", "missing.nir", "--board", "icebreaker"], "missing.nir"),
        (["simulate", "missing.nir", "--data", "x.npz"], "missing.nir"),
        (["simulate", "x", "--data", "x.npz", "--limit", "0"], "--limit: must be 1 or more"),
        (["simulate", "x", "--data", "x.npz", "--membranes"], "name it with --output"),
        (["regress", "missing", "--data", "x.npz"], "a build folder must exist"),
        (["report", "missing"], "a build folder must exist"),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, argv)
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_mistakes(capsys: pytest.CaptureFixture[str], model: Path, data: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, spikes=np.zeros((2, 3, 4), np.uint8))
    text = tmp_path / "text.nir"
    text.write_text("not HDF5\nat all")
    before = sorted(tmp_path.iterdir())
    target = ["--board", "icebreaker", "--output", tmp_path / "out"]
    assert "its shape is (2, 3, 4)" in refused(capsys, ["compile", model, "--data", wrong, *target])
    assert "its shape is (2, 3, 4)" in refused(capsys, ["simulate", model, "--data", wrong, "--executor", "float"])
    assert "text.nir" in refused(capsys, ["compile", text, *target])
    assert "samples" in refused(capsys, ["compile", model, "--data", model, *target])
    assert "manifest.json" in refused(capsys, ["regress", tmp_path, "--data", data])
    argv = ["simulate", model, "--data", data, "--executor", "float", "--output", tmp_path / "no" / "o.npz"]
    assert "must exist" in refused(capsys, argv)
    assert sorted(tmp_path.iterdir()) == before


def test_an_existing_output_is_kept(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").write_text("mine")
    argv = ["compile", model, "--board", "icebreaker", "--output", tmp_path / "out"]
    assert "--force" in refused(capsys, argv)
    assert (tmp_path / "out" / "notes").read_text() == "mine"


def test_a_network_that_cannot_fit_is_refused_before_any_tool_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "verilog_from_rtlil", None)
    model = tmp_path / "large.nir"
    write_nir(small_network(hidden=6000), model)
    line = refused(capsys, ["compile", model, "--board", "icestick", "--output", tmp_path / "out"])
    assert "the design needs" in line and "block RAMs" in line and "16" in line


def test_the_host_link_counts_before_any_tool_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A core of all 16 block RAMs of an iCEstick: the link needs another, and the core alone none."""
    monkeypatch.setattr(writing, "verilog_from_rtlil", None)
    network = next(
        network
        for hidden in range(500, 1500, 10)
        if make_plan(network := quantise(small_network(hidden=hidden), 4)).brams == 16
    )
    model = tmp_path / "small.nir"
    write_nir(network, model)
    assert main(["estimate", str(model), "--board", "icestick", "--json"]) == 0
    brams = json.loads(capsys.readouterr().out)["resources"]["brams"]
    assert (brams["estimated"], brams["available"]) == (17, 16)
    line = refused(capsys, ["compile", model, "--board", "icestick", "--output", tmp_path / "out"])
    assert "the design needs 17 block RAMs, icestick (iCE40HX1K) has 16: " in line
    plan = make_plan(network)
    flow.check_design(plan, find_board("icestick"), None)
    with pytest.raises(CapacityError, match="17 block RAMs"):
        flow.check_design(plan, find_board("icestick"), link_of(network))


def test_logic_far_beyond_a_device_is_refused_by_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    network = quantise(small_network(), 4)
    plan, link, board = make_plan(network), link_of(network), find_board("icestick")
    for lcs, fits in ((1280, True), (1920, True), (1922, False)):
        figures = Estimate(resources=Resources(lcs=lcs), fmax_mhz=50.0)
        monkeypatch.setattr(flow, "estimate", lambda *_, found=figures, **__: found)
        if fits:
            flow.check_design(plan, board, link)
            continue
        with pytest.raises(CapacityError, match=r"about 1,922 logic cells by the estimate, icestick .* has 1,280"):
            flow.check_design(plan, board, link)
        guessed = dataclasses.replace(figures, guessed=("bitmap",))
        monkeypatch.setattr(flow, "estimate", lambda *_, found=guessed, **__: found)
        flow.check_design(plan, board, link)


# -------------------------------------------------------------------------------------------- failures on the way


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*_: Any, **__: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ToolError("yosys was killed"), 1, "yosys was killed"),
        (MismatchError("sample 0, step 1"), 1, "sample 0, step 1"),
        (SpikeloomError("two\nlines \x1b[31m"), 1, "two lines"),
        (OSError(28, "No space left on device", "out"), 1, "room: No space left on device at out; make room"),
        (PermissionError(13, "Permission denied", "out"), 2, "Permission denied: out"),
        (MemoryError(), 1, "out of memory"),
        (ZeroDivisionError("division by zero"), 1, "internal error: ZeroDivisionError"),
    ],
)
def test_failures_are_one_line_and_leave_nothing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    model: Path,
    tmp_path: Path,
    error: Exception,
    status: int,
    words: str,
) -> None:
    monkeypatch.setattr(writing, "verilog_from_rtlil", raising(error))
    argv = ["compile", model, "--board", "icebreaker", "--output", tmp_path / "out"]
    line = refused(capsys, argv, status)
    assert words in line and "\x1b" not in line
    assert list(tmp_path.iterdir()) == [model]
    with pytest.raises(type(error)):
        main([str(argument) for argument in [*argv, "--debug"]])


def test_the_log_of_a_failed_tool_outlives_the_build(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    def failing(rtlil: Path, verilog: Path, log: Path) -> None:
        log.parent.mkdir(exist_ok=True)
        log.write_text("what the tool said")
        raise ToolError("yosys failed", log)

    monkeypatch.setattr(writing, "verilog_from_rtlil", failing)
    line = refused(capsys, ["compile", model, "--board", "icebreaker", "--output", tmp_path / "out"], 1)
    log = Path(line.rpartition("see ")[2])
    assert log.read_text() == "what the tool said"
    log.unlink()


class _Slow:
    """Dies slowly, and is interrupted while it does."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_waits_for_destructors() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        _Slow()
        time.sleep(5)
    handler = signal.getsignal(signal.SIGINT)
    assert handler == signal.default_int_handler


def test_an_interrupt_is_status_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(writing, "verilog_from_rtlil", raising(KeyboardInterrupt()))
    assert main(["compile", str(model), "--board", "icebreaker", "--output", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "spikeloom: interrupted"
    assert list(tmp_path.iterdir()) == [model]


# ---------------------------------------------------------------------------------------------------- commands


def test_boards(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert {board["id"] for board in listing["boards"]} == set(BOARDS)
    icebreaker = next(board for board in listing["boards"] if board["id"] == "icebreaker")
    up5k = next(device for device in listing["devices"] if device["id"] == icebreaker["device"])
    assert (up5k["capacity"]["brams"], up5k["bram_bits"]) == (30, 4096)
    assert main(["boards"]) == 0
    text = capsys.readouterr().out
    assert all(board in text for board in BOARDS)


@pytest.mark.parametrize("executor", ["float", "reference", "amaranth"])
def test_simulate_a_model(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, executor: str) -> None:
    network = small_network()
    model = tmp_path / "model.nir"
    write_nir(network if executor == "float" else quantise(network, 4), model)
    out = tmp_path / "out.npz"
    argv = ["simulate", model, "--data", data, "--executor", executor, "--limit", 4, "--json", "--output", out]
    assert main([str(argument) for argument in [*argv, "--membranes"]]) == 0
    summary = json.loads(capsys.readouterr().out)
    with np.load(out) as arrays:
        assert set(arrays) == {"spikes", "predicted", "membranes"}
        assert arrays["spikes"].shape == arrays["membranes"].shape == (4, STEPS, OUTPUTS)
        assert arrays["spikes"].dtype == np.uint8
        assert arrays["predicted"].tolist() == np.argmax(arrays["spikes"].sum(axis=1), axis=1).tolist()
        assert summary["predicted"] == arrays["predicted"].tolist()
    assert summary["accuracy"] == np.mean(np.array(summary["predicted"]) == small_samples()["labels"][:4])
    assert main(["simulate", str(model), "--data", str(data), "--executor", executor]) == 0
    assert "accuracy: " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["o", "o.dat", "o.npz"])
def test_the_output_file_has_the_name_that_was_asked_for(
    capsys: pytest.CaptureFixture[str], model: Path, data: Path, tmp_path: Path, name: str
) -> None:
    argv = ["simulate", model, "--data", data, "--executor", "float", "--output", tmp_path / name]
    before = set(tmp_path.iterdir())
    assert main([str(argument) for argument in argv]) == 0
    assert set(tmp_path.iterdir()) - before == {tmp_path / name}
    with np.load(tmp_path / name) as arrays:
        assert set(arrays) == {"spikes", "predicted"}
    capsys.readouterr()
    assert f"the output is a new file: {tmp_path / name} exists; add --force to replace it" in refused(capsys, argv)
    assert main([str(argument) for argument in [*argv, "--force", "--membranes"]]) == 0
    with np.load(tmp_path / name) as arrays:
        assert set(arrays) == {"spikes", "predicted", "membranes"}


def test_the_command_line_offers_every_executor() -> None:
    assert simulate_command.EXECUTORS == EVERY_EXECUTOR


def test_waveforms_go_to_an_fst_file_in_a_folder_that_exists(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    argv = ["regress", tmp_path, "--data", data, "--waves"]
    assert "waveforms are FST files" in refused(capsys, [*argv, tmp_path / "w.vcd"])
    assert "the output's folder must exist" in refused(capsys, [*argv, tmp_path / "no" / "w.fst"])
    for name in ("w-shipped.fst", "w.fst"):
        (tmp_path / name).write_text("theirs")
        assert f"{tmp_path / name} exists; add --force" in refused(capsys, [*argv, tmp_path / "w.fst"])
    assert "must hold manifest.json" in refused(capsys, [*argv, tmp_path / "w.fst", "--force"])


def test_a_file_is_no_build_folder(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert "a build is a folder" in refused(capsys, ["report", model])


def test_a_network_that_never_fires_in_hardware_is_warned_of(tmp_path: Path, data: Path) -> None:
    network = small_network()
    deaf = dataclasses.replace(
        network,
        populations=tuple(
            dataclasses.replace(p, dynamics=dataclasses.replace(p.dynamics, threshold=np.array(1e3)))
            for p in network.populations
        ),
    )
    write_nir(deaf, tmp_path / "deaf.nir")
    folder = tmp_path / "build"
    argv = ["compile", tmp_path / "deaf.nir", "--emit", "verilog", "--data", data, "--method", "magnitude"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([str(argument) for argument in [*argv, "--fire", "gt", "--output", folder]]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert any("never fires in hardware" in warning for warning in report["warnings"])


def test_float_weights_are_not_quantised_behind_the_users_back(
    capsys: pytest.CaptureFixture[str], model: Path, data: Path
) -> None:
    line = refused(capsys, ["simulate", model, "--data", data, "--executor", "reference"])
    assert "has float weights; quantise it" in line


def test_a_terminal_without_unicode_gets_the_report_too(built: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    run = subprocess.run([COMMAND, "report", str(built)], capture_output=True, env=environment, check=True)
    assert run.stderr == b"" and b"?s" in run.stdout


def test_a_build_is_complete_and_measured(built: Path) -> None:
    options = json.loads((built / "manifest.json").read_text())["options"]
    assert (options["method"], options["bits"], options["board"], options["seed"]) == ("magnitude", 4, "icebreaker", 1)
    assert options["scheme"] == "fixed_point"
    assert options["conventions"] == {"dialect": None, "dt": None, "reset": None, "reset_delay": None, "fire": "gt"}
    names = {path.name for path in built.iterdir()}
    assert names >= {"manifest.json", "report.json", "network.nir", "source.nir", "core.v", "core_traced.v", "top.bin"}
    report = json.loads((built / "report.json").read_text())
    nextpnr = json.loads((built / "nextpnr.json").read_text())
    used = {key: report["utilization"][key]["used"] for key in ("lcs", "brams")}
    assert used == {
        "lcs": nextpnr["utilization"]["ICESTORM_LC"]["used"],
        "brams": nextpnr["utilization"]["ICESTORM_RAM"]["used"],
    }
    (clock,) = nextpnr["fmax"].values()
    assert report["timing"]["fmax_mhz"] == pytest.approx(clock["achieved"])
    assert report["timing"]["met"] and report["timing"]["critical_path"]
    assert report["timing"]["clock_mhz"] > 20 and options["clock_mhz"] == pytest.approx(report["timing"]["clock_mhz"])
    assert "near its Fmax by the board's PLL" in report["timing"]["clock_choice"]
    assert report["latency"]["samples_measured"] == 6 and report["latency"]["stimulus"] == "calibration"
    assert report["link"]["microseconds_per_sample"] > report["latency"]["microseconds_per_sample"]
    assert report["accuracy"]["samples"] == 6
    early = report["early_exit"]
    assert (early["margin"], early["steps"], early["samples"], early["cycles_of_samples"]) == (1, STEPS, 6, 6)
    assert 1 <= early["steps_taken"] < STEPS and early["cycles_taken"] < early["cycles"]
    assert early["cycles"] == pytest.approx(report["latency"]["cycles_per_sample"], abs=0.01)
    blocks = {block["name"] for block in report["blocks"]["list"]}
    assert {layer["block"] + ".bank" for layer in report["layers"]} <= blocks
    assert any(name.startswith("link") for name in blocks)


def test_a_host_reads_the_links_format_from_the_build(built: Path, tmp_path: Path) -> None:
    form = LinkFormat.from_build(built)
    assert form == read_facts(built).form and (form.inputs, form.outputs) == (INPUTS, OUTPUTS)
    with pytest.raises(InputError, match=r"holds link\.json"):
        LinkFormat.from_build(tmp_path)


@pytest.mark.slow
def test_another_process_gives_the_same_bitstream(built: Path, tmp_path: Path) -> None:
    model, data = built.parent / "model ü.nir", built.parent / "samples.npz"
    argv = ["compile", str(model), *TARGET, *EXIT, "--data", str(data), "--output", str(tmp_path / "again")]
    assert main(argv) == 0
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (built / "manifest.json").read_bytes()
    assert (tmp_path / "again" / "top.bin").read_bytes() == (built / "top.bin").read_bytes()


def test_report_of_a_build(capsys: pytest.CaptureFixture[str], built: Path, tmp_path: Path) -> None:
    assert main(["report", str(built)]) == 0
    assert "iCEBreaker" in capsys.readouterr().out
    assert main(["report", str(built), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    del told["verified"]  # other tests verify this build
    about = told.pop("build")
    assert (
        about["Seed"] == "1" and about["Spikeloom"] == version("spikeloom") and "board icebreaker" in about["Options"]
    )
    assert told == json.loads((built / "report.json").read_text())
    page = tmp_path / "report.html"
    assert main(["report", str(built), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert capsys.readouterr().out == ""
    page.write_text("theirs")
    assert f"{page} exists; add --force to replace it" in refused(capsys, ["report", built, "--html", page])
    assert page.read_text() == "theirs"
    assert main(["report", str(built), "--html", str(page), "--force"]) == 0
    assert page.read_text(encoding="utf-8") == text


def test_a_report_of_another_version_is_refused(
    capsys: pytest.CaptureFixture[str], built: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(built, out)
    (out / "report.json").write_text('{"schema_version": 1}')
    assert "must be of schema 2: report.json has 1" in refused(capsys, ["report", out])
    (out / "report.json").write_text("{")
    assert "intact JSON" in refused(capsys, ["report", out])


@pytest.mark.parametrize("executor", ["float", "reference", "verilog"])
def test_simulate_a_build(capsys: pytest.CaptureFixture[str], built: Path, executor: str) -> None:
    data = str(built.parent / "samples.npz")
    assert main(["simulate", str(built), "--data", data, "--executor", executor, "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["output_spikes"]
    if executor != "float":
        network = quantise(small_network(), 4, small_samples()["spikes"])
        assert counts == run_reference(network, small_samples()["spikes"]).spikes.sum()


@pytest.mark.parametrize("level", ["rtl", pytest.param("netlist", marks=pytest.mark.slow)])
def test_regress_a_build(capsys: pytest.CaptureFixture[str], built: Path, level: str) -> None:
    data = str(built.parent / "samples.npz")
    assert main(["regress", str(built), "--data", data, "--level", level, "--limit", "3"]) == 0
    membranes = 3 * STEPS * (HIDDEN + OUTPUTS)
    assert f"{membranes} membranes of 3 samples of {STEPS} steps" in capsys.readouterr().out
    assert main(["report", str(built), "--json"]) == 0
    found = next(run for run in json.loads(capsys.readouterr().out)["verified"] if run["level"] == level)
    assert found["equal"] and found["compared"] > membranes and (found["samples"], found["steps"]) == (3, STEPS)
    assert main(["report", str(built)]) == 0
    assert re.search(rf"{level} +icarus +equal +3 samples", capsys.readouterr().out)
    assert is_build(built), "what was verified is no foreign file"


@pytest.mark.parametrize("argv", [["regress"], ["simulate", "--executor", "verilog"], ["regress", "--level", "pins"]])
def test_foreign_verilog_is_not_run(
    capsys: pytest.CaptureFixture[str], built: Path, tmp_path: Path, argv: list[str]
) -> None:
    out, ran = tmp_path / "out", tmp_path / "ran"
    shutil.copytree(built, out)
    name = "top.v" if "pins" in argv else "core_traced.v"
    foreign = f'\nmodule theirs; integer file; initial file = $fopen("{ran}", "w"); endmodule\n'
    text = (out / name).read_text() + foreign
    (out / name).write_text(text)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["outputs"][name]["sha256"] = hashlib.sha256(text.encode()).hexdigest()  # whoever forges does this too
    (out / "manifest.json").write_text(json.dumps(manifest))
    line = refused(capsys, [*argv, out, "--data", built.parent / "samples.npz", "--limit", "1"])
    assert f"a build's Verilog must be that of its RTLIL: {out / name} is not what this yosys makes of" in line
    assert not ran.exists()


def test_foreign_verilog_is_run_on_demand(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(built, out)
    (out / "core_traced.v").write_text("// by hand\n" + (out / "core_traced.v").read_text())
    argv = ["regress", str(out), "--data", str(built.parent / "samples.npz"), "--limit", "1"]
    assert main(argv) == 2 and main([*argv, "--trust"]) == 0


def test_regress_names_the_first_divergence(capsys: pytest.CaptureFixture[str], built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(built, out)
    write_nir(quantise(small_network(), 3), out / "network.nir")
    assert main(["regress", str(out), "--data", str(built.parent / "samples.npz"), "--json"]) == 1
    told, error = capsys.readouterr()
    assert "was changed after the build: network.nir" in error
    assert "sample 0, step 0" in error and "expected" in error
    found = json.loads(told)
    assert not found["equal"] and str(found["difference"]) in error and "the result is not kept" in error


def test_what_was_verified_is_of_one_build(capsys: pytest.CaptureFixture[str], built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(built, out)
    (out / "verified.json").unlink(missing_ok=True)
    one = Verification(
        level="rtl",
        simulator="icarus",
        samples=3,
        steps=STEPS,
        samples_sha256="of the file",
        compared=12,
        equal=True,
        difference=None,
        when="2026-11-27 22:20 UTC",
    )
    other: Verification = {**one, "equal": False, "difference": "sample 1, step 2"}
    for record in (one, {**one, "level": "netlist"}, other):
        keep_verification(load_build_folder(out), cast(Verification, record))
    assert verifications(load_build_folder(out)) == [{**one, "level": "netlist"}, other], "the latest of its kind stays"
    assert main(["report", str(out)]) == 0
    assert "DIFFERS: sample 1, step 2" in " ".join(capsys.readouterr().out.split())
    kept = json.loads((out / "verified.json").read_text())
    for text in (json.dumps(kept | {"manifest_sha256": "of another"}), "{", json.dumps(kept | {"schema_version": 2})):
        (out / "verified.json").write_text(text)
        assert verifications(load_build_folder(out)) == [] and main(["report", str(out)]) == 0


def test_reports_stand_side_by_side(capsys: pytest.CaptureFixture[str], built: Path, tmp_path: Path) -> None:
    other = tmp_path / "=other"
    shutil.copytree(built, other)
    report = json.loads((other / "report.json").read_text())
    used = report["utilization"]["lcs"]["used"]
    report["utilization"]["lcs"]["used"] = used + 100
    report["board"]["id"] = "=SUM(1)"
    (other / "report.json").write_text(json.dumps(report))
    assert main(["report", str(built), str(other)]) == 0
    text = capsys.readouterr().out
    assert f"+100 ({100 / used:+.1%})" in text and "differs" in text
    assert main(["report", str(built), str(other), "--csv"]) == 0
    rows = {row["figure"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert rows["Logic cells"]["=other"] == str(used + 100) and rows["Logic cells"][f"=other - {built.name}"] == "100"
    assert rows["Target"]["=other"] == "'=SUM(1)", "a spreadsheet takes no name for a formula"
    assert main(["report", str(built), str(built), "--json", "--html", str(tmp_path / "page.html")]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert "Side by side" in (tmp_path / "page.html").read_text()


# -------------------------------------------------------------------------------------------------- from Python


def test_verilog_of_an_integer_network_needs_no_target(tmp_path: Path) -> None:
    labels: list[str] = []

    @contextmanager
    def step(label: str) -> Any:
        labels.append(label)
        yield None

    network = quantise(small_network(), 4)
    build = compile_network(network, tmp_path / "out", CompileOptions(verilog_only=True), step=step)
    assert "writing the core" in labels and "counting cycles" in labels
    report = build.report()
    assert report["board"] is None and report["device"] is None and report["timing"]["fmax_mhz"] is None
    assert all(entry["source"] == "estimated" for entry in report["utilization"].values())
    assert report["utilization"]["brams"]["used"] == sum(memory["brams"] for memory in report["memory"]["map"])
    assert report["utilization"]["luts"]["used"] > 100
    assert report["latency"]["stimulus"] == "random" and report["warnings"]
    errors = report["semantics"]["hidden"]["errors"]
    assert errors["weights_relative"] == errors["leak_relative"] == 0
    assert "module spikeloom_core(" in (tmp_path / "out" / "core.v").read_text()
    assert not (tmp_path / "out" / "top.il").exists()


@pytest.mark.slow
def test_a_build_remembers_its_folding(model: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    folding = tmp_path / "f.json"
    folding.write_text('{"engines": [{"populations": ["hidden"]}, {"populations": ["out"]}]}')
    built = [tmp_path / "named", tmp_path / "file"]
    argv = ["compile", str(model), "--emit", "verilog", "--fire", "gt", "--method", "magnitude", "--data", str(data)]
    assert main([*argv, "--fold", "pipelined", "--output", str(built[0])]) == 0
    assert main([*argv, "--folding", str(folding), "--output", str(built[1])]) == 0
    for folder in built:
        build = load_build_folder(folder)
        assert len(build.report()["engines"]) == len(build.options["folding"]["engines"]) == 2
        assert read_folding(build.folding_file).engines[1].populations == ("out",)
    assert (built[0] / "core.v").read_bytes() == (built[1] / "core.v").read_bytes()
    simulate = ["simulate", str(built[0]), "--data", str(data), "--executor", "amaranth", "--limit", "1"]
    assert main(simulate) == 0
    assert main([*simulate, "--fold", "shared"]) == 2
    assert "leave --fold, --fast, --queue, --lists and --folding out" in capsys.readouterr().err


def test_a_folding_that_contradicts_the_network_is_refused(model: Path, tmp_path: Path, capsys: Any) -> None:
    folding = tmp_path / "f.json"
    argv = ["compile", str(model), "--emit", "verilog", "--fire", "gt", "--output", str(tmp_path / "out")]
    for text, message in (
        ('{"engines": [{"populations": ["hidden"]}]}', "every population once"),
        ("[1", "a folding is a JSON file"),
    ):
        folding.write_text(text)
        assert main([*argv, "--folding", str(folding)]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_baud_rate_must_suit_the_clock() -> None:
    assert clocks_per_bit(12e6, 1_000_000) == 12
    assert clocks_per_bit(12e6, 115_200) == 104
    for baud in (5_000_000, 1_800_000):
        with pytest.raises(OptionError, match=f"{baud} baud at 12 MHz is not; choose --baud"):
            clocks_per_bit(12e6, baud)


def test_busy_cycles_are_those_of_the_hardware() -> None:
    """With one layer nothing overlaps, and every step more costs what the formula says."""
    network = quantise(small_network(), 4)
    single = Network(
        input_shape=(INPUTS,),
        populations=network.populations[:1],
        projections=network.projections[:1],
        output="hidden",
    )
    plan = make_plan(single)
    spikes = np.random.default_rng(1).integers(0, 2, (1, 2 * STEPS, INPUTS), np.uint8)
    half = spikes[:, :STEPS]
    (whole_cycles,), (half_cycles,) = measure_cycles(plan, spikes), measure_cycles(plan, half)
    busy = [busy_cycles(plan, run_reference(single, part).trains(part))[0][0] for part in (spikes, half)]
    assert busy[0] - busy[1] == whole_cycles - half_cycles


def test_random_samples_depend_on_the_seed_alone() -> None:
    network = small_network()
    first, second = (measure.random_samples(network, 3) for _ in range(2))
    assert isinstance(first, Samples) and np.array_equal(first.spikes, second.spikes)
    assert not np.array_equal(first.spikes, measure.random_samples(network, 4).spikes)

"""`spikeloom fit`: a search from a file to a build folder, and what it says when it cannot."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from spikeloom.compiler import read_nir, write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.optimizer import output
from spikeloom.compiler.optimizer.subject import network_of
from spikeloom.compiler.output.build_folder import load_build_folder
from spikeloom.sim.float_executor import run_float

pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")

BOARD = ("fit", "model.nir", "--board", "icestick", "--method", "magnitude", "--workers", "1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network and samples whose labels are what the network says."""
    rng = np.random.default_rng(0)
    network = network_of([rng.normal(0, 0.6, (20, 12)), rng.normal(0, 0.6, (12, 4))])
    spikes = (rng.random((80, 6, 20)) < 0.3).astype(np.uint8)
    monkeypatch.chdir(tmp_path)
    write_nir(network, "model.nir")
    np.savez("data.npz", spikes=spikes, labels=run_float(network, spikes).predicted)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of an error that is the user's."""
    assert main([*BOARD, *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    return lines[0]


def test_from_a_file_to_a_build_folder(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*BOARD, "--data", "data.npz", "--trials", "2", "--accuracy-floor", "0.3", "--output", "out"]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "Pareto front" in said.out and "Target: icestick, ice40 hx1k (1280 LUTs, 16 BRAMs)" in said.out
    assert " MHz - FITS" in said.out and "Accuracy floor 30.0%: " in said.out and "build folder: out" in said.out
    assert "point 2 of 2, 0 s left; best: " in said.err and "building " in said.err

    build = load_build_folder("out")
    assert build.changed_files() == ()
    assert {"top.bin", "fit.json", "pareto.svg", "folding.json"} <= {path.name for path in Path("out").iterdir()}
    assert not read_nir(build.source_file).is_integer and read_nir(build.network_file).is_integer
    fit = json.loads(Path("out/fit.json").read_text())
    used = build.report()["utilization"]
    assert fit["measured"]["resources"]["luts"] == used["luts"]["used"]
    assert fit["measured"]["resources"]["brams"] == used["brams"]["used"]
    assert ElementTree.parse("out/pareto.svg").getroot().tag.endswith("svg")

    monkeypatch.setattr(output, "write_result", lambda *arguments, **options: None)  # it would build again
    assert main([*arguments, "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == fit


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "hx1k"], "not allowed with argument --board"),
        (["--data", "nothing.npz"], "nothing.npz"),
        (["--data", "model.nir"], "samples of NIR are a NIRGraphData"),
        (["--accuracy-floor", "97"], "must be 0 or more and at most 1: 97"),
        (["--accuracy-floor", "0.9"], "needs labelled data: no data are given"),
        (["--trials", "0"], "must be 1 to 100000"),
        (["--workers", "none"], "must be a whole number"),
        (["--goal", "beauty"], "invalid choice: 'beauty'"),
        (["--finetune", "data.npz"], "none are given; add data"),
        (["--scheduler", "nowhere"], "a scheduler answers at its address: 'nowhere' does not"),
        (["--database", "model.nir"], "a search's database is a file of its own: model.nir cannot serve"),
        (["--output", "model.nir"], "the output must be a folder"),
        (["--output", "."], "the output must be a folder of its own"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert words in refused(capsys, *arguments)
    assert sorted(path.suffix for path in folder.iterdir() if path.name != "build") == [".nir", ".npz"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of the arguments --board --device is required"),
        (["--board", "icestik"], "an unknown board: 'icestik'; did you mean icestick"),
        (["--device", "artix8"], "an unknown target: 'artix8'; did you mean artix7"),
    ],
)
def test_targets_that_are_none(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["fit", "model.nir", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_floor_that_nothing_reaches_prints_the_front(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    spikes = (rng.random((40, 6, 20)) < 0.3).astype(np.uint8)
    np.savez("data.npz", spikes=spikes, labels=rng.integers(0, 4, 40))
    assert main([*BOARD, "--data", "data.npz", "--trials", "1", "--accuracy-floor", "1"]) == 2
    said = capsys.readouterr()
    assert "Pareto front" in said.out
    assert "error: an accuracy floor must be reached: 100.0% is by none of the" in said.err
    assert not Path("build/model-fit").exists() and Path("build/model-fit.sqlite").exists()


def test_an_interrupted_search_ends_cleanly_and_keeps_its_points(folder: Path) -> None:
    arguments = [*BOARD, "--data", "data.npz", "--output", "out"]
    program = "import sys; from spikeloom.compiler.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *arguments, "--trials", "1000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("point 2 "):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert "finished points are in out.sqlite: the same command goes on from there" in rest
    assert rest.endswith("spikeloom: interrupted\n") and "Traceback" not in rest
    assert not Path("out").exists()
    with closing(sqlite3.connect("out.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM finished").fetchone()[0] >= 2

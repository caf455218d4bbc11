"""`spikeloom demo`: where its example lies, what it blames compression for, and what it says in the end."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from spikeloom.compiler import Recipe, compress, load_samples, read_nir
from spikeloom.compiler.cli import common, demo_command
from spikeloom.compiler.output.build_folder import BuildFolder
from spikeloom.sim.regress import RegressionResult

FILES = ("digits.nir", "digits_calibration.npz", "digits_test.npz")


def test_the_example_lies_beside_the_packages_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert all((demo_command.EXAMPLES / name).is_file() for name in FILES)


def test_what_training_left_dead_is_not_blamed_on_compression() -> None:
    """23 neurons of the example lose their synapses, and 22 of them could not have fired before, whatever the input."""
    network = read_nir(demo_command.EXAMPLES / FILES[0])
    samples = load_samples(demo_command.EXAMPLES / FILES[1], network)
    recipe = Recipe(method="magnitude", bits=demo_command.BITS, sparsity=demo_command.SPARSITY)
    with pytest.warns(UserWarning, match=r"compression left 1 of 64 neurons \(13\) of population 'hidden_neurons'"):
        integers, report = compress(network, recipe, samples.spikes)
    assert report.silenced == {"hidden_neurons": (13,)}
    weights: Any = integers.projections[0].weights
    assert (~weights.codes.any(axis=0)).sum() == 23


# ------------------------------------------------------------------------------------------------- the command


def script(folder: Path) -> Path:
    folder.mkdir(parents=True)
    file = folder / "spikeloom"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_a_command_on_the_path_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = script(tmp_path / "bin")
    monkeypatch.setattr(sys, "argv", [str(own), "demo"])
    monkeypatch.setenv("PATH", str(own.parent) + os.pathsep + os.environ["PATH"])
    assert shutil.which("spikeloom") == str(own) and common.own_command() == "spikeloom"


def test_a_command_off_the_path_is_called_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = script(tmp_path / "check out" / ".venv" / "bin"), script(tmp_path / "other")
    monkeypatch.setattr(sys, "argv", [str(own), "demo"])
    for path in ("", str(other.parent)):  # nobody's, and somebody else's
        monkeypatch.setenv("PATH", path)
        monkeypatch.chdir(tmp_path / "check out")
        assert common.own_command() == ".venv/bin/spikeloom"
        monkeypatch.chdir(other.parent)
        assert common.own_command() == f"'{own}'"


def test_the_end_says_what_was_compared_and_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used = {"used": 686, "available": 5280}
    report = {
        "board": {"name": "1BitSquared iCEBreaker"},
        "network": {"inputs": 64, "neurons": 74, "silent_neurons": 24, "synapses": 707, "sparsity": 0.85},
        "timing": {"fmax_mhz": 37.4, "clock_mhz": 31.875},
        "latency": {"cycles_per_sample": 2192.0, "microseconds_per_sample": 68.769},
        "utilization": {"lcs": used, "brams": {"used": 6, "available": 30}},
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common, "own_command", lambda: ".venv/bin/spikeloom")
    build = BuildFolder(Path("build/demo"), {})
    build.path.mkdir(parents=True)
    (build.path / "report.json").write_text(json.dumps(report))
    result = RegressionResult(
        simulator="icarus",
        level="rtl",
        samples=100,
        steps=16,
        spikes_compared=96_000,
        membranes_compared=80_000,
        cycles=(),
        waves=(),
    )
    demo_command._summarise(build, [0.975, 349 / 360], 360, "spikes", result)
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    sample = readme.split("what to do next, for instance:\n\n")[1].split("\n\n## ")[0]
    assert capsys.readouterr().out.strip("\n") == "\n".join(line.removeprefix("    ") for line in sample.splitlines())

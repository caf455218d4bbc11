"""The table of compressions: every way once, judged on unseen samples, as text, CSV, JSON and drawing."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from float_networks import float_chain
from mistakes import mistake
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.neurons import LIF


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(2)
    network = float_chain(LIF(beta=np.array(0.875), threshold=np.array(1.0)), (0.3, 0.4), (0.3, 0.5))
    write_nir(network, tmp_path / "net.nir")
    for name, samples in (("cal", 12), ("test", 9)):
        spikes = rng.random((samples, 6, 12)) < 0.5
        np.savez(tmp_path / f"{name}.npz", spikes=spikes, labels=rng.integers(0, 4, samples))
    files = ("--data", str(tmp_path / "cal.npz"), "--test", str(tmp_path / "test.npz"))
    return ["sweep", str(tmp_path / "net.nir"), *files, "--methods", "magnitude,activity"]


def test_every_way_is_taken_once(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ways = ["--sparsity", "0.25,0.5,0.25", "--bits", "3,8"]
    assert main([*command, *ways, "--csv", "--plot", str(tmp_path / "sweep.svg")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    found = [(row["method"], row["sparsity"], row["bits"]) for row in rows]
    assert len(found) == len(set(found)) == 8 and found[:2] == [("magnitude", "0.25", "3"), ("activity", "0.25", "3")]
    for row in rows:
        assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])
        assert int(row["synapses"]) <= round((12 * 9 + 9 * 4) * (1 - float(row["sparsity"])))
        assert int(row["lcs_estimated"]) > 100 and float(row["cycles_per_sample_estimated"]) > 6 * 13
    drawing = ElementTree.parse(tmp_path / "sweep.svg").getroot()
    assert sum(element.tag.endswith("polyline") for element in drawing.iter()) == 4


def test_text_and_json_say_the_same(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ways = ["--sparsity", "0.5", "--bits", "4", "--device", "hx1k"]
    assert main([*command, *ways, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["samples"] == 9 and len(data["points"]) == 2
    assert main([*command, *ways]) == 0
    text = capsys.readouterr().out
    assert f"{data['points'][1]['accuracy']:.2%}" in text and "9 test samples" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "best"], "must be of magnitude, activity, obc, osbc: 'best'"),
        (["--sparsity", "0.5,2"], "at most 1: 2"),
        (["--bits", "1"], "must be 2 to 16: 1"),
    ],
)
def test_mistakes_are_one_line(
    command: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in mistake(capsys, *command, *options)


def test_samples_without_labels_are_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "test.npz", spikes=np.zeros((2, 6, 12), np.uint8))
    assert main(command) == 2
    assert "the test samples have no labels" in capsys.readouterr().err

"""`compress --frontier`: every way once, the front of what no other beats, and the file of the one that is chosen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from float_networks import float_chain
from mistakes import mistake
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.flow import frontier
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.compiler.report.sweep_plot import BITS, sweep_svg
from spikeloom.sim.float_executor import run_float

COSTS = ("stored_bits", "synaptic_operations", "cycles_per_sample_estimated")


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(2)
    network = float_chain(LIF(beta=np.array(0.875), threshold=np.array(2.0)), (0.1, 0.5), (0.3, 0.8), 6)
    write_nir(network, tmp_path / "net.nir")
    for name, samples in (("cal", 48), ("test", 9)):
        spikes = rng.random((samples, 6, 12)) < 0.5
        np.savez(tmp_path / f"{name}.npz", spikes=spikes, labels=rng.integers(0, 4, samples))
    files = ("--data", str(tmp_path / "cal.npz"), "--output", str(tmp_path / "small.nir"))
    return ["compress", str(tmp_path / "net.nir"), *files, "--method", "magnitude"]


def test_the_fewest_bits_that_are_accurate_enough_are_written(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = ["--frontier", "0.25,0.9", "--widths", "3,8", "--within", "100", "--json"]
    assert main([*command, *ways, "--test", str(tmp_path / "test.npz"), "--plot", str(tmp_path / "plot.svg")]) == 0
    data = json.loads(capsys.readouterr().out)
    points: list[dict[str, Any]] = data["points"]
    assert [(p["sparsity"], p["bits"]) for p in points] == [(0.25, 3), (0.9, 3), (0.25, 8), (0.9, 8)]
    assert data["samples"] == 12 and data["accuracy"]["samples"] == 9  # a quarter of the 48 chooses
    (best,) = (p for p in points if p["chosen"])
    assert best["stored_bits"] == min(p["stored_bits"] for p in points) and (best["sparsity"], best["bits"]) == (0.9, 3)
    for point in points:
        beaten = [
            all(o[c] <= point[c] for c in COSTS) and o["accuracy"] >= point["accuracy"] and o != point for o in points
        ]
        assert point["front"] != any(beaten)
        assert point["connection_sparsity"] >= point["sparsity"] - 0.01
    written = read_nir(tmp_path / "small.nir")
    assert written.is_integer and sum(p.connectivity.synapses for p in written.projections) == best["synapses"]
    assert written.origin is not None and written.origin.steps[-1].bits == 3
    drawing = ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert sum(element.tag.endswith("circle") for element in drawing.iter()) == 1


def test_where_no_way_is_accurate_enough_the_best_is_taken_and_that_is_said(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(tmp_path / "cal.npz") as data:
        spikes = data["spikes"].astype(np.uint8)
    labels = run_float(read_nir(tmp_path / "net.nir"), spikes).predicted  # the float network is always right
    np.savez(tmp_path / "cal.npz", spikes=spikes, labels=labels)
    assert main([*command, "--frontier", "0.5,0.97", "--widths", "2", "--within", "0"]) == 0
    text = capsys.readouterr().out
    assert "no way loses 0 points or less" in text and "Synaptic" in text


def test_what_was_found_till_ctrl_c_is_chosen_of(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = frontier.frontier

    def interrupted(*arguments: Any, **options: Any) -> Iterator[frontier.FrontierPoint]:
        ways = every(*arguments, **options)
        yield next(ways)
        raise KeyboardInterrupt

    monkeypatch.setattr(frontier, "frontier", interrupted)
    assert main([*command, "--frontier", "0.5,0.75", "--widths", "4"]) == 0
    assert "interrupted: 1 of 2 ways were tried" in capsys.readouterr().err
    assert (tmp_path / "small.nir").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frontier", "--bits", "4"], "got --bits; say --widths N,... instead"),
        (["--frontier", "--sparsity", "0.5"], "got --sparsity; say --frontier S,... instead"),
        (["--plot", "x.svg"], "--plot is for the choice of one network of many: give --frontier as well"),
        (["--frontier", "0.5,2"], "at most 1: 2"),
        (["--frontier", "--widths", "17"], "must be 2 to 16: 17"),
    ],
)
def test_mistakes_are_one_line(
    command: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in mistake(capsys, *command, *options)


def test_calibration_samples_without_labels_cannot_choose(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "cal.npz", spikes=np.ones((20, 6, 12), np.uint8))
    assert main([*command, "--frontier"]) == 2
    assert "labelled samples held out, one of 4: got 20 without labels" in capsys.readouterr().err


def test_values_under_the_axis_do_not_run_into_each_other() -> None:
    def point(bits: int) -> dict[str, Any]:
        return {
            "method": "magnitude",
            "bits": 4,
            "stored_bits": bits,
            "accuracy": 0.9,
            "accuracy_low": 0.8,
            "accuracy_high": 0.95,
        }

    drawn = ElementTree.fromstring(
        sweep_svg("near", [point(bits) for bits in (711, 2050, 2210, 2211, 3620)], 0.9, BITS)
    )
    texts = [e for e in drawn.iter() if e.tag.endswith("text") and e.get("text-anchor") == "middle"]
    assert [text.text for text in texts] == ["0.711", "2.05", "3.62", BITS.caption]

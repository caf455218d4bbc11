"""`spikeloom inspect` and the short form of a network: what a new user asks first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import chain
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.network import Network, Population
from spikeloom.compiler.ir.neurons import IF, LIF, CubaLIF, ResetPlace
from spikeloom.compiler.report.inspection import inspect_network

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 0
    return capsys.readouterr().out


def test_a_float_network_shows_what_its_neurons_do(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, str(EXAMPLES / "digits.nir"), "--json"))
    assert (found["level"], found["inputs"], found["neurons"], found["synapses"]) == ("float", 64, 74, 4736)
    assert found["not_in_contract"] is None and found["classes"] == 10
    hidden = found["populations"][0]
    assert hidden["name"] == "hidden_neurons" and hidden["reset"] == "subtract" and hidden["fire"] == "gt"
    assert hidden["keeps"] == {"min": 0.875, "max": 0.875, "different": 1}
    assert hidden["threshold"] == {"min": 1.0, "max": 1.0, "different": 1}
    assert found["projections"][1]["weights_shape"] == [64, 10]
    text = shown(capsys, str(EXAMPLES / "digits.nir"))
    assert "DigitsNet: float network, snntorch conventions" in text and "10 classes, by spikes" in text
    assert "hidden_neurons  64     LIF" in text


def test_an_integer_network_shows_bits_and_step_edges(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, str(EXAMPLES / "ecg8.nir"), "--json"))
    assert found["level"] == "integer"
    hidden, readout = found["populations"]
    assert (hidden["weight_bits"], hidden["state_bits"], hidden["adapts"]) == (8, 24, True)
    assert readout["reset"] == "none"
    recurrent = found["projections"][1]
    assert recurrent["recurrent"] and recurrent["step_edge"] and recurrent["delay"]["max"] == 1
    text = shown(capsys, str(EXAMPLES / "ecg8.nir"))
    assert "LIF, adapts" in text and "1 step, recurrent" in text and "24 (8)" in text


def test_sparsity_floors_and_several_spikes_are_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    network = chain(6, (12, 9, 6), max_spikes=3, v_min=np.array(-60), reset_place=ResetPlace.SAME)
    found = inspect_network(network)
    zeros = sum(int((p.connectivity.codes == 0).sum()) for p in network.projections)
    assert found["sparsity"] == pytest.approx(zeros / (12 * 9 + 9 * 6), abs=1e-6)
    assert found["populations"][0]["floor"]["min"] < 0
    write_nir(network, tmp_path / "net.nir")
    assert "LIF, floor" in shown(capsys, str(tmp_path / "net.nir"))


def test_a_network_that_hardware_cannot_have_is_shown_all_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    network = replace(
        read_nir(EXAMPLES / "digits.nir"),
        populations=tuple(
            replace(p, dynamics=CubaLIF(alpha=0.5, beta=0.9, threshold=1.0, v_init=0.5))
            for p in read_nir(EXAMPLES / "digits.nir").populations
        ),
    )
    found = inspect_network(network)
    assert "v_init" in found["not_in_contract"] and "threshold" not in found["populations"][0]


def test_a_folder_without_a_build_and_a_missing_file_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["inspect", str(tmp_path)]) == 2 and main(["inspect", str(tmp_path / "none.nir")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_network_prints_as_one_line() -> None:
    network: Network = read_nir(EXAMPLES / "digits.nir")
    assert repr(network) == (
        "<float network 'DigitsNet': input 64 -> hidden_neurons 64 LIF -> output_neurons 10 LIF; 4,736 synapses>"
    )
    assert repr(network.populations[1]) == "<output_neurons: 10 LIF neurons>"
    assert repr(network.projections[1]) == "<hidden_neurons -> output_neurons: dense 64x10, 640 synapses>"
    assert repr(Population(name="map", shape=(2, 3, 3), dynamics=IF(threshold=np.array(1.0)))) == (
        "<map: 2x3x3 IF neurons>"
    )
    assert "LIF" in repr(replace(network.populations[0], dynamics=LIF(beta=np.array(0.5), threshold=np.array(1.0))))

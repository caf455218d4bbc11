"""Where compression changes spikes: counted against recordings, and what cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import chain, random_spikes
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.flow.traces import traced
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.samples import read_samples
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.lowering.quantise import dequantise
from spikeloom.hdl.errors import ModelError
from spikeloom.sim import drift as drift_module
from spikeloom.sim.drift import find_drift
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

INTEGER = chain(6, (12, 9, 6), fire=14, sub=14)
REAL = dequantise(INTEGER)


def shifted(network: Network, name: str) -> Network:
    """The same network with higher thresholds in one population."""
    populations = tuple(
        replace(p, dynamics=replace(p.dynamics, fire=p.dynamics.fire + 9, sub=p.dynamics.sub + 9))
        if p.name == name
        else p
        for p in network.populations
    )
    return replace(network, populations=populations)


@pytest.mark.parametrize("batch_bins", [1, drift_module.BATCH_BINS])
def test_changes_are_counted_and_start_where_they_are_made(monkeypatch: pytest.MonkeyPatch, batch_bins: int) -> None:
    monkeypatch.setattr(drift_module, "BATCH_BINS", batch_bins)
    spikes = random_spikes(3, INTEGER, samples=7, steps=9)
    other = shifted(INTEGER, "p0")
    labels = run_float(REAL, spikes).predicted
    drift = find_drift(REAL, other, spikes, labels)
    runs = run_float(REAL, spikes), run_reference(other, spikes)
    for layer in drift.layers:
        real, integer = (run.populations[layer.population].spikes.astype(int) for run in runs)
        assert layer.changed == np.sum(real != integer) and layer.bins == real.size
        assert (layer.lost, layer.won) == (np.sum((real - integer).clip(0)), np.sum((integer - real).clip(0)))
        np.testing.assert_allclose(layer.per_step, (real != integer).mean(axis=(0, 2)))
        different = np.argwhere(real != integer)
        assert layer.first == (tuple(different[0]) if len(different) else None)
    assert drift.layers[0].changed and drift.layers[0].starts + drift.equal_samples == 7
    assert drift.layers[1].starts == 0, "what the second layer does follows from the first"
    assert drift.accuracy is not None and drift.accuracy[0].share == 1.0
    assert drift.moved == np.sum(runs[0].predicted != runs[1].predicted)


def test_a_change_in_the_second_layer_starts_there() -> None:
    spikes = random_spikes(3, INTEGER, samples=3, steps=9)
    drift = find_drift(REAL, shifted(INTEGER, "p1"), spikes)
    assert drift.layers[0].changed == 0 and drift.layers[0].first is None
    assert drift.layers[1].starts == 3 - drift.equal_samples > 0


def test_equal_networks_are_equal() -> None:
    drift = find_drift(REAL, INTEGER, random_spikes(3, INTEGER, samples=3, steps=9))
    assert drift.equal_samples == 3 and drift.moved == 0 and not any(layer.changed for layer in drift.layers)


def test_only_one_network_at_two_levels_is_compared() -> None:
    spikes = random_spikes(3, INTEGER)
    with pytest.raises(ModelError, match="a float network is compared with its integers: got an integer, then an int"):
        find_drift(INTEGER, INTEGER, spikes)
    larger = chain(6, (12, 10, 6), fire=14, sub=14)
    with pytest.raises(ModelError, match="the float one has 'p0' of 9 neurons, the integers have 'p0' of 10"):
        find_drift(REAL, larger, spikes)
    with pytest.raises(ModelError, match="where the float one has none, the integers have 'p1'"):
        find_drift(dequantise(chain(6, (12, 9), fire=14, sub=14)), INTEGER, spikes)


def test_the_command_prints_a_table_json_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nir(REAL, tmp_path / "real.nir")
    write_nir(shifted(INTEGER, "p0"), tmp_path / "integer.nir")
    spikes = random_spikes(3, INTEGER, samples=7, steps=9)
    np.savez(tmp_path / "samples.npz", spikes=spikes, labels=np.arange(7) % 6)
    command = ["compare", *(str(tmp_path / f"{name}.nir") for name in ("real", "integer"))]
    command += ["--data", str(tmp_path / "samples.npz")]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "the first change is in p0" in text and "accuracy: float" in text
    assert main([*command, "--json", "--html", str(tmp_path / "page.html")]) == 0
    data = json.loads(capsys.readouterr().out)
    samples: Samples = read_samples(tmp_path / "samples.npz", REAL)
    assert data["layers"][0]["starts"] == find_drift(REAL, shifted(INTEGER, "p0"), samples.spikes).layers[0].starts
    assert len(data["layers"][0]["share_changed_per_step"]) == 9
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 1 + len(data["traces"]["neurons"]) and "Where it starts" in page
    assert main([*command, "--html", str(tmp_path / "page.html")]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "--json", "--neurons", "p1:5,0"]) == 0
    shown = json.loads(capsys.readouterr().out)["traces"]["neurons"]
    assert [(trace["population"], trace["neuron"], len(trace["float"])) for trace in shown] == [
        ("p1", 5, 9),
        ("p1", 0, 9),
    ]
    for words, said in (
        (["--json", "--neurons", "p1:6"], "neurons of 'p1' are 0 to 5: 6"),
        (["--json", "--neurons", "p9:0"], "there is no 'p9'"),
        (["--json", "--neurons", "p1"], "as hidden:0,5: 'p1'"),
        (["--neurons", "p1:0"], "add --html FILE or --json"),
    ):
        assert main([*command, *words]) == 2
        assert said in capsys.readouterr().err


def test_membranes_of_equal_networks_are_equal_in_the_float_networks_units() -> None:
    spikes = random_spikes(3, INTEGER, samples=1, steps=9)
    raster, traces = traced(REAL, INTEGER, spikes)
    assert {trace.population for trace in traces.neurons} == {"p0", "p1"} and traces.steps == 9
    real = run_float(REAL, spikes, membranes=True)
    for trace in traces.neurons:
        membranes = real.populations[trace.population].membranes
        assert membranes is not None
        np.testing.assert_allclose(trace.real, membranes[0, :, trace.neuron])
        np.testing.assert_allclose(trace.integer, trace.real, atol=0.5)  # the leak rounds
        assert trace.spikes == raster.layers[("p0", "p1").index(trace.population)].rows[trace.neuron]


def test_the_neurons_that_are_shown_fire_most_or_differ_first() -> None:
    spikes = random_spikes(3, INTEGER, samples=1, steps=9)
    _, traces = traced(REAL, shifted(INTEGER, "p0"), spikes)
    fired = run_float(REAL, spikes).populations["p0"].spikes[0]
    shown = [trace for trace in traces.neurons if trace.population == "p0"]
    assert shown[0].neuron == fired.sum(axis=0).argmax() and set("fi") & set(shown[-1].spikes)

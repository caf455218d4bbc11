"""The benchmark of networks in time: what it compares, and what its tables say."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.neurons import Kind
from spikeloom.compiler.ir.verifier import verify
from spikeloom.sim.reference import run_reference

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def in_time() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("in_time")


def test_networks_differ_in_what_is_measured_alone(in_time: ModuleType) -> None:
    network = in_time.random_network(0, (8, 40, 5), 0.5, 4)
    currents, delayed = in_time.with_currents(network), in_time.with_axonal_delays(network)
    for changed in (currents, delayed):
        verify(changed)
        pairs = zip(network.projections, changed.projections, strict=True)
        assert all(a.connectivity is b.connectivity for a, b in pairs)
        assert isinstance(changed.projections[0].connectivity, Dense)
    assert all(p.dynamics.kind is Kind.CUBALIF for p in currents.populations)
    delay = delayed.projections[-1].delay
    assert (delay == delay[:, :1]).all() and delay.min() >= 1 and delay.max() == in_time.DELAY
    assert len(np.unique(delay)) > 10 and not delayed.projections[0].step_edge
    spikes = (np.random.default_rng(1).random((2, 30, 8)) < 0.4).astype(np.uint8)
    assert not np.array_equal(run_reference(delayed, spikes).spikes, run_reference(network, spikes).spikes)


def test_events_have_both_signs_at_the_rate_that_is_said(in_time: ModuleType) -> None:
    events = in_time.signed_events(0)
    assert set(np.unique(events)) == {-1, 0, 1}
    assert abs(np.mean(events != 0) - in_time.EVENTS) < 0.02 and abs(events.mean()) < 0.02


def test_the_speech_network_without_its_file_is_skipped(in_time: ModuleType, tmp_path: Path) -> None:
    bench = in_time.Bench(argparse.Namespace(neurobench=tmp_path, seed=1), tmp_path)
    in_time.measure(bench, ["speech-ecp5"])
    rows = in_time.read_rows(tmp_path)
    assert rows == {"speech-ecp5": {"missing": "skipped: --neurobench has no gsc_snntorch.pt"}}
    assert "skipped: --neurobench" in in_time.tables(rows)


def test_tables_say_what_changes(in_time: ModuleType) -> None:
    before = {"luts": 200, "lcs": 300, "brams": 4, "fmax_mhz": 40.0}
    after = {"luts": 190, "lcs": 330, "brams": 5, "fmax_mhz": 38.5}
    row = {"title": "something", "device": "up5k", "without": before, "with": after}
    table = in_time.cost_table({"currents-braille": row}).splitlines()
    assert table[2] == (
        "| something | up5k | 200 → 190 (-10, -5%) | 300 → 330 (+30, +10%) | 4 → 5 (+1, +25%) | 40.0 → 38.5 |"
    )
    metrics = {
        "footprint_bytes": 1000.0,
        "connection_sparsity": 0.5,
        "activation_sparsity": 0.9,
        "effective_acs": 500.0,
        "dense": 2000.0,
    }
    figures = {"comb": 900, "dp16kd": 12, "fmax_mhz": 50.0}
    speech = {"title": "half", "board": "ulx3s", "cycles_per_step": 123.4, "figures": figures, "metrics": metrics}
    lines = in_time.speech_table({"speech-ecp5": speech | {"steps": 10}}).splitlines()
    assert lines[2] == "| ulx3s | half | 900 | 12 | 0 | 50.0 | 123 | 1,000 | 0.500 | 0.9000 | 50 | 200 |"
    assert len({line.count("|") for line in lines}) == 1

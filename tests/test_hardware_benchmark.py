"""The benchmark of the hardware: goals, table, random networks, beats and what was kept; no tool runs."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from networks import chain
from spikeloom.compiler.plan.folding import check_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import ModelError
from spikeloom.hdl.memories.memory import Family

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


@pytest.fixture(scope="module")
def hardware() -> Iterator[SimpleNamespace]:
    """All that the benchmark's modules hold."""
    folder = Path(__file__).resolve().parent.parent / "benchmarks"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        names = ("bench", "cycles", "foldings", "goals", "networks", "prepare", "rows", "table")
        modules = [importlib.import_module(f"measuring.{name}") for name in names]
        yield SimpleNamespace(**{key: value for module in modules for key, value in vars(module).items()})


def bench(hardware: SimpleNamespace, folder: Path, **files: Path) -> object:
    names = ("mnist", "mnist16", "mnist_data", "mnist16_data")
    options = argparse.Namespace(**dict.fromkeys(names), seed=1, epochs=1, finetune_epochs=1, resume=False)
    for name, file in files.items():
        setattr(options, name, file)
    return hardware.Bench(options, folder)


def test_goals_are_met_or_missed(hardware: SimpleNamespace) -> None:
    most = hardware.Goal(figure="lcs", limit=400)
    least = hardware.Goal(figure="accuracy", limit=97.0, at_least=True)
    assert most.met({"lcs": 400}) and least.met({"accuracy": 97.0})
    assert most.met({}) is None
    assert hardware.verdict(most, {}).endswith("not measured")
    assert "met (400)" in hardware.verdict(most, {"lcs": 400})
    assert "**missed** by 10.0% (440)" in hardware.verdict(most, {"lcs": 440})
    assert least.missed_by({"accuracy": 87.3}) == pytest.approx(0.1)


def test_every_row_can_be_measured_and_every_figure_has_a_name(hardware: SimpleNamespace) -> None:
    ids = [row.id for row in hardware.ROWS]
    assert len(set(ids)) == len(ids)
    assert set(ids) | set(hardware.FRONT) == set(hardware.MEASURES)
    assert {goal.figure for row in hardware.ROWS for goal in row.goals} <= set(hardware.NAMES)


def test_rows_without_files_are_skipped(
    hardware: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    hardware.measure_rows(bench(hardware, tmp_path), ["ecp5", "mnist16", "compile"])
    printed = capsys.readouterr().out
    assert "ecp5: skipped: --mnist is not given" in printed
    assert "mnist16: skipped: --mnist16 is not given" in printed
    results = hardware.read_results(tmp_path)
    assert not any(result.measured for result in results.values())
    assert "| skipped: --mnist is not given |" in hardware.markdown(results)


def test_a_row_that_is_skipped_or_fails_keeps_no_older_figure(
    hardware: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise ModelError("no such core")

    for measure, text in ((lambda _: hardware.Result({"lcs": 7777.0}), "7,777 LC"), (fails, "failed: no such core")):
        monkeypatch.setitem(hardware.MEASURES, "compile", measure)
        hardware.measure_rows(bench(hardware, tmp_path), ["compile"])
        assert f"| {text} |" in hardware.markdown(hardware.read_results(tmp_path))
    assert "7,777 LC" not in hardware.markdown(hardware.read_results(tmp_path))


def test_a_run_that_is_resumed_measures_what_is_missing(
    hardware: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, measured = importlib.import_module("measuring.rows"), []

    def measure(_: object) -> object:
        measured.append(len(measured))
        return hardware.Result({"lcs": float(len(measured))})

    monkeypatch.setitem(hardware.MEASURES, "compile", measure)
    resumed = bench(hardware, tmp_path)
    resumed.options.resume = True  # type: ignore[attr-defined]
    for commit, count in (("abc", 1), ("abc", 1), ("def", 2), ("def-dirty", 3), ("def-dirty", 4)):
        monkeypatch.setattr(rows, "commit_of_sources", lambda commit=commit: commit)
        hardware.measure_rows(resumed, ["compile"])
        assert len(measured) == count and hardware.read_results(tmp_path)["compile"].figures == {"lcs": count}


def test_rows_of_different_commits_make_no_table(hardware: SimpleNamespace) -> None:
    one, other = (hardware.Result({"lcs": 1.0}, commit=commit) for commit in ("abc", "def"))
    hardware.require_one_commit({"ecp5": one, "compile": one})
    with pytest.raises(SystemExit, match="a table has the figures of one commit: abc: ecp5; def: compile; measure"):
        hardware.require_one_commit({"ecp5": one, "compile": other})


def test_what_was_measured_is_kept(hardware: SimpleNamespace, tmp_path: Path) -> None:
    calls = []

    def measure(folder: Path) -> dict[str, int]:
        assert (folder / "logs").is_dir()
        calls.append(folder)
        return {"luts": len(calls)}

    kept = bench(hardware, tmp_path).kept
    assert kept("placed", ["a", "b"], measure) == kept("placed", ["a", "b"], measure) == {"luts": 1}
    assert kept("placed", ["ab"], measure) == {"luts": 2}


def test_random_networks_have_exactly_their_density(hardware: SimpleNamespace) -> None:
    network = hardware.random_network(0, (64, 32, 10), 0.1, 4)
    assert [layer.synapses for layer in make_plan(network).layers] == [205, 32]
    again = hardware.random_network(0, (64, 32, 10), 0.1, 4)
    for one, other in zip(network.projections, again.projections, strict=True):
        np.testing.assert_array_equal(one.weights.codes, other.weights.codes)


def test_foldings_suit_the_network(hardware: SimpleNamespace) -> None:
    network = chain(0, (40, 32, 10))
    for _, folding in hardware.FRONT.values():
        check_folding(network, folding(network))
    check_folding(network, hardware.half_vector_folding(network, 16))


def test_figures_are_named_after_the_family(hardware: SimpleNamespace) -> None:
    used = {"luts": 300, "lcs": 400, "brams": 5, "spram": 0, "dsps": 0}
    assert hardware.named(used, Family.ECP5) == {"luts": 300, "comb": 400, "dp16kd": 5, "spram": 0}
    assert hardware.named(used, Family.ICE40) == {"luts": 300, "lcs": 400, "brams": 5, "spram": 0}


def test_time_is_cycles_at_fmax(hardware: SimpleNamespace) -> None:
    figures = hardware.timed({"fmax_mhz": 50.0}, 60, 25)
    assert (figures["us_per_step"], figures["us_per_image"]) == (1.2, 30)


@pytest.mark.parametrize("events", [2, 3])
def test_cycles_of_beats(hardware: SimpleNamespace, events: int) -> None:
    network = chain(0, (40, 16, 10))
    plan = make_plan(network, "ecp5", hardware.vector_folding(network, events))
    spikes = np.ones((1, 3, 40), np.uint8)
    cycles, how = hardware.cycles_per_step(plan, spikes)
    assert 40 / events < cycles < 40
    assert how == "cycles of 1 samples"


def test_cycles_of_sparse_rows_are_modelled_and_simulated(hardware: SimpleNamespace) -> None:
    network = chain(0, (12, 6, 3))
    spikes = np.ones((3, 4, 12), np.uint8)
    cycles, how = hardware.cycles_per_step(make_plan(network), spikes)
    assert cycles > 12
    assert how == "cycles of 3 samples"


def test_the_front_has_what_nothing_beats(hardware: SimpleNamespace) -> None:
    assert hardware.pareto([(1, 9), (2, 5), (3, 6), (2, 5), (4, 1)]) == [(1, 9), (2, 5), (4, 1)]


def test_tables_are_written_from_what_was_measured(hardware: SimpleNamespace, tmp_path: Path) -> None:
    figures = {"luts": 450.0, "comb": 600.0, "dp16kd": 7.0, "fmax_mhz": 70.0, "cycles_per_step": 900.0}
    figures["us_per_image"] = 320.0
    for id in ("ecp5", "front-shared"):
        content = {"figures": figures, "remarks": ["5,000 synapses"], "commit": "abc"}
        hardware.write_figures(tmp_path / "rows" / f"{id}.json", content)
    results = hardware.read_results(tmp_path)
    assert set(results) == {"ecp5", "front-shared"}
    text = hardware.markdown(results)
    assert "LUT4 <= 500: met (450)<br>DP16KD <= 6: **missed** by 16.7% (7)" in text
    assert "| shared | 450 | 600 | 7 | 70 | 900 | 320 |" in text
    assert "not measured" in text
    hardware.write_tables(results, tmp_path, None)
    assert "Spiker+" in (tmp_path / "benchmarks_hardware.svg").read_text(encoding="utf-8")

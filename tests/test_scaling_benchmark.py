"""The benchmark of how it scales: its networks' sizes, its page; no tool runs."""

from __future__ import annotations

import importlib
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "benchmarks"))
        return importlib.import_module("scaling")


def test_a_network_has_about_the_synapses_asked_for(benchmark: ModuleType) -> None:
    for synapses in benchmark.SYNAPSES:
        inputs, hidden, outputs = benchmark.sizes_of(synapses)
        assert benchmark.DENSITY * (inputs + outputs) * hidden == pytest.approx(synapses, rel=0.15)


def test_the_page_has_the_sizes_that_every_fold_was_measured_at(benchmark: ModuleType, tmp_path: Path) -> None:
    point = dict.fromkeys(benchmark.COLUMNS, 2.0)
    found = {
        "300 shared": point | {"synapses": 296},
        "300 fast": point | {"synapses": 296},
        "1000 fast": point | {"synapses": 1009},
    }
    docs = tmp_path / "docs"
    docs.mkdir()
    options = Namespace(output=tmp_path, docs=docs, folds=["shared", "fast"])
    benchmark.write(found, [300, 1000], options, "abc")
    assert benchmark.read_points(tmp_path, "abc") == found and not benchmark.read_points(tmp_path, "def")
    for folder in (tmp_path, docs):
        page = (folder / "scaling.md").read_text(encoding="utf-8")
        assert "| 296 | shared | 2 |" in page and "| 296 | fast | 2 |" in page and "1,009" not in page
        assert "tools (fast)" in (folder / "scaling.svg").read_text(encoding="utf-8")

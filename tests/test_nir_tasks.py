"""The benchmark of the NIR paper's tasks: what it says without tools, and what it says is missing."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tasks() -> Iterator[ModuleType]:
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("nir_tasks")


def test_agreement_is_told_in_spikes(tasks: ModuleType) -> None:
    wanted = np.array([[1, 0, 0, 1], [0, 0, 2, 0]])
    assert tasks.differing(wanted, wanted) == "0 of 4 (0.0%)"
    assert tasks.differing(0 * wanted, wanted) == "3 of 4 (75.0%)"
    assert tasks.differing(wanted, 0 * wanted) == "3 of 0"


def test_what_is_not_there_is_said(tasks: ModuleType, tmp_path: Path) -> None:
    for task in tasks.TASKS:
        (line,) = tasks.lines_of(task, tmp_path, None)
        assert line.cells[0] == f"not run: {task.file} is not there" and len(line.cells) == len(tasks.COLUMNS)
    lines = [line for task in tasks.TASKS for line in tasks.lines_of(task, tmp_path, None)]
    rows = tasks.table(lines).splitlines()
    assert len(rows) == 2 + len(tasks.TASKS) and len({row.count("|") for row in rows}) == 1


def test_the_graphs_that_are_at_hand(tasks: ModuleType, shared: Path) -> None:
    cells = {
        task.title: [line.cells for line in tasks.lines_of(task, shared / "data" / "nir", None)] for task in tasks.TASKS
    }
    norse, rockpool, two, cnn, braille = cells.values()
    for single in (norse, rockpool):
        assert single[1][:2] == ("8 bits", f"0 of {single[0][1].split()[0]} (0.0%)")
    assert two[0][0] == "float (float64)"
    assert cnn[0][0].startswith("run by benchmarks/convolution.py")
    assert [line[0] for line in braille] == ["float (float32)", "12 bits", "8 bits"]
    assert [line[1] for line in braille[:2]] == ["0 of 119 (0.0%)", "0 of 119 (0.0%)"]
    assert all(line[3:] == tasks.NOT_MEASURED for line in braille)


def test_the_page_has_the_table_of_this_benchmark(tasks: ModuleType) -> None:
    page = (ROOT / "docs" / tasks.PAGE).read_text(encoding="utf-8")
    assert all(f"| {task.title} |" in page and f"| {task.others} |" in page for task in tasks.TASKS)
    assert f"| task | {' | '.join(tasks.COLUMNS)} |" in page

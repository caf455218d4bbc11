"""Every mutant fits the code as it is, and the program that runs them says rightly what became of one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from mutants.__main__ import ROOT, Fate, copy_package, is_stale, try_mutant
from mutants.listing import MUTANTS, Mutant


def test_every_mutant_fits_the_code() -> None:
    """Each changes a text that is in its file once, has tests, and a name of its own."""
    assert not [f"{mutant.file}: {mutant.name}" for mutant in MUTANTS if is_stale(mutant)]
    assert all(mutant.old != mutant.new for mutant in MUTANTS)
    assert not [test for mutant in MUTANTS for test in mutant.tests if test.endswith(".py") and not is_file(test)]
    assert all(mutant.tests[0].endswith(".py") for mutant in MUTANTS)
    assert len({(mutant.file, mutant.name) for mutant in MUTANTS}) == len(MUTANTS)


def is_file(test: str) -> bool:
    return (ROOT / test).is_file()


HALF = Mutant("half", "hdl/link/protocol.py", "= 0xC0,", "= 0xC1,", ("tests/test_a.py", "-k", "ends"))
"""A mutant that the program is tried on; nobody runs it."""


@pytest.mark.parametrize(
    ("chosen", "whole", "fate"),
    [
        (1, None, Fate.KILLED),
        (0, 1, Fate.LATE),
        (0, 0, Fate.SURVIVED),
        (pytest.ExitCode.NO_TESTS_COLLECTED, 0, Fate.STALE),
    ],
)
def test_what_becomes_of_a_mutant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: int, whole: int | None, fate: Fate
) -> None:
    """`chosen` and `whole` are the exit statuses of the tests that its words choose, and of their files."""
    package = copy_package(tmp_path)
    original = (package / HALF.file).read_text()

    def run(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert (package / HALF.file).read_text() == original.replace(HALF.old, HALF.new) != original
        status = chosen if "-k" in command else whole
        assert status is not None, "what is killed is killed once"
        return subprocess.CompletedProcess(command, status, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert try_mutant(HALF, package) is fate
    assert (package / HALF.file).read_text() == original


def test_a_mutant_whose_text_is_gone_is_stale(tmp_path: Path) -> None:
    assert try_mutant(replace(HALF, old="no such text"), tmp_path) is Fate.STALE

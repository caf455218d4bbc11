"""Apply every mutant to a copy of the package and run its tests: `make mutants`, or `python -m mutants --help`.

Ends in status 1 where one survives, or is stale: its text is not in its file, or more than once, or its words choose
no test.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from enum import StrEnum
from pathlib import Path

from .listing import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
HOUSES = ("compiler", "hdl", "boards", "sim")
TIMEOUT_SECONDS = 300
NO_TESTS = 5
"""Pytest's exit status where nothing was chosen."""


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    LATE = "killed late"
    """By other tests of its files only, not by those that its words choose, where a kill is quickest."""

    SURVIVED = "SURVIVED"
    STALE = "STALE"


def main() -> int:
    """Run the mutants that were asked for; the exit status."""
    options = _options()
    chosen = [m for m in MUTANTS if not options.only or any(word in f"{m.file} {m.name}" for word in options.only)]
    fates: Counter[Fate] = Counter()
    with tempfile.TemporaryDirectory(prefix="spikeloom-mutants-") as folder:
        package = copy_package(Path(folder))
        for mutant in chosen:
            start = time.monotonic()
            fate = try_mutant(mutant, package)
            fates[fate] += 1
            print(f"{fate:11} {time.monotonic() - start:4.0f} s  {mutant.file}: {mutant.name}", flush=True)
    score = ", ".join(f"{fates[fate]} {fate.lower()}" for fate in Fate)
    print(f"{len(chosen)} mutants: {score}")
    return int(fates[Fate.KILLED] + fates[Fate.LATE] < len(chosen))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="WORD", help="only mutants whose file or name holds one of these")
    return parser.parse_args()


def copy_package(folder: Path) -> Path:
    """A copy of the package in `folder`, found before the installed one where `folder` leads the module path."""
    package = folder / "spikeloom"
    shutil.copytree(ROOT / "package", package, ignore=shutil.ignore_patterns("__pycache__"))
    for house in HOUSES:
        shutil.copytree(ROOT / house, package / house, ignore=shutil.ignore_patterns("__pycache__"))
    return package


class NoTestsError(Exception):
    """Words choose no test."""


def is_stale(mutant: Mutant) -> bool:
    """Whether the mutant's text is not in its file just once."""
    return (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) != 1


def try_mutant(mutant: Mutant, package: Path) -> Fate:
    """Make the change, run the tests that should see it, or else all of their files, and take the change back."""
    if is_stale(mutant):
        return Fate.STALE
    file = package / mutant.file
    original = file.read_text(encoding="utf-8")
    file.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        whole = tuple(test for test in mutant.tests if test.endswith(".py"))
        if not passes(mutant.tests, package.parent):
            return Fate.KILLED
        if mutant.tests != whole and not passes(whole, package.parent):
            return Fate.LATE
        return Fate.SURVIVED
    except NoTestsError:
        return Fate.STALE
    finally:
        file.write_text(original, encoding="utf-8")


def passes(tests: tuple[str, ...], path: Path) -> bool:
    """Whether tests pass on the package under `path`; what hangs does not. Raises NoTestsError."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    # Files of one size that change within a second look the same to Python's caches.
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if run.returncode == NO_TESTS:
        raise NoTestsError(" ".join(tests))
    if run.returncode not in (0, 1):  # a bad option, say: neither passed nor failed
        raise RuntimeError(f"pytest {' '.join(tests)} ended with status {run.returncode}:\n{run.stdout[-2000:]}")
    return run.returncode == 0


if __name__ == "__main__":
    sys.exit(main())

"""The compression tutorial of examples/ runs from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from spikeloom.compiler import read_nir

ROOT = Path(__file__).resolve().parent.parent


def test_the_tutorial_runs(tmp_path: Path) -> None:
    for module in ("torch", "snntorch", "sklearn", "optuna"):
        pytest.importorskip(module)
    options = ["--output", tmp_path, "--epochs", "3", "--trials", "2"]
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "compression_tutorial.py", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr
    for words in (
        "1. Weight pruning",
        "2. Structural",
        "3. Weight quant",
        "4. Delay",
        "[2 2 4 0]",
        "5. Fit",
        " - FITS",
        "6. Train",
    ):
        assert words in run.stdout
    assert "[6 4 1]" in run.stdout  # the delays that bring three spikes together
    network = read_nir(tmp_path / "tutorial.nir")
    assert network.is_integer
    assert np.mean([np.mean(p.weights.codes == 0) for p in network.projections]) > 0.1

"""The recorded session that comes along is that of the demo's design, as it is built today."""

from __future__ import annotations

from pathlib import Path

import pytest
from spikeloom.compiler.cli.demo_command import BITS, BOARD, EXAMPLES, SPARSITY
from spikeloom.compiler.cli.main import main

SESSION = EXAMPLES / "digits_icebreaker.session"


@pytest.mark.slow
def test_the_session_is_that_of_the_demos_design(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is not any more: build the demo, start `spikeloom board`, and record it again (docs/boards.md)."""
    digits, calibration, test = (EXAMPLES / f"digits{name}" for name in (".nir", "_calibration.npz", "_test.npz"))
    options = ["--board", BOARD, "--method", "magnitude", "--bits", BITS, "--sparsity", SPARSITY]
    build = ["compile", digits, "--data", calibration, *options, "--output", tmp_path / "build"]
    assert main(list(map(str, build))) == 0
    run = ["run", tmp_path / "build", "--data", test, "--limit", 20, "--check", "--replay", SESSION]
    assert main(list(map(str, run))) == 0
    assert "every class are the integer reference's" in capsys.readouterr().out

"""What the command line says of a mistake."""

from __future__ import annotations

import pytest
from spikeloom.compiler.cli.main import main


def mistake(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line in which a command that ends in status 2 says why."""
    assert main(list(argv)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error

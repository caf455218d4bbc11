"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with shared data (MNIST, golden cases, NIR graphs), or skip where it is not there."""
    root = Path(__file__).resolve().parent.parent
    folder = (root / os.environ.get("SPIKELOOM_SHARED", "../shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"shared data not found at {folder}; set SPIKELOOM_SHARED")
    return folder

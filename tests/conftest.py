"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

# What a shell or a CI runner starts in the background ignores SIGINT, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where tests run side by side there is a processor for each of them, and none for torch's further threads.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


SETS = {
    "golden": "the 228 golden cases of the contract (the 30 of tests/golden_share are checked)",
    "data/mnist": "MNIST",
    "data/nmnist": "recordings of N-MNIST",
    "data/nir": "the NIR paper's graphs",
}
"""Larger sets of data that tests use where they are there."""


def shared_folder() -> Path:
    """Where shared data are, if they are."""
    return (Path(__file__).resolve().parent.parent / os.environ.get("SPIKELOOM_SHARED", "../shared")).resolve()


def pytest_report_header() -> list[str]:
    """Which larger sets were not found, so that nobody takes a skip for a pass."""
    missing = [words for name, words in SETS.items() if not (shared_folder() / name).is_dir()]
    return [f"not found in {shared_folder()}: {'; '.join(missing)}; set SPIKELOOM_SHARED"] if missing else []


@pytest.hookimpl(tryfirst=True)  # before slow tests are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test marked `thinned(n)` every n-th case, by its name, is tried by CI; the others are slow."""
    for item in items:
        thinned = item.get_closest_marker("thinned")
        if thinned is not None and zlib.crc32(item.name.encode()) % thinned.args[0]:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with shared data (MNIST, golden cases, NIR graphs), or skip where it is not there."""
    folder = shared_folder()
    if not folder.is_dir():
        pytest.skip(f"shared data not found at {folder}; set SPIKELOOM_SHARED")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads, and lose much where the machine is busy."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

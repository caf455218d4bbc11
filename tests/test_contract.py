"""Every golden case of the arithmetic contract, through every executor of integer networks."""

from __future__ import annotations

import numpy as np
import pytest
from golden import GoldenCase, golden_cases, golden_file
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference

CASES = golden_cases()


def _id(case: GoldenCase) -> str:
    return f"{case.name}-{'+'.join(sorted(case.needs))}"


def assert_agrees(case: GoldenCase, recording: Recording) -> None:
    """Every spike and membrane of every population, bit for bit."""
    assert set(recording.populations) == set(case.expected)
    for name, (spikes, membranes) in case.expected.items():
        record = recording.populations[name]
        np.testing.assert_array_equal(record.spikes, spikes, err_msg=f"spikes of {name}")
        np.testing.assert_array_equal(record.membranes, membranes, err_msg=f"membranes of {name}")


def test_golden_cases_are_there() -> None:
    if not golden_file().is_file():
        pytest.skip(f"no golden cases at {golden_file()}; set SPIKELOOM_SHARED")
    assert len(CASES) >= 80


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_reference_agrees(case: GoldenCase) -> None:
    assert_agrees(case, run_reference(case.network, case.spikes, membranes=True))

"""Every golden case of the arithmetic contract, through every executor of integer networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from golden import GoldenCase, entries_ahead, golden_cases, golden_folder, lacking
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import ModelError
from spikeloom.sim import simulate
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference

CASES = golden_cases()

UNSUPPORTED = frozenset({"ALIF", "several spikes per step"})
"""What the generated hardware does not have yet, in the words of the cases' `needs`."""


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
    if not golden_folder().is_dir():
        pytest.skip(f"no golden cases at {golden_folder()}; set SPIKELOOM_SHARED")
    assert len(CASES) >= 80
    assert sum("floor" in case.needs for case in CASES) >= 10
    assert sum("ALIF" in case.needs for case in CASES) >= 10
    assert sum("several spikes per step" in case.needs for case in CASES) >= 10


@pytest.mark.parametrize("entry", entries_ahead(), ids=lambda entry: entry["name"])
def test_what_is_not_there_yet_is_skipped_by_name(entry: dict[str, Any]) -> None:
    pytest.skip(f"the IR lacks {', '.join(lacking(entry))}")


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_reference_agrees(case: GoldenCase) -> None:
    assert_agrees(case, run_reference(case.network, case.spikes, membranes=True))


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_hardware_agrees(case: GoldenCase) -> None:
    """The generated core in the Amaranth simulator; what it lacks is refused by name, then skipped by name."""
    missing = case.needs & UNSUPPORTED
    if missing:
        with pytest.raises(ModelError):
            make_plan(case.network)
        pytest.skip(f"the hardware lacks {', '.join(sorted(missing))}")
    assert_agrees(case, simulate(case.network, case.spikes, executor="amaranth", membranes=True))

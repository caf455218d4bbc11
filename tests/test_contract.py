"""Every golden case of the arithmetic contract, through every executor of integer networks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from golden import (
    IMPLEMENTED,
    SHARE,
    GoldenCase,
    entries_ahead,
    golden_cases,
    golden_entries,
    golden_folder,
    lacking,
    network_of,
    whole_set,
)
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.readout import ReadBy, Readout
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.compiler.plan.readout import require_answer
from spikeloom.hdl.errors import ModelError
from spikeloom.sim import simulate
from spikeloom.sim.amaranth_executor import run_amaranth
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
    """All of them, or at least the share."""
    most = 10 if golden_folder() == whole_set() else 3
    assert len(CASES) >= (80 if most == 10 else 30)
    for need in ("floor", "ALIF", "several spikes per step"):
        assert sum(need in case.needs for case in CASES) >= most


def test_the_share_has_every_need_and_is_of_the_whole_set() -> None:
    entries = [entry for file in sorted(SHARE.glob("*.json")) for entry in json.loads(file.read_text())["cases"]]
    assert {need for entry in entries for need in entry["needs"]} == IMPLEMENTED
    if not whole_set().is_dir():
        pytest.skip(f"no golden cases at {whole_set()}; set SPIKELOOM_SHARED")
    known = {entry["name"]: entry for entry in (*golden_entries(), *entries_ahead())}
    assert all(known[entry["name"]] == entry for entry in entries)


@pytest.mark.parametrize("entry", entries_ahead(), ids=lambda entry: entry["name"])
def test_what_is_not_there_yet_is_skipped_by_name(entry: dict[str, Any]) -> None:
    pytest.skip(f"the IR lacks {', '.join(lacking(entry))}")


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_reference_agrees(case: GoldenCase) -> None:
    assert_agrees(case, run_reference(case.network, case.spikes, membranes=True))


SUMMED = [entry for entry in golden_entries() if "sum pooling of currents" in entry["needs"]]


@pytest.mark.parametrize("entry", SUMMED, ids=lambda entry: entry["name"])
def test_reference_sums_the_sums_of_a_convolution(entry: dict[str, Any]) -> None:
    network = network_of(entry, fold=False)
    assert any(isinstance(p.connectivity, Convolution) and p.connectivity.pool_after for p in network.projections)
    found = run_reference(network, np.array(entry["input"]["spikes"], np.uint8), membranes=True)
    for name, expected in entry["expected"].items():
        assert found.populations[name].spikes.tolist() == expected["spikes"]


MAPS = {"convolution", "grouped convolution", "sum pooling", "max pooling"}
MAPPED = [case for case in CASES if MAPS & case.needs]
"""Those whose cores take long to simulate, as every event reaches many neurons."""


def part_of(case: GoldenCase, samples: slice, steps: slice = slice(None)) -> GoldenCase:
    """Its first samples and steps."""
    expected = {name: tuple(array[samples, steps] for array in both) for name, both in case.expected.items()}
    return replace(case, spikes=case.spikes[samples, steps], expected=expected)


def assert_hardware_agrees(case: GoldenCase) -> None:
    """The generated core in the Amaranth simulator."""
    assert_agrees(case, simulate(case.network, case.spikes, executor="amaranth", membranes=True))


@pytest.mark.parametrize("case", [case for case in CASES if not MAPS & case.needs], ids=_id)
def test_hardware_agrees(case: GoldenCase) -> None:
    assert_hardware_agrees(part_of(case, slice(1)))


@pytest.mark.parametrize("case", MAPPED[::4], ids=_id)
def test_hardware_of_maps_agrees(case: GoldenCase) -> None:
    assert_hardware_agrees(part_of(case, slice(1), slice(5)))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=_id)
def test_hardware_agrees_on_all_samples(case: GoldenCase) -> None:
    assert_hardware_agrees(case)


READ = [case for case in CASES if not case.network.output_fires and "convolution" not in case.needs]
"""Those with matrices: how membranes leave has nothing to do with what reaches them."""
BY_MEMBRANES = [by.value for by in ReadBy if Readout(by=by).of_membranes]


READINGS = [pytest.param(case, by, id=f"{_id(case)}-{by}") for case in READ for by in BY_MEMBRANES]
PER_CASE = len(BY_MEMBRANES)


def assert_hardware_reads(case: GoldenCase, by: str) -> None:
    """The readings of a core are the case's own membranes, as far as they can leave it."""
    network = case.network.with_readout(by)
    plan = make_plan(network)
    if plan.readout is None:
        with pytest.raises(ModelError, match="whose membranes are read leads nowhere"):
            require_answer(network)
        pytest.skip("the output leads on to another population")
    assert_agrees(case, run_amaranth(plan, case.spikes, membranes=True, stress=3))


@pytest.mark.parametrize(("case", "by"), [READINGS[n * PER_CASE + n // 2 % PER_CASE] for n in range(0, len(READ), 2)])
def test_hardware_gives_the_membranes_of_integrators(case: GoldenCase, by: str) -> None:
    """Of half of the cases by one readout."""
    assert_hardware_reads(part_of(case, slice(1)), by)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "by"), READINGS)
def test_hardware_gives_the_membranes_by_every_readout(case: GoldenCase, by: str) -> None:
    assert_hardware_reads(case, by)

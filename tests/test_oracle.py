"""The oracle of the fuzzing, and the reference against it on random networks of everything that the IR has."""

from __future__ import annotations

import pytest
from fuzz.check import check_reference
from fuzz.networks import networks
from fuzz.oracle import Data, run_sample
from fuzz.stimuli import stimuli
from golden import golden_entries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("entry", golden_entries(), ids=lambda entry: entry["name"])
def test_the_oracle_equals_the_golden_cases(entry: Data) -> None:
    for sample, steps in enumerate(entry["input"]["spikes"]):
        for name, trace in run_sample(entry, steps).items():
            assert trace.spikes == entry["expected"][name]["spikes"][sample]
            assert trace.membranes == entry["expected"][name]["membranes"][sample]


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_reference_equals_the_oracle(data: st.DataObject) -> None:
    network = data.draw(networks(hardware=False))
    samples = [run["steps"] for run in data.draw(stimuli(network))["runs"]]
    check_reference(network, samples)

"""What a search judges candidates by where labels are missing or say nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler import Samples, read_nir
from spikeloom.compiler.flow.measure import known_accuracy
from spikeloom.compiler.optimizer import fit_to_target
from spikeloom.compiler.optimizer.subject import make_subject
from spikeloom.hdl.errors import ModelError, SampleError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.recording import PopulationRecording, Recording
from test_fit import fitted, no_tools, samples, weights

pytest.importorskip("optuna")

__all__ = ["no_tools"]  # a fixture


def test_one_output_is_judged_by_its_spikes(no_tools: list[Any], shared: Path) -> None:
    """Its class is always 0: a silent candidate agreed by 100 %."""
    network = read_nir(shared / "faults/one_output.nir")
    about = make_subject(None, network, data=shared / "faults/one_output_unlabelled.npz")
    assert about.measure == "spike counts" and about.counts is not None and about.validation is not None
    assert about.validation.labels is None and about.counts.sum() > 0
    original = run_float(network, about.validation.spikes)
    assert about.judge(original) == 1.0
    assert about.judge(silent(original)) == 0.0
    half = original.spikes.copy()
    half[:, ::2] = 0
    assert about.judge(with_output(original, half)) == pytest.approx(half.sum() / original.spikes.sum())
    result = fitted(weights=network, data=shared / "faults/one_output_unlabelled.npz", trials=2)
    assert re.search(
        r"Spike counts: \d+\.\d% of the original's output spikes agree \(36 samples; its classes do not tell",
        result.summary(),
    )


def test_one_class_everywhere_is_judged_by_spikes() -> None:
    favourite = [weights()[0], np.abs(weights()[1]) * [1, 0.1, 0.1, 0.1]]
    about = make_subject(None, favourite, data=samples().spikes, method="magnitude")
    assert about.measure == "spike counts"
    assert about.validation is not None
    assert about.judge(silent(run_float(about.network, about.validation.spikes))) == 0.0


def test_silence_is_no_class() -> None:
    about = make_subject(None, weights(), data=samples().spikes, method="magnitude")
    assert about.measure == "agreement" and about.validation is not None and about.validation.labels is not None
    original = run_float(about.network, about.validation.spikes)
    assert about.judge(original) == 1.0
    speechless = ~original.spikes.any(axis=(1, 2))
    assert about.judge(silent(original)) == speechless.mean() < 0.2
    assert set(about.validation.labels[speechless]) <= {-1}


def test_silence_and_labels_of_one_class_are_refused() -> None:
    with pytest.raises(SampleError, match=r"its output never fires on the 36 validation samples; give labels, or"):
        make_subject(None, [w * 0.01 for w in weights()], data=samples().spikes, method="magnitude")
    one = Samples(spikes=samples().spikes, labels=np.full(len(samples()), 2))
    with pytest.raises(SampleError, match=r"two classes or more: the 36 validation samples are all of class 2; give"):
        make_subject(None, weights(), data=one, method="magnitude")


def silent(recording: Recording) -> Recording:
    return with_output(recording, np.zeros_like(recording.spikes))


def with_output(recording: Recording, spikes: Any) -> Recording:
    return replace(recording, populations={recording.output: PopulationRecording(spikes=spikes)})


def test_outputs_that_hardware_lacks_are_refused_before_any_trial(shared: Path) -> None:
    resetting = read_nir(shared / "faults/population_code.nir").with_readout("membrane-max")
    with pytest.raises(ModelError, match="membranes are read off an output that never resets"):
        fit_to_target(resetting, data=shared / "faults/population_code.npz")


def test_a_fitted_network_knows_where_it_came_from(no_tools: list[Any]) -> None:
    """Its folder's report then has the original's accuracy, on the test samples."""
    result = fitted(trials=2)
    assert result.accuracy is not None and result.network.origin is not None
    origin, recipe = result.network.origin, result.selected.outcome.point.recipe("magnitude", True)
    assert [(step.method, step.sparsity, step.bits) for step in origin.steps] == [
        ("magnitude", recipe.sparsity, recipe.bits)
    ]
    assert (origin.original, origin.compressed) == result.accuracy.judged and len(origin.errors) == 2
    known = known_accuracy(result.network, built_as_it_is=True)
    assert known is not None and known.original == origin.original
    assert (known.integer, known.samples, known.stimulus) == (result.accuracy.compressed, 48, "test")

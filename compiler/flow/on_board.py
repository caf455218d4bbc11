"""A board's answers against the integer reference's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...boards.host.answers import Answers
from ...boards.host.facts import LinkFacts
from ...hdl.errors import MismatchError, quoted
from ...sim.divergence import check_output
from ...sim.early_exit import early_exit
from ...sim.image_executor import check_image_readings, decoded_classes
from ...sim.recording import PopulationRecording, Recording
from ...sim.reference import run_reference
from ..data.samples import Samples
from ..ir.network import Network
from ..ir.readout import Readout


def sent(facts: LinkFacts, samples: Samples) -> npt.NDArray[Any]:
    """What of the samples goes to the board: the images where it takes some, else the spikes."""
    if facts.coding is None:
        return samples.spikes
    assert samples.images is not None, "a device that takes images is given images"
    return samples.images


def check_answers(
    network: Network,
    facts: LinkFacts,
    samples: Samples,
    answers: Answers,
    margin: int | None = None,
    expected: Recording | None = None,
) -> int:
    """Compare a board's answers with the reference's, until classes are certain by a `margin`; how many values were
    compared.

    The reference runs where it is not `expected`. Raises MismatchError with the first divergence.
    """
    expected = run_reference(network, samples.spikes) if expected is None else expected
    output = expected.populations[network.output]
    if margin is not None:
        return _check_early(network, facts, replace(output, membranes=None), expected.readout, answers, margin)
    if facts.coding is None:
        given = None if answers.readings is None else (answers.readings, None)
        spikes = output.spikes if answers.spikes is None else answers.spikes
        check_output(network, facts.readout, output, spikes, given)
        _check_classes(expected.predicted, answers.classes)
        return int(output.spikes.size if answers.readings is None else answers.readings.size)
    if answers.readings is not None:
        assert facts.readout is not None, "who gives readings has a readout"
        check_image_readings(network, facts.readout, expected, answers.readings)
    if answers.counts is not None:
        _check_counts(network, output.spikes.sum(axis=1, dtype=np.int64), answers.counts)
    _check_classes(decoded_classes(expected, facts.coding), answers.classes)
    compared = [values.size for values in (answers.readings, answers.counts) if values is not None]
    return int(sum(compared) + len(answers.classes))


def _check_early(
    network: Network, facts: LinkFacts, output: PopulationRecording, readout: Readout, answers: Answers, margin: int
) -> int:
    """The same where samples end early: spikes until then, how many steps that took, and classes."""
    assert answers.spikes is not None and answers.steps is not None, "samples end early by their spikes"
    found = early_exit(readout, output.spikes, margin)
    check_output(network, facts.readout, replace(output, spikes=found.spikes), answers.spikes, None)
    for sample in np.flatnonzero(found.steps != answers.steps)[:1]:
        raise MismatchError(f"sample {sample}: steps expected {found.steps[sample]}, got {answers.steps[sample]}")
    _check_classes(found.classes, answers.classes)
    return int(found.spikes.size)


def _check_counts(network: Network, expected: npt.NDArray[np.int64], got: npt.NDArray[np.int64]) -> None:
    """The spikes of every output over an image; raises MismatchError at the first that are others."""
    for image, output in np.argwhere(expected != got)[:1]:
        raise MismatchError(
            f"image {image}, population {quoted(network.output)}, neuron {output}: spikes expected "
            f"{expected[image, output]}, got {got[image, output]}"
        )


def _check_classes(expected: npt.NDArray[np.int64], got: npt.NDArray[np.int64]) -> None:
    """The class of every sample; raises MismatchError at the first that is another."""
    for sample in np.flatnonzero(expected != got)[:1]:
        raise MismatchError(f"sample {sample}: class expected {expected[sample]}, got {got[sample]}")

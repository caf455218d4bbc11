"""What a search is about: the float network, the samples that judge it, and how it is compressed.

Labelled samples are split once, by a fixed seed, into three parts that share none: compression sees the calibration
samples, the search chooses on the validation samples, and the test samples say in the end what the choice costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, OptionError, SampleError, quoted
from ...sim.evaluation import likeness, unseen
from ...sim.float_executor import run_float
from ...sim.inputs import checked_spikes
from ...sim.recording import Recording
from ..compression.activity import BETA, THRESHOLD, estimated_rates, measured_rates
from ..compression.finetune import FineTune
from ..compression.layers import checked_layers, graph_of
from ..compression.recipe import default_method
from ..data.samples import Samples, question_labels
from ..frontends.samples import read_samples
from ..ir.arrays import FloatArray, IntArray
from ..ir.connectivity import Dense
from ..ir.network import INPUT, Network, Population, Projection
from ..ir.neurons import LIF, ResetPlace
from ..ir.verifier import verify
from ..names import METHODS
from ..plan.readout import answered, require_answer

AnyData = Samples | str | Path | Mapping[str, Any] | Sequence[Any] | npt.NDArray[Any]

CALIBRATION_SHARE, VALIDATION_SHARE = 0.3, 0.3
"""Of the samples that are given; the rest are for the test, or for validation where test samples are given."""

MAX_CALIBRATION = 1000
"""Compression gains little from more samples than these."""

LEAST_SAMPLES = 20
"""Fewer cannot be split into three parts that say something."""

DEFAULT_NEURONS = (
    f"LIF, beta {BETA:g}, threshold {THRESHOLD:g}, reset by subtraction (weights alone say nothing of them)"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """`calibration` and `validation` are None where no data were given, `test` also where there are no labels.

    The labels of `validation` are those of the data or, where these have none (`labelled` False), the classes that the
    float network gives them (`said`). Where those tell no samples apart there are none, and candidates are judged by
    `counts` [samples, outputs], the float network's output spikes. `rates` are spikes per step of the inputs and every
    population, for structured removal.
    """

    network: Network
    rates: tuple[FloatArray, ...]
    method: str
    distil: bool = True
    finetune: FineTune | None = None
    calibration: npt.NDArray[np.uint8] | None = None
    validation: Samples | None = None
    test: Samples | None = None
    labelled: bool = False
    counts: IntArray | None = None
    default_neurons: bool = False

    @property
    def measure(self) -> str:
        """What the search calls the quality of a candidate."""
        if self.validation is None:
            return "weights kept"
        if self.counts is not None:
            return "spike counts"
        return "accuracy" if self.labelled else "agreement"

    def judge(self, recording: Recording) -> float:
        """The quality of a candidate that was recorded on the validation samples, a share."""
        assert self.validation is not None
        if self.counts is not None:
            return likeness(self.counts, recording.spikes.sum(axis=1, dtype=np.int64))
        assert self.validation.labels is not None
        if self.labelled:
            return recording.accuracy(self.validation.labels)
        return float(np.mean(said(recording) == self.validation.labels))


SILENT = -1
"""What an output says without a spike: no class, though ties are read as class 0."""


def said(recording: Recording) -> IntArray:
    """The class of each sample, or `SILENT`: where silence counted as a class, silent candidates would agree."""
    return np.where(recording.spikes.any(axis=(1, 2)), recording.predicted, SILENT)


def make_subject(
    layer_shapes: Sequence[Sequence[int]] | None,
    weights: Sequence[Any] | Network | None,
    *,
    data: AnyData | None = None,
    test: AnyData | None = None,
    finetune: AnyData | FineTune | None = None,
    epochs: int = 20,
    method: str | None = None,
    distil: bool = True,
    seed: int = 0,
) -> Subject:
    """Check everything that was given and split the samples.

    Raises ModelError for weights that are none, contradict `layer_shapes` or are integers already and for an output
    that hardware lacks, SampleError for samples that do not suit the network, are too few or say nothing of a
    candidate, OptionError for an unknown method.
    """
    network = _network(layer_shapes, weights)
    if method is not None and method not in METHODS:
        raise OptionError(f"a compression method is one of {', '.join(METHODS)}: got {quoted(method)}")
    method = default_method(network, calibrated=True) if method is None and data is not None else method
    method = method or "magnitude"
    default = not isinstance(weights, Network)
    if data is None:
        if finetune is not None or test is not None:
            raise OptionError("fine-tuning and testing need data to calibrate and choose on: none are given; add data")
        if method != "magnitude":
            raise SampleError(f"{method} compression needs samples: no data are given; magnitude needs none")
        rates = estimated_rates(graph_of(network), network)
        return Subject(network=network, rates=rates, method=method, default_neurons=default)
    samples = as_samples(data, network)
    training = _training(finetune, epochs, network)
    if training is not None and training.spikes is not None and samples.labels is not None:
        samples = unseen(samples, [Samples(spikes=training.spikes, labels=training.labels)])
    calibration, validation, tested = _split(samples, None if test is None else as_samples(test, network), seed)
    labelled = samples.labels is not None
    counts = None
    if labelled:
        _check_classes(network, validation)
    else:
        validation, counts = _self_judged(network, validation)
    return Subject(
        network=network,
        rates=tuple(measured_rates(network, calibration.spikes)),
        method=method,
        distil=distil,
        finetune=training,
        calibration=calibration.spikes,
        validation=validation,
        test=None if tested is None or tested.labels is None else tested,
        labelled=labelled,
        counts=counts,
        default_neurons=default,
    )


# ----------------------------------------------------------------------------------------------------- network


def _network(layer_shapes: Sequence[Sequence[int]] | None, weights: Sequence[Any] | Network | None) -> Network:
    if weights is None:
        raise ModelError("a network is fitted by its weights: none are given; pass weights, a list of arrays")
    network = weights if isinstance(weights, Network) else network_of(weights)
    if layer_shapes is not None:
        _check_shapes(layer_shapes, network)
    verify(network)
    if network.is_integer:
        raise ModelError(
            f"a search chooses the bits of float weights: {quoted(network.name)} is quantised already; compile it as "
            "it is"
        )
    network = answered(network)
    require_answer(network)
    return network


def network_of(weights: Sequence[Any]) -> Network:
    """Layers of weights alone, or with biases, as a chain of the default LIF neurons. Raises ModelError."""
    layers = checked_layers(weights)
    names = [INPUT, *(f"hidden{number}" for number in range(1, len(layers))), "output"]
    dynamics = LIF(beta=np.array(BETA), threshold=np.array(THRESHOLD), reset_place=ResetPlace.NEXT)
    return Network(
        input_shape=(layers[0][0].shape[0],),
        populations=tuple(
            Population(name=name, shape=(matrix.shape[1],), dynamics=dynamics, bias=np.zeros(()) if b is None else b)
            for name, (matrix, b) in zip(names[1:], layers, strict=True)
        ),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=matrix))
            for pre, post, (matrix, _) in zip(names, names[1:], layers, strict=False)
        ),
        output="output",
        dialect="snntorch",
    )


def _check_shapes(layer_shapes: Sequence[Sequence[int]], network: Network) -> None:
    actual = [projection.connectivity.shape for projection in network.projections]
    try:
        given = [tuple(int(size) for size in shape) for shape in layer_shapes]
    except (TypeError, ValueError):
        raise ModelError(
            f"layer_shapes are pairs (inputs, outputs), such as [(784, 128), (128, 10)]: got {quoted(layer_shapes)}"
        ) from None
    if given != actual:
        raise ModelError(f"layer_shapes are the shapes of the weights: got {given}, the weights have {actual}")


# ----------------------------------------------------------------------------------------------------- samples


def as_samples(data: AnyData, network: Network) -> Samples:
    """Samples in any form: `Samples`, an .npz file, a mapping or pair of spikes and labels, or spikes alone.

    Raises SampleError where they do not suit the network.
    """
    if isinstance(data, str | Path):
        return read_samples(data, network)
    spikes: Any = data
    labels: Any = None
    if isinstance(data, Samples):
        spikes, labels = data.spikes, data.labels
    elif isinstance(data, Mapping):
        if "spikes" not in data:
            raise SampleError(f"data hold spikes and labels: the keys are {', '.join(map(quoted, data)) or 'none'}")
        spikes, labels = data["spikes"], data.get("labels")
    elif isinstance(data, tuple | list):
        if len(data) != 2:
            raise SampleError(f"data are a pair of spikes and labels: got {len(data)} items; pass (spikes, labels)")
        spikes, labels = data
    array = checked_spikes(network, np.asarray(spikes))
    return Samples(spikes=array, labels=None if labels is None else _labels(labels, len(array), network))


def _labels(labels: Any, count: int, network: Network) -> npt.NDArray[np.int64]:
    array = np.asarray(labels)
    classes = network.class_count
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise SampleError(f"labels are {count} whole numbers, one per sample: got {array.dtype} {list(array.shape)}")
    if array.size and not 0 <= array.min() <= array.max() < classes:
        raise SampleError(f"labels are 0 to {classes - 1}, the network's outputs: got {array.min()} to {array.max()}")
    labelled = array.astype(np.int64)
    question_labels(labelled, network)
    return labelled


def _training(finetune: AnyData | FineTune | None, epochs: int, network: Network) -> FineTune | None:
    if finetune is None or isinstance(finetune, FineTune):
        return finetune
    samples = as_samples(finetune, network)
    if samples.labels is None:
        raise SampleError("fine-tuning needs labels: the training samples have none; add 'labels' [samples]")
    return FineTune(spikes=samples.spikes, labels=samples.labels, epochs=epochs)


def _split(samples: Samples, test: Samples | None, seed: int) -> tuple[Samples, Samples, Samples | None]:
    """Calibration, validation and test samples; those of a test of its own are used but for any that are also here."""
    count = len(samples)
    if count < LEAST_SAMPLES:
        raise SampleError(
            f"data are split into calibration, validation and test, {LEAST_SAMPLES} samples at least: got {count}"
        )
    order = np.random.default_rng(seed).permutation(count)
    first = min(MAX_CALIBRATION, round(CALIBRATION_SHARE * count))
    second = count if test is not None else first + round(VALIDATION_SHARE * count)
    calibration, validation, rest = (_take(samples, part) for part in np.split(order, [first, second]))
    if test is None:
        return calibration, validation, rest
    return calibration, validation, unseen(test, [samples])


def _check_classes(network: Network, validation: Samples) -> None:
    """SampleError where one answer suits all labels: whoever always gives it would be the best candidate."""
    assert validation.labels is not None
    if validation.labels.min() < validation.labels.max():
        return
    hint = "give samples of other classes too, or leave the labels out"
    if network.class_count == 1:
        hint = "read the one output neuron by a threshold (--readout-threshold), or leave the labels out"
    raise SampleError(
        f"a search tells candidates apart by labels of two classes or more: the {len(validation)} validation samples "
        f"are all of class {validation.labels[0]}; {hint}"
    )


def _self_judged(network: Network, validation: Samples) -> tuple[Samples, IntArray | None]:
    """Samples without labels with what the float network says of them: classes, or spike counts where all are one."""
    recording = run_float(network, validation.spikes)
    classes = said(recording)
    if classes.min() < classes.max():
        return Samples(spikes=validation.spikes, labels=classes), None
    if classes[0] == SILENT:
        raise SampleError(
            "without labels a search judges by what the float network says: its output never fires on the "
            f"{len(validation)} validation samples; give labels, or samples that make it fire"
        )
    return validation, recording.spikes.sum(axis=1, dtype=np.int64)


def _take(samples: Samples, which: npt.NDArray[np.int64]) -> Samples:
    return Samples(spikes=samples.spikes[which], labels=None if samples.labels is None else samples.labels[which])

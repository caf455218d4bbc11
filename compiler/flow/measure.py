"""What a compiled network does on samples: its cycles, its spikes, its accuracy, its traffic on the link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.images.coding import ImageCoding
from ...hdl.images.encoders import sample_cycles
from ...hdl.link.protocol import LinkFormat, image_bytes, sample_bytes
from ...sim.amaranth_executor import measure_cycles
from ...sim.evaluation import wilson
from ...sim.float_executor import run_float
from ...sim.readout import readings
from ...sim.recording import Recording
from ..cycles.count import busy_cycles, count_cycles
from ..cycles.lane import PASS_CYCLES
from ..cycles.model import engine_cycles
from ..data.images import encode
from ..data.samples import Samples
from ..ir.arrays import SpikeArray
from ..ir.network import INPUT, Network
from ..ir.origin import Judged
from ..plan.plan import Plan
from ..report.facts import Accuracy, Activity, ClassAccuracy, Latency, Raster, RasterLayer

Labels = npt.NDArray[np.int64]

MAX_SAMPLES = 1000
"""Samples that are run through the reference and the float network for a report."""

SIMULATED_CYCLES = 60_000
"""Busy cycles after which no further sample is simulated: a few seconds' worth."""

MAX_SIMULATED = 10
"""The most samples that are simulated."""

LONG_CYCLES = 5 * SIMULATED_CYCLES
"""Busy cycles from which a sample is counted by the exact model: half an hour of the simulator is a minute of that."""

MAX_CLASSES = 100
"""Classes up to which a confusion matrix is kept."""

MOST_TAKEN_FOR = 3
"""Classes that samples of another are said to be taken for, at most."""

RASTER_NEURONS, RASTER_STEPS = 64, 100
"""The first neurons of a population and the first steps of a sample that a raster shows."""

RANDOM_RATE = 0.1
RANDOM_SHAPE = (4, 10)
"""(samples, steps) made up where the user gives no samples."""


def random_samples(network: Network, seed: int, coding: ImageCoding | None = None) -> Samples:
    """Samples for a network that came without any: every input spikes in a tenth of the steps.

    With a coding they are images, a tenth of whose pixels is of any grey and the rest black.
    """
    rng = np.random.default_rng(seed)
    if coding is not None:
        shape = (RANDOM_SHAPE[0], network.input_size)
        images = (rng.integers(0, 256, shape) * (rng.random(shape) < RANDOM_RATE)).astype(np.uint8)
        return Samples(spikes=encode(images, coding), images=images)
    return Samples(spikes=(rng.random((*RANDOM_SHAPE, network.input_size)) < RANDOM_RATE).astype(np.uint8))


def layer_cycles(network: Network, name: str, sources: dict[str, SpikeArray]) -> npt.NDArray[np.float64]:
    """Cycles [samples] that the synapses into a population and its passes take."""
    size, steps = network.size_of(name), sources[INPUT].shape[1]
    cycles = np.full(len(sources[INPUT]), steps * (size + PASS_CYCLES), np.float64)
    for projection in network.projections_into(name):
        cycles += sources[projection.pre].sum(axis=1, dtype=np.int64) @ projection.connectivity.fan_out()
    return cycles


def mean_rates(samples: Samples, recording: Recording) -> dict[str, npt.NDArray[np.float64]]:
    """Mean events per step of every input and neuron on the samples, which the recording begins with."""
    return {
        name: spikes.mean(axis=(0, 1), dtype=np.float64)
        for name, spikes in recording.trains(samples.spikes, len(samples)).items()
    }


def affordable(plan: Plan, samples: Samples, recording: Recording, cycles: int, most: int) -> int:
    """How many samples keep a core busy for that many cycles in all: one at least, `most` at most."""
    total = np.cumsum(np.sum(busy_cycles(plan, recording.trains(samples.spikes)), axis=0))
    return min(most, max(1, int(np.searchsorted(total, cycles))), len(samples))


def measure_latency(
    plan: Plan,
    samples: Samples,
    stimulus: str,
    recording: Recording,
    progress: Callable[[int, int], None] | None = None,
    long_cycles: float = LONG_CYCLES,
) -> Latency:
    """Simulate the core on the first samples, each alone, and count clock cycles; of one of `long_cycles` and more the
    model counts them, where all engines have one.

    `recording` is the reference's of at least those samples; `stimulus` says where they come from.
    """
    count = affordable(plan, samples, recording, SIMULATED_CYCLES, MAX_SIMULATED)
    spikes = recording.trains(samples.spikes, count)
    busy = busy_cycles(plan, spikes)
    is_long = count == 1 and float(np.sum(busy)) >= long_cycles
    modelled = is_long and all(engine.no_model is None for engine in engine_cycles(plan))
    counted = count_cycles(plan, spikes) if modelled else measure_cycles(plan, samples.spikes[:count], progress)
    return Latency(
        cycles=tuple(counted),
        steps=samples.steps,
        stimulus=stimulus,
        cycles_per_layer={name: float(layer_cycles(plan.network, name, spikes).mean()) for name in plan.populations},
        cycles_per_engine=[float(cycles.mean()) for cycles in busy],
        simulated=not modelled,
    )


def measure_activity(samples: Samples, recording: Recording) -> Activity:
    """Mean spikes of the input and of every population."""
    spikes = recording.trains(samples.spikes)
    return Activity(
        samples=len(samples),
        spikes_per_sample={
            name: float(array.sum(axis=(1, 2), dtype=np.int64).mean()) for name, array in spikes.items()
        },
        rate_per_step={name: tuple(array.mean(axis=(0, 2)).tolist()) for name, array in spikes.items()},
    )


def measure_accuracy(source: Network, samples: Samples, labels: Labels, recording: Recording) -> Accuracy:
    """The accuracy of the float network `source`, of the recorded reference, and of what `source` came from."""
    real = run_float(source, samples.spikes)
    right = recording.predicted == labels
    return Accuracy(
        samples=len(samples),
        real=real.accuracy(labels),
        integer=recording.accuracy(labels),
        compressed=source.origin is not None,
        original=None if source.origin is None else _known(source, source.origin.original),
        integer_interval=wilson(int(right.sum()), len(right)),
        **_by_class(labels, recording.predicted, recording.readout.class_count(recording.spikes.shape[2])),
    )


def _by_class(labels: Labels, predicted: Labels, outputs: int) -> dict[str, Any]:
    """The samples of each class, and of all of them what they were taken for, where there are not too many classes."""
    confusion = confusion_of(labels, predicted, outputs)
    if confusion is None:
        return {}
    found = []
    for label, row in enumerate(confusion):
        if (total := sum(row)) == 0:
            continue
        others = [(other, count) for other, count in enumerate(row) if count and other != label]
        taken_for = sorted(others, key=lambda pair: -pair[1])[:MOST_TAKEN_FOR]
        interval = wilson(row[label], total)
        found.append(
            ClassAccuracy(label=label, samples=total, right=row[label], interval=interval, taken_for=taken_for)
        )
    return {"classes": found, "confusion": confusion}


def confusion_of(labels: Labels, predicted: Labels, outputs: int) -> list[list[int]] | None:
    """Samples by label and predicted class, a list for each label; None where there are too many classes."""
    classes = max(outputs, int(labels.max()) + 1)
    if classes > MAX_CLASSES:
        return None
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    counts: list[list[int]] = confusion.tolist()
    return counts


def measure_raster(real: Recording, integer: Recording, sample: int = 0) -> Raster:
    """The spikes of a sample that both networks were run on, of float network and reference."""
    layers, steps = [], min(real.spikes.shape[1], RASTER_STEPS)
    for name in integer.populations:
        letters = spike_letters(real, integer, name, sample)[:steps, :RASTER_NEURONS].T
        layers.append(RasterLayer(population=name, rows=["".join(row) for row in letters.tolist()]))
    return Raster(sample=sample, steps=steps, layers=layers)


def spike_letters(real: Recording, integer: Recording, population: str, sample: int) -> npt.NDArray[np.str_]:
    """The letters of `RasterLayer` [steps, neurons]."""
    fired = [recording.populations[population].spikes[sample] > 0 for recording in (real, integer)]
    return np.array(list(".fib"))[fired[0] + 2 * fired[1]]


def known_accuracy(source: Network, built_as_it_is: bool) -> Accuracy | None:
    """What is known without labelled samples: what a network that was compressed before says of itself.

    That is the accuracy of what is built where it is built as it is, in integers.
    """
    origin = source.origin
    compressed = None if origin is None else _known(source, origin.compressed)
    if origin is None or compressed is None:
        return None
    return Accuracy(
        samples=compressed.samples,
        real=compressed.share,
        integer=compressed.share if built_as_it_is else None,
        stimulus=compressed.stimulus,
        compressed=True,
        original=_known(source, origin.original),
    )


def _known(network: Network, judged: Judged | None) -> Judged | None:
    """An accuracy by the network's own readout; by another it says nothing."""
    return judged if judged is not None and judged.readout == str(network.reading) else None


def link_bytes(form: LinkFormat, samples: Samples, recording: Recording, count: int) -> float:
    """Mean bytes on the line per sample, both directions together, over the first `count` samples."""
    given: npt.NDArray[np.integer] = recording.spikes
    if form.readout is not None:
        assert recording.membranes is not None, "what a class is read off is recorded"
        given = readings(form.readout, recording.membranes)[0]
    if samples.images is None:
        totals = [sum(sample_bytes(form, samples.spikes[n], given[n])) for n in range(count)]
    else:
        totals = [sum(image_bytes(form, samples.images[n], given[n])) for n in range(count)]
    return sum(totals) / count


def encoder_cycles(form: LinkFormat, samples: Samples, count: int) -> float | None:
    """Mean cycles per image that the encoder takes where the core keeps up, over the first `count` samples."""
    if form.coding is None:
        return None
    events = samples.spikes[:count].sum(dtype=np.int64) / count
    return sample_cycles(form.inputs, form.coding) + float(events)

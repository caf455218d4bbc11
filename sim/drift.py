"""Where quantisation changes spikes: a float network beside its integers on the same samples, layer by layer.

In every sample the first difference, by step and then by evaluation order, is of the layer that made it: up to there
all that it hears is equal. Whatever differs later may follow from that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.network import Network
from ..hdl.errors import ModelError, quoted
from .evaluation import Interval, paired, wilson
from .float_executor import run_float
from .inputs import checked_spikes
from .reference import run_reference

DRIFT_SCHEMA = 1

BATCH_BINS = 20_000_000
"""Neuron-steps that are held at once, about."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerDrift:
    """One population. Of its `bins` (neuron-steps of all samples) `changed` have another number of spikes; `lost` and
    `won` are spikes of the float network that the integers lack, and the other way round.

    `starts` counts the samples whose first difference is here, `samples` those with any; `first` is the first one of
    all: sample, step, neuron. `per_step` is the share of changed bins in each step.
    """

    population: str
    neurons: int
    bins: int
    changed: int
    lost: int
    won: int
    float_spikes: int
    integer_spikes: int
    starts: int
    samples: int
    first: tuple[int, int, int] | None
    first_step: float | None
    per_step: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Drift:
    """All layers, in evaluation order, and the classes: `moved` samples are predicted otherwise.

    `ambiguous` counts neuron-steps of the float network that are too close to their threshold to be sure of.
    """

    samples: int
    steps: int
    layers: tuple[LayerDrift, ...]
    equal_samples: int
    moved: int
    ambiguous: int
    accuracy: tuple[Judgement, Judgement] | None = None
    change: tuple[float, Interval] | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """An accuracy with its 95 % interval."""

    share: float
    interval: Interval


class _Layer:
    """What is counted of one population, batch by batch."""

    def __init__(self, name: str, neurons: int, steps: int) -> None:
        self.name, self.neurons = name, neurons
        self.lost = self.won = self.float_spikes = self.integer_spikes = 0
        self.per_step = np.zeros(steps, np.int64)
        self.first: tuple[int, int, int] | None = None
        self.first_steps: list[int] = []
        self.starts = 0

    def take(self, real: npt.NDArray[Any], integer: npt.NDArray[Any], before: int) -> npt.NDArray[np.int64]:
        """Count a batch whose samples start at `before`; returns each sample's first step that differs, or `steps`."""
        wide, other = real.astype(np.int64), integer.astype(np.int64)
        differ = wide != other
        self.lost += int(np.maximum(wide - other, 0).sum())
        self.won += int(np.maximum(other - wide, 0).sum())
        self.float_spikes += int(wide.sum())
        self.integer_spikes += int(other.sum())
        self.per_step += differ.sum(axis=(0, 2))
        rows = differ.any(axis=2)
        firsts = np.where(rows.any(axis=1), rows.argmax(axis=1), rows.shape[1]).astype(np.int64)
        some = np.flatnonzero(firsts < rows.shape[1])
        if self.first is None and len(some):
            sample, step = int(some[0]), int(firsts[some[0]])
            self.first = (before + sample, step, int(differ[sample, step].argmax()))
        self.first_steps += firsts[some].tolist()
        return firsts

    def result(self, samples: int) -> LayerDrift:
        steps = len(self.per_step)
        return LayerDrift(
            population=self.name,
            neurons=self.neurons,
            bins=samples * steps * self.neurons,
            changed=int(self.per_step.sum()),
            lost=self.lost,
            won=self.won,
            float_spikes=self.float_spikes,
            integer_spikes=self.integer_spikes,
            starts=self.starts,
            samples=len(self.first_steps),
            first=self.first,
            first_step=float(np.median(self.first_steps)) if self.first_steps else None,
            per_step=self.per_step / max(1, samples * self.neurons),
        )


def drift_data(drift: Drift, real: Network, integer: Network) -> dict[str, Any]:
    """The same as JSON data (docs/report.md)."""
    accuracy = None
    if drift.accuracy is not None and drift.change is not None:
        before, after = drift.accuracy
        accuracy = {
            "float": before.share,
            "float_interval": list(before.interval),
            "integer": after.share,
            "integer_interval": list(after.interval),
            "change": drift.change[0],
            "change_interval": list(drift.change[1]),
        }
    return {
        "schema_version": DRIFT_SCHEMA,
        "network": real.name,
        "samples": drift.samples,
        "steps": drift.steps,
        "equal_samples": drift.equal_samples,
        "moved_predictions": drift.moved,
        "readout": {"float": str(real.reading), "integer": str(integer.reading)},
        "ambiguous": drift.ambiguous,
        "accuracy": accuracy,
        "layers": [
            {
                "population": layer.population,
                "neurons": layer.neurons,
                "bins": layer.bins,
                "changed": layer.changed,
                "share_changed": layer.changed / max(1, layer.bins),
                "lost": layer.lost,
                "won": layer.won,
                "float_spikes": layer.float_spikes,
                "integer_spikes": layer.integer_spikes,
                "starts": layer.starts,
                "samples_changed": layer.samples,
                "first": None
                if layer.first is None
                else dict(zip(("sample", "step", "neuron"), layer.first, strict=True)),
                "first_step_median": layer.first_step,
                "share_changed_per_step": [round(share, 6) for share in layer.per_step.tolist()],
            }
            for layer in drift.layers
        ],
    }


def find_drift(
    real: Network,
    integer: Network,
    spikes: npt.NDArray[Any],
    labels: npt.NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Drift:
    """Run both networks on `spikes`, integers [samples, steps, inputs], and count where they differ.

    Raises ModelError where they are not one network at two levels, SampleError.
    """
    _require_alike(real, integer)
    inputs = checked_spikes(real, spikes)
    samples, steps = inputs.shape[:2]
    layers = [_Layer(population.name, population.size, steps) for population in real.populations]
    batch = max(1, BATCH_BINS // max(1, steps * sum(layer.neurons for layer in layers)))
    predicted: tuple[list[int], list[int]] = ([], [])
    ambiguous = equal = 0
    for start in range(0, samples, batch):
        part = inputs[start : start + batch]
        runs = run_float(real, part), run_reference(integer, part)
        trains = [[run.populations[layer.name].spikes for run in runs] for layer in layers]
        firsts = np.array([layer.take(train[0], train[1], start) for layer, train in zip(layers, trains, strict=True)])
        where = np.argmin(firsts, axis=0)  # of equal steps the layer that is evaluated first
        differs = firsts.min(axis=0) < steps
        for number, layer in enumerate(layers):
            layer.starts += int(np.sum(differs & (where == number)))
        equal += int(np.sum(~differs))
        ambiguous += runs[0].ambiguous
        for found, run in zip(predicted, runs, strict=True):
            found.extend(run.predicted.tolist())
        if progress is not None:
            progress(min(samples, start + batch), samples)
    classes = tuple(np.array(found, np.int64) for found in predicted)
    return Drift(
        samples=samples,
        steps=steps,
        layers=tuple(layer.result(samples) for layer in layers),
        equal_samples=equal,
        moved=int(np.sum(classes[0] != classes[1])),
        ambiguous=ambiguous,
        **_judged(classes[0] == labels, classes[1] == labels) if labels is not None else {},
    )


def _judged(real: npt.NDArray[np.bool_], integer: npt.NDArray[np.bool_]) -> dict[str, Any]:
    total = len(real)
    figures = [
        Judgement(share=float(right.mean()), interval=wilson(int(right.sum()), total)) for right in (real, integer)
    ]
    won, lost = int(np.sum(~real & integer)), int(np.sum(real & ~integer))
    return {"accuracy": tuple(figures), "change": ((won - lost) / total, paired(won, lost, total))}


def _require_alike(real: Network, integer: Network) -> None:
    """ModelError unless one is float, the other integer, and both have the same populations."""
    if real.is_integer or not integer.is_integer:
        levels = ", then ".join("an integer" if network.is_integer else "a float" for network in (real, integer))
        raise ModelError(f"a float network is compared with its integers: got {levels} network")
    sizes = [
        [("input", network.input_size), *((p.name, p.size) for p in network.populations)] for network in (real, integer)
    ]
    if sizes[0] != sizes[1]:
        there, here = next(pair for pair in zip(*_padded(sizes), strict=True) if pair[0] != pair[1])
        raise ModelError(
            f"both networks have the same populations: where the float one has {_words(there)}, the integers have "
            f"{_words(here)}; compare a build with the model that it was made of"
        )


def _padded(sizes: list[list[tuple[str, int]]]) -> list[list[tuple[str, int] | None]]:
    most = max(map(len, sizes))
    return [[*part, *[None] * (most - len(part))] for part in sizes]


def _words(population: tuple[str, int] | None) -> str:
    return "none" if population is None else f"{quoted(population[0])} of {population[1]:,} neurons"

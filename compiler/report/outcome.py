"""What a report says of the network on samples: activity, accuracy, and the spikes of one sample."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .facts import Accuracy, Activity, EarlyExits, Facts, Raster, Source, Traces


def activity_data(activity: Activity | None) -> dict[str, Any] | None:
    if activity is None:
        return None
    return {
        "samples": activity.samples,
        "spikes_per_sample": {name: round(value, 3) for name, value in activity.spikes_per_sample.items()},
        "rate_per_step": {name: [round(r, 5) for r in rates] for name, rates in activity.rate_per_step.items()},
        "source": Source.MEASURED,
    }


def accuracy_data(facts: Facts) -> dict[str, Any] | None:
    accuracy = facts.accuracy
    if accuracy is None:
        return None
    given = {"share": accuracy.real, "samples": accuracy.samples, "stimulus": accuracy.stimulus}
    real = given if not accuracy.compressed else None if accuracy.original is None else asdict(accuracy.original)
    return {
        "samples": accuracy.samples,
        "stimulus": accuracy.stimulus,
        "float": None if real is None else figure(real["share"]),
        "float_samples": None if real is None else real["samples"],
        "float_stimulus": None if real is None else real["stimulus"],
        "compressed": figure(accuracy.real) if accuracy.compressed else None,
        "integer": None if accuracy.integer is None else figure(accuracy.integer),
        **_classes(accuracy),
        "readout": str(facts.plan.network.reading),
        "source": Source.MEASURED,
    }


def early_data(early: EarlyExits) -> dict[str, Any]:
    """What ending samples early saves; its accuracy and cycles where they are known."""
    data: dict[str, Any] = {
        "margin": early.margin,
        "samples": early.samples,
        "steps": early.steps,
        "steps_taken": early.steps_taken,
        "classes_changed": early.classes_changed,
    }
    if early.accuracy is not None:
        data["accuracy"] = early.accuracy
    if (cycles := early.cycles) is not None:
        data |= {"cycles": cycles.whole, "cycles_taken": cycles.early, "cycles_of_samples": cycles.samples}
    return data


def _classes(accuracy: Accuracy) -> dict[str, Any]:
    """How the integers fare class by class; empty where no labels were given."""
    interval = accuracy.integer_interval
    return {
        "integer_interval": None if interval is None else [figure(bound) for bound in interval],
        "per_class": [
            {
                "class": entry.label,
                "samples": entry.samples,
                "right": entry.right,
                "low": figure(entry.interval[0]),
                "high": figure(entry.interval[1]),
                "taken_for": [list(pair) for pair in entry.taken_for],
            }
            for entry in accuracy.classes
        ],
        "confusion": None if accuracy.confusion is None else [list(row) for row in accuracy.confusion],
    }


def raster_data(raster: Raster | None) -> dict[str, Any] | None:
    """The spikes of one sample."""
    if raster is None:
        return None
    layers = [{"population": layer.population, "rows": list(layer.rows)} for layer in raster.layers]
    return {"sample": raster.sample, "steps": raster.steps, "layers": layers, "source": Source.MEASURED}


def traces_data(traces: Traces | None) -> dict[str, Any] | None:
    """The membranes of chosen neurons in one sample."""
    if traces is None:
        return None
    neurons = [
        {
            "population": trace.population,
            "neuron": trace.neuron,
            "threshold": None if trace.threshold is None else figure(trace.threshold),
            "float": [figure(value) for value in trace.real],
            "integer": [figure(value) for value in trace.integer],
            "spikes": trace.spikes,
        }
        for trace in traces.neurons
    ]
    return {"sample": traces.sample, "steps": traces.steps, "neurons": neurons, "source": Source.MEASURED}


def figure(value: Any) -> float:
    """Six significant digits: enough for a report, and the same on every machine."""
    return float(f"{float(value):.6g}")

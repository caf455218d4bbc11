"""What quantisation changed, layer by layer: the table and the page of `sim.drift.drift_data` (docs/report.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .figures import membrane
from .plots import Bar, bars, lines
from .sheet import Section, Table, Tile, render_page
from .wording import counted, number

DRIFT_FIGURES = (1, 2, 3, 4, 5, 6, 7)
"""The columns of `drift_rows` that hold figures."""


def drift_rows(data: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows, a layer each."""
    headings = ("Layer", "Float spikes", "Lost", "Won", "Bins changed", "Starts here", "First step", "Samples", "First")
    rows: list[tuple[str, ...]] = [
        (
            layer["population"],
            number(layer["float_spikes"]),
            number(layer["lost"]),
            number(layer["won"]),
            f"{layer['share_changed']:.3%}",
            number(layer["starts"]),
            "" if layer["first_step_median"] is None else f"{layer['first_step_median']:g}",
            number(layer["samples_changed"]),
            _place(layer["first"]),
        )
        for layer in data["layers"]
    ]
    return headings, rows


def _place(first: Mapping[str, int] | None) -> str:
    return "" if first is None else f"sample {first['sample']}, step {first['step']}, neuron {first['neuron']}"


def verdict(data: Mapping[str, Any]) -> list[str]:
    """What it comes to, in sentences without their full stops."""
    samples = data["samples"]
    lines_ = [f"{number(data['equal_samples'])} of {counted(samples, 'sample')} have the same spikes in all layers"]
    started = [layer for layer in data["layers"] if layer["starts"]]
    if started:
        worst = max(started, key=lambda layer: layer["starts"])
        share = f"{number(worst['starts'])} of the {number(samples - data['equal_samples'])} others"
        lines_.append(
            f"in {share} the first change is in {worst['population']}, by the median from step "
            f"{worst['first_step_median']:g} on; bits are spent best there (--layer)"
        )
    lines_.append(f"{number(data['moved_predictions'])} of {counted(samples, 'sample')} are classified otherwise")
    if (accuracy := data["accuracy"]) is not None:
        low, high = accuracy["change_interval"]
        lines_.append(
            f"accuracy: float {accuracy['float']:.2%}, integers {accuracy['integer']:.2%}: "
            f"{accuracy['change']:+.2%} ({low:+.2%} to {high:+.2%}, 95 %)"
        )
    if data["ambiguous"]:
        lines_.append(
            f"{counted(data['ambiguous'], 'neuron-step')} of the float network are too close to the threshold to be "
            "sure of in floating point"
        )
    return lines_


def drift_page(data: Mapping[str, Any]) -> str:
    """The page."""
    headings, rows = drift_rows(data)
    layers = data["layers"]
    starts = [
        Bar(layer["population"], layer["starts"], counted(layer["starts"], "sample"), data["samples"])
        for layer in layers
    ]
    per_step = {layer["population"]: layer["share_changed_per_step"] for layer in layers}
    sections = [
        Section(
            "Where it starts",
            "of each sample the layer that differs first, by step and then by order: all that it hears is equal so far",
            [bars("Samples whose first change is in a layer", starts)],
        ),
        Section(
            "From which step on",
            "the share of neurons whose number of spikes differs, step by step",
            [lines("Share of neurons that differ", "time step", per_step)],
        ),
        *_membranes(data),
        Section("Layers", "a bin is a neuron in a step", table=Table(headings, rows, DRIFT_FIGURES)),
    ]
    return render_page(
        title=f"{data['network']}: float and integers",
        subtitle="; ".join(verdict(data)),
        tiles=_tiles(data),
        warnings=(),
        sections=sections,
        footer=f"Spikeloom comparison, schema {data['schema_version']}: the float executor and the integer reference.",
    )


def _membranes(data: Mapping[str, Any]) -> list[Section]:
    traces = data.get("traces")
    if traces is None:
        return []
    note = f"of chosen neurons in sample {traces['sample']}, in the float network's units (--neurons chooses others)"
    return [Section("Membranes", note, [membrane(trace) for trace in traces["neurons"]])]


def _tiles(data: Mapping[str, Any]) -> list[Tile]:
    tiles = [
        Tile("Samples alike", number(data["equal_samples"]), f"of {number(data['samples'])}, in every layer and step"),
        Tile("Classified otherwise", number(data["moved_predictions"]), f"of {counted(data['samples'], 'sample')}"),
    ]
    if (accuracy := data["accuracy"]) is not None:
        low, high = accuracy["integer_interval"]
        tiles.append(Tile("Float accuracy", f"{accuracy['float']:.1%}", f"by {data['readout']['float']}"))
        tiles.append(Tile("Integer accuracy", f"{accuracy['integer']:.1%}", f"{low:.1%} to {high:.1%} (95 %)"))
    return tiles

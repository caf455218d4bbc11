"""Several reports beside each other: the figures that people choose by, with their differences from the first."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .sheet import Section, Table, render_page
from .wording import RESOURCE_NAMES, number, title_of

Report = Mapping[str, Any]
Value = float | str | None


@dataclass(frozen=True)
class Figure:
    """A line: its name, its unit (empty of what is counted), and what it is in a report; None where it has none."""

    name: str
    unit: str
    of: Callable[[Report], Value]


def _at(*keys: str) -> Callable[[Report], Value]:
    """What stands under the keys; None where one is missing, as in reports of older versions."""

    def find(report: Report) -> Value:
        found: Any = report
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                return None
            found = found[key]
        return found if found is None or isinstance(found, str) else float(found)

    return find


def _share(*keys: str) -> Callable[[Report], Value]:
    """A share in percent."""
    find = _at(*keys)
    return lambda report: None if (value := find(report)) is None else 100 * float(value)


FIGURES = (
    Figure("Target", "", lambda report: _target(report)),
    Figure("Folding", "", lambda report: _folding(report)),
    Figure("Method", "", _at("compression", "method")),
    Figure("Weights", "bits", lambda report: _weight_bits(report)),
    Figure("Neurons", "", _at("network", "neurons")),
    Figure("Synapses", "", _at("network", "synapses")),
    Figure("Sparsity", "%", _share("network", "sparsity")),
    Figure("Resources are", "", _at("utilization", "lcs", "source")),
    *(Figure(name, "", _at("utilization", key, "used")) for key, name in RESOURCE_NAMES.items()),
    Figure("Clock", "MHz", _at("timing", "clock_mhz")),
    Figure("Fmax", "MHz", _at("timing", "fmax_mhz")),
    Figure("Cycles per sample", "", _at("latency", "cycles_per_sample")),
    Figure("Time per sample, core", "µs", _at("latency", "microseconds_per_sample")),
    Figure("Time per sample, line", "µs", _at("link", "microseconds_per_sample")),
    Figure("Accuracy, float", "%", _share("accuracy", "float")),
    Figure("Accuracy, integers", "%", _share("accuracy", "integer")),
    Figure("Weights in memory", "bits", _at("memory", "stored_bits")),
    Figure("All memory", "bits", _at("memory", "total_bits")),
    Figure("Footprint (NeuroBench)", "bytes", _at("neurobench", "footprint_bytes")),
    Figure("Effective ACs (NeuroBench)", "", _at("neurobench", "effective_acs_per_sample")),
    Figure("Synaptic operations", "", _at("work", "synaptic_operations_per_sample")),
)
"""In the order in which they are read; of several figures for a sample all are means."""


def _target(report: Report) -> str:
    if report["board"] is not None:
        return str(report["board"]["id"])
    return "the core alone" if report["device"] is None else str(report["device"]["id"])


def _folding(report: Report) -> str:
    kinds = [
        "fast " * engine.get("fast", False)
        + engine["kind"]
        + f" x {engine['lanes']}" * (engine["lanes"] > 1)
        + " queued" * bool(engine.get("inlet_queue", 0))
        for engine in report["engines"]
    ]
    return ", ".join(kinds)


def _weight_bits(report: Report) -> Value:
    """The width of weights; of layers that differ all of them."""
    found = [layer["weight_bits"] for layer in report["layers"]]
    return float(found[0]) if len(set(found)) == 1 else ", ".join(map(str, found))


def side_by_side(reports: Sequence[Report]) -> list[tuple[Figure, list[Value]]]:
    """The figures that any of the reports has."""
    lines = [(figure, [figure.of(report) for report in reports]) for figure in FIGURES]
    return [(figure, values) for figure, values in lines if any(value not in (None, 0.0) for value in values)]


def headings_of(names: Sequence[str]) -> tuple[str, ...]:
    """The headings of `rows_of` for builds of these names."""
    return ("Figure", names[0], *(text for name in names[1:] for text in (name, "change")))


def rows_of(reports: Sequence[Report]) -> list[tuple[str, ...]]:
    """Rows of text: a figure, the first report's value, then of each other its value and how it differs."""
    rows = []
    for figure, values in side_by_side(reports):
        cells = [_text(figure, values[0])]
        for value in values[1:]:
            cells += [_text(figure, value), _change(values[0], value, figure.unit)]
        rows.append((figure.name, *cells))
    return rows


def _text(figure: Figure, value: Value) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{number(value)} {figure.unit}".rstrip()


def _change(first: Value, value: Value, unit: str) -> str:
    """The difference, and relative to the first where that says something."""
    if isinstance(first, str) or isinstance(value, str):
        return "" if first == value else "differs"
    if first is None or value is None or first == value:
        return ""
    difference = value - first
    sign = "+" if difference > 0 else "-"
    relative = f" ({difference / first:+.1%})" if first and unit != "%" else ""
    return f"{sign}{number(abs(difference))}{relative}"


def to_csv(names: Sequence[str], reports: Sequence[Report]) -> str:
    """The same as CSV: figure, unit, a column for each build, and for each but the first its difference."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["figure", "unit", *names, *(f"{name} - {names[0]}" for name in names[1:])])
    for figure, values in side_by_side(reports):
        first = values[0]
        differences = [
            "" if isinstance(value, str | None) or isinstance(first, str | None) else f"{value - first:.10g}"
            for value in values[1:]
        ]
        plain = ["" if value is None else value if isinstance(value, str) else f"{value:.10g}" for value in values]
        writer.writerow([figure.name, figure.unit, *map(_harmless, plain), *differences])
    return text.getvalue()


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: names come from model files."""
    return f"'{cell}" if cell[:1] in ("=", "@") else cell


def side_by_side_page(names: Sequence[str], reports: Sequence[Report]) -> str:
    """A page with the table."""
    headings = headings_of(names)
    table = Table(headings, rows_of(reports), numeric=range(1, len(headings)))
    note = f"changes are against {names[0]}; of several figures for a sample all are means"
    return render_page(
        title=" and ".join(names) if len(names) == 2 else f"{len(names)} builds",
        subtitle="; ".join(title_of(report) for report in reports),
        tiles=(),
        warnings=(),
        sections=[Section("Side by side", note, table=table)],
        footer="Spikeloom, builds side by side.",
    )

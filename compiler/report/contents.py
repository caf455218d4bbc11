"""What stands in a report, whatever its form: chapters with their tables, in one order and under one name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .rows import (
    ENGINE_FIGURES,
    ERROR_COLUMNS,
    MEMORY_FIGURES,
    PLACED_FIGURES,
    WEIGHT_FIGURES,
    engine_rows,
    memory_rows,
    neurobench_rows,
    placed_rows,
    semantics_rows,
    weight_rows,
)
from .wording import accuracy_text, counted, expected, family_of, guess_text, number, resource_names, share

Report = Mapping[str, Any]
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Chapter:
    """A title, what is said of it in brief, and a table whose columns `numeric` hold figures."""

    title: str
    note: str
    headings: Sequence[str]
    rows: Rows
    numeric: Sequence[int] = ()


def chapters(report: Report) -> list[Chapter]:
    """The chapters that a report (docs/report.md) has something for."""
    return [chapter for write in _CHAPTERS if (chapter := write(report)) is not None and chapter.rows]


def _utilization(report: Report) -> Chapter:
    names = resource_names(family_of(report))
    rows = [
        (name, *(_optional(entry[figure]) for figure in ("used", "estimated", "available")), share(entry))
        for key, name in names.items()
        if (entry := report["utilization"][key])["used"] or entry["available"]
    ]
    note = f"{report['utilization']['lcs']['source']}{guess_text(report)}"
    return Chapter("Utilisation", note, ("Resource", "Used", "Estimated", "Available", "Share"), rows, (1, 2, 3, 4))


def _performance(report: Report) -> Chapter:
    timing, latency, accuracy = (report[key] for key in ("timing", "latency", "accuracy"))
    assumed = "assumed for the times below" if report["device"] is None else timing.get("clock_choice") or ""
    rows = [("Clock", f"{timing['clock_mhz']:g} MHz", assumed)]
    if timing["fmax_mhz"] is not None:
        note = ("meets the clock" if timing["met"] else "MISSES the clock") + expected(timing["fmax_mhz_estimated"])
        rows.append(("Fmax", f"{timing['fmax_mhz']:.2f} MHz", note))
    if latency["cycles_per_sample"] is not None:
        spread = f"{number(latency['cycles_per_sample_min'])} to {number(latency['cycles_per_sample_max'])} over "
        samples = counted(latency["samples_measured"], f"{latency['stimulus']} sample") + " of "
        samples += counted(latency["steps_per_sample"], "step")
        note = spread + samples + expected(latency["cycles_per_sample_estimated"])
        rows.append(("Cycles per sample", number(latency["cycles_per_sample"]), note))
        rows.append(("Time per sample", f"{number(latency['microseconds_per_sample'])} µs", "the core alone"))
    rows += _link(report["link"])
    if accuracy is not None:
        integer = "" if accuracy["integer"] is None else f"{accuracy['integer']:.2%}"
        rows.append(("Accuracy", integer, accuracy_text(accuracy)))
    return Chapter("Performance", "", ("Figure", "Value", "Note"), rows, (1,))


def _link(link: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    if link is None:
        return []
    note = f"{number(link['bytes_per_sample'])} bytes at {number(link['baud'])} baud, {link['source']}"
    note += f"; the {link['bound_by']} takes longer" if "bound_by" in link else ""
    rows = [("Link per sample", f"{number(link['microseconds_per_sample'])} µs", note)]
    if link["encoder_cycles_per_sample"] is not None:
        note = f"cycles per image ({link['encoder']}), while the core works; the answer: {link['decoder']}"
        rows.append(("Encoder", number(link["encoder_cycles_per_sample"]), note))
    return rows


def _verified(report: Report) -> Chapter | None:
    rows = [
        (
            entry["level"],
            entry["simulator"],
            "equal" if entry["equal"] else f"DIFFERS: {entry['difference']}",
            counted(entry["samples"], "sample"),
            number(entry["compared"]),
            entry["when"],
        )
        for entry in report.get("verified", ())
    ]
    headings = ("Level", "Simulator", "Result", "Of", "Values compared", "When")
    return Chapter("Verified", "regress against the integer reference", headings, rows, (4,))


def _path(report: Report) -> Chapter | None:
    path, fmax = report["timing"]["critical_path"], report["timing"]["fmax_mhz"]
    if fmax is None or not path:
        return None
    total = sum(step["logic_ns"] + step["routing_ns"] for step in path)
    rows = [
        (
            step["block"],
            f"{step['logic_ns']:.2f}",
            f"{step['routing_ns']:.2f}",
            f"{step['logic_ns'] + step['routing_ns']:.2f}",
        )
        for step in path
    ]
    note = f"measured: {total:.2f} ns from register to register limit the clock to {fmax:.1f} MHz"
    return Chapter("Critical path", note, ("Block", "Logic, ns", "Routing, ns", "Both, ns"), rows, (1, 2, 3))


def _layers(report: Report) -> Chapter:
    headings = ("Layer", "Fan-in", "Neurons", "Synapses", "Weight bits", "State bits", "Bound", "Cycles")
    rows = [
        (
            layer["population"],
            number(layer["fan_in"]),
            number(layer["neurons"]),
            number(layer["synapses"]),
            str(layer["weight_bits"]),
            f"{layer['state_bits']} ({layer['fraction_bits']} frac.)",
            number(layer["entropy_bits"]),
            _optional(layer["cycles_per_sample"]),
        )
        for layer in report["layers"]
    ]
    note = "in the core; the bound are the bits without which no code can do, cycles are per sample"
    return Chapter("Layers", note, headings, rows, range(1, len(headings)))


def _engines(report: Report) -> Chapter:
    headings, rows = engine_rows(report["engines"])
    note = "stored bits of synapses, compared with the least for random ones"
    return Chapter("Engines", note, headings, rows, ENGINE_FIGURES)


def _memory(report: Report) -> Chapter:
    memory = report["memory"]
    note = f"weights take {number(memory['stored_bits'])} bits, the bound is {number(memory['entropy_bits'])}"
    return Chapter("Memory map", note, *memory_rows(memory["map"]), MEMORY_FIGURES)


def _work(report: Report) -> Chapter | None:
    work = report["work"]
    if work is None:
        return None
    figures = {name.removesuffix("_per_sample"): amount for name, amount in work.items() if name != "source"}
    rows = [(name.replace("_", " ").capitalize(), number(amount)) for name, amount in figures.items()]
    return Chapter(
        "Work per sample", "estimated from firing rates: stands in for energy", ("What", "Times"), rows, (1,)
    )


def _neurobench(report: Report) -> Chapter | None:
    metrics = report.get("neurobench")
    if metrics is None:
        return None
    samples = counted(metrics["samples"], f"{metrics['stimulus']} sample")
    note = f"as its release {metrics['release']} counts; integer reference, {samples}, operations per sample"
    return Chapter("NeuroBench", note, ("Metric", "Value"), neurobench_rows(metrics), (1,))


def _early_exit(report: Report) -> Chapter | None:
    early = report.get("early_exit")
    if early is None:
        return None
    changed = f"{number(early['classes_changed'])} of {number(early['samples'])}"
    rows = [
        ("Steps, mean", f"{early['steps_taken']:.1f} of {number(early['steps'])}"),
        ("Classes that are others", changed),
    ]
    if "accuracy" in early:
        rows.append(("Accuracy", f"{early['accuracy']:.1%}"))
    if "cycles" in early:
        saved = 1 - early["cycles_taken"] / early["cycles"]
        of = f"{number(early['cycles_taken'])} of {number(early['cycles'])} ({saved:.1%} saved)"
        rows.append((f"Cycles, mean of {counted(early['cycles_of_samples'], 'sample')}", of))
    note = f"samples end once a class leads by {counted(early['margin'], 'spike')}"
    return Chapter("Early exit", note, ("What", "Value"), rows, (1,))


def _blocks(report: Report) -> Chapter | None:
    blocks = report["blocks"]
    rows = [
        (block["name"], number(block["luts"]), number(block["ffs"]), str(block["brams"])) for block in blocks["list"]
    ]
    note = f"{blocks['source']}, {blocks['origin']}"
    return Chapter("Blocks", note, ("Block", "LUTs", "Flip-flops", "Block RAMs"), rows, (1, 2, 3))


def _activity(report: Report) -> Chapter | None:
    activity = report["activity"]
    if activity is None:
        return None
    rows = [
        (
            name,
            _optional(activity["spikes_per_sample"].get(name)),
            f"{sum(rates) / max(1, len(rates)):.4f}",
            f"{max(rates, default=0):.4f}",
        )
        for name, rates in activity["rate_per_step"].items()
    ]
    note = f"measured over {counted(activity['samples'], 'sample')}; spikes of a neuron in a step"
    return Chapter("Activity", note, ("Layer", "Spikes per sample", "Mean rate", "Highest rate"), rows, (1, 2, 3))


def _classes(report: Report) -> Chapter | None:
    accuracy = report["accuracy"]
    if accuracy is None:
        return None
    rows = [
        (
            str(entry["class"]),
            number(entry["samples"]),
            number(entry["right"]),
            f"{entry['right'] / entry['samples']:.1%}",
            f"{entry['low']:.1%} to {entry['high']:.1%}",
            ", ".join(f"{pair[0]} ({pair[1]})" for pair in entry["taken_for"] if len(pair) == 2),
        )
        for entry in accuracy.get("per_class", ())
        if entry["samples"]
    ]
    note = "of the integers, with intervals of 95 %"
    interval: Sequence[float] = accuracy.get("integer_interval") or ()
    if accuracy["integer"] is not None and len(interval) == 2:
        note += f"; in all {accuracy['integer']:.2%}, {interval[0]:.2%} to {interval[1]:.2%}"
    return Chapter("Classes", note, ("Class", "Samples", "Right", "Accuracy", "Interval", "Taken for"), rows, (1, 2, 3))


def _membranes(report: Report) -> Chapter | None:
    traces = report.get("traces")
    if traces is None:
        return None
    rows = [
        (
            trace["population"],
            number(trace["neuron"]),
            "never fires" if trace["threshold"] is None else f"{trace['threshold']:.4g}",
            number(sum(letter in "fb" for letter in trace["spikes"])),
            number(sum(letter in "ib" for letter in trace["spikes"])),
            f"{max((abs(a - b) for a, b in zip(trace['float'], trace['integer'], strict=False)), default=0):.3g}",
        )
        for trace in traces["neurons"]
    ]
    headings = ("Layer", "Neuron", "Threshold", "Float spikes", "Integer spikes", "Apart at most")
    note = f"sample {traces['sample']}, {counted(traces['steps'], 'step')}: float network and integers, in its units"
    return Chapter("Membranes", note, headings, rows, range(1, len(headings)))


def _weights(report: Report) -> Chapter | None:
    headings, rows = weight_rows(report.get("weights", ()))
    return Chapter("Weights", "after quantisation", headings, rows, WEIGHT_FIGURES)


def _floorplan(report: Report) -> Chapter | None:
    placed = report.get("floorplan")
    if placed is None:
        return None
    note = f"measured: where nextpnr put which block, on {placed['columns']} by {placed['rows']} tiles"
    return Chapter("Floorplan", note, *placed_rows(placed), PLACED_FIGURES)


def _semantics(report: Report) -> Chapter:
    headings, rows = semantics_rows(report["semantics"])
    note = "how each population computes, and how far its integers are from the network that was given"
    return Chapter("Semantics", note, headings, rows, ERROR_COLUMNS)


def _build(report: Report) -> Chapter | None:
    rows = [(name, value) for name, value in report.get("build", {}).items()]
    return Chapter("Build", "", ("What", "Value"), rows)


_CHAPTERS: Iterable[Callable[[Report], Chapter | None]] = (
    _utilization,
    _performance,
    _verified,
    _path,
    _layers,
    _engines,
    _memory,
    _work,
    _neurobench,
    _early_exit,
    _blocks,
    _floorplan,
    _weights,
    _classes,
    _activity,
    _membranes,
    _semantics,
    _build,
)
"""In the order in which they are read."""


def _optional(value: float | None) -> str:
    return "" if value is None else number(value)

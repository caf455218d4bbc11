"""The report for a terminal: tables on a terminal, the same as plain text when piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .rows import (
    ENGINE_FIGURES,
    ERROR_COLUMNS,
    MEMORY_FIGURES,
    engine_rows,
    memory_rows,
    neurobench_rows,
    semantics_rows,
)
from .wording import (
    accuracy_text,
    beats_text,
    counted,
    expected,
    family_of,
    guess_text,
    number,
    printable,
    readings_text,
    resource_names,
    share,
    silent_text,
    title_of,
)

WIDTH = 100
"""Columns of the text; terminals that are narrower get less."""

WHOLE = 24
"""Columns up to which a name or a figure is not broken."""


def print_report(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a report (docs/report.md) to `console`, or to standard output."""
    console = _bounded(console)
    network, device = report["network"], report["device"]
    console.print(Text(printable(title_of(report)), style="bold"))
    console.print(
        Text(
            f"{number(network['inputs'])} inputs, {number(network['neurons'])} neurons{silent_text(network)}, "
            f"{number(network['outputs'])} outputs; "
            f"{number(network['synapses'])} synapses ({network['sparsity']:.1%} sparse)"
        )
    )
    if report.get("input", {}).get("wide"):
        console.print(Text(beats_text(report["input"])))
    if (readout := report.get("readout")) is not None and readout["readings"] is not None:
        console.print(Text(printable(readings_text(readout))))
    if device is not None:
        console.print(Text(f"device {device['id']} ({device['family']}, {device['package']})"))
    if (compression := report["compression"]) is not None:
        wanted = f"{compression['sparsity']:.1%} sparsity, {compression['bits']} bits, {compression['scheme']}"
        others = ", ".join(layer["population"] for layer in compression.get("layers", ()))
        wanted += f"; otherwise for the weights into {others}" if others else ""
        console.print(Text(printable(f"compressed by {compression['method']}: {wanted}")))
    for warning in report["warnings"]:
        console.print(Text(printable(f"warning: {warning}"), style="yellow"))
    console.print()
    headings, rows = semantics_rows(report["semantics"])
    semantics = table("Semantics", headings, rows, numeric=ERROR_COLUMNS)
    figures = (_utilization(report), _performance(report), _layers(report), _engines(report), _memory(report))
    further = (_neurobench(report.get("neurobench")), _blocks(report), semantics)
    print_tables(*(part for part in (*figures, *further) if part is not None), console=console)


def print_tables(*tables: Table, console: Console | None = None) -> None:
    """Print tables to `console`, or to standard output, an empty line before each but the first."""
    console = _bounded(console)
    for number_, part in enumerate(tables):
        if number_:
            console.print()
        console.print(part)


def _bounded(console: Console | None) -> Console:
    console = console or Console(highlight=False)
    if not console.is_terminal or console.width > WIDTH:
        console.width = WIDTH
    return console


# ----------------------------------------------------------------------------------------------------- tables


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> Table:
    """A plain table; the columns `numeric` are aligned to the right.

    Figures and names (the first column) stay whole where there is room: a column of text wraps before they do.
    """
    result = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column, heading in enumerate(headings):
        whole = [row[column] for row in rows] if column == 0 or column in numeric else []
        longest = max((cell_len(printable(cell)) for cell in whole), default=0)
        result.add_column(
            heading,
            justify="right" if column in numeric else "left",
            overflow="fold",
            min_width=min(longest, WHOLE) or None,
        )
    for row in rows:
        result.add_row(*(Text(printable(cell)) for cell in row))
    return result


def _utilization(report: Mapping[str, Any]) -> Table:
    names = resource_names(family_of(report))
    rows = [
        (name, *(_optional(entry[figure]) for figure in ("used", "estimated", "available")), share(entry))
        for key, name in names.items()
        if (entry := report["utilization"][key])["used"] or entry["available"]
    ]
    title = f"Utilisation ({report['utilization']['lcs']['source']}{guess_text(report)})"
    return table(title, ("Resource", "Used", "Estimated", "Available", "Share"), rows, numeric=(1, 2, 3, 4))


def _performance(report: Mapping[str, Any]) -> Table:
    timing, latency, link, accuracy = (report[key] for key in ("timing", "latency", "link", "accuracy"))
    assumed = "assumed for the times below" if report["device"] is None else ""
    rows = [("Clock", f"{timing['clock_mhz']:g} MHz", assumed)]
    if timing["fmax_mhz"] is not None:
        note = ("meets the clock" if timing["met"] else "MISSES the clock") + expected(timing["fmax_mhz_estimated"])
        rows.append(("Fmax", f"{timing['fmax_mhz']:.2f} MHz", note))
        path = " > ".join(step["block"] for step in timing["critical_path"])
        total = sum(step["logic_ns"] + step["routing_ns"] for step in timing["critical_path"])
        rows.append(("Critical path", f"{total:.2f} ns", path))
    if latency["cycles_per_sample"] is not None:
        spread = f"{number(latency['cycles_per_sample_min'])} to {number(latency['cycles_per_sample_max'])} over "
        samples = counted(latency["samples_measured"], f"{latency['stimulus']} sample") + " of "
        samples += counted(latency["steps_per_sample"], "step")
        note = spread + samples + expected(latency["cycles_per_sample_estimated"])
        rows.append(("Cycles per sample", number(latency["cycles_per_sample"]), note))
        rows.append(("Time per sample", f"{number(latency['microseconds_per_sample'])} µs", "the core alone"))
    if link is not None:
        note = f"{number(link['bytes_per_sample'])} bytes at {number(link['baud'])} baud, {link['source']}"
        note += f"; the {link['bound_by']} takes longer" if "bound_by" in link else ""
        rows.append(("Link per sample", f"{number(link['microseconds_per_sample'])} µs", note))
        if link["encoder_cycles_per_sample"] is not None:
            note = f"cycles per image ({link['encoder']}), while the core works; the answer: {link['decoder']}"
            rows.append(("Encoder", number(link["encoder_cycles_per_sample"]), note))
    if accuracy is not None:
        share = "" if accuracy["integer"] is None else f"{accuracy['integer']:.2%}"
        rows.append(("Accuracy", share, accuracy_text(accuracy)))
    return table("Performance", ("Figure", "Value", "Note"), rows, numeric=(1,))


def _layers(report: Mapping[str, Any]) -> Table:
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
            "" if layer["cycles_per_sample"] is None else number(layer["cycles_per_sample"]),
        )
        for layer in report["layers"]
    ]
    return table("Layers", headings, rows, numeric=range(1, len(headings)))


def _engines(report: Mapping[str, Any]) -> Table:
    headings, rows = engine_rows(report["engines"])
    return table("Engines", headings, rows, numeric=ENGINE_FIGURES)


def _memory(report: Mapping[str, Any]) -> Table:
    return table("Memory map", *memory_rows(report["memory"]["map"]), numeric=MEMORY_FIGURES)


def _neurobench(metrics: Mapping[str, Any] | None) -> Table | None:
    if metrics is None:
        return None
    samples = counted(metrics["samples"], f"{metrics['stimulus']} sample")
    title = f"NeuroBench {metrics['release']} (integer reference, {samples})"
    return table(title, ("Metric", "Value"), neurobench_rows(metrics), numeric=(1,))


def _blocks(report: Mapping[str, Any]) -> Table | None:
    blocks = report["blocks"]
    if not blocks["list"]:
        return None
    rows = [
        (block["name"], number(block["luts"]), number(block["ffs"]), str(block["brams"])) for block in blocks["list"]
    ]
    title = f"Blocks ({blocks['source']}, {blocks['origin']})"
    return table(title, ("Block", "LUTs", "Flip-flops", "Block RAMs"), rows, numeric=(1, 2, 3))


def _optional(value: float | None) -> str:
    return "" if value is None else number(value)

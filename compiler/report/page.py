"""The report as one HTML page: no scripts, no external resources, readable in light and dark.

What stands on the page is here, how it stands there in `sheet.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .contents import Chapter, chapters
from .figures import Bins, floorplan, histogram, matrix, membrane, raster
from .plots import Bar, Stack, bars, lines, stacks
from .sheet import Section, Table, Tile, render_page
from .wording import (
    accuracy_text,
    counted,
    exchange_text,
    family_of,
    guess_text,
    number,
    readings_text,
    resource_names,
    share,
    silent_text,
    title_of,
)

ROLE_NAMES = {
    "rows": "row table",
    "masks": "synapse masks",
    "entries": "synapses",
    "weights": "weights",
    "queue": "waiting events",
    "inlet": "events between engines",
    "log": "events of a step",
    "history": "events of several steps",
    "taps": "delays",
    "down": "axes of maps",
    "across": "axes of maps",
    "down_counts": "axes of maps",
    "across_counts": "axes of maps",
    "choices": "axes of maps",
    "pool": "spikes of windows",
    "sums": "sums of windows",
    "state": "membranes",
    "currents": "synaptic currents",
    "adaptation": "adaptation of thresholds",
    "touched": "touched neurons",
    "visits": "visits to come",
    "readout": "readout",
    "parameters": "neuron parameters",
}
"""Memories by their roles without the numbers of lanes and banks, and without what pools put before."""

MAX_BLOCKS = 12
"""Bars of a plot of blocks."""


def render_html(report: Mapping[str, Any]) -> str:
    """The page for a report (docs/report.md). Everything that came from the model is escaped, by the template."""
    sections = [_section(chapter, report) for chapter in chapters(report)]
    return render_page(
        title=title_of(report),
        subtitle=_subtitle(report),
        tiles=_tiles(report),
        warnings=report["warnings"],
        sections=sections,
        footer=f"Spikeloom synthesis report, schema {report['schema_version']}. Figures are measured unless marked as "
        "estimated.",
    )


def _section(chapter: Chapter, report: Mapping[str, Any]) -> Section:
    """A chapter with its plots, and what there is to say of them."""
    plots, note = _PLOTS.get(chapter.title, _no_plots)(report)
    table = Table(chapter.headings, chapter.rows, chapter.numeric)
    return Section(chapter.title, note or chapter.note, plots, table)


def _subtitle(report: Mapping[str, Any]) -> str:
    network, compression = report["network"], report["compression"]
    parts = [
        f"{number(network['inputs'])} inputs",
        f"{number(network['neurons'])} neurons" + silent_text(network),
        f"{number(network['synapses'])} synapses ({network['sparsity']:.1%} sparse)",
        f"{network['dialect']} conventions",
    ]
    if compression is not None:
        parts.append(f"compressed by {compression['method']}")
    if (readout := report.get("readout")) is not None and readout["readings"] is not None:
        parts.append(readings_text(readout))
    if (exchange := report.get("exchange")) is not None:
        parts.append(exchange_text(exchange))
    return ", ".join(parts)


# --------------------------------------------------------------------------------------------------- sections


def _tiles(report: Mapping[str, Any]) -> list[Tile]:
    timing, latency, accuracy = report["timing"], report["latency"], report["accuracy"]
    tiles, names = [], resource_names(family_of(report))
    for key in ("lcs", "brams"):
        entry = report["utilization"][key]
        if entry["used"] or key == "brams":
            of = f"{share(entry)} of {number(entry['available'])}" if entry["available"] else entry["source"]
            tiles.append(Tile(names[key], number(entry["used"]), of))
    if timing["fmax_mhz"] is not None:
        verdict = "meets" if timing["met"] else "MISSES"
        expected = "" if timing["fmax_mhz_estimated"] is None else f", estimated {timing['fmax_mhz_estimated']:.0f}"
        tiles.append(Tile("Fmax", f"{timing['fmax_mhz']:.1f} MHz", f"{verdict} {timing['clock_mhz']:g} MHz{expected}"))
    if latency["cycles_per_sample"] is not None:
        samples = f"mean of {counted(latency['samples_measured'], latency['stimulus'] + ' sample')}"
        tiles.append(Tile("Cycles / sample", number(latency["cycles_per_sample"]), samples))
        clock = f"at {timing['clock_mhz']:g} MHz, core only"
        tiles.append(Tile("Time / sample", f"{number(latency['microseconds_per_sample'])} µs", clock))
    if accuracy is not None and accuracy["integer"] is not None:
        tiles.append(Tile("Accuracy", f"{accuracy['integer']:.1%}", accuracy_text(accuracy)))
    return tiles


Plots = tuple[Sequence[Markup], str]
"""The plots of a chapter, and a sentence on them without its full stop; empty for the chapter's own note."""


def _no_plots(report: Mapping[str, Any]) -> Plots:
    return (), ""


def _utilization(report: Mapping[str, Any]) -> Plots:
    rows = []
    for key, name in resource_names(family_of(report)).items():
        entry = report["utilization"][key]
        if entry["used"] or entry["available"]:
            available = entry["available"]
            text = number(entry["used"]) + ("" if available is None else f" / {number(available)}")
            rows.append(Bar(name, entry["used"], text, available, mark=entry["estimated"] or None))
    source = report["utilization"]["lcs"]["source"]
    placed = source == "measured"
    note = "nextpnr's figures, after placement and routing" if placed else "the sum of the blocks, for the core alone"
    if report["utilization"]["luts"]["estimated"] is not None:
        note += "; the marks are what was estimated without a tool"
    return [bars("Resources used of those available", rows)], f"{source}: {note}{guess_text(report)}"


def _path(report: Mapping[str, Any]) -> Plots:
    rows = [
        Stack(step["block"], (step["logic_ns"], step["routing_ns"]), f"{step['logic_ns'] + step['routing_ns']:.2f} ns")
        for step in report["timing"]["critical_path"]
    ]
    return [stacks("Critical path by block", ("logic", "routing"), rows)], ""


def _layers(report: Mapping[str, Any]) -> Plots:
    latency, link = report["latency"], report["link"]
    if latency["cycles_per_sample"] is None:
        return (), ""
    blocks = {engine["block"]: number for number, engine in enumerate(report["engines"])}
    rows = [
        Bar(
            layer["population"],
            layer["cycles_per_sample"],
            f"{number(layer['cycles_per_sample'])} cycles",
            series=blocks.get(layer["block"], 0),
        )
        for layer in report["layers"]
        if layer["cycles_per_sample"] is not None
    ]
    plot = bars("Busy cycles of each layer per sample", rows)
    steps, pace = counted(latency["steps_per_sample"], "step"), number(latency["cycles_per_step"])
    note = f"{steps} per sample; {_how_engines_work(report)}: {pace} cycles per step"
    if (expected := latency["cycles_per_sample_estimated"]) is not None:
        total = number(latency["cycles_per_sample"])
        note += f". Simulation counted {total} cycles per sample, firing rates alone give {number(expected)}"
    if link is not None:
        note += (
            f". The host link needs {number(link['microseconds_per_sample'])} µs more per sample "
            f"({number(link['bytes_per_sample'])} bytes at {number(link['baud'])} baud)"
        )
        if bound := link.get("bound_by"):
            note += f"; the {bound} takes longer"
    return [plot], note


def _how_engines_work(report: Mapping[str, Any]) -> str:
    """Why a step takes what it takes."""
    if len(report["engines"]) > 1:
        return "the engines work as a pipeline, so the slowest one sets the pace"
    if len(report["layers"]) > 1:
        return "one engine runs the layers in turn, so their cycles add up"
    return "one engine runs the only layer"


def _memory(report: Mapping[str, Any]) -> Plots:
    memory = report["memory"]
    roles = list(dict.fromkeys(_role(region) for region in memory["map"]))
    rows = []
    for block in dict.fromkeys(region["block"] for region in memory["map"]):
        regions = [region for region in memory["map"] if region["block"] == block]
        bound = sum(layer["entropy_bits"] for layer in report["layers"] if layer["block"] == block)
        values = [sum(region["bits"] for region in regions if _role(region) == role) for role in roles]
        brams = sum(region["brams"] for region in regions)
        text = f"{number(sum(values))} bits, {brams} BRAM"
        rows.append(Stack(block, values, text, bound))
    plot = stacks("Bits per block", roles, rows, "entropy bound")
    note = (
        f"weights take {number(memory['stored_bits'])} bits; no code could do with fewer than "
        f"{number(memory['entropy_bits'])} if places and values were random"
    )
    return [plot], note


def _role(region: Mapping[str, Any]) -> str:
    """What a memory is for, in words."""
    role = region["role"].rstrip("0123456789").removeprefix("pool_").removeprefix("sums_")
    return ROLE_NAMES.get(role, role)


def _blocks(report: Mapping[str, Any]) -> Plots:
    blocks = report["blocks"]["list"]
    luts = bars("LUTs per block", _largest(blocks, "luts", "LUTs", 0))
    brams = bars("Block RAMs per block", _largest(blocks, "brams", "BRAM", 1))
    return [luts, brams], ""


def _largest(blocks: Sequence[Mapping[str, Any]], key: str, unit: str, series: int) -> list[Bar]:
    """The blocks with most of a resource, and one bar for all others."""
    ordered = sorted((block for block in blocks if block[key]), key=lambda block: (-block[key], block["name"]))
    rows = [Bar(block["name"], block[key], f"{number(block[key])} {unit}", series=series) for block in ordered]
    if len(rows) > MAX_BLOCKS:
        rest = sum(block[key] for block in ordered[MAX_BLOCKS - 1 :])
        others = f"{len(rows) - MAX_BLOCKS + 1} smaller blocks"
        rows = [*rows[: MAX_BLOCKS - 1], Bar(others, rest, f"{number(rest)} {unit}", series=5)]
    return rows


def _activity(report: Mapping[str, Any]) -> Plots:
    activity = report["activity"]
    plot = lines("Spikes per neuron and step", "time step", activity["rate_per_step"])
    plots, note = [plot], f"measured: mean spikes per neuron in each step, over {activity['samples']} samples"
    if (rasters := report.get("raster")) is not None:
        plots += [
            raster(f"Spikes of {entry['population']}", entry["rows"], rasters["steps"]) for entry in rasters["layers"]
        ]
        note += (
            f"; then every spike of sample {rasters['sample']}: those that float network and integers share, "
            "those that only one of them has"
        )
    return plots, note


def _membranes(report: Mapping[str, Any]) -> Plots:
    return [membrane(trace) for trace in report["traces"]["neurons"]], ""


def _weights(report: Mapping[str, Any]) -> Plots:
    plots = [
        histogram(
            f"Weights from {entry['pre']} to {entry['post']}",
            Bins(entry["lowest_code"], entry["bin_codes"], entry["counts"]),
        )
        for entry in report["weights"][:MAX_BLOCKS]
    ]
    return plots, ""


def _floorplan(report: Mapping[str, Any]) -> Plots:
    return [floorplan("Floorplan", report["floorplan"])], ""


def _classes(report: Mapping[str, Any]) -> Plots:
    confusion = report["accuracy"].get("confusion")
    if confusion is None:
        return (), ""
    return [matrix("Confusion matrix", "class", "predicted", confusion)], ""


_PLOTS: Mapping[str, Callable[[Mapping[str, Any]], Plots]] = {
    "Utilisation": _utilization,
    "Critical path": _path,
    "Layers": _layers,
    "Memory map": _memory,
    "Blocks": _blocks,
    "Classes": _classes,
    "Activity": _activity,
    "Membranes": _membranes,
    "Weights": _weights,
    "Floorplan": _floorplan,
}
"""By the titles of chapters."""

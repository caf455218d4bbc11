"""The report as one HTML page: no scripts, no external resources, readable in light and dark.

What stands on the page is here, how it stands there in `sheet.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .plots import Bar, Stack, bars, lines, stacks
from .rows import ENGINE_FIGURES, ERROR_COLUMNS, engine_rows, neurobench_rows, semantics_rows
from .sheet import Section, Table, Tile, render_page
from .wording import (
    accuracy_text,
    counted,
    family_of,
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
    "log": "events of a step",
    "history": "events of several steps",
    "taps": "delays",
    "down": "axes of maps",
    "across": "axes of maps",
    "choices": "axes of maps",
    "pool": "spikes of windows",
    "sums": "sums of windows",
    "state": "membranes",
    "currents": "synaptic currents",
    "adaptation": "adaptation of thresholds",
    "touched": "touched neurons",
    "readout": "readout",
    "parameters": "neuron parameters",
}
"""Memories by their roles without the numbers of lanes and banks, and without what pools put before."""

MAX_BLOCKS = 12
"""Bars of a plot of blocks."""


def render_html(report: Mapping[str, Any]) -> str:
    """The page for a report (docs/report.md). Everything that came from the model is escaped, by the template."""
    sections = (
        _utilization(report),
        _timing(report["timing"]),
        _latency(report),
        _work(report["work"]),
        _neurobench(report.get("neurobench")),
        _engines(report["engines"]),
        _memory(report),
        _blocks(report["blocks"]),
        _activity(report["activity"]),
        _semantics(report["semantics"]),
    )
    return render_page(
        title=title_of(report),
        subtitle=_subtitle(report),
        tiles=_tiles(report),
        warnings=report["warnings"],
        sections=[section for section in sections if section is not None],
        footer=f"Spikeloom synthesis report, schema {report['schema_version']}. Figures are measured unless marked as "
        "estimated.",
    )


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


def _utilization(report: Mapping[str, Any]) -> Section:
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
    return Section("Utilisation", f"{source}: {note}", [bars("Resources used of those available", rows)])


def _timing(timing: Mapping[str, Any]) -> Section | None:
    path = timing["critical_path"]
    if timing["fmax_mhz"] is None or not path:
        return None
    total = sum(step["logic_ns"] + step["routing_ns"] for step in path)
    rows = [
        Stack(step["block"], (step["logic_ns"], step["routing_ns"]), f"{step['logic_ns'] + step['routing_ns']:.2f} ns")
        for step in path
    ]
    plot = stacks("Critical path by block", ("logic", "routing"), rows)
    note = f"measured: {total:.2f} ns from register to register limit the clock to {timing['fmax_mhz']:.1f} MHz"
    return Section("Critical path", note, [plot])


def _latency(report: Mapping[str, Any]) -> Section | None:
    latency, link = report["latency"], report["link"]
    if latency["cycles_per_sample"] is None:
        return None
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
    return Section("Cycles per layer", note, [plot])


def _how_engines_work(report: Mapping[str, Any]) -> str:
    """Why a step takes what it takes."""
    if len(report["engines"]) > 1:
        return "the engines work as a pipeline, so the slowest one sets the pace"
    if len(report["layers"]) > 1:
        return "one engine runs the layers in turn, so their cycles add up"
    return "one engine runs the only layer"


def _work(work: Mapping[str, Any] | None) -> Section | None:
    if work is None:
        return None
    figures = {name.removesuffix("_per_sample"): amount for name, amount in work.items() if name != "source"}
    rows = [(name.replace("_", " "), number(amount)) for name, amount in figures.items()]
    note = "estimated from firing rates: what dynamic energy depends on, as no open tool tells energy itself"
    return Section("Work per sample", note, table=Table(("What", "Times"), rows, numeric=(1,)))


def _neurobench(metrics: Mapping[str, Any] | None) -> Section | None:
    if metrics is None:
        return None
    note = (
        f"as its release {metrics['release']} counts them, by the integer reference on "
        f"{counted(metrics['samples'], metrics['stimulus'] + ' sample')}; operations are per sample"
    )
    rows = neurobench_rows(metrics)
    return Section("NeuroBench metrics", note, table=Table(("Metric", "Value"), rows, numeric=(1,)))


def _engines(engines: Sequence[Mapping[str, Any]]) -> Section:
    headings, rows = engine_rows(engines)
    note = "what each engine runs, and how many bits its synapses take compared with the least for random ones"
    return Section("Engines", note, table=Table(headings, rows, ENGINE_FIGURES))


def _memory(report: Mapping[str, Any]) -> Section:
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
    headings = ("Block", "Memory", "Words", "Bits", "Kind", "Block RAMs")
    cells = [
        (
            region["block"],
            _role(region),
            f"{number(region['depth'])} × {region['width_bits']}",
            number(region["bits"]),
            region["style"],
            str(region["brams"]),
        )
        for region in memory["map"]
    ]
    return Section("Memory map", note, [plot], Table(headings, cells, numeric=(2, 3, 5)))


def _role(region: Mapping[str, Any]) -> str:
    """What a memory is for, in words."""
    role = region["role"].rstrip("0123456789").removeprefix("pool_").removeprefix("sums_")
    return ROLE_NAMES.get(role, role)


def _blocks(blocks: Mapping[str, Any]) -> Section | None:
    if not blocks["list"]:
        return None
    luts = bars("LUTs per block", _largest(blocks["list"], "luts", "LUTs", 0))
    brams = bars("Block RAMs per block", _largest(blocks["list"], "brams", "BRAM", 1))
    return Section("Blocks", f"{blocks['source']}: {blocks['origin']}", [luts, brams])


def _largest(blocks: Sequence[Mapping[str, Any]], key: str, unit: str, series: int) -> list[Bar]:
    """The blocks with most of a resource, and one bar for all others."""
    ordered = sorted((block for block in blocks if block[key]), key=lambda block: (-block[key], block["name"]))
    rows = [Bar(block["name"], block[key], f"{number(block[key])} {unit}", series=series) for block in ordered]
    if len(rows) > MAX_BLOCKS:
        rest = sum(block[key] for block in ordered[MAX_BLOCKS - 1 :])
        others = f"{len(rows) - MAX_BLOCKS + 1} smaller blocks"
        rows = [*rows[: MAX_BLOCKS - 1], Bar(others, rest, f"{number(rest)} {unit}", series=5)]
    return rows


def _activity(activity: Mapping[str, Any] | None) -> Section | None:
    if activity is None:
        return None
    plot = lines("Spikes per neuron and step", "time step", activity["rate_per_step"])
    note = f"measured: mean spikes per neuron in each step, over {activity['samples']} samples"
    return Section("Spike rate", note, [plot])


def _semantics(semantics: Mapping[str, Any]) -> Section:
    headings, rows = semantics_rows(semantics)
    note = "how each population computes, and how far its integers are from the network that was given"
    return Section("Semantics", note, table=Table(headings, rows, ERROR_COLUMNS))

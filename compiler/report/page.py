"""The report as one HTML page: no scripts, no external resources, readable in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .plots import Bar, Stack, bars, lines, stacks
from .text import (
    ENGINE_FIGURES,
    ERROR_COLUMNS,
    RESOURCE_NAMES,
    counted,
    engine_rows,
    number,
    semantics_rows,
    share,
    title_of,
)

ROLE_NAMES = {
    "rows": "row table",
    "masks": "synapse masks",
    "entries": "synapses",
    "weights": "weights",
    "queue": "waiting events",
    "state": "membranes",
    "parameters": "neuron parameters",
}
"""Memories by their roles without the numbers of lanes and banks."""

MAX_BLOCKS = 12
"""Bars of a plot of blocks."""


def render_html(report: Mapping[str, Any]) -> str:
    """The page for a report (docs/report.md). Everything that came from the model is escaped."""
    sections = [
        _tiles(report),
        _warnings(report["warnings"]),
        _utilization(report),
        _timing(report["timing"]),
        _latency(report),
        _work(report["work"]),
        _engines(report["engines"]),
        _memory(report),
        _blocks(report["blocks"]),
        _activity(report["activity"]),
        _semantics(report["semantics"]),
    ]
    title = title_of(report)
    return _PAGE.format(
        title=escape(title),
        subtitle=escape(_subtitle(report)),
        body="\n".join(section for section in sections if section),
        style=_STYLE,
        schema=report["schema_version"],
    )


def _subtitle(report: Mapping[str, Any]) -> str:
    network, compression = report["network"], report["compression"]
    parts = [
        f"{number(network['inputs'])} inputs",
        f"{number(network['neurons'])} neurons",
        f"{number(network['synapses'])} synapses ({network['sparsity']:.1%} sparse)",
        f"{network['dialect']} conventions",
    ]
    if compression is not None:
        parts.append(f"compressed by {compression['method']}")
    return ", ".join(parts)


# --------------------------------------------------------------------------------------------------- sections


def _tiles(report: Mapping[str, Any]) -> str:
    timing, latency, accuracy = report["timing"], report["latency"], report["accuracy"]
    tiles = []
    for key in ("lcs", "brams"):
        entry = report["utilization"][key]
        if entry["used"] or key == "brams":
            of = f"{share(entry)} of {number(entry['available'])}" if entry["available"] else entry["source"]
            tiles.append(_tile(RESOURCE_NAMES[key], number(entry["used"]), of))
    if timing["fmax_mhz"] is not None:
        verdict = "meets" if timing["met"] else "MISSES"
        expected = "" if timing["fmax_mhz_estimated"] is None else f", estimated {timing['fmax_mhz_estimated']:.0f}"
        tiles.append(_tile("Fmax", f"{timing['fmax_mhz']:.1f} MHz", f"{verdict} {timing['clock_mhz']:g} MHz{expected}"))
    if latency["cycles_per_sample"] is not None:
        samples = f"mean of {counted(latency['samples_measured'], latency['stimulus'] + ' sample')}"
        tiles.append(_tile("Cycles / sample", number(latency["cycles_per_sample"]), samples))
        clock = f"at {timing['clock_mhz']:g} MHz, core only"
        tiles.append(_tile("Time / sample", f"{number(latency['microseconds_per_sample'])} µs", clock))
    if accuracy is not None:
        note = f"float {accuracy['float']:.1%}, {accuracy['samples']} samples"
        tiles.append(_tile("Accuracy", f"{accuracy['integer']:.1%}", note))
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _tile(name: str, figure: str, note: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd><b>{escape(figure)}</b><span>{escape(note)}</span></dd></div>"


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<section class="warnings" aria-label="Warnings"><h2>Warnings</h2><ul>{items}</ul></section>'


def _utilization(report: Mapping[str, Any]) -> str:
    rows = []
    for key, name in RESOURCE_NAMES.items():
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
    return _section("Utilisation", bars("Resources used of those available", rows), f"{source}: {note}")


def _timing(timing: Mapping[str, Any]) -> str:
    path = timing["critical_path"]
    if timing["fmax_mhz"] is None or not path:
        return ""
    total = sum(step["logic_ns"] + step["routing_ns"] for step in path)
    rows = [
        Stack(step["block"], (step["logic_ns"], step["routing_ns"]), f"{step['logic_ns'] + step['routing_ns']:.2f} ns")
        for step in path
    ]
    plot = stacks("Critical path by block", ("logic", "routing"), rows)
    note = f"measured: {total:.2f} ns from register to register limit the clock to {timing['fmax_mhz']:.1f} MHz"
    return _section("Critical path", plot, note)


def _latency(report: Mapping[str, Any]) -> str:
    latency, link = report["latency"], report["link"]
    if latency["cycles_per_sample"] is None:
        return ""
    blocks = [engine["block"] for engine in report["engines"]]
    rows = [
        Bar(
            layer["population"],
            layer["cycles_per_sample"],
            f"{number(layer['cycles_per_sample'])} cycles",
            series=blocks.index(layer["block"]),
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
    return _section("Cycles per layer", plot, note)


def _how_engines_work(report: Mapping[str, Any]) -> str:
    """Why a step takes what it takes."""
    if len(report["engines"]) > 1:
        return "the engines work as a pipeline, so the slowest one sets the pace"
    if len(report["layers"]) > 1:
        return "one engine runs the layers in turn, so their cycles add up"
    return "one engine runs the only layer"


def _work(work: Mapping[str, Any] | None) -> str:
    if work is None:
        return ""
    figures = {name.removesuffix("_per_sample"): amount for name, amount in work.items() if name != "source"}
    rows = [(name.replace("_", " "), number(amount)) for name, amount in figures.items()]
    note = "estimated from firing rates: what dynamic energy depends on, as no open tool tells energy itself"
    return _section("Work per sample", _table(("What", "Times"), rows, numeric=(1,)), note)


def _engines(engines: Sequence[Mapping[str, Any]]) -> str:
    headings, rows = engine_rows(engines)
    note = "what each engine runs, and how many bits its synapses take compared with the least for random ones"
    return _section("Engines", _table(headings, rows, numeric=ENGINE_FIGURES), note)


def _memory(report: Mapping[str, Any]) -> str:
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
    return _section("Memory map", plot + _table(headings, cells, numeric=(2, 3, 5)), note)


def _role(region: Mapping[str, Any]) -> str:
    """What a memory is for, in words."""
    role = region["role"].rstrip("0123456789")
    return ROLE_NAMES.get(role, role)


def _blocks(blocks: Mapping[str, Any]) -> str:
    if not blocks["list"]:
        return ""
    luts = bars("LUTs per block", _largest(blocks["list"], "luts", "LUTs", 0))
    brams = bars("Block RAMs per block", _largest(blocks["list"], "brams", "BRAM", 1))
    return _section("Blocks", luts + brams, f"{blocks['source']}: {blocks['origin']}")


def _largest(blocks: Sequence[Mapping[str, Any]], key: str, unit: str, series: int) -> list[Bar]:
    """The blocks with most of a resource, and one bar for all others."""
    ordered = sorted((block for block in blocks if block[key]), key=lambda block: (-block[key], block["name"]))
    rows = [Bar(block["name"], block[key], f"{number(block[key])} {unit}", series=series) for block in ordered]
    if len(rows) > MAX_BLOCKS:
        rest = sum(block[key] for block in ordered[MAX_BLOCKS - 1 :])
        others = f"{len(rows) - MAX_BLOCKS + 1} smaller blocks"
        rows = [*rows[: MAX_BLOCKS - 1], Bar(others, rest, f"{number(rest)} {unit}", series=5)]
    return rows


def _activity(activity: Mapping[str, Any] | None) -> str:
    if activity is None:
        return ""
    plot = lines("Spikes per neuron and step", "time step", activity["rate_per_step"])
    note = f"measured: mean spikes per neuron in each step, over {activity['samples']} samples"
    return _section("Spike rate", plot, note)


def _semantics(semantics: Mapping[str, Any]) -> str:
    headings, rows = semantics_rows(semantics)
    note = "how each population computes, and how far its integers are from the network that was given"
    return _section("Semantics", _table(headings, rows, numeric=ERROR_COLUMNS), note)


# ------------------------------------------------------------------------------------------------------ pieces


def _section(title: str, content: str, note: str) -> str:
    return f'<section><h2>{escape(title)}</h2><p>{escape(note)}.</p><div class="wide">{content}</div></section>'


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    def row(tag: str, cells: Sequence[str], attributes: str = "") -> str:
        styles = (" class=n" if column in numeric else "" for column in range(len(cells)))
        pairs = zip(cells, styles, strict=True)
        return "".join(f"<{tag}{attributes}{style}>{escape(cell)}</{tag}>" for cell, style in pairs)

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in rows)
    head = row("th", headings, " scope=col")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1c2330; --soft: #5b6475; --line: #dfe3ea;
  --track: #e9ecf1; --alert: #fff4e5; --alert-line: #d97706;
  --s0: #2f6fde; --s1: #d9822b; --s2: #1f9d76; --s3: #9b5de0; --s4: #c9446e; --s5: #6b7688; }
@media (prefers-color-scheme: dark) { :root { --page: #12151b; --card: #1b2029; --text: #e6e9ef; --soft: #a0a9ba;
  --line: #303744; --track: #2a313d; --alert: #33280f; --alert-line: #e8a33d;
  --s0: #6d9df5; --s1: #e9a55c; --s2: #4cc39c; --s3: #b98af0; --s4: #e57a9a; --s5: #98a3b5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 3rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .2rem; }
header p, section > p, footer { color: var(--soft); margin: .2rem 0 1rem; }
section, .tiles > div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 1.1rem 1.25rem; margin: 1rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.tiles > div { padding: .8rem 1rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; }
.tiles b { display: block; font-size: 1.3rem; line-height: 1.3; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.tiles span { color: var(--soft); font-size: .8rem; }
.warnings { background: var(--alert); border-color: var(--alert-line); }
.warnings ul { margin: .3rem 0 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
svg { display: block; width: 100%; min-width: 32rem; height: auto; margin: .4rem 0; }
svg text { font-size: 13px; fill: var(--text); font-variant-numeric: tabular-nums; }
svg .value { fill: var(--soft); }
.track { fill: var(--track); } .axis { stroke: var(--line); fill: none; }
.mark { stroke: var(--text); stroke-width: 2; fill: none; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); }
.s3 { fill: var(--s3); } .s4 { fill: var(--s4); } .s5 { fill: var(--s5); }
.l0 { stroke: var(--s0); } .l1 { stroke: var(--s1); } .l2 { stroke: var(--s2); }
.l3 { stroke: var(--s3); } .l4 { stroke: var(--s4); } .l5 { stroke: var(--s5); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .5rem; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td:first-child { min-width: 7rem; overflow-wrap: anywhere; }
.n { text-align: right; }
footer { font-size: .85rem; margin-top: 1.5rem; }
@media print { body { background: #fff; } section, .tiles > div { break-inside: avoid; } }
""".strip()

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<header><h1>{title}</h1><p>{subtitle}</p></header>
<main>
{body}
</main>
<footer>Spikeloom synthesis report, schema {schema}. Figures are measured unless marked as estimated.</footer>
</body>
</html>
"""

"""The report for a terminal: tables on a terminal, the same as plain text when piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

RESOURCE_NAMES = {
    "lcs": "Logic cells",
    "luts": "LUTs",
    "ffs": "Flip-flops",
    "brams": "Block RAMs",
    "spram": "SPRAM",
    "dsps": "DSP blocks",
}

ECP5_NAMES = {"lcs": "COMB cells", "luts": "LUT4"}
"""Of an ECP5, whose logic cells are more than those with a look-up table: those of carry chains beside them."""


def resource_names(family: str | None) -> dict[str, str]:
    """What the resources of a device family are called, by their keys."""
    return RESOURCE_NAMES | (ECP5_NAMES if family == "ecp5" else {})


WIDTH = 100
"""Columns of the text; terminals that are narrower get less."""


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


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 sample, 2 samples."""
    return f"{number(count)} {noun}{'s' * (count != 1)}"


def printable(text: str) -> str:
    """The text with control characters escaped: names come from model files, and a terminal obeys what it is sent."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _bounded(console: Console | None) -> Console:
    console = console or Console(highlight=False)
    if not console.is_terminal or console.width > WIDTH:
        console.width = WIDTH
    return console


# ----------------------------------------------------------------------------------------------------- tables


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> Table:
    """A plain table; the columns `numeric` are aligned to the right."""
    result = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column, heading in enumerate(headings):
        result.add_column(heading, justify="right" if column in numeric else "left", overflow="fold")
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
        note = ("meets the clock" if timing["met"] else "MISSES the clock") + _expected(timing["fmax_mhz_estimated"])
        rows.append(("Fmax", f"{timing['fmax_mhz']:.2f} MHz", note))
        path = " > ".join(step["block"] for step in timing["critical_path"])
        total = sum(step["logic_ns"] + step["routing_ns"] for step in timing["critical_path"])
        rows.append(("Critical path", f"{total:.2f} ns", path))
    if latency["cycles_per_sample"] is not None:
        spread = f"{number(latency['cycles_per_sample_min'])} to {number(latency['cycles_per_sample_max'])} over "
        samples = counted(latency["samples_measured"], f"{latency['stimulus']} sample") + " of "
        samples += counted(latency["steps_per_sample"], "step")
        note = spread + samples + _expected(latency["cycles_per_sample_estimated"])
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


def engine_rows(engines: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of the table of engines."""
    headings = ("Block", "Runs", "Lanes", "Synapses as", "Stored bits", "Of bound", "Cycles")
    rows: list[tuple[str, ...]] = [
        (
            engine["block"],
            ", ".join(engine["populations"]),
            number(engine["lanes"]),
            encoding_text(engine["encoding"]),
            number(engine["stored_bits"]),
            "" if engine["stored_over_entropy"] is None else f"{engine['stored_over_entropy']:.2f}",
            "" if engine["cycles_per_sample"] is None else number(engine["cycles_per_sample"]),
        )
        for engine in engines
    ]
    return headings, rows


ENGINE_FIGURES = (2, 4, 5, 6)
"""The columns of `engine_rows` that hold figures."""


def _memory(report: Mapping[str, Any]) -> Table:
    rows = [
        (
            region["block"],
            region["role"],
            f"{number(region['depth'])} x {region['width_bits']}",
            number(region["bits"]),
            region["style"],
            str(region["brams"]),
        )
        for region in report["memory"]["map"]
    ]
    return table("Memory map", ("Block", "Memory", "Words", "Bits", "Kind", "Block RAMs"), rows, numeric=(2, 3, 5))


def _neurobench(metrics: Mapping[str, Any] | None) -> Table | None:
    if metrics is None:
        return None
    samples = counted(metrics["samples"], f"{metrics['stimulus']} sample")
    title = f"NeuroBench {metrics['release']} (integer reference, {samples})"
    return table(title, ("Metric", "Value"), neurobench_rows(metrics), numeric=(1,))


def neurobench_rows(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """NeuroBench's names and their figures; operations are per sample."""
    return [
        ("Footprint", f"{number(metrics['footprint_bytes'])} bytes"),
        ("Connection sparsity", f"{metrics['connection_sparsity']:.4f}"),
        ("Activation sparsity", f"{metrics['activation_sparsity']:.4f}"),
        ("Effective MACs", number(metrics["effective_macs_per_sample"])),
        ("Effective ACs", number(metrics["effective_acs_per_sample"])),
        ("Dense", number(metrics["dense_per_sample"])),
    ]


def _blocks(report: Mapping[str, Any]) -> Table | None:
    blocks = report["blocks"]
    if not blocks["list"]:
        return None
    rows = [
        (block["name"], number(block["luts"]), number(block["ffs"]), str(block["brams"])) for block in blocks["list"]
    ]
    title = f"Blocks ({blocks['source']}, {blocks['origin']})"
    return table(title, ("Block", "LUTs", "Flip-flops", "Block RAMs"), rows, numeric=(1, 2, 3))


def semantics_rows(semantics: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of the table of populations; the last four columns are relative errors."""
    headings = (
        "Population",
        "Model",
        "Reset",
        "Fires",
        "Keeps",
        "Leak err.",
        "Weight err.",
        "Threshold err.",
        "Bias err.",
    )
    rows: list[tuple[str, ...]] = []
    for name, entry in semantics.items():
        figures = (entry["errors"][f"{key}_relative"] for key in ("leak", "weights", "threshold", "bias"))
        rows.append(
            (
                name,
                _model(entry),
                f"{entry['reset']}, {entry['reset_place']}" if entry["reset"] != "none" else "none",
                _fires(entry),
                keeps_text(entry),
                *(f"{figure:.2%}" for figure in figures),
            )
        )
    return headings, rows


def _model(entry: Mapping[str, Any]) -> str:
    """The model, and what its neurons have besides; reports of older versions say nothing of it."""
    besides = [word for word, key in (("floor", "floor"), ("adapts", "adaptation")) if entry.get(key) is not None]
    return ", ".join((entry["model"], *besides))


def _fires(entry: Mapping[str, Any]) -> str:
    """Where neurons fire, and how often in a step if that may be more than once."""
    where = {"gt": "above", "ge": "at or above", None: "never"}[entry["fire"]]
    most = entry.get("max_spikes", 1)
    return where if most == 1 else f"{where}, 1 to {most} times"


ERROR_COLUMNS = range(5, 9)
"""The columns of `semantics_rows` that hold figures."""


# ----------------------------------------------------------------------------------------------------- wording


def title_of(report: Mapping[str, Any]) -> str:
    """The network and its target: a board, else a device, else the core alone."""
    name = str(report["network"]["name"])
    if report["board"] is not None:
        return f"{name} on {report['board']['name']}"
    return f"{name}, the core alone" if report["device"] is None else f"{name} on {report['device']['id']}"


def family_of(report: Mapping[str, Any]) -> str | None:
    """The family of the device, where there is one."""
    return None if report["device"] is None else str(report["device"]["family"])


def _optional(value: float | None) -> str:
    return "" if value is None else number(value)


def _expected(value: float | None) -> str:
    """The estimate of a figure, after what is said of it."""
    return "" if value is None else f"; estimated {number(value)}"


def number(value: float) -> str:
    """A figure with thousands apart, and decimals only where they say something."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.2f}"


def share(entry: Mapping[str, Any]) -> str:
    """Used of available, in percent."""
    return f"{entry['used'] / entry['available']:.1%}" if entry["available"] else ""


def accuracy_text(accuracy: Mapping[str, Any]) -> str:
    """The samples and the readout of an accuracy, and what the float network and the compressed one that was given had.

    Reports of older versions have neither stimuli, nor a readout, nor a compressed network.
    """
    samples, stimulus = accuracy["samples"], accuracy.get("stimulus", "labelled")
    parts = [f"over {counted(samples, f'{stimulus} sample')}"]
    if (share := accuracy["float"]) is None:
        parts.append("original float not measured")
    elif (of := (accuracy.get("float_samples") or samples, accuracy.get("float_stimulus") or stimulus)) == (
        samples,
        stimulus,
    ):
        parts.insert(0, f"float {share:.2%}")
    else:
        parts.append(f"float {share:.2%} of {counted(of[0], f'{of[1]} sample')}")
    if (compressed := accuracy.get("compressed")) is not None:
        parts.append(f"{compressed:.2%} as compressed before")
    if "readout" in accuracy:
        parts.append(f"by {accuracy['readout']}")
    return ", ".join(parts)


def guess_text(report: Mapping[str, Any]) -> str:
    """What of the estimate is a guess."""
    parts = report.get("guessed_parts", ())
    return f"; a first guess estimates {', '.join(parts)}" if parts else ""


def beats_text(shape: Mapping[str, Any]) -> str:
    """What a wide input brings at once."""
    return (
        f"wide input: {shape['slots']} events per beat in {counted(shape['banks'], 'bank')}, "
        f"rows of {counted(shape['row_bits'], 'bit')}, payload of {shape['payload_bits']} bits"
    )


def readings_text(readout: Mapping[str, Any]) -> str:
    """What a core gives out of its output's membranes, and what a number of it is worth."""
    readings = readout["readings"]
    when = "in every step" if readings["every_step"] else "at the end of a sample"
    offset = f", plus {readings['offset']:g}" if readings["offset"] else ""
    named = " and the class" if readings["names_class"] else ""
    return (
        f"readout: {readout['by']}, {counted(readings['value_bits'], 'bit')} of each output {when}{named}; "
        f"in real units times {readings['unit']:.6g}{offset}"
    )


def silent_text(network: Mapping[str, Any]) -> str:
    """How many of the neurons are not in the core, after their number."""
    silent = network.get("silent_neurons", 0)
    return f" ({number(silent)} that never fire are not in the core)" if silent else ""


def encoding_text(encoding: Mapping[str, Any]) -> str:
    """What an entry is, and how rows are found."""
    what = f"{encoding['code_bits']}-bit weights"
    if encoding["levels"] is not None:
        what = f"{encoding['code_bits']}-bit codes of {encoding['levels']} weights"
    if encoding["chunk_bits"] is not None:
        return f"{what}, bitmaps of {encoding['chunk_bits']} neurons"
    if encoding["uniform"]:
        return f"{what}, dense rows"
    rows = "a row" if encoding["group"] == 1 else f"{encoding['group']} rows"
    return f"{what}, {encoding['index_bits']}-bit index, start of {rows}"


def keeps_text(entry: Mapping[str, Any]) -> str:
    """What a step keeps of the membrane, and of the synaptic current where there is one."""
    current = "" if entry["decay_syn"] is None else f", current {decay_text(entry['decay_syn'])}"
    return decay_text(entry["decay"]) + current


def decay_text(decay: Mapping[str, Any] | None) -> str:
    """The share of a state that a step keeps."""
    if decay is None:
        return "all"
    low, high = decay["keeps_min"], decay["keeps_max"]
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"

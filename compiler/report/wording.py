"""How reports name things and write figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 sample, 2 samples."""
    return f"{number(count)} {noun}{'s' * (count != 1)}"


def printable(text: str) -> str:
    """The text with control characters escaped: names come from model files, and a terminal obeys what it is sent."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def title_of(report: Mapping[str, Any]) -> str:
    """The network and its target: a board, else a device, else the core alone."""
    name = str(report["network"]["name"])
    if report["board"] is not None:
        return f"{name} on {report['board']['name']}"
    return f"{name}, the core alone" if report["device"] is None else f"{name} on {report['device']['id']}"


def family_of(report: Mapping[str, Any]) -> str | None:
    """The family of the device, where there is one."""
    return None if report["device"] is None else str(report["device"]["family"])


def expected(value: float | None) -> str:
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


def exchange_text(exchange: Mapping[str, Any]) -> str:
    """What can become of the weights in the bitstream, and what has."""
    count = exchange["reloads"]
    times = "not yet exchanged" if not count else f"exchanged {'once' if count == 1 else f'{count} times'}"
    return f"weights can be exchanged in the bitstream ({exchange['headroom']:.0%} headroom): {times}"

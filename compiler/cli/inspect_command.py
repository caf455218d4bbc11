"""`spikeloom inspect`: what a network is, and the names that options take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import common


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "inspect",
        parents=[common.model_options()],
        help="show the populations and projections of a network",
        description="Show what a NIR file, or the network of a build folder, holds: populations with shapes, leaks, "
        "thresholds and sparsity, by the names that --layer takes, and the projections between them.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=f"{common.MODEL}, or a build folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the tables."""
    from ..report.inspection import inspect_network

    if options.model.is_dir():
        options.model = common.open_build(options.model).network_file
    found = inspect_network(common.read_model(options))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    return 0


def _print(found: Mapping[str, Any]) -> None:
    from ..report.text import print_tables, table
    from ..report.wording import counted, number, printable

    neurons, synapses = counted(found["neurons"], "neuron"), counted(found["synapses"], "synapse")
    classes = f"{number(found['classes'])} class{'es' * (found['classes'] != 1)}"
    print(printable(f"{found['name']}: {found['level']} network, {found['dialect']} conventions{_dt(found)}"))
    values = f"{found['x_min']} to {found['x_max']}"
    print(
        f"input {_shape(found['input_shape'])}, values {values}; {neurons}, {synapses} ({found['sparsity']:.1%} sparse)"
    )
    print(printable(f"output {found['output']}: {classes}, by {found['readout']}"), end="\n\n")
    populations = [
        (
            entry["name"],
            _shape(entry["shape"]),
            _model(entry),
            _spread(entry.get("keeps"), "all") + _current(entry),
            _spread(entry.get("threshold"), "never fires"),
            _reset(entry),
            number(entry["synapses"]),
            f"{entry['sparsity']:.1%}",
            *_bits(entry),
        )
        for entry in found["populations"]
    ]
    projections = [
        (
            entry["pre"],
            entry["post"],
            f"{entry['kind']} {_shape(entry['weights_shape'])}",
            number(entry["synapses"]),
            f"{entry['sparsity']:.1%}",
            f"{entry['bits']} bits" if "bits" in entry else _spread(entry["range"], ""),
            number(entry["values"]),
            _edge(entry),
        )
        for entry in found["projections"]
    ]
    headings = ("Layer", "Shape", "Model", "Keeps", "Threshold", "Reset", "Synapses", "Sparse", "Bits", "State")
    print_tables(
        table("Populations (--layer takes their names)", headings, populations, numeric=(6, 7)),
        table(
            "Projections",
            ("From", "Into", "Weights", "Synapses", "Sparse", "Values", "Different", "Delay"),
            projections,
            numeric=(3, 4, 6),
        ),
    )
    if found["not_in_contract"] is not None:
        common.warn(printable(f"hardware cannot have it as it is: {found['not_in_contract']}"))


def _dt(found: Mapping[str, Any]) -> str:
    return "" if found["dt_seconds"] is None else f", a step of {found['dt_seconds']:g} s"


def _shape(shape: list[int]) -> str:
    return " x ".join(map(str, shape)) or "1"


def _spread(values: Mapping[str, Any] | None, none: str) -> str:
    """A value, or the range of several."""
    if values is None:
        return none
    low, high = f"{values['min']:.4g}", f"{values['max']:.4g}"
    return low if low == high else f"{low} to {high}"


def _model(entry: Mapping[str, Any]) -> str:
    besides = ["adapts"] * bool(entry.get("adapts")) + ["floor"] * (entry.get("floor") is not None)
    several = [f"up to {entry['max_spikes']} spikes"] * (entry["max_spikes"] > 1)
    return ", ".join((entry["model"], *besides, *several))


def _current(entry: Mapping[str, Any]) -> str:
    return "" if entry.get("keeps_syn") is None else f", current {_spread(entry['keeps_syn'], '')}"


def _reset(entry: Mapping[str, Any]) -> str:
    if entry.get("reset") in (None, "none"):
        return "none"
    return f"{entry['reset']}, {entry['reset_place']}"


def _bits(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Of a weight, and of the state with its fraction bits."""
    if "state_bits" not in entry:
        return "float", ""
    return str(entry["weight_bits"]), f"{entry['state_bits']} ({entry['fraction_bits']})"


def _edge(entry: Mapping[str, Any]) -> str:
    if not entry["step_edge"]:
        return ""
    delay = _spread(entry["delay"], "")
    return f"{delay} {'step' if delay == '1' else 'steps'}" + (", recurrent" if entry["recurrent"] else "")

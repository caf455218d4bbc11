"""`spikeloom compare`: from which layer and step on quantisation changes spikes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from ...sim.drift import Drift
    from ..ir.network import Network


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "compare",
        parents=[common.model_options()],
        help="show from which layer and step on quantisation changes spikes",
        description="Run a float network and its integers, of a build folder or as compress writes them, on the same "
        "samples, and count layer by layer where their spikes differ.",
    )
    parser.add_argument("model", type=Path, metavar="FLOAT_MODEL", help="the network before quantisation")
    parser.add_argument("integers", type=Path, metavar="DIR_OR_MODEL", help="a build folder, or an integer NIR file")
    parser.add_argument("--data", type=Path, required=True, metavar="SAMPLES.npz", help="the samples to run")
    parser.add_argument("--limit", type=common.whole(1), metavar="N", help="run the first N samples only")
    parser.add_argument(
        "--neurons",
        type=_neurons,
        action="append",
        metavar="NAME:N[,N...]",
        help="membranes of these neurons of a population in the first sample, with --html or --json; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument("--force", action="store_true", help="replace an existing FILE")
    parser.set_defaults(run=run)
    return parser


def _neurons(text: str) -> tuple[str, list[int]]:
    """An argparse type: a population and numbers of its neurons."""
    name, colon, numbers = text.rpartition(":")
    try:
        chosen = [int(number) for number in numbers.split(",")]
    except ValueError:
        chosen = []
    if not (colon and name and chosen):
        raise argparse.ArgumentTypeError(f"must be a population and its neurons, as hidden:0,5: {text!r}")
    return name, chosen


def run(options: argparse.Namespace) -> int:
    """Compare, and print the table."""
    from ...hdl.errors import OptionError
    from ...sim.drift import drift_data, find_drift
    from ..flow.traces import traced
    from ..frontends.nir.reader import read_nir
    from ..frontends.samples import read_samples
    from ..output.build_folder import check_file
    from ..report.drift import drift_page
    from ..report.outcome import traces_data

    if options.html is not None:
        check_file(options.html, force=options.force)
    elif options.neurons and not options.json:
        raise OptionError("membranes are drawn or written as numbers: add --html FILE or --json to --neurons")
    coding, file = None, options.integers
    if file.is_dir():
        build = common.open_build(file)
        coding, file = build.coding, build.network_file
    integer = read_nir(file)
    real = _read_as(options, integer)
    samples = read_samples(options.data, real, coding=coding).first(options.limit)
    with common.progress_bar(f"running {len(samples)} samples on both networks") as progress:
        drift = find_drift(real, integer, samples.spikes, samples.labels, progress)
    data = drift_data(drift, real, integer)
    if options.neurons or options.html is not None:
        chosen = dict(options.neurons) if options.neurons else None
        data["traces"] = traces_data(traced(real, integer, samples.spikes, chosen)[1])
    if options.html is not None:
        common.write_text(options.html, drift_page(data), force=options.force)
    if options.json:
        print(json.dumps(data, indent=2))
    elif options.html is None:
        _print(data, drift)
    return 0


def _read_as(options: argparse.Namespace, integer: Network) -> Network:
    """The float network, its class read as that of the integers where nobody says otherwise."""
    real = common.read_model(options)
    said = (options.readout, options.classes, options.readout_threshold)
    reading = integer.reading
    if said == (None, None, None):
        return real.with_readout(reading.by, classes=reading.classes, threshold=reading.threshold)
    return real


def _print(data: dict[str, Any], drift: Drift) -> None:
    from ..report.drift import DRIFT_FIGURES, drift_rows, verdict
    from ..report.text import print_tables, table
    from ..report.wording import counted, printable

    title = f"{data['network']}: {counted(drift.samples, 'sample')} of {counted(drift.steps, 'step')}"
    print(printable(title))
    for line in verdict(data):
        print(printable(line))
    print()
    headings, rows = drift_rows(data)
    print_tables(table("Spikes that compression changed", headings, rows, numeric=DRIFT_FIGURES))

"""`spikeloom simulate`: run a network on samples with one of the executors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import EXECUTORS, SIMULATORS
from . import common, early

if TYPE_CHECKING:
    from ...sim.recording import Recording
    from ..data.samples import Samples
    from ..ir.network import Network
    from ..output.build_folder import BuildFolder
    from ..plan.folding import Folding


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "simulate",
        parents=[common.model_options(), common.folding_options()],
        help="run a network on samples",
        description="Run a build folder or a NIR file on samples and print the predicted classes. The float executor "
        "runs float networks, every other one integer networks (from spikeloom compress --bits, or compile).",
    )
    parser.add_argument("model", type=Path, metavar="DIR_OR_MODEL", help=f"a build folder, or {common.MODEL}")
    parser.add_argument("--data", type=Path, required=True, metavar="SAMPLES.npz", help="spikes and optional labels")
    parser.add_argument("--executor", choices=EXECUTORS, default="reference", help="what runs it (default: reference)")
    parser.add_argument("--simulator", choices=SIMULATORS, default="icarus", help="for verilog and netlist")
    parser.add_argument(
        "--output", type=Path, metavar="OUT.npz", help="write spikes and predicted classes; to OUT.nir all spikes"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing OUT.npz")
    parser.add_argument("--membranes", action="store_true", help="write the outputs' membranes too")
    parser.add_argument(
        "--trust", action="store_true", help="run the folder's Verilog even where it is not that of its RTLIL"
    )
    early.add_option(parser)
    parser.add_argument("--limit", type=common.whole(1), metavar="N", help="run the first N samples only")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Simulate, write OUT.npz and print the summary."""
    from ...hdl.errors import OptionError
    from ...sim import simulate
    from ...sim.own_verilog import require_own_verilog
    from ..frontends.samples import read_samples
    from ..output.build_folder import check_file, replaced

    if options.membranes and options.output is None:
        raise OptionError("--membranes are written to a file: name it with --output OUT.npz")
    if options.output is not None:
        check_file(options.output, force=options.force)
    build = common.open_build(options.model) if options.model.is_dir() else None
    network = _network(options, build)
    coding = None if build is None else build.coding
    samples = read_samples(options.data, network, coding=coding).first(options.limit)
    if build is not None and options.executor in ("verilog", "netlist") and not options.trust:
        require_own_verilog(build.path, "core_traced")
    with common.progress_bar(f"simulating {len(samples)} samples ({options.executor})") as progress:
        recording = simulate(
            network,
            samples.spikes,
            executor=options.executor,
            membranes=options.membranes,
            folder=None if build is None else build.path,
            family="ice40" if build is None else build.family,
            folding=_folding(options, build, network),
            dsp=build is not None and build.has_dsp,
            simulator=options.simulator,
            progress=progress,
        )
    if options.output is not None:
        with replaced(options.output, force=options.force) as temporary:
            if options.output.suffix == ".nir":
                _write_exchange(temporary, network, samples, recording, options.membranes)
            else:
                _write(temporary, recording, options.membranes)
    saved = None
    if options.early_exit is not None:
        saved = early.saved_by(build, network, samples, options.early_exit, recording)
    _print(options, recording, samples, saved)
    return 0


def _network(options: argparse.Namespace, build: BuildFolder | None) -> Network:
    """A build folder's network, as read for the float executor and integer for the others, or that of a NIR file."""
    from ...hdl.errors import OptionError
    from ..frontends.nir.reader import read_nir

    if build is None:
        network = common.read_model(options)
        if options.executor != "float" and not network.is_integer:
            raise OptionError(
                f"the {options.executor} executor runs integer networks: {options.model} has float weights; quantise "
                "it with spikeloom compress --bits, or compile it"
            )
        return network
    file = build.source_file if options.executor == "float" else build.network_file
    return common.with_readout(options, read_nir(file))


def _folding(options: argparse.Namespace, build: BuildFolder | None, network: Network) -> Folding | None:
    """A build folder's folding, or what the options ask for."""
    from ...hdl.errors import OptionError
    from ..flow.folding import all_fast
    from ..plan.folding import default_folding, read_folding

    if build is None:
        folding = common.folding_of(options, network)
        return all_fast(network, folding or default_folding(network)) if options.fast else folding
    given = (options.fold, options.folding, options.fast, options.queue, options.lists)
    if any(option is not None for option in given):
        raise OptionError(
            f"a build has its folding: {options.model} is a build folder; leave --fold, --fast, --queue, --lists and "
            "--folding out"
        )
    return read_folding(build.folding_file)


def _write_exchange(path: Path, network: Network, samples: Samples, recording: Recording, membranes: bool) -> None:
    from ..frontends.nir.exchange import write_exchange

    outputs = {recording.output: recording.membranes} if membranes and recording.membranes is not None else None
    write_exchange(path, network, recording.trains(samples.spikes), outputs)


def _write(path: Path, recording: Recording, membranes: bool) -> None:
    import numpy as np

    arrays: dict[str, Any] = {"spikes": recording.spikes, "predicted": recording.predicted}
    if membranes:
        arrays["membranes"] = recording.membranes
    with path.open("wb") as file:  # given a name, numpy would end it with .npz
        np.savez_compressed(file, **arrays)


def _print(options: argparse.Namespace, recording: Recording, samples: Samples, saved: dict[str, Any] | None) -> None:
    import numpy as np

    from ..report.wording import counted

    outputs = recording.spikes.shape[2]
    counts = np.bincount(recording.predicted, minlength=recording.readout.class_count(outputs))
    accuracy = None if samples.labels is None else recording.accuracy(samples.labels)
    summary = {
        "executor": options.executor,
        "samples": len(samples),
        "steps": samples.steps,
        "outputs": outputs,
        "output_spikes": int(recording.spikes.sum(dtype=np.int64)),
        "readout": str(recording.readout),
        "predicted_counts": counts.tolist(),
        "accuracy": accuracy,
        "ambiguous": recording.ambiguous,
    }
    if options.json:
        ended = {} if saved is None else {"early_exit": saved}
        print(json.dumps(summary | {"predicted": recording.predicted.tolist()} | ended))
        return
    print(f"{counted(len(samples), 'sample')} of {counted(samples.steps, 'step')} on the {options.executor} executor")
    print(f"output spikes: {summary['output_spikes']}")
    print(f"predicted classes, by {recording.readout}: {_classes(counts.tolist())}")
    if accuracy is not None:
        print(f"accuracy: {accuracy:.2%} of {counted(len(samples), 'labelled sample')}, by {recording.readout}")
    if saved is not None:
        early.print_saved(saved)
    if recording.ambiguous:
        print(f"neuron-steps too close to their threshold to be sure of in floating point: {recording.ambiguous}")


def _classes(counts: list[int]) -> str:
    """The classes that were predicted, the most frequent first, at most twelve of them."""
    order = sorted((index for index, count in enumerate(counts) if count), key=lambda index: (-counts[index], index))
    shown = ", ".join(f"{index} ({counts[index]})" for index in order[:12])
    return shown + (f", and {len(order) - 12} more" if len(order) > 12 else "")

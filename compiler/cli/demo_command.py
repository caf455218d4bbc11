"""`spikeloom demo`: the whole way once, from the digits network of examples/ to a proven bitstream."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import common

BOARD = "icebreaker"
BITS = 6
SPARSITY = 0.5
REGRESSION_SAMPLES = 10


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "demo",
        help="compile and verify the digits network",
        description="Compile a network of handwritten digits for the iCEBreaker, run the regression on real samples, "
        "and print what came out. Run it in a checkout, or name the files.",
    )
    parser.add_argument("--model", type=Path, default=Path("examples/digits.nir"), help="default: examples/digits.nir")
    parser.add_argument("--data", type=Path, default=Path("examples/digits.npz"), help="default: examples/digits.npz")
    parser.add_argument("--output", type=Path, default=Path("build/demo"), metavar="DIR", help="default: build/demo")
    parser.add_argument("--force", action="store_true", help="replace an existing build folder")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compile, prove, summarise."""
    from ...sim.regress import regress
    from ..nir_reader import read_nir
    from ..samples import load_samples
    from .flow import CompileOptions, compile_network

    network = read_nir(options.model)
    samples = load_samples(options.data, network)
    build = compile_network(
        network,
        options.output,
        CompileOptions(board=BOARD, bits=BITS, sparsity=SPARSITY),
        samples=samples,
        inputs={"model": options.model, "samples": options.data},
        force=options.force,
        step=common.progress_bar,
    )
    proven = samples.first(REGRESSION_SAMPLES)
    with common.progress_bar(f"comparing {len(proven)} samples with the Verilog, spike by spike") as progress:
        result = regress(
            read_nir(build.network_file), build.path, proven.spikes, family=build.family, progress=progress
        )
    equal = (
        f"{result.spikes_compared:,} spikes and {result.membranes_compared:,} membranes equal the reference, "
        f"{result.samples} samples in cocotb"
    )
    _summarise(build.report(), equal, build.path / "top.bin")
    return 0


def _summarise(report: dict[str, Any], equal: str, bitstream: Path) -> None:
    from ..report_text import number, share

    lcs, brams = report["utilization"]["lcs"], report["utilization"]["brams"]
    timing, latency, accuracy = report["timing"], report["latency"], report["accuracy"]
    network = report["network"]
    rows = [
        (
            "Network",
            f"{number(network['synapses'])} synapses left of {network['name']}, {network['sparsity']:.0%} pruned",
        ),
        ("Accuracy", f"float {accuracy['float']:.2%}, hardware {accuracy['integer']:.2%}"),
        ("Verified", equal),
        ("Logic cells", f"{number(lcs['used'])} of {number(lcs['available'])} ({share(lcs)})"),
        ("Block RAMs", f"{brams['used']} of {brams['available']} ({share(brams)})"),
        ("Fmax", f"{timing['fmax_mhz']:.1f} MHz, runs at {timing['clock_mhz']:g} MHz"),
        (
            "Per sample",
            f"{number(latency['cycles_per_sample'])} cycles, {number(latency['microseconds_per_sample'])} µs",
        ),
        ("Bitstream", str(bitstream)),
    ]
    print(f"\n{report['board']['name']}: handwritten digits in spikes")
    for name, text in rows:
        print(f"  {name:<12} {text}")

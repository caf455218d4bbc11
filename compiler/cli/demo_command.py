"""`spikeloom demo`: the whole way once, from the digits network of examples/ to a proven bitstream."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from ...sim.regress import RegressionResult
    from ..output.build_folder import BuildFolder

BOARD = "icebreaker"
BITS = 4
SPARSITY = 0.85
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
"""Where the example lies, in a checkout as in an installed package."""

REGRESSION_SAMPLES = 100
"""Test samples that go through the emitted Verilog, twice each: with monitors under stress, and as shipped."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "demo",
        help="compile and verify the digits network",
        description="Compile a network of handwritten digits for the iCEBreaker, run the regression on real samples, "
        "and print what came out.",
    )
    parser.add_argument(
        "--examples", type=Path, default=EXAMPLES, metavar="DIR", help="another folder with the files of examples/"
    )
    parser.add_argument("--output", type=Path, default=Path("build/demo"), metavar="DIR", help="default: build/demo")
    parser.add_argument("--force", action="store_true", help="replace an existing build folder")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compile, prove, summarise."""
    from ...sim import simulate
    from ...sim.regress import regress
    from ..data.samples import load_samples
    from ..flow.compile import compile_network
    from ..flow.options import CompileOptions
    from ..frontends.nir.reader import read_nir

    files = {"model": options.examples / "digits.nir", "samples": options.examples / "digits_calibration.npz"}
    network = read_nir(files["model"])
    test = load_samples(options.examples / "digits_test.npz", network)
    build = compile_network(
        network,
        options.output,
        CompileOptions(board=BOARD, method="magnitude", bits=BITS, sparsity=SPARSITY),
        samples=load_samples(files["samples"], network),
        inputs=files,
        force=options.force,
        step=common.progress_bar,
    )
    integers = read_nir(build.network_file)
    proven = test.first(REGRESSION_SAMPLES)
    with common.progress_bar(f"regression: {len(proven)} test samples through the Verilog, in cocotb") as progress:
        result = regress(integers, build.path, proven.spikes, family=build.family, progress=progress)
    recordings = [simulate(n, test.spikes, executor=e) for n, e in ((network, "float"), (integers, "reference"))]
    assert test.labels is not None
    accuracies = [recording.accuracy(test.labels) for recording in recordings]
    _summarise(build, accuracies, len(test), str(integers.reading), result)
    return 0


def _summarise(
    build: BuildFolder, accuracies: list[float], samples: int, readout: str, result: RegressionResult
) -> None:
    """What came out. Accuracies are those of the float executor and the integer reference."""
    from ..report.wording import number, share, silent_text

    report = build.report()
    network, timing, latency = report["network"], report["timing"], report["latency"]
    lcs, brams = report["utilization"]["lcs"], report["utilization"]["brams"]
    cycles, time = number(latency["cycles_per_sample"]), number(latency["microseconds_per_sample"])
    rows = {
        "Network": f"{network['inputs']} inputs, {network['neurons']} neurons{silent_text(network)}, "
        f"{number(network['synapses'])} synapses "
        f"of {BITS} bits ({network['sparsity']:.0%} sparse)",
        "Accuracy": f"float executor {accuracies[0]:.2%}, integer reference {accuracies[1]:.2%} of {samples} test "
        f"samples, by {readout}",
        "Verified": f"the Verilog equals the integer reference on {result.samples} of them: "
        f"{number(result.spikes_compared)} comparisons",
        "": f"for a spike, {number(result.membranes_compared)} for a membrane",
        "Logic cells": f"{number(lcs['used'])} of {number(lcs['available'])} ({share(lcs)})",
        "Block RAMs": f"{brams['used']} of {brams['available']} ({share(brams)})",
        "Fmax": f"{timing['fmax_mhz']:.1f} MHz; the board runs it at {timing['clock_mhz']:g} MHz",
        "Per sample": f"{cycles} cycles, {time} µs",
    }
    print(f"\nHandwritten digits on the {report['board']['name']}")
    _print_rows(rows)
    command = common.own_command()
    print("\nNext")
    _print_rows(
        {
            "Look": f"{command} report {build.path} --html {build.path.name}.html",
            "Flash": f"{command} flash {build.path}, with the board plugged in (docs/boards.md)",
            "Run": f"{command} run {build.path} --port auto --data examples/digits_test.npz --check",
            "Your own": f"{command} compile MODEL.nir --board {BOARD} --data CALIBRATION.npz",
        }
    )


def _print_rows(rows: dict[str, str]) -> None:
    for name, text in rows.items():
        print(f"  {name:<12} {text}")

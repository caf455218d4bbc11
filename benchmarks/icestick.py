"""Networks on the smallest board: one-shot compression to 4 bits, whole designs with host link on an iCEstick.

    python benchmarks/icestick.py --networks FOLDER --output FOLDER [--only half slow ...] [--sparsity 0.96 0.97]

`--networks` is a folder that `benchmarks/mnist.py` filled: NAME.nir, 28x28_calibration.npz, 28x28_test.npz. Each
network is compressed and built as `spikeloom compile NAME.nir --board icestick --sparsity S --bits 4 --data CAL.npz
--clock-mhz board` does, on `--images` calibration images without labels; accuracy is the integer reference's on all
test images. A design that does not fit is a row that says so.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from measuring.accuracy import accuracy
from spikeloom.compiler.data.samples import Samples, load_samples
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import IntegerDynamics
from spikeloom.hdl.errors import CapacityError

BITS = 4
COLUMNS = ("network", "sparsity", "LC of 1,280", "block RAMs of 16", "MHz", "fraction bits", "state bits", "% right")


def row(name: str, source: Network, sparsity: float, samples: Samples, test: Samples, folder: Path) -> list[str]:
    """Build one design; its row of the table."""
    options = CompileOptions(board="icestick", sparsity=sparsity, bits=BITS, own_clock=True)
    try:
        build = compile_network(source, folder, options, samples=samples, force=True)
    except CapacityError as error:
        return [name, f"{sparsity:.0%}", f"does not fit: {error}", *["-"] * (len(COLUMNS) - 3)]
    network = read_nir(folder / "network.nir")
    report = build.report()
    neurons = [p.dynamics for p in network.populations if isinstance(p.dynamics, IntegerDynamics)]
    used = report["utilization"]
    return [
        name,
        f"{sparsity:.0%}",
        f"{used['lcs']['used']:,}",
        str(used["brams"]["used"]),
        f"{report['timing']['fmax_mhz']:.1f}",
        ", ".join(str(neuron.fraction_bits) for neuron in neurons),
        ", ".join(str(neuron.state_bits) for neuron in neurons),
        f"{accuracy(network, test):.2%}",
    ]


def main() -> None:
    """Build all, print the table."""
    parser = argparse.ArgumentParser(description="MNIST networks on an iCEstick.")
    parser.add_argument("--networks", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", default=["half", "slow", "zero", "same"], metavar="NAME")
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.96, 0.97], metavar="S")
    parser.add_argument("--images", type=int, default=400)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    samples = load_samples(options.networks / "28x28_calibration.npz").first(options.images)
    test = load_samples(options.networks / "28x28_test.npz")
    print("| " + " | ".join((*COLUMNS, "s")) + " |\n|" + "---|" * (len(COLUMNS) + 1), flush=True)
    for name in options.only:
        source = read_nir(options.networks / f"{name}.nir")
        for sparsity in options.sparsity:
            started = time.monotonic()
            cells = row(name, source, sparsity, samples, test, options.output / f"{name}-{sparsity:g}")
            print("| " + " | ".join((*cells, f"{time.monotonic() - started:.0f}")) + " |", flush=True)


if __name__ == "__main__":
    main()

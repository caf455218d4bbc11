"""`spikeloom regress`: prove that the hardware's spikes are the integer reference's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import common


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "regress",
        help="compare the hardware with the integer reference, spike by spike",
        description="Run the cocotb regression of a build folder: every spike and every membrane of every population "
        "must equal the integer reference. Exit status 0 only then; else 1, with the first divergence.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a build folder")
    parser.add_argument("--data", type=Path, required=True, metavar="SAMPLES.npz", help="the samples to run")
    parser.add_argument("--simulator", choices=("icarus", "verilator"), default="icarus", help="default: icarus")
    parser.add_argument(
        "--level", choices=("rtl", "netlist"), default="rtl", help="the emitted Verilog (default), or after synthesis"
    )
    parser.add_argument("--waves", type=Path, metavar="FILE.fst", help="write waveforms (and FILE-shipped.fst)")
    parser.add_argument("--limit", type=common.whole(1), metavar="N", help="run the first N samples only")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare; MismatchError says where the first difference is."""
    from ...hdl.errors import OptionError
    from ...sim.regress import regress
    from ..build_folder import check_file
    from ..nir_reader import read_nir
    from ..report_text import counted
    from ..samples import load_samples

    if options.waves is not None:
        if options.waves.suffix != ".fst":
            raise OptionError(f"waveforms are FST files: got {options.waves}; give the file the suffix .fst")
        check_file(options.waves)
    build = common.open_build(options.folder)
    network = read_nir(build.network_file)
    samples = load_samples(options.data, network).first(options.limit)
    label = f"comparing {len(samples)} samples ({options.level}, {options.simulator})"
    with common.progress_bar(label) as progress:
        result = regress(
            network,
            build.path,
            samples.spikes,
            family=build.family,
            dsp=build.has_dsp,
            simulator=options.simulator,
            level=options.level,
            waves=options.waves,
            progress=progress,
        )
    print(
        f"equal: {result.spikes_compared:,} spikes and {result.membranes_compared:,} membranes of "
        f"{counted(result.samples, 'sample')} of {counted(result.steps, 'step')} ({result.level}, {result.simulator})"
    )
    for file in result.waves:
        print(f"waveforms: {file}")
    return 0

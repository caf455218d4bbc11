"""`spikeloom regress`: prove that the hardware's spikes are the integer reference's."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import LEVELS, SIMULATORS
from . import common

if TYPE_CHECKING:
    from ...hdl.images.coding import ImageCoding
    from ..data.samples import Samples
    from ..ir.network import Network
    from ..output.build_folder import BuildFolder
    from ..output.verified import Verification

HALVES = 1.5
"""Half a sample before the reset of each core, and half a sample that is aborted in one."""

MANY_CYCLES = 300_000
"""From so many clock cycles on it is said how long they take."""


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
    parser.add_argument("--simulator", choices=SIMULATORS, default="icarus", help="default: icarus")
    parser.add_argument(
        "--level",
        choices=LEVELS,
        default="rtl",
        help="the emitted Verilog (default), after synthesis, or the whole design at its UART",
    )
    parser.add_argument("--waves", type=Path, metavar="FILE.fst", help="write waveforms (and FILE-shipped.fst)")
    parser.add_argument("--force", action="store_true", help="replace existing waveforms")
    parser.add_argument(
        "--trust", action="store_true", help="run the folder's Verilog even where it is not that of its RTLIL"
    )
    parser.add_argument("--json", action="store_true", help="print what was compared as JSON")
    parser.add_argument("--limit", type=common.whole(1), metavar="N", help="run the first N samples only")
    parser.add_argument("--steps", type=common.whole(1), metavar="N", help="run the first N steps of a sample only")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare; MismatchError says where the first difference is."""
    from ...hdl.errors import MismatchError, OptionError
    from ...sim.regress import wave_file
    from ..frontends.nir.reader import read_nir
    from ..frontends.samples import read_samples
    from ..output.build_folder import check_file

    if options.waves is not None:
        if options.level == "pins":
            raise OptionError("waveforms show a core: --level pins has none; leave out --waves")
        if options.waves.suffix != ".fst":
            raise OptionError(f"waveforms are FST files: got {options.waves}; give the file the suffix .fst")
        for traced in (True, False):
            check_file(wave_file(options.waves, traced), force=options.force)
    build = common.open_build(options.folder)
    network = read_nir(build.network_file)
    samples = read_samples(options.data, network, coding=build.coding).first(options.limit).cut(options.steps)
    try:
        compared = (_at_the_pins if options.level == "pins" else _cores)(options, build, network, samples)
    except MismatchError as error:
        found = _keep(options, build, samples, None, str(error))
        if options.json:
            print(json.dumps(found, indent=2))
        raise
    found = _keep(options, build, samples, compared, None)
    if options.json:
        print(json.dumps(found, indent=2))
    return 0


def _keep(
    options: argparse.Namespace, build: BuildFolder, samples: Samples, compared: int | None, difference: str | None
) -> Verification:
    """Keep what was found in the build folder, where that can be written."""
    from ...hdl.errors import OptionError
    from ..output.build_folder import sha256
    from ..output.verified import MAX_SAMPLES_BYTES, Verification, keep_verification, now

    found = Verification(
        level=options.level,
        simulator=options.simulator,
        samples=len(samples),
        steps=samples.steps,
        samples_sha256=sha256(options.data, MAX_SAMPLES_BYTES),
        compared=compared or 0,
        equal=difference is None,
        difference=difference,
        when=now(),
    )
    if build.changed_files():
        common.warn(f"the result is not kept: it is not of the build that {build.path} was")
        return found
    try:
        keep_verification(build, found)
    except (OSError, OptionError) as error:
        common.warn(f"the result is not kept in {build.path}: {error}")
    return found


def _say(options: argparse.Namespace, line: str) -> None:
    """A line of the result, where no JSON is wanted."""
    if not options.json:
        print(line)


def _cores(options: argparse.Namespace, build: BuildFolder, network: Network, samples: Samples) -> int:
    """Compare the cores; returns how many values were compared."""
    from ...sim.own_verilog import require_own_verilog
    from ...sim.regress import regress
    from ..report.wording import counted

    if not options.trust:
        for name in ("core_traced", "core"):
            require_own_verilog(build.path, name)
    _tell_of_long_runs(options, build, samples)
    label = f"comparing {counted(len(samples), 'sample')} ({options.level}, {options.simulator})"
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
    _say(
        options,
        f"equal: {result.spikes_compared:,} spikes and {result.membranes_compared:,} membranes of "
        f"{counted(result.samples, 'sample')} of {counted(result.steps, 'step')} ({result.level}, {result.simulator})",
    )
    if result.readings_compared:
        _say(options, f"equal: {result.readings_compared:,} readings and classes of the output, by {network.reading}")
    if result.left_out:
        left_out = counted(result.left_out, "neuron")
        _say(options, f"{left_out} that can never fire: the core lacks them, in the reference they did not")
    for file in result.waves:
        _say(options, f"waveforms: {file}")
    if build.coding is not None:
        _with_encoder(options, build, network, samples, build.coding)
    return result.spikes_compared + result.membranes_compared + result.readings_compared


def _tell_of_long_runs(options: argparse.Namespace, build: BuildFolder, samples: Samples) -> None:
    """Say so where the slower simulator has much to do, and what is quicker."""
    per_step = (build.report().get("latency") or {}).get("cycles_per_step") or 0
    cycles = per_step * samples.steps * (2 * len(samples) + HALVES)
    if options.simulator == "icarus" and cycles >= MANY_CYCLES:
        common.tell(
            f"{cycles:,.0f} clock cycles in both cores: Icarus Verilog does 200,000 in a minute of a large design; "
            "--simulator verilator compiles for a minute and is then some five times as fast (but knows no X), and "
            "--limit and --steps run less"
        )


def _with_encoder(
    options: argparse.Namespace, build: BuildFolder, network: Network, samples: Samples, coding: ImageCoding
) -> None:
    """Compare the classes that encoder, core and decoder make of every image."""
    from ...sim.image_executor import check_classes, check_image_readings, decoded_classes, run_images
    from ...sim.reference import run_reference
    from ..plan.folding import read_folding
    from ..plan.lean import read_lean
    from ..plan.plan import make_plan
    from ..report.wording import counted

    assert samples.images is not None
    core = read_lean(build.numbering_file, network).network
    plan = make_plan(core, build.family, read_folding(build.folding_file))
    with common.progress_bar(f"classifying {len(samples)} images (encoder, core and decoder)") as progress:
        run = run_images(plan, samples.images, coding, progress)
    expected = run_reference(network, samples.spikes)
    check_classes(decoded_classes(expected, coding), run.classes, "the simulated hardware")
    if plan.readout is not None and run.readings is not None:
        check_image_readings(network, plan.readout, expected, run.readings)
    cycles = sum(run.cycles) / len(run.cycles)
    _say(options, f"equal: the class of {counted(len(samples), 'image')}, {cycles:,.0f} cycles each from its start")


def _at_the_pins(options: argparse.Namespace, build: BuildFolder, network: Network, samples: Samples) -> int:
    """Compare what a host gets at the line of the whole design; returns how many values were compared."""
    from ...boards.host.facts import read_facts
    from ...hdl.errors import OptionError
    from ...sim.image_executor import check_classes, reference_classes, run_images_through_uart
    from ...sim.own_verilog import require_own_verilog
    from ...sim.reference import run_reference
    from ...sim.uart_executor import check_host, run_through_uart
    from ..flow.board_pins import uart_top
    from ..report.wording import counted

    top, coding = uart_top(build), build.coding
    if top.flash is not None:
        raise OptionError(f"the pins are simulated without flash: {build.path} keeps weights there; use --level rtl")
    if not options.trust:
        require_own_verilog(build.path, top.top)
    form = read_facts(build.path).form
    with common.progress_bar(f"sending {len(samples)} samples to the pins ({options.simulator})") as progress:
        if coding is not None:
            assert samples.images is not None
            classes = run_images_through_uart(
                top, network, samples.images, form, simulator=options.simulator, progress=progress
            )
            check_classes(reference_classes(network, samples.images, coding), classes, "the design at its pins")
        else:
            got = run_through_uart(top, network, samples.spikes, form, simulator=options.simulator, progress=progress)
            check_host(form, network, run_reference(network, samples.spikes), got)
    spikes = "output spikes" if form.readout is None else f"readings by {network.reading}"
    what = spikes if coding is None else "class"
    _say(options, f"equal: the {what} of {counted(len(samples), 'sample')} at the pins ({options.simulator})")
    if coding is not None:
        return len(samples)
    return len(samples) * (samples.steps if form.readout is None or form.readout.every_step else 1) * form.outputs

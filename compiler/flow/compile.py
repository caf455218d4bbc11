"""From a network to a build folder: the steps of `spikeloom compile`, for Python as for the command line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...boards.boards import Board, device_of
from ...boards.capacity import check_capacity
from ...boards.clock import ClockPlan
from ...boards.constraints import write_constraints
from ...boards.devices import Device
from ...boards.toolchain import BuildResult
from ...hdl.errors import OptionError
from ...hdl.link.flash_loader import FlashFormat
from ...hdl.link.protocol import LinkFormat
from ...hdl.resources import Resources
from ..compression.apply import compress
from ..compression.grid import ONLY_BITS
from ..compression.kept import method_of
from ..compression.overrides import layer_texts
from ..compression.recipe import Recipe
from ..compression.report import with_origin
from ..data.samples import Samples
from ..encodings.room import Room
from ..estimate.choose_folding import Objective
from ..estimate.estimate import estimate
from ..frontends.nir.writer import write_nir
from ..ir.arrays import IntArray
from ..ir.network import Network
from ..ir.origin import ERRORS
from ..lowering.error import PopulationError, quantisation_error
from ..lowering.quantise import dequantise
from ..output.build_folder import (
    FOLDING,
    NETWORK,
    NUMBERING,
    REPORT,
    SOURCE,
    BuildFolder,
    check_target,
    load_build_folder,
    staged,
    write_json,
    write_manifest,
)
from ..plan.folding import folding_data
from ..plan.host_link import memory_needs
from ..plan.layout import with_spare_bits
from ..plan.lean import Lean, lean_for
from ..plan.plan import Plan, make_plan
from ..plan.readout import answered, require_answer
from ..report.datasheet import DATASHEET, datasheet
from ..report.readout import readout_data
from ..report.report import build_report, recipe_options
from .clock import aimed_clock, built_near_fmax
from .early import require_early_exit
from .exchange import LAID_NETWORK, check_bitstream, exchange_of, linked_design, write_layout
from .facts import Design, Integers, Step, gather_facts
from .folding import link_beside, link_on, plan_for, with_chosen_folding
from .link_facts import named_in, write_facts
from .narrow import Narrow, Price
from .options import (
    CompileOptions,
    baud_of,
    check_coding,
    check_headroom,
    check_line,
    check_wide,
    clocks_of,
    family_of,
    follows_fmax,
    plan_target_clock,
    require_target,
    silent,
)
from .writing import (
    aside,
    build_bitstream,
    core_ports,
    kept,
    versions,
    write_bench,
    write_cores,
    write_flash,
    write_weights,
)

DEFAULT_BITS = 8
"""The width of weights that nobody chose."""

ESTIMATE_MARGIN = 1.5
"""By how much an estimate of cells may be too high (docs/hardware.md: 39 % at most, of what it was not fitted to)."""


_UNCHOSEN = (
    "nobody chose how the class is read: the hardware answers the last membranes of an output that never fires "
    "(membrane-last), where simulate and compress take their sum; choose with --readout"
)


def compile_network(
    source: Network,
    output: Path,
    options: CompileOptions,
    *,
    samples: Samples | None = None,
    inputs: Mapping[str, Path] | None = None,
    conventions: Mapping[str, Any] | None = None,
    force: bool = False,
    step: Step = silent,
) -> BuildFolder:
    """Compile a network into the build folder `output`, which appears complete or not at all.

    A float network is pruned and quantised, with the samples as calibration data; an integer network is built as it is.
    `inputs` are the files that it all came from, by role, and `conventions` the options with which the model was read.
    Raises what the steps raise: ModelError, OptionError, CapacityError before any tool runs where the design cannot
    fit, ToolError with a log that is kept.
    """
    target = require_target(options)
    check_target(output, force=force)
    given, source = source, _checked(source, options, samples)
    clock = plan_target_clock(target, options)
    baud = baud_of(target, options, clock)
    if target is not None and not options.verilog_only:
        clocks_of(target, options, clock)  # refuses a pace that the clock cannot keep
    integers = _answering(source, options, samples, step, chosen=source is given)
    integers, lean = for_core(integers, options)
    network, link = lean.network, link_on(target, lean.network, options)
    options = with_chosen_folding(network, target, options, link, samples, step)
    plan = plan_for(network, target, options, link)
    link = link_beside(plan, target, link)
    if target is not None:
        check_design(plan, target, None if options.verilog_only else link)
    design = Design(
        plan=plan,
        lean=lean,
        integers=integers,
        link=link,
        baud=baud,
        clock=clock,
        target=target,
        built=None,
        native=options.native_tools,
        seed=options.seed,
        spi=options.spi,
        early_exit=options.early_exit,
    )
    with staged(output, force=force) as folder, kept(folder, output):
        flash = _write_networks(design, source, samples, folder, options, step)
        design = replace(design, link=named_in(folder, link))
        design = _with_bitstream(design, flash, folder, options, step)
        if design.built is not None:
            _write_facts(design, folder)
        report = build_report(gather_facts(design, samples, folder, step))
        write_json(folder / REPORT, report)
        if options.verilog_only:
            (folder / DATASHEET).write_text(datasheet(report, plan, core_ports(plan)), encoding="utf-8")
        recorded = _recorded(options, design) | {"conventions": dict(conventions or {})}
        write_manifest(folder, inputs=inputs or {}, options=recorded, tools=versions(design.built, integers, options))
    return load_build_folder(output)


def _write_facts(design: Design, folder: Path) -> None:
    """What hosts must know, and who exchanges weights later."""
    write_facts(design, folder)
    if design.plan.headroom is not None:
        write_nir(design.integers.network, folder / LAID_NETWORK)
        write_layout(folder, design)


def for_core(integers: Integers, options: CompileOptions) -> tuple[Integers, Lean]:
    """The integers, and the network that a core runs: with headroom all neurons, their membranes with spare bits."""
    if options.headroom is None:
        return integers, lean_for(integers.network, options.folding)
    network = with_spare_bits(integers.network, Room(options.headroom).bits)
    return replace(integers, network=network), Lean(network, network)


def _checked(given: Network, options: CompileOptions, samples: Samples | None) -> Network:
    """The network with the readout that hardware answers by; raises for what contradicts itself, before any work."""
    source = answered(given)
    require_answer(source)
    check_coding(options, source, samples)
    check_wide(options)
    check_headroom(options)
    check_line(options)
    if options.early_exit is not None and samples is None:
        raise OptionError("what an early exit saves shows on samples: none are given; add --data")
    require_early_exit(source, options.coding is not None, options.early_exit)
    return source


def _answering(
    source: Network, options: CompileOptions, samples: Samples | None, step: Step, *, chosen: bool
) -> Integers:
    """The integers of a network, whose output a core can answer, with a warning where nobody has `chosen` how.

    Raises ModelError where none can, and what `integers_of` raises.
    """
    integers = integers_of(source, options, samples, step)
    require_answer(integers.network)
    return integers if chosen else replace(integers, warnings=(*integers.warnings, _UNCHOSEN))


def _write_networks(
    design: Design, source: Network, samples: Samples | None, folder: Path, options: CompileOptions, step: Step
) -> FlashFormat | None:
    """The network as read and as built, its core, and the format of its weights in flash where they are there."""
    plan, lean = design.plan, design.lean
    write_nir(source, folder / SOURCE)
    write_nir(design.integers.network, folder / NETWORK)
    write_json(folder / FOLDING, folding_data(plan.folding))
    if lean.kept:
        write_json(folder / NUMBERING, lean.data())
    with step("writing the core"):
        write_cores(plan, folder)
        if options.verilog_only:
            write_bench(plan, lean, samples, folder)
            if design.target is not None:
                write_constraints(folder, design.target, design.clock)
        return write_weights(plan, folder)


def _with_bitstream(
    design: Design, flash: FlashFormat | None, folder: Path, options: CompileOptions, step: Step
) -> Design:
    """The design as it is built, at another clock than it has where that follows the design's Fmax."""
    target = design.target
    if target is None or not follows_fmax(target, options):
        return replace(design, built=_built(design, flash, folder, options, step))

    def paced(clock: ClockPlan) -> Design:
        return replace(design, clock=clock, baud=baud_of(target, options, clock))

    def build(clock: ClockPlan) -> BuildResult:
        built = _built(paced(clock), flash, folder, replace(options, clock_mhz=clock.hz / 1e6), step)
        assert built is not None, "a clock is chosen for a bitstream"
        return built

    aim = aimed_clock(target, options, design.plan, design.link)
    with aside(folder) as keep:
        result = built_near_fmax(target, options, aim, build, keep)
    return replace(paced(result.clock), built=result.built, clock_choice=result.choice)


def _built(
    design: Design, flash: FlashFormat | None, folder: Path, options: CompileOptions, step: Step
) -> BuildResult | None:
    """The bitstream, with the weights in its flash where there are any; None where only Verilog is wanted."""
    target, plan = design.target, design.plan
    if target is None or options.verilog_only:
        return None
    core, exchange = linked_design(design, flash), exchange_of(design, flash)
    built = build_bitstream(core, target, folder, options, step, exchange)
    if plan.headroom is not None:
        with step("reading the weights back out of the bitstream"):
            check_bitstream(folder, target, plan, design.link.identity, built.blocks, options.native_tools)
    if flash is not None:
        write_flash(design, flash, folder, built.bitstream)
    return built


def _recorded(options: CompileOptions, design: Design) -> dict[str, Any]:
    """What a manifest says was asked for, and what was chosen where it was not."""
    recorded = asdict(options) | {"family": design.plan.family.value, "clock_hz": design.clock.hz}
    recorded |= {"folding": folding_data(design.plan.folding)}
    if design.clock_choice is not None:  # what another build must ask for to have this one's
        recorded |= {"clock_mhz": design.clock.hz / 1e6}
    if design.built is not None:
        recorded |= {"placed_seed": design.built.seed}
    recorded |= {"readout": readout_data(design.plan, design.integers.source)}
    return recorded | ({} if design.integers.recipe is None else recipe_options(design.integers.recipe))


def check_design(plan: Plan, target: Board | Device, link: LinkFormat | None) -> None:
    """CapacityError where a design, with its host link if it has one, cannot fit its target.

    Memories are counted. Logic is estimated, and refused where the estimate is beyond the device by more than estimates
    have been wrong; an estimate with parts that nobody measured refuses nothing.
    """
    check_capacity(memory_needs(plan, link), target)
    device = device_of(target)
    figures = estimate(plan, device=device.id, link=link)
    least = Resources(lcs=int(figures.resources.lcs / ESTIMATE_MARGIN))
    if not figures.guessed and not least.fits(device.capacity):
        check_capacity(Resources(lcs=figures.resources.lcs), target, estimated=True)


# ------------------------------------------------------------------------------------------------------- steps


def integers_of(source: Network, options: CompileOptions, samples: Samples | None, step: Step = silent) -> Integers:
    """The integer network that the options make of a network. Raises OptionError and what compression raises."""
    wanted = {name: getattr(options, name) for name in ("method", "sparsity", "bits", "scheme")}
    if source.is_integer:
        given = [f"--{name} {value}" for name, value in wanted.items() if value is not None]
        given += [f"--layer {text}" for text in layer_texts(options.layers)] + ["--shared-leaks"] * options.shared_leaks
        if given:
            raise OptionError(f"an integer network is built as it is: it is quantised already; leave out {given[0]}")
        real = dequantise(source)
        return Integers(source, real, _errors_of_integers(source, real))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        chosen: dict[str, Any] = {"bits": ONLY_BITS.get(options.scheme or "", DEFAULT_BITS)}
        chosen |= {name: value for name, value in wanted.items() if value is not None}
        chosen |= {"overrides": options.layers, "shared_leaks": options.shared_leaks}
        changes = options.sparsity or options.layers or options.scheme
        grid = None if changes else chosen["bits"]
        method = options.method or method_of(source, grid, calibrated=samples is not None)
        recipe = Recipe(**chosen | {"method": method})
        spikes = None if samples is None else samples.spikes
        refine = None
        if spikes is not None and _saves_block_rams(options):
            refine = Narrow(source=source, spikes=spikes, price=block_rams(options))
        with step(f"compressing ({method})") as progress:
            network, compression = compress(source, recipe, spikes, progress=progress, refine=refine)
    if source.origin is not None:
        network = with_origin(network, source, compression)
    return Integers(network, source, compression.errors, recipe, tuple(str(warning.message) for warning in caught))


def _errors_of_integers(source: Network, real: Network) -> tuple[PopulationError, ...]:
    """How far integers that came as such are from the float network before their compression, where that is known."""
    errors = quantisation_error(real, source)
    if source.origin is None or not source.origin.errors:
        return errors
    known: list[dict[str, Any]] = [dict(zip(ERRORS, row, strict=True)) for row in source.origin.errors]
    return tuple(replace(error, **figures) for error, figures in zip(errors, known, strict=True))


def _saves_block_rams(options: CompileOptions) -> bool:
    """Whether spikes may be changed for them: not where another folding than the smallest core's will be chosen, nor
    where memories have room to spare."""
    if options.headroom is not None:
        return False
    aims = (options.latency_us, options.samples_per_s)
    return aims == (None, None) and options.minimise in (None, Objective.LUTS, Objective.BRAMS)


def block_rams(options: CompileOptions) -> Price:
    """How many block RAMs the core of a network takes, for the target and the folding of the options. The first network
    that is asked for says which neurons the core does without; those that follow are narrower forms of it."""
    family = family_of(require_target(options))
    kept: dict[str, IntArray] | None = None

    def price(network: Network) -> int:
        nonlocal kept
        if kept is None:
            kept = dict(lean_for(network, options.folding).kept)
        return make_plan(Lean.of(network, kept).network, family, options.folding).brams

    return price

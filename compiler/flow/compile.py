"""From a network to a build folder: the steps of `spikeloom compile`, for Python as for the command line."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...boards.boards import Board, find_board
from ...boards.capacity import check_capacity
from ...boards.clock import BAUD, ClockPlan, clocks_per_bit, plan_clock
from ...boards.devices import DEVICES, Device, find_device
from ...boards.toolchain import BuildResult, build
from ...boards.top import SerialCore
from ...hdl.emit.emit import to_rtlil, verilog_from_rtlil
from ...hdl.emit.tools import tool_version
from ...hdl.errors import OptionError, SampleError, TimingError, ToolError, quoted
from ...hdl.images.coding import Decoder, ImageCoding
from ...hdl.link.flash_loader import FlashFormat
from ...hdl.link.flashed_core import FlashedCore
from ...hdl.link.linked_core import LinkedCore
from ...hdl.link.protocol import LinkFormat
from ...hdl.memories.memory import Family
from ...hdl.resources import Resources
from ...sim.reference import run_reference
from ..compression.apply import compress
from ..compression.grid import ONLY_BITS
from ..compression.overrides import layer_texts
from ..compression.recipe import Override, Recipe, default_method
from ..compression.report import with_origin
from ..data.samples import Samples
from ..estimate.choose_folding import Objective, Purpose, choose_folding
from ..estimate.estimate import estimate
from ..frontends.nir.writer import write_nir
from ..ir.network import Network
from ..ir.origin import ERRORS
from ..ir.readout import Readout
from ..lowering.error import PopulationError, quantisation_error
from ..lowering.quantise import dequantise
from ..names import FITTED
from ..output.build_folder import (
    FLASH,
    FOLDING,
    LOGS,
    NETWORK,
    NUMBERING,
    REPORT,
    SOURCE,
    WEIGHTS,
    BuildFolder,
    check_target,
    free_name,
    load_build_folder,
    staged,
    write_json,
    write_manifest,
)
from ..output.flash_image import join_flash, plan_flash
from ..plan.folding import Folding, default_folding, folding_data
from ..plan.host_link import link_of, memory_needs
from ..plan.lean import lean_for
from ..plan.plan import Plan, make_plan, require_spiking_output, with_spram
from ..report.report import build_report, recipe_options
from .facts import Design, Integers, Step, gather_facts
from .measure import mean_rates, random_samples
from .narrow import Narrow, Price

DEFAULT_BITS = 8
"""The width of weights that nobody chose."""

ESTIMATE_MARGIN = 1.25
"""By how much an estimate of logic may be too high (docs/hardware.md: 14 % at most, where it was measured)."""

CHOICE_SAMPLES = 100
"""Samples whose activity chooses a folding."""


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """What to build. `board` or `device` is an id of `spikeloom boards`.

    `method`, `sparsity`, `bits`, `scheme` and, by population, `layers` say how to compress a float network (`Recipe`):
    by default 8 bits (or those of the scheme) and no pruning, by OSBC where there are samples and torch is installed,
    else by magnitude. `folding` says which engine runs which populations, by default the smallest core's; `minimise`
    (an Objective), `latency_us` and `samples_per_s` have one chosen instead (`choose_folding`). `wide` makes the core's
    input bring beats of several events, for a design of one's own: with `verilog_only` and without a board. `weights`
    is "bram", "spram", or "auto" for SPRAM where the device has it and its block RAM does not suffice. With a `coding`
    the device takes images. `clock_mhz` and `baud` default to the board's; `seed` starts the placement. With
    `verilog_only` no bitstream is made, and a target only chooses the family of its memories.
    """

    board: str | None = None
    device: str | None = None
    method: str | None = None
    sparsity: float | None = None
    bits: int | None = None
    scheme: str | None = None
    layers: Mapping[str, Override] = field(default_factory=dict)
    folding: Folding | None = None
    minimise: str | None = None
    latency_us: float | None = None
    samples_per_s: float | None = None
    wide: bool = False
    weights: str = "auto"
    coding: ImageCoding | None = None
    clock_mhz: float | None = None
    baud: int | None = None
    seed: int = 1
    native_tools: bool = False
    verilog_only: bool = False


@contextmanager
def silent(label: str) -> Iterator[None]:
    """A `Step` that says nothing."""
    yield None


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

    A float network is pruned and quantised, with the samples as calibration data; an integer network is built as it is,
    and options that would change it are refused.
    `inputs` are the files that it all came from, by role, and `conventions` the options with which the model was read:
    both are for the manifest. Raises what the steps raise: ModelError, OptionError, CapacityError before any tool runs
    where the design cannot fit, ToolError with a log that is kept.
    """
    target = require_target(options)
    check_target(output, force=force)
    _check_coding(options, source, samples)
    check_wide(options)
    clock = plan_target_clock(target, options)
    baud = _baud(target, options)
    bit = 0 if target is None or options.verilog_only else clocks_per_bit(clock.hz, baud)
    integers = integers_of(source, options, samples, step)
    require_spiking_output(integers.network)
    lean = lean_for(integers.network, options.folding)
    network = lean.network
    link = link_of(network, options.coding)
    options = with_wide_input(network, with_chosen_folding(network, target, options, link, samples, step))
    plan = plan_for(network, target, options, link)
    if target is not None:
        check_design(plan, target, None if options.verilog_only else link)
    with staged(output, force=force) as folder, _kept(folder, output):
        write_nir(source, folder / SOURCE)
        write_nir(integers.network, folder / NETWORK)
        write_json(folder / FOLDING, folding_data(plan.folding))
        if lean.kept:
            write_json(folder / NUMBERING, lean.data())
        with step("writing the core"):
            _write_cores(plan, folder)
            flash = _write_weights(plan, folder)
        built = None
        if target is not None and not options.verilog_only:
            core = LinkedCore(plan.core(), link, bit, plan.family)
            built = _build(core if flash is None else FlashedCore(core, flash), target, folder, options, step)
            if flash is not None:
                image = (folder / WEIGHTS).read_bytes()
                (folder / FLASH).write_bytes(join_flash(built.bitstream.read_bytes(), flash, image))
        design = Design(
            plan=plan,
            lean=lean,
            integers=integers,
            link=link,
            baud=baud,
            clock=clock,
            target=target,
            built=built,
            native=options.native_tools,
            seed=options.seed,
        )
        write_json(folder / REPORT, build_report(gather_facts(design, samples, folder, step)))
        recorded = asdict(options) | {"family": plan.family.value, "clock_hz": clock.hz}
        recorded |= {"folding": folding_data(plan.folding)}
        recorded |= {"conventions": dict(conventions or {})}
        recorded |= {} if integers.recipe is None else recipe_options(integers.recipe)
        write_manifest(folder, inputs=inputs or {}, options=recorded, tools=_versions(built, integers, options))
    return load_build_folder(output)


# ------------------------------------------------------------------------------------------------------ target


def require_target(options: CompileOptions) -> Board | Device | None:
    """The board or device to build for; None where only Verilog is wanted. Raises OptionError."""
    if options.board is not None and options.device is not None:
        raise OptionError("a build is for a board or for a device: both are given; leave one out")
    if options.board is not None:
        return find_board(options.board)
    if options.device is not None:
        return find_device(options.device)
    if not options.verilog_only:
        raise OptionError("a bitstream needs a target: none is given; choose a board or device (spikeloom boards)")
    return None


def _device(target: Board | Device) -> Device:
    return target.device if isinstance(target, Board) else target


def _check_coding(options: CompileOptions, source: Network, samples: Samples | None) -> None:
    """OptionError where images cannot be taken, SampleError for samples that were none."""
    coding = options.coding
    if coding is None:
        return
    if options.verilog_only:
        raise OptionError("an encoder is part of the host link: bare Verilog has none; leave out --encoder")
    if coding.x_max != source.x_max:
        raise OptionError(f"a coding has the network's x_max, {source.x_max}: got {coding.x_max}")
    if coding.decoder is Decoder.ARGMAX and source.reading != Readout():
        raise OptionError(
            f"the decoder on the device answers the output that spikes most: the class is read by {source.reading}; "
            "take --decoder counts"
        )
    if samples is not None and samples.images is None:
        raise SampleError("a device that takes images is measured on images: the samples are spikes; load images")


def check_wide(options: CompileOptions) -> None:
    """OptionError for a wide input where there is a host link, which sends one event at a time."""
    if not (options.wide or (options.folding is not None and options.folding.wide)):
        return
    rule = "a wide input is for a design of your own: the host link sends one event at a time"
    if options.board is not None:
        raise OptionError(f"{rule}, and the board {quoted(options.board)} has it; take --emit verilog without --board")
    if not options.verilog_only:
        raise OptionError(f"{rule}; take --emit verilog, or leave the input narrow")


def with_wide_input(network: Network, options: CompileOptions) -> CompileOptions:
    """The options with a wide input in the folding, where it is wanted."""
    if not options.wide:
        return options
    folding = options.folding or default_folding(network)
    return replace(options, folding=replace(folding, wide=True))


def with_chosen_folding(
    network: Network,
    target: Board | Device | None,
    options: CompileOptions,
    link: LinkFormat,
    samples: Samples | None,
    step: Step = silent,
) -> CompileOptions:
    """The options with the folding that serves their purpose, for the activity on the first samples or made-up ones."""
    if options.minimise is options.latency_us is options.samples_per_s is None:
        return options
    if options.folding is not None:
        raise OptionError("a folding is given or chosen: leave out the folding, or what to minimise and the targets")
    ran = random_samples(network, options.seed) if samples is None else samples.first(CHOICE_SAMPLES)
    purpose = Purpose(
        objective=Objective(options.minimise or Objective.LUTS),
        latency_us=options.latency_us,
        samples_per_s=options.samples_per_s,
        clock_hz=plan_target_clock(target, options).hz,
        steps=ran.steps,
    )
    device = None if target is None else _device(target)
    with step("choosing the folding") as progress:
        folding = choose_folding(
            network,
            Family(_family(target)),
            purpose,
            mean_rates(ran, run_reference(network, ran.spikes)),
            device=None if device is None else device.id,
            capacity=None if device is None else device.capacity,
            link=None if device is None or options.wide else link,
            wide=options.wide,
            progress=progress,
        )
    return replace(options, folding=folding)


def plan_for(network: Network, target: Board | Device | None, options: CompileOptions, link: LinkFormat) -> Plan:
    """The plan of an integer network for a target, weights in SPRAM where that is wanted or needed."""
    plan = make_plan(network, _family(target), options.folding)
    capacity = Resources() if target is None else _device(target).capacity
    if isinstance(target, Board) and target.flash is None:
        capacity = replace(capacity, spram=0)  # it cannot be filled
    if options.weights == "spram" and not capacity.spram:
        where = "no target is given" if target is None else f"{target.id} has none"
        raise OptionError(f"weights in SPRAM need an iCE40UP5K: {where}; choose another target or --weights bram")
    if options.weights == "bram" or not capacity.spram:
        return plan
    if options.weights == "auto" and memory_needs(plan, link).fits(capacity):
        return plan
    moved = with_spram(plan)
    return moved if options.weights == "spram" or memory_needs(moved, link).fits(capacity) else plan


def check_design(plan: Plan, target: Board | Device, link: LinkFormat | None) -> None:
    """CapacityError where a design, with its host link if it has one, cannot fit its target.

    Memories are counted. Logic is estimated, and refused where the estimate is beyond the device by more than estimates
    have been wrong; an estimate with parts that nobody measured refuses nothing.
    """
    check_capacity(memory_needs(plan, link), target)
    device = _device(target)
    figures = estimate(plan, device=device.id, link=link)
    least = Resources(lcs=int(figures.resources.lcs / ESTIMATE_MARGIN))
    if not figures.guessed and not least.fits(device.capacity):
        check_capacity(Resources(lcs=figures.resources.lcs), target, estimated=True)


def _family(target: Board | Device | None) -> str:
    return "ice40" if target is None else _device(target).family.value


def plan_target_clock(target: Board | Device | None, options: CompileOptions) -> ClockPlan:
    """The clock of a design for a target, or of figures without one."""
    return plan_clock(next(iter(DEVICES.values())) if target is None else target, _wanted_hz(options))


def _wanted_hz(options: CompileOptions) -> float | None:
    return None if options.clock_mhz is None else options.clock_mhz * 1e6


def _baud(target: Board | Device | None, options: CompileOptions) -> int:
    if options.baud is not None:
        return options.baud
    return target.baud if isinstance(target, Board) else BAUD


# ------------------------------------------------------------------------------------------------------- steps


def integers_of(source: Network, options: CompileOptions, samples: Samples | None, step: Step = silent) -> Integers:
    """The integer network that the options make of a network. Raises OptionError and what compression raises."""
    wanted = {name: getattr(options, name) for name in ("method", "sparsity", "bits", "scheme")}
    if source.is_integer:
        given = [f"--{name} {value}" for name, value in wanted.items() if value is not None]
        given += [f"--layer {text}" for text in layer_texts(options.layers)]
        if given:
            raise OptionError(f"an integer network is built as it is: it is quantised already; leave out {given[0]}")
        real = dequantise(source)
        return Integers(source, real, _errors_of_integers(source, real))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        method = options.method or default_method(calibrated=samples is not None)
        chosen: dict[str, Any] = {"bits": ONLY_BITS.get(options.scheme or "", DEFAULT_BITS)}
        chosen |= {name: value for name, value in wanted.items() if value is not None}
        recipe = Recipe(**chosen | {"method": method, "overrides": options.layers})
        spikes = None if samples is None else samples.spikes
        refine = None if spikes is None else Narrow(source=source, spikes=spikes, price=block_rams(options))
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


def block_rams(options: CompileOptions) -> Price:
    """How many block RAMs the plan of a network takes, for the target and the folding of the options."""
    family = _family(require_target(options))
    return lambda network: make_plan(network, family, options.folding).brams


def _write_cores(plan: Plan, folder: Path) -> None:
    for name, trace in (("core", False), ("core_traced", True)):
        file = folder / f"{name}.il"
        file.write_text(to_rtlil(plan.core(trace=trace), f"spikeloom_{name}"), encoding="utf-8")
        verilog_from_rtlil(file, file.with_suffix(".v"), folder / LOGS / f"{name}.log")


def _write_weights(plan: Plan, folder: Path) -> FlashFormat | None:
    """Write what belongs into SPRAM; returns its format, or None where nothing does."""
    if not plan.sprams:
        return None
    form, image = plan_flash(plan)
    (folder / WEIGHTS).write_bytes(image)
    return form


def _build(core: SerialCore, target: Board | Device, folder: Path, options: CompileOptions, step: Step) -> BuildResult:
    with step(f"building the bitstream for {target.id}") as progress:
        return build(
            core,
            target,
            folder,
            seed=options.seed,
            clock_hz=_wanted_hz(options),
            native=options.native_tools,
            progress=progress,
        )


# ---------------------------------------------------------------------------------------------------- manifest


def _versions(built: BuildResult | None, integers: Integers, options: CompileOptions) -> dict[str, str]:
    names = ["spikeloom", "amaranth", "amaranth-boards", "nir", "numpy"]
    if integers.recipe is not None and integers.recipe.method in FITTED:
        names.append("torch")
    packages = {name: version(name) for name in names}
    tools = ("yosys",) if built is None else built.tools
    return packages | {name: tool_version(name, options.native_tools) for name in tools}


@contextmanager
def _kept(folder: Path, output: Path) -> Iterator[None]:
    """Keeps what is worth it of a folder that is about to vanish.

    That is the log of a tool that fails, and of a design that is too slow all of it but a manifest: in `OUTPUT.slow`.
    """
    try:
        yield
    except TimingError as error:
        place = free_name(output, ".slow")
        shutil.copytree(folder, place)
        message = str(error).removesuffix(f"; see {error.log}")
        raise TimingError(f"{message}; what was placed is kept in {place}") from error
    except ToolError as error:
        if error.log is None or not error.log.is_relative_to(folder) or not error.log.is_file():
            raise
        message = str(error).removesuffix(f"; see {error.log}")
        with tempfile.NamedTemporaryFile(prefix="spikeloom-", suffix=".log", delete=False) as kept:
            shutil.copyfile(error.log, kept.name)
        raise ToolError(message, Path(kept.name)) from error

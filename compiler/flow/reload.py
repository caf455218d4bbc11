"""Other weights in a finished bitstream: from a retrained network to a build folder, without synthesis.

What is in block RAM is written into the routed design and packed again, what is in SPRAM into the flash's image; all
else stays as it was built. The new build is made beside the old one, whose name it gets at the end, in one step.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...boards.boards import Board, device_of, find_board
from ...boards.clock import ClockPlan, plan_clock
from ...boards.critical_path import Timing
from ...boards.devices import Device, find_device
from ...boards.host.facts import LinkFacts, read_facts
from ...boards.toolchain import LAID, BuildResult, emit_top, emit_top_verilog, rewrite
from ...boards.utilisation import Utilisation
from ...hdl.errors import InputError, ModelError, OptionError, listed, plain
from ...hdl.link.flash_loader import FlashFormat
from ...hdl.resources import Resources
from ...sim.regress import RegressionResult, regress
from ..compression.overrides import overrides_of
from ..data.samples import Samples
from ..frontends.nir.reader import read_nir
from ..frontends.nir.writer import write_nir
from ..ir.network import Network
from ..lowering.settled import settled
from ..output.build_folder import (
    FLASH,
    LOGS,
    MANIFEST,
    NETWORK,
    REPORT,
    SOURCE,
    BuildFolder,
    load_build_folder,
    staged,
    write_json,
    write_manifest,
)
from ..plan.folding import read_folding
from ..plan.host_link import link_of
from ..plan.layout import exchange, layout_number, require_same_shape
from ..plan.lean import Lean
from ..plan.plan import Plan, make_plan
from ..plan.readout import answered
from ..report.report import build_report
from .compile import integers_of
from .exchange import (
    LAID_NETWORK,
    LAYOUT,
    Layout,
    block_words,
    check_bitstream,
    count_reload,
    identity_words,
    linked_design,
    read_layout,
    same_logic,
)
from .facts import Design, Integers, Step, gather_facts
from .link_facts import named_in, write_facts
from .options import CompileOptions, silent
from .writing import write_core_rtlil, write_core_verilog, write_flash, write_weights

KEPT_FIGURES = ("utilization", "timing", "blocks", "floorplan")
"""What a report says of the logic, which stays."""


@dataclass(frozen=True, kw_only=True)
class Reloaded:
    """A build with other weights. `words` were read back out of the bitstream, all as they should be; `changed` of them
    are not what they were. `bitstream_s` is the time from the integer network to the new bitstream (and flash image),
    `verified_s` that of what followed. `regression` is None where there were no samples."""

    build: BuildFolder
    identity: int
    identity_before: int
    words: int
    changed: int
    bitstream_s: float
    verified_s: float
    reloads: int
    regression: RegressionResult | None


@dataclass(frozen=True, eq=False)
class _Built:
    """What is known of the build whose weights are exchanged."""

    build: BuildFolder
    layout: Layout
    laid: Plan
    facts: LinkFacts
    target: Board | Device
    clock: ClockPlan


def reload_weights(
    build: BuildFolder,
    source: Network,
    *,
    output: Path | None = None,
    samples: Samples | None = None,
    limit: int | None = None,
    inputs: Mapping[str, Path] | None = None,
    conventions: Mapping[str, Any] | None = None,
    force: bool = False,
    step: Step = silent,
) -> Reloaded:
    """Put the weights of another network of the same shape into a build's bitstream.

    A float network is compressed as the build's was, with the samples as calibration data; an integer network is taken
    as it is. The build in `output`, by default in place of the old one, is complete or not there at all: every word is
    read back out of the bitstream, and with samples the new core is compared with the reference on the first `limit`.

    Raises OptionError for a build without headroom, InputError for one that was changed, ModelError for another shape,
    CapacityError for what does not fit the memories or is logic there; MismatchError, ToolError.
    """
    built = _opened(build)
    source = answered(source)
    integers = _integers(built, source, samples, step)
    started = time.monotonic()
    plan = exchange(built.laid, integers.network)
    integers = replace(integers, network=plan.network)
    changed = _changed(built, plan)
    target = build.path if output is None else output
    with staged(target, force=force or output is None) as folder:
        _copy(build.path, folder)
        write_nir(source, folder / SOURCE)
        write_nir(integers.network, folder / NETWORK)
        design = _design(built, plan, integers)
        with step("exchanging the weights"):
            design = _exchanged(built, design, folder)
        bitstream_s = time.monotonic() - started
        words = _verified(built, design, folder, step)
        regression = _regressed(built, design, folder, samples, limit, step)
        verified_s = time.monotonic() - started - bitstream_s
        _describe(built, design, folder, samples, inputs, conventions, step)
    return Reloaded(
        build=load_build_folder(target),
        identity=design.link.identity,
        identity_before=built.facts.identity,
        words=words,
        changed=changed,
        bitstream_s=bitstream_s,
        verified_s=verified_s,
        reloads=design.reloads,
        regression=regression,
    )


# ------------------------------------------------------------------------------------------------------ before


def _opened(build: BuildFolder) -> _Built:
    """The build as it was laid out, checked against itself."""
    layout = read_layout(build.path)
    if changed := build.changed_files():
        raise InputError(
            f"weights are exchanged in a build as it was written: {listed(changed, plain)} of {build.path} changed "
            "since; compile again"
        )
    network = read_nir(build.path / LAID_NETWORK)
    folding = read_folding(build.folding_file)
    laid = make_plan(network, build.family, folding, headroom=layout.headroom)
    if layout_number(laid) != layout.fixed:
        raise InputError(
            f"a build is laid out as this version does: {build.path / LAYOUT} is of another; compile again"
        )
    facts = read_facts(build.path)
    target = find_board(facts.board) if facts.board is not None else find_device(facts.device)
    clock_mhz = build.options.get("clock_mhz")
    clock = plan_clock(target, None if clock_mhz is None else float(clock_mhz) * 1e6)
    return _Built(build, layout, laid, facts, target, clock)


def _integers(built: _Built, source: Network, samples: Samples | None, step: Step) -> Integers:
    """The integer network, with the arithmetic that was built where it came as floats."""
    laid = built.laid.network
    if source.is_integer:
        return integers_of(source, CompileOptions(), samples, step)
    if [(p.name, p.shape) for p in source.populations] != [(p.name, p.shape) for p in laid.populations]:
        require_same_shape(laid, source)
    options = built.build.options
    method = options.get("method")
    if samples is None and method not in (None, "magnitude"):
        raise OptionError(
            f"a float network is compressed as the build's was: by {method}, which needs samples; add --data"
        )
    recipe = CompileOptions(
        method=method,
        sparsity=options.get("sparsity"),
        bits=options.get("bits") or max(p.connectivity.quantised.bits for p in laid.projections),
        scheme=options.get("scheme"),
        headroom=built.layout.headroom,
        layers=overrides_of([_layer_text(layer) for layer in options.get("layers") or ()]),
        shared_leaks=bool(options.get("shared_leaks")),
    )
    given = integers_of(source, recipe, samples, step)
    before = read_nir(built.build.source_file)
    return replace(given, network=settled(source, given.network, laid, before))


def _layer_text(layer: Mapping[str, Any]) -> str:
    """What a manifest says of a layer's compression, as the option has it."""
    chosen = ",".join(f"{key}={layer[key]}" for key in ("sparsity", "bits", "scheme") if layer.get(key) is not None)
    return f"{layer['population']}:{chosen}"


def _design(built: _Built, plan: Plan, integers: Integers) -> Design:
    """What is built, the link as it was but for its identity."""
    link = replace(
        link_of(plan.network, built.build.coding), packed=built.facts.packed, fifo_words=built.facts.fifo_words
    )
    if replace(link, identity=built.facts.identity) != built.facts.form:
        raise ModelError(
            "a host's link stays as it was built: that of the new network is another; compile it on its own"
        )
    return Design(
        plan=plan,
        lean=Lean(plan.network, plan.network),
        integers=integers,
        link=link,
        baud=built.facts.baud,
        clock=built.clock,
        target=built.target,
        built=None,
        native=bool(built.build.options.get("native_tools")),
        seed=int(built.build.options.get("seed", 1)),
        spi=built.facts.spi,
        reloads=built.layout.reloads + 1,
        early_exit=built.build.options.get("early_exit"),
    )


def _copy(build: Path, folder: Path) -> None:
    """Everything that stays, and what the tools said of it."""
    for name in load_build_folder(build).manifest["outputs"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(build / name, folder / name)
    if (build / LOGS).is_dir():
        shutil.copytree(build / LOGS, folder / LOGS)
    (folder / MANIFEST).unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------- steps


def _exchanged(built: _Built, design: Design, folder: Path) -> Design:
    """The design with its new identity, its bitstream written."""
    plan = design.plan
    write_core_rtlil(plan, folder)
    flash = write_weights(plan, folder)
    design = replace(design, link=named_in(folder, design.link))
    emit_top(linked_design(design, flash), built.target, built.clock, folder)
    if not same_logic(folder / "top.il", folder / LAID):
        raise InputError(
            f"logic stays as it was built: this version makes another of {built.build.path}; compile again"
        )
    words = block_words(plan, identity_words(plan, design.link.identity))
    _require_places(built, words)
    contents = {built.layout.blocks[name]: block.words for name, block in words.items()}
    bitstream = rewrite(built.target, folder, contents, native=design.native)
    _join_flash(design, flash, folder, bitstream)
    return replace(design, built=_result(built, bitstream))


def _require_places(built: _Built, words: Mapping[str, object]) -> None:
    if words.keys() != built.layout.blocks.keys():
        raise InputError(
            f"a layout lists the memories of its design: {built.build.path / LAYOUT} does not; compile again"
        )


def _join_flash(design: Design, flash: FlashFormat | None, folder: Path, bitstream: Path) -> None:
    if flash is not None:
        write_flash(design, flash, folder, bitstream)
    elif (folder / FLASH).exists():
        raise OptionError("weights lie where they lay: in flash; compile again")


def _result(built: _Built, bitstream: Path) -> BuildResult:
    """What the tools had said."""
    report = built.build.report()
    used = Resources(**{name: figures["used"] for name, figures in report["utilization"].items()})
    timing = report["timing"]
    capacity = device_of(built.target).capacity
    return BuildResult(
        bitstream=bitstream,
        clock_hz=built.clock.hz,
        utilisation=Utilisation(used=used, available=capacity, sources={}),
        timing=Timing(constraint_mhz=timing["clock_mhz"], fmax_mhz=timing["fmax_mhz"], critical_path=()),
        files=(),
        tools=(),
        blocks=built.layout.blocks,
    )


def _verified(built: _Built, design: Design, folder: Path, step: Step) -> int:
    """How many words of the bitstream are as they should be."""
    with step("reading the weights back out of the bitstream"):
        return check_bitstream(
            folder, built.target, design.plan, design.link.identity, built.layout.blocks, design.native
        )


def _regressed(
    built: _Built, design: Design, folder: Path, samples: Samples | None, limit: int | None, step: Step
) -> RegressionResult | None:
    """The new core in Verilog, and with samples its comparison with the reference."""
    with step("writing the core"):
        write_core_verilog(folder)
        emit_top_verilog(folder)
    if samples is None:
        return None
    ran = samples.first(limit)
    with step(f"comparing {len(ran)} samples with the reference") as progress:
        return regress(
            design.plan.network,
            folder,
            ran.spikes,
            family=built.build.family,
            dsp=built.build.has_dsp,
            progress=progress,
        )


def _describe(
    built: _Built,
    design: Design,
    folder: Path,
    samples: Samples | None,
    inputs: Mapping[str, Path] | None,
    conventions: Mapping[str, Any] | None,
    step: Step,
) -> None:
    """Link, layout, report and manifest of the new build; of what stays they say what they said."""
    write_facts(design, folder)
    count_reload(folder, built.layout)
    report, before = build_report(gather_facts(design, samples, folder, step, blocks=False)), built.build.report()
    write_json(folder / REPORT, report | {name: before.get(name) for name in KEPT_FIGURES})
    options = {**built.build.options, "conventions": dict(conventions or {})}
    write_manifest(folder, inputs=inputs or {}, options=options, tools=built.build.manifest["tools"])


def _changed(built: _Built, plan: Plan) -> int:
    """How many words of weights and parameters are not what they were."""
    before = exchange(built.laid, read_nir(built.build.network_file))
    was, now = (block_words(p, identity_words(p, 0)) for p in (before, plan))
    return sum(sum(a != b for a, b in zip(was[name].words, now[name].words, strict=True)) for name in now)

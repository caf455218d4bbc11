"""The facts of a report: gathered from the plan, the tools and runs on samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from ...boards.boards import Board, device_of
from ...boards.clock import ClockPlan
from ...boards.critical_path import TOP
from ...boards.devices import Device
from ...boards.toolchain import LAID, BuildResult, synthesise_hierarchical
from ...hdl.errors import listed, quoted
from ...hdl.link.protocol import LinkFormat
from ...hdl.memories.memory import Family
from ...hdl.resources import Resources
from ...sim import numbering
from ...sim.recording import Recording
from ...sim.reference import run_reference
from ..compression.recipe import Recipe
from ..data.samples import Samples
from ..estimate.estimate import estimate
from ..ir.network import Network
from ..lowering.error import PopulationError
from ..output.build_folder import FLASH
from ..plan.lean import Lean
from ..plan.plan import Plan
from ..report.facts import UART_BITS_PER_BYTE, Block, Facts, Floorplan, Link, Metrics, PathStep, Source, Timing
from ..report.facts import Device as ReportDevice
from ..report.neurobench import neurobench
from . import measure
from .early import early_exits
from .leaks import leak_warning
from .traces import traced

_CORE = "spikeloom_core"

Step = Callable[[str], AbstractContextManager[Callable[[int, int], None] | None]]
"""Announces a step by its label and gives what reports its progress, or None."""


@dataclass(frozen=True, eq=False)
class Integers:
    """The integer network, the float network that it stands for, how far apart they are, and what to warn of.

    `recipe` is how one became the other, or None where the network came as integers.
    """

    network: Network
    source: Network
    errors: tuple[PopulationError, ...]
    recipe: Recipe | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Design:
    """What a report is about: `plan` is that of `lean`'s core, `built` is None where only Verilog was made, `baud` is
    the host link's rate.

    `clock_choice` says why it has its clock, where that was chosen. `native` and `seed` are the options of the tools
    and of made-up samples. Weights were exchanged `reloads` times. The report says what an `early_exit` at that margin
    saves.
    """

    plan: Plan
    lean: Lean
    integers: Integers
    link: LinkFormat
    baud: int
    clock: ClockPlan
    target: Board | Device | None
    built: BuildResult | None
    native: bool
    seed: int
    clock_choice: str | None = None
    spi: bool = False
    reloads: int = 0
    early_exit: int | None = None

    @property
    def device(self) -> Device | None:
        """The FPGA, on a board or bare."""
        return None if self.target is None else device_of(self.target)


def gather_facts(design: Design, samples: Samples | None, folder: Path, step: Step, *, blocks: bool = True) -> Facts:
    """Everything that the report says about the design in `folder`, measured on `samples` or on random ones; without
    `blocks` all but what its modules cost."""
    facts = _static_facts(design)
    if blocks:
        with step("synthesising block by block"):
            facts = replace(facts, blocks=_blocks(design, folder))
    if design.built is None:
        facts = replace(facts, used=sum((block.resources for block in facts.blocks), Resources()))
    network = design.plan.network
    stimulus = "random" if samples is None else "calibration"
    if samples is None:
        ran = measure.random_samples(network, design.seed, design.link.coding)
    else:
        ran = samples.first(measure.MAX_SAMPLES)
    with step(f"running {len(ran)} {stimulus} samples on the reference") as progress:
        recording = run_reference(design.lean.whole, ran.spikes, progress=progress)
    of_core = numbering.of_core(design.lean, recording)
    with step("counting cycles") as progress:
        latency = measure.measure_latency(design.plan, ran, stimulus, of_core, progress)
    rates = measure.mean_rates(ran.first(len(latency.cycles)), of_core)
    expected = estimate(
        design.plan,
        device=None if design.device is None else design.device.id,
        link=None if design.built is None else design.link,
        rates=rates,
        steps=ran.steps,
    )
    metrics = neurobench(design.lean.whole, recording.trains(ran.spikes))
    facts = replace(facts, estimate=expected, neurobench=Metrics(figures=metrics, samples=len(ran), stimulus=stimulus))
    if design.built is not None:
        count = len(latency.cycles)
        link = Link(
            baud=design.baud,
            bytes_per_sample=measure.link_bytes(design.link, ran, recording, count),
            coding=design.link.coding,
            bits_per_byte=8 if design.spi else UART_BITS_PER_BYTE,
            encoder_cycles=measure.encoder_cycles(design.link, ran, count),
        )
        facts = replace(facts, link=link)
    if samples is not None:
        raster, traces = traced(design.integers.source, design.lean.whole, ran.spikes)
        facts = replace(facts, activity=measure.measure_activity(ran, recording), raster=raster, traces=traces)
        if design.early_exit is not None:
            facts = replace(facts, early=early_exits(recording, ran, design.early_exit, design.plan))
    if samples is not None and ran.labels is not None:
        accuracy = measure.measure_accuracy(design.integers.source, ran, ran.labels, recording)
        facts = replace(facts, accuracy=accuracy)
    else:
        accuracy_before = measure.known_accuracy(design.integers.source, design.integers.recipe is None)
        facts = replace(facts, accuracy=accuracy_before)
    return replace(facts, latency=latency, warnings=tuple(_warnings(design, recording, calibrated=samples is not None)))


def _static_facts(design: Design) -> Facts:
    """What the plan and the tools say."""
    built, device = design.built, design.device
    clock_mhz = round(design.clock.hz / 1e6, 6)
    facts = Facts(
        plan=design.plan,
        whole=design.lean.whole,
        source=design.integers.source,
        errors=design.integers.errors,
        recipe=design.integers.recipe,
        used=design.plan.needs,
        used_source=Source.ESTIMATED,
        timing=Timing(clock_mhz=clock_mhz, choice=design.clock_choice),
        reloads=design.reloads,
    )
    if device is not None:
        shown = ReportDevice(id=device.id, family=device.family, package=device.package, capacity=device.capacity)
        facts = replace(facts, device=shown)
    if isinstance(design.target, Board):
        facts = replace(facts, board={"id": design.target.id, "name": design.target.name})
    if built is not None:
        hops = built.timing.critical_path
        path = tuple(PathStep(_block_name(design, hop.block), hop.logic_ns, hop.routing_ns) for hop in hops)
        timing = replace(facts.timing, fmax_mhz=built.timing.fmax_mhz, critical_path=path)
        facts = replace(facts, used=built.utilisation.used, used_source=Source.MEASURED, timing=timing)
        facts = replace(facts, floorplan=_floorplan(design, built))
    return facts


def _blocks(design: Design, folder: Path) -> tuple[Block, ...]:
    """Resources per module; of the core alone where no top was built."""
    file, top = ("core.il", _CORE) if design.built is None else ("top.il", TOP)
    if design.plan.headroom is not None:
        file = LAID
    resources = synthesise_hierarchical(folder / file, design.plan.family, top=top, native=design.native)
    return tuple(Block(_block_name(design, name), used) for name, used in resources.items() if used != Resources())


def _floorplan(design: Design, built: BuildResult) -> Floorplan | None:
    """Where nextpnr put which block."""
    if (plan := built.floorplan) is None:
        return None
    tiles = [(tile.x, tile.y, _block_name(design, tile.block), str(tile.kind), tile.cells) for tile in plan.tiles]
    from_top = design.plan.family == Family.ECP5
    return Floorplan(columns=plan.columns, rows=plan.rows, from_top=from_top, tiles=tiles)


def _block_name(design: Design, instance: str) -> str:
    """An instance path in the words of the report: `core` is the core itself, `link` the host link around it.

    A loader for weights in flash is beside the link, both in a component of their own.
    """
    instance = re.sub(r"\$\d+", "", instance)  # Amaranth numbers modules that share a name
    if design.built is None:
        return "core" if instance == _CORE else f"core.{instance}"
    if design.plan.sprams:
        instance = instance.removeprefix("core.")
    for path, name in (("core.core", "core"), ("core", "link")):
        if instance == path or instance.startswith(f"{path}."):
            return name + instance.removeprefix(path)
    return instance


def _warnings(design: Design, recording: Recording, *, calibrated: bool) -> Iterator[str]:
    """What a user should know; `recording` is what the integer network did, on the calibration samples or on
    random ones."""
    yield from design.integers.warnings
    if (leaks := leak_warning(design.plan, None if design.device is None else design.device.id)) is not None:
        yield leaks
    asleep = [name for name in recording.populations if _is_silent(design, recording, name)]
    if calibrated:
        for name in asleep:
            yield (
                f"population {quoted(name)} never fires in hardware on the calibration samples; "
                "more bits, less sparsity or other samples may wake it"
            )
    else:
        blind = "" if design.integers.recipe is None else ", and quantisation did not see data"
        if (coding := design.link.coding) is not None:
            blind += f", and whether the network knows what the encoder {coding.encoder} makes of images was not tried"
        yield f"no samples were given: cycles come from random spikes{blind}"
        if asleep:
            yield f"{listed(asleep, quoted)} never fired on random samples: --data shows whether yours wake that"
    if isinstance(design.target, Board) and design.plan.sprams and design.built is not None:
        yield f"the weights are loaded from flash at start-up: write {FLASH} to it, not {design.built.bitstream.name}"
    if isinstance(design.target, Board) and design.target.note:
        yield f"{design.target.name}: {design.target.note}"
    if design.built is not None and isinstance(design.target, Device):
        yield "without a board the pins are where nextpnr put them: the bitstream serves for figures only"


def _is_silent(design: Design, recording: Recording, name: str) -> bool:
    """Whether a population never fired that is not read by its membranes."""
    return not (recording.populations[name].spikes.any() or design.lean.whole.reads_membranes_of(name))

"""The parts of a build folder that tools make, their versions, and what is kept where they fail."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from ...boards.boards import Board
from ...boards.devices import Device
from ...boards.toolchain import BuildResult, Exchange, build
from ...boards.top import SerialCore
from ...hdl.emit.axi import write_axi
from ...hdl.emit.core_ports import CorePorts, write_template
from ...hdl.emit.emit import to_rtlil, verilog_from_rtlil
from ...hdl.emit.tools import tool_version
from ...hdl.errors import TimingError, ToolError
from ...hdl.link.flash_loader import FlashFormat
from ...sim.numbering import of_core
from ...sim.plain_bench import write_plain_bench
from ...sim.reference import run_reference
from ..data.samples import Samples
from ..names import FITTED
from ..output.build_folder import (
    FLASH,
    LOGS,
    WEIGHTS,
    free_name,
)
from ..output.flash_image import join_flash, make_flash_image, parse_flash_image, plan_flash
from ..plan.lean import Lean
from ..plan.plan import Plan
from .facts import Design, Integers, Step
from .options import CompileOptions, wanted_hz

BENCH_SAMPLES = 10
"""Samples that the test bench in plain Verilog runs."""


def core_text(plan: Plan, *, trace: bool = False) -> str:
    """The core of a plan as RTLIL."""
    return to_rtlil(plan.core(trace=trace), f"spikeloom_core{'_traced' if trace else ''}")


CORES = {"core": False, "core_traced": True}
"""The cores of a build, and whether they are traced."""


def write_cores(plan: Plan, folder: Path) -> None:
    write_core_rtlil(plan, folder)
    write_core_verilog(folder)


def write_core_rtlil(plan: Plan, folder: Path) -> None:
    for name, trace in CORES.items():
        (folder / f"{name}.il").write_text(core_text(plan, trace=trace), encoding="utf-8")


def write_core_verilog(folder: Path) -> None:
    """Of the RTLIL that is there."""
    for name in CORES:
        verilog_from_rtlil(folder / f"{name}.il", folder / f"{name}.v", folder / LOGS / f"{name}.log")


def core_ports(plan: Plan) -> CorePorts:
    """The ports of a plan's bare core."""
    network = plan.network
    return CorePorts(
        inputs=network.input_size,
        outputs=network.size_of(network.output),
        readout=plan.readout,
        beats=plan.beats,
        loads=bool(plan.sprams),
    )


def write_bench(plan: Plan, lean: Lean, samples: Samples | None, folder: Path) -> None:
    """How the core is instantiated, its AXI4-Stream wrapper, and with samples a test bench in plain Verilog, where no
    weights are loaded from outside."""
    ports = core_ports(plan)
    write_template(folder, ports)
    write_axi(folder, ports)
    if samples is not None and not plan.sprams:
        ran = samples.first(BENCH_SAMPLES).spikes
        write_plain_bench(folder, plan.network, ports, ran, of_core(lean, run_reference(lean.whole, ran)))


def write_weights(plan: Plan, folder: Path) -> FlashFormat | None:
    """Write what belongs into SPRAM; returns its format, or None where nothing does."""
    if not plan.sprams:
        return None
    form, image = plan_flash(plan)
    (folder / WEIGHTS).write_bytes(image)
    return form


def write_flash(design: Design, form: FlashFormat, folder: Path, bitstream: Path) -> None:
    """Write the flash's whole contents, its weights for the design's identity where that can be exchanged."""
    image = (folder / WEIGHTS).read_bytes()
    if design.plan.headroom is not None:
        named = form.named(design.link.identity)
        image = make_flash_image(named, parse_flash_image(image).words)
        (folder / WEIGHTS).write_bytes(image)
    (folder / FLASH).write_bytes(join_flash(bitstream.read_bytes(), form, image))


def build_bitstream(
    core: SerialCore,
    target: Board | Device,
    folder: Path,
    options: CompileOptions,
    step: Step,
    exchange: Exchange | None = None,
) -> BuildResult:
    with step(f"building the bitstream for {target.id}") as progress:
        return build(
            core,
            target,
            folder,
            seed=options.seed,
            seeds=options.seeds,
            clock_hz=wanted_hz(options),
            native=options.native_tools,
            exchange=exchange,
            progress=progress,
        )


def versions(built: BuildResult | None, integers: Integers, options: CompileOptions) -> dict[str, str]:
    names = ["spikeloom", "amaranth", "amaranth-boards", "nir", "numpy"]
    if integers.recipe is not None and integers.recipe.method in FITTED:
        names.append("torch")
    packages = {name: version(name) for name in names}
    tools = ("yosys",) if built is None else built.tools
    return packages | {name: tool_version(name, options.native_tools) for name in tools}


@contextmanager
def kept(folder: Path, output: Path) -> Iterator[None]:
    """Keeps what is worth it of a folder that is about to vanish.

    That is the log of a tool that fails, and of a design that is too slow all of it but a manifest: in `OUTPUT.slow`.
    """
    try:
        yield
    except TimingError as error:
        place = free_name(output, ".slow")
        shutil.copytree(folder, place)
        message = str(error).removesuffix(f"; see {error.log}")
        message = f"{message}; what was placed is kept in {place}"
        raise TimingError(message, fmax_mhz=error.fmax_mhz) from error
    except ToolError as error:
        if error.log is None or not error.log.is_relative_to(folder) or not error.log.is_file():
            raise
        message = str(error).removesuffix(f"; see {error.log}")
        with tempfile.NamedTemporaryFile(prefix="spikeloom-", suffix=".log", delete=False) as kept:
            shutil.copyfile(error.log, kept.name)
        raise ToolError(message, Path(kept.name)) from error


@contextmanager
def aside(folder: Path) -> Iterator[Callable[[], Callable[[], None]]]:
    """Gives what puts all files of a folder aside, once, and returns what brings them back."""
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as name:

        def keep() -> Callable[[], None]:
            place = Path(name) / "kept"
            shutil.copytree(folder, place)

            def restore() -> None:
                for entry in folder.iterdir():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                shutil.copytree(place, folder, dirs_exist_ok=True)

            return restore

        yield keep

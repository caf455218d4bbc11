"""From a component to a bitstream: yosys, nextpnr and the packers, each run in the build folder.

No command line or script contains text from a model: the design is called `top`, and its files have fixed names.
The same design, target, options and tool versions give the same bytes in any folder; only the logs differ.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from ..hdl.emit.emit import Synthesis, verilog_from_rtlil
from ..hdl.emit.synthesis import block_map, synthesis_passes
from ..hdl.emit.tools import find_tool, read_tool_json, run_tool
from ..hdl.errors import OptionError, TimingError, ToolError
from ..hdl.memories.filled import with_words
from ..hdl.memories.memory import Family
from ..hdl.resources import Resources
from .boards import Board, device_of
from .capacity import check_capacity
from .clock import ClockPlan, plan_clock
from .critical_path import TOP, Timing, module_paths, read_timing
from .devices import Device
from .floorplan import PLACED, SYNTHESISED, Floorplan, take_floorplan
from .routed_memories import PlacedBlock, exchanged, find_blocks
from .top import BoardTop, DeviceTop, SerialCore
from .utilisation import Utilisation, count_cells, read_overflow, read_utilisation

_MAX_SEED = 2**31 - 1
_STAT = "stat.json"
_STATISTICS = f"tee -q -o {_STAT} stat -json"


@dataclass(frozen=True, kw_only=True)
class _Flow:
    """What differs between the families: tools, files and the options that never change."""

    router: str
    routed_flag: str
    routed: str
    constraints_flag: str
    constraints: str
    packer: str
    unpacker: str
    bitstream: str


_FLOWS = {
    Family.ICE40: _Flow(
        router="nextpnr-ice40",
        routed_flag="--asc",
        routed="top.asc",
        constraints_flag="--pcf",
        constraints="top.pcf",
        packer="icepack",
        unpacker="iceunpack",
        bitstream="top.bin",
    ),
    Family.ECP5: _Flow(
        router="nextpnr-ecp5",
        routed_flag="--textcfg",
        routed="top.config",
        constraints_flag="--lpf",
        constraints="top.lpf",
        packer="ecppack",
        unpacker="ecpunpack",
        bitstream="top.bit",
    ),
}


LAID = "top_laid.il"
"""The design that was synthesised, where contents of memories were exchanged afterwards: the others are in it."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What is synthesised in place of a design, and which contents of block RAMs then take the place of which: `laid`
    words of so many `bits`, by block, and the `true` ones."""

    stand_in: SerialCore
    bits: Mapping[str, int]
    laid: Mapping[str, Sequence[int]]
    true: Mapping[str, Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """A finished build. `files` are the names of what was written into the folder, logs aside; `tools` were used.

    `seed` is that of the placement. `blocks` says where those are whose contents were exchanged, `floorplan` where
    all is.
    """

    bitstream: Path
    clock_hz: float
    utilisation: Utilisation
    timing: Timing
    files: tuple[str, ...]
    tools: tuple[str, ...]
    seed: int = 1
    blocks: Mapping[str, PlacedBlock] = field(default_factory=dict)
    floorplan: Floorplan | None = None


def build(
    core: SerialCore,
    target: Board | Device,
    folder: Path,
    *,
    seed: int = 1,
    seeds: int = 1,
    clock_hz: float | None = None,
    native: bool = False,
    exchange: Exchange | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BuildResult:
    """Build the bitstream of a core with a serial link, for a board or for a bare device.

    Writes `top.il`, `top.v`, `top.pcf` or `top.lpf` (on a board), `nextpnr.json`, `top.asc` or `top.config`, `top.bin`
    or `top.bit` and `logs/` into an existing folder. `clock_hz` is as in `plan_clock`, by whose result the core must
    have been made. `seed` starts the placement; of `seeds` placements, from that seed on, the fastest stays. A bare
    device's pins are where nextpnr put them, so its bitstream serves for figures, not for a board. With an `exchange`
    its stand-in, in `top_laid.il`, is synthesised, and contents of its block RAMs give way to the true ones.

    Raises OptionError, CapacityError where the design does not fit, ToolError, and TimingError where the design, which
    stays in the folder, is too slow for its clock.
    """
    if seeds < 1 or not 0 <= seed <= seed + seeds - 1 <= _MAX_SEED:
        raise OptionError(f"a seed must lie in 0 to {_MAX_SEED}: {seed}; choose another")
    clock = plan_clock(target, clock_hz)
    device = device_of(target)
    flow = _FLOWS[device.family]
    tick = _stages(progress, 4 + seeds)
    options, design = _emit_both(core, exchange, target, clock, folder)
    tick()
    emit_top_verilog(folder)
    tick()
    check_capacity(count_cells(cells := _synthesise(device, folder, native, design)), target)
    tick()
    paths = module_paths((folder / "top.il").read_text(encoding="utf-8"))
    best = _Placed(folder, flow.routed)
    for number in range(seed, seed + seeds):
        report = _place_and_route(flow, target, folder, [*options, "--seed", str(number), *_frequency(clock)], native)
        best.offer(number, report, read_timing(report, paths))
        tick()
    report, timing = best.restore()
    utilisation = read_utilisation(report, _nextpnr_log(folder), cells, device.family, device.capacity)
    placed = take_floorplan(folder, device, paths)
    _check_timing(timing, folder)
    blocks = {} if exchange is None else _exchange(exchange, folder / flow.routed, device.family)
    _pack(flow, target, folder, native)
    tick()
    constraints = [flow.constraints] if isinstance(target, Board) else []
    return BuildResult(
        bitstream=folder / flow.bitstream,
        clock_hz=clock.hz,
        utilisation=utilisation,
        timing=timing,
        files=("top.il", "top.v", *constraints, "nextpnr.json", flow.routed, flow.bitstream),
        tools=("yosys", flow.router, flow.packer),
        seed=best.seed,
        blocks=blocks,
        floorplan=placed,
    )


class _Placed:
    """The fastest of several placements, whose files are kept aside while another is tried."""

    def __init__(self, folder: Path, routed: str) -> None:
        self._folder = folder
        self._names = (routed, PLACED, "nextpnr.json", "logs/nextpnr.log")
        self._best: tuple[dict[str, Any], Timing] | None = None
        self.seed = -1

    def offer(self, seed: int, report: dict[str, Any], timing: Timing) -> None:
        """A placement whose files are in the folder."""
        if self._best is not None and timing.fmax_mhz <= self._best[1].fmax_mhz:
            return
        self._best, self.seed = (report, timing), seed
        for name in self._names:
            file = self._folder / name
            if file.exists():
                shutil.copyfile(file, self._kept(file))

    def restore(self) -> tuple[dict[str, Any], Timing]:
        """The fastest one's report and timing, its files in their places."""
        assert self._best is not None, "at least one placement was offered"
        for file in (self._folder / name for name in self._names):
            if self._kept(file).exists():
                self._kept(file).replace(file)
        return self._best

    @staticmethod
    def _kept(file: Path) -> Path:
        return file.with_name(f"{file.name}.best")


def rewrite(
    target: Board | Device, folder: Path, contents: Mapping[PlacedBlock, Sequence[int]], *, native: bool = False
) -> Path:
    """Write these words into block RAMs of a folder's routed design, and its bitstream anew. Raises ToolError, and
    InputError where the design lacks one of them."""
    family = device_of(target).family
    flow = _FLOWS[family]
    text = (folder / flow.routed).read_text(encoding="ascii")
    (folder / flow.routed).write_text(exchanged(text, family, contents), encoding="ascii")
    _pack(flow, target, folder, native)
    return folder / flow.bitstream


def unpacked(target: Board | Device, folder: Path, *, native: bool = False) -> str:
    """The text that a folder's bitstream unpacks to, as the routed design was. Raises ToolError."""
    flow = _FLOWS[device_of(target).family]
    text = folder / "unpacked.txt"
    _run([*find_tool(flow.unpacker, native), flow.bitstream, text.name], folder, flow.unpacker, [text.name])
    try:
        return text.read_text(encoding="ascii")
    finally:
        text.unlink()


def _exchange(exchange: Exchange, routed: Path, family: Family) -> dict[str, PlacedBlock]:
    text = routed.read_text(encoding="ascii")
    blocks = find_blocks(text, family, exchange.laid, exchange.bits)
    contents = {block: exchange.true[name] for name, block in blocks.items()}
    routed.write_text(exchanged(text, family, contents), encoding="ascii")
    return blocks


def synthesise_hierarchical(
    il_file: Path, family: Family, *, top: str = TOP, native: bool = False
) -> dict[str, Resources]:
    """What each module of an RTLIL file costs by itself when the design is synthesised without flattening.

    The keys are instance paths below the top ("core.engine0"), the top itself is its own name. The sum is more than
    what the flat design takes, as nothing is shared or simplified across modules. Writes a log beside the file.
    """
    folder = il_file.parent
    passes = synthesis_passes(family, top, flatten=False)
    with block_map(folder, family):
        _yosys(folder, [f"read_rtlil {il_file.name}", *passes, _STATISTICS], "hierarchy", native)
    modules = {name.removeprefix("\\"): figures for name, figures in _statistics(folder, "modules").items()}
    return {
        name.removeprefix(f"{top}."): count_cells(figures["num_cells_by_type"])
        for name, figures in sorted(modules.items())
        if name == top or name.startswith(f"{top}.")
    }


def _stages(progress: Callable[[int, int], None] | None, total: int) -> Callable[[], None]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return tick


def _emit_both(
    core: SerialCore, exchange: Exchange | None, target: Board | Device, clock: ClockPlan, folder: Path
) -> tuple[list[str], str]:
    """Write the design, and what is synthesised in its place; returns nextpnr's options, and which file that is."""
    options = _emit(core, target, clock, folder)
    if exchange is None:
        return options, "top.il"
    return _emit(exchange.stand_in, target, clock, folder, LAID), LAID


def emit_top(core: SerialCore, target: Board | Device, clock: ClockPlan, folder: Path) -> None:
    """Write `top.il` of a core with a serial link, and on a board the constraints."""
    _emit(core, target, clock, folder)


def emit_top_verilog(folder: Path) -> None:
    """Write `top.v` of the `top.il` that is there."""
    verilog_from_rtlil(folder / "top.il", folder / "top.v", folder / "logs" / "verilog.log")


def _emit(core: SerialCore, target: Board | Device, clock: ClockPlan, folder: Path, name: str = "top.il") -> list[str]:
    """Write the RTLIL, and on a board the constraints; returns nextpnr's options for the part."""
    if isinstance(target, Device):
        top = DeviceTop(core, clock)
        text = rtlil.convert(top, name=TOP, platform=Synthesis(), ports=top.ports, emit_src=False)
        (folder / name).write_text(with_words(text), encoding="utf-8")
        speed = [] if target.speed is None else ["--speed", str(target.speed)]
        unconstrained = ["--lpf-allow-unconstrained"] if target.family is Family.ECP5 else []
        return [target.flag, "--package", target.package, *speed, *unconstrained]
    platform = target.create_platform()
    constraints = _FLOWS[target.device.family].constraints
    # Amaranth's plan also holds build scripts, which are not for us: its tools' environment and paths are the user's.
    files = platform.prepare(BoardTop(core, target, clock), TOP, emit_src=False).files
    (folder / name).write_text(with_words(files["top.il"]), encoding="utf-8")
    (folder / constraints).write_text(files[constraints], encoding="utf-8")
    speed = ["--speed", platform.speed] if target.device.family is Family.ECP5 else []
    return [target.device.flag, "--package", target.nextpnr_package(platform), *speed]


def _synthesise(device: Device, folder: Path, native: bool, il_file: str) -> dict[str, int]:
    """Write top.json; returns the number of cells of each type."""
    passes = synthesis_passes(device.family, TOP, dsp=device.capacity.dsps > 0)
    script = [f"read_rtlil {il_file}", *passes, _STATISTICS, f"write_json {SYNTHESISED}"]
    with block_map(folder, device.family):
        _yosys(folder, script, "yosys", native)
    return _statistics(folder, "design", "num_cells_by_type")


def _statistics(folder: Path, *keys: str) -> dict[str, Any]:
    """What yosys's statistics hold under `keys`; their file goes."""
    file = folder / _STAT
    found = read_tool_json(file, folder / "logs", *keys)
    file.unlink()
    return found


def _yosys(folder: Path, passes: list[str], log: str, native: bool) -> None:
    """Run yosys, statistics among its passes. Its own log is complete where its console output through YoWASP may be
    cut short."""
    outputs = [_STAT, *(words.split()[-1] for words in passes if words.startswith("write_"))]
    argv = [*find_tool("yosys", native), "-q", "-l", f"logs/{log}.log", "-p", "; ".join(passes)]
    _run(argv, folder, log, outputs)


def _run(argv: list[str], folder: Path, log: str, outputs: Sequence[str]) -> None:
    """Run a tool that writes `outputs`; what it says beside its own log is kept if there is anything."""
    console = folder / "logs" / f"{log}.console.log"
    run_tool(argv, cwd=folder, log=console, outputs=outputs)
    if not console.stat().st_size:
        console.unlink()


def _frequency(clock: ClockPlan) -> list[str]:
    return ["--freq", f"{clock.hz / 1e6:.6f}"]


def _place_and_route(
    flow: _Flow, target: Board | Device, folder: Path, options: list[str], native: bool
) -> dict[str, Any]:
    """Write nextpnr.json and the routed design."""
    constraints = [flow.constraints_flag, flow.constraints] if isinstance(target, Board) else []
    device = device_of(target)
    argv = [
        *find_tool(flow.router, native),
        "--quiet",
        *("--log", "logs/nextpnr.log"),
        *("--json", SYNTHESISED),
        *constraints,
        *(flow.routed_flag, flow.routed),
        *("--report", "nextpnr.json"),
        *("--write", PLACED),
        "--timing-allow-fail",
        *options,
    ]
    try:
        _run(argv, folder, "nextpnr", [flow.routed, "nextpnr.json"])
    except ToolError:
        check_capacity(read_overflow(_nextpnr_log(folder), device.family), target)
        raise
    return read_tool_json(folder / "nextpnr.json", folder / "logs" / "nextpnr.log")


def _nextpnr_log(folder: Path) -> str:
    file = folder / "logs" / "nextpnr.log"
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def _check_timing(timing: Timing, folder: Path) -> None:
    if not timing.met:
        fastest = math.floor(timing.fmax_mhz * 10) / 10
        raise TimingError(
            f"the design is too slow: {timing.fmax_mhz:.1f} MHz for a clock of {timing.constraint_mhz:.1f} MHz; "
            f"choose a clock of at most {fastest:g} MHz (--clock-mhz), or another seed",
            folder / "logs" / "nextpnr.log",
            fmax_mhz=timing.fmax_mhz,
        )


def _pack(flow: _Flow, target: Board | Device, folder: Path, native: bool) -> None:
    options = target.pack if isinstance(target, Board) else ()
    _run(
        [*find_tool(flow.packer, native), *options, flow.routed, flow.bitstream], folder, flow.packer, [flow.bitstream]
    )

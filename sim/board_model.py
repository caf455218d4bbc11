"""A program that is a board: its whole design, compiled to machine code (`sim/board_main.cc`).

CXXRTL, which comes with yosys, makes C++ of the RTLIL of a board's top, and the machine's C++ compiler the program.
RTLIL is hardware and nothing else, so that a folder from anybody may be compiled. What was compiled once is kept in the
user's cache, by a hash of all that went in.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path

from ..hdl.emit.emit import OSCILLATOR, cxxrtl_from_rtlil, cxxrtl_headers
from ..hdl.emit.tools import run_tool
from ..hdl.errors import ToolError
from ..hdl.link.protocol import END, ESCAPE
from ..hdl.link.spi import STUFFED
from ..hdl.staging import scratch_folder
from .uart_executor import UartTop

MAIN = Path(__file__).with_name("board_main.cc")

_COMPILERS = ("g++", "clang++", "c++")
_FLAGS = ("-std=c++14", "-O2", "-DCXXRTL_NDEBUG")

MOST_PARTS = 3
"""A bit lasts whole clock cycles, or halves or thirds."""

_POLL_CYCLES = 4096
"""Clock cycles between two looks at whether a host has sent something."""


def build_board(top: UartTop, quiet_cycles: int) -> Path:
    """The program of a board's top.

    `quiet_cycles` without a bit on the line are more than a working design ever needs. Raises ToolError where there is
    no C++ compiler, or where it or yosys fails.
    """
    compiler = _compiler()
    pins = _pins(top, quiet_cycles)
    rtlil = top.verilog.with_suffix(".il")
    parts = [rtlil.read_bytes(), pins.encode(), MAIN.read_bytes(), " ".join([compiler, *_FLAGS]).encode()]
    name = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]
    program = _cache_folder() / name
    if program.is_file():
        return program
    with scratch_folder() as work:
        shutil.copyfile(rtlil, work / "top.il")
        (work / "pins.h").write_text(pins, encoding="ascii")
        inputs = frozenset(
            [
                top.rx,
                *(top.spi or ()),
                *top.held,
                *([top.clock] if top.clock else []),
                *([top.flash.cipo] if top.flash else []),
            ]
        )
        cxxrtl_from_rtlil(work / "top.il", work / "design.cc", inputs, top.family, work / "yosys.log")
        shutil.copyfile(MAIN, work / "main.cc")
        argv = [compiler, *_FLAGS, "-I", str(cxxrtl_headers()), "main.cc", "-o", "board"]
        run_tool(argv, cwd=work, log=work / "compiler.log", outputs=["board"])
        program.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        arriving = program.with_name(f"{name}.{os.getpid()}")
        shutil.copy(work / "board", arriving)
        arriving.replace(program)
    return program


def _compiler() -> str:
    for name in _COMPILERS:
        if found := shutil.which(name):
            return found
    raise ToolError(
        "a simulated board needs a C++ compiler: neither g++ nor clang++ is on PATH; install one (Debian: apt install "
        "g++)"
    )


def _pins(top: UartTop, quiet_cycles: int) -> str:
    """`pins.h`: the ports under CXXRTL's names, and the times."""
    loading = 0 if top.flash is None else top.flash.load_cycles
    bits = Fraction(top.clocks_per_bit).limit_denominator(MOST_PARTS).denominator
    facts = {
        "CLOCK": _mangled(top.clock or OSCILLATOR),
        "RX": _mangled(top.rx),
        "TX": _mangled(top.tx),
        "CLOCKS_PER_BIT": int(top.clocks_per_bit),
        "BITS": bits,
        "CLOCKS_OF_BITS": round(top.clocks_per_bit * bits),
        "SETTLE_CYCLES": top.settle_cycles + loading,
        "QUIET_CYCLES": quiet_cycles,
        "POLL_CYCLES": _POLL_CYCLES,
        "FRAME_END": END,
        "FRAME_ESCAPE": ESCAPE,
        "FRAME_STUFFED": STUFFED,
        "HOLD_PINS": "; ".join(f"design.{_mangled(pin)} = Pin{{{level}u}}" for pin, level in top.held.items()),
    }
    if top.spi is not None:
        facts |= {"SPI_CS": _mangled(top.spi[0]), "SPI_SCK": _mangled(top.spi[1])}
    if top.flash is not None:
        facts |= {f"FLASH_{name.upper()}": _mangled(getattr(top.flash, name)) for name in ("cs", "sck", "copi", "cipo")}
        facts["FLASH_ACTIVE_LOW"] = "true" if top.flash.active_low else "false"
    return "".join(f"#define {name} {value}\n" for name, value in facts.items())


def _mangled(port: str) -> str:
    """CXXRTL's name of a port."""
    if not re.fullmatch(r"[A-Za-z]\w*", port, re.ASCII):
        raise ValueError(f"{port!r} is no pin of a board top")
    return f"p_{port.replace('_', '__')}"


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikeloom" / "boards"

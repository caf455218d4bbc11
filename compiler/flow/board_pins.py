"""The pins of a finished build, for simulations of its whole design."""

from __future__ import annotations

import re

from ...boards.boards import Board
from ...boards.clock import clocks_per_bit
from ...hdl.errors import InputError, OptionError
from ...hdl.files import read_regular
from ...sim.uart_executor import UartTop
from ..output.build_folder import FLASH, MAX_OUTPUT_BYTES, BuildFolder
from ..report.report import check_report
from .options import CompileOptions, plan_target_clock, require_target

_PORTS = re.compile(r"^module top\((.*?)\)", re.MULTILINE)


def uart_top(build: BuildFolder) -> UartTop:
    """The design of a build folder as its pins show it.

    Raises OptionError for a build without a bitstream or with weights in flash, which the simulation lacks.
    """
    verilog = build.path / "top.v"
    if not verilog.is_file():
        raise OptionError(f"pins belong to a bitstream: {build.path} was built without; compile for a board")
    if (build.path / FLASH).exists():
        raise OptionError(f"the pins are simulated without flash: {build.path} keeps weights there; use --level rtl")
    asked = build.options.get
    options = CompileOptions(board=asked("board"), device=asked("device"), clock_mhz=asked("clock_mhz"))
    target = require_target(options)
    assert target is not None
    clock = plan_target_clock(target, options)
    ports = _ports(read_regular(verilog, "a design's Verilog", MAX_OUTPUT_BYTES).decode(errors="replace"), build)
    pin = next((port for port in ports if port.startswith("clk")), None)
    return UartTop(
        verilog=verilog,
        top="top",
        clock=pin,
        clock_hz=target.source_hz if isinstance(target, Board) and pin is not None else clock.hz,
        rx=_pin(ports, "rx"),
        tx=_pin(ports, "tx"),
        clocks_per_bit=clocks_per_bit(clock.hz, check_report(build.report())["link"]["baud"]),
        reset_cycles=clock.reset_cycles,
        held={port: 1 for port in ports if port.startswith("rst")},
        family=build.family,
    )


def _ports(text: str, build: BuildFolder) -> list[str]:
    found = _PORTS.search(text)
    if found is None:
        raise InputError(f"a build's top.v must hold its module top: {build.path} does not; compile again")
    return re.findall(r"\w+", found[1])


def _pin(ports: list[str], name: str) -> str:
    """The port of the UART's line: `rx` on a bare device, `uart_0__rx__io` on a board."""
    return next(port for port in ports if name in port.split("__"))

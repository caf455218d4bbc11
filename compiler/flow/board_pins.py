"""The pins of a finished build, for simulations of its whole design."""

from __future__ import annotations

import re
from pathlib import Path

from ...boards.host.facts import read_facts
from ...hdl.errors import InputError, OptionError
from ...hdl.files import read_regular
from ...hdl.link.flash_loader import WEIGHTS_OFFSET, load_cycles
from ...sim.board_model import build_board
from ...sim.uart_executor import FlashPins, UartTop
from ..output.build_folder import MAX_OUTPUT_BYTES, BuildFolder

_PORTS = re.compile(r"^module top\((.*?)\)", re.MULTILINE)

_BARE_FLASH = {"cs": "cs", "sck": "sck", "copi": "copi", "cipo": "cipo"}
"""The pins to the flash of a bare device."""


def uart_top(build: BuildFolder) -> UartTop:
    """The design of a build folder as its pins show it. Raises OptionError for a build without a bitstream."""
    verilog = build.path / "top.v"
    if not verilog.is_file():
        raise OptionError(f"pins belong to a bitstream: {build.path} was built without; compile for a board")
    facts = read_facts(build.path)
    ports = _ports(read_regular(verilog, "a design's Verilog", MAX_OUTPUT_BYTES).decode(errors="replace"), build)
    pin = next((port for port in ports if port.startswith("clk")), None)
    return UartTop(
        verilog=verilog,
        top="top",
        clock=pin,
        clock_hz=facts.clock_hz if pin is None else facts.source_hz,
        rx=_pin(ports, "rx", "copi" if facts.spi else ""),
        tx=_pin(ports, "tx", "cipo" if facts.spi else ""),
        spi=(_pin(ports, "host_cs", "cs_n"), _pin(ports, "host_sck", "sck")) if facts.spi else None,
        clocks_per_bit=facts.clocks_per_bit,
        reset_cycles=facts.reset_cycles,
        held={port: 1 for port in ports if port.startswith("rst")},
        family=build.family,
        flash=None if facts.flash is None else _flash(ports, (build.path / facts.flash).stat().st_size),
    )


def board_program(build: BuildFolder) -> Path:
    """The program that is the board of a build folder (`sim.board_model`). Raises OptionError, ToolError."""
    return build_board(uart_top(build), 2 * read_facts(build.path).silent_cycles)


def _flash(ports: list[str], size: int) -> FlashPins:
    """The pins to a flash of so many bytes: on a board those of its resource, else the loader's own."""
    on_board = {"cs": "cs", "sck": "clk", "copi": "copi", "cipo": "cipo"}
    active_low = any(port.startswith("spi_flash") for port in ports)
    names = {
        name: next(p for p in ports if p.startswith("spi_flash") and pin in p.split("__"))
        for name, pin in on_board.items()
        if active_low
    }
    words = (size - WEIGHTS_OFFSET) // 2
    return FlashPins(**(names or _BARE_FLASH), active_low=active_low, load_cycles=load_cycles(words))


def _ports(text: str, build: BuildFolder) -> list[str]:
    found = _PORTS.search(text)
    if found is None:
        raise InputError(f"a build's top.v must hold its module top: {build.path} does not; compile again")
    return re.findall(r"\w+", found[1])


def _pin(ports: list[str], name: str, by_spi: str = "") -> str:
    """The port of the host's line: `rx` on a bare device, `uart_0__rx__io` or `host_spi_0__copi__io` on a board."""
    host = [port for port in ports if not port.startswith("spi_flash")]
    return next(port for port in host if {name, by_spi} & set(port.split("__")))

"""A board that a file describes: data in TOML, and nothing that is run (docs/boards.md#adding-a-board)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from amaranth.build import Attrs, Clock, Pins, PinsN, Resource
from amaranth.build.plat import TemplatedPlatform
from amaranth.vendor import LatticeECP5Platform, LatticeICE40Platform
from amaranth_boards.resources import UARTResource

from ..hdl.errors import OptionError, listed, plain, quoted
from ..hdl.files import read_regular
from ..hdl.json_files import ShapeError, shaped
from ..hdl.memories.memory import Family
from .boards import HOST_SPI, Board, host_spi
from .devices import find_device
from .flash.loaders import FILE, Loader

_MAX_BYTES = 1 << 16

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_WORD = re.compile(r"[A-Za-z0-9]{1,12}")

_FAMILIES: dict[Family, tuple[type[TemplatedPlatform], dict[str, Any], dict[str, Any]]] = {
    Family.ICE40: (LatticeICE40Platform, {"IO_STANDARD": "SB_LVCMOS"}, {"PULLUP": 1}),
    Family.ECP5: (LatticeECP5Platform, {"IO_TYPE": "LVCMOS33"}, {"PULLMODE": "UP"}),
}
"""Of a family its platform in Amaranth, the attributes of all pins, and those of pins that are pulled up."""


@dataclass(frozen=True, kw_only=True)
class _Clock:
    pin: str
    mhz: float
    pll_pad: bool = False


@dataclass(frozen=True, kw_only=True)
class _Uart:
    rx: str
    tx: str


@dataclass(frozen=True, kw_only=True)
class _Led:
    pin: str
    inverted: bool = False


@dataclass(frozen=True, kw_only=True)
class _Spi:
    cs_n: str
    copi: str
    cipo: str
    sck: str

    @property
    def pins(self) -> tuple[str, ...]:
        return self.cs_n, self.copi, self.cipo, self.sck


@dataclass(frozen=True, kw_only=True)
class _Loader:
    tool: str
    write: list[str] | None = None
    load: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class _BoardFile:
    """The file, field by field."""

    id: str
    name: str
    device: str
    package: str
    clock: _Clock
    uart: _Uart
    led: _Led | None = None
    spi: _Spi | None = None
    speed: str = "6"
    baud: int = 115_200
    pack: list[str] = field(default_factory=list)
    loaders: list[_Loader] = field(default_factory=list)
    note: str = ""


_PARTS: dict[str, type] = {"clock": _Clock, "uart": _Uart, "led": _Led, "spi": _Spi, "loaders": _Loader}


def read_board_file(path: Path) -> Board:
    """The board that a file describes. Raises OptionError, in one line, where it does not."""
    text = read_regular(path, "a board file", _MAX_BYTES, OptionError)
    try:
        data = tomllib.loads(text.decode("utf-8"))
        described = shaped(data, _BoardFile)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"a board file is TOML: {path} is not ({error})") from None
    except ShapeError as error:
        raise OptionError(f"a board file must {error.must}: {path} {error.has}; see docs/boards.md") from None
    unknown = list(_unknown(data, _BoardFile, ""))
    if unknown:
        raise OptionError(f"a board file has no {listed(unknown, plain)}: {path} does; see docs/boards.md")
    _check(described, path)
    return _board(described)


def _unknown(data: dict[str, Any], kind: type, where: str) -> Iterator[str]:
    """Keys that a part of the file does not have."""
    known = {f.name for f in fields(kind)}
    for key, value in data.items():
        if key not in known:
            yield where + key
        elif key in _PARTS and not where:
            for part in value if isinstance(value, list) else [value]:
                yield from _unknown(part, _PARTS[key], f"{key}.")


def _check(file: _BoardFile, path: Path) -> None:
    """The rules that types do not say: names and pins stand in constraints and commands."""
    if not _ID.fullmatch(file.id):
        raise OptionError(f"a board's id is a word of small letters, digits and dashes: {path} has {quoted(file.id)}")
    pins = [file.clock.pin, file.uart.rx, file.uart.tx, *([file.led.pin] if file.led else [])]
    pins += file.spi.pins if file.spi else ()
    for word in (*pins, file.package, file.speed):
        if not _WORD.fullmatch(word):
            raise OptionError(f"a pin, a package or a speed is letters and digits: {path} has {quoted(word)}")
    if len({*pins}) < len(pins):
        raise OptionError(f"a pin has one purpose: {path} names one of {', '.join(pins)} twice")
    if not (0 < file.clock.mhz <= 1000 and 300 <= file.baud <= 12_000_000):
        raise OptionError(f"a board has a clock up to 1000 MHz and 300 to 12,000,000 baud: {path} has others")
    for loader in file.loaders:
        for arguments in (loader.write, loader.load):
            if arguments is not None and FILE not in arguments:
                raise OptionError(f"a loader's arguments hold {FILE}: {path} has {quoted(loader.tool)} without")
        if not re.fullmatch(r"[A-Za-z][\w.-]{0,40}", loader.tool):
            raise OptionError(f"a loader's tool is a program's name: {path} has {quoted(loader.tool)}")


def _board(file: _BoardFile) -> Board:
    device = find_device(file.device)
    return Board(
        id=file.id,
        name=file.name,
        platform=partial(_platform, file, device.name, device.family),
        device=device,
        source_hz=file.clock.mhz * 1e6,
        clock_hz=file.clock.mhz * 1e6,
        bauds=(file.baud,),
        pll_pad=file.clock.pll_pad,
        led=("led", 0) if file.led else None,
        spi=HOST_SPI if file.spi else None,
        pack=tuple(file.pack),
        loaders=tuple(
            Loader(
                tool=loader.tool,
                write=None if loader.write is None else tuple(loader.write),
                load=None if loader.load is None else tuple(loader.load),
            )
            for loader in file.loaders
        ),
        note=file.note,
    )


def _platform(file: _BoardFile, device: str, family: Family) -> TemplatedPlatform:
    """A fresh platform, as amaranth-boards would have it."""
    base, attributes, pulled_up = _FAMILIES[family]
    resources = [
        Resource("clk", 0, Pins(file.clock.pin, dir="i"), Clock(file.clock.mhz * 1e6), Attrs(**attributes)),
        UARTResource(0, rx=file.uart.rx, tx=file.uart.tx, attrs=Attrs(**attributes, **pulled_up)),
    ]
    if file.led is not None:
        pins = PinsN if file.led.inverted else Pins
        resources.append(Resource("led", 0, pins(file.led.pin, dir="o"), Attrs(**attributes)))
    if file.spi is not None:
        resources.append(host_spi(file.spi.pins, Attrs(**attributes)))
    described = {
        "device": device,
        "package": file.package,
        "speed": file.speed,
        "default_clk": "clk",
        "resources": resources,
        "connectors": [],
    }
    platform: TemplatedPlatform = type("DescribedPlatform", (base,), described)()
    return platform

"""The boards that Spikeloom knows: amaranth-boards describes them, this table adds what it lacks.

A new board is one more entry of `BOARDS`; docs/boards.md says how to fill it in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from amaranth.build import Attrs, Pins, Resource, Subsignal
from amaranth_boards.resources import UARTResource

from ..hdl.errors import OptionError
from .devices import DEVICES, Device, unknown
from .flash.loaders import ECPPROG, ICEPROG, ICESPROG, ORANGECRAB_DFU, Loader, open_fpga_loader, own_writer

if TYPE_CHECKING:
    from amaranth.build.plat import TemplatedPlatform

# nextpnr's names of the ECP5 packages, by amaranth-boards' names; iCE40 packages only differ in case.
ECP5_PACKAGES = {"BG256": "CABGA256", "MG285": "CSFBGA285", "BG381": "CABGA381", "BG554": "CABGA554"}

FT2232H = (12_000_000, 6_000_000, 4_000_000, 3_000_000, 2_000_000, 1_500_000, 1_000_000, 500_000, 115_200)
"""Rates that FTDI's high-speed bridges make without an error; their data sheet names 12 Mbaud as the fastest."""

FT231X = FT2232H[3:]
"""The same of FTDI's full-speed bridges."""

ADAPTER = (115_200,)
"""The rate that any adapter takes, and a bridge of which no data sheet promises more."""

HOST_SPI = ("host_spi", 0)
"""The resource of a microcontroller's SPI."""

_CONFIGURATION_FLASH = ("spi_flash_1x", 0)


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board: an FPGA with a clock and a serial line to the host.

    `platform` is the class in amaranth-boards, as "module.Class", or what makes one. `source_hz` is the board's own
    clock, `clock_hz` what a design runs at unless told otherwise. `pll_pad` says that the clock enters at the pad
    of an iCE40's PLL. `uart` and `led` are resources of the platform or of `resources`, which are added to it;
    `spi` is where a microcontroller can be, if anywhere.
    `led` may name a subsignal, and is None on a board without a free one. `flash` is the SPI flash that the board
    is configured from, where a design can have weights in it. `bauds` are rates that the board's serial bridge is
    sure to take, the fastest first; a design has the first that its clock can make (`clock.fastest_baud`). `pack` are
    options of ecppack. `loaders` are the tools that write to it, the one to prefer first. `note` says what must be
    wired or known.
    """

    id: str
    name: str
    platform: str | Callable[[], TemplatedPlatform]
    device: Device
    source_hz: float
    clock_hz: float
    bauds: tuple[int, ...] = FT2232H
    pll_pad: bool = False
    uart: tuple[str, int] = ("uart", 0)
    spi: tuple[str, int] | None = None
    led: tuple[str, int] | tuple[str, int, str] | None = ("led", 0)
    flash: tuple[str, int] | None = None
    resources: tuple[Resource, ...] = ()
    pack: tuple[str, ...] = ()
    loaders: tuple[Loader, ...] = ()
    note: str = ""

    def create_platform(self) -> TemplatedPlatform:
        """A fresh platform of amaranth-boards, which serves one build."""
        if not isinstance(self.platform, str):
            return self.platform()
        module, _, name = self.platform.partition(".")
        platform = getattr(import_module(f"amaranth_boards.{module}"), name)()
        platform.add_resources(self.resources)
        return platform

    def nextpnr_package(self, platform: TemplatedPlatform) -> str:
        """nextpnr's name of the package on this board."""
        return ECP5_PACKAGES.get(platform.package, platform.package.lower())


def host_spi(pins: Sequence[str], attrs: Attrs, conn: tuple[str, int] | None = None) -> Resource:
    """The pins of a microcontroller's SPI: CS, COPI, CIPO and SCK."""
    ways = {"cs_n": "i", "copi": "i", "cipo": "o", "sck": "i"}
    named = zip(pins, ways.items(), strict=True)
    lines = [Subsignal(name, Pins(pin, dir=way, conn=conn, assert_width=1)) for pin, (name, way) in named]
    return Resource(*HOST_SPI, *lines, attrs)


_PMOD_SPI = host_spi("1234", Attrs(IO_STANDARD="SB_LVCMOS"), ("pmod", 0))
"""At the upper row of a Pmod, as Digilent's interface 2 has it."""

_ICE40_FTDI = (open_fpga_loader("-b", "ice40_generic"), ICEPROG, own_writer("ftdi://ftdi:2232h/1"))


def _ulx3s(size: str) -> Board:
    return Board(
        id=f"ulx3s-{size}",
        name=f"ULX3S {size.upper()}",
        platform=f"ulx3s.ULX3S_{size.upper()}_Platform",
        device=DEVICES[f"lfe5u-{size}"],
        source_hz=25e6,
        clock_hz=25e6,
        bauds=FT231X,
        pack=("--compress",),
        loaders=(open_fpga_loader("-b", "ulx3s"),),
    )


def _ecpix5(size: str) -> Board:
    return Board(
        id=f"ecpix5-{size}",
        name=f"LambdaConcept ECPIX-5 {size.upper()}",
        platform=f"ecpix5.ECPIX5{size[:2]}Platform",
        device=DEVICES[f"lfe5um5g-{size}"],
        source_hz=100e6,
        clock_hz=50e6,
        led=("rgb_led", 0, "g"),
        pack=("--compress",),
        loaders=(open_fpga_loader("-b", "ecpix5"), ECPPROG),
    )


BOARDS: dict[str, Board] = {
    board.id: board
    for board in (
        Board(
            id="icebreaker",
            name="1BitSquared iCEBreaker",
            platform="icebreaker.ICEBreakerPlatform",
            device=DEVICES["up5k"],
            source_hz=12e6,
            clock_hz=12e6,
            pll_pad=True,
            flash=_CONFIGURATION_FLASH,
            spi=HOST_SPI,
            resources=(_PMOD_SPI,),
            loaders=_ICE40_FTDI,
        ),
        Board(
            id="icestick",
            name="Lattice iCEstick",
            platform="icestick.ICEStickPlatform",
            device=DEVICES["hx1k"],
            source_hz=12e6,
            clock_hz=12e6,
            spi=HOST_SPI,
            resources=(_PMOD_SPI,),
            loaders=_ICE40_FTDI,
        ),
        Board(
            id="hx8k-evn",
            name="Lattice iCE40-HX8K breakout board",
            platform="ice40_hx8k_b_evn.ICE40HX8KBEVNPlatform",
            device=DEVICES["hx8k"],
            source_hz=12e6,
            clock_hz=12e6,
            loaders=_ICE40_FTDI,
        ),
        Board(
            id="upduino",
            name="tinyVision UPduino v3",
            platform="upduino_v3.UpduinoV3Platform",
            device=DEVICES["up5k"],
            source_hz=48e6,
            clock_hz=12e6,
            bauds=ADAPTER,
            led=("rgb_led", 0, "g"),
            flash=_CONFIGURATION_FLASH,
            resources=(
                # The last two pins of the left row: free of the flash, the RGB LED and the oscillator jumper.
                UARTResource(0, rx="20", tx="19", conn=("j", 0), attrs=Attrs(IO_STANDARD="SB_LVCMOS", PULLUP=1)),
            ),
            loaders=(ICEPROG, own_writer("ftdi://ftdi:232h/1")),
            note=(
                "connect a 3.3 V serial adapter: its TX to header pin 28, its RX to header pin 38; "
                "the clock is the FPGA's internal oscillator, which may be 10 % off"
            ),
        ),
        Board(
            id="icesugar",
            name="Muse Lab iCESugar",
            platform="icesugar.ICESugarPlatform",
            device=DEVICES["up5k"],
            source_hz=12e6,
            clock_hz=12e6,
            bauds=ADAPTER,
            pll_pad=True,
            flash=_CONFIGURATION_FLASH,
            loaders=(ICESPROG,),
        ),
        _ulx3s("12f"),
        _ulx3s("25f"),
        _ulx3s("45f"),
        _ulx3s("85f"),
        Board(
            id="orangecrab",
            name="OrangeCrab r0.2 25F",
            platform="orangecrab_r0_2.OrangeCrabR0_2_25FPlatform",
            device=DEVICES["lfe5u-25f"],
            source_hz=48e6,
            clock_hz=48e6,
            bauds=ADAPTER,
            led=("rgb_led", 0, "g"),
            resources=(
                # Where every Feather board has its serial port; no other resource of the board uses these pins.
                UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")),
            ),
            pack=("--compress", "--freq", "38.8"),
            loaders=(ORANGECRAB_DFU,),
            note="connect a 3.3 V serial adapter: its TX to header pin 0, its RX to header pin 1",
        ),
        _ecpix5("45f"),
        _ecpix5("85f"),
        Board(
            id="colorlight-5a75b",
            name="Colorlight 5A-75B v7.0",
            platform="colorlight_5a75b_r7_0.Colorlight_5A75B_R70Platform",
            device=DEVICES["lfe5u-25f"],
            source_hz=25e6,
            clock_hz=25e6,
            bauds=ADAPTER,
            led=None,
            pack=("--compress",),
            loaders=(open_fpga_loader("-c", "ft232"),),
            note=(
                "connect a 3.3 V serial adapter to J19: its TX to KEY+, its RX to DATA_LED-; "
                "these are also the board's button and LED, so there is no activity LED"
            ),
        ),
        Board(
            id="icesugar-pro",
            name="Muse Lab iCESugar-Pro",
            platform="icesugar_pro.ICESugarProPlatform",
            device=DEVICES["lfe5u-25f"],
            source_hz=25e6,
            clock_hz=25e6,
            bauds=ADAPTER,
            led=("rgb_led", 0, "g"),
            pack=("--compress",),
            loaders=(ICESPROG,),
        ),
        Board(
            id="ecp5-5g-evn",
            name="Lattice ECP5-5G evaluation board",
            platform="ecp5_5g_evn.ECP55GEVNPlatform",
            device=DEVICES["lfe5um5g-85f"],
            source_hz=12e6,
            clock_hz=12e6,
            pack=("--compress",),
            loaders=(open_fpga_loader("-b", "ecp5_evn"), ECPPROG),
            note="the USB serial port needs two resistors moved: section 6.2 of the board's manual",
        ),
    )
}


_DESCRIBED: dict[str, Board] = {}
"""Boards that this process was told of."""


def add_board(board: Board) -> None:
    """Let `find_board` find a board that a file describes. Raises OptionError for an id that another board has."""
    if board.id in BOARDS:
        raise OptionError(f"a board's id is its own: {board.id!r} is {BOARDS[board.id].name}; give it another")
    _DESCRIBED[board.id] = board


def all_boards() -> tuple[Board, ...]:
    """Every board, in the order of the documentation."""
    return tuple(BOARDS.values())


def find_board(id: str) -> Board:
    """The board of that id, in any case. Raises `OptionError` with near matches when there is none."""
    board = BOARDS.get(id.lower()) or _DESCRIBED.get(id.lower())
    if board is None:
        raise OptionError(unknown("board", id, BOARDS))
    return board


def device_of(target: Board | Device) -> Device:
    """The device of a target, which may be one itself."""
    return target.device if isinstance(target, Board) else target

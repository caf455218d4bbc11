"""The FPGAs that Spikeloom can build for, and what each of them holds.

The capacities are the ones that nextpnr itself works with (its report's `available`), not the data sheet's: an
LFE5U-12F is the die of a 25F and nextpnr uses all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from ..hdl.errors import OptionError
from ..hdl.memories.memory import BLOCK_SHAPES, Family
from ..hdl.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Device:
    """An FPGA.

    `flag`, `package` and `speed` are nextpnr's options; a board brings its own package and speed grade, the ones here
    are for a build without a board. `luts`, `ffs` and `lcs` of the capacity overlap: an iCE40 logic cell is one LUT
    with its carry and flip-flop, an ECP5 COMB cell is one LUT with half a carry. `clock_hz` is what a build without a
    board is timed for unless told otherwise. `grid` is its columns and rows of tiles, as nextpnr counts them.
    """

    id: str
    name: str
    family: Family
    capacity: Resources
    flag: str
    grid: tuple[int, int]
    package: str
    speed: int | None = None
    clock_hz: float = 12e6

    @property
    def bram_shapes(self) -> tuple[tuple[int, int], ...]:
        """The (depth, width) shapes of one block RAM."""
        return BLOCK_SHAPES[self.family]

    @property
    def bram_bits(self) -> int:
        """Bits in one block RAM."""
        return max(depth * width for depth, width in self.bram_shapes)


def _ice40(
    id: str, name: str, grid: tuple[int, int], package: str, lcs: int, brams: int, spram: int = 0, dsps: int = 0
) -> Device:
    capacity = Resources(luts=lcs, ffs=lcs, lcs=lcs, brams=brams, spram=spram, dsps=dsps)
    return Device(id=id, name=name, family=Family.ICE40, capacity=capacity, flag=f"--{id}", grid=grid, package=package)


def _ecp5(id: str, flag: str, grid: tuple[int, int], luts: int, brams: int, dsps: int, speed: int = 6) -> Device:
    return Device(
        id=id,
        name=id.upper(),
        family=Family.ECP5,
        capacity=Resources(luts=luts, ffs=luts, lcs=luts, brams=brams, dsps=dsps),
        flag=flag,
        grid=grid,
        package="CABGA381",
        speed=speed,
        clock_hz=25e6,
    )


DEVICES: dict[str, Device] = {
    device.id: device
    for device in (
        _ice40("lp1k", "iCE40LP1K", (14, 18), "cm121", 1280, 16),
        _ice40("hx1k", "iCE40HX1K", (14, 18), "tq144", 1280, 16),
        _ice40("u4k", "iCE5LP4K", (26, 22), "sg48", 3520, 20, dsps=4),
        _ice40("up5k", "iCE40UP5K", (26, 32), "sg48", 5280, 30, spram=4, dsps=8),
        _ice40("lp8k", "iCE40LP8K", (34, 34), "cm225", 7680, 32),
        _ice40("hx8k", "iCE40HX8K", (34, 34), "ct256", 7680, 32),
        _ecp5("lfe5u-12f", "--12k", (73, 51), 24288, 56, 28),
        _ecp5("lfe5u-25f", "--25k", (73, 51), 24288, 56, 28),
        _ecp5("lfe5u-45f", "--45k", (91, 72), 43848, 108, 72),
        _ecp5("lfe5u-85f", "--85k", (127, 96), 83640, 208, 156),
        _ecp5("lfe5um5g-45f", "--um5g-45k", (91, 72), 43848, 108, 72, speed=8),
        _ecp5("lfe5um5g-85f", "--um5g-85k", (127, 96), 83640, 208, 156, speed=8),
    )
}


FAMILIES = {"ice40": "up5k", "ecp5": "lfe5u-25f"}
"""The device that a family's name stands for."""


def find_device(id: str) -> Device:
    """The device of that id, or the usual one of a family, in any case. `OptionError` with near matches for others."""
    device = DEVICES.get(FAMILIES.get(id.lower(), id.lower()))
    if device is None:
        raise OptionError(unknown("device", id, [*DEVICES, *FAMILIES]))
    return device


def unknown(kind: str, id: str, known: Iterable[str]) -> str:
    """What to say about an id that is not among the known ones; half a likeness is named beside a good one only."""
    plain = {_plain(name): name for name in known}
    close = get_close_matches(_plain(id), plain, n=1, cutoff=0.7)
    near = [plain[name] for name in get_close_matches(_plain(id), plain, n=3, cutoff=0.5)] if close else []
    advice = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(known)}"
    return f"an unknown {kind}: {id!r}; {advice}"


def _plain(name: str) -> str:
    """A name without case and punctuation, which people leave out."""
    return re.sub(r"[^a-z0-9]", "", name.lower())

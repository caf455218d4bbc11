"""What a network is fitted to: a board, a device, or a family by the name of its usual device."""

from __future__ import annotations

from dataclasses import dataclass

from ...boards.artix7 import ARTIX7_CAPACITY
from ...boards.boards import BOARDS, Board, device_of, find_board
from ...boards.clock import fastest_hz, plan_clock
from ...boards.devices import DEVICES, FAMILIES, Device, find_device, unknown
from ...hdl.errors import OptionError, quoted
from ...hdl.memories.memory import Family
from ...hdl.resources import Resources

ARTIX7 = "artix7"
"""The family whose designs are synthesised, and no more."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """`place` is what a design is placed and routed on, or None where it can only be synthesised.

    `family` is the one that memories are shaped for, `clock_hz` what the design must run at, `most_hz` the fastest
    clock that there can be.
    """

    id: str
    title: str
    family: Family
    capacity: Resources
    place: Board | Device | None
    clock_hz: float
    most_hz: float

    @property
    def description(self) -> str:
        """The target and what it holds, in one line."""
        return f"{self.title} ({self.capacity.luts} LUTs, {self.capacity.brams} BRAMs)"

    @property
    def device_id(self) -> str | None:
        """The device that a design is placed on, or None."""
        return self.place.device.id if isinstance(self.place, Board) else None if self.place is None else self.place.id


def find_target(id: str) -> Target:
    """The target of that name, in any case: ice40, ecp5, artix7, a board's or a device's id. Raises OptionError."""
    if not isinstance(id, str):
        raise OptionError(f"a target is the name of a board, device or family: got {quoted(id)}")
    name = FAMILIES.get(id.lower(), id.lower())
    if name == ARTIX7:
        return Target(
            id=ARTIX7,
            title="artix7 xc7a35t",
            family=Family.ECP5,
            capacity=ARTIX7_CAPACITY,
            place=None,
            clock_hz=100e6,
            most_hz=100e6,
        )
    if name in BOARDS:
        return _placed(find_board(name))
    if name in DEVICES:
        return _placed(find_device(name))
    raise OptionError(unknown("target", id, [*FAMILIES, ARTIX7, *BOARDS, *DEVICES]))


def _placed(place: Board | Device) -> Target:
    device = device_of(place)
    chip = f"{device.family.value} {device.id}"
    return Target(
        id=place.id,
        title=f"{place.id}, {chip}" if isinstance(place, Board) else chip,
        family=device.family,
        capacity=device.capacity,
        place=place,
        clock_hz=plan_clock(place, None).hz,
        most_hz=fastest_hz(place),
    )

"""Does a design fit, and what would?"""

from __future__ import annotations

from dataclasses import fields, replace

from ..hdl.errors import CapacityError
from ..hdl.resources import Resources
from .boards import BOARDS, Board
from .devices import DEVICES, Device

_NAMES = {
    "luts": ("LUT", "LUTs"),
    "ffs": ("flip-flop", "flip-flops"),
    "lcs": ("logic cell", "logic cells"),
    "brams": ("block RAM", "block RAMs"),
    "spram": ("single-port RAM", "single-port RAMs"),
    "dsps": ("DSP block", "DSP blocks"),
}


def check_capacity(needed: Resources, target: Board | Device, *, estimated: bool = False) -> None:
    """Raise `CapacityError` when a target has less than `needed`, saying what would help, and whether it is a guess."""
    if isinstance(target, Board):
        device, where = target.device, f"{target.id} ({target.device.name})"
    else:
        device, where = target, f"the {target.name}"
    if needed.fits(device.capacity):
        return
    over = [f.name for f in fields(Resources) if getattr(needed, f.name) > getattr(device.capacity, f.name)]
    wanted = " and ".join(_amount(name, getattr(needed, name)) for name in over)
    offered = " and ".join(f"{getattr(device.capacity, name):,}" for name in over)
    advice = f"prune more, use fewer bits{_larger(needed, target, device)}"
    wanted = f"about {wanted} by the estimate" if estimated else wanted
    raise CapacityError(f"the design needs {wanted}, {where} has {offered}: {advice}")


def _amount(name: str, count: int) -> str:
    return f"{count:,} {_NAMES[name][count != 1]}"


def _larger(needed: Resources, target: Board | Device, device: Device) -> str:
    """The smallest boards, or devices, on which the design should fit."""
    known = {b.id: b.device for b in BOARDS.values()} if isinstance(target, Board) else DEVICES
    fitting = [id for id, other in known.items() if _translated(needed, device, other).fits(other.capacity)]
    if not fitting:
        return "; no device that Spikeloom knows is large enough"
    fitting.sort(key=lambda id: known[id].capacity.luts)
    kind = "board" if isinstance(target, Board) else "device"
    return f", or take a larger {kind} such as {' or '.join(fitting[:2])}"


def _translated(needed: Resources, device: Device, other: Device) -> Resources:
    """What was counted in block RAMs of one device in those of another, by their bits."""
    return replace(needed, brams=-(-needed.brams * device.bram_bits // other.bram_bits))

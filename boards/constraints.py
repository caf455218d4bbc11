"""Constraints of a bare core: its clock, and on a board the pin that brings it."""

from __future__ import annotations

from pathlib import Path

from ..hdl.memories.memory import Family
from .boards import Board, device_of
from .clock import ClockPlan
from .devices import Device

SDC, PCF, LPF = "core.sdc", "core.pcf", "core.lpf"

_PINS = {
    Family.ICE40: (PCF, "set_io clk {pin}", "set_frequency clk {mhz:g}"),
    Family.ECP5: (LPF, 'LOCATE COMP "clk" SITE "{pin}";', 'FREQUENCY PORT "clk" {mhz:g} MHZ;'),
}
"""Of a family that nextpnr knows: the file, a pin and a frequency."""


def write_constraints(folder: Path, target: Board | Device, clock: ClockPlan) -> None:
    """Write `core.sdc`, which most tools read, and where nextpnr builds for the target its own `core.pcf` or
    `core.lpf`."""
    device = device_of(target)
    period = f"create_clock -name clk -period {1e9 / clock.hz:.3f} [get_ports clk]\n"
    (folder / SDC).write_text(f"# The core's clock for {target.id}: {clock.hz / 1e6:g} MHz\n{period}", "ascii")
    if device.family not in _PINS:
        return
    name, pin_line, frequency_line = _PINS[device.family]
    lines = [f"# The core's clock for {target.id}, for nextpnr"]
    pin = _clock_pin(target)
    if pin is not None:
        assert isinstance(target, Board)
        direct = target.source_hz == clock.hz
        if not direct:
            lines.append(f"# The board's own clock of {target.source_hz / 1e6:g} MHz is at pin {pin}: make clk of it.")
        lines += [pin_line.format(pin=pin)] * direct
    lines.append(frequency_line.format(mhz=clock.hz / 1e6))
    (folder / name).write_text("\n".join(lines) + "\n", "ascii")


def _clock_pin(target: Board | Device) -> str | None:
    """The pin of a board's own clock; None where there is none, as of an oscillator in the FPGA."""
    if isinstance(target, Device):
        return None
    platform = target.create_platform()
    resource = (platform.default_clk, 0)
    if resource not in platform.resources:
        return None
    pins = platform.lookup(*resource).ios[0]
    names = getattr(pins, "names", None) or pins.p.names
    return str(names[0])

"""One type for a device's capacity, an estimate and a measurement."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Amounts of the FPGA primitives that a design uses or a device offers.

    `luts` are 4-input look-up tables, `ffs` flip-flops, `lcs` logic cells (iCE40) or COMB cells (ECP5), `brams` block
    RAMs (4 kbit on iCE40, 18 kbit on ECP5), `spram` 256 kbit single-port RAMs, `dsps` multiplier blocks.
    """

    luts: int = 0
    ffs: int = 0
    lcs: int = 0
    brams: int = 0
    spram: int = 0
    dsps: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: Resources) -> Resources:
        return Resources(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def fits(self, capacity: Resources) -> bool:
        """Whether no amount exceeds `capacity`."""
        return all(getattr(self, f.name) <= getattr(capacity, f.name) for f in fields(self))

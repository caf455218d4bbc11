"""What an engine saves where block RAMs and LUTs can be traded."""

from __future__ import annotations

from enum import StrEnum

from ...hdl.memories.memory import BLOCK_LUTS, LOGIC_ROM_LUTS


class Scarce(StrEnum):
    """What an engine saves where it can trade one for the other: block RAMs, or LUTs."""

    BRAMS = "brams"
    LUTS = "luts"


BRAM_LUTS = {Scarce.BRAMS: BLOCK_LUTS, Scarce.LUTS: 8}
"""What a block RAM is worth in LUTs."""


LOGIC_LUTS = {Scarce.BRAMS: LOGIC_ROM_LUTS, Scarce.LUTS: BRAM_LUTS[Scarce.LUTS]}
"""The largest memory that is made of look-up tables."""

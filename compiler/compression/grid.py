"""The codes that quantised weights may take: which bits and schemes go together, and rounding to their grid.

| scheme | bits | codes |
|---|---|---|
| fixed_point | 2 to 16 | -(2^(bits-1) - 1) .. 2^(bits-1) - 1 |
| ternary | 2 | -1, 0, 1 |
| binary | 1 | -1, 1 |

Whatever the scheme, a pruned weight is 0, and an output has one scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...hdl.errors import OptionError, quoted
from ..lowering.quantise import MIN_WEIGHT_BITS, check_bits
from ..lowering.scales import largest_code
from ..names import SCHEMES

if TYPE_CHECKING:
    import torch

ONLY_BITS = {"ternary": 2, "binary": 1}
"""The schemes that have one width."""


@dataclass(frozen=True)
class Format:
    """Bits and scheme of weights. Raises OptionError for unknown ones, and for pairs that do not go together."""

    bits: int
    scheme: str = "fixed_point"

    def __post_init__(self) -> None:
        check_scheme(self.scheme)
        only = ONLY_BITS.get(self.scheme)
        if only is None and self.bits == 1 and not isinstance(self.bits, bool):
            raise OptionError("weights of 1 bit are binary: got fixed_point; set the scheme to binary, or more bits")
        if only is None:
            check_bits(self.bits)
        elif isinstance(self.bits, bool) or self.bits != only:
            plural = "s" if only > 1 else ""
            raise OptionError(
                f"{self.scheme} weights have {only} bit{plural}: got {quoted(self.bits)}; set bits to {only}"
            )

    @property
    def grid(self) -> Grid:
        """The codes that it has."""
        return Grid(1, binary=True) if self.scheme == "binary" else Grid(largest_code(self.bits))

    @property
    def stored_bits(self) -> int:
        """The width of `Quantised` codes: binary ones have two bits there, as a pruned synapse is a code of 0."""
        return max(MIN_WEIGHT_BITS, self.bits)


@dataclass(frozen=True)
class Grid:
    """Whole numbers of at most `limit` in size; without 0 where `binary`."""

    limit: int
    binary: bool = False

    def nearest(self, ratio: torch.Tensor) -> torch.Tensor:
        """The code next to each weight over its scale."""
        import torch

        if self.binary:
            return torch.ones_like(ratio).copysign(ratio)
        return ratio.round().clamp(-self.limit, self.limit)


def check_scheme(scheme: object) -> None:
    """OptionError for what is no scheme."""
    if scheme not in SCHEMES:
        raise OptionError(f"a scheme is one of {', '.join(SCHEMES)}: got {quoted(scheme)}")

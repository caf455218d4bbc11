"""A point of the search space: how far a network is pruned, quantised and made narrower."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..compression.grid import ONLY_BITS
from ..compression.recipe import Override, Recipe

FORMATS: dict[str, tuple[int, str]] = {
    "Q8": (8, "fixed_point"),
    "Q6": (6, "fixed_point"),
    "Q5": (5, "fixed_point"),
    "Q4": (4, "fixed_point"),
    "Q3": (3, "fixed_point"),
    "ternary": (ONLY_BITS["ternary"], "ternary"),
}
"""The formats that the search tries, by the names that a summary gives them: bits and scheme."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """`form` is a name of `FORMATS`, `sparsity` the share of zero weights among those of the neurons that stay.

    `removed` is the share of hidden neurons that goes first, `layers` what differs for single populations: name,
    format, and sparsity or None for the common one.
    """

    form: str
    sparsity: float
    removed: float = 0.0
    layers: tuple[tuple[str, str, float | None], ...] = ()

    def recipe(self, method: str, distil: bool) -> Recipe:
        """How to compress at this point, the neurons being removed."""
        bits, scheme = FORMATS[self.form]
        overrides = {
            name: Override(sparsity=sparsity, bits=FORMATS[form][0], scheme=FORMATS[form][1])
            for name, form, sparsity in self.layers
        }
        return Recipe(
            method=method, sparsity=self.sparsity, bits=bits, scheme=scheme, distil=distil, overrides=overrides
        )

    def data(self) -> dict[str, Any]:
        """The point as JSON holds it."""
        return asdict(self)

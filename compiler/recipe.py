"""The compression of a float network into an integer one: what to do, and what it did.

A `Recipe` names a method and its targets; `compress` carries it out. Further methods are further names here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..hdl.errors import OptionError
from .ir import Network, Quantised
from .prune import check_sparsity, prune, silenced
from .quantisation_error import PopulationError, quantisation_error
from .quantise import check_bits, quantise

METHODS = ("magnitude",)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to compress: `sparsity` is the share of all weights that become zero, `bits` the width of the others.

    Raises OptionError for an unknown method, 0 <= sparsity < 1 or 2 <= bits <= 16 broken.
    """

    method: str = "magnitude"
    sparsity: float = 0.0
    bits: int = 8

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise OptionError(f"a compression method is one of {', '.join(METHODS)}: got {self.method!r}")
        check_sparsity(self.sparsity)
        check_bits(self.bits)


@dataclass(frozen=True, kw_only=True)
class ProjectionReport:
    """One projection: its weights, how many were not zero before pruning and are not zero as integers."""

    pre: str
    post: str
    weights: int
    synapses_before: int
    synapses: int


@dataclass(frozen=True, kw_only=True)
class CompressionReport:
    """What compression did. `silenced` are the neurons by population that lost their last input synapse."""

    recipe: Recipe
    projections: tuple[ProjectionReport, ...]
    errors: tuple[PopulationError, ...]
    silenced: dict[str, tuple[int, ...]]

    @property
    def sparsity(self) -> float:
        """The share of weights that are zero as integers: the pruned ones, and small ones that rounded to zero."""
        return 1.0 - sum(p.synapses for p in self.projections) / sum(p.weights for p in self.projections)


def compress(
    network: Network, recipe: Recipe, calibration: npt.NDArray[Any] | None = None
) -> tuple[Network, CompressionReport]:
    """Prune and quantise a float network; returns the integer network and a report.

    `calibration` are input samples, integers [samples, steps, inputs...]. Errors are those of `prune` and `quantise`.
    """
    pruned = prune(network, recipe.sparsity) if recipe.sparsity else network
    integer = quantise(pruned, recipe.bits, calibration)
    projections = tuple(
        ProjectionReport(
            pre=before.pre,
            post=before.post,
            weights=int(np.prod(before.weights.shape)),
            synapses_before=_synapses(before.weights),
            synapses=_synapses(after.weights),
        )
        for before, after in zip(network.projections, integer.projections, strict=True)
    )
    report = CompressionReport(
        recipe=recipe,
        projections=projections,
        errors=quantisation_error(pruned, integer),
        silenced=silenced(network, pruned),
    )
    return integer, report


def _synapses(weights: npt.NDArray[np.float64] | Quantised) -> int:
    return int(np.count_nonzero(weights.codes if isinstance(weights, Quantised) else weights))

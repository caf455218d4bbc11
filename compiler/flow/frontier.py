"""What each bit buys: one network compressed to many sparsities and widths, and which of them no other beats."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ...hdl.errors import SampleError
from ...sim.evaluation import Original
from ..compression.apply import compress
from ..compression.finetune import FineTune
from ..compression.recipe import Recipe
from ..compression.report import CompressionReport
from ..data.samples import Samples
from ..ir.network import Network
from .options import CompileOptions
from .sweep import SweepPoint, point_of

HELD_OUT = 4
"""Every so many labelled calibration samples one is held out for the choice, where none are given for it."""


@dataclass(frozen=True, kw_only=True)
class FrontierPoint:
    """A compressed network, what its compression reports, and its figures on the samples of the choice."""

    network: Network
    report: CompressionReport
    figures: SweepPoint

    @property
    def _costs(self) -> tuple[float, ...]:
        """What is to be small: errors, stored bits, operations, cycles."""
        figures = self.figures
        return (
            -figures.judged.compressed,
            figures.stored_bits,
            figures.metrics.synaptic_operations,
            figures.cycles,
        )

    def beats(self, other: FrontierPoint) -> bool:
        """Whether this is no worse in anything and better in something."""
        pairs = list(zip(self._costs, other._costs, strict=True))
        return all(own <= its for own, its in pairs) and any(own < its for own, its in pairs)


def split(samples: Samples) -> tuple[Samples, Samples]:
    """Calibration samples without those that are held out for the choice, and these. SampleError without labels."""
    if samples.labels is None or len(samples) < 2 * HELD_OUT:
        raise SampleError(
            f"a frontier is judged on labelled samples held out, one of {HELD_OUT}: got {len(samples)} "
            f"{'samples' if samples.labels is not None else 'without labels'}; give others to choose by"
        )
    apart = np.arange(len(samples)) % HELD_OUT == HELD_OUT - 1
    kept, held = (Samples(spikes=samples.spikes[part], labels=samples.labels[part]) for part in (~apart, apart))
    return kept, held


def frontier(
    source: Network,
    recipe: Recipe,
    sparsities: Sequence[float],
    widths: Sequence[int],
    calibration: Samples,
    judges: Samples,
    options: CompileOptions,
    *,
    finetune: FineTune | None = None,
    refined: Callable[[], Callable[[Network], Network] | None] = lambda: None,
) -> Iterator[FrontierPoint]:
    """The float network compressed by `recipe` with each width and sparsity in its place, one by one.

    `judges` are labelled samples that compression does not see; `options` say what cycles are estimated for, `refined`
    makes the last pass over the integers of each.
    """
    original = Original(source, judges, "calibration")
    for bits, sparsity in product(widths, sparsities):
        wanted = replace(recipe, sparsity=sparsity, bits=bits)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # neurons that fall silent are what a frontier is about
            network, report = compress(source, wanted, calibration.spikes, finetune=finetune, refine=refined())
        own = replace(options, method=recipe.method, sparsity=sparsity, bits=bits)
        figures = point_of(network, own, original.beside(network), judges)
        yield FrontierPoint(network=network, report=report, figures=figures)


def front(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """The points that no other beats, in their order."""
    return [point for point in points if not any(other.beats(point) for other in points)]


def chosen(points: Sequence[FrontierPoint], within: float) -> FrontierPoint:
    """The point of the fewest stored bits among those that lose at most the share `within` of accuracy; where none
    does, the most accurate."""
    good = [p for p in points if p.figures.judged.change >= -within - 1e-9]
    if not good:
        return max(points, key=lambda p: p.figures.judged.compressed)
    return min(good, key=lambda p: (p.figures.stored_bits, -p.figures.judged.compressed))

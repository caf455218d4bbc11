"""What a compression did: synapses, bits and errors by projection and population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..ir.network import Network
from ..ir.origin import ERRORS, Compression, Judged, LayerCompression, Origin
from ..ir.verifier import MAX_REAL
from ..lowering.error import PopulationError
from .firing import Firing
from .grid import Format
from .recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ProjectionReport:
    """One projection: its weights, how many were not zero before and are not zero now, and their bits and scheme.

    `bits` and `scheme` are None where weights are float.
    """

    pre: str
    post: str
    weights: int
    synapses_before: int
    synapses: int
    bits: int | None = None
    scheme: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompressionReport:
    """What compression did.

    `removed` counts the neurons by population that were removed, `silenced` lists those that lost their last input
    synapse (numbered as they are now), `silent` the populations that do not fire on the calibration samples, `firing`
    knows which neurons fired on them before compression and do not now (`quieted`). `losses`
    are `membrane_losses` by population, `errors` how far the synapses and neurons of an integer network are from the
    original ones; each is empty where there is nothing to measure. `seconds` is the time that it took.
    """

    recipe: Recipe
    projections: tuple[ProjectionReport, ...]
    errors: tuple[PopulationError, ...]
    removed: dict[str, int]
    silenced: dict[str, tuple[int, ...]]
    silent: tuple[str, ...]
    losses: dict[str, float]
    seconds: float
    firing: Firing | None = None

    @property
    def quieted(self) -> dict[str, tuple[int, ...]]:
        """The neurons that fired on the calibration samples before compression and do not now, by population.

        Simulates the compressed network when it is asked for first. Empty without samples.
        """
        return {} if self.firing is None else self.firing.quieted

    @property
    def sparsity(self) -> float:
        """The share of weights that are zero: the pruned ones, and small ones that rounded to zero."""
        return 1.0 - sum(p.synapses for p in self.projections) / sum(p.weights for p in self.projections)


def projection_reports(
    network: Network, compressed: Network, formats: Mapping[str, Format]
) -> tuple[ProjectionReport, ...]:
    return tuple(
        ProjectionReport(
            pre=before.pre,
            post=before.post,
            weights=before.connectivity.possible_synapses,
            synapses_before=before.connectivity.synapses,
            synapses=after.connectivity.synapses,
            bits=formats[before.post].bits if before.post in formats else None,
            scheme=formats[before.post].scheme if before.post in formats else None,
        )
        for before, after in zip(network.projections, compressed.projections, strict=True)
    )


def zeros_of(network: Network) -> float:
    """The share of a float network's weights that are zero."""
    connectivities = [p.connectivity for p in network.projections]
    return 1 - sum(c.synapses for c in connectivities) / sum(c.possible_synapses for c in connectivities)


def step_of(recipe: Recipe) -> Compression:
    """What a recipe was asked for, as networks, reports and manifests say it."""
    return Compression(
        method=recipe.method,
        sparsity=recipe.sparsity,
        bits=recipe.bits,
        scheme=recipe.scheme,
        layers=tuple(
            LayerCompression(population=name, sparsity=o.sparsity, bits=o.bits, scheme=o.scheme)
            for name, o in recipe.overrides.items()
        ),
    )


def with_origin(
    compressed: Network, before: Network, report: CompressionReport, accuracies: tuple[Judged, Judged] | None = None
) -> Network:
    """The compressed network, which knows that it came from the network `before` and how.

    `accuracies` are those of `before` and of itself on the same samples. Where `before` was compressed already, the
    original is the one that it came from.
    """
    earlier = before.origin
    origin = Origin(
        steps=(*(() if earlier is None else earlier.steps), step_of(report.recipe)),
        original=None if earlier is None else earlier.original,
        errors=tuple(tuple(min(float(getattr(e, name)), MAX_REAL) for name in ERRORS) for e in report.errors),
    )
    return replace(compressed, origin=origin if accuracies is None else origin.with_accuracies(*accuracies))

"""What the search finds: the outcome of a point, and a candidate, which is an outcome with a folding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ...hdl.json_files import decoded
from ...hdl.resources import Resources
from ..estimate.estimate import microseconds
from .point import Point
from .target import Target

ESTIMATED = ("luts", "ffs", "lcs")
"""The resources whose figures are estimates; the others are exact."""

MARGIN, FMAX_MARGIN = 1.1, 1.2
"""How far off an estimate is taken to be at most: of resources, and of the fastest clock."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a design with its host link should cost, before any tool runs. None where nothing is known.

    `cycles` are clock cycles per sample. Block RAMs are exact.
    """

    resources: Resources
    fmax_mhz: float | None = None
    cycles: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a point.

    `quality` is a share: of the `judged` validation samples that are classified rightly or, without data, of the
    weights' squares that compression keeps. `sparsity` is the share of the original network's weights that are zero or
    gone, `sizes` are those of the populations before and after. `foldings` has the prediction of every folding by its
    name, `network` the integer network as a compressed NIR file. A point that cannot be compressed has a `failure`.
    """

    point: Point
    quality: float = 0.0
    judged: int = 0
    sparsity: float = 0.0
    sizes: tuple[tuple[int, int], ...] = ()
    foldings: tuple[tuple[str, Prediction], ...] = ()
    network: bytes = field(default=b"", repr=False)
    failure: str | None = None

    def data(self) -> dict[str, Any]:
        """All but the network, as JSON holds it."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "network"}

    @classmethod
    def read(cls, text: str, network: bytes) -> Outcome:
        """The outcome whose data are this JSON text. Raises ShapeError."""
        return replace(decoded(text, cls), network=network)


def _plain(value: Any) -> Any:
    if isinstance(value, Point):
        return value.data()
    if isinstance(value, Prediction):
        return asdict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An outcome's network on one folding, for a target."""

    outcome: Outcome
    folding: str
    prediction: Prediction
    target: Target

    @property
    def quality(self) -> float:
        """The outcome's."""
        return self.outcome.quality

    @property
    def share(self) -> float:
        """How full the fullest resource of the target should be."""
        needed, capacity = self.prediction.resources, self.target.capacity
        return max(_share(getattr(needed, f.name), getattr(capacity, f.name)) for f in fields(Resources))

    @property
    def may_fit(self) -> bool:
        """Whether the tools are worth asking: block RAMs suffice, and the rest but for what an estimate may be off."""
        needed, target = self.prediction, self.target
        limits = [(f.name, MARGIN if f.name in ESTIMATED else 1.0) for f in fields(Resources)]
        enough = all(_share(getattr(needed.resources, n), getattr(target.capacity, n)) <= most for n, most in limits)
        return enough and (needed.fmax_mhz is None or 1e6 * needed.fmax_mhz >= target.clock_hz / FMAX_MARGIN)

    @property
    def cycles(self) -> float:
        """Clock cycles per sample; 0 where nothing is known."""
        return self.prediction.cycles or 0.0

    @property
    def microseconds(self) -> float:
        """Of a sample, at the fastest clock that the target and the design can have; 0 where nothing is known."""
        bears_mhz, target = self.prediction.fmax_mhz, self.target
        if bears_mhz is None:
            return microseconds(self.cycles, target.clock_hz / 1e6, target.most_hz / 1e6)
        return microseconds(self.cycles, bears_mhz, target.most_hz / 1e6)

    @property
    def label(self) -> str:
        """Format, pruning, structure and folding, as a summary gives them."""
        parts = [_form(self.outcome.point), f"{_percent(self.outcome.sparsity)} pruning"]
        changed = [f"{before}->{after}" for before, after in self.outcome.sizes if before != after]
        if changed:
            parts.append(f"structural ({', '.join(changed)} hidden)")
        if self.folding != "shared":
            parts.append(self.folding)
        return ", ".join(parts)

    def data(self) -> dict[str, Any]:
        """The candidate as JSON holds it."""
        resources = asdict(self.prediction.resources)
        return {
            "selected": self.label,
            "point": self.outcome.point.data(),
            "quality": self.quality,
            "judged_samples": self.outcome.judged,
            "sparsity": self.outcome.sparsity,
            "neurons": [after for _, after in self.outcome.sizes],
            "folding": self.folding,
            "estimated": {
                "resources": resources,
                "fmax_mhz": self.prediction.fmax_mhz,
                "cycles_per_sample": self.prediction.cycles,
                "microseconds_per_sample": None if self.prediction.cycles is None else round(self.microseconds, 3),
                "fullest_resource": self.share,
            },
        }


def _share(needed: int, available: int) -> float:
    if not needed:
        return 0.0
    return needed / available if available else float("inf")


def _form(point: Point) -> str:
    own = [f"{name} {form}" for name, form, _ in point.layers if form != point.form]
    return point.form + (f" ({', '.join(own)})" if own else "")


def _percent(share: float) -> str:
    """A share in percent, with a digit more where whole numbers would hide the rest."""
    return f"{100 * share:.0f}%" if share < 0.985 else f"{100 * share:.1f}%"


def candidates_of(outcomes: Sequence[Outcome], target: Target) -> list[Candidate]:
    """Every folding of every outcome that succeeded."""
    return [
        Candidate(outcome=outcome, folding=name, prediction=prediction, target=target)
        for outcome in outcomes
        if outcome.failure is None
        for name, prediction in outcome.foldings
    ]


def pareto_front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates that no other beats in quality, size and time together, the best quality first."""
    ordered = sorted(candidates, key=lambda c: (-c.quality, c.share, c.microseconds))
    front: list[Candidate] = []
    for candidate in ordered:
        if not any(_at_least_as_good(other, candidate) for other in front):
            front.append(candidate)
    return tuple(front)


def _at_least_as_good(one: Candidate, other: Candidate) -> bool:
    return one.quality >= other.quality and one.share <= other.share and one.microseconds <= other.microseconds

"""Which candidate is the best: the order in which candidates are put to the test."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .candidate import Candidate


def ranked(candidates: Sequence[Candidate], floor: float | None, goal: str) -> list[Candidate]:
    """The candidates that may fit, the best first.

    With a floor those that reach it, by the goal: the smallest (`area`) or the fastest (`latency`). Without one the
    best quality comes first, but of candidates within one standard error of it the goal decides (the one-standard-error
    rule, Breiman et al. 1984); the others follow by their quality.
    """
    fitting = [candidate for candidate in candidates if candidate.may_fit]
    if not fitting:
        return []
    if floor is not None:
        return sorted((c for c in fitting if c.quality >= floor), key=lambda c: _order(c, goal))
    best = max(fitting, key=lambda c: c.quality)
    judged = best.outcome.judged
    error = math.sqrt(best.quality * (1 - best.quality) / judged) if judged else 0.0
    alike = [c for c in fitting if c.quality >= best.quality - error]
    rest = [c for c in fitting if c.quality < best.quality - error]
    return sorted(alike, key=lambda c: _order(c, goal)) + sorted(rest, key=lambda c: (-c.quality, *_order(c, goal)))


def _order(candidate: Candidate, goal: str) -> tuple[float, float, float]:
    first, second = candidate.share, candidate.microseconds
    return (first, second, -candidate.quality) if goal == "area" else (second, first, -candidate.quality)

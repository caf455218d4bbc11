"""Quantisation scales by a clip search.

Codes are round(w / s), limited to -(2^(bits-1) - 1) .. 2^(bits-1) - 1. With e_i = w_i - s*code_i, the scale s of a post
neuron minimises the mean square error of its input from pre neurons of known activity that fire independently,

    E[(sum_i e_i x_i)^2] = sum_i var(x_i) e_i^2 + (sum_i mean(x_i) e_i)^2

The plain choice, largest weight over largest code, wastes codes on outliers: at 2 bits it rounds most weights to zero.
The second term keeps the mean drive; a leaky membrane adds its error up over many steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..ir.arrays import FloatArray, IntArray

_CLIPS = 40
"""How many clipping points are tried, from none down to `_smallest_clip` of the largest weight."""

_REFITS = 2
"""How often the best scale is refitted to its codes by least squares."""

_LATTICE_CODES = 127
_LATTICE_ERROR = 1e-9
"""Weights on a grid of at most this many steps, to this relative error, keep their grid (trained quantised)."""


@dataclass(frozen=True, eq=False)
class Activity:
    """Mean and variance of what each weight sees per step: (fan-in,), or [fan-in, columns] where columns differ."""

    mean: FloatArray
    variance: FloatArray


def search_scales(weights: FloatArray, activity: Activity, bits: int, shared: bool) -> FloatArray:
    """The best scale of each column of `weights` [fan-in, columns], or one for all (shape (1,)) where `shared`.

    0 where there is no weight but zeros.
    """
    search = _Search(weights, activity, largest_code(bits), shared)
    largest = search.over_columns(np.abs(weights).max(axis=0, initial=0.0), np.max)
    best = largest / search.limit
    best_error = search.error(best)
    for clip in np.geomspace(1.0, _smallest_clip(bits), _CLIPS)[1:]:
        best, best_error = search.better(best, best_error, largest / search.limit * clip)
    for _ in range(_REFITS):
        best, best_error = search.better(best, best_error, search.refit(best))
    return _lattice(weights, largest, best, search.limit, shared)


def largest_code(bits: int) -> int:
    """The largest magnitude of a code."""
    return (1 << (bits - 1)) - 1


def codes_of(weights: FloatArray, scales: FloatArray, bits: int) -> IntArray:
    """round(w / s) limited to the codes, int64; 0 where the scale is 0."""
    return _codes(weights, scales, largest_code(bits)).astype(np.int64)


def _smallest_clip(bits: int) -> float:
    return 0.1 if bits <= 4 else 0.3


def _codes(weights: FloatArray, scales: FloatArray, limit: int) -> FloatArray:
    scales = np.broadcast_to(scales, weights.shape)
    ratio = np.divide(weights, scales, out=np.zeros_like(weights), where=scales > 0)
    return np.clip(np.rint(ratio), -limit, limit)


@dataclass(frozen=True, eq=False)
class _Search:
    """The weights and what an error in them costs."""

    weights: FloatArray
    activity: Activity
    limit: int
    shared: bool

    def over_columns(self, values: FloatArray, join: Callable[..., FloatArray]) -> FloatArray:
        """One value per column, or all joined into one where they share a scale."""
        return join(values, keepdims=True) if self.shared else values

    def error(self, scales: FloatArray) -> FloatArray:
        difference = self.weights - _codes(self.weights, scales, self.limit) * scales
        return self.over_columns(self._power(difference, difference), np.sum)

    def better(self, best: FloatArray, best_error: FloatArray, scales: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Whichever of two scales has the smaller error."""
        error = self.error(scales)
        won = error < best_error
        return np.where(won, scales, best), np.where(won, error, best_error)

    def refit(self, scales: FloatArray) -> FloatArray:
        """The scale that minimises the error for the codes of `scales`."""
        codes = _codes(self.weights, scales, self.limit)
        power = self.over_columns(self._power(codes, codes), np.sum)
        match = self.over_columns(self._power(codes, self.weights), np.sum)
        fitted = np.divide(match, power, out=np.zeros_like(power), where=power > 0)
        return np.where(fitted > 0, fitted, scales)

    def _power(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """E[(a . x)(b . x)] for each column."""
        mean, variance = (x if x.ndim == 2 else x[:, None] for x in (self.activity.mean, self.activity.variance))
        result: FloatArray = (variance * a * b).sum(axis=0)
        return result + (mean * a).sum(axis=0) * (mean * b).sum(axis=0)


def _lattice(weights: FloatArray, largest: FloatArray, best: FloatArray, limit: int, shared: bool) -> FloatArray:
    """Replace the scale where all weights are small multiples of one number by that number."""
    columns = weights.reshape(-1, 1) if shared else weights
    found = grid_scales(columns, largest, min(limit, _LATTICE_CODES), _LATTICE_ERROR)
    return np.where(found > 0, found, best)


def grid_scales(columns: FloatArray, largest: FloatArray, limit: int, error: float) -> FloatArray:
    """The largest number of which all weights of a column [fan-in, columns] are multiples, `limit` times at most.

    `largest` (columns,) are their largest sizes, `error` is how far a weight may be off, as a share of the largest. 0
    where there is none.
    """
    result = np.zeros_like(largest)
    waiting = np.flatnonzero(largest > 0)
    for code in range(1, limit + 1):
        if not len(waiting):
            break
        some = waiting[_on_lattice(columns[:32], largest / code, waiting, code * error)]  # most fail on their first
        if not len(some):
            continue
        fits = some[_on_lattice(columns, largest / code, some, code * error)]
        result[fits] = largest[fits] / code
        waiting = np.setdiff1d(waiting, fits)
    return result


def _on_lattice(
    columns: FloatArray, scales: FloatArray, which: npt.NDArray[np.intp], error: float
) -> npt.NDArray[np.bool_]:
    ratio = columns[:, which] / scales[which]
    return np.abs(ratio - np.rint(ratio)).max(axis=0, initial=0.0) < error

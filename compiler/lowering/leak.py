"""The choice of the integer leak: decay(x) = x - ((x*c + r) >> k) in place of beta*x.

The hardware forms x*c by shifts and adds, one per non-zero signed digit of c, so few digits come first: 0.1 may be
13/128 (three digits) instead of 51/512 (four). Which error the spikes bear is asked of the spikes themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...hdl.neurons.decay import signed_digits
from ..ir.arrays import FloatArray
from ..ir.neurons import Decay

MAX_K = 16
GROSS_ERROR = 1 / 8
"""No candidate's leak is off by more than this share, whatever the samples say (unless no candidate is nearer)."""

UNMEASURED_ERROR = 0.02
"""Without samples the leak may be off by this share: as much as the membrane of a constant input changes."""

UNSEEN_SHARE = 0.02
"""A leak that takes no more than this share of a membrane over a whole sample may be left out, where the samples'
spikes do not show it either."""

FLOAT32_ERROR = 1e-6

Measure = Callable[[Decay], float]
"""The share of spikes (or the relative error of a readout's membrane) that a leak changes."""


class Leaks(NamedTuple):
    """The integer leaks of a population's states; None where it has no such state, or none leaks."""

    membrane: Decay | None = None
    synapse: Decay | None = None
    adaptation: Decay | None = None


def choose_decay(beta: FloatArray, measure: Measure | None, tolerance: float) -> Decay:
    """The cheapest leak whose `measure` is at most `tolerance` above that of the most exact candidate.

    One constant c where all `beta` (n,) are equal (to float32's precision), else one c per neuron with a common k.
    Without samples (`measure` None) the cheapest whose relative error is at most `UNMEASURED_ERROR`.
    """
    leak = 1.0 - beta
    candidates = _candidates(leak)
    if measure is None:
        return next((c for c in candidates if leak_error(leak, c) <= UNMEASURED_ERROR), candidates[-1])
    within = [c for c in candidates if leak_error(leak, c) <= GROSS_ERROR] or candidates[-1:]
    allowed = measure(within[-1]) + tolerance
    return next((c for c in within[:-1] if measure(c) <= allowed), within[-1])


def hardly_leaks(beta: FloatArray, steps: int) -> bool:
    """Whether the leak takes no more than `UNSEEN_SHARE` of any membrane in so many steps."""
    return bool(1.0 - float(beta.min()) ** steps <= UNSEEN_SHARE)


def most_exact_decay(beta: FloatArray) -> Decay:
    """The candidate with the smallest error, whatever it costs."""
    return _candidates(1.0 - beta)[-1]


def leak_error(leak: FloatArray, decay: Decay) -> float:
    """The largest relative error of c / 2^k among the neurons; the absolute one where the leak is 0."""
    error = np.abs(decay.c / (1 << decay.k) - leak)
    return float(np.max(error / np.where(leak > 0, leak, 1.0)))


def digit_count(decay: Decay) -> int:
    """The shift-and-add terms of x*c: non-zero signed digits, of the neuron with the most."""
    return max(len(signed_digits(int(c))) for c in np.unique(decay.c))


def _candidates(leak: FloatArray) -> list[Decay]:
    """From cheap to exact."""
    same = np.ptp(leak) <= FLOAT32_ERROR
    return _shared(float(np.median(leak))) if same else _per_neuron(leak)


def _largest_k(leak: float) -> int:
    return 0 if leak <= 0 else min(MAX_K, math.ceil(-math.log2(leak)) + 8)


def _shared(leak: float) -> list[Decay]:
    """Candidates by number of digits and k, each more exact than all before it."""
    pairs = set()
    for k in range(_largest_k(leak) + 1):
        for c in (math.floor(leak * (1 << k)), math.ceil(leak * (1 << k))):
            if c % 2 or k == 0:
                pairs.add((len(signed_digits(c)), k, c))
    chosen: list[Decay] = []
    smallest = math.inf
    for _, k, c in sorted(pairs):
        error = abs(c / (1 << k) - leak)
        if error < smallest:
            smallest = error
            chosen.append(Decay(c=np.array(c), k=k))
    return chosen


def _per_neuron(leak: FloatArray) -> list[Decay]:
    """Candidates by k: multiplying by a neuron's own c costs its width, not its digits."""
    smallest = float(leak[leak > 0].min())
    return [Decay(c=np.rint(leak * (1 << k)), k=k) for k in range(_largest_k(smallest) + 1)]

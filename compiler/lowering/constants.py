"""A neuron's constants in integer membrane units, rounded in exact arithmetic.

A membrane unit is scale / 2^F. `fire` decides on integer membranes exactly as the real threshold does; `sub`, `v_reset`
and the bias are the nearest integers, ties up, so off by half a unit at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..ir.arrays import FloatArray, IntArray
from ..ir.bounds import signed_bits
from ..ir.neurons import Fire
from ..ir.verifier import MAX_STATE_BITS
from ..neurons.contract import Folded


@dataclass(frozen=True)
class Constants:
    """A neuron's constants in membrane units."""

    fire: IntArray
    sub: IntArray
    v_reset: IntArray
    bias: IntArray
    v_min: IntArray | None

    @property
    def bits(self) -> int:
        """The two's complement width that holds them all, a floor apart: one below the width's range does nothing."""
        values = (self.fire, self.sub, self.v_reset, self.bias)
        return signed_bits(min(int(v.min()) for v in values), max(int(v.max()) for v in values))


def integer_constants(folded: Folded, scale: FloatArray, fraction_bits: int) -> Constants:
    """The constants of a population at `scale` (n,), the real value of a weight unit, with F fraction bits."""
    units = [Fraction(s) / (1 << fraction_bits) for s in scale.tolist()]
    threshold = [Fraction(t) / unit for t, unit in zip(folded.threshold.tolist(), units, strict=True)]
    lowest = -(scale / (1 << fraction_bits)) * float(1 << MAX_STATE_BITS)  # no membrane is as low
    floor = folded.fire is Fire.GT
    fire = [math.floor(t) if floor else math.ceil(t) - 1 for t in threshold]
    return Constants(
        fire=np.array(fire, np.int64),
        sub=_rounded(folded.sub, units),
        v_reset=_rounded(folded.v_reset, units),
        bias=_rounded(folded.bias, units),
        v_min=None if folded.v_min is None else _rounded(np.maximum(folded.v_min, lowest), units),
    )


def floor_within(v_min: IntArray | None, state_bits: int) -> IntArray | None:
    """The same floor for membranes of `state_bits`, which saturate before they reach a lower one."""
    return None if v_min is None else np.maximum(v_min, -(1 << (state_bits - 1)))


def _rounded(values: FloatArray, units: Sequence[Fraction]) -> IntArray:
    """values / units to the nearest integer, ties up, exactly."""
    half = Fraction(1, 2)
    return np.array([math.floor(Fraction(v) / u + half) for v, u in zip(values.tolist(), units, strict=True)], np.int64)

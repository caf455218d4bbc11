"""Which pre neurons reach which post neurons, and with what weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .arrays import FloatArray, IntArray, freeze, one


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantised:
    """Integer weights: real weight = codes * scale.

    `codes` int64 [pre, post], in -(2^(bits-1) - 1) .. 2^(bits-1) - 1; `scale` float, `()` or one per post neuron.
    """

    codes: IntArray
    bits: int
    scheme: str = "fixed_point"
    scale: FloatArray = field(default_factory=one)

    def __post_init__(self) -> None:
        freeze(self, ("codes",), np.int64)
        freeze(self, ("scale",), np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    def dequantise(self) -> FloatArray:
        """The real weights, float64 [pre, post]."""
        return self.codes * self.scale


Weights = FloatArray | Quantised


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense:
    """All-to-all connectivity: `weights` [pre, post]; a zero is an absent synapse."""

    weights: Weights

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Quantised):
            freeze(self, ("weights",), np.float64)


Connectivity = Dense

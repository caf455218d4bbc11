"""A pooling of the pre spikes before the weights of a projection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ...hdl.errors import ModelError
from .arrays import IntArray
from .connectivity import Array, BoolArray, Connectivity, Quantised, Weights
from .maps import MapShape
from .pooling import Pooling


@dataclass(frozen=True, eq=False, kw_only=True)
class Pooled(Connectivity):
    """The connectivity `behind`, of what `pooling` makes of the pre spikes of a step.

    `weights` are those of `behind`, in its form. Where several spikes of a neuron arrive in a step, their number is
    what a window's maximum is taken of.
    """

    pooling: Pooling
    behind: Connectivity
    weights: Weights = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", self.behind.weights)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pooling.shape[0], self.behind.shape[1]

    @property
    def is_linear(self) -> bool:
        return self.pooling.is_linear and self.behind.is_linear

    @property
    def pre_map(self) -> MapShape | None:
        return self.pooling.pre_shape

    @property
    def post_map(self) -> MapShape | None:
        return self.behind.post_map

    def problem(self) -> str | None:
        found = self.pooling.problem() or self.behind.problem()
        if found is None and self.pooling.shape[1] != self.behind.shape[0]:
            return (
                f"what a pooling gives is what the weights behind it take: {self.pooling.post_shape} for "
                f"{self.behind.shape[0]} inputs"
            )
        if found is None and self.behind.pre_map not in (None, self.pooling.post_shape):
            return f"a pooling gives the map that is read: {self.pooling.post_shape} for {self.behind.pre_map}"
        return found

    def with_weights(self, weights: Array) -> Pooled:
        return replace(self, behind=self.behind.with_weights(weights))

    def with_codes(self, codes: Quantised) -> Pooled:
        return replace(self, behind=self.behind.with_codes(codes))

    def mirrored(self) -> Pooled:
        if not self.is_linear:
            raise ModelError("signed inputs are two for each: a maximum of both is not that of their difference")
        channels, rows, columns = self.pooling.pre_shape
        doubled = replace(self.pooling, pre_shape=(2 * channels, rows, columns))
        return replace(self, pooling=doubled, behind=self.behind.mirrored())

    @property
    def pools_sums(self) -> bool:
        return self.behind.pools_sums

    def at_weights(self, spikes: Array) -> Array:
        return self.behind.at_weights(self.pooling(spikes))

    def pooled_inputs(self) -> tuple[IntArray, bool]:
        return self.pooling.cells(), not self.pooling.is_linear

    def currents(self, spikes: Array, values: Array | None = None) -> Array:
        return self.behind.currents(self.pooling(spikes), values)

    def sum_bounds(self, values: Array | None = None) -> tuple[Array, Array]:
        values = self.values if values is None else values
        low, high = self.behind.sum_bounds(values)
        most = int(self.pooling(np.ones(self.shape[0], np.int64)).max())
        return low * most, high * most

    def scale_groups(self) -> IntArray:
        return self.behind.scale_groups()

    def columns(self, values: Array) -> Array:
        return self.behind.columns(values)

    def from_columns(self, columns: Array) -> Array:
        return self.behind.from_columns(columns)

    def inputs_of(self, group: int) -> IntArray:
        return self.behind.inputs_of(group)

    def alike(self) -> list[IntArray]:
        return self.behind.alike()

    def seen(self, spikes: Array, group: int) -> Array:
        return self.behind.seen(self.pooling(spikes), group)

    def fan_in(self) -> IntArray:
        return self.behind.fan_in()

    def fan_out(self) -> IntArray:
        return self.pooling.spread(self.behind.fan_out())

    def weights_met(self) -> IntArray:
        return self.behind.weights_met()

    def joining(self, pre: BoolArray, post: BoolArray) -> Array:
        return self.behind.joining(self.pooling(pre) > 0, post)

    def scaled(self, factors: Array, values: Array) -> Array:
        return self.behind.scaled(factors, values)

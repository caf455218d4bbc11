"""Convolutional connectivity: kernels that move over a map, as torch's conv2d has it. They are never expanded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ...hdl.errors import ModelError
from .arrays import IntArray, freeze
from .connectivity import Array, BoolArray, Connectivity, Quantised, Weights
from .maps import MapShape, Padding, Pair, Window, map_problem, size_of
from .pooling import Pooling, PoolKind


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Connectivity):
    """A convolution of the map `pre_shape`: `weights` [post channel, pre channel of the group, row, column].

    sum of post (o, y, x) = sum over c, i, j of weights[o, c, i, j] * pre(c', y * stride + i * dilation - padding above,
    and so for columns), c' the channel c of o's group; what lies beyond the map is 0. One row makes it a Conv1d.
    `pool_after` takes the sum or the maximum of each window of these sums, before anything else is added.

    Neurons are numbered row-major over (channel, row, column); every post channel is a scale group.
    """

    weights: Weights
    pre_shape: MapShape
    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1
    pool_after: Pooling | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Quantised):
            freeze(self, ("weights",), np.float64)

    @property
    def window(self) -> Window:
        return Window((self.weights.shape[2], self.weights.shape[3]), self.stride, self.padding, self.dilation)

    @property
    def sum_shape(self) -> MapShape:
        """The map of its sums, before any pooling of them."""
        return (self.weights.shape[0], *self.window.positions(*self.pre_shape[1:]))

    @property
    def post_shape(self) -> MapShape:
        """The map of its post neurons."""
        return self.sum_shape if self.pool_after is None else self.pool_after.post_shape

    @property
    def shape(self) -> tuple[int, ...]:
        return size_of(self.pre_shape), size_of(self.post_shape)

    @property
    def is_linear(self) -> bool:
        return self.pool_after is None or self.pool_after.is_linear

    @property
    def pools_sums(self) -> bool:
        return self.pool_after is not None

    @property
    def pre_map(self) -> MapShape | None:
        return self.pre_shape

    @property
    def post_map(self) -> MapShape | None:
        return self.post_shape

    def problem(self) -> str | None:
        found = map_problem("convolution", self.pre_shape)
        if found is not None:
            return found
        if len(self.weights.shape) != 4 or 0 in self.weights.shape:
            return f"a kernel is [post channel, pre channel, row, column], none of them 0: got {self.weights.shape}"
        posts, pres = self.weights.shape[:2]
        if isinstance(self.groups, bool) or not isinstance(self.groups, int) or self.groups < 1:
            return f"the groups of a convolution are 1 or more: got {self.groups!r}"
        if posts % self.groups or self.pre_shape[0] % self.groups:
            return (
                f"groups divide the channels: {self.groups} groups do not divide {self.pre_shape[0]} pre and {posts} "
                "post channels"
            )
        if pres * self.groups != self.pre_shape[0]:
            return (
                f"a kernel has the pre channels of a group ({self.pre_shape[0] // self.groups}): it has {pres}, with "
                f"{self.groups} groups of {self.pre_shape[0]} channels"
            )
        found = self.window.problem("kernel", *self.pre_shape[1:]) or map_problem("kernel's sum", self.sum_shape)
        if found is not None or self.pool_after is None:
            return found
        if self.pool_after.pre_shape != self.sum_shape:
            return f"what is pooled is the map of the sums {self.sum_shape}: got {self.pool_after.pre_shape}"
        return self.pool_after.problem()

    # -- sums --------------------------------------------------------------------------------------------------

    def _patches(self, values: Array) -> Array:
        """What the kernels see of values (n, pre): [n, group, fan-in, positions]."""
        maps = values.reshape(len(values), *self.pre_shape)
        return self.window.patches(maps).reshape(len(values), self.groups, self._fan_in, self._positions)

    @property
    def _fan_in(self) -> int:
        return math.prod(self.weights.shape[1:])

    @property
    def _positions(self) -> int:
        return math.prod(self.sum_shape[1:])

    def _sums(self, spikes: Array, values: Array) -> Array:
        """The sums before any pooling of them, [n, post channel * positions], of (n, pre)."""
        seen = self._patches(spikes.astype(values.dtype, copy=False))
        kernels = values.reshape(self.groups, -1, self._fan_in)
        return (kernels @ seen).reshape(len(spikes), size_of(self.sum_shape))

    def currents(self, spikes: Array, values: Array | None = None) -> Array:
        values = self.values if values is None else values
        sums = self._sums(spikes.reshape(math.prod(spikes.shape[:-1]), spikes.shape[-1]), values)
        if self.pool_after is not None:
            sums = self.pool_after(sums)
        return sums.reshape(*spikes.shape[:-1], self.shape[1])

    def sum_bounds(self, values: Array | None = None) -> tuple[Array, Array]:
        values = self.values if values is None else values
        ones = np.ones((1, self.shape[0]), values.dtype)
        low, high = self._sums(ones, np.minimum(values, 0))[0], self._sums(ones, np.maximum(values, 0))[0]
        if self.pool_after is None or not self.pool_after.is_linear:
            return low, high
        pooled = self.input_bounds(values)
        return np.append(low, pooled[0]), np.append(high, pooled[1])

    def scaled(self, factors: Array, values: Array) -> Array:
        if not self.is_linear and np.any(factors < 0):
            raise ModelError(
                f"what goes into a maximum has a gain that is not negative: it is {np.min(factors):g}; put it into the "
                "weights"
            )
        return super().scaled(factors, values)

    def fan_in(self) -> IntArray:
        counts = self._sums(np.ones((1, self.shape[0]), np.int64), (self.values != 0).astype(np.int64))[0]
        return counts if self.pool_after is None else replace(self.pool_after, kind=PoolKind.SUM)(counts)

    def folded(self) -> Convolution:
        """The same sums without a pooling behind them, where that is a sum of whole windows: a larger kernel and
        stride."""
        after = self.pool_after
        if after is None or not after.is_linear or not after.has_whole_windows:
            return self
        rows, columns = (
            (size - 1) * step + extent
            for size, step, extent in zip(after.kernel, self.stride, self.window.extent, strict=True)
        )
        values = np.zeros((*self.values.shape[:2], rows, columns), self.values.dtype)
        for i, j in after.window.cells():
            y, x = i * self.stride[0], j * self.stride[1]
            bottom, right = y + self.window.extent[0], x + self.window.extent[1]
            values[:, :, y : bottom : self.dilation[0], x : right : self.dilation[1]] += self.values
        weights: Weights = values
        if isinstance(self.weights, Quantised):
            bits = max(self.weights.bits, int(np.abs(values).max()).bit_length() + 1)
            weights = replace(self.weights, codes=values, bits=bits)
        stride = self.stride[0] * after.stride[0], self.stride[1] * after.stride[1]
        return replace(self, weights=weights, stride=stride, dilation=(1, 1), pool_after=None)

    # -- the unfolded view -------------------------------------------------------------------------------------

    def scale_groups(self) -> IntArray:
        channels, rows, columns = self.post_shape
        return np.repeat(np.arange(channels), rows * columns)

    def columns(self, values: Array) -> Array:
        return values.reshape(len(values), -1).T

    def from_columns(self, columns: Array) -> Array:
        return columns.T.reshape(columns.shape[1], *self.weights.shape[1:])

    def _group_of(self, channel: int) -> int:
        return channel * self.groups // self.weights.shape[0]

    def inputs_of(self, group: int) -> IntArray:
        numbers = np.arange(1, self.shape[0] + 1)[None]  # 0 is what lies beyond the map
        return self._patches(numbers)[0, self._group_of(group)].T - 1

    def alike(self) -> list[IntArray]:
        return np.split(np.arange(self.weights.shape[0]), self.groups)

    def seen(self, spikes: Array, group: int) -> Array:
        flat = spikes.reshape(math.prod(spikes.shape[:-1]), spikes.shape[-1])
        seen = self._patches(flat)[:, self._group_of(group)]
        return np.ascontiguousarray(np.swapaxes(seen, -1, -2)).reshape(
            *spikes.shape[:-1], self._positions, self._fan_in
        )

    def joining(self, pre: BoolArray, post: BoolArray) -> Array:
        if self.pool_after is not None:
            post = self.pool_after.spread(post.astype(np.int64)) > 0
        reached = post.reshape(self.weights.shape[0], self._positions)
        seen = self._patches(pre[None])[0]
        found = [np.any(seen[self._group_of(o)] & reached[o], axis=1) for o in range(len(reached))]
        return np.array(found, np.bool_).reshape(self.weights.shape)

    def mirrored(self) -> Convolution:
        channels, rows, columns = self.pre_shape
        real = self.real
        whole = np.zeros((len(real), channels, *real.shape[2:]))
        of_group = real.shape[1]
        for o, kernel in enumerate(real):
            start = self._group_of(o) * of_group
            whole[o, start : start + of_group] = kernel
        kernels = np.concatenate([whole, -whole], axis=1)
        return replace(self, weights=kernels, pre_shape=(2 * channels, rows, columns), groups=1)

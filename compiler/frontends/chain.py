"""What stands between spikes and the neurons that they reach, put together from the layers of a framework.

A `Chain` begins at the values of a population or of the input and grows by a layer at a time: poolings and factors, one
layer of weights, then poolings, factors and normalisations again. Factors go into the weights, what is added into the
bias, averages are sums. In the end it is a connectivity of the IR.

`where` names the layer in a refusal, such as "node 'a'".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...hdl.errors import ModelError
from ..ir.arrays import FloatArray
from ..ir.connectivity import Connectivity, Dense
from ..ir.convolution import Convolution
from ..ir.maps import MapShape, Padding, Pair, Window, as_map
from ..ir.pooled import Pooled
from ..ir.pooling import Pooling, PoolKind

Shape = tuple[int, ...]


@dataclass(frozen=True)
class PoolLayer:
    """A pooling as frameworks have it: the sum, maximum or average (`kind` "average") of windows.

    `counts_padding` says whether the padding of an average counts; `divisor` is what a sum is divided by in the place
    of a window's size.
    """

    kind: str
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil: bool = False
    counts_padding: bool = True
    divisor: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Chain:
    """The layers so far: `shape` is that of the values at its end.

    `gain` and `shift` are what the values before the weights are multiplied by and what is added then, () or one per
    value; `bias` is added behind the weights, () or one per value.
    """

    shape: Shape
    pooling: Pooling | None = None
    gain: FloatArray = field(default_factory=lambda: np.ones(()))
    shift: FloatArray = field(default_factory=lambda: np.zeros(()))
    weights: Dense | Convolution | None = None
    bias: FloatArray = field(default_factory=lambda: np.zeros(()))

    @property
    def size(self) -> int:
        """The number of values at its end."""
        return math.prod(self.shape)

    @property
    def is_matrix(self) -> bool:
        """Whether it is a matrix of what it begins with, so that every pair of ends has a weight."""
        return self.pooling is None and not self.is_map

    @property
    def is_map(self) -> bool:
        """Whether the neurons at its end have places on a map."""
        return isinstance(self.weights, Convolution) or (self.weights is None and as_map(self.shape) is not None)

    def reshaped(self, shape: Shape) -> Chain:
        """The same values in the same order in another shape."""
        return replace(self, shape=shape)

    # -- layers of weights -------------------------------------------------------------------------------------

    def linear(self, weight: FloatArray, bias: FloatArray, where: str) -> Chain:
        """Behind a matrix [outputs, inputs] and a bias, () or (outputs,)."""
        self._check_no_weights(where)
        outputs, inputs = weight.shape
        if inputs != self.size:
            raise ModelError(f"shapes connect: {where} takes {inputs} values, {self.size} arrive, {self.shape}")
        matrix = weight.T * np.broadcast_to(self.gain, (inputs,))[:, None]
        added = np.broadcast_to(self.shift, (inputs,)) @ weight.T if np.any(self.shift) else np.zeros(())
        return replace(self, shape=(outputs,), weights=Dense(weights=matrix), bias=bias + added)

    def convolution(
        self,
        kernel: FloatArray,
        bias: FloatArray,
        window: Window,
        groups: int,
        where: str,
    ) -> Chain:
        """Behind a convolution: `kernel` [post channel, pre channel of the group, row, column], `bias` () or one per
        post channel."""
        self._check_no_weights(where)
        shape = self._map(where)
        plain = Convolution(
            weights=kernel,
            pre_shape=shape,
            stride=window.stride,
            padding=window.padding,
            dilation=window.dilation,
            groups=groups,
        )
        _check(plain.problem(), where)
        factors = self._per_channel(self.gain, "a factor before a convolution", where)
        of_group = np.arange(kernel.shape[0])[:, None] * groups // kernel.shape[0] * kernel.shape[1]
        scaled = kernel * factors[of_group + np.arange(kernel.shape[1])][:, :, None, None]
        added = np.repeat(np.broadcast_to(bias, (kernel.shape[0],)), math.prod(plain.sum_shape[1:]))
        if np.any(self.shift):
            added = added + plain.currents(np.broadcast_to(self.shift, (self.size,)).astype(np.float64))
        return replace(
            self,
            shape=_like(self.shape, plain.post_shape),
            weights=replace(plain, weights=scaled),
            bias=added if np.any(added) else np.zeros(()),
        )

    # -- what stands between ------------------------------------------------------------------------------------

    def scaled(self, factors: FloatArray, where: str) -> Chain:
        """Behind factors, one for all, or one per value in a shape that broadcasts with that of the values."""
        if factors.size == 1 and self.weights is None:
            value = factors.reshape(())
            return replace(self, gain=self.gain * value, shift=self.shift * value)
        flat = self._per_value(factors, where)
        if self.weights is None:
            return replace(self, gain=self.gain * flat, shift=self.shift * flat)
        if isinstance(self.weights, Dense):
            return replace(self, weights=Dense(weights=self.weights.real * flat), bias=self.bias * flat)
        of_channel = self._per_channel(flat, "a factor behind a convolution", where)
        if self.weights.pool_after is not None and not self.weights.pool_after.is_linear and np.any(of_channel < 0):
            raise ModelError(
                f"a factor behind a maximum is not negative: {where} has {of_channel.min():g}; put it before"
            )
        kernel = self.weights.real * of_channel[:, None, None, None]
        return replace(self, weights=replace(self.weights, weights=kernel), bias=self.bias * flat)

    def added(self, values: FloatArray, where: str) -> Chain:
        """Behind what is added, in a shape that broadcasts with that of the values."""
        if not np.any(values):
            return self
        flat = self._per_value(values, where)
        return replace(self, shift=self.shift + flat) if self.weights is None else replace(self, bias=self.bias + flat)

    def pooled(self, layer: PoolLayer, where: str) -> Chain:
        """Behind a pooling."""
        shape = self._map(where)
        pooling = _resolved(layer, shape)
        _check(pooling.problem(), where)
        after = _like(self.shape, pooling.post_shape)
        factors = _shares(layer, pooling)
        pool = self._pooled_before if self.weights is None else self._pooled_behind
        found = pool(pooling, where)
        return replace(found, shape=after).scaled(factors.reshape(after) if factors.ndim else factors, where)

    def _pooled_before(self, pooling: Pooling, where: str) -> Chain:
        if np.any(self.shift):
            raise ModelError(f"what is added to spikes stands behind their pooling: not so at {where}; swap them")
        factors = self._per_channel(self.gain, "a factor before a pooling", where)
        if not pooling.is_linear and np.any(factors < 0):
            raise ModelError(f"a factor before a maximum is not negative: {where} gets {factors.min():g}; swap them")
        gain = np.repeat(factors, math.prod(pooling.post_shape[1:])) if self.gain.ndim else self.gain
        return replace(self, pooling=_joined(self.pooling, pooling, where), gain=gain)

    def _pooled_behind(self, pooling: Pooling, where: str) -> Chain:
        if not isinstance(self.weights, Convolution):
            raise ModelError(f"a pooling stands before weights or behind a convolution: {where} is behind a matrix")
        bias = self.bias
        if bias.ndim:
            bias = pooling(bias)
            if not pooling.is_linear and not np.array_equal(bias, -pooling(-self.bias)):
                raise ModelError(f"what is added before a maximum is the same for a channel: not so at {where}")
        elif pooling.is_linear:
            bias = pooling(np.full(pooling.shape[0], float(bias)))
        joined = _joined(self.weights.pool_after, pooling, where)
        return replace(self, weights=replace(self.weights, pool_after=joined).folded(), bias=bias)

    # -- the end -----------------------------------------------------------------------------------------------

    def connectivity(self, where: str) -> Connectivity:
        """What it is in the IR; without weights, each value reaches the neuron of its place."""
        if self.weights is not None:
            behind: Connectivity = self.weights
        else:
            behind = self._one_to_one(where)
        return behind if self.pooling is None else Pooled(pooling=self.pooling, behind=behind)

    def _one_to_one(self, where: str) -> Connectivity:
        shape = as_map(self.shape)
        if shape is None:
            return Dense(weights=np.diag(np.broadcast_to(self.gain, (self.size,))))
        factors = self._per_channel(self.gain, "a factor without weights", where)
        return Convolution(weights=factors.reshape(-1, 1, 1, 1), pre_shape=shape, groups=shape[0])

    # -- shapes ------------------------------------------------------------------------------------------------

    def _check_no_weights(self, where: str) -> None:
        if self.weights is not None:
            raise ModelError(
                f"a layer of weights is followed by neurons: {where} follows another; multiply them into one"
            )

    def _map(self, where: str) -> MapShape:
        shape = as_map(self.shape)
        if shape is None:
            raise ModelError(
                f"maps are (channels, rows, columns) or (channels, length): {self.shape} arrives at {where}; give the "
                "input its shape"
            )
        return shape

    def _per_value(self, values: FloatArray, where: str) -> FloatArray:
        try:
            return np.broadcast_to(values, self.shape).reshape(-1).astype(np.float64)
        except ValueError:
            raise ModelError(
                f"factors and constants fit the values {self.shape}: {where} has the shape {values.shape}"
            ) from None

    def _per_channel(self, values: FloatArray, what: str, where: str) -> FloatArray:
        """One value per channel of () or one per value; ModelError where a channel has several."""
        channels = self.shape[0]
        rows = np.broadcast_to(values, (self.size,)).reshape(channels, -1)
        if np.any(rows != rows[:, :1]):
            raise ModelError(f"{what} is one for all of a channel: {where} has several")
        return rows[:, 0]


def _check(problem: str | None, where: str) -> None:
    if problem is not None:
        raise ModelError(f"{problem}; it is {where}")


def _like(shape: Shape, found: MapShape) -> Shape:
    """A map in as many dimensions as `shape` has."""
    return (found[0], found[2]) if len(shape) == 2 else found


def _resolved(layer: PoolLayer, shape: MapShape) -> Pooling:
    """The pooling of the IR: windows of torch's ceil_mode are padding below and on the right."""
    around = []
    for length, size, stride, before in zip(shape[1:], layer.kernel, layer.stride, layer.padding, strict=True):
        after = before
        if layer.ceil and size > 0 and stride > 0:
            count = -(-(length + 2 * before - size) // stride) + 1
            if (count - 1) * stride >= length + before:
                count -= 1  # the last window begins over the map or the padding before it
            after = max(before, (count - 1) * stride + size - length - before)
            while (length + before + after - size) // stride + 1 > count:
                after -= 1
        around.append((before, after))
    padding: Padding = (around[0], around[1])
    kind = PoolKind.MAX if layer.kind == "max" else PoolKind.SUM
    return Pooling(kind=kind, pre_shape=shape, kernel=layer.kernel, stride=layer.stride, padding=padding)


def _shares(layer: PoolLayer, pooling: Pooling) -> FloatArray:
    """What the sum of a window is multiplied by, () or one per window and channel."""
    if layer.kind != "average":
        return np.ones(())
    if layer.divisor is not None:
        return np.array(1 / layer.divisor)
    counted = layer.padding if layer.counts_padding else (0, 0)
    rows, columns = (length + 2 * each for length, each in zip(pooling.pre_shape[1:], counted, strict=True))
    (above, below), (left, right) = pooling.padding
    beyond = (above - counted[0], max(below - counted[0], 0)), (left - counted[1], max(right - counted[1], 0))
    cells = Window(pooling.kernel, pooling.stride, beyond).patches(np.ones((rows, columns))).sum(axis=(0, 1))
    channels, down, across = pooling.post_shape
    shares = np.broadcast_to(1 / cells[:down, :across], (channels, down, across))
    return np.array(shares.flat[0]) if np.all(shares == shares.flat[0]) else np.array(shares)


def _joined(first: Pooling | None, second: Pooling, where: str) -> Pooling:
    """One pooling that does what two do, one behind the other."""
    if first is None:
        return second
    apart = first.kernel == first.stride or first.kind is PoolKind.MAX
    covers = all(step <= size for step, size in zip(first.stride, first.kernel, strict=True))
    whole = first.has_whole_windows and second.has_whole_windows
    if first.kind is not second.kind or not (apart and covers and whole):
        raise ModelError(
            f"two poolings that follow each other are one, of whole windows that do not overlap: {where} and the one "
            "before it are not; put neurons between them"
        )
    kernel = _pair((n - 1) * s + k for n, s, k in zip(second.kernel, first.stride, first.kernel, strict=True))
    stride = _pair(a * b for a, b in zip(first.stride, second.stride, strict=True))
    return replace(first, kernel=kernel, stride=stride, padding=((0, 0), (0, 0)))


def _pair(values: Any) -> Pair:
    rows, columns = values
    return rows, columns


def kernel_window(kernel: Pair, stride: Pair, padding: Pair | str, dilation: Pair) -> Window:
    """The window of a kernel, as frameworks have it: `padding` is so much on both sides, "same" or "valid"."""
    if isinstance(padding, str):
        rows, columns = Window(kernel, dilation=dilation).extent if padding == "same" else (1, 1)
        # torch puts what is left over below and on the right
        around = ((rows - 1) // 2, rows // 2), ((columns - 1) // 2, columns // 2)
    else:
        around = (padding[0], padding[0]), (padding[1], padding[1])
    return Window(kernel, stride, around, dilation)

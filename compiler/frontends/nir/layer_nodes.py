"""The NIR nodes of a projection: its weights, and what is pooled before and behind them.

What NIR has no node for, a maximum over windows and padding that differs from side to side, gets a node of our own
(`OWN_TYPES`): another tool refuses the file then, and does not run another network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import FloatArray
from ...ir.connectivity import Connectivity, Dense
from ...ir.convolution import Convolution
from ...ir.maps import Padding, Window
from ...ir.network import Projection
from ...ir.pooled import Pooled
from ...ir.pooling import Pooling, PoolKind
from .nodes import NirNode

OWN_TYPES = ("MaxPool2d", "Pad2d")

Part = tuple[str, NirNode]
"""What a node does of a projection, empty for its weights, and the node."""


def layer_nodes(projection: Projection, bias: FloatArray, shape: tuple[int, ...], kind: type) -> list[Part]:
    """The nodes of a projection into neurons of `shape`, in order; ModelError where NIR has none.

    `bias` is that of the neurons, which their first layer has. Weights are in the float type `kind`.
    """
    return list(_parts(projection, projection.connectivity, bias, shape, kind))


def _parts(
    projection: Projection, connectivity: Connectivity, bias: FloatArray, shape: tuple[int, ...], kind: type
) -> Iterator[Part]:
    if isinstance(connectivity, Pooled):
        yield from _pooling_nodes("pool", connectivity.pooling)
        if connectivity.behind.pre_map is None:
            yield "flat", flatten_node(connectivity.pooling.post_shape)
        yield from _parts(projection, connectivity.behind, bias, shape, kind)
    elif isinstance(connectivity, Convolution):
        yield from _convolution_nodes(connectivity, bias, len(shape) == 2, kind)
    elif isinstance(connectivity, Dense):
        fields = {"weight": cast(connectivity.real.T, kind)}
        if np.any(bias):
            fields["bias"] = cast(np.broadcast_to(bias, connectivity.shape[1:]), kind)
        yield "", NirNode("Affine" if "bias" in fields else "Linear", fields)
    else:
        raise ModelError(
            f"a NIR file holds matrices, convolutions and poolings: the projection from {quoted(projection.pre)} to "
            f"{quoted(projection.post)} is {type(connectivity).__name__}; unroll it"
        )


def flatten_node(shape: tuple[int, ...]) -> NirNode:
    """What makes a vector of values in `shape`."""
    fields = {"start_dim": np.array(0, np.int64), "end_dim": np.array(-1, np.int64)}
    return NirNode("Flatten", fields | {"input_type": np.array(shape, np.int64)})


def _convolution_nodes(convolution: Convolution, bias: FloatArray, is_line: bool, kind: type) -> Iterator[Part]:
    window, weight = convolution.window, cast(convolution.real, kind)
    padding = _same_on_both_sides(window, *convolution.pre_shape[1:])
    if padding is None:
        yield "pad", NirNode("Pad2d", {"padding": np.array(window.padding, np.int64)})
        padding = np.zeros(2, np.int64)
    axes = slice(1, 2) if is_line else slice(0, 2)  # (channels, length) is one row
    scalars = {"stride": window.stride, "dilation": window.dilation}
    fields: dict[str, npt.NDArray[Any]] = {
        "weight": weight[:, :, 0] if is_line else weight,
        **{name: np.array(value, np.int64)[axes] for name, value in scalars.items()},
        "padding": padding[axes],
        "groups": np.array(convolution.groups, np.int64),
        "bias": cast(_per_channel(convolution, bias), kind),
    }
    fields["input_shape"] = np.array(convolution.pre_shape[1:], np.int64)[axes]
    if is_line:
        fields = {name: value.reshape(()) if name in _OF_A_LINE else value for name, value in fields.items()}
    yield "", NirNode("Conv1d" if is_line else "Conv2d", fields)
    if convolution.pool_after is not None:
        yield from _pooling_nodes("pool after", convolution.pool_after)


_OF_A_LINE = ("stride", "padding", "dilation", "input_shape")


def _per_channel(convolution: Convolution, bias: FloatArray) -> FloatArray:
    """The bias of each post channel, of which sums behind it make that of its first neuron. What differs within a
    channel stands in the metadata alone."""
    channels, after = convolution.weights.shape[0], convolution.pool_after
    cells = math.prod(after.kernel) if after is not None and after.kind is PoolKind.SUM else 1
    return np.broadcast_to(bias, convolution.shape[1:]).reshape(channels, -1)[:, 0] / cells


def _pooling_nodes(name: str, pooling: Pooling) -> Iterator[Part]:
    padding = _same_on_both_sides(pooling.window, *pooling.pre_shape[1:])
    if padding is None:
        yield f"{name} pad", NirNode("Pad2d", {"padding": np.array(pooling.padding, np.int64)})
        padding = np.zeros(2, np.int64)
    kind = "SumPool2d" if pooling.kind is PoolKind.SUM else "MaxPool2d"
    sizes = {"kernel_size": pooling.kernel, "stride": pooling.stride}
    fields = {field: np.array(value, np.int64) for field, value in sizes.items()}
    yield name, NirNode(kind, fields | {"padding": padding})


def _same_on_both_sides(window: Window, rows: int, columns: int) -> npt.NDArray[np.int64] | None:
    """Padding of rows and of columns that is the same on both sides and does the same; None where there is none."""
    (above, _), (left, _) = window.padding
    symmetric: Padding = ((above, above), (left, left))
    same = Window(window.size, window.stride, symmetric, window.dilation)
    fits = same.positions(rows, columns) == window.positions(rows, columns)
    return np.array((above, left), np.int64) if fits else None


def cast(value: npt.NDArray[Any], kind: type) -> npt.NDArray[Any]:
    """The array in the network's float type, or as it is where that would overflow."""
    with np.errstate(over="ignore"):
        result: npt.NDArray[Any] = value.astype(kind)
    return result if np.isfinite(result).all() else np.array(value)

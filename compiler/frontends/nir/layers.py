"""What stands between neurons in a NIR graph, as a chain grows by it: weights, poolings, factors and Flattens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import FloatArray
from ...ir.maps import Pair
from ..chain import Chain, PoolLayer, kernel_window
from .nodes import NirNode

Shape = tuple[int, ...]


def onto(chain: Chain, name: str, node: NirNode) -> Chain:
    """The chain, and then the node `name`; ModelError where it does not suit what arrives."""
    return _NODES[node.type](chain, name, node)


def _linear(chain: Chain, name: str, node: NirNode) -> Chain:
    weight = node.fields["weight"]
    if weight.ndim != 2 or not weight.size:
        raise ModelError(
            f"weights have the shape (outputs, inputs): node {quoted(name)} has {weight.shape}; reshape them"
        )
    return chain.linear(weight.astype(np.float64), _bias(name, node), _title(name))


def _convolution(chain: Chain, name: str, node: NirNode) -> Chain:
    lines = node.type == "Conv1d"
    weight = node.fields["weight"].astype(np.float64)
    if weight.ndim != (3 if lines else 4) or not weight.size:
        axes = "length" if lines else "row, column"
        raise ModelError(
            f"a kernel is [post channel, pre channel, {axes}]: node {quoted(name)} has the shape {weight.shape}"
        )
    kernel = weight[:, :, None] if lines else weight
    if len(chain.shape) != weight.ndim - 1:
        raise ModelError(
            f"a {node.type} takes maps of {weight.ndim - 1} axes: {chain.shape} arrives at node {quoted(name)}; "
            "give the input its shape"
        )
    if "input_shape" in node.fields:
        declared = tuple(int(n) for n in node.fields["input_shape"].reshape(-1))
        if declared != chain.shape[1:]:
            raise ModelError(
                f"shapes connect: node {quoted(name)} has the input_shape {declared}, {chain.shape} arrives; correct it"
            )
    stride, dilation = (_pair(name, node, field, lines, 1) for field in ("stride", "dilation"))
    window = kernel_window((kernel.shape[2], kernel.shape[3]), stride, _padding(name, node, lines), dilation)
    return chain.convolution(kernel, _bias(name, node), window, _whole(name, node, "groups", 1)[0], _title(name))


def _padding(name: str, node: NirNode, lines: bool) -> Pair | str:
    given = node.fields["padding"]
    if given.dtype.kind not in "US":
        return _pair(name, node, "padding", lines, 0)
    if str(given) not in ("same", "valid"):
        raise ModelError(f"padding is whole numbers, same or valid: node {quoted(name)} has {quoted(str(given))}")
    return str(given)


def _pooling(kind: str) -> Callable[[Chain, str, NirNode], Chain]:
    def grown(chain: Chain, name: str, node: NirNode) -> Chain:
        layer = PoolLayer(
            kind=kind,
            kernel=_pair(name, node, "kernel_size", False, 1),
            stride=_pair(name, node, "stride", False, 1),
            padding=_pair(name, node, "padding", False, 0),
        )
        return chain.pooled(layer, _title(name))

    return grown


def _scale(chain: Chain, name: str, node: NirNode) -> Chain:
    scale = node.fields["scale"].astype(np.float64)
    if scale.size == chain.size:
        scale = scale.reshape(chain.shape)
    return chain.scaled(scale, _title(name))


def _flatten(chain: Chain, name: str, node: NirNode) -> Chain:
    return chain.reshaped(flattened(name, node, chain.shape))


_NODES: Mapping[str, Callable[[Chain, str, NirNode], Chain]] = {
    "Affine": _linear,
    "Linear": _linear,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "SumPool2d": _pooling("sum"),
    "AvgPool2d": _pooling("average"),
    "Scale": _scale,
    "Flatten": _flatten,
}


def flattened(name: str, node: NirNode, arriving: Shape) -> Shape:
    """The shape behind a Flatten."""
    if "input_type" in node.fields:
        declared = declared_shape(name, node, "input_type")
        check_size(name, declared, arriving)
        arriving = declared
    dims = len(arriving)
    start, end = (_dimension(name, node, field, dims) for field in ("start_dim", "end_dim"))
    if start > end:
        raise ModelError(f"a Flatten starts before it ends: node {quoted(name)} goes from {start} to {end}")
    return (*arriving[:start], math.prod(arriving[start : end + 1]), *arriving[end + 1 :])


def check_size(name: str, declared: Shape, arriving: Shape) -> None:
    """ModelError unless shapes have the same size."""
    if math.prod(declared) != math.prod(arriving):
        raise ModelError(
            f"shapes connect: node {quoted(name)} expects {declared}, {arriving} arrives; correct one of them"
        )


def without_batch(shape: Shape) -> Shape:
    """The shape without leading axes of length 1, which are batch axes in front of a vector."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def declared_shape(name: str, node: NirNode, field: str) -> Shape:
    """A shape as the node declares it."""
    value = node.fields[field]
    if value.dtype.kind not in "iu" or value.ndim > 1 or not value.size or np.any(value < 1) or np.any(value > 1 << 31):
        raise ModelError(
            f"a shape is a list of positive integers: {field} of node {quoted(name)} is {quoted(value.tolist())}"
        )
    return tuple(int(length) for length in value.reshape(-1))


def _dimension(name: str, node: NirNode, field: str, dims: int) -> int:
    value = node.fields[field]
    if value.dtype.kind not in "iu" or value.size != 1 or not -dims <= int(value.flat[0]) < dims:
        raise ModelError(
            f"a Flatten takes dimensions that exist, of {dims}: {field} of node {quoted(name)} is "
            f"{quoted(value.tolist())}; correct it"
        )
    return int(value.flat[0]) % dims


def _title(name: str) -> str:
    return f"node {quoted(name)}"


def _bias(name: str, node: NirNode) -> FloatArray:
    if "bias" not in node.fields:
        return np.zeros(())
    bias, size = node.fields["bias"].astype(np.float64), node.fields["weight"].shape[0]
    if bias.size not in (1, size):
        raise ModelError(
            f"a bias is a scalar or has one entry per output ({size}): node {quoted(name)} has shape {bias.shape}"
        )
    return bias.reshape(-1) if bias.size == size else bias.reshape(())


def _whole(name: str, node: NirNode, field: str, most: int) -> tuple[int, ...]:
    value: npt.NDArray[Any] = node.fields[field]
    if value.dtype.kind not in "iu" or not 1 <= value.size <= most or np.any(abs(value.astype(np.int64)) > 1 << 31):
        raise ModelError(
            f"{field} is {'a whole number' if most == 1 else 'one or two whole numbers'}: that of node {quoted(name)} "
            f"is {quoted(value.tolist())}"
        )
    return tuple(int(n) for n in value.reshape(-1))


def _pair(name: str, node: NirNode, field: str, lines: bool, across: int) -> Pair:
    """One or two numbers for rows and columns; what is one-dimensional has `across` for its one row."""
    values = _whole(name, node, field, 1 if lines else 2)
    return (across, values[0]) if lines else (values[0], values[-1])

"""The torch functions that may stand between spikes and neurons: convolutions, poolings, normalisation and factors.

What modules such as `nn.Conv2d` do is seen as the function that they call. A `LayerCall` is one call; it lets a `Chain`
grow by what the function does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ....hdl.errors import ModelError
from ...ir.arrays import FloatArray
from ...ir.maps import Pair
from ..chain import Chain, PoolLayer, kernel_window

Ids = npt.NDArray[np.int64]
Arguments = dict[str, Any]


class NoBatch(Exception):
    """A layer is given values without a batch: another layout of the input may suit."""


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a function of a layer `name`: the elements that it was given, [rows, *shape], and what it does.

    `tensors` are its parameters by name, `signature` is the same for calls that do the same.
    """

    name: str
    inputs: Ids
    grown: Callable[[Chain], Chain]
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    signature: tuple[Any, ...] = ()

    @property
    def has_weights(self) -> bool:
        """Whether this is a layer of weights, of which one stands before neurons."""
        return "weight" in self.tensors

    def onto(self, chain: Chain) -> Chain:
        """The chain, and then this layer."""
        return self.grown(chain.reshaped(self.inputs.shape[1:]))


def layer_call(
    function: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: torch.Tensor, inputs: Ids
) -> LayerCall | None:
    """The call of a `function` in the layer `name` on the tensor `given`, whose elements are `inputs`; None where it is
    no function that is read, or is given another tensor that is followed. ModelError for what it cannot be."""
    if function not in _FUNCTIONS:
        return None
    parameters, read = _FUNCTIONS[function]
    arguments = dict(parameters) | dict(zip(parameters, args, strict=False)) | kwargs
    first, second = next(iter(parameters)), list(parameters)[1]
    if arguments[first] is not given and function in _COMMUTE:
        arguments[first], arguments[second] = arguments[second], arguments[first]
    if arguments[first] is not given:
        return None
    return read(name, inputs, arguments)


def _convolution(name: str, inputs: Ids, arguments: Arguments) -> LayerCall | None:
    weight, bias = arguments["weight"], arguments["bias"]
    lines = weight.ndim == 3
    if inputs.ndim != weight.ndim:
        raise NoBatch(f"layers receive [batch, *values]: {name!r}, a convolution, receives {list(inputs.shape)}")
    stride, dilation = (_pair(arguments[key], lines, 1) for key in ("stride", "dilation"))
    kernel = _array(weight)
    kernel = kernel[:, :, None] if lines else kernel
    padding = arguments["padding"]
    padding = padding if isinstance(padding, str) else _pair(padding, lines, 0)
    window = kernel_window((kernel.shape[2], kernel.shape[3]), stride, padding, dilation)
    groups = int(arguments["groups"])
    tensors = {"weight": weight} | ({} if bias is None else {"bias": bias})

    def grown(chain: Chain) -> Chain:
        return chain.convolution(kernel, np.zeros(()) if bias is None else _array(bias), window, groups, repr(name))

    return LayerCall(name, inputs, grown, tensors, (id(weight), id(bias), window, groups))


def _pooling(kind: str, lines: bool) -> Callable[[str, Ids, Arguments], LayerCall | None]:
    def read(name: str, inputs: Ids, arguments: Arguments) -> LayerCall | None:
        if inputs.ndim != (3 if lines else 4):
            raise NoBatch(f"layers receive [batch, *values]: {name!r}, a pooling, receives {list(inputs.shape)}")
        if arguments.get("return_indices") or _pair(arguments.get("dilation", 1), lines, 1) != (1, 1):
            raise ModelError(f"a pooling has neither indices nor dilation: {name!r} has; leave them out")
        if arguments.get("norm_type", 1) != 1:
            raise ModelError(f"a pooling is a sum, an average or a maximum: {name!r} is a norm of another power than 1")
        kernel = _pair(arguments["kernel_size"], lines, 1)
        stride = arguments["stride"]
        layer = PoolLayer(
            kind=kind,
            kernel=kernel,
            stride=kernel if stride is None or stride == () else _pair(stride, lines, 1),
            padding=_pair(arguments.get("padding", 0), lines, 0),
            ceil=bool(arguments["ceil_mode"]),
            counts_padding=bool(arguments.get("count_include_pad", True)),
            divisor=arguments.get("divisor_override"),
        )
        return LayerCall(name, inputs, lambda chain: chain.pooled(layer, repr(name)), signature=(layer,))

    return read


def _normalisation(name: str, inputs: Ids, arguments: Arguments) -> LayerCall | None:
    mean, variance = arguments["running_mean"], arguments["running_var"]
    if mean is None or variance is None or arguments["training"]:
        raise ModelError(
            f"batch normalisation is folded with its running statistics: {name!r} has none; train it with "
            "track_running_stats=True"
        )
    ones = [1] * (inputs.ndim - 2)
    weight, bias = arguments["weight"], arguments["bias"]
    factor = 1 / np.sqrt(_array(variance) + arguments["eps"])
    factor = factor if weight is None else factor * _array(weight)
    offset = -_array(mean) * factor + (0 if bias is None else _array(bias))
    factor, offset = factor.reshape(-1, *ones), offset.reshape(-1, *ones)

    def grown(chain: Chain) -> Chain:
        return chain.scaled(factor, repr(name)).added(offset, repr(name))

    tensors = {"running_mean": mean, "running_var": variance}
    return LayerCall(name, inputs, grown, tensors, (id(mean), id(variance), id(weight), id(bias), arguments["eps"]))


def _factor(invert: bool) -> Callable[[str, Ids, Arguments], LayerCall | None]:
    def read(name: str, inputs: Ids, arguments: Arguments) -> LayerCall | None:
        by = arguments["other"]
        if isinstance(by, bool) or not isinstance(by, int | float | torch.Tensor):
            return None
        factor = _array(by) if isinstance(by, torch.Tensor) else np.array(float(by))
        if factor.ndim == inputs.ndim and factor.shape[0] == 1:
            factor = factor[0]
        if factor.ndim >= inputs.ndim:
            return None
        if invert:
            factor = 1 / factor
        key = id(by) if isinstance(by, torch.Tensor) else by
        return LayerCall(name, inputs, lambda chain: chain.scaled(factor, repr(name)), signature=(key, invert))

    return read


def _array(tensor: torch.Tensor) -> FloatArray:
    return tensor.detach().double().numpy()


def _pair(value: Any, lines: bool, across: int) -> Pair:
    """One or two numbers for rows and columns; what is one-dimensional has `across` for its one row."""
    values = tuple(int(v) for v in value) if isinstance(value, tuple | list) else (int(value),) * (1 if lines else 2)
    values = values * 2 if len(values) == 1 and not lines else values
    return (across, values[0]) if lines else (values[0], values[1])


def _arguments(text: str, **defaults: Any) -> Arguments:
    return dict.fromkeys(text.split()) | defaults


_CONVOLVES = _arguments("input weight bias", stride=1, padding=0, dilation=1, groups=1)
_MAXIMA = _arguments("input kernel_size stride", padding=0, dilation=1, ceil_mode=False, return_indices=False)
_AVERAGES = _arguments("input kernel_size stride", padding=0, ceil_mode=False, count_include_pad=True)
_NORMS = _arguments("input norm_type kernel_size stride", ceil_mode=False)
_BATCH_NORM = _arguments("input running_mean running_var weight bias", training=False, momentum=0.1, eps=1e-5)
_FUNCTIONS: dict[str, tuple[Arguments, Callable[[str, Ids, Arguments], LayerCall | None]]] = {
    "conv1d": (_CONVOLVES, _convolution),
    "conv2d": (_CONVOLVES, _convolution),
    "max_pool1d": (_MAXIMA, _pooling("max", lines=True)),
    "max_pool2d": (_MAXIMA, _pooling("max", lines=False)),
    "avg_pool1d": (_AVERAGES, _pooling("average", lines=True)),
    "avg_pool2d": (_AVERAGES | {"divisor_override": None}, _pooling("average", lines=False)),
    "lp_pool1d": (_NORMS, _pooling("sum", lines=True)),
    "lp_pool2d": (_NORMS, _pooling("sum", lines=False)),
    "batch_norm": (_BATCH_NORM, _normalisation),
    **{name: (_arguments("input other"), _factor(invert=False)) for name in ("mul", "__mul__", "__rmul__", "multiply")},
    **{name: (_arguments("input other"), _factor(invert=True)) for name in ("div", "__truediv__", "true_divide")},
}
_COMMUTE = ("mul", "__mul__", "__rmul__", "multiply")

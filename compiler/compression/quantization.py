"""Quantisation of weights to named number formats, and of delays to whole steps.

The functions take a list of layers or a `Network` (see `layers`) and return the same form. Formats, with code q and
real weight q * scale:

| scheme | bits | codes | scale |
|---|---|---|---|
| fixed_point | 16 | -32767..32767 | 1/256 for all (Q8.8) |
| fixed_point | 8 | -127..127 | 1/16 for all (Q4.4) |
| fixed_point | 2 to 7 | -(2^(bits-1) - 1)..2^(bits-1) - 1 | per output, by a clip search (Q2.2 would zero everything) |
| ternary | 2 | -1, 0, 1 | per output, least squares |
| binary | 1 | -1, 1; 0 where the weight is 0 | per output, least squares |

The least-squares scale of the binary form is the mean magnitude of an output's weights that are not zero (Rastegari et
al., XNOR-Net, ECCV 2016); the ternary form is the exact minimum over all thresholds, which Li and Liu (Ternary weight
networks, 2016) approximate. A weight of zero keeps the code 0 in every format.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self, overload

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, OptionError, quoted
from ..ir.arrays import FloatArray, IntArray
from ..ir.columns import Columns
from ..ir.connectivity import Quantised
from ..ir.network import Network
from ..ir.verifier import verify
from ..lowering.quantise import quantise_codes
from ..lowering.scales import Activity, codes_of, search_scales
from .layers import graph_of, matrices_of

FRACTIONS = {16: 8, 8: 4}
"""The fraction bits of the fixed-point formats with one scale for all."""

SCHEMES: dict[str, tuple[int, ...]] = {
    "fixed_point": (2, 3, 4, 5, 6, 7, 8, 16),
    "ternary": (2,),
    "binary": (1,),
}
"""The bits that each scheme has a format for."""

ROUNDINGS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "nearest": lambda x: np.floor(x + 0.5),
    "up": np.ceil,
}

_ALIKE = 0.1
"""Without samples every pre neuron is taken to fire alike, in a tenth of the steps."""


class QuantizedWeights(np.ndarray):
    """The real weights `codes * scales`, float64 (inputs, outputs), as an array that knows where they come from.

    `codes` int64 (inputs, outputs), `scales` float64 () or (outputs,), `bits` and `scheme` as in the module's table.
    The array is read-only, and what is computed from it, or cut out of it, is a plain array.
    """

    codes: IntArray
    scales: FloatArray
    bits: int
    scheme: str

    def __new__(cls, codes: IntArray, scales: FloatArray, bits: int, scheme: str) -> Self:
        array = (codes * scales).view(cls)
        array.codes, array.scales = np.array(codes, np.int64), np.array(scales, np.float64)
        array.bits, array.scheme = bits, scheme
        for part in (array, array.codes, array.scales):
            part.setflags(write=False)
        return array

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def __copy__(self) -> QuantizedWeights:
        return self  # nothing in it changes

    def __deepcopy__(self, memo: Any) -> QuantizedWeights:
        return self

    def __reduce__(self) -> Any:
        return QuantizedWeights, (self.codes, self.scales, self.bits, self.scheme)


@overload
def quantize_weights(weights: Network, bits: int = 8, scheme: str = "fixed_point") -> Network: ...


@overload
def quantize_weights(weights: Sequence[Any], bits: int = 8, scheme: str = "fixed_point") -> list[QuantizedWeights]: ...


def quantize_weights(
    weights: Sequence[Any] | Network, bits: int = 8, scheme: str = "fixed_point"
) -> list[QuantizedWeights] | Network:
    """Weights in one of the module's formats: `QuantizedWeights` of a list of layers, an integer network of a Network.

    The integer network's neurons have the constants of `quantise`; its binary and ternary codes are 2 bits wide. Warns
    of weights beyond the range of Q8.8 and Q4.4, which are clipped to it, and of layers that become all zero. Raises
    OptionError for bits and scheme that make no format, ModelError for bad weights.
    """
    check_format(bits, scheme)
    if not isinstance(weights, Network):
        matrices = [matrix.astype(np.float64) for matrix in matrices_of(weights)]
        return [_quantised(m, bits, scheme, f"layer {number}") for number, m in enumerate(matrices)]
    return quantise_codes(weights, _network_codes(weights, bits, scheme))


def check_format(bits: int, scheme: str) -> None:
    """OptionError where bits and scheme do not name a format."""
    if scheme not in SCHEMES:
        raise OptionError(f"a scheme is one of {', '.join(SCHEMES)}: got {quoted(scheme)}")
    if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or bits not in SCHEMES[scheme]:
        formats = "; ".join(f"{name} {', '.join(map(str, widths))}" for name, widths in SCHEMES.items())
        raise OptionError(f"bits and scheme make a format ({formats}): got {quoted(bits)} with {scheme}")


@overload
def quantize_delays(
    delays: Network, resolution: int = 1, *, rounding: str = "nearest", minimum: int = 0
) -> Network: ...


@overload
def quantize_delays(
    delays: Sequence[npt.NDArray[Any]], resolution: int = 1, *, rounding: str = "nearest", minimum: int = 0
) -> list[IntArray]: ...


@overload
def quantize_delays(
    delays: npt.ArrayLike, resolution: int = 1, *, rounding: str = "nearest", minimum: int = 0
) -> IntArray: ...


def quantize_delays(delays: Any, resolution: int = 1, *, rounding: str = "nearest", minimum: int = 0) -> Any:
    """Delays in time steps as whole multiples of `resolution`, int64: of an array, a list of arrays or a Network.

    `nearest` rounds halves up: [1.3, 2.7, 4.1, 0.8] at resolution 2 are [2, 2, 4, 0]. `up` loses no delay. No result is
    below `minimum`. Raises OptionError for bad options, ModelError for delays that are negative or not finite.
    """
    if not _whole(resolution) or resolution < 1:
        raise OptionError(f"a resolution is a whole number of steps, 1 or more: got {quoted(resolution)}")
    if not _whole(minimum) or minimum < 0:
        raise OptionError(f"a minimum is a whole number of steps, 0 or more: got {quoted(minimum)}")
    if rounding not in ROUNDINGS:
        raise OptionError(f"a rounding is {' or '.join(ROUNDINGS)}: got {quoted(rounding)}")

    def rounded(values: Any, where: str) -> IntArray:
        array = _delays(values, where)
        least = math.ceil(minimum / resolution) * resolution
        return np.maximum(ROUNDINGS[rounding](array / resolution).astype(np.int64) * resolution, least)

    if isinstance(delays, Network):
        verify(delays)
        result = replace(delays, projections=tuple(p.delayed(rounded(p.delay, p.post)) for p in delays.projections))
        verify(result)
        return result
    if isinstance(delays, list | tuple) and any(isinstance(part, np.ndarray) and part.ndim for part in delays):
        return [rounded(part, f"layer {number}") for number, part in enumerate(delays)]
    return rounded(delays, "the array")


# -------------------------------------------------------------------------------------------------------- codes


class _Codes(NamedTuple):
    codes: IntArray
    scales: FloatArray


def _network_codes(network: Network, bits: int, scheme: str) -> list[Quantised]:
    """Codes for every projection; those into one population are quantised together, a readout with one scale."""
    graph = graph_of(network)
    result: dict[int, Quantised] = {}
    for group, name in enumerate(graph.names):
        members = [number for number, c in enumerate(graph.connections) if c.post == group]
        if not members:
            continue
        own = [graph.connections[number].weights for number in members]
        columns = Columns.of([graph.connections[number].connectivity for number in members])
        tall = columns.stacked(own)
        shape = tall.shape
        read = network.reads_membranes_of(network.populations[group - 1].name)
        if read:
            tall = tall.reshape(-1, 1)
        quantised = _quantised(tall, bits, scheme, f"the weights into {name}")
        parts = columns.split(quantised.codes.reshape(shape))
        scale = quantised.scales.reshape(()) if read else quantised.scales
        scale = columns.spread(scale) if scale.ndim else scale
        for number, part in zip(members, parts, strict=True):
            result[number] = Quantised(codes=part, bits=max(2, bits), scheme=scheme, scale=scale)
    return [result[number] for number in range(len(graph.connections))]


def _quantised(matrix: FloatArray, bits: int, scheme: str, name: str) -> QuantizedWeights:
    if scheme == "binary":
        codes, scales = _binary(matrix)
    elif scheme == "ternary":
        codes, scales = _ternary(matrix)
    elif bits in FRACTIONS:
        codes, scales = _fixed_point(matrix, bits, name)
    else:
        codes, scales = _scaled(matrix, bits)
    if matrix.any() and not codes.any():
        warnings.warn(f"every weight of {name} is below half a step of {bits} bits: all became zero", stacklevel=3)
    return QuantizedWeights(codes, scales, bits, scheme)


def _fixed_point(matrix: FloatArray, bits: int, name: str) -> _Codes:
    limit, one = (1 << (bits - 1)) - 1, 1 << FRACTIONS[bits]
    codes = np.rint(matrix * one)
    beyond = np.count_nonzero(np.abs(codes) > limit)
    if beyond:
        warnings.warn(
            f"Q{bits - FRACTIONS[bits]}.{FRACTIONS[bits]} holds weights up to {limit / one:g}: {beyond} of {name} "
            "are larger and are clipped; rescale weights and thresholds, or use more bits",
            stacklevel=4,
        )
    return _Codes(np.clip(codes, -limit, limit).astype(np.int64), np.array(1 / one))


def _scaled(matrix: FloatArray, bits: int) -> _Codes:
    size = len(matrix)
    activity = Activity(np.full(size, _ALIKE), np.full(size, _ALIKE * (1 - _ALIKE)))
    scales = _usable(search_scales(matrix, activity, bits, shared=False))
    return _Codes(codes_of(matrix, scales, bits), scales)


def _binary(matrix: FloatArray) -> _Codes:
    count = np.count_nonzero(matrix, axis=0)
    return _Codes(np.sign(matrix).astype(np.int64), _usable(np.abs(matrix).sum(axis=0) / np.maximum(count, 1)))


def _ternary(matrix: FloatArray) -> _Codes:
    """The k largest magnitudes of an output become its scale, for the k of least squared error.

    With s_k the sum of the k largest magnitudes the error is sum w^2 - s_k^2 / k, and the best scale s_k / k.
    """
    magnitudes = np.abs(matrix)
    order = np.argsort(-magnitudes, axis=0, kind="stable")
    sums = np.cumsum(np.take_along_axis(magnitudes, order, axis=0), axis=0)
    counts = np.arange(1, len(matrix) + 1)[:, None]
    best = np.argmax(sums**2 / counts, axis=0)
    kept = np.zeros(matrix.shape, np.bool_)
    np.put_along_axis(kept, order, counts - 1 <= best, axis=0)
    scales = np.take_along_axis(sums / counts, best[None], axis=0)[0]
    return _Codes(np.where(kept, np.sign(matrix), 0).astype(np.int64), _usable(scales))


def _usable(scales: FloatArray) -> FloatArray:
    """A scale above 0, also for outputs without weights."""
    return np.where(scales > 0, scales, 1.0)


# ------------------------------------------------------------------------------------------------------- delays


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _delays(values: Any, where: str) -> FloatArray:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ModelError(f"delays are an array of numbers: {where} is none ({error})") from None
    if array.dtype.kind not in "fiu":
        raise ModelError(f"delays are an array of numbers: {where} is {array.dtype}")
    if not np.all((array >= 0) & (array < 2**31)):
        raise ModelError(f"delays are finite and 0 steps or more: those of {where} are not")
    return array.astype(np.float64)

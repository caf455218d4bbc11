"""Weights that were trained on a grid keep it: codes and scales as quantisation-aware training left them.

Brevitas, torch's own modules and others export real weights, code times scale in float32, one scale for a network, a
layer or a neuron. Whatever rounds them anew at best finds the same codes; here they are found exactly: the largest
scale of which all weights of a neuron are whole multiples. Codes with a common factor are divided by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, quoted
from ..ir.arrays import FloatArray
from ..ir.columns import Columns
from ..ir.connectivity import Quantised
from ..ir.network import Network, Population, Projection
from ..ir.verifier import MAX_WEIGHT_BITS
from ..lowering.quantise import MIN_WEIGHT_BITS, quantise_codes
from ..lowering.scales import grid_scales, largest_code
from ..names import KEEP
from ..neurons.contract import contract_form
from .grid import Format
from .recipe import default_method

WIDEST = 8
"""Codes that are kept have at most so many bits unless told."""

GRID_ERROR = 1e-6
"""Weights on a grid are multiples of its step to this relative error: they were rounded to float32 twice."""

_WIDTHS = range(MIN_WEIGHT_BITS, MAX_WEIGHT_BITS + 1)
"""Bits of codes; a recipe refuses others."""


class OffGridError(ModelError):
    """Weights that are to be kept lie on no grid."""


def kept(network: Network, bits: int, calibration: npt.NDArray[Any] | None = None) -> Network:
    """The integer network of a float network whose weights lie on grids of `bits` at most, its codes exact.

    Each population has the narrowest codes that hold its own. Raises ModelError, with the population and the neuron,
    where weights lie on no such grid.
    """
    return quantise_codes(network, _codes(network, bits), calibration, exact=True)


def lies_on_grid(network: Network, bits: int) -> bool:
    """Whether the weights lie on grids of `bits` at most."""
    try:
        _codes(network, bits)
    except OffGridError:
        return False
    return True


def method_of(network: Network, bits: int | None, *, calibrated: bool) -> str:
    """The method where none is chosen: that of a network whose weights lie on a grid of `bits` (None: whose weights are
    to change) is to keep them, that of others the default."""
    if bits is not None and bits in _WIDTHS and not network.is_integer and lies_on_grid(network, bits):
        return KEEP
    return default_method(network, calibrated=calibrated)


def formats_of(network: Network) -> dict[str, Format]:
    """The formats of the weights into each population of an integer network."""
    weights = {p.post: p.connectivity.quantised for p in network.projections}
    return {name: Format(w.bits, w.scheme) for name, w in weights.items()}


def _codes(network: Network, bits: int) -> list[Quantised]:
    """The codes of the projections, in their order; OffGridError where a population's weights lie on none."""
    found = {id(p): w for population in network.populations for p, w in _grid(network, population, bits)}
    return [found[id(projection)] for projection in network.projections]


def _grid(network: Network, population: Population, bits: int) -> Iterator[tuple[Projection, Quantised]]:
    """The projections into a population with their codes."""
    form = contract_form(network, population)
    columns = Columns.of([p.connectivity for p in form.projections])
    weights = columns.stacked([p.connectivity.real for p in form.projections])
    limit = largest_code(bits)
    if form.read:
        if np.ptp(form.gain) > 0:
            raise _off_grid(population, bits, "the neurons of a readout differ in the gain of their inputs")
        scale = _steps(weights.reshape(-1, 1), limit)[0] * np.ones(columns.count)
    else:
        scale = _steps(weights, limit)
    if np.any(scale == 0):
        first = np.flatnonzero(columns.spread(scale) == 0)[0]
        reason = "a readout has one grid for all its neurons" if form.read else f"the first is neuron {first}"
        raise _off_grid(population, bits, reason)
    codes = np.rint(weights / scale).astype(np.int64)
    width = max(MIN_WEIGHT_BITS, 1 + int(np.abs(codes).max(initial=0)).bit_length())
    for projection, whole in zip(form.projections, columns.split(codes), strict=True):
        yield projection, Quantised(codes=whole, bits=width, scale=columns.spread(scale))


def _off_grid(population: Population, bits: int, reason: str) -> OffGridError:
    return OffGridError(
        f"weights kept as they are lie on a grid of at most {bits} bits: those into {quoted(population.name)} do not "
        f"({reason}); choose another method, or more bits"
    )


def _steps(weights: FloatArray, limit: int) -> FloatArray:
    """The grid's step of each column of `weights` [fan-in, columns]; 0 where there is none, 1 where all are zero."""
    largest = np.abs(weights).max(axis=0, initial=0.0)
    scale = grid_scales(weights, largest, limit, GRID_ERROR)
    return np.where(largest > 0, _in_float32(weights, scale), 1.0)


def _in_float32(weights: FloatArray, scale: FloatArray) -> FloatArray:
    """The scales in float32 whose products with the codes are the very weights, where there are such."""
    result = scale.copy()
    nearest = scale.astype(np.float32)
    for other in (np.nextafter(nearest, np.float32(0)), np.nextafter(nearest, np.float32(np.inf)), nearest):
        other = np.where(scale > 0, other, np.float32(0))
        codes = np.divide(weights, other, out=np.zeros_like(weights), where=other > 0)
        products = np.rint(codes).astype(np.float32) * other
        same = (products.astype(np.float64) == weights).all(axis=0) & (other > 0)
        result = np.where(same, other.astype(np.float64), result)
    return result

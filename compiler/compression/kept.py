"""Weights that were trained on a grid keep it: codes and scales as quantisation-aware training left them.

Brevitas, torch's own modules and others export real weights, code times scale in float32, one scale for a network, a
layer or a neuron. Whatever rounds them anew at best finds the same codes; here they are found exactly: the largest
scale of which all weights of a neuron are whole multiples. Codes with a common factor are divided by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, quoted
from ..ir.arrays import FloatArray
from ..ir.columns import Columns
from ..ir.connectivity import Quantised
from ..ir.network import Network, Population
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


def kept(network: Network, bits: int, calibration: npt.NDArray[Any] | None = None) -> Network:
    """The integer network of a float network whose weights lie on grids of `bits` at most, its codes exact.

    Each population has the narrowest codes that hold its own. Raises ModelError, with the population and the neuron,
    where weights lie on no such grid.
    """
    found = {population.name: _grid(network, population, bits) for population in network.populations}
    for name, grid in found.items():
        if isinstance(grid, str):
            raise ModelError(
                f"weights kept as they are lie on a grid of at most {bits} bits: those into {quoted(name)} do not "
                f"({grid}); choose another method, or more bits"
            )
    codes = []
    for projection in network.projections:
        grid = found[projection.post]
        assert not isinstance(grid, str)
        codes.append(grid[id(projection)])
    return quantise_codes(network, codes, calibration, exact=True)


def lies_on_grid(network: Network, bits: int) -> bool:
    """Whether `kept` takes the network."""
    return all(not isinstance(_grid(network, population, bits), str) for population in network.populations)


def method_of(network: Network, bits: int | None, *, calibrated: bool) -> str:
    """The method where none is chosen: that of a network whose weights lie on a grid of `bits` (None: whose weights are
    to change) is to keep them, that of others the default."""
    if bits is not None and bits >= MIN_WEIGHT_BITS and not network.is_integer and lies_on_grid(network, bits):
        return KEEP
    return default_method(calibrated)


def formats_of(network: Network) -> dict[str, Format]:
    """The formats of the weights into each population of an integer network."""
    weights = {p.post: p.connectivity.quantised for p in network.projections}
    return {name: Format(w.bits, w.scheme) for name, w in weights.items()}


def _grid(network: Network, population: Population, bits: int) -> Mapping[int, Quantised] | str:
    """The codes into a population, by the identity of their projections, or why there are none."""
    form = contract_form(network, population)
    columns = Columns.of([p.connectivity for p in form.projections])
    weights = columns.stacked([p.connectivity.real for p in form.projections])
    limit = largest_code(bits)
    if form.read:
        if np.ptp(form.gain) > 0:
            return "the neurons of a readout differ in the gain of their inputs"
        scale = _steps(weights.reshape(-1, 1), limit)[0] * np.ones(columns.count)
        reason = "a readout has one grid for all its neurons"
    else:
        scale = _steps(weights, limit)
        reason = f"the first is neuron {np.flatnonzero(columns.spread(scale) == 0)[:1].sum()}"
    used = np.any(weights != 0, axis=0)
    if np.any(scale[used] == 0):
        return reason
    scale = np.where(scale > 0, scale, 1.0)
    codes = np.rint(weights / scale).astype(np.int64)
    width = max(MIN_WEIGHT_BITS, 1 + int(np.abs(codes).max(initial=0)).bit_length())
    whole = columns.split(codes)
    return {
        id(p): Quantised(codes=c, bits=width, scale=columns.spread(scale))
        for p, c in zip(form.projections, whole, strict=True)
    }


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

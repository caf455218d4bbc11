"""How the neurons of maps lie in an engine: channels vary fastest, so that a kernel's weights are a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...hdl.engines.tap_format import Places
from ..ir.arrays import IntArray
from ..ir.maps import MapShape
from ..ir.network import Network


@dataclass(frozen=True)
class MapOrder:
    """How far apart neighbours along channels, rows and columns lie."""

    channels: int
    rows: int
    columns: int


def map_orders(network: Network, names: Sequence[str]) -> dict[str, IntArray]:
    """In which order the neurons of populations that kernels lead to lie in an engine, where that is not their own.

    The network's output keeps its own order, in which it is heard outside.
    """
    orders = {}
    for name in names:
        shape = written_map(network, name)
        order = None if shape is None or name == network.output else channels_fastest(shape)
        if order is not None:
            orders[name] = order
    return orders


def listens_to_maps(network: Network, name: str) -> bool:
    """Whether a population has synapses that share weights."""
    return any(not projection.connectivity.one_per_pair for projection in network.projections_into(name))


def written_map(network: Network, name: str) -> MapShape | None:
    """The map that kernels write into a population; None where there are no kernels."""
    written = (p.connectivity.post_map for p in network.projections_into(name) if not p.connectivity.one_per_pair)
    return next((shape for shape in written if shape is not None), None)


def channels_fastest(shape: MapShape) -> IntArray | None:
    """The neurons of a map by (row, column, channel); None where that is their own order."""
    channels, rows, columns = shape
    if channels == 1 or rows * columns == 1:
        return None
    return np.arange(channels * rows * columns).reshape(shape).transpose(1, 2, 0).ravel()


def side_by_side(shape: MapShape) -> MapOrder:
    """How a map lies that has its channels fastest."""
    channels, _, columns = shape
    return MapOrder(channels=1, rows=columns * channels, columns=channels)


def lies(shape: MapShape, order: IntArray | None) -> MapOrder:
    """How a population's map lies in an order: by planes in its own."""
    channels, rows, columns = shape
    if order is None and channels > 1:
        return MapOrder(channels=rows * columns, rows=columns, columns=1)
    return side_by_side(shape)


def places_of(shape: MapShape, order: IntArray | None) -> Places | None:
    """How a neuron's place in an order says its place in a map; None where it does not."""
    channels, rows, columns = shape
    if order is None:
        return Places(inner=columns, outer=rows, planar=True)
    fastest = channels_fastest(shape)
    if fastest is not None and np.array_equal(order, fastest):
        return Places(inner=channels, outer=columns, planar=False)
    return None


def all_in_order(network: Network, names: Sequence[str], orders: Mapping[str, IntArray]) -> IntArray | None:
    """The neurons of populations, one after another, each in its order; None where all are in their own."""
    if not any(name in orders for name in names):
        return None
    parts, first = [], 0
    for name in names:
        size = network.size_of(name)
        parts.append(first + orders.get(name, np.arange(size)))
        first += size
    return np.concatenate(parts)

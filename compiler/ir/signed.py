"""Signed inputs, -1, 0 and 1 for instance: two inputs for each, whose weights differ in sign.

Channel c becomes c, which has its positive values, and C + c, which has the negative ones' magnitudes. The currents are
the same, term by term, so that nothing behind the inputs has to know of signs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .network import INPUT, Network, Projection


def with_signed_inputs(network: Network, x_min: int) -> Network:
    """The float network for inputs from `x_min` on, below 0; the same for 0. ModelError where inputs go into maxima."""
    if x_min == 0:
        return network
    channels, *rest = network.input_shape
    projections = tuple(_mirrored(p) if p.pre == INPUT else p for p in network.projections)
    return replace(
        network,
        input_shape=(2 * channels, *rest),
        x_min=x_min,
        x_max=max(network.x_max, -x_min),
        projections=projections,
    )


def _mirrored(projection: Projection) -> Projection:
    delay = np.concatenate([projection.delay, projection.delay]) if projection.delay.ndim else projection.delay
    return replace(projection, connectivity=projection.connectivity.mirrored(), delay=delay)


def sample_shapes(network: Network) -> tuple[tuple[int, ...], ...]:
    """The shapes in which the inputs of a step may come: as the network has them, or flat; signed ones before those."""
    shapes: tuple[tuple[int, ...], ...] = (network.input_shape, (network.input_size,))
    if network.x_min < 0:
        channels, *rest = network.input_shape
        return ((channels // 2, *rest), (network.input_size // 2,), *shapes)
    return shapes


def least_value(network: Network, shape: tuple[int, ...]) -> int:
    """The smallest value of inputs in `shape`, one of `sample_shapes`: x_min where they still have their signs."""
    return network.x_min if network.x_min < 0 and shape in sample_shapes(network)[:2] else 0


def unsigned(network: Network, samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Samples [samples, steps, inputs...] in one of `sample_shapes` as uint8 [samples, steps, inputs] without signs."""
    flat = samples.reshape(*samples.shape[:2], math.prod(samples.shape[2:]))  # there may be no samples
    if least_value(network, samples.shape[2:]) == 0:
        return flat.astype(np.uint8, copy=False)
    positive, negative = np.where(flat > 0, flat, 0), np.where(flat < 0, -flat.astype(np.int16), 0)
    return np.concatenate([positive, negative], axis=2).astype(np.uint8)

"""A network without some of its neurons, at either level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .arrays import IntArray
from .connectivity import Quantised
from .network import Network, Population, Projection
from .neurons import Decay


def narrowed(network: Network, kept: Mapping[str, IntArray]) -> Network:
    """The network with only the neurons `kept` of some populations, by their numbers, in this order.

    Populations that lose neurons become one-dimensional. What the others get from those that go is lost. Raises
    ModelError where neurons share their weights, so that none of them can be taken out.
    """
    few = {name: which for name, which in kept.items() if len(which) < network.population(name).size}
    if not few:
        return network
    return replace(
        network,
        populations=tuple(_population(p, few[p.name]) if p.name in few else p for p in network.populations),
        projections=tuple(_projection(p, network, few) for p in network.projections),
    )


def _population(population: Population, kept: IntArray) -> Population:
    bias = population.bias
    return replace(
        population,
        shape=(len(kept),),
        dynamics=_of(population.dynamics, kept),
        bias=bias[kept] if bias.shape else bias,
    )


def _of(parameters: Any, kept: IntArray) -> Any:
    """The parameters of those neurons; what is one for all stays."""
    changed: dict[str, Any] = {}
    for name, value in vars(parameters).items():
        if isinstance(value, np.ndarray) and value.shape:
            changed[name] = value[kept]
        elif isinstance(value, Decay):
            changed[name] = _of(value, kept)
    return replace(parameters, **changed)


def _projection(projection: Projection, network: Network, few: Mapping[str, IntArray]) -> Projection:
    if projection.pre not in few and projection.post not in few:
        return projection
    pre, post = (
        few.get(name, np.arange(network.size_of(name), dtype=np.int64)) for name in (projection.pre, projection.post)
    )
    connectivity, delay, weights = projection.connectivity, projection.delay, projection.weights
    which = connectivity.between(pre, post)
    if isinstance(weights, Quantised):
        scale = weights.scale[post] if weights.scale.shape else weights.scale
        connectivity = connectivity.with_codes(replace(weights, codes=weights.codes[which], scale=scale))
    else:
        connectivity = connectivity.with_weights(weights[which])
    return replace(projection, connectivity=connectivity).delayed(delay[which] if delay.shape else delay)

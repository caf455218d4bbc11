"""Magnitude pruning: the smallest weights of a network become zero, an absent synapse."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...hdl.errors import ModelError, OptionError, quoted
from ..ir.arrays import FloatArray
from ..ir.network import Network
from ..ir.verifier import verify
from ..names import SCOPES
from ..neurons.contract import contract_form
from ..neurons.reachable import may_fire

Scope = Literal["global", "layer"]

BoolArray = npt.NDArray[np.bool_]


def prune(network: Network, sparsity: float, scope: Scope = "global") -> Network:
    """A float network with the share `sparsity` of all its weights zero (those that were zero before count).

    `scope` "layer" prunes every projection to that share by magnitude. "global" distributes the zeros over the
    projections by the LAMPS score (Lee et al., Layer-adaptive sparsity for the magnitude-based pruning, ICLR 2021):
    the square of a weight over the sum of the squares of all weights of its projection that are not smaller. Raw
    magnitudes do not compare between layers: one with a large fan-in has small weights, and one threshold for all would
    empty it. The largest weight of a projection scores 1, so that the last synapse of a layer goes last.

    Ties fall in the order of projections, pre and post. Warns of neurons that lose their last input synapse. Raises
    OptionError for a sparsity outside 0 <= s < 1, ModelError for an integer network.
    """
    check_sparsity(sparsity)
    if scope not in SCOPES:
        raise OptionError(f"a pruning scope is {' or '.join(SCOPES)}: got {scope!r}")
    verify(network)
    if network.is_integer:
        raise ModelError(f"pruning works on float networks: {quoted(network.name)} is quantised; prune first")
    weights = [projection.connectivity.real for projection in network.projections]
    keep = keep_globally(weights, sparsity) if scope == "global" else [_keep([w], sparsity)[0] for w in weights]
    pruned = replace(
        network,
        projections=tuple(
            replace(p, connectivity=p.connectivity.with_weights(np.where(k, w, 0.0)))
            for p, w, k in zip(network.projections, weights, keep, strict=True)
        ),
    )
    warn_of_silenced(network, pruned)
    return pruned


def check_sparsity(sparsity: float) -> None:
    """OptionError where a network cannot be pruned to this share of zeros."""
    if isinstance(sparsity, bool) or not isinstance(sparsity, (int, float)) or not 0 <= sparsity < 1:
        raise OptionError(f"sparsity is the share of zero weights, 0 <= s < 1: got {sparsity!r}")


def keep_globally(weights: Sequence[FloatArray], sparsity: float) -> list[BoolArray]:
    """Which weights of several projections stay when they lose the share `sparsity` by their LAMPS score."""
    return _keep([_lamps(w) for w in weights], sparsity)


def _lamps(weights: FloatArray) -> FloatArray:
    """w^2 over the sum of the squares of the weights that are not smaller (in a fixed order among equals)."""
    squares = (weights / max(float(np.abs(weights).max()), np.finfo(np.float64).tiny)).ravel() ** 2
    order = np.argsort(squares, kind="stable")
    remaining = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = np.divide(squares[order], remaining, out=np.zeros_like(squares), where=remaining > 0)
    return scores.reshape(weights.shape)


def _keep(scores: Sequence[FloatArray], sparsity: float) -> list[BoolArray]:
    """Which weights stay when the share `sparsity` with the smallest magnitudes of `scores` goes."""
    flat = np.concatenate([np.abs(s).ravel() for s in scores])
    keep = np.ones(len(flat), np.bool_)
    keep[np.argsort(flat, kind="stable")[: math.floor(sparsity * len(flat) + 0.5)]] = False
    parts = np.split(keep, np.cumsum([s.size for s in scores])[:-1])
    return [part.reshape(s.shape) for part, s in zip(parts, scores, strict=True)]


def silenced(before: Network, after: Network) -> dict[str, tuple[int, ...]]:
    """The neurons of each population that had input synapses in `before` and have none in `after`.

    Those that could not fire in `before`, whatever the input, were dead already and do not count.
    """
    result = {}
    for population in before.populations:
        name, size = population.name, population.size
        alive = _driven(before, name, size) & may_fire(contract_form(before, population), before.largest_value)
        lost = alive & ~_driven(after, name, size)
        if lost.any():
            result[name] = tuple(int(i) for i in np.flatnonzero(lost))
    return result


def _driven(network: Network, name: str, size: int) -> BoolArray:
    driven = np.zeros(size, np.bool_)
    for projection in network.projections_into(name):
        driven |= projection.connectivity.fan_in() > 0
    return driven


def warn_of_silenced(before: Network, after: Network) -> None:
    """Warn of `silenced` neurons, population by population."""
    for name, neurons in silenced(before, after).items():
        size = before.size_of(name)
        first = ", ".join(map(str, neurons[:5])) + (", ..." if len(neurons) > 5 else "")
        what = "all neurons" if len(neurons) == size else f"{len(neurons)} of {size} neurons ({first})"
        warnings.warn(
            f"compression left {what} of population {quoted(name)} without input synapses; "
            "a lower sparsity or more bits may keep them",
            stacklevel=3,
        )

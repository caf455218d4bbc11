"""Leaks of single neurons made one for each population: what hardware has as constants instead of a multiplication."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..ir.network import Network, Population

LEAKS = ("alpha", "beta", "rho")
"""Of the currents, the membrane and the adaptation: what a step keeps."""


def leaks_apart(population: Population) -> tuple[str, ...]:
    """The leaks of a float population that are not the same for all its neurons, by name."""
    found = ((name, getattr(population.dynamics, name, None)) for name in LEAKS)
    return tuple(name for name, value in found if value is not None and np.ptp(value) > 0)


def share_leaks(network: Network) -> Network:
    """A float network in which the neurons of each population share their leaks: each is the mean of what they had."""
    return replace(network, populations=tuple(map(_shared, network.populations)))


def _shared(population: Population) -> Population:
    leaks = leaks_apart(population)
    means: dict[str, Any] = {name: np.array(np.mean(getattr(population.dynamics, name))) for name in leaks}
    return replace(population, dynamics=replace(population.dynamics, **means)) if means else population

"""Does a network do, in every step, what the module that it was read from did?

The network is compared population by population and step by step: from the presynaptic values, the membranes and the
spikes that the module had, one step of the network must lead to the membranes and spikes that the module had next.
Rounding cannot add up, so that even a small factor in between is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError
from ...ir.arrays import FloatArray
from ...ir.connectivity import Quantised
from ...ir.network import Network, Population
from ...ir.neurons import LIF, CubaLIF, ResetMode, ResetPlace

Steps = npt.NDArray[Any]
"""Values of a layer [steps, samples, neurons]."""


def check_steps(network: Network, spikes: Mapping[str, Steps], states: Mapping[str, Mapping[str, Steps]]) -> None:
    """Compare each step of a network with what was recorded: `spikes` by population and input, and its `states`.

    The states of a population are `mem`, and `syn` of CubaLIF neurons. Inputs may be any real values. Raises ModelError
    at the first step that differs.
    """
    for population in network.populations:
        membranes = states[population.name]["mem"]
        currents = states[population.name].get("syn")
        before = _Moment(np.zeros_like(membranes[0]), np.zeros_like(membranes[0]), np.zeros_like(membranes[0]))
        for step, membrane in enumerate(membranes):
            fired = spikes[population.name][step]
            after = _Moment(membrane, before.g if currents is None else currents[step], fired)
            sources = {name: values[step] for name, values in spikes.items()}
            if not _agrees(network, population, sources, before, after):
                raise ModelError(
                    f"the network read from a module does what the module does: {population.name!r} differs in step "
                    f"{step}; its inputs or its neurons are changed by something that from_snntorch cannot see"
                )
            before = after


@dataclass(frozen=True, eq=False)
class _Moment:
    """Membranes, synaptic currents (CubaLIF only) and spikes of a population after a step, [samples, neurons]."""

    v: FloatArray
    g: FloatArray
    fired: FloatArray


def _agrees(
    network: Network, population: Population, sources: Mapping[str, FloatArray], before: _Moment, after: _Moment
) -> bool:
    dynamics = population.dynamics
    assert isinstance(dynamics, LIF | CubaLIF)
    drive, magnitude = _current(network, population, sources)
    precision = np.sqrt(np.finfo(network.dtype).eps)
    if isinstance(dynamics, CubaLIF):
        drive, magnitude = dynamics.alpha * before.g + drive, magnitude + np.abs(before.g)
        if np.any(np.abs(after.g - drive) > precision * magnitude):
            return False
    v, spiked = before.v, before.fired > 0
    if dynamics.reset_place is ResetPlace.SNNTORCH_SAME:
        spiked = v > dynamics.threshold
    elif dynamics.reset_place is ResetPlace.SAME:
        spiked = np.zeros_like(spiked)
    kept = np.where(spiked, dynamics.v_reset, v) if dynamics.reset_mode is ResetMode.VALUE else v
    u = dynamics.beta * kept + drive
    if dynamics.reset_mode is ResetMode.SUBTRACT:
        u = u - spiked * dynamics.threshold
    s = u > dynamics.threshold
    if dynamics.reset_mode is ResetMode.VALUE and dynamics.reset_place is ResetPlace.SAME:
        expected = np.where(s, dynamics.v_reset, u)
    elif dynamics.reset_mode is ResetMode.SUBTRACT and dynamics.reset_place is not ResetPlace.NEXT:
        expected = u - (s.astype(np.float64) - spiked) * dynamics.threshold
    else:
        expected = u
    tolerance = precision * (magnitude + np.abs(v) + np.abs(dynamics.threshold))
    unsure = np.abs(u - dynamics.threshold) <= tolerance
    return bool(np.all(unsure | ((np.abs(after.v - expected) <= tolerance) & (after.fired == s))))


def _current(
    network: Network, population: Population, sources: Mapping[str, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """The current of a step, and the sum of the magnitudes of its terms."""
    current, magnitude = population.bias, np.abs(population.bias)
    for projection in network.projections_into(population.name):
        weights = projection.weights
        assert not isinstance(weights, Quantised)
        current = current + sources[projection.pre] @ weights
        magnitude = magnitude + np.abs(sources[projection.pre]) @ np.abs(weights)
    return current, magnitude

"""Does a network do, in every step, what the module that it was read from did?

The network is compared population by population and step by step: from the presynaptic values, the membranes and the
spikes that the module had, one step of the network must lead to the membranes and spikes that the module had next.
Rounding cannot add up, so that even a small factor in between is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError
from ...ir.arrays import FloatArray
from ...ir.network import Network
from ...neurons.contract import ContractForm, contract_form
from ...neurons.currents import Part, split_by_delay
from ...neurons.step import ARRAYS, State, step

Steps = npt.NDArray[Any]
"""Values of a layer [steps, samples, neurons]."""


def check_steps(network: Network, spikes: Mapping[str, Steps], states: Mapping[str, Mapping[str, Steps]]) -> None:
    """Compare each step of a network with what was recorded: `spikes` by population and input, and its `states`.

    The states of a population are `mem`, `syn` of CubaLIF neurons, and `adapt` where thresholds adapt. Inputs may be
    any real values. Raises ModelError at the first step that differs.
    """
    precision = float(np.sqrt(np.finfo(network.dtype).eps))
    for population in network.populations:
        membranes = states[population.name]["mem"]
        currents, adaptations = (states[population.name].get(name) for name in ("syn", "adapt"))
        form = contract_form(network, population)
        parts = split_by_delay(form, form.weights)
        before = State.cleared(np.zeros_like(membranes[0]))
        for time, membrane in enumerate(membranes):
            fired = spikes[population.name][time]
            g = before.g if currents is None else currents[time]
            after = State(membrane, g, fired, membrane, before.a if adaptations is None else adaptations[time])
            if not _agrees(form, _current(form.bias, parts, spikes, time), before, after, precision):
                oldest = max((part.arrival.oldest for part in parts), default=0)
                why = (
                    "it may start from spikes of before the sample: start from zeros"
                    if time < oldest
                    else "its inputs or its neurons are changed by something that from_snntorch cannot see"
                )
                raise ModelError(
                    f"the network read from a module does what the module does: {population.name!r} differs in step "
                    f"{time}; {why}"
                )
            before = after


def _agrees(
    form: ContractForm, drive: tuple[FloatArray, FloatArray], before: State, after: State, precision: float
) -> bool:
    """Whether a step from `before` leads to `after`, but for spikes that rounding may change."""
    current, magnitude = drive
    expected = step(ARRAYS, form.model, before, current)
    if form.alpha is not None:
        magnitude = magnitude + np.abs(before.g)
        if np.any(np.abs(after.g - expected.g) > precision * magnitude):
            return False
    if form.jump is not None:
        largest = np.abs(before.a) + np.abs(form.jump)
        magnitude = magnitude + largest
        if np.any(np.abs(after.a - expected.a) > precision * largest):
            return False
    tolerance = precision * (magnitude + np.abs(before.v) + np.abs(form.threshold))
    unsure = np.abs(expected.u - form.threshold - expected.a) <= tolerance
    agrees = (np.abs(after.v - expected.v) <= tolerance) & (after.spiked == expected.spiked)
    return bool(np.all(unsure | agrees))


def _current(
    bias: FloatArray, parts: Sequence[Part], spikes: Mapping[str, Steps], time: int
) -> tuple[FloatArray, FloatArray]:
    """The current of a step, and the sum of the magnitudes of its terms; before the first step there are no spikes."""
    current, magnitude = bias, np.abs(bias)
    for part in parts:
        inputs = part.arrival.of(np.swapaxes(spikes[part.pre], 0, 1), time)
        if inputs is None:
            continue
        current = current + part.connectivity.currents(inputs, part.weights)
        magnitude = magnitude + part.connectivity.currents(np.abs(inputs), np.abs(part.weights))
    return current, magnitude

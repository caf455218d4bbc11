"""What single neurons do in a sample: membranes of the float network and of the integers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, quoted
from ...sim.float_executor import run_float
from ...sim.recording import Recording
from ...sim.reference import run_reference
from ..ir.arrays import FloatArray, SpikeArray
from ..ir.network import Network, Population
from ..ir.neurons import IntegerDynamics
from ..neurons.contract import contract_form
from ..report.facts import Raster, Trace, Traces
from .measure import RASTER_STEPS, measure_raster, spike_letters

MOST_POPULATIONS = 8
"""Populations of which neurons are chosen where nobody chooses them: the first and the output."""

Chosen = Mapping[str, Sequence[int]]
"""Neurons by population."""


def traced(
    source: Network, integer: Network, spikes: SpikeArray, chosen: Chosen | None = None
) -> tuple[Raster, Traces]:
    """Spikes and membranes of the first sample of `spikes` [samples, steps, inputs] in a float network and in the
    integers that came of it.

    The neurons are those `chosen`; else of each population the one that fires most, and the first whose spikes differ.
    Raises OptionError for neurons that are not there.
    """
    real, whole = run_float(source, spikes[:1], membranes=True), run_reference(integer, spikes[:1], membranes=True)
    neurons = _most_telling(real, whole) if chosen is None else _checked(chosen, integer)
    steps = min(real.spikes.shape[1], RASTER_STEPS)
    traces = [
        _trace(source, integer.population(name), real, whole, neuron, steps)
        for name, numbers in neurons.items()
        for neuron in numbers
    ]
    return measure_raster(real, whole), Traces(sample=0, steps=steps, neurons=traces)


def _checked(chosen: Chosen, network: Network) -> Chosen:
    sizes = {p.name: p.size for p in network.populations}
    for name, numbers in chosen.items():
        if name not in sizes:
            known = ", ".join(map(quoted, sizes))
            raise OptionError(f"membranes are those of a population: there is no {quoted(name)}; choose of {known}")
        for number in numbers:
            if not 0 <= number < sizes[name]:
                raise OptionError(f"neurons of {quoted(name)} are 0 to {sizes[name] - 1}: {number}; choose another")
    return chosen


def _most_telling(real: Recording, integer: Recording) -> dict[str, list[int]]:
    names = list(integer.populations)
    names = names if len(names) <= MOST_POPULATIONS else [*names[: MOST_POPULATIONS - 1], integer.output]
    chosen = {}
    for name in names:
        fired = (real.populations[name].spikes[0], integer.populations[name].spikes[0])
        busiest = int(np.argmax(fired[0].sum(axis=0, dtype=np.int64)))
        differs = fired[0] != fired[1]
        chosen[name] = list(dict.fromkeys([busiest, *_first_of(differs)]))
    return chosen


def _first_of(differs: npt.NDArray[np.bool_]) -> list[int]:
    """The neuron that differs [steps, neurons] in the earliest step, if any does."""
    steps = np.flatnonzero(differs.any(axis=1))
    return [int(np.argmax(differs[steps[0]]))] if steps.size else []


def _trace(
    source: Network, population: Population, real: Recording, integer: Recording, neuron: int, steps: int
) -> Trace:
    name = population.name
    form = contract_form(source, source.population(name))
    start = _start(source.population(name), neuron)
    membranes = real.populations[name].membranes, integer.populations[name].membranes
    assert membranes[0] is not None and membranes[1] is not None, "membranes were asked for"
    whole = membranes[1][0, :steps, neuron] * _unit(population, neuron) + start
    return Trace(
        population=name,
        neuron=neuron,
        threshold=float(form.threshold[neuron]) + start if form.spiking else None,
        real=membranes[0][0, :steps, neuron].tolist(),
        integer=whole.tolist(),
        spikes="".join(spike_letters(real, integer, name, 0)[:steps, neuron].tolist()),
    )


def _start(population: Population, neuron: int) -> float:
    """The membrane that a sample starts from, which is 0 in the integers."""
    return _of(getattr(population.dynamics, "v_init", np.zeros(())), population, neuron)


def _unit(population: Population, neuron: int) -> float:
    """What a unit of the integer membrane is worth."""
    assert isinstance(population.dynamics, IntegerDynamics)
    return _of(population.dynamics.scale, population, neuron) / (1 << population.dynamics.fraction_bits)


def _of(parameter: FloatArray, population: Population, neuron: int) -> float:
    """One neuron's value of a parameter that is one for all or one for each."""
    return float(np.broadcast_to(parameter, (population.size,))[neuron])

"""What a network's neurons do on sample inputs, for the choices of the quantiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import SampleError
from ..ir.arrays import SpikeArray, SpikesByPopulation
from ..ir.fingerprint import fingerprint
from ..ir.network import INPUT, Network
from ..ir.signed import least_value, sample_shapes, unsigned
from .contract import ContractForm, contract_form
from .currents import current_at, on_grid, split_by_delay
from .step import ARRAYS, State, step

MAX_OBSERVATIONS = 4
"""Observations that are kept: a compression looks at the network before it, after it and on the way."""

MAX_VALUES = 1 << 22
"""Neuron-steps of the largest population that are looked at; further samples are left out."""


def calibration_inputs(network: Network, samples: npt.NDArray[Any]) -> SpikeArray:
    """The first samples, as many as `MAX_VALUES` allows, uint8 [samples, steps, inputs]; SampleError if bad."""
    shape = samples.shape
    if samples.ndim < 3 or 0 in shape or shape[2:] not in sample_shapes(network):
        raise SampleError(
            f"calibration samples have the shape [samples, steps, {network.input_size} inputs]: got {list(shape)}"
        )
    if samples.dtype.kind not in "iub":
        raise SampleError(f"calibration samples hold integers: got {samples.dtype}; convert them to uint8")
    largest = max(network.input_size, *(p.size for p in network.populations))
    kept = samples[: max(1, MAX_VALUES // (largest * shape[1]))]
    least = least_value(network, shape[2:])
    if kept.min() < least or kept.max() > network.x_max:
        raise SampleError(f"calibration samples hold {least} to {network.x_max}: got {kept.min()} to {kept.max()}")
    return unsigned(network, kept)


def observe(network: Network, populations: Sequence[ContractForm], inputs: SpikeArray) -> dict[str, SpikeArray]:
    """The spikes of the input and of every population [samples, steps, neurons] with real parameters, read-only.

    A network is observed once on the same inputs, whoever asks and however often (`observation`).
    """
    name = fingerprint(network.largest_value, list(populations), inputs)
    return dict(observation(Run(name, network.largest_value, tuple(populations), inputs)))


def observed(network: Network, samples: npt.NDArray[Any]) -> dict[str, SpikeArray]:
    """What a float network does on the first of these samples (`calibration_inputs`), as `observe` says it."""
    forms = [contract_form(network, population) for population in network.populations]
    return observe(network, forms, calibration_inputs(network, samples))


@dataclass(frozen=True)
class Run:
    """Neurons and what goes into them; two are the same where their names are."""

    name: str
    largest_value: int = field(compare=False)
    populations: tuple[ContractForm, ...] = field(compare=False)
    inputs: SpikeArray = field(compare=False)


@lru_cache(maxsize=MAX_OBSERVATIONS)
def observation(run: Run) -> SpikesByPopulation:
    """What `observe` says."""
    samples, steps = run.inputs.shape[:2]
    sources = {INPUT: run.inputs.copy()}
    for form in run.populations:
        sources[form.population.name] = np.zeros((samples, steps, form.population.size), np.uint8)
    models = [f.model for f in run.populations]
    states = [State.cleared(np.zeros((samples, f.population.size))) for f in run.populations]
    synapses = [split_by_delay(f, on_grid(f, f.weights, run.largest_value)) for f in run.populations]
    for time in range(steps):
        for index, (form, parts) in enumerate(zip(run.populations, synapses, strict=True)):
            current = current_at(form.bias, parts, sources, time)
            states[index] = step(ARRAYS, models[index], states[index], current)
            sources[form.population.name][:, time] = states[index].spiked
    for spikes in sources.values():
        spikes.setflags(write=False)
    return sources

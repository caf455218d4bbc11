"""Neurons quantised as those of another network were: with its leaks, fraction bits and widths, which hardware has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...hdl.errors import CapacityError, ModelError, quoted
from ..ir.arrays import FloatArray
from ..ir.network import Network, Population, Projection
from ..ir.neurons import Decay, IntegerDynamics
from ..neurons.contract import contract_form
from ..neurons.reachable import reachable_membranes
from .constants import constant_bits, integer_neurons, with_state_bits
from .leak import FLOAT32_ERROR, UNMEASURED_ERROR, Leaks, leak_error


def settled(source: Network, integers: Network, built: Network, before: Network | None = None) -> Network:
    """The integer network of the float network `source` with the codes of `integers` and the neurons' arithmetic of
    `built`; `before` is the float network of which that was made, where it is known.

    Raises ModelError for a leak that is another, CapacityError for thresholds too large for the membranes that were
    built.
    """
    for population in built.populations:
        if not any(p.name == population.name and p.size == population.size for p in source.populations):
            raise ModelError(
                f"weights are exchanged between networks of one shape: population {quoted(population.name)} with its "
                f"{population.size} neurons is none of the new network's; compile it on its own"
            )
    populations = tuple(_settled(source, p, integers, built, before) for p in source.populations)
    shifts = {p.name: _dynamics(built, p.name).fraction_bits for p in populations}
    projections: tuple[Projection, ...] = tuple(replace(p, shift=shifts[p.post]) for p in integers.projections)
    network = replace(integers, populations=populations, projections=projections)
    return replace(network, populations=tuple(_without_idle_floor(network, built, p) for p in populations))


def _settled(
    source: Network, population: Population, integers: Network, built: Network, before: Network | None
) -> Population:
    form, laid = contract_form(source, population), _dynamics(built, population.name)
    old = None if before is None or before.is_integer else contract_form(before, before.population(population.name))
    name, was = population.name, (old.beta, old.alpha, old.rho) if old is not None else (None, None, None)
    leaks = Leaks(
        membrane=_leak(form.beta if form.leaky else None, laid.decay, name, was[0]),
        synapse=_leak(form.alpha, laid.decay_syn, name, was[1]),
        adaptation=_leak(form.rho, laid.decay_a, name, was[2]),
    )
    scale = np.broadcast_to(_dynamics(integers, population.name).scale, (population.size,))
    result = integer_neurons(form, scale, laid.fraction_bits, leaks)
    needed = constant_bits(result)
    if needed > laid.state_bits:
        raise CapacityError(
            f"thresholds are no wider than the membranes that were built: those of population "
            f"{quoted(population.name)} take {needed} bits of {laid.state_bits}; compile this network on its own"
        )
    result = with_state_bits(result, laid.state_bits)
    if built.population(population.name).max_spikes > 1:
        result = replace(result, dynamics=replace(_of(result), max_spikes=laid.max_spikes))
    return result


def _leak(kept: FloatArray | None, built: Decay | None, name: str, before: FloatArray | None) -> Decay | None:
    """The leak that was built, of neurons' own coefficients the nearest; `kept` is what a step leaves of a state."""
    if kept is None and built is None:
        return None
    if kept is None or built is None:
        raise ModelError(
            f"leaks stay as they were built: population {quoted(name)} {'has none' if kept is None else 'had none'}; "
            "compile this network on its own"
        )
    leak = 1.0 - kept
    if built.c.ndim:
        return replace(built, c=np.rint(leak * (1 << built.k)).astype(np.int64))
    same = before is not None and before.shape == kept.shape and np.abs(kept - before).max() <= FLOAT32_ERROR
    if not same and leak_error(leak, built) > UNMEASURED_ERROR:
        raise ModelError(
            f"leaks stay as they were built: {quoted(name)} keeps {_range(kept)} of its state in a step, "
            f"the hardware {1 - int(built.c) / (1 << built.k):.6g}; train with that, or compile this network on its own"
        )
    return built


def _range(kept: FloatArray) -> str:
    low, high = float(kept.min()), float(kept.max())
    return f"{low:.6g}" if high - low <= FLOAT32_ERROR else f"{low:.6g} to {high:.6g}"


def _without_idle_floor(network: Network, built: Network, population: Population) -> Population:
    """Without a floor that no membrane reaches, where none was built."""
    dynamics = _of(population)
    if dynamics.v_min is None or _dynamics(built, population.name).v_min is not None:
        return population
    reach = reachable_membranes(network, population)
    idle = reach is not None and reach[0] > int(dynamics.v_min.max())
    return replace(population, dynamics=replace(dynamics, v_min=None)) if idle else population


def _dynamics(network: Network, name: str) -> IntegerDynamics:
    return _of(network.population(name))


def _of(population: Population) -> IntegerDynamics:
    assert isinstance(population.dynamics, IntegerDynamics)
    return population.dynamics

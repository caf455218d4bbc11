"""What a network is: its populations and projections with the names that options take, as JSON data."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...hdl.errors import ModelError
from ..ir.network import Network, Population, Projection
from ..ir.neurons import Decay, IntegerDynamics, ResetMode, subtracts_other
from ..neurons.contract import ContractForm, contract_form

INSPECTION_SCHEMA = 1


def inspect_network(network: Network) -> dict[str, Any]:
    """Everything that a person asks first of a network, float or integer (docs/cli.md, inspect)."""
    synapses, possible = (
        sum(getattr(projection.connectivity, name) for projection in network.projections)
        for name in ("synapses", "possible_synapses")
    )
    return {
        "schema_version": INSPECTION_SCHEMA,
        "name": network.name,
        "level": "integer" if network.is_integer else "float",
        "dialect": network.dialect,
        "dt_seconds": network.dt,
        "input_shape": list(network.input_shape),
        "inputs": network.input_size,
        "x_min": network.x_min,
        "x_max": network.x_max,
        "output": network.output,
        "readout": str(network.reading),
        "classes": network.class_count,
        "neurons": sum(population.size for population in network.populations),
        "synapses": synapses,
        "sparsity": _sparsity(synapses, possible),
        "populations": [_population(network, population) for population in network.populations],
        "projections": [_projection(network, projection) for projection in network.projections],
        "not_in_contract": _outside(network),
    }


def _outside(network: Network) -> str | None:
    """What the arithmetic contract has no form for, in the words of the error; None where it has one for all."""
    try:
        for population in () if network.is_integer else network.populations:
            contract_form(network, population)
    except ModelError as error:
        return str(error)
    return None


def _population(network: Network, population: Population) -> dict[str, Any]:
    dynamics = population.dynamics
    into = network.projections_into(population.name)
    synapses, possible = (sum(getattr(p.connectivity, name) for p in into) for name in _COUNTS)
    data = {
        "name": population.name,
        "shape": list(population.shape),
        "neurons": population.size,
        "model": str(dynamics.kind),
        "fires": population.fires,
        "max_spikes": population.max_spikes,
        "synapses": synapses,
        "sparsity": _sparsity(synapses, possible),
    }
    if isinstance(dynamics, IntegerDynamics):
        bits = max((p.connectivity.quantised.bits for p in into), default=None)
        return data | _integer_neurons(population, dynamics) | {"weight_bits": bits}
    try:
        return data | _float_neurons(contract_form(network, population))
    except ModelError:
        return data


def _float_neurons(form: ContractForm) -> dict[str, Any]:
    """Neurons as the contract has them: membranes are measured from where they start."""
    return {
        "threshold": _range(form.threshold) if form.spiking else None,
        "subtracts": _range(form.sub) if getattr(form.population.dynamics, "sub", None) is not None else None,
        "keeps": _range(form.beta) if form.leaky else None,
        "keeps_syn": None if form.alpha is None else _range(form.alpha),
        "floor": None if form.v_min is None else _range(form.v_min),
        "adapts": form.jump is not None,
        "reset": str(form.reset_mode),
        "reset_place": str(form.reset_place),
        "fire": str(form.fire) if form.spiking else None,
        "bias": _range(form.bias),
    }


def _integer_neurons(population: Population, dynamics: IntegerDynamics) -> dict[str, Any]:
    """Integer neurons in real units."""
    unit = dynamics.scale / (1 << dynamics.fraction_bits)
    subtracts = population.resets and dynamics.reset_mode is ResetMode.SUBTRACT
    return {
        "state_bits": dynamics.state_bits,
        "fraction_bits": dynamics.fraction_bits,
        "threshold": _range(dynamics.fire * unit) if population.fires else None,
        "subtracts": _range(dynamics.sub * unit) if subtracts and subtracts_other(dynamics) else None,
        "keeps": _kept(dynamics.decay),
        "keeps_syn": _kept(dynamics.decay_syn),
        "floor": None if dynamics.v_min is None else _range(dynamics.v_min * unit),
        "adapts": dynamics.jump is not None,
        "reset": str(dynamics.reset_mode) if population.resets else "none",
        "reset_place": str(dynamics.reset_place),
        "fire": "gt" if population.fires else None,
        "bias": _range(population.bias * unit),
    }


def _kept(decay: Decay | None) -> dict[str, Any] | None:
    """What a step keeps of a state; None where it keeps all."""
    return None if decay is None else _range(1 - decay.c / (1 << decay.k))


_COUNTS = ("synapses", "possible_synapses")


def _projection(network: Network, projection: Projection) -> dict[str, Any]:
    connectivity = projection.connectivity
    pre, post = connectivity.shape
    values = np.asarray(connectivity.values)
    data: dict[str, Any] = {
        "pre": projection.pre,
        "post": projection.post,
        "kind": type(connectivity).__name__.lower(),
        "shape": [pre, post],
        "weights_shape": list(values.shape),
        "synapses": connectivity.synapses,
        "sparsity": _sparsity(connectivity.synapses, connectivity.possible_synapses),
        "values": len(np.unique(values)),
        "step_edge": projection.step_edge,
        "delay": _range(projection.delay),
        "recurrent": network.is_recurrent(projection),
    }
    return data | ({"bits": connectivity.quantised.bits} if connectivity.is_integer else {"range": _range(values)})


def _sparsity(synapses: int, possible: int) -> float:
    return round(1 - synapses / possible, 6) if possible else 0.0


def _range(values: Any) -> dict[str, Any]:
    """The least and the largest of values, and how many different ones there are."""
    array = np.asarray(values)
    if not array.size:
        return {"min": 0.0, "max": 0.0, "different": 0}
    low, high = (float(f"{float(pick(array)):.6g}") for pick in (np.min, np.max))
    return {"min": low, "max": high, "different": len(np.unique(array))}

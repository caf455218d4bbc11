"""A network as other tools see it: NIR nodes with the real-valued, continuous-time parameters.

The view leaves out what NIR cannot say (reset by subtraction, the comparison, delays, ...); the metadata beside it
holds that. What a neuron has and no NIR neuron does stands in its node's own metadata too, so that whoever takes the
node for all of it can see that it is not. The view is a function of the network alone, so that a file whose nodes were
changed behind its metadata's back is noticed.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import FloatArray
from ...ir.connectivity import Dense
from ...ir.network import INPUT, Network, Population, Projection
from ...ir.neurons import MODELS, Arithmetic, FloatDynamics, IntegerDynamics, real_form
from .nodes import NirGraph, NirNode

DEFAULT_DT = 1e-4
"""The time step of the view where the network's own is not known: the one of the NIR paper."""

_PLAIN_NAME = re.compile(r"(?!(?:input|output|flatten|population\d+|projection\d+)\Z)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LEAST_LEAK = 2.0**-52
_UNKNOWN_TO_NIR = ("v_min", "rho", "jump", "max_spikes")


def view(network: Network) -> NirGraph:
    """The NIR graph of a network of either level."""
    kind = np.float32 if network.dtype == "float32" else np.float64
    names = node_names(network)
    nodes = {
        "input": NirNode("Input", {"shape": np.array(network.input_shape, np.int64)}),
        "output": NirNode("Output", {"shape": np.array([network.population(network.output).size], np.int64)}),
    }
    edges = [(names[network.output], "output")]
    if len(network.input_shape) > 1:
        nodes["flatten"] = _flatten_node(network)
        edges.append(("input", "flatten"))
    for population in network.populations:
        dt = DEFAULT_DT if network.dt is None else network.dt
        nodes[names[population.name]] = _neuron_node(population, dt, kind)
    with_bias: set[str] = set()
    for index, projection in enumerate(network.projections):
        post = network.population(projection.post)
        bias = _real_bias(post)
        bias = np.zeros(()) if post.name in with_bias else bias
        with_bias.add(post.name)
        nodes[f"projection{index}"] = _layer_node(projection, bias, post.size, kind)
        edges += [(names[projection.pre], f"projection{index}"), (f"projection{index}", names[projection.post])]
    return NirGraph(dict(sorted(nodes.items())), tuple(sorted(edges)))


def check_view(network: Network, graph: NirGraph) -> None:
    """Raise ModelError unless `graph`, as read from a file, is the view of `network`, the file's metadata."""
    expected = view(network)
    different = sorted(set(expected.edges) ^ set(graph.edges))
    if different:
        raise _contradiction(f"edge {quoted(different[0][0])} -> {quoted(different[0][1])}")
    for name in sorted(expected.nodes.keys() | graph.nodes.keys()):
        ours, theirs = expected.nodes.get(name), graph.nodes.get(name)
        if ours is None or theirs is None or ours.type != theirs.type or ours.fields.keys() != theirs.fields.keys():
            raise _contradiction(f"node {quoted(name)}")
        for field, value in ours.fields.items():
            if not np.array_equal(value, theirs.fields[field]):
                raise _contradiction(f"{field} of node {quoted(name)}")


def _contradiction(where: str) -> ModelError:
    return ModelError(
        f"Spikeloom's metadata describes the file's nodes: {where} differs from it; write the file again, or delete "
        "the metadata and give a --dialect"
    )


# -------------------------------------------------------------------------------------------------------- nodes


def node_names(network: Network) -> dict[str, str]:
    """Node names for populations: their own where it is plain, else a generated one; the input's first layer source."""
    names = {
        population.name: population.name if _PLAIN_NAME.fullmatch(population.name) else f"population{index}"
        for index, population in enumerate(network.populations)
    }
    names[INPUT] = "flatten" if len(network.input_shape) > 1 else "input"
    return names


def _flatten_node(network: Network) -> NirNode:
    return NirNode(
        "Flatten",
        {
            "input_type": np.array(network.input_shape, np.int64),
            "start_dim": np.array(0, np.int64),
            "end_dim": np.array(-1, np.int64),
        },
    )


def _layer_node(projection: Projection, bias: FloatArray, size: int, kind: type) -> NirNode:
    connectivity = projection.connectivity
    if not isinstance(connectivity, Dense):
        raise ModelError(
            f"a NIR file holds dense connectivity: the projection from {quoted(projection.pre)} to "
            f"{quoted(projection.post)} is {type(connectivity).__name__}; unroll it"
        )
    fields = {"weight": _cast(connectivity.real.T, kind)}
    if not np.any(bias):
        return NirNode("Linear", fields)
    return NirNode("Affine", fields | {"bias": _cast(np.broadcast_to(bias, (size,)), kind)})


def _neuron_node(population: Population, dt: float, kind: type) -> NirNode:
    dynamics = population.dynamics
    real = _real_dynamics(dynamics) if isinstance(dynamics, IntegerDynamics) else dynamics
    shape = (population.size,)
    return NirNode(
        real.kind.value,
        {name: _cast(np.broadcast_to(value, shape), kind) for name, value in _neuron_fields(real, dt).items()},
        metadata=_beside(real, kind),
    )


def _beside(dynamics: FloatDynamics, kind: type) -> dict[str, Any]:
    """What neurons have that NIR's do not: parameters by the IR's names, and a word about them."""
    held = {name: getattr(dynamics, name, None) for name in _UNKNOWN_TO_NIR}
    known = {name: value for name, value in held.items() if value is not None}
    if not known:
        return {}
    parameters = {n: np.int64(v) if isinstance(v, int) else _cast(v, kind)[()] for n, v in known.items()}
    return {"spikeloom": f"NIR's equation lacks {', '.join(known)}"} | parameters


def _neuron_fields(dynamics: FloatDynamics, dt: float) -> dict[str, FloatArray]:
    """NIR's parameters, such that an Euler step of its equation is the network's step: a share that is kept becomes a
    time constant, a gain the one of NIR, where the leak scales the input."""
    model = MODELS[dynamics.kind]
    leaks = {share: np.maximum(1 - getattr(dynamics, share), _LEAST_LEAK) for share in model.shares}
    if getattr(dynamics, "arithmetic", Arithmetic.DECAY) is not Arithmetic.DECAY:
        leaks["beta"] = np.ones(())  # the step scales its input by this leak already
    result = {}
    for name, parameter in model.nir.items():
        value: FloatArray = getattr(dynamics, parameter)
        if parameter in model.shares:
            value = dt / np.maximum(1 - value, _LEAST_LEAK)
        elif parameter in model.gains:
            share = model.gains[parameter]
            value = value / (dt if share is None else leaks[share])
        result[name] = value
    return result


def _real_dynamics(dynamics: IntegerDynamics) -> FloatDynamics:
    """What the integers stand for."""
    return real_form(dynamics, dynamics.fire, dynamics.reset_mode)


def _unit(dynamics: IntegerDynamics) -> FloatArray:
    """The real value of one membrane unit."""
    return dynamics.scale * 2.0**-dynamics.fraction_bits


def _real_bias(population: Population) -> FloatArray:
    dynamics = population.dynamics
    return population.bias * _unit(dynamics) if isinstance(dynamics, IntegerDynamics) else population.bias


def _cast(value: npt.NDArray[Any], kind: type) -> npt.NDArray[Any]:
    """The array in the network's float type, or as it is where that would overflow."""
    with np.errstate(over="ignore"):
        cast: npt.NDArray[Any] = value.astype(kind)
    return cast if np.isfinite(cast).all() else np.array(value)

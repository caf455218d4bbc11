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

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import FloatArray
from ...ir.network import INPUT, Network, Population, Projection
from ...ir.neurons import MODELS, Arithmetic, FloatDynamics, IntegerDynamics, real_form
from .layer_nodes import cast, flatten_node, layer_nodes
from .nodes import NirGraph, NirNode

DEFAULT_DT = 1e-4
"""The time step of the view where the network's own is not known: the one of the NIR paper."""

_PLAIN_NAME = re.compile(r"(?!(?:input|output|flatten|population\d+|projection\d+)\Z)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LEAST_LEAK = 2.0**-52
_UNKNOWN_TO_NIR = ("v_min", "sub", "rho", "jump", "max_spikes")


def view(network: Network) -> NirGraph:
    """The NIR graph of a network of either level; ModelError for synapses that no node can stand for."""
    drawing = _Drawing(network)
    with_bias: set[str] = set()
    for index, projection in enumerate(network.projections):
        bias = np.zeros(()) if projection.post in with_bias else _real_bias(network.population(projection.post))
        with_bias.add(projection.post)
        drawing.add_projection(f"projection{index}", projection, bias)
    drawing.join(drawing.row(network.output), "output")
    return NirGraph(dict(sorted(drawing.nodes.items())), tuple(sorted(set(drawing.edges))))


class _Drawing:
    """Nodes and edges of a network, as far as they stand."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.names = node_names(network) | {INPUT: "input"}
        self.kind = np.float32 if network.dtype == "float32" else np.float64
        self.shapes = {p.name: p.shape if _is_drawn_as_map(network, p) else (p.size,) for p in network.populations}
        self.shapes[INPUT] = network.input_shape
        output = network.population(network.output)
        self.nodes = {
            "input": NirNode("Input", {"shape": np.array(network.input_shape, np.int64)}),
            "output": NirNode("Output", {"shape": np.array([output.size], np.int64)}),
        }
        self.edges: list[tuple[str, str]] = []
        dt = DEFAULT_DT if network.dt is None else network.dt
        for population in network.populations:
            shape = self.shapes[population.name]
            self.nodes[self.names[population.name]] = _neuron_node(population, shape, dt, self.kind)

    def add_projection(self, name: str, projection: Projection, bias: FloatArray) -> None:
        """A projection's nodes, one behind the other, between those of its neurons."""
        connectivity, post = projection.connectivity, self.network.population(projection.post)
        source = self.row(projection.pre) if connectivity.pre_map is None else self.names[projection.pre]
        for part, node in layer_nodes(projection, bias, post.shape, self.kind):
            source = self.add(source, f"{name} {part}".rstrip(), node)
        if connectivity.post_map is not None and len(self.shapes[post.name]) == 1:
            source = self.add(source, f"{name} row", flatten_node(connectivity.post_map))
        self.join(source, self.names[post.name])

    def row(self, name: str) -> str:
        """The node that has the values of a population, or of the input, as a vector."""
        node, shape = self.names[name], self.shapes[name]
        if len(shape) == 1:
            return node
        return self.add(node, "flatten" if name == INPUT else f"{node} flat", flatten_node(shape))

    def add(self, source: str, name: str, node: NirNode) -> str:
        """A node behind `source`; its name."""
        self.nodes[name] = node
        self.join(source, name)
        return name

    def join(self, source: str, target: str) -> None:
        """An edge."""
        self.edges.append((source, target))


def _is_drawn_as_map(network: Network, population: Population) -> bool:
    """Whether every projection into a population writes a map."""
    into = network.projections_into(population.name)
    return len(population.shape) > 1 and all(p.connectivity.post_map is not None for p in into)


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
    """The names of the nodes of populations: their own where that is plain, else a generated one."""
    return {
        p.name: p.name if _PLAIN_NAME.fullmatch(p.name) else f"population{index}"
        for index, p in enumerate(network.populations)
    }


def _neuron_node(population: Population, shape: tuple[int, ...], dt: float, kind: type) -> NirNode:
    dynamics = population.dynamics
    real = _real_dynamics(dynamics) if isinstance(dynamics, IntegerDynamics) else dynamics
    return NirNode(
        real.kind.value,
        {name: cast(_shaped(value, shape), kind) for name, value in _neuron_fields(real, dt).items()},
        metadata=_beside(real, kind),
    )


def _shaped(value: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    return value.reshape(shape) if value.ndim else np.broadcast_to(value, shape)


def _beside(dynamics: FloatDynamics, kind: type) -> dict[str, Any]:
    """What neurons have that NIR's do not: parameters by the IR's names, and a word about them."""
    held = {name: getattr(dynamics, name, None) for name in _UNKNOWN_TO_NIR}
    known = {name: value for name, value in held.items() if value is not None}
    if not known:
        return {}
    parameters = {n: np.int64(v) if isinstance(v, int) else cast(v, kind)[()] for n, v in known.items()}
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

"""Read a NIR file into the IR.

A file of our own (`writer`) holds the whole network as metadata and comes back exactly. Any other file is read node
by node under the conventions of its dialect (`dialects`, docs/nir.md); what Spikeloom cannot represent is refused.
The file is long as each node's conversion stands in it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.connectivity import Dense
from ...ir.network import INPUT, Network, Population, Projection
from ...ir.neurons import MODELS
from ...ir.verifier import verify
from .dialects import Conventions, Options, dialect_of, resolve
from .evidence import evidence
from .foreign import foreign_options
from .graph import NirGraph, NirNode, read_graph, spikeloom_metadata
from .hdf5_guard import CheckedFile, open_checked
from .metadata import holds_network, read_conventions, read_network
from .neurons import dynamics_of
from .options import with_floor, with_options
from .view import check_view

_LAYERS = ("Affine", "Linear")
_NEURONS = {kind.value: model for kind, model in MODELS.items()}
_SUPPORTED = tuple(sorted((*_LAYERS, *_NEURONS, "Flatten", "Input", "Output")))

Shape = tuple[int, ...]


def read_nir(
    path: str | Path,
    *,
    dialect: str | None = None,
    dt: float | None = None,
    reset: str | None = None,
    reset_delay: bool | None = None,
    fire: str | None = None,
    tau: str | None = None,
    x_max: int | None = None,
    v_min: float | str | None = None,
) -> Network:
    """Read the NIR file at `path` into a verified network.

    `dialect` (snntorch, norse, spikingjelly, sinabs, nir, rockpool, spyx, lava) names the tool that wrote the file;
    `dt` in seconds, `reset` (subtract, zero, value), `reset_delay` and `fire` (gt, ge) override single conventions,
    `tau` (seconds, scaled) says how a release of Norse wrote its time constants. `x_max` is the largest value of an
    input in a step, 1 by default. They win over the file's metadata (Spikeloom's own, then what is unmistakable in that
    of other tools, with a warning), over what the file's numbers decide, and over the dialect's own conventions. A file
    written by `write_nir` needs none of them. `v_min` is the floor of the membranes of all neurons that fire, of which
    only files of our own speak: a number, or "threshold" for one as far below 0 as the threshold is above.

    Raises InputError for a file that is unreadable or hostile, OptionError for conventions that are unknown or still
    open, ModelError for a graph that is malformed or not supported.
    """
    options = Options(
        dialect=dialect, dt=dt, reset=reset, reset_delay=reset_delay, fire=fire, tau=tau, x_max=x_max, v_min=v_min
    )
    with open_checked(path) as file:
        network = _read(file, options)
    verify(network)
    return network


def _read(file: CheckedFile, options: Options) -> Network:
    graph = read_graph(file)
    metadata = spikeloom_metadata(file)
    if metadata is not None and holds_network(metadata):
        network = read_network(file, metadata)
        verify(network)
        check_view(network, graph)
        return with_options(network, options)
    _check_types(graph)
    return with_floor(_Conversion(graph, _conventions(file, graph, options)).network(), options.v_min)


def _conventions(file: CheckedFile, graph: NirGraph, options: Options) -> Conventions:
    metadata = spikeloom_metadata(file)
    said = options if metadata is None else options.over(read_conventions(file, metadata))
    dialect = dialect_of(said)
    said = said.over(foreign_options(file, graph, dialect, said))
    return resolve(said.over(evidence(graph, dialect, said)))


def _check_types(graph: NirGraph) -> None:
    for name, node in graph.nodes.items():
        if node.type not in _SUPPORTED:
            raise ModelError(
                f"supported NIR nodes are {', '.join(_SUPPORTED)}: node {quoted(name)} is a {quoted(node.type)}, which "
                "is not supported; replace it"
            )


@dataclass(frozen=True)
class _Synapses:
    """A Linear or Affine node between two populations: name of the layer, of its source and of its target."""

    layer: str
    source: str
    target: str


class _Conversion:
    """One graph on its way into the IR: every method derives one part of the network from it."""

    def __init__(self, graph: NirGraph, conventions: Conventions) -> None:
        self.nodes = graph.nodes
        self.conventions = conventions
        self.sources = {name: sorted(a for a, b in graph.edges if b == name) for name in graph.nodes}
        self.input = self._only("Input")
        self.output = self._only("Output")
        self.order = self._topological_order()
        self._check_connected()
        self._check_endings()

    def network(self) -> Network:
        """The network, populations in topological order with ties by name."""
        shapes = self._shapes()
        neurons = [name for name in self.order if self.nodes[name].type in _NEURONS]
        names = self._population_names(neurons)
        synapses = self._synapses(neurons)
        populations = tuple(self._population(name, names[name], synapses, shapes) for name in neurons)
        position = {name: i for i, name in enumerate([self.input, *neurons])}
        synapses.sort(key=lambda s: (position[s.target], position[s.source], s.layer))
        late = self._needs_delays(synapses)
        projections = tuple(
            Projection(
                pre=names[s.source],
                post=names[s.target],
                connectivity=Dense(weights=self.nodes[s.layer].fields["weight"].astype(np.float64).T),
                delay=np.array(int(late and s.source != self.input)),
            )
            for s in synapses
        )
        return Network(
            input_shape=shapes[self.input],
            populations=populations,
            projections=projections,
            output=names[self._origin(self.output)],
            x_max=self.conventions.x_max,
            dtype=self._dtype(synapses),
            dt=self.conventions.dt if self.conventions.dialect.dt_in_seconds else None,
            dialect=self.conventions.dialect.name,
        )

    # ------------------------------------------------------------------------------------------------ the graph

    def _only(self, kind: str) -> str:
        found = [name for name, node in self.nodes.items() if node.type == kind]
        if len(found) != 1:
            listed = ", ".join(quoted(name) for name in found[:3]) or "none"
            raise ModelError(
                f"a NIR graph has one {kind} node: this one has {len(found)} ({listed}); merge or add them"
            )
        return found[0]

    def _topological_order(self) -> list[str]:
        waiting = {name: len(sources) for name, sources in self.sources.items()}
        targets: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, sources in self.sources.items():
            for source in sources:
                targets[source].append(name)
        ready = [name for name, count in waiting.items() if count == 0]
        heapq.heapify(ready)
        order = []
        while ready:
            name = heapq.heappop(ready)
            order.append(name)
            for target in targets[name]:
                waiting[target] -= 1
                if waiting[target] == 0:
                    heapq.heappush(ready, target)
        if len(order) < len(self.nodes):
            raise ModelError(
                f"graphs are feed-forward: {self._cycle(set(self.nodes) - set(order))} is a cycle, and recurrence is "
                "not supported yet; remove it"
            )
        return order

    def _cycle(self, candidates: set[str]) -> str:
        """A cycle among nodes that all have a source among them, found by walking backwards."""
        path = [min(candidates)]
        while path[-1] not in path[:-1]:
            path.append(next(source for source in self.sources[path[-1]] if source in candidates))
        cycle = path[path.index(path[-1]) :][::-1]
        shown = cycle if len(cycle) <= 5 else [*cycle[:4], cycle[-1]]
        return " -> ".join(quoted(name) for name in shown)

    def _check_connected(self) -> None:
        reached = {self.input}
        for name in self.order:
            if reached.intersection(self.sources[name]):
                reached.add(name)
        used = {self.output}
        for name in reversed(self.order):
            if name in used:
                used.update(self.sources[name])
        for name in self.order:
            if name not in reached or name not in used:
                missing = "the input does not reach it" if name not in reached else "it does not reach the output"
                raise ModelError(f"every node has a part in the graph: {quoted(name)} has none, {missing}; remove it")

    def _check_endings(self) -> None:
        for name in self.order:
            node, sources = self.nodes[name], self.sources[name]
            if node.type in ("Output", "Flatten") and len(sources) > 1:
                raise ModelError(f"{node.type} nodes have one source: {quoted(name)} has {len(sources)}; use one")
            origins = {self._origin(source) for source in sources}
            for origin in sorted(origins):
                self._check_step(origin, name)

    def _check_step(self, source: str, target: str) -> None:
        """What may follow what, flattening aside: Input -> (layer -> neurons)+ -> Output."""
        first, second = self.nodes[source].type, self.nodes[target].type
        edge = f"{quoted(source)} -> {quoted(target)}"
        if second in _NEURONS and first not in _LAYERS:
            raise ModelError(
                f"neurons follow a Linear or Affine node: {edge} joins {first} and {second}; put a Linear between them"
            )
        if second in _LAYERS and first in _LAYERS:
            raise ModelError(
                f"a layer of weights is followed by neurons: {edge} joins {first} and {second}; multiply them into one"
            )
        if second == "Output" and first not in _NEURONS:
            raise ModelError(f"the output comes from neurons: {edge} joins {first} and Output; end with IF, LIF or LI")
        if second in _LAYERS and first in _NEURONS and not _NEURONS[first].fires:
            raise ModelError(
                f"{first} neurons are a readout: {edge} uses their membranes as spikes; make them LIF neurons"
            )

    def _origin(self, name: str) -> str:
        """The node whose values arrive, looking through Output and Flatten nodes, which keep the order of values."""
        while self.nodes[name].type in ("Flatten", "Output"):
            name = self.sources[name][0]
        return name

    def _synapses(self, neurons: list[str]) -> list[_Synapses]:
        return [
            _Synapses(layer, self._origin(source), target)
            for target in neurons
            for layer in sorted({self._origin(layer) for layer in self.sources[target]})
            for source in self.sources[layer]
        ]

    def _population_names(self, neurons: list[str]) -> dict[str, str]:
        """Names in the IR; a node that is called like the IR's input gets underscores."""
        names = {self.input: INPUT}
        for name in neurons:
            unique = name
            while unique == INPUT or (unique != name and unique in neurons):
                unique += "_"
            names[name] = unique
        return names

    # ---------------------------------------------------------------------------------------------- the numbers

    def _population(
        self, name: str, new_name: str, synapses: list[_Synapses], shapes: Mapping[str, Shape]
    ) -> Population:
        size = math.prod(shapes[name])
        layers = sorted({s.layer for s in synapses if s.target == name})
        bias: npt.NDArray[Any] = np.asarray(sum(self._bias(layer) for layer in layers))
        dynamics = dynamics_of(name, self.nodes[name], size, self.conventions)
        if np.all(bias == bias.flat[0]):
            bias = bias.flat[0].reshape(())
        return Population(name=new_name, shape=(size,), dynamics=dynamics, bias=bias)

    def _needs_delays(self, synapses: list[_Synapses]) -> bool:
        """Whether spikes that reach the next layer a step late show in what the network computes.

        In a chain without biases behind its first layer every layer starts when its first spikes come, a step after the
        one before it, and does the same as without any lateness: the output is that of these steps earlier.
        """
        if not self.conventions.dialect.late_spikes:
            return False
        later = {s.target for s in synapses if s.source != self.input}
        chain = len({s.target for s in synapses}) == len({s.source for s in synapses}) == len(synapses)
        biased = any(np.any(self._bias(s.layer) != 0) for s in synapses if s.target in later)
        return biased or not chain

    def _bias(self, layer: str) -> npt.NDArray[Any]:
        fields = self.nodes[layer].fields
        if "bias" not in fields:
            return np.zeros(())
        bias, size = fields["bias"], fields["weight"].shape[0]
        if bias.size not in (1, size):
            raise ModelError(
                f"a bias is a scalar or has one entry per output ({size}): node {quoted(layer)} has shape {bias.shape}"
            )
        return bias.astype(np.float64).reshape(-1) if bias.size == size else bias.astype(np.float64).reshape(())

    def _dtype(self, synapses: list[_Synapses]) -> str:
        doubles = any(self.nodes[s.layer].fields["weight"].dtype == np.float64 for s in synapses)
        return "float64" if doubles else "float32"

    def _shapes(self) -> dict[str, Shape]:
        """The shape of the values that each node puts out, checked along every edge."""
        shapes: dict[str, Shape] = {}
        for name in self.order:
            node = self.nodes[name]
            arriving = {source: shapes[source] for source in self.sources[name]}
            if node.type == "Input":
                shapes[name] = self._input_shape(name, node)
            elif node.type in _LAYERS:
                shapes[name] = self._layer_shape(name, node, arriving)
            elif node.type == "Flatten":
                shapes[name] = self._flatten_shape(name, node, next(iter(arriving.values())))
            elif node.type == "Output":
                shapes[name] = self._output_shape(name, node, next(iter(arriving.values())))
            else:
                shapes[name] = self._neuron_shape(name, arriving)
        return shapes

    def _input_shape(self, name: str, node: NirNode) -> Shape:
        """The shape of one step's input, without what exporters leave of their example in front of a layer's vector."""
        shape = _declared_shape(name, node, "shape")
        layers = [n for n, sources in self.sources.items() if name in sources and self.nodes[n].type in _LAYERS]
        if not layers:
            return shape
        if self.conventions.dialect.leading_axes or all(length == 1 for length in shape[:-1]):
            return shape[-1:]
        return shape

    def _layer_shape(self, name: str, node: NirNode, arriving: Mapping[str, Shape]) -> Shape:
        weight = node.fields["weight"]
        if weight.ndim != 2 or not weight.size:
            raise ModelError(
                f"weights have the shape (outputs, inputs): node {quoted(name)} has {weight.shape}; reshape them"
            )
        for source, shape in arriving.items():
            if _without_batch(shape) != (weight.shape[1],):
                raise ModelError(
                    f"shapes connect: {quoted(source)} puts out {shape}, node {quoted(name)} takes "
                    f"({weight.shape[1]},); correct one of them or flatten between them"
                )
        return (weight.shape[0],)

    def _flatten_shape(self, name: str, node: NirNode, arriving: Shape) -> Shape:
        if "input_type" in node.fields:
            declared = _declared_shape(name, node, "input_type")
            if math.prod(declared) != math.prod(arriving):
                raise ModelError(
                    f"shapes connect: node {quoted(name)} expects {declared}, {arriving} arrives; correct one of them"
                )
            arriving = declared
        dims = len(arriving)
        start, end = (_dimension(name, node, field, dims) for field in ("start_dim", "end_dim"))
        if start > end:
            raise ModelError(f"a Flatten starts before it ends: node {quoted(name)} goes from {start} to {end}")
        return (*arriving[:start], math.prod(arriving[start : end + 1]), *arriving[end + 1 :])

    def _neuron_shape(self, name: str, arriving: Mapping[str, Shape]) -> Shape:
        sizes = {source: math.prod(shape) for source, shape in arriving.items()}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{quoted(source)} {size}" for source, size in sorted(sizes.items())[:4])
            raise ModelError(f"what meets in a neuron has one size: node {quoted(name)} gets {listed}; correct them")
        return (next(iter(sizes.values())),)

    def _output_shape(self, name: str, node: NirNode, arriving: Shape) -> Shape:
        declared = _declared_shape(name, node, "shape")
        if self.conventions.dialect.leading_axes:
            declared = declared[-1:]
        if math.prod(declared) != math.prod(arriving):
            raise ModelError(
                f"shapes connect: node {quoted(name)} expects {declared}, {arriving} arrives; correct one of them"
            )
        return arriving


def _without_batch(shape: Shape) -> Shape:
    """The shape without leading axes of length 1, which are batch axes in front of a vector."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _declared_shape(name: str, node: NirNode, field: str) -> Shape:
    value = node.fields[field]
    if value.dtype.kind not in "iu" or value.ndim > 1 or not value.size or np.any(value < 1) or np.any(value > 1 << 31):
        raise ModelError(
            f"a shape is a list of positive integers: {field} of node {quoted(name)} is {quoted(value.tolist())}"
        )
    return tuple(int(length) for length in value.reshape(-1))


def _dimension(name: str, node: NirNode, field: str, dims: int) -> int:
    value = node.fields[field]
    if value.dtype.kind not in "iu" or value.size != 1 or not -dims <= int(value.flat[0]) < dims:
        raise ModelError(
            f"a Flatten takes dimensions that exist, of {dims}: {field} of node {quoted(name)} is "
            f"{quoted(value.tolist())}; correct it"
        )
    return int(value.flat[0]) % dims

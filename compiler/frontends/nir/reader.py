"""Read a NIR file into the IR.

A file of our own (`writer`) holds the whole network as metadata and comes back exactly. Any other file is read node
by node under the conventions of its dialect (`dialects`, docs/nir.md); what Spikeloom cannot represent is refused.
The file is long as each node's conversion stands in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import FloatArray, IntArray
from ...ir.network import INPUT, Network, Population, Projection
from ...ir.signed import with_signed_inputs
from ...ir.verifier import MAX_DELAY, verify
from ..chain import Chain
from .dialects import Conventions, Options, dialect_of, resolve
from .evidence import evidence
from .foreign import foreign_options
from .graph import read_graph, spikeloom_metadata
from .hdf5_guard import CheckedFile, open_checked
from .layers import onto
from .metadata import holds_network, read_conventions, read_network
from .neurons import dynamics_of
from .nodes import NirGraph
from .options import with_floor, with_options
from .order import evaluation_order
from .primitives import READ, REFUSED
from .signals import Signals
from .structure import LAYERS, NEURONS, Structure
from .view import check_view


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
    x_min: int | None = None,
    v_min: float | str | None = None,
    max_spikes: int | None = None,
) -> Network:
    """Read the NIR file at `path` into a verified network.

    `dialect` (snntorch, norse, spikingjelly, sinabs, nir, rockpool, spyx, lava) names the tool that wrote the file;
    `dt` in seconds, `reset` (subtract, zero, value), `reset_delay` and `fire` (gt, ge) override single conventions,
    `tau` (seconds, scaled) says how a release of Norse wrote its time constants. `x_max` is the largest value of an
    input in a step, 1 by default, `x_min` the smallest: below 0 inputs are signed and become two for each (`signed`).
    They win over the file's metadata (Spikeloom's own, then what is unmistakable in that
    of other tools, with a warning), over what the file's numbers decide, and over the dialect's own conventions. A file
    written by `write_nir` needs none of them. Of two things only files of our own speak: `v_min` is the floor of the
    membranes of all neurons that fire, a number, "threshold" for one as far below 0 as the threshold is above, or
    "none"; `max_spikes` is how often they fire in a step at most. Of sinabs both are by default what Sinabs makes of
    the file: its IF has the floor "threshold", and all neurons fire as often as their membranes hold the threshold
    (255 times at most here). Of others there is no floor, and one spike in a step.

    Raises InputError for a file that is unreadable or hostile, OptionError for conventions that are unknown or still
    open, ModelError for a graph that is malformed or not supported.
    """
    options = Options(
        dialect=dialect,
        dt=dt,
        reset=reset,
        reset_delay=reset_delay,
        fire=fire,
        tau=tau,
        x_max=x_max,
        x_min=x_min,
        v_min=v_min,
        max_spikes=max_spikes,
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
    conventions = _conventions(file, graph, options)
    network = with_signed_inputs(_Conversion(graph, conventions).network(), conventions.x_min)
    return with_floor(network, options.v_min)


def _conventions(file: CheckedFile, graph: NirGraph, options: Options) -> Conventions:
    metadata = spikeloom_metadata(file)
    said = options if metadata is None else options.over(read_conventions(file, metadata))
    dialect = dialect_of(said)
    said = said.over(foreign_options(file, graph, dialect, said))
    return resolve(said.over(evidence(graph, dialect, said)))


def _check_types(graph: NirGraph) -> None:
    for name, node in graph.nodes.items():
        if node.type not in READ:
            why = REFUSED.get(node.type, "NIR 1.0.8 has no such node; replace it")
            raise ModelError(
                f"supported NIR nodes are {', '.join(READ)}: node {quoted(name)} is a {quoted(node.type)}: {why}"
            )


@dataclass(frozen=True, eq=False)
class _Synapses:
    """What stands between two populations: its `layer`, a node of weights or what is in its place, its source and its
    target, what delays it, and what it all is. `bias` is what it adds, unless other synapses of the layer do."""

    layer: str
    source: str
    target: str
    delay: IntArray
    chain: Chain
    bias: FloatArray

    @property
    def edge(self) -> tuple[str, str]:
        return self.source, self.target


class _Conversion:
    """One graph on its way into the IR: every method derives one part of the network from it."""

    def __init__(self, graph: NirGraph, conventions: Conventions) -> None:
        self.structure = Structure(graph)
        self.nodes = graph.nodes
        self.input, self.output = self.structure.input, self.structure.output
        self.conventions = conventions
        self.signals = Signals(self.structure, conventions)
        self.synapses = [s for name, node in self.nodes.items() if node.type in NEURONS for s in self._into(name)]

    def network(self) -> Network:
        """The network, populations in evaluation order with ties by name."""
        edges = {s.edge for s in self.synapses}
        at_once = {s.edge for s in self.synapses if np.min(s.delay) < 1}
        order, back = evaluation_order(self.input, edges, edges - at_once)
        self._check_known(back)
        neurons = [name for name in order if name != self.input]
        names = self._population_names(neurons)
        position = {name: i for i, name in enumerate([self.input, *neurons])}
        synapses = sorted(self.synapses, key=lambda s: (position[s.target], position[s.source], s.layer))
        late = self._needs_delays(synapses)
        return Network(
            input_shape=self.signals.of(self.input).shape,
            populations=tuple(self._population(name, names[name]) for name in neurons),
            projections=tuple(
                Projection(
                    pre=names[s.source],
                    post=names[s.target],
                    connectivity=s.chain.connectivity(f"node {quoted(s.layer)}"),
                    delay=np.maximum(s.delay, int(s.edge in back)) + int(late and s.source != self.input),
                )
                for s in synapses
            ),
            output=names[self._output()],
            x_max=self.conventions.x_max,
            dtype=self._dtype(),
            dt=self.conventions.dt if self.conventions.dialect.dt_in_seconds else None,
            dialect=self.conventions.dialect.name,
        )

    # ------------------------------------------------------------------------------------------------ the graph

    def _into(self, target: str) -> list[_Synapses]:
        """The synapses into the neurons `target`, once for each way through a layer."""
        found = []
        for behind in self.signals.into(target):
            layer = behind.origin
            if self.nodes[layer].type not in LAYERS:  # what is pooled or scaled, and nothing else
                chain = self._along(layer, behind.layers)
                found.append(_Synapses(behind.layers[-1], layer, target, behind.delay, chain, chain.bias))
                continue
            for number, before in enumerate(self.signals.into(layer)):
                chain = self._along(before.origin, (*before.layers, layer, *behind.layers))
                if np.any(behind.delay) and np.any(chain.bias):
                    raise ModelError(
                        f"a bias is there from the first step: that of node {quoted(layer)} stands before a Delay; put "
                        "the Delay before the layer"
                    )
                delay = _of_synapses(before.delay, behind.delay, chain, layer)
                bias = np.zeros(()) if number else chain.bias
                found.append(_Synapses(layer, before.origin, target, delay, chain, bias))
        return found

    def _along(self, source: str, names: tuple[str, ...]) -> Chain:
        chain = Chain(shape=self.signals.of(source).shape)
        for name in names:
            chain = onto(chain, name, self.nodes[name])
        return chain

    def _check_known(self, back: set[tuple[str, str]]) -> None:
        """Refuse recurrence of dialects whose layers pass spikes on a step late: when theirs arrive is not known."""
        if back and self.conventions.dialect.late_spikes:
            edge = " -> ".join(map(quoted, min(back)))
            raise ModelError(
                f"recurrence of the dialect {self.conventions.dialect.name!r} is not supported: {edge} leads back; "
                "retrain without it, or with snnTorch"
            )

    def _output(self) -> str:
        """The neurons that are read out."""
        signal = self.signals.of(self.output)
        if np.any(signal.delay):
            raise ModelError(
                f"the output is read as it is: a Delay stands before node {quoted(self.output)}; remove it, and read "
                "the spikes so many steps earlier"
            )
        return signal.origin

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

    def _population(self, name: str, new_name: str) -> Population:
        shape = self.signals.of(name).shape
        into = [s for s in self.synapses if s.target == name]
        bias: npt.NDArray[Any] = np.asarray(sum(s.bias for s in into))
        recurrent = any(s.edge == (name, name) for s in self.synapses)
        dynamics = dynamics_of(name, self.nodes[name], math.prod(shape), self.conventions, recurrent)
        if np.all(bias == bias.flat[0]):
            bias = bias.flat[0].reshape(())
        if not any(s.chain.is_map and s.chain.shape == shape for s in into):
            shape = (math.prod(shape),)
        return Population(name=new_name, shape=shape, dynamics=dynamics, bias=bias)

    def _needs_delays(self, synapses: list[_Synapses]) -> bool:
        """Whether spikes that reach the next layer a step late show in what the network computes.

        In a chain without biases behind its first layer every layer starts when its first spikes come, a step after the
        one before it, and does the same as without any lateness: the output is that of these steps earlier.
        """
        if not self.conventions.dialect.late_spikes:
            return False
        later = {s.target for s in synapses if s.source != self.input}
        chain = len({s.target for s in synapses}) == len({s.source for s in synapses}) == len(synapses)
        biased = any(np.any(s.chain.bias != 0) for s in synapses if s.target in later)
        return biased or not chain

    def _dtype(self) -> str:
        weights = [node.fields["weight"] for node in self.nodes.values() if node.type in LAYERS]
        return "float64" if any(weight.dtype == np.float64 for weight in weights) else "float32"


def _of_synapses(before: IntArray, behind: IntArray, chain: Chain, layer: str) -> IntArray:
    """The delay of those of pre and post neurons: [pre, post] of a matrix, else one per pre neuron; a scalar for all
    alike."""
    largest = np.max(before) + np.max(behind)
    if largest > MAX_DELAY:
        raise ModelError(
            f"delays are at most {MAX_DELAY} steps: those before and behind node {quoted(layer)} add up to {largest}; "
            "shorten them"
        )
    if not before.ndim and not behind.ndim:
        return before + behind
    if chain.is_matrix:
        delays = np.broadcast_to(before.reshape(-1, 1) + behind, chain.connectivity(layer).shape)
    elif behind.ndim:
        raise ModelError(
            f"what shares weights has one delay behind it: several follow node {quoted(layer)}; put the Delay before it"
        )
    else:
        delays = before + behind
    return delays.reshape(-1)[0].reshape(()) if np.all(delays == delays.flat[0]) else delays

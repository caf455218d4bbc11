"""How the nodes of a NIR graph stand together: one input, one output, layers and neurons in turn, none left over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ....hdl.errors import ModelError, quoted
from ...ir.neurons import MODELS, Kind
from .nodes import NirGraph

LAYERS = ("Affine", "Linear", "Conv1d", "Conv2d")
NEURONS = {kind.value: model for kind, model in MODELS.items()} | {"Threshold": MODELS[Kind.LIF]}
BETWEEN = ("SumPool2d", "AvgPool2d", "Scale")
"""Nodes that may stand before weights, behind them, or in their place."""

PASSED = ("Delay", "Flatten", "Output", *BETWEEN)
"""Nodes with one source: what comes from them comes from the node before them."""


class Structure:
    """The graph of a network: its nodes by name, the names of the nodes in front of each, its `input` and its `output`.

    Raises ModelError, naming nodes and edges, unless every node lies on a way from the input to the output and ways go
    Input -> (layer -> neurons)+ -> Output, wherever they lead, with Flattens, Delays, poolings and factors between.
    """

    def __init__(self, graph: NirGraph) -> None:
        self.nodes = graph.nodes
        self.sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for a, b in graph.edges:
            self.sources[b].append(a)
        self.input = self._only("Input")
        self.output = self._only("Output")
        self._check_connected(graph.edges)
        self._origins: dict[str, str] = {}
        for name in self.nodes:
            self.origin(name)
            for source in self.sources[name]:
                self._check_step(self.origin(source), name, self._changes(source))

    def origin(self, name: str) -> str:
        """The node whose values the node `name` puts out, looking through those that only pass values on."""
        passed: dict[str, None] = {}
        while name not in self._origins and self.nodes[name].type in PASSED:
            if name in passed:
                path = list(passed)
                shown = " -> ".join(quoted(n) for n in [*path[path.index(name) :][:4], name][::-1])
                raise ModelError(f"a cycle has neurons in it: {shown} has none; remove it")
            if len(self.sources[name]) != 1:
                kind, count = self.nodes[name].type, len(self.sources[name])
                raise ModelError(f"{kind} nodes have one source: {quoted(name)} has {count}; use one")
            passed[name] = None
            name = self.sources[name][0]
        found = self._origins.get(name, name)
        self._origins |= dict.fromkeys(passed, found)
        return found

    def _changes(self, name: str) -> bool:
        """Whether a pooling or a factor stands between the origin of a node's values and the node, itself included."""
        while self.nodes[name].type in PASSED:
            if self.nodes[name].type in BETWEEN:
                return True
            name = self.sources[name][0]
        return False

    def _only(self, kind: str) -> str:
        found = [name for name, node in self.nodes.items() if node.type == kind]
        if len(found) != 1:
            listed = ", ".join(quoted(name) for name in found[:3]) or "none"
            raise ModelError(
                f"a NIR graph has one {kind} node: this one has {len(found)} ({listed}); merge or add them"
            )
        return found[0]

    def _check_connected(self, edges: Iterable[tuple[str, str]]) -> None:
        targets: dict[str, list[str]] = {name: [] for name in self.nodes}
        for a, b in edges:
            targets[a].append(b)
        if self.sources[self.input]:
            edge = f"{quoted(self.sources[self.input][0])} -> {quoted(self.input)}"
            raise ModelError(f"nothing leads to the input: {edge} does; remove that edge")
        reached, used = _reached(self.input, targets), _reached(self.output, self.sources)
        for name in self.nodes:
            if name not in reached or name not in used:
                missing = "the input does not reach it" if name not in reached else "it does not reach the output"
                raise ModelError(f"every node has a part in the graph: {quoted(name)} has none, {missing}; remove it")

    def _check_step(self, source: str, target: str, changed: bool) -> None:
        """What may follow what, flattening and delays aside: Input -> (layer -> neurons)+ -> Output.

        Where values are `changed`, by poolings or factors, these are a layer too.
        """
        first, second = self.nodes[source].type, self.nodes[target].type
        edge = f"{quoted(source)} -> {quoted(target)}"
        if second in NEURONS and first not in LAYERS and not changed:
            raise ModelError(
                f"neurons follow a layer of weights: {edge} joins {first} and {second}; put a Linear between them"
            )
        if second in LAYERS and first in LAYERS:
            raise ModelError(
                f"a layer of weights is followed by neurons: {edge} joins {first} and {second}; multiply them into one"
            )
        if second == "Output" and changed:
            raise ModelError(f"the output is spikes as they are: {edge} joins others; leave out what stands between")
        if second == "Output" and first not in NEURONS:
            raise ModelError(f"the output comes from neurons: {edge} joins {first} and Output; end with IF, LIF or LI")
        if second in (*LAYERS, *NEURONS) and first in NEURONS and not NEURONS[first].fires:
            raise ModelError(
                f"{first} neurons are a readout: {edge} uses their membranes as spikes; make them LIF neurons"
            )


def _reached(start: str, following: Mapping[str, list[str]]) -> set[str]:
    reached, waiting = {start}, [start]
    while waiting:
        new = [name for name in following[waiting.pop()] if name not in reached]
        reached.update(new)
        waiting += new
    return reached

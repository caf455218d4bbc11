"""Graphs within graphs: a NIRGraph that is a node, such as snnTorch's recurrent layers, joins the graph around it.

The nodes of a subgraph `lif1` are called `lif1.lif`, `lif1.w_rec`, ...; what leads to the subgraph leads to what
follows its Input, and what its Output gets goes where the subgraph goes. Input and Output themselves disappear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from ....hdl.errors import ModelError, quoted
from .nodes import NirGraph, NirNode

Edge = tuple[str, str]

MAX_EDGES = 100_000
"""So many edges a graph with subgraphs may have, those that lead through their Inputs and Outputs counted."""

MAX_SUBGRAPHS = 1_000


@dataclass(frozen=True, eq=False)
class NestedGraph:
    """A graph as it stands in a file, at `path`: nodes and graphs by name, and edges between them in order."""

    nodes: Mapping[str, NirNode | NestedGraph]
    edges: tuple[Edge, ...]
    path: str = ""


def flat(graph: NestedGraph) -> NirGraph:
    """The graph without subgraphs, whose places it keeps.

    Raises ModelError, naming the subgraph, for one without exactly one Input and one Output, for one whose Input leads
    straight to its Output, and where two nodes or edges would be one.
    """
    nodes: dict[str, NirNode] = {}
    subgraphs: dict[str, str] = {}
    edges = list(graph.edges)
    for name, node in graph.nodes.items():
        if isinstance(node, NestedGraph):
            inner = flat(node)
            edges = _spliced(name, inner.nodes, inner.edges, edges)
            named = {f"{name}.{part}": x for part, x in inner.nodes.items() if x.type not in ("Input", "Output")}
            subgraphs |= {name: node.path, **{f"{name}.{part}": path for part, path in inner.subgraphs.items()}}
            if len(subgraphs) > MAX_SUBGRAPHS:
                raise ModelError(f"a graph has at most {MAX_SUBGRAPHS} subgraphs: this one has more; flatten it")
        else:
            named = {name: node}
        for part in named:
            if part in nodes or (part != name and part in graph.nodes):
                raise ModelError(f"nodes have names of their own: {quoted(part)} is that of two; rename one")
        nodes |= named
    edges.sort()
    for one, other in pairwise(edges):
        if one == other:
            raise ModelError(
                f"what meets comes from different nodes: {quoted(one[0])} -> {quoted(one[1])} stands twice, once "
                "through a subgraph; remove one"
            )
    return NirGraph(dict(sorted(nodes.items())), tuple(edges), subgraphs=subgraphs)


def _spliced(name: str, nodes: Mapping[str, NirNode], inner: tuple[Edge, ...], outer: list[Edge]) -> list[Edge]:
    """The edges around and in the subgraph `name`, without its Input and Output."""
    entry, leave = (_only(name, kind, nodes) for kind in ("Input", "Output"))
    if (entry, leave) in inner:
        raise ModelError(
            f"a subgraph does something: the Input of {quoted(name)} leads straight to its Output; put that edge "
            "around the subgraph"
        )
    before = [a for a, b in outer if b == name]
    behind = [b for a, b in outer if a == name]
    first = [f"{name}.{b}" for a, b in inner if a == entry]
    last = [f"{name}.{a}" for a, b in inner if b == leave]
    if name in before:  # the subgraph's output leads to its input
        before = [a for a in before if a != name] + last
        behind = [b for b in behind if b != name]
    if len(outer) + len(inner) + len(before) * len(first) + len(last) * len(behind) > MAX_EDGES:
        raise ModelError(
            f"a graph with subgraphs has at most {MAX_EDGES} edges: with those through {quoted(name)} it has more; put "
            "fewer nodes around it"
        )
    kept = [edge for edge in outer if name not in edge]
    within = [(f"{name}.{a}", f"{name}.{b}") for a, b in inner if a != entry and b != leave]
    return [*kept, *within, *((a, b) for a in before for b in first), *((a, b) for a in last for b in behind)]


def _only(graph: str, kind: str, nodes: Mapping[str, NirNode]) -> str:
    found = [name for name, node in nodes.items() if node.type == kind]
    if len(found) != 1:
        raise ModelError(f"a subgraph has one {kind} node: {quoted(graph)} has {len(found)}; merge or add them")
    return found[0]

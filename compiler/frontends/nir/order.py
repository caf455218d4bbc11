"""The order in which populations are evaluated, and the edges that lead back and so into the next step.

Populations are evaluated from the input on. An edge leads back where it ends at a population that every way from the
input to its start passes (which dominates it, in the words of compilers); no order could do otherwise. Where the edges
that are left form a cycle, two orders would have different edges lead back, and nothing in a file says which is meant.
Edges with a delay of a step or more do the same in every order.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence

from ....hdl.errors import ModelError, quoted

Edge = tuple[str, str]


MAX_CYCLIC = 1000
"""So many populations a network with cycles may have; hostile files with more would take long."""


def evaluation_order(source: str, edges: Collection[Edge], delayed: Collection[Edge]) -> tuple[list[str], set[Edge]]:
    """All that `source` reaches over `edges`, in order with ties by name, and the edges that lead back.

    `delayed` are the edges whose spikes all come a step later or more. Raises ModelError, naming the edges, where
    several orders would give different edges that lead back.
    """
    names = {source}.union(*edges)
    order = _sorted(names, edges)
    if len(order) < len(names):
        if len(names) > MAX_CYCLIC:
            raise ModelError(f"a network with cycles has at most {MAX_CYCLIC} populations: this one has {len(names)}")
        dominators = _dominators(source, edges)
        forward = [(a, b) for a, b in edges if b not in dominators[a]]
        order = _sorted(names, forward)
        if len(order) < len(names):
            forward = [edge for edge in forward if edge not in delayed]
            order = _sorted(names, forward)
        if len(order) < len(names):
            raise _several_orders(names.difference(order), forward, edges)
    place = {name: number for number, name in enumerate(order)}
    return order, {(a, b) for a, b in edges if place[a] >= place[b]}


def _dominators(source: str, edges: Iterable[Edge]) -> dict[str, set[str]]:
    """For each node that `source` reaches, itself and the nodes that every way to it passes."""
    targets: dict[str, list[str]] = {}
    sources: dict[str, list[str]] = {}
    for a, b in sorted(edges):
        targets.setdefault(a, []).append(b)
        sources.setdefault(b, []).append(a)
    order = _postorder(source, targets)[::-1]
    number = {name: place for place, name in enumerate(order)}
    nearest = {source: source}  # the immediate dominators (Cooper, Harvey and Kennedy 2001)
    changed = True
    while changed:
        changed = False
        for name in order[1:]:
            known = [a for a in sources[name] if a in nearest]
            new = known[0]
            for a in known[1:]:
                new = _meeting(a, new, nearest, number)
            changed |= nearest.get(name) != new
            nearest[name] = new
    found = {source: {source}}
    for name in order[1:]:
        found[name] = found[nearest[name]] | {name}
    return found


def _meeting(a: str, b: str, nearest: Mapping[str, str], number: Mapping[str, int]) -> str:
    while a != b:
        while number[a] > number[b]:
            a = nearest[a]
        while number[b] > number[a]:
            b = nearest[b]
    return a


def _postorder(source: str, targets: Mapping[str, Sequence[str]]) -> list[str]:
    seen, order = {source}, []
    stack = [(source, iter(targets.get(source, ())))]
    while stack:
        name, left = stack[-1]
        following = next((b for b in left if b not in seen), None)
        if following is None:
            order.append(name)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(targets.get(following, ()))))
    return order


def _sorted(names: Iterable[str], edges: Iterable[Edge]) -> list[str]:
    """`names` in topological order, ties by name, as far as there is one."""
    waiting = dict.fromkeys(names, 0)
    targets: dict[str, list[str]] = {}
    for a, b in set(edges):
        waiting[b] += 1
        targets.setdefault(a, []).append(b)
    ready = [name for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for target in targets.get(name, ()):
            waiting[target] -= 1
            if waiting[target] == 0:
                heapq.heappush(ready, target)
    return order


def _several_orders(left: set[str], forward: Iterable[Edge], edges: Iterable[Edge]) -> ModelError:
    """The refusal of a cycle that is entered at several of its populations."""
    cycle = _cycle(left, forward)
    steps = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    entries = [b for b in cycle if any(y == b and x not in cycle for x, y in edges)]
    ends = [f"{quoted(a)} -> {quoted(b)}" for a, b in steps if b in entries]
    shown = " or ".join(ends if len(ends) <= 4 else [*ends[:3], f"one of {len(ends) - 3} more"])
    return ModelError(
        f"one edge of a cycle leads into the next step: that of {', '.join(map(quoted, cycle[:6]))} is entered at "
        f"several of them, so that this may be {shown}; put a Delay of a step on the one that is meant"
    )


def _cycle(left: set[str], edges: Iterable[Edge]) -> list[str]:
    """A cycle among nodes that all have a source among them, found by walking backwards."""
    sources: dict[str, str] = {}
    for a, b in sorted(edges, reverse=True):
        if a in left and b in left:
            sources[b] = a
    path = [min(left)]
    while path[-1] not in path[:-1]:
        path.append(sources[path[-1]])
    return path[path.index(path[-1]) + 1 :][::-1]

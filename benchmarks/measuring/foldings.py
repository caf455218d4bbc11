"""The folding axis of the benchmarks: from one shared engine to all neurons at once."""

from __future__ import annotations

from collections.abc import Callable

from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import (
    Folding,
    fast_folding,
    pipelined_folding,
    queued_folding,
    shared_folding,
    slotted_folding,
)
from spikeloom.compiler.plan.kinds import engine_folding


def vector_folding(network: Network, events: int, *, neurons_per_cycle: int = 4) -> Folding:
    """All neurons at once: `events` per beat into the first population, one into the others."""
    first, *others = [population.name for population in network.populations]
    wide = engine_folding(
        populations=(first,),
        kind=EngineKind.VECTOR,
        lanes=0,
        events_per_beat=events,
        neurons_per_cycle=neurons_per_cycle,
    )
    rest = (engine_folding(populations=(name,), kind=EngineKind.VECTOR, lanes=0) for name in others)
    return Folding(engines=(wide, *rest), wide=events > 1)


def lanes_folding(network: Network, lanes: int, others_lanes: int = 1) -> Folding:
    """Lanes for the first population, fewer for the others, whose rows are short."""
    first, *others = [population.name for population in network.populations]
    rest = (engine_folding(populations=(name,), lanes=others_lanes) for name in others)
    return Folding(engines=(engine_folding(populations=(first,), lanes=lanes), *rest))


def half_vector_folding(network: Network, lanes: int) -> Folding:
    """A vector engine for the first population, sparse rows for the second."""
    first, second = (population.name for population in network.populations)
    vector = engine_folding(populations=(first,), kind=EngineKind.VECTOR, lanes=lanes)
    return Folding(engines=(vector, engine_folding(populations=(second,))))


FRONT: dict[str, tuple[str, Callable[[Network], Folding]]] = {
    "front-shared": ("shared", shared_folding),
    "fast": ("shared, fast", lambda network: fast_folding(network, shared_folding(network))),
    "front-pipelined": ("an engine each", pipelined_folding),
    "queued": ("an engine each, queues", lambda network: queued_folding(network, pipelined_folding(network))),
    "front-lanes2": ("2 lanes", lambda network: lanes_folding(network, 2)),
    "front-lanes4": ("4 lanes", lambda network: lanes_folding(network, 4)),
    "front-lanes8": ("8 lanes", lambda network: lanes_folding(network, 8)),
    "queued4": ("4 lanes, queue, 1", lambda network: queued_folding(network, lanes_folding(network, 4))),
    "queued8": ("8 lanes, queues, 2", lambda network: lanes_folding(network, 8, 2)),
    "slotted2": ("2 slots", lambda network: slotted_folding(network, 2)),
    "slotted4": ("4 slots", lambda network: slotted_folding(network, 4)),
    "slotted8": ("8 slots", lambda network: slotted_folding(network, 8)),
    "slotted8-2": ("8 slots, pass of 2", lambda network: slotted_folding(network, 8, 2)),
    "slotted16-2": ("16 slots, pass of 2", lambda network: slotted_folding(network, 16, 2)),
    "front-vector1": ("vector, 1 event", lambda network: vector_folding(network, 1, neurons_per_cycle=2)),
    "vector2": ("vector, 2 events", lambda network: vector_folding(network, 2)),
    "vector3": ("vector, 3 events", lambda network: vector_folding(network, 3, neurons_per_cycle=5)),
}
"""The folding axis of 784-128-10 on an ECP5: what each is called in the plot."""

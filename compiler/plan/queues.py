"""Queues of events: in front of the lanes of an engine, and between engines, so that who is ahead need not wait."""

from __future__ import annotations

from ...hdl.errors import ModelError, quoted
from ..ir.network import INPUT, Network
from .engine_folding import EngineFolding, check_range

MAX_QUEUE = 1024

QUEUE = 32
"""How deep a queue is where nobody says it: as deep as the cheapest memory of an ECP5."""


def check_queue(population: str, queue: int, where: str = "") -> None:
    """ModelError for a queue that cannot be built: one word of memory would never be free. `where` it stands follows
    its name."""
    what = f"queue{where} of the engine of {quoted(population)}"
    check_range(f"the events of the {what}", queue, 0, MAX_QUEUE)
    if queue == 1:
        raise ModelError(f"a queue holds 0 events or at least 2: the {what} has 1; the nearest are 0 and 2")
    if queue & (queue - 1):
        below = 1 << (queue.bit_length() - 1)
        raise ModelError(
            f"a queue holds a power of two of events: the {what} has {queue}; the nearest are {below} and {2 * below}"
        )


def check_inlet_queue(network: Network, engine: EngineFolding) -> None:
    """ModelError where the queue in front of an engine cannot be built, or would stand in front of the input."""
    check_queue(engine.first, engine.inlet_queue, " in front")
    if engine.inlet_queue and not hears_another(network, engine):
        raise ModelError(
            f"a queue in front of an engine holds what another says in the same step: that of {quoted(engine.first)} "
            "listens to none; leave inlet_queue out"
        )


def hears_another(network: Network, engine: EngineFolding) -> bool:
    """Whether it listens to another engine, at once."""
    return any(name != INPUT for name in engine.heard(network).sources)

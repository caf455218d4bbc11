"""What the traces of a core say, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..ir.network import Network
from .folding import EngineFolding, EngineKind, Folding
from .lane_assignment import lane_neurons


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """One trace of the core, which says in every step, beat by beat: its `neuron` is in turn `numbers`, which are the
    `neurons` of the population with index `population`."""

    population: int
    numbers: tuple[int, ...]
    neurons: tuple[int, ...]


def monitors_of(network: Network, folding: Folding) -> tuple[Monitor, ...]:
    """The traces of a network's traced core, in the order of its ports."""
    return tuple(monitor for engine in folding.engines for monitor in _of_engine(network, engine))


def _of_engine(network: Network, engine: EngineFolding) -> Iterator[Monitor]:
    names = [population.name for population in network.populations]
    first, size = names.index(engine.populations[0]), network.size_of(engine.populations[0])
    if engine.kind is EngineKind.VECTOR:
        for slot in range(engine.neurons_per_cycle):
            neurons = tuple(range(slot, size, engine.neurons_per_cycle))
            yield Monitor(population=first, numbers=neurons, neurons=neurons)
    elif engine.lanes > 1:
        for chosen in lane_neurons(network, engine):
            yield Monitor(population=first, numbers=tuple(range(len(chosen))), neurons=tuple(chosen.tolist()))
    else:
        for place, name in enumerate(engine.populations):
            neurons = tuple(range(network.size_of(name)))
            yield Monitor(population=first + place, numbers=neurons, neurons=neurons)

"""What the folding of an engine answers for, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from ...hdl.engines.format import EngineFormat
from ...hdl.errors import ModelError, quoted
from ...hdl.memories.memory import Family
from ...hdl.streams.tokens import BeatShape
from ..ir.arrays import IntArray
from ..ir.connectivity import Connectivity
from ..ir.network import Network
from .step_edges import Heard
from .weights import EngineWeights


class EngineKind(StrEnum):
    """How an engine keeps and adds up its weights, as a folding file names it.

    - `sparse`: compressed rows, one synapse per lane and cycle (`spikeloom.hdl.engines`: `engine`, `lanes`)
    - `vector`: dense rows, read as a whole, with the pass beside the next step (`spikeloom.hdl.engines.vector`)
    - `wide`: words of several neurons, channels of a place of a map, added to in one cycle
      (`spikeloom.hdl.engines.wide`)
    - `slotted`: words of several synapses, each slot with sums of its own, with the pass beside the next step
      (`spikeloom.hdl.engines.slotted`)
    """

    SPARSE = "sparse"
    VECTOR = "vector"
    WIDE = "wide"
    SLOTTED = "slotted"


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """One trace of the core, which says in every step, beat by beat: its `neuron` is in turn `numbers`, which are the
    `neurons` of the population with index `population`; in any order where they are not `in_turn`."""

    population: int
    numbers: tuple[int, ...]
    neurons: tuple[int, ...]
    in_turn: bool = True


@dataclass(frozen=True, kw_only=True)
class EngineFolding(ABC):
    """One engine: its populations in evaluation order. A type for each kind says how it works.

    In front of it `inlet_queue` tokens of each engine that it listens to may wait, so that these run ahead; 0 for none.
    """

    populations: tuple[str, ...]
    inlet_queue: int = 0

    kind: ClassVar[EngineKind]

    returns: ClassVar[bool] = False
    """Whether its spikes can return inside it, into neurons whose pass is over."""

    has_room: ClassVar[bool] = False
    """Whether its memories can be laid out for other weights than their own."""

    refused: ClassVar[Mapping[str, str]] = {}
    """Fields of a folding file that only other kinds have, and why this one has none: `{first}` is its population,
    `{lanes}` the lanes that the file gives."""

    @property
    def first(self) -> str:
        """The first population, by which messages name the engine."""
        return self.populations[0]

    def heard(self, network: Network) -> Heard:
        """What it hears, and when."""
        return Heard(network, self.populations, returns=self.returns)

    def can_have(self, connectivity: Connectivity) -> bool:
        """Whether synapses of that kind can lead to it: everywhere matrices."""
        return connectivity.one_per_pair

    @property
    def takes_beats(self) -> bool:
        """Whether its input brings several events at once, so that the core's input may be wide."""
        return False

    def beats(self, addresses: int, family: Family) -> BeatShape:
        """What its input over `addresses` neurons brings at once."""
        return BeatShape(addresses=addresses)

    @property
    def wants_spram(self) -> bool:
        """Whether weights are to lie in SPRAM."""
        return False

    def in_spram(self) -> Self:
        """The same with weights in SPRAM, where the kind may have them there."""
        return self

    def with_state_in(self, sprams: int) -> Self | None:
        """The same with as much of its state as goes into so many SPRAMs, if the kind may have it there."""
        return None

    @abstractmethod
    def check(self, network: Network, *, wide: bool) -> None:
        """ModelError where no such engine can be built, with the nearest that can; `wide` is whether the core's wide
        input leads to it."""

    @abstractmethod
    def plan(self, weights: EngineWeights, family: Family, first_spram: int | None) -> tuple[EngineFormat, Any]:
        """The format and the contents; SPRAMs are numbered from `first_spram` on."""

    @abstractmethod
    def keeps_membranes(self, network: Network) -> str | None:
        """Why the membranes of its last population cannot leave it, with the nearest that gives them; None where they
        can."""

    def orders(self, network: Network) -> Mapping[str, IntArray]:
        """The neurons of its populations as they lie in it and leave it, int64, where that is not their own order."""
        return {}

    @abstractmethod
    def monitors(self, network: Network) -> Iterator[Monitor]:
        """The traces of the engine in the order of its ports."""

    def _monitor(self, network: Network, place: int, numbers: range | IntArray, neurons: IntArray | range) -> Monitor:
        """A trace of the population at a place of the engine's."""
        names = [population.name for population in network.populations]
        index = names.index(self.populations[place])
        return Monitor(population=index, numbers=tuple(numbers), neurons=tuple(int(neuron) for neuron in neurons))


ONLY_WIDE = "only a wide engine has a state in SPRAM: that of {first} has {name}; leave it out"


def check_range(what: str, value: int, least: int, most: int) -> None:
    """ModelError for a value out of its range, of which the nearer end is the nearest that can be built."""
    if not least <= value <= most:
        nearest = least if value < least else most
        raise ModelError(f"{what} are {least} to {most}: the folding has {value}; the nearest is {nearest}")


def check_one_population(engine: EngineFolding, rule: str) -> None:
    """ModelError for an engine of several populations, where `rule` says what has one."""
    if len(engine.populations) > 1:
        raise ModelError(
            f"{rule}: that of {quoted(engine.first)} has {len(engine.populations)}; give each population its engine"
        )

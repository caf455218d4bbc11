"""What a core asks of an engine's format, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from amaranth.lib import data, wiring

from ..memories.memory import Family, MemoryShape
from ..memories.spram import SpramShape
from ..streams.beats import BeatPacker
from ..streams.tokens import token_layout


class EngineFormat(ABC):
    """Shapes and widths of an engine; its hardware depends on nothing else.

    `contents` is what the memories of an engine of this format hold, of the type that goes with it.
    """

    @property
    @abstractmethod
    def outputs(self) -> int:
        """The neurons that are heard outside."""

    @property
    @abstractmethod
    def input_layout(self) -> data.StructLayout:
        """The payload of the engine's input: tokens, or beats where it `takes_beats`."""

    @property
    def output_layout(self) -> data.StructLayout:
        """The payload of the engine's output: tokens, or membranes (`spikeloom.hdl.neurons.readout`)."""
        return token_layout(self.outputs)

    @property
    @abstractmethod
    def monitors(self) -> tuple[wiring.Signature, ...]:
        """The monitors of a traced engine."""

    @abstractmethod
    def memories(self, family: Family) -> dict[str, Any]:
        """The shape of every memory of the engine by its role."""

    @abstractmethod
    def create(self, contents: Any, family: Family) -> Any:
        """The engine: a component with the streams `i` and `o`, and `load` where it `uses_spram`."""

    @abstractmethod
    def traced(self) -> Self:
        """The same engine, whose monitors see every neuron in every step."""

    @property
    def takes_beats(self) -> bool:
        """Whether its input brings several events at once."""
        return False

    def packer(self) -> BeatPacker | None:
        """What makes its beats of tokens, where it takes beats."""
        return None

    @property
    def inner(self) -> range:
        """The neurons, of all its populations, whose spikes are told by a stream `inner` of its own."""
        return range(0)

    @property
    def uses_spram(self) -> bool:
        """Whether weights lie in SPRAM."""
        return False

    def movable_memory(self, family: Family) -> MemoryShape | SpramShape | None:
        """The memory of weights that may lie in SPRAM instead of block RAM, where there is one."""
        return None

    def spram_words(self, contents: Any) -> tuple[tuple[int, ...], ...]:
        """The 16-bit words of each of its SPRAMs."""
        return ()

    def stored(self, contents: Any) -> Mapping[str, tuple[int, ...]]:
        """The words of every read-only memory, but for SPRAMs, that follow the weights and parameters of a network and
        not its shape alone, by the memory's role (`memories`): none where the kind cannot have others."""
        return {}

    def with_stored(self, contents: Any, words: Mapping[str, tuple[int, ...]]) -> Any:
        """The contents with these words in the memories that `stored` names."""
        return contents

    def outside_spram(self, contents: Any) -> Any:
        """The contents without what lies in SPRAM."""
        return contents

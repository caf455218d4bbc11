"""Shapes, widths and contents of a wide engine: one whose state words hold several neurons.

Of a map these are neighbouring channels of one place: a *word* of state. The weights of a row for the same neurons are
a word, too, so that a cycle adds one to the other whatever the number of `lanes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from amaranth.hdl import unsigned
from amaranth.lib import data, wiring

from ..memories.alternating import AlternatingShape
from ..memories.memory import Family, MemoryShape
from ..memories.spram import SPRAM_WIDTH, SpramShape
from ..neurons.dynamics import with_bias
from ..neurons.neuron_format import NeuronFormat, trace_signature
from ..streams.tokens import TokenKind, address_bits, token_layout
from .format import EngineFormat
from .tap_format import TapContents, TapFormat
from .visit_map import visit_shape

if TYPE_CHECKING:
    from .wide import WideEngine

AHEAD_FROM = 2
"""From the pass of which population on inputs of the next step are added, or that of the last: before, the spikes that
come soon would wait for them."""

SPIKING_WORDS = 16
"""How many words of spikes wait until their events are made: of a pass that runs ahead of the taps."""


@dataclass(frozen=True, kw_only=True)
class WordRows:
    """Rows from `first_row` on, of `words` words each, which lie side by side from the word `first_word` on."""

    first_row: int
    words: int
    first_word: int


@dataclass(frozen=True, kw_only=True)
class WordLayout:
    """How a population lies in words: `channels` of each of so many `places` take the first of `stride` words, whose
    number is a power of two where there are several places. The lowest channels come first.

    Outside the engine neighbouring channels of the last population are `channels_apart`.
    """

    channels: int
    places: int
    stride: int
    channels_apart: int = 1

    @property
    def words(self) -> int:
        return self.places * self.stride

    def lane_words(self, lane: int, lanes: int) -> int:
        """The words of a place, from its first, that have a neuron in a lane."""
        return max(0, -(-(self.channels - lane) // lanes))

    def numbers(self, lane: int, lanes: int) -> tuple[int, ...]:
        """The words, from the population's first, that have a neuron in a lane."""
        in_place = range(self.lane_words(lane, lanes))
        return tuple(place * self.stride + word for place in range(self.places) for word in in_place)


@dataclass(frozen=True, kw_only=True)
class WideFormat(EngineFormat):
    """A wide engine, of the populations that `neurons` has.

    State words have `lanes` neurons, a power of two; the layouts say how populations lie in them, one after another.
    Events of the `inputs` have the addresses of the `taps` from `first_input` on, by a table where they are
    `renumbered`; those before are the spikes of all but the last population. Where the `names` of words have bits, a
    table says by which number taps know the spikes of a word, or those of the last population are known outside; else
    it is the number of the word. Rows of weights are in `weight_words` words. Where it `visits`, a pass looks at the
    words alone to which something came since the last one, or in which a neuron fired then. Where it `takes_ahead`,
    inputs reach the first population alone: those of the next step are added while later populations pass. Weights lie
    in SPRAMs from number `first_spram` on, if that is a number; the low bits of the state in so many `state_sprams`:
    the engine then goes a step in two cycles, one to read words of state and one to write them. `narrow_bits` are those
    that a lane of each population needs, if that is known.
    """

    inputs: int
    lanes: int
    neurons: NeuronFormat
    layouts: tuple[WordLayout, ...]
    taps: TapFormat
    first_input: int
    rows: tuple[WordRows, ...]
    weight_words: int
    renumbered: bool = False
    name_bits: int = 0
    visits: bool = False
    takes_ahead: bool = False
    first_spram: int | None = None
    state_sprams: int = 0
    narrow_bits: tuple[int, ...] = ()

    @property
    def outputs(self) -> int:
        return self.neurons.populations[-1].neurons

    @property
    def input_layout(self) -> data.StructLayout:
        return token_layout(self.inputs)

    @property
    def monitored(self) -> tuple[tuple[int, int], ...]:
        """The population and the lane of each monitor."""
        return tuple(
            (number, lane)
            for number, layout in enumerate(self.layouts)
            for lane in range(self.lanes)
            if layout.lane_words(lane, self.lanes)
        )

    @property
    def monitors(self) -> tuple[wiring.Signature, ...]:
        """One per population and lane, whose neuron is the number of the word in the population."""
        rules = [population.rule for population in self.neurons.populations]
        return tuple(
            trace_signature(self.layouts[n].words, rules[n].state_bits, rules[n].most_spikes.bit_length())
            for n, _ in self.monitored
        )

    def create(self, contents: WideContents, family: Family) -> WideEngine:
        from .wide import WideEngine

        return WideEngine(self, contents, family)

    def traced(self) -> WideFormat:
        """The same engine, whose monitors see every neuron in every step."""
        return replace(self, visits=False)

    @property
    def uses_spram(self) -> bool:
        """Whether weights lie in SPRAM."""
        return self.first_spram is not None

    @property
    def alternates(self) -> bool:
        """Whether words of state are read in one cycle and written in the next."""
        return self.state_sprams > 0

    @property
    def lists_visits(self) -> bool:
        """Whether the words that a pass looks at stand in lists, and say of themselves whether they do; where block
        RAM is scarce each has a bit (`visit_map`)."""
        return self.visits and not self.alternates

    def movable_memory(self, family: Family) -> MemoryShape | SpramShape:
        """That of the words of weights, whether it lies in SPRAM already or not."""
        width = self.lanes * self.neurons.weight_bits
        if self.uses_spram:
            return SpramShape(self.weight_words, width)
        return MemoryShape(family, self.weight_words, width)

    def spram_words(self, contents: WideContents) -> tuple[tuple[int, ...], ...]:
        if not self.uses_spram:
            return ()
        return SpramShape(self.weight_words, self.lanes * self.neurons.weight_bits).pack(contents.entries)

    def outside_spram(self, contents: WideContents) -> WideContents:
        return replace(contents, entries=()) if self.uses_spram else contents

    # -- words -------------------------------------------------------------------------------------------------

    @property
    def words(self) -> int:
        """Of the state."""
        return self.ends[-1]

    @property
    def ends(self) -> tuple[int, ...]:
        """The word after the last of each population."""
        return tuple(accumulate(layout.words for layout in self.layouts))

    @property
    def bases(self) -> tuple[int, ...]:
        """The first word of each population."""
        return (0, *self.ends[:-1])

    @property
    def sum_bits(self) -> int:
        """The width of every sum inside a step, the bias among it."""
        return with_bias(self.neurons, self.neurons.accumulator_bits)

    @property
    def ahead_from(self) -> int:
        """From the pass of which population on inputs of the next step are added."""
        return min(AHEAD_FROM, len(self.layouts) - 1)

    @property
    def joining(self) -> int | None:
        """The word for which what waits is added up: that of the last population, where it has no other."""
        return self.words - 1 if self.layouts[-1].words == 1 else None

    @property
    def joined_bits(self) -> tuple[int, ...]:
        """The width of what is added to each lane at a time: of up to three weights, where those to one word
        join."""
        bits = self.neurons.weight_bits
        joining = 0 if self.joining is None else self.layouts[-1].channels
        return tuple(bits + 2 * (lane < joining) for lane in range(self.lanes))

    @property
    def lane_bits(self) -> int:
        """The width of a neuron in a word of state."""
        return self.sum_bits + self.neurons.remembers_firing

    @property
    def input_bits(self) -> int:
        """The width of a renumbered input."""
        return address_bits(self.taps.addresses)

    @property
    def parameter_words(self) -> int:
        """How many words of parameters the populations have between them: one per word of state, or of a place."""
        return sum(self.parameter_words_of)

    @property
    def parameter_words_of(self) -> tuple[int, ...]:
        pairs = zip(self.layouts, self.neurons.populations, strict=True)
        return tuple(layout.words if p.shared is None else p.shared for layout, p in pairs)

    @property
    def spiking_layout(self) -> data.StructLayout:
        """A word in which neurons fire."""
        return data.StructLayout({"mask": unsigned(self.lanes), "name": unsigned(self.name_width)})

    @property
    def name_width(self) -> int:
        """The width of a word's number as taps, or who is outside, know it."""
        return self.name_bits or address_bits(self.words)

    def alternating_state(self, family: Family) -> AlternatingShape:
        """The state where it alternates: of each lane as many bits in SPRAM as there are for it, no others of the first
        populations, whose sums have no more."""
        low = min(self.lane_bits, SPRAM_WIDTH * self.state_sprams // self.lanes)
        if low == self.lane_bits:
            return AlternatingShape(lanes=self.lanes, low=SpramShape(self.words, self.lanes * low))
        wider = [not self.narrow_bits or bits > low for bits in self.narrow_bits or (self.lane_bits,)]
        first = self.bases[wider.index(True)]
        return AlternatingShape(
            lanes=self.lanes,
            low=SpramShape(self.words, self.lanes * low),
            rest=MemoryShape(family, self.words - first, self.lanes * (self.lane_bits - low), writable=True),
            first_rest=first,
        )

    def memories(self, family: Family) -> dict[str, Any]:
        """The memories by their role: `entries` are words of weights, `state_rest` what SPRAMs have not of the state,
        `visits` lists of words or a bit for each and `spikes` a queue of them, `names` and `inputs` tables of numbers.
        """
        shapes: dict[str, Any] = {"entries": self.movable_memory(family)}
        if self.alternates:
            state = self.alternating_state(family)
            shapes["state"] = state.low
            if state.rest is not None:
                shapes["state_rest"] = state.rest
        else:
            width = self.lanes * self.lane_bits + self.lists_visits
            shapes["state"] = MemoryShape(family, self.words, width, writable=True)
        shapes["spikes"] = MemoryShape(family, SPIKING_WORDS, self.spiking_layout.size, writable=True)
        if self.lists_visits:
            shapes["visits"] = MemoryShape(family, self.words, 1 + address_bits(self.words), writable=True)
        elif self.visits:
            shapes["visits"] = visit_shape(family, self.words)
        if self.neurons.parameter_bits:
            width = self.lanes * self.neurons.parameter_bits
            shapes["parameters"] = MemoryShape(family, self.parameter_words, width)
        if self.name_bits:
            shapes["names"] = MemoryShape(family, self.words, self.name_bits)
        if self.renumbered:
            shapes["inputs"] = MemoryShape(family, self.inputs, self.input_bits)
        return shapes | self.taps.memories(family)


@dataclass(frozen=True, kw_only=True)
class WideContents:
    """What the memories hold: words of weights and of parameters, the lowest lane in the low bits, the taps, and the
    tables of numbers, where there are some."""

    entries: tuple[int, ...]
    parameters: tuple[int, ...]
    taps: TapContents
    names: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()


def work_layout(words: int, weight_words: int) -> data.StructLayout:
    """What a walker of words hands to the neurons: a token kind, and for EVENT a word of state and one of weights."""
    return data.StructLayout(
        {"kind": TokenKind, "word": unsigned(address_bits(words)), "weights": unsigned(address_bits(weight_words))}
    )

"""Shapes and widths of a slotted engine: words of synapses, of which each slot adds to a bank of neurons.

Neuron n lies in bank n % banks, at the place n // banks. Banks are in groups, bank b in group b % groups, and slot s
adds to those of group s % groups. A word has, slot by slot, a weight and which bank of its group and which place its
neuron has; a slot without a synapse has weight 0. Where slots are `abreast`, each has a weight for every bank of its
group, of neurons that have one place: two synapses that lie side by side take one slot.

A pass takes a few neurons per cycle: word w has those from w * `neurons_per_cycle` on, and a place of all banks is a
power of two of words, at least 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, wiring

from ..memories.memory import DISTRIBUTED_DEPTH, Family, MemoryShape, read_only
from ..neurons.dynamics import start_bits, with_bias
from ..neurons.neuron_format import NeuronFormat
from ..streams.tokens import TokenKind, address_bits, token_layout
from .format import EngineFormat

if TYPE_CHECKING:
    from .slotted import SlottedEngine

QUEUED = 32
"""Spikes that wait to leave, at least."""

UNDER_WAY = 11
"""Words that may be on their way to the queue when no more neurons are asked for, beside those of a place."""


ABREAST_BLOCK_LUTS = 64
"""What a block RAM of entries is worth in look-up tables where slots are abreast: they are to be fast."""


@dataclass(frozen=True, kw_only=True)
class SlottedFormat(EngineFormat):
    """Shapes and widths of a slotted engine; the hardware depends on nothing else.

    `words` are those of the rows of its `pre` inputs, of which the longest has `longest_row`. Sums of a step are
    `sum_bits` wide, in the weights' unit; on ECP5 the two memories of a slot are distributed RAM where they have at
    most `distributed` words. Raises ValueError unless slots, banks, groups and `neurons_per_cycle` are powers of two,
    of slots and banks at least 2 and no more groups than these, of banks twice the neurons of a cycle, every size is at
    least 1, and there is one population, whose neurons fire once, have neither currents nor adaptation, and give no
    membranes.
    """

    pre: int
    neurons: NeuronFormat
    sum_bits: int
    slots: int
    banks: int
    groups: int
    words: int
    longest_row: int
    neurons_per_cycle: int = 1
    distributed: tuple[int, int] = (DISTRIBUTED_DEPTH, DISTRIBUTED_DEPTH)
    abreast: bool = False

    def __post_init__(self) -> None:
        for name in ("pre", "sum_bits", "groups", "words", "longest_row"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of a slotted engine is at least 1: got {getattr(self, name)}")
        counts = (self.slots, self.banks, self.groups)
        if min(self.slots, self.banks) < 2 or any(count & (count - 1) for count in counts) or self.groups > self.banks:
            raise ValueError(
                f"slots and banks are powers of two, 2 or more, and groups one that divides them: got {counts}"
            )
        width = self.neurons_per_cycle
        if width < 1 or width & (width - 1) or 2 * width > self.banks:
            raise ValueError(
                f"a pass takes a power of two of neurons per cycle, half the banks at most: got {width} of {self.banks}"
            )
        neurons = self.neurons
        if len(neurons.populations) != 1:
            raise ValueError(f"a slotted engine has one population: got {len(neurons.populations)}")
        if neurons.has_currents or neurons.has_adaptation or neurons.repeats or neurons.gives_membranes:
            raise ValueError("a slotted engine has plain neurons, which fire once in a step and give spikes")

    @property
    def inputs(self) -> int:
        return self.pre

    @property
    def outputs(self) -> int:
        return self.neurons.neurons

    @property
    def input_layout(self) -> data.StructLayout:
        return token_layout(self.pre)

    @property
    def monitors(self) -> tuple[wiring.Signature, ...]:
        (population,) = self.neurons.populations
        return (population.monitor,) * self.neurons_per_cycle

    def traced(self) -> SlottedFormat:
        """The same engine: its monitors see every neuron in every step."""
        return self

    def create(self, contents: SlottedContents, family: Family) -> SlottedEngine:
        from .slotted import SlottedEngine  # a component that is shaped by this format

        return SlottedEngine(self, contents, family)

    @property
    def places(self) -> int:
        """Neurons of the first bank, which has one more than others where the banks do not divide them."""
        return -(-self.neurons.neurons // self.banks)

    @property
    def turns(self) -> int:
        """Cycles in which the neurons of a place pass, a word of them in each."""
        return self.banks // self.neurons_per_cycle

    @property
    def pass_words(self) -> int:
        """Words of neurons."""
        return -(-self.neurons.neurons // self.neurons_per_cycle)

    @property
    def place_bits(self) -> int:
        return address_bits(self.places)

    @property
    def reach(self) -> int:
        """Banks of a group, whose sums lie side by side."""
        return self.banks // self.groups

    @property
    def sum_latency(self) -> int:
        """Cycles from the first one in which a place is asked for to that in which its sums are there."""
        return 3 + (self.slots // self.groups - 1).bit_length()

    @property
    def slot_layout(self) -> data.StructLayout:
        """A slot of a word: the weight, and the place and the bank of its neuron; `abreast` a weight for each bank."""
        weights = data.ArrayLayout(signed(self.neurons.weight_bits), self.reach if self.abreast else 1)
        bank = unsigned(0 if self.abreast else (self.reach - 1).bit_length())
        return data.StructLayout({"weights": weights, "place": unsigned(self.place_bits), "bank": bank})

    @property
    def pointer_bits(self) -> int:
        """The number of a word."""
        return address_bits(self.words)

    @property
    def length_bits(self) -> int:
        """A row's words less one; all ones for a row without any."""
        return self.longest_row.bit_length()

    @property
    def start_bits(self) -> int:
        """What a membrane starts a step from, its bias included."""
        return with_bias(self.neurons, start_bits(self.neurons))

    @property
    def membrane_bits(self) -> int:
        """The membrane that is compared."""
        return with_bias(self.neurons, self.neurons.accumulator_bits)

    @property
    def state_layout(self) -> data.StructLayout:
        """What is kept of a neuron: what its membrane starts from (and r), and its sums when they were last looked at:
        those of the set whose turn it is, then those of the other."""
        sums = signed(self.sum_bits)
        start = self.start_bits + self.neurons.remembers_firing
        return data.StructLayout({"start": unsigned(start), "before": sums, "other": sums})

    @property
    def spike_layout(self) -> data.StructLayout:
        """What waits to leave: a spike, or where words have several neurons which of a word fire; and the end."""
        if self.neurons_per_cycle == 1:
            return token_layout(self.outputs)
        word = unsigned(address_bits(self.pass_words))
        return data.StructLayout({"kind": TokenKind, "word": word, "mask": unsigned(self.neurons_per_cycle)})

    @property
    def queued(self) -> int:
        """What may wait to leave: a power of two."""
        return max(QUEUED, 1 << (2 * (self.turns + UNDER_WAY) - 1).bit_length())

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """Every memory of the engine by its role. Each slot has sums in two memories that take turns, each with two
        sets: of the step that comes, and of the one before."""
        luts = self.neurons.logic_luts
        shapes = {
            "rows": read_only(family, self.pre, self.pointer_bits + self.length_bits, luts),
            "entries": read_only(family, self.words, self.slots * self.slot_layout.size, luts),
        }
        if self.abreast:
            shapes["entries"] = replace(shapes["entries"], block_luts=ABREAST_BLOCK_LUTS)
        width = self.reach * self.sum_bits
        sums = [MemoryShape(family, 2 << self.place_bits, width, True, distributed=most) for most in self.distributed]
        shapes |= {f"sums{number}": sums[number % 2] for number in range(2 * self.slots)}
        words, several = self.pass_words, self.neurons_per_cycle
        shapes["state"] = MemoryShape(family, words, several * self.state_layout.size, writable=True)
        if self.neurons.parameter_bits:
            shapes["parameters"] = read_only(family, words, several * self.neurons.parameter_bits, luts)
        shapes["spikes"] = MemoryShape(family, self.queued, self.spike_layout.size, writable=True)
        return shapes


@dataclass(frozen=True, kw_only=True)
class SlottedContents:
    """What the memories hold: `rows`, for each input where its words start and how many there are (`length_bits`);
    `entries`, the words; `parameters`, a word for each word of neurons."""

    rows: tuple[int, ...]
    entries: tuple[int, ...]
    parameters: tuple[int, ...]

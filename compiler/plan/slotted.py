"""A slotted engine: words of several synapses, each slot with sums of its own, and the pass beside the next step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from ...hdl.engines.slotted_format import SlottedContents, SlottedFormat
from ...hdl.errors import ModelError, quoted
from ...hdl.memories.memory import DISTRIBUTED_DEPTH, Family
from ..encodings.cost import Scarce
from ..encodings.slotted import encode_slotted
from ..ir.arrays import IntArray
from ..ir.network import Network
from .engine_folding import EngineFolding, EngineKind, Monitor, check_one_population
from .neurons import beyond_plain
from .slot_assignment import slot_order
from .weights import EngineWeights

MOST_SLOTS = 32

REPLICAS = 2
"""Slots that share the banks of a group: of two, any synapse may take either, which fills words better."""

DISTRIBUTED_SUMS = (128, 64)
"""Words of the two memories of a slot that are distributed RAM on ECP5 where block RAM is scarce."""

MOST_PER_CYCLE = 4
"""Neurons that a pass takes in a cycle at most."""

NOT_SLOTTED = "a slotted engine has no {name}: that of {first} has; leave it out"


@dataclass(frozen=True, kw_only=True)
class SlottedFolding(EngineFolding):
    """One population on a slotted engine (`spikeloom.hdl.engines.slotted`): a word has `lanes` slots, and a pass takes
    `neurons_per_cycle`.

    `scarce` is what it saves: to spare block RAM its sums are distributed RAM on ECP5, if they are few enough.
    """

    lanes: int
    neurons_per_cycle: int = 1
    scarce: Scarce = Scarce.BRAMS

    kind = EngineKind.SLOTTED
    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("spram", "state_sprams", "events_per_beat", "skips", "lists", "fast"), NOT_SLOTTED
    )

    @property
    def groups(self) -> int:
        """Groups of banks, each of which some slots share."""
        return self.lanes // REPLICAS

    @property
    def banks(self) -> int:
        return max(2 * self.neurons_per_cycle, self.groups)

    def check(self, network: Network, *, wide: bool) -> None:
        check_one_population(self, "a slotted engine has one population")
        size = network.size_of(self.first)
        most = most_slots(size)
        if not 2 <= self.lanes <= most or self.lanes & (self.lanes - 1):
            below = min(most, max(2, 1 << (max(1, self.lanes).bit_length() - 1)))
            raise ModelError(
                f"a word of a slotted engine has a power of two of slots, 2 to {most} for {size} "
                f"neurons: that of {quoted(self.first)} has {self.lanes} lanes; the nearest are {below}"
            )
        width = self.neurons_per_cycle
        most = most_per_cycle(size)
        if not 1 <= width <= most or width & (width - 1):
            below = min(most, 1 << (max(1, width).bit_length() - 1))
            raise ModelError(
                f"the pass of a slotted engine takes a power of two of neurons per cycle, 1 to {most} for {size} "
                f"neurons: that of {quoted(self.first)} has neurons_per_cycle {width}; the nearest is {below}"
            )
        problem = self.refusal(network)
        if problem is not None:
            raise ModelError(f"a slotted engine has {problem}: {quoted(self.first)} is not so; the nearest is sparse")

    def refusal(self, network: Network) -> str | None:
        """What its population has that no slotted engine has, if anything."""
        population = network.population(self.first)
        several = "neurons that fire once in a step" if population.max_spikes > 1 else None
        return beyond_plain(population) or several

    def keeps_membranes(self, network: Network) -> str | None:
        return f"membranes do not leave a slotted engine: that of {quoted(self.first)} is one; the nearest is sparse"

    def plan(
        self, weights: EngineWeights, family: Family, first_spram: int | None
    ) -> tuple[SlottedFormat, SlottedContents]:
        rows, weight_bits = weights.rows
        order = self.order(weights.network)
        neurons, parameters = weights.neurons(weight_bits, chosen=order, scarce=self.scarce)
        spares = self.scarce == Scarce.BRAMS and self.groups > 1  # one group has its sums in pairs: too wide
        encoded = partial(
            encode_slotted,
            rows.of_posts(order),
            neurons,
            parameters,
            slots=self.lanes,
            banks=self.banks,
            groups=self.groups,
            neurons_per_cycle=self.neurons_per_cycle,
            x_max=weights.largest_inputs,
            distributed=DISTRIBUTED_SUMS if spares else (DISTRIBUTED_DEPTH, DISTRIBUTED_DEPTH),
        )
        plain = encoded()
        if self.groups > 1:
            return plain
        return min(plain, encoded(abreast=True), key=lambda way: (_entry_blocks(way[0], family), way[0].words))

    def orders(self, network: Network) -> Mapping[str, IntArray]:
        order = self.order(network)
        return {} if np.array_equal(order, np.arange(len(order))) else {self.first: order}

    def monitors(self, network: Network) -> Iterator[Monitor]:
        order, several = self.order(network), self.neurons_per_cycle
        for number in range(several):
            yield self._monitor(network, 0, range(number, len(order), several), order[number::several])

    def order(self, network: Network) -> IntArray:
        """Its neurons as they lie in it."""
        return slot_order(network, self.first, self.groups, REPLICAS, self.banks // self.groups)


def _entry_blocks(form: SlottedFormat, family: Family) -> int:
    return form.memories(family)["entries"].brams


def most_per_cycle(size: int) -> int:
    """The most neurons per cycle for so many."""
    return min(MOST_PER_CYCLE, 1 << (size.bit_length() - 1))


def most_slots(size: int) -> int:
    """The most slots of an engine for so many neurons: every bank has one."""
    return min(MOST_SLOTS, 1 << size.bit_length())

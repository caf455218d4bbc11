"""Weights to the memory words of a slotted engine (see `spikeloom.hdl.engines.slotted_format`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from ...hdl.engines.slotted_format import SlottedContents, SlottedFormat
from ...hdl.memories.memory import DISTRIBUTED_DEPTH
from ...hdl.neurons.neuron_format import NeuronFormat
from ..ir.arrays import IntArray
from .fields import joined_words
from .row_weights import RowWeights


def encode_slotted(
    weights: RowWeights,
    neurons: NeuronFormat,
    parameters: Sequence[int],
    *,
    slots: int,
    banks: int,
    groups: int,
    neurons_per_cycle: int = 1,
    x_max: int | IntArray = 1,
    distributed: tuple[int, int] = (DISTRIBUTED_DEPTH, DISTRIBUTED_DEPTH),
    abreast: bool = False,
) -> tuple[SlottedFormat, SlottedContents]:
    """A slotted engine for integer weights, a row for each input; `parameters` holds a word per neuron, or none.

    `x_max` is the largest value of an input in a step, one for all or one each, from which the width of the sums
    follows. `slots` and the rest are as in SlottedFormat. Raises ValueError where that does.
    """
    synapses = zip(weights.post.tolist(), weights.code.tolist(), strict=True)
    rows_of = (islice(synapses, length) for length in weights.lengths.tolist())
    words = [row_words(row, slots, banks, groups, abreast=abreast) for row in rows_of]
    lengths = [len(row) for row in words]
    form = SlottedFormat(
        pre=weights.shape[0],
        neurons=neurons,
        sum_bits=weights.sum_bits(x_max),
        slots=slots,
        banks=banks,
        groups=groups,
        words=max(1, sum(lengths)),
        longest_row=max(1, *lengths),
        neurons_per_cycle=neurons_per_cycle,
        distributed=distributed,
        abreast=abreast,
    )
    none = (1 << form.length_bits) - 1
    rows: list[int] = []
    entries: list[int] = []
    for row in words:
        start = min(len(entries), form.words - 1)  # a row without words may be behind the last
        rows.append(start | (len(row) - 1 & none) << form.pointer_bits)
        entries += [_word(form, word) for word in row]
    of_words = joined_words(parameters, neurons_per_cycle, neurons.parameter_bits)
    return form, SlottedContents(rows=tuple(rows), entries=tuple(entries or [0]), parameters=of_words)


Slot = tuple[tuple[int, ...], int, int]
"""A weight, and the place and the bank in its group of its neuron; or a weight for each bank of the group, and 0."""


def row_words(
    row: Iterable[tuple[int, int]], slots: int, banks: int, groups: int, *, abreast: bool = False
) -> list[list[Slot | None]]:
    """The words of a row of neurons with their weights, slot by slot: in each slot of a group of banks its synapses in
    turn, those of one place together where they are `abreast`."""
    found: list[list[Slot]] = [[] for _ in range(groups)]
    together: dict[tuple[int, int], list[int]] = {}
    for neuron, weight in row:
        place, bank = divmod(neuron, banks)
        reached, group = divmod(bank, groups)
        if abreast:
            together.setdefault((group, place), [0] * (banks // groups))[reached] = weight
        else:
            found[group].append(((weight,), place, reached))
    for (group, place), weights in together.items():
        found[group].append((tuple(weights), place, 0))
    replicas = slots // groups
    words = range(max(-(-len(of_group) // replicas) for of_group in found))
    return [
        [_nth(found[slot % groups], number * replicas + slot // groups) for slot in range(slots)] for number in words
    ]


def _nth(slots: Sequence[Slot], number: int) -> Slot | None:
    return slots[number] if number < len(slots) else None


def row_lengths(form: SlottedFormat, contents: SlottedContents) -> IntArray:
    """The words of each row, int64."""
    none = (1 << form.length_bits) - 1
    lengths = np.array(contents.rows, np.int64) >> form.pointer_bits
    return np.where(lengths == none, 0, lengths + 1)


def _word(form: SlottedFormat, slots: Sequence[Slot | None]) -> int:
    bits, size = form.neurons.weight_bits, form.slot_layout.size
    word = 0
    for number, slot in enumerate(slots):
        if slot is not None:
            weights, place, bank = slot
            code = place | bank << form.place_bits
            for weight in reversed(weights):
                code = code << bits | weight & ((1 << bits) - 1)
            word |= code << (number * size)
    return word

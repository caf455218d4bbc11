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
) -> tuple[SlottedFormat, SlottedContents]:
    """A slotted engine for integer weights, a row for each input; `parameters` holds a word per neuron, or none.

    `x_max` is the largest value of an input in a step, one for all or one each, from which the width of the sums
    follows. `slots` and the rest are as in SlottedFormat. Raises ValueError where that does.
    """
    synapses = zip(weights.post.tolist(), weights.code.tolist(), strict=True)
    words = [row_words(islice(synapses, length), slots, banks, groups) for length in weights.lengths.tolist()]
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


Slot = tuple[int, int, int]
"""A weight, and the place and the bank in its group of its neuron."""


def row_words(row: Iterable[tuple[int, int]], slots: int, banks: int, groups: int) -> list[list[Slot | None]]:
    """The words of a row of neurons with their weights, slot by slot: in each slot of a group of banks its synapses in
    turn."""
    queues: list[list[Slot]] = [[] for _ in range(slots)]
    for neuron, weight in row:
        place, bank = divmod(neuron, banks)
        reached, group = divmod(bank, groups)
        queue = min((queues[slot] for slot in range(group, slots, groups)), key=len)
        queue.append((weight, place, reached))
    return [
        [queue[number] if number < len(queue) else None for queue in queues] for number in range(max(map(len, queues)))
    ]


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
            weight, place, bank = slot
            code = weight & ((1 << bits) - 1) | place << bits | bank << (bits + form.place_bits)
            word |= code << (number * size)
    return word

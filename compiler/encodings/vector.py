"""Weights to the memory words of a vector engine, and events to its beats (see `spikeloom.hdl.engines.vector`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.engines.vector import VectorContents, VectorFormat
from ...hdl.neurons.neuron_format import NeuronFormat
from ...hdl.streams.tokens import BeatShape, TokenKind
from ..ir.arrays import IntArray
from .fields import joined, joined_words
from .room import Room, require_room
from .row_weights import RowWeights


def encode_vector(
    rows: RowWeights,
    neurons: NeuronFormat,
    parameters: Sequence[int],
    *,
    lanes: int,
    x_max: int | IntArray = 1,
    banks: int = 1,
    ports: int = 1,
    neurons_per_cycle: int = 1,
    room: Room | None = None,
) -> tuple[VectorFormat, VectorContents]:
    """A vector engine for integer weights, a row for each input; `parameters` holds a word per neuron, or none.

    `x_max` is the largest value of an input in a step, one for all or one each, from which the width of the sums
    follows, which `room` widens. `lanes` and the rest are as in VectorFormat. Raises ValueError where that does.
    """
    sum_bits = rows.sum_bits(x_max)
    if room is not None:
        wide = sum_bits + room.bits if room.form is None else room.form.sum_bits
        require_room("the sums of a step", wide, sum_bits, "bit")
        sum_bits = wide
    form = VectorFormat(
        pre=rows.shape[0],
        neurons=neurons,
        sum_bits=sum_bits,
        lanes=lanes,
        banks=banks,
        ports=ports,
        neurons_per_cycle=neurons_per_cycle,
    )
    codes = rows.dense()  # as every weight is stored
    weights = tuple(_bank_words(form, codes[bank::banks]) for bank in range(banks))
    words = joined_words(parameters, neurons_per_cycle, neurons.parameter_bits)
    return form, VectorContents(weights=weights, parameters=words)


def pack_beats(shape: BeatShape, addresses: Sequence[int]) -> list[int]:
    """The payloads that bring events in the fewest beats; an address may come often. One event per beat, and beats are
    tokens."""
    layout = shape.layout
    if shape.slots == 1:
        return [layout.const({"kind": TokenKind.EVENT, "address": address}).as_bits() for address in addresses]
    slots: list[list[int]] = [[] for _ in range(shape.slots)]
    for address in addresses:
        row, bank = divmod(address, shape.banks)
        min((slots[slot] for slot in range(bank, shape.slots, shape.banks)), key=len).append(row)
    payloads = []
    for beat in range(max(map(len, slots))):
        rows = [queue[beat] if beat < len(queue) else None for queue in slots]
        mask = sum(1 << slot for slot, row in enumerate(rows) if row is not None)
        payload = {"kind": TokenKind.EVENT, "mask": mask, "rows": [row or 0 for row in rows]}
        payloads.append(layout.const(payload).as_bits())
    return payloads


def count_beats(shape: BeatShape, events: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many payloads `pack_beats` makes of the events [steps, inputs] of each step, int64 [steps]."""
    banks = [events[:, bank :: shape.banks].sum(axis=1, dtype=np.int64) for bank in range(shape.banks)]
    beats: npt.NDArray[np.int64] = -(-np.max(banks, axis=0) // shape.ports)
    return beats


def _bank_words(form: VectorFormat, rows: IntArray) -> tuple[int, ...]:
    """A bank's words, low lanes first; the memory is zero beyond them."""
    bits, lanes = form.neurons.weight_bits, form.lanes
    return tuple(
        joined([int(code) & ((1 << bits) - 1) for code in row[first : first + lanes]], bits)
        for row in rows
        for first in range(0, row.size, lanes)
    )

"""What a slotted engine costs and does: a walker, sums for each slot, and a pass of one neuron at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.engines.slotted_format import SlottedContents, SlottedFormat
from ...hdl.memories.memory import Family
from ...hdl.streams.tokens import address_bits
from ..encodings.slotted import row_lengths
from .engine_estimate import EngineEstimate, Work, work_of
from .neurons import bank_parts, own_leaks
from .parts import Parts


class SlottedEstimate(EngineEstimate):
    """A slotted engine; of what nothing was measured."""

    def __init__(self, form: SlottedFormat, contents: SlottedContents) -> None:
        self._form = form
        self._contents = contents

    def add_parts(self, parts: Parts, family: Family) -> None:
        self._add_walker(parts)
        self._add_sums(parts)
        self._add_pass(parts)

    def modules(self, family: Family) -> Iterator[tuple[str, Parts]]:
        for name, add in (("walker", self._add_walker), ("sums", self._add_sums), ("neurons", self._add_pass)):
            module = Parts()
            add(module)
            yield name, module

    def _add_walker(self, parts: Parts) -> None:
        form = self._form
        counters = form.pointer_bits + form.length_bits
        parts.adder("slotted", counters)
        parts.lut("slotted", 14 + counters)
        parts.ff("slotted", 2 * counters + 12 + form.slots * form.slot_layout.size)

    def _add_sums(self, parts: Parts) -> None:
        """Each slot has two memories, which are read for words and for the pass in turn."""
        form = self._form
        parts.adder("slotted", 3 * form.slots * form.sum_bits)
        parts.lut("slotted", 2 * form.slots * (form.place_bits + 1))
        parts.ff("slotted", form.slots * (form.slot_layout.size + 3 * form.sum_bits))

    def _add_pass(self, parts: Parts) -> None:
        """The arithmetic of a bank, once, behind a choice of the banks' sums, and a queue of spikes."""
        form = self._form
        bank_parts(parts, form.neurons)
        parts.lut("slotted", 40 + (form.banks - 1) * form.sum_bits)
        parts.adder("slotted", form.sum_bits + 3 * address_bits(form.queued))
        parts.ff("slotted", 6 * address_bits(form.outputs) + 6 * form.sum_bits + 3 * form.start_bits + 40)

    def multipliers(self, family: Family) -> int:
        return own_leaks(self._form.neurons)

    def work(self, rows: npt.NDArray[Any], steps: int) -> Work:
        """A word is read with the sums of each slot, which are written; so is a place of every bank in a pass."""
        form, events = self._form, float(rows.sum())
        words = float(rows @ row_lengths(form, self._contents)[: len(rows)])
        synapses = float(rows @ self._synapses()[: len(rows)])
        sums = words * form.slots
        passes = 2.0 * steps * form.slots * form.places
        return work_of(events, synapses, events + words + sums + passes, sums, [form.neurons], steps)

    def _synapses(self) -> npt.NDArray[np.int64]:
        """The synapses of each row, int64."""
        form = self._form
        size, mask = form.slot_layout.size, (1 << form.neurons.weight_bits) - 1
        full = [
            sum(bool(word >> (slot * size) & mask) for slot in range(form.slots)) for word in self._contents.entries
        ]
        ends = np.concatenate([[0], np.cumsum(full)])
        starts = np.array(self._contents.rows, np.int64) & ((1 << form.pointer_bits) - 1)
        return np.asarray(ends[starts + row_lengths(form, self._contents)] - ends[starts], np.int64)

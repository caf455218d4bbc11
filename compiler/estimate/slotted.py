"""What a slotted engine costs and does: a walker, sums for each slot, and a pass of a few neurons at a time."""

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
from .neurons import arithmetic_parts, own_leaks, stage_paths
from .parts import Parts


class SlottedEstimate(EngineEstimate):
    """A slotted engine."""

    def __init__(self, form: SlottedFormat, contents: SlottedContents) -> None:
        self._form = form
        self._contents = contents

    def add_parts(self, parts: Parts, family: Family) -> None:
        for _, module in self.modules(family):
            parts.join(module)

    def modules(self, family: Family) -> Iterator[tuple[str, Parts]]:
        for name, count in (("walker", self._walker), ("sums", self._sums), ("neurons", self._pass)):
            module = Parts()
            carries = count(module, family)
            module.carries += carries
            if family is Family.ICE40:  # whose adders are look-up tables with a carry
                module.lut("slotted adders", carries)
            yield name, module

    def _walker(self, parts: Parts, family: Family) -> int:
        form = self._form
        counters = form.pointer_bits + form.length_bits
        parts.lut("slotted walker", 12 + counters)
        parts.ff("slotted walker", 3 * counters + 12 + form.slots * form.slot_layout.size)
        return counters

    def _sums(self, parts: Parts, family: Family) -> int:
        """Each slot has two memories, which are read for words and for the pass in turn, and adds in both."""
        form = self._form
        sums = form.slots * form.reach * form.sum_bits
        parts.lut("slotted sums", 2 * form.slots * (form.place_bits + 1))
        parts.ff("slotted sums", form.slots * (form.place_bits + form.reach * form.neurons.weight_bits) + 3 * sums)
        return 4 * sums

    def _pass(self, parts: Parts, family: Family) -> int:
        """The arithmetic of a bank for each neuron of a word, behind a choice of banks' sums; a queue of spikes, and
        what unpacks those of a word."""
        form, several = self._form, self._form.neurons_per_cycle
        for _ in range(several):
            arithmetic_parts(parts, form.neurons)
        stage_paths(parts, "slotted", form.neurons)
        number, queue = address_bits(form.pass_words), address_bits(form.queued)
        parts.lut("slotted pass", 34 + (form.banks - several) * form.sum_bits + (4 * several if several > 1 else 0))
        kept = 8 * form.sum_bits + 4 * form.start_bits + 2 * form.neurons.parameter_bits
        unpacked = number + several + 3 if several > 1 else 0
        parts.ff("slotted pass", 6 * number + several * kept + 60 + unpacked)
        return number + several * (form.sum_bits + form.start_bits) + 3 * queue

    def registered(self, family: Family) -> bool:
        return True

    def multipliers(self, family: Family) -> int:
        return self._form.neurons_per_cycle * own_leaks(self._form.neurons)

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
        bits, mask = form.neurons.weight_bits, (1 << form.neurons.weight_bits) - 1
        weights = form.slot_layout["weights"].width // bits
        lows = [slot * form.slot_layout.size + n * bits for slot in range(form.slots) for n in range(weights)]
        full = [sum(bool(word >> low & mask) for low in lows) for word in self._contents.entries]
        ends = np.concatenate([[0], np.cumsum(full)])
        starts = np.array(self._contents.rows, np.int64) & ((1 << form.pointer_bits) - 1)
        return np.asarray(ends[starts + row_lengths(form, self._contents)] - ends[starts], np.int64)

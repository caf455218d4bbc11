"""What a wide engine costs and does: taps, and for each lane of its words the arithmetic of a neuron."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from ...hdl.engines.visit_map import ROW
from ...hdl.engines.wide_format import WideContents, WideFormat
from ...hdl.memories.memory import Family
from ...hdl.streams.tokens import address_bits
from ..cycles.wide import event_words
from .engine_estimate import EngineEstimate, Work, work_of
from .maps import tap_parts
from .neurons import bank_parts, own_leaks, stage_paths
from .parts import COMPARE, Parts


class WideEstimate(EngineEstimate):
    """A wide engine; of what nothing was measured."""

    def __init__(self, form: WideFormat, contents: WideContents) -> None:
        self._form = form
        self._contents = contents

    def add_parts(self, parts: Parts, family: Family) -> None:
        tap_parts(parts, self._form.taps)
        self._add_bank(parts)
        self._add_queues(parts)

    def modules(self, family: Family) -> Iterator[tuple[str, Parts]]:
        bank = Parts()
        self._add_bank(bank)
        self._add_queues(bank)
        yield "bank", bank

    def _add_bank(self, parts: Parts) -> None:
        """Each lane adds, compares and resets as a bank does."""
        lanes, slot = self._form.lanes, Parts()
        bank_parts(slot, self._form.neurons)
        parts.lut("wide lanes", lanes * sum(slot.luts.values()))
        parts.ff("wide lanes", lanes * (2 * self._form.sum_bits + self._form.neurons.parameter_bits))
        parts.carries += lanes * slot.carries
        stage_paths(parts, "wide", self._form.neurons)

    def _add_queues(self, parts: Parts) -> None:
        """Words of rows, of passes and of spikes, one after the other."""
        form = self._form
        word, weights = address_bits(form.words), address_bits(form.weight_words)
        parts.adder("words", 2 * word + weights + (len(form.rows) - 1) * weights)
        parts.lut("words", 40 + word * (6 + 2 * COMPARE * len(form.layouts)) + 3 * form.lanes)
        parts.ff("words", 4 * word + weights + 2 * form.lanes + form.name_width + 30)
        if form.lists_visits:
            parts.adder("words", 4 * word)
            parts.ff("words", 4 * word)
        elif form.visits:
            parts.adder("words", ROW + word)
            parts.lut("words", 6 * ROW + 4 * word)
            parts.ff("words", 2 * ROW + 6 * word)
        if form.alternates:
            parts.ff("words", 1 + address_bits(form.outputs))

    def multipliers(self, family: Family) -> int:
        return self._form.lanes * own_leaks(self._form.neurons)

    def work(self, rows: npt.NDArray[Any], steps: int) -> Work:
        """A word that is added to is read, with its weights, and written; a synaptic operation is that of each lane."""
        form, events = self._form, float(rows.sum())
        words = float(rows @ event_words(form, self._contents)[: len(rows)])
        return work_of(events, words * form.lanes, 2 * words, words, [form.neurons], steps)

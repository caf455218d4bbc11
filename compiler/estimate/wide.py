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
from .neurons import ADDER, lane_parts, leak_depth, own_leaks
from .parts import COMPARE, Parts

ADDERS = ("accumulate", "bias", "compare")
"""Of a lane what is carry chains on an ECP5, with few look-up tables beside them."""


class WideEstimate(EngineEstimate):
    """A wide engine."""

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
        """Each lane adds, compares and resets as a bank does, whose numbers, counters and turns are there once."""
        lanes, neurons = self._form.lanes, self._form.neurons
        lane = lane_parts(neurons)
        adders = sum(lane.luts.pop(name, 0.0) for name in ADDERS)
        parts.lut("wide adders", lanes * adders)
        parts.lut("wide lanes", lanes * sum(lane.luts.values()))
        parts.ff("wide lanes", lanes * (2 * self._form.sum_bits + neurons.parameter_bits))
        parts.carries += lanes * lane.carries
        self._add_paths(parts)

    def _add_paths(self, parts: Parts) -> None:
        """A word, with its bias, is compared in one cycle; in the next one it is reset, and what it starts the next
        step from is made."""
        neurons, bits = self._form.neurons, self._form.sum_bits
        several = len(neurons.rules) > 1
        adders = 1 + bool(neurons.bias_bits)
        parts.path("wide", ADDER * adders + several, bits)
        for rule in neurons.rules:
            adders, levels = leak_depth(rule.decay)
            adders += rule.has_sub
            levels = max(levels, float(adders > 0)) + 2 * rule.saturates + 2 * rule.has_floor + 1 + several
            parts.path("wide", levels + ADDER * adders, bits)

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

    def registered(self, family: Family) -> bool:
        return True

    def multipliers(self, family: Family) -> int:
        return self._form.lanes * own_leaks(self._form.neurons)

    def work(self, rows: npt.NDArray[Any], steps: int) -> Work:
        """A word that is added to is read, with its weights, and written; a synaptic operation is that of each lane."""
        form, events = self._form, float(rows.sum())
        words = float(rows @ event_words(form, self._contents)[: len(rows)])
        return work_of(events, words * form.lanes, 2 * words, words, [form.neurons], steps)

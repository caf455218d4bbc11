"""The monitors of a wide engine: what a lane of a word that is passed has become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import Module
from amaranth.hdl import Value

from ..streams.tokens import address_bits
from .wide_format import WideFormat
from .wide_wires import Wires


def show_lane(
    m: Module, w: Wires, form: WideFormat, traces: Sequence[Any], number: int, v: Value, fired: Value, redo: Value
) -> None:
    """The monitors of lane `number`, of the word that is written, unless that is to be looked at again."""
    count: Value = fired
    if form.neurons.repeats:
        count = w.turns.count(m, fired, form.neurons.spike_bits, f"count{number}")
    for trace, (population, lane) in zip(traces, form.monitored, strict=True):
        if lane != number:
            continue
        layout, base = form.layouts[population], form.bases[population]
        there = (w.written.word >= base) & (w.written.word < form.ends[population])
        word = (w.written.word - base)[: address_bits(layout.words)]
        in_place = word[: (layout.stride - 1).bit_length()] if layout.places > 1 else word
        m.d.comb += [
            trace.valid.eq(
                w.written.passes & ~w.quiet & ~redo & there & (in_place < layout.lane_words(lane, form.lanes)) & w.tick
            ),
            trace.neuron.eq(word),
            trace.membrane.eq(v),
            trace.spike.eq(count),
        ]

"""What each kind of engine costs and does: its parts, its multipliers, its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy.typing as npt

from ...hdl.engines.engine import SparseContents, SparseFormat
from ...hdl.engines.lanes import LanesContents, LanesFormat
from ...hdl.engines.returns import queue_depth
from ...hdl.engines.slotted_format import SlottedContents, SlottedFormat
from ...hdl.engines.vector import VectorContents, VectorFormat
from ...hdl.engines.wide_format import WideContents, WideFormat
from ...hdl.memories.memory import Family
from ...hdl.neurons.decay import signed_digits
from ...hdl.streams.tokens import address_bits
from ..encodings.rows import row_lengths
from ..encodings.taps import event_beats
from ..plan.kinds import PerKind
from ..plan.plan import Plan
from .engine_estimate import EngineEstimate, Work, work_of
from .fast import fast_parts
from .maps import map_parts
from .neurons import ADDER, bank_parts, lane_parts, own_leaks, stage_paths
from .parts import DSP_PRODUCT_BITS, Parts, queue_parts, return_parts, walker_parts
from .slotted import SlottedEstimate
from .wide import WideEstimate


class LanesEstimate(EngineEstimate):
    """A sparse engine: one lane, or several with queues."""

    def __init__(self, lanes: Sequence[tuple[SparseFormat, SparseContents]], outputs: int, queue: int) -> None:
        self._lanes = lanes
        self._outputs = outputs
        self._queue = queue

    def add_parts(self, parts: Parts, family: Family) -> None:
        several = len(self._lanes) > 1
        for form, _ in self._lanes:
            lane = Parts()
            walker_parts(lane, form.rows, family)
            map_parts(lane, form)
            bank_parts(lane, form.neurons)
            if form.neurons.fast:
                fast_parts(lane, form, family)
            parts.join(lane)
            if several and self._queue:
                queue_parts(parts, self._queue)
            if form.neurons.shared:
                parts.lut("turns", 12 + address_bits(form.inputs))
            if form.walking is not None:
                return_parts(parts, form.neurons)
            if form.waiting:
                queue_parts(parts, queue_depth(form.neurons, form.waiting))
        if several:
            parts.lut("merge", len(self._lanes) * (5 + address_bits(self._outputs)))
            parts.ff("queues", 2 * len(self._lanes))

    def modules(self, family: Family) -> Iterator[tuple[str, Parts]]:
        for number, (form, _) in enumerate(self._lanes):
            path = f"lane{number}." if len(self._lanes) > 1 else ""
            walker, bank = Parts(), Parts()
            walker_parts(walker, form.rows, family)
            bank_parts(bank, form.neurons)
            yield f"{path}walker", walker
            yield f"{path}bank", bank

    def registered(self, family: Family) -> bool:
        return family is Family.ECP5 and any(form.neurons.fast for form, _ in self._lanes)

    def multipliers(self, family: Family) -> int:
        """Of a row's number by the length of dense rows, and of membranes by leaks of their own."""
        count = 0
        for form, _ in self._lanes:
            count += own_leaks(form.neurons)
            length = form.rows.longest_row
            wide = length.bit_length() + address_bits(form.rows.rows) >= DSP_PRODUCT_BITS[family]
            count += form.rows.uniform and len(signed_digits(length)) > 1 and wide
        return count

    def work(self, rows: npt.NDArray[Any], steps: int) -> Work:
        """A synaptic operation reads its entry and its neuron, and writes the neuron; so does a pass."""
        events = float(rows.sum())
        additions = sum(
            float(rows @ event_beats(form, contents, row_lengths(form.rows, contents.rows)))
            for form, contents in self._lanes
        )
        reads = 2 * additions + sum(events * (not form.rows.uniform) for form, _ in self._lanes)
        return work_of(events, additions, reads, additions, [form.neurons for form, _ in self._lanes], steps)


PRODUCT = 8
"""Look-up tables that a multiplier block, and what chooses behind it, count as on a path."""


class VectorEstimate(EngineEstimate):
    """A vector engine: sums of all neurons, a queue of them, and the pass; words of weights are added in a tree."""

    def __init__(self, form: VectorFormat) -> None:
        self._form = form

    def add_parts(self, parts: Parts, family: Family) -> None:
        self._add_sums(parts)
        self._add_pass(parts, family)

    def modules(self, family: Family) -> Iterator[tuple[str, Parts]]:
        integrator, neurons = Parts(), Parts()
        self._add_sums(integrator)
        self._add_pass(neurons, family)
        yield "integrator", integrator
        yield "neurons", neurons

    def _add_sums(self, parts: Parts) -> None:
        form = self._form
        sums, words = form.sum_bits * form.neurons.neurons, form.slots * form.lanes * form.neurons.weight_bits
        parts.adder("vector sums", sums)
        parts.adder("vector tree", words - form.lanes * form.neurons.weight_bits)
        parts.ff("vector sums", sums)
        parts.ff("vector tree", words)
        parts.path("vector", ADDER + (form.row_beats > 1), form.sum_bits)

    def _add_pass(self, parts: Parts, family: Family) -> None:
        """Each neuron of a word has the arithmetic of a bank; together they have a queue of sums. Words of a number of
        neurons that is no power of two have a product on the way to the next engine."""
        form = self._form
        queued = form.sum_bits * form.pass_words * form.neurons_per_cycle
        parts.lut("vector queue", queued)
        parts.ff("vector queue", queued)
        slot = lane_parts(form.neurons)
        count = form.neurons_per_cycle
        parts.lut("vector pass", count * sum(slot.luts.values()))
        parts.ff("vector pass", count * sum(slot.ffs.values()))
        parts.carries += count * slot.carries
        stage_paths(parts, "registers", form.neurons)
        from_block = form.state_memory(family).brams > 0
        parts.path("vector" if from_block else "registers", 2 * ADDER + 2, form.membrane_bits)
        if count & (count - 1):
            parts.path("vector", PRODUCT, form.outputs.bit_length())

    def multipliers(self, family: Family) -> int:
        return self._form.neurons_per_cycle * own_leaks(self._form.neurons)

    def work(self, rows: npt.NDArray[Any], steps: int) -> Work:
        """An event reads its row of all neurons, whose sums are registers; a pass reads and writes the neurons."""
        form, events = self._form, float(rows.sum())
        return work_of(events, events * form.neurons.neurons, events * form.row_beats, 0.0, [form.neurons], steps)


def _sparse(form: SparseFormat, contents: SparseContents) -> LanesEstimate:
    return LanesEstimate([(form, contents)], form.outputs, queue=0)


def _lanes(form: LanesFormat, contents: LanesContents) -> LanesEstimate:
    return LanesEstimate(list(zip(form.lanes, contents.lanes, strict=True)), form.outputs, form.queue)


def _vector(form: VectorFormat, contents: VectorContents) -> VectorEstimate:
    return VectorEstimate(form)


def _wide(form: WideFormat, contents: WideContents) -> WideEstimate:
    return WideEstimate(form, contents)


def _slotted(form: SlottedFormat, contents: SlottedContents) -> SlottedEstimate:
    return SlottedEstimate(form, contents)


ESTIMATES: PerKind[Callable[..., EngineEstimate]] = PerKind(
    sparse=_sparse, lanes=_lanes, vector=_vector, wide=_wide, slotted=_slotted
)
"""The estimate of each kind of engine, from its format and contents."""


def engine_estimates(plan: Plan) -> tuple[EngineEstimate, ...]:
    """The estimate of every engine."""
    return tuple(
        ESTIMATES.of(folding)(instance.form, instance.contents)
        for folding, instance in zip(plan.folding.engines, plan.engines, strict=True)
    )

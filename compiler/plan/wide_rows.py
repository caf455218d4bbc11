"""The rows and taps of a wide engine: as `taps` has them, in words of neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...hdl.engines.tap_format import OwnRow, Places, TapContents, TapFormat
from ...hdl.engines.wide_format import WordRows
from ...hdl.errors import ModelError, quoted
from ..encodings.taps import MapJob, SegmentJobs, encode_taps
from ..encodings.words import WordStore
from ..ir.arrays import IntArray
from ..ir.maps import MapShape, size_of
from .kernels import Reading, axis_parts
from .step_edges import Synapses
from .weights import AddressRange, EngineWeights
from .words import WordPopulation, filled_numbers, power_of_two

NOWHERE = MapJob(down=((),), across=((),))
"""The taps of what nobody hears."""

ONE_PLACE = Places(inner=1, outer=1, planar=True)
"""How numbers say a place where nobody asks."""


@dataclass(frozen=True, kw_only=True)
class WordTaps:
    """What is in front of the state: taps from the address `first_input` on are those of inputs, whose addresses are
    `inputs`; rows and the words of their weights, of so many bits."""

    form: TapFormat
    contents: TapContents
    first_input: int
    inputs: tuple[int, ...]
    sections: tuple[WordRows, ...]
    entries: tuple[int, ...]
    weight_bits: int


def plan_words(
    weights: EngineWeights, populations: Sequence[WordPopulation], logic_luts: int, *, divides: bool = False
) -> WordTaps:
    """The taps and words of an engine. Where it `divides`, places of inputs are found by division, not by a table."""
    plan = _Plan(weights, populations, divides)
    count = len(weights.heard.own)
    for addresses in list(weights.address_ranges())[:count]:
        plan.hear_own(addresses)
    for addresses in list(weights.address_ranges())[count:]:
        plan.hear_source(addresses)
    segments = plan.segments
    first_input = segments[count].first
    if all(segment.places is None for segment in segments):
        segments = [replace(segment, places=ONE_PLACE) for segment in segments]
    form, contents = encode_taps(
        segments, addresses=plan.addresses, rows=plan.store.rows, post=plan.words, logic_luts=logic_luts
    )
    bits = max(plan.widths)
    return WordTaps(
        form=form,
        contents=contents,
        first_input=first_input,
        inputs=tuple(plan.inputs),
        sections=tuple(plan.store.sections),
        entries=plan.store.packed(bits),
        weight_bits=bits,
    )


class _Plan:
    """The segments of the taps and the rows as they are found."""

    def __init__(self, weights: EngineWeights, populations: Sequence[WordPopulation], divides: bool) -> None:
        self._weights = weights
        self._divides = divides
        self._populations = {population.name: population for population in populations}
        self._first_words: dict[str, int] = {}
        self.words = 0
        for population in populations:
            self._first_words[population.name] = self.words
            self.words += population.layout.words
        self._kernels: dict[int, MapJob] = {}
        self.store = WordStore(populations[0].lanes)
        self.widths = [2]
        self.segments: list[SegmentJobs] = []
        self.addresses = 0
        self.inputs: list[int] = []

    def hear_own(self, addresses: AddressRange) -> None:
        """The spikes of a population of the engine's own."""
        mine = self._populations[addresses.pre]
        read = self._read(addresses)
        neurons = np.full((mine.name_count, mine.lanes), -1)
        neurons[mine.names] = mine.neurons
        self._hear(addresses, neurons.ravel(), None if read is None else mine.places(read))

    def hear_source(self, addresses: AddressRange) -> None:
        """The spikes of somebody else."""
        read = self._read(addresses)
        numbers, count, places = np.arange(len(addresses.neurons)), len(addresses.neurons), None
        if read is not None and self._divides and np.array_equal(addresses.neurons, np.arange(size_of(read))):
            places = Places(inner=read[2], outer=read[1], planar=True)
        elif read is not None:
            numbers, count, places = filled_numbers(read, addresses.neurons)
            size = power_of_two(count)
            self.addresses = -(-self.addresses // size) * size  # so that the low bits of an address say a place
        self.inputs += (self.addresses + numbers).tolist()
        neurons = np.full(count, -1)
        neurons[numbers] = addresses.neurons
        self._hear(addresses, neurons, places)

    def _read(self, addresses: AddressRange) -> MapShape | None:
        """The map that a range is read as, if it is."""
        shapes = {Reading.of(s.connectivity).read for s in self._weights.acting_in(addresses) if s.are_shared}
        if len(shapes) > 1:
            raise ModelError(
                f"a map is read in one shape: {quoted(addresses.pre)} is read as {' and '.join(map(str, shapes))}; "
                "give the populations that read it engines of their own"
            )
        return next(iter(shapes), None)

    def _hear(self, addresses: AddressRange, neurons: IntArray, places: Places | None) -> None:
        """A segment, of whose addresses each is that of a neuron, or of none (-1)."""
        mine = self._weights.acting_in(addresses)
        matrices = [synapses for synapses in mine if not synapses.are_shared]
        jobs: list[OwnRow | MapJob] = [self._own_rows(neurons, matrices)] if matrices else []
        jobs += [self._kernel(synapses) for synapses in mine if synapses.are_shared]
        if not jobs:
            jobs, places = [NOWHERE], ONE_PLACE
        self.segments.append(SegmentJobs(first=self.addresses, jobs=tuple(jobs), places=places))
        self.addresses += len(neurons)

    def _own_rows(self, neurons: IntArray, matrices: Sequence[Synapses]) -> OwnRow:
        """A row for each address, from the first word that any of them reaches on."""
        lanes = self.store.lanes
        block = np.zeros((len(neurons), self.words * lanes), np.int64)
        for synapses in matrices:
            population = self._populations[synapses.post]
            shift = self._weights.shift_of(synapses)
            first = self._first_words[synapses.post] * lanes
            codes = np.where(neurons[:, None] >= 0, synapses.codes[np.maximum(neurons, 0)] << shift, 0)
            block[:, first : first + population.layout.words * lanes] += population.spread(codes)
            self.widths.append(synapses.bits + shift + (len(matrices) - 1).bit_length())
        reached = np.flatnonzero(block.any(axis=0)) // lanes
        first, past = (int(reached[0]), int(reached[-1]) + 1) if len(reached) else (0, 1)
        row = self.store.add(block[:, first * lanes : past * lanes])
        return OwnRow(offset=row - self.addresses, origin=first)

    def _kernel(self, synapses: Synapses) -> MapJob:
        """The taps of a projection, whose rows are stored when they are first asked for."""
        if synapses.projection not in self._kernels:
            reading, population = Reading.of(synapses.connectivity), self._populations[synapses.post]
            shift = self._weights.shift_of(synapses)
            rows, kernel_rows, kernel_columns = reading.rows(synapses.codes, 1, None)
            rows_apart = columns_apart = 0
            if reading.written is None:
                rows = population.spread(rows)
            else:
                columns_apart = population.layout.stride
                rows_apart = columns_apart * population.shape[2]
            self.widths.append(synapses.bits + shift)
            row = self.store.add(rows << shift)
            self._kernels[synapses.projection] = MapJob(
                down=axis_parts(reading.taps(0), (kernel_rows, rows_apart), (row, self._first_words[synapses.post])),
                across=axis_parts(reading.taps(1), (kernel_columns, columns_apart)),
            )
        return self._kernels[synapses.projection]

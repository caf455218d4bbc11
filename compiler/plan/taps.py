"""The rows and taps of an engine that listens to maps: kernels stored once, and where their rows are added.

Spikes that are pooled by maxima take a way round: their events have windows in place of rows, and the windows, numbered
behind the engine's addresses, have the rows. Sums that are pooled by maxima lie behind the engine's neurons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np

from ...hdl.engines.pooling import SpikePoolFormat
from ...hdl.engines.sum_pooling import SumPoolFormat
from ...hdl.engines.tap_format import OwnRow, Places, TapContents, TapFormat
from ...hdl.errors import ModelError, quoted
from ...hdl.memories.memory import Family
from ..encodings.cost import LOGIC_LUTS, Scarce
from ..encodings.room import Room, require_room
from ..encodings.row_weights import RowWeights
from ..encodings.rows import encode_rows
from ..encodings.taps import Choice, MapJob, SegmentJobs, encode_taps
from ..ir.arrays import IntArray
from ..ir.bounds import largest_input, signed_bits
from ..ir.connectivity import BoolArray
from ..ir.maps import MapShape, size_of
from ..ir.pooling import Pooling
from .kernels import Reading, axis_parts, pooling_taps, window_cells
from .maps import lies, places_of, side_by_side
from .step_edges import Synapses
from .weights import AddressRange, EngineWeights

Job = tuple[OwnRow | MapJob, BoolArray]
"""What events are for, and which addresses of a range have it."""


@dataclass(frozen=True, kw_only=True)
class PlacedRows:
    """What is around an engine's bank: the formats of rows and of what places and pools them, by the names that
    SparseFormat has for them, their contents by those of SparseContents, and the width of the weights that reach the
    bank."""

    formats: Mapping[str, Any]
    contents: Mapping[str, Any]
    weight_bits: int


def plan_taps(
    weights: EngineWeights,
    family: Family,
    first_spram: int | None,
    scarce: Scarce,
    neurons: range | None = None,
    room: Room | None = None,
) -> PlacedRows:
    """The rows, taps and pools of an engine; entries lie in SPRAMs from `first_spram` on, if that is a number. Where
    nothing is convolved, only these of its `neurons` may be meant. With `room` rows are laid out for others, too."""
    plan = _Plan(weights, scarce, family, neurons)
    taps, pool = _Segments(), _Segments()
    for addresses in weights.address_ranges():
        plan.hear(addresses, taps, pool)
    passing = len(taps.choices)
    plan.hear_windows(taps)
    parts: dict[str, tuple[Any, Any]] = {
        "rows": encode_rows(
            RowWeights.of(plan.codes()),
            plan.weight_bits,
            family,
            first_spram=first_spram,
            scarce=scarce,
            placed_in=plan.post,
            room=None if room is None else room.of("rows"),
        ),
        "taps": taps.encode(rows=plan.row_count, post=plan.post, scarce=scarce, family=family),
    }
    if len(taps.choices) > passing:
        parts["pool"] = plan.spike_pool(pool)
    weight_bits = plan.weight_bits
    if plan.post > plan.neurons:
        parts["sums"] = form, _ = _with_room(*plan.sum_pool(), None if room is None else room.of("sums"))
        weight_bits = form.pooled_bits
    return PlacedRows(
        formats={role: form for role, (form, _) in parts.items()},
        contents={role: contents for role, (_, contents) in parts.items()},
        weight_bits=weight_bits,
    )


def _with_room(form: SumPoolFormat, contents: TapContents, room: Room | None) -> tuple[SumPoolFormat, TapContents]:
    """A pool of sums that has room for those of other weights."""
    if room is None:
        return form, contents
    bits = form.sum_bits + room.bits if room.form is None else room.form.sum_bits
    require_room("a sum that is pooled", bits, form.sum_bits, "bit")
    return replace(form, sum_bits=bits), contents


@dataclass(eq=False)
class _Segments:
    """The segments of a tap generator as they are found, and the choices of each address."""

    segments: list[SegmentJobs] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    differ: bool = False

    def add(self, neurons: IntArray, jobs: Sequence[Job], places: Places | None, *, looked_up: bool = False) -> None:
        """The next addresses, of some `neurons`, and their jobs."""
        segment = SegmentJobs(
            first=len(self.choices), jobs=tuple(job for job, _ in jobs), places=places, looked_up=looked_up
        )
        masks = np.zeros(len(neurons), np.int64)
        for number, (_, mask) in enumerate(jobs):
            masks |= mask.astype(np.int64) << number
        self.segments.append(segment)
        self.choices += [Choice(*both) for both in zip(masks.tolist(), neurons.tolist(), strict=True)]
        self.differ |= looked_up or not all(mask.all() for _, mask in jobs)

    def encode(self, *, rows: int, post: int, scarce: Scarce, family: Family) -> tuple[TapFormat, TapContents]:
        """The generator, for so many rows and post neurons."""
        return encode_taps(
            self.segments,
            addresses=len(self.choices),
            rows=rows,
            post=post,
            choices=self.choices if self.differ else (),
            logic_luts=LOGIC_LUTS[scarce],
            steps=scarce is Scarce.BRAMS and family is Family.ECP5,
        )


class _Plan:
    """The rows of an engine as they are found: those that events have of their own, and those of kernels."""

    def __init__(self, weights: EngineWeights, scarce: Scarce, family: Family, neurons: range | None) -> None:
        self._weights = weights
        self._scarce = scarce
        self._family = family
        self._blocks: list[IntArray] = []
        self._widths = [2]
        self._kernels: dict[int, MapJob] = {}
        shared = {s.projection: s for s in weights.heard.synapses if s.are_shared}
        self._readings = {number: Reading.of(s.connectivity) for number, s in shared.items()}
        self._shared = shared
        meant = range(sum(map(weights.network.size_of, weights.names))) if neurons is None else neurons
        self.neurons = len(meant)
        self._meant = slice(meant.start, meant.stop)
        pools = {number: r.pool for number, r in self._readings.items() if r.pool is not None}
        sums = {number: r.written for number, r in self._readings.items() if r.sum_pool is not None}
        self._windows, self._window_count = _starts({number: pool.post_shape for number, pool in pools.items()})
        self._sums, self._sum_count = _starts({number: shape for number, shape in sums.items() if shape is not None})
        self._most = max((largest_input(weights.network, shared[number].pre) for number in pools), default=1)
        self._count_count = 0

    # -- rows --------------------------------------------------------------------------------------------------

    @property
    def post(self) -> int:
        """What taps may lead to: neurons, and sums that are pooled."""
        return self.neurons + self._sum_count

    @property
    def row_count(self) -> int:
        return sum(map(len, self._blocks))

    @property
    def weight_bits(self) -> int:
        """The width that holds every weight."""
        return max(self._widths)

    def codes(self) -> IntArray:
        """All rows [rows, neurons from the origin on]."""
        width = max(block.shape[1] for block in self._blocks)
        return np.concatenate([np.pad(block, ((0, 0), (0, width - block.shape[1]))) for block in self._blocks])

    def _add(self, block: IntArray, bits: int) -> int:
        """Store rows of weights of so many bits; gives the number of the first."""
        first = self.row_count
        self._blocks.append(block)
        self._widths.append(bits)
        return first

    # -- what events are for -----------------------------------------------------------------------------------

    def hear(self, addresses: AddressRange, taps: _Segments, pool: _Segments) -> None:
        """What the events of a range are for: the jobs of both generators."""
        everyone = np.ones(len(addresses.neurons), np.bool_)
        mine = self._weights.acting_in(addresses)
        matrices = [synapses for synapses in mine if not synapses.are_shared]
        shared: dict[int, list[Synapses]] = {}
        for synapses in mine:
            if synapses.are_shared:
                shared.setdefault(synapses.projection, []).append(synapses)
        takes = {n: np.any([addresses.takes(s) for s in together], axis=0) for n, together in shared.items()}
        pooled = [number for number in shared if number in self._windows]
        direct = [number for number in shared if number not in self._windows]

        jobs: list[Job] = []
        if matrices or not shared:
            jobs.append((self._own_rows(addresses, matrices), everyone))
        jobs += [(self._kernel(number), takes[number]) for number in direct]
        places, looked_up = self._places(addresses, [self._readings[number].read for number in direct])
        taps.add(addresses.neurons, jobs or [(OwnRow(offset=0, origin=0), everyone)], places, looked_up=looked_up)

        passes: list[Job] = [(OwnRow(offset=0, origin=0), everyone)] if jobs else []
        for number in pooled:
            passes += [(job, takes[number]) for job in self._window_jobs(number, addresses)]
        places, looked_up = self._places(addresses, [self._pool(number).pre_shape for number in pooled])
        pool.add(addresses.neurons, passes, places, looked_up=looked_up)

    def hear_windows(self, taps: _Segments) -> None:
        """What the windows of spikes that are pooled are for."""
        for number in self._windows:
            shape = self._pool(number).post_shape
            every = np.arange(size_of(shape))
            channels, _, columns = shape
            places = Places(inner=channels, outer=columns, planar=False)
            taps.add(every, [(self._kernel(number), np.ones(len(every), np.bool_))], places)

    def _places(self, addresses: AddressRange, maps: Sequence[MapShape]) -> tuple[Places | None, bool]:
        """How an address says a place, and whether its number is looked up first."""
        if not maps:
            return None, False
        shape, *others = sorted(set(maps))
        if others:
            raise ModelError(
                f"a map is read in one shape: {quoted(addresses.pre)} is read as {' and '.join(map(str, maps))}; give "
                "the populations that read it engines of their own"
            )
        found = places_of(shape, addresses.order)
        return found or places_of(shape, None), found is None

    def _own_rows(self, addresses: AddressRange, matrices: Sequence[Synapses]) -> OwnRow:
        """A row for each address; they count from the first neuron that any of them reaches."""
        block, bits = self._weights.rows_of(addresses, matrices)
        block = block[:, self._meant]
        reached = np.flatnonzero(block.any(axis=0))
        first, past = (int(reached[0]), int(reached[-1]) + 1) if len(reached) else (0, 1)
        row = self._add(block[:, first:past], bits)
        return OwnRow(offset=row - addresses.first, origin=first)

    def _kernel(self, number: int) -> MapJob:
        """The taps of a projection, whose rows are stored when they are first asked for."""
        if number not in self._kernels:
            synapses, reading = self._shared[number], self._readings[number]
            first, order = self._weights.lies_at(synapses)
            rows_apart = columns_apart = 0
            channels_apart = 1
            if reading.written is not None:
                lie = lies(reading.written, order)
                if number in self._sums:
                    first, lie = self.neurons + self._sums[number], side_by_side(reading.written)
                channels_apart, rows_apart, columns_apart = lie.channels, lie.rows, lie.columns
            shift = self._weights.shift_of(synapses)
            rows, kernel_rows, kernel_columns = reading.rows(synapses.codes, channels_apart, order)
            rows = rows if reading.written is not None else rows[:, self._meant]
            row = self._add(rows << shift, synapses.bits + shift)
            self._kernels[number] = MapJob(
                down=axis_parts(reading.taps(0), (kernel_rows, rows_apart), (row, first)),
                across=axis_parts(reading.taps(1), (kernel_columns, columns_apart)),
            )
        return self._kernels[number]

    # -- pools -------------------------------------------------------------------------------------------------

    def _pool(self, number: int) -> Pooling:
        pool = self._readings[number].pool
        assert pool is not None
        return pool

    def _window_jobs(self, number: int, addresses: AddressRange) -> Iterator[OwnRow | MapJob]:
        """An event's own count, where there may be several of a neuron in a step, and its windows."""
        passing = self._weights.own_rows + self._weights.inputs
        if self._most > 1:
            count = passing + self._window_count + self._count_count
            yield OwnRow(offset=count - addresses.first, origin=0)
            self._count_count += len(addresses.neurons)
        pool = self._pool(number)
        windows = [[[window for _, window in seen] for seen in pooling_taps(pool, axis)] for axis in (0, 1)]
        yield _found_at(windows, pool.post_shape, passing + self._windows[number])

    def spike_pool(self, pool: _Segments) -> tuple[SpikePoolFormat, TapContents]:
        """The pool of spikes in front of the taps."""
        outputs = len(pool.choices) + self._window_count
        taps, contents = pool.encode(rows=outputs + self._count_count, post=1, scarce=self._scarce, family=self._family)
        form = SpikePoolFormat(taps=taps, windows=self._window_count, counts=self._count_count, most=self._most)
        return form, contents

    def sum_pool(self) -> tuple[SumPoolFormat, TapContents]:
        """The pool of sums behind the walker."""
        windows = _Segments()
        for number in self._sums:
            self._add_sum_windows(number, windows)
        taps, contents = windows.encode(
            rows=self._sum_count + self.neurons, post=1, scarce=self._scarce, family=self._family
        )
        form = SumPoolFormat(
            neurons=self.neurons,
            sums=self._sum_count,
            sum_bits=max(self._sum_bits(number) for number in self._sums),
            weight_bits=self.weight_bits,
            windows=len(windows.choices),
            taps=taps,
        )
        return form, contents

    def _add_sum_windows(self, number: int, windows: _Segments) -> None:
        """The windows of one projection's sums, by the neurons that get them."""
        pool = self._readings[number].sum_pool
        assert pool is not None
        first, order = self._weights.lies_at(self._shared[number])
        places = places_of(pool.post_shape, order)
        assert places is not None
        every = np.arange(size_of(pool.post_shape))
        own = OwnRow(offset=self._sum_count + first - len(windows.choices), origin=0)
        in_windows = [window_cells(pool, axis) for axis in (0, 1)]
        cells = _found_at(in_windows, pool.pre_shape, self._sums[number])
        windows.add(every, [(job, np.ones(len(every), np.bool_)) for job in (own, cells)], places)

    def _sum_bits(self, number: int) -> int:
        """The width of the sums of a projection."""
        synapses = self._shared[number]
        low, high = synapses.connectivity.sum_bounds()
        most = largest_input(self._weights.network, synapses.pre) << self._weights.shift_of(synapses)
        return signed_bits(int(low.min()) * most, int(high.max()) * most)


def _found_at(found: Sequence[Sequence[Sequence[int]]], shape: MapShape, first: int) -> MapJob:
    """Taps of what is `found` along both axes by each place: numbers from `first` on, of a map that has its channels
    fastest."""
    lie = side_by_side(shape)
    down, across = ([[(place, 0) for place in of_place] for of_place in axis] for axis in found)
    return MapJob(down=axis_parts(down, (lie.rows, 0), (first, 0)), across=axis_parts(across, (lie.columns, 0)))


def _starts(shapes: Mapping[int, MapShape]) -> tuple[dict[int, int], int]:
    """Where each of some maps starts, one behind the other, and where the last one ends."""
    ends = list(accumulate((size_of(shape) for shape in shapes.values()), initial=0))
    return dict(zip(shapes, ends, strict=False)), ends[-1]

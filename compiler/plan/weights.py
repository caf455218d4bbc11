"""What an engine being planned is about: its weights row by row, and its neurons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...hdl.engines.row_format import Section
from ...hdl.neurons.neuron_format import NeuronFormat
from ..encodings.cost import LOGIC_LUTS, Scarce
from ..encodings.room import Room
from ..encodings.row_weights import RowWeights, added_up
from ..ir.arrays import IntArray
from ..ir.bounds import largest_input
from ..ir.connectivity import BoolArray
from ..ir.network import Network
from .maps import all_in_order
from .neuron_room import with_room
from .neurons import plan_neurons, with_blocks
from .step_edges import Heard, Late, Synapses, Way


@dataclass(frozen=True, eq=False, kw_only=True)
class AddressRange:
    """The addresses from `first` on of one population that an engine hears: the `neurons` behind them, and where they
    are heard later the `delays` after which."""

    pre: str
    first: int
    neurons: IntArray
    delays: IntArray | None

    @property
    def order(self) -> IntArray | None:
        """None for neurons that come in their own order, each once."""
        return None if np.array_equal(self.neurons, np.arange(len(self.neurons))) else self.neurons

    def takes(self, synapses: Synapses) -> BoolArray:
        """Which addresses some synapses take."""
        acting = synapses.acting[self.neurons]
        return acting if self.delays is None else acting & (self.delays == synapses.delay)


class EngineWeights:
    """The weights of the populations `names` from everything that they listen to, the engine's own neurons first.

    `orders` says in which order the neurons of populations lie in their engine, where that is not their own, `heard`
    which of its synapses act when, `gives_membranes` whether the last population's membranes leave in place of
    spikes, `room` how its memories are laid out where their contents shall be exchanged later.
    """

    def __init__(
        self,
        heard: Heard,
        orders: Mapping[str, IntArray],
        *,
        gives_membranes: bool = False,
        room: Room | None = None,
    ) -> None:
        self.heard = heard
        self.network = network = heard.network
        self.names = names = heard.names
        self.room = room
        self.sources = heard.sources
        self.late = tuple(_ordered(network, late, orders) for late in heard.late)
        self._gives_membranes = gives_membranes
        self._orders = orders
        self._rows = _offsets(network, (*heard.own, *self.sources))
        self._late_rows = self._number_late_rows()
        self._posts = _offsets(network, names)
        self._shifts = {name: min(p.shift for p in network.projections_into(name)) for name in names}

    @property
    def inputs(self) -> int:
        """The neurons that the engine listens to, and the rows of those that it hears later."""
        return sum(self.network.size_of(source) for source in self.sources) + sum(late.rows for late in self.late)

    @property
    def shifts(self) -> list[int]:
        """How far contributions to each population are shifted."""
        return list(self._shifts.values())

    @property
    def own_rows(self) -> int:
        """The rows of the engine's own neurons."""
        return sum(map(self.network.size_of, self.heard.own))

    @property
    def largest_inputs(self) -> IntArray:
        """The most events of each of them in a step, int64."""
        names = [*((source,) for source in self.sources), *(late.pres for late in self.late)]
        largest = [max(largest_input(self.network, pre) for pre in pres) for pres in names]
        sizes = [*(self.network.size_of(source) for source in self.sources), *(late.rows for late in self.late)]
        return np.repeat(largest, sizes).astype(np.int64)

    @property
    def inner(self) -> range:
        """The engine's own neurons whose spikes are told outside, though they are not all of the last population."""
        for late in self.late:
            if late.inner:
                first = self._posts[late.pres[0]]
                return range(first, first + len(late.delays))
        return range(0)

    def neurons(
        self,
        weight_bits: int,
        *,
        overlaps: bool = False,
        skips: bool = False,
        lists: bool = False,
        chosen: IntArray | None = None,
        scarce: Scarce = Scarce.BRAMS,
        room: Room | None = None,
    ) -> tuple[NeuronFormat, tuple[int, ...]]:
        """The format and the parameter words of the neurons (`plan_neurons`); those of one population behind maps are
        passed by in blocks where that is exact (`with_blocks`). With `room` they are laid out for others, too."""
        form, parameters = plan_neurons(
            self.network,
            [self.network.population(name) for name in self.names],
            weight_bits,
            self.shifts,
            overlaps=overlaps,
            skips=skips,
            lists=lists,
            gives_membranes=self._gives_membranes,
            chosen=chosen,
            order=all_in_order(self.network, self.names, self._orders) if chosen is None else None,
            logic_luts=LOGIC_LUTS[scarce],
            by_channel=room is not None,
        )
        returning = self.heard.returning
        if returning:
            named = zip(self.names, form.populations, strict=True)
            form = replace(form, populations=tuple(replace(p, returns=name in returning) for name, p in named))
        if self.has_maps and len(self.names) == 1:
            form = with_blocks(form, self.network.population(self.names[0]))
        return (form, parameters) if room is None else with_room(form, parameters, room, self.names)

    @property
    def has_maps(self) -> bool:
        """Whether any of its synapses share weights."""
        return any(synapses.are_shared for synapses in self.heard.synapses)

    def address_ranges(self) -> Iterator[AddressRange]:
        """All addresses, population by population."""
        for pre, first in self._rows.items():
            yield AddressRange(pre=pre, first=first, neurons=self._in_order(pre), delays=None)
        first = self.own_rows + sum(map(self.network.size_of, self.sources))
        for late in self.late:
            places = iter(late.delays)
            for pre in late.pres:
                due = [(neuron, delay) for neuron in self._in_order(pre).tolist() for delay in next(places)]
                neurons, delays = np.array(due, np.int64).T
                yield AddressRange(pre=pre, first=first, neurons=neurons, delays=delays)
                first += len(neurons)

    def acting_in(self, addresses: AddressRange) -> list[Synapses]:
        """The synapses that take spikes from a range."""
        later = addresses.delays is not None
        return [s for s in self.heard.synapses if s.pre == addresses.pre and (s.way is Way.LATE) == later]

    def rows_of(self, addresses: AddressRange, matrices: Sequence[Synapses]) -> tuple[IntArray, int]:
        """The rows of a range [addresses, neurons] by matrices, as `rows` has them."""
        block = np.zeros((len(addresses.neurons), sum(map(self.network.size_of, self.names))), np.int64)
        for synapses in matrices:
            first, order = self.lies_at(synapses)
            codes = synapses.codes[addresses.neurons] << self.shift_of(synapses)
            codes = codes if order is None else codes[:, order]
            block[:, first : first + codes.shape[1]] += codes * addresses.takes(synapses)[:, None]
        counts = [sum(s.post == t.post and s.delay == t.delay for t in matrices) for s in matrices]
        widths = [s.bits + self.shift_of(s) + (n - 1).bit_length() for s, n in zip(matrices, counts, strict=True)]
        return block, max(widths, default=2)

    def lies_at(self, synapses: Synapses) -> tuple[int, IntArray | None]:
        """The first neuron of a post population in the engine, and its order where that is not its own."""
        return self._posts[synapses.post], self._orders.get(synapses.post)

    def shift_of(self, synapses: Synapses) -> int:
        """How far synapses are shifted beyond their population's shift."""
        return synapses.shift - self._shifts[synapses.post]

    def _in_order(self, name: str) -> IntArray:
        return self._orders.get(name, np.arange(self.network.size_of(name)))

    @cached_property
    def rows(self) -> tuple[RowWeights, int]:
        """All weights by row and neuron, in units of their population's shift, and the width that holds them."""
        rows, posts, codes, widths = [], [], [], []
        for (_, post, _), parallel in self._parallel().items():
            bits = [s.bits + self.shift_of(s) for s in parallel]
            widths.append(max(bits) + (len(parallel) - 1).bit_length())
            for synapses in parallel:
                neuron, to = np.nonzero(synapses.codes)
                rows.append(self._row_of_each(synapses)[neuron])
                posts.append(to + self._posts[post])
                codes.append(synapses.codes[neuron, to] << self.shift_of(synapses))
        shape = (self.own_rows + self.inputs, sum(map(self.network.size_of, self.names)))
        return added_up(shape, rows, posts, codes), max(widths, default=2)

    def _row_of_each(self, synapses: Synapses) -> IntArray:
        """The row of each pre neuron; where spikes are heard later, -1 for those without synapses of the delay."""
        pre = synapses.pre
        place = np.argsort(self._in_order(pre))
        if synapses.way is not Way.LATE:
            return self._rows[pre] + place
        return np.array([self._late_rows.get((pre, at, synapses.delay), -1) for at in place.tolist()], np.int64)

    def sections(self) -> Sequence[Section]:
        """Where the relative indices of each source's rows start: at the first population that it reaches."""
        sections: list[Section] = []
        for source, row in self._rows.items():
            reached = [self._posts[s.post] for s in self.heard.synapses if s.pre == source and s.way is not Way.LATE]
            first = min(reached, default=0)
            if not sections or sections[-1].first_post != first:
                sections.append(Section(first_row=row, first_post=first))
        row = sum(map(self.network.size_of, self._rows))
        for late in self.late:
            first = min(self._posts[s.post] for s in self.heard.going(Way.LATE) if s.pre in late.pres)
            if not sections or sections[-1].first_post != first:
                sections.append(Section(first_row=row, first_post=first))
            row += late.rows
        return sections

    def reaches_last(self) -> bool:
        """Whether anything outside projects to the last population."""
        outside = [s for s in self.heard.going(Way.NOW) if s.pre in self.sources]
        return any(s.post == self.names[-1] for s in (*outside, *self.heard.going(Way.LATE)))

    def overlaps(self) -> bool:
        """Whether the next step's input may come during the pass of the last of several populations: nothing but the
        engine itself reaches it, and it reaches nothing in the engine."""
        return len(self.names) > 1 and not self.reaches_last() and self.heard.own != self.names

    def _number_late_rows(self) -> dict[tuple[str, int, int], int]:
        """The row of a population's neuron, in the order in which they come, after a delay."""
        found = {}
        row = sum(map(self.network.size_of, self._rows))
        for late in self.late:
            names = ((pre, neuron) for pre in late.pres for neuron in range(self.network.size_of(pre)))
            for (pre, neuron), delays in zip(names, late.delays, strict=True):
                for delay in delays:
                    found[pre, neuron, delay] = row
                    row += 1
        return found

    def _parallel(self) -> dict[tuple[str, str, int], list[Synapses]]:
        """The synapses with one delay between the same two populations."""
        found: dict[tuple[str, str, int], list[Synapses]] = {}
        for synapses in self.heard.synapses:
            found.setdefault((synapses.pre, synapses.post, synapses.delay), []).append(synapses)
        return found


def _ordered(network: Network, late: Late, orders: Mapping[str, IntArray]) -> Late:
    """With the neurons as they come."""
    order = all_in_order(network, late.pres, orders)
    return late if order is None else replace(late, delays=tuple(late.delays[neuron] for neuron in order.tolist()))


def _offsets(network: Network, names: Sequence[str]) -> dict[str, int]:
    """Where each of the concatenated populations starts."""
    offsets, total = {}, 0
    for name in names:
        offsets[name] = total
        total += network.size_of(name)
    return offsets

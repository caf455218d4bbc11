"""What an engine being planned is about: its weights as one matrix, and its neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...hdl.engines.row_format import Section
from ...hdl.neurons.neuron_format import NeuronFormat
from ..encodings.cost import LOGIC_LUTS, Scarce
from ..ir.arrays import IntArray
from ..ir.bounds import largest_input
from ..ir.network import Network
from .neurons import plan_neurons
from .step_edges import Heard, Synapses, Way


class EngineWeights:
    """The weights of the populations `names` from everything that they listen to, the engine's own neurons first.

    `orders` says in which order the neurons of other populations leave their engine, where that is not their own.
    `heard` says which of its synapses act when.
    """

    def __init__(self, heard: Heard, orders: Mapping[str, IntArray]) -> None:
        self.heard = heard
        self.network = network = heard.network
        self.names = names = heard.names
        self.sources = heard.sources
        self._orders = orders
        self._rows = _offsets(network, (*heard.own, *self.sources))
        self._posts = _offsets(network, names)
        self._shifts = {name: min(p.shift for p in network.projections_into(name)) for name in names}

    @property
    def inputs(self) -> int:
        """The neurons that the engine listens to."""
        return sum(self.network.size_of(source) for source in self.sources)

    @property
    def largest_inputs(self) -> IntArray:
        """The most events of each of them in a step, int64."""
        largest = [largest_input(self.network, source) for source in self.sources]
        return np.repeat(largest, [self.network.size_of(source) for source in self.sources]).astype(np.int64)

    def neurons(
        self,
        weight_bits: int,
        *,
        overlaps: bool = False,
        skips: bool = False,
        chosen: IntArray | None = None,
        scarce: Scarce = Scarce.BRAMS,
    ) -> tuple[NeuronFormat, tuple[int, ...]]:
        """The format and the parameter words of the neurons (`plan_neurons`)."""
        form, parameters = plan_neurons(
            self.network,
            [self.network.population(name) for name in self.names],
            weight_bits,
            list(self._shifts.values()),
            overlaps=overlaps,
            skips=skips,
            chosen=chosen,
            logic_luts=LOGIC_LUTS[scarce],
        )
        returning = self.heard.returning
        if returning:
            named = zip(self.names, form.populations, strict=True)
            form = replace(form, populations=tuple(replace(p, returns=name in returning) for name, p in named))
        return form, parameters

    def matrix(self) -> tuple[IntArray, int]:
        """All weights [rows, neurons] in units of their population's shift, and the width that holds them."""
        size = self.network.size_of
        codes = np.zeros((sum(map(size, self._rows)), sum(map(size, self.names))), np.int64)
        widths = []
        for (pre, post, _), parallel in self._parallel().items():
            parts = [s.codes << (s.shift - self._shifts[post]) for s in parallel]
            bits = [s.bits + s.shift - self._shifts[post] for s in parallel]
            widths.append(max(bits) + (len(parts) - 1).bit_length())
            row, column = self._rows[pre], self._posts[post]
            block = np.sum(parts, axis=0)
            codes[row : row + size(pre), column : column + size(post)] = block[self._orders.get(pre, slice(None))]
        return codes, max(widths, default=2)

    def sections(self) -> Sequence[Section]:
        """Where the relative indices of each source's rows start: at the first population that it reaches."""
        sections: list[Section] = []
        for source, row in self._rows.items():
            reached = [self._posts[s.post] for s in self.heard.synapses if s.pre == source]
            first = min(reached, default=0)
            if not sections or sections[-1].first_post != first:
                sections.append(Section(first_row=row, first_post=first))
        return sections

    def reaches_last(self) -> bool:
        """Whether anything outside projects to the last population."""
        return any(s.post == self.names[-1] and s.pre in self.sources for s in self.heard.going(Way.NOW))

    def overlaps(self) -> bool:
        """Whether the next step's input may come during the pass of the last of several populations: nothing but the
        engine itself reaches it, and it reaches nothing in the engine."""
        return len(self.names) > 1 and not self.reaches_last() and self.heard.own != self.names

    def _parallel(self) -> dict[tuple[str, str, int], list[Synapses]]:
        """The synapses with one delay between the same two populations."""
        found: dict[tuple[str, str, int], list[Synapses]] = {}
        for synapses in self.heard.synapses:
            found.setdefault((synapses.pre, synapses.post, synapses.delay), []).append(synapses)
        return found


def _offsets(network: Network, names: Sequence[str]) -> dict[str, int]:
    """Where each of the concatenated populations starts."""
    offsets, total = {}, 0
    for name in names:
        offsets[name] = total
        total += network.size_of(name)
    return offsets

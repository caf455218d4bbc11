"""A sparse engine: compressed rows or bitmaps, one synapse per cycle, of one population or of several in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Self

from ...hdl.engines.engine import SparseContents, SparseFormat
from ...hdl.errors import ModelError, quoted
from ...hdl.memories.memory import Family
from ..encodings.cost import Scarce
from ..encodings.rows import encode_rows
from ..ir.arrays import IntArray
from ..ir.connectivity import Connectivity
from ..ir.network import Network
from .engine_folding import ONLY_WIDE, EngineFolding, EngineKind, Monitor, check_one_population
from .fast import fast_refusal, fast_rows
from .maps import listens_to_maps, map_orders
from .neurons import lists_refusal
from .taps import PlacedRows, plan_taps
from .weights import EngineWeights

SKIPPED_MEMBRANES = (
    "membranes leave an engine that passes in every step: that of {population} skips; the nearest does not"
)

ONLY_VECTOR = "only a vector engine has {name}: the engine of {first} is sparse; leave it out"


@dataclass(frozen=True, kw_only=True)
class SparseFolding(EngineFolding):
    """One engine (`spikeloom.hdl.engines.engine`) for one population, or for several in turn.

    With `spram` its weights lie in the SPRAM of an iCE40UP5K, else in block RAM. `scarce` is what it saves. If it
    `skips`, it leaves out passes that would change nothing, for about 25 logic cells. One that `lists` visits takes the
    neurons of its first population that a pass changes from a list (`lists_refusal` says where). One that is `fast` has
    registers on its way: a higher clock for some cycles and logic cells more (`fast_refusal` says what it cannot have).
    """

    spram: bool = False
    scarce: Scarce = Scarce.BRAMS
    skips: bool = False
    lists: bool = False
    fast: bool = False

    kind = EngineKind.SPARSE
    returns: ClassVar[bool] = True
    lanes: ClassVar[int] = 1
    has_room: ClassVar[bool] = True
    refused: ClassVar[Mapping[str, str]] = {
        "state_sprams": ONLY_WIDE,
        "events_per_beat": ONLY_VECTOR,
        "neurons_per_cycle": ONLY_VECTOR,
    }

    @property
    def wants_spram(self) -> bool:
        return self.spram

    def in_spram(self) -> Self:
        return replace(self, spram=True)

    def can_have(self, connectivity: Connectivity) -> bool:
        return True

    def check(self, network: Network, *, wide: bool) -> None:
        """Where maxima are taken, all spikes and sums of a step are there when its pass starts: of one population."""
        for projection in network.projections:
            if projection.post in self.populations and not projection.connectivity.is_linear:
                check_one_population(self, "an engine with max pooling has one population")
        problem = self.lists_refusal(network)
        if problem is not None:
            raise ModelError(
                f"an engine that lists visits has {problem}: that of {quoted(self.first)} is not so; leave lists out"
            )
        problem = self.refusal(network)
        if problem is not None:
            raise ModelError(f"a fast engine has {problem}: that of {quoted(self.first)} is not so; leave fast out")

    def refusal(self, network: Network) -> str | None:
        """What a fast engine has that it would not have, if it is to be one."""
        if not self.fast:
            return None
        if self.lists:
            return "passes over all neurons"
        return "a pass in every step" if self.skips else fast_refusal(network, self.populations)

    def lists_refusal(self, network: Network) -> str | None:
        """What an engine that lists visits has that it would not have, if it is to do so."""
        if not self.lists:
            return None
        if any(listens_to_maps(network, name) for name in self.populations):
            return "matrices of weights"
        return "a pass in every step" if self.skips else lists_refusal(network, self.populations)

    def keeps_membranes(self, network: Network) -> str | None:
        return SKIPPED_MEMBRANES.format(population=quoted(self.populations[-1])) if self.skips else None

    def plan(
        self, weights: EngineWeights, family: Family, first_spram: int | None
    ) -> tuple[SparseFormat, SparseContents]:
        spram = first_spram if self.spram else None
        if weights.has_maps:
            placed = plan_taps(weights, family, spram, self.scarce, room=weights.room)
        else:
            own, weight_bits = weights.rows
            room = None if weights.room is None else weights.room.of("rows")
            encode = partial(encode_rows, own, weight_bits, family, weights.sections(), spram, self.scarce, room=room)
            rows, row_contents = fast_rows(encode, family) if self.fast else encode()
            placed = PlacedRows(formats={"rows": rows}, contents={"rows": row_contents}, weight_bits=weight_bits)
        overlaps = weights.overlaps()
        neurons, parameters = weights.neurons(
            placed.weight_bits,
            overlaps=overlaps,
            skips=self.skips,
            lists=self.lists,
            scarce=self.scarce,
            room=None if weights.room is None else weights.room.of("neurons"),
        )
        if self.fast:
            neurons = replace(neurons, fast=True)
        form = SparseFormat(
            inputs=weights.inputs,
            neurons=neurons,
            walking=weights.own_rows if weights.heard.steers else None,
            waiting=weights.heard.waiting,
            inner=weights.inner,
            **placed.formats,
        )
        return form, SparseContents(parameters=parameters, **placed.contents)

    def orders(self, network: Network) -> Mapping[str, IntArray]:
        return map_orders(network, self.populations)

    def monitors(self, network: Network) -> Iterator[Monitor]:
        orders = self.orders(network)
        for place, name in enumerate(self.populations):
            every = range(network.size_of(name))
            yield self._monitor(network, place, every, orders.get(name, every))

"""Lanes: the neurons of one population spread over sparse engines that work side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...hdl.engines.engine import SparseContents, SparseFormat
from ...hdl.engines.lanes import LanesContents, LanesFormat
from ...hdl.errors import ModelError, quoted
from ...hdl.memories.memory import Family
from ..encodings.cost import Scarce
from ..encodings.room import Room
from ..encodings.rows import encode_rows
from ..ir.arrays import IntArray
from ..ir.connectivity import Connectivity
from ..ir.network import Network
from .engine_folding import ONLY_WIDE, EngineFolding, EngineKind, Monitor, check_range
from .lane_assignment import lane_neurons
from .queues import QUEUE, check_queue
from .sparse import ONLY_VECTOR
from .taps import PlacedRows, plan_taps
from .weights import EngineWeights

MAX_LANES = 256


@dataclass(frozen=True, kw_only=True)
class LanesFolding(EngineFolding):
    """One population on several `lanes` (`spikeloom.hdl.engines.lanes`), each of which may lag `queue` events behind
    the others. `scarce` and `skips` as in SparseFolding."""

    lanes: int
    queue: int = QUEUE
    scarce: Scarce = Scarce.BRAMS
    skips: bool = False

    kind = EngineKind.SPARSE
    has_room: ClassVar[bool] = True
    refused: ClassVar[Mapping[str, str]] = {
        "spram": "an engine with weights in SPRAM has one lane: that of {first} has {lanes}",
        "state_sprams": ONLY_WIDE,
        "events_per_beat": ONLY_VECTOR,
        "neurons_per_cycle": ONLY_VECTOR,
        "fast": "a fast engine has one lane: that of {first} has {lanes}; leave fast out",
    }

    def can_have(self, connectivity: Connectivity) -> bool:
        """Matrices, behind sums over windows of a map, too."""
        return connectivity.post_map is None and connectivity.is_linear

    def check(self, network: Network, *, wide: bool) -> None:
        if len(self.populations) > 1:
            raise ModelError(
                f"an engine of several populations has one lane: that of {quoted(self.first)} has {self.lanes}; "
                "give each population its engine"
            )
        most = min(MAX_LANES, network.size_of(self.first))
        check_range(f"lanes of the engine of {quoted(self.first)}", self.lanes, 1, most)
        check_queue(self.first, self.queue)

    def keeps_membranes(self, network: Network) -> str | None:
        return (
            f"membranes leave an engine in order: that of {quoted(self.first)} has {self.lanes} lanes, which run ahead "
            "of each other; the nearest has 1"
        )

    def plan(
        self, weights: EngineWeights, family: Family, first_spram: int | None
    ) -> tuple[LanesFormat, LanesContents]:
        forms, contents = [], []
        first = 0
        for number, chosen in enumerate(lane_neurons(weights.network, self)):
            room = None if weights.room is None else weights.room.at(number, "lanes")
            placed = self._rows(weights, family, chosen, range(first, first + len(chosen)), room)
            neurons, parameters = weights.neurons(
                placed.weight_bits,
                chosen=chosen,
                skips=self.skips,
                scarce=self.scarce,
                room=None if room is None else room.of("neurons"),
            )
            forms.append(SparseFormat(inputs=weights.inputs, neurons=neurons, **placed.formats))
            contents.append(SparseContents(parameters=parameters, **placed.contents))
            first += len(chosen)
        return LanesFormat(lanes=tuple(forms), queue=self.queue), LanesContents(lanes=tuple(contents))

    def _rows(
        self, weights: EngineWeights, family: Family, chosen: IntArray, places: range, room: Room | None
    ) -> PlacedRows:
        """What is around a lane's bank, whose neurons are the `chosen`, which have these `places` among those of all
        lanes."""
        if weights.has_maps:
            return plan_taps(weights, family, None, self.scarce, places, room=room)
        every, weight_bits = weights.rows
        rows, row_contents = encode_rows(
            every.of_posts(chosen),
            weight_bits,
            family,
            scarce=self.scarce,
            room=None if room is None else room.of("rows"),
        )
        return PlacedRows(formats={"rows": rows}, contents={"rows": row_contents}, weight_bits=weight_bits)

    def orders(self, network: Network) -> Mapping[str, IntArray]:
        return {self.first: np.concatenate(lane_neurons(network, self))}

    def monitors(self, network: Network) -> Iterator[Monitor]:
        for chosen in lane_neurons(network, self):
            yield self._monitor(network, 0, range(len(chosen)), chosen)

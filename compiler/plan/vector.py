"""A vector engine: dense rows, read as a whole for several events at once, with the pass beside the next step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from ...hdl.engines.vector import VectorContents, VectorFormat
from ...hdl.errors import ModelError, quoted
from ...hdl.memories.memory import Family
from ...hdl.streams.tokens import BeatShape
from ..encodings.vector import encode_vector
from ..ir.network import Network
from .engine_folding import ONLY_WIDE, EngineFolding, EngineKind, Monitor, check_one_population, check_range
from .weights import EngineWeights

MAX_EVENTS_PER_BEAT = 16


@dataclass(frozen=True, kw_only=True)
class VectorFolding(EngineFolding):
    """One population on a vector engine (`spikeloom.hdl.engines.vector`), which reads the weights of `lanes` neurons at
    a time (0: all) for `events_per_beat` events at once, and whose pass takes `neurons_per_cycle`."""

    lanes: int = 1
    events_per_beat: int = 1
    neurons_per_cycle: int = 1

    kind = EngineKind.VECTOR
    has_room: ClassVar[bool] = True
    refused: ClassVar[Mapping[str, str]] = {
        "spram": "a vector engine's weights lie in block RAM: that of {first} has spram; leave it out",
        "state_sprams": ONLY_WIDE,
        "skips": "a vector engine passes in every step: that of {first} has skips; leave it out",
        "lists": "a vector engine passes over all neurons: that of {first} has lists; leave it out",
        "fast": "a vector engine is not fast by registers: that of {first} is to be; leave fast out",
    }

    @property
    def takes_beats(self) -> bool:
        return self.events_per_beat > 1

    def beats(self, addresses: int, family: Family) -> BeatShape:
        """Two slots of a bank read it through its two ports, where its memory has them."""
        ports = 2 if family is Family.ECP5 and self.events_per_beat % 2 == 0 else 1
        return BeatShape(addresses=addresses, slots=self.events_per_beat, banks=self.events_per_beat // ports)

    def check(self, network: Network, *, wide: bool) -> None:
        check_one_population(self, "a vector engine has one population")
        size, of = network.size_of(self.first), f"of the engine of {quoted(self.first)}"
        check_range(f"lanes {of}", self.lanes, 0, size)
        check_range(f"events_per_beat {of}", self.events_per_beat, 1, MAX_EVENTS_PER_BEAT)
        check_range(f"neurons_per_cycle {of}", self.neurons_per_cycle, 1, size)
        if not _power_of_two(_row_beats(size, self.lanes)):
            nearest = min(_possible_lanes(size), key=lambda lanes: abs(lanes - self.lanes))
            raise ModelError(
                f"a vector engine reads a row in a power of two of beats: {self.lanes} lanes take "
                f"{_row_beats(size, self.lanes)} for the {size} neurons of {quoted(self.first)}; choose another number "
                f"of lanes, the nearest is {nearest}"
            )
        if not wide and not _power_of_two(self.events_per_beat):
            below = 1 << (self.events_per_beat.bit_length() - 1)
            raise ModelError(
                f"events that come one at a time are put into beats of a power of two: {self.events_per_beat} "
                f"events_per_beat {of}; the nearest are {below} and {2 * below}, and the core's wide input takes any"
            )

    def keeps_membranes(self, network: Network) -> str | None:
        if self.neurons_per_cycle == 1:
            return None
        return (
            f"membranes leave an engine one per cycle: that of {quoted(self.first)} has neurons_per_cycle "
            f"{self.neurons_per_cycle}; the nearest is 1"
        )

    def plan(
        self, weights: EngineWeights, family: Family, first_spram: int | None
    ) -> tuple[VectorFormat, VectorContents]:
        rows, weight_bits = weights.rows
        room = weights.room
        neurons, parameters = weights.neurons(weight_bits, room=None if room is None else room.of("neurons"))
        beats = self.beats(weights.inputs, family)
        return encode_vector(
            rows,
            neurons,
            parameters,
            lanes=self.lanes or rows.shape[1],
            x_max=weights.largest_inputs,
            banks=beats.banks,
            ports=beats.ports,
            neurons_per_cycle=self.neurons_per_cycle,
            room=room,
        )

    def monitors(self, network: Network) -> Iterator[Monitor]:
        size = network.size_of(self.first)
        for slot in range(self.neurons_per_cycle):
            neurons = range(slot, size, self.neurons_per_cycle)
            yield self._monitor(network, 0, neurons, neurons)


def _row_beats(size: int, lanes: int) -> int:
    return -(-size // (lanes or size))


def _possible_lanes(size: int) -> list[int]:
    return [lanes for lanes in range(1, size + 1) if _power_of_two(_row_beats(size, lanes))]


def _power_of_two(value: int) -> bool:
    return value & (value - 1) == 0

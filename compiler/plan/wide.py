"""A wide engine: words of several neurons, channels of one place of a map, which are added to in one cycle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar, Self

import numpy as np

from ...hdl.engines.wide_format import WideContents, WideFormat
from ...hdl.errors import CapacityError, ModelError, quoted
from ...hdl.memories.memory import LOGIC_ROM_LUTS, Family
from ...hdl.memories.spram import MAX_SPRAMS, SPRAM_DEPTH, SPRAM_WIDTH
from ...hdl.neurons.dynamics import with_bias
from ...hdl.neurons.neuron_format import NeuronFormat
from ..encodings.words import packed
from ..ir.arrays import IntArray
from ..ir.connectivity import Connectivity
from ..ir.network import Network
from ..ir.neurons import IntegerDynamics
from ..neurons.reachable import accumulator_bits
from .engine_folding import EngineFolding, EngineKind, Monitor, check_range
from .maps import map_orders
from .neurons import beyond_plain, plan_neurons, rests
from .weights import EngineWeights
from .wide_rows import plan_words
from .words import WordPopulation, power_of_two, word_population

MOST_LANES = 64

NOT_WIDE = "a wide engine has no {name}: that of {first} has; leave it out"


@dataclass(frozen=True, kw_only=True)
class WideFolding(EngineFolding):
    """One engine (`spikeloom.hdl.engines.wide`) for one population, or for several in turn, of which `lanes` neurons
    are a word of memory, a power of two. With `spram` its weights lie in the SPRAM of an iCE40UP5K, else in block
    RAM; in so many `state_sprams` lie the low bits of the state, 16 in each: it then takes two cycles for one."""

    lanes: int
    spram: bool = False
    state_sprams: int = 0

    kind = EngineKind.WIDE
    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("events_per_beat", "neurons_per_cycle", "skips", "lists", "fast"), NOT_WIDE
    )

    @property
    def wants_spram(self) -> bool:
        return self.spram or self.state_sprams > 0

    def in_spram(self) -> Self:
        return replace(self, spram=True)

    def with_state_in(self, sprams: int) -> Self | None:
        possible = not self.state_sprams and self.lanes <= SPRAM_WIDTH * sprams
        return replace(self, state_sprams=sprams) if possible else None

    def can_have(self, connectivity: Connectivity) -> bool:
        return True

    def check(self, network: Network, *, wide: bool) -> None:
        if not 2 <= self.lanes <= MOST_LANES or self.lanes & (self.lanes - 1):
            below = min(MOST_LANES, max(2, power_of_two(self.lanes + 1) >> 1))
            raise ModelError(
                f"a word of a wide engine has a power of two of lanes, 2 to {MOST_LANES}: that of {quoted(self.first)} "
                f"has {self.lanes}; the nearest is {below}"
            )
        check_range("state_sprams", self.state_sprams, 0, MAX_SPRAMS)
        if self.state_sprams and self.lanes > SPRAM_WIDTH * self.state_sprams:
            raise ModelError(
                f"every lane has bits in SPRAM, of which each has {SPRAM_WIDTH}: {self.lanes} lanes of "
                f"{quoted(self.first)} have {self.state_sprams}; the nearest is {SPRAM_WIDTH * self.state_sprams} lanes"
            )
        problem = self.refusal(network)
        if problem is not None:
            raise ModelError(f"{problem}; the nearest engine is sparse, of one lane")

    def refusal(self, network: Network) -> str | None:
        """What of the network no engine of words can run, if anything."""
        for projection in network.projections:
            if projection.post in self.populations and not projection.connectivity.is_linear:
                return (
                    f"a wide engine takes no maxima: that of {quoted(self.first)} would take those between "
                    f"{quoted(projection.pre)} and {quoted(projection.post)}"
                )
        for late in self.heard(network).late:
            return (
                f"a wide engine hears spikes in the step in which they are fired: that of {quoted(self.first)} would "
                f"hear {quoted(late.pres[0])} later"
            )
        found = ((name, _beyond(network, name)) for name in self.populations)
        return next((f"a wide engine has {what}: {quoted(name)} is not so" for name, what in found if what), None)

    def keeps_membranes(self, network: Network) -> str | None:
        return (
            f"membranes leave an engine one per cycle: that of {quoted(self.first)} has {self.lanes} in a word; the "
            "nearest is sparse"
        )

    def plan(self, weights: EngineWeights, family: Family, first_spram: int | None) -> tuple[WideFormat, WideContents]:
        network = weights.network
        populations = self._words(network)
        taps = plan_words(weights, populations, LOGIC_ROM_LUTS, divides=self.state_sprams > 0)
        neurons, words = plan_neurons(
            network,
            [network.population(name) for name in self.populations],
            taps.weight_bits,
            weights.shifts,
            derives_floors=True,
        )
        neurons, parameters = _shared(neurons, np.array(words, object), populations)
        names = _names(populations)
        form = WideFormat(
            inputs=weights.inputs,
            lanes=self.lanes,
            neurons=neurons,
            layouts=tuple(population.layout for population in populations),
            taps=taps.form,
            first_input=taps.first_input,
            rows=taps.sections,
            weight_words=len(taps.entries),
            renumbered=taps.inputs != tuple(range(taps.first_input, taps.first_input + weights.inputs)),
            name_bits=max(names).bit_length() if names else 0,
            visits=all(rests(network.population(name)) for name in self.populations),
            takes_ahead=self._takes_ahead(network),
            first_spram=first_spram if self.spram else None,
            state_sprams=self.state_sprams,
            narrow_bits=() if neurons.remembers_firing else self._narrow_bits(network, neurons),
        )
        if self.state_sprams and form.words > SPRAM_DEPTH:
            raise CapacityError(
                f"an SPRAM has {SPRAM_DEPTH} words: the state of the engine of {quoted(self.first)} is {form.words}; "
                "take more lanes, or divide its populations among several engines"
            )
        contents = WideContents(
            entries=taps.entries,
            parameters=parameters,
            taps=taps.contents,
            names=names,
            inputs=taps.inputs if form.renumbered else (),
        )
        return form, contents

    def orders(self, network: Network) -> Mapping[str, IntArray]:
        return map_orders(network, self.populations)

    def monitors(self, network: Network) -> Iterator[Monitor]:
        in_turn = all(network.population(name).max_spikes == 1 for name in self.populations)
        for place, population in enumerate(self._words(network)):
            for neurons in population.neurons.T:
                there = np.flatnonzero(neurons >= 0)
                if len(there):
                    yield replace(self._monitor(network, place, there, neurons[there]), in_turn=in_turn)

    def _takes_ahead(self, network: Network) -> bool:
        """Whether what comes from outside reaches the first of several populations alone."""
        later = self.populations[1:]
        outside = {p.post for p in network.projections if p.pre not in self.populations}
        return bool(later) and outside.isdisjoint(later)

    def _narrow_bits(self, network: Network, neurons: NeuronFormat) -> tuple[int, ...]:
        """The width of every sum inside a step of each population."""
        populations = [network.population(name) for name in self.populations]
        return tuple(with_bias(neurons, accumulator_bits(network, population)) for population in populations)

    def _words(self, network: Network) -> list[WordPopulation]:
        return [word_population(network, name, self.lanes) for name in self.populations]


def _beyond(network: Network, name: str) -> str | None:
    """What a population has that a wide engine has not."""
    population = network.population(name)
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    problem = beyond_plain(population)
    if problem is None and population.max_spikes > 1 and (np.any(dynamics.fire < 0) or np.any(dynamics.sub < 0)):
        return "thresholds of 0 or more where neurons fire several times in a step"
    return problem


def _names(populations: Sequence[WordPopulation]) -> tuple[int, ...]:
    """By which number taps know the spikes of each word, or those of the last population are known outside; none where
    that is the number of the word."""
    *walking, last = populations
    names: list[int] = []
    first = 0
    for population in walking:
        names += (first + population.names).tolist()
        first += population.name_count
    outside, lanes = last.outside, last.lanes
    plain = names == list(range(len(names))) and last.layout.channels_apart == 1
    if plain and np.array_equal(outside, np.arange(last.layout.words) * lanes):
        return ()
    return (*names, *outside.tolist())


def _shared(
    form: NeuronFormat, words: IntArray, populations: Sequence[WordPopulation]
) -> tuple[NeuronFormat, tuple[int, ...]]:
    """Parameters in words of all lanes: of a map whose places agree those of one place."""
    formats = []
    kept: list[int] = []
    ends = list(accumulate(population.neurons for population in form.populations))
    for own, population, end in zip(form.populations, populations, ends, strict=True):
        if not len(words):
            formats.append(replace(own, shared=None))
            continue
        stride, lanes = population.layout.stride, population.lanes
        of_words = population.spread(words[end - own.neurons : end]).reshape(-1, lanes)
        alike = population.layout.places > 1 and bool(
            np.all(of_words.reshape(-1, stride * lanes) == of_words[:stride].ravel())
        )
        formats.append(replace(own, shared=stride if alike else None))
        kept += packed(of_words[:stride] if alike else of_words, form.parameter_bits)
    return replace(form, populations=tuple(formats)), tuple(kept)

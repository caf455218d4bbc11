"""Folding: which engine of a core runs which populations, and how wide it is.

Between two ends: one shared engine that runs every population in turn (smallest), and an engine per population, with
several lanes or all neurons at once (fastest). A folding may be written as a JSON file:

    {"engines": [{"populations": ["l1", "l2"]}]}
    {"engines": [{"populations": ["l1"], "lanes": 4}, {"populations": ["l2"], "spram": true}]}
    {"engines": [{"populations": ["l1"], "kind": "vector", "events_per_beat": 2}, {"populations": ["l2"]}],
     "wide": true}

`wide` makes the core's input bring beats of several events.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from ...hdl.errors import InputError, ModelError, listed, quoted
from ...hdl.files import MAX_JSON_BYTES, read_regular
from ...hdl.json_files import ShapeError, decoded
from ...hdl.memories.memory import Family
from ...hdl.streams.tokens import BeatShape
from ..encodings.cost import Scarce
from ..ir.network import INPUT, Network
from ..lowering.quantise import quantise
from .delays import MAX_KEPT_STEPS
from .engine_folding import EngineFolding, EngineKind
from .kinds import FIELDS, engine_data, engine_folding
from .lanes import LanesFolding
from .queues import QUEUE, check_inlet_queue, hears_another
from .slotted import SlottedFolding, most_slots
from .sparse import SparseFolding
from .wide import WideFolding

SLOTS = 4
"""How many slots the words of a slotted engine have where nobody says it."""

LEAST_LISTED = 32
"""Of fewer neurons a pass is too short for a list of them to pay."""

WORD_LANES = 16
"""How many neurons a word has where nobody says it: as many as the channels of most maps."""


@dataclass(frozen=True, kw_only=True)
class Folding:
    """The engines of a core, in evaluation order; every population is in one of them.

    With `wide` the core's input brings beats of several events, as the vector engine that it leads to takes them.
    """

    engines: tuple[EngineFolding, ...]
    wide: bool = False

    @property
    def fast(self) -> bool:
        """Whether an engine has registers on its way."""
        return any(isinstance(engine, SparseFolding) and engine.fast for engine in self.engines)


def default_folding(network: Network) -> Folding:
    """The smallest core: a shared engine, or one per population where an earlier population than the last is read."""
    if network.populations[-1].name == network.output:
        return shared_folding(network)
    return pipelined_folding(network)


def shared_folding(network: Network, scarce: Scarce = Scarce.BRAMS) -> Folding:
    """One engine for the whole network, the smallest core; where maxima are taken as few as there can be."""
    return Folding(engines=tuple(engine_folding(names, scarce=scarce) for names in _runs(network)))


def _runs(network: Network, others: Collection[str] = ()) -> list[tuple[str, ...]]:
    """Populations that share an engine: what takes maxima is alone, `others` are, and only the last of a run is heard
    outside."""
    names = [population.name for population in network.populations]
    maxima = {projection.post for projection in network.projections if not projection.connectivity.is_linear}
    alone = maxima | set(others)
    if not alone:
        return [tuple(names)]
    ends = {number + after for number, name in enumerate(names) if name in alone for after in (0, 1)}
    while True:
        cuts = [0, *sorted(ends | {len(names)})]
        runs = [tuple(names[first:past]) for first, past in pairwise(cuts) if past > first]
        heard = {p.pre for p in network.projections for run in runs if p.pre in run[:-1] and p.post not in run}
        if not heard:
            return runs
        ends |= {names.index(name) + 1 for name in heard}


def pipelined_folding(network: Network, lanes: int = 1, scarce: Scarce = Scarce.BRAMS) -> Folding:
    """An engine per population; `lanes` of each, or as many as it has neurons, but one of membranes that are read and
    where maps are."""
    engines = []
    for population in network.populations:
        names = (population.name,)
        several = _suits(network, LanesFolding(populations=names, lanes=2))
        engines.append(engine_folding(names, lanes=min(lanes, population.size) if several else 1, scarce=scarce))
    return Folding(engines=tuple(engines))


ROUNDED_BITS = 8
"""Of the weights of a float network, where integers tell its folding."""


def wide_folding(network: Network, lanes: int = WORD_LANES) -> Folding:
    """As few engines as there can be whose words have so many `lanes`; a population that can have no words has an
    engine of its own. That of a float network is the one of its plain rounding."""
    network = _integers(network)

    def can(wide: WideFolding) -> bool:
        return wide.refusal(network) is None and _suits(network, wide)

    names = [population.name for population in network.populations]
    others = [name for name in names if not can(WideFolding(populations=(name,), lanes=lanes))]
    if len(others) == len(names):
        return shared_folding(network)
    runs = (WideFolding(populations=run, lanes=lanes) for run in _runs(network, others))
    return Folding(engines=tuple(run if can(run) else engine_folding(run.populations) for run in runs))


def slotted_folding(network: Network, lanes: int = SLOTS, neurons_per_cycle: int = 1) -> Folding:
    """An engine per population, of words with so many slots: `lanes` for the first, 2 for those behind it, which hear
    fewer events; a sparse one of one lane where it can have no slots. Passes of so many neurons per cycle are for
    populations that are not small beside the largest: a step takes as long as the longest."""
    engines: list[EngineFolding] = []
    large = max(population.size for population in network.populations) // neurons_per_cycle
    for number, population in enumerate(network.populations):
        slots = min(2 if number else lanes, most_slots(population.size))
        width = neurons_per_cycle if population.size > large and population.size >= neurons_per_cycle else 1
        slotted = SlottedFolding(populations=(population.name,), lanes=slots, neurons_per_cycle=width)
        possible = slotted.refusal(network) is None and _suits(network, slotted)
        engines.append(slotted if possible else engine_folding((population.name,)))
    return Folding(engines=tuple(engines))


def fast_folding(network: Network, folding: Folding) -> Folding:
    """The folding, with registers on the way of every engine that can have some: a higher clock for some cycles and
    logic cells more."""

    def fast(engine: EngineFolding) -> EngineFolding:
        if not isinstance(engine, SparseFolding):
            return engine
        faster = replace(engine, fast=True)
        return faster if faster.refusal(network) is None else engine

    return replace(folding, engines=tuple(map(fast, folding.engines)))


def listing_folding(network: Network, folding: Folding) -> Folding:
    """The folding, with a list of the neurons that passes take in every engine that can have one: fewer cycles where
    few neurons hear something in a step."""

    def listing(engine: EngineFolding) -> EngineFolding:
        if not isinstance(engine, SparseFolding) or engine.skips or engine.fast:
            return engine
        if network.size_of(engine.first) < LEAST_LISTED:
            return engine
        other = replace(engine, lists=True)
        return other if other.lists_refusal(network) is None else engine

    return replace(folding, engines=tuple(map(listing, folding.engines)))


def queued_folding(network: Network, folding: Folding, depth: int = QUEUE) -> Folding:
    """The folding, with a queue in front of every engine that listens to another: what sends need not wait for what
    receives. Lanes that have queues of their own need none."""

    def queued(engine: EngineFolding) -> EngineFolding:
        waits = isinstance(engine, LanesFolding) and engine.queue
        return engine if waits or not hears_another(network, engine) else replace(engine, inlet_queue=depth)

    return replace(folding, engines=tuple(map(queued, folding.engines)))


def _integers(network: Network) -> Network:
    """The network, or its plain rounding: engines of words are told by what integers do."""
    if network.is_integer:
        return network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return quantise(network, ROUNDED_BITS)


def _suits(network: Network, engine: EngineFolding) -> bool:
    """Whether an engine of several neurons at a time can have its synapses, and has no membranes to give."""
    into = (projection for name in engine.populations for projection in network.projections_into(name))
    possible = all(engine.can_have(projection.connectivity) for projection in into)
    return possible and not membranes_leave(network, engine.populations[-1])


def membranes_leave(network: Network, name: str) -> bool:
    """Whether a population is the output and its membranes are read, which leave their engine one by one."""
    return name == network.output and network.reading.of_membranes


def read_folding(path: Path) -> Folding:
    """A folding from a JSON file. Raises InputError where it is not one."""
    try:
        content = decoded(read_regular(path, "a folding", MAX_JSON_BYTES), FoldingFile)
    except OSError as error:
        raise InputError(f"a folding is a JSON file: {path} cannot be read ({error.strerror})") from None
    except ShapeError as error:
        raise InputError(_refusal(error, path)) from None
    engines = (engine_folding(tuple(e.populations), **{n: getattr(e, n) for n in FIELDS}) for e in content.engines)
    return Folding(engines=tuple(engines), wide=content.wide)


def folding_data(folding: Folding) -> dict[str, Any]:
    """What `read_folding` reads back."""
    return {"engines": [engine_data(engine) for engine in folding.engines], "wide": folding.wide}


EngineFile: Any = msgspec.defstruct(
    "EngineFile",
    [
        ("populations", Annotated[list[str], msgspec.Meta(min_length=1)]),
        *((name, type(default), default) for name, default in FIELDS.items()),
    ],
    forbid_unknown_fields=True,
)
"""An engine in a folding file: every field of the type of its default."""

FoldingFile: Any = msgspec.defstruct(
    "FoldingFile", [("engines", list[EngineFile]), ("wide", bool, False)], forbid_unknown_fields=True
)


def _refusal(error: ShapeError, path: Path) -> str:
    """What is wrong with a folding file, the rule first."""
    if error.place is None:
        return f"a folding is a JSON file: {path} {error.has.replace('is not', 'cannot be read')}"
    engine, _, field = error.place.partition("].")
    where = f"{path} has {error.found}" + (f" in {engine}]" if field else "")
    if field.startswith("populations"):
        return f"an engine's populations are a list of names: {where}"
    if field in WORDED:
        what, words = WORDED[field]
        return f"{what} is {' or '.join(words)}: {where}"
    if field or error.place == "wide":
        return f"{field or error.place} is {error.expected}: {where}"
    if engine.startswith("engines["):
        return f"an engine has {', '.join(sorted(['populations', *FIELDS]))}: {path} has {error.found or 'none'}"
    return f'a folding is {{"engines": [...]}}: {path} holds something else; see docs/hardware.md'


WORDED: dict[str, tuple[str, type[StrEnum]]] = {
    "kind": ("an engine's kind", EngineKind),
    "scarce": ("what is scarce", Scarce),
}
"""The fields that are one of some words, as messages call them."""


def input_beats(network: Network, folding: Folding, family: Family) -> BeatShape:
    """What the core's input brings at once: one token, or where it is wide what the engine takes that it leads to."""
    if not folding.wide:
        return BeatShape(addresses=network.input_size)
    first = next(e for e in folding.engines if INPUT in e.heard(network).sources)
    return first.beats(network.input_size, family)


def check_folding(network: Network, folding: Folding) -> None:
    """ModelError where a folding contradicts the network, or an engine cannot be built."""
    _names_all(network, folding)
    _has_maps_where_it_can(network, folding)
    if folding.wide:
        _wide_possible(network, folding)
    for engine in folding.engines:
        engine.check(network, wide=folding.wide and INPUT in engine.heard(network).sources)
        check_inlet_queue(network, engine)
    _heard_populations_last(network, folding)
    _delays_kept(network, folding)


def _names_all(network: Network, folding: Folding) -> None:
    names = [population.name for population in network.populations]
    folded = [name for engine in folding.engines for name in engine.populations]
    for name in folded:
        if name not in names:
            raise ModelError(f"a folding names the network's populations: {quoted(name)} is none of {listed(names)}")
    if folded != names:
        raise ModelError(
            f"a folding has every population once, in evaluation order ({listed(names)}): it has {listed(folded)}"
        )


def _has_maps_where_it_can(network: Network, folding: Folding) -> None:
    for engine in folding.engines:
        for projection in network.projections:
            if projection.post in engine.populations and not engine.can_have(projection.connectivity):
                raise ModelError(
                    f"maps are for sparse engines of one lane: that of {quoted(engine.first)} would have the "
                    f"{type(projection.connectivity).__name__.lower()} from {quoted(projection.pre)} to "
                    f"{quoted(projection.post)}; give it one lane and the kind sparse"
                )


def _wide_possible(network: Network, folding: Folding) -> None:
    first, *others = [engine for engine in folding.engines if engine.heard(network).hears_input]
    rule = "a wide input leads to one engine that takes several events per beat, and to nothing else"
    if others:
        raise ModelError(
            f"{rule}: the input also reaches the engine of {quoted(others[0].first)}; leave the core's input narrow"
        )
    if not first.takes_beats:
        raise ModelError(
            f"{rule}: that of {quoted(first.first)} takes one event at a time; make it a vector engine with "
            "events_per_beat of 2 or more, or leave the core's input narrow"
        )
    heard = first.heard(network)
    besides = [*(name for name in heard.sources if name != INPUT), *(late.pres[-1] for late in heard.late)]
    if besides:
        raise ModelError(
            f"{rule}: that of {quoted(first.first)} also listens to {quoted(besides[0])}; leave the core's input narrow"
        )


def _delays_kept(network: Network, folding: Folding) -> None:
    if not any(np.any(projection.delay > MAX_KEPT_STEPS) for projection in network.projections):
        return
    for synapses in (synapses for engine in folding.engines for synapses in engine.heard(network).synapses):
        if synapses.delay > MAX_KEPT_STEPS and synapses.acting.any():
            raise ModelError(
                f"the hardware keeps spikes for at most {MAX_KEPT_STEPS} steps: the projection from "
                f"{quoted(synapses.pre)} to {quoted(synapses.post)} has a delay of {synapses.delay}; take longer "
                "time steps, or use the reference executor"
            )


def _heard_populations_last(network: Network, folding: Folding) -> None:
    for engine in folding.engines:
        for name in engine.populations[:-1]:
            outside = [p.post for p in network.projections if p.pre == name and p.post not in engine.populations]
            if outside or name == network.output:
                listener = "the output" if name == network.output else quoted(outside[0])
                raise ModelError(
                    f"only the last population of an engine is heard outside: {quoted(name)} is heard by {listener}; "
                    "split the engine behind it"
                )

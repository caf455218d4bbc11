"""Folding: which engine of a core runs which populations, and how wide it is.

Between two ends: one shared engine that runs every population in turn (smallest), and an engine per population, with
several lanes or all neurons at once (fastest). A folding may be written as a JSON file:

    {"engines": [{"populations": ["l1", "l2"]}]}
    {"engines": [{"populations": ["l1"], "lanes": 4}, {"populations": ["l2"], "spram": true}]}
    {"engines": [{"populations": ["l1"], "kind": "vector", "events_per_beat": 2}, {"populations": ["l2"]}]}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from ...hdl.errors import InputError, ModelError, listed, quoted
from ...hdl.files import MAX_JSON_BYTES, read_regular
from ..encodings.cost import Scarce
from ..ir.network import INPUT, Network

MAX_LANES = 256
MAX_QUEUE = 1024
MAX_EVENTS_PER_BEAT = 16
NUMBERS = ("lanes", "queue", "events_per_beat", "neurons_per_cycle")
"""The fields of an engine's folding that are whole numbers."""

SWITCHES = ("spram", "skips")
"""Those that are true or false."""


class EngineKind(StrEnum):
    """How an engine keeps and adds up its weights.

    - `sparse`: compressed rows, one synapse per lane and cycle (`spikeloom.hdl.engines`: `engine`, `lanes`)
    - `vector`: dense rows, read as a whole, with the pass beside the next step (`spikeloom.hdl.engines.vector`)
    """

    SPARSE = "sparse"
    VECTOR = "vector"


@dataclass(frozen=True, kw_only=True)
class EngineFolding:
    """One engine: its populations in evaluation order, and how it works.

    A `sparse` engine of one population spreads its neurons over `lanes`, each of which may lag `queue` events behind
    the others; with `spram` its weights lie in the SPRAM of an iCE40UP5K, else in block RAM. A `vector` engine reads
    the weights of `lanes` neurons at a time (0: all), for `events_per_beat` events at once, and its pass takes
    `neurons_per_cycle`. `scarce` is what a sparse engine saves; if it `skips`, it leaves out passes that would change
    nothing, for about 25 logic cells.
    """

    populations: tuple[str, ...]
    kind: EngineKind = EngineKind.SPARSE
    lanes: int = 1
    queue: int = 32
    spram: bool = False
    events_per_beat: int = 1
    neurons_per_cycle: int = 1
    scarce: Scarce = Scarce.BRAMS
    skips: bool = False


@dataclass(frozen=True, kw_only=True)
class Folding:
    """The engines of a core, in evaluation order; every population is in one of them."""

    engines: tuple[EngineFolding, ...]


def default_folding(network: Network) -> Folding:
    """The smallest core: a shared engine, or one per population where an earlier population than the last is read."""
    if network.populations[-1].name == network.output:
        return shared_folding(network)
    return pipelined_folding(network)


def shared_folding(network: Network, scarce: Scarce = Scarce.BRAMS) -> Folding:
    """One engine for the whole network: the smallest core."""
    names = tuple(population.name for population in network.populations)
    return Folding(engines=(EngineFolding(populations=names, scarce=scarce),))


def pipelined_folding(network: Network, lanes: int = 1, scarce: Scarce = Scarce.BRAMS) -> Folding:
    """An engine per population; `lanes` of each, or as many as it has neurons."""
    return Folding(
        engines=tuple(
            EngineFolding(populations=(p.name,), lanes=min(lanes, p.size), scarce=scarce) for p in network.populations
        )
    )


def read_folding(path: Path) -> Folding:
    """A folding from a JSON file. Raises InputError where it is not one."""
    try:
        content = json.loads(read_regular(path, "a folding", MAX_JSON_BYTES).decode())
    except (OSError, ValueError) as error:
        raise InputError(f"a folding is a JSON file: {path} cannot be read ({error})") from None
    if not isinstance(content, dict) or set(content) != {"engines"} or not isinstance(content["engines"], list):
        raise InputError(f'a folding is {{"engines": [...]}}: {path} holds something else; see docs/hardware.md')
    return Folding(engines=tuple(_engine(entry, path) for entry in content["engines"]))


def folding_data(folding: Folding) -> dict[str, Any]:
    """What `read_folding` reads back."""
    return {"engines": [{**asdict(engine), "populations": list(engine.populations)} for engine in folding.engines]}


def _engine(entry: Any, path: Path) -> EngineFolding:
    known = {field.name for field in fields(EngineFolding)}
    if not isinstance(entry, dict) or "populations" not in entry or not set(entry) <= known:
        raise InputError(f"an engine has {', '.join(sorted(known))}: {path} has {quoted(entry)}")
    names = entry["populations"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"an engine's populations are a list of names: {path} has {quoted(names)}")
    kind = entry.get("kind", EngineKind.SPARSE)
    if kind not in list(EngineKind):
        raise InputError(f"an engine's kind is {' or '.join(EngineKind)}: {path} has {quoted(kind)}")
    scarce = entry.get("scarce", Scarce.BRAMS)
    if scarce not in list(Scarce):
        raise InputError(f"what is scarce is {' or '.join(Scarce)}: {path} has {quoted(scarce)}")
    switches = {name: entry[name] for name in SWITCHES if name in entry}
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise InputError(f"{name} is true or false: {path} has {quoted(value)}")
    numbers = {name: entry[name] for name in NUMBERS if name in entry}
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise InputError(f"{name} is a whole number: {path} has {quoted(value)}")
    return EngineFolding(populations=tuple(names), kind=EngineKind(kind), scarce=Scarce(scarce), **switches, **numbers)


def check_folding(network: Network, folding: Folding) -> None:
    """ModelError where a folding contradicts the network."""
    for check in (_names_all, _sparse_possible, _vector_possible, _heard_populations_last):
        check(network, folding)


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


def _sparse_possible(network: Network, folding: Folding) -> None:
    for engine in folding.engines:
        first = engine.populations[0]
        if engine.kind is not EngineKind.SPARSE:
            continue
        if len(engine.populations) > 1 and engine.lanes != 1:
            raise ModelError(
                f"an engine of several populations has one lane: that of {quoted(first)} has {engine.lanes}; "
                "give each population its engine"
            )
        if engine.spram and engine.lanes != 1:
            raise ModelError(
                f"an engine with weights in SPRAM has one lane: that of {quoted(first)} has {engine.lanes}"
            )
        _within(f"lanes of the engine of {quoted(first)}", engine.lanes, 1, min(MAX_LANES, network.size_of(first)))
        _within(f"the queue of the engine of {quoted(first)}", engine.queue, 0, MAX_QUEUE)
        if engine.queue & (engine.queue - 1):
            raise ModelError(f"a queue holds a power of two of events: that of {quoted(first)} has {engine.queue}")
        for name in ("events_per_beat", "neurons_per_cycle"):
            if getattr(engine, name) != 1:
                raise ModelError(
                    f"only a vector engine has {name}: the engine of {quoted(first)} is sparse; leave it out"
                )


def _vector_possible(network: Network, folding: Folding) -> None:
    for engine in folding.engines:
        first = engine.populations[0]
        if engine.kind is not EngineKind.VECTOR:
            continue
        if len(engine.populations) > 1:
            raise ModelError(
                f"a vector engine has one population: that of {quoted(first)} has {len(engine.populations)}; "
                "give each population its engine"
            )
        if engine.spram:
            raise ModelError(
                f"a vector engine's weights lie in block RAM: that of {quoted(first)} has spram; leave it out"
            )
        size = network.size_of(first)
        _within(f"lanes of the engine of {quoted(first)}", engine.lanes, 0, size)
        _within(f"events_per_beat of the engine of {quoted(first)}", engine.events_per_beat, 1, MAX_EVENTS_PER_BEAT)
        _within(f"neurons_per_cycle of the engine of {quoted(first)}", engine.neurons_per_cycle, 1, size)
        beats = -(-size // (engine.lanes or size))
        if beats & (beats - 1):
            raise ModelError(
                f"a vector engine reads a row in a power of two of beats: {engine.lanes} lanes take {beats} for the "
                f"{size} neurons of {quoted(first)}; choose another number of lanes"
            )


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ModelError(f"{what} are {least} to {most}: the folding has {value}")


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


def sources_of(network: Network, engine: EngineFolding) -> tuple[str, ...]:
    """Whom an engine listens to: `INPUT` and populations of other engines, each once."""
    heard = [p.pre for name in engine.populations for p in network.projections_into(name)]
    names = [INPUT, *(population.name for population in network.populations)]
    return tuple(name for name in names if name in heard and name not in engine.populations)

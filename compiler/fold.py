"""Folding: which engine of a core runs which populations, and how wide it is.

Between two ends: one shared engine that runs every population in turn (smallest), and an engine per population with
several lanes (fastest). A folding may be written as a JSON file:

    {"engines": [{"populations": ["l1", "l2"]}]}
    {"engines": [{"populations": ["l1"], "lanes": 4}, {"populations": ["l2"], "spram": true}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..hdl.errors import InputError, ModelError
from .ir import INPUT, Network
from .verifier import quoted

MAX_LANES = 256


@dataclass(frozen=True, kw_only=True)
class EngineFolding:
    """One engine: its populations in evaluation order, and over how many lanes their neurons are spread.

    With `spram` its weights lie in the SPRAM of an iCE40UP5K, else in block RAM.
    """

    populations: tuple[str, ...]
    lanes: int = 1
    spram: bool = False


@dataclass(frozen=True, kw_only=True)
class Folding:
    """The engines of a core, in evaluation order; every population is in one of them."""

    engines: tuple[EngineFolding, ...]


def default_folding(network: Network) -> Folding:
    """The smallest core: a shared engine, or one per population where an earlier population than the last is read."""
    if network.populations[-1].name == network.output:
        return shared_folding(network)
    return pipelined_folding(network)


def shared_folding(network: Network) -> Folding:
    """One engine for the whole network: the smallest core."""
    return Folding(engines=(EngineFolding(populations=tuple(p.name for p in network.populations)),))


def pipelined_folding(network: Network, lanes: int = 1) -> Folding:
    """An engine per population; `lanes` of each, or as many as it has neurons."""
    return Folding(
        engines=tuple(EngineFolding(populations=(p.name,), lanes=min(lanes, p.size)) for p in network.populations)
    )


def read_folding(path: Path) -> Folding:
    """A folding from a JSON file. Raises InputError where it is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
    names, lanes = entry["populations"], entry.get("lanes", 1)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"an engine's populations are a list of names: {path} has {quoted(names)}")
    if not isinstance(lanes, int) or isinstance(lanes, bool):
        raise InputError(f"lanes is a whole number: {path} has {quoted(lanes)}")
    spram = entry.get("spram", False)
    if not isinstance(spram, bool):
        raise InputError(f"spram is true or false: {path} has {quoted(spram)}")
    return EngineFolding(populations=tuple(names), lanes=lanes, spram=spram)


def check_folding(network: Network, folding: Folding) -> None:
    """ModelError where a folding contradicts the network."""
    for check in (_names_all, _lanes_possible, _heard_populations_last):
        check(network, folding)


def _names_all(network: Network, folding: Folding) -> None:
    names = [population.name for population in network.populations]
    folded = [name for engine in folding.engines for name in engine.populations]
    for name in folded:
        if name not in names:
            raise ModelError(f"a folding names the network's populations: {quoted(name)} is none of {_listed(names)}")
    if folded != names:
        raise ModelError(
            f"a folding has every population once, in evaluation order ({_listed(names)}): it has {_listed(folded)}"
        )


def _lanes_possible(network: Network, folding: Folding) -> None:
    for engine in folding.engines:
        first = engine.populations[0]
        if len(engine.populations) > 1 and engine.lanes != 1:
            raise ModelError(
                f"an engine of several populations has one lane: that of {quoted(first)} has {engine.lanes}; "
                "give each population its engine"
            )
        largest = min(MAX_LANES, network.size_of(first))
        if not 1 <= engine.lanes <= largest:
            raise ModelError(f"an engine of {quoted(first)} has 1 to {largest} lanes: the folding has {engine.lanes}")


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


def _listed(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def sources_of(network: Network, engine: EngineFolding) -> tuple[str, ...]:
    """Whom an engine listens to: `INPUT` and populations of other engines, each once."""
    heard = [p.pre for name in engine.populations for p in network.projections_into(name)]
    names = [INPUT, *(population.name for population in network.populations)]
    return tuple(name for name in names if name in heard and name not in engine.populations)

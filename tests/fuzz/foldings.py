"""Random foldings of a network: which engine runs what, of which kind, how wide.

A new kind of engine is a strategy more in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .oracle import Data

EVENTS_PER_BEAT = (1, 1, 2, 4, 8)
"""Of tokens, which are packed for a power of two of banks."""

WIDE_EVENTS = (2, 3, 4, 5, 6)
"""Of beats that come from outside."""


@st.composite
def foldings(draw: st.DrawFn, network: Data, family: str) -> Data:
    """Engines that the network and the family allow."""
    engines = []
    for names in draw(groups(network)):
        if _can_be_words(network, names) and draw(st.booleans()):
            words = {"kind": "wide", "lanes": draw(st.sampled_from((2, 4, 8)))}
            words["spram"] = family == "ice40" and draw(st.booleans())
            words["state_sprams"] = 0 if family != "ice40" or engines else draw(st.integers(0, 1))
            engines.append({"populations": names, **words})
            continue
        if len(names) > 1:
            engines.append({"populations": names, **draw(_one_lane(network, names, family))})
            continue
        size = next(p["size"] for p in network["populations"] if p["name"] == names[0])
        kinds = sorted(KINDS.keys() - (set() if _can_be_slotted(network, names[0]) else {"slotted"}))
        kind = "one lane" if _has_maps(network, names[0]) else draw(st.sampled_from(kinds))
        of_kind = _one_lane(network, names, family) if kind == "one lane" else KINDS[kind](size, family)
        engines.append({"populations": names, **draw(of_kind)})
    for engine in engines:
        if _hears_another(network, engine["populations"]):
            engine["inlet_queue"] = draw(st.sampled_from((0, 0, 2, 4, 32)))
    folding = {"engines": engines}
    first = _only_listener(network, engines)
    if first is not None and first.get("kind") == "vector" and draw(st.booleans()):
        first["events_per_beat"] = draw(st.sampled_from(WIDE_EVENTS))
        folding["wide"] = True
    return folding


def _only_listener(network: Data, engines: list[Data]) -> Data | None:
    """The engine that alone hears the input, and hears nothing else; what is heard later takes no beats."""
    if any(np.any(p["delay"]) for p in network["projections"]):
        return None
    hears = {
        number: {p["pre"] for p in network["projections"] if p["post"] in engine["populations"]}
        for number, engine in enumerate(engines)
    }
    listeners = [number for number, sources in hears.items() if "input" in sources]
    return engines[listeners[0]] if len(listeners) == 1 and hears[listeners[0]] == {"input"} else None


def _hears_another(network: Data, names: list[str]) -> bool:
    """Whether an engine of some populations listens to another, at once."""
    return any(
        p["post"] in names and p["pre"] not in ("input", *names) and not np.any(p["delay"])
        for p in network["projections"]
    )


def _has_maps(network: Data, name: str) -> bool:
    return any("kernel" in p or "pool" in p for p in network["projections"] if p["post"] == name)


def _takes_maxima(network: Data, name: str) -> bool:
    pools = [p.get(place) for p in network["projections"] if p["post"] == name for place in ("pool", "pool_after")]
    return any(pool is not None and pool["kind"] == "max" for pool in pools)


def _can_be_words(network: Data, names: list[str]) -> bool:
    """Whether a wide engine can run some populations: no maxima, currents, thresholds that adapt, later spikes or
    membranes that leave, and maps of its own are those that kernels write."""
    heard = [p for p in network["projections"] if p["post"] in names]
    written = {p["post"] for p in heard if "kernel" in p}
    plain = all(
        _has_plain_neurons(population) and (population["name"] != network["output"] or network["readout"] is None)
        for population in network["populations"]
        if population["name"] in names
    )
    return plain and not any(
        np.any(p["delay"])
        or _takes_maxima(network, p["post"])
        or (("kernel" in p or p.get("pool") is not None) and p["pre"] in names and p["pre"] not in written)
        for p in heard
    )


def _can_be_fast(network: Data, names: list[str]) -> bool:
    """Whether a fast engine can run some populations: plain neurons that fire once, no maps, and nothing later."""
    populations = [population for population in network["populations"] if population["name"] in names]
    return all(_has_plain_neurons(p) and (p["max_spikes"] or 1) == 1 for p in populations) and not any(
        np.any(p["delay"]) or _has_maps(network, p["post"]) for p in network["projections"] if p["post"] in names
    )


def _can_list(network: Data, names: list[str]) -> bool:
    """Whether an engine of some populations can take neurons of the first from a list: they stay as they are until
    something comes, the others' have one state, and nothing comes later or by maps."""
    first, *others = [population for population in network["populations"] if population["name"] in names]
    rests = (
        first["dynamics"] == "IF"
        and first.get("adapt") is None
        and not np.any(first["bias"])
        and np.all(np.asarray(first["fire"]) >= 0)
        and first["reset"] != "snntorch_same"
        and (first["v_min"] is None or np.all(np.asarray(first["v_min"]) <= np.asarray(first["fire"])))
    )
    plain = all(p["dynamics"] in ("IF", "LIF", "LI") and p.get("adapt") is None for p in others)
    read = first["name"] == network["output"] and network["readout"] is not None
    return (
        bool(rests and plain and not read)
        and not any(
            (np.any(p["delay"]) and p["pre"] in names) or _has_maps(network, p["post"])
            for p in network["projections"]
            if p["post"] in names
        )
        and not _has_loops(network, names)
    )


def _has_loops(network: Data, names: list[str]) -> bool:
    """Whether spikes of some populations come back to them a step later."""
    order = [population["name"] for population in network["populations"]]
    return any(
        p["post"] in names and p["pre"] in names and order.index(p["pre"]) >= order.index(p["post"])
        for p in network["projections"]
    )


def _can_be_slotted(network: Data, name: str) -> bool:
    """Whether a slotted engine can run a population: plain neurons that fire once, whose membranes do not leave."""
    population = next(p for p in network["populations"] if p["name"] == name)
    leaves = name == network["output"] and network["readout"] is not None
    return _has_plain_neurons(population) and (population["max_spikes"] or 1) == 1 and not leaves


def _has_plain_neurons(population: Data) -> bool:
    if population["dynamics"] not in ("IF", "LIF") or population.get("adapt") is not None:
        return False
    several = (population["max_spikes"] or 1) > 1
    return not several or not any(np.any(np.asarray(population[name]) < 0) for name in ("fire", "sub"))


@st.composite
def groups(draw: st.DrawFn, network: Data) -> list[list[str]]:
    """Runs of populations in order, of which only the last of each is heard outside; what takes maxima is alone."""
    names = [population["name"] for population in network["populations"]]
    cuts = {number for number in range(len(names) - 1) if draw(st.booleans())}
    cuts |= {n for n in range(len(names) - 1) if any(_takes_maxima(network, name) for name in names[n : n + 2])}
    while True:
        ends = [*sorted(cuts), len(names) - 1]
        parts = [names[a:b] for a, b in zip([0, *(end + 1 for end in ends)], [end + 1 for end in ends], strict=False)]
        wrong = [name for part in parts for name in part[:-1] if _heard_outside(network, name, part)]
        if not wrong:
            return parts
        cuts |= {names.index(name) for name in wrong}


def _heard_outside(network: Data, name: str, part: list[str]) -> bool:
    heard_by = [p["post"] for p in network["projections"] if p["pre"] == name]
    return name == network["output"] or any(post not in part for post in heard_by)


def _shared(family: str) -> st.SearchStrategy[Data]:
    return st.fixed_dictionaries(
        {
            "scarce": st.sampled_from(("brams", "luts")),
            "skips": st.booleans(),
            "spram": st.booleans() if family == "ice40" else st.just(False),
        }
    )


@st.composite
def _one_lane(draw: st.DrawFn, network: Data, names: list[str], family: str) -> Data:
    engine = draw(_shared(family))
    if not engine["skips"] and _can_list(network, names) and draw(st.booleans()):
        return {**engine, "lists": True}
    fast = _can_be_fast(network, names) and not engine["skips"] and draw(st.booleans())
    return {**engine, "fast": True} if fast else engine


def _lanes(size: int, family: str) -> st.SearchStrategy[Data]:
    return st.fixed_dictionaries(
        {
            "lanes": st.integers(1, size),
            "queue": st.sampled_from((0, 2, 4, 32)),
            "scarce": st.sampled_from(("brams", "luts")),
            "skips": st.booleans(),
        }
    )


def _vector(size: int, family: str) -> st.SearchStrategy[Data]:
    lanes = [0, *(lanes for lanes in range(1, size + 1) if _is_power_of_two(-(-size // lanes)))]
    return st.fixed_dictionaries(
        {
            "kind": st.just("vector"),
            "lanes": st.sampled_from(lanes),
            "events_per_beat": st.sampled_from(EVENTS_PER_BEAT),
            "neurons_per_cycle": st.integers(1, size),
        }
    )


def _slotted(size: int, family: str) -> st.SearchStrategy[Data]:
    lanes = [lanes for lanes in (2, 4, 8, 16) if lanes <= 2 * size]
    widths = [width for width in (1, 2, 4) if width <= size]
    return st.fixed_dictionaries(
        {
            "kind": st.just("slotted"),
            "lanes": st.sampled_from(lanes),
            "neurons_per_cycle": st.sampled_from(widths),
            "scarce": st.sampled_from(("brams", "luts")),
        }
    )


def _is_power_of_two(value: int) -> bool:
    return not value & (value - 1)


KINDS: dict[str, Callable[[int, str], st.SearchStrategy[dict[str, Any]]]] = {
    "one lane": lambda size, family: _shared(family),
    "lanes": _lanes,
    "vector": _vector,
    "slotted": _slotted,
}
"""The engines of a single population of a size, for a family."""

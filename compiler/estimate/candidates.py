"""The foldings that are weighed against each other, by the kind of engine that makes them interesting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from ..encodings.cost import Scarce
from ..ir.network import Network
from ..names import LANES
from ..plan.folding import (
    Folding,
    check_folding,
    default_folding,
    fast_folding,
    listing_folding,
    membranes_leave,
    pipelined_folding,
    queued_folding,
    shared_folding,
    slotted_folding,
    wide_folding,
)
from ..plan.kinds import PerKind, engine_folding
from ..plan.maps import listens_to_maps
from ..plan.slotted import SlottedFolding
from ..plan.sparse import SparseFolding
from ..plan.vector import VectorFolding
from ..plan.wide import WideFolding

EVENTS_PER_BEAT = (1, 2, 4)
VECTOR_PASS = (1, 4, 8)
"""Neurons per cycle in the pass of a vector engine, for each number of events per beat."""

WORD_LANES = (8, 16)
"""How many neurons of a map are a word where that is weighed."""

SLOTS = (2, 4, 8)
"""How many slots the words of a slotted engine have where that is weighed."""

SLOTTED_PASS = (1, 2, 4)
"""Neurons per cycle in the pass of a slotted engine where that is weighed."""

SHORT_PASS = 32
"""Cycles of a pass that no wider one is weighed to shorten."""

MOST_VECTOR_NEURONS = 512
"""Larger populations have no vector engine: it holds a sum for every neuron in registers."""


def candidate_foldings(network: Network) -> Iterator[Folding]:
    """The foldings that `choose_folding` weighs, from the smallest to the fastest, each with registers on its way, too,
    where it can have some."""
    for weighed in WEIGHED:
        for folding in weighed(network):
            yield folding
            if (fast := fast_folding(network, folding)) != folding:
                yield fast


def wide_foldings(network: Network) -> Iterator[Folding]:
    """Those whose first engine takes beats, with a wide input. Raises ModelError where the network has none."""
    wide = [replace(folding, wide=True) for folding in candidate_foldings(network) if folding.engines[0].takes_beats]
    if not wide:
        check_folding(network, replace(default_folding(network), wide=True))
    yield from wide


def searched_foldings(network: Network, lanes: Sequence[int]) -> dict[str, Folding]:
    """Those that the search for a whole network tries, fewer, by the names that it gives them."""
    found: dict[str, Folding] = {}
    for searched in SEARCHED:
        found |= searched(network, lanes)
    return found


# ----------------------------------------------------------------------------------------------- weighed by estimate


def _weighed_sparse(network: Network) -> Iterator[Folding]:
    foldings = [pipelined_folding(network, scarce=scarce) for scarce in Scarce]
    if default_folding(network) == shared_folding(network):
        foldings = [*(shared_folding(network, scarce) for scarce in Scarce), *foldings]
    yield from foldings
    for folding in foldings:
        if (listing := listing_folding(network, folding)) != folding:
            yield listing
    yield from _queued(network, pipelined_folding(network))


def _queued(network: Network, folding: Folding) -> Iterator[Folding]:
    """The folding with queues between its engines, where one with a pass of its own holds others up without."""
    queued = queued_folding(network, folding)
    if any(engine.inlet_queue and isinstance(engine, SparseFolding) for engine in queued.engines):
        yield queued


def _weighed_lanes(network: Network) -> Iterator[Folding]:
    for lanes in LANES:
        if lanes <= _largest(network):
            yield pipelined_folding(network, lanes)


def _weighed_vector(network: Network) -> Iterator[Folding]:
    """A vector engine per population; what comes from another engine comes one event at a time."""
    first = network.populations[0].name
    for events, neurons in zip(EVENTS_PER_BEAT, VECTOR_PASS, strict=True):
        engines = []
        for population in network.populations:
            names = (population.name,)
            vector = VectorFolding(
                populations=names,
                lanes=0,
                events_per_beat=events if population.name == first else 1,
                neurons_per_cycle=1 if membranes_leave(network, population.name) else min(neurons, population.size),
            )
            fits = population.size <= MOST_VECTOR_NEURONS and not listens_to_maps(network, population.name)
            engines.append(vector if fits else engine_folding(names))
        yield Folding(engines=tuple(engines))


def _weighed_wide(network: Network) -> Iterator[Folding]:
    return (folding for _, folding in of_words(network))


def of_words(network: Network, lanes_each: Sequence[int] = WORD_LANES) -> Iterator[tuple[int, Folding]]:
    """How many neurons words have, where there are maps, and the folding."""
    if any(listens_to_maps(network, population.name) for population in network.populations):
        for lanes in lanes_each:
            folding = wide_folding(network, lanes)
            if any(isinstance(engine, WideFolding) for engine in folding.engines):
                yield lanes, folding


def _weighed_slotted(network: Network) -> Iterator[Folding]:
    for _, _, folding in _slotted(network):
        yield folding
        yield from _queued(network, folding)


def _slotted(network: Network) -> Iterator[tuple[int, int, Folding]]:
    """How many slots words have for the first population, where it can have them, how many neurons a pass takes in a
    cycle, and the folding."""
    for slots, width in product(SLOTS, SLOTTED_PASS):
        folding = slotted_folding(network, slots, width)
        first = folding.engines[0]
        pays = width == 1 or _largest(network) // width >= SHORT_PASS
        if isinstance(first, SlottedFolding) and first.lanes == slots and pays:
            yield slots, width, folding


WEIGHED: PerKind[Callable[[Network], Iterator[Folding]]] = PerKind(
    sparse=_weighed_sparse,
    lanes=_weighed_lanes,
    vector=_weighed_vector,
    wide=_weighed_wide,
    slotted=_weighed_slotted,
)


# --------------------------------------------------------------------------------------------------------- searched


def _searched_sparse(network: Network, lanes: Sequence[int]) -> Mapping[str, Folding]:
    """With registers on their way, too, where there can be some. Block RAMs are saved, in the shared engine LUTs, too:
    which is better depends on how full the device is of either."""
    found = {"shared": shared_folding(network)}
    if len(network.populations) > 1:
        found["pipelined"] = pipelined_folding(network)
        found |= zip(["pipelined, with queues"], _queued(network, found["pipelined"]), strict=False)
    quick = {f"{name}, fast": fast_folding(network, folding) for name, folding in found.items()}
    found |= {name: folding for name, folding in quick.items() if folding.fast}
    found |= {"shared, fewer LUTs": shared_folding(network, Scarce.LUTS)}
    listing = {f"{name}, visits from lists": listing_folding(network, folding) for name, folding in found.items()}
    return found | {name: folding for name, folding in listing.items() if folding not in found.values()}


def _searched_lanes(network: Network, lanes: Sequence[int]) -> Mapping[str, Folding]:
    return {f"{count} lanes": pipelined_folding(network, count) for count in lanes if count <= _largest(network)}


def _searched_vector(network: Network, lanes: Sequence[int]) -> Mapping[str, Folding]:
    """An engine per population that reads the weights of all its neurons at once, where it has no maps."""
    engines = (
        engine_folding((p.name,)) if listens_to_maps(network, p.name) else VectorFolding(populations=(p.name,), lanes=0)
        for p in network.populations
    )
    return {"vector": Folding(engines=tuple(engines))}


def _searched_wide(network: Network, lanes: Sequence[int]) -> Mapping[str, Folding]:
    return {f"words of {count}": folding for count, folding in of_words(network)}


def _searched_slotted(network: Network, lanes: Sequence[int]) -> Mapping[str, Folding]:
    return {
        f"words of {slots} slots" + f", {width} neurons a cycle" * (width > 1): folding
        for slots, width, folding in _slotted(network)
        if slots in lanes
    }


SEARCHED: PerKind[Callable[[Network, Sequence[int]], Mapping[str, Folding]]] = PerKind(
    sparse=_searched_sparse,
    lanes=_searched_lanes,
    vector=_searched_vector,
    wide=_searched_wide,
    slotted=_searched_slotted,
)


def _largest(network: Network) -> int:
    return max(population.size for population in network.populations)

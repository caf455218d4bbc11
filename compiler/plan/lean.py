"""What a core runs of a network: all but the hidden neurons that are proven never to fire.

They take a state word, parameters and a cycle of every pass, and nothing that they do reaches anybody. The network
itself keeps them, and so do its recordings; only the core counts its neurons without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...hdl.errors import InputError, ModelError
from ...hdl.json_files import read_json
from ..ir.arrays import IntArray
from ..ir.narrow import narrowed
from ..ir.network import Network
from ..neurons.reachable import silent_neurons
from .engine_folding import EngineFolding
from .folding import Folding

AGAIN = "compile again"


@dataclass(frozen=True, eq=False)
class Lean:
    """A `whole` integer network and the one that a core runs, `network`.

    `kept` has the numbers in the whole network of the core's neurons, in order, of the populations that lost some.
    """

    whole: Network
    network: Network
    kept: Mapping[str, IntArray] = field(default_factory=dict)

    @classmethod
    def of(cls, whole: Network, kept: Mapping[str, IntArray]) -> Lean:
        """A network whose core has the neurons `kept`."""
        return cls(whole, narrowed(whole, kept), dict(kept))

    @property
    def left_out(self) -> int:
        """How many neurons the core does without."""
        return sum(self.whole.population(name).size - len(kept) for name, kept in self.kept.items())

    def data(self) -> dict[str, Any]:
        """What `read_lean` reads back."""
        return {"kept": {name: kept.tolist() for name, kept in self.kept.items()}}


@dataclass(frozen=True)
class _Numbering:
    """The file of a core's numbering."""

    kept: dict[str, list[int]]


def without_silent(network: Network) -> Lean:
    """An integer network without its silent hidden neurons, but for those that share their weights with others.

    Of a population that is all silent one neuron stays. Where some go, the sums of those behind them become smaller,
    so that the proof goes on in evaluation order; with recurrence, until it finds no more.
    """
    lean = Lean(network, network)
    together = {name for p in network.projections if not p.connectivity.one_per_pair for name in (p.pre, p.post)}
    hidden = [p.name for p in network.populations if p.name != network.output and p.name not in together]
    recurrent = any(projection.step_edge for projection in network.projections)
    found = True
    while found:
        before = lean.left_out
        for name in hidden:
            lean = _without_silent_of(lean, name)
        found = recurrent and lean.left_out > before
    return lean


def lean_for(network: Network, folding: Folding | None) -> Lean:
    """The same for a folding that is given: populations whose engine is only built for all neurons stay as they are."""
    lean = without_silent(network)
    if folding is None or not lean.kept:
        return lean
    stays = {name for engine in folding.engines for name in engine.populations if not _fits(lean, folding, engine)}
    return Lean.of(network, {name: kept for name, kept in lean.kept.items() if name not in stays})


def read_lean(path: Path, network: Network) -> Lean:
    """The network of a build folder and its core's, by the file of its numbering; without one the core has all neurons.

    Raises InputError for anything else than such a file.
    """
    if not path.exists():
        return Lean(network, network)
    kept = read_json(path, _Numbering, "a numbering", AGAIN).kept
    sizes = {p.name: p.size for p in network.populations if p.name != network.output}
    if not all(name in sizes and _in_order(kept[name], sizes[name]) for name in kept):
        raise InputError(
            f"a numbering lists the neurons of hidden populations that a core has, in order: {path} does not; {AGAIN}"
        )
    return Lean.of(network, {name: np.array(numbers, np.int64) for name, numbers in kept.items()})


def _without_silent_of(lean: Lean, name: str) -> Lean:
    population = lean.network.population(name)
    stay = np.flatnonzero(~silent_neurons(lean.network, population))
    if not len(stay):
        stay = np.zeros(1, np.int64)
    if len(stay) == population.size:
        return lean
    numbers = lean.kept.get(name, np.arange(lean.whole.population(name).size))
    return Lean.of(lean.whole, {**lean.kept, name: numbers[stay]})


def _fits(lean: Lean, folding: Folding, engine: EngineFolding) -> bool:
    """Whether an engine can be built for the neurons that a core would have."""
    known = {population.name for population in lean.network.populations}
    if not set(engine.populations) <= known:
        return True  # refused elsewhere
    try:
        engine.check(lean.network, wide=folding.wide)
    except ModelError:
        return False
    return True


def _in_order(numbers: Sequence[int], size: int) -> bool:
    """Whether numbers are of some of `size` neurons, in order."""
    return bool(numbers) and numbers[0] >= 0 and numbers[-1] < size and all(a < b for a, b in pairwise(numbers))

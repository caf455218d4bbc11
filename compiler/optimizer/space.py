"""The space that is searched: where it starts, and how a trial of Optuna chooses a point in it.

The plan counts block RAMs exactly, so the largest share of weights that fits the target is found per format before any
accuracy is measured: candidates that could not fit are never compressed. A trial chooses how much of that room to fill.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..compression.apply import compress
from ..ir.network import Network
from ..plan.lean import without_silent
from ..plan.plan import make_plan
from .point import FORMATS, Point
from .prediction import whole_brams
from .target import Target

FILL = (0.05, 1.0)
"""What a trial fills of the room that there is for weights."""

MOST_REMOVED = 8
"""The most sixteenths of the hidden neurons that a trial removes."""

LAYER_SPARSITIES = ("common", "0", "0.5", "0.8", "0.9")
"""What a trial may choose for a layer of its own: the common sparsity or one of these."""

MOST_LAYERS = 6
"""Networks with more populations have no formats of their own but for the output."""

LEAST_DENSITY = 1 / 512
PRECISION = 1.04
"""How close to the largest share of weights that fits its search comes."""


@dataclass(frozen=True)
class Space:
    """`room` is by format the largest share of weights that fits the target's block RAMs, 0 where none does.

    `names` are the populations that may differ from the rest, `narrows` whether there are hidden neurons to remove.
    """

    room: dict[str, float]
    names: tuple[str, ...]
    narrows: bool

    def starts(self) -> Iterator[Point]:
        """Points that are worth a look before chance decides: what just fits, and half of it."""
        for fill in (1.0, 0.5):
            for form in ("Q4", "ternary", "Q6", "Q3", "Q8"):
                if self.room[form] > 0:
                    yield Point(form=form, sparsity=_sparsity(fill * self.room[form]))

    def suggest(self, trial: Any) -> Point:
        """The point of an Optuna trial."""
        forms = [form for form in FORMATS if self.room[form] > 0] or list(FORMATS)
        form = trial.suggest_categorical("form", forms)
        fill = trial.suggest_float("fill", *FILL, log=True)
        removed = trial.suggest_int("removed", 0, MOST_REMOVED) / 16 if self.narrows else 0.0
        layers = []
        for name in self.names:
            if trial.suggest_categorical(f"{name} differs", (False, True)):
                own = trial.suggest_categorical(f"{name} form", tuple(FORMATS))
                sparsity = trial.suggest_categorical(f"{name} sparsity", LAYER_SPARSITIES)
                layers.append((name, own, None if sparsity == "common" else float(sparsity)))
        density = fill * (self.room[form] or LEAST_DENSITY)
        return Point(form=form, sparsity=_sparsity(density), removed=removed, layers=tuple(layers))

    def values(self, point: Point) -> dict[str, Any]:
        """The values of the parameters with which a trial suggests one of the `starts`."""
        fill = (1 - point.sparsity) / self.room[point.form]
        values: dict[str, Any] = {"form": point.form, "fill": min(max(fill, FILL[0]), FILL[1])}
        values |= {"removed": 0} if self.narrows else {}
        return values | {f"{name} differs": False for name in self.names}


def make_space(network: Network, target: Target) -> Space:
    """The space of a float network for a target. Raises ModelError for networks that hardware cannot run."""
    names = tuple(p.name for p in network.populations) if len(network.populations) <= MOST_LAYERS else (network.output,)
    room: dict[str, float] = {}
    for form in FORMATS:  # each is narrower than the one before: at least as many of its weights fit
        room[form] = _room(network, target, form, max(room.values(), default=0.0))
    return Space(room=room, names=names if len(network.populations) > 1 else (), narrows=len(network.populations) > 1)


def smallest_brams(network: Network, target: Target, form: str, sparsity: float) -> int:
    """Block RAMs of the smallest folding, pruned by magnitude: what the encoding of so many weights takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        integers, _ = compress(network, Point(form=form, sparsity=sparsity).recipe("magnitude", distil=False))
    return whole_brams(make_plan(without_silent(integers).network, target.family.value), target)


def _room(network: Network, target: Target, form: str, least: float) -> float:
    """The largest share of weights that fits, `least` or more, to a few percent; 0 where `LEAST_DENSITY` does not."""

    def fits(density: float) -> bool:
        return smallest_brams(network, target, form, _sparsity(density)) <= target.capacity.brams

    if least == 1 or fits(1.0):
        return 1.0
    if not least and not fits(LEAST_DENSITY):
        return 0.0
    low, high = max(least, LEAST_DENSITY), 1.0
    while high / low > PRECISION:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _sparsity(density: float) -> float:
    return round(max(0.0, 1 - density), 4)

"""The kinds of engines: the one table by which every floor has its class of each.

A new kind is a line in `PerKind`, and mypy then names each floor that lacks it: the folding here, the cycle model
(`spikeloom.compiler.cycles.model`), the parts and work of the estimate (`spikeloom.compiler.estimate.engines`), the
candidates of the searches (`spikeloom.compiler.estimate.candidates`) and the report's row
(`spikeloom.compiler.report.encodings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from ...hdl.errors import ModelError, quoted
from ..encodings.cost import Scarce
from .engine_folding import EngineFolding, EngineKind
from .lanes import LanesFolding
from .queues import QUEUE, check_queue
from .slotted import SlottedFolding
from .sparse import SparseFolding
from .vector import VectorFolding
from .wide import WideFolding

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PerKind(Generic[T]):
    """Something of each kind of engine."""

    sparse: T
    lanes: T
    vector: T
    wide: T
    slotted: T

    def of(self, engine: EngineFolding) -> T:
        """That of an engine's kind."""
        found: T = getattr(self, NAMES[type(engine)])
        return found

    def __iter__(self) -> Any:
        return (getattr(self, field.name) for field in fields(self))


FOLDINGS: PerKind[type[EngineFolding]] = PerKind(
    sparse=SparseFolding, lanes=LanesFolding, vector=VectorFolding, wide=WideFolding, slotted=SlottedFolding
)

NAMES = {getattr(FOLDINGS, field.name): field.name for field in fields(FOLDINGS)}
"""The kinds by their foldings' types."""

FIELDS: Mapping[str, Any] = {
    "kind": EngineKind.SPARSE,
    "lanes": 1,
    "queue": QUEUE,
    "inlet_queue": 0,
    "spram": False,
    "state_sprams": 0,
    "events_per_beat": 1,
    "neurons_per_cycle": 1,
    "scarce": Scarce.BRAMS,
    "skips": False,
    "lists": False,
    "fast": False,
}
"""What a folding file may say of an engine beside its populations, and what it is where the file does not."""


def engine_folding(populations: tuple[str, ...], **given: Any) -> EngineFolding:
    """The folding of an engine from what a folding file says of it (`FIELDS`).

    A field that makes no difference to the kind is left out; ModelError for one that it cannot have, TypeError for one
    that no kind has.
    """
    if not given.keys() <= FIELDS.keys():
        raise TypeError(f"an engine has {', '.join(FIELDS)}: got {', '.join(sorted(given.keys() - FIELDS.keys()))}")
    values = {**FIELDS, **given}
    check_queue(populations[0], values["queue"])
    chosen = _chosen(values)
    known = {field.name for field in fields(chosen)}
    for name, rule in chosen.refused.items():
        if values[name] != FIELDS[name]:
            raise ModelError(rule.format(name=name, first=quoted(populations[0]), lanes=values["lanes"]))
    return chosen(populations=populations, **{name: value for name, value in values.items() if name in known})


def _chosen(values: Mapping[str, Any]) -> type[EngineFolding]:
    if values["kind"] == EngineKind.VECTOR:
        return FOLDINGS.vector
    if values["kind"] == EngineKind.WIDE:
        return FOLDINGS.wide
    if values["kind"] == EngineKind.SLOTTED:
        return FOLDINGS.slotted
    return FOLDINGS.sparse if values["lanes"] == 1 else FOLDINGS.lanes


def engine_data(engine: EngineFolding) -> dict[str, Any]:
    """An engine as a folding file says it: what `engine_folding` reads."""
    values = {name: getattr(engine, name, default) for name, default in FIELDS.items()}
    return {"populations": list(engine.populations), **values}

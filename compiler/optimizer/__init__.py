"""The search for the form of a network that a target holds: `fit_to_target`.

Like the command line this package sits on top of all the others: it compresses, simulates and builds. Names are
imported from their modules when they are first asked for, so that worker processes start at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .candidate import Candidate
    from .errors import AccuracyFloorError, NothingFitsError
    from .fit import fit_to_target
    from .output import write_result
    from .result import FitResult
    from .search import Status

_MODULES = {
    "AccuracyFloorError": "errors",
    "Candidate": "candidate",
    "FitResult": "result",
    "NothingFitsError": "errors",
    "Status": "search",
    "fit_to_target": "fit",
    "write_result": "output",
}
"""Where each public name lives."""

__all__ = [
    "AccuracyFloorError",
    "Candidate",
    "FitResult",
    "NothingFitsError",
    "Status",
    "fit_to_target",
    "write_result",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""The search for the form of a network that a target holds: `fit_to_target`.

Like the command line this package sits on top of all the others: it compresses, simulates and builds.
"""

from __future__ import annotations

from .candidate import Candidate
from .errors import AccuracyFloorError, NothingFitsError
from .fit import fit_to_target
from .result import FitResult
from .search import Status

__all__ = ["AccuracyFloorError", "Candidate", "FitResult", "NothingFitsError", "Status", "fit_to_target"]

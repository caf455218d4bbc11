"""How far a search is, in words."""

from __future__ import annotations

import sys

from .candidate import Candidate
from .result import amounts
from .search import Status


def show_status(status: Status) -> None:
    """A line of progress on standard error."""
    print(status_line(status), file=sys.stderr, flush=True)


def status_line(status: Status) -> str:
    """How far a search is, in a line."""
    left = status.seconds_left
    time_left = f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left"
    best = "none fits yet" if status.best is None else candidate_line(status.best)
    return f"point {status.finished} of {status.trials}, {time_left}; best: {best}"


def candidate_line(candidate: Candidate) -> str:
    """A candidate in a few words."""
    return f"{candidate.quality:.1%}, {candidate.label}, {amounts(candidate.prediction.resources)}"

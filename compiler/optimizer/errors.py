"""The ways in which a search ends without a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...hdl.errors import CapacityError, InputError

if TYPE_CHECKING:
    from .candidate import Candidate


class NothingFitsError(CapacityError):
    """No candidate fits the target; `front` holds the best ones, whether they fit or not."""

    def __init__(self, message: str, front: tuple[Candidate, ...]) -> None:
        super().__init__(message)
        self.front = front


class AccuracyFloorError(InputError):
    """No candidate that fits reaches the accuracy asked for; `front` holds the best ones."""

    def __init__(self, message: str, front: tuple[Candidate, ...]) -> None:
        super().__init__(message)
        self.front = front

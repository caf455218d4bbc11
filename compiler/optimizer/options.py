"""What a search is told: the options of `fit_to_target` in one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...hdl.errors import OptionError, quoted
from ..compression.finetune import FineTune
from ..names import GOALS
from .candidate import Candidate
from .choice import ranked
from .search import Watch
from .subject import AnyData

MAX_TRIALS, MAX_WORKERS = 100_000, 256


@dataclass(frozen=True, eq=False, kw_only=True)
class FitOptions:
    """The options of `fit_to_target`, by the same names.

    `trials` points are evaluated, by this process (`workers` 1), by worker processes (then the calling program needs
    the usual `if __name__ == "__main__"`), or by the workers of the Dask `scheduler` at an address. `database` is a
    file that keeps finished points: the same search goes on where it was interrupted. `watch` hears how far the search
    is, `hear` what else happens.

    Raises OptionError for values out of range.
    """

    data: AnyData | None
    accuracy_floor: float | None
    test: AnyData | None
    finetune: AnyData | FineTune | None
    epochs: int
    method: str | None
    distil: bool
    goal: str
    trials: int
    workers: int
    scheduler: str | None
    database: str | Path | None
    seed: int
    native: bool
    watch: Watch
    hear: Callable[[str], None]

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("trials", self.trials, 1, MAX_TRIALS),
            ("workers", self.workers, 1, MAX_WORKERS),
            ("seed", self.seed, 0, 2**31 - 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise OptionError(f"{name} is a whole number from {least} to {most}: got {quoted(value)}")
        if self.goal not in GOALS:
            raise OptionError(f"a goal is one of {', '.join(GOALS)}: got {quoted(self.goal)}")
        floor = self.accuracy_floor
        if floor is not None and (isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 < floor <= 1):
            raise OptionError(f"an accuracy floor is a share, above 0 and at most 1, such as 0.97: got {quoted(floor)}")

    def ranked(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates that may fit and reach the floor, the best first."""
        return ranked(candidates, self.accuracy_floor, self.goal)

    def best(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """The best of those that may fit, whether it reaches the floor or not."""
        order = self.ranked(candidates) or ranked(candidates, None, self.goal)
        return order[0] if order else None

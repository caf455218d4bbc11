"""The search: Optuna proposes points, the crew evaluates them, the database remembers them.

Three objectives: quality, the share of the target's fullest resource that the smallest folding takes, and the time of
its fastest folding that fits. The sampler is the multi-objective tree-structured Parzen estimator (Ozaki et al.,
Multiobjective tree-structured Parzen estimator, JAIR 73, 2022) with what does not fit as a constraint. The same seed
gives the same points, whatever the workers: a point is proposed when all but the last few before it are known.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ...hdl.errors import OptionError, installing
from ...hdl.json_files import ShapeError
from ..ir.fingerprint import fingerprint
from .candidate import Candidate, Outcome, candidates_of
from .database import Database
from .evaluation import evaluate
from .space import Space
from .target import Target
from .workers import Crew, Job, Lost, in_order

AHEAD = 8
"""How many points are under way at once at most, be the workers fewer; more workers have as many."""

DIRECTIONS = ("maximize", "minimize", "minimize")


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a search is: finished points out of `trials`, the seconds left, and the best candidate so far."""

    finished: int
    trials: int
    seconds_left: float
    best: Candidate | None


Watch = Callable[[Status], None]


def require_optuna() -> None:
    """OptionError where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise OptionError(f"a search needs Optuna, which is not installed: {installing('fit')}") from None


def search(
    name: str,
    target: Target,
    space: Space,
    crew: Crew,
    database: Database,
    *,
    trials: int,
    ahead: int,
    seed: int,
    best: Callable[[list[Candidate]], Candidate | None],
    watch: Watch,
) -> list[Outcome]:
    """The outcomes of `trials` points, in the order in which they were proposed; `name` is that of the subject."""
    study = _study(space, seed)
    outcomes: list[Outcome] = []
    pace = _Pace()
    for job, result in in_order(crew, islice(_jobs(study, space, name, target, database), trials), ahead):
        trial, point, key = job.about
        outcome = Outcome(point=point, failure=result.reason) if isinstance(result, Lost) else result
        if job.known is None and not isinstance(result, Lost):
            database.put(key, outcome.data(), outcome.network)
        _tell(study, trial, outcome, target)
        outcomes.append(outcome)
        left = pace.seconds_left(job.known is None, trials - len(outcomes))
        shown = best(candidates_of(outcomes, target))
        watch(Status(finished=len(outcomes), trials=trials, seconds_left=left, best=shown))
    return outcomes


def _study(space: Space, seed: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the sampler's options count as experimental
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True, constraints_func=_constraints
        )
        study = optuna.create_study(directions=list(DIRECTIONS), sampler=sampler)
    for point in space.starts():
        study.enqueue_trial(space.values(point))
    return study


def _constraints(trial: Any) -> tuple[float]:
    """Above 0 where the smallest folding does not fit."""
    return (float(trial.user_attrs.get("excess", 1.0)),)


def _jobs(study: Any, space: Space, name: str, target: Target, database: Database) -> Iterator[Job]:
    while True:
        trial = study.ask()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            point = space.suggest(trial)
        key = fingerprint(name, target.id, point)
        yield Job(evaluate, (point, target.id), known=_known(database, key), about=(trial, point, key))


def _known(database: Database, key: str) -> Outcome | None:
    row = database.get(key)
    try:
        return None if row is None else Outcome.read(*row)
    except ShapeError:
        return None  # not what we wrote: it is computed again


def _tell(study: Any, trial: Any, outcome: Outcome, target: Target) -> None:
    import optuna

    candidates = candidates_of([outcome], target)
    if not candidates:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    smallest = min(candidate.share for candidate in candidates)
    fitting = [candidate.microseconds for candidate in candidates if candidate.may_fit]
    trial.set_user_attr("excess", smallest - 1)
    fastest = min(fitting or [max(candidate.microseconds for candidate in candidates)])
    study.tell(trial, (outcome.quality, smallest, fastest))


class _Pace:
    """The time that is left, from the time that computed points took."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._computed = 0

    def seconds_left(self, computed: bool, remaining: int) -> float:
        self._computed += computed
        if not self._computed:
            return 0.0
        return (time.monotonic() - self._started) / self._computed * remaining

"""`fit_to_target`: the best form of a network that a device holds, verified by the tools."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...hdl.emit.tools import find_tool, warm_up
from ...hdl.errors import OptionError, SampleError, quoted
from ...hdl.memories.memory import Family
from ...sim.evaluation import compare
from ...sim.float_executor import run_float
from ..compression.finetune import FineTune
from ..ir.network import Network
from .candidate import Candidate, Outcome, candidates_of, pareto_front
from .choice import GOALS, ranked
from .database import Database
from .errors import AccuracyFloorError, NothingFitsError
from .evaluation import foldings_of, unpacked
from .fingerprint import fingerprint
from .result import FitResult, Trial, amounts
from .search import AHEAD, Status, require_optuna, search
from .space import LEAST_DENSITY, make_space, smallest_brams
from .subject import AnyData, Subject, make_subject
from .target import Target, find_target
from .verification import Measurement, binding, verify_candidate
from .workers import Crew, Job, Lost, in_order, make_crew

MOST_VERIFIED = 8
"""How many candidates are put to the tools at most."""

MAX_TRIALS, MAX_WORKERS = 100_000, 256

PLACEMENT_SEED = 1
"""What `spikeloom compile` uses, so that it makes the bitstream that was measured."""

LISTED = 5
"""How many points of the front an error names."""


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


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def fit_to_target(
    layer_shapes: Sequence[Sequence[int]] | Network | None = None,
    weights: Sequence[Any] | Network | None = None,
    target: str = "ice40",
    *,
    data: AnyData | None = None,
    accuracy_floor: float | None = None,
    test: AnyData | None = None,
    finetune: AnyData | FineTune | None = None,
    epochs: int = 20,
    method: str | None = None,
    distil: bool = True,
    goal: str = "area",
    trials: int = 30,
    workers: int = 1,
    scheduler: str | None = None,
    database: str | Path | None = None,
    seed: int = 0,
    native: bool = False,
    watch: Callable[[Status], None] = show_status,
    hear: Callable[[str], None] = _tell,
) -> FitResult:
    """Search for the best form of a float network that a target holds, and verify it by synthesis, place and route.

    `weights` are a list of layers, arrays (inputs, outputs) or mappings with `weight` and `bias` as
    `SpikingNet.to_sc_weights` returns them, whose neurons are then the default LIF (`DEFAULT_NEURONS`), or a `Network`,
    which may also be the only argument in front. `layer_shapes` must be their shapes where it is given. `target` is
    "ice40" (UP5K), "ecp5" (LFE5U-25F), "artix7" (XC7A35T, synthesised only) or any id of `spikeloom boards`.

    `data` are samples: an .npz file, `Samples`, a pair of spikes and labels, or spikes alone. They are split into
    calibration, validation and test samples (see `subject`); with `test` samples of its own the accuracy is measured on
    those that are not in `data`. `accuracy_floor` is a share that must be reached on the validation samples: of the
    candidates that do, the smallest is taken (`goal` "area") or the fastest ("latency"). Without a floor the best
    accuracy counts first. Without data candidates are judged by how much of the weights they keep, by magnitude
    alone. `finetune` are labelled training samples: every candidate is trained on them for `epochs`.

    `trials` points are evaluated, by this process (`workers` 1), by worker processes (then the calling program needs
    the usual `if __name__ == "__main__"`), or by the workers of the Dask `scheduler` at an address. `database` is a
    file that keeps finished points: the same search goes on where it was interrupted. The same arguments give the same
    result. `watch` hears how far the search is, `hear` what else happens.

    Raises NothingFitsError and AccuracyFloorError, both with the Pareto front; OptionError, ModelError and SampleError
    for bad arguments; ToolError where a tool is missing.
    """
    if isinstance(layer_shapes, Network):
        if weights is not None:
            raise OptionError("a network is given once: both a Network and weights are given; leave one out")
        layer_shapes, weights = None, layer_shapes
    _check_options(trials, workers, seed, goal, accuracy_floor)
    require_optuna()
    place = find_target(target)
    subject = make_subject(
        layer_shapes,
        weights,
        data=data,
        test=test,
        finetune=finetune,
        epochs=epochs,
        method=method,
        distil=distil,
        seed=seed,
    )
    _check_floor(accuracy_floor, subject)
    for tool in _tools(place):
        find_tool(tool, native)
    hear("planning: how many weights fit")
    space = make_space(subject.network, place)
    if not any(space.room.values()):
        raise _nothing_at_any_sparsity(subject.network, place)

    def best(found: list[Candidate]) -> Candidate | None:
        order = ranked(found, accuracy_floor, goal) or ranked(found, None, goal)
        return order[0] if order else None

    name = fingerprint(subject, version("spikeloom"))
    path = None if database is None else Path(database)
    with Database(path) as rows, make_crew(subject, workers, scheduler, hear) as crew:
        outcomes = search(
            name,
            place,
            space,
            crew,
            rows,
            trials=trials,
            ahead=max(AHEAD, crew.size),
            seed=seed,
            best=best,
            watch=watch,
        )
        candidates = candidates_of(outcomes, place)
        front = pareto_front(candidates)
        order = _order(outcomes, candidates, front, subject, place, accuracy_floor, goal)
        if not native:
            warm_up(_tools(place), announce=hear)
        verified: list[Trial] = []
        for trial in _verified(name, order, crew, rows, native, hear):
            verified.append(trial)
            if trial.measured.fits:
                break
    if not verified[-1].measured.fits:
        raise _nothing_verified(verified, front, place, space.room)
    selected = verified[-1].candidate
    network = unpacked(selected.outcome.network)
    return FitResult(
        target=place,
        selected=selected,
        measured=verified[-1].measured,
        accuracy=None if subject.test is None else compare(subject.network, network, subject.test),
        original=subject.network,
        network=network,
        folding=foldings_of(network)[selected.folding],
        front=front,
        candidates=tuple(candidates),
        verified=tuple(verified),
        measure=subject.measure,
        floor=accuracy_floor,
        default_neurons=subject.default_neurons,
        calibration=subject.calibration,
    )


# ------------------------------------------------------------------------------------------------------ checks


def _check_options(trials: int, workers: int, seed: int, goal: str, floor: float | None) -> None:
    for name, value, least, most in (
        ("trials", trials, 1, MAX_TRIALS),
        ("workers", workers, 1, MAX_WORKERS),
        ("seed", seed, 0, 2**31 - 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise OptionError(f"{name} is a whole number from {least} to {most}: got {quoted(value)}")
    if goal not in GOALS:
        raise OptionError(f"a goal is one of {', '.join(GOALS)}: got {quoted(goal)}")
    if floor is not None and (isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 < floor <= 1):
        raise OptionError(f"an accuracy floor is a share, above 0 and at most 1, such as 0.97: got {quoted(floor)}")


def _check_floor(floor: float | None, subject: Subject) -> None:
    if floor is not None and not subject.labelled:
        missing = "no data are given" if subject.validation is None else "the data have no labels"
        raise SampleError(f"an accuracy floor needs labelled data: {missing}; add some, or leave the floor out")


def _tools(target: Target) -> tuple[str, ...]:
    if target.place is None:
        return ("yosys",)
    if target.family is Family.ICE40:
        return ("yosys", "nextpnr-ice40", "icepack")
    return ("yosys", "nextpnr-ecp5", "ecppack")


# ------------------------------------------------------------------------------------------------ verification


def _order(
    outcomes: Sequence[Outcome],
    candidates: Sequence[Candidate],
    front: tuple[Candidate, ...],
    subject: Subject,
    target: Target,
    floor: float | None,
    goal: str,
) -> list[Candidate]:
    """The candidates to put to the tools, the best first. Raises what says why there is none."""
    if not candidates:
        reason = next((outcome.failure for outcome in outcomes if outcome.failure), "none was tried")
        raise OptionError(f"a search needs a point that can be compressed: all {len(outcomes)} failed ({reason})")
    if not ranked(candidates, None, goal):
        raise _nothing_planned(candidates, front, target)
    order = ranked(candidates, floor, goal)
    if not order:
        assert floor is not None
        raise _floor_missed(candidates, front, subject, target, floor)
    return order[:MOST_VERIFIED]


def _verified(
    name: str, order: Sequence[Candidate], crew: Crew, database: Database, native: bool, hear: Callable[[str], None]
) -> Iterator[Trial]:
    """What the tools say of each candidate, in order; as many at once as there are workers."""

    def jobs() -> Iterator[Job]:
        for candidate in order:
            hear(f"building {candidate_line(candidate)}")
            key = _measurement_key(name, candidate, native)
            arguments = (candidate.outcome.network, candidate.folding, candidate.target.id, PLACEMENT_SEED, native)
            yield Job(verify_candidate, arguments, known=_known(database, key), about=(candidate, key))

    for job, result in in_order(crew, jobs(), crew.size):
        candidate, key = job.about
        if isinstance(result, Lost):
            result = Measurement(tools="none", problem=f"the build was lost: {result.reason}")
        elif job.known is None:
            database.put(key, result.data())
        if result.problem is not None:
            hear(f"does not do: {candidate.label}: {result.problem}")
        yield Trial(candidate=candidate, measured=result)


def _measurement_key(name: str, candidate: Candidate, native: bool) -> str:
    tools = ["native" if native else version(f"yowasp-{tool}") for tool in ("yosys", "nextpnr-ice40", "nextpnr-ecp5")]
    return fingerprint(name, candidate.outcome.point, candidate.folding, candidate.target.id, PLACEMENT_SEED, tools)


def _known(database: Database, key: str) -> Measurement | None:
    row = database.get(key)
    try:
        return None if row is None else Measurement.read(row[0])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None  # not what we wrote: it is measured again


# ------------------------------------------------------------------------------------------------------ errors


def _nothing_at_any_sparsity(network: Network, target: Target) -> NothingFitsError:
    needed = smallest_brams(network, target, "ternary", 1 - LEAST_DENSITY)
    neurons = sum(population.size for population in network.populations)
    return NothingFitsError(
        f"a network must fit its target: {target.title} has {target.capacity.brams} block RAMs, and with hardly any "
        f"weights left this one needs {needed} for its {neurons:,} neurons and {network.input_size:,} inputs; take "
        "fewer of them or a larger device",
        (),
    )


def _nothing_planned(candidates: Sequence[Candidate], front: tuple[Candidate, ...], target: Target) -> NothingFitsError:
    nearest = min(candidates, key=lambda c: c.share)
    problem = binding(nearest.prediction.resources, target.capacity) or (
        f"it runs at {nearest.prediction.fmax_mhz} MHz and the clock is {target.clock_hz / 1e6:g} MHz"
    )
    return NothingFitsError(
        f"a network must fit its target: of {len(candidates)} candidates the nearest to {target.title} is "
        f"{nearest.label}, and by the estimate {problem}; search on with more trials, or take a larger device",
        front,
    )


def _nothing_verified(
    verified: Sequence[Trial], front: tuple[Candidate, ...], target: Target, room: dict[str, float]
) -> NothingFitsError:
    nearest = min(verified, key=lambda trial: trial.candidate.share)
    form = nearest.candidate.outcome.point.form
    return NothingFitsError(
        f"a network must fit its target: {len(verified)} candidates were built for {target.title} and none will do; of "
        f"the nearest, {nearest.candidate.label}, {nearest.measured.problem} ({form} weights fit its block RAMs from "
        f"{1 - room[form]:.1%} pruning on); take a larger device, fewer neurons, or a slower clock",
        front,
    )


def _floor_missed(
    candidates: Sequence[Candidate], front: tuple[Candidate, ...], subject: Subject, target: Target, floor: float
) -> AccuracyFloorError:
    fitting = [candidate for candidate in front if candidate.may_fit]
    shown = "; ".join(candidate_line(candidate) for candidate in fitting[:LISTED])
    assert subject.validation is not None and subject.validation.labels is not None
    original = run_float(subject.network, subject.validation.spikes).accuracy(subject.validation.labels)
    return AccuracyFloorError(
        f"an accuracy floor must be reached: {floor:.1%} is by none of the {len(candidates)} candidates that fit "
        f"{target.title} (the float network has {original:.1%}); the best: {shown}; lower the floor, fine-tune, or "
        "search on with more trials",
        front,
    )

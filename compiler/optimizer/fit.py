"""`fit_to_target`: the best form of a network that a device holds, verified by the tools."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...hdl.emit.tools import find_tool, warm_up
from ...hdl.errors import OptionError, SampleError
from ...hdl.json_files import ShapeError
from ...hdl.memories.memory import Family
from ...sim.evaluation import compare
from ..compression.finetune import FineTune
from ..ir.fingerprint import fingerprint
from ..ir.network import Network
from ..plan.lean import without_silent
from ..plan.readout import require_answer
from .candidate import Candidate, Outcome, candidates_of, pareto_front
from .database import Database
from .evaluation import foldings_of, unpacked
from .options import FitOptions
from .refusals import floor_missed, nothing_at_any_sparsity, nothing_planned, nothing_verified
from .result import FitResult, Trial
from .search import AHEAD, Status, require_optuna, search
from .space import make_space
from .status import candidate_line, show_status
from .subject import AnyData, Subject, make_subject
from .target import Target, find_target
from .verification import Measurement, verify_candidate
from .workers import Crew, Job, Lost, in_order, make_crew

MOST_VERIFIED = 8
"""How many candidates are put to the tools at most."""

PLACEMENT_SEED = 1
"""What `spikeloom compile` uses, so that it makes the bitstream that was measured."""


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
    alone. `finetune` are labelled training samples: every candidate is trained on them for `epochs`. The other options
    say how the search runs (`options.FitOptions`). The same arguments give the same result.

    Raises NothingFitsError and AccuracyFloorError, both with the Pareto front; OptionError, ModelError and SampleError
    for bad arguments; ToolError where a tool is missing.
    """
    options = FitOptions(
        data=data,
        accuracy_floor=accuracy_floor,
        test=test,
        finetune=finetune,
        epochs=epochs,
        method=method,
        distil=distil,
        goal=goal,
        trials=trials,
        workers=workers,
        scheduler=scheduler,
        database=database,
        seed=seed,
        native=native,
        watch=watch,
        hear=hear,
    )
    require_optuna()
    return _fit(find_target(target), _subject(layer_shapes, weights, options), options)


def _subject(
    layer_shapes: Sequence[Sequence[int]] | Network | None, weights: Sequence[Any] | Network | None, options: FitOptions
) -> Subject:
    """What is searched, of what was given; a Network may stand in front."""
    if isinstance(layer_shapes, Network):
        if weights is not None:
            raise OptionError("a network is given once: both a Network and weights are given; leave one out")
        layer_shapes, weights = None, layer_shapes
    subject = make_subject(
        layer_shapes,
        weights,
        data=options.data,
        test=options.test,
        finetune=options.finetune,
        epochs=options.epochs,
        method=options.method,
        distil=options.distil,
        seed=options.seed,
    )
    if options.accuracy_floor is not None and not subject.labelled:
        missing = "no data are given" if subject.validation is None else "the data have no labels"
        raise SampleError(f"an accuracy floor needs labelled data: {missing}; add some, or leave the floor out")
    return subject


def _fit(target: Target, subject: Subject, options: FitOptions) -> FitResult:
    """Search, verify what was found, and take the first that the tools confirm."""
    require_answer(subject.network)
    for tool in _tools(target):
        find_tool(tool, options.native)
    options.hear("planning: how many weights fit")
    space = make_space(subject.network, target)
    if not any(space.room.values()):
        raise nothing_at_any_sparsity(subject.network, target)
    name = fingerprint(subject, version("spikeloom"))
    path = None if options.database is None else Path(options.database)
    with Database(path) as rows, make_crew(subject, options.workers, options.scheduler, options.hear) as crew:
        outcomes = search(
            name,
            target,
            space,
            crew,
            rows,
            trials=options.trials,
            ahead=max(AHEAD, crew.size),
            seed=options.seed,
            best=options.best,
            watch=options.watch,
        )
        candidates = candidates_of(outcomes, target)
        front = pareto_front(candidates)
        order = _order(outcomes, candidates, front, subject, target, options)
        if not options.native:
            warm_up(_tools(target), announce=options.hear)
        verified = _verified(name, order, crew, rows, options)
    if not verified[-1].measured.fits:
        raise nothing_verified(verified, front, target, space.room)
    return _result(target, subject, candidates, front, verified, options.accuracy_floor)


def _result(
    target: Target,
    subject: Subject,
    candidates: Sequence[Candidate],
    front: tuple[Candidate, ...],
    verified: Sequence[Trial],
    floor: float | None,
) -> FitResult:
    """The last candidate verified, judged on the test samples."""
    selected = verified[-1].candidate
    network = unpacked(selected.outcome.network)
    comparison = None if subject.test is None else compare(subject.network, network, subject.test)
    if comparison is not None and network.origin is not None:
        network = replace(network, origin=network.origin.with_accuracies(*comparison.judged))
    return FitResult(
        target=target,
        selected=selected,
        measured=verified[-1].measured,
        accuracy=comparison,
        original=subject.network,
        network=network,
        folding=foldings_of(without_silent(network).network)[selected.folding],
        front=front,
        candidates=tuple(candidates),
        verified=tuple(verified),
        measure=subject.measure,
        floor=floor,
        default_neurons=subject.default_neurons,
        calibration=subject.calibration,
    )


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
    options: FitOptions,
) -> list[Candidate]:
    """The candidates to put to the tools, the best first. Raises what says why there is none."""
    if not candidates:
        reason = next((outcome.failure for outcome in outcomes if outcome.failure), "none was tried")
        raise OptionError(f"a search needs a point that can be compressed: all {len(outcomes)} failed ({reason})")
    if options.best(candidates) is None:
        raise nothing_planned(candidates, front, target)
    order = options.ranked(candidates)
    if not order:
        assert options.accuracy_floor is not None
        raise floor_missed(candidates, front, subject, target, options.accuracy_floor)
    return order[:MOST_VERIFIED]


def _verified(
    name: str, order: Sequence[Candidate], crew: Crew, database: Database, options: FitOptions
) -> list[Trial]:
    """What the tools say of the candidates, in order, up to the first that fits."""
    verified: list[Trial] = []
    for trial in _trials(name, order, crew, database, options):
        verified.append(trial)
        if trial.measured.fits:
            break
    return verified


def _trials(
    name: str, order: Sequence[Candidate], crew: Crew, database: Database, options: FitOptions
) -> Iterator[Trial]:
    """What the tools say of each candidate; as many are built at once as there are workers."""

    def jobs() -> Iterator[Job]:
        for candidate in order:
            options.hear(f"building {candidate_line(candidate)}")
            key = _measurement_key(name, candidate, options.native)
            network, target = candidate.outcome.network, candidate.target.id
            arguments = (network, candidate.folding, target, PLACEMENT_SEED, options.native)
            yield Job(verify_candidate, arguments, known=_known(database, key), about=(candidate, key))

    for job, result in in_order(crew, jobs(), crew.size):
        candidate, key = job.about
        if isinstance(result, Lost):
            result = Measurement(tools="none", problem=f"the build was lost: {result.reason}")
        elif job.known is None:
            database.put(key, result.data())
        if result.problem is not None:
            options.hear(f"does not do: {candidate.label}: {result.problem}")
        yield Trial(candidate=candidate, measured=result)


def _measurement_key(name: str, candidate: Candidate, native: bool) -> str:
    tools = ["native" if native else version(f"yowasp-{tool}") for tool in ("yosys", "nextpnr-ice40", "nextpnr-ecp5")]
    return fingerprint(name, candidate.outcome.point, candidate.folding, candidate.target.id, PLACEMENT_SEED, tools)


def _known(database: Database, key: str) -> Measurement | None:
    row = database.get(key)
    try:
        return None if row is None else Measurement.read(row[0])
    except ShapeError:
        return None  # not what we wrote: it is measured again

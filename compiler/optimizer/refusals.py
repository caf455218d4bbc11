"""What a search says where it ends without a result: each function makes the error that says why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ...sim.float_executor import run_float
from ..ir.network import Network
from .candidate import Candidate
from .errors import AccuracyFloorError, NothingFitsError
from .result import Trial
from .space import LEAST_DENSITY, smallest_brams
from .status import candidate_line
from .subject import Subject
from .target import Target
from .verification import binding

LISTED = 5
"""How many points of the front an error names."""


def nothing_at_any_sparsity(network: Network, target: Target) -> NothingFitsError:
    needed = smallest_brams(network, target, "ternary", 1 - LEAST_DENSITY)
    neurons = sum(population.size for population in network.populations)
    return NothingFitsError(
        f"a network must fit its target: {target.title} has {target.capacity.brams} block RAMs, and with hardly any "
        f"weights left this one needs {needed} for its {neurons:,} neurons and {network.input_size:,} inputs; take "
        "fewer of them or a larger device",
        (),
    )


def nothing_planned(candidates: Sequence[Candidate], front: tuple[Candidate, ...], target: Target) -> NothingFitsError:
    nearest = min(candidates, key=lambda c: c.share)
    problem = binding(nearest.prediction.resources, target.capacity) or (
        f"it runs at {nearest.prediction.fmax_mhz} MHz and the clock is {target.clock_hz / 1e6:g} MHz"
    )
    return NothingFitsError(
        f"a network must fit its target: of {len(candidates)} candidates the nearest to {target.title} is "
        f"{nearest.label}, and by the estimate {problem}; search on with more trials, or take a larger device",
        front,
    )


def nothing_verified(
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


def floor_missed(
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

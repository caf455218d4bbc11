"""What a board answers to samples, and what a class is by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import LineError
from ...hdl.link.protocol import Code, Reply
from .certainty import Exit
from .facts import ClassRule, LinkFacts

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Times on the line, in seconds.

    `latencies` are those of samples that were sent alone, from the first byte out to the last byte in; the rest, of
    which there were `samples`, followed one another as fast as the line let them and took `seconds` in all. `sent` and
    `received` count bytes, of repetitions too, and `repeated` how often samples had to be sent again.
    """

    latencies: tuple[float, ...]
    samples: int
    seconds: float
    sent: int
    received: int
    repeated: int

    @property
    def latency(self) -> float:
        """The median; 0 where none was measured."""
        return float(np.median(self.latencies)) if self.latencies else 0.0

    @property
    def throughput(self) -> float:
        """Samples per second; of those sent alone where no others were."""
        if self.samples:
            return self.samples / self.seconds if self.seconds else 0.0
        return len(self.latencies) / sum(self.latencies) if sum(self.latencies) else 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """The answers to samples, one for each.

    `classes` int64 [samples] are those that the device names or, where it names none, those that `ClassRule` reads off
    the rest. Of that there is what the build's readout gives: `spikes` uint8 [samples, steps, outputs] of events,
    `counts` int64 [samples, outputs] of images whose spikes are counted, `readings` int64 [samples, steps, outputs] of
    membranes, 0 in steps that have none (of images those of the last step alone, or of all). Where samples may end
    early `steps` int64 [samples] says after how many their class was certain; spikes of later ones are left out.
    """

    classes: npt.NDArray[np.int64]
    spikes: npt.NDArray[np.uint8] | None = None
    counts: npt.NDArray[np.int64] | None = None
    readings: npt.NDArray[np.int64] | None = None
    steps: npt.NDArray[np.int64] | None = None
    profile: Profile | None = None


def answers_of(
    facts: LinkFacts,
    replies: Sequence[Sequence[Reply]],
    steps: int,
    profile: Profile | None,
    exit: Exit | None = None,
) -> Answers:
    """What the replies to samples say, which may end early with an `exit`. Raises LineError for replies that no device
    with this build gives."""
    ends = [[reply for reply in of_sample if reply.code is not Code.ACCEPTED] for of_sample in replies]
    due = 1 if facts.coding is not None else steps
    for number, answered in enumerate(ends):
        had = len(answered)
        short = exit is not None and 0 < had < due
        if (had != due and not short) or any(r.code is not _due(k, had) for k, r in enumerate(answered)):
            raise LineError(f"a sample of {due} steps has as many answers: sample {number} has {len(answered)}")
        if any(address >= facts.outputs for reply in answered for address in reply.spikes):
            raise LineError(f"the network has {facts.outputs} outputs: sample {number} has a spike of another")
    if facts.readout is not None:
        return _of_readings(facts, ends, profile)
    if facts.coding is not None and facts.coding.decoder.names_class:
        named = [answered[0].spikes for answered in ends]
        if any(len(spikes) != 1 for spikes in named):
            raise LineError("an image has one class: the device names none, or several")
        return Answers(classes=np.array(named, np.int64).reshape(-1), profile=profile)
    taken = None if exit is None else [_until_certain(exit, answered) for answered in ends]
    if taken is not None:
        ends = [answered[:steps] for answered, steps in zip(ends, taken, strict=True)]
    spikes = np.zeros((len(ends), due, facts.outputs), np.int64)
    for at, answered in zip(spikes, ends, strict=True):
        for step, reply in zip(at, answered, strict=False):
            np.add.at(step, list(reply.spikes), 1)
    if facts.coding is not None:  # whose spikes come without their steps
        rule = replace(facts.rule, by="spikes")
        return Answers(classes=_classes(rule, spikes), counts=spikes[:, 0], profile=profile)
    return Answers(
        classes=_classes(facts.rule, spikes),
        spikes=spikes.astype(np.uint8),
        steps=None if taken is None else np.array(taken, np.int64),
        profile=profile,
    )


def _until_certain(exit: Exit, answered: Sequence[Reply]) -> int:
    """After how many of the steps that were answered the class was certain; all where it never was."""
    certainty = exit.begin()
    for step in answered:
        if certainty.take(step):
            break
    return certainty.steps


def _due(number: int, answers: int) -> Code:
    return Code.SAMPLE if number == answers - 1 else Code.STEP


def _of_readings(facts: LinkFacts, ends: Sequence[Sequence[Reply]], profile: Profile | None) -> Answers:
    assert facts.readout is not None
    rows = 1 if facts.coding is None or not facts.readout.every_step else facts.coding.steps
    given = np.zeros((len(ends), max(map(len, ends), default=0), rows * facts.outputs), np.int64)
    named = np.zeros(len(ends), np.int64)
    for number, answered in enumerate(ends):
        for step, reply in enumerate(answered):
            if len(reply.readings) not in (0, rows * facts.outputs):
                raise LineError(f"an answer has {rows * facts.outputs} readings: sample {number} has another number")
            given[number, step, : len(reply.readings)] = reply.readings
        named[number] = answered[-1].predicted or 0
    readings = given.reshape(len(ends), -1, facts.outputs)
    if facts.readout.names_class:
        return Answers(classes=named, readings=readings, profile=profile)
    return Answers(classes=_largest(_joined(facts.rule, readings[:, -1])), readings=readings, profile=profile)


def _classes(rule: ClassRule, spikes: Array) -> npt.NDArray[np.int64]:
    """The classes of spikes [samples, steps, outputs]; of several that say as much the lowest."""
    if rule.by == "first-spike":
        fired = spikes != 0
        said = np.where(fired.any(axis=1), spikes.shape[1] - fired.argmax(axis=1), 0)
    else:
        said = spikes.sum(axis=1, dtype=np.int64)
    if rule.threshold is not None:
        return (said[:, 0] >= rule.threshold).astype(np.int64)
    return _largest(_joined(rule, said))


def _joined(rule: ClassRule, said: Array) -> Array:
    """What each class says, of what its outputs say."""
    if rule.classes is None:
        return said
    groups = said.reshape(len(said), rule.classes, -1)
    joined: Array = groups.max(axis=2) if rule.by in ("first-spike", "membrane-max") else groups.sum(axis=2)
    return joined


def _largest(said: Array) -> npt.NDArray[np.int64]:
    return np.argmax(said, axis=1).astype(np.int64)

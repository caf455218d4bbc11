"""A vector engine, cycle by cycle (`spikeloom.hdl.engines.vector`), as one block of a cycle model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.engines.vector import VectorContents, VectorFormat
from ..encodings.vector import count_beats
from ..ir.arrays import SpikeArray
from ..ir.network import Network
from ..plan.vector import VectorFolding
from .circuit import Circuit
from .engine_cycles import EngineCycles, Events
from .tokens import ABORT, ENDS, EVENT, EVENTS, Block, Token

SHORTEST_PASS = 4
"""Cycles for which a pass issues at least."""


class VectorCycles(EngineCycles):
    """The cycles of a vector engine."""

    def __init__(self, form: VectorFormat) -> None:
        self._form = form

    def block(self, circuit: Circuit, spikes: SpikeArray, inlet: int) -> int:
        return circuit.block(run_vector(self._form, spikes), inlet)

    def beats(self, events: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        return count_beats(self._form.beats, events)

    def busy(self, events: Events, steps: int, *, wide: bool) -> npt.NDArray[np.float64]:
        """The longer of its two halves, which work on different steps. Tokens fill one slot of a beat each."""
        form = self._form
        banks = [events[..., bank :: form.banks].sum(axis=-1) for bank in range(form.banks)]
        beats = np.max(banks, axis=0) / form.ports if wide else np.sum(banks, axis=0)
        return np.asarray(np.maximum(beats * form.row_beats, steps * form.pass_words), np.float64)


def vector_cycles(
    network: Network, folding: VectorFolding, form: VectorFormat, contents: VectorContents
) -> VectorCycles:
    """The cycles of a vector engine."""
    return VectorCycles(form)


@dataclass(frozen=True)
class _Turn:
    """What a stage of the pass works on: a word of the step's neurons, or the end behind the last."""

    step: int
    word: int = -1
    end: int = -1


_IDLE = _Turn(step=-1)


def _beats(first: int, spikes: Sequence[int]) -> list[list[Token]]:
    """The beats of a word whose neurons, from the `first`, fire so many times."""
    return [
        [(EVENT, neuron) for neuron, count in enumerate(spikes, first) if count > number]
        for number in range(max(spikes, default=0))
    ]


def run_vector(form: VectorFormat, spikes: SpikeArray) -> Block:
    """An engine of which neuron n fires `spikes[t, n]` times in step t; see `tokens` for what it yields. An event that
    it takes is a beat, whatever the events in it. It is long for the same reason as `run_lane`."""
    words, width, beats = form.pass_words, form.neurons_per_cycle, form.row_beats
    last_word = max(words, SHORTEST_PASS - 1)
    fires = [
        [_beats(low, step[low : low + width]) for low in range(0, words * width, width)] for step in spikes.tolist()
    ]
    # The integrator's registers; of what is under way only ends matter.
    part, ending = 0, False
    tags: list[int] = [-1] * (1 + (form.slots - 1).bit_length())
    # The pass's.
    running, kind, announce, word, step = True, ABORT, False, 0, -1
    turn = decided = _IDLE
    said = 0  # beats of the word that is decided
    beat: list[Token] = []  # the output register
    held: list[Token] = []  # the unpacker's, where a word has several neurons

    while True:
        ready = EVENTS * (part == beats - 1) | ENDS * (not running and not ending)
        source = held if width > 1 else beat
        taken_token, taken, seen = yield ready, source[0] if source else None

        unpacks = width > 1 and (not held or (taken and len(held) == 1))
        o_ready = unpacks if width > 1 else taken
        stays = False
        if decided.word >= 0:
            brings = fires[decided.step][decided.word] if decided.step >= 0 else []
            emitted = brings[said] if brings else []
            stays = said < len(brings) - 1
        else:
            emitted = [(decided.end, 0)] if decided.end >= 0 else []
        blocked = bool(beat) and not o_ready
        moves = not (emitted and blocked) and not stays
        arrived = tags[-1]

        if unpacks:
            held = beat
        elif taken and held:
            held = held[1:]
        if not blocked:
            beat = emitted
            said += stays
        if moves:
            said = 0
            decided = turn
            turn = _IDLE
            if running and word < words:
                turn = _Turn(step=step, word=word)
            elif running and word == words and announce:
                turn = _Turn(step=step, end=kind)
        if not running:
            running, word = arrived >= 0, 0
            if arrived >= 0:
                kind, announce = arrived, True
                step += 1
        elif moves:
            running = word != last_word
            word += 1

        if taken_token is not None and taken_token[0] != EVENT:
            ending = True
        elif arrived >= 0:
            ending = False
        tags = [taken_token[0] if taken_token is not None and taken_token[0] != EVENT else -1, *tags[:-1]]
        if seen is not None and seen[0] == EVENT:
            part = (part + 1) % beats

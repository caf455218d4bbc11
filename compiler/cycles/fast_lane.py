"""A fast sparse engine, cycle by cycle (`spikeloom.hdl`: `engines.fast_rows`, `neurons.fast_bank`)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from ..ir.arrays import SpikeArray
from .rows import Posts
from .tokens import ABORT, ALL, EVENT, Block, Token

INTEGRATE, PASS, DRAIN, END = range(4)

_Beat = tuple[int, int | None]
"""A kind, and the post neuron of an event; None of one that bridges a gap."""


@dataclass(frozen=True, eq=False)
class FastModel:
    """What the cycles of a fast engine depend on: the posts of each row, its populations, and how many `registers` its
    walker has in front of the pointer and behind the entries."""

    rows: tuple[Posts, ...]
    bases: tuple[int, ...]
    neurons: int
    overlaps: bool
    registers: tuple[int, int]


class _Walker:
    """`spikeloom.hdl.engines.fast_rows.FastRowWalker`."""

    def __init__(self, model: FastModel) -> None:
        self.rows = model.rows
        self.front: list[Token | None] = [None] * (1 + model.registers[0])  # the last one is beside the pointer
        self.walk: Posts | None = None
        self.kind = self.place = 0
        self.coming: deque[_Beat | None] = deque([None] * (1 + model.registers[1]))
        self.out: Token | None = None
        self.before: tuple[int | None, int | None] = (None, None)  # the posts of the last two beats
        self.recurs = (False, False)  # whether that at the output is for the one before's, and for that before it
        self.advance = self.take = self.free = False

    @property
    def idle(self) -> bool:
        waiting = any(token is not None for token in (*self.front, *self.coming))
        return not waiting and self.walk is None and self.out is None

    def look(self, ready: bool) -> None:
        """What moves in this cycle, where the bank is `ready` for what is offered."""
        self.advance = self.out is None or ready
        self.take = self.front[-1] is not None and (
            self.walk is None or (self.advance and self.place >= len(self.walk) - 1)
        )
        self.free = self.take or None in self.front

    def move(self, incoming: Token | None) -> None:
        """The cycle's end, with what it takes."""
        if self.advance:
            asked = None if self.walk is None else (self.kind, self.walk[self.place])
            self.coming.append(asked)
            entry = self.coming.popleft()
            self._show(entry)
        if self.take:
            token = self.front[-1]
            assert token is not None
            self.kind, self.place = token[0], 0
            self.walk = (self.rows[token[1]] or None) if token[0] == EVENT else [0]
        elif self.walk is not None and self.advance:
            self.place += 1
            if self.place == len(self.walk):
                self.walk = None
        moves = self.take
        for number in reversed(range(len(self.front))):
            moves = moves or self.front[number] is None
            if moves:
                self.front[number] = self.front[number - 1] if number else incoming

    def _show(self, entry: _Beat | None) -> None:
        """An entry comes to the output: one that bridges a gap is not shown."""
        self.out = None
        if entry is None:
            self.before = (self.before[0], self.before[0])
            return
        kind, post = entry
        synapse = post if kind == EVENT else None
        if kind != EVENT or post is not None:
            self.out = (kind, post or 0)
        one, two = self.before
        self.recurs = synapse is not None and synapse == one, synapse is not None and synapse == two
        self.before = (synapse, one)


class _Bank:
    """`spikeloom.hdl.neurons.fast_bank.FastBank`, of which neuron n fires in step t where `spikes[t, n]`."""

    def __init__(self, model: FastModel, spikes: SpikeArray) -> None:
        self.model = model
        self.firing = [set(np.flatnonzero(step).tolist()) for step in spikes]
        self.shared = len(model.bases) > 1
        self.breaks = frozenset(base - 1 for base in model.bases[1:])
        self.job, self.end, self.announce, self.neuron, self.step = PASS, ABORT, False, 0, -1
        self.stages: list[int | None] = [None, None, None]
        self.spike = False
        self.adding = [False, False]
        self.out: Token | None = None
        self.release = False

    def ready(self, beat: Token | None, recurs: tuple[bool, bool]) -> bool:
        """Whether it takes a contribution or an end."""
        listens = self.job == INTEGRATE
        if beat is None or beat[0] != EVENT:
            return listens and not self.adding[0]
        collides = (self.adding[0] and recurs[0]) or (self.adding[1] and any(recurs))
        return (listens or (self.shared and self.end != ABORT)) and not collides

    def move(self, beat: Token | None, accepted: bool, taken: bool, settled: bool) -> None:
        """The end of a cycle in which a `beat` was there and `accepted`, or not, and its output was `taken` or not;
        `settled` is whether nothing is on its way to it."""
        is_event = beat is not None and beat[0] == EVENT
        accept = beat if accepted else None
        waiting = self.out is not None
        leaves = self.stages[2] is not None and self.spike
        stall = leaves and waiting
        adding = self.adding[1]
        comes = is_event if self.shared else self.job == INTEGRATE
        issue = self.job == PASS and not comes and not stall
        drained = self.job == DRAIN and self.stages == [None] * 3 and not any(self.adding)
        last = self.neuron == self.model.neurons
        self.release = False
        stage0, stage1, stage2 = self.stages
        asked = self.neuron if issue else None
        job, neuron = self.job, self.neuron
        if stall and (stage0 is not None or stage1 is not None):
            assert stage2 is not None
            job, neuron = PASS, stage2 + 1
        elif issue:
            neuron += 1
            if self.neuron == self.model.neurons - 1 or (self.neuron in self.breaks and self.end != ABORT):
                job = DRAIN
        if accept is not None and not is_event:
            job = PASS
        if drained and last:
            job = END
        elif drained and settled and not waiting:
            job = PASS
            self.release = self.neuron == self.model.bases[-1] and self.model.overlaps
        out = None if taken else self.out
        if leaves and not waiting:
            assert stage2 is not None
            out = (EVENT, stage2)
        if self.job == END and not waiting:
            out = (self.end, 0) if self.announce else None
            job, neuron = INTEGRATE, 0
            self.release = self.end == ABORT or not self.model.overlaps
        holds = stage2 is not None and (stall or adding)
        if holds:
            self.spike = self.spike and waiting
        else:
            stage2 = stage1
            self.spike = stage1 is not None and self.end != ABORT and stage1 in self.firing[self.step]
        self.stages = [asked, None if stall else stage0, stage2]
        self.adding = [accept is not None and is_event, self.adding[0]]
        self.job, self.neuron, self.out = job, neuron, out
        if accept is not None and not is_event:
            self.end, self.announce = accept[0], True
            self.step += 1


def run_fast(model: FastModel, spikes: SpikeArray) -> Block:
    """An engine of which neuron n fires in step t where `spikes[t, n]`; see `tokens` for what it yields."""
    walker, bank = _Walker(model), _Bank(model, spikes)
    first_output = model.bases[-1]
    several = len(model.bases) > 1
    locked = several
    while True:
        beat = walker.out
        ready = bank.ready(beat, walker.recurs)
        walker.look(ready)
        idle = walker.idle
        spike = bank.out
        stays = several and spike is not None and spike[0] == EVENT and spike[1] < first_output
        offered = None if spike is None or stays else (spike[0], max(0, spike[1] - first_output))

        token, taken, _ = yield ALL * (walker.free and not locked), offered

        incoming = token
        if stays:
            taken = walker.free and locked
            incoming = spike if taken else token
        elif token is not None and several:
            incoming = (token[0], token[1] + first_output)
        bank.move(beat, ready, taken, idle)
        walker.move(incoming)
        if token is not None and several and token[0] != EVENT:
            locked = True
        if bank.release:
            locked = False

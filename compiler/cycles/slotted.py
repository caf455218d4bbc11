"""A slotted engine, cycle by cycle (`spikeloom.hdl.engines.slotted`), as one block of a cycle model."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from ...hdl.engines.slotted_format import SlottedContents, SlottedFormat
from ...hdl.engines.slotted_pass import DECIDED
from ..encodings.slotted import row_lengths
from ..ir.arrays import SpikeArray
from ..ir.network import Network
from ..plan.slotted import SlottedFolding
from .circuit import Circuit
from .engine_cycles import EngineCycles, Events
from .tokens import ABORT, ALL, EVENT, Block, Token


class SlottedCycles(EngineCycles):
    """The cycles of a slotted engine, whose neurons lie in an order."""

    def __init__(self, form: SlottedFormat, contents: SlottedContents, order: npt.NDArray[np.int64]) -> None:
        self._form = form
        self._lengths = row_lengths(form, contents)
        self._order = order

    def block(self, circuit: Circuit, spikes: SpikeArray, inlet: int) -> int:
        return circuit.block(run_slotted(self._form, self._lengths.tolist(), spikes[:, self._order]), inlet)

    def busy(self, events: Events, steps: int, *, wide: bool) -> npt.NDArray[np.float64]:
        """The longer of walks and passes, which work on different steps."""
        walks = events @ np.maximum(1, self._lengths) + steps
        return np.maximum(np.asarray(walks, np.float64), steps * self._form.turns * self._form.places)


def slotted_cycles(
    network: Network, folding: SlottedFolding, form: SlottedFormat, contents: SlottedContents
) -> SlottedCycles:
    """The cycles of a slotted engine."""
    return SlottedCycles(form, contents, folding.order(network))


Beat = list[Token]
"""The spikes of a word, lowest first, or an end; none where there is nothing."""


def _words(neurons: list[int], width: int) -> dict[int, Beat]:
    """The beats of the words in which some of a step's neurons are."""
    beats: dict[int, Beat] = {}
    for neuron in neurons:
        beats.setdefault(neuron // width, []).append((EVENT, neuron))
    return beats


class _Pass:
    """`spikeloom.hdl.engines.slotted_pass.SlottedPass`, of which neuron n fires in step t where `spikes[t, n]`."""

    def __init__(self, form: SlottedFormat, spikes: SpikeArray) -> None:
        self.width = form.neurons_per_cycle
        self.firing = [_words(np.flatnonzero(step).tolist(), self.width) for step in spikes]
        self.words, self.turns, self.places, self.half = form.pass_words, form.turns, form.places, form.queued // 2
        self.turn = self.place = 0
        self.pending, self.running, self.asked, self.room = True, False, False, False
        self.busy, self.shut, self.kind, self.announce, self.step = True, True, ABORT, False, -1
        self.waits: deque[bool] = deque([False, False])
        self.nobody = (-1, -1, ABORT, False)
        self.way = deque([self.nobody] * (form.sum_latency - 1 + DECIDED))  # words until they are decided
        self.over: Beat = []
        self.queue: deque[Beat] = deque()
        self.waiting: Beat = []  # behind the queue
        self.held: Beat = []  # the unpacker's, where a word has several neurons

    @property
    def out(self) -> Token | None:
        """The token that is offered."""
        shown = self.held if self.width > 1 else self.waiting
        return shown[0] if shown else None

    def move(self, ended: int | None, taken: bool) -> None:
        """A cycle, in which a step of some kind `ended` or not, and the token that is offered was `taken` or not."""
        number = self.place * self.turns + self.turn if self.asked else self.words
        here = (number, self.step, self.kind, self.announce)
        self.way.append(here if number < self.words else self.nobody)
        room = len(self.queue) < self.half
        self._say(self._decided(), taken if self.width == 1 else self._unpacks(taken))
        self._ask(ended is not None)
        self.room = room
        if ended is not None:
            self.busy, self.kind, self.announce = True, ended, True
            self.step += 1

    def _decided(self) -> Beat:
        word, step, kind, announced = self.way.popleft()
        beat = self.over
        self.over = [(kind, 0)] if word == self.words - 1 and announced else []
        return self.firing[step][word] if word >= 0 and kind != ABORT and word in self.firing[step] else beat

    def _unpacks(self, taken: bool) -> bool:
        """Whether the unpacker takes what waits."""
        takes = not self.held or (taken and len(self.held) == 1)
        self.held = self.waiting if takes else self.held[taken:]
        return takes

    def _say(self, beat: Beat, taken: bool) -> None:
        if not self.waiting or taken:
            self.waiting = self.queue.popleft() if self.queue else []
        if beat:
            self.queue.append(beat)

    def _ask(self, ended: bool) -> None:
        self.waits.append(ended)
        last = self.place == self.places - 1
        asked_all = self.turn == self.turns - 1 and self.asked and last
        begins = self.waits.popleft() or (asked_all and self.shut)
        if self.turn == self.turns - 1:
            self.running = self.pending or (self.running and not (self.asked and last))
            if self.asked:
                self.place = 0 if last else self.place + 1
            self.asked = self.running and self.room
            self.pending = False
        self.pending = self.pending or begins
        self.turn = (self.turn + 1) % self.turns
        if asked_all:
            self.busy, self.shut = self.shut, False


def run_slotted(form: SlottedFormat, lengths: list[int], spikes: SpikeArray) -> Block:
    """An engine of which neuron n, as they lie in it, fires in step t where `spikes[t, n]`, and whose rows have so many
    words; see `tokens` for what it yields."""
    neurons = _Pass(form, spikes)
    found: Token | None = None
    held: Token | None = None
    walking, left = False, 0
    while True:
        free = not walking or left == 0
        length = lengths[held[1]] if held is not None and held[0] == EVENT else 0
        load = length > 0 and free
        ended = held[0] if held is not None and held[0] != EVENT and not neurons.busy and free else None
        skips = held is not None and held[0] == EVENT and length == 0
        moves = held is None or load or ended is not None or skips
        ready = (found is None or moves) and not neurons.shut

        token, taken, _ = yield ALL * ready, neurons.out

        neurons.move(ended, taken)
        walking, left = (True, length - 1) if load else (walking and left != 0, left - 1)
        if moves:
            held = found
        if ready:
            found = token

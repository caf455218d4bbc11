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


def run_slotted(form: SlottedFormat, lengths: list[int], spikes: SpikeArray) -> Block:
    """An engine of which neuron n, as they lie in it, fires in step t where `spikes[t, n]`, and whose rows have so many
    words; see `tokens` for what it yields. It is long for the same reason as `run_lane`."""
    fires = [np.flatnonzero(step).tolist() for step in spikes]
    firing = [set(step) for step in fires]
    neurons, banks, turns, places = form.outputs, form.banks, form.turns, form.places
    half = form.queued // 2
    # The walker.
    found: Token | None = None
    held: Token | None = None
    walking, left = False, 0
    # The pass: what is asked for, and neurons on their way from there until they are decided.
    turn = place = 0
    pending, running, asked, room = True, False, False, False
    busy, shut, kind, announce, step = True, True, ABORT, False, -1
    waits: deque[bool] = deque([False, False])
    nobody = (-1, -1, ABORT, False)
    way = deque([nobody] * (form.sum_latency - 1 + DECIDED))
    over: Token | None = None
    queue: deque[Token] = deque()
    out: Token | None = None

    while True:
        free = not walking or left == 0
        length = lengths[held[1]] if held is not None and held[0] == EVENT else 0
        load = length > 0 and free
        ends = held is not None and held[0] != EVENT and not busy and free
        skips = held is not None and held[0] == EVENT and length == 0
        moves = held is None or load or ends or skips
        ready = (found is None or moves) and not shut

        token, taken, _ = yield ALL * ready, out

        # What is decided.
        number = place * banks + turn if asked else neurons
        way.append((number, step, kind, announce) if number < neurons else nobody)
        decided, decided_step, decided_kind, announced = way.popleft()
        pushed = over
        if decided >= 0 and decided_kind != ABORT and decided in firing[decided_step]:
            pushed = (EVENT, decided)
        over = (decided_kind, 0) if decided == neurons - 1 and announced else None
        room_next = len(queue) < half
        if queue and (out is None or taken):
            out = queue.popleft()
        elif taken:
            out = None
        if pushed is not None:
            queue.append(pushed)

        # What is asked for.
        waits.append(ends)
        last = place == places - 1
        asked_all = turn == turns - 1 and asked and last
        begins = waits.popleft() or (asked_all and shut)
        if turn == turns - 1:
            running = pending or (running and not (asked and last))
            if asked:
                place = 0 if last else place + 1
            asked = running and room
            pending = False
        pending = pending or begins
        turn = (turn + 1) % turns
        room = room_next
        if ends:
            assert held is not None
            busy, kind, announce = True, held[0], True
            step += 1
        elif asked_all:
            busy, shut = shut, False

        # The walker.
        walking, left = (True, length - 1) if load else (walking and left != 0, left - 1)
        if moves:
            held = found
        if ready:
            found = token

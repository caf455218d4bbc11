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
    way: deque[int] = deque([-1] * (form.sum_latency - 1 + DECIDED))
    over = False
    queue: deque[Token] = deque()
    out: Token | None = None

    while True:
        free = (not walking or left == 0) and not shut
        length = lengths[held[1]] if held is not None and held[0] == EVENT else 0
        load = length > 0 and free
        ends = held is not None and held[0] != EVENT and not busy and free
        skips = held is not None and held[0] == EVENT and length == 0
        moves = held is None or load or ends or skips
        ready = found is None or moves

        token, taken, _ = yield ALL * ready, out

        # What is decided.
        lane = turn if banks > 1 or turn == 0 else banks
        number = place * banks + lane if asked and lane < banks else -1
        way.append(number if number < neurons else -1)
        decided = way.popleft()
        pushed: Token | None = None
        if decided >= 0 and kind != ABORT and decided in firing[step]:
            pushed = (EVENT, decided)
        elif over and announce:
            pushed = (kind, 0)
        room_next = len(queue) < half
        if queue and (out is None or taken):
            out = queue.popleft()
        elif taken:
            out = None
        if pushed is not None:
            queue.append(pushed)

        # What is asked for.
        waits.append(ends)
        begins = waits.popleft() or (over and shut)
        if turn == turns - 1:
            last = place == places - 1
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
        elif over:
            busy, shut = shut, False
        over = decided == neurons - 1

        # The walker.
        walking, left = (True, length - 1) if load else (walking and left != 0, left - 1)
        if moves:
            held = found
        if ready:
            found = token

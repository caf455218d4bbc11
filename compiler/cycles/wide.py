"""A wide engine, cycle by cycle (`spikeloom.hdl.engines.wide`), as one block of a cycle model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.engines.wide_format import SPIKING_WORDS, WideContents, WideFormat, WordLayout, WordRows
from ...hdl.engines.wide_turns import TURNS
from ..encodings.taps import taps_of
from ..ir.arrays import IntArray, SpikeArray
from ..ir.network import Network
from ..plan.wide import WideFolding
from ..plan.words import word_population
from .circuit import Circuit
from .engine_cycles import EngineCycles, Events
from .taps import Tap, TapFront
from .tokens import ABORT, ALL, END_OF_STEP, ENDS, EVENT, EVENTS, Block, Token
from .visits import VisitBits, VisitLists, Visits, place_of

INTEGRATE, PASS, DRAIN, END = range(4)

Word = tuple[int, int, int]
"""What a walker offers: a kind, a word of state, and how many words of the row are behind it."""


class WideCycles(EngineCycles):
    """The cycles of a wide engine, of which each neuron is that of a word and a lane [words, lanes], -1 where there is
    none."""

    def __init__(self, form: WideFormat, contents: WideContents, neurons: IntArray) -> None:
        self._form = form
        self._contents = contents
        self._neurons = neurons

    def block(self, circuit: Circuit, spikes: SpikeArray, inlet: int) -> int:
        padded = np.pad(spikes.astype(np.int64), ((0, 0), (0, 1)))  # the last for lanes without a neuron
        block = run_wide(self._form, self._contents, padded[:, self._neurons])
        return circuit.block(alternating(block) if self._form.alternates else block, inlet)

    def busy(self, events: Events, steps: int, *, wide: bool) -> npt.NDArray[np.float64]:
        """Words that events add to; of the passes what they take at least."""
        words = np.asarray(events @ event_words(self._form, self._contents)[: events.shape[-1]], np.float64)
        return words * (2 if self._form.alternates else 1)


def alternating(block: Block) -> Block:
    """A block that moves in every other cycle, and keeps what it offers for those who take it in any."""
    ready, offered = next(block)
    kept: Token | None = None
    while True:
        _, taken, _ = yield 0, kept
        kept = None if taken else kept
        token, taken, waiting = yield ready, kept
        free = kept is None or taken
        moves = free and offered is not None
        kept = (offered if moves else None) if free else kept
        ready, offered = block.send((token, moves, waiting))


def wide_cycles(network: Network, folding: WideFolding, form: WideFormat, contents: WideContents) -> WideCycles:
    """The cycles of a wide engine."""
    parts, first = [], 0
    for name in folding.populations:
        neurons = word_population(network, name, folding.lanes).neurons
        parts.append(np.where(neurons >= 0, neurons + first, -1))
        first += network.size_of(name)
    return WideCycles(form, contents, np.concatenate(parts))


def section_of(form: WideFormat, row: int) -> WordRows:
    """Those rows among which one lies."""
    return next(section for section in reversed(form.rows) if section.first_row <= row)


def event_words(form: WideFormat, contents: WideContents) -> IntArray:
    """How many words an event adds to, int64: of each neuron before the last population, then of each input."""
    own = [
        name * form.lanes + lane
        for layout, base in list(zip(form.layouts, form.bases, strict=True))[:-1]
        for name, lane in _lanes_of(form, contents, layout, base)
    ]
    inputs = contents.inputs or range(form.first_input, form.first_input + form.inputs)
    every = (taps_of(form.taps, contents.taps, address) for address in [*own, *inputs])
    return np.array([sum(0 if t is None else section_of(form, t[0]).words for t in found) for found in every], np.int64)


def _lanes_of(form: WideFormat, contents: WideContents, layout: WordLayout, base: int) -> Iterator[tuple[int, int]]:
    """The name of the word, and the lane, of each neuron of a population as `row_events` has them: channels fastest."""
    for place in range(layout.places):
        for channel in range(layout.channels):
            word = base + place * layout.stride + channel // form.lanes
            yield (contents.names[word] if form.name_bits else word), channel % form.lanes


class _Queue:
    """`spikeloom.hdl.streams.token_queue.TokenQueue`."""

    def __init__(self) -> None:
        self.memory: deque[Any] = deque()
        self.out: Any = None

    def move(self, put: Any, taken: bool) -> None:
        if self.out is None or taken:
            self.out = self.memory.popleft() if self.memory else None
        if put is not None:
            self.memory.append(put)


def run_wide(form: WideFormat, contents: WideContents, spikes: IntArray) -> Block:
    """An engine of whose words each lane fires `spikes[t, word, lane]` times in step t; see `tokens` for what it
    yields. It is long for the same reason as `run_lane`."""
    bases, ends, lanes = form.bases, form.ends, form.lanes
    final = len(ends) - 1
    rules = [population.rule for population in form.neurons.populations]
    repeats = form.neurons.repeats
    keeps = [rule.limited or not rule.repeats for rule in rules]
    of_words = [section_of(form, row).words for row in range(form.taps.rows)]
    apart = form.layouts[-1].channels_apart
    fires = [{int(word): [int(n) for n in step[word]] for word in np.flatnonzero(step.any(axis=1))} for step in spikes]
    # In front of the state.
    found: Token | None = None
    numbered: Token | None = None
    front = TapFront(form.taps, contents.taps, watched=form.first_input if form.takes_ahead else None)
    steered: tuple[Token, bool] | None = None  # kept by the skid before the taps: a token, and whether it is watched
    kept: Tap | None = None  # by that behind them
    skids = not form.alternates
    work: Word | None = None
    staged: Word | None = None
    pending: Word | None = None
    collides = False
    first = ends[0] if form.takes_ahead else 0  # additions to the words before are of the next step
    # The state: words that are read, compared and written, as (passes, word, how often neurons have fired in it).
    read: tuple[bool, int, int] | None = None
    compared: tuple[bool, int, int] | None = None
    written: tuple[bool, int, int] | None = None
    fired: list[int] = []  # lanes of the word that is written
    touched = [False] * form.words
    turns: deque[tuple[int, int] | None] = deque([None] * TURNS)  # words to be looked at again; the first has its turn
    # Passes.
    job, end, announce, population, step = PASS, ABORT, False, 0, -1
    next_word = waiting = 0
    visits: Visits = VisitLists(ends) if form.lists_visits else VisitBits(bases, ends)
    spiking = _Queue()
    held: list[int] = []  # lanes whose events are due
    name = 0
    locked = True

    while True:
        clear, quiet, last = end != END_OF_STEP, end == ABORT, population == final
        # What a pass looks at.
        take_turn = job == PASS and (clear or not form.visits)
        looks_at: int | None = None
        if take_turn:
            done = next_word == ends[population]
            looks_at = None if done else next_word
        else:
            done = visits.done
            looks_at = visits.word if job == PASS else None
        once_more = turns[0]
        if once_more is not None:
            looks_at = once_more[0]
        if waiting >= SPIKING_WORDS // 2:
            looks_at = None
        # The words that are read.
        busy = read is not None or compared is not None or written is not None
        is_event = pending is not None and pending[0] == EVENT
        ahead = pending is not None and is_event and pending[1] < first
        waits = collides or (ahead and looks_at is not None)
        goes = pending is not None and (not waits if is_event else job == INTEGRATE and not busy)
        moves_up = pending is None or goes
        joins = not moves_up and all(
            stage is not None and stage[:2] == (EVENT, form.joining) for stage in (staged, pending)
        )
        walked = staged is None or moves_up or joins
        walker_ready = work is None or (walked and work[2] == 0)
        tap_taken = kept is None if skids else walker_ready
        taps_ready = front.ready(tap_taken)
        steers = steered is None if skids else taps_ready
        tap = front.out if kept is None else kept
        adds = is_event and goes
        passing = looks_at is not None and not adds
        takes = passing and once_more is None

        leaves = last or job == END
        ending = job == END and announce
        if held:
            number = contents.names[name] + held[0] * apart if form.name_bits else (name - bases[-1]) * lanes + held[0]
            offered: Token | None = (EVENT, number) if last else None
        else:
            offered = (end, 0) if ending else None
        returns = locked and bool(held) and not leaves
        goes_ahead = form.takes_ahead and population >= form.ahead_from and end == END_OF_STEP and not returns
        may = (not locked, not locked or goes_ahead)
        moves = numbered is None or (steers and may[numbered[0] == EVENT])
        accepts = found is None or moves
        ready = ALL * accepts if form.renumbered else steers * (may[0] * ENDS | may[1] * EVENTS)

        token, taken, _ = yield ready, offered

        spike_taken = bool(held) and (taken if last else locked and steers)
        # What goes to the taps.
        event = numbered if form.renumbered else token
        incoming: Token | None = None
        if returns:
            address = (contents.names[name] if form.name_bits else name) * lanes + held[0]
            incoming = (EVENT, address) if steers else None
        elif event is not None and steers and may[event[0] == EVENT]:
            number = contents.inputs[event[1]] if form.renumbered else event[1] + form.first_input
            incoming = (event[0], number if event[0] == EVENT else 0)
            locked = locked or event[0] != EVENT
        offering = steered
        if incoming is not None:
            offering = (incoming, returns or incoming[0] != EVENT or not form.takes_ahead)
        if form.renumbered:
            numbered = found if moves else numbered
            found = token if accepts else found

        # What the next pass looks at.
        put: int | None = None
        wipes = False
        if written is not None:
            passes, word, rounds = written
            redo = repeats and passes and bool(fired)
            keep = (rounds > 0 and not redo and keeps[place_of(ends, word)]) if repeats else bool(fired)
            keep = keep and not clear
            if form.visits and (keep if passes else not touched[word] or not form.lists_visits):
                put = word
            wipes = passes and clear

        # Turns.
        on_their_way = (read, compared, written, staged, pending)
        busy_now = any(stage is not None and (stage[0] or stage[1] >= first) for stage in on_their_way)
        settled = front.idle and not (steered is not None and steered[1])
        settled = settled and not (work is not None and (work[0] != EVENT or work[1] >= first))
        settled = settled and not (tap is not None and (tap[0] != EVENT or tap[2] >= first))
        drained = job == DRAIN and not busy_now and not any(turns) and not waiting and not held and (settled or last)
        ended = goes and not is_event
        releases = job == END and (not announce or bool(offered and taken))
        begins = ended or (drained and not last)

        # What is written.
        pushed: tuple[int, list[int]] | None = None
        if written is not None:
            passes, word, rounds = written
            if passes:
                touched[word] = keep
                if fired:
                    pushed = (word, fired)
                if redo:
                    turns[2] = (word, rounds + 1)
            else:
                touched[word] = True
        if form.visits:
            visits.move(
                put=written[1] if written is not None and wipes else put,
                wipes=wipes,
                takes=takes and not take_turn,
                clears=clear,
                forgets=job == END and clear,
                begins=population + (job == DRAIN) if begins else None,
            )
        if take_turn and takes:
            next_word += 1
        if job == END:
            next_word = 0

        # Spikes.
        loads = not held or (spike_taken and len(held) == 1)
        loaded = spiking.out if loads else None
        direct = pushed if loads and not waiting else None
        if direct is not None:
            loaded, pushed = direct, None
        else:
            waiting += (pushed is not None) - (loaded is not None)
        spiking.move(pushed, loads)
        if loads:
            name, held = (0, []) if loaded is None else (loaded[0], list(loaded[1]))
        elif spike_taken:
            held = held[1:]

        # The stages.
        behind = [stage[1] for stage in (read, compared, written) if stage is not None and not stage[0]]
        written, fired = compared, []
        if compared is not None and compared[0] and not quiet:
            counts = fires[step].get(compared[1])
            fired = [] if counts is None else [lane for lane, count in enumerate(counts) if count > compared[2]]
        read, compared = None, read
        if adds:
            assert pending is not None
            read = (False, pending[1], 0)
            behind.append(pending[1])
        elif looks_at is not None:
            read = (True, looks_at, 0 if once_more is None else once_more[1])
        turns.append(None if passing else turns[0])
        turns.popleft()
        if job == PASS and done:
            job = DRAIN
        if ended:
            assert pending is not None
            job, end, announce = PASS, pending[0], True
            step += 1
        if drained:
            job = END if last else PASS
            population += not last
        if releases:
            job, population, locked = INTEGRATE, 0, False

        # The walker and the taps.
        pending = staged if moves_up else pending
        collides = pending is not None and pending[1] in behind
        staged = work if walked else staged
        if walker_ready:
            work = None if tap is None else (tap[0], tap[2], of_words[tap[1]] - 1 if tap[0] == EVENT else 0)
        elif work is not None and walked:
            work = (work[0], work[1] + 1, work[2] - 1)
        front.move(offering[0] if taps_ready and offering is not None else None, tap_taken)
        steered = None if taps_ready else offering
        kept = None if walker_ready or not skids else tap

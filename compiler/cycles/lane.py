"""Sparse engines, cycle by cycle (`spikeloom.hdl.engines`: `engine`, `lanes`): a block per lane and per queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.engines.bitmap_format import BitmapFormat
from ...hdl.engines.engine import SparseContents, SparseFormat
from ...hdl.engines.lanes import LanesContents, LanesFormat
from ...hdl.engines.pooling import SpikePoolFormat
from ...hdl.engines.returns import queue_depth
from ...hdl.engines.sum_pooling import SumPoolFormat
from ...hdl.engines.tap_format import TapContents, TapFormat
from ..encodings.rows import row_lengths
from ..encodings.taps import event_beats
from ..ir.arrays import IntArray, SpikeArray
from ..ir.network import Network
from ..plan.lane_assignment import lane_neurons
from ..plan.lanes import LanesFolding
from .circuit import Circuit
from .engine_cycles import EngineCycles, Events
from .listed import VisitList, spared_visits
from .pooling import PooledFront, SpikePoolFront, SumPoolBack
from .rows import Posts, posts_of
from .taps import Tap, TapFront
from .tokens import ABORT, ALL, END_OF_STEP, EVENT, Aside, Block, Token

INTEGRATE, PASS, DRAIN, END = range(4)

PASS_CYCLES = 5
"""Cycles of a pass beyond its neurons (see spikeloom.hdl.neurons.bank.NeuronBank)."""

SKIPS = "the cycles of engines that skip passes depend on membranes: this core has some; simulate it"


@dataclass(frozen=True, eq=False)
class LaneModel:
    """What the cycles of a lane depend on: of an engine that has just one, or of one of several.

    `rows` has the posts of each row; of bitmaps, which have `chunks` per row, those of each chunk. `chosen` are those
    of the engine's neurons that the lane has. Where some of its spikes return, `own` neurons have rows, those `waiting`
    wait for the end of their pass in a `queue`, and `last_returns` is whether the last population's return. Spikes of
    those that are `inner` are told aside. With `taps` events become rows that are placed;
    they may be pooled before (`pool`), and contributions behind (`sums`). Passes look at blocks that are `touched`, or
    take the first `listed` neurons from a list.
    """

    rows: tuple[Posts, ...]
    chunks: int
    bases: tuple[int, ...]
    neurons: int
    overlaps: bool
    chosen: IntArray
    own: int = 0
    returns: bool = False
    last_returns: bool = False
    waiting: frozenset[int] = frozenset()
    queue: int = 0
    inner: range = range(0)
    taps: tuple[TapFormat, TapContents] | None = None
    pool: tuple[SpikePoolFormat, TapContents] | None = None
    sums: tuple[SumPoolFormat, TapContents] | None = None
    touched: int = 0
    listed: int = 0

    def front(self) -> TapFront | PooledFront | None:
        """What is in front of the walker."""
        if self.taps is None:
            return None
        return (
            TapFront(*self.taps) if self.pool is None else PooledFront(SpikePoolFront(*self.pool), TapFront(*self.taps))
        )


class LaneCycles(EngineCycles):
    """The cycles of lanes, each of which may lag `queue` events behind."""

    def __init__(self, lanes: Sequence[tuple[SparseFormat, SparseContents]], chosen: Sequence[IntArray], queue: int):
        self._lanes = lanes
        self._chosen = chosen
        self._queue = queue

    @property
    def no_model(self) -> str | None:
        return SKIPS if any(form.neurons.skips for form, _ in self._lanes) else None

    def block(self, circuit: Circuit, spikes: SpikeArray, inlet: int) -> int:
        outlets = []
        for model, source in zip(self._models, circuit.fork(inlet, len(self._lanes)), strict=True):
            tokens = circuit.block(run_queue(self._queue), source) if self._queue else source
            told = Aside()
            outlets.append(circuit.block(run_lane(model, spikes[:, model.chosen], told), tokens))
            if model.inner:
                circuit.aside(outlets[-1], told)
        return circuit.merge(outlets, [model.neurons for model in self._models])

    def busy(self, events: Events, steps: int, *, wide: bool) -> npt.NDArray[np.float64]:
        """Of the busiest lane."""
        return np.asarray(np.max([_busy(*lane, events, steps) for lane in self._lanes], axis=0), np.float64)

    @cached_property
    def _models(self) -> list[LaneModel]:
        return [_lane_model(*lane, chosen) for lane, chosen in zip(self._lanes, self._chosen, strict=True)]


def lanes_cycles(network: Network, folding: LanesFolding, form: LanesFormat, contents: LanesContents) -> LaneCycles:
    """The cycles of an engine with several."""
    lanes = list(zip(form.lanes, contents.lanes, strict=True))
    return LaneCycles(lanes, lane_neurons(network, folding), form.queue)


def _busy(form: SparseFormat, contents: SparseContents, events: Events, steps: int) -> Any:
    of_rows = np.maximum(1, row_lengths(form.rows, contents.rows))
    costs = event_beats(form, contents, of_rows, without=1)
    visited = form.neurons.neurons // (form.neurons.touched or 1)
    passes = visited + PASS_CYCLES * len(form.neurons.populations)
    rows = posts_of(form.rows, contents.rows) if form.neurons.lists else ()
    return events @ costs + steps * passes - spared_visits(form.neurons.ends[0], rows, events, steps)


def _lane_model(form: SparseFormat, contents: SparseContents, chosen: IntArray) -> LaneModel:
    return LaneModel(
        rows=posts_of(form.rows, contents.rows),
        chunks=form.rows.row_chunks if isinstance(form.rows, BitmapFormat) else 0,
        bases=form.neurons.bases,
        neurons=form.neurons.neurons,
        overlaps=form.neurons.overlaps,
        chosen=chosen,
        own=form.own,
        returns=form.neurons.returns,
        last_returns=form.neurons.last_returns,
        waiting=frozenset(n for p in form.waiting for n in range(form.neurons.bases[p], form.neurons.ends[p])),
        inner=form.inner,
        queue=queue_depth(form.neurons, form.waiting) if form.waiting else 0,
        taps=None if form.taps is None or contents.taps is None else (form.taps, contents.taps),
        pool=None if form.pool is None or contents.pool is None else (form.pool, contents.pool),
        sums=None if form.sums is None or contents.sums is None else (form.sums, contents.sums),
        touched=form.neurons.touched,
        listed=form.neurons.ends[0] if form.neurons.lists else 0,
    )


def run_lane(model: LaneModel, spikes: SpikeArray, told: Aside) -> Block:
    """A row walker and a neuron bank, of which neuron n fires `spikes[t, n]` times in step t; what it tells aside is
    shown in `told`.

    Each cycle it yields (whether it takes a token, the token that it offers or None) and is sent (the token that it
    took or None, whether its own was taken). It is long as every register is a local variable: this runs once for each
    cycle of the hardware, and all registers move together.
    """
    rows = model.rows
    several = len(model.bases) > 1 or model.returns
    own, waiting = model.own, model.waiting
    first_output, last_neuron = model.bases[-1], model.neurons - 1
    ends = frozenset(base - 1 for base in model.bases[1:])
    fires = [{neuron: int(step[neuron]) for neuron in np.flatnonzero(step).tolist()} for step in spikes]
    # The walker's registers. That of bitmaps asks for a row's chunks one by one; the other one has a stage for entries.
    chunks = model.chunks
    asking: Token | None = None
    chunk = 0
    front = model.front()
    sums = None if model.sums is None else SumPoolBack(*model.sums)
    fetched: Token | Tap | None = None
    origin = 0  # of the row under way, where it is placed
    walk: Posts | None = None  # the row under way
    walk_end = 0  # the kind, where it is an end
    place = 0
    entry: tuple[int, int | None] | None = None
    w_valid, w_kind, w_post = False, 0, 0
    # The bank's.
    job, end, announce, neuron = PASS, ABORT, False, 0
    stage1 = stage2 = False
    neuron1 = neuron2 = 0
    spike = adding = False
    more = 0  # spikes of the neuron after that which it has
    post = 0
    locked = several
    step = -1
    # What it has of blocks.
    block = model.touched
    touched = [False] * (model.neurons // block if block else 0)
    entered = fired = False
    visits, place1 = VisitList(model.listed), 0  # where the pass stood as it asked for the neuron in the first stage
    # Those of spikes that return.
    queue: deque[int] = deque()  # in the memory
    head: int | None = None  # at the queue's output
    left = returned = drops = False
    heard = passed_on = False  # of a spike that is told aside, too: which of the two is done

    while True:
        beat = (w_kind, w_post) if w_valid else None
        given = beat if sums is None else sums.offer(beat)
        b_valid, (b_kind, b_post) = given is not None, given or (w_kind, w_post)
        is_event = b_kind == EVENT
        quiet = end == ABORT
        ready = (job == INTEGRATE or (several and is_event and not quiet)) and not (
            adding and is_event and post == b_post
        )
        advance = not w_valid or (ready if sums is None else sums.ready((w_kind, w_post), ready))
        take = fetched is not None and (walk is None or (advance and place >= len(walk) - 1))
        ask = asking is not None and (fetched is None or take)
        if chunks:
            free = asking is None or (ask and (asking[0] != EVENT or chunk == chunks - 1))
        else:
            free = fetched is None or take
        idle = asking is None and fetched is None and walk is None and entry is None and not w_valid
        fetches = free
        if front is not None:
            free, idle = front.ready(fetches), idle and front.idle
        spiking = stage2 and spike
        if job == END:
            address = last_neuron
            offered = (end, last_neuron - first_output) if announce else None
        else:
            address = neuron2
            offered = (EVENT, neuron2 - first_output) if spiking else None
        leaves = not several or address >= first_output
        walks = several and spiking and address < own and not passed_on
        if not leaves or left or passed_on:
            offered = None
        if model.inner:
            inside = (EVENT, neuron2 - model.inner.start) if spiking and neuron2 in model.inner else None
            closing = (end, 0) if job == END and announce else None
            told.token = None if heard else inside or closing
        waits = model.returns and job == DRAIN and not (stage1 or stage2)

        token, taken, _ = yield ALL * (free and not locked), offered

        release = False
        went, gone = returned, not leaves or left or taken or passed_on
        queued = walks and neuron2 in waiting
        kept = queued and not returned and len(queue) < model.queue - 1
        back = not walks or returned or (kept if queued else free and locked)
        o_ready = gone and back
        if model.inner:
            tells, passes = told.token is None or told.taken, o_ready
            o_ready = tells and passes
            says = (spiking or job == END) and not o_ready
            heard, passed_on = says and tells, says and passes
        if leaves and walks:
            left, returned = gone and not back, back and not gone
        stall = spiking and (more > 0 or not o_ready)
        accept = b_valid and ready
        issue = job == PASS and not stall and not (several and is_event and b_valid)
        by = block > 0 and job == PASS and not stall and end == END_OF_STEP and not entered
        by = by and not neuron % block and not touched[neuron // block]
        issue = issue and not by
        listing, at_end = visits.look(end, neuron)
        issue = issue and not at_end and not visits.begins
        if adding:
            visits.arrives(post)
        hold = stall or (several and adding)
        incoming = token
        if several:
            if locked and waits:
                incoming = (EVENT, head) if head is not None and free else None
            elif locked:
                incoming = (EVENT, neuron2) if walks and not queued and not went and free else None
            elif token is not None:
                incoming = (token[0], token[1] + own)
                if token[0] != EVENT:
                    locked = True

        # The queue.
        dropped = False
        if model.returns:
            settled = idle and head is None and not queue
            if head is None or (locked and waits and free):
                head = queue.popleft() if queue else None
            if kept:
                queue.append(neuron2)
            passed = model.neurons if job == DRAIN and neuron == 0 else neuron
            dropped = drops and is_event and b_post < passed
        else:
            settled = idle

        # The bank.
        drained = job == DRAIN and not (stage1 or stage2 or adding)
        ended = job == END and (o_ready or not announce)
        if block:
            if accept and is_event:
                touched[b_post // block] = True
            if stage2 and not hold:
                fires_here = end == END_OF_STEP and neuron2 in fires[step]
                fired = fires_here or (fired and neuron2 % block > 0)
                touched[neuron2 // block] = fired
            entered = (stall and stage1) or (entered and not issue)
        if stage2 and not hold:
            visits.visited(neuron2, end == END_OF_STEP and neuron2 in fires[step])
        asked, stood = visits.at(neuron) if listing and issue else neuron, neuron
        if stall and stage1:
            neuron, job = place1, PASS
        elif job == PASS and at_end and not stage1:
            neuron, job = model.listed % model.neurons, DRAIN
        if by:
            neuron += block
            if neuron > last_neuron:
                job, neuron = DRAIN, 0
        if issue:
            if neuron == last_neuron:
                job = DRAIN
                neuron = 0
            else:
                if neuron in ends and not quiet:
                    job = DRAIN
                neuron += 1
        if ended:
            job = INTEGRATE
            release = quiet or not model.overlaps
        elif drained and neuron == 0:
            if settled or not model.last_returns:
                job = END
        elif drained and settled:
            job = PASS
            release = neuron == first_output and model.overlaps
        if not hold:
            stage2 = stage1
            spike = stage1 and not quiet and neuron1 in fires[step]
            more = fires[step][neuron1] - 1 if spike else 0
            neuron2 = neuron1
        elif o_ready and more:
            more -= 1
        elif o_ready:
            spike = False
        stage1, neuron1, place1 = issue, asked, stood
        visits.move(accept and not is_event)
        adding = accept and is_event and not dropped
        if accept and not is_event:
            drops = b_kind != END_OF_STEP
        elif release:
            drops = False
        if accept:
            post = b_post
            if not is_event:
                job, end, announce = PASS, b_kind, True
                step += 1
        if release:
            locked = False

        # The walker.
        if sums is not None:
            sums.move(beat, ready)
        if advance:
            walked = None if walk is None else (walk_end, _moved(walk[place], origin))
            shown, entry = (walked, None) if chunks else (entry, walked)
            w_valid = shown is not None and (shown[1] is not None or shown[0] != EVENT)
            if shown is not None:
                w_kind, w_post = shown[0], shown[1] or 0
        if take:
            assert fetched is not None
            kind, row, *placed = fetched
            origin = placed[0] if placed else 0
            place = 0
            walk_end = kind
            walk = (rows[row] or None) if kind == EVENT else [0]
        elif walk is not None and advance:
            place += 1
            if place == len(walk):
                walk = None
        if front is not None:
            fetched = front.out if fetches else fetched
            front.move(incoming if free else None, fetches)
            continue
        if not chunks:
            fetched = incoming if free else fetched
            continue
        if ask:
            assert asking is not None
            fetched = (asking[0], asking[1] * chunks + chunk)
            if asking[0] == EVENT:
                chunk = (chunk + 1) % chunks
        elif take:
            fetched = None
        if free:
            asking = incoming


def _moved(post: int | None, origin: int) -> int | None:
    """A post neuron that counts from `origin`."""
    return None if post is None else post + origin


def run_queue(depth: int) -> Block:
    """`spikeloom.hdl.streams.token_queue.TokenQueue`."""
    waiting: deque[Token] = deque()  # in the memory
    shown: Token | None = None  # at the output
    while True:
        token, taken, _ = yield ALL * (len(waiting) < depth - 1), shown
        if shown is None or taken:
            shown = waiting.popleft() if waiting else None
        if token is not None:
            waiting.append(token)

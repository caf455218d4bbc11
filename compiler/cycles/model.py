"""A core, cycle by cycle, in plain Python: its row walkers, neuron banks, forks and merges without their arithmetic.

The spikes are known beforehand, so all that is left are the handshakes and the counters. Each part holds the registers
of its component in `spikeloom.hdl` under the same names and gives the same cycle counts as Amaranth's simulator, some
hundred times faster. In this hardware `ready` never waits for `valid`, so a cycle is: every engine shows what its
registers say, the streams between them follow, every engine takes its step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...hdl.core import CORE_INPUT, EngineInstance
from ...hdl.engines.bitmap_format import BitmapFormat, BitmapImage
from ...hdl.engines.engine import Rows, RowsImage, SparseFormat, SparseImage
from ...hdl.engines.lanes import LanesFormat, LanesImage
from ...hdl.engines.row_format import RowFormat, RowImage
from ...hdl.engines.vector import VectorFormat
from ...hdl.errors import ModelError
from ..encodings.bitmap import chunk_posts
from ..encodings.rows import find_row, first_post
from ..ir.arrays import IntArray
from ..ir.network import Network
from ..plan.folding import EngineFolding
from ..plan.lane_assignment import lane_neurons
from ..plan.plan import Plan
from .tokens import ABORT, ALL, END_OF_SAMPLE, EVENT, Block, Spikes, Token, takes
from .vector import VectorModel, run_vector

INTEGRATE, PASS, DRAIN, END = range(4)

Posts = list[int | None]
"""The post neuron of each entry of a row; None for a beat without one: a bridged gap, a chunk without synapses."""

MAX_CYCLES = 50_000_000
"""After so many cycles a core that has not finished is given up."""


@dataclass(frozen=True, eq=False)
class LaneModel:
    """What the cycles of a lane depend on: of an engine that has just one, or of one of several.

    `rows` has the posts of each row; of bitmaps, which have `chunks` per row, those of each chunk. `chosen` are those
    of the engine's neurons that the lane has.
    """

    rows: tuple[Posts, ...]
    chunks: int
    bases: tuple[int, ...]
    neurons: int
    overlaps: bool
    chosen: IntArray


@dataclass(frozen=True, eq=False)
class EngineModel:
    """What the cycles of an engine depend on: its lanes, and how many events each may lag behind."""

    lanes: tuple[LaneModel, ...]
    queue: int


def engine_models(plan: Plan) -> tuple[EngineModel | VectorModel, ...]:
    """The model of every engine. Raises ModelError where one skips passes."""
    if not has_model(plan):
        raise ModelError("the cycles of engines that skip passes depend on membranes: this core has some; simulate it")
    return tuple(
        _engine_model(plan.network, folding, instance)
        for folding, instance in zip(plan.folding.engines, plan.engines, strict=True)
    )


def has_model(plan: Plan) -> bool:
    """Whether the cycles of a plan's engines depend on spikes alone: a pass is skipped by what the membranes are."""
    return not any(skips for engine in plan.engines for skips in _skips(engine))


def _skips(engine: EngineInstance) -> list[bool]:
    if isinstance(engine.form, LanesFormat):
        return [lane.neurons.skips for lane in engine.form.lanes]
    return [engine.form.neurons.skips]


def _engine_model(network: Network, folding: EngineFolding, instance: EngineInstance) -> EngineModel | VectorModel:
    form, image = instance.form, instance.image
    if isinstance(form, SparseFormat) and isinstance(image, SparseImage):
        return EngineModel(lanes=(_lane_model(form, image, np.arange(form.neurons.neurons)),), queue=0)
    if isinstance(form, LanesFormat) and isinstance(image, LanesImage):
        lanes = zip(form.lanes, image.lanes, lane_neurons(network, folding), strict=True)
        return EngineModel(lanes=tuple(_lane_model(*lane) for lane in lanes), queue=form.queue)
    assert isinstance(form, VectorFormat)
    return VectorModel(form)


def _lane_model(form: SparseFormat, image: SparseImage, chosen: IntArray) -> LaneModel:
    return LaneModel(
        rows=_rows(form.rows, image.rows),
        chunks=form.rows.row_chunks if isinstance(form.rows, BitmapFormat) else 0,
        bases=form.neurons.bases,
        neurons=form.neurons.neurons,
        overlaps=form.neurons.overlaps,
        chosen=chosen,
    )


def _rows(form: Rows, image: RowsImage) -> tuple[Posts, ...]:
    """The posts of each row, or of each chunk of each row."""
    if isinstance(form, RowFormat) and isinstance(image, RowImage):
        return tuple(_posts(form, image, row) for row in range(form.rows))
    assert isinstance(form, BitmapFormat)
    assert isinstance(image, BitmapImage)
    return tuple([*chunk] or [None] for row in range(form.rows) for chunk in chunk_posts(form, image, row))


def _posts(form: RowFormat, image: RowImage, row: int) -> Posts:
    posts: Posts = []
    start, length = find_row(form, image, row)
    post = first_post(form, row)
    for entry in image.entries[start : start + length]:
        index = entry >> form.code_bits
        post += index
        if form.escapes and index == (1 << form.index_bits) - 1:
            posts.append(None)
        else:
            posts.append(post)
            post += 1
    return posts


def run_lane(model: LaneModel, spikes: Spikes) -> Block:
    """A row walker and a neuron bank, of which neuron n fires in step t where `spikes[t, n]`.

    Each cycle it yields (whether it takes a token, the token that it offers or None) and is sent (the token that it
    took or None, whether its own was taken).
    """
    rows = model.rows
    several = len(model.bases) > 1
    first_output, last_neuron = model.bases[-1], model.neurons - 1
    ends = frozenset(base - 1 for base in model.bases[1:])
    fires = [frozenset(np.flatnonzero(step).tolist()) for step in spikes]
    # The walker's registers. That of bitmaps asks for a row's chunks one by one; the other one has a stage for entries.
    chunks = model.chunks
    asking: Token | None = None
    chunk = 0
    fetched: Token | None = None
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
    post = 0
    locked = several
    step = -1

    while True:
        is_event = w_kind == EVENT
        quiet = end == ABORT
        ready = (job == INTEGRATE or (several and is_event and not quiet)) and not (
            adding and is_event and post == w_post
        )
        advance = ready or not w_valid
        take = fetched is not None and (walk is None or (advance and place >= len(walk) - 1))
        ask = asking is not None and (fetched is None or take)
        if chunks:
            free = asking is None or (ask and (asking[0] != EVENT or chunk == chunks - 1))
        else:
            free = fetched is None or take
        idle = asking is None and fetched is None and walk is None and entry is None and not w_valid
        spiking = stage2 and spike
        if job == END:
            address = last_neuron
            offered = (end, last_neuron - first_output) if announce else None
        else:
            address = neuron2
            offered = (EVENT, neuron2 - first_output) if spiking else None
        leaves = not several or address >= first_output
        if not leaves:
            offered = None

        token, taken, _ = yield ALL * (free and not locked), offered

        release = False
        o_ready = taken if leaves else free and locked
        stall = spiking and not o_ready
        accept = w_valid and ready
        issue = job == PASS and not stall and not (several and is_event and w_valid)
        hold = stall or (several and adding)
        incoming = token
        if several:
            if locked:
                incoming = (EVENT, neuron2) if spiking and not leaves and free else None
            elif token is not None:
                incoming = (token[0], token[1] + first_output)
                if token[0] != EVENT:
                    locked = True

        # The bank.
        drained = job == DRAIN and not (stage1 or stage2 or adding)
        ended = job == END and (o_ready or not announce)
        asked = neuron
        if stall and stage1:
            neuron, job = neuron1, PASS
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
            job = END
        elif drained and idle:
            job = PASS
            release = neuron == first_output and model.overlaps
        if not hold:
            stage2 = stage1
            spike = stage1 and not quiet and neuron1 in fires[step]
            neuron2 = neuron1
        elif o_ready:
            spike = False
        stage1, neuron1 = issue, asked
        adding = accept and is_event
        if accept:
            post = w_post
            if not is_event:
                job, end, announce = PASS, w_kind, True
                step += 1
        if release:
            locked = False

        # The walker.
        if advance:
            walked = None if walk is None else (walk_end, walk[place])
            shown, entry = (walked, None) if chunks else (entry, walked)
            w_valid = shown is not None and (shown[1] is not None or shown[0] != EVENT)
            if shown is not None:
                w_kind, w_post = shown[0], shown[1] or 0
        if take:
            assert fetched is not None
            kind, row = fetched
            place = 0
            walk_end = kind
            walk = (rows[row] or None) if kind == EVENT else [0]
        elif walk is not None and advance:
            place += 1
            if place == len(walk):
                walk = None
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


def run_queue(depth: int) -> Block:
    """`hdl.token_queue.TokenQueue`."""
    waiting: deque[Token] = deque()  # in the memory
    shown: Token | None = None  # at the output
    while True:
        token, taken, _ = yield ALL * (len(waiting) < depth - 1), shown
        if shown is None or taken:
            shown = waiting.popleft() if waiting else None
        if token is not None:
            waiting.append(token)


# ---------------------------------------------------------------------------------------------------- streams


@dataclass
class _Fork:
    """`hdl.routing.Fork`, by the numbers of its streams."""

    source: int
    sinks: list[int]

    def __post_init__(self) -> None:
        self.done = [False] * len(self.sinks)

    def offer(self, offers: list[Token | None]) -> None:
        token = offers[self.source]
        for sink, done in zip(self.sinks, self.done, strict=True):
            offers[sink] = None if done else token

    def accept(self, offers: list[Token | None], readys: list[int]) -> None:
        given = [done or takes(readys[sink], offers[sink]) for sink, done in zip(self.sinks, self.done, strict=True)]
        readys[self.source] = ALL * all(given)
        if offers[self.source] is not None:
            self.done = [False] * len(given) if readys[self.source] else given


@dataclass
class _Merge:
    """`hdl.routing.Merge`, by the numbers of its streams."""

    sources: list[int]
    offsets: list[int]
    sink: int

    def __post_init__(self) -> None:
        self.kept = -1
        self.chosen = -1
        self.ended = False

    def offer(self, offers: list[Token | None]) -> None:
        tokens = [offers[source] for source in self.sources]
        events = [token is not None and token[0] == EVENT for token in tokens]
        self.ended = all(token is not None and not event for token, event in zip(tokens, events, strict=True))
        self.chosen = self.kept if self.kept >= 0 else events.index(True) if any(events) else -1
        chosen = tokens[self.chosen] if self.chosen >= 0 else None
        if chosen is not None:
            offers[self.sink] = (EVENT, chosen[1] + self.offsets[self.chosen])
        else:
            offers[self.sink] = tokens[0] if self.ended else None

    def accept(self, offers: list[Token | None], readys: list[int]) -> None:
        taken = takes(readys[self.sink], offers[self.sink])
        for number, source in enumerate(self.sources):
            readys[source] = ALL * (taken and (self.ended or number == self.chosen))
        self.kept = -1 if taken or self.ended else self.chosen


class _Circuit:
    """Blocks with registers, and the forks and merges between them, in an order in which each finds what it needs."""

    def __init__(self) -> None:
        self.streams = 0
        self.blocks: list[tuple[Block, int, int]] = []
        self.joints: list[_Fork | _Merge] = []

    def stream(self) -> int:
        self.streams += 1
        return self.streams - 1

    def block(self, block: Block, source: int) -> int:
        """A block that listens to `source`; returns the stream that it feeds."""
        self.blocks.append((block, source, self.stream()))
        return self.streams - 1

    def fork(self, source: int, count: int) -> list[int]:
        if count == 1:
            return [source]
        sinks = [self.stream() for _ in range(count)]
        self.joints.append(_Fork(source, sinks))
        return list(sinks)

    def merge(self, sources: list[int], sizes: Sequence[int]) -> int:
        if len(sources) == 1:
            return sources[0]
        offsets = [sum(sizes[:number]) for number in range(len(sizes))]
        self.joints.append(_Merge(sources, offsets, sink := self.stream()))
        return sink

    def run(self, entry: int, exit_: int, tokens: Iterable[Token]) -> int:
        """Cycles from the first token at `entry` to the END_OF_SAMPLE at `exit_`, which is always taken."""
        source = iter(tokens)
        offers: list[Token | None] = [None] * self.streams
        readys = [ALL] * self.streams
        offers[entry] = next(source, None)
        parts = [(block.send, inlet, outlet) for block, inlet, outlet in self.blocks]
        for block, inlet, outlet in self.blocks:
            readys[inlet], offers[outlet] = next(block)
        backwards = self.joints[::-1]
        first = -1
        for cycle in range(MAX_CYCLES):
            for joint in self.joints:
                joint.offer(offers)
            readys[exit_] = ALL
            for joint in backwards:
                joint.accept(offers, readys)
            leaving = offers[exit_]
            if leaving is not None and leaving[0] == END_OF_SAMPLE:
                return cycle - first + 1
            moves = []
            for _, inlet, outlet in parts:
                token = offers[inlet]
                accepted = token if takes(readys[inlet], token) else None
                moves.append((accepted, takes(readys[outlet], offers[outlet]), token))
            if takes(readys[entry], offers[entry]):
                first = cycle if first < 0 else first
                offers[entry] = next(source, None)
            for (send, inlet, outlet), move in zip(parts, moves, strict=True):
                readys[inlet], offers[outlet] = send(move)
        raise AssertionError("a core ends every sample")


def _engine(circuit: _Circuit, model: EngineModel | VectorModel, spikes: Spikes, inlet: int) -> int:
    """An engine that listens to a stream; returns the one that it feeds."""
    if isinstance(model, VectorModel):
        return circuit.block(run_vector(model, spikes), inlet)
    outlets = []
    for lane, source in zip(model.lanes, circuit.fork(inlet, len(model.lanes)), strict=True):
        tokens = circuit.block(run_queue(model.queue), source) if model.queue else source
        outlets.append(circuit.block(run_lane(lane, spikes[:, lane.chosen]), tokens))
    return circuit.merge(outlets, [lane.neurons for lane in model.lanes])


def count_core_cycles(
    plan: Plan, models: Sequence[EngineModel | VectorModel], tokens: Iterable[Token], spikes: Sequence[Spikes]
) -> int:
    """Cycles from the first of `tokens` in to the END_OF_SAMPLE out, of a core after reset that nothing stalls.

    `models` are those of the plan's engines, `spikes` [steps, neurons] those of each engine's neurons, all of its
    populations concatenated.
    """
    circuit = _Circuit()
    heard = [source for instance in plan.engines for source in instance.sources]
    output = next(layer.engine for layer in plan.layers if layer.population == plan.network.output)
    entry = circuit.stream()
    sizes = {CORE_INPUT: plan.network.input_size}
    ports = {CORE_INPUT: circuit.fork(entry, heard.count(CORE_INPUT))}
    exit_ = -1
    for number, (instance, model, trains) in enumerate(zip(plan.engines, models, spikes, strict=True)):
        inlets = [ports[source].pop() for source in instance.sources]
        inlet = circuit.merge(inlets, [sizes[source] for source in instance.sources])
        outlet = _engine(circuit, model, trains, inlet)
        sizes[number] = instance.form.outputs
        ports[number] = circuit.fork(outlet, max(1, heard.count(number) + (number == output)))
        if number == output:
            exit_ = ports[number].pop()
    return circuit.run(entry, exit_, tokens)

"""A core, cycle by cycle, in plain Python: its row walkers, neuron banks, forks and merges without their arithmetic.

The spikes are known beforehand, so all that is left are the handshakes and the counters. Each part holds the registers
of its component in `spikeloom.hdl` under the same names and gives the same cycle counts as Amaranth's simulator, some
hundred times faster. In this hardware `ready` never waits for `valid`, so a cycle is: every engine shows what its
registers say, the streams between them follow, every engine takes its step.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..hdl.core import CORE_INPUT, EngineInstance
from ..hdl.row_format import RowFormat, RowImage
from .encode import find_row, first_post
from .plan import Plan

EVENT, END_OF_STEP, END_OF_SAMPLE, ABORT = range(4)
"""The numbers of `spikeloom.hdl.tokens.TokenKind`."""
INTEGRATE, PASS, DRAIN, END = range(4)

Token = tuple[int, int]
"""A kind and an address."""

Posts = list[int | None]
"""The post neuron of each entry of a row; None for an entry that only bridges a gap."""

_Engine = Generator[tuple[bool, Token | None], tuple[Token | None, bool], None]

MAX_CYCLES = 50_000_000
"""After so many cycles a core that has not finished is given up."""


@dataclass(frozen=True, eq=False)
class EngineModel:
    """What the cycles of an engine depend on.

    `rows` has the posts of each row, `end_posts` the post neuron that the walker shows beside an end with that address.
    """

    rows: tuple[Posts, ...]
    end_posts: tuple[int, ...]
    bases: tuple[int, ...]
    neurons: int
    overlaps: bool


def engine_model(instance: EngineInstance) -> EngineModel:
    """The model of one engine of a plan."""
    form, image, neurons = instance.form.rows, instance.image.rows, instance.form.neurons
    found = [find_row(form, image, row) for row in range(form.rows)]
    return EngineModel(
        rows=tuple(_posts(form, image, row, start, length) for row, (start, length) in enumerate(found)),
        end_posts=tuple(_end_post(form, image, row, start) for row, (start, _) in enumerate(found)),
        bases=neurons.bases,
        neurons=neurons.neurons,
        overlaps=neurons.overlaps,
    )


def _posts(form: RowFormat, image: RowImage, row: int, start: int, length: int) -> Posts:
    posts: Posts = []
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


def _end_post(form: RowFormat, image: RowImage, row: int, start: int) -> int:
    """Ends walk one entry too, that which their address points at."""
    entry = image.entries[start] if start < len(image.entries) else 0
    wide = max(1, (form.post - 1).bit_length())
    return (first_post(form, row) + (entry >> form.code_bits)) & ((1 << wide) - 1)


def run_engine(model: EngineModel, spikes: np.ndarray) -> _Engine:
    """An engine of which neuron n fires in step t where `spikes[t, n]`.

    Each cycle it yields (whether it takes a token, the token that it offers or None) and is sent (the token that it
    took or None, whether its own was taken).
    """
    rows, end_posts = model.rows, model.end_posts
    several = len(model.bases) > 1
    first_output, last_neuron = model.bases[-1], model.neurons - 1
    ends = frozenset(base - 1 for base in model.bases[1:])
    fires = [frozenset(np.flatnonzero(step).tolist()) for step in spikes]
    # The walker's registers.
    fetched: Token | None = None
    walk: Posts | None = None  # the row under way
    walk_end = 0  # the kind, where it is an end
    place = 0
    entry_valid, entry_kind, entry_post = False, 0, 0
    w_valid, w_kind, w_post = False, 0, 0
    bubble = False
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
        ready = (job == INTEGRATE or (several and is_event and not quiet)) and not (adding and post == w_post)
        advance = ready or not w_valid
        take = fetched is not None and (walk is None or (advance and place >= len(walk) - 1))
        free = fetched is None or take
        idle = fetched is None and walk is None and not entry_valid and not w_valid
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

        token, taken = yield free and not locked, offered

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
            w_valid = entry_valid and not (bubble and entry_kind == EVENT)
            if entry_valid:
                w_kind, w_post = entry_kind, entry_post
            entry_valid = walk is not None
            if walk is not None:
                entry_kind = walk_end
                next_post = walk[place]
                bubble = next_post is None
                entry_post = 0 if next_post is None else next_post
        if take:
            assert fetched is not None
            kind, row = fetched
            place = 0
            walk_end = kind
            walk = (rows[row] or None) if kind == EVENT else [end_posts[row]]
        elif walk is not None and advance:
            place += 1
            if place == len(walk):
                walk = None
        if free:
            fetched = incoming


def count_core_cycles(
    plan: Plan, models: Sequence[EngineModel], tokens: Sequence[Token], spikes: Sequence[np.ndarray]
) -> int:
    """Cycles from the first of `tokens` in to the END_OF_SAMPLE out, of a core after reset that nothing stalls.

    `models` are those of the plan's engines, `spikes` [steps, neurons] those of each engine's neurons, all of its
    populations concatenated.
    """
    engines = [run_engine(model, trains) for model, trains in zip(models, spikes, strict=True)]
    if [instance.sources for instance in plan.engines] == [(number - 1,) for number in range(len(engines))]:
        return _count_chain(engines, tokens)
    return _Network(plan, engines).run(tokens)


def _count_chain(engines: Sequence[_Engine], tokens: Iterable[Token]) -> int:
    """Engines each of which feeds the next; the general case is several times slower."""
    source = iter(tokens)
    token = next(source, None)
    views = [next(engine) for engine in engines]
    first = -1
    for cycle in range(MAX_CYCLES):
        offered = views[-1][1]
        if offered is not None and offered[0] == END_OF_SAMPLE:
            return cycle - first + 1
        at_input = token
        if views[0][0] and token is not None:
            first = cycle if first < 0 else first
            token = next(source, None)
        readys = [view[0] for view in views[1:]]
        inputs = [at_input, *(view[1] for view in views[:-1])]
        views = [
            engine.send((arriving if view[0] else None, taken))
            for engine, view, arriving, taken in zip(engines, views, inputs, (*readys, True), strict=True)
        ]
    raise AssertionError("a core ends every sample")


class _Network:
    """Several engines and the streams between them."""

    def __init__(self, plan: Plan, engines: Sequence[_Engine]) -> None:
        self.engines = engines
        self.sources = [instance.sources for instance in plan.engines]
        sizes = {CORE_INPUT: plan.network.input_size}
        sizes |= {number: instance.form.outputs for number, instance in enumerate(plan.engines)}
        self.offsets = [
            [sum(sizes[before] for before in sources[:port]) for port in range(len(sources))]
            for sources in self.sources
        ]
        self.output = next(layer.engine for layer in plan.layers if layer.population == plan.network.output)
        listeners: dict[int, list[tuple[int, int] | None]] = {source: [] for source in sizes}
        for number, sources in enumerate(self.sources):
            for port, source in enumerate(sources):
                listeners[source].append((number, port))
        listeners[self.output].append(None)  # the core's own output, which never waits
        self.listeners = listeners
        self.done = {source: [False] * len(sinks) for source, sinks in listeners.items()}

    def run(self, tokens: Sequence[Token]) -> int:
        views = [next(engine) for engine in self.engines]
        place, first = 0, -1
        for cycle in range(MAX_CYCLES):
            offered = {number: view[1] for number, view in enumerate(views)}
            offered[CORE_INPUT] = tokens[place] if place < len(tokens) else None
            inputs, heard = self._merge(offered, [view[0] for view in views])
            taken, at_output = self._deliver(offered, heard)
            if at_output and offered[self.output][0] == END_OF_SAMPLE:  # type: ignore[index]
                return cycle - first + 1
            if taken[CORE_INPUT] and offered[CORE_INPUT] is not None:
                first = cycle if first < 0 else first
                place += 1
            views = [engine.send((inputs[n], taken[n])) for n, engine in enumerate(self.engines)]
        raise AssertionError("a core ends every sample")

    def _merge(
        self, offered: dict[int, Token | None], ready: Sequence[bool]
    ) -> tuple[list[Token | None], set[tuple[int, int]]]:
        """What each engine takes, and at which of its ports."""
        inputs: list[Token | None] = []
        heard: set[tuple[int, int]] = set()
        for number, sources in enumerate(self.sources):
            waiting = [self._visible(source, number, port, offered) for port, source in enumerate(sources)]
            inputs.append(None)
            if len(sources) == 1:
                if ready[number]:
                    heard.add((number, 0))
                    inputs[-1] = waiting[0]
                continue
            if all(token is not None and token[0] != EVENT for token in waiting):
                if ready[number]:
                    heard |= {(number, port) for port in range(len(sources))}
                    assert waiting[0] is not None
                    inputs[-1] = (waiting[0][0], 0)
                continue
            for port, token in enumerate(waiting):
                if token is not None and token[0] == EVENT:
                    if ready[number]:
                        heard.add((number, port))
                        inputs[-1] = (EVENT, token[1] + self.offsets[number][port])
                    break
        return inputs, heard

    def _visible(self, source: int, number: int, port: int, offered: dict[int, Token | None]) -> Token | None:
        """What a port sees of its source: nothing once a fork has given it the token."""
        return None if self.done[source][self.listeners[source].index((number, port))] else offered[source]

    def _deliver(self, offered: dict[int, Token | None], heard: set[tuple[int, int]]) -> tuple[dict[int, bool], bool]:
        """Whether each source's token is taken by all who listen, and whether the core's output takes one now."""
        taken: dict[int, bool] = {}
        at_output = False
        for source, sinks in self.listeners.items():
            done = self.done[source]
            now = [
                (sink is None or sink in heard) and not before and offered[source] is not None
                for sink, before in zip(sinks, done, strict=True)
            ]
            if source == self.output:
                at_output = now[sinks.index(None)]
            together = [a or b for a, b in zip(done, now, strict=True)]
            taken[source] = all(together)
            if offered[source] is not None:
                self.done[source] = [False] * len(sinks) if taken[source] else together
        return taken, at_output

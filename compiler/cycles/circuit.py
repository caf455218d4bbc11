"""Blocks with registers and what joins them, moved cycle by cycle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...hdl.errors import MismatchError
from .tokens import ALL, END_OF_SAMPLE, ENDS, EVENT, EVENTS, Aside, Block, Token, takes

MAX_CYCLES = 50_000_000
"""After so many cycles a sample that has not ended is given up."""


@dataclass
class _Fork:
    """`spikeloom.hdl.streams.routing.Fork`, by the numbers of its streams."""

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
    """`spikeloom.hdl.streams.routing.Merge`, by the numbers of its streams."""

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


@dataclass
class _Filter:
    """`spikeloom.hdl.streams.routing.Filter` of no events, by the numbers of its streams: ends pass."""

    source: int
    sink: int

    def offer(self, offers: list[Token | None]) -> None:
        token = offers[self.source]
        offers[self.sink] = None if token is None or token[0] == EVENT else token

    def accept(self, offers: list[Token | None], readys: list[int]) -> None:
        readys[self.source] = EVENTS | (readys[self.sink] & ENDS)


class Circuit:
    """Blocks with registers, and the forks and merges between them, in an order in which each finds what it needs."""

    def __init__(self) -> None:
        self.streams = 0
        self.blocks: list[tuple[Block, int, int]] = []
        self.joints: list[_Fork | _Merge | _Filter] = []
        self.asides: dict[int, tuple[Aside, int]] = {}

    def stream(self) -> int:
        self.streams += 1
        return self.streams - 1

    def block(self, block: Block, source: int) -> int:
        """A block that listens to `source`; returns the stream that it feeds."""
        self.blocks.append((block, source, self.stream()))
        return self.streams - 1

    def closed(self, block: Block, source: int, sink: int) -> None:
        """A block between two streams, of which `sink` was there first: what closes a loop."""
        self.blocks.append((block, source, sink))

    def aside(self, outlet: int, shown: Aside) -> None:
        """A second stream of the block that feeds `outlet`: it shows its tokens there."""
        self.asides[outlet] = (shown, self.stream())

    def ends(self, source: int) -> int:
        """The ends of a stream."""
        self.joints.append(_Filter(source, sink := self.stream()))
        return sink

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

    def run(self, entry: int, exit_: int, tokens: Iterable[Token], patience: int) -> int:
        """Cycles from the first token at `entry` to the END_OF_SAMPLE at `exit_`, which is always taken.

        Raises MismatchError where no token moves for `patience` cycles, or after MAX_CYCLES.
        """
        source = iter(tokens)
        offers: list[Token | None] = [None] * self.streams
        readys = [ALL] * self.streams
        offers[entry] = next(source, None)
        parts = [(block.send, inlet, outlet) for block, inlet, outlet in self.blocks]
        asides = list(self.asides.values())
        for block, inlet, outlet in self.blocks:
            readys[inlet], offers[outlet] = next(block)
        backwards = self.joints[::-1]
        first, last_move = -1, 0
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
                if accepted is not None:
                    last_move = cycle
                moves.append((accepted, takes(readys[outlet], offers[outlet]), token))
            if takes(readys[entry], offers[entry]):
                first = cycle if first < 0 else first
                offers[entry] = next(source, None)
            for shown, told in asides:
                shown.taken = takes(readys[told], offers[told])
            for (send, inlet, outlet), move in zip(parts, moves, strict=True):
                readys[inlet], offers[outlet] = send(move)
            for shown, told in asides:
                offers[told] = shown.token
            if cycle - last_move > patience:
                raise MismatchError(f"a core ends every sample: nothing has moved for {patience} cycles; it hangs")
        raise MismatchError(
            f"a sample ends within {MAX_CYCLES:,} cycles to be counted: this one does not; cut it short"
        )

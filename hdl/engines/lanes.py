"""Lanes: the neurons of one population spread over several engines that work side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape
from ..memories.spram import SpramShape
from ..streams.routing import Fork, Merge
from ..streams.token_queue import TokenQueue
from ..streams.tokens import token_layout
from .engine import SparseContents, SparseFormat
from .format import EngineFormat


@dataclass(frozen=True, kw_only=True)
class LanesFormat(EngineFormat):
    """Engines of one population each, over the same inputs; their neurons are concatenated.

    Each lane may lag `queue` events behind the fastest, so that a step takes as long as the lane with most synapses and
    not the sum over events of the longest row. It is a power of two; 0 spares the queues.
    """

    lanes: tuple[SparseFormat, ...]
    queue: int

    @property
    def inputs(self) -> int:
        return self.lanes[0].inputs

    @property
    def outputs(self) -> int:
        return sum(lane.outputs for lane in self.lanes)

    @property
    def input_layout(self) -> data.StructLayout:
        return token_layout(self.inputs)

    @property
    def monitors(self) -> tuple[wiring.Signature, ...]:
        """One per lane."""
        return tuple(monitor for lane in self.lanes for monitor in lane.monitors)

    def memories(self, family: Family) -> dict[str, MemoryShape | SpramShape]:
        """Every memory of every lane by its role."""
        shapes: dict[str, MemoryShape | SpramShape] = {}
        for number, lane in enumerate(self.lanes):
            shapes |= {f"{role}{number}": shape for role, shape in lane.memories(family).items()}
            if self.queue:
                shapes[f"queue{number}"] = self.queue_memory(family)
        return shapes

    def queue_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, self.queue, self.input_layout.size, writable=True)

    def stored(self, contents: LanesContents) -> dict[str, tuple[int, ...]]:
        return {
            f"{role}{number}": words
            for number, (lane, held) in enumerate(zip(self.lanes, contents.lanes, strict=True))
            for role, words in lane.stored(held).items()
        }

    def with_stored(self, contents: LanesContents, words: Mapping[str, tuple[int, ...]]) -> LanesContents:
        lanes = []
        for number, (lane, held) in enumerate(zip(self.lanes, contents.lanes, strict=True)):
            own = {role: words[f"{role}{number}"] for role in lane.stored(held) if f"{role}{number}" in words}
            lanes.append(lane.with_stored(held, own))
        return LanesContents(lanes=tuple(lanes))

    def create(self, contents: LanesContents, family: Family) -> Lanes:
        return Lanes(self, contents, family)

    def traced(self) -> LanesFormat:
        """The same lanes, whose monitors see every neuron in every step."""
        return replace(self, lanes=tuple(lane.traced() for lane in self.lanes))


@dataclass(frozen=True, kw_only=True)
class LanesContents:
    """What the memories of each lane hold."""

    lanes: tuple[SparseContents, ...]


class Lanes(wiring.Component):
    """Turns the events of the inputs into the spikes of all lanes' neurons.

    =========== === ===================================
    Port        Dir Meaning
    =========== === ===================================
    i           in  stream of tokens over the inputs
    o           out stream of tokens over the neurons
    trace0, ... out monitor of each lane (see SparseEngine)
    =========== === ===================================

    A step takes as long as its slowest lane (see SparseEngine), plus 2, if no lane lags more than `queue` events
    behind.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: LanesFormat, contents: LanesContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(form.input_layout)),
            "o": Out(stream.Signature(token_layout(form.outputs))),
        }
        super().__init__(ports | {f"trace{number}": Out(monitor) for number, monitor in enumerate(form.monitors)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        m.submodules.fork = fork = Fork(form.inputs, len(form.lanes))
        m.submodules.merge = merge = Merge([lane.outputs for lane in form.lanes])
        wiring.connect(m, wiring.flipped(self.i), fork.i)
        wiring.connect(m, merge.o, wiring.flipped(self.o))
        for number, (lane, contents) in enumerate(zip(form.lanes, self._contents.lanes, strict=True)):
            engine = lane.create(contents, self._family)
            m.submodules[f"lane{number}"] = engine
            self._queue(m, number, getattr(fork, f"o{number}"), engine.i)
            wiring.connect(m, engine.o, getattr(merge, f"i{number}"))
            wiring.connect(m, engine.trace0, wiring.flipped(getattr(self, f"trace{number}")))
        return m

    def _queue(self, m: Module, number: int, source: stream.Interface, sink: stream.Interface) -> None:
        """Connect a lane through its queue."""
        if not self._format.queue:
            wiring.connect(m, source, sink)
            return
        queue = TokenQueue(self._format.input_layout, self._format.queue_memory(self._family))
        m.submodules[f"queue{number}"] = queue
        wiring.connect(m, source, queue.i)
        wiring.connect(m, queue.o, sink)

"""Spikes that come back: into the population that they came from, or into one whose pass is over, for the next step."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Const, Module, Mux, Signal
from amaranth.hdl import Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape
from ..neurons.neuron_format import NeuronFormat
from ..streams.token_queue import TokenQueue
from ..streams.tokens import TokenKind, address_bits, token_layout


def queue_depth(neurons: NeuronFormat, waiting: tuple[int, ...]) -> int:
    """How many spikes can wait: as many as the largest population that is `waiting` can have in a step, at least."""
    fired = [neurons.populations[number] for number in waiting]
    longest = max(population.neurons * population.rule.most_spikes for population in fired)
    return 1 << max(1, (longest - 1).bit_length())


def queue_memory(neurons: NeuronFormat, waiting: tuple[int, ...], family: Family) -> MemoryShape:
    """The queue of the spikes that wait."""
    return MemoryShape(family, queue_depth(neurons, waiting), address_bits(neurons.neurons), writable=True)


class ReturnPath(wiring.Component):
    """Where the spikes of an engine go, some of which return.

    ======= === ============================================================================
    Port    Dir Meaning
    ======= === ============================================================================
    spikes  in  stream of tokens over the neurons, from the bank
    i       in  stream of tokens over the inputs
    walk    out stream of tokens over the rows: those of the first `own` neurons, then the inputs
    o       out stream of tokens over the neurons of the last population, or of its membranes
    release in  the next step's input may come
    waits   in  a pass is over (see NeuronBank)
    idle    out nothing waits here
    ======= === ============================================================================

    After its pass a neuron's state word is the start of the next step, so a spike may be integrated at once into any
    population whose pass is over. Only spikes into their own population wait, until its pass is over: in a queue that
    holds all that a pass can have. They then walk one row each, with what goes on to later populations in the same row.
    What a sample's last step leaves to the next one is dropped by the bank. Spikes of neurons that have no row go
    nowhere, unless they leave. So a step edge of one step costs no more cycles than its synapses, and keeps nothing
    from step to step.

    Latency 0 cycles, 2 of a spike that waits. A spike that both leaves and walks is taken when both are done.
    """

    spikes: stream.Interface
    i: stream.Interface
    walk: stream.Interface
    o: stream.Interface
    release: Signal
    waits: Signal
    idle: Signal

    def __init__(self, inputs: int, neurons: NeuronFormat, own: int, waiting: tuple[int, ...], family: Family) -> None:
        self._inputs = inputs
        self._neurons = neurons
        self._own = own
        self._waiting = waiting
        self._family = family
        super().__init__(
            {
                "spikes": In(stream.Signature(neurons.output_layout)),
                "i": In(stream.Signature(token_layout(inputs))),
                "walk": Out(stream.Signature(token_layout(own + inputs))),
                "o": Out(stream.Signature(neurons.layout_of(neurons.populations[-1].neurons))),
                "release": In(1),
                "waits": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        offered, taken = Signal(), Signal()  # a spike that returns, and whether the queue or the walker takes it
        self._send(m, offered, taken)
        self._walk(m, offered, taken)
        return m

    def _send(self, m: Module, offered: Signal, taken: Signal) -> None:
        """Spikes of the last population and ends leave; which spikes return is known from their number."""
        spikes, first_output = self.spikes, self._neurons.bases[-1]
        is_event = spikes.payload.kind == TokenKind.EVENT
        leaves = ~is_event | (spikes.payload.address >= first_output)
        walks = is_event & (spikes.payload.address < self._own) if self._own < self._neurons.neurons else is_event
        m.d.comb += [
            self.o.payload.kind.eq(spikes.payload.kind),
            self.o.payload.address.eq(spikes.payload.address - first_output),
        ]
        if self._neurons.gives_membranes:
            m.d.comb += [self.o.payload.last.eq(spikes.payload.last), self.o.payload.value.eq(spikes.payload.value)]
        if not self._neurons.last_returns:
            m.d.comb += [
                self.o.valid.eq(spikes.valid & leaves),
                offered.eq(spikes.valid & walks),
                spikes.ready.eq(Mux(leaves, self.o.ready, ~walks | taken)),
            ]
            return
        left, returned = Signal(), Signal()  # of a spike that does both: what is done already
        gone, back = Signal(), Signal()
        m.d.comb += [
            self.o.valid.eq(spikes.valid & leaves & ~left),
            offered.eq(spikes.valid & walks & ~returned),
            gone.eq(~leaves | left | self.o.ready),
            back.eq(~walks | returned | taken),
            spikes.ready.eq(gone & back),
        ]
        with m.If(spikes.valid):
            m.d.sync += [left.eq(leaves & gone & ~back), returned.eq(walks & back & ~gone)]

    def _walk(self, m: Module, offered: Signal, taken: Signal) -> None:
        """Until the next step's input may come, spikes walk: at once, or when the pass that they came from is over."""
        locked = Signal(init=1)
        waits = self._queued(self.spikes.payload.address)
        queue = self._queue(m, offered & waits)
        with m.If(locked):
            m.d.comb += [
                self.walk.payload.kind.eq(TokenKind.EVENT),
                self.walk.payload.address.eq(self.spikes.payload.address),
                self.walk.valid.eq(offered & ~waits),
                taken.eq(self.walk.ready),
            ]
            if queue is not None:
                with m.If(waits):
                    m.d.comb += taken.eq(queue.i.ready)
                with m.If(self.waits):
                    m.d.comb += [
                        self.walk.payload.address.eq(queue.o.payload.address),
                        self.walk.valid.eq(queue.o.valid),
                        queue.o.ready.eq(self.walk.ready),
                    ]
        with m.Else():
            m.d.comb += [
                self.walk.valid.eq(self.i.valid),
                self.walk.payload.kind.eq(self.i.payload.kind),
                self.walk.payload.address.eq(self.i.payload.address + self._own),
                self.i.ready.eq(self.walk.ready),
            ]
            with m.If(self.i.valid & self.i.ready & (self.i.payload.kind != TokenKind.EVENT)):
                m.d.sync += locked.eq(1)
        with m.If(self.release):
            m.d.sync += locked.eq(0)

    def _queue(self, m: Module, comes: Value) -> TokenQueue | None:
        if not self._waiting:
            m.d.comb += self.idle.eq(1)
            return None
        shape = queue_memory(self._neurons, self._waiting, self._family)
        layout = data.StructLayout({"address": unsigned(shape.width)})
        m.submodules.queue = queue = TokenQueue(layout, shape, tells=True)
        m.d.comb += [
            queue.i.valid.eq(comes),
            queue.i.payload.address.eq(self.spikes.payload.address),
            self.idle.eq(queue.empty),
        ]
        return queue

    def _queued(self, address: Value) -> Value:
        """Whether a spike that returns waits."""
        neurons = self._neurons
        walking = {number for number, base in enumerate(neurons.bases) if base < self._own}
        if walking <= set(self._waiting):
            return Const(1)
        parts = [(address >= neurons.bases[n]) & (address < neurons.ends[n]) for n in self._waiting]
        return reduce(or_, parts, Const(0, 1))

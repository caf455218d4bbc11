"""Max pooling of spikes in front of an engine: the first spike of a window in a step goes on, the others are taken out.

Where a neuron may spike several times in a step, a window's maximum is the largest number of spikes that one of its
neurons had: what goes on is a spike each time that this grows.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory
from ..streams.tokens import TokenKind, token_layout
from .tap_format import TapContents, TapFormat
from .taps import TapGenerator


@dataclass(frozen=True, kw_only=True)
class SpikePoolFormat:
    """What becomes of events over `taps.addresses`: they pass, under the same address, and are pooled in windows.

    The `taps` of an event are its address, where it passes, and then for each pooling: where neurons spike several
    times its own count, and its windows. Windows are the addresses from `taps.addresses` on, as many as `windows`, and
    counts those behind them. A window's number and a count are up to `most`.
    """

    taps: TapFormat
    windows: int
    counts: int
    most: int

    @property
    def passing(self) -> int:
        """The addresses that pass."""
        return self.taps.addresses

    @property
    def outputs(self) -> int:
        """The addresses that come out."""
        return self.passing + self.windows

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """The memories by their role: `pool` has a word for each window and count, the others are those of the taps."""
        pool = MemoryShape(family, self.windows + self.counts, self.most.bit_length(), writable=True)
        return {"pool": pool} | {f"pool_{role}": shape for role, shape in self.taps.memories(family).items()}


class SpikePool(wiring.Component):
    """Pools spikes by maxima.

    ==== === ============================================
    Port Dir Meaning
    ==== === ============================================
    i    in  stream of tokens over the addresses
    o    out stream of tokens over the outputs
    idle out no token is under way
    ==== === ============================================

    Latency 5 cycles and what finding a place takes (see TapGenerator); two cycles for each window, count and event that
    passes. At an end after events that were pooled one cycle more for each window and count, which are cleared: a step
    without events costs nothing. They are cleared after a reset, too.
    """

    i: stream.Interface
    o: stream.Interface
    idle: Signal

    def __init__(self, form: SpikePoolFormat, contents: TapContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(form.taps.addresses))),
                "o": Out(stream.Signature(token_layout(form.outputs))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        m.submodules.taps = taps = TapGenerator(form.taps, self._contents, self._family)
        m.submodules.pool = pool = ShapedMemory(form.memories(self._family)["pool"], transparent=False)
        wiring.connect(m, wiring.flipped(self.i), taps.i)

        held, kind, address = Signal(), Signal(TokenKind), Signal.like(taps.o.payload.address)
        clearing, dirty = Signal(init=1), Signal(init=1)
        word = Signal(range(form.windows + form.counts))
        done, take = Signal(), Signal()
        is_end = kind != TokenKind.EVENT
        is_pooled = ~is_end & (address >= form.passing)
        is_count = ~is_end & (address >= form.outputs) if form.counts else Const(0, 1)
        spikes, rises = self._compare(m, pool.read_data, is_pooled & is_count, held)
        m.d.comb += [
            take.eq(taps.o.valid & ~held & ~clearing),
            taps.o.ready.eq(~held & ~clearing),
            self.o.valid.eq(held & ~clearing & Mux(is_end, ~dirty, ~is_pooled | (~is_count & rises))),
            self.o.payload.kind.eq(kind),
            self.o.payload.address.eq(address),
            done.eq(held & ~clearing & ((is_pooled & (is_count | ~rises)) | (self.o.valid & self.o.ready))),
            self.idle.eq(taps.idle & ~held & ~clearing),
        ]
        with m.If(take):
            m.d.sync += [
                held.eq(1),
                kind.eq(taps.o.payload.kind),
                address.eq(taps.o.payload.address),
                word.eq(taps.o.payload.address - form.passing),
            ]
        with m.If(done):
            m.d.sync += held.eq(0)

        ends = held & is_end & dirty & ~clearing
        m.d.comb += [
            pool.read_address.eq(taps.o.payload.address - form.passing),
            pool.read_enable.eq(take),
            pool.write_address.eq(word),
            pool.write_data.eq(Mux(clearing, 0, spikes)),
            pool.write_enable.eq(clearing | (done & is_pooled & (is_count | rises))),
        ]
        with m.If(done & is_pooled):
            m.d.sync += dirty.eq(1)
        with m.If(ends):
            m.d.sync += [clearing.eq(1), word.eq(0)]
        with m.If(clearing):
            m.d.sync += word.eq(word + 1)
            with m.If(word == form.windows + form.counts - 1):
                m.d.sync += [clearing.eq(0), dirty.eq(0)]
        return m

    def _compare(self, m: Module, stored: Value, counts: Value, held: Value) -> tuple[Value, Value]:
        """The spikes of the event's neuron so far, and whether a window has had fewer."""
        if not self._format.counts:
            return Const(1, 1), ~stored[0]
        count = Signal.like(stored)
        grown = Cat((stored + 1)[: len(stored)])
        with m.If(held & counts):
            m.d.sync += count.eq(grown)
        return Mux(counts, grown, count), stored < count

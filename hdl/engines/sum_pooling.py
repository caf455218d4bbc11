"""Max pooling of currents, between a row walker and its bank: sums of a step are collected, and at its end the largest
of each window is what its neuron gets."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory
from ..streams.contribution import contribution_layout
from ..streams.tokens import TokenKind, address_bits
from .tap_format import TapContents, TapFormat
from .taps import TapGenerator


class _Job(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]
    """What the memory of sums is used for."""

    CLEAR = 0
    ADD = 1
    POOL = 2


@dataclass(frozen=True, kw_only=True)
class SumPoolFormat:
    """Sums that are pooled: contributions to the addresses from `neurons` on, `sums` of them, of `sum_bits`.

    `windows` are events for which the `taps` give rows: the window's own, `sums` and more by the number of its neuron,
    and then those of the sums in it.
    """

    neurons: int
    sums: int
    sum_bits: int
    weight_bits: int
    windows: int
    taps: TapFormat

    @property
    def addresses(self) -> int:
        """What contributions may be for."""
        return self.neurons + self.sums

    @property
    def pooled_bits(self) -> int:
        """The width of a contribution behind it."""
        return max(self.weight_bits, self.sum_bits)

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """The memories by their role: `sums`, and those of the taps."""
        sums = MemoryShape(family, self.sums, self.sum_bits, writable=True)
        return {"sums": sums} | {f"sums_{role}": shape for role, shape in self.taps.memories(family).items()}


class SumPool(wiring.Component):
    """Pools sums of a step by maxima.

    ==== === =====================================================================
    Port Dir Meaning
    ==== === =====================================================================
    i    in  stream of contributions over the neurons and, behind them, the sums
    o    out stream of contributions over the neurons
    ==== === =====================================================================

    Latency 0 cycles for what is not pooled. Throughput one contribution per cycle, but two cycles apart where two in a
    row go to one sum. The end of a step in which any came to a sum waits for a cycle for each window and each sum in
    one, and one for each sum, which is cleared: a step without any costs nothing, as all maxima are 0. After a reset
    and in an ABORT sums are cleared.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: SumPoolFormat, contents: TapContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(contribution_layout(form.addresses, form.weight_bits))),
                "o": Out(stream.Signature(contribution_layout(form.neurons, form.pooled_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form, beat = self._format, self.i.payload
        m.submodules.sums = sums = ShapedMemory(form.memories(self._family)["sums"], transparent=False)
        m.submodules.taps = taps = TapGenerator(form.taps, self._contents, self._family)

        job, dirty = Signal(_Job, init=_Job.CLEAR), Signal(init=1)
        place = Signal(range(form.sums))  # the sum that is added to, or cleared
        adding, weight = Signal(), Signal(signed(form.weight_bits))
        is_event = beat.kind == TokenKind.EVENT
        is_sum = is_event & (beat.post >= form.neurons)
        passes = (job == _Job.ADD) & ~is_sum & (is_event | (~dirty & ~adding))
        collides = adding & (place == (beat.post - form.neurons)[: len(place)])
        emits, offered = self._pool(m, sums, taps, job)
        accepts = (job == _Job.ADD) & self.i.valid & is_sum & ~collides
        m.d.comb += [
            self.o.valid.eq((self.i.valid & passes) | emits),
            self.o.payload.kind.eq(Mux(emits, TokenKind.EVENT, beat.kind)),
            self.o.payload.post.eq(Mux(emits, offered[0], beat.post)),
            self.o.payload.weight.eq(Mux(emits, offered[1], beat.weight)),
            self.i.ready.eq(Mux(passes, self.o.ready, (job == _Job.ADD) & is_sum & ~collides)),
        ]
        m.d.sync += adding.eq(accepts)
        with m.If(accepts):
            m.d.sync += [place.eq(beat.post - form.neurons), weight.eq(beat.weight), dirty.eq(1)]
        m.d.comb += [
            sums.write_address.eq(place),
            sums.write_data.eq(Mux(adding, sums.read_data.as_signed() + weight, 0)),
            sums.write_enable.eq(adding | (job == _Job.CLEAR)),
            sums.read_enable.eq(accepts | (taps.o.valid & taps.o.ready)),
            sums.read_address.eq(Mux(job == _Job.ADD, beat.post - form.neurons, taps.o.payload.address)),
        ]
        with m.If((job == _Job.ADD) & self.i.valid & ~is_event & dirty & ~adding):
            m.d.sync += [job.eq(Mux(beat.kind == TokenKind.ABORT, _Job.CLEAR, _Job.POOL)), place.eq(0)]
        with m.If(job == _Job.CLEAR):
            m.d.sync += place.eq(place + 1)
            with m.If(place == form.sums - 1):
                m.d.sync += [job.eq(_Job.ADD), dirty.eq(0)]
        return m

    def _pool(
        self, m: Module, sums: ShapedMemory, taps: TapGenerator, job: Signal
    ) -> tuple[Value, tuple[Value, Value]]:
        """Window by window the largest of its sums; gives whether one is offered, and its neuron and value."""
        form = self._format
        asked = Signal(range(form.windows + 2))  # windows, then an end
        held, ends = Signal(), Signal()
        row = Signal(address_bits(form.taps.rows))
        some = Signal()  # a window has been looked at
        neuron, best, fresh = Signal(range(form.neurons)), Signal(signed(form.sum_bits)), Signal()
        stored = sums.read_data.as_signed()
        is_cell = ~ends & (row < form.sums)
        emits, done = Signal(), Signal()
        m.d.comb += [
            taps.i.valid.eq((job == _Job.POOL) & (asked <= form.windows)),
            taps.i.payload.kind.eq(Mux(asked == form.windows, TokenKind.END_OF_STEP, TokenKind.EVENT)),
            taps.i.payload.address.eq(asked),
            emits.eq(held & ~is_cell & some),
            done.eq(held & (~emits | self.o.ready)),
            taps.o.ready.eq(~held | done),
        ]
        with m.If(taps.i.valid & taps.i.ready):
            m.d.sync += asked.eq(asked + 1)
        with m.If(taps.o.ready):
            m.d.sync += [
                held.eq(taps.o.valid),
                ends.eq(taps.o.payload.kind != TokenKind.EVENT),
                row.eq(taps.o.payload.address),
            ]
        with m.If(done & is_cell):
            m.d.sync += fresh.eq(0)
            with m.If(fresh | (stored > best)):
                m.d.sync += best.eq(stored)
        with m.If(done & ~is_cell):
            m.d.sync += [some.eq(~ends), fresh.eq(1), neuron.eq(row - form.sums)]
            with m.If(ends):
                m.d.sync += [job.eq(_Job.CLEAR), asked.eq(0)]
        return emits, (neuron, best)

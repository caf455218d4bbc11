"""Where populations meet: a fork hands one stream to several layers, a merge joins several into one address space."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .tokens import TokenKind, token_layout


class Fork(wiring.Component):
    """Every output receives every token; a token is taken when the last output has it.

    ======= === =================================================================
    Port    Dir Meaning
    ======= === =================================================================
    i       in  stream of tokens, or of a payload `layout` that is more than them
    o0, ... out the same stream
    ======= === =================================================================

    Latency 0 cycles; throughput that of the slowest output.
    """

    i: stream.Interface

    def __init__(self, addresses: int, outputs: int, layout: data.StructLayout | None = None) -> None:
        self._outputs = outputs
        signature = stream.Signature(layout or token_layout(addresses))
        super().__init__({"i": In(signature)} | {f"o{number}": Out(signature) for number in range(outputs)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        done = Signal(self._outputs)
        taken = Signal(self._outputs)
        m.d.comb += self.i.ready.eq((done | taken).all())
        for number in range(self._outputs):
            output = getattr(self, f"o{number}")
            m.d.comb += [
                output.payload.eq(self.i.payload),
                output.valid.eq(self.i.valid & ~done[number]),
                taken[number].eq(output.valid & output.ready),
            ]
        with m.If(self.i.valid):
            m.d.sync += done.eq((done | taken) & ~self.i.ready.replicate(self._outputs))
        return m


class Filter(wiring.Component):
    """Of a stream, the events of `addresses` that follow one another, numbered from 0, and the ends.

    ==== === =======================================================================================
    Port Dir Meaning
    ==== === =======================================================================================
    i    in  stream of tokens over `total` neurons, or of a payload `layout` that is more than them
    o    out stream of tokens over the `addresses`
    ==== === =======================================================================================

    Latency 0 cycles, throughput one token per cycle; what is filtered out is taken at once.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, total: int, addresses: range, layout: data.StructLayout | None = None) -> None:
        self._total = total
        self._addresses = addresses
        super().__init__(
            {
                "i": In(stream.Signature(layout or token_layout(total))),
                "o": Out(stream.Signature(token_layout(len(addresses)))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address, addresses = self.i.payload.address, self._addresses
        passes = self.i.payload.kind != TokenKind.EVENT
        if addresses:
            above = Const(1) if addresses.start == 0 else address >= addresses.start
            below = Const(1) if addresses.stop == self._total else address < addresses.stop
            passes = passes | (above & below)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & passes),
            self.o.payload.kind.eq(self.i.payload.kind),
            self.o.payload.address.eq(address - addresses.start),
            self.i.ready.eq(self.o.ready | ~passes),
        ]
        return m


class Merge(wiring.Component):
    """Joins streams over `sizes` neurons each into one over their concatenation.

    ======= === ==============================================================
    Port    Dir Meaning
    ======= === ==============================================================
    i0, ... in  streams of tokens; the address of input n is offset by the sizes before it
    o       out events in any order; one end once every input has ended
    ======= === ==============================================================

    An input waits after its end until all have ended. Ends of one step are of one kind, since every block passes them
    on in order, but for those of delays: the first input's kind counts. Latency 0 cycles, throughput one token per
    cycle; the lowest input goes first.
    """

    o: stream.Interface

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = tuple(sizes)
        ports = {f"i{number}": In(stream.Signature(token_layout(size))) for number, size in enumerate(sizes)}
        super().__init__(ports | {"o": Out(stream.Signature(token_layout(sum(sizes))))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inputs = [getattr(self, f"i{number}") for number in range(len(self._sizes))]
        is_event = [token.payload.kind == TokenKind.EVENT for token in inputs]
        all_ended = Cat(*(token.valid & ~event for token, event in zip(inputs, is_event, strict=True))).all()
        waits = Cat(*(token.valid & event for token, event in zip(inputs, is_event, strict=True)))
        chosen = Signal(len(inputs))  # one of them at most
        kept = Signal(len(inputs))  # the one that was offered but not taken yet, which must not change
        m.d.comb += chosen.eq(Mux(kept.any(), kept, waits & ~(waits - 1)))
        m.d.sync += kept.eq(Mux(self.o.ready, 0, chosen))
        with m.If(all_ended):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.kind.eq(inputs[0].payload.kind)]
            m.d.comb += [token.ready.eq(self.o.ready) for token in inputs]
        offset = 0
        for number, (token, size) in enumerate(zip(inputs, self._sizes, strict=True)):
            with m.If(chosen[number]):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.kind.eq(TokenKind.EVENT),
                    self.o.payload.address.eq(token.payload.address + offset),
                    token.ready.eq(self.o.ready),
                ]
            offset += size
        return m

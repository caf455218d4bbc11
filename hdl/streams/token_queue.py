"""A queue of tokens, which lets those who share a stream drift apart."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory
from .tokens import token_layout


@dataclass(frozen=True, kw_only=True)
class QueueFormat:
    """A queue of tokens over `addresses` neurons, in which `depth` - 1 wait and one is shown; `depth` is a power of two
    from 2 on."""

    addresses: int
    depth: int

    @property
    def layout(self) -> data.StructLayout:
        return token_layout(self.addresses)

    def memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, self.depth, self.layout.size, writable=True)

    def create(self, family: Family) -> TokenQueue:
        return TokenQueue(self.layout, self.memory(family))


class TokenQueue(wiring.Component):
    """First in, first out.

    ===== === =================================
    Port  Dir Meaning
    ===== === =================================
    i     in  stream of payloads
    o     out the same payloads
    empty out where it `tells`: it holds nothing
    ===== === =================================

    Holds as many payloads as `shape` has words, a power of two from 2 on, at most. Latency 2 cycles, throughput one
    payload per cycle.
    """

    i: stream.Interface
    o: stream.Interface
    empty: Signal

    def __init__(self, layout: data.StructLayout, shape: MemoryShape, *, tells: bool = False) -> None:
        if shape.width != layout.size or shape.depth < 2 or shape.depth & (shape.depth - 1):
            raise ValueError(f"a queue of {layout.size} bits has a power of two of such words, at least 2: got {shape}")
        self._shape = shape
        self._tells = tells
        ports: dict[str, In | Out] = {"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout))}
        super().__init__(ports | ({"empty": Out(1)} if tells else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = ShapedMemory(self._shape, transparent=False)
        written, taken = Signal(range(self._shape.depth)), Signal(range(self._shape.depth))
        load = Signal()
        m.d.comb += [
            self.i.ready.eq((written + 1)[: len(written)] != taken),
            memory.write_address.eq(written),
            memory.write_data.eq(self.i.payload.as_value()),
            memory.write_enable.eq(self.i.valid & self.i.ready),
            load.eq((taken != written) & (~self.o.valid | self.o.ready)),
            memory.read_address.eq(taken),
            memory.read_enable.eq(load),
            self.o.payload.as_value().eq(memory.read_data),
        ]
        if self._tells:
            m.d.comb += self.empty.eq((written == taken) & ~self.o.valid)
        m.d.sync += [
            written.eq(written + memory.write_enable),
            taken.eq(taken + load),
            self.o.valid.eq(load | (self.o.valid & ~self.o.ready)),
        ]
        return m

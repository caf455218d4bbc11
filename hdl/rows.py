"""Compressed rows: the format of a projection's weights in memory, and the walker that turns events into contributions.

Each pre neuron has a row: `length` entries from `start` on. An entry is a weight and a relative index: its post neuron
is that of the entry before it plus `index + 1`, the first entry's is `index`. Gaps wider than the index field are
bridged by entries of weight 0. With an index of 0 bits every entry follows the one before: dense rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .memory import Family, MemoryShape, ShapedMemory
from .tokens import TokenKind, address_bits, token_layout


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """Sizes and field widths of one projection's compressed rows."""

    pre: int
    post: int
    entries: int
    index_bits: int
    weight_bits: int
    longest_row: int

    @property
    def start_bits(self) -> int:
        return max(1, (self.entries - 1).bit_length())

    @property
    def length_bits(self) -> int:
        return max(1, self.longest_row.bit_length())

    @property
    def row_bits(self) -> int:
        """Width of a row word: `start` in the low bits, `length` above."""
        return self.start_bits + self.length_bits

    @property
    def entry_bits(self) -> int:
        """Width of an entry: `weight` in the low bits, `index` above."""
        return self.weight_bits + self.index_bits

    def row_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, self.pre, self.row_bits)

    def entry_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, max(1, self.entries), self.entry_bits)


@dataclass(frozen=True, kw_only=True)
class RowImage:
    """The contents of both memories: `rows` one word per pre neuron, `entries` one word per entry."""

    rows: tuple[int, ...]
    entries: tuple[int, ...]


def contribution_layout(post: int, weight_bits: int) -> data.StructLayout:
    """One beat from a row walker to the neurons: a token kind and, for EVENT, a weight for a post neuron."""
    return data.StructLayout({"kind": TokenKind, "post": unsigned(address_bits(post)), "weight": signed(weight_bits)})


class RowWalker(wiring.Component):
    """Reads the row of every event and emits its entries as contributions; ends and aborts pass through in order.

    ==== === ===========================================================
    Port Dir Meaning
    ==== === ===========================================================
    i    in  stream of tokens over the pre neurons
    o    out stream of contributions (`contribution_layout`)
    ==== === ===========================================================

    Latency 4 cycles from an event to its first contribution. Throughput max(1, length) cycles per event and one cycle
    per end, with no bubble between them.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape: RowFormat, image: RowImage, family: Family) -> None:
        self._format = shape
        self._image = image
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(shape.pre))),
                "o": Out(stream.Signature(contribution_layout(shape.post, shape.weight_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        m.submodules.rows = rows = ShapedMemory(form.row_memory(self._family), self._image.rows)
        m.submodules.entries = entries = ShapedMemory(form.entry_memory(self._family), self._image.entries)

        # Every stage moves when the last one can: one enable for the whole pipeline.
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        # Stage 1: a token waits beside its row word.
        fetched = Signal()
        fetched_kind = Signal(TokenKind)
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(~fetched | take),
            rows.read_address.eq(self.i.payload.address),
            rows.read_enable.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += [fetched.eq(self.i.valid), fetched_kind.eq(self.i.payload.kind)]

        # Stage 2: the pointer walks along the row. An end is a walk of one beat without an entry.
        walking = Signal()
        kind = Signal(TokenKind)
        first = Signal()
        pointer = Signal(form.start_bits)
        remaining = Signal(form.length_bits)
        start = rows.read_data[: form.start_bits]
        length = rows.read_data[form.start_bits :]
        last = remaining <= 1
        m.d.comb += [
            take.eq(fetched & (~walking | (last & advance))),
            entries.read_address.eq(pointer),
            entries.read_enable.eq(walking & advance),
        ]
        is_event = fetched_kind == TokenKind.EVENT
        with m.If(take):
            m.d.sync += [
                walking.eq(~is_event | length.any()),
                kind.eq(fetched_kind),
                first.eq(1),
                pointer.eq(start),
                remaining.eq(Mux(is_event, length, 1)),
            ]
        with m.Elif(walking & advance):
            m.d.sync += [
                walking.eq(~last),
                first.eq(0),
                pointer.eq(pointer + 1),
                remaining.eq(remaining - 1),
            ]

        # Stage 3: the entry is there; stage 4 is the output register.
        entry_valid = Signal()
        entry_kind = Signal(TokenKind)
        entry_first = Signal()
        weight = entries.read_data[: form.weight_bits].as_signed()
        post = Signal(address_bits(form.post))
        with m.If(entry_first):
            m.d.comb += post.eq(entries.read_data[form.weight_bits :])
        with m.Else():
            m.d.comb += post.eq(self.o.payload.post + entries.read_data[form.weight_bits :] + 1)
        with m.If(advance):
            m.d.sync += [
                entry_valid.eq(walking),
                entry_kind.eq(kind),
                entry_first.eq(first),
                self.o.valid.eq(entry_valid),
            ]
            with m.If(entry_valid):
                m.d.sync += [
                    self.o.payload.kind.eq(entry_kind),
                    self.o.payload.post.eq(post),
                    self.o.payload.weight.eq(weight),
                ]
        return m

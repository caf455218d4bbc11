"""The link's store: a FIFO whose words count only once they are committed."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import DISTRIBUTED_DEPTH


class FrameFifo(wiring.Component):
    """A FIFO that can forget what was written.

    ======== === ==============================================================================
    Port     Dir Meaning
    ======== === ==============================================================================
    word     in  what to write
    write    in  write `word` into the open place
    advance  in  keep what is in the open place and open the next one
    commit   in  publish the words that were kept
    rollback in  forget the words that were kept since the last commit
    full     out the open place is none: it holds a word that is still to be read
    o        out stream of the published words
    ======== === ==============================================================================

    After a commit or a rollback there is an open place, so `full` counts only after an `advance`. Holds `depth` - 1
    words; `depth` is a power of two. A word comes out two cycles after its commit, then one every two cycles: nothing
    in `o` but its data depends on more than a register.
    """

    o: stream.Interface
    word: Signal
    write: Signal
    advance: Signal
    commit: Signal
    rollback: Signal
    full: Signal

    def __init__(self, layout: data.StructLayout, depth: int) -> None:
        self._depth = depth
        super().__init__(
            {name: In(1) for name in ("write", "advance", "commit", "rollback")}
            | {"word": In(layout.size), "full": Out(1), "o": Out(stream.Signature(layout))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Not a ShapedMemory: the word being written is never read, so none of its bypass is needed.
        attrs = {"ram_style": "block"} if self._depth > DISTRIBUTED_DEPTH else {}
        block = memory.Memory(shape=len(self.word), depth=self._depth, init=[], attrs=attrs)
        m.submodules.block = block
        write, read = block.write_port(), block.read_port()
        address = len(read.addr)
        place, published, taken = Signal(address), Signal(address), Signal(address)
        m.d.comb += [
            self.full.eq(place == taken),
            write.addr.eq(place),
            write.data.eq(self.word),
            write.en.eq(self.write),
        ]
        with m.If(self.advance | self.rollback):
            m.d.sync += place.eq(Mux(self.rollback, published, place + 1))
        with m.If(self.commit):
            m.d.sync += published.eq(place)
        load = ~self.o.valid & (taken != published)
        m.d.comb += [read.addr.eq(taken), read.en.eq(load), Cat(self.o.payload).eq(read.data)]
        m.d.sync += self.o.valid.eq(load | (self.o.valid & ~self.o.ready))
        with m.If(load):
            m.d.sync += taken.eq(taken + 1)
        return m

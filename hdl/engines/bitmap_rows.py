"""The bitmap walker turns events into contributions: it reads the bitmap row of every event (`bitmap_format`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, ShapedMemory, select_from
from ..memories.spram import SpramMemory, load_signature
from ..streams.contribution import contribution_layout
from ..streams.tokens import TokenKind, address_bits, token_layout
from .bitmap_format import BitmapContents, BitmapFormat
from .rows import add_entries, read_directory, weight_of


class _Asked(NamedTuple):
    """A token that asks for chunk `number` of its row, of which `base` + `offset` is the first entry; `ask` is when."""

    valid: Signal
    ask: Signal
    kind: Signal
    number: Signal
    base: Value
    offset: Value


class _Fetched(NamedTuple):
    """A chunk in the memory's output; it is taken by `take`."""

    valid: Signal
    take: Signal
    kind: Signal
    number: Signal


class _Walked(NamedTuple):
    """The chunk that is walked, the bits of its `mask` that are left, and whether it `emits` in this cycle."""

    valid: Signal
    emits: Value
    kind: Signal
    number: Signal
    mask: Signal


class BitmapWalker(wiring.Component):
    """Reads the row of every event and emits its synapses as contributions; ends and aborts pass through in order.

    ==== === =====================================================
    Port Dir Meaning
    ==== === =====================================================
    i    in  stream of tokens over the rows
    o    out stream of contributions (`contribution_layout`)
    idle out no token is under way
    load in  words for the SPRAMs, if the entries lie there
    ==== === =====================================================

    Latency 4 cycles from an event to its first contribution. Throughput one cycle per end and, per event, the sum of
    max(1, synapses) over the chunks of its row, with no bubble between them.
    """

    i: stream.Interface
    o: stream.Interface
    idle: Signal
    load: Any

    def __init__(self, form: BitmapFormat, contents: BitmapContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(token_layout(form.rows))),
            "o": Out(stream.Signature(contribution_layout(form.post, form.weight_bits))),
            "idle": Out(1),
        }
        super().__init__(ports | ({} if form.first_spram is None else {"load": In(load_signature())}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form, family = self._format, self._family
        m.submodules.masks = masks = ShapedMemory(form.mask_memory(family), self._contents.masks)
        entries = add_entries(m, form.entry_memory(family), self._contents.entries, form.first_spram, self)

        # The last two stages move when the output can, the first two when the chunk before them is done with.
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        chunk = self._ask(m, masks)
        fetched = self._fetch(m, chunk)
        walked = self._walk(m, chunk, fetched, masks, entries, advance)
        self._emit(m, walked, entries, advance)
        m.d.comb += self.idle.eq(~Cat(chunk.valid, fetched.valid, walked.valid, self.o.valid).any())
        return m

    def _ask(self, m: Module, masks: ShapedMemory) -> _Asked:
        """Stage 1: a token asks for its chunks, one after another. An end asks for one and takes no notice of it."""
        form = self._format
        asking = Signal()
        asking_kind = Signal(TokenKind)
        row = Signal(address_bits(form.rows))
        number = Signal((form.row_chunks - 1).bit_length())
        ask = Signal()
        asks_again = (asking_kind == TokenKind.EVENT) & ~number.all() if form.row_chunks > 1 else Const(0, 1)
        m.d.comb += [
            self.i.ready.eq(~asking | (ask & ~asks_again)),
            masks.read_address.eq(Cat(number, row)),
            masks.read_enable.eq(ask),
        ]
        with m.If(self.i.ready):
            m.d.sync += [asking.eq(self.i.valid), asking_kind.eq(self.i.payload.kind), row.eq(self.i.payload.address)]
        with m.If(ask):
            m.d.sync += number.eq(number + (asking_kind == TokenKind.EVENT))
        base, offset, _ = read_directory(m, form, self._family, self._contents.rows, row, ask)
        return _Asked(asking, ask, asking_kind, number, base, offset)

    def _fetch(self, m: Module, asked: _Asked) -> _Fetched:
        """Stage 2: a chunk waits in the memory's output, beside its row's directory word."""
        ask = asked.ask
        fetched = Signal()
        fetched_kind = Signal(TokenKind)
        fetched_number = Signal.like(asked.number)
        take = Signal()
        m.d.comb += ask.eq(asked.valid & (~fetched | take))
        with m.If(ask | take):
            m.d.sync += fetched.eq(ask)
        with m.If(ask):
            m.d.sync += [fetched_kind.eq(asked.kind), fetched_number.eq(asked.number)]
        return _Fetched(fetched, take, fetched_kind, fetched_number)

    def _walk(
        self,
        m: Module,
        asked: _Asked,
        fetched: _Fetched,
        masks: ShapedMemory,
        entries: ShapedMemory | SpramMemory,
        advance: Signal,
    ) -> _Walked:
        """Stage 3: the lowest bit leaves in each cycle. An end is a walk of one beat without a synapse."""
        form = self._format
        take = fetched.take
        walking = Signal()
        kind = Signal(TokenKind)
        walked_number = Signal.like(asked.number)
        mask = Signal(form.chunk_bits)
        pointer = Signal(form.start_bits)
        reached = _or_up_to(list(mask))
        rest = mask & Cat(Const(0, 1), *reached[:-1])
        is_end = kind != TokenKind.EVENT
        last = is_end | ~rest.any()
        m.d.comb += [
            take.eq(fetched.valid & (~walking | (last & advance))),
            entries.read_address.eq(pointer),
            entries.read_enable.eq(advance),
        ]
        with m.If(take):
            m.d.sync += [
                walking.eq(1),
                kind.eq(fetched.kind),
                walked_number.eq(fetched.number),
                mask.eq(masks.read_data),
            ]
        with m.Elif(advance):
            m.d.sync += [walking.eq(walking & ~last), mask.eq(rest)]
        with m.If(take & ~fetched.number.any()):
            m.d.sync += pointer.eq(asked.base + asked.offset)
        with m.Elif(advance):
            m.d.sync += pointer.eq(pointer + reached[-1])
        return _Walked(walking, walking & (is_end | reached[-1]), kind, walked_number, mask)

    def _emit(self, m: Module, walked: _Walked, entries: ShapedMemory | SpramMemory, advance: Signal) -> None:
        """Stage 4: the output; the code comes from the memory."""
        form = self._format
        firsts = [Const(n * form.chunk_bits, address_bits(form.post)) for n in range(form.row_chunks)]
        post = Signal(address_bits(form.post))
        m.d.comb += [
            post.eq(select_from(firsts, walked.number) + _lowest(list(walked.mask))[1]),
            self.o.payload.weight.eq(weight_of(entries.read_data, form.levels, form.weight_bits)),
        ]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(walked.emits)
            with m.If(walked.emits):
                m.d.sync += [
                    self.o.payload.kind.eq(walked.kind),
                    self.o.payload.post.eq(post),
                    self.o.payload.repeats.eq(post == self.o.payload.post),
                ]


def _or_up_to(bits: Sequence[Value]) -> list[Value]:
    """For every bit whether it or one below it is set, in a logarithmic number of levels."""
    if len(bits) == 1:
        return list(bits)
    half = 1 << (len(bits) - 1).bit_length() - 1
    low, high = _or_up_to(bits[:half]), _or_up_to(bits[half:])
    return low + [low[-1] | here for here in high]


def _lowest(bits: Sequence[Value]) -> tuple[Value, Value]:
    """Whether any bit is set, and the number of the lowest that is."""
    if len(bits) == 1:
        return bits[0], Const(0, 0)
    half = 1 << (len(bits) - 1).bit_length() - 1
    (low, low_number), (high, high_number) = _lowest(bits[:half]), _lowest(bits[half:])
    return low | high, Cat(Mux(low, low_number, high_number), ~low)

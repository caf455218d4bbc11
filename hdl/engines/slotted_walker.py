"""The front of a slotted engine: events become words of synapses, which nothing holds up behind it."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, ShapedMemory
from ..streams.tokens import TokenKind
from .slotted_format import SlottedContents, SlottedFormat


class SlottedWalker(wiring.Component):
    """Reads the words of every event's row.

    ===== === ==================================================================================================
    Port  Dir Meaning
    ===== === ==================================================================================================
    i     in  stream of tokens over the inputs
    busy  in  the step before is still passed over: an end waits
    shut  in  nothing is taken: after a reset the sums are looked at first
    word  out the slots of a word
    valid out there is one
    set   out the set of sums that this word belongs to, which changes with every end
    past  out the other set, of the step that ended last
    ended out pulse: an end was taken, of the kind `kind`
    kind  out its kind
    ===== === ==================================================================================================

    Latency 4 cycles from an event to its first word. Throughput max(1, words) cycles per event, none for an event
    without words that comes while another's row is walked, and one cycle per end.
    """

    i: stream.Interface
    busy: Signal
    shut: Signal
    word: data.View[data.ArrayLayout]
    valid: Signal
    set: Signal
    past: Signal
    ended: Signal
    kind: Signal

    def __init__(self, form: SlottedFormat, contents: SlottedContents, family: Family) -> None:
        self._form = form
        self._contents = contents
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(form.input_layout)),
                "busy": In(1),
                "shut": In(1),
                "word": Out(data.ArrayLayout(form.slot_layout, form.slots)),
                "valid": Out(1),
                "set": Out(1),
                "past": Out(1),
                "ended": Out(1),
                "kind": Out(TokenKind),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._form
        shapes = form.memories(self._family)
        m.submodules.rows = rows = ShapedMemory(shapes["rows"], self._contents.rows)
        m.submodules.entries = entries = ShapedMemory(shapes["entries"], self._contents.entries)

        # A token beside the word of its row, then with it in registers: block RAM is slow.
        found, held = Signal(), Signal()
        found_kind, kind = Signal(TokenKind), Signal(TokenKind)
        start, length = Signal(form.pointer_bits), Signal(form.length_bits)
        take = Signal()
        moves = ~held | take
        m.d.comb += [
            self.i.ready.eq((~found | moves) & ~self.shut),
            rows.read_address.eq(self.i.payload.address),
            rows.read_enable.eq(self.i.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += [found.eq(self.i.valid), found_kind.eq(self.i.payload.kind)]
        with m.If(moves):
            m.d.sync += [
                held.eq(found),
                kind.eq(found_kind),
                start.eq(rows.read_data[: form.pointer_bits]),
                length.eq(rows.read_data[form.pointer_bits :]),
            ]

        # The pointer walks along the row.
        walking, set_now = Signal(), Signal()
        pointer = Signal(form.pointer_bits)
        left = Signal(form.length_bits)
        free = ~walking | (left == 0)
        is_event, empty = kind == TokenKind.EVENT, length.all()
        load, ends = held & is_event & ~empty & free, held & ~is_event & ~self.busy & free
        m.d.comb += take.eq(load | ends | (held & is_event & empty))
        m.d.sync += [
            walking.eq(load | (walking & (left != 0))),
            left.eq(Mux(load, length, left) + Mux(load, 0, -1)),
            pointer.eq(Mux(load, start, pointer) + Mux(load, 0, 1)),
        ]
        m.d.comb += [self.ended.eq(ends), self.kind.eq(kind), self.past.eq(~set_now)]

        # The words come, registered as they do.
        coming, set_coming = Signal(), Signal()
        m.d.comb += [entries.read_address.eq(pointer), entries.read_enable.eq(1)]
        m.d.sync += [
            set_now.eq(set_now ^ ends),
            set_coming.eq(set_now),
            self.set.eq(set_coming),
            coming.eq(walking),
            self.valid.eq(coming),
            self.word.as_value().eq(entries.read_data),
        ]
        return m

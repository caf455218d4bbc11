"""Words in which neurons of a wide engine fire, and the events that are made of them."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import stream

from ..memories.memory import ShapedMemory
from ..neurons.wires import Job
from ..streams.tokens import TokenKind
from .wide_format import SPIKING_WORDS, WideFormat
from .wide_wires import Wires

ROOM = SPIKING_WORDS // 2
"""Where fewer words wait there is room for those that are on their way, too."""


def keep_spikes(m: Module, w: Wires, form: WideFormat, names: ShapedMemory | None, word: Value) -> None:
    """Words in which neurons fire wait for their events to be made; the number of a `word` that is read now is in
    `names`, where there are some."""
    name: Value = w.written.word
    if names is not None:
        m.d.comb += [names.read_address.eq(word), names.read_enable.eq(1)]
        held, name = (Signal(form.name_bits, name=of) for of in ("held_name", "name"))
        m.d.sync += [held.eq(names.read_data), name.eq(held)]
    m.d.comb += [
        w.fires.eq(w.written.passes & w.fired.any()),
        w.spikes.i.valid.eq(w.fires & ~w.direct),
        w.spikes.i.payload.mask.eq(w.fired),
        w.spikes.i.payload.name.eq(name),
    ]


def emit_spikes(m: Module, w: Wires, form: WideFormat, o: stream.Interface) -> None:
    """Their events, from the lowest lane on, then the end of the step."""
    held, mask = w.held, Signal(form.lanes)
    name = Signal(form.name_width)
    lowest = mask & (~mask + 1)[: len(mask)]
    rest = mask & ~lowest
    _, several = _some_and_several(mask)
    bits = (len(mask) - 1).bit_length()
    lane = [reduce(or_, (lowest[n] for n in range(len(mask)) if n >> bit & 1)) for bit in range(bits)]
    load = w.spikes.o.ready
    is_end = w.job == Job.END
    m.d.comb += [
        load.eq(~held | (o.ready & ~several)),
        w.direct.eq(w.fires & load & ~w.waits),
        o.valid.eq(held | (is_end & w.announce)),
        o.payload.kind.eq(Mux(is_end, w.end, TokenKind.EVENT)),
        o.payload.lane.eq(Cat(*lane)),
        o.payload.name.eq(name),
    ]
    with m.If(load):
        m.d.sync += held.eq(w.spikes.o.valid | w.direct)
        first, new = (end.payload.as_value() for end in (w.spikes.o, w.spikes.i))
        m.d.sync += Cat(mask, name).eq(Mux(w.waits, first, new))
    with m.Elif(o.ready):
        m.d.sync += mask.eq(rest)
    # One more or one less is there before it is known whether a neuron fires, and whether an event is taken.
    puts, gets = w.spikes.i.valid, w.spikes.o.valid & load
    more, fewer = ((w.waiting + change)[: len(w.waiting)] for change in (1, -1))
    with m.If(puts & ~gets):
        m.d.sync += [w.waiting.eq(more), w.waits.eq(1), w.has_room.eq(w.waiting < ROOM - 1)]
    with m.If(gets & ~puts):
        m.d.sync += [w.waiting.eq(fewer), w.waits.eq(w.waiting != 1), w.has_room.eq(w.waiting <= ROOM)]


def _some_and_several(mask: Value) -> tuple[Value, Value]:
    """Whether a bit is set, and whether two are: a tree."""
    if len(mask) == 1:
        return mask, Const(0, 1)
    halves = (mask[: len(mask) // 2], mask[len(mask) // 2 :])
    (some, several), (others, many) = (_some_and_several(half) for half in halves)
    return some | others, several | many | (some & others)

"""What a wide engine is to add waits for its weights, then for its word."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Const, Module, Signal
from amaranth.hdl import Value
from amaranth.lib import stream

from ..streams.tokens import TokenKind
from .wide_format import WideFormat
from .wide_wires import Wires, is_of_the_step


def wait_for_words(m: Module, w: Wires, form: WideFormat, i: stream.Interface) -> None:
    """What is to be added waits for its weights, and then for its word, in which what is for the same one may join
    it."""
    work, staged, pending = i.payload, w.staged, w.pending
    is_event, loads, joins = work.kind == TokenKind.EVENT, Signal(), Signal()
    m.d.comb += [
        loads.eq(~pending.valid | w.goes),
        joins.eq(staged.valid & staged.joins & pending.joins & ~loads),
        i.ready.eq(~staged.valid | loads | (staged.joins & pending.joins)),  # or it joins: a shorter way to say so
        w.entries.read_address.eq(work.weights),
        w.entries.read_enable.eq(i.ready & (i.valid & w.tick if form.alternates else 1)),
    ]
    with m.If(i.ready):
        m.d.sync += [
            *(staged.valid.eq(i.valid), staged.event.eq(i.valid & is_event)),
            *(staged.kind.eq(work.kind), staged.word.eq(work.word)),
            staged.now.eq(is_of_the_step(form, work.kind, work.word)),
            staged.joins.eq(Const(0, 1) if form.joining is None else is_event & (work.word == form.joining)),
        ]
    behind_it = pending.event & (pending.word == staged.word)
    with m.If(loads):
        m.d.sync += [mine.eq(its) for mine, its in zip(pending, staged, strict=True)]
        m.d.sync += w.collides.eq(behind_it | _on_its_way(w, staged.word))
    with m.Else():
        m.d.sync += w.collides.eq(_on_its_way(w, pending.word))
    # Registers of their own for the last that came and for the sum before it: nothing is added to what memory says.
    for number, (fresh, before, both) in enumerate(zip(w.fresh, w.before, w.both, strict=True)):
        weight = w.entries.read_data.word_select(number, form.neurons.weight_bits).as_signed()
        with m.If(loads | joins):
            m.d.sync += fresh.eq(weight)
        if len(both) == len(fresh):
            m.d.comb += both.eq(fresh)
            continue
        m.d.comb += both.eq(before + fresh)
        with m.If(loads):
            m.d.sync += before.eq(0)
        with m.Elif(joins):
            m.d.sync += before.eq(both)


def _on_its_way(w: Wires, word: Value) -> Value:
    """Whether an addition to a word will not be in memory in the next cycle."""
    return reduce(or_, (stage.adds & (stage.word == word) for stage in w.stages))

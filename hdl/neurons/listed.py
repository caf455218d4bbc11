"""Passes that take the neurons of the first population from a list: those that they would change something of."""

from __future__ import annotations

from amaranth import Cat, Module
from amaranth.hdl import Value

from .neuron_format import NeuronFormat
from .wires import Job, Wires


def list_visits(m: Module, form: NeuronFormat, w: Wires, *, again: Value, kept_spike: Value) -> None:
    """A neuron is put into the list by the first contribution of a step, which its state word remembers, and in the
    pass where it fired.

    Its memory is both the list that a pass takes from, place by place, and, from its start again, that for the next
    one: a pass leaves no more neurons than it has taken, and looks at no place twice once the neuron there is written.
    A neuron that is asked for `again` is the one before in the list.
    """
    visits, lists = w.visits, w.lists
    assert visits is not None
    assert lists is not None
    arrives = w.adding & ~w.listed
    if len(form.populations) > 1:
        arrives = arrives & (w.post < form.ends[0])
    stays = w.stages[1] & ~w.hold & kept_spike
    if len(form.populations) > 1:
        stays = stays & (w.written < form.ends[0])
    next_place = (w.neuron + Cat(~lists.begins, again.replicate(len(w.neuron) - 1)))[: len(w.neuron)]
    m.d.comb += [
        visits.read_address.eq(next_place),
        visits.read_enable.eq(w.issue | again | lists.begins),
        visits.write_address.eq(lists.count),
        visits.write_data.eq(w.sums.write_address),
        visits.write_enable.eq(arrives | stays),
    ]
    m.d.sync += lists.begins.eq(w.accept & ~w.is_event)
    with m.If(w.issue):
        m.d.sync += lists.read.eq(w.asked)
    with m.If(lists.begins):
        m.d.sync += [lists.past.eq(lists.count), lists.count.eq(0)]
    with m.Elif(arrives | stays):
        m.d.sync += lists.count.eq(lists.count + 1)
    with m.If((w.job == Job.PASS) & lists.at_end & ~lists.begins & ~w.stages[0]):
        m.d.sync += [w.job.eq(Job.DRAIN), w.neuron.eq(form.ends[0])]

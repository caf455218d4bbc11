"""Passes that go by what they would not change: by a population, or by a block of neurons."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.hdl import Value

from .neuron_format import NeuronFormat
from .wires import Job, Wires


def skip(m: Module, form: NeuronFormat, w: Wires, number: int) -> None:
    """Instead of the pass of a population that starts now, go to its end if it would change nothing."""
    if form.skips:
        with m.If(w.still[number]):
            m.d.sync += [w.job.eq(Job.DRAIN), w.neuron.eq(form.ends[number])]


def watch_still(
    m: Module, form: NeuronFormat, w: Wires, post: Value, words: Value, kept_spike: Signal, passed: Value
) -> None:
    """Which populations a pass would not change: the last one changed nothing, and nothing has arrived since.

    `post` is the neuron of a contribution, `words` are those that the pass writes for a neuron.
    """
    changed = Signal()  # by the pass under way
    before = Signal.like(words, name="before")
    with m.If(~w.hold):
        m.d.sync += before.eq(w.words)
    with m.If(w.stages[1] & ((before != words) | kept_spike)):
        m.d.sync += changed.eq(1)
    with m.If(passed):
        m.d.sync += changed.eq(0)
        for number, past in enumerate(form.ends):
            with m.If(w.neuron == past):
                m.d.sync += w.still[number].eq(~changed & ~w.clear)
    with m.If(w.accept & w.is_event):
        for number, (base, past) in enumerate(zip(form.bases, form.ends, strict=True)):
            with m.If((post >= base) & (post < past)):
                m.d.sync += w.still[number].eq(0)


def pass_by(m: Module, form: NeuronFormat, w: Wires, post: Value, kept_spike: Signal) -> None:
    """Of blocks of neurons one bit each: set by a contribution to `post`, and in the pass by whether one of them fired.

    The bit of the block behind that of the next neuron is read, so that it is there when the pass reaches it; a
    neuron that is asked for again is one of a block that was entered.
    """
    touched, passes_by = w.touched, w.passes_by
    assert touched is not None
    assert passes_by is not None
    low = form.touched.bit_length() - 1
    at_start = ~w.neuron[:low].any()
    entered, fired_before = Signal(), Signal()
    fired = kept_spike | (fired_before & w.written[:low].any())
    visits = w.stages[1] & ~w.hold
    in_pass = w.job == Job.PASS
    moves = w.issue | passes_by
    m.d.comb += [
        passes_by.eq(in_pass & at_start & ~entered & ~touched.read_data[0] & ~w.clear & ~w.stall),
        touched.read_address.eq(Mux(in_pass, w.neuron[low:] + 1, 0)),
        touched.read_enable.eq(Mux(in_pass, ~at_start | moves, w.accept & ~w.is_event)),
        touched.write_enable.eq(visits | (w.accept & w.is_event)),
        touched.write_address.eq(Mux(visits, w.written[low:], post[low:])),
        touched.write_data.eq(~visits | fired),
    ]
    with m.If(visits):
        m.d.sync += fired_before.eq(fired)
    with m.If(w.stages[0] & w.stall):
        m.d.sync += entered.eq(1)
    with m.Elif(w.issue):
        m.d.sync += entered.eq(0)
    with m.If(passes_by):
        m.d.sync += w.neuron.eq(w.neuron + form.touched)
        with m.If(w.neuron == form.neurons - form.touched):
            m.d.sync += w.job.eq(Job.DRAIN)

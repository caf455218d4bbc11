"""A slotted engine: many synapses per cycle from one directory, each slot of a word with sums of its own."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family
from .slotted_format import SlottedContents, SlottedFormat
from .slotted_pass import SlottedPass
from .slotted_sums import SlottedSums
from .slotted_walker import SlottedWalker


class SlottedEngine(wiring.Component):
    """Turns the events of the inputs into the spikes of a population, a step being integrated while another passes.

    =========== === =============================================
    Port        Dir Meaning
    =========== === =============================================
    i           in  stream of tokens over the inputs
    o           out stream of tokens over the neurons
    trace0, ... out the monitors of the neurons (`SlottedPass`)
    =========== === =============================================

    Throughput, when nothing stalls: the larger of the sum over a step's events of max(1, words of the row) + 1, and
    turns * (places + 1) + 3 cycles per step. Behind the pointer into the words nothing ever waits, so that no path
    leads from the output to the input.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: SlottedFormat, contents: SlottedContents, family: Family) -> None:
        self._form = form
        self._contents = contents
        self._family = family
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(form.input_layout)),
            "o": Out(stream.Signature(form.output_layout)),
        }
        super().__init__(ports | {f"trace{number}": Out(monitor) for number, monitor in enumerate(form.monitors)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form, contents, family = self._form, self._contents, self._family
        m.submodules.walker = walker = SlottedWalker(form, contents, family)
        m.submodules.sums = sums = SlottedSums(form, family)
        m.submodules.neurons = neurons = SlottedPass(form, contents, family)
        wiring.connect(m, wiring.flipped(self.i), walker.i)
        wiring.connect(m, neurons.o, wiring.flipped(self.o))
        for number in range(form.neurons_per_cycle):
            wiring.connect(m, getattr(neurons, f"trace{number}"), wiring.flipped(getattr(self, f"trace{number}")))
        m.d.comb += [
            sums.word.eq(walker.word),
            sums.valid.eq(walker.valid),
            sums.set.eq(walker.set),
            sums.place.eq(neurons.place),
            sums.look.eq(neurons.look),
            sums.odd.eq(neurons.odd),
            neurons.totals.eq(sums.totals),
            neurons.ended.eq(walker.ended),
            neurons.kind.eq(walker.kind),
            neurons.past.eq(walker.past),
            walker.busy.eq(neurons.busy),
            walker.shut.eq(neurons.shut),
        ]
        return m

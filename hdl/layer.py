"""One population with its incoming synapses: a row walker in front of a bank of neurons."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .memory import Family, MemoryShape
from .neurons import NeuronBank, NeuronFormat, trace_signature
from .rows import RowFormat, RowImage, RowWalker
from .tokens import token_layout


@dataclass(frozen=True, kw_only=True)
class LayerFormat:
    """Shapes and widths of a layer; the hardware depends on nothing else."""

    rows: RowFormat
    neurons: NeuronFormat

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """Every memory of the layer by its role."""
        shapes = {
            "rows": self.rows.row_memory(family),
            "entries": self.rows.entry_memory(family),
            "state": self.neurons.state_memory(family),
        }
        if self.neurons.parameter_bits:
            shapes["parameters"] = self.neurons.parameter_memory(family)
        return shapes


@dataclass(frozen=True, kw_only=True)
class LayerImage:
    """What a layer's memories hold: compressed rows and one parameter word per neuron."""

    rows: RowImage
    parameters: tuple[int, ...]


class Layer(wiring.Component):
    """Turns the events of the pre neurons into the spikes of the post neurons.

    ===== === =======================================
    Port  Dir Meaning
    ===== === =======================================
    i     in  stream of tokens over the pre neurons
    o     out stream of tokens over the post neurons
    trace out monitor of the neurons (see NeuronBank)
    ===== === =======================================

    A step takes sum(max(1, row length) over its events) + n + 10 cycles for n neurons when nothing stalls.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: LayerFormat, image: LayerImage, family: Family) -> None:
        self._form = form
        self._image = image
        self._family = family
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(form.rows.pre))),
                "o": Out(stream.Signature(token_layout(form.rows.post))),
                "trace": Out(trace_signature(form.neurons)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walker = walker = RowWalker(self._form.rows, self._image.rows, self._family)
        m.submodules.bank = bank = NeuronBank(self._form.neurons, self._image.parameters, self._family)
        wiring.connect(m, walker.o, bank.i)
        wiring.connect(m, wiring.flipped(self.i), walker.i)
        wiring.connect(m, bank.o, wiring.flipped(self.o))
        wiring.connect(m, bank.trace, wiring.flipped(self.trace))
        return m

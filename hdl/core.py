"""The core: every layer of a network with its own engine, joined by streams of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layer import Layer, LayerFormat, LayerImage
from .memory import Family
from .neurons import trace_signature
from .routing import Fork, Merge
from .tokens import token_layout

CORE_INPUT = -1
"""The source number of the core's own input."""


@dataclass(frozen=True, kw_only=True)
class LayerInstance:
    """One layer of a core. `sources` are the numbers of the layers it listens to (`CORE_INPUT` for the input), in the
    order in which their neurons are concatenated into the layer's rows."""

    form: LayerFormat
    image: LayerImage
    sources: tuple[int, ...]


class Core(wiring.Component):
    """A network in hardware, one engine per layer, layers running as a pipeline.

    =========== === =======================================================================================
    Port        Dir Meaning
    =========== === =======================================================================================
    i           in  stream of tokens over the inputs
    o           out stream of tokens over the neurons of the `output` layer
    trace0, ... out with `trace`: the monitor of each layer: valid, neuron, membrane (signed), spike
    clk, rst    in  in Verilog: clock, and a synchronous reset that clears the core
    =========== === =======================================================================================

    The core clears itself after a reset (as many cycles as its largest layer has neurons, plus 5). On iCE40 keep `rst`
    high for 15 us after configuration, before which block RAM reads wrongly. A step costs what its slowest layer takes
    (see Layer) once the pipeline is full.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self, inputs: int, layers: Sequence[LayerInstance], output: int, family: Family, trace: bool = False
    ) -> None:
        self._inputs = inputs
        self._layers = tuple(layers)
        self._output = output
        self._family = family
        self._trace = trace
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(token_layout(inputs))),
            "o": Out(stream.Signature(token_layout(layers[output].form.rows.post))),
        }
        if trace:
            ports |= {f"trace{n}": Out(trace_signature(layer.form.neurons)) for n, layer in enumerate(layers)}
        super().__init__(ports)

    def _size(self, source: int) -> int:
        return self._inputs if source == CORE_INPUT else self._layers[source].form.rows.post

    def elaborate(self, platform: object) -> Module:
        m = Module()
        streams = {CORE_INPUT: wiring.flipped(self.i)}
        consumers: dict[int, list[stream.Interface]] = {CORE_INPUT: []}
        for number, instance in enumerate(self._layers):
            layer = Layer(instance.form, instance.image, self._family)
            m.submodules[f"layer{number}"] = layer
            if self._trace:
                wiring.connect(m, layer.trace, wiring.flipped(getattr(self, f"trace{number}")))
            streams[number] = layer.o
            consumers[number] = []
            for source, sink in zip(instance.sources, self._inlets(m, number, instance, layer), strict=True):
                consumers[source].append(sink)
        consumers[self._output].append(wiring.flipped(self.o))
        for source, sinks in consumers.items():
            self._deliver(m, source, streams[source], sinks)
        return m

    def _inlets(self, m: Module, number: int, instance: LayerInstance, layer: Layer) -> list[stream.Interface]:
        """One stream per source of a layer."""
        if len(instance.sources) == 1:
            return [layer.i]
        merge = Merge([self._size(source) for source in instance.sources])
        m.submodules[f"merge{number}"] = merge
        wiring.connect(m, merge.o, layer.i)
        return [getattr(merge, f"i{port}") for port in range(len(instance.sources))]

    def _deliver(self, m: Module, source: int, tokens: stream.Interface, sinks: list[stream.Interface]) -> None:
        """Connect a stream to all that listen to it; one that nobody hears is drained."""
        if not sinks:
            m.d.comb += tokens.ready.eq(1)
        elif len(sinks) == 1:
            wiring.connect(m, tokens, sinks[0])
        else:
            fork = Fork(self._size(source), len(sinks))
            m.submodules["fork_input" if source == CORE_INPUT else f"fork{source}"] = fork
            wiring.connect(m, tokens, fork.i)
            for port, sink in enumerate(sinks):
                wiring.connect(m, getattr(fork, f"o{port}"), sink)

"""The core: the engines of a network, joined by streams of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .engines.format import EngineFormat
from .memories.memory import Family, MemoryShape
from .memories.spram import load_signature
from .neurons.readout import MembraneReadout, ReadoutFormat
from .streams.delays import DelayContents, DelayFormat
from .streams.routing import Filter, Fork, Merge
from .streams.token_queue import QueueFormat
from .streams.tokens import token_layout

CORE_INPUT = -1
"""The source number of the core's own input."""


Source = tuple[int, bool]
"""An engine's number, and whether its inner spikes are meant instead of its output."""


@dataclass(frozen=True, kw_only=True)
class Delayed:
    """What an engine hears in later steps: of the engine `source` (`CORE_INPUT` for the input), of its inner spikes
    (`EngineFormat.inner`) where it is `inner`."""

    source: int
    inner: bool
    form: DelayFormat
    contents: DelayContents


@dataclass(frozen=True, kw_only=True)
class EngineInstance:
    """One engine of a core: its format, and the contents that go with it. `sources` are the numbers of the engines it
    listens to (`CORE_INPUT` for the input), in the order in which their outputs are concatenated into its inputs; what
    it hears later, `delays`, follows them. Without sources it follows the steps of the core's input. Where it has
    `queues`, one for each source or None, what a source says waits there, so that it may run ahead."""

    form: EngineFormat
    contents: Any
    sources: tuple[int, ...]
    delays: tuple[Delayed, ...] = ()
    queues: tuple[QueueFormat | None, ...] = ()

    @property
    def heard(self) -> tuple[Source, ...]:
        """Every stream that leads to it, the input alone for its steps too."""
        now = [(source, False) for source in self.sources or (CORE_INPUT,)]
        return (*now, *((delayed.source, delayed.inner) for delayed in self.delays))

    def stream_memories(self, family: Family) -> dict[str, MemoryShape]:
        """The memories of its delays and queues by their role."""
        delays = [delayed.form.memories(family) for delayed in self.delays]
        queues = [{"inlet": queue.memory(family)} for queue in self.queues if queue is not None]
        return {
            f"{role}{number}" if number else role: shape
            for memories in (delays, queues)
            for number, shapes in enumerate(memories)
            for role, shape in shapes.items()
        }


class Core(wiring.Component):
    """A network in hardware, its engines running as a pipeline.

    =========== === =======================================================================================
    Port        Dir Meaning
    =========== === =======================================================================================
    i           in  stream of tokens over the inputs, or of beats where it is `wide`
    o           out stream of tokens over the outputs of the engine `output`, or of readings of its membranes where
                    there is a `readout` (`ReadoutFormat.layout`)
    trace0, ... out with `trace`: the monitors of all engines in turn: valid, neuron, membrane (signed), spike
    load        in  words for the SPRAMs, where weights lie in them: before the first token
    clk, rst    in  in Verilog: clock, and a synchronous reset that clears the core
    =========== === =======================================================================================

    The core clears itself after a reset (as many cycles as its largest engine has neurons, plus 5). On iCE40 keep `rst`
    high for 15 us after configuration, before which block RAM reads wrongly. A step costs what its slowest engine takes
    (see SparseEngine) once the pipeline is full.
    """

    i: stream.Interface
    o: stream.Interface
    load: Any

    def __init__(
        self,
        inputs: int,
        engines: Sequence[EngineInstance],
        output: int,
        family: Family,
        trace: bool = False,
        wide: bool = False,
        readout: ReadoutFormat | None = None,
    ) -> None:
        first, *others = [engine for engine in engines if (CORE_INPUT, False) in engine.heard]
        if wide and (others or not first.form.takes_beats or len(first.heard) > 1):
            raise ValueError("a wide input leads to one engine that takes beats and listens to nothing else")
        self._inputs = inputs
        self._engines = tuple(replace(e, form=e.form.traced()) for e in engines) if trace else tuple(engines)
        self._output = output
        self._family = family
        self._trace = trace
        self._wide = wide
        self._readout = readout
        listeners = [number for number, engine in enumerate(engines) if (output, False) in engine.heard]
        if readout is not None and (listeners or engines[output].form.output_layout != readout.membrane_layout):
            raise ValueError("a readout listens alone to an engine that gives the membranes of its outputs")
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(first.form.input_layout if wide else token_layout(inputs))),
            "o": Out(stream.Signature(readout.layout if readout else token_layout(engines[output].form.outputs))),
        }
        if trace:
            monitors = [monitor for engine in engines for monitor in engine.form.monitors]
            ports |= {f"trace{number}": Out(monitor) for number, monitor in enumerate(monitors)}
        if self.has_spram:
            ports["load"] = In(load_signature())
        super().__init__(ports)

    @property
    def has_spram(self) -> bool:
        """Whether weights lie in SPRAM and must be loaded."""
        return any(engine.form.uses_spram for engine in self._engines)

    def _size(self, source: Source) -> int:
        number, inner = source
        if number == CORE_INPUT:
            return self._inputs
        form = self._engines[number].form
        return len(form.inner) if inner else form.outputs

    def elaborate(self, platform: object) -> Module:
        m = Module()
        streams: dict[Source, stream.Interface] = {(CORE_INPUT, False): wiring.flipped(self.i)}
        consumers: dict[Source, list[stream.Interface]] = {(CORE_INPUT, False): []}
        engines = []
        for number, instance in enumerate(self._engines):
            engine = instance.form.create(instance.contents, self._family)
            engines.append(engine)
            m.submodules[f"engine{number}"] = engine
            if instance.form.uses_spram:
                wiring.connect(m, wiring.flipped(self.load), engine.load)
            streams[number, False] = engine.o
            consumers.setdefault((number, False), [])
            if instance.form.inner:
                streams[number, True] = engine.inner
            for source, sink in zip(instance.heard, self._inlets(m, number, instance, engine), strict=True):
                consumers.setdefault(source, []).append(sink)
        for source in streams:
            consumers.setdefault(source, [])
        consumers[self._output, False].append(self._outlet(m))
        for source, sinks in consumers.items():
            self._deliver(m, source, streams[source], sinks)
        if self._trace:
            self._connect_traces(m, engines)
        return m

    def _outlet(self, m: Module) -> stream.Interface:
        """What the output's engine feeds."""
        if self._readout is None:
            return wiring.flipped(self.o)
        m.submodules.readout = readout = MembraneReadout(self._readout, self._family)
        wiring.connect(m, readout.o, wiring.flipped(self.o))
        return readout.i

    def _connect_traces(self, m: Module, engines: Sequence[Any]) -> None:
        number = 0
        for instance, engine in zip(self._engines, engines, strict=True):
            for place in range(len(instance.form.monitors)):
                monitor = getattr(engine, f"trace{place}")
                wiring.connect(m, monitor, wiring.flipped(getattr(self, f"trace{number}")))
                number += 1

    def _inlets(self, m: Module, number: int, instance: EngineInstance, engine: Any) -> list[stream.Interface]:
        """One stream for each that an engine hears."""
        inlet = engine.i
        gets_beats = self._wide and (CORE_INPUT, False) in instance.heard
        packer = None if gets_beats else instance.form.packer()
        if packer is not None:
            m.submodules[f"packer{number}"] = packer
            wiring.connect(m, packer.o, inlet)
            inlet = packer.i
        if len(instance.heard) == 1:
            return self._queued(m, number, instance, [inlet])
        now = [self._size((source, False)) for source in instance.sources]
        merge = Merge([*(now or [0]), *(delayed.form.rows for delayed in instance.delays)])
        m.submodules[f"merge{number}"] = merge
        wiring.connect(m, merge.o, inlet)
        inlets = [getattr(merge, f"i{port}") for port in range(len(instance.heard))]
        if not instance.sources:
            m.submodules[f"steps{number}"] = steps = Filter(self._inputs, range(0))
            wiring.connect(m, steps.o, inlets[0])
            inlets[0] = steps.i
        for place, delayed in enumerate(instance.delays, start=len(now) or 1):
            delay = delayed.form.create(delayed.contents, self._family)
            m.submodules[f"delay{number}_{place}"] = delay
            wiring.connect(m, delay.o, inlets[place])
            inlets[place] = delay.i
        return self._queued(m, number, instance, inlets)

    def _queued(
        self, m: Module, number: int, instance: EngineInstance, inlets: list[stream.Interface]
    ) -> list[stream.Interface]:
        """The inlets behind the queues of an engine."""
        for place, form in enumerate(instance.queues):
            if form is not None:
                queue = form.create(self._family)
                m.submodules[f"inlet{number}_{place}"] = queue
                wiring.connect(m, queue.o, inlets[place])
                inlets[place] = queue.i
        return inlets

    def _deliver(self, m: Module, source: Source, tokens: stream.Interface, sinks: list[stream.Interface]) -> None:
        """Connect a stream to all that listen to it; one that nobody hears is drained."""
        if not sinks:
            m.d.comb += tokens.ready.eq(1)
        elif len(sinks) == 1:
            wiring.connect(m, tokens, sinks[0])
        else:
            fork = Fork(self._size(source), len(sinks))
            number, inner = source
            m.submodules["fork_input" if number == CORE_INPUT else f"fork{number}{'_inner' * inner}"] = fork
            wiring.connect(m, tokens, fork.i)
            for port, sink in enumerate(sinks):
                wiring.connect(m, getattr(fork, f"o{port}"), sink)

"""An engine: a row walker in front of a bank of neurons, running one population or several in turn.

Where it listens to maps, a tap generator in front of the walker says which rows an event adds where.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from amaranth import Module, Signal
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape
from ..memories.spram import SpramShape, load_signature
from ..neurons.bank import NeuronBank
from ..neurons.fast_bank import FastBank
from ..neurons.neuron_format import NeuronFormat
from ..streams.routing import Filter, Fork
from ..streams.tokens import TokenKind, address_bits, token_layout
from .bitmap_format import BitmapContents, BitmapFormat
from .bitmap_rows import BitmapWalker
from .fast_rows import FastRowWalker
from .format import EngineFormat
from .pooling import SpikePool, SpikePoolFormat
from .returns import ReturnPath, queue_memory
from .row_format import RowContents, RowFormat
from .rows import RowWalker
from .sum_pooling import SumPool, SumPoolFormat
from .tap_format import TapContents, TapFormat
from .taps import TapGenerator

Rows = RowFormat | BitmapFormat
"""How the weights lie in memory."""

RowsContents = RowContents | BitmapContents
"""What their memories hold."""


@dataclass(frozen=True, kw_only=True)
class SparseFormat(EngineFormat):
    """A walker over rows and a bank of neurons.

    The rows of an engine of several populations are those of the neurons before the last population, then those of the
    `inputs`; of one population those of the inputs alone. Where spikes return, or some neurons have no rows, the first
    `walking` neurons have. Spikes of the populations numbered in `waiting` wait until the pass that they come from is
    over. Those of the neurons `inner` are told outside, too.

    With `taps` it is not rows that are numbered so, but what these make rows of, behind a `pool` of spikes where there
    is one. With `sums` contributions to these are pooled on their way to the neurons.
    """

    inputs: int
    rows: Rows
    neurons: NeuronFormat
    walking: int | None = None
    waiting: tuple[int, ...] = ()
    inner: range = range(0)
    taps: TapFormat | None = None
    pool: SpikePoolFormat | None = None
    sums: SumPoolFormat | None = None

    @property
    def own(self) -> int:
        """How many of its neurons, from the first, have a row of weights."""
        return self.neurons.bases[-1] if self.walking is None else self.walking

    @property
    def input_layout(self) -> data.StructLayout:
        return token_layout(self.inputs)

    @property
    def output_layout(self) -> data.StructLayout:
        return self.neurons.layout_of(self.outputs)

    @property
    def monitors(self) -> tuple[wiring.Signature, ...]:
        """One per population."""
        return tuple(p.monitor for p in self.neurons.populations)

    @property
    def uses_spram(self) -> bool:
        """Whether weights lie in SPRAM."""
        return self.rows.first_spram is not None

    def movable_memory(self, family: Family) -> MemoryShape | SpramShape:
        """That of the entries, whether it lies in SPRAM already or not."""
        return self.rows.entry_memory(family)

    def spram_words(self, contents: SparseContents) -> tuple[tuple[int, ...], ...]:
        if not self.uses_spram:
            return ()
        return SpramShape(self.rows.entries, self.rows.entry_bits).pack(contents.rows.entries)

    def outside_spram(self, contents: SparseContents) -> SparseContents:
        return replace(contents, rows=replace(contents.rows, entries=())) if self.uses_spram else contents

    def stored(self, contents: SparseContents) -> dict[str, tuple[int, ...]]:
        roles = [role for role in ("entries", "masks", "rows") if role in self.rows.memories(Family.ICE40)]
        words = {role: getattr(contents.rows, role) for role in roles if role != "entries" or not self.uses_spram}
        return words | ({"parameters": contents.parameters} if self.neurons.parameter_bits else {})

    def with_stored(self, contents: SparseContents, words: Mapping[str, tuple[int, ...]]) -> SparseContents:
        rows: Any = {role: held for role, held in words.items() if role != "parameters"}
        parameters = words.get("parameters", contents.parameters)
        return replace(contents, rows=replace(contents.rows, **rows), parameters=parameters)

    def create(self, contents: SparseContents, family: Family) -> SparseEngine:
        return SparseEngine(self, contents, family)

    def traced(self) -> SparseFormat:
        """The same engine, whose monitors see every neuron in every step."""
        return replace(self, neurons=replace(self.neurons, skips=False, touched=0, lists=False))

    @property
    def outputs(self) -> int:
        """The neurons of the last population, which are heard outside."""
        return self.neurons.populations[-1].neurons

    def memories(self, family: Family) -> dict[str, MemoryShape | SpramShape]:
        """Every memory of the engine by its role: `queue` is that of spikes that wait."""
        queue = {"queue": queue_memory(self.neurons, self.waiting, family)} if self.waiting else {}
        memories = self.rows.memories(family) | self.neurons.memories(family) | queue
        for part in (self.taps, self.pool, self.sums):
            memories |= {} if part is None else part.memories(family)
        return memories


@dataclass(frozen=True, kw_only=True)
class SparseContents:
    """What an engine's memories hold: rows and one parameter word per neuron; the taps of events, of a pool of spikes
    and of sums that are pooled, where it has some."""

    rows: RowsContents
    parameters: tuple[int, ...]
    taps: TapContents | None = None
    pool: TapContents | None = None
    sums: TapContents | None = None


class SparseEngine(wiring.Component):
    """Turns the events of the inputs into the spikes of its last population.

    =========== === ======================================================
    Port        Dir Meaning
    =========== === ======================================================
    i           in  stream of tokens over the inputs
    o           out stream of tokens over the neurons of the last population, or of its membranes
    inner       out stream of tokens over the neurons that are told outside, if there are some
    trace0, ... out monitor of each population (see NeuronBank)
    load        in  words for the SPRAMs, if the weights lie there
    =========== === ======================================================

    One population of n neurons takes sum(max(1, row length) over its events) + n + 9 cycles per step when nothing
    stalls; the length of a bitmap row is the sum of max(1, synapses) over its chunks. Several take the sum over all of
    them, with the events that they send each other, and n + 8 each; the last one's n + 4 are hidden behind the next
    step's events if no input reaches it and its spikes do not return. Spikes that return walk their row once, with what
    they send on (see ReturnPath). An event of a map walks a row for each of its taps, which come 5 cycles later (see
    TapGenerator).
    """

    i: stream.Interface
    o: stream.Interface
    inner: stream.Interface
    load: Any

    def __init__(self, form: SparseFormat, contents: SparseContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(token_layout(form.inputs))),
            "o": Out(stream.Signature(form.output_layout)),
        }
        ports |= {f"trace{number}": Out(monitor) for number, monitor in enumerate(form.monitors)}
        if form.inner:
            ports["inner"] = Out(stream.Signature(token_layout(len(form.inner))))
        if form.uses_spram:
            ports["load"] = In(load_signature())
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form = self._format
        m.submodules.walker = walker = self._walker()
        kind = FastBank if form.neurons.fast else NeuronBank
        m.submodules.bank = bank = kind(form.neurons, self._contents.parameters, self._family)
        wiring.connect(m, self._pooled(m, walker.o), bank.i)
        walk, idle = self._lead(m, walker)
        if form.walking is None:
            m.d.comb += bank.settled.eq(idle)
        if form.uses_spram:
            wiring.connect(m, wiring.flipped(self.load), walker.load)
        spikes = self._tell(m, bank.o) if form.inner else bank.o
        if form.walking is not None:
            self._return(m, walk, idle, bank, spikes)
        elif not form.neurons.shared:
            wiring.connect(m, wiring.flipped(self.i), walk)
            wiring.connect(m, spikes, wiring.flipped(self.o))
        else:
            self._loop(m, walk, bank, spikes)
        self._trace(m, bank)
        return m

    def _lead(self, m: Module, walker: RowWalker | BitmapWalker) -> tuple[stream.Interface, Value]:
        """Where events are sent to, and whether none is under way from there on."""
        form, contents = self._format.taps, self._contents.taps
        if form is None or contents is None:
            return walker.i, walker.idle
        m.submodules.taps = taps = TapGenerator(form, contents, self._family)
        wiring.connect(m, taps.o, walker.i)
        idle = taps.idle & walker.idle
        if self._format.pool is None or self._contents.pool is None:
            return taps.i, idle
        m.submodules.pool = pool = SpikePool(self._format.pool, self._contents.pool, self._family)
        wiring.connect(m, pool.o, taps.i)
        return pool.i, pool.idle & idle

    def _pooled(self, m: Module, contributions: stream.Interface) -> stream.Interface:
        """Contributions as the bank gets them."""
        form, contents = self._format.sums, self._contents.sums
        if form is None or contents is None:
            return contributions
        m.submodules.sums = sums = SumPool(form, contents, self._family)
        wiring.connect(m, contributions, sums.i)
        pooled: stream.Interface = sums.o
        return pooled

    def _walker(self) -> RowWalker | BitmapWalker:
        form, contents = self._format.rows, self._contents.rows
        if isinstance(form, BitmapFormat) and isinstance(contents, BitmapContents):
            return BitmapWalker(form, contents, self._family)
        if isinstance(form, RowFormat) and isinstance(contents, RowContents):
            if form.registers is not None:
                return FastRowWalker(form, contents, self._family)
            return RowWalker(form, contents, self._family)
        raise TypeError("the contents of rows must be of their format's kind")

    def _tell(self, m: Module, spikes: stream.Interface) -> stream.Interface:
        """Spikes of inner neurons, told outside; gives the stream of all."""
        form = self._format
        m.submodules.told = told = Filter(form.neurons.neurons, form.inner, form.neurons.output_layout)
        m.submodules.fork = fork = Fork(form.neurons.neurons, 2, form.neurons.output_layout)
        wiring.connect(m, spikes, fork.i)
        wiring.connect(m, fork.o1, told.i)
        wiring.connect(m, told.o, wiring.flipped(self.inner))
        inner: stream.Interface = fork.o0
        return inner

    def _loop(self, m: Module, walk: stream.Interface, bank: NeuronBank, spikes: stream.Interface) -> None:
        """Spikes of the last population leave; the others' walk their rows, during which no input is taken."""
        first_output = self._format.neurons.bases[-1]
        locked = Signal(init=1)
        leaves = Signal()
        m.d.comb += [
            leaves.eq((spikes.payload.address >= first_output) | (spikes.payload.kind != TokenKind.EVENT)),
            self.o.valid.eq(spikes.valid & leaves),
            self.o.payload.kind.eq(spikes.payload.kind),
            self.o.payload.address.eq(spikes.payload.address - first_output),
        ]
        if self._format.neurons.gives_membranes:
            m.d.comb += [self.o.payload.last.eq(spikes.payload.last), self.o.payload.value.eq(spikes.payload.value)]
        with m.If(locked):
            m.d.comb += [
                walk.valid.eq(spikes.valid & ~leaves),
                walk.payload.kind.eq(TokenKind.EVENT),
                walk.payload.address.eq(spikes.payload.address),
            ]
        with m.Else():
            m.d.comb += [
                walk.valid.eq(self.i.valid),
                walk.payload.kind.eq(self.i.payload.kind),
                walk.payload.address.eq(self.i.payload.address + first_output),
                self.i.ready.eq(walk.ready),
            ]
            with m.If(self.i.valid & self.i.ready & (self.i.payload.kind != TokenKind.EVENT)):
                m.d.sync += locked.eq(1)
        with m.If(leaves):
            m.d.comb += spikes.ready.eq(self.o.ready)
        with m.Else():
            m.d.comb += spikes.ready.eq(walk.ready & locked)
        with m.If(bank.release):
            m.d.sync += locked.eq(0)

    def _return(
        self, m: Module, walk: stream.Interface, idle: Value, bank: NeuronBank, spikes: stream.Interface
    ) -> None:
        """Spikes leave and walk, and some of them walk for the next step."""
        form = self._format
        m.submodules.returns = returns = ReturnPath(form.inputs, form.neurons, form.own, form.waiting, self._family)
        wiring.connect(m, spikes, returns.spikes)
        wiring.connect(m, wiring.flipped(self.i), returns.i)
        wiring.connect(m, returns.walk, walk)
        wiring.connect(m, returns.o, wiring.flipped(self.o))
        m.d.comb += [
            returns.release.eq(bank.release),
            returns.waits.eq(bank.waits if form.neurons.returns else 0),
            bank.settled.eq(idle & returns.idle),
        ]

    def _trace(self, m: Module, bank: NeuronBank) -> None:
        """The bank's monitor, a port per population."""
        populations = self._format.neurons.populations
        for number, (population, base) in enumerate(zip(populations, self._format.neurons.bases, strict=True)):
            trace = getattr(self, f"trace{number}")
            neuron = bank.trace.neuron - base
            m.d.comb += [
                trace.valid.eq(bank.trace.valid & (neuron >= 0) & (neuron < population.neurons)),
                trace.neuron.eq(neuron[: address_bits(population.neurons)]),
                trace.membrane.eq(bank.trace.membrane),
                trace.spike.eq(bank.trace.spike),
            ]

"""A wide engine: taps, words of weights, and words of state of several neurons that are added to in one cycle.

What `spikeloom.hdl.engines.engine` is for one synapse at a time: it runs one population, or several in turn.
"""

from __future__ import annotations

from amaranth import Cat, EnableInserter, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family
from ..memories.spram import load_signature
from ..streams.beats import multiple
from ..streams.tokens import TokenKind, token_layout
from .tap_format import tap_layout
from .taps import TapGenerator
from .wide_bank import WideBank
from .wide_format import WideContents, WideFormat
from .wide_wires import is_of_the_step
from .words import Renumber, Skid, WordWalker


class WideEngine(wiring.Component):
    """Turns the events of the inputs into the spikes of its last population.

    =========== === ========================================================
    Port        Dir Meaning
    =========== === ========================================================
    i           in  stream of tokens over the inputs
    o           out stream of tokens over the neurons of the last population
    trace0, ... out monitors (`WideFormat.monitored`)
    load        in  words for SPRAMs, where weights lie there
    =========== === ========================================================

    A step takes, when nothing stalls, a cycle for each word that an event adds to and one for each word that a pass
    looks at, 11, and 2 for each population or some 16 for one that spikes go to; passes fill the cycles in which no
    taps are there, and where the inputs reach the first population alone those of the next step fill what later
    populations leave. Where it alternates, each of these takes two.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: WideFormat, contents: WideContents, family: Family) -> None:
        self._format = form
        self._contents = contents
        self._family = family
        ports: dict[str, In | Out] = {
            "i": In(stream.Signature(form.input_layout)),
            "o": Out(stream.Signature(form.output_layout)),
        }
        ports |= {f"trace{number}": Out(monitor) for number, monitor in enumerate(form.monitors)}
        super().__init__(ports | ({"load": In(load_signature())} if form.uses_spram else {}))

    def elaborate(self, platform: object) -> Module:
        bank = WideBank(self._format, self._contents, self._family)
        if not self._format.alternates:
            return self._parts(bank, wiring.flipped(self.i), wiring.flipped(self.o))
        m = Module()
        i, o = (getattr(self, name).signature.flip().create(path=(f"inner_{name}",)) for name in "io")
        m.submodules.turns = EnableInserter(bank.tick)(self._parts(bank, i, o))
        for name, memory in bank.outside.items():
            m.submodules[name] = memory
        m.d.sync += bank.tick.eq(~bank.tick)
        m.d.comb += [
            *(i.valid.eq(self.i.valid), i.payload.eq(self.i.payload), self.i.ready.eq(i.ready & bank.tick)),
            o.ready.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(bank.tick & o.ready):
            m.d.sync += [self.o.valid.eq(o.valid), self.o.payload.eq(o.payload)]
        return m

    def _parts(self, bank: WideBank, i: stream.Interface, o: stream.Interface) -> Module:
        """What is between the events of the inputs and the spikes."""
        m = Module()
        form = self._format
        watched = form.first_input if form.takes_ahead else None
        m.submodules.taps = taps = TapGenerator(form.taps, self._contents.taps, self._family, watched=watched)
        m.submodules.walker = walker = WordWalker(form.rows, form.taps.rows, form.words, form.weight_words)
        m.submodules.bank = bank
        keeps = not form.alternates  # what moves in every other cycle has the time for the way through
        m.submodules.skid = skid = Skid(tap_layout(form.taps.rows, form.words), keeps=keeps)
        wiring.connect(m, taps.o, skid.i)
        wiring.connect(m, skid.o, walker.i)
        wiring.connect(m, walker.o, bank.i)
        m.submodules.front = front = Skid(_steered_layout(form.taps.addresses), keeps=keeps)
        m.d.comb += [
            taps.i.valid.eq(front.o.valid),
            taps.i.payload.eq(front.o.payload.token),
            front.o.ready.eq(taps.i.ready),
        ]
        tap, work = skid.o.payload, walker.o.payload
        waits = skid.o.valid & is_of_the_step(form, tap.kind, tap.origin)
        if keeps:
            waits |= ~front.i.ready & front.o.payload.watched
        m.d.comb += bank.settled.eq(taps.idle & ~waits & ~(walker.o.valid & is_of_the_step(form, work.kind, work.word)))
        self._steer(m, front.i, bank, self._inputs(m, i), o)
        if form.uses_spram:
            wiring.connect(m, wiring.flipped(self.load), bank.load)
        for number in range(len(form.monitors)):
            wiring.connect(m, getattr(bank, f"trace{number}"), wiring.flipped(getattr(self, f"trace{number}")))
        return m

    def _steer(
        self, m: Module, front: stream.Interface, bank: WideBank, events: stream.Interface, o: stream.Interface
    ) -> None:
        """Spikes of the last population leave; the others' have taps, during which no input is taken, but where it
        `takes_ahead` those of the next step while there are no spikes."""
        spikes = bank.o
        locked = Signal(init=1)
        leaves = bank.last | (spikes.payload.kind != TokenKind.EVENT)
        returns, is_event = locked & spikes.valid & ~leaves, events.payload.kind == TokenKind.EVENT
        takes = ~locked | (bank.ahead & is_event & ~returns)
        m.d.comb += [
            o.valid.eq(spikes.valid & leaves),
            o.payload.kind.eq(spikes.payload.kind),
            o.payload.address.eq(self._outside(spikes.payload.lane, spikes.payload.name)),
            spikes.ready.eq(Mux(leaves, o.ready, locked & front.ready)),
            front.valid.eq(returns | (takes & events.valid)),
            front.payload.watched.eq(returns | ~is_event | (not self._format.takes_ahead)),
            events.ready.eq(takes & front.ready),
        ]
        token = front.payload.token
        with m.If(returns):
            m.d.comb += [
                token.kind.eq(TokenKind.EVENT),
                token.address.eq(Cat(spikes.payload.lane, spikes.payload.name)),
            ]
        with m.Else():
            m.d.comb += [
                token.kind.eq(events.payload.kind),
                token.address.eq(events.payload.address + self._first_input),
            ]
        with m.If(~locked & events.valid & events.ready & ~is_event):
            m.d.sync += locked.eq(1)
        with m.If(bank.release):
            m.d.sync += locked.eq(0)

    @property
    def _first_input(self) -> int:
        """What is added to the number of an input: nothing, where a table has it."""
        return 0 if self._format.renumbered else self._format.first_input

    def _inputs(self, m: Module, i: stream.Interface) -> stream.Interface:
        """The inputs as taps number them."""
        form = self._format
        if not form.renumbered:
            return i
        shape = form.memories(self._family)["inputs"]
        m.submodules.renumber = renumber = Renumber(form.inputs, shape, self._contents.inputs)
        wiring.connect(m, i, renumber.i)
        numbered: stream.Interface = renumber.o
        return numbered

    def _outside(self, lane: Value, name: Value) -> Value:
        """The number of a neuron of the last population outside the engine."""
        form = self._format
        if form.name_bits:
            return name + multiple(lane, form.layouts[-1].channels_apart)
        return Cat(lane, name) - form.bases[-1] * form.lanes


def _steered_layout(addresses: int) -> data.StructLayout:
    """A token for the taps, and whether a pass waits for what comes of it."""
    return data.StructLayout({"token": token_layout(addresses), "watched": 1})

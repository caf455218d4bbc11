"""Membranes out of a core: what an output population says where its membranes are its answer.

The pass of such a population gives every neuron's membrane to its output, as it gives spikes elsewhere: a membrane
waits where the output stalls, so that none is stored twice. `MembraneReadout` makes of them what is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from amaranth import Module, Mux, Signal
from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape, ShapedMemory
from ..streams.tokens import TokenKind, address_bits


class MembraneKind(StrEnum):
    """Which membranes of a sample are given: those after the last step, the largest, their sums, or all of them."""

    LAST = "membrane-last"
    MAX = "membrane-max"
    SUM = "membrane-sum"
    EVERY = "membranes"


@dataclass(frozen=True, kw_only=True)
class ReadoutFormat:
    """What a core gives out in place of spikes.

    A reading is a number of `value_bits`, two's complement, for each of the `outputs`, whose membranes have
    `membrane_bits`: one in every step by the kind `membranes`, else one in the last step of a sample. With
    `names_class` the end of a sample names the output with the largest reading, of several the lowest.
    """

    kind: MembraneKind
    outputs: int
    membrane_bits: int
    value_bits: int
    names_class: bool

    @property
    def every_step(self) -> bool:
        """Whether there are readings in every step."""
        return self.kind is MembraneKind.EVERY

    @property
    def value_bytes(self) -> int:
        """Bytes of a reading on the line."""
        return -(-self.value_bits // 8)

    @property
    def most_steps(self) -> int | None:
        """The steps of a sample up to which sums are exact; None where any number is."""
        return 1 << (self.value_bits - self.membrane_bits) if self.kind is MembraneKind.SUM else None

    @property
    def membrane_layout(self) -> data.StructLayout:
        """What comes in (`membrane_layout`)."""
        return membrane_layout(self.outputs, self.membrane_bits)

    @property
    def layout(self) -> data.StructLayout:
        """What goes out: `kind` in the two low bits, `address` above it, then `value`."""
        address = unsigned(address_bits(self.outputs))
        return data.StructLayout({"kind": TokenKind, "address": address, "value": signed(self.value_bits)})

    @property
    def keeps(self) -> bool:
        """Whether something is worked out over the steps of a sample."""
        return self.kind in (MembraneKind.MAX, MembraneKind.SUM)

    def memory(self, family: Family) -> MemoryShape | None:
        """What is kept from step to step, where anything is; of a single output in a register."""
        if not self.keeps or self.outputs == 1:
            return None
        return MemoryShape(family, self.outputs, self.value_bits, writable=True)


def membrane_layout(addresses: int, bits: int) -> data.StructLayout:
    """The payload of a stream of membranes: tokens whose EVENT is the membrane `value` of the neuron `address`; `last`
    marks those of a sample's last step."""
    return data.StructLayout(
        {"kind": TokenKind, "address": unsigned(address_bits(addresses)), "last": unsigned(1), "value": signed(bits)}
    )


class MembraneReadout(wiring.Component):
    """Makes readings of an output population's membranes.

    ==== === ====================================================================================================
    Port Dir Meaning
    ==== === ====================================================================================================
    i    in  stream of membranes (`membrane_layout`): in every step those of all neurons in order, then the end
    o    out stream of readings (`ReadoutFormat.layout`): an EVENT is the reading `value` of output `address`; they
             come in order, in the steps that have some. With `names_class` the address of END_OF_SAMPLE is the
             class, else, as of all other ends, nothing
    ==== === ====================================================================================================

    Latency 0 cycles, throughput one token per cycle; a membrane that makes no reading is taken at once. The largest and
    the sum so far lie in a memory of a word per output, which the first step of a sample replaces. After a reset and an
    ABORT, which is passed on, a sample starts anew.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, form: ReadoutFormat, family: Family) -> None:
        self._form = form
        self._family = family
        super().__init__({"i": In(stream.Signature(form.membrane_layout)), "o": Out(stream.Signature(form.layout))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form, token, reading = self._form, self.i.payload, self.o.payload
        is_membrane = token.kind == TokenKind.EVENT
        moves = Signal()
        taken = is_membrane & moves
        dropped = Signal()
        value = self._so_far(m, moves, taken) if form.keeps else token.value
        if not form.every_step:
            m.d.comb += dropped.eq(is_membrane & ~token.last)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & ~dropped),
            self.i.ready.eq(self.o.ready | dropped),
            moves.eq(self.i.valid & self.i.ready),
            reading.kind.eq(token.kind),
            reading.address.eq(token.address),
            reading.value.eq(value),
        ]
        if form.names_class:
            self._name_class(m, taken)
        return m

    def _so_far(self, m: Module, moves: Value, taken: Value) -> Value:
        """The membrane at the input joined with what was kept of the steps before, which it replaces there."""
        form, token = self._form, self.i.payload
        first = Signal(init=1)  # the step begins a sample
        with m.If(moves & (token.kind != TokenKind.EVENT)):
            m.d.sync += first.eq(token.kind != TokenKind.END_OF_STEP)
        joined = Signal(signed(form.value_bits))
        kept = self._kept(m, joined, taken)
        if form.kind is MembraneKind.SUM:
            m.d.comb += joined.eq(token.value + Mux(first, 0, kept))
        else:
            m.d.comb += joined.eq(Mux(first | (token.value > kept), token.value, kept))
        return joined

    def _kept(self, m: Module, joined: Value, taken: Value) -> Value:
        """What was kept of the output whose membrane comes, ahead of it; `joined` takes its place.

        Membranes come in order, so that the next output's word is read while this one's is written.
        """
        form, address = self._form, self.i.payload.address
        shape = form.memory(self._family)
        if shape is None:
            register = Signal(signed(form.value_bits))
            with m.If(taken):
                m.d.sync += register.eq(joined)
            return register
        m.submodules.kept = words = ShapedMemory(shape, transparent=False)
        due, after = Signal(len(address)), Signal(len(address))
        m.d.comb += after.eq(Mux(due == form.outputs - 1, 0, due + 1))
        with m.If(taken):
            m.d.sync += due.eq(after)
        m.d.comb += [
            words.read_enable.eq(1),
            words.read_address.eq(Mux(taken, after, due)),
            words.write_enable.eq(taken),
            words.write_address.eq(due),
            words.write_data.eq(joined),
        ]
        return words.read_data.as_signed()

    def _name_class(self, m: Module, taken: Value) -> None:
        """The output with the largest reading of a step is what its end names, if that is a sample's."""
        token, reading = self.i.payload, self.o.payload
        best, winner = Signal(signed(self._form.value_bits)), Signal.like(reading.address)
        with m.If(taken & ((token.address == 0) | (reading.value > best))):
            m.d.sync += [best.eq(reading.value), winner.eq(token.address)]
        with m.If(token.kind != TokenKind.EVENT):
            m.d.comb += reading.address.eq(winner)

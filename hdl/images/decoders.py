"""On-chip decoders: what the output spikes of a sample come to."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape
from ..neurons.readout import ReadoutFormat
from ..streams.tokens import TokenKind, token_layout
from .coding import Decoder, ImageCoding


class SpikeCollector(wiring.Component):
    """Joins the steps of a sample: its spikes, or readings, come as those of one step, so that a host can count them.

    ==== === ==================================================================
    Port Dir Meaning
    ==== === ==================================================================
    i    in  stream of tokens over the outputs, or of the payload `layout`
    o    out the same without END_OF_STEP
    ==== === ==================================================================

    Latency 0 cycles, throughput one token per cycle.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, outputs: int, layout: data.StructLayout | None = None) -> None:
        signature = stream.Signature(layout or token_layout(outputs))
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dropped = self.i.payload.kind == TokenKind.END_OF_STEP
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & ~dropped),
            self.i.ready.eq(self.o.ready | dropped),
        ]
        return m


def count_memory(outputs: int, most: int, family: Family) -> MemoryShape:
    """The memory that counts spikes, `most` of an output in a sample."""
    return MemoryShape(family, outputs, most.bit_length(), writable=True)


class ArgmaxDecoder(wiring.Component):
    """Counts the spikes of a sample and names the output with the most of them, of several the lowest.

    ==== === ============================================================================
    Port Dir Meaning
    ==== === ============================================================================
    i    in  stream of tokens over the outputs; at most `most` spikes per output and sample
    o    out stream of tokens: per sample one EVENT, the winner, and END_OF_SAMPLE
    ==== === ============================================================================

    A spike takes 3 cycles, the end of a sample 2 * outputs + 3. ABORT clears the counts and is passed on; so is a
    reset, which takes 2 * outputs + 1 cycles.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, outputs: int, most: int, family: Family) -> None:
        self._outputs = outputs
        self._shape = count_memory(outputs, most, family)
        signature = stream.Signature(token_layout(outputs))
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._shape.width
        # Not a ShapedMemory: writes and reads never meet, so none of its bypass is needed.
        block = memory.Memory(shape=bits, depth=self._outputs, init=[], attrs={"ram_style": self._shape.style})
        m.submodules.counts = block
        write, read = block.write_port(), block.read_port()
        output = Signal.like(self.i.payload.address)
        most, winner = Signal(bits), Signal.like(output)
        end = Signal(TokenKind, init=TokenKind.END_OF_STEP)  # what is passed on after the scan: for END_OF_STEP nothing
        m.d.comb += [read.addr.eq(output), write.addr.eq(output), self.o.payload.address.eq(winner)]

        scanning = Signal(init=1)
        with m.FSM(init="READ"):
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [output.eq(self.i.payload.address), scanning.eq(0), end.eq(self.i.payload.kind)]
                with m.If(self.i.valid & (self.i.payload.kind != TokenKind.END_OF_STEP)):
                    m.next = "READ"
                with m.If(self.i.payload.kind != TokenKind.EVENT):
                    m.d.sync += [output.eq(0), most.eq(0), winner.eq(0), scanning.eq(1)]
            with m.State("READ"):
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += write.en.eq(1)
                m.next = "IDLE"
                with m.If(scanning):
                    m.d.sync += output.eq(output + 1)
                    m.next = "READ"
                    with m.If(read.data > most):
                        m.d.sync += [most.eq(read.data), winner.eq(output)]
                    with m.If(output == self._outputs - 1):
                        m.next = "IDLE"
                        with m.If(end == TokenKind.END_OF_SAMPLE):
                            m.next = "WINNER"
                        with m.Elif(end == TokenKind.ABORT):
                            m.next = "END"
                with m.Else():
                    m.d.comb += write.data.eq(read.data + 1)
            with m.State("WINNER"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.kind.eq(TokenKind.EVENT)]
                with m.If(self.o.ready):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.kind.eq(end)]
                with m.If(self.o.ready):
                    m.next = "IDLE"
        return m


class FirstSpikeDecoder(wiring.Component):
    """Names the output that spikes first in a sample, of several in one step the lowest; without any, output 0.

    ==== === ============================================================================
    Port Dir Meaning
    ==== === ============================================================================
    i    in  stream of tokens over the outputs
    o    out stream of tokens: per sample one EVENT, the winner, and END_OF_SAMPLE
    ==== === ============================================================================

    Throughput one token per cycle; the end of a sample takes a cycle more. ABORT is passed on.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, outputs: int) -> None:
        signature = stream.Signature(token_layout(outputs))
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        token = self.i.payload
        winner = Signal.like(token.address)
        fired, decided, named = Signal(), Signal(), Signal()  # in this step, in one before; the winner has left
        ends = (token.kind == TokenKind.END_OF_SAMPLE) | (token.kind == TokenKind.ABORT)
        names = (token.kind == TokenKind.END_OF_SAMPLE) & ~named
        m.d.comb += [
            self.o.valid.eq(self.i.valid & ends),
            self.o.payload.kind.eq(Mux(names, TokenKind.EVENT, token.kind)),
            self.o.payload.address.eq(winner),
            self.i.ready.eq(~ends | (self.o.ready & ~names)),
        ]
        with m.If(self.i.valid & ~ends):
            with m.If(token.kind == TokenKind.END_OF_STEP):
                m.d.sync += decided.eq(decided | fired)
            with m.Elif(~decided & (~fired | (token.address < winner))):
                m.d.sync += [winner.eq(token.address), fired.eq(1)]
        with m.If(self.i.valid & ends & self.o.ready):
            m.d.sync += named.eq(names)
            with m.If(~names):
                m.d.sync += [winner.eq(0), fired.eq(0), decided.eq(0)]
        return m


def create_decoder(
    outputs: int, coding: ImageCoding, family: Family, readout: ReadoutFormat | None = None, most_spikes: int = 1
) -> ArgmaxDecoder | SpikeCollector | FirstSpikeDecoder:
    """The decoder of a coding, for a core that gives readings where it has a `readout`, else spikes, `most_spikes` of
    an output in a step."""
    if coding.decoder is Decoder.ARGMAX:
        return ArgmaxDecoder(outputs, coding.steps * most_spikes, family)
    if coding.decoder is Decoder.FIRST_SPIKE:
        return FirstSpikeDecoder(outputs)
    return SpikeCollector(outputs, None if readout is None else readout.layout)

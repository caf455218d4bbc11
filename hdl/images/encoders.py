"""On-chip encoders: an image that is kept in block RAM becomes the events of every time step.

What they emit is defined in `spikeloom.compiler.data.images`, the reference that they are tested against.
"""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..memories.memory import Family, MemoryShape
from ..streams.tokens import TokenKind, address_bits, token_layout
from .coding import PIXEL_BITS, RATE_SEED, RATE_TAPS, Encoder, ImageCoding


class SpikeRule(wiring.Component):
    """How many events a pixel makes in a step.

    ======= === ==================================================
    Port    Dir Meaning
    ======= === ==================================================
    value   in  the pixel's upper bits
    events  out its events in this step, combinational
    pixel   in  the pixel has been taken: go on to the next
    step    in  the step is over: go on to the next
    restart in  begin an image
    ======= === ==================================================
    """

    value: Signal
    events: Signal
    pixel: Signal
    step: Signal
    restart: Signal

    def __init__(self, coding: ImageCoding) -> None:
        self._coding = coding
        super().__init__(
            {"value": In(coding.pixel_bits), "events": Out(coding.value_bits)}
            | {name: In(1) for name in ("pixel", "step", "restart")}
        )


class RateRule(SpikeRule):
    """One event where the pixel is above a pseudo-random number, a new one per pixel and step."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        length, tap = RATE_TAPS
        bits = Signal(length, init=RATE_SEED)  # the oldest lowest; the newest eight are the number
        newer = [bits[place] ^ bits[length - tap + place] for place in range(PIXEL_BITS)]
        m.d.comb += self.events.eq(self.value > bits[-PIXEL_BITS:])
        with m.If(self.restart):
            m.d.sync += bits.eq(RATE_SEED)
        with m.Elif(self.pixel):
            m.d.sync += bits.eq(Cat(bits[PIXEL_BITS:], newer))
        return m


class LatencyRule(SpikeRule):
    """One event in the first step in which the pixel reaches a threshold that falls from step to step."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        increment = self._coding.latency_increment
        # Pixel and fall together overflow when the pixel reaches 256 less the fall.
        fallen = Signal(2 * PIXEL_BITS, init=increment)
        fallen_before = Signal(PIXEL_BITS)
        reached, reached_before = Signal(), Signal()
        m.d.comb += [
            reached.eq((self.value + fallen[PIXEL_BITS:])[-1]),
            reached_before.eq((self.value + fallen_before)[-1]),
            self.events.eq(reached & ~reached_before),
        ]
        with m.If(self.restart):
            m.d.sync += [fallen.eq(increment), fallen_before.eq(0)]
        with m.Elif(self.step):
            m.d.sync += [fallen.eq(fallen + increment), fallen_before.eq(fallen[PIXEL_BITS:])]
        return m


class DirectRule(SpikeRule):
    """As many events as the pixel's upper bits say, in every step."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.events.eq(self.value)
        return m


RULES: dict[Encoder, type[SpikeRule]] = {
    Encoder.RATE: RateRule,
    Encoder.LATENCY: LatencyRule,
    Encoder.DIRECT: DirectRule,
}


def pixel_memory(pixels: int, coding: ImageCoding, family: Family) -> MemoryShape:
    """The memory that holds an image."""
    return MemoryShape(family, 1 << address_bits(pixels), coding.pixel_bits, writable=True)


def sample_cycles(pixels: int, coding: ImageCoding) -> int:
    """Cycles that an encoder takes for an image, besides one per event, where the core keeps up."""
    return coding.steps * (pixels + 3)


def image_signature() -> wiring.Signature:
    """How an image gets into an encoder, from the sender's side.

    ======== === ====================================================================================
    Port     Dir Meaning
    ======== === ====================================================================================
    idle     in  an image may be written; else one is being emitted, and the next three do nothing
    complete in  all its pixels are there, while `idle`
    write    out `value` is the next pixel; ignored where all are there
    value    out the pixel
    forget   out the next pixel is the first
    start    out emit the image, which must be complete
    ======== === ====================================================================================
    """
    return wiring.Signature(
        {
            "idle": In(1),
            "complete": In(1),
            "write": Out(1),
            "value": Out(PIXEL_BITS),
            "forget": Out(1),
            "start": Out(1),
        }
    )


class ImageEncoder(wiring.Component):
    """Keeps an image and emits it, step by step, as a sample.

    ===== === ===================================
    Port  Dir Meaning
    ===== === ===================================
    image in  the image (`image_signature`)
    o     out stream of tokens over the pixels
    ===== === ===================================

    A step takes pixels + events + 3 cycles where the core keeps up. `o.valid` is a register, and `o.ready` reaches
    nothing but registers.
    """

    image: Any
    o: stream.Interface

    def __init__(self, pixels: int, coding: ImageCoding, family: Family) -> None:
        self._pixels = pixels
        self._coding = coding
        self._shape = pixel_memory(pixels, coding, family)
        super().__init__({"image": In(image_signature()), "o": Out(stream.Signature(token_layout(pixels)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        image = self.image
        # Not a ShapedMemory: writes and reads never meet, so none of its bypass is needed.
        style = {"ram_style": self._shape.style}
        block = memory.Memory(shape=self._shape.width, depth=self._shape.depth, init=[], attrs=style)
        m.submodules.block = block
        write, read = block.write_port(), block.read_port()
        m.submodules.rule = rule = RULES[self._coding.encoder](self._coding)

        # A pixel is written two places below its number. It is read, judged in the next cycle and offered in the one
        # after, when `place` has moved on to its number.
        bits = address_bits(self._pixels + 2)
        first = Const((1 << bits) - 2, bits)
        place = Signal(bits, init=first.value)
        all_read = place == (self._pixels - 2) % (1 << bits)
        step = Signal(range(self._coding.steps))
        is_last_step = step == self._coding.steps - 1
        m.d.comb += [
            write.addr.eq(place),
            write.data.eq(image.value[-self._shape.width :]),
            read.addr.eq(place),
            read.en.eq(0),
            rule.value.eq(read.data),
            image.complete.eq(all_read),
            self.o.payload.address.eq(place),
        ]
        repeats = Signal(self._coding.value_bits)  # events of the pixel still to come
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [repeats.eq(repeats - 1), self.o.valid.eq(repeats > 1)]

        read_before = Signal()
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [image.idle.eq(~self.o.valid), rule.restart.eq(1)]
                with m.If(image.idle & image.write & ~all_read):
                    m.d.comb += write.en.eq(1)
                    m.d.sync += place.eq(place + 1)
                with m.If(image.idle & (image.forget | image.start)):
                    m.d.sync += place.eq(first)
                with m.If(image.idle & image.start):
                    m.next = "SCAN"
            with m.State("SCAN"), m.If(~self.o.valid):
                m.d.comb += [read.en.eq(1), rule.pixel.eq(read_before)]
                m.d.sync += [place.eq(place + 1), read_before.eq(~all_read), self.o.payload.kind.eq(TokenKind.EVENT)]
                with m.If(read_before):
                    m.d.sync += [repeats.eq(rule.events), self.o.valid.eq(rule.events.any())]
                with m.If(all_read):
                    m.next = "END"
            with m.State("END"), m.If(~self.o.valid):
                m.d.comb += rule.step.eq(1)
                m.d.sync += [place.eq(first), repeats.eq(1), self.o.valid.eq(1), step.eq(step + 1)]
                m.d.sync += self.o.payload.kind.eq(TokenKind.END_OF_STEP)
                m.next = "SCAN"
                with m.If(is_last_step):
                    m.d.sync += [step.eq(0), self.o.payload.kind.eq(TokenKind.END_OF_SAMPLE)]
                    m.next = "IDLE"
        return m

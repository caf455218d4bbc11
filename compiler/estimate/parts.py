"""What a planned design is made of, counted in look-up tables, flip-flops and carries part by part.

Each part is a component's logic as its structure has it: a multiplexer or an adder takes one 4-input look-up table per
bit, a comparison two thirds of one, a constant table of 16 words one per bit. Synthesis does better here and worse
there: the factors by which each part is multiplied are measured (benchmarks/fit_estimates.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ...hdl.engines.bitmap_format import BitmapFormat
from ...hdl.engines.engine import Rows
from ...hdl.engines.row_format import RowFormat
from ...hdl.images.coding import PIXEL_BITS, RATE_TAPS, Decoder, Encoder, ImageCoding
from ...hdl.link.protocol import LinkFormat
from ...hdl.memories.memory import Family, MemoryShape
from ...hdl.memories.spram import SPRAM_DEPTH, SpramShape
from ...hdl.neurons.decay import signed_digits
from ...hdl.neurons.neuron_format import NeuronFormat
from ...hdl.streams.delays import DelayFormat, HistoryFormat
from ...hdl.streams.tokens import address_bits

DSP_PRODUCT_BITS = {Family.ICE40: 11, Family.ECP5: 9}
"""Multiplications with narrower results are built from logic."""

COMPARE = 2 / 3
"""Look-up tables per bit of a comparison."""


@dataclass
class Parts:
    """Look-up tables and flip-flops by part, bits of carry chains, ECP5's distributed RAMs of 16 words of 4 bits, block
    RAMs, and paths that may be the longest."""

    luts: dict[str, float] = field(default_factory=dict)
    ffs: dict[str, float] = field(default_factory=dict)
    carries: float = 0.0
    rams: float = 0.0
    blocks: int = 0
    paths: set[tuple[str, float, float]] = field(default_factory=set)

    def lut(self, part: str, count: float) -> None:
        self.luts[part] = self.luts.get(part, 0.0) + count

    def adder(self, part: str, bits: float) -> None:
        self.lut(part, bits)
        self.carries += bits

    def ff(self, part: str, count: float) -> None:
        self.ffs[part] = self.ffs.get(part, 0.0) + count

    def path(self, kind: str, levels: float, carries: float) -> None:
        """A path from register to register: look-up tables one behind the other, and bits of carry chains."""
        self.paths.add((kind, levels, carries))

    def join(self, module: Parts) -> None:
        """Count what a module is made of among the others."""
        for name, count in module.luts.items():
            self.lut(name, count)
        for name, count in module.ffs.items():
            self.ff(name, count)
        self.carries += module.carries
        self.rams += module.rams
        self.blocks += module.blocks
        self.paths |= module.paths


# ------------------------------------------------------------------------------------------------------ walker


def walker_parts(parts: Parts, form: Rows, family: Family) -> None:
    """A row walker (spikeloom.hdl.engines.rows, spikeloom.hdl.engines.bitmap_rows), its memories apart."""
    if isinstance(form, BitmapFormat):
        _bitmap_parts(parts, form)
    else:
        _compressed_parts(parts, form, family)
    if form.levels is not None:
        parts.lut("levels", form.weight_bits * 2 ** max(0, form.code_bits - 4))


def _bitmap_parts(parts: Parts, form: BitmapFormat) -> None:
    """The lowest bit that is set is found in a chunk, and taken out of it."""
    post, start = address_bits(form.post), form.start_bits
    chunks = (form.row_chunks - 1).bit_length()
    parts.lut("walker", 20)
    parts.adder("walker counters", start)
    parts.lut("walker loads", start)
    parts.lut("bitmap", 2 * form.chunk_bits + post)
    parts.lut("post", post * COMPARE)
    if chunks:
        parts.adder("walker counters", chunks)
        parts.adder("post", post)
    _directory_parts(parts, form.group, form.group - 1, form.length_bits, start)
    parts.ff("walker", start + form.chunk_bits + post + form.weight_bits + address_bits(form.rows) + 3 * chunks + 12)
    parts.path("walker", 4 + math.log2(form.chunk_bits) / 2 + bool(chunks), start)


def _directory_parts(parts: Parts, group: int, lengths: int, bits: int, start: int) -> None:
    """Where a row starts in its group: the rows before it, added up."""
    if group == 1:
        return
    parts.lut("directory masks", (group - 1) * bits)
    parts.lut("directory lengths", (lengths - group + 1) * (group - 1) * bits * 2 / 3)
    parts.adder("directory sums", (group - 2) * bits * 2)
    parts.adder("row start", start)
    parts.ff("walker", (group - 1).bit_length())


def _compressed_parts(parts: Parts, form: RowFormat, family: Family) -> None:
    row, post, start, length = address_bits(form.rows), address_bits(form.post), form.start_bits, form.length_bits
    parts.lut("walker", 20)
    parts.adder("walker counters", start + length)
    parts.lut("walker loads", start + length)
    parts.adder("post", post)
    parts.lut("post", post * (1 + COMPARE))
    parts.ff("walker", start + length + post + form.weight_bits + 14)
    _directory_parts(parts, form.group, form.group, length, start)
    if form.uniform:
        if not needs_dsp(form, family):
            parts.adder("multiply", (len(signed_digits(form.longest_row)) - 1) * start)
        parts.ff("walker", row)
    if len(form.sections) > 1:
        parts.lut("sections", (len(form.sections) - 1) * row * COMPARE + post * COMPARE)
        parts.ff("walker", 3 * len(form.sections).bit_length())
    if form.escapes:
        parts.lut("levels", form.index_bits / 3 + 2)
    groups = form.group_bits
    parts.path("walker", 3 + groups * (1 + (length > 3)) + (len(form.sections) > 1), start + groups * length / 2)


def needs_dsp(form: Rows, family: Family) -> bool:
    """Whether a row's start is a product that becomes a multiplier block, where the device has some."""
    wide = form.longest_row.bit_length() + address_bits(form.rows) >= DSP_PRODUCT_BITS[family]
    return form.uniform and len(signed_digits(form.longest_row)) > 1 and wide and family is Family.ECP5


# --------------------------------------------------------------------------------------------- queues and memories


def return_parts(parts: Parts, form: NeuronFormat) -> None:
    """Spikes that return (spikeloom.hdl.engines.returns), their queue apart, and what the bank then drops."""
    parts.lut("turns", 4 + form.neurons.bit_length() * COMPARE)
    parts.ff("bank", 1 + 2 * form.last_returns)


def delay_parts(parts: Parts, form: DelayFormat) -> None:
    """What keeps spikes for later steps (spikeloom.hdl.streams.delays), its memories apart."""
    neuron, row = address_bits(form.neurons), address_bits(form.rows)
    if not isinstance(form, HistoryFormat):
        count = (form.neurons * form.most).bit_length()
        parts.adder("delays", 2 * count)
        parts.lut("delays", 10 + count * COMPARE + count)
        parts.ff("delays", 2 * count + 4)
        return
    parts.adder("delays", neuron)
    parts.lut("delays", 16 + 2 * neuron + form.history_bits)
    parts.ff("delays", neuron + row + 6)
    if form.delay_bits:
        parts.lut("delay choice", form.count_bits * form.steps / 2)
    if not form.one_each:
        parts.adder("delays", row)
        parts.lut("delays", row)
        parts.ff("delays", row)
    if form.most > 1:
        parts.adder("delays", 2 * form.count_bits)
        parts.lut("delays", form.count_bits * (1 + COMPARE))
        parts.ff("delays", form.count_bits)


def queue_parts(parts: Parts, depth: int) -> None:
    """A queue (spikeloom.hdl.streams.token_queue), its memory apart."""
    bits = depth.bit_length() - 1
    parts.adder("queues", 2 * bits)
    parts.lut("queues", 6 + bits * COMPARE * 2)
    parts.ff("queues", 2 * bits + 1)


def memory_parts(parts: Parts, shape: MemoryShape, *, registered: bool = False) -> None:
    """A memory of block RAM or of logic; `registered` is one whose words come into registers first."""
    banks = -(-shape.depth // 16)
    if shape.style == "distributed":
        parts.lut("distributed choices", (banks - 1) * (shape.width + 1))
        parts.ff("tables", shape.width)
        parts.rams += banks * -(-shape.width // 4)
    elif shape.style == "logic":
        parts.lut("tables", shape.width * banks)
        parts.lut("table choices", shape.width * (banks - 1))
        parts.ff("tables", shape.width)
    else:
        bounds = [low for low, _ in shape.columns[1:]] + [shape.width]
        for (low, depth), high in zip(shape.columns, bounds, strict=True):
            blocks = -(-shape.depth // depth)
            parts.blocks += blocks
            parts.lut("stacked blocks", (blocks - 1) * (high - low) + blocks - 1)
            parts.ff("bank", (blocks - 1).bit_length())
            choice = (blocks - 1).bit_length()
            parts.path(*(("memory", choice, 0) if registered else ("entries", 3 + choice, 8)))


def spram_parts(parts: Parts, shape: SpramShape) -> None:
    """A memory in SPRAMs: an address to read or to load at, writes of one's own, the word chosen from banks and parts
    of words."""
    fields = shape.fields
    parts.lut("spram", 14 * len(fields) + 3 * shape.spram)
    for low, high, depth in fields:
        choices = -(-shape.depth // depth) * (depth // SPRAM_DEPTH)
        parts.lut("spram choices", (choices - 1) * (high - low))
        parts.ff("spram choices", (choices - 1).bit_length())


def flash_parts(parts: Parts, words: int) -> None:
    """The loader that fills SPRAMs from flash (spikeloom.hdl.link.flash_loader)."""
    bits = words.bit_length() + 4
    parts.lut("flash loader", 70)
    parts.adder("flash loader", bits)
    parts.ff("flash loader", 68 + bits)


# ---------------------------------------------------------------------------------------------------------- link


def link_parts(parts: Parts, link: LinkFormat) -> None:
    """The host link: of events, or of images with an encoder and a decoder."""
    inputs, outputs = address_bits(link.inputs), address_bits(link.outputs)
    parts.carries += 24
    if link.coding is not None:
        parts.path("image link", 0, 0)
        parts.lut("image link", 260 if link.packed else 230)
        parts.ff("image link", 136 if link.packed else 130)
        _encoder_parts(parts, inputs, link.coding)
        _decoder_parts(parts, outputs, link.coding, link.coding.steps * link.most_spikes)
        return
    parts.path("link", 0, 0)
    parts.lut("link", 280 if link.packed else 230)
    parts.ff("link", 152 if link.packed else 130)
    parts.lut("link addresses", inputs + outputs + 10 * (link.input_bytes - 1) + 10 * (link.output_bytes - 1))
    parts.ff("link addresses", inputs + max(0, outputs - 8))


def _encoder_parts(parts: Parts, inputs: int, coding: ImageCoding) -> None:
    """An encoder (spikeloom.hdl.images.encoders): a walk over the pixels, and the rule by which they spike."""
    steps, name = (coding.steps - 1).bit_length(), f"encoder {coding.encoder}"
    parts.adder("encoder", inputs + 1 + steps + coding.value_bits)
    parts.lut("encoder", 12 + (inputs + steps) * COMPARE)
    parts.ff("encoder", inputs + 1 + steps + coding.value_bits + 6)
    if coding.encoder is Encoder.RATE:
        parts.lut(name, PIXEL_BITS * (1 + COMPARE))
        parts.ff(name, RATE_TAPS[0])
    elif coding.encoder is Encoder.LATENCY:
        parts.adder(name, 4 * PIXEL_BITS)
        parts.ff(name, 3 * PIXEL_BITS)
    else:
        parts.lut(name, 2 * coding.value_bits)


def _decoder_parts(parts: Parts, outputs: int, coding: ImageCoding, most: int) -> None:
    """A decoder (spikeloom.hdl.images.decoders) of `most` spikes of an output; that of all spikes, or of readings, is a
    few gates."""
    if coding.decoder is Decoder.FIRST_SPIKE:
        parts.lut("decoder first spike", 8 + outputs * COMPARE)
        parts.ff("decoder first spike", outputs + 3)
    if coding.decoder is not Decoder.ARGMAX:
        return
    bits = most.bit_length()
    parts.adder("decoder argmax", outputs + bits)
    parts.lut("decoder argmax", 14 + bits * COMPARE + 2 * outputs)
    parts.ff("decoder argmax", 2 * outputs + bits + 6)

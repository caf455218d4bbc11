"""What a readout of membranes is made of (`spikeloom.hdl.neurons.readout`)."""

from __future__ import annotations

from ...hdl.memories.memory import Family
from ...hdl.neurons.readout import MembraneKind, ReadoutFormat
from ...hdl.streams.tokens import address_bits
from .parts import COMPARE, Parts, memory_parts


def readout_parts(parts: Parts, form: ReadoutFormat, family: Family) -> None:
    """A readout with its memory."""
    bits, address = form.value_bits, address_bits(form.outputs)
    parts.lut("readout", 4)
    if form.names_class:
        parts.lut("readout", bits * COMPARE + address + 4)
        parts.ff("readout", bits + address)
    if form.keeps:
        parts.lut("readout", bits * (1 + COMPARE) if form.kind is MembraneKind.MAX else bits)
        parts.adder("readout", bits)
        parts.ff("readout", 1 + address)
        parts.lut("readout", 2 * address)
        parts.path("decide", 2, bits * (1 + form.names_class))
    shape = form.memory(family)
    if shape is not None:
        memory_parts(parts, shape)


def readout_link_parts(parts: Parts, form: ReadoutFormat) -> None:
    """What a host link needs more for readings than for spikes: the bytes that wait, and the states that send them."""
    parts.lut("readout link", 8 * form.value_bytes + 4)
    parts.ff("readout link", max(0, form.value_bits - 8) + form.value_bytes)

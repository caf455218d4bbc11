"""What a fast engine has beside a sparse one: registers, what says that something waits, and shorter paths."""

from __future__ import annotations

from ...hdl.engines.engine import SparseFormat
from ...hdl.engines.row_format import RowFormat
from ...hdl.memories.memory import Family
from ...hdl.streams.tokens import address_bits
from .neurons import stage_paths
from .parts import Parts

CONTROL_LUTS = 10
"""Of the stages and what holds them."""


def fast_parts(parts: Parts, form: SparseFormat, family: Family) -> None:
    """What the registers of a fast engine take, added to the `parts` of one without, whose paths they cut."""
    rows, neurons = form.rows, form.neurons
    assert isinstance(rows, RowFormat)
    assert rows.registers is not None
    front, behind = rows.registers
    neuron, row = address_bits(neurons.neurons), rows.start_bits + rows.length_bits
    parts.lut("registers", CONTROL_LUTS + 2 * neuron)
    words = neurons.fast_bits(family) + neurons.parameter_bits
    parts.ff("registers", front * row + behind * rows.entry_bits + 3 * neuron + words)
    parts.paths = set()
    stage_paths(parts, "registers", neurons)

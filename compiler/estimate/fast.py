"""What a fast engine has beside a sparse one: registers, what says that something waits, and shorter paths."""

from __future__ import annotations

from ...hdl.engines.engine import SparseFormat
from ...hdl.engines.row_format import RowFormat
from ...hdl.memories.memory import Family
from ...hdl.streams.tokens import address_bits
from .parts import Parts

CONTROL_LUTS = 10
"""Of the stages and what holds them."""

LEVELS = {Family.ICE40: 2.5, Family.ECP5: 0.5}
"""Look-up tables of the longest path beyond those of the shortest that the tools find."""


def fast_parts(parts: Parts, form: SparseFormat, family: Family) -> None:
    """What the registers of a fast engine take, added to the `parts` of one without, whose paths they cut. A first
    guess, after two networks."""
    rows, neurons = form.rows, form.neurons
    assert isinstance(rows, RowFormat)
    assert rows.registers is not None
    front, behind = rows.registers
    neuron, row = address_bits(neurons.neurons), rows.start_bits + rows.length_bits
    state = neurons.fast_bits(family)
    parts.lut("registers", CONTROL_LUTS + 2 * neuron)
    parts.ff("registers", front * row + behind * rows.entry_bits + 3 * neuron + state + neurons.parameter_bits)
    parts.paths = {("registers", LEVELS[family], state)}

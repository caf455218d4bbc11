"""What a walker hands to the neurons: a post neuron and its weight."""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from .tokens import TokenKind, address_bits


def contribution_layout(post: int, weight_bits: int) -> data.StructLayout:
    """One beat from a row walker to the neurons: a token kind and, for EVENT, a weight for a post neuron.

    `repeats` says that the beat before was for the same one.
    """
    return data.StructLayout(
        {"kind": TokenKind, "post": unsigned(address_bits(post)), "weight": signed(weight_bits), "repeats": 1}
    )

"""What a walker hands to the neurons: a post neuron and its weight."""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from .tokens import TokenKind, address_bits


def contribution_layout(post: int, weight_bits: int, *, fast: bool = False) -> data.StructLayout:
    """One beat from a row walker to the neurons: a token kind and, for EVENT, a weight for a post neuron.

    `repeats` says that the beat before was for the same one. A fast walker says also for which the one was that was
    offered a cycle `before`, and in the cycle behind that whether its neuron `recurs`.
    """
    neuron = unsigned(address_bits(post))
    fields = {"kind": TokenKind, "post": neuron, "weight": signed(weight_bits), "repeats": 1}
    return data.StructLayout(fields | ({"recurs": 1, "before": neuron} if fast else {}))

"""The tokens that travel between the blocks of a core.

A stream of tokens carries one sample after another. Inside a step the order of events is free; a value above 1 is that
many events. `END_OF_SAMPLE` ends the last step too, so a sample of T steps holds T - 1 `END_OF_STEP` tokens and one
`END_OF_SAMPLE`. `ABORT` drops the sample under way: every block clears its state and passes the token on.

A wide stream carries several events per beat (`beat_layout`); its ends carry none either.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import unsigned
from amaranth.lib import data, enum


class TokenKind(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]
    """What a token says."""

    EVENT = 0
    END_OF_STEP = 1
    END_OF_SAMPLE = 2
    ABORT = 3


def address_bits(addresses: int) -> int:
    """The width of an address field for `addresses` neurons; at least 1."""
    return max(1, (addresses - 1).bit_length())


def token_layout(addresses: int) -> data.StructLayout:
    """The payload of a token stream over `addresses` neurons: `kind` in the two low bits, `address` above it."""
    return data.StructLayout({"kind": TokenKind, "address": unsigned(address_bits(addresses))})


def beat_layout(addresses: int, slots: int, banks: int | None = None) -> data.StructLayout:
    """The payload of a wide token stream over `addresses` neurons: up to `slots` events per beat.

    Slot s of an EVENT holds one if bit s of `mask` is set: that of address `rows[s] * banks + s % banks`. So every slot
    serves one bank of neurons only, and `slots / banks` slots serve each; `banks` is `slots` by default.
    """
    banks = slots if banks is None else banks
    if banks < 1 or slots < 1 or slots % banks:
        raise ValueError(f"the slots of a beat are a multiple of its banks: got {slots} slots for {banks} banks")
    row = unsigned(address_bits(-(-addresses // banks)))
    return data.StructLayout({"kind": TokenKind, "mask": unsigned(slots), "rows": data.ArrayLayout(row, slots)})


@dataclass(frozen=True, kw_only=True)
class BeatShape:
    """What a stream over `addresses` neurons brings at once: up to `slots` events, in `banks` of neurons."""

    addresses: int
    slots: int = 1
    banks: int = 1

    @property
    def layout(self) -> data.StructLayout:
        """The payload: a token for one event, else a beat (`beat_layout`)."""
        if self.slots == 1:
            return token_layout(self.addresses)
        return beat_layout(self.addresses, self.slots, self.banks)

    @property
    def ports(self) -> int:
        """Slots of each bank."""
        return self.slots // self.banks

    @property
    def row_bits(self) -> int:
        """The width of a slot's row, of one slot that of its address."""
        return address_bits(-(-self.addresses // self.banks))

"""Between token streams and wide ones, whose beats carry several events (`beat_layout`)."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .tokens import TokenKind, address_bits, beat_layout, token_layout


class BeatPacker(wiring.Component):
    """Tokens as beats of one event: a stream that brings one event per cycle could not fill more of a beat in time.

    ==== === ==============================
    Port Dir Meaning
    ==== === ==============================
    i    in  stream of tokens
    o    out the same as a stream of beats
    ==== === ==============================

    Latency 0 cycles, throughput one token per cycle. Raises ValueError unless `banks` is a power of two: its bits of an
    address then say the bank.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, addresses: int, slots: int, banks: int) -> None:
        if banks & (banks - 1):
            raise ValueError(f"tokens are packed for a power of two of banks: got {banks}; send beats instead")
        self._bank_bits = (banks - 1).bit_length()
        self._banks = banks
        super().__init__(
            {
                "i": In(stream.Signature(token_layout(addresses))),
                "o": Out(stream.Signature(beat_layout(addresses, slots, banks))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address = self.i.payload.address
        bank, row = address[: self._bank_bits], address[self._bank_bits :]
        m.d.comb += [
            self.i.ready.eq(self.o.ready),
            self.o.valid.eq(self.i.valid),
            self.o.payload.kind.eq(self.i.payload.kind),
            self.o.payload.mask.eq(Cat(bank == number for number in range(self._banks))),
            *(self.o.payload.rows[slot].eq(row) for slot in range(self._banks)),
        ]
        return m


class BeatUnpacker(wiring.Component):
    """The events of beats one by one, lowest slot first, as a stream of tokens.

    ==== === =============================================================
    Port Dir Meaning
    ==== === =============================================================
    i    in  stream of beats, one bank per slot; no EVENT has an empty mask
    o    out stream of tokens
    ==== === =============================================================

    Latency one cycle, throughput one token per cycle with no bubble between beats.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, addresses: int, slots: int) -> None:
        self._addresses = addresses
        self._slots = slots
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(addresses, slots))),
                "o": Out(stream.Signature(token_layout(addresses))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal()
        kind = Signal(TokenKind)
        mask = Signal(self._slots)
        row = self.i.payload.rows[0].shape()
        rows = [Signal(row, name=f"row{slot}") for slot in range(self._slots)]

        left = mask & (mask - 1)[: self._slots]
        is_last = (kind != TokenKind.EVENT) | ~left.any()
        addresses = [(number * self._slots + slot)[: address_bits(self._addresses)] for slot, number in enumerate(rows)]
        m.d.comb += [
            self.o.valid.eq(held),
            self.o.payload.kind.eq(kind),
            self.o.payload.address.eq(_first(mask, addresses)),
            self.i.ready.eq(~held | (self.o.ready & is_last)),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                held.eq(self.i.valid),
                kind.eq(self.i.payload.kind),
                mask.eq(self.i.payload.mask),
                *(number.eq(self.i.payload.rows[slot]) for slot, number in enumerate(rows)),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += mask.eq(left)
        return m


def multiple(value: Value, factor: int) -> Value:
    """`value * factor` by shifts and adds, for which synthesis might spend a multiplier block."""
    total: Value = Const(0, 0)
    for bit in range(factor.bit_length()):
        if factor >> bit & 1:
            total = total + (value << bit)
    return total


def _first(mask: Value, values: list[Value]) -> Value:
    """The value of the lowest set bit of `mask`, by a balanced tree."""
    if len(values) == 1:
        return values[0]
    half = (len(values) + 1) // 2
    return Mux(mask[:half].any(), _first(mask[:half], values[:half]), _first(mask[half:], values[half:]))

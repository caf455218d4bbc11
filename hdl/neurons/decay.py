"""The leak in hardware: decay(x) = x - ((x*c + r) >> k), by shifts and adds where c is one constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from amaranth import Const, Mux
from amaranth.hdl import Value

RoundingRule = Literal["nearest", "floor", "toward_zero"]


@dataclass(frozen=True, kw_only=True)
class DecayFormat:
    """Coefficient of the leak: `c` one constant, or None with `c_bits` where every neuron has its own."""

    c: int | None
    k: int
    rounding: RoundingRule
    c_bits: int = 0


def signed_digits(value: int) -> list[tuple[int, int]]:
    """The canonical signed digits of `value` >= 0 as (sign, shift), least significant first."""
    digits = []
    shift = 0
    while value:
        if value & 1:
            sign = 2 - (value & 3)
            digits.append((sign, shift))
            value -= sign
        value >>= 1
        shift += 1
    return digits


def _product(x: Value, c: int) -> Value:
    total: Value = Const(0)
    for sign, shift in signed_digits(c):
        total = total + (x << shift) if sign > 0 else total - (x << shift)
    return total


def decayed(x: Value, form: DecayFormat | None, c: Value) -> Value:
    """The signed value decay(x); `c` is the neuron's coefficient where `form.c` is None. None does not decay."""
    if form is None:
        return x
    if form.c is not None and form.rounding != "toward_zero":
        return _kept(x, form.c, form.k, (1 << form.k) >> 1 if form.rounding == "nearest" else 0)
    product = x * c if form.c is None else _product(x, form.c)
    if form.rounding == "nearest":
        product = product + ((1 << form.k) >> 1)
    elif form.rounding == "toward_zero":
        product = product + Mux(product < 0, (1 << form.k) - 1, 0)
    return x - (product >> form.k)


def _kept(x: Value, c: int, k: int, r: int) -> Value:
    """decay(x) for one `c`, as x - ((x*c + r) >> k) or, the same, (x*(2^k - c) + 2^k - 1 - r) >> k: whichever adds
    less."""
    kept, rest = (1 << k) - c, (1 << k) - 1 - r
    if len(signed_digits(kept)) + bool(rest) <= len(signed_digits(c)) + bool(r) + 1:
        return (_product(x, kept) + rest) >> k
    return x - ((_product(x, c) + r) >> k)

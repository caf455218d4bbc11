"""The leak in hardware: decay(x) = x - ((x*c + r) >> k), by shifts and adds where c is one constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from amaranth import Cat, Const, Mux
from amaranth.hdl import Value

RoundingRule = Literal["nearest", "floor", "toward_zero"]


@dataclass(frozen=True, kw_only=True)
class DecayFormat:
    """Coefficient of the leak: `c` one constant, or None with `c_bits` where every neuron has its own.

    The terms of one that is `paired` are added two by two where that can be: fewer cells, but slower.
    """

    c: int | None
    k: int
    rounding: RoundingRule
    c_bits: int = 0
    paired: bool = False

    @property
    def pairs(self) -> list[tuple[int, int]] | None:
        """The signed digits of `c` that are paired: the highest is below the unit of what is left."""
        if not self.paired or not self.c or self.rounding == "toward_zero":
            return None
        digits = signed_digits(self.c)
        return digits if digits[-1][1] < self.k else None


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
    if form.pairs is not None:
        return _paired(x, form.pairs, form.k, form.rounding)
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


def _paired(x: Value, digits: Sequence[tuple[int, int]], k: int, rounding: RoundingRule) -> Value:
    """decay(x) as (x*2^k - x*c + 2^k - 1 - r) >> k, its terms added two by two, each sum in one adder.

    The highest term of c is taken off x*2^k, whose low bits hold the constant. The others are added apart, and what
    lies below the highest is cut off before they are taken off: floor((m - y) / 2^n) is floor((m - floor(y)) / 2^n)
    where the low bits of the constant are all ones. So no adder is much wider than x.
    """
    *low, (_, top) = digits
    above = k - top
    constant = ((1 << above) >> (rounding == "nearest")) - 1
    rest = _sum(Cat(Const(constant, above), x).as_signed(), ~x, Const(1, 1))
    if low:
        sign, part, unit = _floored(x, low)
        if sign > 0:
            rest = _sum(rest, ~(part >> (top - unit)), Const(1, 1))
        else:
            rest = _sum(rest, part >> (top - unit), part[: top - unit].any())
    return rest >> above


def _floored(x: Value, digits: Sequence[tuple[int, int]]) -> tuple[int, Value, int]:
    """A sign, a value and the unit 2^n in which, signed, it is the sum of some digits of x*c, rounded down."""
    if len(digits) == 1:
        return digits[0][0], x, digits[0][1]
    half = len(digits) // 2
    low_sign, low = _whole(x, digits[:half])
    sign, high = _whole(x, digits[half:])
    cut = digits[half][1] - digits[0][1]
    if sign == low_sign:
        return sign, _sum(high, low >> cut, Const(0, 1) if sign > 0 else low[:cut].any()), digits[half][1]
    return sign, _sum(high, ~(low >> cut), Const(1, 1) if sign < 0 else ~low[:cut].any()), digits[half][1]


def _whole(x: Value, digits: Sequence[tuple[int, int]]) -> tuple[int, Value]:
    """The sum of some digits of x*c as a sign and a value, in units of the lowest."""
    if len(digits) == 1:
        return digits[0][0], x
    half = len(digits) // 2
    low_sign, low = _whole(x, digits[:half])
    sign, high = _whole(x, digits[half:])
    high = high << (digits[half][1] - digits[0][1])
    return sign, _sum(high, low, Const(0, 1)) if sign == low_sign else _sum(high, ~low, Const(1, 1))


def _sum(a: Value, b: Value, carry: Value) -> Value:
    """a + b + carry of signed values, in one adder that stays one: yosys would make a tree of full adders, which take
    two look-up tables a bit, of an adder behind another."""
    return (Cat(Const(1, 1), a).as_signed() + Cat(carry, b).as_signed()) >> 1

"""The leak in hardware equals its formula for every rounding rule."""

from __future__ import annotations

from itertools import pairwise

import pytest
from amaranth import Module, Signal
from amaranth.hdl import signed
from amaranth.sim import Simulator
from spikeloom.hdl.neurons.decay import DecayFormat, decayed, signed_digits


@pytest.mark.parametrize("value", range(300))
def test_signed_digits_add_up(value: int) -> None:
    digits = signed_digits(value)
    assert sum(sign << shift for sign, shift in digits) == value
    shifts = [shift for _, shift in digits]
    assert all(later - earlier > 1 for earlier, later in pairwise(shifts))  # canonical


@pytest.mark.parametrize("rounding", ["nearest", "floor", "toward_zero"])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize(("c", "k"), [(0, 4), (1, 4), (7, 4), (13, 4), (16, 4), (1, 0), (0, 0), (205, 11)])
def test_decay(c: int, k: int, per_neuron: bool, rounding: str) -> None:
    check(DecayFormat(c=None if per_neuron else c, k=k, rounding=rounding, c_bits=8 if per_neuron else 0), c)


PAIRS = [
    (0, 4),
    (1, 4),
    (3, 2),
    (5, 4),
    (7, 4),
    (11, 5),
    (13, 4),
    (16, 4),
    (1, 0),
    (1, 12),
    (27, 12),
    (205, 11),
    (307, 10),
]
"""With the lowest term added or taken off, before one of either sign; none; and those that cannot be paired."""


@pytest.mark.parametrize("rounding", ["nearest", "floor", "toward_zero"])
@pytest.mark.parametrize(("c", "k"), PAIRS)
def test_paired_decay(c: int, k: int, rounding: str) -> None:
    check(DecayFormat(c=c, k=k, rounding=rounding, paired=True), c)


def check(form: DecayFormat, c: int) -> None:
    k, rounding = form.k, form.rounding
    x, coefficient = Signal(signed(9)), Signal(9)
    m = Module()
    out = Signal(signed(12))
    m.d.comb += out.eq(decayed(x, form, coefficient))

    async def compare(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(coefficient, c)
        for value in range(-256, 256):
            ctx.set(x, value)
            r = {"nearest": (1 << k) >> 1, "floor": 0, "toward_zero": (1 << k) - 1 if value * c < 0 else 0}[rounding]
            assert ctx.get(out) == value - ((value * c + r) >> k)

    simulator = Simulator(m)
    simulator.add_testbench(compare)
    simulator.run()


def test_no_decay() -> None:
    x = Signal(signed(4))
    assert decayed(x, None, Signal(1)) is x

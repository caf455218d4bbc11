"""Leaks of a bank whose rules differ: each constant is built once, though one rule's membranes leak by it and another's
currents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from amaranth import Module, Signal
from amaranth.hdl import Value, signed

from .decay import DecayFormat, decayed, signed_digits
from .dynamics import Leak


@dataclass
class _Unit:
    """decay(x) by one constant, or by one parameter `c`: of what each rule, by its number, asks for, and so many bits
    of it."""

    form: DecayFormat
    c: Value
    asked: dict[int, tuple[Value, int, Signal]] = field(default_factory=dict)

    def takes(self, rule: int, x: Value, form: DecayFormat, c: Value) -> bool:
        """Whether a rule's x may go through it as well: nothing else of that rule does, and choosing among operands is
        cheaper than the sums that it spares."""
        if self.form != form or rule in self.asked or (form.c is None and self.c is not c):
            return False
        sums = form.c is None or len(signed_digits(form.c)) > 1
        return sums or all(other is x for other, _, _ in self.asked.values())


class SharedLeaks:
    """The leaks of several rules, of which one neuron after the other needs those of one.

    `of` gives a rule's `Leak`; when all have asked for theirs, `build` makes them. `choose` picks of one value per rule
    that of the neuron.
    """

    def __init__(self, choose: Callable[[Sequence[Value]], Value]) -> None:
        self._choose = choose
        self._units: list[_Unit] = []

    @property
    def units(self) -> int:
        """How many leaks are built."""
        return len(self._units)

    def of(self, rule: int, bits: int) -> Leak:
        """The leak of a rule's states, which have `bits`."""
        return partial(self._ask, rule, bits)

    def _ask(self, rule: int, bits: int, x: Value, form: DecayFormat | None, c: Value) -> Value:
        if form is None:
            return x
        unit = next((unit for unit in self._units if unit.takes(rule, x, form, c)), None)
        if unit is None:
            unit = _Unit(form, c)
            self._units.append(unit)
        left = Signal(signed(min(bits, len(x))), name="left")  # it lies between 0 and x
        unit.asked[rule] = (x, bits, left)
        return left

    def build(self, m: Module, rules: int) -> None:
        """Make the leaks of all `rules`. Of a state that several ask for, so many bits are taken as the widest has."""
        for unit in self._units:
            widths: dict[int, int] = {}
            for x, bits, _ in unit.asked.values():
                widths[id(x)] = max(bits, widths.get(id(x), 0))
            states = {id(x): x[: widths[id(x)]].as_signed() for x, _, _ in unit.asked.values()}
            operands = {rule: states[id(x)] for rule, (x, _, _) in unit.asked.items()}
            spare = next(iter(operands.values()))
            result = decayed(self._choose([operands.get(rule, spare) for rule in range(rules)]), unit.form, unit.c)
            m.d.comb += [left.eq(result) for _, _, left in unit.asked.values()]

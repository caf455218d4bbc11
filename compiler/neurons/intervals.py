"""Intervals of membranes on their way through a step: the domain in which proofs take it (`reachable`).

A step of intervals is taken once for each course that the spikes can take (`Course`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.arrays import IntArray
from ..ir.bounds import signed_bits
from ..ir.neurons import ResetPlace
from .contract import Leak, NeuronModel


@dataclass(frozen=True, eq=False)
class Interval:
    """The smallest and largest value of each neuron, int64 (n,)."""

    low: IntArray
    high: IntArray

    __array_ufunc__ = None

    @classmethod
    def at(cls, value: IntArray) -> Interval:
        """One value."""
        return cls(value, value)

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __radd__(self, value: IntArray) -> Interval:
        return Interval(value + self.low, value + self.high)

    def __sub__(self, value: IntArray | Interval) -> Interval:
        return Interval(self.low - _high(value), self.high - _low(value))

    def __rmul__(self, count: int) -> Interval:
        """So many times as much, 0 or more."""
        return Interval(count * self.low, count * self.high)

    def hull(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def at_most(self, value: IntArray) -> Interval:
        """What is not above `value`."""
        return Interval(self.low, np.minimum(self.high, value))

    def at_least(self, value: IntArray) -> Interval:
        """Raised to `value` where it is below."""
        return Interval(np.maximum(self.low, value), np.maximum(self.high, value))

    def above(self, value: IntArray) -> Interval:
        """What is above `value`."""
        return Interval(np.maximum(self.low, value + 1), self.high)

    def where(self, chosen: npt.NDArray[np.bool_], other: Interval) -> Interval:
        """This interval for the neurons that are `chosen`, the other one for the rest."""
        return Interval(np.where(chosen, self.low, other.low), np.where(chosen, self.high, other.high))

    def fits(self, bits: int) -> bool:
        """Whether two's complement of so many bits holds it."""
        return signed_bits(int(self.low.min()), int(self.high.max())) <= bits


def _low(value: IntArray | Interval) -> IntArray:
    return value.low if isinstance(value, Interval) else value


def _high(value: IntArray | Interval) -> IntArray:
    return value.high if isinstance(value, Interval) else value


class Course:
    """Intervals in a step in which neurons fired `before` or not and fire `now` or not: what is compared is narrowed to
    membranes that lead there. `now` None leaves open whether they fire. `adaptation` holds by how much thresholds are
    higher in any step, where they adapt: such a threshold is an interval itself.

    `possible` says which neurons can take the course; the one without spikes is never ruled out.
    """

    def __init__(self, before: bool, now: bool | None, adaptation: Interval | None = None) -> None:
        self.before = before
        self.now = now
        self.adaptation = adaptation
        self.possible: npt.NDArray[np.bool_] = np.ones((), np.bool_)

    def decayed(self, x: Interval, leak: Leak | None) -> Interval:
        """Every leak is monotone."""
        return x if leak is None else Interval(leak(x.low), leak(x.high))

    def left_by(self, model: NeuronModel, v: Interval, spiked: Any) -> tuple[Interval, int]:
        """V above the threshold has fired, but for the 0 that a sample starts from."""
        if self.before:
            return self._fired(model, v), 1
        return v.at_most(np.maximum(_high(model.threshold), 0)), 0

    def fires(self, model: NeuronModel, v: Interval) -> int:
        """As `before` says; V is not narrowed."""
        return int(self.before)

    def compared(self, model: NeuronModel, u: Interval) -> tuple[Interval, int]:
        """The membranes that fire, or do not."""
        if self.now is None:
            return u, 0
        return (self._fired(model, u), 1) if self.now else (u.at_most(_high(model.threshold)), 0)

    def repeated(self, model: NeuronModel, u: Interval, spiked: int) -> tuple[Interval, int]:
        """A neuron that stops before `max_spikes` is left at the threshold or below it, by less than one subtraction;
        one that does not subtracts so often. Where nothing is subtracted, it never stops."""
        if not spiked:
            return u, 0
        least = u - model.max_spikes * model.sub
        low = np.maximum(least.low, model.threshold + 1 - model.sub)
        high = np.minimum(np.maximum(least.high, model.threshold), u.high - model.sub)
        return Interval(low, high).where(np.broadcast_to(model.sub > 0, low.shape), least), 1

    def chosen(self, spiked: int, fired: IntArray, silent: Interval) -> Interval:
        """Spikes are known."""
        return Interval.at(fired) if spiked else silent

    def at_least(self, v: Interval, v_min: IntArray) -> Interval:
        """The floor is known."""
        return v.at_least(v_min)

    def adapted(self, model: NeuronModel, a: Interval, spiked: Any) -> Interval:
        """That of any step."""
        assert self.adaptation is not None
        return self.adaptation

    def _fired(self, model: NeuronModel, v: Interval) -> Interval:
        least = _low(model.threshold)
        self.possible = self.possible & (v.high > least)
        return v.above(least)


def courses(model: NeuronModel, adaptation: Interval | None = None) -> Iterator[Course]:
    """Every course of a step, the one without spikes first."""
    befores = (False,) if not model.spiking or model.reset_place is ResetPlace.SAME else (False, True)
    nows = (False, True) if model.spiking and model.reset_place is not ResetPlace.NEXT else (None,)
    return (Course(before, now, adaptation) for before, now in product(befores, nows))


def over(courses: Iterable[Course], after: Callable[[Course], Interval]) -> Interval:
    """What holds the values of all courses that a neuron can take."""
    found: Interval | None = None
    for course in courses:
        interval = after(course)
        found = interval if found is None else found.hull(interval).where(course.possible, found)
    assert found is not None
    return found

"""Which membranes a population can reach: the proofs by which states and accumulators are sized.

Exact Python integers or int64 with room, for the worst input that the network admits. Intervals of states go through
the step of `step`, once for each course that the spikes can take (`Course`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.arrays import IntArray
from ..ir.bounds import drive_bounds_per_neuron, signed_bits
from ..ir.fingerprint import fingerprint
from ..ir.network import Network, Population
from ..ir.neurons import IntegerDynamics, ResetPlace
from .contract import ContractForm, Leak, NeuronModel, integer_model
from .step import State, filtered, step

MAX_REACH_BITS = 32
"""A membrane that outgrows this many bits has no useful bound."""

MAX_PROOFS = 256
"""Populations whose proofs are kept."""


# ---------------------------------------------------------------------------------------------------- intervals


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

    def __sub__(self, value: IntArray) -> Interval:
        return Interval(self.low - value, self.high - value)

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


class Course:
    """Intervals in a step in which neurons fired `before` or not and fire `now` or not: what is compared is narrowed to
    membranes that lead there. `now` None leaves open whether they fire.

    `possible` says which neurons can take the course; the one without spikes is never ruled out.
    """

    def __init__(self, before: bool, now: bool | None) -> None:
        self.before = before
        self.now = now
        self.possible: npt.NDArray[np.bool_] = np.ones((), np.bool_)

    def decayed(self, x: Interval, leak: Leak | None) -> Interval:
        """Every leak is monotone."""
        return x if leak is None else Interval(leak(x.low), leak(x.high))

    def left_by(self, model: NeuronModel, v: Interval, spiked: Any) -> tuple[Interval, int]:
        """V above the threshold has fired, but for the 0 that a sample starts from."""
        if self.before:
            return self._fired(model, v), 1
        return v.at_most(np.maximum(model.threshold, 0)), 0

    def fires(self, model: NeuronModel, v: Interval) -> int:
        """As `before` says; V is not narrowed."""
        return int(self.before)

    def compared(self, model: NeuronModel, u: Interval) -> tuple[Interval, int]:
        """The membranes that fire, or do not."""
        if self.now is None:
            return u, 0
        return (self._fired(model, u), 1) if self.now else (u.at_most(model.threshold), 0)

    def chosen(self, spiked: int, fired: IntArray, silent: Interval) -> Interval:
        """Spikes are known."""
        return Interval.at(fired) if spiked else silent

    def at_least(self, v: Interval, floor: IntArray) -> Interval:
        """The floor is known."""
        return v.at_least(floor)

    def _fired(self, model: NeuronModel, v: Interval) -> Interval:
        self.possible = self.possible & (v.high > model.threshold)
        return v.above(model.threshold)


def _courses(model: NeuronModel) -> Iterator[Course]:
    """Every course of a step, the one without spikes first."""
    befores = (False,) if not model.spiking or model.reset_place is ResetPlace.SAME else (False, True)
    nows = (False, True) if model.spiking and model.reset_place is not ResetPlace.NEXT else (None,)
    return (Course(before, now) for before, now in product(befores, nows))


def _over(courses: Iterable[Course], after: Callable[[Course], Interval]) -> Interval:
    """What holds the values of all courses that a neuron can take."""
    found: Interval | None = None
    for course in courses:
        interval = after(course)
        found = interval if found is None else found.hull(interval).where(course.possible, found)
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------------------- proofs


class Growth:
    """The smallest interval that holds 0 and whatever a step makes of it, grown as far as anyone asks and no further.

    It ends where a step adds nothing; where it has not after `rounds`, nothing is known.
    """

    def __init__(self, step: Callable[[Interval], Interval], size: int, rounds: int) -> None:
        self._step = step
        self._reached = Interval.at(np.zeros(size, np.int64))
        self._rounds = rounds
        self._ended = False

    def within(self, bits: int) -> Interval | None:
        """The interval; None where it does not end or fit `bits`."""
        while not self._ended and self._rounds and self._reached.fits(bits):
            wider = self._reached.hull(self._step(self._reached))
            self._rounds -= 1
            self._ended = np.array_equal(self._reached.low, wider.low) and np.array_equal(
                self._reached.high, wider.high
            )
            self._reached = wider
        return self._reached if self._ended and self._reached.fits(bits) else None


class Proofs:
    """What can become of the neurons of a population whatever the input, as long as nothing saturates.

    The intervals of all states are pushed through the step, with the inputs anywhere in their bounds, until they stop
    growing: a proof, as every decay is monotone. They depend on the integer constants alone, neither on the width of
    the state nor on anything that hardware is made of, and are found once (`proofs_of`).
    """

    def __init__(self, model: NeuronModel, drive: Interval, rounds: int) -> None:
        self._model = model
        self._drive = drive
        self._rounds = rounds
        self._current: Growth | None = None
        if model.leak_syn is not None:
            self._current = Growth(lambda g: filtered(Course(False, None), model, g, drive)[0], len(drive.low), rounds)
        self._membranes: Growth | None = None

    def driven(self, bits: int) -> Interval | None:
        """What drives the membranes in a step, in a CubaLIF its g; None where nothing holds it within `bits`."""
        if not self._drive.fits(MAX_REACH_BITS + 1):
            return None
        return self._drive if self._current is None else self._current.within(bits)

    def membranes(self, bits: int) -> Interval | None:
        """Every V; None where nothing holds V, or the g of a CubaLIF, within `bits`."""
        drive = self.driven(bits)
        if drive is None:
            return None
        if self._membranes is None:
            model = replace(self._model, leak_syn=None)
            self._membranes = Growth(lambda v: _stepped(model, v, drive), len(drive.low), self._rounds)
        return self._membranes.within(bits)

    def states(self, bits: int) -> Interval | None:
        """Every V, and every g of a CubaLIF; None as for `membranes`."""
        membranes = self.membranes(bits)
        drive = None if self._current is None else self.driven(bits)
        return membranes if membranes is None or drive is None else membranes.hull(drive)


@dataclass(frozen=True)
class _Constants:
    """What proofs depend on; two are the same where their names are."""

    name: str
    model: NeuronModel = field(compare=False)
    drive: Interval = field(compare=False)
    rounds: int = field(compare=False)


@lru_cache(maxsize=MAX_PROOFS)
def _proofs(constants: _Constants) -> Proofs:
    return Proofs(constants.model, constants.drive, constants.rounds)


def proofs_of(network: Network, population: Population, rounds: int = 4_000) -> Proofs:
    """The proofs about an integer population: the same object for the same integer constants, in whatever network."""
    model = integer_model(_integer(population))
    lows, highs = drive_bounds_per_neuron(network, population)
    limit = 1 << 62
    drive = Interval(*(np.array([max(-limit, min(v, limit)) for v in ends], dtype=np.int64) for ends in (lows, highs)))
    return _proofs(_Constants(fingerprint(model, drive, rounds), model, drive, rounds))


def reachable_membranes(network: Network, population: Population, rounds: int = 4_000) -> tuple[int, int] | None:
    """The smallest and largest state (V, and g of a CubaLIF) reachable after any number of steps without saturation.

    None where it outgrows every membrane, or still grows after `rounds` (no leak, or nearly none).
    """
    reach = proofs_of(network, population, rounds).states(MAX_REACH_BITS + 1)
    return None if reach is None else (int(reach.low.min()), int(reach.high.max()))


def saturates(network: Network, population: Population) -> bool:
    """Whether a membrane might reach its bounds: False where a proof excludes it (`Proofs`)."""
    return proofs_of(network, population).membranes(_integer(population).state_bits) is None


def silent_neurons(network: Network, population: Population, rounds: int = 4_000) -> npt.NDArray[np.bool_]:
    """The integer neurons (n,) that are proven never to fire, whatever the input.

    As long as a neuron is silent, no step takes its membrane above what the decayed largest one and the largest input
    come to. Where that stops growing without having passed `fire`, the neuron stays silent for ever. Where it has not
    stopped after `rounds` nothing is proven.
    """
    model = integer_model(_integer(population))
    silent = np.ones(population.size, np.bool_)
    if not model.spiking:
        return silent
    driven = proofs_of(network, population, rounds).driven(MAX_REACH_BITS + 1)
    if driven is None:
        return ~silent
    drive = driven.high
    highest = np.zeros(population.size, np.int64)
    if model.reset_place is ResetPlace.SNNTORCH_SAME:
        silent &= highest <= model.threshold  # V itself is compared at the start of a step
    for _ in range(rounds):
        compared = (highest if model.leak is None else model.leak(highest)) + drive
        silent &= compared <= model.threshold
        higher = np.where(silent, np.maximum(highest, compared), highest)
        if np.array_equal(higher, highest):
            return silent
        growing, highest = higher > highest, higher
    return silent & ~growing


def may_fire(form: ContractForm, x_max: int) -> npt.NDArray[np.bool_]:
    """The real neurons (n,) whose membrane reaches the threshold where all inputs with positive weights are x_max.

    The others never fire, whatever the input.
    """
    pairs = zip(form.projections, form.weights, strict=True)
    membrane = sum(p.connectivity.input_bounds(w)[1] for p, w in pairs) * x_max + np.maximum(form.bias, 0)
    for keep in (form.alpha, form.beta):
        if keep is not None:
            membrane = np.where(keep < 1, membrane / np.where(keep < 1, 1 - keep, 1), np.where(membrane > 0, np.inf, 0))
    reaches: npt.NDArray[np.bool_] = membrane >= form.threshold
    return reaches


def accumulator_bits(network: Network, population: Population) -> int:
    """The two's complement width in which no sum inside a step overflows, before the bias is added.

    What the sum starts from is the decayed membrane less a delayed reset: any that is reachable where saturation is
    excluded, else any that the membrane's width holds.
    """
    dynamics = _integer(population)
    membranes = proofs_of(network, population).membranes(dynamics.state_bits)
    if membranes is None:
        limit = 1 << (dynamics.state_bits - 1)
        size = population.size
        membranes = Interval(np.full(size, -limit, dtype=np.int64), np.full(size, limit - 1, dtype=np.int64))
        if dynamics.v_min is not None:
            membranes = membranes.at_least(dynamics.v_min)
    start = _started(integer_model(dynamics), membranes)
    low, high = _without_bias(network, population)
    return signed_bits(int(min(start.low + low)), int(max(start.high + high)))


def _integer(population: Population) -> IntegerDynamics:
    assert isinstance(population.dynamics, IntegerDynamics)
    return population.dynamics


def _stepped(model: NeuronModel, v: Interval, drive: Interval) -> Interval:
    """Bounds on V after a step from any V in `v` with any input in `drive`."""
    return _over(_courses(model), lambda course: step(course, model, State.cleared(v), drive).v)


def _started(model: NeuronModel, v: Interval) -> Interval:
    """Bounds on what a step starts from, after any V in `v` at the end of the step before."""
    rested = Course(False, None).decayed(v, model.leak)
    if not model.spiking or model.reset_place is ResetPlace.SAME:
        return rested
    nothing = Interval.at(np.zeros_like(v.low))
    # snntorch_same, too, takes sub where V is above fire
    late = replace(model, reset_place=ResetPlace.NEXT, leak_syn=None)
    return rested.hull(_over(_courses(late), lambda course: step(course, late, State.cleared(v), nothing).u))


def _without_bias(network: Network, population: Population) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    bias = np.broadcast_to(population.bias, (population.size,)).astype(object)
    low, high = drive_bounds_per_neuron(network, population)
    return np.array(low, dtype=object) - bias, np.array(high, dtype=object) - bias

"""Which membranes a population can reach: the proofs by which states and accumulators are sized.

Exact Python integers or int64 with room, for the worst input that the network admits. Intervals of states go through
the step of `step`, once for each course that the spikes can take (`intervals`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import add

import numpy as np
import numpy.typing as npt

from ..ir.bounds import drive_bounds_per_neuron, signed_bits
from ..ir.fingerprint import fingerprint
from ..ir.network import Network, Population
from ..ir.neurons import Drive, IntegerDynamics, ResetPlace
from .contract import ContractForm, NeuronModel, integer_model
from .intervals import Course, Interval, courses, over
from .step import State, filtered, step

MAX_REACH_BITS = 32
"""A membrane that outgrows this many bits has no useful bound."""

MAX_PROOFS = 256
"""Populations whose proofs are kept."""


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
        self._adaptation: Growth | None = None
        if model.jump is not None:
            self._adaptation = Growth(lambda a: _adapted(model, a), len(drive.low), rounds)
        self._membranes: Growth | None = None

    def driven(self, bits: int) -> Interval | None:
        """What drives the membranes in a step, in a CubaLIF its g; None where nothing holds it within `bits`."""
        if not self._drive.fits(MAX_REACH_BITS + 1):
            return None
        return self._drive if self._current is None else self._current.within(bits)

    def adaptation(self, bits: int) -> Interval | None:
        """By how much thresholds that adapt are ever higher; None where none do, or nothing holds it within `bits`."""
        return None if self._adaptation is None else self._adaptation.within(bits)

    def membranes(self, bits: int) -> Interval | None:
        """Every V; None where nothing holds V, the g of a CubaLIF or the adaptation of thresholds within `bits`."""
        drive, adaptation = self.driven(bits), self.adaptation(bits)
        if drive is None or (adaptation is None and self._adaptation is not None):
            return None
        if self._model.leak is None and self._model.v_min is None and np.any(drive.low < 0):
            return None  # nothing ends it: every step without a spike takes it lower
        if self._membranes is None:
            model = replace(self._model, leak_syn=None)
            self._membranes = Growth(lambda v: _stepped(model, v, drive, adaptation), len(drive.low), self._rounds)
        return self._membranes.within(bits)

    def states(self, bits: int) -> Interval | None:
        """Every V, and every g of a CubaLIF and a of thresholds that adapt; None as for `membranes`."""
        reach = self.membranes(bits)
        others = (None if self._current is None else self.driven(bits), self.adaptation(bits))
        for other in others:
            reach = reach if reach is None or other is None else reach.hull(other)
        return reach


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
    """The smallest and largest state (V, g, a) reachable after any number of steps without saturation.

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


def most_spikes(network: Network, population: Population) -> int:
    """How often a neuron of an integer population can fire in a step, as far as proofs know; `max_spikes` at most."""
    due = _due_spikes(network, population)
    return population.max_spikes if due is None else min(population.max_spikes, due)


def limits_spikes(network: Network, population: Population) -> bool:
    """Whether a neuron might fire more often in a step but for `max_spikes`: False where a proof excludes it."""
    due = _due_spikes(network, population)
    return due is None or due > population.max_spikes


def _due_spikes(network: Network, population: Population) -> int | None:
    """How often a neuron could fire in a step if nothing but its membrane ended it; None where nothing is known."""
    dynamics = _integer(population)
    proofs = proofs_of(network, population)
    membranes, drive = proofs.membranes(dynamics.state_bits), proofs.driven(dynamics.state_bits)
    if population.max_spikes == 1 or membranes is None or drive is None or np.any(dynamics.sub <= 0):
        return None
    compared = Course(False, None).decayed(membranes, integer_model(dynamics).leak).high + drive.high
    counts = -((dynamics.fire - compared) // dynamics.sub)
    return max(0, int(counts.max()))


def may_fire(form: ContractForm, largest_value: int) -> npt.NDArray[np.bool_]:
    """The real neurons (n,) whose membrane reaches the threshold where all that have positive weights into it have the
    largest value.

    The others never fire, whatever the input.
    """
    pairs = zip(form.projections, form.weights, strict=True)
    membrane = sum(p.connectivity.input_bounds(w)[1] for p, w in pairs) * largest_value + np.maximum(form.bias, 0)
    for keep in (form.alpha, form.beta):
        if keep is not None:
            membrane = np.where(keep < 1, membrane / np.where(keep < 1, 1 - keep, 1), np.where(membrane > 0, np.inf, 0))
    reaches: npt.NDArray[np.bool_] = membrane >= form.threshold
    return reaches


def current_saturates(network: Network, population: Population) -> bool:
    """Whether a synaptic current might reach its bounds: False where a proof excludes it (`Proofs`), and of neurons
    without currents."""
    dynamics = _integer(population)
    return dynamics.decay_syn is not None and proofs_of(network, population).driven(dynamics.state_bits) is None


def adaptation_saturates(network: Network, population: Population) -> bool:
    """Whether a threshold that adapts might reach the bounds of the state: False where a proof excludes it, and where
    none does."""
    dynamics = _integer(population)
    return dynamics.jump is not None and proofs_of(network, population).adaptation(dynamics.state_bits) is None


def adaptation_bits(network: Network, population: Population) -> int:
    """The two's complement width of how much higher thresholds that adapt ever are; 0 where none do."""
    dynamics = _integer(population)
    if dynamics.jump is None:
        return 0
    reach = proofs_of(network, population).adaptation(dynamics.state_bits)
    return dynamics.state_bits if reach is None else signed_bits(int(reach.low.min()), int(reach.high.max()))


def accumulator_bits(network: Network, population: Population) -> int:
    """The two's complement width in which no sum inside a step overflows, before the bias is added.

    What the sum starts from is the decayed membrane less a delayed reset: any that is reachable where saturation is
    excluded, else any that the membrane's width holds.
    """
    start = _start(network, population)
    low, high = _without_bias(network, population)
    return signed_bits(int(min(start.low + low)), int(max(start.high + high)))


def start_bits(network: Network, population: Population) -> int:
    """The two's complement width of what the membrane of a step starts from: decayed and less a delayed reset, with the
    synaptic current that the step before left to drive this one."""
    start = _start(network, population)
    if integer_model(_integer(population)).drive is Drive.OLD:
        start = start + _currents(network, population)
    return signed_bits(int(start.low.min()), int(start.high.max()))


def sum_bits(network: Network, population: Population) -> int:
    """The two's complement width of decay(g), of neurons without currents 0, and the bias and any contributions."""
    model = integer_model(_integer(population))
    left = Interval.at(np.zeros(population.size, np.int64))
    if model.leak_syn is not None:
        left = Course(False, None).decayed(_currents(network, population), model.leak_syn)
    low, high = drive_bounds_per_neuron(network, population)
    return signed_bits(min(map(add, left.low.tolist(), low)), max(map(add, left.high.tolist(), high)))


def _any_state(population: Population) -> Interval:
    """Whatever the width of the state holds."""
    limit = 1 << (_integer(population).state_bits - 1)
    return Interval(np.full(population.size, -limit, np.int64), np.full(population.size, limit - 1, np.int64))


def _integer(population: Population) -> IntegerDynamics:
    assert isinstance(population.dynamics, IntegerDynamics)
    return population.dynamics


def _start(network: Network, population: Population) -> Interval:
    """Bounds on the decayed membrane less a delayed reset."""
    dynamics = _integer(population)
    model, proofs = integer_model(dynamics), proofs_of(network, population)
    membranes, adaptation = proofs.membranes(dynamics.state_bits), proofs.adaptation(dynamics.state_bits)
    if model.jump is not None and adaptation is None:
        adaptation = _any_state(population)
    if membranes is None:
        membranes = _any_state(population)
        if dynamics.v_min is not None:
            membranes = membranes.at_least(dynamics.v_min)
        # a membrane that saturates has fired at its bound, too
        fired = np.minimum(model.threshold, (1 << (dynamics.state_bits - 1)) - 2)
        model = replace(model, threshold=Interval(fired, model.threshold))
    return _started(model, membranes, adaptation)


def _currents(network: Network, population: Population) -> Interval:
    """Bounds on g of a CubaLIF, from the start of a sample on."""
    driven = proofs_of(network, population).driven(_integer(population).state_bits)
    return _any_state(population) if driven is None else driven


def _adapted(model: NeuronModel, a: Interval) -> Interval:
    """Bounds on the adaptation in a step, with or without a spike in the step before."""
    assert model.jump is not None
    kept = Course(False, None).decayed(a, model.leak_a)
    return kept.hull(kept + Interval.at(model.jump))


def _stepped(model: NeuronModel, v: Interval, drive: Interval, adaptation: Interval | None) -> Interval:
    """Bounds on V after a step from any V in `v` with any input in `drive`."""
    return over(courses(model, adaptation), lambda course: step(course, model, State.cleared(v), drive).v)


def _started(model: NeuronModel, v: Interval, adaptation: Interval | None) -> Interval:
    """Bounds on what a step starts from, after any V in `v` at the end of the step before."""
    rested = Course(False, None).decayed(v, model.leak)
    if not model.spiking or model.reset_place is ResetPlace.SAME:
        return rested
    nothing = Interval.at(np.zeros_like(v.low))
    # snntorch_same, too, takes sub where V is above fire
    late = replace(model, reset_place=ResetPlace.NEXT, leak_syn=None)
    ways = courses(late, adaptation)
    return rested.hull(over(ways, lambda course: step(course, late, State.cleared(v), nothing).u))


def _without_bias(network: Network, population: Population) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    bias = np.broadcast_to(population.bias, (population.size,)).astype(object)
    low, high = drive_bounds_per_neuron(network, population)
    return np.array(low, dtype=object) - bias, np.array(high, dtype=object) - bias

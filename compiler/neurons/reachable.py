"""Which membranes a population can reach: the proofs by which states and accumulators are sized.

Exact Python integers or int64 with room, for the worst input that the network admits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..ir.arrays import IntArray
from ..ir.bounds import drive_bounds_per_neuron, signed_bits
from ..ir.network import Network, Population
from ..ir.neurons import Decay, IntegerDynamics, Kind, ResetMode, ResetPlace, Rounding
from .contract import Folded

Interval = tuple[IntArray, IntArray]
"""The smallest and largest value of each neuron, int64 (n,)."""


MAX_REACH_BITS = 32
"""A membrane that outgrows this many bits has no useful bound."""


def reachable_membranes(network: Network, population: Population, rounds: int = 4_000) -> tuple[int, int] | None:
    """The smallest and largest state (V, and g of a CubaLIF) reachable after any number of steps without saturation.

    The interval of all states is pushed through the step, with the inputs anywhere in their bounds, until it stops
    growing: a proof, as every decay is monotone. None where it outgrows every membrane, or still grows after `rounds`
    (no leak, or nearly none).
    """
    states = _reachable_states(network, population, rounds)
    if states is None:
        return None
    membranes, current = states
    reach = membranes if current is None else _hull(membranes, current)
    return int(reach[0].min()), int(reach[1].max())


def saturates(network: Network, population: Population) -> bool:
    """Whether a membrane might reach its bounds: False where a proof excludes it (`reachable_membranes`)."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    reach = reachable_membranes(network, population)
    return reach is None or signed_bits(*reach) > dynamics.state_bits


def may_fire(folded: Folded, x_max: int) -> npt.NDArray[np.bool_]:
    """The real neurons (n,) whose membrane reaches the threshold where all inputs with positive weights are x_max.

    The others never fire, whatever the input.
    """
    membrane = sum(np.maximum(w, 0).sum(axis=0) for w in folded.weights) * x_max + np.maximum(folded.bias, 0)
    for keep in (folded.alpha, folded.beta):
        if keep is not None:
            membrane = np.where(keep < 1, membrane / np.where(keep < 1, 1 - keep, 1), np.where(membrane > 0, np.inf, 0))
    reaches: npt.NDArray[np.bool_] = membrane >= folded.threshold
    return reaches


def _reachable_states(
    network: Network, population: Population, rounds: int = 4_000
) -> tuple[Interval, Interval | None] | None:
    """The intervals of V, and of g in a CubaLIF; None as for `reachable_membranes`."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    lows, highs = drive_bounds_per_neuron(network, population)
    if _too_large(min(lows), max(highs)):
        return None
    drive = np.array(lows, dtype=np.int64), np.array(highs, dtype=np.int64)
    current = None
    if dynamics.kind is Kind.CUBALIF:
        current = _grown(lambda g: _shifted(_decayed(g, dynamics.decay_syn), drive), drive, rounds)
        if current is None:
            return None
        drive = current
    membranes = _grown(lambda v: _stepped(dynamics, v, drive), drive, rounds)
    return None if membranes is None else (membranes, current)


def _too_large(low: int, high: int) -> bool:
    return max(-low, high) >= 1 << MAX_REACH_BITS


def _grown(step: Callable[[Interval], Interval], like: Interval, rounds: int) -> Interval | None:
    """The smallest interval that holds 0 and whatever `step` makes of it; None where it does not end."""
    reached = np.zeros_like(like[0]), np.zeros_like(like[1])
    for _ in range(rounds):
        wider = _hull(reached, step(reached))
        if all(np.array_equal(a, b) for a, b in zip(reached, wider, strict=True)):
            return reached
        if _too_large(int(wider[0].min()), int(wider[1].max())):
            return None
        reached = wider
    return None


def _hull(a: Interval, b: Interval) -> Interval:
    return np.minimum(a[0], b[0]), np.maximum(a[1], b[1])


def _shifted(a: Interval, b: Interval) -> Interval:
    return a[0] + b[0], a[1] + b[1]


def _decayed(x: Interval, leak: Decay | None) -> Interval:
    if leak is None:
        return x
    return _decay(x[0], leak), _decay(x[1], leak)


def _decay(x: IntArray, leak: Decay) -> IntArray:
    product = x * leak.c
    if leak.rounding is Rounding.NEAREST:
        product = product + ((1 << leak.k) >> 1)
    elif leak.rounding is Rounding.TOWARD_ZERO:
        product = product + np.where(product < 0, (1 << leak.k) - 1, 0)
    return x - (product >> leak.k)


def _stepped(dynamics: IntegerDynamics, v: Interval, drive: Interval) -> Interval:
    """Bounds on V after a step from any V in `v` with any input in `drive`."""
    free = _shifted(_decayed(v, dynamics.decay), drive)
    if dynamics.kind is Kind.LI:
        return free
    if dynamics.reset_place is ResetPlace.NEXT:
        return _stepped_next(dynamics, v, free, drive)
    return _stepped_same(dynamics, free)


def _stepped_same(dynamics: IntegerDynamics, free: Interval) -> Interval:
    """Reset `same` and `snntorch_same`, whose V is u, less sub where it fires.

    In `snntorch_same` a V above fire is compared after losing sub and gets it back where it does not fire: up to
    fire + sub stays without a spike.
    """
    (low, high), fire, sub = free, dynamics.fire, dynamics.sub
    kept = fire + np.maximum(sub, 0) if dynamics.reset_place is ResetPlace.SNNTORCH_SAME else fire
    silent = low, np.minimum(high, kept)
    if dynamics.reset_mode is ResetMode.VALUE:
        fired = dynamics.v_reset, dynamics.v_reset
    else:
        fired = np.maximum(low, fire + 1) - np.maximum(sub, 0), high - sub
    return _chosen(high - np.minimum(sub, 0) > fire, _hull(silent, fired), free)


def _stepped_next(dynamics: IntegerDynamics, v: Interval, free: Interval, drive: Interval) -> Interval:
    """Reset `next`: a V above fire (but for the 0 that a sample starts from) resets before this step's input."""
    fire = dynamics.fire
    below = v[0], np.maximum(np.minimum(v[1], fire), 0)
    above = np.maximum(v[0], fire + 1), v[1]
    silent = _shifted(_decayed(below, dynamics.decay), drive)
    if dynamics.reset_mode is ResetMode.VALUE:
        fired = _shifted(_decayed((dynamics.v_reset, dynamics.v_reset), dynamics.decay), drive)
    else:
        low, high = _shifted(_decayed(above, dynamics.decay), drive)
        fired = low - dynamics.sub, high - dynamics.sub
    return _chosen(v[1] > fire, _hull(silent, fired), free)


def _chosen(where: npt.NDArray[np.bool_], a: Interval, b: Interval) -> Interval:
    return np.where(where, a[0], b[0]), np.where(where, a[1], b[1])


def accumulator_bits(network: Network, population: Population) -> int:
    """The two's complement width in which no sum inside a step overflows, before the bias is added.

    What the sum starts from is the decayed membrane less a delayed reset: any that is reachable where saturation is
    excluded, else any that the membrane's width holds.
    """
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    states = None if saturates(network, population) else _reachable_states(network, population)
    if states is None:
        limit = 1 << (dynamics.state_bits - 1)
        size = population.size
        membranes = np.full(size, -limit, dtype=np.int64), np.full(size, limit - 1, dtype=np.int64)
    else:
        membranes = states[0]
    start = _started(dynamics, membranes)
    low, high = _without_bias(network, population)
    return signed_bits(int(min(start[0] + low)), int(max(start[1] + high)))


def _started(dynamics: IntegerDynamics, v: Interval) -> Interval:
    """Bounds on what a step starts from, after any V in `v` at the end of the step before."""
    rested = _decayed(v, dynamics.decay)
    place, mode = dynamics.reset_place, dynamics.reset_mode
    if dynamics.kind is Kind.LI or place is ResetPlace.SAME:
        return rested
    if mode is ResetMode.VALUE:
        return _hull(rested, _decayed((dynamics.v_reset, dynamics.v_reset), dynamics.decay))
    above = np.maximum(v[0], dynamics.fire + 1), v[1]
    low, high = _decayed(above, dynamics.decay)
    fired = low - dynamics.sub, high - dynamics.sub
    return _chosen(v[1] > dynamics.fire, _hull(rested, fired), rested)


def _without_bias(network: Network, population: Population) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    bias = np.broadcast_to(population.bias, (population.size,)).astype(object)
    low, high = drive_bounds_per_neuron(network, population)
    return np.array(low, dtype=object) - bias, np.array(high, dtype=object) - bias

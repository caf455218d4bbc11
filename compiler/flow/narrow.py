"""Narrower membranes where a block RAM hangs on them: a pass over the integer network, for a target and a folding.

Quantisation takes the fewest fraction bits that hardly change a spike, and knows no hardware. A state word that crosses
the edge of a block RAM costs a whole one, though, so that a bit less may be worth more changed spikes. The populations
of an engine share its state word: they are narrowed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...sim.float_executor import run_float
from ...sim.recording import Recording
from ...sim.reference import run_reference
from ..ir.arrays import IntArray, SpikeArray
from ..ir.network import Network, Population
from ..ir.neurons import IntegerDynamics
from ..lowering.quantise import MIN_STATE_BITS, tightened_network
from ..lowering.rehearsal import TOLERANCE

MAX_SAMPLES = 200
"""Samples on which spikes are compared."""

Price = Callable[[Network], int]
"""The block RAMs of an integer network's neurons, in the folding that it will have."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Narrow:
    """Takes fraction bits away, the same number of membrane bits with them, where that saves block RAMs by `price`.

    `source` is the float network that the integer one stands for, `spikes` samples [samples, steps, inputs]. The
    narrower network is taken if its spikes differ from the source's hardly more than those of the given one: by
    `TOLERANCE` of the source's spikes at most.
    """

    source: Network
    spikes: SpikeArray
    price: Price

    def __call__(self, network: Network) -> Network:
        """The narrowed network, or the given one where no block RAM is saved or the spikes need the bits."""
        candidates = list(_narrower(network))
        if not candidates:
            return network
        price = self.price(network)
        if self.price(candidates[-1]) >= price:
            return network
        spikes = self.spikes[:MAX_SAMPLES]
        reference = run_reference(network, spikes)
        same = all(p.size == network.size_of(p.name) for p in self.source.populations)
        target = run_float(self.source, spikes) if same else reference  # neurons may have been removed
        changed = _change(reference, target)
        allowed = changed + TOLERANCE
        best = network
        for candidate in candidates:  # ever narrower, so that each price is met by the widest that has it
            cost = self.price(candidate)
            if cost >= price:
                continue
            if _change(run_reference(candidate, spikes), target) > allowed:
                break
            best, price = candidate, cost
        return best


def _narrower(network: Network) -> Iterator[Network]:
    """The network with its widest membranes narrowed bit by bit, as far as the fraction bits go."""
    populations = [p for p in network.populations if not network.reads_membranes_of(p.name)]
    widest = max((_integer(p).state_bits for p in populations), default=0)
    for bits in range(widest - 1, MIN_STATE_BITS - 1, -1):
        excess = {p.name: max(0, _integer(p).state_bits - bits) for p in populations}
        if any(_integer(p).fraction_bits < excess[p.name] for p in populations):
            return
        yield _coarser(network, excess)


def _coarser(network: Network, less: dict[str, int]) -> Network:
    """The network with so many fraction bits less in each population."""
    result = replace(
        network,
        populations=tuple(_with_less(p, less.get(p.name, 0)) for p in network.populations),
        projections=tuple(replace(p, shift=p.shift - less.get(p.post, 0)) for p in network.projections),
    )
    return tightened_network(result)


def _with_less(population: Population, bits: int) -> Population:
    if bits == 0:
        return population
    dynamics = _integer(population)
    narrower = replace(
        dynamics,
        fire=dynamics.fire >> bits,  # u > fire on the coarser grid, exactly
        sub=_rounded(dynamics.sub, bits),
        v_reset=_rounded(dynamics.v_reset, bits),
        v_min=None if dynamics.v_min is None else _rounded(dynamics.v_min, bits),
        jump=None if dynamics.jump is None else _rounded(dynamics.jump, bits),
        state_bits=dynamics.state_bits - bits,
        fraction_bits=dynamics.fraction_bits - bits,
    )
    return replace(population, dynamics=narrower, bias=_rounded(population.bias, bits))


def _rounded(values: IntArray, bits: int) -> IntArray:
    """values / 2^bits to the nearest integer, ties up."""
    return np.asarray((values + (1 << bits >> 1)) >> bits)


def _integer(population: Population) -> IntegerDynamics:
    assert isinstance(population.dynamics, IntegerDynamics)
    return population.dynamics


def _change(recording: Recording, target: Recording) -> float:
    """The share of the target's spikes that changed, over all populations."""
    changed = fired = 0
    for name, expected in target.populations.items():
        changed += int(np.sum(recording.populations[name].spikes != expected.spikes))
        fired += int(np.sum(expected.spikes))
    return changed / max(1, fired)

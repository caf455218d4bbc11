"""The choice of leak and fraction bits on calibration samples: the cheapest that keep the spikes.

A population's integer forms run on the spikes that its sources fire in the float network, beside its real neurons with
the same quantised weights. What differs is due to leak and rounding alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..ir.arrays import FloatArray, SpikesByPopulation
from ..ir.connectivity import Quantised
from ..ir.network import Network
from ..ir.neurons import Decay, IntegerDynamics, Kind
from ..neurons.contract import ContractForm, integer_model
from ..neurons.currents import currents
from ..neurons.step import Response, respond
from .constants import integer_neurons
from .leak import Leaks, choose_decay, hardly_leaks, most_exact_decay

MAX_FRACTION_BITS = 12

TOLERANCE = 0.005
SHARE_OF_WEIGHTS = 1 / 8
"""A cheaper leak, or fewer fraction bits, may change this share of a population's spikes beyond the best choice, or
this share of what the weights' own rounding changes, whichever is more."""

FEW_SPIKES = 64
"""Fewer calibration spikes than this say nothing about a population."""


def slowest_leak(form: ContractForm) -> float:
    """The smallest positive 1 - beta, 1 - alpha or 1 - rho; a quarter where nothing leaks."""
    leaks = [1.0 - kept for kept in (form.beta, form.alpha, form.rho) if kept is not None]
    return min((float(x[x > 0].min()) for x in leaks if np.any(x > 0)), default=0.25)


def starting_fraction_bits(form: ContractForm) -> int:
    """log2(1/leak) + 2 for the slowest leak: below, nearest rounding lets a membrane of several units stand still."""
    return math.ceil(-math.log2(slowest_leak(form))) + 2


def may_integrate(form: ContractForm) -> bool:
    """Whether the neurons would be IF neurons without their leak: LIF neurons with one threshold."""
    return form.population.dynamics.kind is Kind.LIF and form.jump is None


@dataclass(frozen=True, eq=False)
class Trial:
    """One population on calibration samples: its integer forms against its real neurons with the same weights."""

    form: ContractForm
    scale: FloatArray
    drive: FloatArray
    """Integer sums of codes times inputs [steps, samples, neurons], without bias."""
    target: Response
    finest: int
    """The most fraction bits that are tried."""
    tolerance: float
    """What a cheaper choice may change beyond the best one."""

    @classmethod
    def of(
        cls,
        network: Network,
        form: ContractForm,
        weights: Sequence[Quantised],
        scale: FloatArray,
        sources: SpikesByPopulation,
        widest: int,
    ) -> Trial:
        codes = [w.codes.astype(np.float64) for w in weights]
        drive = currents(network, form, codes, np.zeros(len(scale)), sources)
        target = respond(form.model, drive * scale + form.bias)
        finest = min(MAX_FRACTION_BITS, widest, starting_fraction_bits(form) + 2)
        original = respond(form.model, currents(network, form, form.weights, form.bias, sources))
        tolerance = max(TOLERANCE, SHARE_OF_WEIGHTS * _change(target, original, form.read))
        return cls(form, scale, drive, target, finest, tolerance)

    @property
    def informative(self) -> bool:
        """Whether the samples say anything about this population."""
        if self.form.read:
            return bool(self.target.membranes.any())
        return bool(np.count_nonzero(self.target.spikes) >= FEW_SPIKES)

    def choose_leaks(self) -> Leaks:
        """The leaks of synapse, membrane and adaptation, each chosen while those that follow are exact.

        A membrane's leak that samples cannot show is none: without it neurons need no fraction bits for it.
        """
        form = self.form
        leaks = Leaks(
            membrane=most_exact_decay(form.beta) if form.leaky else None,
            adaptation=None if form.rho is None else most_exact_decay(form.rho),
        )
        if may_integrate(form) and hardly_leaks(form.beta, len(self.drive)):
            allowed = self.change(self.finest, leaks) + self.tolerance
            if self.change(self.finest, Leaks()) <= allowed:
                return Leaks()
        for name, kept in (
            ("synapse", form.alpha),
            ("membrane", form.beta if form.leaky else None),
            ("adaptation", form.rho),
        ):
            if kept is not None:
                measure = partial(self._change_with, leaks, name)
                leaks = leaks._replace(**{name: choose_decay(kept, measure, self.tolerance)})
        return leaks

    def _change_with(self, leaks: Leaks, name: str, decay: Decay) -> float:
        return self.change(self.finest, leaks._replace(**{name: decay}))

    def choose_fraction_bits(self, leaks: Leaks) -> int:
        """The fewest fraction bits that change hardly more spikes than the finest."""
        allowed = self.change(self.finest, leaks) + self.tolerance
        for fraction_bits in range(self.finest):
            if self.change(fraction_bits, leaks) <= allowed:
                return fraction_bits
        return self.finest

    def change(self, fraction_bits: int, leaks: Leaks) -> float:
        """The share of spikes that the integer form changes, or a readout's relative membrane error."""
        response = self._respond(fraction_bits, leaks)
        unit = self.scale / (1 << fraction_bits)
        return _change(replace(response, membranes=response.membranes * unit), self.target, self.form.read)

    def largest_state(self, fraction_bits: int, leaks: Leaks) -> float:
        """The largest magnitude of a state in membrane units."""
        return self._respond(fraction_bits, leaks).largest

    def _respond(self, fraction_bits: int, leaks: Leaks) -> Response:
        population = integer_neurons(self.form, self.scale, fraction_bits, leaks)
        assert isinstance(population.dynamics, IntegerDynamics)
        model = integer_model(population.dynamics).converted(lambda array: array.astype(np.float64))
        return respond(model, self.drive * (1 << fraction_bits) + population.bias)


def _change(response: Response, target: Response, read: bool) -> float:
    """The share of the target's spikes that changed, or a readout's relative root mean square membrane error."""
    if not read:
        return int(np.sum(response.spikes != target.spikes)) / max(1, int(np.sum(target.spikes)))
    power = float(np.mean(target.membranes**2))
    return math.sqrt(float(np.mean((response.membranes - target.membranes) ** 2)) / power) if power else 0.0

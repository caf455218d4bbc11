"""Neurons in integer membrane units, their constants rounded in exact arithmetic.

A membrane unit is scale / 2^F. `fire` decides on integer membranes exactly as the real threshold does; `sub`,
`v_reset`, `v_min`, `jump` and the bias are the nearest integers, ties up, so off by half a unit at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ...hdl.errors import ModelError, quoted
from ..ir.arrays import FloatArray, IntArray
from ..ir.bounds import signed_bits
from ..ir.connectivity import Quantised
from ..ir.network import Population
from ..ir.neurons import Fire, IntegerDynamics, Kind, ResetMode, several
from ..ir.verifier import MAX_STATE_BITS
from ..neurons.contract import ContractForm
from .leak import Leaks

NO_LEAKS = Leaks()


def integer_neurons(form: ContractForm, scale: FloatArray, fraction_bits: int, leaks: Leaks = NO_LEAKS) -> Population:
    """The integer population at `scale` (n,), the real value of a weight unit, with F fraction bits and these leaks.

    Its membranes have `MAX_STATE_BITS`; `with_state_bits` narrows them. LIF neurons without a leak are IF neurons.
    """
    real = form.population.dynamics
    assert not isinstance(real, IntegerDynamics)
    integrates = real.kind is Kind.LIF and leaks.membrane is None and form.jump is None

    def rounded(values: FloatArray) -> IntArray:
        return _in_units(values, scale, fraction_bits, _nearest)

    lowest = -(scale / (1 << fraction_bits)) * float(1 << MAX_STATE_BITS)  # no membrane comes as low
    dynamics = IntegerDynamics(
        kind=Kind.IF if integrates else real.kind,
        fire=_in_units(form.threshold, scale, fraction_bits, math.floor if form.fire is Fire.GT else _below),
        sub=rounded(form.sub),
        v_reset=rounded(form.v_reset),
        v_min=None if form.v_min is None else rounded(np.maximum(form.v_min, lowest)),
        max_spikes=several(form.max_spikes),
        jump=None if form.jump is None else rounded(form.jump),
        decay=leaks.membrane,
        decay_syn=leaks.synapse,
        decay_a=leaks.adaptation,
        drive=form.drive,
        reset_mode=ResetMode.VALUE if form.reset_mode is ResetMode.VALUE else ResetMode.SUBTRACT,
        reset_place=form.reset_place,
        state_bits=MAX_STATE_BITS,
        fraction_bits=fraction_bits,
        scale=scale,
    )
    return replace(form.population, dynamics=dynamics, bias=rounded(form.bias))


def constant_bits(population: Population) -> int:
    """The two's complement width that holds an integer population's constants, a floor apart: one below the width's
    range does nothing."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    values = [dynamics.fire, dynamics.sub, dynamics.v_reset, population.bias]
    values += [] if dynamics.jump is None else [dynamics.jump]
    return signed_bits(min(int(v.min()) for v in values), max(int(v.max()) for v in values))


def with_state_bits(population: Population, state_bits: int) -> Population:
    """The integer population with membranes of this width, and a floor no lower than they saturate."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    v_min = None if dynamics.v_min is None else np.maximum(dynamics.v_min, -(1 << (state_bits - 1)))
    return replace(population, dynamics=replace(dynamics, state_bits=state_bits, v_min=v_min))


def _nearest(value: Fraction) -> int:
    """Ties up."""
    return math.floor(value + Fraction(1, 2))


def _below(value: Fraction) -> int:
    """The largest integer below it."""
    return math.ceil(value) - 1


def _in_units(values: FloatArray, scale: FloatArray, fraction_bits: int, whole: Callable[[Fraction], int]) -> IntArray:
    """values / units made `whole`, exactly. What many neurons share, as those of a map do, is worked out once."""
    pairs, places = np.unique(np.stack([values, scale], axis=1), axis=0, return_inverse=True)
    units = [Fraction(value) / Fraction(unit) * (1 << fraction_bits) for value, unit in pairs.tolist()]
    return np.array([whole(value) for value in units], np.int64)[places.reshape(-1)]


def largest_constant(form: ContractForm) -> FloatArray:
    """The largest size of each neuron's real constants, (n,)."""
    constants = (form.threshold, form.sub, form.v_reset, form.bias, form.jump)
    return np.maximum.reduce([np.abs(x) for x in constants if x is not None])


def require_narrow(form: ContractForm, scale: FloatArray, most_bits: int) -> None:
    """ModelError where a constant, in units of `scale` (n,), is beyond membranes of `most_bits`."""
    units = largest_constant(form) / scale
    if float(units.max()) > 1 << (most_bits - 2):
        neuron = int(np.argmax(units))
        raise ModelError(
            f"a membrane has at most {most_bits} bits: a constant of neuron {neuron} of population "
            f"{quoted(form.population.name)} is {units[neuron]:.3g} times the scale of its weights; choose another "
            "method than keep, which gives them a coarser scale"
        )


def proven_bits(form: ContractForm, weights: Sequence[Quantised], largest_value: int) -> int:
    """A width that every membrane fits without fraction bits: the largest input, added up over the leak, and what a
    threshold that adapts adds up to, which a late reset subtracts."""
    pairs = zip(form.projections, weights, strict=True)
    drive = sum(p.connectivity.totals(np.abs(w.codes)).astype(np.float64) for p, w in pairs) * largest_value
    drive = drive + np.abs(form.bias) / weights[0].scale
    for keep in (form.alpha, form.beta):
        if keep is not None:
            drive = drive / np.where(keep < 1, 1.0 - keep, 1.0)
    if form.jump is not None and form.rho is not None:
        drive = drive + np.abs(form.jump) / weights[0].scale / np.where(form.rho < 1, 1.0 - form.rho, 1.0)
    return 2 + math.ceil(math.log2(max(1.0, float(drive.max()))))

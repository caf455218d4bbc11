"""The neurons of an engine, planned: widths, rules and parameter words from integer populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...hdl.memories.memory import LOGIC_ROM_LUTS
from ...hdl.neurons.decay import DecayFormat, RoundingRule
from ...hdl.neurons.neuron_format import AdaptationRule, CurrentRule, NeuronFormat, NeuronRule, PopulationFormat
from ..ir.arrays import IntArray
from ..ir.bounds import signed_bits
from ..ir.network import Network, Population
from ..ir.neurons import Decay, Drive, IntegerDynamics, Kind, ResetMode, ResetPlace
from ..neurons.reachable import (
    accumulator_bits,
    adaptation_bits,
    adaptation_saturates,
    current_saturates,
    limits_spikes,
    saturates,
    start_bits,
    sum_bits,
)


def plan_neurons(
    network: Network,
    populations: Sequence[Population],
    weight_bits: int,
    shifts: Sequence[int],
    *,
    overlaps: bool = False,
    skips: bool = False,
    lists: bool = False,
    gives_membranes: bool = False,
    chosen: IntArray | None = None,
    order: IntArray | None = None,
    logic_luts: int = LOGIC_ROM_LUTS,
    by_channel: bool = False,
    derives_floors: bool = False,
) -> tuple[NeuronFormat, tuple[int, ...]]:
    """The format and the parameter words of an engine's `populations`, whose contributions are shifted by `shifts`.

    Of a single population only the `chosen` neurons may be meant, in that order; those of all populations may lie in
    another `order` than their own, and share parameters then, with `by_channel` only those of a channel. Floors
    that are what a spike subtracts, negative, are no parameters where it `derives_floors`. `logic_luts` is as in
    MemoryShape.
    """
    currents = any(_integer(population).decay_syn is not None for population in populations)
    rules = [_rule(network, population, paired=currents) for population in populations]
    columns = [_parameters(population, rule) for population, rule in zip(populations, rules, strict=True)]
    values = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    picked = order if chosen is None else chosen
    if picked is not None:
        values = {name: value[picked] for name, value in values.items()}
    added_to = sum_bits if currents else accumulator_bits
    widths: dict[str, Any] = {f"{name}_bits": _field_bits(value) for name, value in values.items()}
    form = NeuronFormat(
        populations=tuple(
            PopulationFormat(neurons=population.size if chosen is None else len(chosen), shift=shift, rule=rule)
            for population, shift, rule in zip(populations, shifts, rules, strict=True)
        ),
        weight_bits=weight_bits,
        accumulator_bits=max(added_to(network, population) for population in populations),
        start_bits=max(start_bits(network, population) for population in populations) if currents else 0,
        **widths,
        adaptation_bits=max(adaptation_bits(network, population) for population in populations),
        unsigned=frozenset(name for name, value in values.items() if value.min() >= 0),
        overlaps=overlaps,
        skips=skips,
        lists=lists,
        gives_membranes=gives_membranes,
        floor_is_sub=derives_floors and _floors_are_subs(rules, columns),
        logic_luts=logic_luts,
    )
    words = _parameter_words(form, values)
    if order is None:
        return form, words
    return _sharing(form, words, [population.shape for population in populations], by_channel=by_channel)


def _integer(population: Population) -> IntegerDynamics:
    assert isinstance(population.dynamics, IntegerDynamics)
    return population.dynamics


def _parameters(population: Population, rule: NeuronRule) -> dict[str, IntArray]:
    """The value of each parameter for each neuron; 0 where a population has none."""
    dynamics = _integer(population)
    zero = np.zeros((), np.int64)
    values = {
        "fire": dynamics.fire if rule.fires else zero,
        "sub_delta": dynamics.sub - dynamics.fire if rule.has_sub else zero,
        "v_reset": dynamics.v_reset if rule.reset_mode == "value" else zero,
        "bias": population.bias,
        "v_min": zero if dynamics.v_min is None else dynamics.v_min,
        "c": _own_leak(dynamics.decay),
        "c_syn": _own_leak(dynamics.decay_syn),
        "jump": zero if dynamics.jump is None else dynamics.jump,
        "c_a": _own_leak(dynamics.decay_a),
    }
    return {name: np.broadcast_to(value, (population.size,)) for name, value in values.items()}


def _rule(network: Network, population: Population, *, paired: bool) -> NeuronRule:
    dynamics = _integer(population)
    fires = population.fires
    to_value = fires and dynamics.reset_mode is ResetMode.VALUE
    return NeuronRule(
        state_bits=dynamics.state_bits,
        saturates=saturates(network, population),
        fires=fires,
        has_sub=fires and not to_value and (bool(np.any(dynamics.sub)) or dynamics.jump is not None),
        reset_mode="value" if to_value else "subtract",
        reset_place=dynamics.reset_place.value,
        decay=None if dynamics.decay is None else _decay(dynamics.decay, paired=paired),
        has_floor=dynamics.v_min is not None,
        current=_current(network, population),
        adaptation=_adaptation(network, population),
        most_spikes=population.max_spikes,
        limited=population.max_spikes > 1 and limits_spikes(network, population),
    )


def _current(network: Network, population: Population) -> CurrentRule | None:
    dynamics = _integer(population)
    if dynamics.decay_syn is None:
        return None
    return CurrentRule(
        decay=_decay(dynamics.decay_syn, paired=True),
        saturates=current_saturates(network, population),
        drives_later=dynamics.drive is Drive.OLD,
    )


def _adaptation(network: Network, population: Population) -> AdaptationRule | None:
    dynamics = _integer(population)
    if dynamics.decay_a is None:
        return None
    return AdaptationRule(
        decay=_decay(dynamics.decay_a, paired=True), saturates=adaptation_saturates(network, population)
    )


def _decay(decay: Decay, *, paired: bool) -> DecayFormat:
    rounding: RoundingRule = decay.rounding.value
    c = int(decay.c) if decay.c.ndim == 0 else None
    return DecayFormat(c=c, k=decay.k, rounding=rounding, paired=paired and c is not None)


def _own_leak(decay: Decay | None) -> IntArray:
    """The coefficient of every neuron; 0 where it is one for all."""
    return decay.c if decay is not None and decay.c.ndim else np.zeros((), np.int64)


def _floors_are_subs(rules: Sequence[NeuronRule], columns: Sequence[Mapping[str, IntArray]]) -> bool:
    """Whether there are floors, each of them what a spike subtracts, negative: its threshold or one more, and no less
    than the lowest of its membrane."""
    floors = [
        bool(np.all(column["v_min"] == -(column["fire"] + column["sub_delta"])))
        and int(column["v_min"].min()) >= -(1 << rule.state_bits - 1)
        for rule, column in zip(rules, columns, strict=True)
        if rule.has_floor
    ]
    near = all(np.all(c["fire"] >= 0) and np.all((c["sub_delta"] | 1) == 1) for c in columns)
    return bool(floors) and all(floors) and near


def _field_bits(values: IntArray) -> int:
    """The width of a parameter field, unsigned where it is never negative; 0 where it is 0 for every neuron."""
    if values.min() >= 0:
        return int(values.max()).bit_length()
    return signed_bits(int(values.min()), int(values.max()))


BLOCKS = (16, 8, 4)
"""How many neurons are passed by at once where nothing would change, from what is best on."""


def rests(population: Population) -> bool:
    """Whether neurons to which nothing comes stay as they are, but for those that have fired.

    Without a bias and a leak, what has not fired starts the next step from where it is, at or below its threshold.
    """
    dynamics = _integer(population)
    states = (dynamics.decay, dynamics.decay_syn, dynamics.decay_a)
    stays = population.fires and all(state is None for state in states) and not np.any(population.bias)
    stays = stays and dynamics.reset_place is not ResetPlace.SNNTORCH_SAME and bool(np.all(dynamics.fire >= 0))
    return stays and (dynamics.v_min is None or bool(np.all(dynamics.v_min <= dynamics.fire)))


def lists_refusal(network: Network, names: Sequence[str]) -> str | None:
    """Why the passes of an engine of such populations cannot take neurons of the first from a list, as what they have
    where they can; None there."""
    first, *others = map(network.population, names)
    if not rests(first):
        return "first a population without leak and bias, with a threshold not below 0"
    if network.reads_membranes_of(first.name):
        return "a first population of which spikes are read"
    problem = next((problem for problem in map(beyond_plain, others) if problem is not None), None)
    if problem is not None:
        return problem
    own = (p for p in network.projections if p.pre in names and p.post in names)
    return "no spikes that come back to it later" if any(p.step_edge or np.any(p.delay) for p in own) else None


def beyond_plain(population: Population) -> str | None:
    """What neurons have, if anything, beside a membrane and a threshold: as what an engine without that has instead."""
    if population.dynamics.kind in (Kind.CUBALIF, Kind.CUBALI):
        return "no synaptic currents"
    return None if getattr(population.dynamics, "jump", None) is None else "fixed thresholds"


def with_blocks(form: NeuronFormat, population: Population) -> NeuronFormat:
    """A form of one population that passes by blocks of neurons to which nothing came, where that is exact."""
    passes_all = form.shared or form.skips or form.gives_membranes
    block = next((block for block in BLOCKS if not form.neurons % block and form.neurons >= 4 * block), 0)
    return form if passes_all or not rests(population) else replace(form, touched=block)


def _sharing(
    form: NeuronFormat, words: tuple[int, ...], shapes: Sequence[tuple[int, ...]], *, by_channel: bool = False
) -> tuple[NeuronFormat, tuple[int, ...]]:
    """With a word for each channel of a map, or unless `by_channel` for the whole map, where its neurons agree:
    channels vary fastest."""
    populations: list[PopulationFormat] = []
    kept: list[int] = []
    for base, population, shape in zip(form.bases, form.populations, shapes, strict=True):
        own = words[base : base + population.neurons]
        counts = (n for n in (1, shape[0])[by_channel:] if not n & (n - 1) and not base % n)
        alike = (n for n in counts if own == own[:n] * (len(own) // n))
        shared = next(alike, None) if own else None
        populations.append(replace(population, shared=shared))
        kept += own[:shared]
    return replace(form, populations=tuple(populations)), tuple(kept)


def _parameter_words(form: NeuronFormat, values: dict[str, IntArray]) -> tuple[int, ...]:
    if not form.parameter_bits:
        return ()
    words = [0] * form.neurons
    low = 0
    for name, width in form.parameter_fields:
        words = [
            word | (int(value) & ((1 << width) - 1)) << low for word, value in zip(words, values[name], strict=True)
        ]
        low += width
    return tuple(words)

"""What a neuron bank is made of, counted as `parts` counts: its sums, comparisons, resets, leaks and states."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

from ...hdl.neurons.decay import DecayFormat, signed_digits
from ...hdl.neurons.neuron_format import NeuronFormat, NeuronRule
from .parts import COMPARE, Parts


def bank_parts(parts: Parts, form: NeuronFormat) -> None:
    """A neuron bank (spikeloom.hdl.neurons), its memories apart. What several rules compute alike is there once."""
    rules = form.rules
    neuron, bits, state = form.neurons.bit_length(), form.accumulator_bits, form.state_bits
    parts.lut("bank", 20)
    parts.lut("neuron numbers", neuron * 2)
    parts.adder("neuron counters", 2 * neuron)
    parts.adder("accumulate", bits)
    parts.lut("write", bits)
    parts.ff("bank", 3 * neuron + form.weight_bits + max(p.shift for p in form.populations) + state + 14)
    if form.shared:
        parts.lut("turns", 12 + (len(form.populations) - 1) * neuron * COMPARE)
        parts.lut("turns", neuron)
    if form.lists:
        _list_parts(parts, form)
    if form.bias_bits:
        parts.adder("bias", bits)
    if any(rule.fires for rule in rules):
        parts.adder("compare", bits + 1)
    saturated = {rule.state_bits for rule in rules if rule.saturates}
    parts.lut("saturate", sum(width + (bits - width + 2) / 3 for width in saturated))
    floors = {rule.state_bits for rule in rules if rule.has_floor}
    if floors:
        parts.adder("compare", max(floors) + 1)
        parts.lut("reset value", sum(floors))
    now = {(rule.reset_mode, rule.reset_place) for rule in rules if rule.fires and rule.reset_place != "next"}
    later = {rule.reset_mode for rule in rules if rule.fires and rule.reset_place == "next"}
    _reset_parts(parts, form, now, later)
    decays = {rule.decay for rule in rules}
    _leak_parts(parts, decays, state)
    if form.c_bits:
        parts.adder("decay", 2 * state)
        parts.lut("products", 2 * form.c_bits * state)
    parts.lut("rules", (max(len(decays), len(later)) - 1) * bits + (max(1, len(now), len(saturated)) - 1) * state)
    synaptic = 0
    if form.has_currents:
        _current_parts(parts, form)
        synaptic = 2
    if form.has_adaptation:
        _adaptation_parts(parts, form)
    if form.repeats:
        _repeat_parts(parts, form)
    shifts = {population.shift for population in form.populations}
    parts.lut("shifts", (len(shifts) - 1) * (form.weight_bits + (max(shifts) - min(shifts)) / 2))
    parts.ff("bank", form.c_bits)
    kinds = (len(rules) > 1) + (len(shifts) > 1)
    parts.path("integrate", 2, bits)
    shared = form.shared
    parts.path("compare", ADDER * (1 + bool(form.bias_bits)) + 1 + shared + kinds, bits)
    subtracts = any(mode == "subtract" for mode, _ in now)
    decision = 3 + synaptic + bool(form.bias_bits) + bool(now) + 2 * bool(saturated) + 2 * bool(floors) + kinds + shared
    parts.path("decide", decision, bits * (1 + subtracts))
    for decay in decays:
        cost = leak_cost(decay, state)
        adders = 3 if form.c_bits else math.log(max(1.0, cost.terms / 2), 1.5)
        levels = 2 + adders + cost.sums + bool(later) + kinds
        parts.path("next", levels, state + 2 * cost.sums + form.c_bits)


def _list_parts(parts: Parts, form: NeuronFormat) -> None:
    """A list of the neurons that a pass takes (spikeloom.hdl.neurons.listed): its counter, the next place, where it
    ends, and the choice between a place and what is there."""
    neuron = form.ends[0].bit_length()
    parts.adder("visits", 2 * neuron)
    parts.lut("visits", 10 + neuron * (1 + COMPARE) + (len(form.populations) > 1) * 2 * neuron * COMPARE)
    parts.ff("visits", 3 * neuron + 1)


OF_A_BANK = ("bank", "neuron numbers", "neuron counters", "accumulate", "write")
"""What a bank has beside its arithmetic."""


def arithmetic_parts(parts: Parts, form: NeuronFormat) -> None:
    """The arithmetic of a bank, without its sums, its counters, its registers and the paths that these cut."""
    bank = Parts()
    bank_parts(bank, form)
    bank.paths = set()
    bank.luts = {name: count for name, count in bank.luts.items() if name not in OF_A_BANK}
    bank.ffs = {}
    parts.join(bank)


ONCE = ("bank", "neuron numbers", "neuron counters", "turns", "visits")
"""What a bank has once, however many neurons it takes in a cycle."""


def lane_parts(form: NeuronFormat) -> Parts:
    """What a bank has for each neuron that it takes in a cycle, its registers and paths among it."""
    lane = Parts()
    bank_parts(lane, form)
    lane.carries -= lane.luts["neuron counters"]
    lane.luts = {name: count for name, count in lane.luts.items() if name not in ONCE}
    return lane


ADDER = 2
"""Look-up tables that an adder or a comparison counts as on a path, beside its bits of carry."""


CHOOSES = 1
"""Look-up tables that say by which of several rules a neuron goes."""


def stage_paths(parts: Parts, kind: str, form: NeuronFormat) -> None:
    """The paths of a `kind` of a bank with registers behind its memories, and between what decides whether a neuron
    fires and what it starts the next step from, to which its bias is added there. Carries of adders one behind another
    run side by side, but behind a comparison, whose last bit is what counts."""
    others = len({_circuit(rule) for rule in form.rules}) - 1
    choice = CHOOSES * (others > 0) + others.bit_length()
    for rule in form.rules:
        now, later = (rule.fires and (rule.reset_place == "next") is late for late in (False, True))
        subtracts = rule.reset_mode == "subtract"
        held = choice + 2 * rule.saturates + 2 * rule.has_floor  # whether it fires decides on what is kept
        if now:
            held += ADDER + (ADDER + 1 if subtracts else 1)
        parts.path(kind, max(held, (choice + ADDER) * rule.fires), form.accumulator_bits * (1 + (now and subtracts)))
        adders, depth = leak_depth(rule.decay)
        adders += bool(form.bias_bits) + (later and subtracts)
        first = max(depth, float(adders > 0))  # what is subtracted is inverted
        levels = choice + 1 + first + (later and not subtracts) + ADDER * adders
        parts.path(kind, levels, float(form.state_bits * (adders > 0)))


def _circuit(rule: NeuronRule) -> tuple[object, ...]:
    """What is another circuit for another rule, and not only other numbers."""
    width = rule.state_bits if rule.saturates else 0
    return rule.fires, rule.reset_mode, rule.reset_place, width, rule.has_floor, rule.decay


def leak_depth(decay: DecayFormat | None) -> tuple[int, float]:
    """Adders one behind another of a leak, and the look-up tables in front that make two terms of several; of one whose
    terms are added two by two as many adders as there are rounds."""
    if decay is None:
        return 0, 0.0
    if decay.c is None:
        return 1, 3.0
    cost = leak_cost(decay, 1)
    return cost.sums, math.log(max(1.0, cost.terms / 2), 1.5)


def _leak_parts(parts: Parts, decays: Set[DecayFormat | None], state: int) -> None:
    """Leaks of membranes, of which synthesis shares the adders; of those whose terms are added two by two nothing was
    measured."""
    plain, paired = ([d for d in decays if (d is not None and d.pairs is not None) is two] for two in (False, True))
    if paired:
        parts.adder("leak pairs", max(leak_cost(decay, state).carries for decay in paired))
    if plain:
        costs = [leak_cost(decay, state) for decay in plain]
        parts.adder("decay", max(cost.carries for cost in costs))
        parts.lut("products", 2 * max(cost.full_adders for cost in costs))


def _reset_parts(parts: Parts, form: NeuronFormat, now: Set[tuple[str, str]], later: Set[str]) -> None:
    """What spikes do: `now`, by mode and place, or in the step `later`, by mode."""
    bits, state = form.accumulator_bits, form.state_bits
    for mode, place in now:
        if mode == "value":
            parts.lut("reset value", bits)
        else:
            parts.adder("reset", bits * (1 + (form.sub_delta_bits > 1) + (place == "snntorch_same")))
            parts.lut("reset masks", bits)
    if "value" in later:
        parts.lut("reset value", state)
        parts.ff("bank", form.v_reset_bits)
    if "subtract" in later:
        parts.adder("reset", bits * (1 + (form.sub_delta_bits > 1)))
        parts.ff("bank", form.fire_bits + form.sub_delta_bits)


def _current_parts(parts: Parts, form: NeuronFormat) -> None:
    """What synaptic currents add to a bank: their saturation and leak, their part in the membrane, and registers for
    them and the parameters that the second half of the pass needs besides."""
    rules = form.rules
    currents = [rule.current for rule in rules if rule.current is not None]
    saturated = {rule.state_bits for rule in rules if rule.current is not None and rule.current.saturates}
    costs = [leak_cost(current.decay, form.state_bits) for current in currents]
    parts.adder("currents", form.start_bits + max(cost.carries for cost in costs))
    parts.lut("currents", sum(width + (form.accumulator_bits - width + 2) / 3 for width in saturated))
    parts.lut("currents", 2 * max(cost.full_adders for cost in costs))
    if form.c_syn_bits:
        parts.adder("currents", 2 * form.state_bits)
        parts.lut("currents", 2 * form.c_syn_bits * form.state_bits)
    if len(rules) > 1:
        parts.lut("currents", (len(rules) - 1) * (form.start_bits + form.accumulator_bits))
    parts.ff("currents", form.state_bits + form.bias_bits + form.c_syn_bits)


def _adaptation_parts(parts: Parts, form: NeuronFormat) -> None:
    """What thresholds that adapt add to a bank: their leak and jump, the threshold that they raise, where a spike's
    reset comes a step later the one that is subtracted too, and registers."""
    rules = [p.rule for p in form.populations if p.rule.adaptation is not None]
    costs = [leak_cost(rule.adaptation.decay, form.adaptation_bits) for rule in rules if rule.adaptation is not None]
    later = any(rule.reset_place == "next" and rule.has_sub for rule in rules)
    threshold = max(form.fire_bits, form.adaptation_bits) + 1
    parts.adder("adaptation", form.adaptation_bits + threshold * (1 + later) + max(cost.carries for cost in costs))
    parts.lut("adaptation", 2 * max(cost.full_adders for cost in costs))
    if any(rule.adaptation.saturates for rule in rules if rule.adaptation is not None):
        parts.lut("adaptation", form.adaptation_bits)
    if form.c_a_bits:
        parts.adder("adaptation", 2 * form.adaptation_bits)
        parts.lut("adaptation", 2 * form.c_a_bits * form.adaptation_bits)
    if len(rules) < len(form.populations):
        parts.lut("adaptation", form.adaptation_bits)
    parts.ff("adaptation", form.adaptation_bits + form.jump_bits + form.c_a_bits)


def _repeat_parts(parts: Parts, form: NeuronFormat) -> None:
    """What neurons that fire several times in a step add to a bank: a comparison and a subtraction more of what is left
    of the membrane, its choice, the count of spikes where a limit may end them, and registers."""
    left, limited = form.accumulator_bits + 1, any(rule.limited for rule in form.rules)
    parts.adder("repeats", 2 * left + limited * form.spike_bits)
    parts.lut("repeats", left + form.state_bits + limited * form.spike_bits + 4)
    parts.ff("repeats", left - form.state_bits + limited * form.spike_bits + form.fire_bits + form.sub_delta_bits)


@dataclass(frozen=True)
class LeakCost:
    """A leak by one constant c (spikeloom.hdl.neurons). Full adders reduce a sum of more than two terms to two, where
    the `terms` are not added two by two."""

    terms: int
    full_adders: float
    carries: int
    sums: int


def leak_cost(decay: DecayFormat | None, state: int) -> LeakCost:
    """What decay(V) of `state` bits takes."""
    if decay is None or decay.c is None:
        return LeakCost(terms=0, full_adders=0, carries=0, sums=0)
    if decay.pairs is not None:
        return _paired_cost(decay.pairs, decay.k, state)
    direct = signed_digits(decay.c)
    half = (1 << decay.k) >> 1 if decay.rounding == "nearest" else 0
    kept, rest = signed_digits((1 << decay.k) - decay.c), (1 << decay.k) - 1 - half
    if decay.rounding != "toward_zero" and len(kept) + bool(rest) <= len(direct) + bool(half) + 1:
        return _product_cost(kept, rest, state + decay.k)
    product = _product_cost(direct, half, state + decay.c.bit_length())
    extra = 1 + (decay.rounding == "toward_zero")
    return LeakCost(
        terms=product.terms,
        full_adders=product.full_adders,
        carries=product.carries + extra * (state + 1),
        sums=product.sums + extra,
    )


def _paired_cost(digits: Sequence[tuple[int, int]], k: int, state: int) -> LeakCost:
    """Terms added two by two: an adder for each, a bit for its carry, and two of them as wide as the constant."""
    return LeakCost(
        terms=0,
        full_adders=0,
        carries=len(digits) * (state + 2) + 2 * (k - digits[-1][1]),
        sums=1 + (len(digits) - 1).bit_length(),
    )


def _product_cost(digits: Sequence[tuple[int, int]], constant: int, width: int) -> LeakCost:
    """A sum of shifted copies, sign-extended to `width`, and of a constant, whose bits cost half."""
    columns = [sum(shift <= bit for _, shift in digits) + 0.5 * (constant >> bit & 1) for bit in range(width)]
    several = len(digits) + bool(constant) > 1
    return LeakCost(
        terms=len(digits),
        full_adders=sum(max(0.0, terms - 2) for terms in columns),
        carries=several * (width - min((shift for _, shift in digits), default=0)),
        sums=int(several),
    )


def own_leaks(neurons: NeuronFormat) -> int:
    """Leaks, of membranes, currents and thresholds, that are a parameter of each neuron."""
    rules = {population.rule for population in neurons.populations}
    leaks = [rule.decay for rule in rules]
    leaks += [state.decay for rule in rules for state in (rule.current, rule.adaptation) if state is not None]
    return sum(leak is not None and leak.c is None for leak in leaks)

"""The arithmetic of a neuron as functions on values, for whatever engine holds the state.

A step of one neuron: u is the word kept from the step before (`next_start`) plus this step's contributions and the
bias; `fired` compares it and gives the spike and V; `next_start` makes the word to keep. Where a population of the
engine has synaptic currents, a second word of every neuron (`next_sum`) has taken the contributions: `current` is what
has come of them, `compared` the u. Where thresholds adapt, another word (`next_adaptation`) says by how much they are
`raised` in a step. Parameters go by the names of `NeuronFormat.parameter_fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from amaranth import Cat, Const, Mux
from amaranth.hdl import Value, signed

from .decay import DecayFormat, decayed

if TYPE_CHECKING:
    from .neuron_format import NeuronFormat, NeuronRule

Parameters = Mapping[str, Value]
"""One neuron's parameters by name."""

Leak = Callable[[Value, DecayFormat | None, Value], Value]
"""decay(x) of a signed value by a format and a neuron's own coefficient, as `decayed` makes it."""


def start_bits(form: NeuronFormat) -> int:
    """The width that holds every `next_start`: decay(V) lies between 0 and V, and a subtraction may follow it."""
    if form.has_currents:
        return form.start_bits
    return min(form.accumulator_bits, max(_start_bits(form, population.rule) for population in form.populations))


def with_bias(form: NeuronFormat, bits: int) -> int:
    """The width of a sum of `bits` and the bias."""
    return max(bits, form.bias_bits + 1) + 1 if form.bias_bits else bits


def _start_bits(form: NeuronFormat, rule: NeuronRule) -> int:
    if rule.has_sub and rule.reset_place != "same":
        sub_bits = max(form.fire_bits, form.sub_delta_bits) + 2
        if rule.adaptation is not None:
            sub_bits = max(sub_bits, form.adaptation_bits) + 1
        return max(rule.state_bits, sub_bits) + 1
    return rule.state_bits


def parameters_of(form: NeuronFormat, word: Value) -> dict[str, Value]:
    """The fields of a parameter word; those of 0 bits are 0."""
    values: dict[str, Value] = {}
    low = 0
    for name, width in form.parameter_fields:
        field = word[low : low + width]
        values[name] = Const(0, 1) if not width else field if name in form.unsigned else field.as_signed()
        low += width
    if form.floor_is_sub:
        values["v_min"] = -(values["fire"] + values["sub_delta"])
    return values


def current(rule: NeuronRule, total: Value, bits: int) -> Value:
    """g at the end of a step, of the `total` of what it started from (`next_sum`) and the contributions; without
    currents the I of the step, which is that. One that never saturates has `bits`, for all rules of an engine the same,
    so that these are one."""
    if rule.current is None:
        return total
    return saturated(total, rule.state_bits) if rule.current.saturates else total[:bits].as_signed()


def compared(rule: NeuronRule, start: Value, now: Value) -> Value:
    """u of a step from the membrane's `start` and the `current` now, which the start has already had where it drives
    the step after."""
    return start if _drives_later(rule) else start + now


def fired(rule: NeuronRule, u: Value, was_firing: Value, parameters: Parameters) -> tuple[Value, Value]:
    """The spike, and V at the end of the step; `was_firing` is the r of `snntorch_same` and ignored elsewhere.

    Where a neuron `repeats`, in place of V what is left of u, which is compared once more (`fired_again`).
    """
    if not rule.fires:
        return Const(0, 1), _stored(rule, u)
    spike = u > parameters["fire"]
    after = after_reset(rule, u, spike, was_firing, parameters)
    return spike, after if rule.repeats else settled(rule, after, parameters)


def after_reset(rule: NeuronRule, u: Value, spike: Value, was_firing: Value, parameters: Parameters) -> Value:
    """What the reset of a step leaves of u, after a `spike` or without."""
    if rule.reset_place == "next":
        return u
    if rule.reset_place == "snntorch_same":
        sub = parameters["fire"] + parameters["sub_delta"] if rule.has_sub else Const(0, 1)
        return u - Mux(spike == was_firing, 0, Mux(spike, sub, -sub))
    if rule.reset_mode == "subtract":
        return _less_sub(rule, u, spike, parameters)
    return Mux(spike, parameters["v_reset"], u)


def fired_again(rule: NeuronRule, left: Value, count: Value, parameters: Parameters) -> tuple[Value, Value]:
    """Whether a neuron that has fired `count` times in this step fires once more, and what is `left` of u after it."""
    again = left > parameters["fire"]
    if rule.limited:
        again = again & (count != rule.most_spikes)
    return again, _less_sub(rule, left, Const(1, 1), parameters)


def settled(rule: NeuronRule, after: Value, parameters: Parameters) -> Value:
    """V, of what is left of u after the resets of a step."""
    # The floor first: a proof that V never saturates speaks of what the floor leaves, and clamping keeps the order.
    return _stored(rule, _raised(after, parameters["v_min"]) if rule.has_floor else after)


def next_start(
    rule: NeuronRule,
    v: Value,
    spike: Value,
    parameters: Parameters,
    bits: int,
    *,
    masked: bool = False,
    g: Value | None = None,
    leak: Leak = decayed,
) -> Value:
    """What the next step starts from, `bits` wide (at least `start_bits`); above it r if `rule.remembers_firing`.

    Where `loses_later` a neuron's `fire` and `sub_delta` count only if it fired: `masked` says that they are 0 if not.
    `g` is the current of this step, in engines that have some.
    """
    if rule.fires and rule.reset_place == "next" and rule.reset_mode == "value":
        v = Mux(spike, parameters["v_reset"], v)
    rested = leak(v, rule.decay, parameters["c"])
    if g is not None and _drives_later(rule):
        rested = rested + g
    if rule.remembers_firing:
        firing = v > parameters["fire"]
        return Cat(resized(_less_sub(rule, rested, firing, parameters), bits), firing)
    if loses_later(rule):
        rested = _less_sub(rule, rested, spike, parameters, masked)
    return resized(rested, bits)


def raised(rule: NeuronRule, parameters: Parameters, a: Value | None) -> Parameters:
    """The parameters of a step in which a threshold that adapts is higher by `a`, and what a spike subtracts too."""
    if a is None or rule.adaptation is None:
        return parameters
    return {**parameters, "fire": parameters["fire"] + a}


def next_adaptation(rule: NeuronRule, a: Value, spike: Value, parameters: Parameters, bits: int) -> Value:
    """By how much the next step's threshold is higher, `bits` wide: what is left of `a`, and a jump after a spike."""
    if rule.adaptation is None:
        return Const(0, bits).as_signed()
    total = decayed(a, rule.adaptation.decay, parameters["c_a"]) + Mux(spike, parameters["jump"], 0)
    held = saturated(total, rule.state_bits) if rule.adaptation.saturates else total
    return resized(held, bits).as_signed()


def next_sum(left: Value, parameters: Parameters, bits: int) -> Value:
    """What the next step's contributions are added to in an engine with currents, `bits` wide: the bias, and what is
    `left` of a current."""
    return resized(left + parameters["bias"], bits)


def left_current(rule: NeuronRule, g: Value, parameters: Parameters, leak: Leak = decayed) -> Value:
    """What is left of a current `g` in the next step."""
    return Const(0, 1) if rule.current is None else leak(g, rule.current.decay, parameters["c_syn"])


def _drives_later(rule: NeuronRule) -> bool:
    return rule.current is not None and rule.current.drives_later


def loses_later(rule: NeuronRule) -> bool:
    """Whether a spike takes its threshold from what the next step starts from."""
    return rule.has_sub and rule.reset_place == "next"


def _stored(rule: NeuronRule, value: Value) -> Value:
    """V as it is kept: saturated, unless a proof excludes that it ever is."""
    return saturated(value, rule.state_bits) if rule.saturates else value[: rule.state_bits].as_signed()


def _raised(v: Value, floor: Value) -> Value:
    """V, or the floor where that is higher."""
    return Mux(v < floor, floor, v)[: len(v)].as_signed()


def _less_sub(rule: NeuronRule, value: Value, fires: Value, parameters: Parameters, masked: bool = False) -> Value:
    """`value` less sub = fire + sub_delta where it `fires`; `masked` parameters are 0 where not."""
    if not rule.has_sub:
        return value
    fire, delta = parameters["fire"], parameters["sub_delta"]
    if len(delta) > 1 or delta.shape().signed:
        return value - (fire + delta if masked else Mux(fires, fire + delta, 0))
    # -(fire + delta) is ~fire + 1 - delta, and the last two are a carry: one adder in place of two.
    complement = ~(fire + Const(0, signed(1)))
    addend = complement if masked else Mux(fires, complement, 0)
    carry = ~delta if masked else fires & ~delta
    return (Cat(Const(1, 1), value).as_signed() + Cat(carry, addend).as_signed()) >> 1


def saturated(value: Value, bits: int) -> Value:
    """A signed value clamped to two's complement of `bits` bits."""
    if len(value) <= bits:
        return value
    high = value[bits - 1 :]
    overflow = high.any() & ~high.all()
    limit = Cat(value[-1].replicate(bits - 1) ^ ((1 << (bits - 1)) - 1), value[-1])
    return Mux(overflow, limit, value[:bits]).as_signed()


def resized(value: Value, bits: int) -> Value:
    """The low `bits` of a signed value, sign-extended where it is shorter."""
    wide = value + Const(0, signed(bits))
    return wide[:bits]

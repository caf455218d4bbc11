"""The arithmetic of a lane of a wide engine: what a neuron of a word becomes at the end of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from amaranth import Cat, Const, Mux
from amaranth.hdl import Value, signed

from ..memories.memory import Family
from ..neurons.dynamics import after_reset, next_start, settled
from ..neurons.neuron_format import NeuronFormat, NeuronRule

Choose = Callable[[Sequence[Value]], Value]
"""Of one value per distinct rule that of the word's population."""


class Lane(NamedTuple):
    """A neuron in the second stage of a pass: the `total` of its word and what was added, what that `loses` where it is
    plain, what its word `kept` beside, and its parameters where not."""

    total: Value
    loses: Value
    kept: Value
    parameters: Mapping[str, Value]


def is_plain(form: NeuronFormat) -> bool:
    """Whether all that a pass does is to take a threshold off what has fired, to raise what is below minus the
    threshold to that, and to saturate: integrate-and-fire."""
    return all(
        rule.fires
        and rule.has_sub
        and (rule.reset_place, rule.reset_mode, rule.decay) == ("same", "subtract", None)
        and (form.floor_is_sub or not rule.has_floor)
        for rule in form.rules
    )


def exceeds(form: NeuronFormat, family: Family, u: Value, parameters: Mapping[str, Value]) -> Value:
    """Whether u is above the threshold. The sign of a difference is a carry chain, for which an ECP5 has cells beside
    its look-up tables; on an iCE40, where each of its bits takes one, it is as short as a threshold that is never
    negative, and a tree stands beside it."""
    fire, bits = parameters["fire"], form.fire_bits
    if family is Family.ECP5 or "fire" not in form.unsigned or not 0 < bits < len(u) - 1:
        return (fire - u)[-1]
    return ~u[-1] & (u[bits:-1].any() | (fire - u[:bits])[-1])


def sinks(form: NeuronFormat, u: Value, parameters: Mapping[str, Value]) -> Value:
    """Whether u is below a floor that is minus what a spike subtracts, fire or one more."""
    fire, delta, bits = parameters["fire"], parameters["sub_delta"], form.fire_bits
    if not 0 < bits < len(u) - 1:
        return (u + fire + delta)[-1]
    low = Cat(Const(1, 1), u[:bits]) + Cat(delta, fire)  # a carry where it is not below
    return u[-1] & ~(u[bits:-1].all() & low[bits + 1])


def lost(parameters: Mapping[str, Value]) -> Value:
    """What a spike subtracts, fire and delta, as `plain_end` takes it: a fire whose next lower bit is a delta of 0 or
    1, which takes no adder."""
    fire, delta = parameters["fire"], parameters["sub_delta"]
    if len(delta) > 1 or delta.shape().signed:
        fire, delta = fire + delta, Const(0, 1)
    return Cat(delta, fire + Const(0, signed(1)))


def plain_end(form: NeuronFormat, lane: Lane, choose: Choose, settles: Value, bits: int) -> Value:
    """V of a plain neuron at the end of a step, `bits` wide: the total less what it loses; saturated where it
    `settles`.

    Populations saturate at several widths by one multiplexer a bit: a limit is the sign above a bit, and its inverse
    from there on down. Where neurons fire several times one that settles loses nothing, and its total says whether it
    saturates, while what others lose is subtracted.
    """
    rules = form.rules
    after = (Cat(Const(0, 1), lane.total).as_signed() - lane.loses.as_signed())[1 : bits + 1]
    if not any(rule.saturates for rule in rules):
        return after.as_signed()
    tried = lane.total[:bits] if form.repeats else after
    beyond = [_beyond(rule, tried) if rule.saturates else Const(0, 1) for rule in rules]
    below = [Const((1 << (rule.state_bits - 1)) - 1, bits) for rule in rules]
    limit = tried[-1].replicate(bits) ^ choose(below)
    return Mux(choose(beyond) & settles, limit[:bits], after).as_signed()


def _beyond(rule: NeuronRule, value: Value) -> Value:
    """Whether a value is out of its state's range."""
    high = value[rule.state_bits - 1 :]
    return high.any() & ~high.all()


class Ended(NamedTuple):
    """The membrane at the end of a step, and the word that the next one starts from."""

    v: Value
    start: Value


def ended(form: NeuronFormat, lane: Lane, fired: Value, choose: Choose, clear: Value, bits: int) -> Ended:
    """What becomes of a neuron in a pass, whatever its rule, in words of `bits` beside what they keep; after a step
    that is to `clear` they start from 0."""
    membranes, starts = [], []
    for rule in form.rules:
        after = after_reset(rule, lane.total, fired, lane.kept, lane.parameters) if rule.fires else lane.total
        v = settled(rule, after, lane.parameters)
        begun = next_start(rule, Mux(clear, 0, v).as_signed(), fired & ~clear, lane.parameters, bits)
        membranes.append(v)
        starts.append(
            Cat(begun[:bits], begun[bits:] if rule.remembers_firing else Const(0, int(form.remembers_firing)))
        )
    return Ended(choose(membranes), choose(starts))


def left_over(form: NeuronFormat, lane: Lane, fired: Value, choose: Choose) -> Value:
    """Of neurons that fire several times in a step, what a spike leaves to be compared again."""
    return choose(
        [
            after_reset(rule, lane.total, fired, Const(0, 1), lane.parameters) if rule.fires else lane.total
            for rule in form.rules
        ]
    )

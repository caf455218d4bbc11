"""The arithmetic of a lane of a wide engine: what a neuron of a word becomes at the end of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from amaranth import Cat, Const, Mux
from amaranth.hdl import Value

from ..neurons.dynamics import after_reset, next_start, settled
from ..neurons.neuron_format import NeuronFormat, NeuronRule

Choose = Callable[[Sequence[Value]], Value]
"""Of one value per distinct rule that of the word's population."""


class Lane(NamedTuple):
    """A neuron in the second stage of a pass: the `total` of its word and what was added, whether it has `fired`, what
    its word `kept` beside, and its parameters."""

    total: Value
    fired: Value
    kept: Value
    parameters: Mapping[str, Value]


def is_plain(form: NeuronFormat) -> bool:
    """Whether all that a pass does is to take a threshold off what has fired, and to saturate: integrate-and-fire."""
    return all(
        rule.fires
        and rule.has_sub
        and (rule.reset_place, rule.reset_mode, rule.decay) == ("same", "subtract", None)
        and not rule.has_floor
        and not rule.repeats
        for rule in form.rules
    )


def subtracted_at_once(parameters: Mapping[str, Value]) -> dict[str, Value]:
    """The same parameters, of which `fire` is what a spike subtracts, as nothing is compared any more."""
    return {**parameters, "fire": parameters["fire"] + parameters["sub_delta"], "sub_delta": Const(0, 1)}


def plain_end(form: NeuronFormat, lane: Lane, choose: Choose, passes: Value, bits: int) -> Value:
    """V of a plain neuron at the end of a step, `bits` wide; the total where it does not pass and has not fired.

    Populations saturate at several widths by one multiplexer a bit: a limit is the sign above a bit, and its inverse
    from there on down.
    """
    rules = form.rules
    after = after_reset(rules[0], lane.total, lane.fired, Const(0, 1), lane.parameters)[:bits]
    if not any(rule.saturates for rule in rules):
        return after.as_signed()
    beyond = [_beyond(rule, after) if rule.saturates else Const(0, 1) for rule in rules]
    below = [Const((1 << (rule.state_bits - 1)) - 1, bits) for rule in rules]
    limit = after[-1].replicate(bits) ^ choose(below)
    return Mux(choose(beyond) & passes, limit[:bits], after).as_signed()


def _beyond(rule: NeuronRule, value: Value) -> Value:
    """Whether a value is out of its state's range."""
    high = value[rule.state_bits - 1 :]
    return high.any() & ~high.all()


class Ended(NamedTuple):
    """The membrane at the end of a step, and the word that the next one starts from."""

    v: Value
    start: Value


def ended(form: NeuronFormat, lane: Lane, choose: Choose, clear: Value, bits: int) -> Ended:
    """What becomes of a neuron in a pass, whatever its rule, in words of `bits` beside what they keep; after a step
    that is to `clear` they start from 0."""
    membranes, starts = [], []
    for rule in form.rules:
        after = after_reset(rule, lane.total, lane.fired, lane.kept, lane.parameters) if rule.fires else lane.total
        v = settled(rule, after, lane.parameters)
        begun = next_start(rule, Mux(clear, 0, v).as_signed(), lane.fired & ~clear, lane.parameters, bits)
        membranes.append(v)
        starts.append(
            Cat(begun[:bits], begun[bits:] if rule.remembers_firing else Const(0, int(form.remembers_firing)))
        )
    return Ended(choose(membranes), choose(starts))


def left_over(form: NeuronFormat, lane: Lane, choose: Choose) -> Value:
    """Of neurons that fire several times in a step, what a spike leaves to be compared again."""
    return choose(
        [
            after_reset(rule, lane.total, lane.fired, Const(0, 1), lane.parameters) if rule.fires else lane.total
            for rule in form.rules
        ]
    )

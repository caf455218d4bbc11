"""Neurons that fire several times in a step: what is left of u is compared again until the threshold is not passed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from amaranth import Const
from amaranth.hdl import Value

from .dynamics import fired_again, settled
from .neuron_format import NeuronFormat, NeuronRule

NEVER = Const(0, 1)


class Repeated(NamedTuple):
    """A neuron that has fired: whether there is one spike `again` after that which it has, what is `left` of u after
    it, and `v`, the membrane at the end of the step if there is none."""

    again: Value
    left: Value
    v: Value


def repeated(
    form: NeuronFormat,
    left: Value,
    count: Value,
    parameters: Mapping[str, Value],
    choose: Callable[[Sequence[Value]], Value],
) -> Repeated:
    """What comes of a neuron in whatever engine, from what is `left` of its u (`left_bits`) and the `count` of its
    spikes so far, both in registers. `choose` picks of one value per distinct rule that of the neuron."""
    several = [(rule, fired_again(rule, left, count, parameters) if rule.repeats else None) for rule in form.rules]
    return Repeated(
        again=choose([NEVER if more is None else more[0] for _, more in several]),
        left=choose([left if more is None else more[1] for _, more in several]),
        v=choose(
            [
                left[: rule.state_bits].as_signed() if more is None else settled(rule, left, parameters)
                for rule, more in several
            ]
        ),
    )


def left_bits(form: NeuronFormat, first: Sequence[Value]) -> int:
    """The width that holds what is left of u after any spike, from what the `first` comparison leaves rule by rule
    (`fired`); of neurons that all fire once that of V."""
    if not form.repeats:
        return form.state_bits
    return max(len(value) + _growth(form, rule) for rule, value in zip(form.rules, first, strict=True))


def _growth(form: NeuronFormat, rule: NeuronRule) -> int:
    """By how many bits what is left may outgrow the first subtraction: only where a threshold below 0 may be added."""
    return 0 if {"fire", "sub_delta"} <= form.unsigned else rule.most_spikes.bit_length()

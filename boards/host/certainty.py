"""When a class is certain before its sample ends, as a host reads it off the replies to the steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...hdl.errors import OptionError
from ...hdl.link.protocol import Reply
from .facts import ClassRule, LinkFacts


@dataclass(frozen=True, kw_only=True)
class Exit:
    """Samples end once the spikes of a class lead those of all others by `margin`, or by `first-spike` once any output
    has fired, which no later spike changes."""

    rule: ClassRule
    outputs: int
    margin: int

    @classmethod
    def of(cls, facts: LinkFacts, margin: int) -> Exit:
        """The exit of a build. OptionError where its device takes no steps one by one, or no spikes tell the class."""
        if facts.coding is not None:
            raise OptionError(
                "a sample ends early where the host sends its steps: this device makes them of images itself; leave "
                "out the early exit"
            )
        if facts.readout is not None or facts.rule.threshold is not None or facts.rule.by not in _RULES:
            by = "a threshold" if facts.rule.threshold is not None else facts.rule.by
            raise OptionError(
                f"a class is certain early by the spikes of several classes: this build's is read by {by}; leave out "
                "the early exit"
            )
        return cls(rule=facts.rule, outputs=facts.outputs, margin=margin)

    def begin(self) -> Certainty:
        """For a sample."""
        return Certainty(self)


_RULES = ("spikes", "first-spike")


class Certainty:
    """What the steps of one sample have said so far; `steps` how many of them it took to be certain, or have come."""

    def __init__(self, exit: Exit) -> None:
        self._exit = exit
        self._said = np.zeros(exit.outputs, np.int64)
        self.steps = 0
        self.certain = False

    def take(self, step: Reply) -> bool:
        """Whether the class is certain, after a reply that ends a step; those that follow count for nothing."""
        if not self.certain:
            np.add.at(self._said, list(step.spikes), 1)
            self.steps += 1
            self.certain = self._leads()
        return self.certain

    def _leads(self) -> bool:
        if self._exit.rule.by == "first-spike":
            return bool(self._said.any())
        classes = self._exit.rule.classes or len(self._said)
        last, first = (
            np.sort(self._said.reshape(classes, -1).sum(axis=1))[-2:] if classes > 1 else (0, self._said.sum())
        )
        return bool(first - last >= self._exit.margin)

"""How a class is read off a network's output: from its spikes or from its membranes, one neuron or a group a class."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ReadBy(StrEnum):
    """What an output neuron says in a sample.

    - `spikes`: how often it fires
    - `first-spike`: how early it fires; never is the latest
    - `membrane-last`, `membrane-max`, `membrane-sum`: V after the last step, the largest V, the sum of V over the steps
    - `membranes`: V in every step, for whoever asks for a value and not for a class; a class is by the last
    """

    SPIKES = "spikes"
    FIRST_SPIKE = "first-spike"
    MEMBRANE_LAST = "membrane-last"
    MEMBRANE_MAX = "membrane-max"
    MEMBRANE_SUM = "membrane-sum"
    MEMBRANES = "membranes"


@dataclass(frozen=True, kw_only=True)
class Readout:
    """The class of a sample is the one that says most by `by`, ties to the lowest.

    A neuron is a class, unless the outputs are a population code of `classes`: consecutive groups of equal size. A
    group says the sum of its neurons or, by `first-spike` and `membrane-max`, what the first of them and the largest
    says. With a `threshold` there is one output neuron and two classes: class 1 from so many spikes on.
    """

    by: ReadBy = ReadBy.SPIKES
    classes: int | None = None
    threshold: int | None = None

    @property
    def of_membranes(self) -> bool:
        """Whether membranes decide."""
        return self.by not in (ReadBy.SPIKES, ReadBy.FIRST_SPIKE)

    def class_count(self, outputs: int) -> int:
        """How many classes so many output neurons tell apart."""
        return 2 if self.threshold is not None else outputs if self.classes is None else self.classes

    def problem(self, outputs: int, fires: bool) -> str | None:
        """Why so many outputs, which fire or never do, cannot be read so: the rule and what breaks it, or None.

        Values may come from a hostile file.
        """
        if not isinstance(self.by, ReadBy):
            return f"a class is read by one of {', '.join(ReadBy)}: got {self.by!r:.40}"
        if not fires and not self.of_membranes:
            return f"an output that never fires is read by its membranes: got {self.by}"
        if self.classes is not None and not (_whole(self.classes, 2, outputs) and outputs % self.classes == 0):
            return (
                f"classes are groups of equal size, 2 of them at least: got {self.classes!r:.40} of {outputs} outputs"
            )
        if self.threshold is None:
            return None
        if not _whole(self.threshold, 1, 2**31 - 1):
            return f"a readout's threshold is a whole number of spikes, 1 or more: got {self.threshold!r:.40}"
        if outputs != 1:
            return f"a threshold reads one output neuron: this network has {outputs}"
        return None if self.by is ReadBy.SPIKES else f"a threshold counts spikes: the class is read by {self.by}"

    def __str__(self) -> str:
        """As figures name it: "spikes", "membrane-sum of 4 classes", "5 spikes and more"."""
        if self.threshold is not None:
            return f"{self.threshold} {'spike' if self.threshold == 1 else 'spikes'} and more"
        return self.by.value if self.classes is None else f"{self.by} of {self.classes} classes"


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

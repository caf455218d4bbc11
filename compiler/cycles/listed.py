"""The list that a pass takes neurons from, cycle by cycle (`spikeloom.hdl.neurons.listed`), and how many it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .engine_cycles import Events
from .rows import Posts
from .tokens import END_OF_STEP


class VisitList:
    """Of the first `listed` neurons, 0 for none."""

    def __init__(self, listed: int) -> None:
        self.listed = listed
        self.begins = False  # a pass, in this cycle
        self._coming: list[int] = []  # for the next pass
        self._places: list[int] = []  # of this one
        self._remembered = [False] * listed

    def arrives(self, post: int) -> None:
        """A contribution to a neuron is written."""
        if post < self.listed and not self._remembered[post]:
            self._remembered[post] = True
            self._coming.append(post)

    def visited(self, neuron: int, fired: bool) -> None:
        """A neuron is written by the pass."""
        if neuron < self.listed:
            self._remembered[neuron] = fired
            if fired:
                self._coming.append(neuron)

    def look(self, end: int, place: int) -> tuple[bool, bool]:
        """Whether the pass that ends with such an end takes neurons from the list, where it stands at a place, and
        whether that is behind the last one."""
        listing = self.listed > 0 and end == END_OF_STEP and place < self.listed
        return listing, listing and not self.begins and place == len(self._places)

    def at(self, place: int) -> int:
        """The neuron there."""
        return self._places[place]

    def move(self, ended: bool) -> None:
        """The end of a cycle in which a step `ended`, or not."""
        if self.begins:
            self._places, self._coming = self._coming, []
        self.begins = self.listed > 0 and ended


def spared_visits(listed: int, rows: Sequence[Posts], events: Events, steps: int) -> Any:
    """How many visits [...] a list spares in `steps` steps, where rows have `events` [..., rows]: of each neuron those
    of the steps in which nothing comes to it, if events came independently of each other, less the cycle that each
    pass takes longer; 0 without rows."""
    if not rows:
        return 0
    reached = np.zeros((len(rows), listed))
    for row, posts in enumerate(rows):
        reached[row, [post for post in posts if post is not None and post < listed]] = 1
    return steps * (np.exp(-(events @ reached) / max(1, steps)).sum(axis=-1) - 1)

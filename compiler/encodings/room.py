"""Room for other weights: memories with spare words and bits, and whether weights fit those that were laid out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from ...hdl.errors import CapacityError


class NoRoomError(CapacityError):
    """What does not fit where it is to take the place of something; the message goes on from the name of its engine."""


@dataclass(frozen=True)
class Room:
    """How memories are laid out whose contents are exchanged later: with a `share` of spare words and as many bits as
    numbers that are so much larger take, or, where that is known, just as in the `form` of what was built."""

    share: float = 0.0
    form: Any = None

    def of(self, name: str) -> Room:
        """The room of a part of the form."""
        return self if self.form is None else replace(self, form=getattr(self.form, name))

    def at(self, number: int, name: str) -> Room:
        """The room of the part at a place of several."""
        return self if self.form is None else replace(self, form=getattr(self.form, name)[number])

    @property
    def bits(self) -> int:
        """Spare bits of a number."""
        return math.ceil(math.log2(1 + self.share))

    def words(self, count: int) -> int:
        """So many and the spare ones."""
        return math.ceil(count * (1 + self.share))


def require_room(what: str, has: int, takes: int, unit: str) -> None:
    """NoRoomError where that is not enough."""
    if takes > has:
        there = f"there {'is' if has == 1 else 'are'} {has:,} {unit}{'' if has == 1 else 's'}"
        raise NoRoomError(f"for {what} {there}, and the new weights take {takes:,}")

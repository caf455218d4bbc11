"""Which words the passes of a wide engine look at, cycle by cycle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ...hdl.engines.visit_map import ROW


class Visits(ABC):
    """What says which word is next."""

    @property
    @abstractmethod
    def word(self) -> int | None:
        """The word that there is to take, if there is one."""

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether all words that the population had are taken."""

    @abstractmethod
    def move(
        self, *, put: int | None, wipes: bool, takes: bool, clears: bool, forgets: bool, begins: int | None
    ) -> None:
        """A cycle: as the ports of the hardware have it; `begins` is the population whose words are to be taken."""


class VisitLists(Visits):
    """`spikeloom.hdl.engines.visits`, of populations with these `ends`."""

    def __init__(self, ends: Sequence[int]) -> None:
        self._ends = tuple(ends)
        self._lists: list[list[int]] = [[] for _ in ends]
        self._taken: list[int] = []

    @property
    def word(self) -> int | None:
        return self._taken[-1] if self._taken else None

    @property
    def done(self) -> bool:
        return not self._taken

    def move(
        self, *, put: int | None, wipes: bool, takes: bool, clears: bool, forgets: bool, begins: int | None
    ) -> None:
        if takes:
            self._taken.pop()
        if put is not None and not wipes:
            self._lists[place_of(self._ends, put)].append(put)
        if forgets:
            self._lists = [[] for _ in self._ends]
        if begins is not None:
            self._taken, self._lists[begins] = self._lists[begins], []


class VisitBits(Visits):
    """`spikeloom.hdl.engines.visit_map`, of populations with these `bases` and `ends`."""

    def __init__(self, bases: Sequence[int], ends: Sequence[int]) -> None:
        self._bounds = tuple(zip(bases, ends, strict=True))
        self._bits = [False] * (-(-ends[-1] // ROW) * ROW)
        self._number = 0
        self._row: int | None = None  # the next one that is read, while there is one
        self._found: list[int] | None = None  # what the row that was read has
        self._mask: list[int] = []

    @property
    def word(self) -> int | None:
        return self._mask[0] if self._mask else None

    @property
    def done(self) -> bool:
        return self._row is None and self._found is None and not self._mask

    def move(
        self, *, put: int | None, wipes: bool, takes: bool, clears: bool, forgets: bool, begins: int | None
    ) -> None:
        rest = self._mask[1:] if takes else self._mask
        fetches = self._row is not None and put is None and not clears and self._found is None and not rest
        self._mask = self._found if self._found is not None else rest
        self._found = self._fetched() if fetches else None
        if put is not None:
            first = put // ROW * ROW
            if wipes:
                self._bits[first : first + ROW] = [False] * ROW
            else:
                self._bits[put] = True
        if begins is not None:
            self._number, self._row = begins, self._bounds[begins][0] // ROW
        if forgets:
            self._row = None

    def _fetched(self) -> list[int]:
        """The words of the next row, whose bits are cleared."""
        assert self._row is not None
        first, past = self._bounds[self._number]
        row = range(max(first, self._row * ROW), min(past, (self._row + 1) * ROW))
        words = [word for word in row if self._bits[word]]
        for word in words:
            self._bits[word] = False
        self._row = self._row + 1 if self._row != (past - 1) // ROW else None
        return words


def place_of(ends: Sequence[int], word: int) -> int:
    """The population in which a word lies."""
    return next(place for place, end in enumerate(ends) if word < end)

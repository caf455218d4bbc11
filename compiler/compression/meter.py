"""Progress of a compression, in parts that take different work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Progress = Callable[[int, int], None]
"""Called with units of work done, and their total."""


class Meter:
    """Progress over parts of so much work each."""

    def __init__(self, progress: Progress | None, parts: Sequence[int]) -> None:
        self.progress, self.parts, self.part = progress, parts, 0

    def next(self) -> None:
        self.report(1, 1)
        self.part += 1

    def advance_in(self, number: int, numbers: int, total: int) -> Callable[[int], None]:
        """What a step `number` of `numbers` in this part calls with the units of its `total` that it has done."""
        done = number * total

        def advance(units: int) -> None:
            nonlocal done
            done += units
            self.report(done, numbers * total)

        return advance

    def report(self, done: int, total: int) -> None:
        if self.progress is not None:
            before, work = sum(self.parts[: self.part]), sum(self.parts[self.part : self.part + 1])
            self.progress(before + work * done // max(1, total), sum(self.parts))

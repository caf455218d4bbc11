"""A tap generator, cycle by cycle (`spikeloom.hdl.engines.taps`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ...hdl.engines.tap_format import TapContents, TapFormat
from ..encodings.taps import taps_of
from .tokens import EVENT, Token

Tap = tuple[int, int, int]
"""A kind, a row and an origin."""


class TapFront:
    """The registers of a tap generator in front of whatever takes its taps."""

    def __init__(self, form: TapFormat, contents: TapContents) -> None:
        self._waits = [(segment.first, form.wait(segment)) for segment in form.segments]
        self._taps: Callable[[int], list[tuple[int, int] | None]] = cache(
            lambda address: list(taps_of(form, contents, address))
        )
        self.out: Tap | None = None
        self._held: Token | None = None
        self._left = 0
        self._kind = EVENT
        self._active: list[tuple[int, int] | None] = []
        self._place = 0

    @property
    def idle(self) -> bool:
        """Whether no token is under way."""
        return self.out is None and self._held is None and not self._active

    def ready(self, taken: bool) -> bool:
        """Whether it takes a token in a cycle in which its own tap is `taken`, if it has one."""
        return self._held is None or self._takes(taken)

    def move(self, token: Token | None, taken: bool) -> None:
        """A cycle: the token that it took, if any, and whether its own tap was `taken`."""
        free, takes = self.out is None or taken, self._takes(taken)
        ready, steps = self._held is None or takes, self._steps(free)
        if free:
            shown = self._active[self._place] if self._active else None
            self.out = None if shown is None else (self._kind, *shown)
        if takes:
            assert self._held is not None
            self._kind, address = self._held
            self._active = self._taps(address) if self._kind == EVENT else [(0, 0)]
            self._place = 0
        elif steps:
            self._place += 1
            if self._place == len(self._active):
                self._active = []
        if ready:
            self._held = token
            self._left = 0
            if token is not None and token[0] == EVENT:
                self._left = next(wait for first, wait in reversed(self._waits) if first <= token[1])
        elif self._left:
            self._left -= 1

    def _steps(self, free: bool) -> bool:
        return bool(self._active) and (free or self._active[self._place] is None)

    def _takes(self, taken: bool) -> bool:
        if self._held is None or self._left:
            return False
        is_last = self._place == len(self._active) - 1
        return not self._active or (is_last and self._steps(self.out is None or taken))

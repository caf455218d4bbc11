"""A tap generator, cycle by cycle (`spikeloom.hdl.engines.taps`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ...hdl.engines.tap_format import TapContents, TapFormat
from ..encodings.taps import job_taps
from .tokens import EVENT, Token

Tap = tuple[int, int, int]
"""A kind, a row and an origin."""

Job = tuple[int, list[tuple[int, int] | None], bool]
"""A kind, what comes of it cycle by cycle, and whether it is watched."""


class TapFront:
    """The registers of a tap generator in front of whatever takes its taps; addresses from `watched` on do not keep it
    from being idle."""

    def __init__(self, form: TapFormat, contents: TapContents, *, watched: int | None = None) -> None:
        self._waits = [(segment.first, form.wait(segment)) for segment in form.segments]
        self._jobs: Callable[[int], list[list[tuple[int, int] | None]]] = cache(
            lambda address: list(job_taps(form, contents, address))
        )
        self._watched = form.addresses if watched is None else watched
        self.out: Tap | None = None
        self._held: Token | None = None
        self._left = 0
        self._job = 0
        self._asked: Job | None = None
        self._active: Job | None = None
        self._place = 0
        self._fetched: Tap | None = None
        self._kept: Tap | None = None
        self._seen = [False, False, False]  # whether the last three are watched

    @property
    def idle(self) -> bool:
        """Whether no token is under way that is watched."""
        if self._held is not None and (self._held[0] != EVENT or self._held[1] < self._watched):
            return False
        if (self._asked is not None and self._asked[2]) or (self._active is not None and self._active[2]):
            return False
        last = zip((self._fetched, self._kept, self.out), self._seen, strict=True)
        return not any(tap is not None and seen for tap, seen in last)

    def ready(self, taken: bool) -> bool:
        """Whether it takes a token in a cycle in which its own tap is `taken`, if it has one."""
        return self._held is None or (self._takes(self.out is None or taken) and self._is_last_job)

    def move(self, token: Token | None, taken: bool) -> None:
        """A cycle: the token that it took, if any, and whether its own tap was `taken`."""
        free = self.out is None or taken
        walks, takes = self._walks(free), self._takes(free)
        ready = self._held is None or (takes and self._is_last_job)
        if free:
            active = self._active
            shown = None if active is None else active[1][self._place]
            self.out, self._kept = self._kept, self._fetched
            self._fetched = None if active is None or shown is None else (active[0], *shown)
            self._seen = [active is not None and active[2], *self._seen[:2]]
        if walks:
            self._active, self._place = self._asked, 0
        elif free and self._active is not None:
            self._place += 1
            if self._place == len(self._active[1]):
                self._active = None
        if takes:
            assert self._held is not None
            kind, address = self._held
            taps: list[tuple[int, int] | None] = self._jobs(address)[self._job] if kind == EVENT else [(0, 0)]
            self._asked = (kind, taps, kind != EVENT or address < self._watched)
            self._job += 1
        elif walks:
            self._asked = None
        if ready:
            self._held, self._job = token, 0
            self._left = 0
            if token is not None and token[0] == EVENT:
                self._left = next(wait for first, wait in reversed(self._waits) if first <= token[1])
        elif self._left:
            self._left -= 1

    @property
    def _is_last_job(self) -> bool:
        assert self._held is not None
        return self._held[0] != EVENT or self._job == len(self._jobs(self._held[1])) - 1

    def _walks(self, free: bool) -> bool:
        """Whether the taps of what was asked for begin."""
        active = self._active
        return self._asked is not None and (active is None or (free and self._place == len(active[1]) - 1))

    def _takes(self, free: bool) -> bool:
        """Whether a job of the token is asked for."""
        return self._held is not None and not self._left and (self._asked is None or self._walks(free))

"""What pools in front of a walker and behind it, cycle by cycle (`spikeloom.hdl.engines`: `pooling`, `sum_pooling`)."""

from __future__ import annotations

from ...hdl.engines.pooling import SpikePoolFormat
from ...hdl.engines.sum_pooling import SumPoolFormat
from ...hdl.engines.tap_format import TapContents
from .taps import TapFront
from .tokens import ABORT, END_OF_STEP, EVENT, Token

CLEAR, ADD, POOL = range(3)

Beat = tuple[int, int]
"""The kind and the post neuron of a contribution."""


class SpikePoolFront:
    """The registers of a pool of spikes."""

    def __init__(self, form: SpikePoolFormat, contents: TapContents) -> None:
        self._form = form
        self._taps = TapFront(form.taps, contents)
        self._words = [0] * (form.windows + form.counts)
        self._held: Token | None = None
        self._count = 1
        self._clearing = self._dirty = True
        self._word = 0

    @property
    def idle(self) -> bool:
        """Whether no token is under way."""
        return self._taps.idle and self._held is None and not self._clearing

    @property
    def out(self) -> Token | None:
        """The token that it offers."""
        if self._held is None or self._clearing:
            return None
        kind, address = self._held
        if kind != EVENT:
            return None if self._dirty else self._held
        return self._held if address < self._form.passing or self._rises else None

    def ready(self, taken: bool) -> bool:
        """Whether it takes a token in a cycle in which its own is `taken`, if it has one."""
        return self._taps.ready(self._takes)

    def move(self, token: Token | None, taken: bool) -> None:
        """A cycle: the token that it took, if any, and whether its own was `taken`."""
        takes, form = self._takes, self._form
        offered, shown = self.out, self._taps.out
        if self._clearing:
            self._words[self._word] = 0
            self._word += 1
            if self._word == len(self._words):
                self._clearing = self._dirty = False
        elif self._held is not None:
            kind, address = self._held
            pooled = kind == EVENT and address >= form.passing
            if pooled and address >= form.outputs:
                self._count = self._words[address - form.passing] = self._words[address - form.passing] + 1
                self._held, self._dirty = None, True
            elif offered is not None and taken:
                self._held = None
                if pooled:
                    self._words[address - form.passing] = self._count
                    self._dirty = True
            elif pooled and offered is None:
                self._held, self._dirty = None, True
            elif kind != EVENT and self._dirty:
                self._clearing, self._word = True, 0
        self._taps.move(token, takes)
        if takes and shown is not None:
            self._held = shown[:2]

    @property
    def _takes(self) -> bool:
        return self._held is None and not self._clearing

    @property
    def _rises(self) -> bool:
        assert self._held is not None
        address = self._held[1]
        return address < self._form.outputs and self._words[address - self._form.passing] < self._count


class PooledFront:
    """A pool of spikes in front of a tap generator."""

    def __init__(self, pool: SpikePoolFront, taps: TapFront) -> None:
        self._pool = pool
        self._taps = taps

    @property
    def out(self) -> tuple[int, int, int] | None:
        """The tap that it offers."""
        return self._taps.out

    @property
    def idle(self) -> bool:
        """Whether no token is under way."""
        return self._pool.idle and self._taps.idle

    def ready(self, taken: bool) -> bool:
        """Whether it takes a token in a cycle in which its tap is `taken`, if it has one."""
        return self._pool.ready(self._taps.ready(taken))

    def move(self, token: Token | None, taken: bool) -> None:
        """A cycle: the token that it took, if any, and whether its tap was `taken`."""
        takes, offered = self._taps.ready(taken), self._pool.out
        self._pool.move(token, takes)
        self._taps.move(offered if takes else None, taken)


class SumPoolBack:
    """The registers of a pool of sums, of which it matters that they are there, not what they are."""

    def __init__(self, form: SumPoolFormat, contents: TapContents) -> None:
        self._form = form
        self._taps = TapFront(form.taps, contents)
        self._job, self._dirty, self._adding = CLEAR, True, False
        self._place = 0
        self._asked = 0
        self._held: tuple[int, int] | None = None  # a tap: kind and row
        self._some = False
        self._neuron = 0

    def offer(self, beat: Beat | None) -> Beat | None:
        """The contribution that it offers while `beat` is at its input."""
        if self._emits:
            return EVENT, self._neuron
        return beat if beat is not None and self._passes(beat) else None

    def ready(self, beat: Beat, taken: bool) -> bool:
        """Whether it takes `beat` in a cycle in which what it offers is `taken`."""
        if self._passes(beat):
            return taken
        return self._job == ADD and self._is_sum(beat) and not self._collides(beat)

    def move(self, beat: Beat | None, taken: bool) -> None:
        """A cycle with `beat` at its input, in which what it offers would be `taken`."""
        job = self._job
        accepts = beat is not None and job == ADD and self._is_sum(beat) and not self._collides(beat)
        self._pool(job, taken)
        if job == CLEAR:
            self._place += 1
            if self._place == self._form.sums:
                self._job, self._dirty = ADD, False
        elif job == ADD and beat is not None and beat[0] != EVENT and self._dirty and not self._adding:
            self._job, self._place = CLEAR if beat[0] == ABORT else POOL, 0
        if accepts:
            assert beat is not None
            self._place, self._dirty = beat[1] - self._form.neurons, True
        self._adding = accepts

    def _pool(self, job: int, taken: bool) -> None:
        """What looks at the windows."""
        form = self._form
        done = self._held is not None and (not self._emits or taken)
        free = self._held is None or done
        asks = job == POOL and self._asked <= form.windows
        token = (END_OF_STEP if self._asked == form.windows else EVENT, self._asked) if asks else None
        asked = token is not None and self._taps.ready(free)
        shown = self._taps.out
        self._taps.move(token if asked else None, free)
        if done:
            assert self._held is not None
            kind, row = self._held
            if kind != EVENT or row >= form.sums:
                self._some, self._neuron = kind == EVENT, row - form.sums
            if kind != EVENT:
                self._job, self._place = CLEAR, 0
        if asked:
            self._asked += 1
        if done and self._job == CLEAR:
            self._asked = 0
        if free:
            self._held = None if shown is None else shown[:2]

    @property
    def _emits(self) -> bool:
        return self._held is not None and self._some and (self._held[0] != EVENT or self._held[1] >= self._form.sums)

    def _is_sum(self, beat: Beat) -> bool:
        return beat[0] == EVENT and beat[1] >= self._form.neurons

    def _collides(self, beat: Beat) -> bool:
        return self._adding and self._place == beat[1] - self._form.neurons

    def _passes(self, beat: Beat) -> bool:
        return self._job == ADD and not self._is_sum(beat) and (beat[0] == EVENT or not (self._dirty or self._adding))

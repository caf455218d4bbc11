"""Words in which neurons of a wide engine fire several times in a step: they are looked at again and again."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value

TURNS = 5
"""Cycles from a look at a word to the next one: it is read, held, compared, changed and written."""


class Stage(NamedTuple):
    """A word on its way: whether it is passed, or added to, which it is, and whether this is of the step under way."""

    passes: Signal
    adds: Signal
    word: Signal
    now: Signal


class Turns:
    """A ring of as many places as a look takes cycles, which go by in turn. The place whose turn it is has a word in
    which neurons have fired, and how often they have, or it is free for another.

    A word whose look is put off, as something is added in that cycle, has its next turn when the ring has gone round.
    Without rounds (`most` is 0) no word is looked at again and there is no ring.
    """

    def __init__(self, word_bits: int, most: int, written: Stage) -> None:
        """Of words whose rounds count up to `most`."""
        self._most = most
        self._written = written
        count = TURNS if most else 0
        self._again = [Signal(name=f"again{n}") for n in range(count)]
        self._words = [Signal(word_bits, name=f"turn_word{n}") for n in range(count)]
        self._rounds = [Signal(range(most + 1), name=f"round{n}") for n in range(count)]

    @property
    def again(self) -> Value:
        """Whether the place whose turn it is has a word."""
        return self._again[-1] if self._most else Value.cast(0)

    @property
    def again_word(self) -> Signal:
        """Which."""
        return self._words[-1]

    @property
    def round(self) -> Signal:
        """How often neurons have fired in the word that is compared."""
        return self._rounds[1]

    @property
    def written_round(self) -> Signal:
        """In the word that is written."""
        return self._rounds[2]

    def any(self) -> Value:
        """Whether there is one that is to be looked at again."""
        return Value.cast(0) if not self._most else Cat(*self._again).any()

    def issue(self, m: Module, word: Value, passes: Value) -> None:
        """The turn of a place: the word that it has, or that is offered, is looked at where it `passes`."""
        if not self._most:
            return
        m.d.sync += [
            self._again[0].eq(self.again & ~passes),
            self._words[0].eq(word),
            self._rounds[0].eq(Mux(self.again, self._rounds[-1], 0)),
        ]
        for held in (self._again, self._words, self._rounds):
            m.d.sync += [after.eq(before) for before, after in pairwise(held)]

    def fires(self, m: Module, redo: Value) -> None:
        """Whether neurons fire in the word that is written, which has another turn then."""
        rounds = self.written_round
        with m.If(redo):
            m.d.sync += [self._again[3].eq(1), self._rounds[3].eq(rounds + (rounds != self._most))]

    def count(self, m: Module, fired: Value, bits: int, name: str) -> Value:
        """How often a neuron of the word that is written has fired, which it has once more where it `fired`."""
        held = [Signal(bits, name=f"{name}_{n}") for n in range(TURNS)]
        count = Signal(bits, name=name)
        m.d.comb += count.eq(held[-1])
        with m.If(self._written.passes):
            m.d.comb += count.eq(Mux(self.written_round.any(), held[-1], 0) + fired)
        m.d.sync += [after.eq(before) for before, after in zip([count, *held], held, strict=False)]
        return count

"""Taps: what an event of a map means to the rows of its engine.

The row of (kernel row, kernel column, pre channel) holds the weights of all post channels, which lie side by side in
the state memory, so that an event of a map adds that row at several places: a tap is a row and the post neuron, its
`origin`, from which the row's indices count. Along rows and along columns the taps of a place are independent: a word
of an axis table has the part of the row's number and the part of the origin that one kernel row (or column) brings, and
the taps of an event are all pairs of a word of each. Strides, padding, dilation and sums over windows before or behind
the weights are only other words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import unsigned
from amaranth.lib import data

from ..memories.memory import LOGIC_ROM_LUTS, Family, MemoryShape
from ..streams.tokens import TokenKind, address_bits

COUNT_LUTS = 64
"""The numbers of taps are built from at most so many look-up tables: they are few, and asked for before the taps."""

STEPPED_LUTS = 64
"""A table with steps is built from at most so many look-up tables, with the steps and the adders: on an ECP5-25k, where
a block RAM has 430 beside it, that is a seventh of what it spares."""


def tap_layout(rows: int, post: int) -> data.StructLayout:
    """The payload of a stream of taps: tokens whose EVENT adds the row `address` from the post neuron `origin` on."""
    return data.StructLayout(
        {"kind": TokenKind, "address": unsigned(address_bits(rows)), "origin": unsigned(address_bits(post))}
    )


@dataclass(frozen=True, kw_only=True)
class OwnRow:
    """An event has a row of its own: its address plus `offset` (modulo a power of two), counted from `origin`."""

    offset: int
    origin: int


@dataclass(frozen=True, kw_only=True)
class MapTaps:
    """An event at (c, y, x) of a map has the taps of the words `rows` + y of the table of rows and `columns` + x of
    that of columns; c is added to the number of the row."""

    rows: int
    columns: int


@dataclass(frozen=True, kw_only=True)
class Places:
    """How a number says a place of a map: by remainders of `inner`, then of `outer`.

    They are columns and rows of a map numbered by (channel, row, column), where it is `planar`; else channels and
    columns of one numbered by (row, column, channel).
    """

    inner: int
    outer: int
    planar: bool

    @property
    def has_fields(self) -> bool:
        """Whether the parts of a place are bits of its number."""
        return not self.inner & (self.inner - 1) and not self.outer & (self.outer - 1)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The events from the address `first` on, and what they are for, one after another.

    `places` is how their number (from 0) says a place, if any of the jobs asks; where it is `looked_up` the number
    stands in the memory `choices`.
    """

    first: int
    jobs: tuple[OwnRow | MapTaps, ...]
    places: Places | None = None
    looked_up: bool = False


@dataclass(frozen=True, kw_only=True)
class AxisFormat:
    """A table of one axis: `slots` words, a power of two, for each of `places`.

    A word is, low bits first: the part of the row's number in units of 2**`row_shift`; the part of the origin in units
    of 2**`origin_shift`. How many taps a place has stands in a table of its own, of which a word is the number of the
    last one's slot and, with `gaps`, whether there is any. With `steps`, one for each slot, the table has the word of a
    place's first slot alone: that of another is the step more, field by field and modulo their sizes.
    """

    places: int
    slots: int
    gaps: bool
    row_bits: int
    row_shift: int
    origin_bits: int
    origin_shift: int
    steps: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        return max(1, self.row_bits + self.origin_bits)

    @property
    def stepped_luts(self) -> int:
        """The look-up tables of a table with steps: first words, steps and adders."""
        return self.width * (-(-self.places // 16) + 2)

    @property
    def count_bits(self) -> int:
        """The width of a word of the table of numbers; 0 where every place has one tap, and there is none."""
        return (self.slots - 1).bit_length() + self.gaps

    def memory(self, family: Family, logic_luts: int) -> MemoryShape:
        if self.steps:
            return MemoryShape(family, self.places, self.width, logic_luts=STEPPED_LUTS)
        return MemoryShape(family, self.places * self.slots, self.width, logic_luts=logic_luts)

    def count_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, self.places, self.count_bits, logic_luts=COUNT_LUTS)


@dataclass(frozen=True, kw_only=True)
class TapFormat:
    """What the events over `addresses` are for: `segments` in order, the first from address 0 on.

    Taps are over so many `rows` and `post` neurons. `choice_bits` of every word of the memory `choices`, low bits
    first, say which jobs of its segment an address has (0: all of them), `number_bits` above them its number.
    """

    addresses: int
    rows: int
    post: int
    segments: tuple[Segment, ...]
    down: AxisFormat
    across: AxisFormat
    choice_bits: int = 0
    number_bits: int = 0
    logic_luts: int = LOGIC_ROM_LUTS

    @cached_property
    def jobs(self) -> tuple[OwnRow | MapTaps, ...]:
        """Those of all segments in turn."""
        return tuple(job for segment in self.segments for job in segment.jobs)

    @property
    def divides(self) -> bool:
        """Whether places are found by division."""
        return any(s.places is not None and not s.places.has_fields for s in self.segments)

    @cached_property
    def place_bits(self) -> int:
        """The width of the largest number that says a place."""
        ends = [*(segment.first for segment in self.segments[1:]), self.addresses]
        sizes = [end - s.first for s, end in zip(self.segments, ends, strict=True) if s.places is not None]
        return max(self.number_bits, *(address_bits(size) for size in sizes))

    @property
    def chooses(self) -> bool:
        """Whether there is a memory of `choices`."""
        return self.choice_bits + self.number_bits > 0

    def wait(self, segment: Segment) -> int:
        """Cycles from an event of the segment to its place."""
        if segment.places is None or not self.divides:
            return 0
        return 2 * self.place_bits

    def memories(self, family: Family) -> dict[str, MemoryShape]:
        """The memories by their role: `down` and `across` are the tables of the axes, with those of their counts."""
        shapes = {
            "down": self.down.memory(family, self.logic_luts),
            "across": self.across.memory(family, self.logic_luts),
        }
        for role, axis in (("down", self.down), ("across", self.across)):
            if axis.count_bits:
                shapes[f"{role}_counts"] = axis.count_memory(family)
        if self.chooses:
            width = self.choice_bits + self.number_bits
            shapes["choices"] = MemoryShape(family, self.addresses, width, logic_luts=self.logic_luts)
        return shapes


@dataclass(frozen=True, kw_only=True)
class TapContents:
    """What the memories hold."""

    down: tuple[int, ...]
    across: tuple[int, ...]
    down_counts: tuple[int, ...] = ()
    across_counts: tuple[int, ...] = ()
    choices: tuple[int, ...] = ()

"""Compressed rows: how a projection's weights lie in memory.

Each pre neuron has a row: `length` entries from `start` on. An entry is a weight's code and a relative index: its post
neuron is that of the entry before it plus `index + 1`, the first entry's is `index` beyond the first post neuron of its
section. With an index of 0 bits every entry follows the one before: dense rows.

A code is the weight itself, two's complement, and gaps wider than the index field are bridged by entries of weight 0.
With `levels` a code is the number of one of those weights (ternary, binary or shared weights), and an index of all ones
bridges a gap: it stands for no synapse and moves 2**index_bits - 1 neurons on.

The directory has one word for `group` rows: the start of the first (a multiple of 2**align) in the low bits, above it
the length of each. Rows of equal length need none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..memories.memory import LOGIC_ROM_LUTS, Family, MemoryShape, read_only
from ..memories.spram import SpramShape


@dataclass(frozen=True, kw_only=True)
class Section:
    """The rows from `first_row` on count their relative indices from the post neuron `first_post`."""

    first_row: int
    first_post: int


@dataclass(frozen=True, kw_only=True)
class StoredRows(ABC):
    """What every format of rows has: sizes, widths, the directory and the entries.

    `weight_bits` is the two's complement width of a weight, `code_bits` that of its code in an entry; `levels` are the
    weights that codes number, if they do. No row has more than `longest_row` entries. The directory has one word for
    `group` rows, a power of two, each of which starts at a multiple of 2**align. The entries lie in block RAM, or in
    SPRAMs from number `first_spram` on; `logic_luts` is as in MemoryShape.
    """

    rows: int
    post: int
    entries: int
    weight_bits: int
    code_bits: int
    longest_row: int
    levels: tuple[int, ...] | None = None
    group: int = 1
    align: int = 0
    first_spram: int | None = None
    logic_luts: int = LOGIC_ROM_LUTS

    @property
    def start_bits(self) -> int:
        """Width of an entry's address."""
        return max(1, (self.entries - 1).bit_length())

    @property
    def base_bits(self) -> int:
        """Width of the start that a directory word holds."""
        return max(1, self.start_bits - self.align)

    @property
    def length_bits(self) -> int:
        return max(1, self.longest_row.bit_length())

    @property
    def group_bits(self) -> int:
        """Width of a row's place in its group."""
        return (self.group - 1).bit_length()

    @property
    @abstractmethod
    def stored_lengths(self) -> int:
        """How many lengths a directory word holds."""

    @property
    def directory_bits(self) -> int:
        """Width of a directory word: the start in the low bits, the lengths above."""
        return self.base_bits + self.stored_lengths * self.length_bits

    @property
    @abstractmethod
    def entry_bits(self) -> int:
        """Width of an entry."""

    def entry_memory(self, family: Family) -> MemoryShape | SpramShape:
        if self.first_spram is not None:
            return SpramShape(self.entries, self.entry_bits)
        return read_only(family, self.entries, self.entry_bits, self.logic_luts)

    def directory_memory(self, family: Family) -> MemoryShape:
        return read_only(family, -(-self.rows // self.group), self.directory_bits, self.logic_luts)


@dataclass(frozen=True, kw_only=True)
class RowFormat(StoredRows):
    """Compressed rows. `uniform` ones all have `longest_row` entries; `sections` are sorted and begin with row 0. Where
    a row is `placed`, each time that it is added says from which post neuron on, in place of the sections. With
    `registers` its walker is a fast one, which has so many between the directory and the pointer, and behind the
    entries."""

    index_bits: int
    uniform: bool = False
    sections: tuple[Section, ...] = (Section(first_row=0, first_post=0),)
    placed: bool = False
    registers: tuple[int, int] | None = None

    @property
    def escapes(self) -> bool:
        """Whether an index of all ones bridges a gap."""
        return self.levels is not None and self.index_bits > 0

    @property
    def stored_lengths(self) -> int:
        return self.group

    @property
    def directory_bits(self) -> int:
        """0 for uniform rows."""
        return 0 if self.uniform else super().directory_bits

    @property
    def entry_bits(self) -> int:
        """The code in the low bits, the index above."""
        return self.code_bits + self.index_bits

    def memories(self, family: Family) -> dict[str, MemoryShape | SpramShape]:
        """The memories by their role: `rows` (the directory) and `entries`."""
        entries = {"entries": self.entry_memory(family)}
        return entries if self.uniform else entries | {"rows": self.directory_memory(family)}


@dataclass(frozen=True, kw_only=True)
class RowContents:
    """The contents of both memories: `rows` one word per group of rows, `entries` one word per entry."""

    rows: tuple[int, ...]
    entries: tuple[int, ...]

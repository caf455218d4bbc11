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

from dataclasses import dataclass

from .memory import LOGIC_ROM_LUTS, Family, MemoryShape
from .spram import SpramShape


@dataclass(frozen=True, kw_only=True)
class Section:
    """The rows from `first_row` on count their relative indices from the post neuron `first_post`."""

    first_row: int
    first_post: int


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """Sizes and field widths of compressed rows.

    `weight_bits` is the two's complement width of a weight, `code_bits` that of its code in an entry. `uniform` rows
    all have `longest_row` entries. `group` is a power of two; `sections` are sorted and begin with row 0. The entries
    lie in block RAM, or in SPRAMs from number `first_spram` on; `logic_luts` is as in MemoryShape.
    """

    rows: int
    post: int
    entries: int
    index_bits: int
    weight_bits: int
    code_bits: int
    longest_row: int
    levels: tuple[int, ...] | None = None
    uniform: bool = False
    group: int = 1
    align: int = 0
    sections: tuple[Section, ...] = (Section(first_row=0, first_post=0),)
    first_spram: int | None = None
    logic_luts: int = LOGIC_ROM_LUTS

    @property
    def escapes(self) -> bool:
        """Whether an index of all ones bridges a gap."""
        return self.levels is not None and self.index_bits > 0

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
    def directory_bits(self) -> int:
        """Width of a directory word: the start in the low bits, the lengths above; 0 for uniform rows."""
        return 0 if self.uniform else self.base_bits + self.group * self.length_bits

    @property
    def entry_bits(self) -> int:
        """Width of an entry: the code in the low bits, the index above."""
        return self.code_bits + self.index_bits

    def entry_memory(self, family: Family) -> MemoryShape | SpramShape:
        if self.first_spram is not None:
            return SpramShape(self.entries, self.entry_bits)
        return MemoryShape(family, self.entries, self.entry_bits, logic_luts=self.logic_luts)

    def directory_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, -(-self.rows // self.group), self.directory_bits, logic_luts=self.logic_luts)

    def memories(self, family: Family) -> dict[str, MemoryShape | SpramShape]:
        """The memories by their role: `rows` (the directory) and `entries`."""
        entries = {"entries": self.entry_memory(family)}
        return entries if self.uniform else entries | {"rows": self.directory_memory(family)}


@dataclass(frozen=True, kw_only=True)
class RowImage:
    """The contents of both memories: `rows` one word per group of rows, `entries` one word per entry."""

    rows: tuple[int, ...]
    entries: tuple[int, ...]

"""Bitmap rows: how a projection's weights lie in memory where about half of the synapses are there.

Each pre neuron has a bit per post neuron, cut into `row_chunks` chunks of `chunk_bits`: chunk k of row r is word
r * row_chunks + k of the masks, the first post neuron in its lowest bit. The number of chunks is a power of two: that
address is no sum. The codes of the synapses whose bits are set follow each other in the entries, without an index.

The directory has one word for `group` rows: the start of the first row's codes (a multiple of 2**align) in the low
bits, above it how many codes each row but the last has. Codes are those of `row_format`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .memory import LOGIC_ROM_LUTS, Family, MemoryShape
from .spram import SpramShape


@dataclass(frozen=True, kw_only=True)
class BitmapFormat:
    """Sizes and field widths of bitmap rows; fields that RowFormat has too mean the same."""

    rows: int
    post: int
    entries: int
    chunk_bits: int
    weight_bits: int
    code_bits: int
    longest_row: int
    levels: tuple[int, ...] | None = None
    group: int = 1
    align: int = 0
    first_spram: int | None = None
    logic_luts: int = LOGIC_ROM_LUTS

    uniform = False
    """Whether rows need no directory."""

    @property
    def row_chunks(self) -> int:
        """Chunks of a row, a power of two; the last ones may be empty."""
        return 1 << (-(-self.post // self.chunk_bits) - 1).bit_length()

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
        """Width of a directory word: the start in the low bits, the lengths above."""
        return self.base_bits + (self.group - 1) * self.length_bits

    @property
    def entry_bits(self) -> int:
        """Width of an entry: its code."""
        return self.code_bits

    def entry_memory(self, family: Family) -> MemoryShape | SpramShape:
        if self.first_spram is not None:
            return SpramShape(self.entries, self.entry_bits)
        return MemoryShape(family, self.entries, self.entry_bits, logic_luts=self.logic_luts)

    def mask_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, self.rows * self.row_chunks, self.chunk_bits, logic_luts=self.logic_luts)

    def directory_memory(self, family: Family) -> MemoryShape:
        return MemoryShape(family, -(-self.rows // self.group), self.directory_bits, logic_luts=self.logic_luts)

    def memories(self, family: Family) -> dict[str, MemoryShape | SpramShape]:
        """The memories by their role: `rows` (the directory), `masks` and `entries`."""
        return {
            "entries": self.entry_memory(family),
            "masks": self.mask_memory(family),
            "rows": self.directory_memory(family),
        }


@dataclass(frozen=True, kw_only=True)
class BitmapImage:
    """The contents of the memories: `rows` one word per group of rows, `masks` per chunk, `entries` per synapse."""

    rows: tuple[int, ...]
    masks: tuple[int, ...]
    entries: tuple[int, ...]

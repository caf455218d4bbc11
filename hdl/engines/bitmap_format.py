"""Bitmap rows: how a projection's weights lie in memory where about half of the synapses are there.

Each pre neuron has a bit per post neuron, cut into `row_chunks` chunks of `chunk_bits`: chunk k of row r is word
r * row_chunks + k of the masks, the first post neuron in its lowest bit. The number of chunks is a power of two: that
address is no sum. The codes of the synapses whose bits are set follow each other in the entries, without an index.

The directory has one word for `group` rows: the start of the first row's codes (a multiple of 2**align) in the low
bits, above it how many codes each row but the last has. Codes are those of `row_format`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..memories.memory import Family, MemoryShape, read_only
from ..memories.spram import SpramShape
from .row_format import StoredRows


@dataclass(frozen=True, kw_only=True)
class BitmapFormat(StoredRows):
    """Bitmap rows, in chunks of `chunk_bits`."""

    chunk_bits: int

    uniform = False
    """Whether rows need no directory."""

    @property
    def row_chunks(self) -> int:
        """Chunks of a row, a power of two; the last ones may be empty."""
        return 1 << (-(-self.post // self.chunk_bits) - 1).bit_length()

    @property
    def stored_lengths(self) -> int:
        """That of the last row is not needed."""
        return self.group - 1

    @property
    def entry_bits(self) -> int:
        """The code alone."""
        return self.code_bits

    def mask_memory(self, family: Family) -> MemoryShape:
        return read_only(family, self.rows * self.row_chunks, self.chunk_bits, self.logic_luts)

    def memories(self, family: Family) -> dict[str, MemoryShape | SpramShape]:
        """The memories by their role: `rows` (the directory), `masks` and `entries`."""
        return {
            "entries": self.entry_memory(family),
            "masks": self.mask_memory(family),
            "rows": self.directory_memory(family),
        }


@dataclass(frozen=True, kw_only=True)
class BitmapContents:
    """The contents of the memories: `rows` one word per group of rows, `masks` per chunk, `entries` per synapse."""

    rows: tuple[int, ...]
    masks: tuple[int, ...]
    entries: tuple[int, ...]

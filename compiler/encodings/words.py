"""Rows to words of several weights: what a wide engine adds to a word of state at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...hdl.engines.wide_format import WordRows
from ..ir.arrays import IntArray


@dataclass(eq=False)
class WordStore:
    """Rows of weights, word by word, of so many `lanes`."""

    lanes: int
    blocks: list[IntArray] = field(default_factory=list)
    sections: list[WordRows] = field(default_factory=list)
    rows: int = 0
    words: int = 0

    def add(self, block: IntArray) -> int:
        """Store rows [rows, neurons from a word's first on]; gives the number of the first."""
        first, count = self.rows, -(-block.shape[1] // self.lanes)
        padded = np.pad(block, ((0, 0), (0, count * self.lanes - block.shape[1])))
        self.blocks.append(padded.reshape(-1, self.lanes))
        if not self.sections or self.sections[-1].words != count:
            self.sections.append(WordRows(first_row=first, words=count, first_word=self.words))
        self.rows += len(block)
        self.words += len(block) * count
        return first

    def packed(self, bits: int) -> tuple[int, ...]:
        """The words of weights of so many bits."""
        return packed(np.concatenate(self.blocks), bits)


def packed(values: IntArray, bits: int) -> tuple[int, ...]:
    """Words of values [words, lanes], two's complement, the lowest lane in the low bits."""
    mask = (1 << bits) - 1
    return tuple(sum((value & mask) << bits * lane for lane, value in enumerate(word)) for word in values.tolist())

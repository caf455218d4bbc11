"""Fields side by side in memory words."""

from __future__ import annotations

from collections.abc import Sequence


def joined(fields: Sequence[int], bits: int) -> int:
    """Fields side by side, low first."""
    word = 0
    for number, value in enumerate(fields):
        word |= value << (number * bits)
    return word


def joined_words(fields: Sequence[int], count: int, bits: int) -> tuple[int, ...]:
    """So many fields to each word; the last may have fewer."""
    return tuple(joined(fields[first : first + count], bits) for first in range(0, len(fields), count))

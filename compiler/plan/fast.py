"""Fast engines: which sparse engines can have registers on their way, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...hdl.engines.engine import Rows, RowsContents
from ...hdl.engines.row_format import RowFormat
from ...hdl.memories.memory import Family
from ..ir.network import Network
from .maps import listens_to_maps
from .neurons import beyond_plain

MANY_BLOCKS = 24
"""From more block RAMs of entries on, what chooses between them has a register behind it, too."""


def fast_refusal(network: Network, names: Sequence[str]) -> str | None:
    """Why an engine of such populations cannot be fast, as what a fast one has instead; None where it can."""
    for name in names:
        population = network.population(name)
        problem = beyond_plain(population)
        if problem is None and population.max_spikes > 1:
            problem = "neurons that fire once in a step"
        if problem is None and listens_to_maps(network, name):
            problem = "matrices of weights"
        if problem is not None:
            return problem
    own = (p for p in network.projections if p.pre in names and p.post in names)
    return "no spikes that come back to it later" if any(p.step_edge or np.any(p.delay) for p in own) else None


def fast_rows(encode: Callable[..., tuple[Rows, RowsContents]], family: Family) -> tuple[RowFormat, RowsContents]:
    """Rows, as `encode_rows` encodes them, whose walker has registers: behind the directory, and on ECP5, where block
    RAM is slow, once more where rows share a word of it, and behind the entries, twice where many blocks have them.
    There rows share no word where that takes no block RAM more."""
    rows, contents = encode(bitmaps=False)
    if family is Family.ECP5 and rows.group > 1:
        alone = encode(bitmaps=False, groups=(1,))
        if _brams(alone[0], family) <= _brams(rows, family):
            rows, contents = alone
    assert isinstance(rows, RowFormat)
    if family is Family.ICE40:
        registers = (1, 0)
    else:
        registers = (1 if rows.group == 1 else 2, 2 if rows.entry_memory(family).brams > MANY_BLOCKS else 1)
    return replace(rows, registers=registers), contents


def _brams(rows: Rows, family: Family) -> int:
    return sum(shape.brams for shape in rows.memories(family).values())

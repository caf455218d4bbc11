"""Where the cells of a placed design are: the data of a floorplan, and what its parts are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .facts import Floorplan, Source
from .wording import number

KINDS = ("logic", "memory", "other")
"""What cells stand in: logic, block RAM and SPRAM, all else (pins, clocks, multipliers)."""


def floorplan_data(floorplan: Floorplan | None) -> dict[str, Any] | None:
    """The blocks by their cells, the largest first, each with its tiles by kind."""
    if floorplan is None:
        return None
    tiles: dict[str, dict[str, list[list[int]]]] = {}
    for x, y, block, kind, cells in floorplan.tiles:
        tiles.setdefault(block, {name: [] for name in KINDS})[kind].append([x, y, cells])
    blocks: list[dict[str, Any]] = [{"name": name, **_cells(found), "tiles": found} for name, found in tiles.items()]
    blocks.sort(key=lambda block: (-block["logic"], block["name"]))
    return {
        "columns": floorplan.columns,
        "rows": floorplan.rows,
        "from_top": floorplan.from_top,
        "blocks": blocks,
        "source": Source.MEASURED,
    }


def _cells(tiles: Mapping[str, list[list[int]]]) -> dict[str, int]:
    return {kind: sum(cells for _, _, cells in found) for kind, found in tiles.items()}


def placed_rows(floorplan: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows, a block each."""
    headings = ("Block", "Cells", "Memories", "Columns", "Rows")
    rows: list[tuple[str, ...]] = []
    for block in floorplan["blocks"]:
        tiles = [place for kind in KINDS for place in places(block, kind)]
        columns, rows_ = ([place[axis] for place in tiles] for axis in (0, 1))
        cells = (number(block[kind]) for kind in ("logic", "memory"))
        rows.append((block["name"], *cells, _range(columns), _range(rows_)))
    return headings, rows


def places(block: Mapping[str, Any], kind: str) -> list[list[int]]:
    """The tiles of a block in a report, each column, row and cells."""
    return [tile for tile in block["tiles"][kind] if len(tile) == 3]


PLACED_FIGURES = (1, 2, 3, 4)
"""The columns of `placed_rows` that hold figures."""


def _range(numbers: list[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if numbers else ""

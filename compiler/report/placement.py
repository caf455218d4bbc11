"""Where the cells of a placed design are: the data of a floorplan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .facts import Floorplan, Source
from .rows import KINDS


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

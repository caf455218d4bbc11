"""Where nextpnr put the cells of a design: which tiles of the device hold which of our modules.

nextpnr's own drawings show every wire and take megabytes; what is read here are the places (BELs) in the design that it
writes with `--write`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..hdl.emit.tools import read_tool_json
from .critical_path import TOP, block_of
from .devices import Device

SYNTHESISED, PLACED = "top.json", "placed.json"
"""The design as nextpnr reads it, and as it writes it, with the place of each cell."""

_PLACE = re.compile(r"X(\d+)/Y(\d+)/(\w+)")


class TileKind(StrEnum):
    """What a cell stands in."""

    LOGIC = "logic"
    MEMORY = "memory"
    OTHER = "other"


_KINDS = {
    "ICESTORM_LC": TileKind.LOGIC,
    "TRELLIS_COMB": TileKind.LOGIC,
    "TRELLIS_FF": TileKind.LOGIC,
    "TRELLIS_RAMW": TileKind.LOGIC,
    "ICESTORM_RAM": TileKind.MEMORY,
    "ICESTORM_SPRAM": TileKind.MEMORY,
    "DP16KD": TileKind.MEMORY,
}
"""Of cells; pins, clocks and multipliers are others."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Cells of one module in one tile: its column and row, counted from the lower left for iCE40 and from the upper
    left for ECP5, as their tools do."""

    x: int
    y: int
    block: str
    kind: TileKind
    cells: int


@dataclass(frozen=True, kw_only=True)
class Floorplan:
    """The tiles in use, by column and row, of a device with so many of them."""

    columns: int
    rows: int
    tiles: tuple[Tile, ...]


def take_floorplan(folder: Path, device: Device, blocks: Collection[str]) -> Floorplan:
    """Where the cells of the placed design of a folder are; nextpnr's two designs go.

    `blocks` are the instance paths of our modules.
    """
    cells = read_tool_json(folder / PLACED, folder / "logs" / "nextpnr.log", "modules", TOP, "cells")
    for name in (SYNTHESISED, PLACED):
        (folder / name).unlink()
    return read_floorplan(cells, device, blocks)


def read_floorplan(cells: Mapping[str, Any], device: Device, blocks: Collection[str]) -> Floorplan:
    """What nextpnr's design says of its cells."""
    counts: Counter[tuple[int, int, str, TileKind]] = Counter()
    for name, cell in cells.items():
        place = _PLACE.match(cell.get("attributes", {}).get("NEXTPNR_BEL", ""))
        if place is not None:
            kind = _KINDS.get(cell["type"], TileKind.OTHER)
            counts[int(place[1]), int(place[2]), block_of(name, blocks), kind] += 1
    tiles = [Tile(x=x, y=y, block=block, kind=kind, cells=n) for (x, y, block, kind), n in sorted(counts.items())]
    columns, rows = device.grid
    return Floorplan(columns=columns, rows=rows, tiles=tuple(tiles))

"""Timing from nextpnr's report, in terms of our modules."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

TOP = "top"


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A stretch of the critical path inside one of our modules: time in its logic, and on wires that its cells drive.

    `block` is the module's instance path, as "core.layer0.walker"; `signal` is the first named signal on the stretch.
    """

    block: str
    signal: str
    logic_ns: float
    routing_ns: float


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The fastest clock of the placed and routed design, the clock asked for, and what limits it."""

    constraint_mhz: float
    fmax_mhz: float
    critical_path: tuple[Hop, ...]

    @property
    def met(self) -> bool:
        """Whether the design is fast enough."""
        return self.fmax_mhz >= self.constraint_mhz


def read_timing(report: Mapping[str, Any], blocks: Collection[str]) -> Timing:
    """The tightest clock in nextpnr's report; `blocks` are the instance paths of the design's modules."""
    clock, figures = min(report["fmax"].items(), key=lambda item: item[1]["achieved"] / item[1]["constraint"])
    edges = {f"posedge {clock}", f"negedge {clock}"}
    paths = [path["path"] for path in report["critical_paths"] if path["from"] in edges and path["to"] in edges]
    longest: list[dict[str, Any]] = max(paths, key=_length) if paths else []
    return Timing(
        constraint_mhz=float(figures["constraint"]),
        fmax_mhz=float(figures["achieved"]),
        critical_path=tuple(_hops(longest, blocks)),
    )


def module_paths(rtlil: str) -> list[str]:
    """The instance paths of the modules in Amaranth's RTLIL below the top, whose modules are named by their place."""
    return re.findall(rf"^module \\{TOP}\.(\S+)$", rtlil, re.MULTILINE)


def _length(path: list[dict[str, Any]]) -> float:
    return float(sum(arc["delay"] for arc in path))


def _hops(path: list[dict[str, Any]], blocks: Collection[str]) -> Iterable[Hop]:
    """Neighbouring arcs with the same driving block, joined."""
    for block, group in groupby(path, key=lambda arc: block_of(_driver(arc), blocks)):
        arcs = list(group)
        routing = sum(arc["delay"] for arc in arcs if arc["type"] == "routing")
        yield Hop(
            block=block,
            signal=_signal(_driver(arcs[0]), block),
            logic_ns=round(_length(arcs) - routing, 3),
            routing_ns=round(routing, 3),
        )


def _driver(arc: dict[str, Any]) -> str:
    """The cell that an arc starts from; a global buffer counts as the cell that drives it."""
    cell: str = arc["from"]["cell"]
    return cell.removeprefix("$gbuf_")


def block_of(cell: str, blocks: Collection[str]) -> str:
    """The deepest module that a cell's name starts with: yosys names cells of a flattened design by their wires."""
    return max((block for block in blocks if cell.startswith(f"{block}.")), key=len, default=TOP)


def _signal(cell: str, block: str) -> str:
    """The wire after which yosys named a cell: what comes before the type of the first cell in its name."""
    local = cell if block == TOP else cell.removeprefix(f"{block}.")
    return re.split(r"_(?:SB|TRELLIS|LUT4|CCU2C|PFUMX|L6MUX21|DP16KD|MULT18X18D)(?:_|$)|\$", local, maxsplit=1)[0]

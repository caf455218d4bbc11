"""The tables that stand in every form of a report: headings and rows of text, and which columns hold figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .wording import encoding_text, keeps_text, number

KINDS = ("logic", "memory", "other")
"""What cells stand in: logic, block RAM and SPRAM, all else (pins, clocks, multipliers)."""


def engine_rows(engines: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of the table of engines."""
    headings = ("Block", "Runs", "Lanes", "Synapses as", "Stored bits", "Of bound", "Cycles")
    rows: list[tuple[str, ...]] = [
        (
            engine["block"],
            ", ".join(engine["populations"]),
            number(engine["lanes"]),
            encoding_text(engine["encoding"]) + ", fast" * engine.get("fast", False) + _waiting(engine),
            number(engine["stored_bits"]),
            "" if engine["stored_over_entropy"] is None else f"{engine['stored_over_entropy']:.2f}",
            "" if engine["cycles_per_sample"] is None else number(engine["cycles_per_sample"]),
        )
        for engine in engines
    ]
    return headings, rows


def _waiting(engine: Mapping[str, Any]) -> str:
    """How many events may wait in front of an engine."""
    queue = engine.get("inlet_queue", 0)
    return f", behind a queue of {queue}" if queue else ""


ENGINE_FIGURES = (2, 4, 5, 6)
"""The columns of `engine_rows` that hold figures."""


def memory_rows(regions: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of the memory map."""
    headings = ("Block", "Memory", "Words", "Bits", "Kind", "Block RAMs")
    rows: list[tuple[str, ...]] = [
        (
            region["block"],
            region["role"],
            f"{number(region['depth'])} x {region['width_bits']}",
            number(region["bits"]),
            region["style"],
            str(region["brams"]),
        )
        for region in regions
    ]
    return headings, rows


MEMORY_FIGURES = (2, 3, 5)
"""The columns of `memory_rows` that hold figures."""


def neurobench_rows(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """NeuroBench's names and their figures; operations are per sample."""
    return [
        ("Footprint", f"{number(metrics['footprint_bytes'])} bytes"),
        ("Connection sparsity", f"{metrics['connection_sparsity']:.4f}"),
        ("Activation sparsity", f"{metrics['activation_sparsity']:.4f}"),
        ("Effective MACs", number(metrics["effective_macs_per_sample"])),
        ("Effective ACs", number(metrics["effective_acs_per_sample"])),
        ("Dense", number(metrics["dense_per_sample"])),
    ]


def semantics_rows(semantics: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of the table of populations; the last four columns are relative errors."""
    headings = (
        "Population",
        "Model",
        "Reset",
        "Fires",
        "Keeps",
        "Leak err.",
        "Weight err.",
        "Threshold err.",
        "Bias err.",
    )
    rows: list[tuple[str, ...]] = []
    for name, entry in semantics.items():
        figures = (entry["errors"][f"{key}_relative"] for key in ("leak", "weights", "threshold", "bias"))
        rows.append(
            (
                name,
                _model(entry),
                f"{entry['reset']}, {entry['reset_place']}" if entry["reset"] != "none" else "none",
                _fires(entry),
                keeps_text(entry),
                *(f"{figure:.2%}" for figure in figures),
            )
        )
    return headings, rows


def _model(entry: Mapping[str, Any]) -> str:
    """The model, and what its neurons have besides; reports of older versions say nothing of it."""
    besides = [word for word, key in (("floor", "floor"), ("adapts", "adaptation")) if entry.get(key) is not None]
    return ", ".join((entry["model"], *besides))


def _fires(entry: Mapping[str, Any]) -> str:
    """Where neurons fire, and how often in a step if that may be more than once."""
    where = {"gt": "above", "ge": "at or above", None: "never"}[entry["fire"]]
    most = entry.get("max_spikes", 1)
    return where if most == 1 else f"{where}, 1 to {most} times"


ERROR_COLUMNS = range(5, 9)
"""The columns of `semantics_rows` that hold figures."""


def weight_rows(projections: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of the weights, a projection each."""
    headings = ("From", "To", "Bits", "Weights", "Zero", "Codes")
    rows: list[tuple[str, ...]] = [
        (
            entry["pre"],
            entry["post"],
            str(entry["bits"]),
            number(entry["weights"]),
            f"{entry['zeros'] / max(1, entry['weights']):.1%}",
            f"{entry['lowest_code']} to {entry['highest_code']}",
        )
        for entry in projections
    ]
    return headings, rows


WEIGHT_FIGURES = (2, 3, 4, 5)
"""The columns of `weight_rows` that hold figures."""


def placed_rows(floorplan: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of a floorplan, a block each."""
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

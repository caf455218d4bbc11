"""Figures as inline SVG (see `plots`): rasters, confusion matrices, histograms, floorplans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from .plots import drawing, legend, lines, ticks
from .rows import KINDS, places

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 8, 46
_SHARED, _COLOURS = ("both", "float only", "integers only"), (5, 0, 1)
_RASTER_WIDTH = 480
_CELL = 34
_MOST_CELL_TEXT = 16
"""Classes up to which the cells of a matrix have their numbers in them."""


def raster(title: str, rows: Sequence[str], steps: int, *, named: bool = True) -> Markup:
    """A dot for each spike, steps to the right and neurons down: shared, of the float network alone, of the integers
    alone. `rows` has a letter for each step of each neuron (`facts.RasterLayer`). Without `named` it has no legend."""
    steps, neurons = max(1, steps), max(1, len(rows))
    pitch = max(2.0, min(9.0, 260 / neurons))
    width, room = _RASTER_WIDTH - _LEFT - _RIGHT, pitch * neurons
    height = int(_TOP + room + _BOTTOM)
    across = width / steps
    radius = max(0.9, min(3.0, across / 2.6, pitch / 1.9))
    parts = [f'<rect class="track" x="{_LEFT}" y="{_TOP}" width="{width}" height="{room:.1f}"/>']
    for letter, series in zip("bfi", _COLOURS, strict=True):
        dots = "".join(
            f"M{_LEFT + (step + 0.5) * across:.1f} {_TOP + (neuron + 0.5) * pitch:.1f}h0"
            for neuron, row in enumerate(rows)
            for step, found in enumerate(row[:steps])
            if found == letter
        )
        if dots:
            parts.append(f'<path class="dots l{series}" stroke-width="{2 * radius:.1f}" d="{dots}"/>')
    parts += [
        f'<text x="{_LEFT + (step + 0.5) * across:.1f}" y="{_TOP + room + 19:.1f}" text-anchor="middle">{step}</text>'
        for step in ticks(steps)
    ]
    for neuron in sorted({0, neurons - 1}):
        y = _TOP + (neuron + 0.5) * pitch + 4
        parts.append(f'<text x="{_LEFT - 8}" y="{y:.1f}" text-anchor="end">{neuron}</text>')
    parts.append(f'<text x="{_LEFT + width / 2:.1f}" y="{height - 5}" text-anchor="middle">time step</text>')
    names = legend(_SHARED, series=_COLOURS) if named else ""
    return drawing(title, names, _RASTER_WIDTH, height, parts, titled=True)


def matrix(title: str, row: str, column: str, counts: Sequence[Sequence[int]]) -> Markup:
    """Counts as shaded cells, each row shaded by its share; `row` and `column` say what their numbers are."""
    size = len(counts)
    cell = max(10, min(_CELL, 380 // max(1, size)))
    width, height = _LEFT + cell * size + _RIGHT, 26 + cell * size + _BOTTOM
    width = max(width, 300)
    parts = [f'<text x="{_LEFT}" y="16">{escape(row)} down, {escape(column)} across</text>']
    for number, line in enumerate(counts):
        y, total = 26 + number * cell, max(1, sum(line))
        for place, count in enumerate(line):
            x = _LEFT + place * cell
            style = "s2" if place == number else "s1"
            hint = f"<title>{row} {number}, {column} {place}: {count}</title>"
            box = f'x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}"'
            parts.append(f'<rect class="track" {box}/>')
            parts.append(f'<rect class="{style}" {box} fill-opacity="{count / total:.3f}">{hint}</rect>')
            if count and size <= _MOST_CELL_TEXT:
                middle = f'x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle"'
                parts.append(f'<text class="cell" {middle}>{count}</text>')
        if size <= _MOST_CELL_TEXT or number % 5 == 0:
            parts.append(f'<text x="{_LEFT - 8}" y="{y + cell / 2 + 4:.1f}" text-anchor="end">{number}</text>')
            middle = f'x="{_LEFT + number * cell + cell / 2:.1f}" y="{26 + cell * size + 16}" text-anchor="middle"'
            parts.append(f"<text {middle}>{number}</text>")
    return drawing(title, "", width, height, parts)


def membrane(trace: Mapping[str, Any]) -> Markup:
    """A neuron's membrane in both networks, step by step, with its threshold (`outcome.traces_data`)."""
    series = {"float": trace["float"], "integers": trace["integer"]}
    if trace["threshold"] is not None:
        series["threshold"] = [trace["threshold"]] * len(trace["float"])
    title = f"Membrane of {trace['population']}, neuron {trace['neuron']}"
    return lines(title, "time step", series, titled=True)


@dataclass(frozen=True)
class Bins:
    """How many weights are `lowest` + place * `width` or more, and less than that of the next place."""

    lowest: float
    width: float
    counts: Sequence[int]

    @property
    def whole(self) -> bool:
        """Whether they hold whole numbers."""
        return isinstance(self.lowest, int) and isinstance(self.width, int)

    def name(self, place: int) -> str:
        """What a bin holds: the only number, or the first and the last, or the one in the middle."""
        if not self.whole:
            return f"{self.lowest + (place + 0.5) * self.width:.3g}"
        first, last = self.lowest + place * self.width, self.lowest + (place + 1) * self.width - 1
        return f"{first}" if first == last else f"{first} to {last}"


def histogram(title: str, bins: Bins) -> Markup:
    """A column for each bin of weights (`weights.bins_of`)."""
    width, room, base = _RASTER_WIDTH - _LEFT - _RIGHT, 150, _TOP + 160
    across, most = width / max(1, len(bins.counts)), max(max(bins.counts, default=0), 1)
    parts = [f'<path class="axis" d="M{_LEFT} {base}h{width}"/>']
    parts.append(f'<text x="{_LEFT - 8}" y="{base - room + 5}" text-anchor="end">{most:,}</text>')
    parts.append(f'<text x="{_LEFT - 8}" y="{base + 4}" text-anchor="end">0</text>')
    for place, count in enumerate(bins.counts):
        x, tall = _LEFT + place * across, max(1.0, room * count / most) if count else 0.0
        hint = f"<title>{bins.name(place)}: {count:,}</title>"
        box = f'x="{x:.1f}" y="{base - tall:.1f}" width="{max(1, across - 1):.1f}" height="{tall:.1f}"'
        parts.append(f'<rect class="s0" {box}>{hint}</rect>')
    for place in ticks(len(bins.counts)):
        middle = f'x="{_LEFT + (place + 0.5) * across:.1f}" y="{base + 19}" text-anchor="middle"'
        parts.append(f"<text {middle}>{bins.name(place).split()[0]}</text>")
    middle = f'x="{_LEFT + width / 2:.1f}" y="{base + _BOTTOM - 5}" text-anchor="middle"'
    parts.append(f"<text {middle}>{'code' if bins.whole else 'weight'}, zeros left out</text>")
    return drawing(title, "", _RASTER_WIDTH, base + _BOTTOM, parts, titled=True)


_GROUPS = 5
"""Parts of a floorplan that have a colour of their own."""


def floorplan(title: str, placed: Mapping[str, Any]) -> Markup:
    """A square for each tile in use, in the colour of what it holds; memories are framed (`placement`)."""
    size = _RASTER_WIDTH / max(1, placed["columns"])
    height = size * max(1, placed["rows"])
    cells: Counter[str] = Counter()
    for block in placed["blocks"]:
        cells[_part_of(block["name"])] += block["logic"]
    names = [name for name, _ in cells.most_common()]
    parts = [f'<rect class="track" x="0" y="0" width="{_RASTER_WIDTH}" height="{height:.1f}"/>']
    for block in reversed(placed["blocks"]):
        number = min(names.index(_part_of(block["name"])), _GROUPS)
        for kind in KINDS:
            squares = "".join(_square(x, y, size, placed) for x, y, _ in places(block, kind))
            style = f"s{number}{' framed' if kind == 'memory' else ''}"
            if squares:
                name = f"<title>{escape(block['name'])}, {kind}</title>"
                parts.append(f'<path class="{style}" d="{squares}">{name}</path>')
    shown = [*names[:_GROUPS], *(["others"] if len(names) > _GROUPS else [])]
    return drawing(title, legend(shown), _RASTER_WIDTH, height, parts)


def _part_of(block: str) -> str:
    """What a block is part of: a part of an engine, or all that is beside the core under one name, as the link."""
    return ".".join(block.split(".")[: 3 if block.startswith("core") else 1])


def _square(x: int, y: int, size: float, placed: Mapping[str, Any]) -> str:
    row = y if placed["from_top"] else placed["rows"] - 1 - y
    side = f"{size * 0.88:.1f}"
    return f"M{x * size:.1f} {row * size:.1f}h{side}v{side}h-{side}z"

"""Figures of single samples and classes as inline SVG: rasters and confusion matrices (see `plots`)."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from .plots import drawing, legend, ticks

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 8, 46
_SHARED, _COLOURS = ("both", "float only", "integers only"), (5, 0, 1)
_RASTER_WIDTH = 480
_CELL = 34
_MOST_CELL_TEXT = 16
"""Classes up to which the cells of a matrix have their numbers in them."""


def raster(title: str, rows: Sequence[str], steps: int) -> Markup:
    """A dot for each spike, steps to the right and neurons down: shared, of the float network alone, of the integers
    alone. `rows` has a letter for each step of each neuron (`facts.RasterLayer`)."""
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
    parts.append(
        f'<text x="{_LEFT + width / 2:.1f}" y="{height - 5}" text-anchor="middle">{escape(title)}, by time step</text>'
    )
    return drawing(title, legend(_SHARED, series=_COLOURS), _RASTER_WIDTH, height, parts)


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

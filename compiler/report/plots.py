"""Small plots as inline SVG: horizontal bars, stacked bars and lines, coloured by the page's style sheet.

Every function returns one `<svg>` element that scales with its column, names itself to screen readers, and holds all
text escaped. Colours are the classes `s0` to `s5` (series), `track` (the room of a bar), `axis` and `mark`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

SERIES = 6
"""The number of series colours; further series use them again."""

_WIDTH = 680
_LABEL = 190
_VALUE = 140
_ROW = 30
_BAR = 14
_GLYPH = 7.6
"""The mean width of a character of 13 pixels, for cutting labels."""


@dataclass(frozen=True)
class Bar:
    """One bar: `value` out of `limit` (None: out of the longest bar); `text` is written after it, and `mark` is a
    position to point at."""

    label: str
    value: float
    text: str
    limit: float | None = None
    series: int = 0
    mark: float | None = None


@dataclass(frozen=True)
class Stack:
    """One stacked bar: a value per series, in the order of the legend; `mark` is a position to point at."""

    label: str
    values: Sequence[float]
    text: str
    mark: float | None = None


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Horizontal bars; those with a limit on a track that is as long as the limit."""
    longest = max((max(row.value, row.mark or 0) for row in rows), default=0) or 1
    room = _WIDTH - _LABEL - _VALUE
    parts = []
    for number, row in enumerate(rows):
        y = number * _ROW
        share = row.value / (row.limit or longest) if row.limit != 0 else 0.0
        if row.limit is not None:
            parts.append(_rect(_LABEL, y + 8, room, "track"))
        if row.value > 0:
            parts.append(_rect(_LABEL, y + 8, max(2.0, room * min(1.0, share)), f"s{row.series % SERIES}"))
        if row.mark is not None and row.limit != 0:
            at = _LABEL + room * min(1.0, row.mark / (row.limit or longest))
            parts.append(f'<path class="mark" d="M{at:.1f} {y + 4}v{_BAR + 8}"/>')
        parts += _captions(row.label, row.text, y)
    return _svg(title, _WIDTH, len(rows) * _ROW, parts)


def stacks(title: str, legend: Sequence[str], rows: Sequence[Stack], mark: str | None = None) -> Markup:
    """Stacked horizontal bars on one scale, with a legend; `mark` is the legend of the rows' marks."""
    longest = max((max(sum(row.values), row.mark or 0) for row in rows), default=0) or 1
    room = _WIDTH - _LABEL - _VALUE
    parts = _legend(legend, mark)
    for number, row in enumerate(rows):
        x, y = float(_LABEL), (number + 1) * _ROW
        for series, value in enumerate(row.values):
            if value > 0:
                width = room * value / longest
                parts.append(_rect(x, y + 8, width, f"s{series % SERIES}", f"{legend[series]}: {value:g}"))
                x += width
        if row.mark is not None:
            at = _LABEL + room * row.mark / longest
            parts.append(f'<path class="mark" d="M{at:.1f} {y + 4}v{_BAR + 8}"/>')
        parts += _captions(row.label, row.text, y)
    return _svg(title, _WIDTH, (len(rows) + 1) * _ROW, parts)


def lines(title: str, x_label: str, series: Mapping[str, Sequence[float]]) -> Markup:
    """One line per series over whole numbers from 0, with a legend."""
    height, left, top, bottom = 220, 60, _ROW + 6, 40
    highest = _round_up(max((max(values, default=0) for values in series.values()), default=0))
    count = max((len(values) for values in series.values()), default=1)
    width, room = _WIDTH - left - 10, height - top - bottom
    parts = _legend(list(series), None)
    for tick in range(5):
        y = top + room * (1 - tick / 4)
        parts.append(f'<path class="axis" d="M{left} {y:.1f}h{width}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{highest * tick / 4:.4g}</text>')
    for step in _ticks(count):
        x = left + width * step / max(1, count - 1)
        parts.append(f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{step}</text>')
    parts.append(f'<text x="{left + width / 2:.1f}" y="{height - 4}" text-anchor="middle">{escape(x_label)}</text>')
    for number, values in enumerate(series.values()):
        points = " ".join(
            f"{left + width * step / max(1, count - 1):.1f},{top + room * (1 - value / highest):.1f}"
            for step, value in enumerate(values)
        )
        parts.append(f'<polyline class="line l{number % SERIES}" points="{points}"/>')
    return _svg(title, _WIDTH, height, parts)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten, so that quarters of it are short; 1 for 0."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 6, 8, 10) if value <= factor * power * (1 + 1e-9))


def _ticks(count: int) -> list[int]:
    """At most eleven positions out of 0..count - 1."""
    step = max(1, -(-(count - 1) // 10))
    return list(range(0, count, step))


def _legend(names: Sequence[str], mark: str | None) -> list[str]:
    """The names with their colours, in one line; they share its width."""
    count = len(names) + (mark is not None)
    length = max(4, int((_WIDTH / max(1, count) - 36) / _GLYPH))
    parts, x = [], 2.0
    for number, name in enumerate(names):
        short = _cut(name, length)
        parts.append(f'<rect class="s{number % SERIES}" x="{x:.1f}" y="7" width="12" height="12" rx="2"/>')
        parts.append(f'<text x="{x + 18:.1f}" y="17">{escape(short)}</text>')
        x += 18 + len(short) * _GLYPH + 16
    if mark is not None:
        text = escape(_cut(mark, length))
        parts.append(f'<path class="mark" d="M{x + 6:.1f} 5v16"/><text x="{x + 14:.1f}" y="17">{text}</text>')
    return parts


def _captions(label: str, text: str, y: float) -> list[str]:
    short = _cut(label, int((_LABEL - 12) / _GLYPH))
    full = f"<title>{escape(label)}</title>" if short != label else ""
    return [
        f'<text x="{_LABEL - 12}" y="{y + 20}" text-anchor="end">{escape(short)}{full}</text>',
        f'<text class="value" x="{_WIDTH - _VALUE + 12}" y="{y + 20}">{escape(text)}</text>',
    ]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _rect(x: float, y: float, width: float, style: str, hint: str = "") -> str:
    title = f"<title>{escape(hint)}</title>" if hint else ""
    return f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3">{title}</rect>'


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )

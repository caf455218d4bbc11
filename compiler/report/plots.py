"""Small plots: horizontal bars and stacked bars as HTML, which reflow on a phone, and lines as inline SVG.

Every function returns one element that names itself to screen readers and holds all text escaped; the page's style
sheet lays it out. Colours are the classes `s0` to `s5` (series), `track` (the room of a bar), `axis` and `mark`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

SERIES = 6
"""The number of series colours; further series use them again."""

_WIDTH, _HEIGHT = 480, 220
_LEFT, _TOP, _RIGHT, _BOTTOM = 74, 12, 12, 46


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
    lines_ = []
    for row in rows:
        whole = longest if row.limit is None else row.limit
        parts = [_part(_share(row.value, whole), row.series)] if row.value > 0 and whole else []
        if row.mark is not None and whole:
            parts.append(_mark(_share(row.mark, whole)))
        lines_.append(_row(row.label, parts, row.text, tracked=row.limit is not None))
    return _chart(title, lines_)


def stacks(title: str, names: Sequence[str], rows: Sequence[Stack], mark: str | None = None) -> Markup:
    """Stacked horizontal bars on one scale, with a legend; `mark` is the legend of the rows' marks."""
    longest = max((max(sum(row.values), row.mark or 0) for row in rows), default=0) or 1
    lines_ = []
    for row in rows:
        parts = [
            _part(_share(value, longest), series, f"{names[series]}: {value:g}")
            for series, value in enumerate(row.values)
            if value > 0
        ]
        if row.mark is not None:
            parts.append(_mark(_share(row.mark, longest)))
        lines_.append(_row(row.label, parts, row.text))
    return _chart(title, [legend(names, mark), *lines_])


def lines(title: str, x_label: str, series: Mapping[str, Sequence[float]], *, titled: bool = False) -> Markup:
    """One line per series over whole numbers from 0, with a legend."""
    everything = [value for values in series.values() for value in values]
    least = min(everything, default=0)
    lowest, highest = -_round_up(-least) if least < 0 else 0.0, _round_up(max(everything, default=0))
    count = max((len(values) for values in series.values()), default=1)
    width, room = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = []
    for tick in range(5):
        y, shown = _TOP + room * (1 - tick / 4), lowest + (highest - lowest) * tick / 4
        parts.append(f'<path class="axis" d="M{_LEFT} {y:.1f}h{width}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">{shown:.4g}</text>')
    for step in ticks(count):
        x = _LEFT + width * step / max(1, count - 1)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{step}</text>')
    middle = f'x="{_LEFT + width / 2:.1f}" y="{_HEIGHT - 6}" text-anchor="middle"'
    parts.append(f"<text {middle}>{escape(x_label)}</text>")
    for number, values in enumerate(series.values()):
        points = " ".join(
            f"{_LEFT + width * step / max(1, count - 1):.1f},{_TOP + room * (highest - value) / (highest - lowest):.1f}"
            for step, value in enumerate(values)
        )
        parts.append(f'<polyline class="line l{number % SERIES}" points="{points}"/>')
    return drawing(title, legend(list(series)), _WIDTH, _HEIGHT, parts, titled=titled)


def drawing(
    title: str, names: str, width: float, height: float, parts: Sequence[str], *, titled: bool = False
) -> Markup:
    """An SVG under its legend, and where the page does not say elsewhere what it is, `titled`, under its title."""
    caption = f"<figcaption>{escape(title)}</figcaption>" if titled else ""
    return Markup(
        f"<figure>{caption}{names}"
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{width / 12:.1f}rem" role="img" '
        f'aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg></figure>"
    )


def legend(names: Sequence[str], mark: str | None = None, series: Sequence[int] | None = None) -> str:
    """The names with their colours, by default one after the other, and of marks."""
    colours = range(len(names)) if series is None else series
    parts = [
        f'<li><i class="s{number % SERIES}"></i>{escape(name)}</li>'
        for number, name in zip(colours, names, strict=False)
    ]
    parts += [f'<li><i class="mark"></i>{escape(mark)}</li>'] if mark is not None else []
    return f'<ul class="legend">{"".join(parts)}</ul>'


def ticks(count: int) -> list[int]:
    """At most nine positions out of 0..count - 1."""
    step = max(1, -(-(count - 1) // 8))
    return list(range(0, count, step))


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten, so that quarters of it are short; 1 for 0."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 6, 8, 10) if value <= factor * power * (1 + 1e-9))


def _share(value: float, whole: float) -> float:
    """In percent of the whole, 0 to 100."""
    return max(0.0, min(100.0, 100 * (value / whole)))


def _part(percent: float, series: int, hint: str = "") -> str:
    title = f' title="{escape(hint)}"' if hint else ""
    return f'<i class="s{series % SERIES}" style="width:{percent:.2f}%"{title}></i>'


def _mark(percent: float) -> str:
    return f'<b class="mark" style="left:{percent:.2f}%"></b>'


def _row(label: str, parts: Sequence[str], text: str, *, tracked: bool = False) -> str:
    track = "bar track" if tracked else "bar"
    return (
        f'<div class="row"><span class="name">{escape(label)}</span><span class="{track}">{"".join(parts)}</span>'
        f'<span class="value">{escape(text)}</span></div>'
    )


def _chart(title: str, rows: Sequence[str]) -> Markup:
    return Markup(f'<div class="chart" role="group" aria-label="{escape(title)}">{"".join(rows)}</div>')

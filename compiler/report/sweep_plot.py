"""A sweep as a small SVG that stands by itself: accuracy over sparsity or bits, a line for each method and width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 680, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 160, 40, 50
_COLOURS = ("#2f6fde", "#d9822b", "#1f9d76", "#9b5de0", "#c9446e", "#6b7688")
_DASHES = ("", "6 4", "2 3", "9 3 2 3")
_STYLE = "text{font:13px sans-serif;fill:#444}.axis{stroke:#ddd}.line{fill:none;stroke-width:2}.range{stroke-width:1}"


@dataclass(frozen=True)
class Axis:
    """What points are drawn over: a figure's name, its caption, where its values stand and how they are written."""

    figure: str
    caption: str
    place: Callable[[float], float]
    text: Callable[[float], str]


SPARSITY = Axis("sparsity", "share of weights pruned", float, lambda value: f"{value:.0%}")
BITS = Axis(
    "stored_bits", "kbit of weights that stay", lambda value: math.log(max(1.0, value)), lambda v: f"{v / 1e3:.3g}"
)
MARK_ROOM = 46
"""How far apart the values stand that are written under the axis."""


def sweep_svg(
    title: str, points: Sequence[Mapping[str, Any]], original: float, axis: Axis = SPARSITY, ringed: int | None = None
) -> str:
    """The points as `flow.sweep.SweepPoint.data` gives them; vertical lines are intervals of 95 %, the grey line is the
    accuracy of the `original` network. Colours tell methods, dashes widths; the point of that number is `ringed`."""
    methods = list(dict.fromkeys(point["method"] for point in points))
    widths = list(dict.fromkeys(point["bits"] for point in points))
    values = sorted({float(point[axis.figure]) for point in points})
    low = min([original, *(point["accuracy_low"] for point in points)])
    high = max([original, *(point["accuracy_high"] for point in points)])
    low, high = (low, high) if high - low > 1e-6 else (low - 0.01, high + 0.01)
    first = axis.place(values[0]) if values else 0.0
    span = max(1e-9, axis.place(values[-1]) - first) if values else 1.0

    def x_of(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (axis.place(value) - first) / span

    def y_of(accuracy: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - accuracy) / (high - low)

    parts = [f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/><text x="{_LEFT}" y="22">{escape(title)}</text>']
    for tick in range(5):
        accuracy = high - (high - low) * tick / 4
        y = y_of(accuracy)
        parts.append(f'<path class="axis" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{accuracy:.1%}</text>')
    parts += _marks({x_of(value): axis.text(value) for value in values})
    caption = f'x="{(_WIDTH + _LEFT - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle"'
    parts.append(f"<text {caption}>{axis.caption}</text>")
    parts.append(f'<path d="M{_LEFT} {y_of(original):.1f}H{_WIDTH - _RIGHT}" stroke="#888"/>')
    names = [("float", "#888", "")]
    for place, method in enumerate(methods):
        for number, width in enumerate(widths):
            line = [point for point in points if (point["method"], point["bits"]) == (method, width)]
            line = sorted(line, key=lambda point: float(point[axis.figure]))
            colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[number % len(_DASHES)]
            corners = " ".join(f"{x_of(p[axis.figure]):.1f},{y_of(p['accuracy']):.1f}" for p in line)
            parts.append(f'<polyline class="line" stroke="{colour}" stroke-dasharray="{dash}" points="{corners}"/>')
            parts += [
                f'<path class="range" stroke="{colour}" d="M{x_of(p[axis.figure]):.1f} {y_of(p["accuracy_low"]):.1f}'
                f'V{y_of(p["accuracy_high"]):.1f}"/>'
                for p in line
            ]
            names.append((f"{method}, {width} bits", colour, dash))
    if ringed is not None:
        x, y = x_of(points[ringed][axis.figure]), y_of(points[ringed]["accuracy"])
        parts.append(f'<circle class="line" stroke="#d9730d" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
    for number, (name, colour, dash) in enumerate(names):
        y, x = _TOP + 18 * number, _WIDTH - _RIGHT + 14
        parts.append(f'<path d="M{x} {y}h24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
        parts.append(f'<text x="{x + 32}" y="{y + 4}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _marks(texts: Mapping[float, str]) -> Iterator[str]:
    """The texts under the axis, from left to right, without those that have no room."""
    written = -math.inf
    for x, text in texts.items():
        if x >= written + MARK_ROOM:
            written = x
            yield f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{text}</text>'

"""A sweep as a small SVG that stands by itself: accuracy over sparsity, a line for each method and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 680, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 160, 40, 50
_COLOURS = ("#2f6fde", "#d9822b", "#1f9d76", "#9b5de0", "#c9446e", "#6b7688")
_DASHES = ("", "6 4", "2 3", "9 3 2 3")
_STYLE = "text{font:13px sans-serif;fill:#444}.axis{stroke:#ddd}.line{fill:none;stroke-width:2}.range{stroke-width:1}"


def sweep_svg(title: str, points: Sequence[Mapping[str, Any]], original: float) -> str:
    """The points as `flow.sweep.SweepPoint.data` gives them; vertical lines are intervals of 95 %, the grey line is the
    accuracy of the `original` network. Colours tell methods, dashes widths."""
    methods = list(dict.fromkeys(point["method"] for point in points))
    widths = list(dict.fromkeys(point["bits"] for point in points))
    sparsities = sorted({point["sparsity"] for point in points})
    low = min([original, *(point["accuracy_low"] for point in points)])
    high = max([original, *(point["accuracy_high"] for point in points)])
    low, high = (low, high) if high - low > 1e-6 else (low - 0.01, high + 0.01)
    span = max(1e-9, sparsities[-1] - sparsities[0]) if sparsities else 1.0

    def x_of(sparsity: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (sparsity - sparsities[0]) / span

    def y_of(accuracy: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - accuracy) / (high - low)

    parts = [f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/><text x="{_LEFT}" y="22">{escape(title)}</text>']
    for tick in range(5):
        accuracy = high - (high - low) * tick / 4
        y = y_of(accuracy)
        parts.append(f'<path class="axis" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{accuracy:.1%}</text>')
    for sparsity in sparsities:
        middle = f'x="{x_of(sparsity):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle"'
        parts.append(f"<text {middle}>{sparsity:.0%}</text>")
    caption = f'x="{(_WIDTH + _LEFT - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle"'
    parts.append(f"<text {caption}>share of weights pruned</text>")
    parts.append(f'<path d="M{_LEFT} {y_of(original):.1f}H{_WIDTH - _RIGHT}" stroke="#888"/>')
    names = [("float", "#888", "")]
    for place, method in enumerate(methods):
        for number, width in enumerate(widths):
            line = [point for point in points if (point["method"], point["bits"]) == (method, width)]
            line = sorted(line, key=lambda point: float(point["sparsity"]))
            colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[number % len(_DASHES)]
            corners = " ".join(f"{x_of(p['sparsity']):.1f},{y_of(p['accuracy']):.1f}" for p in line)
            parts.append(f'<polyline class="line" stroke="{colour}" stroke-dasharray="{dash}" points="{corners}"/>')
            parts += [
                f'<path class="range" stroke="{colour}" d="M{x_of(p["sparsity"]):.1f} {y_of(p["accuracy_low"]):.1f}'
                f'V{y_of(p["accuracy_high"]):.1f}"/>'
                for p in line
            ]
            names.append((f"{method}, {width} bits", colour, dash))
    for number, (name, colour, dash) in enumerate(names):
        y, x = _TOP + 18 * number, _WIDTH - _RIGHT + 14
        parts.append(f'<path d="M{x} {y}h24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
        parts.append(f'<text x="{x + 32}" y="{y + 4}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    )

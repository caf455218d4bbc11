"""The Pareto front as a small SVG that stands by itself: quality against the share of the fullest resource.

The front is of three figures, time being the third. The line joins those of its points that no other beats in the two
that are drawn, as steps; they are numbered and named below. The others are there for their time, and are dots alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .candidate import Candidate

_WIDTH, _HEIGHT = 680, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 50, 50
_LINE = 18

MOST_NAMED = 8
"""Points of the line that are named, about."""

_STYLE = (
    "text{font:13px sans-serif;fill:#444}.title{font-size:15px}.axis{stroke:#ddd}.limit{stroke:#c33;"
    "stroke-dasharray:5 4}.all{fill:#b5c4d6}.front{fill:#1f5fa8}.fast{fill:#7fb2e5}"
    ".number{font-size:11px}.line{fill:none;stroke:#1f5fa8}"
    ".chosen{fill:none;stroke:#d9730d;stroke-width:3}"
)


def front_svg(
    title: str, measure: str, candidates: Sequence[Candidate], front: Sequence[Candidate], chosen: Candidate | None
) -> str:
    """All candidates, the front as a line through its points, what fits left of a dashed line."""
    shown = [c for c in candidates if c.share < float("inf")]
    widest = max([1.1, *(min(c.share, 4.0) for c in shown)])
    low = min((c.quality for c in shown), default=0.0)
    high = max((c.quality for c in shown), default=1.0)
    low, high = (low, high) if high - low > 1e-6 else (low - 0.01, high + 0.01)

    def place(candidate: Candidate) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(candidate.share, widest) / widest
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - candidate.quality) / (high - low)
        return x, y

    parts = ['<rect width="100%" height="100%" fill="#fff"/>']
    parts.append(f'<text class="title" x="{_LEFT}" y="26">{escape(title)}</text>')
    parts += _axes(low, high, widest, measure)
    parts += [_dot(place(c), "all", 3, c.label) for c in shown]
    ordered = sorted((c for c in front if c in shown), key=lambda c: (c.share, -c.quality))
    best = envelope(ordered)
    parts += [f'<path class="line" d="{_steps([place(c) for c in best])}"/>'] if best else []
    parts += [_dot(place(c), "front" if c in best else "fast", 4, c.label) for c in ordered]
    if chosen is not None:
        parts.append(_dot(place(chosen), "chosen", 9, chosen.label))
    named = _named(best, chosen)
    for number, candidate in named:
        x, y = place(candidate)
        parts.append(f'<text class="number" x="{x - 7:.1f}" y="{y - 7:.1f}" text-anchor="end">{number}</text>')
    parts += _key(named, len(ordered) > len(best), None if chosen in best else chosen)
    height = _HEIGHT + _LINE * (len(named) + 1) + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    )


def envelope(ordered: Sequence[Candidate]) -> list[Candidate]:
    """Of candidates by their share those that are better than all that take less."""
    found: list[Candidate] = []
    for candidate in ordered:
        if not found or candidate.quality > found[-1].quality:
            found.append(candidate)
    return found


def _steps(points: Sequence[tuple[float, float]]) -> str:
    """To the right and then up: between two points the lower one's quality is the best that can be had."""
    (x, y), *others = points
    return f"M{x:.1f} {y:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in others)


def _named(best: Sequence[Candidate], chosen: Candidate | None) -> list[tuple[int, Candidate]]:
    """The points that have names, with their numbers: the chosen one, and as many others as there is room for."""
    numbered = list(enumerate(best, 1))
    spread = max(1, -(-len(numbered) // MOST_NAMED))
    return [pair for pair in numbered if pair[1] is chosen or (pair[0] - 1) % spread == 0]


def _key(named: Sequence[tuple[int, Candidate]], others: bool, chosen: Candidate | None) -> list[str]:
    """The names of the points; of the chosen one too, where it has no number."""
    parts = []
    for line, (number, candidate) in enumerate(named):
        text = f"{number}   {candidate.quality:.1%}, {candidate.share:.0%} full, {candidate.microseconds:,.4g} us: "
        y = _HEIGHT + _LINE * line + 14
        parts.append(f'<text x="{_LEFT}" y="{y}">{text}{escape(candidate.label)}</text>')
    y = _HEIGHT + _LINE * len(named) + 14
    note = (
        "ring: chosen"
        + ("" if chosen is None else f" ({escape(chosen.label)})")
        + ("; light blue: of the front for their time" if others else "")
    )
    parts.append(f'<text x="{_LEFT}" y="{y}">{note}</text>')
    return parts


def _axes(low: float, high: float, widest: float, measure: str) -> list[str]:
    parts, room = [], _HEIGHT - _TOP - _BOTTOM
    for tick in range(5):
        y = _TOP + room * tick / 4
        value = high - (high - low) * tick / 4
        parts.append(f'<path class="axis" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * value:.1f}%</text>')
    for tick in range(5):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * tick / 4
        share = 100 * widest * tick / 4
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{share:.0f}%</text>')
    limit = _LEFT + (_WIDTH - _LEFT - _RIGHT) / widest
    parts.append(f'<path class="limit" d="M{limit:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
    middle = (_WIDTH + _LEFT) / 2
    caption = "estimated use of the fullest resource"
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{caption}</text>')
    parts.append(f'<text x="{_LEFT - 8}" y="{_TOP - 14}" text-anchor="end">{escape(measure)}</text>')
    return parts


def _dot(place: tuple[float, float], style: str, radius: int, hint: str) -> str:
    x, y = place
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{escape(hint)}</title></circle>'

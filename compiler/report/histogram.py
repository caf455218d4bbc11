"""Histograms of weights as inline SVG (see `plots`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from .plots import drawing

BINS = 41
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480, 150, 8, 8, 8, 28


def weight_histogram(title: str, weights: npt.NDArray[np.floating] | npt.NDArray[np.integer]) -> Markup:
    """How often weights are of which size; absent synapses, which are zero, are left out."""
    values = np.asarray(weights, np.float64).ravel()
    values = values[values != 0]
    edge = float(np.abs(values).max(initial=0)) or 1.0
    bins = BINS
    if np.issubdtype(weights.dtype, np.integer):  # columns as wide as a whole number, so that all can hold as many
        width = -(-(2 * edge + 1) // BINS)
        bins = 2 * int(-(-(edge - width / 2 + 0.5) // width)) + 1 if width > 1 else int(2 * edge + 1)
        edge = bins * width / 2
    counts, _ = np.histogram(values, bins=bins, range=(-edge, edge))
    return drawing(title, "", _WIDTH, _HEIGHT, _columns(counts.tolist(), edge))


def _columns(counts: Sequence[int], edge: float) -> list[str]:
    highest, across = max(1, *counts), (_WIDTH - _LEFT - _RIGHT) / len(counts)
    room, base = _HEIGHT - _TOP - _BOTTOM, _HEIGHT - _BOTTOM
    parts = [f'<path class="axis" d="M{_LEFT} {base}H{_WIDTH - _RIGHT}"/>']
    for place, count in enumerate(counts):
        if count:
            height = max(1.0, room * count / highest)
            x, y = _LEFT + place * across, base - height
            box = f'x="{x + 0.5:.1f}" y="{y:.1f}" width="{across - 1:.1f}" height="{height:.1f}"'
            parts.append(f'<rect class="s0" {box}/>')
    for x, anchor, value in ((_LEFT, "start", -edge), (_WIDTH / 2, "middle", 0.0), (_WIDTH - _RIGHT, "end", edge)):
        parts.append(f'<text x="{x}" y="{base + 18}" text-anchor="{anchor}">{value:.3g}</text>')
    return parts

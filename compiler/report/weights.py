"""The weights of each projection after quantisation: how many stay, in how many bits, how often each code."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.network import Network, Projection
from .facts import Source

MOST_BINS = 32
"""Bins of a histogram; codes of 5 bits and fewer have one each."""


def weights_data(network: Network) -> list[dict[str, Any]]:
    """The projections of an integer network."""
    return [_projection(projection) for projection in network.projections]


def _projection(projection: Projection) -> dict[str, Any]:
    connectivity = projection.connectivity
    codes = connectivity.codes.ravel()
    kept = codes[codes != 0]
    low, high = (int(kept.min()), int(kept.max())) if kept.size else (0, 0)
    width = -(-(high - low + 1) // MOST_BINS)
    counts = np.bincount((kept - low) // width, minlength=1)
    return {
        "pre": projection.pre,
        "post": projection.post,
        "bits": connectivity.quantised.bits,
        "weights": int(codes.size),
        "zeros": int(codes.size - kept.size),
        "lowest_code": low,
        "highest_code": high,
        "bin_codes": width,
        "counts": counts.tolist(),
        "source": Source.MEASURED,
    }

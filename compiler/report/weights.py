"""The weights of each projection after quantisation: how many stay, in how many bits, how often each code."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.arrays import FloatArray, IntArray
from ..ir.network import Network, Projection
from .facts import Source
from .figures import Bins

MOST_BINS = 32
"""Bins of a histogram; codes of 5 bits and fewer have one each."""


def weights_data(network: Network) -> list[dict[str, Any]]:
    """The projections of an integer network."""
    return [_projection(projection) for projection in network.projections]


def _projection(projection: Projection) -> dict[str, Any]:
    connectivity = projection.connectivity
    codes = connectivity.codes
    kept = codes[codes != 0]
    bins = bins_of(codes)
    return {
        "pre": projection.pre,
        "post": projection.post,
        "bits": connectivity.quantised.bits,
        "weights": int(codes.size),
        "zeros": int(codes.size - kept.size),
        "lowest_code": bins.lowest,
        "highest_code": int(kept.max(initial=bins.lowest)),
        "bin_codes": bins.width,
        "counts": bins.counts,
        "source": Source.MEASURED,
    }


def bins_of(weights: IntArray | FloatArray) -> Bins:
    """The bins of the weights that are not zero: of codes from the lowest to the highest, whole numbers, all as many;
    of floats as many on both sides of zero."""
    kept = weights[weights != 0]
    if np.issubdtype(kept.dtype, np.integer):
        low, high = (int(kept.min()), int(kept.max())) if kept.size else (0, 0)
        width = -(-(high - low + 1) // MOST_BINS)
        return Bins(low, width, np.bincount((kept - low) // width, minlength=1).tolist())
    edge = float(np.abs(kept).max(initial=0)) or 1.0
    counts, _ = np.histogram(kept, bins=MOST_BINS, range=(-edge, edge))
    return Bins(-edge, 2 * edge / MOST_BINS, counts.tolist())

"""The baselines: masks by magnitude, or by magnitude times presynaptic rate, and plain rounding.

Nothing is made up for what the network loses. All of it is NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.arrays import FloatArray
from ..ir.columns import Columns
from ..ir.connectivity import Quantised
from ..ir.network import Network, Projection
from ..lowering.quantise import quantise, quantise_codes
from ..neurons.contract import contract_form
from .allocation import Share
from .grid import Format
from .magnitude import keep_globally


def pruned(network: Network, shares: Sequence[Share], rates: Mapping[str, FloatArray] | None = None) -> Network:
    """A float network whose populations lost their shares of input weights, by the LAMPS score.

    With `rates`, spikes per step by population and input, a weight counts as often as its pre neuron fires.
    """
    kept: dict[int, npt.NDArray[np.bool_]] = {}
    for share in shares:
        members = [p for p in network.projections if p.post in share.populations]
        scores = [p.connectivity.real for p in members]
        if rates is not None:
            scores = [s * p.connectivity.means_seen(rates[p.pre]) for s, p in zip(scores, members, strict=True)]
        kept |= dict(zip(map(id, members), keep_globally(scores, share.sparsity), strict=True))
    return replace(
        network,
        projections=tuple(
            replace(p, connectivity=p.connectivity.with_weights(np.where(kept[id(p)], p.connectivity.real, 0.0)))
            for p in network.projections
        ),
    )


def by_magnitude(
    network: Network,
    shares: Sequence[Share],
    formats: Mapping[str, Format] | None,
    calibration: npt.NDArray[Any] | None = None,
) -> Network:
    """The network without its smallest weights; with formats an integer one, whose weights are rounded to these at
    scales by a clip search."""
    masked = pruned(network, shares)
    if formats is None:
        return masked
    return quantise_codes(masked, nearest_codes(masked, formats, calibration), calibration)


def nearest_codes(
    network: Network, formats: Mapping[str, Format], calibration: npt.NDArray[Any] | None = None
) -> list[Quantised]:
    """The codes of every projection; binary ones have the mean size of a neuron's weights as their scale."""
    widths = {form.bits for form in formats.values() if not form.grid.binary}
    integers = {width: quantise(network, width, calibration) for width in sorted(widths)}
    result = []
    for index, projection in enumerate(network.projections):
        form = formats[projection.post]
        if form.grid.binary:
            result.append(_binary(network, projection))
        else:
            weights = integers[form.bits].projections[index].connectivity.quantised
            result.append(replace(_own(network, projection, weights), scheme=form.scheme))
    return result


def _own(network: Network, projection: Projection, weights: Quantised) -> Quantised:
    """Codes for the network's own weights, of codes for weights that the neuron's gain was multiplied into."""
    gain = contract_form(network, network.population(projection.post)).gain
    gain = np.where(gain != 0, gain, 1.0)
    codes = projection.connectivity.scaled(np.sign(gain).astype(np.int64), weights.codes)
    return replace(weights, codes=codes, scale=weights.scale / np.abs(gain))


def _binary(network: Network, projection: Projection) -> Quantised:
    """Signs at the least-squares scale of each neuron (Rastegari et al., XNOR-Net, ECCV 2016); of a readout, of all."""
    connectivities = [p.connectivity for p in network.projections_into(projection.post)]
    columns = Columns.of(connectivities)
    sizes = columns.stacked([np.abs(c.real) for c in connectivities])
    axis = None if network.reads_membranes_of(projection.post) else 0
    total, count = sizes.sum(axis=axis), np.count_nonzero(sizes, axis=axis)
    scale = np.where(count > 0, total / np.maximum(count, 1), 1.0)
    codes = np.sign(projection.connectivity.real).astype(np.int64)
    return Quantised(codes=codes, bits=2, scheme="binary", scale=columns.spread(scale) if scale.ndim else scale)

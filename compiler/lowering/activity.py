"""How active is what the weights into a population see, which says what an error in them costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.arrays import FloatArray, IntArray, SpikeArray, SpikesByPopulation
from ..ir.columns import Columns
from ..ir.connectivity import Connectivity
from ..neurons.contract import ContractForm
from .scales import Activity

UNMEASURED_RATE = 0.1
"""How often pre neurons fire where no samples say it."""

QUIET_VARIANCE = 1e-6
"""What keeps the weights of pre neurons that no sample activates from being arbitrary."""


def activity_of(form: ContractForm, columns: Columns, sources: SpikesByPopulation | None) -> Activity:
    """How active what the weights see is, in the order of the columns; without samples all alike."""
    connectivities = [p.connectivity for p in form.projections]
    if sources is None:
        size = len(columns.stacked(form.weights))
        return Activity(np.full(size, UNMEASURED_RATE), np.full(size, UNMEASURED_RATE * (1 - UNMEASURED_RATE)))
    seen = [_seen(c, sources[p.pre]) for c, p in zip(connectivities, form.projections, strict=True)]
    if all(len(parts) == 1 for parts in seen) and len({len(parts[0][1]) for parts in seen}) == 1:
        x = np.concatenate([parts[0][1] for parts in seen], axis=1)
        mean, variance = x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64)
    else:
        mean, variance = (
            columns.laid([_statistic(c, parts, name) for c, parts in zip(connectivities, seen, strict=True)])
            for name in ("mean", "var")
        )
    return Activity(mean, variance + 0.01 * variance.mean() + QUIET_VARIANCE)


def _seen(connectivity: Connectivity, spikes: SpikeArray) -> list[tuple[IntArray, SpikeArray]]:
    """What the weights see [observations, fan-in], for each set of scale groups that see the same."""
    alike = connectivity.alike()
    views = (connectivity.seen(spikes, int(groups[0])) for groups in alike)
    return [(groups, view.reshape(-1, view.shape[-1])) for groups, view in zip(alike, views, strict=True)]


def _statistic(connectivity: Connectivity, seen: Sequence[tuple[IntArray, SpikeArray]], name: str) -> FloatArray:
    """The mean or variance of what each weight sees, in columns [fan-in, groups]."""
    result = np.empty((seen[0][1].shape[1], sum(len(groups) for groups, _ in seen)))
    for groups, x in seen:
        result[:, groups] = getattr(x, name)(axis=0, dtype=np.float64)[:, None]
    return result

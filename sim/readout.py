"""What recorded spikes and membranes say by a readout."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.readout import ReadBy, Readout

Array = npt.NDArray[Any]


def scores(readout: Readout, spikes: Array, membranes: Array | None, scale: Array | None = None) -> Array:
    """What each class says [samples, classes] in recordings [samples, steps, outputs]; see `Readout`.

    Integers stay integers, so that nothing is lost, unless membrane units differ by `scale` (outputs,).
    """
    by = readout.by
    if readout.of_membranes:
        assert membranes is not None, "executors record what a class is read off"
        said = _of_membranes(by, membranes)
        said = said if scale is None else said * scale
    else:
        said = _earliness(spikes) if by is ReadBy.FIRST_SPIKE else spikes.sum(axis=1, dtype=np.int64)
    if readout.threshold is not None:
        return np.concatenate([np.full_like(said, readout.threshold - 1), said], axis=1)
    if readout.classes is None:
        return said
    groups = said.reshape(len(said), readout.classes, -1)
    joined: Array = groups.max(axis=2) if by in (ReadBy.FIRST_SPIKE, ReadBy.MEMBRANE_MAX) else groups.sum(axis=2)
    return joined


def _earliness(spikes: Array) -> Array:
    """Steps from a neuron's first spike to the end, that step included; 0 where it never fires."""
    fired = spikes != 0
    return np.where(fired.any(axis=1), spikes.shape[1] - fired.argmax(axis=1), 0)


def _of_membranes(by: ReadBy, membranes: Array) -> Array:
    wide = membranes.astype(np.int64 if membranes.dtype.kind == "i" else np.float64)
    said: Array
    if by is ReadBy.MEMBRANE_MAX:
        said = wide.max(axis=1)
    elif by is ReadBy.MEMBRANE_SUM:
        said = wide.sum(axis=1)
    else:
        said = wide[:, -1]
    return said

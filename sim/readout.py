"""What recorded spikes and membranes say by a readout."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.readout import ReadBy, Readout
from ..hdl.errors import SampleError
from ..hdl.neurons.readout import MembraneKind, ReadoutFormat

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


def readings(form: ReadoutFormat, membranes: Array) -> tuple[Array, Array]:
    """What a core with that readout gives out, int64: readings [samples, steps, outputs], 0 in steps without, and the
    classes [samples, steps, 1] that ends of samples name, 0 elsewhere.

    Raises SampleError for samples of more steps than a sum has room for.
    """
    samples, steps, _ = membranes.shape
    if form.most_steps is not None and steps > form.most_steps:
        raise SampleError(
            f"sums of membranes, as the core gives them out, hold {form.most_steps:,} steps: the samples have "
            f"{steps:,}; cut them, or read by membrane-last or membrane-max"
        )
    given = np.zeros(membranes.shape, np.int64)
    classes = np.zeros((samples, steps, 1), np.int64)
    if form.kind is MembraneKind.EVERY:
        given[:] = membranes
    else:
        given[:, -1] = _of_membranes(ReadBy(form.kind.value), membranes)
    if form.names_class:
        classes[:, -1, 0] = given[:, -1].argmax(axis=1)
    return given, classes


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

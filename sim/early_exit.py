"""Samples that end before their last step, once their class is certain.

By the readout `spikes` a class is certain at margin m after the first step in which its spikes lead those of every
other class by m or more; more spikes might still change it, so that m trades steps for accuracy. By `first-spike` it is
certain once any output has fired: later spikes are later, so that nothing is lost. The host decides it on what every
step brings, sends no further step but an empty one that ends the sample, and the core is as ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import IntArray, SpikeArray
from ..compiler.ir.readout import ReadBy, Readout
from ..hdl.errors import OptionError
from .readout import scores


@dataclass(frozen=True, eq=False)
class EarlyExit:
    """For each sample how many `steps` it takes until its class is certain, all where it never is, and its class by
    these steps; `spikes` [samples, steps, outputs] are those of the output until then, 0 after them."""

    steps: IntArray
    classes: IntArray
    spikes: SpikeArray


def early_exit(readout: Readout, spikes: SpikeArray, margin: int) -> EarlyExit:
    """When output `spikes` [samples, steps, outputs] make their classes certain. OptionError for other readouts."""
    if readout.of_membranes or readout.threshold is not None:
        raise OptionError(
            f"a class is certain early by the spikes of several classes: it is read by {readout}; leave out the early "
            "exit"
        )
    samples, steps, outputs = spikes.shape
    certain: npt.NDArray[np.bool_]
    counts = np.cumsum(spikes, axis=1, dtype=np.int64)
    if readout.by is ReadBy.FIRST_SPIKE:
        certain = np.asarray((counts > 0).any(axis=2))
    else:
        said = counts.reshape(samples, steps, readout.class_count(outputs), -1).sum(axis=3)
        ordered = np.sort(said, axis=2)
        second = ordered[:, :, -2] if said.shape[2] > 1 else 0
        certain = ordered[:, :, -1] - second >= margin
    taken = np.where(certain.any(axis=1), certain.argmax(axis=1) + 1, steps).astype(np.int64)
    kept = np.where(np.arange(steps)[:, None] < taken[:, None, None], spikes, 0).astype(np.uint8)
    return EarlyExit(taken, np.argmax(scores(readout, kept, None), axis=1).astype(np.int64), kept)

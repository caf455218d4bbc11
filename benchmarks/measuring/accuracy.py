"""How often a network is right on samples too many to run at once."""

from __future__ import annotations

import numpy as np
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.ir.network import Network
from spikeloom.sim.reference import run_reference

PART = 1000
"""Samples at a time."""


def accuracy(network: Network, samples: Samples) -> float:
    """The share of all labelled samples that the integer reference answers right."""
    assert samples.labels is not None
    right = 0
    for first in range(0, len(samples), PART):
        part = slice(first, first + PART)
        right += int(np.sum(run_reference(network, samples.spikes[part]).predicted == samples.labels[part]))
    return right / len(samples)

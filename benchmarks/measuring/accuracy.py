"""Which samples a network is right on, and how often, where they are too many to run at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.ir.network import Network
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

PART = 1000
"""Samples at a time."""

Right = npt.NDArray[np.bool_]


def answers(network: Network, samples: Samples) -> Right:
    """Which labelled samples are answered right: of integers by the reference, of floats by the float executor."""
    assert samples.labels is not None
    run = run_reference if network.is_integer else run_float
    parts = [samples.spikes[k : k + PART] for k in range(0, len(samples), PART)]
    right: Right = np.concatenate([run(network, part).predicted for part in parts]) == samples.labels
    return right


def accuracy(network: Network, samples: Samples) -> float:
    """The share of all labelled samples that are answered right."""
    return float(answers(network, samples).mean())

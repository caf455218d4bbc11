"""A network through the reference, against the oracle."""

from __future__ import annotations

import numpy as np
from golden import network_of
from spikeloom.sim.reference import run_reference

from .oracle import Data, run_sample


def check_reference(network: Data, samples: list[list[list[int]]]) -> None:
    """The integer reference equals the oracle on samples [sample][step][input], one by one."""
    built = network_of(network)
    for number, steps in enumerate(samples):
        got = run_reference(built, np.array([steps], np.int64).astype(np.uint8), membranes=True)
        for name, trace in run_sample(network, steps).items():
            recorded = got.populations[name]
            assert recorded.membranes is not None
            where = f"reference, sample {number}, population {name}"
            assert recorded.spikes[0].tolist() == trace.spikes, f"{where}: spikes"
            assert recorded.membranes[0].tolist() == trace.membranes, f"{where}: membranes"

"""NeuroBench's metrics of an integer network, by its names and as its release 2.3.0 counts them.

Yik et al., The neurobench framework for benchmarking neuromorphic computing algorithms and systems, Nature
Communications 16 (2025); package `neurobench`, folders `metrics/static` and `metrics/workload`. Its harness looks at
torch modules, one layer and one step at a time; here a projection stands for a layer with weights, a population for a
layer of neurons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..ir.arrays import SpikesByPopulation
from ..ir.arrivals import apart
from ..ir.network import INPUT, Network, Population, Projection
from ..ir.neurons import Decay, IntegerDynamics

RELEASE = "2.3.0"


@dataclass(frozen=True, kw_only=True)
class NeuroBench:
    """The metrics; operations are means per sample, and so is `dense`.

    `footprint_bytes`: all parameters, zero weights too. `connection_sparsity`: the share of weights that are zero.
    `activation_sparsity`: the share of neuron-steps in which a neuron does not fire. `effective_acs`: weights that are
    not zero times inputs that are not zero, of all steps, biases left out; in a step in which an input of the layer is
    more than one spike they count as `effective_macs`. `dense`: the same if nothing were zero.
    """

    footprint_bytes: float
    connection_sparsity: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense: float

    @property
    def synaptic_operations(self) -> float:
        """Effective ACs and MACs."""
        return self.effective_acs + self.effective_macs


def neurobench(network: Network, trains: SpikesByPopulation) -> NeuroBench:
    """The metrics of an integer network that does on its samples what `trains` says.

    `trains` are the spikes [samples, steps, neurons] of the input (`INPUT`) and of every population. A spike that is
    under way when its sample ends reaches nobody and counts for nothing. Inputs with signs are one input each, though
    the network has two for them (`ir.signed`); its footprint has both.
    """
    samples, steps = trains[INPUT].shape[:2]
    fired = [np.count_nonzero(trains[p.name]) for p in network.populations]
    neurons = sum(p.size for p in network.populations)
    counts = np.sum([_operations(p, trains[p.pre]) for p in network.projections], axis=0) / samples
    weights = sum(_share(network, p) * p.connectivity.possible_synapses for p in network.projections)
    kept = sum(_share(network, p) * p.connectivity.synapses for p in network.projections)
    return NeuroBench(
        footprint_bytes=_footprint_bits(network) / 8,
        connection_sparsity=1 - kept / weights,
        activation_sparsity=1 - sum(fired) / (samples * steps * neurons),
        effective_macs=float(counts[0]),
        effective_acs=float(counts[1]),
        dense=steps * sum(_share(network, p) * _dense(p) for p in network.projections),
    )


def _share(network: Network, projection: Projection) -> float:
    """How much a weight counts: those of an input with a sign come twice."""
    return 0.5 if projection.pre == INPUT and network.x_min < 0 else 1.0


def _dense(projection: Projection) -> int:
    """Operations of a step in which every input is 1 and no weight 0."""
    return int(_weights_met(projection, np.ones_like(projection.connectivity.codes)).sum())


def _operations(projection: Projection, train: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Multiply-accumulates and accumulates that the pre neurons' spikes [samples, steps, neurons] cause."""
    connectivity = projection.connectivity
    macs = acs = 0
    for arrival, codes in apart(projection, connectivity.codes):
        met = _weights_met(projection, codes)
        inputs = connectivity.at_weights(arrival.in_all_steps(train))
        several = inputs.max(axis=2, initial=0) > 1
        macs += int(np.count_nonzero(inputs[several], axis=0) @ met)
        acs += int(np.count_nonzero(inputs[~several], axis=0) @ met)
    return macs, acs


def _weights_met(projection: Projection, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many of these weights meet each input, where they are not zero."""
    connectivity = projection.connectivity
    return connectivity.with_codes(replace(connectivity.quantised, codes=codes)).weights_met()


# ------------------------------------------------------------------------------------------------------ footprint


def _footprint_bits(network: Network) -> int:
    return sum(map(_synapse_bits, network.projections)) + sum(map(_neuron_bits, network.populations))


def _synapse_bits(projection: Projection) -> int:
    """Of weights at their width, and of delays at that of the longest."""
    weights = projection.connectivity.quantised
    delay_bits = int(projection.delay.max(initial=0)).bit_length()
    return int(weights.codes.size * weights.bits + projection.delay.size * delay_bits)


def _neuron_bits(population: Population) -> int:
    """Of parameters in membrane units at the membrane's width, and of leaks; one for all neurons counts once."""
    dynamics = population.dynamics
    assert isinstance(dynamics, IntegerDynamics)
    units = (population.bias, dynamics.fire, dynamics.sub, dynamics.v_reset, dynamics.v_min, dynamics.jump)
    leaks = [value for value in vars(dynamics).values() if isinstance(value, Decay)]
    numbers = sum(array.size for array in units if array is not None)
    return numbers * dynamics.state_bits + sum(leak.c.size * leak.k for leak in leaks)

"""Small float networks of one kind of neuron, and a check of every step of the compiler with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from spikeloom.compiler.compression.simulation import inputs_of, layers_of, simulate
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import FloatDynamics
from spikeloom.compiler.neurons.contract import contract_form
from spikeloom.compiler.neurons.observe import observe
from spikeloom.sim.recording import PopulationRecording


def float_chain(
    dynamics: FloatDynamics, first: tuple[float, float], second: tuple[float, float], seed: int = 1
) -> Network:
    """Twelve inputs, 9 neurons `a` and 4 neurons `b`, with normal weights of these means and deviations."""
    rng = np.random.default_rng(seed)
    return Network(
        input_shape=(12,),
        populations=tuple(Population(name=name, shape=(n,), dynamics=dynamics) for name, n in (("a", 9), ("b", 4))),
        projections=(
            Projection(pre=INPUT, post="a", connectivity=Dense(weights=rng.normal(*first, (12, 9)))),
            Projection(pre="a", post="b", connectivity=Dense(weights=rng.normal(*second, (9, 4)))),
        ),
        output="b",
        dtype="float64",
    )


def random_samples(count: int = 30, steps: int = 15) -> np.ndarray:
    """Inputs of a `float_chain`."""
    return (np.random.default_rng(2).random((count, steps, 12)) < 0.4).astype(np.uint8)


def check_every_step(network: Network, samples: np.ndarray, expected: Mapping[str, PopulationRecording]) -> None:
    """The compiler's step has the spikes that are `expected`, over arrays and, where torch is installed, tensors."""
    observed = observe(network, [contract_form(network, p) for p in network.populations], samples)
    for name, population in expected.items():
        np.testing.assert_array_equal(observed[name], population.spikes)
    torch = pytest.importorskip("torch")
    tensors = simulate(layers_of(network, dtype=torch.float64), inputs_of(samples, dtype=torch.float64))
    for name, response in tensors.items():
        assert response.spikes is not None
        np.testing.assert_array_equal(response.spikes.numpy().transpose(1, 0, 2), expected[name].spikes)

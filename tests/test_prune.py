"""Pruning to a target sparsity, and the recipe that joins it with quantisation."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.compression import Recipe, compress
from spikeloom.compiler.compression.magnitude import keep_globally, prune
from spikeloom.compiler.ir.arrays import FloatArray
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.errors import ModelError, OptionError


def network(*weights: Any) -> Network:
    """A chain of LIF populations with these weights, the last called `out`."""
    arrays = [np.asarray(w, np.float64) for w in weights]
    names = [INPUT, *(f"p{i}" for i in range(len(arrays) - 1)), "out"]
    return Network(
        input_shape=(len(arrays[0]),),
        populations=tuple(
            Population(name=name, shape=(w.shape[1],), dynamics=LIF(beta=0.9, threshold=1.0))
            for name, w in zip(names[1:], arrays, strict=True)
        ),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=w))
            for pre, post, w in zip(names, names[1:], arrays, strict=False)
        ),
        output="out",
    )


def weights_of(net: Network) -> list[FloatArray]:
    return [p.weights for p in net.projections]  # type: ignore[misc]


def random_network(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    return network(rng.normal(0, 0.05, (60, 20)), rng.normal(0, 0.3, (20, 5)))


def sparsity_of(net: Network) -> float:
    zeros = sum(int((w == 0).sum()) for w in weights_of(net))
    return zeros / sum(w.size for w in weights_of(net))


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9])
def test_target_is_met_and_survivors_are_unchanged(scope: Any, sparsity: float) -> None:
    before = random_network()
    after = prune(before, sparsity, scope)
    assert sparsity_of(after) == pytest.approx(sparsity, abs=1e-9)
    for old, new in zip(weights_of(before), weights_of(after), strict=True):
        assert np.array_equal(new[new != 0], old[new != 0])
        if sparsity > 0:
            assert np.abs(old[new == 0]).max() <= np.abs(new[new != 0]).min()


def test_layer_scope_prunes_every_layer_alike() -> None:
    for w in weights_of(prune(random_network(), 0.7, "layer")):
        assert (w == 0).mean() == pytest.approx(0.7)


def test_zeros_that_were_there_count() -> None:
    half = np.array([[0.0, 0.0], [0.0, 0.3], [0.2, 0.4], [0.1, 0.0]])
    assert np.array_equal(weights_of(prune(network(half), 0.5))[0], half)
    assert sparsity_of(prune(network(half), 0.625)) == 0.625
    assert weights_of(prune(network(half), 0.25))[0][3, 0] == 0.1


def test_ties_fall_in_order() -> None:
    pruned = weights_of(prune(network(np.full((2, 2), 0.5)), 0.5))[0]
    assert pruned.tolist() == [[0, 0], [0.5, 0.5]]
    assert np.array_equal(weights_of(prune(random_network(), 0.6))[0], weights_of(prune(random_network(), 0.6))[0])


def test_a_layer_of_small_weights_survives_a_global_target() -> None:
    """One threshold on raw magnitudes would leave nothing of the first layer."""
    rng = np.random.default_rng(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = weights_of(prune(network(rng.normal(0, 1e-3, (100, 20)), rng.normal(0, 1, (20, 5))), 0.95))
    assert np.count_nonzero(first) and np.count_nonzero(second)


def test_silenced_neurons_are_named() -> None:
    weights = np.array([[0.9, 0.1, 0.8], [0.7, 0.1, 0.6]])
    with pytest.warns(UserWarning, match=r"1 of 3 neurons \(1\) of population 'out' without input synapses"):
        prune(network(weights), 0.33)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune(network(np.array([[0.9, 0.0], [0.7, 0.0]])), 0.5)  # neuron 1 had no synapse before


@pytest.mark.parametrize("sparsity", [1.0, -0.1, 2, float("nan"), True, "0.5", None])
def test_sparsity_out_of_range(sparsity: Any) -> None:
    with pytest.raises(OptionError, match="0 <= s < 1"):
        prune(random_network(), sparsity)


def test_unknown_scope_and_integer_networks_are_refused() -> None:
    with pytest.raises(OptionError, match="global or layer: got 'neuron'"):
        prune(random_network(), 0.5, "neuron")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="prune first"):
        prune(quantise(random_network(), 8), 0.5)


def test_compress_prunes_quantises_and_reports() -> None:
    integer, report = compress(random_network(), Recipe(sparsity=0.5, bits=6))
    assert integer.is_integer
    assert [p.weights for p in report.projections] == [1200, 100]
    assert sum(p.synapses_before for p in report.projections) == 1300
    assert report.sparsity >= 0.5  # small weights may round to zero as well
    assert [e.population for e in report.errors] == ["p0", "out"]
    assert all(e.weight_bits == 6 and 0 < e.weights < 0.1 for e in report.errors)
    assert report.silenced == {}


def test_recipe_keeps_the_network_it_was_given() -> None:
    before = random_network()
    copies = [w.copy() for w in weights_of(before)]
    compress(replace(before), Recipe(sparsity=0.8, bits=4))
    assert all(np.array_equal(a, b) for a, b in zip(copies, weights_of(before), strict=True))


def test_layers_are_compared_by_what_a_weight_is_among_its_own() -> None:
    """LAMPS by hand: 0.1 has the score 0.01 / 0.05, 5 has 25 / 61, and the largest of each 1. Raw magnitudes would
    empty the first."""
    small, large = np.array([[0.1, -0.2]]), np.array([[5.0], [-6.0]])
    assert [k.tolist() for k in keep_globally([small, large], 0.5)] == [[[False, True]], [[False], [True]]]
    assert [k.tolist() for k in keep_globally([small, large], 0.25)] == [[[False, True]], [[True], [True]]]

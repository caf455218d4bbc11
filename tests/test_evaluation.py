"""Accuracy before and after compression, and its confidence intervals."""

from __future__ import annotations

import numpy as np
import pytest
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.errors import SampleError
from spikeloom.sim.evaluation import compare, paired, unseen, wilson


def network(weights: np.ndarray) -> Network:
    return Network(
        input_shape=(len(weights),),
        populations=(Population(name="out", shape=(weights.shape[1],), dynamics=LIF(beta=0.9, threshold=0.9)),),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=weights)),),
        output="out",
    )


def samples(count: int = 90, seed: int = 0) -> Samples:
    """The class is the input that spikes."""
    labels = np.random.default_rng(seed).integers(0, 3, count)
    spikes = np.zeros((count, 8, 3), np.uint8)
    noise = np.random.default_rng(seed + 1).random(spikes.shape) < 0.1
    spikes[np.arange(count), :, labels] = 1
    return Samples(spikes=spikes ^ noise, labels=labels)


def test_wilson_is_the_published_interval() -> None:
    low, high = wilson(15, 148)  # Newcombe, Statistics in Medicine 17 (1998), table I: 0.0624 to 0.1605
    assert (round(low, 4), round(high, 4)) == (0.0624, 0.1605)
    assert wilson(0, 20)[0] == 0.0 and wilson(20, 20)[1] == 1.0


def test_the_paired_interval_covers_the_change_and_shrinks() -> None:
    for won, lost, total in ((0, 0, 50), (3, 9, 100), (30, 90, 1000), (50, 0, 50)):
        low, high = paired(won, lost, total)
        assert -1 <= low <= high <= 1
        assert low - 0.05 <= (won - lost) / total <= high + 0.05
    assert np.ptp(paired(30, 90, 1000)) < np.ptp(paired(3, 9, 100))
    rng = np.random.default_rng(0)
    covered = [
        np.subtract(*paired(won, lost, 200)[::-1]) > 0
        and paired(won, lost, 200)[0] <= -0.04 <= paired(won, lost, 200)[1]
        for won, lost, _ in rng.multinomial(200, [0.03, 0.07, 0.9], 2000)
    ]
    assert 0.93 < np.mean(covered) < 0.98


def test_networks_are_compared_on_unseen_labelled_samples() -> None:
    good, bad = network(np.eye(3)), network(np.roll(np.eye(3), 1, axis=1))
    found = compare(good, quantise(good, 8), samples())
    assert found.samples == 90 and found.original > 0.9
    assert found.change == pytest.approx(found.compressed - found.original, abs=1e-12)
    assert found.original_interval[0] <= found.original <= found.original_interval[1]
    worse = compare(good, bad, samples())
    assert worse.change_interval[1] < -0.5
    rest = unseen(samples(), [samples(20, seed=5), samples().first(30)])
    assert len(rest) <= 60 and compare(good, bad, rest).samples == len(rest)
    assert not {s.tobytes() for s in rest.spikes} & {s.tobytes() for s in samples().spikes[:30]}
    assert rest.labels is not None and len(rest.labels) == len(rest)


def test_bad_test_samples_are_refused() -> None:
    net = network(np.eye(3))
    with pytest.raises(SampleError, match="labels"):
        compare(net, net, Samples(spikes=samples().spikes))
    with pytest.raises(SampleError, match="others than those"):
        unseen(samples().first(20), [samples()])

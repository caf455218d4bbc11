"""The example that needs its delays: what it reaches with them and without, and that hardware runs it exactly."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler import quantise
from spikeloom.compiler.data.samples import Samples, load_samples
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
KINDS = ["synaptic", "axonal"]


@pytest.fixture(scope="module")
def samples() -> Samples:
    return load_samples(EXAMPLES / "delays_test.npz")


def trained(kind: str) -> Network:
    return read_nir(EXAMPLES / f"delays_{kind}.nir")


def delays_of(network: Network) -> np.ndarray:
    (late,) = (p.delay for p in network.projections if p.step_edge)
    return late


def without_delays(network: Network) -> Network:
    """The same weights, all heard at once."""
    return replace(network, projections=tuple(p.delayed(np.zeros((), np.int64)) for p in network.projections))


@pytest.mark.parametrize("kind", KINDS)
def test_with_delays_every_class_is_told(kind: str, samples: Samples) -> None:
    """In float, and in integers of 6 bits."""
    assert samples.labels is not None
    network = trained(kind)
    assert run_float(network, samples.spikes).accuracy(samples.labels) == 1
    assert run_reference(quantise(network, 6, samples.spikes[:50]), samples.spikes).accuracy(samples.labels) == 1


def test_axonal_delays_are_one_for_each_neuron() -> None:
    """And those of synapses differ from synapse to synapse."""
    axonal, synaptic = (delays_of(trained(kind)) for kind in ("axonal", "synaptic"))
    assert np.array_equal(axonal, np.broadcast_to(axonal[:, :1], axonal.shape))
    assert len(np.unique(axonal)) > 4
    assert (synaptic != synaptic[:, :1]).any(axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_without_delays_no_weights_tell_them_apart(kind: str, seed: int | None, samples: Samples) -> None:
    """Neither those that were trained nor any others: every sample has the same spike counts, which is chance."""
    network = without_delays(trained(kind))
    if seed is not None:
        rng = np.random.default_rng(seed)
        others = [Dense(weights=rng.normal(0.5, 1, p.connectivity.shape)) for p in network.projections]
        pairs = zip(network.projections, others, strict=True)
        network = replace(network, projections=tuple(replace(p, connectivity=other) for p, other in pairs))
    recording = run_float(network, samples.spikes)
    counts = recording.spikes.sum(axis=1)
    assert (counts == counts[0]).all()
    assert seed is None or counts.any()
    assert samples.labels is not None
    assert recording.accuracy(samples.labels) == 1 / 8


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
@pytest.mark.parametrize("kind", KINDS)
def test_hardware_is_exact(kind: str, family: str, samples: Samples) -> None:
    """Spikes and membranes of the simulated core, while its output stalls."""
    integers = quantise(trained(kind), 6, samples.spikes[:50])
    given = samples.spikes[:2]
    expected = run_reference(integers, given, membranes=True)
    found = run_amaranth(make_plan(integers, family), given, membranes=True, stress=1)
    assert expected.spikes.any()
    for name, population in expected.populations.items():
        assert np.array_equal(found.populations[name].spikes, population.spikes)
        assert np.array_equal(found.populations[name].membranes, population.membranes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def script() -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("snntorch")
    spec = importlib.util.spec_from_file_location("train_delays", EXAMPLES / "train_delays.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_trains_delays_and_keeps_them_whole(script: Any) -> None:
    """Two epochs, of which one moves them."""
    import torch

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    spikes, labels = script.samples(rng, script.patterns(rng), 200)
    assert (spikes.sum(axis=(1, 2)) == script.INPUTS).all() and spikes.sum(axis=2).max() == 1
    net = script.DelayNet(script.AXONAL)
    before = net.late.delays
    script.train(net, spikes, labels, epochs=2, fixed=1)
    after = net.late.delays
    assert np.array_equal(after, np.round(after))
    assert np.array_equal(after, np.broadcast_to(after[:, :1], after.shape))
    assert not np.array_equal(after, np.round(before))

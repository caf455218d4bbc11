"""What a spike subtracts may differ from the threshold: every executor, proofs, files and training have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_networks import check_every_step, float_chain, random_samples
from networks import chain, random_spikes
from spikeloom.compiler.compression import FineTune, Recipe
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import (
    IF,
    LIF,
    CubaLIF,
    FloatDynamics,
    IntegerDynamics,
    ResetMode,
    ResetPlace,
)
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.lowering.quantise import dequantise, quantise
from spikeloom.compiler.plan.folding import shared_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.compiler.report.inspection import inspect_network
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

FLOATS = [
    IF(threshold=1.0, sub=0.6),
    LIF(beta=0.8, threshold=1.0, sub=1.5, reset_place=ResetPlace.NEXT),
    LIF(beta=0.9, threshold=1.0, sub=0.3, reset_place=ResetPlace.SNNTORCH_SAME),
    LIF(beta=0.9, threshold=0.8, sub=0.3, v_init=0.1, rho=0.8, jump=0.2, v_min=-0.5),
    CubaLIF(alpha=0.6, beta=0.8, threshold=1.0, sub=0.2),
]


def float_network(dynamics: FloatDynamics) -> Network:
    """Two populations that fire often."""
    return float_chain(dynamics, (0.1, 0.5), (0.2, 0.8))


def without(network: Network) -> Network:
    """The network whose neurons subtract their threshold."""
    populations: Any = [replace(p, dynamics=replace(p.dynamics, sub=None)) for p in network.populations]
    return replace(network, populations=tuple(populations))


def test_the_float_executor_subtracts_it() -> None:
    network = float_chain(IF(threshold=1.0, sub=0.25), (1.0, 0.0), (1.0, 0.0))
    samples = np.zeros((1, 3, 12), np.uint8)
    samples[0, 0, :2] = 1
    membranes = run_float(network, samples, membranes=True).populations["a"].membranes
    assert membranes is not None
    assert membranes[0, :, 0].tolist() == [1.75, 1.5, 1.25]


@pytest.mark.parametrize("dynamics", FLOATS, ids=range(len(FLOATS)))
def test_every_step_has_it_and_so_have_integers(dynamics: FloatDynamics) -> None:
    network, samples = float_network(dynamics), random_samples()
    expected = run_float(network, samples).populations
    assert not np.array_equal(run_float(without(network), samples).populations["b"].spikes, expected["b"].spikes)
    check_every_step(network, samples, expected)
    integer = quantise(network, 16, samples)
    for real in (integer, dequantise(integer)):
        got = (run_reference if real.is_integer else run_float)(real, samples).populations
        for name, population in expected.items():
            wrong = np.count_nonzero(population.spikes != got[name].spikes)
            assert wrong <= 0.02 * np.count_nonzero(population.spikes)
    for population, back in zip(integer.populations, dequantise(integer).populations, strict=True):
        assert isinstance(population.dynamics, IntegerDynamics)
        unit = population.dynamics.scale / (1 << population.dynamics.fraction_bits)
        np.testing.assert_allclose(population.dynamics.sub * unit, dynamics.sub, atol=unit.max())  # type: ignore[union-attr]
        np.testing.assert_array_equal(back.dynamics.sub, population.dynamics.sub * unit)  # type: ignore[union-attr]


def test_the_hardware_subtracts_it() -> None:
    rng = np.random.default_rng(1)
    network = quantise(chain_of_floats(rng.uniform(0, 2, 7)), 4, random_samples())
    spikes = random_spikes(3, network, samples=2, steps=6, rate=0.5)
    expected = run_reference(network, spikes, membranes=True).populations
    got = run_amaranth(make_plan(network, folding=shared_folding(network)), spikes, membranes=True).populations
    assert expected["a"].spikes.any()
    for name, population in expected.items():
        np.testing.assert_array_equal(got[name].spikes, population.spikes)
        np.testing.assert_array_equal(got[name].membranes, population.membranes)


def chain_of_floats(subs: np.ndarray) -> Network:
    """Neurons that subtract amounts of their own."""
    network = float_network(LIF(beta=0.8, threshold=1.0, reset_place=ResetPlace.NEXT))
    first = network.populations[0]
    own = replace(first.dynamics, sub=np.resize(subs, first.size))
    return replace(network, populations=(replace(first, dynamics=own), network.populations[1]))


def test_files_keep_it_and_say_so_to_others(tmp_path: Path) -> None:
    network = chain_of_floats(np.array([0.5, 1.25]))
    for number, kept in enumerate((network, quantise(network, 6))):
        path = tmp_path / f"{number}.nir"
        write_nir(kept, path)
        again = read_nir(path).populations[0].dynamics
        np.testing.assert_array_equal(again.sub, kept.populations[0].dynamics.sub)  # type: ignore[union-attr]
        assert b"NIR's equation lacks sub" in path.read_bytes()
    other = read_nir(tmp_path / "0.nir", reset="zero").populations[0].dynamics
    assert other.reset_mode is ResetMode.VALUE and other.sub is None  # type: ignore[union-attr]
    shown = inspect_network(network)["populations"]
    assert shown[0]["subtracts"]["min"] == 0.5 and shown[1]["subtracts"] is None


def test_what_cannot_have_it_is_refused() -> None:
    for dynamics, words in (
        (LIF(beta=0.5, threshold=1.0, sub=1.0, reset_mode=ResetMode.VALUE), "has reset value; leave it out"),
        (IF(threshold=1.0, sub=1.0, max_spikes=2), "has max_spikes 2 and sub; leave one of them out"),
        (IF(threshold=1.0, sub=np.inf), "finite"),
    ):
        with pytest.raises(ModelError, match=words):
            verify(float_network(dynamics))
    odd = chain(1, (2, 1), max_spikes=2, reset_place=ResetPlace.SAME, fire=np.array(4), sub=np.array(9))
    with pytest.raises(ModelError, match=r"so sub is fire or fire \+ 1: population 'p0' differs by 5 to 5"):
        dequantise(odd)


# ---------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("place", list(ResetPlace))
@pytest.mark.parametrize("floor", [None, -0.2])
def test_its_gradient_is_that_of_a_membrane_stepped_by_autograd(place: ResetPlace, floor: float | None) -> None:
    torch = pytest.importorskip("torch")
    from spikeloom.compiler.compression.simulation import Layer, inputs_of, layers_of, respond
    from spikeloom.compiler.compression.surrogate import slope
    from spikeloom.compiler.neurons.step import TENSORS, steps

    network = float_network(LIF(beta=0.8, threshold=1.0, sub=0.7, v_min=floor, reset_place=place))
    layer: Layer = layers_of(network, dtype=torch.float64)[0]
    currents = inputs_of(random_samples(6), dtype=torch.float64) @ layer.weight
    outer = torch.randn((2, *currents.shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = []
    for whole in (True, False):
        sub = layer.sub.clone().requires_grad_()
        trained = replace(layer, model=replace(layer.model, sub=sub))
        if whole:
            answer = respond(trained, currents, surrogate=True)
            (outer[0] * answer.spikes + outer[1] * answer.membranes).sum().backward()
        else:
            course = list(steps(TENSORS, trained.model, currents, torch.zeros_like(currents[0])))
            u = torch.stack([state.u for state in course])
            (outer[0] * slope(layer, u.detach(), None) * u + outer[1] * u).sum().backward()
        gradients.append(sub.grad)
    assert gradients[0].abs().min() > 0
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("bits", [None, 6])
def test_it_is_trained_where_asked_and_kept(bits: int | None) -> None:
    pytest.importorskip("torch")
    from compressing import compress_weights

    network, x = float_network(LIF(beta=0.8, threshold=1.0)), random_samples(20)
    training = FineTune(spikes=x, labels=np.arange(20) % 4, epochs=4, batch_size=5, resets=True, leaks=True)
    small = compress_weights(network, method="osbc", sparsity=0.3, bits=bits, calibration=x, finetune=training)
    for population in small.populations:
        dynamics: Any = population.dynamics
        unit = dynamics.scale / (1 << dynamics.fraction_bits) if bits else 1.0
        assert len(np.unique(dynamics.sub)) > 3 and 0 < np.abs(dynamics.sub * unit - 1).max() < 0.5
    assert all(p.dynamics.sub is None for p in network.populations)  # type: ignore[union-attr]


def test_it_is_not_trained_where_nothing_is_subtracted() -> None:
    pytest.importorskip("torch")
    from spikeloom.compiler.compression.one_shot import compress_weights

    network, x = float_network(LIF(beta=0.8, threshold=1.0, reset_mode=ResetMode.VALUE)), random_samples(20)
    training = FineTune(spikes=x, labels=np.arange(20) % 4, epochs=1, resets=True)
    with pytest.raises(OptionError, match="what a spike subtracts is trained where one does"):
        compress_weights(network, Recipe(method="osbc", sparsity=0.3, bits=None), x, finetune=training)

"""The floor of the membrane: every executor ends the step on it, proofs and widths gain by it, files keep it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_networks import check_every_step, float_chain, random_samples
from networks import RESETS, chain, random_spikes
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.compression.simulation import layers_of
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import (
    IF,
    LIF,
    CubaLIF,
    Dynamics,
    FloatDynamics,
    IntegerDynamics,
    Kind,
    ResetMode,
    ResetPlace,
)
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.lowering.quantise import dequantise, quantise
from spikeloom.compiler.neurons.reachable import accumulator_bits, reachable_membranes
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference


def with_floor(network: Network, *floors: Any) -> Network:
    """An integer network whose populations have these floors (None: none)."""
    pairs = zip(network.populations, floors, strict=True)
    return replace(
        network, populations=tuple(replace(p, dynamics=replace(p.dynamics, v_min=floor)) for p, floor in pairs)
    )


def floored_chain(place: ResetPlace, mode: ResetMode, **changes: object) -> Network:
    """Two populations, each neuron with a floor that its inputs reach, the first without bits of its own (0)."""
    rng = np.random.default_rng(3)
    network = chain(5, (9, 7, 5), reset_place=place, reset_mode=mode, fire=np.array(11), **changes)
    return with_floor(network, np.zeros((), np.int64), rng.integers(-14, -3, 5))


def assert_hardware_agrees(network: Network, folding: Folding) -> None:
    spikes = random_spikes(3, network, samples=2, steps=6, rate=0.5)
    expected = run_reference(network, spikes, membranes=True).populations
    got = run_amaranth(make_plan(network, folding=folding), spikes, membranes=True, stress=3).populations
    assert any((p.membranes == p_of(network, name).v_min).any() for name, p in expected.items())
    for name, population in expected.items():
        np.testing.assert_array_equal(got[name].spikes, population.spikes)
        np.testing.assert_array_equal(got[name].membranes, population.membranes)


def p_of(network: Network, name: str) -> IntegerDynamics:
    dynamics = network.population(name).dynamics
    assert isinstance(dynamics, IntegerDynamics)
    return dynamics


@pytest.mark.parametrize(("place", "mode"), RESETS)
@pytest.mark.parametrize("fold_with", [shared_folding, pipelined_folding])
def test_hardware_ends_the_step_on_the_floor(place: ResetPlace, mode: ResetMode, fold_with: Any) -> None:
    network = floored_chain(place, mode)
    assert_hardware_agrees(network, fold_with(network))


@pytest.mark.parametrize("way", [{"lanes": 2, "queue": 4}, {"kind": EngineKind.VECTOR, "lanes": 0}])
def test_lanes_and_vectors_have_it_too(way: dict[str, Any]) -> None:
    network = floored_chain(ResetPlace.NEXT, ResetMode.SUBTRACT)
    engines = (engine_folding(populations=(p.name,), **way) for p in network.populations)
    assert_hardware_agrees(network, Folding(engines=tuple(engines)))


def test_only_a_population_with_a_floor_pays_for_it() -> None:
    network = chain(5, (9, 7, 5))
    folding = shared_folding(network)
    (form,) = {e.form.neurons for e in make_plan(network, folding=folding).engines}
    assert [name for name, _ in form.parameter_fields] == ["fire", "sub_delta", "v_reset", "bias", "c"]
    (form,) = {e.form.neurons for e in make_plan(with_floor(network, None, -9), folding=folding).engines}
    assert [p.rule.has_floor for p in form.populations] == [False, True]
    assert form.parameter_fields[-1] == ("v_min", 5)


def one_neuron(dynamics: Dynamics, weight: Any) -> Network:
    codes = Quantised(codes=[[weight]], bits=8) if isinstance(dynamics, IntegerDynamics) else [[weight]]
    return Network(
        input_shape=(1,),
        populations=(Population(name="p", shape=(1,), dynamics=dynamics),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=codes)),),
        output="p",
        dtype="float64",
    )


def test_the_float_executor_stops_at_the_floor() -> None:
    spikes = np.ones((1, 4, 1), np.uint8)
    for dynamics, expected in (
        (IF(threshold=1.0, v_min=-0.6), [-0.25, -0.5, -0.6, -0.6]),
        (LIF(beta=0.5, threshold=1.0, v_min=-0.4), [-0.25, -0.375, -0.4, -0.4]),
        (CubaLIF(alpha=0.5, beta=1.0, threshold=1.0, v_min=-1.0), [-0.25, -0.625, -1.0, -1.0]),
    ):
        found = run_float(one_neuron(dynamics, -0.25), spikes, membranes=True).populations["p"].membranes
        assert found is not None
        assert found.flatten().tolist() == expected


def test_a_floor_does_not_change_the_spike_of_its_step() -> None:
    """V is below fire until the floor, above the threshold, lifts it: that step has no spike."""
    dynamics = IntegerDynamics(kind=Kind.IF, fire=-5, sub=0, v_min=-3, reset_place=ResetPlace.SAME)
    found = run_reference(one_neuron(dynamics, -9), np.array([[[1], [0], [1]]], np.uint8), membranes=True)
    assert found.populations["p"].spikes.flatten().tolist() == [0, 1, 0]
    assert found.populations["p"].membranes is not None
    assert found.populations["p"].membranes.flatten().tolist() == [-3, -3, -3]


def float_network(dynamics: FloatDynamics) -> Network:
    """Two populations whose inputs inhibit as much as they excite."""
    return float_chain(dynamics, (0, 0.5), (0, 0.8))


FLOATS = [
    IF(threshold=1.0, v_min=-1.0),
    LIF(beta=0.8, threshold=1.0, v_min=-0.5, reset_place=ResetPlace.NEXT),
    LIF(beta=0.8, threshold=1.0, v_init=0.25, v_leak=0.25, v_min=-0.25, reset_mode=ResetMode.VALUE),
    LIF(beta=0.9, threshold=1.0, v_min=-0.5, reset_place=ResetPlace.SNNTORCH_SAME),
    CubaLIF(alpha=0.6, beta=0.8, threshold=1.0, v_min=-0.5),
]


@pytest.mark.parametrize("dynamics", FLOATS, ids=range(len(FLOATS)))
def test_every_step_of_the_compiler_has_the_float_executors_spikes(dynamics: FloatDynamics) -> None:
    network, samples = float_network(dynamics), random_samples()
    expected = run_float(network, samples).populations
    bare = replace(network, populations=tuple(replace(p, dynamics=without(p.dynamics)) for p in network.populations))
    assert not np.array_equal(run_float(bare, samples).populations["b"].spikes, expected["b"].spikes)
    check_every_step(network, samples, expected)


def without(dynamics: Any) -> Any:
    return replace(dynamics, v_min=None)


def test_no_gradient_passes_a_step_that_ends_on_the_floor() -> None:
    torch = pytest.importorskip("torch")
    (layer,) = layers_of(one_neuron(LIF(beta=0.5, threshold=1.0, v_min=-0.1), 1.0), dtype=torch.float64)
    current = torch.tensor([0.3, -0.9, 0.2], dtype=torch.float64).reshape(3, 1, 1).requires_grad_()
    from spikeloom.compiler.compression.simulation import respond

    respond(layer, current, surrogate=True).membranes.sum().backward()
    assert current.grad is not None
    assert current.grad.flatten().tolist() == [1.5, 1.0, 1.0]


@pytest.mark.parametrize("dynamics", FLOATS, ids=range(len(FLOATS)))
def test_quantised_at_many_bits_the_reference_has_the_same_spikes(dynamics: FloatDynamics) -> None:
    network, samples = float_network(dynamics), random_samples()
    integer = quantise(network, 16, samples)
    want = run_float(network, samples).populations
    got = run_reference(integer, samples).populations
    for name in want:
        assert np.count_nonzero(want[name].spikes != got[name].spikes) <= 0.02 * np.count_nonzero(want[name].spikes)
    back = dequantise(integer)
    for population, original in zip(back.populations, integer.populations, strict=True):
        unit = original.dynamics.scale / (1 << original.dynamics.fraction_bits)
        v_min = population.dynamics.v_min
        np.testing.assert_allclose(
            v_min, np.broadcast_to(dynamics.v_min - dynamics.v_init, v_min.shape), atol=unit.max()
        )


def test_without_a_leak_the_floor_bounds_the_membrane() -> None:
    dynamics = IntegerDynamics(kind=Kind.IF, fire=10, sub=10, v_min=-8, state_bits=16)
    network = one_neuron(dynamics, -7)
    (population,) = network.populations
    assert reachable_membranes(network, population) == (-8, 0)
    assert accumulator_bits(network, population) == 5  # -8 - 7
    bare = with_floor(network, None)
    assert reachable_membranes(bare, bare.populations[0]) is None


def test_a_floor_that_no_membrane_reaches_goes() -> None:
    network = float_network(LIF(beta=0.5, threshold=1.0, v_min=np.array(-1e30)))
    kept, bare = quantise(network, 4), quantise(float_network(LIF(beta=0.5, threshold=1.0)), 4)
    for one, other in zip(kept.populations, bare.populations, strict=True):
        assert isinstance(one.dynamics, IntegerDynamics) and one.dynamics.v_min is None
        assert isinstance(other.dynamics, IntegerDynamics)
        assert one.dynamics.state_bits == other.dynamics.state_bits


def test_a_floor_is_not_above_the_start() -> None:
    with pytest.raises(
        ModelError,
        match=r"^v_min, the floor of the membrane, is not above the membrane that a sample starts from: population 'p' "
        r"has 0\.5; lower it$",
    ):
        verify(one_neuron(LIF(beta=0.5, threshold=1.0, v_min=0.5), 1.0))
    verify(one_neuron(LIF(beta=0.5, threshold=1.0, v_init=0.5, v_min=0.5), 1.0))
    with pytest.raises(ModelError, match=r"population 'p' has 1; lower it$"):
        verify(one_neuron(IntegerDynamics(kind=Kind.IF, fire=9, sub=9, v_min=1), 1))
    with pytest.raises(ModelError, match=r"^fire, sub, v_reset, bias and v_min fit .* 8 bits \(-128 to 127\): v_min"):
        verify(one_neuron(IntegerDynamics(kind=Kind.IF, fire=9, sub=9, v_min=-129, state_bits=8), 1))
    with pytest.raises(ModelError, match=r"belongs to neurons that fire: population 'p' is LI; leave it out$"):
        decay = replace(p_of(chain(1, (1, 1)), "p0")).decay
        verify(one_neuron(IntegerDynamics(kind=Kind.LI, fire=0, sub=0, v_min=-1, decay=decay), 1))
    with pytest.raises(ModelError, match="one entry per neuron"):
        verify(one_neuron(IF(threshold=1.0, v_min=[-1.0, -2.0]), 1.0))


def test_files_keep_the_floor(tmp_path: Path) -> None:
    for number, network in enumerate((float_network(FLOATS[2]), floored_chain(*RESETS[0]))):
        path = tmp_path / f"{number}.nir"
        write_nir(network, path)
        for before, after in zip(network.populations, read_nir(path).populations, strict=True):
            assert after.dynamics.v_min.dtype == before.dynamics.v_min.dtype  # type: ignore[union-attr]
            np.testing.assert_array_equal(after.dynamics.v_min, before.dynamics.v_min)  # type: ignore[union-attr]


def test_a_file_of_another_tool_gets_a_floor_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sinabs.nir"
    import nir

    weight = np.ones((2, 3), np.float32)
    neurons = nir.IF(r=np.ones(2, np.float32), v_threshold=np.array([1, 2], np.float32), v_reset=np.zeros(2))
    nodes = {"0": nir.Linear(weight=weight), "1": neurons}
    nodes |= {"input": nir.Input({"input": np.array([3])}), "output": nir.Output({"output": np.array([2])})}
    nir.write(path, nir.NIRGraph(nodes, [("input", "0"), ("0", "1"), ("1", "output")]))

    def floor(v_min: float | str | None) -> Any:
        dynamics = read_nir(path, dialect="sinabs", v_min=v_min).populations[0].dynamics
        assert isinstance(dynamics, IF)
        return dynamics.v_min

    np.testing.assert_array_equal(floor(None), [-1, -2])  # as Sinabs' own reader has it
    assert floor("none") is None
    np.testing.assert_array_equal(floor("threshold"), [-1, -2])
    np.testing.assert_array_equal(floor(-0.5), -0.5)
    with pytest.raises(OptionError, match=r"^v_min, the floor of the membrane, is a number, 'threshold' "):
        floor("lower")
    once = ["estimate", str(path), "--dialect", "sinabs", "--max-spikes", "1"]
    assert main([*once, "--v-min", "0.5"]) == 2
    assert "is not above the membrane that a sample starts from" in capsys.readouterr().err
    assert main([*once, "--v-min", "threshold"]) == main([*once, "--v-min", "none"]) == 0


def test_options_set_the_floor_of_our_own_files_too(tmp_path: Path) -> None:
    path = tmp_path / "own.nir"
    write_nir(float_network(LIF(beta=0.5, threshold=1.0)), path)
    for population in read_nir(path, v_min="threshold").populations:
        assert isinstance(population.dynamics, LIF)
        assert population.dynamics.v_min == -1.0
    write_nir(floored_chain(*RESETS[0]), path)
    with pytest.raises(OptionError, match=r"^an integer network's neurons are fixed: got v_min; change the float"):
        read_nir(path, v_min=-1.0)

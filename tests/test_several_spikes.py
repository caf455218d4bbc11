"""Several spikes of a neuron in a step: every executor, every step of the compiler, proofs, files, messages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_networks import check_every_step, float_chain, random_samples
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.compression.simulation import layers_of, respond
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.bounds import drive_bounds, partial_sum_bound
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import (
    IF,
    LIF,
    CubaLIF,
    Decay,
    Dynamics,
    Fire,
    FloatDynamics,
    IntegerDynamics,
    Kind,
    ResetMode,
    ResetPlace,
)
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.lowering.quantise import dequantise, quantise
from spikeloom.compiler.neurons.contract import contract_form
from spikeloom.compiler.neurons.reachable import may_fire, most_spikes, reachable_membranes
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.sim import simulate
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

EXPORTS = Path(__file__).parent / "exports"


def one_neuron(dynamics: Dynamics, weight: Any = 1, x_max: int = 255) -> Network:
    codes = Quantised(codes=[[weight]], bits=8) if isinstance(dynamics, IntegerDynamics) else [[weight]]
    return Network(
        input_shape=(1,),
        populations=(Population(name="p", shape=(1,), dynamics=dynamics),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=codes)),),
        output="p",
        x_max=x_max,
        dtype="float64",
    )


def integer(**changes: Any) -> IntegerDynamics:
    """An IF that fires above 9 and loses 10 each time, three times in a step at most."""
    given: dict[str, Any] = {"kind": Kind.IF, "fire": 9, "sub": 10, "max_spikes": 3}
    return IntegerDynamics(**given | changes)


def told(recording: Any) -> tuple[list[int], list[float]]:
    """Spikes and membranes of the only neuron."""
    found = recording.populations["p"]
    return found.spikes.flatten().tolist(), found.membranes.flatten().tolist()


def test_by_hand() -> None:
    """25 leaves 5; 5 + 4 = 9; 9 + 1 leaves 0; 45 leaves 15, three at most; 15 + 3 leaves 8."""
    spikes = np.array([[[25], [4], [1], [45], [3]]], np.uint8)
    expected = ([2, 0, 1, 3, 1], [5, 9, 0, 15, 8])
    assert told(run_reference(one_neuron(integer()), spikes, membranes=True)) == expected
    real = IF(threshold=10.0, fire=Fire.GE, max_spikes=3)
    assert told(run_float(one_neuron(real, 1.0), spikes, membranes=True)) == expected
    recorded = simulate(one_neuron(integer()), spikes)
    assert recorded.spikes.dtype == np.uint8 and recorded.scores.tolist() == [[7]]


def test_with_a_strict_comparison_a_membrane_at_the_threshold_stays() -> None:
    spikes = np.array([[[20], [1]]], np.uint8)
    real = IF(threshold=10.0, max_spikes=5)
    expected = told(run_reference(one_neuron(integer(fire=10, sub=10, max_spikes=5)), spikes, membranes=True))
    assert expected == ([1, 1], [10, 1])
    assert told(run_float(one_neuron(real, 1.0), spikes, membranes=True)) == expected


def test_a_floor_comes_after_them() -> None:
    dynamics = integer(fire=1, sub=9, v_min=-3, max_spikes=2)  # 8 - 9; 11 - 18, raised; 2 - 9, raised; 9 - 9
    for inputs, expected in (([8, 12], ([1, 2], [-1, -3])), ([2, 12], ([1, 1], [-3, 0]))):
        spikes = np.array(inputs, np.uint8).reshape(1, 2, 1)
        assert told(run_reference(one_neuron(dynamics), spikes, membranes=True)) == expected


def test_sinabs_neurons() -> None:
    """As Sinabs 3.1.3 computes it: MultiSpike is trunc(v / threshold), MembraneSubtract takes as many thresholds,
    min_v_mem comes last. Its IAF of a NIR file has min_v_mem = -threshold."""
    rng = np.random.default_rng(5)
    weight = rng.normal(0.3, 1.0, (6, 4)).astype(np.float32)
    threshold = np.array([0.5, 0.75, 1.0, 1.5], np.float32)
    x = rng.integers(0, 3, (20, 12, 6)).astype(np.uint8)
    neurons = IF(threshold=threshold, v_min=-threshold, fire=Fire.GE, max_spikes=255)
    network = Network(
        input_shape=(6,),
        populations=(Population(name="p", shape=(4,), dynamics=neurons),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=weight)),),
        output="p",
        x_max=2,
    )
    v = np.zeros((20, 4), np.float32)
    expected = np.zeros((20, 12, 4), np.int64)
    for step in range(12):
        v = v + (x[:, step].astype(np.float64) @ weight.astype(np.float64)).astype(np.float32)
        count = (v > 0) * np.trunc(v / threshold)
        v = v - count * threshold
        v = np.maximum(v + threshold, np.float32(0)) - threshold
        expected[:, step] = count
    assert expected.max() > 4
    np.testing.assert_array_equal(run_float(network, x).spikes, expected)


# ------------------------------------------------------------------------------------------ the compiler's own step

FLOATS: list[IF | LIF | CubaLIF] = [
    IF(threshold=1.0, v_min=-1.0, fire=Fire.GE, max_spikes=255),
    LIF(beta=0.8, threshold=0.7, max_spikes=3),
    CubaLIF(alpha=0.6, beta=0.8, threshold=1.5, max_spikes=15),
]


def float_network(dynamics: FloatDynamics) -> Network:
    """Two populations of which some fire several times."""
    return float_chain(dynamics, (0.15, 0.5), (0.1, 0.6))


@pytest.mark.parametrize("dynamics", FLOATS, ids=range(len(FLOATS)))
def test_every_step_of_the_compiler_has_the_float_executors_spikes(dynamics: FloatDynamics) -> None:
    network, samples = float_network(dynamics), random_samples()
    expected = run_float(network, samples).populations
    assert max(p.spikes.max() for p in expected.values()) > 1
    check_every_step(network, samples, expected)


def test_gradients_are_steepest_at_the_nearest_of_the_thresholds() -> None:
    """Thresholds of a step are 1, 2 and 3 with three spikes at most: 2 and 2.5 are 0 and 0.5 away, 4 is 1 away."""
    torch = pytest.importorskip("torch")
    (layer,) = layers_of(one_neuron(LIF(beta=0.0, threshold=1.0, max_spikes=3), 1.0), dtype=torch.float64)
    current = torch.tensor([2.0, 2.5, 4.0, 0.0], dtype=torch.float64).reshape(4, 1, 1).requires_grad_()
    spikes = respond(layer, current, surrogate=True).spikes
    assert spikes is not None
    assert spikes.flatten().tolist() == [1, 2, 3, 0]
    spikes.sum().backward()
    assert current.grad is not None
    distances = np.array([0.0, 0.5, 1.0, 1.0])
    np.testing.assert_allclose(current.grad.flatten().numpy(), 1 / (1 + (distances * np.pi) ** 2))


@pytest.mark.parametrize("dynamics", FLOATS, ids=range(len(FLOATS)))
def test_quantised_at_many_bits_the_reference_has_the_same_spikes(dynamics: FloatDynamics) -> None:
    network, samples = float_network(dynamics), random_samples()
    lowered = quantise(network, 16, samples)
    want = run_float(network, samples).populations
    for again in (lowered, quantise(dequantise(lowered), 16, samples)):
        got = run_reference(again, samples).populations
        for name in want:
            different = np.count_nonzero(want[name].spikes != got[name].spikes)
            assert different <= 0.06 * np.count_nonzero(want[name].spikes)


# ------------------------------------------------------------------------------------------------------- proofs


def test_listeners_are_sized_for_the_counts() -> None:
    """Weights of 5 into a neuron that hears four spikes of one other, beside an input of up to 2."""
    second = Population(name="q", shape=(1,), dynamics=integer(max_spikes=None))
    network = one_neuron(integer(max_spikes=4), 60, x_max=2)
    codes = Dense(weights=Quantised(codes=[[5]], bits=8))
    network = replace(
        network,
        populations=(*network.populations, second),
        projections=(
            *network.projections,
            Projection(pre="p", post="q", connectivity=codes),
            Projection(pre=INPUT, post="q", connectivity=codes),
        ),
        output="q",
    )
    assert network.largest_value == 4
    assert partial_sum_bound(network, network.projections[1]) == 20
    assert drive_bounds(network, second) == (0, 30)
    recorded = run_reference(network, np.array([[[2]]], np.uint8), membranes=True).populations
    assert (recorded["p"].spikes.item(), recorded["q"].membranes.item()) == (4, 20)  # type: ignore[union-attr]


def test_calibration_counts_on_the_counts() -> None:
    """A neuron that one spike does not bring to its threshold, and three do."""
    network = one_neuron(IF(threshold=1.0, max_spikes=3), 1.0, x_max=1)
    listener = Population(name="q", shape=(1,), dynamics=LIF(beta=0.0, threshold=1.0))
    network = replace(
        network,
        populations=(*network.populations, listener),
        projections=(
            *network.projections,
            Projection(pre="p", post="q", connectivity=Dense(weights=[[0.4]])),
        ),
    )
    form = contract_form(network, listener)
    assert may_fire(form, network.largest_value).all() and not may_fire(form, network.x_max).any()


def test_counts_that_no_step_reaches_go() -> None:
    """60 at most with a leak of a half: u comes to 69, at most six times 10 above 9."""
    leak = Decay(c=1, k=1)
    network = one_neuron(integer(kind=Kind.LIF, decay=leak, max_spikes=255), 60, x_max=1)
    (population,) = network.populations
    assert reachable_membranes(network, population) == (0, 9)
    assert most_spikes(network, population) == 6
    found = run_reference(network, np.ones((1, 9, 1), np.uint8)).spikes
    assert found.max() == 6
    lowered = quantise(float_network(IF(threshold=1.0, v_min=-1.0, max_spikes=255)), 6, random_samples())
    assert [1 < p.max_spikes < 255 for p in lowered.populations] == [True, True]
    calm = quantise(float_network(LIF(beta=0.5, threshold=50.0, max_spikes=255)), 6)
    assert [p.dynamics.max_spikes for p in calm.populations] == [None, None]  # type: ignore[union-attr]


def test_where_nothing_is_subtracted_a_neuron_fires_as_often_as_it_may() -> None:
    network = one_neuron(integer(sub=0), 1)
    assert told(run_reference(network, np.array([[[10]]], np.uint8), membranes=True)) == ([3], [10])
    assert most_spikes(network, network.populations[0]) == 3


# ---------------------------------------------------------------------------------------------- files and messages


def test_files_keep_it(tmp_path: Path) -> None:
    network = float_network(FLOATS[1])
    for number, one in enumerate((network, quantise(network, 6, random_samples()))):
        path = tmp_path / f"{number}.nir"
        write_nir(one, path)
        assert [p.max_spikes for p in read_nir(path).populations] == [p.max_spikes for p in one.populations]


def test_nodes_of_a_file_say_what_nir_does_not(tmp_path: Path) -> None:
    """Another tool that takes the node for all of the neuron can see that it is not."""
    import nir

    path = tmp_path / "a.nir"
    write_nir(float_network(FLOATS[0]), path)
    metadata = nir.read(path).nodes["a"].metadata
    assert metadata["spikeloom"] == "NIR's equation lacks v_min, max_spikes"
    assert (metadata["v_min"], metadata["max_spikes"]) == (-1.0, 255)
    write_nir(float_network(IF(threshold=1.0)), path)
    assert not nir.read(path).nodes["a"].metadata


def test_options_set_it_for_files_of_other_tools_and_our_own(tmp_path: Path) -> None:
    path = EXPORTS / "sinabs_if.nir"
    assert [p.max_spikes for p in read_nir(path, dialect="sinabs").populations] == [255, 255]
    assert [p.max_spikes for p in read_nir(path, dialect="sinabs", max_spikes=7).populations] == [7, 7]
    assert read_nir(path, dialect="norse").populations[0].max_spikes == 1
    own = tmp_path / "own.nir"
    write_nir(float_network(IF(threshold=1.0)), own)
    assert [p.max_spikes for p in read_nir(own, max_spikes=3).populations] == [3, 3]
    write_nir(float_network(FLOATS[1]), own)
    for population in read_nir(own, max_spikes=1).populations:
        assert population.dynamics.max_spikes is None  # type: ignore[union-attr]
    with pytest.raises(
        OptionError, match=r"^max_spikes, the spikes of a neuron in a step, is a whole number from 1 to"
    ):
        read_nir(own, max_spikes=0)
    with pytest.raises(ModelError, match="subtract in the same step: population '1' has max_spikes 255, reset value"):
        read_nir(path, dialect="sinabs", reset="zero")
    write_nir(quantise(float_network(FLOATS[1]), 6, random_samples()), own)
    with pytest.raises(OptionError, match="an integer network's neurons are fixed: got max_spikes"):
        read_nir(own, max_spikes=1)


def test_the_command_line_takes_them_to_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    estimate = ["estimate", str(EXPORTS / "sinabs_if.nir"), "--dialect", "sinabs", "--json"]
    guessed = []
    for options in ([], ["--max-spikes", "1"]):
        assert main([*estimate, *options]) == 0
        guessed.append(json.loads(capsys.readouterr().out)["guessed_parts"])
    assert guessed == [["repeats"], []]


SUBTRACT = "subtract in the same step: population 'p' has max_spikes 2"
BROKEN: dict[str, tuple[Dynamics, str]] = {
    "none": (IF(threshold=1.0, max_spikes=0), r"in a step, is 1 to 255: population 'p' has 0"),
    "too many": (integer(max_spikes=256), "population 'p' has 256"),
    "half": (IF(threshold=1.0, max_spikes=1.5), "population 'p' has 1.5"),  # type: ignore[arg-type]
    "a later reset": (IF(threshold=1.0, max_spikes=2, reset_place=ResetPlace.NEXT), f"{SUBTRACT}, .* next; use"),
    "a value": (IF(threshold=1.0, max_spikes=2, reset_mode=ResetMode.VALUE), f"{SUBTRACT}, reset value"),
    "no reset": (LIF(beta=0.5, threshold=1.0, max_spikes=2, reset_mode=ResetMode.NONE), SUBTRACT),
    "integers, a later reset": (integer(max_spikes=2, reset_place=ResetPlace.SNNTORCH_SAME), SUBTRACT),
    "thresholds of 0": (IF(threshold=0.0, max_spikes=2), "thresholds above 0: population 'p' has max_spikes 2 and 0;"),
    "LI": (
        IntegerDynamics(kind=Kind.LI, fire=0, sub=0, max_spikes=2, decay=Decay(c=1, k=1)),
        "belongs to neurons that fire: population 'p' is LI; leave it out",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rules_are_named(name: str) -> None:
    dynamics, message = BROKEN[name]
    with pytest.raises(ModelError, match=message):
        verify(one_neuron(dynamics))

"""Thresholds that adapt (ALIF): executors, every step of the compiler, proofs, quantisation, files, messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_networks import check_every_step, float_chain, random_samples
from spikeloom.compiler.compression.simulation import layers_of, respond
from spikeloom.compiler.flow.narrow import Narrow
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import (
    IF,
    LIF,
    Arithmetic,
    Decay,
    Dynamics,
    Fire,
    IntegerDynamics,
    Kind,
    ResetMode,
    ResetPlace,
)
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.lowering.quantise import dequantise, quantise
from spikeloom.compiler.neurons.reachable import accumulator_bits, proofs_of, reachable_membranes, silent_neurons
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

HALF = Decay(c=1, k=1)
NONE = Decay(c=0, k=0)


def one_neuron(dynamics: Dynamics, weight: Any = 1) -> Network:
    codes = Quantised(codes=[[weight]], bits=8) if isinstance(dynamics, IntegerDynamics) else [[weight]]
    return Network(
        input_shape=(1,),
        populations=(Population(name="p", shape=(1,), dynamics=dynamics),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=codes)),),
        output="p",
        x_max=255,
        dtype="float64",
    )


def integer(**changes: Any) -> IntegerDynamics:
    """A LIF without leak whose threshold of 9 rises by 8 with each spike, and falls by half in a step."""
    given: dict[str, Any] = {"fire": 9, "sub": 10, "jump": 8, "decay": NONE, "decay_a": HALF}
    return IntegerDynamics(kind=Kind.LIF, **given | changes)


def told(recording: Any) -> tuple[list[int], list[float]]:
    """Spikes and membranes of the only neuron."""
    found = recording.populations["p"]
    return found.spikes.flatten().tolist(), found.membranes.flatten().tolist()


BY_HAND = {
    # a 0, 8, 4, 10: 12 > 9 leaves 2; 14 < 17; 26 > 13 leaves 26 - (10 + 4); 24 > 19 leaves 24 - (10 + 10)
    ResetPlace.SAME: ([1, 0, 1, 1], [2, 14, 12, 4]),
    # a 0, 8, 4, 10: 12 > 9; 24 - (10 + 8) = 6 < 17; 18 > 13; 30 - (10 + 10) = 10 < 19
    ResetPlace.NEXT: ([1, 0, 1, 0], [12, 6, 18, 10]),
}


@pytest.mark.parametrize("place", BY_HAND)
def test_by_hand(place: ResetPlace) -> None:
    """An input of 12 in each of four steps."""
    spikes = np.full((1, 4, 1), 12, np.uint8)
    assert told(run_reference(one_neuron(integer(reset_place=place)), spikes, membranes=True)) == BY_HAND[place]
    # the real neuron subtracts what it compares with
    expected = told(run_reference(one_neuron(integer(reset_place=place, sub=9)), spikes, membranes=True))
    real = LIF(beta=1.0, threshold=9.0, rho=0.5, jump=8.0, reset_place=place)
    assert told(run_float(one_neuron(real, 1.0), spikes, membranes=True)) == expected


def test_every_sample_starts_without_adaptation() -> None:
    network = one_neuron(integer(decay=Decay(c=1, k=0)))
    spikes = np.full((3, 1, 1), 12, np.uint8)
    assert run_reference(network, spikes).spikes.flatten().tolist() == [1, 1, 1]
    assert run_reference(network, spikes.reshape(1, 3, 1)).spikes.flatten().tolist() == [1, 0, 0]


def test_the_adaptation_saturates() -> None:
    """At 6 bits a is 31 at most, where without an end it would come to 40."""
    network = one_neuron(integer(fire=-20, sub=-20, jump=20, decay=Decay(c=1, k=0), decay_a=NONE, state_bits=6), 0)
    found = run_reference(network, np.zeros((1, 5, 1), np.uint8), membranes=True)
    # 0 > -20, then 0 = -20 + 20
    assert told(found)[0] == [1, 0, 0, 0, 0]
    rising = one_neuron(integer(jump=20, decay=Decay(c=1, k=0), decay_a=NONE, state_bits=6), 50)
    spikes = np.ones((1, 3, 1), np.uint8)
    # fires at 50 > 9, 50 > 29, 50 > 9 + 31: what is left is 50 - (10 + a)
    assert told(run_reference(rising, spikes, membranes=True)) == ([1, 1, 1], [31, 20, 9])


# ------------------------------------------------------------------------------------------ the compiler's own step

FLOATS = [
    LIF(beta=0.8, threshold=1.0, rho=0.9, jump=0.2),
    LIF(beta=0.8, threshold=1.0, rho=0.9, jump=0.2, reset_place=ResetPlace.NEXT, fire=Fire.GE),
    LIF(beta=0.9, threshold=1.0, rho=0.95, jump=0.5, reset_mode=ResetMode.VALUE),
    LIF(beta=0.9, threshold=1.0, rho=0.7, jump=0.5, reset_mode=ResetMode.VALUE, reset_place=ResetPlace.NEXT),
    LIF(beta=0.8, threshold=1.2, rho=0.9, jump=-0.1, v_init=0.2, v_leak=0.2, v_min=-1.0, reset_mode=ResetMode.VALUE),
    LIF(beta=0.5, threshold=0.4, rho=0.9, jump=0.1, arithmetic=Arithmetic.EULER),
]


def float_network(dynamics: LIF) -> Network:
    """Two populations, busy enough to adapt."""
    return float_chain(dynamics, (0.15, 0.5), (0.3, 0.8))


@pytest.mark.parametrize("dynamics", FLOATS, ids=range(len(FLOATS)))
def test_every_step_of_the_compiler_has_the_float_executors_spikes(dynamics: LIF) -> None:
    network, samples = float_network(dynamics), random_samples()
    expected = run_float(network, samples).populations
    fixed = replace(dynamics, rho=None, jump=None)
    bare = replace(network, populations=tuple(replace(p, dynamics=fixed) for p in network.populations))
    assert not np.array_equal(run_float(bare, samples).populations["b"].spikes, expected["b"].spikes)
    check_every_step(network, samples, expected)


def test_gradients_are_steepest_where_the_threshold_stands_in_that_step() -> None:
    """u is 1.5 in both steps; after the first spike the threshold is there too, and was 0.5 below."""
    torch = pytest.importorskip("torch")
    dynamics = LIF(beta=0.0, threshold=1.0, rho=1.0, jump=0.5)
    (layer,) = layers_of(one_neuron(dynamics, 1.0), dtype=torch.float64)
    current = torch.full((2, 1, 1), 1.5, dtype=torch.float64, requires_grad=True)
    spikes = respond(layer, current, surrogate=True).spikes
    assert spikes is not None
    assert spikes.flatten().tolist() == [1, 0]
    spikes.sum().backward()
    assert current.grad is not None
    first, second = current.grad.flatten().tolist()
    assert second == 1.0 and first == pytest.approx(1 / (1 + (0.5 * np.pi) ** 2))


@pytest.mark.parametrize("dynamics", FLOATS, ids=range(len(FLOATS)))
def test_quantised_at_many_bits_the_reference_has_the_same_spikes(dynamics: LIF) -> None:
    network, samples = float_network(dynamics), random_samples()
    lowered = quantise(network, 16, samples)
    want, got = (run(n, samples).populations for run, n in ((run_float, network), (run_reference, lowered)))
    for name in want:
        assert np.count_nonzero(want[name].spikes != got[name].spikes) <= 0.05 * np.count_nonzero(want[name].spikes)
    back = dequantise(lowered)
    for population, original in zip(back.populations, lowered.populations, strict=True):
        real, exact = population.dynamics, original.dynamics
        assert isinstance(real, LIF) and isinstance(exact, IntegerDynamics) and dynamics.rho is not None
        unit = exact.scale / (1 << exact.fraction_bits)
        np.testing.assert_allclose(real.jump, np.full(original.size, dynamics.jump), atol=unit.max())
        np.testing.assert_allclose(1 - real.rho, 1 - dynamics.rho, rtol=1 / 8)  # type: ignore[operator]
    again = run_reference(quantise(back, 16, samples), samples).populations
    for name in want:
        assert np.count_nonzero(want[name].spikes != again[name].spikes) <= 0.05 * np.count_nonzero(want[name].spikes)


def test_quantised_without_samples_the_states_have_room() -> None:
    lowered = quantise(float_network(FLOATS[0]), 6)
    for population in lowered.populations:
        dynamics = population.dynamics
        assert isinstance(dynamics, IntegerDynamics) and dynamics.jump is not None and dynamics.decay_a is not None
        assert proofs_of(lowered, population).membranes(dynamics.state_bits) is not None
        adaptation = proofs_of(lowered, population).adaptation(dynamics.state_bits)
        assert adaptation is not None and np.all(adaptation.high >= dynamics.jump)


def test_a_coarser_unit_takes_the_jump_with_it() -> None:
    network, samples = float_network(FLOATS[0]), random_samples()
    lowered = quantise(network, 8, samples)

    def price(candidate: Network) -> int:
        dynamics = candidate.populations[0].dynamics
        assert isinstance(dynamics, IntegerDynamics)
        return dynamics.state_bits

    lenient = Narrow(source=network, spikes=samples[:2, :3], price=price)
    narrower = lenient(lowered)
    before, after = (n.populations[0].dynamics for n in (lowered, narrower))
    assert isinstance(before, IntegerDynamics) and isinstance(after, IntegerDynamics)
    less = before.fraction_bits - after.fraction_bits
    assert less > 0 and before.jump is not None and after.jump is not None
    np.testing.assert_allclose(after.jump, before.jump / (1 << less), atol=0.5)


# ------------------------------------------------------------------------------------------------------- proofs


def test_reach_and_accumulator_hold_the_adaptation() -> None:
    """a comes to 8 + 4 + 2 + ... = 15 with this rounding; V of at most 12 loses 10 + 15."""
    dynamics = integer(decay=Decay(c=1, k=0), reset_place=ResetPlace.NEXT)
    network = replace(one_neuron(dynamics, 12), x_max=1)
    (population,) = network.populations
    adaptation = proofs_of(network, population).adaptation(16)
    assert adaptation is not None
    assert (adaptation.low.tolist(), adaptation.high.tolist()) == ([0], [15])
    assert reachable_membranes(network, population) == (-25, 15)
    assert accumulator_bits(network, population) == 6
    assert not silent_neurons(network, population).any()
    endless = one_neuron(integer(decay_a=NONE), 12)
    assert reachable_membranes(endless, endless.populations[0]) is None


def test_an_accumulator_has_room_where_the_adaptation_may_saturate() -> None:
    """At 4 bits a is 7 at most: from V = 7 a late reset takes 3 + 7."""
    dynamics = integer(fire=2, sub=3, jump=5, decay_a=NONE, state_bits=4, reset_place=ResetPlace.NEXT)
    network = replace(one_neuron(dynamics, 7), x_max=1)
    assert accumulator_bits(network, network.populations[0]) == 6  # -8 - (3 - 8) to -8 - (3 + 7)


# ---------------------------------------------------------------------------------------------- files and messages


def test_files_keep_it(tmp_path: Path) -> None:
    network = float_network(FLOATS[3])
    for number, one in enumerate((network, quantise(network, 6, random_samples()))):
        path = tmp_path / f"{number}.nir"
        write_nir(one, path)
        for before, after in zip(one.populations, read_nir(path).populations, strict=True):
            for name in ("rho", "jump") if number == 0 else ("jump",):
                np.testing.assert_array_equal(getattr(after.dynamics, name), getattr(before.dynamics, name))
            if number:
                assert isinstance(after.dynamics, IntegerDynamics) and after.dynamics.decay_a is not None
                assert isinstance(before.dynamics, IntegerDynamics) and before.dynamics.decay_a is not None
                assert after.dynamics.decay_a.c == before.dynamics.decay_a.c


def test_nodes_of_a_file_say_what_nir_does_not(tmp_path: Path) -> None:
    import nir

    path = tmp_path / "a.nir"
    write_nir(float_network(FLOATS[0]), path)
    metadata = nir.read(path).nodes["a"].metadata
    assert metadata["spikeloom"] == "NIR's equation lacks rho, jump"
    assert (metadata["rho"], metadata["jump"]) == (0.9, 0.2)


BROKEN: dict[str, tuple[Dynamics, str]] = {
    "without jump": (LIF(beta=0.5, threshold=1.0, rho=0.5), "has rho and jump: population 'p' has only rho; give both"),
    "without share": (LIF(beta=0.5, threshold=1.0, jump=0.5), "population 'p' has only jump"),
    "share above 1": (LIF(beta=0.5, threshold=1.0, rho=1.5, jump=1.0), "rho is the share .* 'p' has 1.5"),
    "NaN": (LIF(beta=0.5, threshold=1.0, rho=0.5, jump=np.nan), "jump of population 'p' holds NaN"),
    "another shape": (LIF(beta=0.5, threshold=1.0, rho=[0.5, 0.5], jump=1.0), "rho of population 'p' has shape"),
    "no reset": (LIF(beta=0.5, threshold=1.0, rho=0.5, jump=1.0, reset_mode=ResetMode.NONE), "'p' has reset none"),
    "snnTorch's order": (
        LIF(beta=0.5, threshold=1.0, rho=0.5, jump=1.0, reset_place=ResetPlace.SNNTORCH_SAME),
        "'p' has reset subtract and reset place snntorch_same; use",
    ),
    "several spikes": (LIF(beta=0.5, threshold=1.0, rho=0.5, jump=1.0, max_spikes=2), "'p' has max_spikes 2; leave"),
    "integers without share": (integer(decay_a=None), "has decay_a and jump: population 'p' has only jump"),
    "integers without jump": (integer(jump=None), "population 'p' has only decay_a"),
    "of an IF": (
        replace(integer(), kind=Kind.IF, decay=None),
        "belongs to LIF neurons: population 'p' is IF and has decay_a and jump; leave it out",
    ),
    "jump too large": (integer(jump=128, state_bits=8), r"bias and jump fit .* jump of population 'p' has 128"),
    "c above 2^k": (integer(decay_a=Decay(c=3, k=1)), "decay_a of population 'p' has 3"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rules_are_named(name: str) -> None:
    dynamics, message = BROKEN[name]
    with pytest.raises(ModelError, match=message):
        verify(one_neuron(dynamics))


def test_an_if_has_no_such_fields() -> None:
    with pytest.raises(TypeError, match="rho"):
        IF(threshold=1.0, rho=0.5)  # type: ignore[call-arg]

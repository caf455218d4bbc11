"""Codes of recurrent populations are nudged until they keep the original's spikes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import chain, random_codes, random_spikes
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Projection
from spikeloom.compiler.ir.neurons import Decay, Drive, IntegerDynamics, Kind, ResetMode, ResetPlace
from spikeloom.sim import simulate
from spikeloom.sim.reference import run_reference

pytest.importorskip("torch")

from spikeloom.compiler.compression import nudge
from spikeloom.compiler.compression.nudge import nudged
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.frontends.nir.reader import read_nir

LEAK = Decay(c=1, k=2)
NEURONS: dict[str, dict[str, Any]] = {
    "LIF": {},
    "next": {"reset_place": ResetPlace.NEXT},
    "value": {"reset_mode": ResetMode.VALUE, "v_reset": -7, "reset_place": ResetPlace.SAME},
    "value, next": {"reset_mode": ResetMode.VALUE, "v_reset": 5, "reset_place": ResetPlace.NEXT},
    "IF": {"kind": Kind.IF, "decay": None},
    "CubaLIF": {"kind": Kind.CUBALIF, "decay_syn": Decay(c=1, k=1)},
    "CubaLIF, old drive": {"kind": Kind.CUBALIF, "decay_syn": Decay(c=1, k=1), "drive": Drive.OLD},
}


def _recurrent(seed: int, **changes: Any) -> Network:
    """6-8-5, both populations recurrent; membranes of many fraction bits, so that leaks hardly round."""
    common = {"decay": LEAK, "state_bits": 28, "fraction_bits": 10, "reset_place": ResetPlace.SAME, **changes}
    net = chain(seed, (6, 8, 5), **common)
    rng = np.random.default_rng(seed)
    populations = []
    for population in net.populations:
        dynamics = population.dynamics
        assert isinstance(dynamics, IntegerDynamics)
        grown = replace(dynamics, fire=dynamics.fire * 64, sub=dynamics.sub * 64, v_reset=dynamics.v_reset * 64)
        populations.append(replace(population, dynamics=grown, bias=population.bias * 64))
    projections = [replace(p, shift=10) for p in net.projections]
    for name, size, delay in (("p0", 8, 1), ("p1", 5, 2)):
        weights = Quantised(codes=random_codes(rng, size, size), bits=4)
        projections.append(Projection(pre=name, post=name, connectivity=Dense(weights=weights), delay=delay, shift=10))
    return replace(net, populations=tuple(populations), projections=tuple(projections))


def _trains(network: Network, spikes: np.ndarray) -> dict[str, np.ndarray]:
    trains = run_reference(network, spikes).trains(spikes)
    return {name: np.moveaxis(train, 0, 1) for name, train in trains.items()}


@pytest.mark.parametrize("case", NEURONS)
def test_responses_are_the_neurons_own_membranes(case: str) -> None:
    """Where neurons reset as they do, no membrane is on the wrong side of its threshold but by the leak's rounding."""
    network = _recurrent(1, **NEURONS[case])
    spikes = random_spikes(2, network, samples=3, steps=20)
    trains = _trains(network, spikes)
    for population in network.populations:
        into = network.projections_into(population.name)
        arriving = np.concatenate([nudge._arriving(p, trains, 3) for p in into], axis=2)
        codes = np.concatenate([p.connectivity.codes for p in into])
        fired = trains[population.name].astype(bool)
        assert 0.02 < fired.mean() < 0.9
        for neuron in range(population.size):
            response = nudge._Response.of(population.dynamics, neuron, arriving, fired[:, :, neuron])  # type: ignore[arg-type]
            u = response.rest + response.parts @ np.append(codes[:, neuron], population.bias[neuron])
            assert np.min(response.signs * (u - response.threshold)) > -40  # of a threshold of 1,280 at least


def test_a_network_is_brought_back_to_what_it_fired() -> None:
    network = _recurrent(3)
    spikes = random_spikes(4, network, samples=4, steps=30)
    trains = _trains(network, spikes)
    rng = np.random.default_rng(5)
    changed = []
    for projection in network.projections:
        codes = projection.connectivity.codes + rng.integers(-1, 2, projection.connectivity.shape)
        codes = np.clip(np.where(projection.connectivity.codes == 0, 0, codes), -7, 7)
        quantised = replace(projection.connectivity.quantised, codes=codes)
        changed.append(replace(projection, connectivity=projection.connectivity.with_codes(quantised)))
    spoilt = replace(network, projections=tuple(changed))
    better = nudged(spoilt, trains)

    def wrong(candidate: Network) -> int:
        recorded = _trains(candidate, spikes)
        return sum(int(np.count_nonzero(recorded[name] != trains[name])) for name in trains)

    assert wrong(better) < 0.3 * wrong(spoilt)
    for before, after in zip(spoilt.projections, better.projections, strict=True):
        assert np.array_equal(before.connectivity.codes == 0, after.connectivity.codes == 0), "no synapse comes or goes"
        assert np.abs(after.connectivity.codes).max() <= 7
    assert nudged(network, trains).populations[0].bias.shape == (8,)


def test_what_is_right_by_a_margin_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _recurrent(6, kind=Kind.IF, decay=None)
    trains = _trains(network, random_spikes(7, network))
    monkeypatch.setattr(nudge, "MARGIN", 0.0)
    same = nudged(network, trains)
    for before, after in zip(network.projections, same.projections, strict=True):
        assert np.array_equal(before.connectivity.codes, after.connectivity.codes)


def test_samples_may_be_shorter_than_a_delay() -> None:
    network = _recurrent(3)
    late = replace(network, projections=(*network.projections[:-1], replace(network.projections[-1], delay=9)))
    none = replace(network, projections=network.projections[:-1])
    trains = _trains(late, random_spikes(4, network, samples=2, steps=5))
    for found, want in zip(nudged(late, trains).projections, nudged(none, trains).projections, strict=False):
        if found.post == "p0":  # nothing of the late edge reaches it
            np.testing.assert_array_equal(found.connectivity.codes, want.connectivity.codes)


def test_others_are_left_alone() -> None:
    plain = chain(1, (6, 8, 5))
    trains = _trains(plain, random_spikes(2, plain))
    trains["p0"], trains["p1"] = 1 - trains["p0"], 1 - trains["p1"]
    for network in (plain, _recurrent(1, v_min=-2000)):
        for before, after in zip(network.projections, nudged(network, trains).projections, strict=True):
            assert before is after
    ternary = _recurrent(1)
    signs = tuple(
        replace(
            p,
            connectivity=Dense(weights=Quantised(codes=np.sign(p.connectivity.codes), bits=2, scheme="ternary")),
        )
        for p in ternary.projections
    )
    ternary = replace(ternary, projections=signs)
    assert all(a is b for a, b in zip(ternary.projections, nudged(ternary, trains).projections, strict=True))


@pytest.mark.parametrize("method", ["obc", "osbc"])
def test_braille_keeps_its_published_spikes_at_8_bits(shared: Path, method: str) -> None:
    """Dense, fitted on the one input that is at hand: at most 10 % of the published spikes may be others."""
    folder = shared / "data" / "nir"
    network = read_nir(folder / "braille_noDelay_bias_zero.nir", dialect="snntorch", reset="zero", reset_delay=False)
    spikes = np.load(folder / "braille_test0_input_T256x12.npy")[None]
    published = np.load(folder / "noDelay_bias_zero_hidden_ref_snntorch.npy")
    integer = compress_weights(network, Recipe(method=method, sparsity=0.0, bits=8, distil=False), spikes)
    assert {p.connectivity.quantised.bits for p in integer.projections} == {8}
    hidden = run_reference(integer, spikes).populations["lif1.lif"].spikes[0]
    assert np.count_nonzero(hidden != published) <= 0.1 * published.sum()
    assert [p.pre for p in integer.projections] == [INPUT, "lif1.lif", "lif1.lif"]
    few = spikes[:, 100:130]
    reference, core = (simulate(integer, few, executor=e, membranes=True) for e in ("reference", "amaranth"))
    for name, record in reference.populations.items():
        assert record.spikes.any() or name == "lif1.lif"
        assert np.array_equal(core.populations[name].membranes, record.membranes)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("board", ["icebreaker", "ulx3s-25f"])
def test_braille_on_boards_at_8_bits(shared: Path, tmp_path: Path, board: str) -> None:
    """The whole design is built, and its core equals the reference as Verilog and as a netlist."""
    folder = shared / "data" / "nir"
    np.savez(tmp_path / "x.npz", spikes=np.load(folder / "braille_test0_input_T256x12.npy")[None])
    data = ["--data", str(tmp_path / "x.npz")]
    reading = ["--dialect", "snntorch", "--reset", "zero", "--no-reset-delay"]
    small = str(tmp_path / "small.nir")
    fit = ["--bits", "8", "--sparsity", "0", "--no-distil", "--output", small]
    assert main(["compress", str(folder / "braille_noDelay_bias_zero.nir"), *reading, *data, *fit]) == 0
    assert main(["compile", small, "--board", board, *data, "--output", str(tmp_path / board)]) == 0
    for level in ("rtl", "netlist"):
        assert main(["regress", str(tmp_path / board), *data, "--level", level]) == 0

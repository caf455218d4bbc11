"""Passes that take neurons from a list: what the reference does, in the cycles that the model counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import chain, random_spikes
from shipped import run_shipped
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import Kind, ResetMode, ResetPlace
from spikeloom.compiler.plan.folding import Folding, listing_folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.amaranth_executor import measure_cycles
from spikeloom.sim.reference import run_reference


def listed(folding: Folding) -> Folding:
    first, *others = folding.engines
    return replace(folding, engines=(replace(first, lists=True), *others))


def of_if_neurons(network: Network, most_spikes: int = 1) -> Network:
    """The same network, of which the first population neither leaks nor has a bias, and every other neuron fires more
    often."""
    first, *others = network.populations
    fire = np.where(np.arange(first.size) % 2, 40, 12)
    plain = replace(first.dynamics, kind=Kind.IF, decay=None, fire=fire, sub=fire, max_spikes=most_spikes)
    return replace(network, populations=(replace(first, dynamics=plain, bias=np.zeros((), np.int64)), *others))


@pytest.mark.parametrize(
    ("place", "mode", "most", "shared", "family", "stress"),
    [
        (ResetPlace.NEXT, ResetMode.SUBTRACT, 1, True, "ice40", None),
        (ResetPlace.SAME, ResetMode.SUBTRACT, 3, True, "ecp5", 3),
        (ResetPlace.NEXT, ResetMode.VALUE, 1, False, "ice40", 4),
        (ResetPlace.SAME, ResetMode.SUBTRACT, 3, False, "ecp5", None),
    ],
)
def test_a_pass_takes_neurons_from_a_list(
    place: ResetPlace, mode: ResetMode, most: int, shared: bool, family: str, stress: int | None
) -> None:
    network = of_if_neurons(chain(1, (11, 33, 5), reset_place=place, reset_mode=mode), most)
    folding = (shared_folding if shared else pipelined_folding)(network)
    plan = make_plan(network, family, listed(folding))
    spikes = random_spikes(3, network, samples=2, steps=6, rate=0.15)
    expected = run_reference(network, spikes)
    assert expected.spikes.any()
    np.testing.assert_array_equal(run_shipped(plan, spikes, stress=stress), expected.spikes)
    trains = expected.trains(spikes)
    if stress is None:
        cycles = measure_cycles(plan, spikes)
        assert cycles == count_cycles(plan, trains)
        assert sum(cycles) < sum(count_cycles(make_plan(network, family, folding), trains))


def test_where_nothing_can_be_listed_a_folding_says_so() -> None:
    network = chain(1, (11, 33, 5))
    with pytest.raises(
        ModelError, match=r"has first a population without leak and bias, .* 'p0' is not so; leave lists"
    ):
        make_plan(network, folding=listed(shared_folding(network)))
    assert listing_folding(network, shared_folding(network)) == shared_folding(network)
    plain = of_if_neurons(network)
    assert listing_folding(plain, shared_folding(plain)) == listed(shared_folding(plain))
    skipping = replace(listed(shared_folding(plain)).engines[0], skips=True)
    with pytest.raises(ModelError, match="lists visits has a pass in every step: that of 'p0' is not so"):
        make_plan(plain, folding=Folding(engines=(skipping,)))

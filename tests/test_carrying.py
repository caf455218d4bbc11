"""What a compilation learns about a network it learns once: neither stations nor foldings work it out again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from spikeloom.compiler.compression.apply import compress
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.estimate.choose_folding import Purpose, choose_folding
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF, ResetPlace
from spikeloom.compiler.lowering.error import quantisation_error
from spikeloom.compiler.neurons import contract, observe, reachable
from spikeloom.compiler.plan.folding import pipelined_folding, shared_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.memories.memory import Family


def network(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    sizes = {INPUT: 40, "a": 24, "b": 12, "c": 5}
    names = list(sizes)
    return Network(
        input_shape=(40,),
        populations=tuple(
            Population(
                name=name, shape=(sizes[name],), dynamics=LIF(beta=0.9, threshold=1.0, reset_place=ResetPlace.NEXT)
            )
            for name in names[1:]
        ),
        projections=tuple(
            Projection(pre=a, post=b, connectivity=Dense(weights=rng.normal(0.1, 0.3, (sizes[a], sizes[b]))))
            for a, b in pairwise(names)
        ),
        output="c",
    )


def samples(seed: int = 0) -> Samples:
    return Samples(spikes=(np.random.default_rng(seed).random((20, 10, 40)) < 0.3).astype(np.uint8))


@pytest.fixture
def growths(monkeypatch: pytest.MonkeyPatch) -> list[reachable.Growth]:
    """Every fixpoint that is begun."""
    begun: list[reachable.Growth] = []

    class Counted(reachable.Growth):
        def __init__(self, step: Callable[[reachable.Interval], reachable.Interval], size: int, rounds: int) -> None:
            super().__init__(step, size, rounds)
            begun.append(self)

    monkeypatch.setattr(reachable, "Growth", Counted)
    reachable._proofs.cache_clear()
    return begun


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Network, str]]:
    """The network and the population of every contract form that is worked out."""
    worked_out: list[tuple[Network, str]] = []
    original = contract._contract_form

    def counted(network: Network, population: Population) -> contract.ContractForm:
        worked_out.append((network, population.name))
        return original(network, population)

    monkeypatch.setattr(contract, "_contract_form", counted)
    return worked_out


def observations() -> int:
    return observe.observation.cache_info().misses


def test_one_fixpoint_per_population_and_constants_and_none_per_folding(growths: list[reachable.Growth]) -> None:
    source = network()
    integer, _ = compress(source, Recipe(method="magnitude", bits=4), samples().spikes)
    assert len(growths) == 3
    for folding in (shared_folding(integer), pipelined_folding(integer)):
        for family in Family:
            make_plan(integer, family, folding)
    purpose = Purpose(clock_hz=12e6, steps=10)
    choose_folding(integer, Family.ICE40, purpose, dict.fromkeys(("input", "a", "b", "c"), 0.1))
    quantisation_error(source, integer)
    assert len(growths) == 3
    compress(source, Recipe(method="magnitude", bits=5), samples().spikes)
    assert len(growths) == 6


def test_the_proofs_do_not_depend_on_the_width_that_they_are_asked_for(growths: list[reachable.Growth]) -> None:
    integer, _ = compress(network(), Recipe(method="magnitude", bits=4), samples().spikes)
    population = integer.populations[0]
    proofs = reachable.proofs_of(integer, population)
    whole = proofs.membranes(33)
    assert whole is not None
    reachable._proofs.cache_clear()
    again = reachable.proofs_of(integer, population)
    assert again is not proofs
    assert again.membranes(3) is None
    found = again.membranes(33)
    assert found is not None
    np.testing.assert_array_equal(found.low, whole.low)
    np.testing.assert_array_equal(found.high, whole.high)
    assert again.membranes(3) is None
    assert reachable.proofs_of(integer, population) is again
    assert len(growths) == 4


def test_a_network_is_observed_once_on_the_same_samples() -> None:
    """And what compression made of it where somebody asks which neurons it silenced."""
    source = network(seed=7)
    before = observations()
    compress(source, Recipe(method="magnitude", bits=4), samples(1).spikes)
    assert observations() - before == 1
    compress(source, Recipe(method="magnitude", bits=6), samples(1).spikes)
    compress(network(seed=7), Recipe(method="magnitude", bits=5), samples(1).spikes)  # the same network, read again
    assert observations() - before == 1
    compress(source, Recipe(method="magnitude", bits=4), samples(2).spikes)
    assert observations() - before == 2
    _, report = compress(source, Recipe(method="magnitude", bits=4, sparsity=0.5), samples(2).spikes)
    assert observations() - before == 3  # the pruned network is another one
    assert report.quieted == report.quieted
    assert observations() - before == 4


def test_what_was_observed_cannot_be_changed() -> None:
    source = network()
    forms = [contract.contract_form(source, p) for p in source.populations]
    inputs = samples().spikes.copy()
    seen = observe.observe(source, forms, inputs)
    with pytest.raises(ValueError, match="read-only"):
        seen["a"][0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        forms[0].weights[0][0, 0] = 1
    first = inputs[0, 0, 0]
    inputs[0, 0, 0] = 1 - first
    assert seen[INPUT][0, 0, 0] == first
    assert observe.observe(source, forms, inputs)[INPUT][0, 0, 0] == 1 - first


def test_the_contract_form_is_worked_out_once_for_a_network(forms: list[tuple[Network, str]]) -> None:
    source = network(seed=3)
    for bits in (4, 5):
        compress(source, Recipe(method="magnitude", bits=bits), samples().spikes)
    assert [name for of, name in forms if of is source] == ["a", "b", "c"]
    assert len({(id(of), name) for of, name in forms}) == len(forms)

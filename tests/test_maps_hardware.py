"""Convolutions and poolings in hardware: cores that listen to maps do what the reference does, in the cycles of the
model, and store each kernel once. The golden cases are in test_contract.py, the tap generator alone in test_taps.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from networks import random_codes, random_population, random_spikes
from shipped import run_shipped
from spikeloom.compiler.cycles.count import busy_cycles, count_cycles
from spikeloom.compiler.data.samples import Samples
from spikeloom.compiler.flow.measure import measure_latency
from spikeloom.compiler.ir.connectivity import Connectivity, Dense, Quantised
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.maps import MapShape, size_of
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import Kind, ResetPlace
from spikeloom.compiler.ir.pooled import Pooled
from spikeloom.compiler.ir.pooling import Pooling, PoolKind
from spikeloom.compiler.plan.folding import Folding, default_folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.engines.engine import SparseFormat
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.reference import run_reference

INPUTS: MapShape = (2, 5, 6)


def weights(rng: np.random.Generator, *shape: int, density: float = 0.7) -> Quantised:
    """Random codes of 4 bits in any form."""
    codes = random_codes(rng, shape[0], int(np.prod(shape[1:])), density=density)
    return Quantised(codes=codes.reshape(shape), bits=4)


def convolved(rng: np.random.Generator, pre: MapShape, posts: int, **how: Any) -> Convolution:
    """Kernels of 3 x 2."""
    groups = how.get("groups", 1)
    return Convolution(weights=weights(rng, posts, pre[0] // groups, 3, 2), pre_shape=pre, **how)


def max_of(pre: MapShape, **how: Any) -> Pooling:
    """Windows of 3 x 2 that overlap."""
    options = {"kernel": (3, 2), "stride": (2, 1), "padding": ((1, 0), (0, 1)), **how}
    return Pooling(kind=PoolKind.MAX, pre_shape=pre, **options)


def sum_of(pre: MapShape) -> Pooling:
    return Pooling(kind=PoolKind.SUM, pre_shape=pre, kernel=(2, 2), stride=(2, 2))


def joined(*layers: tuple[str, str, Connectivity, Any], x_max: int = 1, seed: int = 1) -> Network:
    """Populations of LIF neurons and the connectivities (pre, post, connectivity, delay) between them."""
    rng = np.random.default_rng(seed)
    populations: dict[str, Population] = {}
    for _, post, connectivity, _ in layers:
        shape = connectivity.post_map or connectivity.shape[1:]
        fresh = replace(random_population(rng, post, int(np.prod(shape))), shape=shape)
        populations.setdefault(post, fresh)
    projections = [
        Projection(pre=pre, post=post, connectivity=connectivity, shift=2, delay=delay)
        for pre, post, connectivity, delay in layers
    ]
    return Network(
        input_shape=INPUTS,
        populations=tuple(populations.values()),
        projections=tuple(projections),
        output=list(populations)[-1],
        x_max=x_max,
    )


def strided() -> Network:
    """A convolution with a stride, a grouped one with dilation, and a matrix behind sums of windows."""
    rng = np.random.default_rng(2)
    first = convolved(rng, INPUTS, 4, stride=(2, 1), padding=((1, 1), (0, 1)))
    second = convolved(rng, first.post_shape, 6, groups=2, dilation=(1, 2), padding=((1, 1), (1, 1)))
    pool = sum_of(second.post_shape)
    last = Dense(weights=weights(rng, pool.shape[1], 5))
    return joined((INPUT, "a", first, 0), ("a", "b", second, 0), ("b", "c", Pooled(pooling=pool, behind=last), 0))


def beside_matrices() -> Network:
    """A map that a matrix reaches, too, which a matrix reads, and whose spikes come back as a map."""
    rng = np.random.default_rng(3)
    first = convolved(rng, INPUTS, 3, padding=((1, 1), (1, 0)))
    back = convolved(rng, first.post_shape, 3, padding=((1, 1), (1, 0)))
    skip = Dense(weights=weights(rng, size_of(INPUTS), size_of(first.post_shape), density=0.1))
    last = Dense(weights=weights(rng, size_of(first.post_shape), 4))
    return joined((INPUT, "a", first, 0), (INPUT, "a", skip, 0), ("a", "a", back, 1), ("a", "b", last, 0))


def delayed() -> Network:
    """Delays of each neuron before a convolution, some of which are 0, and two delays of the same spikes."""
    rng = np.random.default_rng(4)
    first = convolved(rng, INPUTS, 2, padding=((1, 1), (0, 0)))
    second = convolved(rng, first.post_shape, 3)
    delays = rng.integers(0, 3, size_of(INPUTS))
    last = Dense(weights=weights(rng, size_of(second.post_shape), 4))
    return joined(
        (INPUT, "a", first, delays), ("a", "b", second, 1), ("a", "b", second, 2), ("b", "c", last, 1), x_max=2
    )


def maxima(x_max: int) -> Network:
    """Spikes that are pooled by maxima before a convolution and before a matrix, and currents behind another."""
    rng = np.random.default_rng(5)
    pool = max_of(INPUTS)
    first = Pooled(pooling=pool, behind=convolved(rng, pool.post_shape, 3, padding=((1, 1), (0, 0))))
    shape = first.post_map
    assert shape is not None
    second = convolved(rng, shape, 2, padding=((1, 1), (1, 1)), pool_after=None)
    second = replace(second, pool_after=max_of(second.sum_shape))
    pool = max_of(second.post_shape, padding=((0, 0), (0, 0)), kernel=(1, 2))
    last = Pooled(pooling=pool, behind=Dense(weights=weights(rng, pool.shape[1], 4)))
    return joined((INPUT, "a", first, 0), ("a", "b", second, 0), ("b", "c", last, 0), x_max=x_max)


NETWORKS = {
    "strided": strided(),
    "beside matrices": beside_matrices(),
    "delayed": delayed(),
    "maxima": maxima(1),
    "maxima of counts": maxima(3),
}


def agrees(plan: Plan, spikes: np.ndarray) -> None:
    """Every spike and membrane, and the cycles of a sample."""
    network = plan.network
    expected = run_reference(network, spikes, membranes=True)
    assert all(expected.populations[p.name].spikes.any() for p in network.populations)
    got = run_amaranth(plan, spikes, membranes=True, stress=3)
    for name, population in expected.populations.items():
        np.testing.assert_array_equal(got.populations[name].spikes, population.spikes, err_msg=name)
        np.testing.assert_array_equal(got.populations[name].membranes, population.membranes, err_msg=name)
    trains = {name: train[:1] for name, train in expected.trains(spikes).items()}
    cycles = count_cycles(plan, trains)
    assert cycles == measure_cycles(plan, spikes[:1])
    assert np.all(np.max(busy_cycles(plan, trains), axis=0) <= cycles)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("fold", [shared_folding, pipelined_folding], ids=["shared", "pipelined"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_core_does_what_the_reference_does_in_the_cycles_of_the_model(name: str, fold: Any) -> None:
    network = NETWORKS[name]
    agrees(make_plan(network, "ecp5", fold(network)), random_spikes(7, network, 2, 4, 0.4))


def test_a_long_line_has_tables_with_steps() -> None:
    """Of a kernel with maxima behind it; the cycles of a sample are the same where the model counts them."""
    rng = np.random.default_rng(6)
    line: MapShape = (1, 22, 1)
    kernel = Convolution(weights=weights(rng, 2, 1, 5, 1), pre_shape=line, padding=((2, 2), (0, 0)))
    windows = max_of(kernel.sum_shape, kernel=(3, 1), padding=((0, 0), (0, 0)))
    network = joined((INPUT, "a", replace(kernel, pool_after=windows), 0), x_max=2)
    network = replace(network, input_shape=line)
    plan = make_plan(network, "ecp5", pipelined_folding(network))
    form = plan.engines[0].form
    assert isinstance(form, SparseFormat) and form.taps is not None and form.taps.down.steps
    assert form.memories(plan.family)["down"].brams == 0
    spikes = random_spikes(9, network, 2, 3, 0.3)
    agrees(plan, spikes)
    recording = run_reference(network, spikes)
    found = [measure_latency(plan, Samples(spikes=spikes[:1]), "random", recording, None, most) for most in (1, 10**6)]
    assert [latency.simulated for latency in found] == [False, True] and found[0].cycles == found[1].cycles


@pytest.mark.parametrize("kind", [{"lanes": 3}, {"kind": "vector", "lanes": 0}], ids=["lanes", "vector"])
def test_engines_of_other_kinds_listen_to_maps(kind: dict[str, Any]) -> None:
    network = beside_matrices()
    folding = Folding(engines=(engine_folding(("a",)), engine_folding(("b",), **kind)))
    agrees(make_plan(network, "ice40", folding), random_spikes(8, network, 2, 4, 0.2))


def test_maps_listen_to_engines_of_other_kinds() -> None:
    rng = np.random.default_rng(9)
    shape: MapShape = (2, 3, 4)
    first = Dense(weights=weights(rng, size_of(INPUTS), size_of(shape), density=0.3))
    second = convolved(rng, shape, 3, padding=((1, 1), (1, 0)))
    last = Dense(weights=weights(rng, size_of(second.post_shape), 3))
    network = joined((INPUT, "a", first, 0), ("a", "b", second, 0), ("b", "c", last, 0))
    folding = Folding(engines=(engine_folding(("a",), lanes=3), engine_folding(("b", "c"))))
    agrees(make_plan(network, "ice40", folding), random_spikes(10, network, 2, 5, 0.5))


def test_lanes_share_a_matrix_behind_sums_of_windows() -> None:
    network = strided()
    engines = (engine_folding(("a",)), engine_folding(("b",)), engine_folding(("c",), lanes=2))
    agrees(make_plan(network, "ice40", Folding(engines=engines)), random_spikes(7, network, 2, 4, 0.4))


def test_a_map_that_is_the_output_keeps_its_numbers() -> None:
    rng = np.random.default_rng(11)
    network = joined((INPUT, "a", convolved(rng, INPUTS, 3, padding=((1, 0), (1, 1))), 0))
    spikes = random_spikes(12, network, 2, 4, 0.2)
    agrees(make_plan(network), spikes)
    np.testing.assert_array_equal(run_shipped(make_plan(network), spikes), run_reference(network, spikes).spikes)


def test_kernels_are_stored_once() -> None:
    rng = np.random.default_rng(13)
    first = convolved(rng, (2, 20, 30), 4, padding=((1, 1), (1, 1)))
    network = replace(joined((INPUT, "a", first, 0), ("a", "b", Dense(weights=weights(rng, 2480, 2)), 0)))
    network = replace(network, input_shape=(2, 20, 30))
    plan = make_plan(network, "ecp5", pipelined_folding(network))
    assert plan.engines[0].form.rows.entries <= first.synapses / 0.9
    assert plan.engines[0].form.rows.rows == 2 * 3 * 2


def with_fire(network: Network, name: str, fire: Sequence[int]) -> Network:
    """A population whose neurons have these thresholds, channel by channel."""
    changed = []
    for population in network.populations:
        if population.name == name:
            of_all = np.repeat(fire, population.size // len(fire))
            dynamics = replace(population.dynamics, fire=of_all, sub=of_all)
            population = replace(population, dynamics=dynamics, bias=np.zeros((), np.int64))
        changed.append(population)
    return replace(network, populations=tuple(changed))


@pytest.mark.parametrize(("fire", "words"), [((20, 30, 25, 40), 4), ((25, 25, 25, 25), 1)])
@pytest.mark.parametrize("fold", [shared_folding, pipelined_folding])
def test_what_a_channel_shares_is_stored_once(fire: Sequence[int], words: int, fold: Any) -> None:
    network = with_fire(strided(), "a", fire)
    plan = make_plan(network, "ice40", fold(network))
    assert plan.engines[0].form.neurons.populations[0].parameter_words == words
    agrees(plan, random_spikes(14, network, 2, 4, 0.3))


def test_a_step_without_events_costs_its_passes() -> None:
    network = maxima(1)
    silent = np.zeros((1, 6, network.input_size), np.uint8)
    plan = make_plan(network, "ecp5", default_folding(network))
    longest = max(population.size for population in network.populations)
    cycles = measure_cycles(plan, silent)[0]
    assert cycles <= 6 * (longest + 12) + 3 * longest + 60
    assert [cycles] == count_cycles(plan, run_reference(network, silent).trains(silent))


def of_if_neurons(network: Network) -> Network:
    """The same network without leaks and biases, every other neuron of which fires more often."""
    changed = []
    for population in network.populations:
        fire = np.where(np.arange(population.size) % 2, 40, 12)
        dynamics = replace(population.dynamics, kind=Kind.IF, decay=None, fire=fire, sub=fire, state_bits=12)
        changed.append(replace(population, dynamics=dynamics, bias=np.zeros((), np.int64)))
    return replace(network, populations=tuple(changed))


@pytest.mark.parametrize("max_spikes", [1, 3])
@pytest.mark.parametrize("stress", [None, 5])
def test_a_pass_goes_by_neurons_to_which_nothing_came(max_spikes: int, stress: int | None) -> None:
    rng = np.random.default_rng(15)
    first = convolved(rng, INPUTS, 4, padding=((1, 1), (1, 0)))
    last = Dense(weights=weights(rng, size_of(first.post_shape), 4))
    network = of_if_neurons(joined((INPUT, "a", first, 0), ("a", "b", last, 0)))
    maps, outputs = network.populations
    several = replace(maps, dynamics=replace(maps.dynamics, reset_place=ResetPlace.SAME, max_spikes=max_spikes))
    network = replace(network, populations=(several, outputs))
    plan = make_plan(network, "ice40", pipelined_folding(network))
    assert plan.engines[0].form.neurons.touched == 8
    spikes = random_spikes(16, network, 2, 8, 0.05)
    expected = run_reference(network, spikes)
    np.testing.assert_array_equal(run_shipped(plan, spikes, stress=stress), expected.spikes)
    assert expected.spikes.any()
    trains = {name: train[:1] for name, train in expected.trains(spikes).items()}
    cycles = measure_cycles(plan, spikes[:1])
    assert cycles == count_cycles(plan, trains)
    first_engine = plan.engines[0]
    visits_all = replace(first_engine.form, neurons=replace(first_engine.form.neurons, touched=0))
    slower = replace(plan, engines=(replace(first_engine, form=visits_all), plan.engines[1]))
    assert cycles[0] < 0.8 * count_cycles(slower, trains)[0]


@pytest.mark.parametrize(
    ("folding", "message"),
    [
        (
            Folding(engines=(engine_folding(("a",), lanes=2), engine_folding(("b",)))),
            r"maps are for sparse engines of one lane: that of 'a' would have the convolution from 'input' to 'a'",
        ),
        (
            Folding(engines=(engine_folding(("a",), kind="vector"), engine_folding(("b",)))),
            r"maps are for sparse engines of one lane: that of 'a'",
        ),
    ],
)
def test_other_engines_refuse_maps(folding: Folding, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_plan(beside_matrices(), folding=folding)


def test_engines_of_several_populations_refuse_maxima() -> None:
    network = maxima(1)
    with pytest.raises(ModelError, match="max pooling has one population: that of 'a' has 3; give each population its"):
        make_plan(network, folding=Folding(engines=(engine_folding(("a", "b", "c")),)))
    assert len(shared_folding(network).engines) == 3

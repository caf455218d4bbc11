"""Maps are quantised and compressed: kernels by channel, fitted on what they see at all places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spikeloom.compiler.compression.allocation import price_of
from spikeloom.compiler.compression.apply import compress
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.compression.simulation import inputs_of, layers_of, simulate
from spikeloom.compiler.ir.arrays import SpikeArray
from spikeloom.compiler.ir.connectivity import Connectivity, Dense
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, LIF, IntegerDynamics, ResetPlace
from spikeloom.compiler.ir.pooled import Pooled
from spikeloom.compiler.ir.pooling import Pooling, PoolKind
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.lowering.error import quantisation_error
from spikeloom.compiler.lowering.quantise import dequantise, quantise
from spikeloom.compiler.neurons.reachable import reachable_membranes
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

SHAPE = (2, 8, 7)


def network(kind: str = "max", after: str | None = None) -> Network:
    """A convolution, a pooling and a convolution of spikes, a pooling and a matrix."""
    rng = np.random.default_rng(1)
    first = Convolution(weights=rng.normal(0.1, 0.5, (4, 2, 3, 2)), pre_shape=SHAPE, padding=((1, 1), (0, 1)))
    if after is not None:
        pool = Pooling(kind=PoolKind(after), pre_shape=first.sum_shape, kernel=(1, 1), stride=(1, 1))
        first = replace(first, pool_after=pool)
    pooling = Pooling(kind=PoolKind(kind), pre_shape=(4, 8, 7), kernel=(2, 2), stride=(2, 2))
    second = Convolution(weights=rng.normal(0.1, 0.4, (3, 4, 2, 2)), pre_shape=(4, 4, 3))
    last = Pooling(kind=PoolKind.SUM, pre_shape=(3, 3, 2), kernel=(2, 1), stride=(1, 1))
    connectivities: tuple[Connectivity, ...] = (
        first,
        Pooled(pooling=pooling, behind=second),
        Pooled(pooling=last, behind=Dense(weights=rng.normal(0.1, 0.3, (12, 5)))),
    )
    biases = (np.repeat([0.05, -0.1, 0.0, 0.2], 56), np.zeros(()), np.array(0.1))
    populations = (
        Population(name="a", shape=(4, 8, 7), dynamics=LIF(beta=0.8, threshold=1.0), bias=biases[0]),
        Population(name="b", shape=(3, 3, 2), dynamics=IF(threshold=0.8, v_min=-0.8)),
        Population(name="out", shape=(5,), dynamics=LIF(beta=0.9, threshold=0.7, reset_place=ResetPlace.NEXT)),
    )
    names = (INPUT, "a", "b", "out")
    projections = tuple(
        Projection(pre=names[n], post=names[n + 1], connectivity=c) for n, c in enumerate(connectivities)
    )
    return Network(input_shape=SHAPE, populations=populations, projections=projections, output="out", x_max=2)


def samples(seed: int = 2) -> SpikeArray:
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 3, (8, 14, *SHAPE)) * (rng.random((8, 14, *SHAPE)) < 0.2)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["max", "sum"])
@pytest.mark.parametrize("calibrated", [False, True])
def test_scales_belong_to_channels(kind: str, calibrated: bool) -> None:
    net = network(kind)
    found = quantise(net, 8, samples() if calibrated else None)
    verify(found)
    for projection in found.projections:
        connectivity = projection.connectivity
        scale = np.broadcast_to(connectivity.quantised.scale, connectivity.shape[1:])
        groups = connectivity.scale_groups()
        assert all(len(np.unique(scale[groups == group])) == 1 for group in np.unique(groups))
    first = found.projections[0].connectivity.quantised
    assert first.codes.shape == (4, 2, 3, 2) and len(np.unique(first.scale)) == 4
    assert len(quantisation_error(net, found)) == 3
    spikes = run_reference(found, samples(3), membranes=True)
    expected = run_float(dequantise(found), samples(3))
    for name in ("a", "b", "out"):
        wanted, got = (run.populations[name].spikes for run in (expected, spikes))
        assert wanted.any() and np.mean(wanted != got) < 0.12 * np.mean(wanted)


def test_proofs_hold_for_maps() -> None:
    found = quantise(network(), 5, samples())
    run = run_reference(found, samples(4), membranes=True)
    for population in found.populations:
        reach = reachable_membranes(found, population)
        membranes = run.populations[population.name].membranes
        assert membranes is not None and isinstance(population.dynamics, IntegerDynamics)
        limit = 1 << (population.dynamics.state_bits - 1)
        low, high = (-limit, limit - 1) if reach is None else reach
        assert low <= membranes.min() and membranes.max() <= high


def test_the_view_of_maps_does_what_the_executor_does() -> None:
    torch = pytest.importorskip("torch")
    for kind in ("max", "sum"):
        net = replace(network(kind), dtype="float64")
        x = samples()
        answers = simulate(layers_of(net, dtype=torch.float64), inputs_of(x.reshape(8, 14, -1), dtype=torch.float64))
        expected = run_float(net, x)
        for name in ("a", "b", "out"):
            found = answers[name].spikes.numpy().swapaxes(0, 1)
            assert found.any() and np.array_equal(found, expected.populations[name].spikes)


@pytest.mark.parametrize("method", ["magnitude", "activity", "obc", "osbc"])
@pytest.mark.parametrize("bits", [None, 4])
def test_every_method_prunes_kernels(method: str, bits: int | None) -> None:
    if method in ("obc", "osbc"):
        pytest.importorskip("torch")
    net = network()
    found, report = compress(net, Recipe(method=method, sparsity=0.4, bits=bits, distil=False), samples())
    total = sum(p.connectivity.possible_synapses for p in net.projections)
    assert total == 4 * 12 + 3 * 16 + 60
    assert sum(p.synapses for p in report.projections) <= total - round(0.4 * total)
    assert [type(p.connectivity) for p in found.projections] == [Convolution, Pooled, Pooled]
    run = run_reference if bits else run_float
    spikes, expected = run(found, samples(3)), run_float(net, samples(3))
    wanted, got = (run.populations["a"].spikes for run in (expected, spikes))
    assert np.mean(wanted != got) < 0.6 * np.mean(wanted)


def test_sums_that_are_pooled_are_not_fitted_but_pruned() -> None:
    pytest.importorskip("torch")
    net = network(after="max")
    with pytest.raises(ModelError, match="takes sums as they are: those of 'input' -> 'a' are pooled; use magnitude"):
        compress(net, Recipe(method="osbc", sparsity=0.4), samples())
    recipe = Recipe(method="magnitude", sparsity=0.4, bits=6)
    found, _ = compress(net, recipe, samples())
    assert not found.projections[0].connectivity.is_linear
    flat = samples().reshape(8, 14, -1)
    with pytest.raises(ModelError, match="are pooled; use magnitude, without fine-tuning"):
        compress_weights(net, recipe, flat, finetune=FineTune(epochs=1))
    same = compress_weights(net, recipe, flat)
    for one, other in zip(found.projections, same.projections, strict=True):
        np.testing.assert_array_equal(one.connectivity.codes, other.connectivity.codes)


def test_operations_of_a_weight_are_counted_at_all_its_places() -> None:
    torch = pytest.importorskip("torch")
    inputs = torch.tensor([[[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]])
    one, many = price_of(inputs, 1.0), price_of(inputs, 1.0, places=56)
    assert one is not None and many is not None and torch.allclose(one / 56, many)
    assert price_of(inputs, 0.0, places=56) is None


def test_layers_say_at_how_many_places_they_read_a_weight() -> None:
    """A dense layer whose inputs all fire alike loses more weights where operations count: a kernel's cost 56 times."""
    pytest.importorskip("torch")
    net = network("sum")
    kept = []
    for weight in (0.0, 1.0):
        recipe = Recipe(method="osbc", sparsity=0.5, distil=False, operation_weight=weight)
        found, _ = compress(net, recipe, samples())
        kept.append([p.connectivity.synapses for p in found.projections])
    assert kept[1][0] < kept[0][0] and kept[1][2] > kept[0][2]


def test_training_moves_kernels() -> None:
    pytest.importorskip("torch")
    from spikeloom.compiler.compression.finetune import FineTune

    for kind in ("max", "sum"):
        net = network(kind)
        training = FineTune(epochs=2, batch_size=4)
        recipe = Recipe(method="magnitude", sparsity=0.3, bits=4)
        found, _ = compress(net, recipe, samples(), finetune=training)
        plain, _ = compress(net, recipe, samples())
        first, before = found.projections[0].connectivity, plain.projections[0].connectivity
        assert isinstance(first, Convolution) and first.codes.shape == before.codes.shape
        assert not np.array_equal(first.real, before.real)


def test_what_no_leak_and_no_floor_ends_is_unknown_at_once() -> None:
    """A neuron that only integrates sinks for ever where its input may: all rounds would end so, too."""
    net = network()
    free = replace(net.populations[1], dynamics=IF(threshold=0.8))
    sinking = quantise(replace(net, populations=(net.populations[0], free, net.populations[2])), 8, samples())
    assert reachable_membranes(sinking, sinking.populations[1]) is None
    second = net.projections[1].connectivity
    positive = replace(net.projections[1], connectivity=second.with_weights(np.abs(second.real)))
    projections = (net.projections[0], positive, net.projections[2])
    populations = (net.populations[0], replace(free, dynamics=IF(threshold=50.0)), net.populations[2])
    rising = quantise(replace(net, populations=populations, projections=projections), 8, samples())
    assert reachable_membranes(rising, rising.populations[1]) is not None

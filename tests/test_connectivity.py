"""A connectivity answers for itself: members that the product does not know go through it as a matrix does.

`OneToOne` and `Sliding` (a convolution in one dimension) are written here as a new connectivity would be. Whatever runs
on them must do what it does on the dense matrix with the same synapses.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.compression.apply import compress
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.hessian import filtered, problems_of
from spikeloom.compiler.compression.loss import membrane_losses
from spikeloom.compiler.compression.quantization import quantize_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.compression.simulation import inputs_of, layers_of, simulate
from spikeloom.compiler.compression.sources import gather
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.arrays import IntArray, freeze
from spikeloom.compiler.ir.bounds import drive_bounds_per_neuron, partial_sum_bound, projection_bounds
from spikeloom.compiler.ir.columns import Columns
from spikeloom.compiler.ir.connectivity import Array, Connectivity, Dense, Quantised, Weights
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LI, LIF, IntegerDynamics, ResetPlace
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.lowering.error import quantisation_error
from spikeloom.compiler.lowering.quantise import dequantise, quantise
from spikeloom.compiler.neurons.reachable import reachable_membranes
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

TAPS = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class OneToOne(Connectivity):
    """Neuron i reaches neuron i: `weights` (n,)."""

    weights: Weights

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Quantised):
            freeze(self, ("weights",), np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.weights.shape, *self.weights.shape)

    def currents(self, spikes: Array, values: Array | None = None) -> Array:
        values = self.values if values is None else values
        return spikes.astype(values.dtype) * values

    def scale_groups(self) -> IntArray:
        return np.arange(self.shape[0])

    def columns(self, values: Array) -> Array:
        return values[None]

    def from_columns(self, columns: Array) -> Array:
        return columns[0]

    def inputs_of(self, group: int) -> IntArray:
        return np.array([[group]])


@dataclass(frozen=True, eq=False, kw_only=True)
class Sliding(Connectivity):
    """Every channel slides its weights [taps, channels] over the inputs, zeros beyond; post (channels, inputs)."""

    weights: Weights
    inputs: int

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Quantised):
            freeze(self, ("weights",), np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inputs, self.inputs * self.weights.shape[1]

    def currents(self, spikes: Array, values: Array | None = None) -> Array:
        values = self.values if values is None else values
        seen = self.seen(spikes, 0).astype(values.dtype)
        return np.moveaxis(seen @ values, -1, -2).reshape(*spikes.shape[:-1], -1)

    def scale_groups(self) -> IntArray:
        return np.repeat(np.arange(self.weights.shape[1]), self.inputs)

    def columns(self, values: Array) -> Array:
        return values

    def from_columns(self, columns: Array) -> Array:
        return columns

    def inputs_of(self, group: int) -> IntArray:
        seen = np.arange(self.inputs)[:, None] + np.arange(TAPS) - 1
        return np.where(seen < self.inputs, seen, -1)


def unrolled(connectivity: Connectivity) -> Dense:
    """The matrix with the same synapses."""
    matrix = np.stack([connectivity.currents_from(pre) for pre in range(connectivity.shape[0])])
    if not connectivity.is_integer:
        return Dense(weights=matrix)
    return Dense(weights=replace(connectivity.quantised, codes=matrix))


def dense_form(network: Network) -> Network:
    projections = (replace(p, connectivity=unrolled(p.connectivity)) for p in network.projections)
    return replace(network, projections=tuple(projections))


SIZE, CHANNELS = 8, 3


def one_to_one() -> OneToOne:
    return OneToOne(weights=np.random.default_rng(5).normal(0.9, 0.3, SIZE) * (np.arange(SIZE) != 3))


def sliding() -> Sliding:
    return Sliding(weights=np.random.default_rng(6).normal(0.4, 0.4, (TAPS, CHANNELS)), inputs=SIZE)


def dense(pre: int, post: int) -> Dense:
    return Dense(weights=np.random.default_rng(7).normal(0.2, 0.3, (pre, post)))


def network(first: Connectivity, *more: Connectivity, readout: bool = False) -> Network:
    """The input reaches one population through all of these, and a dense one behind it."""
    size = first.shape[1]
    dynamics = LIF(beta=np.linspace(0.5, 0.5, size), threshold=1.0, reset_place=ResetPlace.NEXT)
    return Network(
        input_shape=(SIZE,),
        populations=(
            Population(name="hidden", shape=(size,), dynamics=dynamics, bias=np.array(0.05)),
            Population(name="out", shape=(4,), dynamics=LI(beta=0.5) if readout else LIF(beta=0.5, threshold=0.5)),
        ),
        projections=(
            *(Projection(pre=INPUT, post="hidden", connectivity=c) for c in (first, *more)),
            Projection(pre="hidden", post="out", connectivity=dense(size, 4)),
        ),
        output="out",
    )


def inputs() -> Any:
    return (np.random.default_rng(8).random((24, 12, SIZE)) < 0.4).astype(np.uint8)


MEMBERS = {"one to one": one_to_one, "sliding": sliding, "dense": lambda: dense(SIZE, 5)}


def integer(connectivity: Connectivity, bits: int = 5) -> Connectivity:
    codes = np.rint(connectivity.real * 10).astype(np.int64)
    return connectivity.with_codes(Quantised(codes=codes, bits=bits, scale=np.array(0.1)))


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("level", ["float", "integer"])
def test_answers_are_those_of_the_matrix(name: str, level: str) -> None:
    member = MEMBERS[name]() if level == "float" else integer(MEMBERS[name]())
    matrix = unrolled(member)
    spikes = np.random.default_rng(9).integers(0, 4, (3, 2, SIZE))
    assert member.shape == matrix.shape == (SIZE, matrix.shape[1])
    np.testing.assert_allclose(member.currents(spikes), spikes @ matrix.values, rtol=1e-15)
    np.testing.assert_allclose(unrolled(member.with_weights(member.real)).real, matrix.real, rtol=1e-15)
    for found, expected in zip(member.input_bounds(), matrix.input_bounds(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert np.array_equal(member.fan_in(), np.count_nonzero(matrix.values, axis=0))
    assert np.array_equal(member.fan_out(), np.count_nonzero(matrix.values, axis=1))
    assert member.synapses == np.count_nonzero(member.values) <= member.possible_synapses == member.values.size


@pytest.mark.parametrize("name", MEMBERS)
def test_unfolded_view_gives_the_currents(name: str) -> None:
    member = MEMBERS[name]()
    spikes = np.random.default_rng(10).integers(0, 2, SIZE)
    groups = member.scale_groups()
    for group in range(int(groups.max()) + 1):
        which, weights = member.unfolded(group)
        seen = np.where(which >= 0, spikes[which], 0)
        np.testing.assert_allclose(seen @ weights, member.currents(spikes)[groups == group], rtol=1e-12)
        assert np.array_equal(member.seen(spikes, group), seen)
    assert sorted(np.concatenate(member.alike())) == list(range(int(groups.max()) + 1))
    assert len(member.alike()) == {"one to one": SIZE, "sliding": 1, "dense": 1}[name]
    assert np.array_equal(member.from_columns(member.columns(member.values)), member.values)


@pytest.mark.parametrize("name", MEMBERS)
def test_weights_of_marked_neurons(name: str) -> None:
    member = MEMBERS[name]()
    rng = np.random.default_rng(11)
    pre, post = rng.random(SIZE) < 0.4, rng.random(member.shape[1]) < 0.3
    kept = member.joining(pre, post)
    for group, column in enumerate(member.columns(np.broadcast_to(kept, member.values.shape)).T):
        members = np.flatnonzero(member.scale_groups() == group)
        rows = zip(member.inputs_of(group), members, strict=True)
        expected = [[i >= 0 and pre[i] and post[j] for i in row] for row, j in rows]
        assert np.array_equal(column, np.any(expected, axis=0))
    rates = rng.random(SIZE)
    means = member.columns(np.broadcast_to(member.means_seen(rates), member.values.shape))
    for group, column in enumerate(means.T):
        np.testing.assert_allclose(column, member.seen(rates, group).mean(axis=0), rtol=1e-15)


@pytest.mark.parametrize("name", MEMBERS)
def test_bounds_are_those_of_the_matrix(name: str) -> None:
    net = network(MEMBERS[name](), readout=True)
    found = quantise(net, 4)
    same = dense_form(found)
    verify(found)
    for projection, matrix in zip(found.projections, same.projections, strict=True):
        assert partial_sum_bound(found, projection) == partial_sum_bound(same, matrix)
        for one, other in zip(projection_bounds(found, projection), projection_bounds(same, matrix), strict=True):
            assert np.array_equal(one, other)
    for population in found.populations:
        assert drive_bounds_per_neuron(found, population) == drive_bounds_per_neuron(same, population)
        assert reachable_membranes(found, population) == reachable_membranes(same, population)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("x_max", [1, 3])
def test_executors_do_what_they_do_on_the_matrix(name: str, x_max: int) -> None:
    net = replace(network(MEMBERS[name]()), x_max=x_max)
    samples = inputs() * x_max
    whole = quantise(net, 5, samples)
    for run, this in ((run_reference, whole), (run_float, net), (run_float, dequantise(whole))):
        found, expected = run(this, samples, membranes=True), run(dense_form(this), samples, membranes=True)
        for population in net.populations:
            one, other = found.populations[population.name], expected.populations[population.name]
            assert one.spikes.any() and np.array_equal(one.spikes, other.spikes)
            np.testing.assert_allclose(one.membranes, other.membranes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("readout", [False, True])
def test_one_to_one_is_quantised_like_a_diagonal_matrix(calibrated: bool, readout: bool) -> None:
    net = network(one_to_one(), readout=readout)
    samples = inputs() if calibrated else None
    found, expected = dense_form(quantise(net, 4, samples)), quantise(dense_form(net), 4, samples)
    for one, other in zip(found.projections, expected.projections, strict=True):
        assert np.array_equal(one.connectivity.codes, other.connectivity.codes)
        assert np.array_equal(one.connectivity.quantised.scale, other.connectivity.quantised.scale)
    for one, other in zip(found.populations, expected.populations, strict=True):
        assert isinstance(one.dynamics, IntegerDynamics) and isinstance(other.dynamics, IntegerDynamics)
        for name, value in vars(one.dynamics).items():
            if not name.startswith("decay"):
                assert np.array_equal(value, getattr(other.dynamics, name)), name
        assert np.array_equal(one.bias, other.bias)
    assert quantisation_error(net, quantise(net, 4, samples)) == quantisation_error(dense_form(net), expected)


def test_channels_share_a_scale_also_beside_other_connectivities() -> None:
    mixed = network(sliding(), dense(SIZE, SIZE * CHANNELS))
    turned = replace(mixed, projections=(mixed.projections[1], mixed.projections[0], mixed.projections[2]))
    for net in (network(sliding()), mixed, turned):
        for samples in (None, inputs()):
            found = quantise(net, 6, samples)
            scale = found.projections[0].connectivity.quantised.scale
            channels = scale.reshape(CHANNELS, SIZE)
            assert np.array_equal(channels, np.repeat(channels[:, :1], SIZE, axis=1))
            assert len(np.unique(scale)) == CHANNELS
            for before, after in zip(dense_form(net).projections, dense_form(found).projections, strict=True):
                real, codes = before.connectivity.real, after.connectivity.codes
                unit = after.connectivity.quantised.scale
                assert np.array_equal(codes, np.clip(np.rint(real / unit), -31, 31))


def test_columns_of_unlike_connectivities() -> None:
    members = [sliding(), dense(SIZE, SIZE * CHANNELS)]
    columns = Columns.of(members)
    values = [m.values for m in members]
    matrix = columns.stacked(values)
    assert matrix.shape == (TAPS + SIZE * SIZE, CHANNELS) and np.array_equal(columns.groups, members[0].scale_groups())
    assert np.count_nonzero(matrix) == sum(m.synapses for m in members)
    for found, expected in zip(columns.split(matrix), values, strict=True):
        assert np.array_equal(found, expected)
    for channel in range(CHANNELS):
        expected = np.concatenate([values[0][:, channel], values[1][:, columns.groups == channel].T.ravel()])
        assert np.array_equal(matrix[:, channel], expected)
    assert np.array_equal(columns.joined(np.arange(SIZE * CHANNELS), np.maximum), [7, 15, 23])
    assert np.array_equal(columns.spread(np.array([5, 6, 7])), np.repeat([5, 6, 7], SIZE))


def test_compression_works_on_any_member() -> None:
    for member in (one_to_one(), sliding()):
        net = network(member)
        found, report = compress(net, Recipe(method="magnitude", sparsity=0.4, bits=4), inputs())
        total = sum(p.connectivity.possible_synapses for p in net.projections)
        assert sum(p.weights for p in report.projections) == total
        assert sum(p.synapses for p in report.projections) <= total - round(0.4 * total)
        assert [p.synapses for p in report.projections] == [p.connectivity.synapses for p in found.projections]
        assert type(found.projections[0].connectivity) is type(member)
        sources = {INPUT: inputs(), "hidden": run_float(net, inputs()).populations["hidden"].spikes}
        losses = membrane_losses(dense_form(net), dense_form(found), sources)
        assert membrane_losses(net, found, sources) == pytest.approx(losses, rel=1e-9) and losses["hidden"] > 0
        for scheme, bits in (("ternary", 2), ("binary", 1), ("fixed_point", 8)):
            rounded = quantize_weights(net, bits, scheme).projections[0].connectivity
            assert type(rounded) is type(member) and rounded.quantised.scheme == scheme


def test_shared_weights_have_rules_of_their_own() -> None:
    net = network(sliding())
    several = np.linspace(1.0, 2.0, SIZE * CHANNELS)
    gains = replace(net.populations[0], dynamics=replace(net.populations[0].dynamics, r=several))
    with pytest.raises(ModelError, match="neurons that share weights share their gain and scale"):
        quantise(replace(net, populations=(gains, net.populations[1])), 4)
    late = replace(net.projections[0], delay=np.ones(net.projections[0].connectivity.shape, np.int64))
    with pytest.raises(ModelError, match=r"or one for each pre neuron where .* \(8,\): projection 'input' -> 'hidden"):
        verify(replace(net, projections=(late, net.projections[1])))
    whole = quantise(net, 4)
    first = whole.projections[0].connectivity
    uneven = first.with_codes(replace(first.quantised, scale=several))
    with pytest.raises(ModelError, match="share a scale: projection 'input' -> 'hidden' has several"):
        verify(replace(whole, projections=(replace(whole.projections[0], connectivity=uneven), whole.projections[1])))
    some = np.arange(SIZE) < 4
    with pytest.raises(ModelError, match="none of them can be removed; keep them all"):
        sliding().between(some, np.ones(SIZE * CHANNELS, np.bool_))
    assert sliding().between(np.arange(SIZE), np.ones(SIZE * CHANNELS, np.bool_)) is ...


def test_what_has_no_form_yet_says_so(tmp_path: Any) -> None:
    whole = quantise(network(one_to_one()), 4)
    with pytest.raises(ModelError, match=r"all-to-all connectivity, .* 'input' to 'hidden' is OneToOne; use the ref"):
        make_plan(whole)
    with pytest.raises(ModelError, match=r"a NIR file holds matrices, .*: .* 'input' to 'hidden' is OneToOne"):
        write_nir(whole, tmp_path / "a.nir")


@pytest.mark.parametrize("method", ["activity", "obc", "osbc"])
@pytest.mark.parametrize("bits", [None, 4])
def test_compression_on_data_fits_shared_weights(method: str, bits: int | None) -> None:
    net = network(sliding())
    found, report = compress(net, Recipe(method=method, sparsity=0.5, bits=bits, distil=False), inputs())
    total = sum(p.connectivity.possible_synapses for p in net.projections)
    assert sum(p.synapses for p in report.projections) <= total - round(0.5 * total)
    first = found.projections[0].connectivity
    assert isinstance(first, Sliding) and first.is_integer == (bits is not None) and first.synapses > 0
    assert found.populations[0].size == SIZE * CHANNELS
    run = run_float if bits is None else run_reference
    spikes, expected = run(found, inputs()).populations, run_float(net, inputs()).populations
    assert np.mean(spikes["hidden"].spikes != expected["hidden"].spikes) < 0.2 * np.mean(expected["hidden"].spikes)


def test_the_view_of_shared_weights_is_the_matrix() -> None:
    torch = pytest.importorskip("torch")
    net = network(sliding())
    samples = inputs_of(inputs(), dtype=torch.float64)
    layers, matrices = (layers_of(n, dtype=torch.float64) for n in (net, dense_form(net)))
    assert layers[0].weight.shape == (TAPS, CHANNELS) and matrices[0].weight.shape == (SIZE, SIZE * CHANNELS)
    for surrogate in (False, True):
        found, expected = (simulate(form, samples, surrogate=surrogate) for form in (layers, matrices))
        for name in ("hidden", "out"):
            assert torch.equal(found[name].spikes, expected[name].spikes)
            torch.testing.assert_close(found[name].membranes, expected[name].membranes)
    seen = gather(layers[0], {INPUT: samples})
    assert seen.shape == (12, 24 * SIZE, TAPS)
    assert torch.equal(
        layers[0].view.per_neuron(torch.arange(CHANNELS)), torch.arange(CHANNELS).repeat_interleave(SIZE)
    )
    (problem,) = problems_of(layers[0], layers[0].weight, layers[0].bias, seen, free_bias=False, damping=0.0)
    trace = filtered(seen, None, 0.5, layers[0].model).flatten(0, 1)
    torch.testing.assert_close(problem.hessian, 2 * trace.T @ trace / len(trace))


def test_training_moves_shared_weights_together() -> None:
    net = network(sliding())
    training = FineTune(epochs=2, batch_size=8)
    found, _ = compress(net, Recipe(method="osbc", sparsity=0.3, bits=4), inputs(), finetune=training)
    first = found.projections[0].connectivity
    assert isinstance(first, Sliding) and first.codes.shape == (TAPS, CHANNELS)
    scale = first.quantised.scale.reshape(CHANNELS, SIZE)
    assert np.array_equal(scale, np.repeat(scale[:, :1], SIZE, axis=1))


def test_compression_on_data_says_what_it_cannot_see() -> None:
    with pytest.raises(
        ModelError, match=r"see the same inputs: those of 'input' -> 'hidden' \(OneToOne\) do not; use m"
    ):
        compress(network(one_to_one()), Recipe(method="osbc", sparsity=0.5), inputs())
    mixed = network(sliding(), dense(SIZE, SIZE * CHANNELS))
    with pytest.raises(ModelError, match=r"'input' -> 'hidden' \(Dense\) do not"):
        compress(mixed, Recipe(method="osbc", sparsity=0.5), inputs())
    net = network(sliding())
    uneven = replace(net.populations[0], bias=np.linspace(0, 0.1, SIZE * CHANNELS))
    with pytest.raises(ModelError, match="share their parameters: bias of population 'hidden' differs between some"):
        compress(replace(net, populations=(uneven, net.populations[1])), Recipe(method="osbc", sparsity=0.5), inputs())

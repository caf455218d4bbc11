"""Pruning and quantisation of layers and networks by the names and formats that users know."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.compression import measured_rates, prune_neurons, prune_weights
from spikeloom.compiler.compression.quantization import QuantizedWeights, quantize_delays, quantize_weights
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LI, LIF, Arithmetic
from spikeloom.compiler.lowering.quantise import quantise, quantise_codes
from spikeloom.hdl.errors import ModelError, OptionError, SampleError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

SIZES = (12, 8, 6, 4)
FORMATS = [
    (16, "fixed_point"),
    (8, "fixed_point"),
    (4, "fixed_point"),
    (2, "fixed_point"),
    (2, "ternary"),
    (1, "binary"),
]


def layers(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.3, shape) for shape in pairwise(SIZES)]


def network(weights: list[np.ndarray], readout: bool = False, **dynamics: Any) -> Network:
    names = [INPUT, *(f"p{number}" for number in range(len(weights)))]
    neurons: list[Any] = [LIF(**{"beta": 0.9, "threshold": 1.0} | dynamics) for _ in weights]
    if readout:
        neurons[-1] = LI(beta=0.9)
    return Network(
        input_shape=(len(weights[0]),),
        populations=tuple(
            Population(name=n, shape=(w.shape[1],), dynamics=d, bias=np.full(w.shape[1], 0.05))
            for n, w, d in zip(names[1:], weights, neurons, strict=True)
        ),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=w))
            for pre, post, w in zip(names, names[1:], weights, strict=False)
        ),
        output=names[-1],
    )


def weights_of(net: Network) -> list[np.ndarray]:
    return [p.weights.dequantise() if isinstance(p.weights, Quantised) else p.weights for p in net.projections]


def rates(**silent: list[int]) -> list[np.ndarray]:
    vectors = [np.full(size, 0.2) for size in SIZES]
    for group, neurons in silent.items():
        vectors[int(group[1:])][neurons] = 0.01
    return vectors


def spikes(count: int = 10) -> np.ndarray:
    return (np.random.default_rng(1).random((count, 15, SIZES[0])) < 0.3).astype(np.uint8)


# ------------------------------------------------------------------------------------------------ prune_weights


@pytest.mark.parametrize("as_network", [False, True])
def test_magnitude_pruning_removes_what_is_below_the_threshold(as_network: bool) -> None:
    given: Any = network(layers()) if as_network else layers()
    before = weights_of(given) if as_network else given
    pruned, report = prune_weights(given, threshold=0.2)
    after = weights_of(pruned) if as_network else pruned
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(new, np.where(np.abs(old) < 0.2, 0, old))
    total, left = sum(w.size for w in before), sum(np.count_nonzero(w) for w in after)
    assert (report.original_params, report.remaining_params, report.pruned_params) == (total, left, total - left)
    assert report.sparsity == pytest.approx(1 - left / total)
    assert report.compression_ratio == pytest.approx(total / left)


def test_zeros_of_before_are_not_pruned_again() -> None:
    once, first = prune_weights(layers(), threshold=0.2)
    twice, second = prune_weights(once, threshold=0.2)
    assert second.pruned_params == 0
    assert second.sparsity == first.sparsity > 0
    assert all(np.array_equal(a, b) for a, b in zip(once, twice, strict=True))


def test_pruning_keeps_the_float_type_and_the_input() -> None:
    given = [w.astype(np.float32) for w in layers()]
    copies = copy.deepcopy(given)
    pruned, _ = prune_weights(given, threshold=0.2)
    assert all(w.dtype == np.float32 for w in pruned)
    assert all(np.array_equal(a, b) for a, b in zip(given, copies, strict=True))


@pytest.mark.parametrize("as_network", [False, True])
def test_activity_pruning_removes_weights_from_and_to_quiet_neurons(as_network: bool) -> None:
    given: Any = network(layers()) if as_network else layers()
    measured = rates(g0=[3], g1=[2, 5], g3=[1])
    with pytest.warns(UserWarning, match="1 of 4 outputs"):
        pruned, report = prune_weights(
            given, method="activity", activity_threshold=0.05, spike_rates=measured, threshold=9
        )
    after = weights_of(pruned) if as_network else pruned
    for old, new, pre, post in zip(layers(), after, measured, measured[1:], strict=False):
        keep = (pre >= 0.05)[:, None] & (post >= 0.05)
        assert np.array_equal(new, np.where(keep, old, 0))
    assert report.remaining_params == sum(np.count_nonzero(w) for w in after)


def test_readouts_that_never_fire_are_active() -> None:
    net = network(layers(), readout=True)
    measured = rates()
    measured[-1][:] = 0
    pruned, report = prune_weights(net, method="activity", spike_rates=measured)
    assert report.pruned_params == 0
    assert weights_of(pruned)[-1].all()


@pytest.mark.parametrize("as_network", [False, True])
def test_without_rates_activity_is_estimated_with_a_warning(as_network: bool) -> None:
    weights = layers()
    weights[0][:, 0] = -1.0  # this neuron can hardly fire
    weights[0][:, 1] = 1.0
    given: Any = network(weights) if as_network else weights
    with pytest.warns(UserWarning) as caught:
        pruned, _ = prune_weights(given, method="activity")
    assert "estimated" in str(caught[0].message)
    after = weights_of(pruned) if as_network else pruned
    assert not after[0][:, 0].any() and not after[1][0].any()
    assert after[0][:, 1].all()


def test_layers_that_fall_silent_are_named() -> None:
    weights = layers()
    weights[1] *= 0.001
    with pytest.warns(UserWarning, match="no weights in layer 1"):
        prune_weights(weights, threshold=0.1)
    with pytest.warns(UserWarning, match="no weights in 'p0' -> 'p1'"):
        prune_weights(network(weights), threshold=0.1)


def test_everything_may_go() -> None:
    with pytest.warns(UserWarning):
        _, report = prune_weights(layers(), threshold=100.0)
    assert report.compression_ratio == math.inf and report.sparsity == 1.0


# ------------------------------------------------------------------------------------------------ prune_neurons


@pytest.mark.parametrize("form", ["arrays", "mappings", "network"])
def test_quiet_hidden_neurons_go_and_their_drive_stays(form: str) -> None:
    weights = layers()
    given: Any = weights
    if form == "mappings":
        given = [{"weight": w, "bias": np.full(w.shape[1], 0.05)} for w in weights]
    elif form == "network":
        given = network(weights)
    measured = rates(g0=[0], g1=[2, 5], g2=[0], g3=[1])  # inputs and outputs stay, however quiet
    smaller, report = prune_neurons(given, activity_threshold=0.05, spike_rates=measured)
    assert (report.pruned_neurons, report.new_dimensions) == (3, [12, 6, 5, 4])
    first, second, third = report.kept[1], report.kept[2], report.kept[3]
    assert list(first) == [0, 1, 3, 4, 6, 7] and list(third) == [0, 1, 2, 3]
    expected = [weights[0][:, first], weights[1][np.ix_(first, second)], weights[2][second]]
    drive = 0.01 * weights[1][[2, 5]].sum(axis=0)
    if form == "arrays":
        found, biases = smaller, None
    elif form == "mappings":
        found, biases = [layer["weight"] for layer in smaller], [layer["bias"] for layer in smaller]
    else:
        found, biases = weights_of(smaller), [p.bias for p in smaller.populations]
        assert [p.shape for p in smaller.populations] == [(6,), (5,), (4,)]
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    if biases is not None:
        assert np.allclose(biases[1], (0.05 + drive)[second])
        assert np.allclose(biases[2], 0.05 + 0.01 * weights[2][0])


def test_removing_silent_neurons_changes_no_spike() -> None:
    weights = layers(3)
    weights[0] = np.abs(weights[0])
    weights[0][:, [1, 4]] = -1.0
    net = network(weights)
    measured = measured_rates(net, spikes())
    assert not measured[1][[1, 4]].any()
    smaller, report = prune_neurons(net, activity_threshold=1e-9, spike_rates=measured)
    assert report.pruned_neurons >= 2
    assert np.array_equal(run_float(smaller, spikes()).spikes, run_float(net, spikes()).spikes)


def test_per_neuron_parameters_and_delays_follow_their_neurons() -> None:
    weights = layers()
    net = network(weights)
    hidden = net.populations[0]
    dynamics = LIF(beta=np.linspace(0.5, 0.9, 8), threshold=np.array(1.0))
    delay = np.arange(8 * 6).reshape(8, 6)
    net = replace(
        net,
        populations=(replace(hidden, dynamics=dynamics, shape=(2, 4)), *net.populations[1:]),
        projections=(net.projections[0], replace(net.projections[1], delay=delay), net.projections[2]),
    )
    smaller, _ = prune_neurons(net, spike_rates=rates(g1=[0]))
    assert np.array_equal(smaller.populations[0].dynamics.beta, dynamics.beta[1:])
    assert smaller.populations[0].shape == (7,) and smaller.populations[1].shape == (6,)
    assert np.array_equal(smaller.projections[1].delay, delay[1:])
    late = np.zeros((8, 6), np.int64)
    late[0] = 3
    net = replace(net, projections=(net.projections[0], net.projections[1].delayed(late), net.projections[2]))
    smaller, _ = prune_neurons(net, spike_rates=rates(g1=[0]))
    assert net.projections[1].step_edge and not smaller.projections[1].step_edge


def test_the_most_active_neuron_of_a_dead_layer_stays() -> None:
    measured = rates(g1=list(range(8)))
    measured[1][3] = 0.02
    with pytest.warns(UserWarning, match="layer 0"):
        _, report = prune_neurons(layers(), spike_rates=measured)
    assert report.new_dimensions == [12, 1, 6, 4] and list(report.kept[1]) == [3]


def test_measured_rates_are_the_executors() -> None:
    net = network(layers())
    recording = run_float(net, spikes())
    measured = measured_rates(net, spikes())
    assert np.allclose(measured[0], spikes().mean(axis=(0, 1)))
    for vector, population in zip(measured[1:], net.populations, strict=True):
        assert np.allclose(vector, recording.populations[population.name].spikes.mean(axis=(0, 1)))


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.ones((3, 2)), "list"),
        ([], "empty"),
        ([np.ones(3)], "layer 0"),
        ([np.ones((3, 2)), np.ones((3, 2))], "transpose"),
        ([np.full((3, 2), np.nan)], "NaN"),
        ([np.array([["a"]])], "numbers"),
        ([[[1, 2], [3]]], "layer 0"),
        ([np.ones((3, 2), complex)], "numbers"),
        ([np.ones((0, 2))], "layer 0"),
        ([{"weights": 1}], "'weight'"),
        ([{"weight": np.ones((3, 2)), "bias": np.ones(3)}], "bias"),
        ("weights", "list"),
    ],
)
def test_bad_weights_are_refused(bad: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        prune_neurons(bad, spike_rates=[np.ones(3), np.ones(2)])


@pytest.mark.parametrize("method", ["percentile", "", None, "Magnitude"])
def test_unknown_methods_are_refused(method: Any) -> None:
    with pytest.raises(OptionError, match="magnitude, activity"):
        prune_weights(layers(), method=method)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "0.1", True, None])
def test_thresholds_are_numbers(value: Any) -> None:
    with pytest.raises(OptionError, match="threshold"):
        prune_weights(layers(), threshold=value)
    with pytest.raises(OptionError, match="activity_threshold"):
        prune_neurons(layers(), activity_threshold=value)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (rates()[1:], "inputs"),
        ([*rates()[:-1], np.ones(3)], "layer 2"),
        ([*rates()[:-1], np.full(4, -0.1)], "0 or more"),
        ([*rates()[:-1], np.full(4, np.nan)], "0 or more"),
        ([*rates()[:-1], ["a"] * 4], "layer 2"),
    ],
)
def test_bad_rates_are_refused(bad: Any, words: str) -> None:
    with pytest.raises(SampleError, match=words):
        prune_weights(layers(), method="activity", spike_rates=bad)


def test_integer_networks_are_refused() -> None:
    integer = quantise(network(layers()), 4)
    for function in (prune_weights, prune_neurons, quantize_weights):
        with pytest.raises(ModelError, match="quantised"):
            function(integer)


# --------------------------------------------------------------------------------------------- quantize_weights


def test_fixed_point_formats_are_q8_8_and_q4_4() -> None:
    for bits, step in ((16, 1 / 256), (8, 1 / 16)):
        for matrix, q in zip(layers(), quantize_weights(layers(), bits=bits, scheme="fixed_point"), strict=True):
            assert np.array_equal(q, np.rint(matrix / step) * step)
            assert (q.bits, q.scheme, q.scales.shape, float(q.scales)) == (bits, "fixed_point", (), step)
            assert q.codes.dtype == np.int64 and np.array_equal(q.codes * q.scales, q)


@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
def test_codes_are_in_range_zeros_stay_and_errors_are_small(bits: int, scheme: str) -> None:
    pruned, _ = prune_weights(layers(), threshold=0.15)
    pruned[1][:, 2] = 0  # an output without synapses
    limit = max(1, 2 ** (bits - 1) - 1)
    for matrix, q in zip(pruned, quantize_weights(pruned, bits=bits, scheme=scheme), strict=True):
        assert np.abs(q.codes).max() <= limit
        assert not q[matrix == 0].any()
        assert np.all(q.scales > 0)
        assert np.linalg.norm(q - matrix) < 0.6 * np.linalg.norm(matrix)
        if scheme == "binary":
            assert np.array_equal(q.codes, np.sign(matrix))


def test_ternary_is_the_least_squares_form() -> None:
    rng = np.random.default_rng(4)
    column = rng.normal(size=(6, 1))
    [q] = quantize_weights([column], bits=2, scheme="ternary")
    best = math.inf
    for codes in product((-1, 0, 1), repeat=6):
        c = np.array(codes, float)[:, None]
        scale = float((c * column).sum() / max(1.0, (c**2).sum()))
        best = min(best, float(((column - scale * c) ** 2).sum()))
    assert float(((column - q) ** 2).sum()) == pytest.approx(best)


def test_binary_has_the_mean_magnitude() -> None:
    [q] = quantize_weights([np.array([[0.5, -1.0], [-0.3, 0.0]])], bits=1, scheme="binary")
    assert np.array_equal(q.codes, [[1, -1], [-1, 0]]) and np.allclose(q.scales, [0.4, 1.0])


def test_few_bits_have_a_scale_per_output() -> None:
    matrix = layers()[0] * np.geomspace(1e-3, 1, 8)
    [q] = quantize_weights([matrix], bits=4)
    assert q.scales.shape == (8,)
    error = np.linalg.norm(q - matrix, axis=0) / np.linalg.norm(matrix, axis=0)
    assert np.all(error < 0.15)


def test_what_does_not_fit_the_format_is_told() -> None:
    with pytest.warns(UserWarning, match="clipped"):
        [q] = quantize_weights([np.array([[200.0, 1.0]])], bits=16)
    assert np.array_equal(q, [[32767 / 256, 1.0]])
    with pytest.warns(UserWarning, match="all became zero"):
        quantize_weights([np.full((2, 2), 0.01)], bits=8)


@pytest.mark.parametrize(
    ("bits", "scheme"),
    [
        (1, "fixed_point"), (12, "fixed_point"), (32, "fixed_point"), (0, "fixed_point"), (2, "binary"), (1, "ternary"),
        (8, "ternary"), (8, "int8"), (8.0, "fixed_point"), (True, "binary"), ("8", "fixed_point"), (8, None),
    ],
)  # fmt: skip
def test_impossible_formats_are_refused(bits: Any, scheme: Any) -> None:
    with pytest.raises(OptionError):
        quantize_weights(layers(), bits=bits, scheme=scheme)


def test_quantised_weights_behave_as_an_array() -> None:
    matrix = layers()[0]
    [q] = quantize_weights([matrix], bits=4)
    assert isinstance(q, QuantizedWeights) and isinstance(q, np.ndarray)
    assert q.shape == (12, 8) and q.dtype == np.float64
    for derived in (q + 1, q[0], q[:, 1:], np.abs(q), matrix @ q.T, q.mean(axis=0), np.asarray(q) * 2):
        assert type(derived) is np.ndarray
    assert isinstance(q.sum(), float) and isinstance(q[0, 0], float)
    with pytest.raises(ValueError, match="read-only"):
        q += 1
    with pytest.raises(ValueError, match="read-only"):
        q.codes[0, 0] = 5
    for other in (copy.copy(q), copy.deepcopy(q), pickle.loads(pickle.dumps(q))):
        assert np.array_equal(other, q) and np.array_equal(other.codes, q.codes) and other.bits == 4


@pytest.mark.parametrize("readout", [False, True])
@pytest.mark.parametrize(("bits", "scheme"), FORMATS)
def test_networks_become_integer_networks_with_the_same_weights(
    bits: int, scheme: str, readout: bool, tmp_path: Any
) -> None:
    net = network(layers(), readout)
    integer = quantize_weights(net, bits=bits, scheme=scheme)
    assert integer.is_integer
    for p, matrix in zip(integer.projections[:-1], quantize_weights(layers(), bits=bits, scheme=scheme), strict=False):
        assert isinstance(p.weights, Quantised) and p.weights.scheme == scheme
        assert np.array_equal(p.weights.codes, matrix.codes)
        assert np.allclose(p.weights.dequantise(), matrix)
    last = integer.projections[-1].weights
    assert isinstance(last, Quantised) and (not readout or np.ptp(last.scale) == 0)
    file = tmp_path / "network.nir"
    write_nir(integer, file)
    again = read_nir(file)
    assert np.array_equal(run_reference(again, spikes()).spikes, run_reference(integer, spikes()).spikes)


def test_at_16_bits_the_integer_network_fires_like_the_float_one() -> None:
    net = network([np.rint(w * 256) / 256 for w in layers(5)])
    real, integer = run_float(net, spikes(40)), run_reference(quantize_weights(net, bits=16), spikes(40))
    assert np.mean(real.spikes != integer.spikes) < 0.01


def test_gains_go_into_the_scale() -> None:
    net = network(layers(), r=np.array(-2.0), arithmetic=Arithmetic.EULER)
    integer = quantize_weights(net, bits=8)
    first = integer.projections[0].weights
    assert isinstance(first, Quantised)
    expected = np.rint(layers()[0] * 16) / 16 * -2.0 * (1 - 0.9)
    assert np.allclose(first.dequantise(), expected)


def test_given_codes_are_checked() -> None:
    net = network(layers())
    good = [Quantised(codes=np.ones(w.shape), bits=4, scale=0.1) for w in layers()]
    assert quantise_codes(net, good, spikes()).is_integer
    with pytest.raises(ModelError, match="shape"):
        quantise_codes(net, [good[1], good[1], good[2]])
    readout = network(layers(), readout=True)
    bad = Quantised(codes=np.ones(layers()[2].shape), bits=4, scale=np.linspace(0.1, 0.2, 4))
    with pytest.raises(ModelError, match="one scale"):
        quantise_codes(readout, [good[0], good[1], bad])


# ---------------------------------------------------------------------------------------------- quantize_delays


def test_delays_are_nearest_multiples() -> None:
    assert quantize_delays([1.3, 2.7, 4.1, 0.8], resolution=2).tolist() == [2, 2, 4, 0]
    assert quantize_delays(np.array([1.0, 3.0, 0.99]), resolution=2).tolist() == [2, 4, 0]  # halves go up
    assert quantize_delays([1.3, 2.7, 4.1, 0.8], resolution=2, rounding="up").tolist() == [2, 4, 6, 2]
    assert quantize_delays([1.3, 2.7, 4.1, 0.0], resolution=2, minimum=1).tolist() == [2, 2, 4, 2]
    assert quantize_delays([0.4, 1.6]).tolist() == [0, 2]
    assert quantize_delays(2.6).tolist() == 3


def test_delays_of_lists_and_networks() -> None:
    parts = quantize_delays([np.array([[1.3]]), np.array([[2.7, 4.1]])], resolution=2)
    assert [p.tolist() for p in parts] == [[[2]], [[2, 4]]]
    net = network(layers())
    delays = np.arange(12 * 8).reshape(12, 8)
    net = replace(net, projections=(replace(net.projections[0], delay=delays), *net.projections[1:]))
    coarse = quantize_delays(net, resolution=4)
    assert np.array_equal(coarse.projections[0].delay, (delays + 2) // 4 * 4)
    assert not coarse.projections[1].delay.any()
    none = quantize_delays(replace(net, projections=(net.projections[0].delayed(np.array(1)), *net.projections[1:])), 4)
    assert not any(p.step_edge or p.delay.any() for p in none.projections)


@pytest.mark.parametrize(
    ("delays", "options", "error"),
    [
        ([1.0], {"resolution": 0}, OptionError),
        ([1.0], {"resolution": 1.5}, OptionError),
        ([1.0], {"minimum": -1}, OptionError),
        ([1.0], {"rounding": "down"}, OptionError),
        ([-0.1], {}, ModelError),
        ([math.nan], {}, ModelError),
        ([math.inf], {}, ModelError),
        (["a"], {}, ModelError),
        ([[1], [1, 2]], {}, ModelError),
    ],
)
def test_bad_delays_are_refused(delays: Any, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        quantize_delays(delays, **options)


# ------------------------------------------------------------------------------------------------------ package


def test_the_package_loads_no_torch() -> None:
    script = (
        "import sys, spikeloom.compiler.compression as c; [getattr(c, name) for name in c.__all__];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_no_warning_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune_weights(layers(), threshold=0.05)
        prune_neurons(layers(), spike_rates=rates())
        quantize_weights(layers(), bits=4)

"""Quantisation: what is exact stays exact, what is rounded stays within its stated error, and the spikes stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from spikeloom.compiler.compression.magnitude import prune
from spikeloom.compiler.ir.arrays import FloatArray
from spikeloom.compiler.ir.bounds import signed_bits
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import (
    IF,
    LI,
    LIF,
    Arithmetic,
    CubaLIF,
    Drive,
    Fire,
    IntegerDynamics,
    Kind,
    ResetMode,
    ResetPlace,
)
from spikeloom.compiler.lowering.error import quantisation_error
from spikeloom.compiler.lowering.leak import choose_decay, digit_count, hardly_leaks, leak_error
from spikeloom.compiler.lowering.quantise import dequantise, quantise
from spikeloom.compiler.lowering.scales import Activity, codes_of, search_scales
from spikeloom.compiler.neurons.contract import contract_form as fold
from spikeloom.compiler.neurons.observe import calibration_inputs, observe
from spikeloom.hdl.errors import InputError, ModelError, OptionError, SampleError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.recording import Recording
from spikeloom.sim.reference import run_reference

Spikes = npt.NDArray[np.uint8]

RESETS = [
    (ResetMode.SUBTRACT, ResetPlace.SAME),
    (ResetMode.SUBTRACT, ResetPlace.NEXT),
    (ResetMode.SUBTRACT, ResetPlace.SNNTORCH_SAME),
    (ResetMode.VALUE, ResetPlace.SAME),
    (ResetMode.VALUE, ResetPlace.NEXT),
    (ResetMode.NONE, ResetPlace.SAME),
]


def single(dynamics: Any, weights: Any, bias: Any = 0.0, **fields: Any) -> Network:
    """One population `p` behind the input."""
    weights = np.asarray(weights, np.float64)
    population = Population(name="p", shape=(weights.shape[1],), dynamics=dynamics, bias=bias)
    projection = Projection(pre=INPUT, post="p", connectivity=Dense(weights=weights), **fields)
    return Network(
        input_shape=(len(weights),), populations=(population,), projections=(projection,), output="p", dtype="float64"
    )


def random_inputs(rng: np.random.Generator, samples: int, steps: int, inputs: int, rate: float = 0.3) -> Spikes:
    return (rng.random((samples, steps, inputs)) < rate).astype(np.uint8)


def random_network(seed: int, beta: float = 0.9, sizes: tuple[int, ...] = (40, 30, 10)) -> Network:
    """A chain of LIF populations that fire about as often as trained ones."""
    rng = np.random.default_rng(seed)
    names = [INPUT, *(f"hidden{i}" for i in range(len(sizes) - 2)), "out"]
    pairs = list(zip(names, names[1:], sizes, sizes[1:], strict=False))
    return Network(
        input_shape=(sizes[0],),
        populations=tuple(
            Population(
                name=post,
                shape=(columns,),
                dynamics=LIF(beta=beta, threshold=1.0, reset_place=ResetPlace.NEXT),
                bias=rng.normal(0, 0.02, columns),
            )
            for _, post, _, columns in pairs
        ),
        projections=tuple(
            Projection(
                pre=pre,
                post=post,
                connectivity=Dense(weights=rng.normal(0.15, 1.0, (rows, columns)) / np.sqrt(rows) * 0.5),
            )
            for pre, post, rows, columns in pairs
        ),
        output="out",
    )


def dynamics_of(network: Network, name: str = "p") -> IntegerDynamics:
    dynamics = network.population(name).dynamics
    assert isinstance(dynamics, IntegerDynamics)
    return dynamics


def codes_into(network: Network, name: str = "p") -> npt.NDArray[np.int64]:
    weights = network.projections_into(name)[0].weights
    assert isinstance(weights, Quantised)
    return weights.codes


def real_weights(network: Network, name: str = "p") -> FloatArray:
    weights = network.projections_into(name)[0].weights
    assert isinstance(weights, Quantised)
    return weights.dequantise()


def unit_of(dynamics: IntegerDynamics) -> FloatArray:
    return dynamics.scale / 2**dynamics.fraction_bits


def changed(integer: Recording, real: Recording, name: str) -> float:
    """Changed spikes over the float network's spikes."""
    before = real.populations[name].spikes
    return int(np.sum(integer.populations[name].spikes != before)) / max(1, int(np.sum(before)))


# ------------------------------------------------------------------------------------------- what stays exact


@pytest.mark.parametrize("fire", Fire)
@pytest.mark.parametrize(("mode", "place"), RESETS)
def test_weights_on_a_lattice_give_the_same_spikes_and_membranes(
    fire: Fire, mode: ResetMode, place: ResetPlace
) -> None:
    """IF neurons whose weights, thresholds and bias are multiples of 1/8: equality with the threshold is common."""
    rng = np.random.default_rng(0)
    dynamics = IF(threshold=rng.integers(4, 12, 7) / 8, v_reset=-0.25, reset_mode=mode, reset_place=place, fire=fire)
    net = single(dynamics, rng.integers(-7, 8, (9, 7)) / 8, bias=rng.integers(-1, 2, 7) / 8)
    spikes = random_inputs(rng, 8, 30, 9)
    integer = quantise(net, 4)
    expected, got = run_float(net, spikes, membranes=True), run_reference(integer, spikes, membranes=True)
    assert expected.spikes.any()
    assert np.array_equal(got.spikes, expected.spikes)
    assert got.membranes is not None
    assert np.allclose(got.membranes * unit_of(dynamics_of(integer)), expected.membranes, atol=1e-12)


def test_fire_is_the_exact_floor_or_ceiling_of_the_real_threshold() -> None:
    weights = np.array([[1.0, 0.1, 0.3]])  # with one synapse the scale is the weight over the code
    for fire, offset in ((Fire.GT, 0), (Fire.GE, -1)):
        for threshold in (0.3, 0.6, 0.9, 1.0, 2.9999999999999996):
            dynamics = dynamics_of(quantise(single(IF(threshold=threshold, fire=fire), weights), 2))
            for f, unit in zip(dynamics.fire.tolist(), unit_of(dynamics).tolist(), strict=True):
                below, above = (f * unit, (f + 1) * unit)  # products are exact: the factors are small
                if offset == 0:
                    assert below <= threshold * (1 + 1e-15) and above > threshold * (1 - 1e-15)
                else:
                    assert below < threshold * (1 + 1e-15) and above >= threshold * (1 - 1e-15)


def test_zero_weights_stay_zero_and_codes_stay_in_range() -> None:
    net = prune(random_network(1), 0.8)
    for bits in (2, 3, 4, 8, 16):
        integer = quantise(net, bits)
        for before, after in zip(net.projections, integer.projections, strict=True):
            assert isinstance(after.weights, Quantised) and not isinstance(before.weights, Quantised)
            assert np.all(after.weights.codes[before.weights == 0] == 0)
            assert np.abs(after.weights.codes).max() <= (1 << (bits - 1)) - 1
            assert after.weights.bits == bits


def test_quantising_the_float_view_changes_nothing() -> None:
    for seed, bits in ((2, 2), (3, 4), (4, 8)):
        first = quantise(random_network(seed), bits)
        second = quantise(dequantise(first), bits)
        for name in ("hidden0", "out"):
            assert np.allclose(real_weights(first, name), real_weights(second, name), rtol=1e-9, atol=0)


def test_float_view_fires_as_the_integers_do() -> None:
    """With a leak of a power of two and ample fraction bits the float view and the integers agree."""
    net = random_network(5, beta=0.5)
    integer = quantise(net, 6)
    view = dequantise(integer)
    assert not view.is_integer and view.populations[0].dynamics.fire is Fire.GT  # type: ignore[union-attr]
    spikes = random_inputs(np.random.default_rng(0), 20, 30, 40)
    assert changed(run_reference(integer, spikes), run_float(view, spikes), "hidden0") < 0.05


def test_quantisation_is_deterministic() -> None:
    data = random_inputs(np.random.default_rng(1), 30, 15, 40)
    first, second = (quantise(random_network(6), 5, data) for _ in range(2))
    for a, b in zip(first.populations, second.populations, strict=True):
        assert np.array_equal(dynamics_of(first, a.name).fire, dynamics_of(second, b.name).fire)
        assert np.array_equal(codes_into(first, a.name), codes_into(second, b.name))
        assert np.array_equal(a.bias, b.bias)


# -------------------------------------------------------------------------------------- scales and constants


def test_scales_are_per_neuron_and_shared_by_projections_and_readouts() -> None:
    rng = np.random.default_rng(7)
    weights = rng.normal(0, 1, (20, 4)) * np.array([0.01, 0.1, 1.0, 10.0])
    spiking = dynamics_of(quantise(single(LIF(beta=0.9, threshold=[0.01, 0.1, 1.0, 10.0]), weights), 8))
    assert np.ptp(spiking.scale / np.array([0.01, 0.1, 1.0, 10.0])) < spiking.scale[2]
    assert np.ptp(spiking.fire) < 0.5 * spiking.fire.max()
    readout = dynamics_of(quantise(single(LI(beta=0.9), weights), 8))
    assert np.ptp(readout.scale) == 0
    two = single(LIF(beta=0.9, threshold=1.0), weights)
    two = replace(two, projections=(*two.projections, two.projections[0]))
    integer = quantise(two, 8)
    for projection in integer.projections:
        assert isinstance(projection.weights, Quantised)
        assert np.array_equal(projection.weights.scale, dynamics_of(integer).scale)
        assert projection.shift == dynamics_of(integer).fraction_bits


def test_neuron_without_synapses_has_scale_one() -> None:
    net = single(LIF(beta=0.9, threshold=[1.0, 1.0, 1e9]), np.array([[0.5, 0.0, 0.0]]))
    dynamics = dynamics_of(quantise(net, 4))
    assert dynamics.scale[1] == 1.0 and dynamics.fire[1] == 1 << dynamics.fraction_bits
    assert dynamics.state_bits <= 24  # the scale of a neuron that can never fire gives way


def test_neuron_with_only_a_bias_keeps_its_rhythm() -> None:
    net = single(IF(threshold=0.01), np.zeros((1, 1)), bias=0.0031)
    spikes = np.zeros((1, 200, 1), np.uint8)
    expected, got = run_float(net, spikes).spikes.sum(), run_reference(quantise(net, 8), spikes).spikes.sum()
    assert expected == 62 and abs(int(got) - int(expected)) <= 1


def test_one_insensitive_neuron_does_not_widen_the_membranes() -> None:
    rng = np.random.default_rng(8)
    weights = rng.normal(0, 0.3, (20, 4))
    data = random_inputs(rng, 20, 20, 20)
    for calibration in (None, data):
        wide = dynamics_of(quantise(single(LIF(beta=0.5, threshold=1.0), weights), 4, calibration))
        dull = weights * np.array([1.0, 1.0, 1e-9, 1.0])
        dynamics = dynamics_of(quantise(single(LIF(beta=0.5, threshold=1.0), dull), 4, calibration))
        assert dynamics.state_bits <= wide.state_bits and dynamics.fire[2] <= dynamics.fire[[0, 1, 3]].max()


@pytest.mark.parametrize("arithmetic", Arithmetic)
@pytest.mark.parametrize(("v_leak", "v_init"), [(0.0, 0.0), (0.3, 0.0), (-0.4, -0.4), (0.2, 0.1), (0.0, 0.25)])
@pytest.mark.parametrize(("mode", "place"), RESETS)
def test_gain_and_resting_potential_are_folded(
    arithmetic: Arithmetic, v_leak: float, v_init: float, mode: ResetMode, place: ResetPlace
) -> None:
    rng = np.random.default_rng(9)
    scale = 1.0 if arithmetic is Arithmetic.DECAY else 4.0
    dynamics = LIF(
        beta=0.75, threshold=0.8, r=scale * np.linspace(0.5, 1.5, 8), v_leak=v_leak, v_init=v_init, v_reset=-0.1,
        reset_mode=mode, reset_place=place, arithmetic=arithmetic,
    )  # fmt: skip
    net = single(dynamics, rng.normal(0.1, 0.4, (12, 8)), bias=rng.normal(0, 0.05, 8))
    spikes = random_inputs(rng, 30, 25, 12)
    expected, got = run_float(net, spikes), run_reference(quantise(net, 14), spikes)
    assert expected.spikes.mean() > 0.02
    assert changed(got, expected, "p") < 0.03


def test_constants_are_within_half_a_unit() -> None:
    net = single(LIF(beta=0.9, threshold=1.234, v_reset=-0.567, reset_mode=ResetMode.VALUE), [[0.4], [-0.3]], bias=0.05)
    integer = quantise(net, 8)
    dynamics = dynamics_of(integer)
    unit = unit_of(dynamics)
    assert abs(dynamics.sub * unit - 1.234) <= unit / 2
    assert abs(dynamics.v_reset * unit + 0.567) <= unit / 2
    assert abs(integer.populations[0].bias * unit - 0.05) <= unit / 2
    assert np.all(dynamics.fire * unit <= 1.234) and np.all((dynamics.fire + 1) * unit > 1.234)


def test_membranes_never_reach_their_limit_without_calibration() -> None:
    """The worst inputs that there are: everything that excites, then everything that inhibits."""
    net = random_network(10, beta=0.8)
    integer = quantise(net, 6)
    weights = codes_into(integer, "hidden0")
    spikes = np.zeros((60, 80, 40), np.uint8)
    for j in range(30):
        spikes[2 * j, :40] = spikes[2 * j + 1, 40:] = weights[:, j] > 0
        spikes[2 * j, 40:] = spikes[2 * j + 1, :40] = weights[:, j] < 0
    assert all(e.saturation_excluded for e in quantisation_error(net, integer))
    membranes = run_reference(integer, spikes, membranes=True).populations["hidden0"].membranes
    assert membranes is not None
    limit = 1 << (dynamics_of(integer, "hidden0").state_bits - 1)
    assert -limit < membranes.min() and membranes.max() < limit - 1


def test_calibrated_membranes_have_room_to_spare() -> None:
    net = random_network(11)
    data = random_inputs(np.random.default_rng(2), 40, 20, 40)
    integer = quantise(net, 4, data)
    recording = run_reference(integer, data, membranes=True)
    for name, record in recording.populations.items():
        assert record.membranes is not None
        assert np.abs(record.membranes).max() * 1.5 < 1 << (dynamics_of(integer, name).state_bits - 1)
    assert all(8 <= dynamics_of(integer, p.name).state_bits <= 24 for p in integer.populations)


def test_membranes_have_twice_the_room_that_the_samples_take() -> None:
    """An IF neuron that fires once in each sample, of which there are enough, and then sinks where no proof ends."""
    population = Population(name="p", shape=(1,), dynamics=IF(threshold=0.5))
    projection = Projection(pre=INPUT, post="p", connectivity=Dense(weights=np.array([[-1.0], [1.0]])))
    net = Network(input_shape=(2,), populations=(population,), projections=(projection,), output="p")
    data = np.zeros((64, 102, 2), np.uint8)
    data[:, 0, 1] = data[:, 1:, 0] = 1
    integer = quantise(net, 4, data)
    membranes = run_reference(integer, data, membranes=True).membranes
    assert membranes is not None
    deepest, dynamics = int(membranes.min()), dynamics_of(integer, "p")
    assert signed_bits(deepest, -deepest) < signed_bits(2 * deepest, -2 * deepest) == dynamics.state_bits


# ---------------------------------------------------------------------------------------- clip search and leak


def test_clip_search_beats_the_largest_weight() -> None:
    rng = np.random.default_rng(12)
    weights = rng.standard_t(4, (300, 20))
    activity = Activity(np.full(300, 0.2), np.full(300, 0.16))
    for bits, gain in ((2, 0.5), (3, 0.7), (4, 0.8)):
        plain = np.abs(weights).max(axis=0) / ((1 << (bits - 1)) - 1)
        best = search_scales(weights, activity, bits, shared=False)

        def error(scale: FloatArray, bits: int = bits) -> float:
            return float(((weights - codes_of(weights, scale, bits) * scale) ** 2).sum())

        assert error(best) < gain * error(plain)


def test_active_inputs_get_the_precision() -> None:
    rng = np.random.default_rng(13)
    weights = rng.normal(0, 0.3, (50, 1))
    weights[0] = 3.0
    rates = np.full(50, 0.3)
    rates[0] = 1e-4  # the large weight is hardly ever used
    busy = search_scales(weights, Activity(rates, rates * (1 - rates)), 3, shared=False)
    alike = search_scales(weights, Activity(np.full(50, 0.3), np.full(50, 0.21)), 3, shared=False)
    assert busy[0] < 0.5 * alike[0]


def test_the_clip_search_keeps_the_mean_drive() -> None:
    """The error of inputs that fire independently, written out, on a fine grid of scales: nothing on it is better."""
    weights = np.abs(np.random.default_rng(0).normal(0, 1, (60, 4)))

    def error(scale: FloatArray) -> FloatArray:
        difference = weights - codes_of(weights, scale, 3) * scale
        return (0.21 * difference**2).sum(axis=0) + (0.3 * difference).sum(axis=0) ** 2

    best = search_scales(weights, Activity(np.full(60, 0.3), np.full(60, 0.21)), 3, shared=False)
    grid = np.min([error(np.full(4, scale)) for scale in np.geomspace(0.02, 1.5, 1000)], axis=0)
    assert np.all(error(best) < 1.03 * grid)


def test_weights_that_are_integers_already_keep_their_grid() -> None:
    rng = np.random.default_rng(14)
    integers = rng.integers(-5, 6, (30, 6))
    weights = integers * np.array([1e-3, 0.1, 1 / 3, 1.0, 7.0, 1e5])
    scales = search_scales(weights, Activity(np.ones(30), np.ones(30)), 8, shared=False)
    assert np.array_equal(codes_of(weights, scales, 8), integers)


def test_leak_takes_the_cheapest_that_is_near_enough() -> None:
    leak = np.full(3, 0.1)
    assert (choose_decay(1 - leak, None, 0).c, choose_decay(1 - leak, None, 0).k) == (13, 7)
    exact = choose_decay(1 - leak, lambda d: leak_error(leak, d), 0.0)
    assert leak_error(leak, exact) < 2e-3 and digit_count(exact) == 5
    loose = choose_decay(1 - leak, lambda d: 0.0, 0.0)
    assert (loose.c, loose.k) == (3, 5)
    assert (choose_decay(np.array([0.5]), None, 0).c, choose_decay(np.array([0.5]), None, 0).k) == (1, 1)
    assert (choose_decay(np.array([1.0]), None, 0).c, choose_decay(np.array([0.0]), None, 0).c) == (0, 1)


def test_a_leak_that_samples_cannot_show_is_none() -> None:
    """Some millionths per step, over 150 steps: IF neurons, whose membranes need no bits for it; and it is said."""
    given = random_inputs(np.random.default_rng(3), 4, 150, 40, 0.1)
    network = random_network(5, beta=1 - 2e-6)
    with pytest.warns(
        UserWarning, match=r"the leak of population 'hidden0', 2e-06 of its membrane in a step, does not"
    ):
        slow = quantise(network, 8, given)
    for population in slow.populations:
        dynamics = population.dynamics
        assert isinstance(dynamics, IntegerDynamics) and dynamics.kind is Kind.IF and dynamics.decay is None
        assert dynamics.fraction_bits <= 8
    assert hardly_leaks(np.array([1 - 2e-6]), 10_000) and not hardly_leaks(np.array([1 - 2e-6]), 10_200)
    errors = quantisation_error(network, slow)
    assert all(error.leak == 1 and error.leak_digits == 0 for error in errors)


@pytest.mark.parametrize("calibrated", [True, False])
def test_no_leak_at_all_is_none(calibrated: bool) -> None:
    """snnTorch's Leaky with beta 1; nothing is said, as nothing is left out."""
    given = random_inputs(np.random.default_rng(3), 4, 20, 40)
    whole = quantise(random_network(5, beta=1.0), 8, given if calibrated else None)
    assert [p.dynamics.kind for p in whole.populations] == [Kind.IF] * 2


def test_leak_of_each_neuron_shares_k() -> None:
    beta = np.array([0.5, 0.9, 0.95])
    decay = choose_decay(beta, None, 0)
    assert decay.c.shape == (3,) and leak_error(1 - beta, decay) <= 0.02
    almost = choose_decay(np.array([0.9, 0.9000000357627869]), None, 0)
    assert almost.c.shape == ()


def test_fraction_bits_follow_a_slow_leak() -> None:
    """Without fraction bits a slow leak never moves a small integer, and the spikes change."""
    net = random_network(15, beta=0.97)
    data = random_inputs(np.random.default_rng(3), 40, 40, 40, 0.15)
    integer = quantise(net, 3, data)
    dynamics = dynamics_of(integer, "hidden0")
    assert dynamics.fraction_bits >= 2
    coarse = single_with(integer, 0)
    real = run_float(dequantise(integer), data)
    few, many = (changed(run_reference(n, data), real, "hidden0") for n in (coarse, integer))
    assert many < 0.5 * few


def single_with(integer: Network, fraction_bits: int) -> Network:
    """The network with fewer fraction bits, everything else alike."""
    populations, shifts = [], {}
    for population in integer.populations:
        dynamics = population.dynamics
        assert isinstance(dynamics, IntegerDynamics)
        drop = dynamics.fraction_bits - fraction_bits
        fewer = replace(dynamics, fire=dynamics.fire >> drop, sub=dynamics.sub >> drop, fraction_bits=fraction_bits)
        populations.append(replace(population, dynamics=fewer, bias=population.bias >> drop))
        shifts[population.name] = fraction_bits
    projections = tuple(replace(p, shift=shifts[p.post]) for p in integer.projections)
    return replace(integer, populations=tuple(populations), projections=projections)


# ------------------------------------------------------------------------------- models beyond the feed-forward


def rich_network(drive: Drive) -> Network:
    """CubaLIF with recurrence and delays, IF, and a readout."""
    rng = np.random.default_rng(16)

    def dense(rows: int, columns: int, size: float) -> Dense:
        return Dense(weights=rng.normal(0.1, 1, (rows, columns)) * size / np.sqrt(rows))

    populations = (
        Population(name="cuba", shape=(12,), dynamics=CubaLIF(alpha=0.5, beta=0.75, threshold=1.0, drive=drive)),
        Population(name="if", shape=(2, 4), dynamics=IF(threshold=1.0, fire=Fire.GE), bias=0.05),
        Population(name="out", shape=(3,), dynamics=LI(beta=0.875)),
    )
    projections = (
        Projection(pre=INPUT, post="cuba", connectivity=dense(15, 12, 0.8), delay=rng.integers(0, 4, (15, 12))),
        Projection(pre="cuba", post="cuba", connectivity=dense(12, 12, 0.4), delay=1),
        Projection(pre="cuba", post="if", connectivity=dense(12, 8, 0.8), delay=2),
        Projection(pre="if", post="out", connectivity=dense(8, 3, 1.0)),
        Projection(pre=INPUT, post="out", connectivity=dense(15, 3, 0.2)),
    )
    return Network(input_shape=(3, 5), populations=populations, projections=projections, output="out")


@pytest.mark.parametrize("drive", Drive)
@pytest.mark.parametrize("calibrated", [False, True])
def test_all_models_with_delays_and_recurrence(drive: Drive, calibrated: bool) -> None:
    net = rich_network(drive)
    data = random_inputs(np.random.default_rng(4), 30, 25, 15)
    integer = quantise(net, 12, data if calibrated else None)
    expected = observe(net, [fold(net, p) for p in net.populations], calibration_inputs(net, data))
    got = run_reference(integer, data, membranes=True)
    for name in ("cuba", "if"):
        assert expected[name].mean() > 0.02
        assert np.mean(got.populations[name].spikes != expected[name]) < 0.02
    assert [dynamics_of(integer, p.name).kind for p in net.populations] == [Kind.CUBALIF, Kind.IF, Kind.LI]
    assert not got.spikes.any()
    view = dequantise(integer)
    assert np.allclose(view.population("cuba").dynamics.alpha, 0.5)  # type: ignore[union-attr]


def test_observation_is_the_float_executor() -> None:
    net = random_network(17)
    data = random_inputs(np.random.default_rng(5), 20, 20, 40)
    observed = observe(net, [fold(net, p) for p in net.populations], calibration_inputs(net, data))
    recording = run_float(replace(net, dtype="float64"), data)
    for name, record in recording.populations.items():
        assert np.array_equal(observed[name], record.spikes)


# ------------------------------------------------------------------------------------------------- quality


def test_more_bits_change_fewer_spikes() -> None:
    net = random_network(18, sizes=(64, 64, 10))
    data = random_inputs(np.random.default_rng(6), 60, 25, 64)
    real = run_float(net, data)
    assert 0.03 < real.populations["hidden0"].spikes.mean() < 0.5
    shares = [changed(run_reference(quantise(net, bits, data), data), real, "hidden0") for bits in (16, 8, 6, 4, 2)]
    assert shares == sorted(shares)
    assert shares[0] < 0.02 and shares[1] < 0.1


def test_report_states_the_errors() -> None:
    net = random_network(19)
    rough, fine = (quantisation_error(net, quantise(net, bits)) for bits in (3, 10))
    for a, b in zip(rough, fine, strict=True):
        assert a.weights > 20 * b.weights > 0
        assert max(b.threshold, b.bias) < 0.01 and b.leak < 0.02 and b.leak_syn == 0
        assert b.leak_digits == 3 and b.weight_bits == 10 and b.leak_a == 0
    half = quantise(single(LIF(beta=0.5, threshold=1.0), [[1.0]]), 4)
    assert quantisation_error(single(LIF(beta=0.5, threshold=1.0), [[1.0]]), half)[0].weights < 1e-12
    adaptive = single(LIF(beta=0.5, threshold=1.0, rho=0.9, jump=0.5), [[1.0]])
    (error,) = quantisation_error(adaptive, quantise(adaptive, 4))
    assert 0 < error.leak_a <= 0.02 and error.leak == 0


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("bits", [1, 17, 0, -4, 4.0, "8", None, True])
def test_bits_out_of_range(bits: Any) -> None:
    with pytest.raises(OptionError, match="2 to 16 bits"):
        quantise(random_network(0), bits)


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((2, 3, 39), np.uint8),
        np.zeros((0, 3, 40), np.uint8),
        np.zeros((2, 0, 40), np.uint8),
        np.zeros((2, 40), np.uint8),
        np.zeros((2, 3, 40)),
        np.full((2, 3, 40), 2),
    ],
)
def test_bad_calibration_samples_are_refused(data: Any) -> None:
    with pytest.raises(SampleError, match="calibration samples"):
        quantise(random_network(0), 4, data)


def test_silent_calibration_samples_do_no_harm() -> None:
    integer = quantise(random_network(0), 4, np.zeros((2, 3, 40), np.uint8))
    assert np.abs(codes_into(integer, "hidden0")).max() == 7


def test_what_integers_cannot_express_is_refused_by_name() -> None:
    cuba = CubaLIF(alpha=0.5, beta=0.5, threshold=1.0, v_leak=0.5)
    with pytest.raises(ModelError, match="'p' has v_init different from v_leak"):
        quantise(single(cuba, [[1.0]]), 4)
    with pytest.raises(ModelError, match="share v_init"):
        quantise(single(LI(beta=0.5, v_init=[0.0, 1.0]), [[1.0, 1.0]]), 4)
    integer = quantise(random_network(0), 4)
    with pytest.raises(ModelError, match="starts from a float network"):
        quantise(integer, 4)
    with pytest.raises(ModelError, match="starts from an integer network"):
        dequantise(random_network(0))


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30])
@pytest.mark.parametrize("threshold", [0.0, 1e-30, 1.0, 1e30])
def test_extreme_magnitudes_quantise_or_are_refused(size: float, threshold: float) -> None:
    net = single(LIF(beta=0.999999, threshold=threshold), np.array([[1.0, -0.3], [0.5, 0.0]]) * size, bias=size)
    data = np.ones((3, 4, 2), np.uint8)
    for calibration in (None, data):
        try:
            integer = quantise(net, 8, calibration)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            run_reference(integer, data)

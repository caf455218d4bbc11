"""The integer reference: its sums, delays, blocks and refusals, and the proofs that size its arithmetic.

What the contract says about neurons is held by the golden cases (test_contract.py).
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from golden import GoldenCase, golden_cases
from spikeloom.compiler.ir.arrays import IntArray
from spikeloom.compiler.ir.bounds import drive_bounds, partial_sum_bound, signed_bits
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, Decay, Drive, IntegerDynamics, Kind, ResetMode, ResetPlace, Rounding
from spikeloom.compiler.neurons.reachable import accumulator_bits, reachable_membranes, saturates
from spikeloom.hdl.errors import ModelError, SampleError
from spikeloom.sim import reference
from spikeloom.sim.reference import decay, run_reference, saturate

CASES = golden_cases()

KEEP = Decay(c=0, k=0)
"""A leak that keeps all."""


def projection(codes: Any, pre: str = INPUT, post: str = "p", **fields: Any) -> Projection:
    codes = np.asarray(codes)
    bits = max(2, int(np.abs(codes).max()).bit_length() + 1)
    return Projection(pre=pre, post=post, connectivity=Dense(weights=Quantised(codes=codes, bits=bits)), **fields)


def network(
    *projections: Projection, size: int, inputs: int, x_max: int = 1, bias: Any = 0, **dynamics: Any
) -> Network:
    """One population `p`, an integrator that never fires unless `dynamics` say otherwise."""
    settings: dict[str, Any] = {"kind": Kind.IF, "fire": (1 << 31) - 1, "sub": 0, "state_bits": 32}
    population = Population(name="p", shape=(size,), dynamics=IntegerDynamics(**(settings | dynamics)), bias=bias)
    return Network(input_shape=(inputs,), populations=(population,), projections=projections, output="p", x_max=x_max)


def random_spikes(rng: np.random.Generator, samples: int, steps: int, inputs: int, x_max: int) -> Any:
    return rng.integers(0, x_max + 1, (samples, steps, inputs)).astype(np.uint8)


# ----------------------------------------------------------------------------------------------------- the sums


@pytest.mark.parametrize(("weight", "dtype"), [(7, np.float32), (32767, np.float64)])
def test_sums_are_exact_in_the_format_that_is_proven(weight: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-weight, weight + 1, (2000, 3))
    codes[0] = weight
    net = network(projection(codes), size=3, inputs=2000, x_max=255)
    bound = partial_sum_bound(net, net.projections[0])
    assert (bound < 1 << 24) == (dtype is np.float32)
    spikes = random_spikes(rng, 2, 1, 2000, 255)
    spikes[0] = 255
    recording = run_reference(net, spikes, membranes=True)
    assert recording.membranes is not None
    exact = spikes[:, 0].astype(object) @ codes.astype(object)
    assert np.array_equal(recording.membranes[:, 0], np.array([[int(saturate(v, 32)) for v in row] for row in exact]))


def test_a_sum_that_float32_cannot_hold_is_exact() -> None:
    """2^24 + 1, the first integer without a float32, from weights whose bound lies below 2^25."""
    x = [255, 255, 255, 2]
    codes = np.array([[32767], [32767], [259], [1]])
    assert int(np.dot(x, codes)[0]) == (1 << 24) + 1
    net = network(projection(codes), size=1, inputs=4, x_max=255)
    assert 1 << 24 < partial_sum_bound(net, net.projections[0]) < 1 << 25
    recording = run_reference(net, np.array([[x]], np.uint8), membranes=True)
    assert recording.membranes is not None
    assert recording.membranes.tolist() == [[[(1 << 24) + 1]]]


def test_partial_sum_bound_holds_for_every_order() -> None:
    rng = np.random.default_rng(1)
    net = network(projection(rng.integers(-9, 10, (50, 4))), size=4, inputs=50, x_max=3)
    codes = net.projections[0].weights.codes  # type: ignore[union-attr]
    largest = 0
    for _ in range(200):
        x = rng.integers(0, 4, 50)
        terms = (codes * x[:, None])[rng.permutation(50)]
        largest = max(largest, int(np.abs(np.cumsum(terms, axis=0)).max()))
    worst = np.abs(np.where(codes > 0, codes, 0).sum(axis=0) * 3), np.abs(np.where(codes < 0, codes, 0).sum(axis=0) * 3)
    assert largest <= partial_sum_bound(net, net.projections[0]) == int(np.max(worst))


def test_several_projections_add_up_with_their_shifts() -> None:
    net = network(projection([[1, 2]]), projection([[3, -1]], shift=2), size=2, inputs=1, x_max=5, bias=[10, -10])
    recording = run_reference(net, np.full((1, 1, 1), 5), membranes=True)
    assert recording.membranes is not None
    assert recording.membranes.tolist() == [[[10 + 5 + 60, -10 + 10 - 20]]]


def test_delays_of_synapses_and_projections() -> None:
    """An input pulse in step 0 arrives at each post neuron after its synapse's delay."""
    scalar = network(projection([[1, 2, 3]], delay=2), size=3, inputs=1)
    each = network(projection([[1, 2, 3]], delay=[[0, 4, 2]]), size=3, inputs=1)
    pulse = np.zeros((1, 5, 1), np.uint8)
    pulse[0, 0] = 1

    def increments(net: Network) -> list[list[int]]:
        trace = run_reference(net, pulse, membranes=True).membranes
        assert trace is not None
        return np.diff(trace[0], axis=0, prepend=0).tolist()

    zero = [0, 0, 0]
    assert increments(scalar) == [zero, zero, [1, 2, 3], zero, zero]
    assert increments(each) == [[1, 0, 0], zero, [0, 0, 3], zero, [0, 2, 0]]


def test_recurrence_arrives_a_step_later() -> None:
    net = network(projection([[5]]), projection([[3]], pre="p", delay=1), size=1, inputs=1, fire=4, sub=0, kind=Kind.IF)
    pulse = np.zeros((1, 3, 1), np.uint8)
    pulse[0, 0] = 1
    recording = run_reference(net, pulse, membranes=True)
    assert recording.membranes is not None
    assert recording.spikes[0, :, 0].tolist() == [1, 1, 1]
    assert recording.membranes[0, :, 0].tolist() == [5, 8, 11]


# -------------------------------------------------------------------------------------------------- the neurons


@pytest.mark.parametrize("rounding", Rounding)
def test_decay_against_exact_arithmetic(rounding: Rounding) -> None:
    x = np.arange(-300, 301)
    for c, k in [(0, 0), (1, 0), (0, 3), (3, 3), (8, 3), (5, 4), (13, 7), (1 << 12, 12)]:
        expected = [int(v) - _quotient(int(v) * c, k, rounding) for v in x]
        assert decay(x, Decay(c=c, k=k, rounding=rounding)).tolist() == expected


def _quotient(product: int, k: int, rounding: Rounding) -> int:
    if rounding is Rounding.NEAREST:
        return (2 * product + (1 << k)) // (1 << (k + 1))
    if rounding is Rounding.FLOOR:
        return product // (1 << k)
    return abs(product) // (1 << k) * (1 if product >= 0 else -1)


def test_parameters_of_each_neuron() -> None:
    """Per-neuron constants give each neuron what a network of its own gives it."""
    rng = np.random.default_rng(2)
    codes, fire, c = rng.integers(-7, 8, (6, 5)), rng.integers(5, 20, 5), rng.integers(0, 9, 5)
    spikes = random_spikes(rng, 4, 12, 6, 1)
    common: dict[str, Any] = {"kind": Kind.LIF, "state_bits": 8, "reset_mode": ResetMode.VALUE}
    whole = network(projection(codes), size=5, inputs=6, fire=fire, v_reset=-c, decay=Decay(c=c, k=3), bias=c, **common)
    together = run_reference(whole, spikes, membranes=True)
    assert together.membranes is not None
    for j in range(5):
        alone = network(
            projection(codes[:, [j]]), size=1, inputs=6, fire=fire[j], v_reset=-c[j], decay=Decay(c=c[j], k=3),
            bias=c[j], **common,
        )  # fmt: skip
        single = run_reference(alone, spikes, membranes=True)
        assert single.membranes is not None
        assert np.array_equal(single.spikes[..., 0], together.spikes[..., j])
        assert np.array_equal(single.membranes[..., 0], together.membranes[..., j])


def test_membrane_saturates_at_its_width_and_the_sum_does_not() -> None:
    net = network(
        projection([[127], [-127]]), size=1, inputs=2, x_max=255, state_bits=8, kind=Kind.LI, fire=0, decay=KEEP
    )
    spikes = np.array([[[255, 0], [0, 0], [0, 255]], [[255, 255], [0, 1], [0, 255]]], np.uint8)
    recording = run_reference(net, spikes, membranes=True)
    assert recording.membranes is not None
    assert recording.membranes[..., 0].tolist() == [[127, 127, -128], [0, -127, -128]]


# ---------------------------------------------------------------------------------------------- running samples


def test_blocks_do_not_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(c for c in CASES if c.needs >= {"recurrence", "delays"}) if CASES else None
    if case is None:
        pytest.skip("no golden cases; set SPIKELOOM_SHARED")
    spikes = np.concatenate([case.spikes] * 5)
    whole = run_reference(case.network, spikes, membranes=True)
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(reference, "_BLOCK_VALUES", 60)
    parts = run_reference(case.network, spikes, membranes=True, progress=lambda *done: calls.append(done))
    assert len(calls) > 2 and calls[-1] == (15, 15) and calls == sorted(calls)
    for name, record in whole.populations.items():
        assert np.array_equal(record.spikes, parts.populations[name].spikes)
        assert np.array_equal(record.membranes, parts.populations[name].membranes)


def test_recording_has_every_population_and_no_membranes_unless_asked() -> None:
    if not CASES:
        pytest.skip("no golden cases; set SPIKELOOM_SHARED")
    case = next(c for c in CASES if len(c.expected) > 1)
    recording = run_reference(case.network, case.spikes)
    assert set(recording.populations) == set(case.expected)
    assert all(record.membranes is None for record in recording.populations.values())
    assert recording.spikes.dtype == np.uint8 and recording.ambiguous == 0


def test_inputs_may_keep_their_shape() -> None:
    net = replace(network(projection(np.arange(6).reshape(6, 1)), size=1, inputs=6), input_shape=(2, 3))
    spikes = np.random.default_rng(3).integers(0, 2, (2, 4, 2, 3))
    flat = run_reference(net, spikes.reshape(2, 4, 6), membranes=True).membranes
    assert np.array_equal(run_reference(net, spikes, membranes=True).membranes, flat)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((2, 3, 5), np.uint8), "4 inputs"),
        (np.zeros((4,), np.uint8), "4 inputs"),
        (np.zeros((2, 3, 4)), "hold integers: got float64"),
        (np.full((2, 3, 4), 2), "0 to 1 spikes"),
        (np.full((2, 3, 4), -1), "0 to 1 spikes"),
        (np.full((2, 3, 4), 256), "0 to 1 spikes"),
    ],
)
def test_bad_samples_are_refused(spikes: Any, message: str) -> None:
    net = network(projection(np.ones((4, 2))), size=2, inputs=4)
    with pytest.raises(SampleError, match=message):
        run_reference(net, spikes)


def test_float_and_broken_networks_are_refused() -> None:
    net = network(projection(np.ones((4, 2))), size=2, inputs=4)
    with pytest.raises(ModelError, match="bias of population 'p'"):
        run_reference(replace(net, populations=(replace(net.populations[0], bias=1 << 40),)), np.zeros((1, 1, 4), int))
    floating = replace(
        net,
        populations=(replace(net.populations[0], dynamics=IF(threshold=1.0), bias=0.0),),
        projections=(Projection(pre=INPUT, post="p", connectivity=Dense(weights=np.ones((4, 2)))),),
    )
    with pytest.raises(ModelError, match="runs integer networks"):
        run_reference(floating, np.zeros((1, 1, 4), int))


# --------------------------------------------------------------------------------------------------- the proofs


def every_input(inputs: int, x_max: int) -> IntArray:
    """All input vectors there are, [vectors, inputs]."""
    return np.array(list(itertools.product(range(x_max + 1), repeat=inputs)))


def test_drive_bounds_are_the_extremes_of_all_inputs() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.integers(-7, 8, (3, 4)), rng.integers(-7, 8, (3, 4))
    bias = rng.integers(-20, 21, 4)
    net = network(projection(first), projection(second, shift=3), size=4, inputs=3, x_max=2, bias=bias)
    x = every_input(3, 2)
    drives = bias + (x @ first) + ((x @ second) << 3)
    # both projections see the same input here, the bound treats them as independent: exact for one projection
    low, high = drive_bounds(net, net.populations[0])
    assert low <= drives.min() and drives.max() <= high
    single = network(projection(second, shift=3), size=4, inputs=3, x_max=2, bias=bias)
    drives = bias + ((x @ second) << 3)
    assert drive_bounds(single, single.populations[0]) == (drives.min(), drives.max())


def test_signed_bits() -> None:
    for bits in range(1, 12):
        limit = 1 << (bits - 1)
        assert signed_bits(-limit, limit - 1) == signed_bits(-limit, 0) == bits
        assert signed_bits(-limit - 1, 0) == signed_bits(0, limit) == bits + 1


def all_dynamics() -> list[dict[str, Any]]:
    """Every kind, reset and rounding with small constants."""
    result: list[dict[str, Any]] = []
    for place, mode, rounding in itertools.product(ResetPlace, (ResetMode.SUBTRACT, ResetMode.VALUE), Rounding):
        if place is ResetPlace.SNNTORCH_SAME and mode is ResetMode.VALUE:
            continue
        for fire, sub, v_reset in [(6, 7, -3), (3, 9, 2), (-2, 3, -9), (5, -4, 0)]:
            common = {"fire": fire, "sub": sub, "v_reset": v_reset, "reset_mode": mode, "reset_place": place}
            leak = Decay(c=3, k=3, rounding=rounding)
            result.append(common | {"kind": Kind.LIF, "decay": leak})
            result.append(common | {"kind": Kind.CUBALIF, "decay": leak, "decay_syn": leak, "drive": Drive.OLD})
            if place is not ResetPlace.SNNTORCH_SAME and fire != 3:
                slow = Decay(c=1, k=3, rounding=rounding)
                result += [
                    common | {"kind": Kind.LIF, "decay": leak, "decay_a": slow, "jump": n}
                    for n in ((4, -3) if fire > 0 else (4,))
                ]
            if place is ResetPlace.SAME and mode is ResetMode.SUBTRACT and fire != 3:
                several = common | {"decay": leak, "max_spikes": 3}
                result += [several | {"kind": Kind.LIF}, several | {"kind": Kind.CUBALIF, "decay_syn": leak}]
    return [*result, {"kind": Kind.LI, "fire": 0, "sub": 0, "decay": Decay(c=1, k=2)}]


def reached_states(net: Network, x: IntArray) -> IntArray:
    """Membranes under constant, alternating and random inputs, [samples, steps, neurons]."""
    rng = np.random.default_rng(5)
    steps = rng.choice(x, (60, 40))
    steps[0], steps[1] = x[-1], x[0]
    for sample, pattern in enumerate([x[x[:, 0] == x[:, 0].max()][0], x[x[:, -1] == x[:, -1].max()][0]]):
        steps[2 + sample] = pattern
        steps[4 + sample, ::2] = pattern
    membranes = run_reference(net, steps, membranes=True).membranes
    assert membranes is not None
    return membranes


@pytest.mark.parametrize("dynamics", all_dynamics(), ids=lambda d: "-".join(str(v) for v in d.values())[:60])
def test_reachable_membranes_hold_whatever_is_reached(dynamics: dict[str, Any]) -> None:
    wide = network(projection([[5, 3], [-4, -7]]), size=2, inputs=2, x_max=2, bias=[1, -2], **dynamics)
    population = wide.populations[0]
    reach = reachable_membranes(wide, population)
    assert reach is not None
    reached = reached_states(wide, every_input(2, 2))
    assert reach[0] <= reached.min() and reached.max() <= reach[1]
    # at the proven width nothing saturates: the run is that of the wide state
    bits = max(5, signed_bits(*reach))
    narrow = replace(wide, populations=(replace(population, dynamics=replace(population.dynamics, state_bits=bits)),))
    assert np.array_equal(reached_states(narrow, every_input(2, 2)), reached)


def test_reachable_membranes_are_tight_for_a_readout() -> None:
    net = network(projection([[5, -3]]), size=2, inputs=1, kind=Kind.LI, decay=Decay(c=1, k=2))
    reached = run_reference(net, np.ones((1, 60, 1), int), membranes=True).membranes
    assert reached is not None
    assert reachable_membranes(net, net.populations[0]) == (reached.min(), reached.max())


def test_no_bound_without_leak() -> None:
    net = network(projection([[5, -3]]), size=2, inputs=1)
    assert reachable_membranes(net, net.populations[0]) is None


FIXED = [d for d in all_dynamics() if d["kind"] is not Kind.CUBALIF and "jump" not in d]


@pytest.mark.parametrize("state_bits", [5, 12])
@pytest.mark.parametrize("dynamics", FIXED, ids=lambda d: "-".join(str(v) for v in d.values())[:60])
def test_accumulator_holds_every_sum_of_every_state(dynamics: dict[str, Any], state_bits: int) -> None:
    """Brute force: all states, all inputs, with and without a delayed reset; 5 bits saturate, 12 need not."""
    changed = dynamics | {"state_bits": state_bits}
    net = network(projection([[3, -2], [-5, 4]], shift=1), size=2, inputs=2, x_max=1, bias=[2, -3], **changed)
    population = net.populations[0]
    sums = started_sums(net, every_input(2, 1))
    assert signed_bits(int(sums.min()), int(sums.max())) <= accumulator_bits(net, population)
    if state_bits == 5:
        assert saturates(net, population)
        assert accumulator_bits(net, population) <= 7


def test_the_accumulator_has_room_for_a_delayed_reset() -> None:
    """A V of -127, above fire = -128, loses 127: with the synapses -257, of 10 bits; without the reset 9 are enough."""
    delayed = {"kind": Kind.IF, "fire": -128, "sub": 127, "state_bits": 8, "reset_place": ResetPlace.NEXT}
    net = network(projection([[3], [-3]]), size=1, inputs=2, x_max=1, **delayed)
    assert accumulator_bits(net, net.populations[0]) == 10
    at_once = network(projection([[3], [-3]]), size=1, inputs=2, x_max=1, **delayed | {"reset_place": ResetPlace.SAME})
    assert accumulator_bits(at_once, at_once.populations[0]) == 9


def started_sums(net: Network, x: IntArray) -> IntArray:
    """What a step starts from, in every state that fits, or is reached where none saturates, plus its contributions."""
    population = net.populations[0]
    dynamics, codes = population.dynamics, net.projections[0].weights.codes  # type: ignore[union-attr]
    assert isinstance(dynamics, IntegerDynamics)
    limit = 1 << (dynamics.state_bits - 1)
    states = np.arange(-limit, limit)[:, None, None]
    if not saturates(net, population):
        states = reached_states(net, x).reshape(-1, 1, 2)
    rested = states if dynamics.decay is None else decay(states, dynamics.decay)
    starts = [rested]
    if dynamics.kind is not Kind.LI and dynamics.reset_place is not ResetPlace.SAME:
        if dynamics.reset_mode is ResetMode.SUBTRACT:
            starts.append(np.where(states > dynamics.fire, rested - dynamics.sub, rested))
        elif dynamics.decay is not None:
            starts.append(decay(np.broadcast_to(dynamics.v_reset, (1, 1, 1)), dynamics.decay))
    return np.concatenate([np.ravel(start + ((x @ codes) << 1)[None]) for start in starts])


def test_golden_membranes_lie_in_their_reach() -> None:
    for case in CASES[::4]:
        _check_reach(case)


@pytest.mark.slow
def test_all_golden_membranes_lie_in_their_reach() -> None:
    for case in CASES:
        _check_reach(case)


def _check_reach(case: GoldenCase) -> None:
    for population in case.network.populations:
        reach = reachable_membranes(case.network, population)
        dynamics = population.dynamics
        assert isinstance(dynamics, IntegerDynamics)
        if reach is None or signed_bits(*reach) > dynamics.state_bits:
            continue  # it may saturate
        membranes = case.expected[population.name][1]
        assert reach[0] <= membranes.min() and membranes.max() <= reach[1]

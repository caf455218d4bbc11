"""Convolutions and poolings of maps: what torch computes, answers of the unfolded view, and rules."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.ir.arrivals import Arrival
from spikeloom.compiler.ir.bounds import partial_sum_bound, projection_bounds
from spikeloom.compiler.ir.connectivity import Connectivity, Dense, Quantised
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.maps import as_map
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.compiler.ir.pooled import Pooled
from spikeloom.compiler.ir.pooling import Pooling, PoolKind
from spikeloom.compiler.ir.verifier import verify
from spikeloom.hdl.errors import ModelError

MAP = (4, 7, 6)
SIZE = 4 * 7 * 6
FORMS: list[dict[str, Any]] = [
    {},
    {"stride": (2, 3), "padding": ((1, 1), (2, 2))},
    {"dilation": (2, 1), "padding": ((3, 3), (0, 0))},
    {"groups": 2, "stride": (1, 2)},
    {"groups": 4, "dilation": (1, 2)},
]


def codes(*shape: int, seed: int = 1) -> Quantised:
    values = np.random.default_rng(seed).integers(-7, 8, shape)
    return Quantised(codes=values * (np.arange(values.size).reshape(shape) % 4 != 1), bits=4)


def convolution(**form: Any) -> Convolution:
    return Convolution(weights=codes(8, 4 // form.get("groups", 1), 3, 2), pre_shape=MAP, **form)


def pooling(kind: str, shape: tuple[int, int, int] = MAP, **form: Any) -> Pooling:
    return Pooling(kind=PoolKind(kind), pre_shape=shape, **({"kernel": (2, 2), "stride": (2, 2)} | form))


def spikes(*shape: int, most: int = 3) -> Any:
    return np.random.default_rng(3).integers(0, most + 1, shape).astype(np.uint8)


def after(whole: Convolution, kind: str, **form: Any) -> Convolution:
    return replace(whole, pool_after=pooling(kind, whole.sum_shape, **form))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_sums_are_those_of_torch(form: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    member, x = convolution(**form), spikes(2, 3, SIZE)
    padding = tuple(above for above, _ in form.get("padding", ((0, 0), (0, 0))))
    options = {name: form[name] for name in ("stride", "dilation", "groups") if name in form}
    given = torch.tensor(x.reshape(6, *MAP).astype(float)), torch.tensor(member.codes.astype(float))
    expected = torch.nn.functional.conv2d(*given, padding=padding, **options)
    assert member.post_shape == expected.shape[1:]
    assert np.array_equal(member.currents(x), expected.numpy().reshape(2, 3, -1))


def test_same_padding_of_an_even_kernel_is_wider_at_the_end() -> None:
    torch = pytest.importorskip("torch")
    member, x = convolution(padding=((1, 1), (0, 1))), spikes(3, SIZE)
    given = torch.tensor(x.reshape(3, *MAP).astype(float)), torch.tensor(member.codes.astype(float))
    expected = torch.nn.functional.conv2d(*given, padding="same")
    assert member.post_shape == (8, *MAP[1:])
    assert np.array_equal(member.currents(x), expected.numpy().reshape(3, -1))


@pytest.mark.parametrize("kind", ["sum", "max"])
@pytest.mark.parametrize("kernel", [(2, 2), (3, 2)])
@pytest.mark.parametrize("stride", [(2, 2), (2, 1)])
def test_pooling_is_that_of_torch(kind: str, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    x = spikes(5, SIZE).astype(np.int64) - 2  # what stands behind a convolution may be negative
    whole = torch.tensor(x.reshape(5, *MAP).astype(float))
    for padding, ceil in product(((0, 0), (1, 0)), (False, True)):
        if kind == "max":
            expected = torch.nn.functional.max_pool2d(whole, kernel, stride, padding, ceil_mode=ceil)
        else:
            mean = torch.nn.functional.avg_pool2d(whole, kernel, stride, padding, ceil, divisor_override=1)
            expected = mean
        below = [
            (count - 1) * step + size - length - before
            for count, step, size, length, before in zip(
                expected.shape[2:], stride, kernel, MAP[1:], padding, strict=True
            )
        ]
        around = tuple((before, max(end, 0)) for before, end in zip(padding, below, strict=True))
        pool = pooling(kind, kernel=kernel, stride=stride, padding=around)
        assert pool.problem() is None and pool.post_shape == expected.shape[1:]
        assert np.array_equal(pool(x), expected.numpy().reshape(5, -1))
        assert pool.has_whole_windows == (not padding[0] and max(below) <= 0)


def test_sums_of_counts_do_not_wrap() -> None:
    assert pooling("sum")(np.full(SIZE, 255, np.uint8)).max() == 4 * 255
    assert pooling("max")(np.full(SIZE, 255, np.uint8)).max() == 255


MEMBERS: dict[str, Connectivity] = {
    **{f"convolution {number}": convolution(**form) for number, form in enumerate(FORMS)},
    "sums before a matrix": Pooled(pooling=pooling("sum"), behind=Dense(weights=codes(4 * 3 * 3, 5))),
    "maxima before a matrix": Pooled(pooling=pooling("max", stride=(1, 1)), behind=Dense(weights=codes(4 * 6 * 5, 5))),
    "sums before a convolution": Pooled(
        pooling=pooling("sum", padding=((1, 1), (0, 0))),
        behind=Convolution(weights=codes(6, 2, 2, 1), pre_shape=(4, 4, 3), groups=2),
    ),
    "sums behind": after(convolution(padding=((1, 0), (0, 0))), "sum", padding=((1, 0), (0, 1))),
    "maxima behind": after(convolution(), "max"),
}


def matrix(member: Connectivity) -> Any:
    return np.stack([member.currents_from(pre) for pre in range(member.shape[0])])


@pytest.mark.parametrize("name", [name for name in MEMBERS if "maxima" not in name])
def test_linear_members_answer_as_the_matrix_does(name: str) -> None:
    member, x = MEMBERS[name], spikes(6, SIZE)
    whole = Dense(weights=matrix(member))
    assert member.is_linear and member.problem() is None and member.shape == whole.shape
    assert np.array_equal(member.currents(x), x @ whole.real)
    (low, high), (least, most) = member.input_bounds(), whole.input_bounds()
    assert np.all(low <= least) and np.all(high >= most)
    assert np.array_equal(low, least) or "behind" in name  # weights of both signs on one input are apart there


@pytest.mark.parametrize("name", MEMBERS)
def test_the_unfolded_view_gives_the_sums(name: str) -> None:
    member, x = MEMBERS[name], spikes(4, SIZE)
    pool = getattr(member, "pool_after", None)
    groups = member.scale_groups()
    found = np.empty((4, member.shape[1]), np.int64)
    for group in range(int(groups.max()) + 1):
        which, weights = member.unfolded(group)
        inputs = member.at_weights(x)
        seen = np.where(which >= 0, inputs[:, which], 0)
        assert np.array_equal(member.seen(x, group), seen)
        sums = seen @ weights
        if pool is not None:
            sums = replace(pool, pre_shape=(1, *pool.pre_shape[1:]))(sums)
        found[:, groups == group] = sums
    assert np.array_equal(found, member.currents(x))
    alike = member.alike()
    assert sorted(np.concatenate(alike)) == list(range(int(groups.max()) + 1))
    assert all(np.array_equal(member.inputs_of(a[0]), member.inputs_of(b)) for a in alike for b in a)
    assert np.array_equal(member.from_columns(member.columns(member.values)), member.values)


@pytest.mark.parametrize("name", MEMBERS)
def test_bounds_hold_and_fans_count(name: str) -> None:
    member, x = MEMBERS[name], spikes(300, SIZE, most=1)
    (low, high), (least, most) = member.input_bounds(), member.sum_bounds()
    for found in (member.currents(x), member.currents(np.where(spikes(1, SIZE) > 1, x, 0))):
        assert np.all((low <= found) & (found <= high))
    assert least.min() <= low.min() and most.max() >= high.max()
    ones = member.with_codes(replace(member.quantised, codes=(member.codes != 0).astype(np.int64)))
    if "maxima" not in name and "sums before" not in name:
        assert np.array_equal(member.fan_in(), matrix(ones).sum(axis=0))
    if "maxima" not in name:
        assert np.array_equal(member.fan_out(), matrix(ones).sum(axis=1)) or "behind" in name
    assert member.fan_in().shape == member.shape[1:] and member.fan_out().shape == member.shape[:1]


@pytest.mark.parametrize("name", MEMBERS)
def test_weights_that_join_marked_neurons(name: str) -> None:
    member, rng = MEMBERS[name], np.random.default_rng(4)
    pre, post = rng.random(SIZE) < 0.05, rng.random(member.shape[1]) < 0.1
    post[:2] = True
    kept = member.joining(pre, post)
    silent = member.with_codes(replace(member.quantised, codes=np.where(kept, 0, 1)))
    loud = member.with_codes(replace(member.quantised, codes=np.where(kept, 1, 0)))
    assert kept.any() and not silent.currents(pre.astype(np.uint8))[post].any()
    assert loud.currents(pre.astype(np.uint8))[post].any()


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_sum_behind_is_a_larger_kernel(form: dict[str, Any]) -> None:
    plain = replace(convolution(**form), pre_shape=(4, 12, 9))
    x = spikes(5, 4 * 12 * 9)
    for kernel, stride in (((2, 2), (2, 2)), ((1, 2), (1, 1))):
        pooled = after(plain, "sum", kernel=kernel, stride=stride)
        whole = pooled.folded()
        assert whole.pool_after is None and whole.problem() is None and whole.post_shape == pooled.post_shape
        assert np.array_equal(whole.currents(x), pooled.currents(x))
        assert np.abs(whole.codes).max() < 1 << whole.quantised.bits - 1
    for kept in (after(plain, "max"), after(plain, "sum", padding=((1, 0), (0, 0))), plain):
        assert kept.folded() is kept


def test_a_maximum_has_no_negative_gain() -> None:
    member = real(after(convolution(), "max"))
    factors = np.repeat(np.arange(8.0), member.shape[1] // 8)
    assert np.array_equal(member.scaled(factors, member.real), member.real * np.arange(8.0)[:, None, None, None])
    with pytest.raises(ModelError, match="what goes into a maximum has a gain that is not negative: it is -7"):
        member.scaled(-factors, member.real)


def test_mirrored_inputs_are_subtracted() -> None:
    x = spikes(2, 5, SIZE, most=2)
    both, difference = np.concatenate([x[0], x[1]], axis=1), x[0].astype(float) - x[1]
    for name in ("convolution 1", "convolution 3", "sums before a convolution"):
        member = MEMBERS[name].with_weights(MEMBERS[name].real)
        np.testing.assert_allclose(member.mirrored().currents(both), member.currents(difference))
    with pytest.raises(ModelError, match="a maximum of both is not that of their difference"):
        MEMBERS["maxima before a matrix"].mirrored()


def test_spikes_of_each_neuron_have_a_delay_of_their_own() -> None:
    x = spikes(2, 5, 3)
    late = Arrival(np.array([0, 2, 4])).of(x, 3)
    assert late is not None and late.tolist() == [[x[n, 3, 0], x[n, 1, 1], 0] for n in range(2)]
    assert Arrival(2).of(x, 1) is None and Arrival(np.array([0, 3])).oldest == 3


# ------------------------------------------------------------------------------------------------------- rules


def network(member: Connectivity, shape: tuple[int, ...] = MAP, delay: Any = 0) -> Network:
    post = member.post_map or member.shape[1:]
    return Network(
        input_shape=shape,
        populations=(Population(name="seen", shape=post, dynamics=LIF(beta=0.5, threshold=1.0)),),
        projections=(Projection(pre=INPUT, post="seen", connectivity=member, delay=delay),),
        output="seen",
    )


def real(member: Any, **changed: Any) -> Any:
    return replace(member, weights=member.codes.astype(float), **changed)


def test_valid_networks_are_accepted() -> None:
    for member in MEMBERS.values():
        verify(network(member.with_weights(member.real)))
        verify(network(member.with_weights(member.real), (SIZE,), delay=np.arange(SIZE) % 3))
    assert as_map((3, 5)) == (3, 1, 5) and as_map((4,)) is None


def test_partial_sums_are_bounded_before_a_maximum() -> None:
    weights = Quantised(codes=np.array([[[[-5, -5]]]]), bits=4)
    member = Convolution(weights=weights, pre_shape=(1, 1, 2), padding=((0, 0), (1, 1)))  # sums of -5, -10 and -5
    member = replace(member, pool_after=pooling("max", (1, 1, 3), kernel=(1, 3), stride=(1, 1)))
    net = replace(network(member, (1, 1, 2)), x_max=3)
    assert [bound.tolist() for bound in projection_bounds(net, net.projections[0])] == [[-15], [0]]
    assert partial_sum_bound(net, net.projections[0]) == 30


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (
            real(convolution(), pre_shape=(4, 2, 6)),
            r"a kernel is no larger than the map with its padding: it",
        ),
        (real(convolution(), dilation=(4, 1)), r"covers 9 x 2 of 7 x 6; it is the projection 'input' -> 'seen'"),
        (real(convolution(), groups=3), "groups divide the channels: 3 groups do not divide 4 pre and 8 post"),
        (real(convolution(), groups=2), r"the pre channels of a group \(2\): it has 4, with 2 groups of 4"),
        (real(convolution(), pre_shape=(4, 4096, 1025)), "a map has at most 16777216 cells: that of a convolution has"),
        (real(convolution(), padding=((4096, 0), (4096, 0))), "with its padding, that of a kernel has 1683"),
        (real(convolution(), pre_shape=(4, 42)), "a convolution works on a map .* got .4, 42."),
        (real(convolution(), stride=(0, 1)), r"the stride of a kernel is two whole numbers of 1 or more: got \(0, 1\)"),
        (
            real(convolution(), padding=((1, -1), (0, 0))),
            r"the padding of a kernel is \(above, below\), \(left",
        ),
        (real(convolution(), groups=0), "the groups of a convolution are 1 or more: got 0"),
        (
            real(after(convolution(), "max", kernel=(6, 1))),
            "a pooling window is no larger .* covers 6 x 1 of 5 x 5",
        ),
        (
            real(after(convolution(), "max", padding=((2, 0), (0, 0)))),
            r"every pooling window has a cell over the map: 2 x 2 with stride \(2, 2\)",
        ),
        (
            real(convolution(), pool_after=pooling("max")),
            r"what is pooled is the map of the sums \(8, 5, 5\): got \(4, 7, 6\)",
        ),
        (
            Pooled(pooling=pooling("sum"), behind=Dense(weights=np.ones((7, 2)))),
            r"what the weights behind it take: \(4, 3, 3\) for 7 inputs",
        ),
        (
            Pooled(pooling=pooling("sum"), behind=Convolution(weights=np.ones((1, 4, 1, 1)), pre_shape=(4, 9, 1))),
            r"a pooling gives the map that is read: \(4, 3, 3\) for \(4, 9, 1\)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_with_its_name(member: Connectivity, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        verify(
            replace(
                network(Dense(weights=np.ones((SIZE, 2)))),
                projections=(Projection(pre=INPUT, post="seen", connectivity=member),),
            )
        )


def test_maps_of_neurons_are_those_of_the_kernel() -> None:
    member = real(convolution())
    with pytest.raises(ModelError, match=r"'input' -> 'seen' reads \(4, 7, 6\) where 'input' is \(4, 6, 7\)"):
        verify(network(member, (4, 6, 7)))
    turned = replace(network(member).populations[0], shape=(5, 8, 5))
    with pytest.raises(ModelError, match=r"writes \(8, 5, 5\) where 'seen' is \(5, 8, 5\)"):
        verify(replace(network(member), populations=(turned,)))
    with pytest.raises(ModelError, match=r"one for each pre neuron where neurons share weights \(168,\)"):
        verify(network(member, delay=np.ones((SIZE, 200), np.int64)))

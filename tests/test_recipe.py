"""Recipes, and the compression that carries them out, whatever the method."""

from __future__ import annotations

import math
import warnings
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.compression import FineTune, Override, Recipe, compress, measured_rates
from spikeloom.compiler.compression.magnitude import prune
from spikeloom.compiler.compression.recipe import default_method
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.convolution import Convolution
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LI, LIF
from spikeloom.compiler.ir.pooling import Pooling, PoolKind
from spikeloom.compiler.lowering.quantise import dequantise, quantise
from spikeloom.hdl.errors import ModelError, OptionError, SampleError

SIZES = (30, 12, 4)
MAXIMA = Pooling(kind=PoolKind.MAX, pre_shape=(2, 4, 4), kernel=(2, 2), stride=(2, 2))


def network(seed: int = 0, beta: float = 0.9) -> Network:
    rng = np.random.default_rng(seed)
    names = (INPUT, "hidden", "out")
    dynamics = LIF(beta=beta, threshold=1.0)
    return Network(
        input_shape=SIZES[:1],
        populations=tuple(
            Population(name=n, shape=(s,), dynamics=dynamics) for n, s in zip(names[1:], SIZES[1:], strict=True)
        ),
        projections=tuple(
            Projection(
                pre=names[i], post=names[i + 1], connectivity=Dense(weights=rng.normal(0.05, 0.3, SIZES[i : i + 2]))
            )
            for i in range(2)
        ),
        output="out",
    )


def deep_network() -> Network:
    """30-20-12-4."""
    rng = np.random.default_rng(5)
    sizes = dict(zip((INPUT, "first", "second", "out"), (30, 20, 12, 4), strict=True))
    names = list(sizes)
    dynamics = LIF(beta=0.9, threshold=1.0)
    return Network(
        input_shape=(30,),
        populations=tuple(Population(name=n, shape=(sizes[n],), dynamics=dynamics) for n in names[1:]),
        projections=tuple(
            Projection(pre=a, post=b, connectivity=Dense(weights=rng.normal(0.1, 0.3, (sizes[a], sizes[b]))))
            for a, b in pairwise(names)
        ),
        output="out",
    )


def spikes(count: int = 12, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, 10, SIZES[0])) < 0.3).astype(np.uint8)


def weights_of(net: Network) -> list[np.ndarray]:
    return [p.weights.codes if isinstance(p.weights, Quantised) else p.weights for p in net.projections]


def zeros(net: Network) -> float:
    return sum(int((w == 0).sum()) for w in weights_of(net)) / sum(w.size for w in weights_of(net))


# ------------------------------------------------------------------------------------------------------ recipes


def test_recipes_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Recipe().bits = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "osbd"}, {"method": ""}, {"method": None},
        {"sparsity": -0.1}, {"sparsity": 1.0}, {"sparsity": math.nan}, {"sparsity": "0.5"}, {"sparsity": True},
        {"bits": 1}, {"bits": 17}, {"bits": 4.0}, {"bits": True}, {"bits": "4"},
        {"scheme": "binary"}, {"scheme": "binary", "bits": 2}, {"scheme": None},
        {"scheme": "binary", "bits": None}, {"scheme": "ternary"}, {"scheme": "ternary", "bits": None},
        {"scope": "local"}, {"pattern": "0:4"}, {"pattern": "4:4"}, {"pattern": "2"},
        {"pattern": (2, 4)}, {"pattern": "2:4"}, {"pattern": "0x4", "method": "obc"}, {"pattern": "-1:4"},
        {"operation_weight": -0.1, "method": "osbc", "sparsity": 0.5},
        {"operation_weight": "1", "method": "osbc", "sparsity": 0.5},
        {"operation_weight": 0.5, "method": "magnitude", "sparsity": 0.5}, {"operation_weight": 0.5, "method": "osbc"},
        {"activity_threshold": -0.1}, {"activity_threshold": math.inf},
        {"memory_budget": 0}, {"memory_budget": 1e9}, {"memory_budget": True},
    ],
)  # fmt: skip
def test_bad_recipes_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Recipe(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"sparsity": 1.0}, {"bits": 0}, {"bits": 2.5}, {"sparsity": "a"}, {"scheme": "octal"}, {"bits": True},
        {"bits": 4, "scheme": "ternary"}, {"bits": 2, "scheme": "binary"}, {"bits": 1, "scheme": "fixed_point"},
    ],
)  # fmt: skip
def test_bad_overrides_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Override(**fields)


def test_the_default_method_depends_on_samples() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert default_method(network(), calibrated=True) == "osbc"
    with pytest.warns(UserWarning, match="no calibration samples"):
        assert default_method(network(), calibrated=False) == "magnitude"


@pytest.mark.parametrize(
    ("groups", "pooling", "reason"),
    [(1, MAXIMA, "sums are pooled, as those of 'input' -> 'hidden' are"), (2, None, "'input' -> 'hidden' do")],
    ids=["pooled", "grouped"],
)
def test_what_cannot_be_fitted_is_compressed_by_magnitude(groups: int, pooling: Pooling | None, reason: str) -> None:
    weights = np.ones((2, 2 // groups, 1, 1))
    kernel = Convolution(weights=weights, pre_shape=MAXIMA.pre_shape, groups=groups, pool_after=pooling)
    net = Network(
        input_shape=MAXIMA.pre_shape,
        populations=(Population(name="hidden", shape=kernel.post_shape, dynamics=LIF(beta=0.9, threshold=1.0)),),
        projections=(Projection(pre=INPUT, post="hidden", connectivity=kernel),),
        output="hidden",
    )
    with pytest.warns(UserWarning, match=reason):
        assert default_method(net, calibrated=True) == "magnitude"


# ----------------------------------------------------------------------------------------------------- compress


@pytest.mark.parametrize("bits", [None, 6])
def test_compress_prunes_and_quantises_and_reports(bits: int | None) -> None:
    net = network()
    compressed, report = compress(net, Recipe(sparsity=0.5, bits=bits), spikes())
    assert compressed.is_integer == (bits is not None)
    assert zeros(compressed) == pytest.approx(report.sparsity) and report.sparsity >= 0.5
    assert [(p.pre, p.post, p.weights) for p in report.projections] == [(INPUT, "hidden", 360), ("hidden", "out", 48)]
    assert [p.synapses_before for p in report.projections] == [360, 48]
    assert [p.synapses for p in report.projections] == [np.count_nonzero(w) for w in weights_of(compressed)]
    assert report.losses.keys() == {"hidden", "out"} and all(0 < loss < 1 for loss in report.losses.values())
    assert [e.population for e in report.errors] == ([] if bits is None else ["hidden", "out"])
    assert report.seconds > 0 and not report.silent


def test_without_samples_nothing_is_measured() -> None:
    _, report = compress(network(), Recipe(sparsity=0.5, bits=6))
    assert report.losses == {} and report.errors


def test_the_loss_is_the_membranes() -> None:
    """One population, one weight halved: its free membranes lose what that input contributed."""
    net = network()
    half = weights_of(net)
    half[1] = half[1] * 0.5
    from spikeloom.compiler.compression.loss import membrane_losses
    from spikeloom.compiler.neurons.contract import contract_form as fold
    from spikeloom.compiler.neurons.observe import observe

    changed = replace(
        net,
        projections=tuple(
            replace(p, connectivity=Dense(weights=w)) for p, w in zip(net.projections, half, strict=True)
        ),
    )
    sources = observe(net, [fold(net, p) for p in net.populations], spikes())
    assert membrane_losses(net, changed, sources) == pytest.approx({"hidden": 0.0, "out": 0.25})
    integer = quantise(changed, 16, spikes())
    losses = membrane_losses(net, integer, sources)
    assert losses["out"] == pytest.approx(0.25, rel=0.01) and losses["hidden"] < 1e-6
    assert membrane_losses(dequantise(integer), integer, sources)["out"] < 1e-12


def test_compressing_again_keeps_zeros() -> None:
    once = prune(network(), 0.6)
    with pytest.warns(UserWarning, match="60.05% of the weights .* a sparsity of 0.3 prunes nothing more"):
        again, report = compress(once, Recipe(sparsity=0.3, bits=None), spikes())
    assert zeros(again) == pytest.approx(zeros(once))
    assert sum(p.synapses_before for p in report.projections) == sum(p.synapses for p in report.projections)
    more, _ = compress(once, Recipe(sparsity=0.8, bits=4), spikes())
    for old, new in zip(weights_of(once), weights_of(more), strict=True):
        assert not new[old == 0].any()


def test_quiet_neurons_are_removed_first() -> None:
    net = network()
    recipe = Recipe(activity_threshold=0.3, sparsity=0.5, bits=4)
    compressed, report = compress(net, recipe, spikes())
    hidden = measured_rates(net, spikes())[1]
    assert report.removed == {"hidden": int(np.sum(hidden < 0.3))} and 0 < report.removed["hidden"] < 12
    assert [p.size for p in compressed.populations] == [12 - report.removed["hidden"], 4]
    assert [p.weights for p in report.projections] == [360, 48] and report.sparsity > 0.5
    smaller, _ = compress(net, Recipe(activity_threshold=0.3, bits=None), spikes())
    assert not smaller.is_integer and smaller.populations[1].bias.any()
    with pytest.raises(SampleError, match="quiet neurons"):
        compress(net, recipe)


def test_ternary_codes_say_so() -> None:
    ternary, _ = compress(network(), Recipe(bits=2, scheme="ternary"), spikes())
    for projection in ternary.projections:
        assert isinstance(projection.weights, Quantised)
        assert (projection.weights.scheme, projection.weights.bits) == ("ternary", 2)
        assert set(np.unique(projection.weights.codes)) <= {-1, 0, 1}


def test_overrides_hold_for_the_weights_into_one_population() -> None:
    recipe = Recipe(method="obc", sparsity=0.5, bits=6, overrides={"out": Override(sparsity=0.25, bits=3)})
    compressed, _ = compress(network(), recipe, spikes())
    first, second = (p.weights for p in compressed.projections)
    assert isinstance(first, Quantised) and isinstance(second, Quantised)
    assert (first.bits, second.bits) == (6, 3)
    assert np.mean(first.codes == 0) >= 0.5 and 0.25 <= np.mean(second.codes == 0) < 0.5
    only_bits = Recipe(method="magnitude", sparsity=0.5, overrides={"out": Override(bits=3)})
    assert [p.weights.bits for p in compress(network(), only_bits, spikes())[0].projections] == [8, 3]
    assert [p.weights.bits for p in compress(network(), only_bits)[0].projections] == [8, 3]
    with pytest.raises(OptionError, match="'hidden' have none"):
        compress(network(), replace(only_bits, bits=None), spikes())


@pytest.mark.parametrize("method", ["magnitude", "osbc"])
def test_layers_without_a_sparsity_of_their_own_share_one(method: str) -> None:
    net = deep_network()
    recipe = Recipe(method=method, sparsity=0.7, bits=None, distil=False, overrides={"out": Override(sparsity=0.0)})
    first, second, out = weights_of(compress(net, recipe, spikes(60))[0])
    assert out.all()
    assert np.mean(np.concatenate([first.ravel(), second.ravel()]) == 0) == pytest.approx(0.7, abs=1e-2)
    assert abs(np.mean(first == 0) - np.mean(second == 0)) > 0.02
    alone = weights_of(compress(net, replace(recipe, scope="layer"), spikes(60))[0])
    assert [np.mean(w == 0) for w in alone] == pytest.approx([0.7, 0.7, 0], abs=1e-2)


@pytest.mark.parametrize(
    ("recipe", "override", "expected"),
    [
        ({"bits": 4}, {"scheme": "ternary"}, (2, "ternary")),
        ({"bits": 4}, {"bits": 2}, (2, "fixed_point")),
        ({"bits": 2, "scheme": "ternary"}, {"bits": 6}, (6, "fixed_point")),
        ({"bits": 2, "scheme": "ternary"}, {"bits": 2}, (2, "ternary")),
        ({"bits": 2, "scheme": "ternary"}, {"sparsity": 0.5}, (2, "ternary")),
        ({"bits": 2, "scheme": "ternary"}, {"scheme": "fixed_point"}, (2, "fixed_point")),
    ],
)
def test_an_override_completes_its_format(
    recipe: dict[str, Any], override: dict[str, Any], expected: tuple[int, str]
) -> None:
    compressed, _ = compress(network(), Recipe(**recipe, overrides={"out": Override(**override)}))
    weights = compressed.projections[1].weights
    assert isinstance(weights, Quantised) and (weights.bits, weights.scheme) == expected


@pytest.mark.parametrize(
    ("recipe", "override", "message"),
    [
        ({"bits": 4}, {"bits": 1}, "1 bit are binary"),
        ({"bits": 1, "scheme": "binary"}, {"scheme": "fixed_point"}, "1 bit are binary"),
    ],
)
def test_overrides_that_make_no_format_are_refused(
    recipe: dict[str, Any], override: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        Recipe(**recipe, overrides={"out": Override(**override)})


@pytest.mark.parametrize("readout", [None, LI(beta=0.9)])
@pytest.mark.parametrize("method", ["magnitude", "activity", "obc", "osbc"])
def test_binary_codes_have_one_scale_per_neuron_and_keep_the_mask(method: str, readout: LI | None) -> None:
    net = network()
    if readout is not None:
        net = replace(net, populations=(net.populations[0], replace(net.populations[1], dynamics=readout)))
    pruned, _ = compress(net, Recipe(sparsity=0.4, bits=None), spikes())
    recipe = Recipe(method=method, sparsity=0.5, bits=1, scheme="binary")
    binary, report = compress(pruned, recipe, spikes(40))
    assert report.sparsity == pytest.approx(0.5, abs=1e-2)
    for before, projection in zip(weights_of(pruned), binary.projections, strict=True):
        weights = projection.weights
        assert isinstance(weights, Quantised) and (weights.scheme, weights.bits) == ("binary", 2)
        assert set(np.unique(weights.codes)) == {-1, 0, 1} and not weights.codes[before == 0].any()
    out = binary.projections[1].weights.scale
    assert (len(np.unique(out)) > 1) == (readout is None)


def test_hessians_choose_better_binary_codes_than_signs() -> None:
    losses = {}
    for method in ("magnitude", "obc", "osbc"):
        recipe = Recipe(method=method, bits=1, scheme="binary", distil=False)
        losses[method] = compress(network(), recipe, spikes(60))[1].losses
    for name in ("hidden", "out"):
        assert losses["osbc"][name] < 0.7 * losses["magnitude"][name]
        assert losses["osbc"][name] <= losses["obc"][name]


@pytest.mark.parametrize("method", ["obc", "osbc"])
def test_patterns_hold(method: str) -> None:
    compressed, _ = compress(network(), Recipe(method=method, bits=None, pattern="2:4", distil=False), spikes())
    for weights in weights_of(compressed):
        groups = weights[: len(weights) // 4 * 4].reshape(-1, 4, weights.shape[1])
        assert np.count_nonzero(groups, axis=1).max() <= 2


def test_osbc_beats_magnitude_on_membranes() -> None:
    losses = {}
    for method in ("magnitude", "osbc"):
        recipe = Recipe(method=method, sparsity=0.7, bits=None, distil=False)
        _, report = compress(network(), recipe, spikes(60))
        losses[method] = report.losses
    assert all(losses["osbc"][name] < losses["magnitude"][name] for name in ("hidden", "out"))


def test_fine_tuning_keeps_the_mask_and_the_grid() -> None:
    pruned, _ = compress(network(), Recipe(sparsity=0.5, bits=None), spikes())
    training = FineTune(spikes=spikes(30, 7), labels=np.arange(30) % 4, epochs=2)
    tuned, report = compress(pruned, Recipe(sparsity=0.5, bits=4), spikes(), finetune=training)
    assert tuned.is_integer and report.sparsity >= 0.5
    for old, new in zip(weights_of(pruned), weights_of(tuned), strict=True):
        assert not new[old == 0].any() and np.abs(new).max() <= 7


# ---------------------------------------------------------------------------------------------------- bad input


def test_silenced_neurons_are_named() -> None:
    with pytest.warns(UserWarning, match="'hidden' without input"):
        _, report = compress(network(), Recipe(sparsity=0.99, bits=None), spikes())
    assert report.silenced["hidden"]


def test_dead_layers_are_named() -> None:
    net = network()
    silent = replace(net.populations[0], dynamics=LIF(beta=0.9, threshold=1000.0))
    net = replace(net, populations=(silent, net.populations[1]))
    with pytest.warns(UserWarning, match="'hidden' never fires"):
        _, report = compress(net, Recipe(sparsity=0.5, bits=None), spikes())
    assert "hidden" in report.silent


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((3, 5, 30), np.uint8), "hold none"),
        (np.ones((3, 5, 29), np.uint8), "shape"),
        (np.ones((3, 30), np.uint8), "shape"),
        (np.ones((3, 5, 30)), "integers"),
        (np.full((3, 5, 30), 2, np.uint8), "0 to 1"),
        (np.ones((0, 5, 30), np.uint8), "shape"),
    ],
)
def test_bad_calibration_is_refused(samples: Any, words: str) -> None:
    with pytest.raises(SampleError, match=words):
        compress(network(), Recipe(sparsity=0.5), samples)


@pytest.mark.parametrize("method", ["activity", "obc", "osbc"])
def test_methods_that_need_samples_say_so(method: str) -> None:
    with pytest.raises(SampleError, match="needs calibration samples"):
        compress(network(), Recipe(method=method, sparsity=0.5))


def test_what_cannot_be_compressed_is_refused() -> None:
    with pytest.raises(ModelError, match="quantised already"):
        compress(quantise(network(), 4), Recipe(sparsity=0.5))
    with pytest.raises(OptionError, match="has a target"):
        compress(network(), Recipe(bits=None))
    with pytest.raises(OptionError, match="none named 'hiden'; did you mean 'hidden'"):
        compress(network(), Recipe(overrides={"hiden": Override(bits=4)}))
    with pytest.raises(OptionError, match="the network has 'hidden', 'out'"):
        compress(network(), Recipe(overrides={"x": Override(bits=4)}))


@pytest.mark.parametrize("bits", [None, 4])
def test_neurons_that_compression_silences_are_reported(bits: int | None) -> None:
    """One neuron lives on small weights, all of the same size, and those go first."""
    net = network()
    weights = net.projections[0].connectivity.real.copy()
    weights[:, 5] = 0.02
    first = replace(net.projections[0], connectivity=Dense(weights=weights))
    small = replace(net.populations[0], dynamics=LIF(beta=0.9, threshold=np.where(np.arange(12) == 5, 0.2, 1.0)))
    net = replace(net, populations=(small, net.populations[1]), projections=(first, net.projections[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = compress(net, Recipe(sparsity=0.2, bits=bits), spikes(20, 3))[1]
    assert report.quieted["hidden"] == (5,)
    assert "hidden" not in compress(net, Recipe(bits=8), spikes(20, 3))[1].quieted

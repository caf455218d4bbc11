"""Compression of whole networks on calibration samples, and training what it left over."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from compressing import compress_weights
from spikeloom.compiler.compression import moments, one_shot
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.one_shot import _bounded
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF, LI, LIF, Arithmetic, CubaLIF, Dynamics, IntegerDynamics
from spikeloom.hdl.errors import ModelError, OptionError, SampleError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

torch = pytest.importorskip("torch")


pytestmark = pytest.mark.usefixtures("one_thread")


QUICK = FineTune(epochs=2, batch_size=30)


def network(dynamics: Dynamics | None = None, readout: Dynamics | None = None) -> Network:
    """30-24-5, the output driven by the hidden neurons and by the input."""
    rng = np.random.default_rng(3)
    dynamics = dynamics or LIF(beta=0.7, threshold=1.0)
    shapes = {(INPUT, "hidden"): (30, 24), ("hidden", "out"): (24, 5), (INPUT, "out"): (30, 5)}
    return Network(
        input_shape=(30,),
        populations=(
            Population(name="hidden", shape=(24,), dynamics=dynamics, bias=rng.normal(0, 0.02, 24)),
            Population(name="out", shape=(5,), dynamics=readout or dynamics, bias=np.zeros(())),
        ),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=rng.normal(0.05, 0.35, shape)))
            for (pre, post), shape in shapes.items()
        ),
        output="out",
    )


def samples(count: int = 60, steps: int = 12) -> np.ndarray:
    """Inputs that fire together, so that one can stand for another; the last four never do."""
    rng = np.random.default_rng(4)
    rates = rng.random((count, 6)) @ rng.random((6, 30)) / 6
    rates[:, -4:] = 0
    return (rng.random((count, steps, 30)) < rates[:, None]).astype(np.uint8)


def compressed(net: Network | None = None, **options: Any) -> Network:
    defaults: dict[str, Any] = {"method": "osbc", "sparsity": 0.6, "bits": None, "calibration": samples()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return compress_weights(net or network(), **{**defaults, "distil": QUICK, **options})


def weights_of(net: Network) -> list[np.ndarray]:
    return [p.weights.dequantise() if isinstance(p.weights, Quantised) else p.weights for p in net.projections]


def sparsity_of(net: Network) -> float:
    flat = np.concatenate([w.ravel() for w in weights_of(net)])
    return float(np.mean(flat == 0))


def rates(net: Network) -> np.ndarray:
    """Output spike counts on samples that calibration has not seen, or a readout's mean membranes."""
    run = run_reference if net.is_integer else run_float
    recorded = run(net, samples(200), membranes=True).populations["out"]
    assert recorded.membranes is not None
    return recorded.spikes.sum(axis=1, dtype=np.int64) if recorded.spikes.any() else recorded.membranes.mean(axis=1)


@pytest.mark.parametrize("method", ["magnitude", "activity", "obc", "osbc"])
def test_every_method_reaches_the_sparsity_exactly(method: str) -> None:
    result = compressed(method=method)
    assert not result.is_integer
    assert sparsity_of(result) == pytest.approx(0.6, abs=1e-3)
    assert [p.dynamics.kind for p in result.populations] == [p.dynamics.kind for p in network().populations]


def test_osbc_keeps_the_spikes_better_than_the_baselines() -> None:
    wanted = rates(network())
    error = {m: np.abs(rates(compressed(method=m)) - wanted).mean() for m in ("magnitude", "activity", "osbc")}
    assert error["osbc"] < 0.6 * min(error["magnitude"], error["activity"])


@pytest.mark.parametrize(
    ("dynamics", "readout"),
    [
        (IF(threshold=1.0), None),
        (LIF(beta=0.7, threshold=1.0, r=3.0, arithmetic=Arithmetic.EULER), None),
        (CubaLIF(alpha=0.5, beta=0.7, threshold=1.0), None),
        (LIF(beta=0.7, threshold=1.0), LI(beta=0.9)),
        (LIF(beta=np.linspace(0.3, 0.9, 24), threshold=1.0), LI(beta=np.linspace(0.5, 0.9, 5))),
        (
            LIF(beta=0.7, threshold=1.0, r=-3.0, arithmetic=Arithmetic.EULER),
            LI(beta=np.linspace(0.5, 0.9, 5), arithmetic=Arithmetic.EULER),
        ),
    ],
)
@pytest.mark.parametrize("bits", [None, 4])
def test_all_neuron_models(dynamics: Dynamics, readout: Dynamics | None, bits: int | None) -> None:
    if readout is None and dynamics.kind.value == "LIF" and bits is None:
        readout = LIF(beta=0.7, threshold=1.0)
    out = readout or dynamics
    net = network(dynamics, out)
    result = compressed(net, sparsity=0.3, bits=bits)
    assert result.is_integer == (bits is not None)
    unit = 1.0
    if bits is not None:
        final = result.population("out").dynamics
        assert isinstance(final, IntegerDynamics)
        unit = float(np.ravel(final.scale)[0]) / 2**final.fraction_bits if isinstance(out, LI) else 1.0
    correlation = np.corrcoef((rates(result) * unit).ravel(), rates(net).ravel())[0, 1]
    assert correlation > 0.9


def test_codes_stay_on_the_grid_with_one_scale_per_neuron() -> None:
    result = compressed(bits=3, sparsity=0.5)
    assert sparsity_of(result) >= 0.5
    for projection in result.projections:
        assert isinstance(projection.weights, Quantised)
        assert projection.weights.bits == 3 and np.abs(projection.weights.codes).max() <= 3
    first, second = result.projections_into("out")
    assert np.array_equal(first.weights.scale, second.weights.scale)  # type: ignore[union-attr]


def test_bits_and_sparsity_by_population() -> None:
    result = compressed(bits={"hidden": 2, "out": 6}, sparsity=0.0, sparsities={"hidden": 0.8})
    hidden, *out = result.projections
    assert hidden.weights.bits == 2 and all(p.weights.bits == 6 for p in out)  # type: ignore[union-attr]
    assert np.mean(weights_of(result)[0] == 0) >= 0.8
    ternary = compressed(bits=2, scheme="ternary", sparsity=0.0)
    assert {p.weights.scheme for p in ternary.projections} == {"ternary"}  # type: ignore[union-attr]


def test_layer_scope_gives_every_population_its_share() -> None:
    result = compressed(scope="layer", sparsity=0.5)
    hidden, *out = weights_of(result)
    assert np.mean(hidden == 0) == pytest.approx(0.5, abs=1e-2)
    assert np.mean(np.concatenate(out) == 0) == pytest.approx(0.5, abs=1e-2)


def test_compressing_again_keeps_earlier_zeros_and_training_keeps_the_mask() -> None:
    once = compressed(sparsity=0.5)
    twice = compressed(once, sparsity=0.7, bits=4)
    labelled = FineTune(epochs=2, spikes=samples(40), labels=np.arange(40) % 5, batch_size=20)
    for result in (twice, compressed(once, sparsity=0.0, bits=4, finetune=labelled)):
        for before, after in zip(weights_of(once), weights_of(result), strict=True):
            assert not after[before == 0].any()
    assert sparsity_of(twice) >= 0.7


@pytest.mark.parametrize("pattern", ["2:4", (2, 4)])
def test_n_of_m_over_the_fan_in(pattern: Any) -> None:
    (hidden, *_) = weights_of(compressed(pattern=pattern, sparsity=0.0))
    assert bool(((hidden[:28].reshape(7, 4, 24) != 0).sum(axis=1) <= 2).all())


def test_tiles_are_absent_as_a_whole() -> None:
    hidden = weights_of(compressed(pattern="2x4", sparsity=0.6))[0] != 0
    tiles = hidden.reshape(15, 2, 6, 4).transpose(0, 2, 1, 3).reshape(-1, 8)
    assert set(tiles.sum(axis=1)) == {0, 8}


def test_a_small_budget_prunes_in_stages_and_exact_refuses_it() -> None:
    assert sparsity_of(compressed(memory_budget=20_000)) == pytest.approx(0.6, abs=1e-3)
    with pytest.raises(OptionError, match="memory budget"):
        compressed(memory_budget=5_000, exact=True)


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"pattern": "2:4"}, {"pattern": "1x2"}])
def test_synapses_of_busy_neurons_go_sooner_where_operations_count(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(moments, "EXACT_OPERATIONS", 1e3)  # thin first
    events = samples().sum(axis=(0, 1))
    operations = []
    for weight in (0.0, 0.5, 1.0):
        result = compressed(operation_weight=weight, distil=FineTune(epochs=0), sparsity=0.7, **options)
        assert sparsity_of(result) >= 0.69
        into_hidden = weights_of(result)[0]
        operations.append(int(events @ np.count_nonzero(into_hidden, axis=1)) / np.count_nonzero(into_hidden))
    assert operations[0] > operations[1] > operations[2]


def test_results_repeat_and_progress_ends_at_the_total() -> None:
    calls: list[tuple[int, int]] = []
    first = compressed(bits=4, progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls) and calls[-1][0] == calls[-1][1]
    for one, other in zip(first.projections, compressed(bits=4).projections, strict=True):
        assert np.array_equal(one.weights.codes, other.weights.codes)  # type: ignore[union-attr]


def test_training_towards_labels_learns_them() -> None:
    x, rng = samples(80), np.random.default_rng(0)
    labels = (x.sum(axis=1) @ rng.normal(size=(30, 5))).argmax(axis=1)
    start = compressed(sparsity=0.3)
    options = FineTune(epochs=15, spikes=x, labels=labels, batch_size=20, labels_weight=1.0, hidden=0.0)
    trained = compressed(start, sparsity=0.3, finetune=options, distil=FineTune(epochs=0))

    def right(net: Network) -> float:
        return float(np.mean(run_float(net, x).populations["out"].spikes.sum(axis=1).argmax(axis=1) == labels))

    assert right(trained) > right(start) + 0.1


def test_a_layer_left_without_synapses_is_named() -> None:
    with pytest.warns(UserWarning, match="removed every synapse from 'input' to 'hidden'"):
        compress_weights(
            network(),
            method="osbc",
            sparsity=0.0,
            sparsities={"hidden": 0.9999},
            bits=None,
            calibration=samples(),
            distil=QUICK,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "magnitude, activity, obc, osbc"),
        ({"sparsity": 1.0}, "0 <= s < 1"),
        ({"sparsities": {"nowhere": 0.5}}, "'nowhere'"),
        ({"sparsities": {"out": 1.0}}, "0 <= s < 1"),
        ({"bits": 1}, "1 bit are binary"),
        ({"bits": 17}, "2 to 16"),
        ({"bits": 2, "scheme": "binary"}, "binary weights have 1 bit"),
        ({"bits": 4, "scheme": {"inn": "ternary"}}, "'inn'"),
        ({"bits": {"hidden": 4}}, "'out' have none"),
        ({"bits": 4, "scheme": "ternary"}, "ternary weights have 2 bits"),
        ({"scheme": "octal"}, "fixed_point, ternary, binary"),
        ({"scope": "row"}, "global or layer"),
        ({"operation_weight": 1.5}, "0 to 1"),
        ({"operation_weight": True}, "0 to 1"),
        ({"operation_weight": 0.5, "method": "magnitude"}, "weighed by obc and osbc"),
        ({"pattern": "4:2"}, "n:m"),
        ({"pattern": "2x"}, "n:m"),
        ({"pattern": "2:4", "method": "magnitude"}, "patterns"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compressed(**options)


@pytest.mark.parametrize("values", [{"epochs": -1}, {"learning_rate": 0.0}, {"blend": 2.0}, {"batch_size": 0}])
def test_bad_training_options_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        FineTune(**values)


def test_labels_need_their_samples() -> None:
    with pytest.raises(SampleError, match="0 samples and 3 labels"):
        FineTune(labels=np.zeros(3, np.int64))


def test_bad_samples_and_networks_are_refused() -> None:
    with pytest.raises(SampleError, match="30 inputs"):
        compressed(calibration=np.zeros((3, 4, 7), np.uint8))
    with pytest.raises(SampleError, match="hold none"):
        compressed(calibration=np.zeros((3, 4, 30), np.uint8))
    with pytest.raises(ModelError, match="quantised already"):
        compressed(compressed(bits=4))


def test_importing_the_modules_loads_no_torch() -> None:
    program = (
        "import sys, spikeloom.compiler.compression.one_shot, spikeloom.compiler.compression.staged;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_long_samples_are_distilled_in_as_many_updates_on_fewer_samples() -> None:
    options = FineTune(epochs=70, batch_size=100)
    assert _bounded(options, np.zeros((400, 20, 3), np.uint8)) is options
    long = _bounded(options, np.zeros((88, 320, 3), np.uint8))
    assert (long.batch_size, long.epochs) == (31, 23)
    assert _bounded(options, np.zeros((12, 5000, 3), np.uint8)) is options


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ({"sparsity": 0.8, "bits": 4}, True),
        ({"sparsity": 0.8, "bits": 4, "method": "obc"}, False),
        ({"sparsity": 0.8, "bits": 4, "distil": FineTune(epochs=0)}, False),
        ({"sparsity": 0.8, "bits": 2}, False),
        ({"sparsity": 0.5, "bits": 4}, False),
        ({"sparsity": 0.8}, False),
    ],
)
def test_real_weights_are_distilled_and_rounded_last_where_few_stay(
    options: dict[str, Any], last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(one_shot, "rounded", lambda *given: calls.append(given) or moments.rounded(*given))
    result = compressed(**options)
    assert bool(calls) == last
    assert sparsity_of(result) >= options["sparsity"] - 0.01
    assert result.is_integer == ("bits" in options)

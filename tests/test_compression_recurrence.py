"""Networks whose spikes come back are compressed as others are: simulated step by step, fitted, trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.compression.finetune import FineTune
from spikeloom.compiler.compression.one_shot import compress_weights
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LI, LIF, CubaLIF, Drive, ResetMode, ResetPlace
from spikeloom.compiler.lowering.quantise import dequantise
from spikeloom.hdl.errors import SampleError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

torch = pytest.importorskip("torch")

from spikeloom.compiler.compression import recurrence  # noqa: E402
from spikeloom.compiler.compression.simulation import Layer, inputs_of, layers_of, simulate  # noqa: E402
from spikeloom.compiler.compression.surrogate import slope  # noqa: E402

ECG = Path(__file__).parent.parent / "examples" / "ecg8.nir"

SIZES = {INPUT: 12, "a": 9, "b": 7, "c": 4}


def _network(edges: list[tuple[str, str, int]], dynamics: Any, seed: int = 1) -> Network:
    rng = np.random.default_rng(seed)
    projections = tuple(
        Projection(
            pre=pre,
            post=post,
            connectivity=Dense(weights=rng.normal(0.1, 1.4, (SIZES[pre], SIZES[post])) / np.sqrt(SIZES[pre])),
            delay=delay,
        )
        for pre, post, delay in edges
    )
    names = sorted({post for _, post, _ in edges})
    populations = tuple(
        Population(name=n, shape=(SIZES[n],), dynamics=dynamics, bias=rng.normal(0.1, 0.1, SIZES[n])) for n in names
    )
    return Network(
        input_shape=(12,), populations=populations, projections=projections, output=names[-1], dtype="float64"
    )


LOOPS = [(INPUT, "a", 0), ("a", "a", 1), ("a", "b", 0), ("b", "b", 2), ("b", "a", 1), ("b", "c", 0), (INPUT, "c", 1)]
CHAIN = [(INPUT, "a", 0), ("a", "b", 0), ("a", "c", 1), ("b", "c", 0)]


def _samples(count: int = 6, steps: int = 25) -> np.ndarray:
    return (np.random.default_rng(2).random((count, steps, 12)) < 0.3).astype(np.uint8)


CASES: dict[str, Any] = {
    "LIF": LIF(beta=0.8, threshold=1.0),
    "next": LIF(beta=0.8, threshold=1.0, reset_place=ResetPlace.NEXT),
    "snntorch_same": LIF(beta=0.8, threshold=1.0, reset_place=ResetPlace.SNNTORCH_SAME),
    "floor": LIF(beta=0.8, threshold=1.0, v_min=-0.5),
    "value, next": LIF(beta=0.8, threshold=1.0, reset_mode=ResetMode.VALUE, reset_place=ResetPlace.NEXT),
    "adaptive": LIF(beta=0.8, threshold=1.0, rho=0.9, jump=0.2),
    "adaptive, next": LIF(beta=0.8, threshold=1.0, rho=0.9, jump=-0.1, reset_place=ResetPlace.NEXT),
    "CubaLIF": CubaLIF(alpha=0.5, beta=0.8, threshold=1.0, reset_mode=ResetMode.VALUE),
    "CubaLIF, old drive": CubaLIF(alpha=0.5, beta=0.8, threshold=1.0, drive=Drive.OLD),
}


@pytest.mark.parametrize("case", CASES)
def test_spikes_are_those_of_the_float_executor(case: str) -> None:
    net, inputs = _network(LOOPS, CASES[case]), _samples()
    recorded = run_float(net, inputs, membranes=True).populations
    answers = simulate(layers_of(net, dtype=torch.float64), inputs_of(inputs, dtype=torch.float64))
    for name, answer in answers.items():
        assert answer.spikes is not None and 0.02 < recorded[name].spikes.mean() < 0.98
        assert np.array_equal(answer.spikes.numpy().transpose(1, 0, 2), recorded[name].spikes)


@pytest.mark.parametrize(
    ("edges", "groups"),
    [
        (CHAIN, [[0], [1], [2]]),
        (LOOPS, [[0, 1], [2]]),
        ([(INPUT, "a", 0), (INPUT, "b", 0), ("b", "a", 1), ("a", "c", 0)], [[1], [0], [2]]),
    ],
)
def test_what_feeds_each_other_is_a_group_behind_what_feeds_it(
    edges: list[tuple[str, str, int]], groups: list[list[int]]
) -> None:
    net = _network(edges, CASES["LIF"])
    layers = layers_of(net, dtype=torch.float64)
    assert recurrence.groups_of(layers) == groups
    answers = simulate(layers, inputs_of(_samples(), dtype=torch.float64))
    for name, record in run_float(net, _samples()).populations.items():
        spikes = answers[name].spikes
        assert spikes is not None and np.array_equal(spikes.numpy().transpose(1, 0, 2), record.spikes)


@pytest.mark.parametrize("case", ["LIF", "floor", "CubaLIF", "CubaLIF, old drive"])
def test_steps_together_and_apart_have_the_same_gradients(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain has no need to be stepped through; where it is, spikes are the same, and gradients where none resets."""
    monkeypatch.setattr(recurrence, "slope_in_loops", slope)
    neurons = replace(CASES[case], reset_mode=ResetMode.NONE)
    layers, x = layers_of(_network(CHAIN, neurons), dtype=torch.float64), inputs_of(_samples(), dtype=torch.float64)

    def gradients() -> list[Any]:
        weights = [layer.weight.clone().requires_grad_() for layer in layers]
        answer = simulate(layers, x, weights, surrogate=True)
        (answer["c"].spikes.sum() + (answer["b"].membranes ** 2).mean()).backward()  # type: ignore[union-attr]
        return [answer["c"].spikes.detach(), *(w.grad for w in weights)]  # type: ignore[union-attr]

    apart = gradients()
    monkeypatch.setattr(recurrence, "groups_of", lambda layers: [[0, 1, 2]])
    monkeypatch.setattr("spikeloom.compiler.compression.simulation.groups_of", lambda layers: [[0, 1, 2]])
    for one, other in zip(apart, gradients(), strict=True):
        assert bool(one.any())
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_what_hears_itself_alone_has_the_gradients_of_autograd(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of inputs, of the loop with its delay, of what is read, and of leaks."""
    net = _network([(INPUT, "a", 0), ("a", "a", 1), ("a", "b", 0), ("b", "b", 2)], CASES[case])
    layers, x = layers_of(net, dtype=torch.float64), inputs_of(_samples(), dtype=torch.float64)

    def gradients() -> list[Any]:
        given = [layer.weight.clone().requires_grad_() for layer in layers]
        leaks = [layer.beta.clone().requires_grad_() for layer in layers if layer.form.leaky]
        own = [layer.leaking(beta) for layer, beta in zip(layers, leaks, strict=True)] if leaks else layers
        answer = simulate(own, x, given, surrogate=True)
        (answer["b"].spikes.sum() + (answer["a"].membranes ** 2).mean()).backward()  # type: ignore[union-attr]
        spikes = [answer[name].spikes.detach() for name in "ab"]  # type: ignore[union-attr]
        return [*spikes, *(value.grad for value in (*given, *leaks))]

    found = gradients()
    monkeypatch.setattr("spikeloom.compiler.compression.simulation.hears_itself_plainly", lambda *_: False)
    for one, other in zip(found, gradients(), strict=True):
        assert bool(one.any())
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_gradients_go_round_the_loop() -> None:
    """The loop's own weights have the gradient that differences of membranes below the threshold show."""
    net = _network([(INPUT, "a", 0), ("a", "a", 1), ("a", "c", 0)], LIF(beta=0.8, threshold=1.0))
    layers, x = layers_of(net, dtype=torch.float64), inputs_of(_samples(), dtype=torch.float64)
    weights = [layer.weight.clone().requires_grad_() for layer in layers]
    simulate(layers, x, weights, surrogate=True)["c"].membranes.sum().backward()
    grad = weights[0].grad
    assert grad is not None and bool(grad[:12].any()) and bool(grad[12:].any())
    quiet = LIF(beta=0.8, threshold=1e9, reset_mode=ResetMode.NONE)
    layers = layers_of(_network([(INPUT, "a", 0), ("a", "a", 1)], quiet), dtype=torch.float64)
    weight = layers[0].weight.clone().requires_grad_()
    simulate(layers, x, [weight], surrogate=True)["a"].membranes.sum().backward()
    step = torch.zeros_like(weight)
    step[3, 2] = 1e-6
    ends = [simulate(layers, x, [layers[0].weight + s * step])["a"].membranes.sum() for s in (-1, 1)]
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad[3, 2], (ends[1] - ends[0]) / 2e-6, rtol=1e-5, atol=1e-6)


def test_gradients_that_come_back_do_not_grow_without_bound() -> None:
    """In a trained recurrent network those of 200 steps are near those of 25."""
    layers, rng = layers_of(dequantise(read_nir(ECG))), np.random.default_rng(4)

    def norm(steps: int) -> float:
        x = inputs_of((rng.random((2, steps, 4)) < 0.1).astype(np.uint8))
        weight = layers[0].weight.clone().requires_grad_()
        simulate(layers, x, [weight, layers[1].weight], surrogate=True)["readout"].membranes.mean().backward()
        assert weight.grad is not None
        return float(weight.grad.norm())

    assert norm(200) < 10 * norm(25)


def test_values_of_every_step_are_learnt_where_they_are_asked_for() -> None:
    """A network that is read in every step keeps them better in training than one that is read by the last alone."""
    net, samples = _network(CHAIN, CASES["LIF"]), _samples(40)
    net = replace(net, populations=(*net.populations[:2], replace(net.populations[2], dynamics=LI(beta=0.9))))
    expected = run_float(net, samples, membranes=True).membranes
    training = FineTune(epochs=15, learning_rate=0.03, batch_size=8, blend=0.0, surplus=1.0)

    def error(by: str) -> float:
        recipe = Recipe(method="osbc", sparsity=0.5, bits=None)
        result = compress_weights(net.with_readout(by), recipe, samples, finetune=training)
        found = run_float(result, samples, membranes=True).membranes
        return float(np.square(found - expected).mean())

    assert error("membranes") < 0.6 * error("membrane-last")


def test_labels_of_steps_are_learnt() -> None:
    """A network that is read in every step learns its labels in every step; those of -1 change nothing."""
    net, samples = _network(CHAIN, CASES["LIF"]), _samples(40)
    net = replace(net, populations=(*net.populations[:2], replace(net.populations[2], dynamics=LI(beta=0.1))))
    net = net.with_readout("membranes")
    labels = np.roll(samples.sum(axis=2, dtype=np.int64) > 3, 1, axis=1).astype(np.int64)  # of the step before
    labels[:, :3] = -1

    def tuned(labels: np.ndarray) -> np.ndarray:
        training = FineTune(
            spikes=samples, labels=labels, epochs=10, learning_rate=0.03, batch_size=8, labels_weight=1.0, surplus=1.0
        )
        result = compress_weights(net, Recipe(method="magnitude", sparsity=0.3, bits=None), samples, finetune=training)
        membranes = run_float(result, samples, membranes=True).membranes
        assert membranes is not None
        return membranes

    learnt = tuned(labels)
    assert np.mean(learnt.argmax(-1)[:, 3:] == labels[:, 3:]) > 0.65
    others = labels.copy()
    others[:, 3:] = -1
    assert np.mean(tuned(others).argmax(-1)[:, 3:] == labels[:, 3:]) < 0.5
    for mistaken, words in ((labels[:, 1:], "every step has a label"), (labels - 1, "labels are 0 to 3")):
        with pytest.raises(SampleError, match=words):
            tuned(mistaken)
    net = net.with_readout("membrane-last")
    with pytest.raises(SampleError, match="is read by membrane-last"):
        tuned(labels)


@pytest.mark.parametrize("method", ["magnitude", "activity", "obc", "osbc"])
def test_every_method_compresses_recurrent_networks(method: str) -> None:
    net, samples = _network(LOOPS, CASES["CubaLIF"]), _samples(40)
    real = run_float(net, samples)
    result = compress_weights(net, Recipe(method=method, sparsity=0.3, bits=6, distil=False), samples)
    assert result.is_integer and [p.delay.tolist() for p in result.projections] == [p.delay for p in net.projections]
    dense = sum(p.connectivity.possible_synapses for p in result.projections)
    assert sum(p.connectivity.synapses for p in result.projections) <= 0.71 * dense
    assert np.mean(run_reference(result, samples).spikes != real.spikes) < 0.35


def test_moments_keep_more_spikes_than_magnitude() -> None:
    net, samples = _network(LOOPS, CASES["LIF"], seed=3), _samples(60)
    real = run_float(net, samples)

    def wrong(method: str) -> float:
        result = compress_weights(net, Recipe(method=method, sparsity=0.4, bits=None, distil=False), samples)
        return float(np.mean(run_float(result, samples).spikes != real.spikes))

    assert wrong("osbc") < wrong("magnitude")


def test_training_goes_on_through_the_loop() -> None:
    """Fine-tuning on labels changes the weights of the loop, and brings the network nearer to them."""
    net, samples = _network(LOOPS, CASES["LIF"]), _samples(40)
    labels = run_float(net, samples).predicted
    start = compress_weights(net, Recipe(method="magnitude", sparsity=0.7, bits=None), samples)
    tune = FineTune(spikes=samples, labels=labels, epochs=12, learning_rate=0.02, surplus=1.0)
    result = compress_weights(net, Recipe(method="magnitude", sparsity=0.7, bits=None), samples, finetune=tune)
    loop = next(i for i, p in enumerate(net.projections) if (p.pre, p.post) == ("a", "a"))
    kept = result.projections[loop].connectivity.real != 0
    assert not np.allclose(
        result.projections[loop].connectivity.real[kept], net.projections[loop].connectivity.real[kept]
    )
    before, after = (np.mean(run_float(n, samples).predicted == labels) for n in (start, result))
    assert after > before


def test_readouts_behind_a_loop() -> None:
    net, samples = _network(LOOPS, CASES["LIF"]), _samples(20)
    readout = replace(net.populations[2], dynamics=LI(beta=0.9))
    net = replace(net, populations=(*net.populations[:2], readout))
    result = compress_weights(net, Recipe(method="osbc", sparsity=0.2, bits=8, distil=False), samples)
    assert (
        np.mean(
            run_reference(result, samples, membranes=True).predicted
            == run_float(net, samples, membranes=True).predicted
        )
        > 0.7
    )


def test_layers_are_told_apart_from_their_names() -> None:
    layers: list[Layer] = layers_of(_network(CHAIN, CASES["LIF"]))
    assert [recurrence.is_recurrent(layers, group) for group in ([0], [0, 1])] == [False, True]


def test_braille_at_8_bits(shared: Path) -> None:
    """Fitted on second moments the NIR paper's recurrent network keeps more of its published spikes than rounded."""
    folder = shared / "data" / "nir"
    net = read_nir(folder / "braille_noDelay_bias_zero.nir", dialect="snntorch", reset="zero", reset_delay=False)
    samples = np.load(folder / "braille_test0_input_T256x12.npy")[None]
    published = np.load(folder / "noDelay_bias_zero_hidden_ref_snntorch.npy")

    def wrong(method: str) -> int:
        result = compress_weights(net, Recipe(method=method, sparsity=0.0, bits=8, distil=False), samples)
        return int(np.count_nonzero(run_reference(result, samples).populations["lif1.lif"].spikes[0] != published))

    assert wrong("osbc") < 0.5 * published.sum() < wrong("magnitude")

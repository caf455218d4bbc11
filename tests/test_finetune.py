"""Training what compression left over: gradients, pruning on the way, masks, grids and bad options."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressing import compress_weights
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.compression import FineTune
from spikeloom.compiler.compression.finetune import Weights, _one_cycle
from spikeloom.compiler.compression.gradual import PRUNED_BY, most_valuable, synapses_at
from spikeloom.compiler.compression.grid import Grid
from spikeloom.compiler.compression.one_shot import FITTING
from spikeloom.compiler.compression.simulation import inputs_of, layers_of, simulate
from spikeloom.compiler.compression.surrogate import SLOPE
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LI, LIF, Arithmetic, IntegerDynamics, ResetMode, ResetPlace
from spikeloom.compiler.lowering.quantise import dequantise
from spikeloom.hdl.errors import OptionError, SampleError
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {(INPUT, "hidden"): (36, 20), ("hidden", "out"): (20, 4)}


def network(**dynamics: Any) -> Network:
    """36-20-4, every weight there."""
    rng = np.random.default_rng(3)
    neurons = LIF(beta=0.7, threshold=1.0, **dynamics)
    return Network(
        input_shape=(36,),
        populations=(
            Population(name="hidden", shape=(20,), dynamics=neurons, bias=rng.normal(0, 0.02, 20)),
            Population(name="out", shape=(4,), dynamics=neurons, bias=np.zeros(4)),
        ),
        projections=tuple(
            Projection(pre=pre, post=post, connectivity=Dense(weights=rng.normal(0.05, 0.35, shape)))
            for (pre, post), shape in SIZES.items()
        ),
        output="out",
    )


def spikes(count: int = 60, steps: int = 8, seed: int = 4) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, steps, 36)) < 0.2).astype(np.uint8)


def labels(x: np.ndarray) -> np.ndarray:
    return (x.sum(axis=1) @ np.random.default_rng(0).normal(size=(36, 4))).argmax(axis=1)


def training(count: int = 60, **options: Any) -> FineTune:
    x = spikes(count, seed=5)
    return FineTune(**{"spikes": x, "labels": labels(x), "epochs": 3, "batch_size": 10, **options})


def test_neurons_that_adapt_or_fire_several_times_are_compressed_too() -> None:
    """Fitted and trained, at few bits: neurons keep what they have, the integers fire as the float network does."""
    for neurons in ({"rho": 0.9, "jump": 0.3}, {"max_spikes": 3}):
        net = network(**neurons)
        small = tuned(net, sparsity=0.5, bits=6)
        assert synapses(small) == WEIGHTS // 2
        for before, after in zip(net.populations, small.populations, strict=True):
            dynamics = after.dynamics
            assert isinstance(dynamics, IntegerDynamics)
            if dynamics.jump is not None:
                unit = dynamics.scale / (1 << dynamics.fraction_bits)
                np.testing.assert_allclose(dynamics.jump * unit, 0.3, atol=unit.max())
            assert (dynamics.jump is not None) == ("jump" in neurons)
            assert after.max_spikes == before.max_spikes
        recorded = run_reference(small, spikes(seed=9)).populations
        again = run_float(dequantise(small), spikes(seed=9)).populations
        for name, population in recorded.items():
            assert np.mean(population.spikes != again[name].spikes) < 0.02


def tuned(net: Network | None = None, **options: Any) -> Network:
    defaults: dict[str, Any] = {"method": "osbc", "sparsity": 0.8, "bits": None, "calibration": spikes()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few of the synapses of so small a network stay
        return compress_weights(net or network(), **{**defaults, "finetune": training(), **options})


def codes(net: Network) -> list[np.ndarray]:
    return [p.weights.codes if isinstance(p.weights, Quantised) else p.weights for p in net.projections]


def synapses(net: Network) -> int:
    return sum(int(np.count_nonzero(c)) for c in codes(net))


WEIGHTS = sum(pre * post for pre, post in SIZES.values())


# ------------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("mode", list(ResetMode))
@pytest.mark.parametrize("place", [ResetPlace.SAME, ResetPlace.NEXT])
def test_gradients_are_those_of_a_membrane_stepped_by_autograd(mode: ResetMode, place: ResetPlace) -> None:
    net = network(reset_mode=mode, reset_place=place, v_reset=0.1 if mode is ResetMode.VALUE else 0.0)
    layer = layers_of(net, dtype=torch.float64)[0]
    x = inputs_of(spikes(5), dtype=torch.float64)
    outer = torch.randn((2, 8, 5, 20), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = []
    for stepped in (False, True):
        weight = layer.weight.clone().requires_grad_()
        if stepped:
            fired, membranes = _stepped(net, x @ weight + layer.bias, layer)
        else:
            answer = simulate([layer], x, [weight], surrogate=True)["hidden"]
            fired, membranes = answer.spikes, answer.membranes
        (outer[0] * fired + outer[1] * membranes).sum().backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def _stepped(net: Network, currents: Any, layer: Any) -> tuple[Any, Any]:
    """The membranes step by step; a reset is a constant, a spike's derivative that of an arctangent."""
    dynamics = net.populations[0].dynamics
    assert isinstance(dynamics, LIF)
    v = torch.zeros_like(currents[0])
    before = torch.zeros_like(v)
    fired, membranes = [], []
    for current in currents:
        if dynamics.reset_place is ResetPlace.NEXT and dynamics.reset_mode is ResetMode.VALUE:
            v = torch.where(before > 0, layer.v_reset, v)
        u = layer.beta * v + current
        if dynamics.reset_place is ResetPlace.NEXT and dynamics.reset_mode is ResetMode.SUBTRACT:
            u = u - before * layer.sub
        soft = torch.atan((u - layer.threshold) * (SLOPE * torch.pi / 2)) / torch.pi
        spike = ((u > layer.threshold).double() - soft).detach() + soft
        before = spike.detach()
        v = u
        if dynamics.reset_place is ResetPlace.SAME and dynamics.reset_mode is ResetMode.VALUE:
            v = torch.where(before > 0, layer.v_reset, u)
        if dynamics.reset_place is ResetPlace.SAME and dynamics.reset_mode is ResetMode.SUBTRACT:
            v = u - before * layer.sub
        fired.append(spike)
        membranes.append(u)
    return torch.stack(fired), torch.stack(membranes)


# ----------------------------------------------------------------------------------------------------- the schedule


def test_synapses_leave_fast_at_first_and_are_all_gone_in_time() -> None:
    left = [synapses_at(share, 1000, 100) for share in np.linspace(0, 1, 101)]
    assert left[0] == 1000 and left == sorted(left, reverse=True)
    assert left[20] < 500 and {synapses_at(s, 1000, 100) for s in (PRUNED_BY, 0.9, 1.0)} == {100}
    assert synapses_at(0.0, 50, 100) == 100  # fewer than may stay


def test_the_most_valuable_stay_exactly_as_many_as_asked_and_none_returns() -> None:
    values = [torch.tensor([[3.0, 1.0], [9.0, 1.0]]), torch.tensor([[1.0], [2.0]])]
    kept = [torch.tensor([[True, True], [False, True]]), torch.tensor([[True], [True]])]
    masks = most_valuable(values, kept, 3)
    assert [m.tolist() for m in masks] == [[[True, True], [False, False]], [[False], [True]]]
    assert [m.tolist() for m in most_valuable(values, kept, 99)] == [k.tolist() for k in kept]


@pytest.mark.parametrize("method", ["magnitude", "osbc"])
@pytest.mark.parametrize("surplus", [1.0, 3.0, 50.0])
def test_training_ends_at_exactly_the_sparsity(method: str, surplus: float) -> None:
    result = tuned(method=method, sparsity=0.9, finetune=training(surplus=surplus))
    assert synapses(result) == WEIGHTS - int(0.9 * WEIGHTS + 0.5)


def test_populations_with_a_sparsity_of_their_own_keep_to_it() -> None:
    hidden, out = codes(tuned(sparsity=0.9, sparsities={"out": 0.5}))
    assert np.count_nonzero(out) == 40 and np.count_nonzero(hidden) == 72
    hidden, out = codes(tuned(scope="layer"))
    assert np.count_nonzero(out) == 16 and np.count_nonzero(hidden) == 144


def test_one_batch_is_training_enough() -> None:
    assert synapses(tuned(finetune=training(10, epochs=1))) == WEIGHTS - int(0.8 * WEIGHTS + 0.5)
    for count in (100, 101):  # ten and eleven batches: the schedule has no gaps
        tuned(finetune=training(count, epochs=1))


def test_unlabelled_training_prunes_too() -> None:
    result = tuned(finetune=FineTune(spikes=spikes(40, seed=6), epochs=2, batch_size=10))
    assert synapses(result) == WEIGHTS - int(0.8 * WEIGHTS + 0.5)


# -------------------------------------------------------------------------------------------------- mask and grid


def test_the_zeros_of_a_pruned_network_stay_and_no_others_come() -> None:
    pruned = tuned(finetune=None, distil=FineTune(epochs=0))
    result = tuned(pruned)
    for before, after in zip(codes(pruned), codes(result), strict=True):
        assert np.array_equal(before != 0, after != 0) and not np.allclose(before, after)


def test_patterns_hold_while_weights_are_trained() -> None:
    hidden = codes(tuned(pattern="2:4", sparsity=0.0))[0]
    assert (np.count_nonzero(hidden.reshape(9, 4, 20), axis=1) <= 2).all()
    tiles = codes(tuned(pattern="2x4", sparsity=0.6))[0].reshape(18, 2, 5, 4).transpose(0, 2, 1, 3).reshape(-1, 8) != 0
    assert set(tiles.sum(axis=1)) == {0, 8}


@pytest.mark.parametrize(("bits", "scheme", "largest"), [(4, "fixed_point", 7), (2, "ternary", 1)])
def test_codes_stay_on_the_grid_while_synapses_leave(bits: int, scheme: str, largest: int) -> None:
    result = tuned(bits=bits, scheme=scheme)
    assert result.is_integer and 0 < synapses(result) <= WEIGHTS - int(0.8 * WEIGHTS + 0.5)
    assert all(np.abs(c).max() <= largest for c in codes(result))


def test_a_readouts_scale_stays_shared_while_it_is_trained() -> None:
    net = network()
    readout = replace(net.populations[1], dynamics=LI(beta=0.8))
    result = tuned(replace(net, populations=(net.populations[0], readout)), bits=4, sparsity=0.5)
    hidden, out = (p.weights for p in result.projections)
    assert isinstance(hidden, Quantised) and isinstance(out, Quantised)
    assert len(np.unique(hidden.scale)) > 1 and len(np.unique(out.scale)) == 1


def test_pruned_synapses_carry_nothing_on_the_grid_or_off_it() -> None:
    kept = torch.tensor([[True, False], [False, True]])
    shadow = torch.full((2, 2), 0.6)
    free = Weights(shadow=shadow, bias=torch.zeros(2), kept=kept)
    on_grid = replace(free, scales=torch.tensor([0.5, 0.25]), grid=Grid(3))
    assert free.effective().tolist() == (shadow * kept).tolist()
    assert on_grid.effective().tolist() == [[0.5, 0.0], [0.0, 0.5]]
    assert on_grid.codes().tolist() == [[1.0, 0.0], [0.0, 2.0]]


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [_one_cycle(share) for share in np.linspace(0, 1, 21)]
    assert rates[0] < 0.05 and rates[2] == pytest.approx(1) and rates[-1] == pytest.approx(0)
    assert rates == sorted(rates[:3]) + sorted(rates[3:], reverse=True)


# -------------------------------------------------------------------------------------------- progress and options


def test_training_repeats_and_its_samples_are_the_units_of_progress() -> None:
    calls: list[tuple[int, int]] = []
    first = tuned(finetune=training(200), progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls) and {total for _, total in calls} == {FITTING + 600}
    assert calls[-1][0] == FITTING + 600 and sum(done > FITTING for done, _ in calls) > 50
    for one, other in zip(codes(first), codes(tuned(finetune=training(200))), strict=True):
        assert np.array_equal(one, other)


def test_an_interrupt_leaves_the_network_as_it_was() -> None:
    net = network()
    before = [c.copy() for c in codes(net)]
    stop = iter(range(40))

    def interrupt(done: int, total: int) -> None:
        if next(stop, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(net, progress=interrupt, finetune=training(epochs=50))
    assert all(np.array_equal(b, c) for b, c in zip(before, codes(net), strict=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, "temperature above 0"),
        ({"temperature": float("nan")}, "temperature above 0"),
        ({"learning_rate": float("inf")}, "learning_rate above 0"),
        ({"surplus": 0.5}, "1 or more times the synapses"),
        ({"surplus": float("inf")}, "1 or more times the synapses"),
        ({"labels_weight": 1.5}, "labels_weight is a share"),
        ({"hidden": -1.0}, "0 or more"),
        ({"epochs": -1}, "epochs of at least 0"),
    ],
)
def test_bad_options_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FineTune(**values)


def test_bad_training_samples_are_refused() -> None:
    x = spikes(20)
    for wrong, message in (
        (FineTune(spikes=x[:, :, :7], labels=labels(x)), "36 inputs"),
        (FineTune(spikes=x.astype(np.int16) * 300, labels=labels(x)), "hold 0 to"),
        (FineTune(spikes=x, labels=np.full(20, 4)), "labels are 0 to 3"),
        (FineTune(spikes=x, labels=np.full(20, -1)), "labels are 0 to 3"),
    ):
        with pytest.raises(SampleError, match=message):
            tuned(finetune=wrong)


def test_the_command_fine_tunes_and_an_interrupt_writes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nir(network(), tmp_path / "net.nir")
    np.savez_compressed(tmp_path / "cal.npz", spikes=spikes())
    np.savez_compressed(tmp_path / "train.npz", spikes=spikes(80, seed=5), labels=labels(spikes(80, seed=5)))
    command = ["compress", str(tmp_path / "net.nir"), "--data", str(tmp_path / "cal.npz"), "--sparsity", "0.7"]
    command += ["--method", "osbc", "--finetune", str(tmp_path / "train.npz"), "--epochs", "2"]
    assert main([*command, "--output", str(tmp_path / "small.nir")]) == 0
    assert "70.00% of all weights are zero" in capsys.readouterr().out

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spikeloom.compiler.compression.one_shot.train", interrupted)
    assert main([*command, "--output", str(tmp_path / "none.nir")]) != 0
    assert not (tmp_path / "none.nir").exists()


def test_warped_copies_are_for_labelled_images_where_many_weights_stay() -> None:
    image = replace(network(), input_shape=(6, 6))

    def same(net: Network, first: bool | None, second: bool | None, sparsity: float) -> bool:
        pair = (tuned(net, sparsity=sparsity, bits=4, finetune=training(warp=w)) for w in (first, second))
        return all(np.array_equal(a, b) for a, b in zip(*(codes(n) for n in pair), strict=True))

    assert same(network(), False, True, 0.8)  # flat inputs without a pattern are no image
    assert not same(image, False, True, 0.8)
    assert same(image, False, None, 0.8) and same(image, True, None, 0.5)


# ------------------------------------------------------------------------------------------------------------ leaks


@pytest.mark.parametrize("mode", list(ResetMode))
@pytest.mark.parametrize("place", [ResetPlace.SAME, ResetPlace.NEXT])
def test_the_gradient_of_a_leak_is_that_of_a_membrane_stepped_by_autograd(mode: ResetMode, place: ResetPlace) -> None:
    net = network(reset_mode=mode, reset_place=place, v_reset=0.1 if mode is ResetMode.VALUE else 0.0)
    layer = layers_of(net, dtype=torch.float64)[0]
    x = inputs_of(spikes(5), dtype=torch.float64)
    outer = torch.randn((2, 8, 5, 20), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = []
    for stepped in (False, True):
        beta = layer.beta.clone().requires_grad_()
        trained = layer.leaking(beta)
        if stepped:
            fired, membranes = _stepped(net, x @ layer.weight + layer.bias, trained)
        else:
            answer = simulate([trained], x, surrogate=True)["hidden"]
            fired, membranes = answer.spikes, answer.membranes
        (outer[0] * fired + outer[1] * membranes).sum().backward()
        gradients.append(beta.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_leaks_are_trained_where_asked_and_kept_by_integers_and_files(tmp_path: Path) -> None:
    for bits in (None, 6):
        small = tuned(bits=bits, finetune=training(epochs=4, leaks=True))
        write_nir(small, tmp_path / f"{bits}.nir")
        again = read_nir(tmp_path / f"{bits}.nir")
        for before, after, read in zip(network().populations, small.populations, again.populations, strict=True):
            kept = _kept_shares(after)
            assert len(np.unique(kept)) > 3 and np.abs(kept - 0.7).max() < 0.2
            np.testing.assert_allclose(_kept_shares(read), kept, rtol=1e-6)
            assert np.all(before.dynamics.beta == 0.7)
    assert all(np.all(p.dynamics.beta == 0.7) for p in tuned(finetune=training()).populations)


def _kept_shares(population: Population) -> np.ndarray:
    dynamics: Any = population.dynamics
    return dynamics.decay.kept if isinstance(dynamics, IntegerDynamics) else dynamics.beta


def test_leaks_that_scale_inputs_are_not_trained() -> None:
    with pytest.raises(OptionError, match=r"leaks are trained where membranes leak to 0.*'hidden'"):
        tuned(network(v_leak=0.1, arithmetic=Arithmetic.EULER), finetune=training(leaks=True))

"""Training in torch: the network fires as its export does, epochs learn, and delays are learnable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.compression import prune_neurons
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.hdl.errors import ModelError, OptionError, SampleError
from spikeloom.sim.float_executor import run_float

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from spikeloom.compiler.training import DelayLinear, SpikingNet, encode, evaluate, train_epoch  # noqa: E402

STEPS = 8


def net(**options: Any) -> SpikingNet:
    torch.manual_seed(0)
    model = SpikingNet(n_input=12, n_hidden=16, n_output=3, **options)
    with torch.no_grad():
        for linear in model.linears:
            linear.weight *= 3
    return model


def task() -> list[tuple[Any, Any]]:
    """Three classes: which third of the inputs is bright."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    values = np.where(np.arange(12) // 4 == labels[:, None], 0.7, 0.1)
    return [
        (torch.tensor(values[i : i + 20], dtype=torch.float32), torch.tensor(labels[i : i + 20]))
        for i in range(0, 120, 20)
    ]


def test_an_epoch_learns() -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = [train_epoch(model, task(), optimizer, STEPS) for _ in range(6)]
    assert history[-1][0] < history[0][0] / 2
    assert history[-1][1] > 0.9
    assert evaluate(model, task(), STEPS)[1] > 0.9


def test_a_loss_function_may_be_given() -> None:
    model = net()
    before = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    loss, accuracy = train_epoch(model, task(), optimizer, STEPS, loss_fn=lambda counts, y: counts.sum() * 0 + 2.0)
    assert loss == 2.0 and 0 <= accuracy <= 1
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("n_layers", [1, 2])
def test_exported_weights_fire_as_the_module_does(n_layers: int) -> None:
    model = net(n_layers=n_layers)
    layers = model.to_sc_weights()
    assert [layer["weight"].shape for layer in layers] == [(12, 16), *[(16, 16)] * (n_layers - 1), (16, 3)]
    assert np.array_equal(layers[0]["weight"].T, model.linears[0].weight.detach().numpy())
    assert layers[0]["weight"].min() < 0
    spikes = (np.random.default_rng(1).random((20, STEPS, 12)) < 0.5).astype(np.uint8)
    counts, membranes = model(torch.from_numpy(spikes).float().transpose(0, 1))
    recording = run_float(model.to_network(), spikes, membranes=True)
    assert recording.ambiguous == 0 and recording.spikes.any()
    assert np.array_equal(recording.spikes.sum(axis=1), counts.detach().numpy())
    assert np.allclose(recording.membranes, membranes.detach().transpose(0, 1), atol=1e-5)
    assert np.array_equal(run_float(from_snntorch(model.layers, (12,)), spikes).spikes, recording.spikes)


def test_compressed_weights_make_a_network() -> None:
    model = net()
    rates = [np.full(12, 0.2), np.where(np.arange(16) < 5, 0.0, 0.2), np.full(3, 0.2)]
    smaller, report = prune_neurons(model.to_sc_weights(), spike_rates=rates)
    assert report.new_dimensions == [12, 11, 3]
    assert [p.size for p in model.to_network(smaller).populations] == [11, 3]
    arrays = model.to_network([layer["weight"] * 0.5 for layer in model.to_sc_weights()])
    assert np.array_equal(arrays.populations[0].bias, model.to_sc_weights()[0]["bias"])
    with pytest.raises(ModelError, match="2 layers"):
        model.to_network([np.ones((12, 16))])
    with pytest.raises(ModelError, match="keep inputs and outputs"):
        model.to_network([{"weight": np.ones((11, 16))}, {"weight": np.ones((16, 3))}])


def test_inputs_are_spikes_or_chances() -> None:
    spikes = (torch.rand(5, STEPS, 12) < 0.5).to(torch.uint8)
    assert torch.equal(encode(spikes, STEPS, 12), spikes.transpose(0, 1).float())
    torch.manual_seed(0)
    coded = encode(torch.full((200, 3, 4), 0.25), STEPS, 12)
    assert coded.shape == (STEPS, 200, 12)
    assert set(coded.unique().tolist()) == {0.0, 1.0} and abs(float(coded.mean()) - 0.25) < 0.02
    for bad in (torch.ones(5, 11), torch.ones(5), torch.ones(0, 12), torch.full((5, 12), torch.nan)):
        with pytest.raises(SampleError):
            encode(bad, STEPS, 12)
    values = torch.linspace(-1, 2, 60).reshape(5, 12)
    with pytest.warns(UserWarning, match="as currents in every step"):
        assert torch.equal(encode(values, STEPS, 12), values.expand(STEPS, 5, 12))


def test_bad_arguments_are_refused() -> None:
    for sizes in ((0, 4, 2), (3, -1, 2), (3, 4, 2.0), (True, 4, 2)):
        with pytest.raises(OptionError):
            SpikingNet(*sizes)
    for options in ({"beta": 1.5}, {"threshold": 0}, {"n_layers": 0}):
        with pytest.raises(OptionError):
            SpikingNet(3, 4, 2, **options)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(SampleError, match="empty"):
        train_epoch(model, [], optimizer, STEPS)
    with pytest.raises(OptionError, match="n_timesteps"):
        train_epoch(model, task(), optimizer, 0)


# ------------------------------------------------------------------------------------------------------- delays


def respond(layer: DelayLinear, inputs: Any) -> Any:
    layer.reset()
    return torch.stack([layer(step) for step in inputs])


def test_whole_delays_shift_inputs() -> None:
    layer = DelayLinear(3, 2, max_delay=4, bias=True)
    delays = np.array([[0, 1, 4], [2, 3, 0]])
    layer.delay.data = torch.tensor(delays, dtype=torch.float32)
    inputs = torch.rand(9, 5, 3)
    found = respond(layer, inputs).detach()
    weight, bias = layer.weight.detach(), layer.bias.detach()
    expected = bias.expand(9, 5, 2).clone()
    for post in range(2):
        for pre in range(3):
            d = delays[post, pre]
            expected[d:, :, post] += weight[post, pre] * inputs[: 9 - d, :, pre]
    assert torch.allclose(found, expected, atol=1e-6)
    assert np.array_equal(layer.delays_int, delays.T)


def test_fractions_interpolate_and_delays_stay_in_range() -> None:
    layer = DelayLinear(1, 1, max_delay=4, init_delay=2.25, bias=False)
    layer.weight.data.fill_(1.0)
    impulse = torch.zeros(8, 1, 1)
    impulse[0] = 1
    assert respond(layer, impulse).flatten().tolist() == [0, 0, 0.75, 0.25, 0, 0, 0, 0]
    layer.delay.data.fill_(9.0)
    assert respond(layer, impulse).flatten().tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert layer.delays.tolist() == [[4.0]] and layer.delays_int.tolist() == [[4]]


def test_delays_learn_also_from_whole_and_extreme_values() -> None:
    for start in (0.0, 1.0, 5.0):
        layer = DelayLinear(1, 1, max_delay=5, init_delay=start, bias=False)
        layer.weight.data.fill_(1.0)
        impulse = torch.zeros(8, 1, 1)
        impulse[0] = 1
        moment = (respond(layer, impulse).flatten() * torch.arange(8)).sum()
        (moment - 3.0).square().backward()
        assert layer.delay.grad.item() == pytest.approx(2 * (start - 3.0))


def test_delays_need_not_learn() -> None:
    layer = DelayLinear(4, 2, learn_delay=False)
    assert not layer.delay.requires_grad
    assert layer.delays.min() >= 0 and layer.delays.max() <= 16
    for options in ({"max_delay": 0}, {"max_delay": 2.5}, {"init_delay": -1.0}, {"init_delay": 17.0}):
        with pytest.raises(OptionError):
            DelayLinear(4, 2, **options)

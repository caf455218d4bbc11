"""Signed inputs (-1, 0, 1) become two channels each: the same network, in samples, executors and both front ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.data.samples import load_samples
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import IF
from spikeloom.compiler.ir.signed import unsigned, with_signed_inputs
from spikeloom.compiler.ir.verifier import verify
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.hdl.errors import ModelError, OptionError, SampleError
from spikeloom.hdl.link.protocol import Header, LinkFormat, encode_frame, encode_sample
from spikeloom.sim import simulate
from spikeloom.sim.float_executor import run_float

STEPS = 30


def _samples(inputs: tuple[int, ...], least: int = -1, most: int = 1) -> np.ndarray:
    return np.random.default_rng(1).integers(least, most + 1, (6, STEPS, *inputs)).astype(np.int8)


def _network(shape: tuple[int, ...], delay: Any = 0) -> Network:
    weights = np.round(np.random.default_rng(2).normal(0, 20, (int(np.prod(shape)), 5))) / 16
    return Network(
        input_shape=shape,
        populations=(Population(name="out", shape=(5,), dynamics=IF(threshold=1.0)),),
        projections=(Projection(pre=INPUT, post="out", connectivity=Dense(weights=weights), delay=delay),),
        output="out",
    )


def _by_hand(network: Network, x: np.ndarray) -> np.ndarray:
    """Spikes [samples, steps, outputs] of the IF neurons for inputs with signs, without delays."""
    currents = x.reshape(*x.shape[:2], -1).astype(float) @ network.projections[0].connectivity.real
    v, spikes = np.zeros((len(x), 5)), []
    for t in range(x.shape[1]):
        v = v + currents[:, t]
        spikes.append(v > 1.0)
        v = v - spikes[-1]
    return np.stack(spikes, 1)


@pytest.mark.parametrize("channels", [4, 6])
def test_on_the_link_the_sign_is_the_highest_bit_of_an_address_where_channels_are_a_power_of_two(channels: int) -> None:
    network = with_signed_inputs(_network((channels,)), -1)
    sample = np.zeros((1, 1, channels), np.int8)
    sample[0, 0, 1], sample[0, 0, 2] = 1, -1
    form = LinkFormat(inputs=network.input_size, outputs=5)
    (frame,) = encode_sample(form, unsigned(network, sample)[0])
    assert frame.data == encode_frame(form, Header.FIRST | Header.END_OF_SAMPLE, [1, channels + 2]).data
    assert (channels + 2 == 2 | channels) is (channels == 4)


@pytest.mark.parametrize("shape", [(4,), (3, 2, 2)])
def test_a_channel_becomes_two_with_opposite_weights(shape: tuple[int, ...]) -> None:
    network, x = _network(shape), _samples(shape)
    signed = with_signed_inputs(network, -1)
    verify(signed)
    assert signed.input_shape == (2 * shape[0], *shape[1:]) and (signed.x_min, signed.x_max) == (-1, 1)
    size = network.input_size
    assert np.array_equal(signed.projections[0].connectivity.real[size:], -network.projections[0].connectivity.real)
    split = unsigned(signed, x)
    assert split.dtype == np.uint8 and split.shape == (6, STEPS, 2 * size)
    assert np.array_equal(split[..., :size].astype(int) - split[..., size:], x.reshape(6, STEPS, size))
    expected = _by_hand(network, x)
    assert 0.1 < expected.mean() < 0.9
    for form in (x, x.reshape(6, STEPS, -1), split, split.reshape(6, STEPS, *signed.input_shape)):
        assert np.array_equal(run_float(signed, form).spikes, expected)


def test_integers_and_hardware_take_them_too(tmp_path: Path) -> None:
    network, x = with_signed_inputs(_network((4,)), -1), _samples((4,))
    integer = quantise(network, 8, x)
    reference = simulate(integer, x, executor="reference", membranes=True)
    assert np.array_equal(simulate(integer, unsigned(network, x), executor="reference").spikes, reference.spikes)
    hardware = simulate(integer, x[:2], executor="amaranth", membranes=True)
    assert np.array_equal(hardware.membranes, reference.membranes[:2])  # type: ignore[index, arg-type]
    write_nir(integer, tmp_path / "n.nir")
    again = read_nir(tmp_path / "n.nir")
    assert again.x_min == -1
    assert np.array_equal(simulate(again, x, executor="reference").spikes, reference.spikes)


def test_delays_go_with_their_synapses() -> None:
    delay = np.random.default_rng(3).integers(0, 4, (4, 5))
    signed = with_signed_inputs(_network((4,), delay), -1)
    assert np.array_equal(signed.projections[0].delay, np.concatenate([delay, delay]))
    x = np.zeros((1, 6, 4), np.int8)
    x[0, 0] = [1, -1, 0, -1]
    flipped = with_signed_inputs(_network((4,), delay), -1)
    weights = (
        flipped.projections[0].connectivity.real * np.repeat([1, -1], 4)[:, None] * np.tile([1, -1, 1, -1], 2)[:, None]
    )
    plain = replace(flipped, projections=(replace(flipped.projections[0], connectivity=Dense(weights=weights)),))
    assert np.array_equal(run_float(signed, x).spikes, run_float(plain, np.abs(unsigned(signed, x).astype(int))).spikes)


def test_values_beyond_one() -> None:
    network, x = _network((4,)), _samples((4,), -3, 2)
    signed = with_signed_inputs(network, -3)
    assert signed.x_max == 3
    assert np.array_equal(run_float(signed, x).spikes, _by_hand(network, x))


def test_snntorch_fires_spike_for_spike() -> None:
    torch, snn = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch

    torch.manual_seed(4)
    layers = [
        torch.nn.Linear(6, 9),
        snn.Leaky(0.8, init_hidden=True),
        torch.nn.Linear(9, 4),
        snn.Synaptic(0.6, 0.7, init_hidden=True),
    ]
    module = torch.nn.Sequential(*layers)
    with torch.no_grad():
        for linear in layers[::2]:
            linear.weight *= 4
    network, x = from_snntorch(module, 6, x_min=-1), _samples((6,))
    with torch.no_grad():
        expected = torch.stack([module(torch.from_numpy(x[:, t]).float()) for t in range(STEPS)], 1).numpy()
    recording = run_float(network, x)
    assert 0.02 < expected.mean() < 0.9 and np.array_equal(recording.spikes, expected)
    for wrong in (1, -256, 0.5, True):
        with pytest.raises(ModelError, match="x_min, the smallest input value, is -255 to 0"):
            from_snntorch(module, 6, x_min=wrong)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- files and commands


def _nir(path: Path) -> Path:
    weight = _network((4,)).projections[0].connectivity.real.T
    neurons = nir.IF(r=np.full(5, 1e4), v_threshold=np.ones(5))
    nir.write(path, nir.NIRGraph.from_list(nir.Linear(weight), neurons))
    return path


NIR: Any = {"dialect": "nir", "dt": 1e-4, "reset": "subtract"}


def test_nir_files_and_their_metadata(tmp_path: Path) -> None:
    network = read_nir(_nir(tmp_path / "a.nir"), x_min=-1, **NIR)
    x = _samples((4,))
    assert np.array_equal(run_float(network, x).spikes, _by_hand(_network((4,)), x))
    write_nir(network, tmp_path / "b.nir")
    assert read_nir(tmp_path / "b.nir").x_min == -1 and read_nir(tmp_path / "b.nir", x_min=-1).input_size == 8
    with pytest.raises(OptionError, match="the file's network has its inputs, from -1 on: got x_min 0"):
        read_nir(tmp_path / "b.nir", x_min=0)
    write_nir(_network((4,)), tmp_path / "c.nir")
    assert read_nir(tmp_path / "c.nir", x_min=-1).input_size == 8
    with pytest.raises(OptionError, match="x_min, the smallest input value, is a whole number from -255 to 0: got 1"):
        read_nir(tmp_path / "a.nir", x_min=1, **NIR)


def test_samples_are_split_as_they_are_read(tmp_path: Path) -> None:
    network, x = with_signed_inputs(_network((2, 2)), -1), _samples((2, 2))
    for number, form in enumerate((x, x.astype(np.int64).reshape(6, STEPS, 4), unsigned(network, x))):
        np.savez_compressed(tmp_path / f"{number}.npz", spikes=form)
        assert np.array_equal(load_samples(tmp_path / f"{number}.npz", network).spikes, unsigned(network, x))
    np.savez(tmp_path / "low.npz", spikes=2 * x)
    with pytest.raises(
        SampleError, match=r"must be -1..1 spikes per step \(the network's x_min and x_max\): a value is -2"
    ):
        load_samples(tmp_path / "low.npz", network)
    with pytest.raises(SampleError, match=r"a value is -1; signed inputs are read with x_min \(--x-min -1\)"):
        load_samples(tmp_path / "0.npz", _network((2, 2)))
    with pytest.raises(SampleError, match="samples hold -1 to 1 spikes per input and step: got -2 to 2"):
        run_float(network, 2 * x)
    with pytest.raises(SampleError, match="samples hold 0 to 1 spikes"):
        run_float(network, np.concatenate([x, x], axis=2))


def test_the_command_line_takes_them(tmp_path: Path) -> None:
    x = _samples((4,))
    np.savez(tmp_path / "x.npz", spikes=x)
    given = [str(_nir(tmp_path / "a.nir")), "--dialect", "nir", "--dt", "1e-4", "--reset", "subtract", "--x-min", "-1"]
    data = ["--data", str(tmp_path / "x.npz")]
    out = tmp_path / "out.npz"
    assert main(["simulate", *given, *data, "--executor", "float", "--output", str(out)]) == 0
    assert np.array_equal(np.load(out)["spikes"], _by_hand(_network((4,)), x))


@pytest.mark.slow
def test_the_emitted_core_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "x.npz", spikes=_samples((4,)))
    data = ["--data", str(tmp_path / "x.npz")]
    given = [str(_nir(tmp_path / "a.nir")), "--dialect", "nir", "--dt", "1e-4", "--reset", "subtract", "--x-min", "-1"]
    folder = tmp_path / "core"
    assert main(["compile", *given, *data, "--bits", "8", "--emit", "verilog", "--output", str(folder)]) == 0
    assert main(["regress", str(folder), *data, "--limit", "2"]) == 0
    assert "equal" in capsys.readouterr().out


def test_the_rules_hold() -> None:
    network = with_signed_inputs(_network((4,)), -1)
    with pytest.raises(ModelError, match=r"x_min, the smallest input value, is -x_max \(-1\) to 0: got -2"):
        verify(replace(network, x_min=-2))
    odd = replace(_network((3,)), x_min=-1)
    with pytest.raises(ModelError, match="signed inputs are two for each: the input of 'network' has the shape"):
        verify(odd)

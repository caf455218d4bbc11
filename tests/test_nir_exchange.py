"""NIR's exchange of spikes, beside .npz: what the library writes is read, and what we write the library reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.frontends.nir.exchange import read_exchange, write_exchange
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.samples import read_samples
from spikeloom.compiler.ir.connectivity import Dense
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF
from spikeloom.compiler.ir.signed import unsigned, with_signed_inputs
from spikeloom.hdl.errors import InputError, SampleError
from spikeloom.hdl.images.coding import Decoder, Encoder, ImageCoding
from spikeloom.sim.float_executor import run_float

DT = 1e-4
NETWORK = Network(
    input_shape=(5,),
    populations=(Population(name="out", shape=(3,), dynamics=LIF(beta=0.9, threshold=1.0)),),
    projections=(
        Projection(pre=INPUT, post="out", connectivity=Dense(weights=np.random.default_rng(0).normal(0.2, 1, (5, 3)))),
    ),
    output="out",
    x_max=3,
    dt=DT,
)
SPIKES = np.random.default_rng(1).integers(0, 2, (4, 30, 5)).astype(bool)


def _written(path: Path, **nodes: dict[str, Any]) -> Path:
    nir.write_data(path, nir.NIRGraphData({name: nir.NIRNodeData(observables) for name, observables in nodes.items()}))
    return path


def _read(path: Path, network: Network = NETWORK) -> np.ndarray:
    return read_exchange(path, network).spikes


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_time_grids_are_read(tmp_path: Path, dtype: type) -> None:
    grid = nir.TimeGriddedData(SPIKES.astype(dtype), DT)
    assert np.array_equal(_read(_written(tmp_path / "a.nir", lif={"spikes": grid})), SPIKES)


def test_events_are_read_into_steps(tmp_path: Path) -> None:
    grid = nir.TimeGriddedData(SPIKES, DT)
    for shift in (0.0, 0.9 * DT):
        events = grid.to_event(200, time_shift=shift)
        assert np.array_equal(_read(_written(tmp_path / "a.nir", lif={"x": events})), SPIKES)


def test_events_at_one_time_add_up(tmp_path: Path) -> None:
    idx, time = np.array([[2, 2, 0, -1]]), np.array([[7 * DT, 7.5 * DT, 0.0, np.inf]])
    plain = _read(_written(tmp_path / "a.nir", lif={"x": nir.EventData(idx, time, 5, 9 * DT)}))
    assert plain.shape == (1, 9, 5) and plain.sum() == 3 and plain[0, 7, 2] == 2 and plain[0, 0, 0] == 1
    valued = nir.ValuedEventData(idx, time, 5, 9 * DT, value=np.array([[1.0, 2.0, 3.0, 0.0]]))
    spikes = _read(_written(tmp_path / "b.nir", lif={"x": valued}))
    assert spikes[0, 7, 2] == 3 and spikes[0, 0, 0] == 3


def test_the_node_and_the_observable_that_count(tmp_path: Path) -> None:
    good, other = nir.TimeGriddedData(SPIKES, DT), nir.TimeGriddedData(np.zeros((4, 30, 3)), DT)
    path = _written(tmp_path / "a.nir", input={"spikes": good, "v": other}, lif={"spikes": other})
    assert np.array_equal(_read(path), SPIKES)
    with pytest.raises(SampleError, match="nodes with observables, or 'input': it has 'a', 'b'"):
        _read(_written(tmp_path / "b.nir", a={"spikes": good}, b={"spikes": good}))
    with pytest.raises(SampleError, match="observables, or 'spikes': it has 'u', 'v'"):
        _read(_written(tmp_path / "c.nir", a={"u": good, "v": good}))


def test_signed_spikes_are_split(tmp_path: Path) -> None:
    network, x = with_signed_inputs(NETWORK, -1), SPIKES * np.array([1, -1, 1, -1, 1])
    path = _written(tmp_path / "a.nir", lif={"spikes": nir.TimeGriddedData(x, DT)})
    assert np.array_equal(_read(path, network), unsigned(network, x.astype(np.int8)))


def test_what_is_written_is_read_by_the_library_and_by_us(tmp_path: Path) -> None:
    recording = run_float(NETWORK, SPIKES.astype(np.uint8), membranes=True)
    trains = recording.trains(SPIKES.astype(np.uint8))
    write_exchange(tmp_path / "a.nir", NETWORK, trains, {"out": recording.membranes})  # type: ignore[dict-item]
    data = nir.read_data(tmp_path / "a.nir")
    assert set(data.nodes) == {"input", "out"}
    out = data.nodes["out"].observables
    assert np.array_equal(out["spikes"].data, recording.spikes) and out["spikes"].data.dtype == bool
    assert np.array_equal(out["membranes"].data, recording.membranes) and out["spikes"].dt == DT
    assert np.array_equal(_read(tmp_path / "a.nir"), SPIKES)
    with pytest.raises(InputError, match="the file must be writable"):
        write_exchange(tmp_path / "gone" / "a.nir", NETWORK, trains)


def test_commands_take_and_write_it(tmp_path: Path) -> None:
    write_nir(NETWORK, tmp_path / "net.nir")
    data = _written(tmp_path / "x.nir", input={"spikes": nir.TimeGriddedData(SPIKES, DT)})
    given = ["simulate", str(tmp_path / "net.nir"), "--executor", "float", "--membranes"]
    assert main([*given, "--data", str(data), "--output", str(tmp_path / "out.nir")]) == 0
    expected = run_float(NETWORK, SPIKES.astype(np.uint8))
    written = nir.read_data(tmp_path / "out.nir")
    assert np.array_equal(written.nodes["out"].observables["spikes"].data, expected.spikes)
    assert main([*given, "--data", str(tmp_path / "out.nir"), "--output", str(tmp_path / "out.npz")]) == 0
    assert np.array_equal(np.load(tmp_path / "out.npz")["spikes"], expected.spikes)
    np.savez(tmp_path / "x.npz", spikes=SPIKES)
    assert np.array_equal(read_samples(tmp_path / "x.npz", NETWORK).spikes, read_samples(data, NETWORK).spikes)
    coding = ImageCoding(encoder=Encoder.RATE, steps=4, decoder=Decoder("argmax"), x_max=1)
    with pytest.raises(SampleError, match="images come as an"):
        read_samples(data, NETWORK, coding=coding)


EVENTS = (np.array([[2, 0]]), np.array([[0.0, DT]]))


def _changed(change: Callable[[h5py.Group], Any], *events: Any) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        _written(path, a={"x": nir.EventData(*(events or (*EVENTS, 5, 9 * DT)))})
        with h5py.File(path, "a") as file:
            change(file["nodes/a/observables/x"])
        return path

    return write


def _grid(data: np.ndarray, dt: float = DT) -> Callable[[Path], Path]:
    return lambda path: _written(path, a={"x": nir.TimeGriddedData(data, dt)})


def _replace(group: h5py.Group, name: str, data: np.ndarray) -> None:
    del group[name]
    group.create_dataset(name, data=data)


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "another step": (_grid(SPIKES, 1e-3), "samples have the network's time step, 0.0001 s: these have 0.001 s"),
    "another size": (_grid(SPIKES[..., :4]), "must have the network's inputs, 5, after samples and steps"),
    "too many spikes": (_grid(4 * SPIKES.astype(int)), r"must be 0\.\.3 spikes per step"),
    "halves": (_grid(SPIKES * 0.5), "spikes are whole numbers"),
    "not finite": (_grid(np.full((1, 2, 5), np.nan)), "spikes are whole numbers"),
    "no step": (_changed(lambda g: g.attrs.__delitem__("t_max")), "a number 't_max': this one has none"),
    "a step of text": (_changed(lambda g: g.attrs.__setitem__("t_max", "long")), "a number 't_max'"),
    "endless": (_changed(lambda g: g.attrs.__setitem__("t_max", np.inf)), "'t_max' is finite"),
    "very long": (_changed(lambda g: g.attrs.__setitem__("t_max", 1e9)), "events lie in 1 to 268435456 bins"),
    "no time": (_changed(lambda g: g.attrs.__setitem__("t_max", 0.0)), "events lie in 1 to"),
    "too late": (_changed(lambda g: g.attrs.__setitem__("t_max", DT)), "events lie within n_neurons and t_max"),
    "beyond": (_changed(lambda g: g.attrs.__setitem__("n_neurons", 2)), "events lie within n_neurons and t_max"),
    "no time for each": (
        _changed(lambda g: _replace(g, "time", np.zeros((1, 3)))),
        "events have a neuron's number and a time each",
    ),
    "one dimension": (_changed(lambda g: _replace(g, "idx", np.zeros(3, int))), "'idx' of an observable has 2 dim"),
    "no data": (_changed(lambda g: g.__delitem__("idx")), "'idx' of an observable has 2 dimensions"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused(tmp_path: Path, case: str) -> None:
    write, message = BAD[case]
    with pytest.raises(SampleError, match=message) as error:
        _read(write(tmp_path / "a.nir"))
    assert "\n" not in str(error.value)


def test_other_files_and_networks_without_a_step(tmp_path: Path) -> None:
    write_nir(NETWORK, tmp_path / "net.nir")
    with pytest.raises(SampleError, match="a NIRGraphData, which holds nodes: this file has none"):
        _read(tmp_path / "net.nir")
    path = _changed(lambda g: None)(tmp_path / "a.nir")
    with pytest.raises(SampleError, match="the network's time step is not known: put them on a grid"):
        _read(path, replace(NETWORK, dt=None))
    (tmp_path / "b.nir").write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError):
        _read(tmp_path / "b.nir")

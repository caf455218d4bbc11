"""A dialect is one release of a framework: what other releases write is read right, asked for or refused.

Files that the installed releases export are in test_nir_frameworks.py. Here are exports of frameworks that are not
installed, recorded with what the framework itself put out (tests/exports/README.md), and files made by hand.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import IF, LI, LIF, CubaLIF, Fire, ResetMode, ResetPlace
from spikeloom.hdl.errors import InputError, ModelError, OptionError
from spikeloom.sim.float_executor import run_float

EXPORTS = Path(__file__).parent / "exports"


def recorded(name: str) -> np.ndarray:
    with np.load(EXPORTS / "recorded.npz") as file:
        return np.asarray(file[name])


def write(path: Path, *nodes: nir.NIRNode, metadata: dict[str, Any] | None = None, version: str = "") -> Path:
    """A chain of nodes between an Input of 3 and an Output of 2; `version` is that of the nir library that wrote it."""
    names = ["in", *(f"n{i}" for i in range(len(nodes))), "out"]
    ends = (nir.Input(np.array([3])), nir.Output(np.array([2])))
    graph = nir.NIRGraph(
        dict(zip(names, (ends[0], *nodes, ends[1]), strict=True)),
        list(pairwise(names)),
        metadata=metadata or {},
        type_check=False,
    )
    nir.write(path, graph, compression=None)
    if version:
        with h5py.File(path, "r+") as file:
            del file["version"]
            file["version"] = version
    return path


LAYER = nir.Linear(np.ones((2, 3), np.float32))


def lif(**changes: Any) -> nir.LIF:
    values = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | changes
    return nir.LIF(**{name: np.broadcast_to(np.float32(value), 2).copy() for name, value in values.items()})


def cuba(**changes: Any) -> nir.CubaLIF:
    values = {"tau_mem": 0.01, "tau_syn": 0.005, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "w_in": 1.0} | changes
    return nir.CubaLIF(**{name: np.broadcast_to(np.float32(value), 2).copy() for name, value in values.items()})


def read(path: Path, **options: Any) -> Any:
    return read_nir(path, **options).populations[0].dynamics


# ----------------------------------------------------------------------------------------------------- recorded exports


@pytest.mark.parametrize(
    ("name", "options", "late"),
    [
        ("rockpool_lif", {"dialect": "rockpool"}, 0),
        ("spyx_lif", {"dialect": "spyx"}, 2),
        ("spyx_cuba", {"dialect": "spyx"}, 2),
        ("spyx_if", {"dialect": "spyx"}, 2),
        ("sinabs_lif", {"dialect": "sinabs", "max_spikes": 1}, 0),
        ("sinabs_if", {"dialect": "sinabs", "max_spikes": 1, "v_min": "none"}, 0),
        ("spikingjelly_dev1_soft", {"dialect": "spikingjelly", "reset": "subtract"}, 0),
        ("spikingjelly_dev1_hard", {"dialect": "spikingjelly", "reset": "value"}, 0),
        ("lava", {"dialect": "lava"}, 2),
    ],
)
def test_recorded_exports_fire_as_their_frameworks(name: str, options: dict[str, Any], late: int) -> None:
    """Every spike; those of Spyx and Lava come a step later for each layer."""
    network = read_nir(EXPORTS / f"{name}.nir", **options)
    expected = recorded(name)
    assert 0.02 < expected.mean() < 0.6
    assert not any(np.any(projection.delay) for projection in network.projections)
    spikes = run_float(network, recorded("inputs")).spikes
    assert np.array_equal(spikes[:, : 30 - late], expected[:, late:]) and not expected[:, :late].any()


@pytest.mark.parametrize(("name", "options"), [("loaded", {}), ("several", {"v_min": "none"})])
def test_sinabs_neurons_fire_several_times_as_sinabs_has_it(name: str, options: dict[str, Any]) -> None:
    """What its own reader makes of the file, and its layers as they are by default: every count."""
    network = read_nir(EXPORTS / "sinabs_if.nir", dialect="sinabs", **options)
    expected = recorded(f"sinabs_if_{name}")
    assert expected.max() >= 4
    np.testing.assert_array_equal(run_float(network, recorded("inputs")).spikes, expected)


def test_a_network_of_maps_fires_as_sinabs_has_it() -> None:
    network = read_nir(EXPORTS / "sinabs_maps.nir", dialect="sinabs")
    assert [p.shape for p in network.populations] == [(4, 4, 4), (6, 1, 1), (4,)]
    with np.load(EXPORTS / "sinabs_maps.npz") as file:
        inputs, expected = file["inputs"], file["loaded"]
    assert expected.max() >= 4
    np.testing.assert_array_equal(run_float(network, inputs).spikes, expected)


def test_rockpools_readout(tmp_path: Path) -> None:
    network = read_nir(EXPORTS / "rockpool_li.nir", dialect="rockpool")
    assert isinstance(network.populations[1].dynamics, LI) and network.dt == 1e-4
    membranes: Any = run_float(network, recorded("inputs"), membranes=True).membranes
    assert np.allclose(membranes, recorded("rockpool_li"), rtol=0, atol=2e-5)  # torch's exponential and NumPy's


def test_sinabs_readout() -> None:
    network = read_nir(EXPORTS / "sinabs_li.nir", dialect="sinabs", max_spikes=1, v_min="none")
    assert np.array_equal(run_float(network, recorded("inputs"), membranes=True).membranes, recorded("sinabs_li"))  # type: ignore[arg-type]


def test_rockpools_time_step_is_in_its_files() -> None:
    assert read_nir(EXPORTS / "rockpool_lif.nir", dialect="rockpool").dt == 1e-3
    with pytest.raises(
        ModelError, match=r"an r that is 0\.\d+ times that with the time step 0.0001; give the --dialect"
    ):
        read_nir(EXPORTS / "rockpool_lif.nir", dialect="rockpool", dt=1e-4)


def test_a_bias_makes_spyxs_late_spikes_delays() -> None:
    """Behind a bias it shows that the first spikes come a step later: then the projection has a delay."""
    network = read_nir(EXPORTS / "spyx_bias.nir", dialect="spyx")
    assert [(p.pre, int(p.delay)) for p in network.projections] == [(INPUT, 0), ("layer_1", 1)]
    spikes = _run_delayed(network, recorded("inputs"))
    assert np.array_equal(spikes[:, :-1], recorded("spyx_bias")[:, 1:])  # the output's own step remains


def _run_delayed(network: Network, inputs: np.ndarray) -> np.ndarray:
    """A chain of LIF neurons with a delayed subtraction, by hand, each layer reading the spikes `delay` steps ago."""
    spikes = inputs.astype(np.float32)
    for population, projection in zip(network.populations, network.projections, strict=True):
        dynamics: Any = population.dynamics
        beta, threshold = np.float32(dynamics.beta), np.float32(dynamics.threshold)
        delay, weights = int(projection.delay), np.asarray(projection.weights, np.float32)
        before = np.concatenate([np.zeros_like(spikes[:, :delay]), spikes[:, : spikes.shape[1] - delay]], axis=1)
        current = before @ weights + population.bias.astype(np.float32)
        v = s = np.zeros_like(current[:, 0])
        fired = []
        for step in range(current.shape[1]):
            v = beta * v + current[:, step] - s * threshold
            s = (v > threshold).astype(np.float32)
            fired.append(s)
        spikes = np.stack(fired, axis=1)
    return spikes


# ---------------------------------------------------------------------------------------------------------------- Norse


@pytest.mark.parametrize(
    ("node", "field"),
    [(lif(), "beta"), (cuba(), "beta"), (nir.LI(*(np.full(2, x, np.float32) for x in (0.01, 1, 0))), "beta")],
    ids=["LIF", "CubaLIF", "LI"],
)
def test_norses_time_constants_in_seconds(tmp_path: Path, node: nir.NIRNode, field: str) -> None:
    dynamics = read(write(tmp_path / "a.nir", LAYER, node), dialect="norse")
    assert 1 - getattr(dynamics, field) == np.float32(1e-3) * np.float32(100)
    if isinstance(dynamics, CubaLIF):
        assert np.isclose(1 - dynamics.alpha, 0.2)


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "LI"])
def test_norses_scaled_time_constants(tmp_path: Path, kind: str) -> None:
    """Release 1.1.0: 0.01 s is written as 1e-5."""
    node = {
        "LIF": lif(tau=1e-5),
        "CubaLIF": cuba(tau_mem=1e-5, tau_syn=5e-6),
        "LI": nir.LI(*(np.full(2, x, np.float32) for x in (1e-5, 1, 0))),
    }[kind]
    dynamics = read(write(tmp_path / "a.nir", LAYER, node), dialect="norse")
    assert np.isclose(1 - dynamics.beta, 0.1, rtol=1e-6)


@pytest.mark.parametrize(
    ("taus", "tau", "leaks"),
    [((0.01, 1e-5), None, None), ((0.01, 1e-5), "scaled", (1e-4, 0.1)), ((1.5e-3, 9e-4), None, None)],
)
def test_norses_readings_that_contradict_are_asked_for(
    tmp_path: Path, taus: tuple[float, ...], tau: str | None, leaks: tuple[float, ...] | None
) -> None:
    """A node that is too slow once scaled, and one that is too fast in seconds: no reading suits both."""
    layers = (LAYER, lif(tau=taus[0]), nir.Linear(np.ones((2, 2))), lif(tau=taus[1]))
    path = write(tmp_path / "a.nir", *layers)
    if leaks is None:
        message = rf"with dt 0.001 tau of node 'n1' is {taus[0]:g} s or {taus[0] * 1e3:g} s.*give --tau seconds\|scaled"
        with pytest.raises(OptionError, match=message) as caught:
            read_nir(path, dialect="norse", tau=tau)
        assert "\n" not in str(caught.value)
    else:
        found: Any = [p.dynamics for p in read_nir(path, dialect="norse", tau=tau).populations]
        assert np.allclose([1 - d.beta for d in found], leaks)


def test_an_impossible_reading_of_norse_is_refused_when_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nir", LAYER, lif(tau=1e-5))
    with pytest.raises(ModelError, match="tau lies between one time step and"):
        read_nir(path, dialect="norse", tau="seconds")
    with pytest.raises(OptionError, match="tau is one of seconds, scaled: got 'steps'"):
        read_nir(path, dialect="norse", tau="steps")
    with pytest.raises(OptionError, match="the dialect is 'spikingjelly'; omit --tau"):
        read_nir(path, dialect="spikingjelly", tau="scaled")


def test_the_trace_that_norse_recorded(shared: Path) -> None:
    """The NIR paper's lif_norse.nir at dt 1e-4 on the paper's input: four spikes, and the membranes between them."""
    ones = [6, 22, 27, 31, 32, 35, 37, 40, 41, *range(43, 54), *range(67, 79), 84, 85]
    spikes = np.zeros((1, 1000, 1), np.uint8)
    spikes[0, [10 * i for i in ones]] = 1
    network = read_nir(shared / "data" / "nir" / "lif_norse.nir", dialect="norse", dt=1e-4)
    recording = run_float(network, spikes, membranes=True)
    assert recording.spikes[0, :, 0].nonzero()[0].tolist() == [460, 510, 710, 760]
    membranes: Any = recording.membranes
    at, recorded_there = [60, 220, 450, 460, 670, 770], [0.04, 0.04005827, 0.09984423, 0, 0.040219482, 0.04]
    assert np.allclose(membranes[0, at, 0], recorded_there, rtol=1e-6)


def test_a_file_of_seconds_from_the_command_line(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = shared / "faults"
    command = ["simulate", str(faults / "norse_tau_in_seconds.nir"), "--data", str(faults / "always_on.npz")]
    assert main([*command, "--executor", "float", "--dialect", "norse"]) == 0
    assert "output spikes: 10\n" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------------- SpikingJelly


@pytest.mark.parametrize("version", ["1.0.4", "1.0.7"])
@pytest.mark.parametrize("node", [lif(tau=2e-4), nir.IF(*(np.full(2, x) for x in (1e4, 1.0, 0.0)))], ids=["LIF", "IF"])
def test_spikingjellys_soft_resets_are_asked_for(tmp_path: Path, node: nir.NIRNode, version: str) -> None:
    """2.0.0.dev0 and dev1 wrote them as v_reset = 0, with nir up to 1.0.7, the last that they run with."""
    path = write(tmp_path / "a.nir", LAYER, node, version=version)
    with pytest.raises(OptionError, match=r"'spikingjelly' does not fix the reset.*give --reset subtract\|zero\|value"):
        read_nir(path, dialect="spikingjelly")
    soft = read(path, dialect="spikingjelly", reset="subtract")
    assert (soft.reset_mode, soft.reset_place, soft.fire) == (ResetMode.SUBTRACT, ResetPlace.SAME, Fire.GE)
    newer = read(write(tmp_path / "b.nir", LAYER, node, version="1.0.8"), dialect="spikingjelly")
    assert newer.reset_mode is ResetMode.VALUE  # dev2 and later refuse to export a soft reset


def test_a_reset_to_another_value_is_no_soft_one(tmp_path: Path) -> None:
    node = lif(tau=2e-4, v_reset=-0.5, v_leak=-0.5)
    dynamics = read(write(tmp_path / "a.nir", LAYER, node, version="1.0.7"), dialect="spikingjelly")
    assert (dynamics.reset_mode, dynamics.v_reset, dynamics.v_init) == (ResetMode.VALUE, -0.5, -0.5)


# -------------------------------------------------------------------------------------- what a tool cannot have written


@pytest.mark.parametrize(
    ("node", "options", "message"),
    [
        (
            lif(r=2.0, tau=1e-3),
            {"dialect": "snntorch"},
            r"r is tau/dt.*node 'n1' has another, which would scale it by 0.2",
        ),
        (cuba(r=100, w_in=3.0), {"dialect": "snntorch"}, "w_in is tau/dt.*would scale it by 0.06"),
        (lif(r=100.0), {"dialect": "snntorch", "dt": 1e-3}, "would scale it by 10; give the --dialect"),
        (cuba(r=100.0), {"dialect": "spikingjelly"}, "w_in is tau/dt"),
        (cuba(r=100.0, w_in=50.0, v_leak=0.5), {"dialect": "spikingjelly"}, "leak towards 0: node 'n1' has v_leak 0.5"),
        (lif(r=1.0), {"dialect": "rockpool", "dt": 1e-3}, "Rockpool writes tau/dt"),
        (lif(r=9.0, v_leak=1.0), {"dialect": "rockpool"}, "rockpool neurons leak towards 0"),
        (lif(r=0.5, tau=3.0), {"dialect": "spyx", "dt": 1.0}, "Spyx writes its beta for r"),
        (lif(r=0.5, tau=2.0, v_threshold=-1.0), {"dialect": "spyx"}, "threshold below 0 resets spyx neurons"),
        (cuba(r=0.5, tau_mem=2.0, w_in=2.0), {"dialect": "spyx"}, "w_in is 1, as the neurons"),
        (cuba(r=0.5, tau_mem=2.0, tau_syn=4.0, v_leak=1.0), {"dialect": "spyx"}, "spyx neurons leak towards 0"),
        (lif(), {"dialect": "lava"}, "r is tau/dt"),
        (nir.IF(np.ones(2), np.ones(2)), {"dialect": "lava"}, "Lava writes no IF nodes"),
        (nir.IF(np.ones(2), np.ones(2)), {"dialect": "rockpool", "dt": 1e-3}, "Rockpool writes no IF nodes"),
        (nir.LI(np.ones(2), np.ones(2), np.zeros(2)), {"dialect": "lava"}, "Lava writes no LI nodes"),
    ],
)
def test_numbers_that_a_tool_cannot_have_written(
    tmp_path: Path, node: nir.NIRNode, options: dict[str, Any], message: str
) -> None:
    resets = {"reset": "zero", "reset_delay": False} if options["dialect"] == "snntorch" else {}
    with pytest.raises(ModelError, match=message) as caught:
        read_nir(write(tmp_path / "a.nir", LAYER, node), **options, **resets)
    assert "\n" not in str(caught.value)


def test_neurons_written_with_two_time_steps(tmp_path: Path) -> None:
    """Rockpool's r gives dt away: r = exp(-x)/x with x = dt/tau."""
    x = np.array([0.1, 0.2])
    node = lif(tau=np.array([0.01, 0.01]), r=np.exp(-x) / x)
    with pytest.raises(ModelError, match="a network has one time step: node 'n1' was written with"):
        read_nir(write(tmp_path / "a.nir", LAYER, node), dialect="rockpool")


def test_lavas_decays_are_steps_of_a_4096th(tmp_path: Path) -> None:
    """As lava_to_nir writes them, but in float32: the very decays come back; a decay of 0 is infinity."""
    decay = np.array([819 / 4096, 1 / 4096], np.float32)
    node = cuba(tau_mem=1e-4 / decay, r=1 / decay, tau_syn=np.inf, w_in=np.inf, v_threshold=1.25)
    dynamics = read(write(tmp_path / "a.nir", LAYER, node), dialect="lava")
    assert dynamics.beta.tolist() == [1 - 819 / 4096, 1 - 1 / 4096] and dynamics.alpha == 1
    assert (dynamics.r, dynamics.w_in, dynamics.threshold) == (1, 1, 1.25)
    assert (dynamics.reset_mode, dynamics.reset_place, dynamics.fire) == (ResetMode.VALUE, ResetPlace.SAME, Fire.GT)


# -------------------------------------------------------------------------------------------------------- the time step


def test_the_dialect_of_no_tool_asks_for_the_time_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.nir", LAYER, lif())
    with pytest.raises(OptionError, match=r"'nir' fixes no time step, and the file names none.*; give --dt SECONDS"):
        read_nir(path, dialect="nir")
    assert main(["simulate", str(path), "--dialect", "nir", "--data", "none.npz"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert np.isclose(read(path, dialect="nir", dt=1e-3).beta, 0.9)


# ---------------------------------------------------------------------------------------------------------------- x_max


def test_the_largest_input_is_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.nir", LAYER, lif())
    assert read_nir(path, dialect="nir", dt=1e-3).x_max == 1
    assert read_nir(path, dialect="nir", dt=1e-3, x_max=np.int64(7)).x_max == 7  # type: ignore[arg-type]
    for wrong in (0, 256, 1.5, True):
        with pytest.raises(OptionError, match="x_max, the largest input value, is a whole number from 1 to 255: got"):
            read_nir(path, dialect="nir", dt=1e-3, x_max=wrong)  # type: ignore[arg-type]
    np.savez(tmp_path / "x.npz", spikes=np.full((1, 4, 3), 5, np.uint8))
    command = ["simulate", str(path), "--dialect", "nir", "--dt", "1e-3", "--executor", "float"]
    assert main([*command, "--data", str(tmp_path / "x.npz")]) == 2
    assert main([*command, "--data", str(tmp_path / "x.npz"), "--x-max", "5"]) == 0
    assert "output spikes: 8\n" in capsys.readouterr().out  # 15 * 0.1 is above 1 in every step


def test_our_own_files_take_another_x_max_while_they_are_float(tmp_path: Path) -> None:
    from spikeloom.compiler.frontends.nir.writer import write_nir
    from spikeloom.compiler.lowering.quantise import quantise

    network = read_nir(write(tmp_path / "a.nir", LAYER, lif()), dialect="nir", dt=1e-3, x_max=3)
    write_nir(network, tmp_path / "b.nir")
    assert (read_nir(tmp_path / "b.nir").x_max, read_nir(tmp_path / "b.nir", x_max=9).x_max) == (3, 9)
    write_nir(quantise(network, 4, np.ones((1, 3, 3), np.uint8)), tmp_path / "c.nir")
    with pytest.raises(OptionError, match="widths are proven for inputs of at most 3: got x_max 9"):
        read_nir(tmp_path / "c.nir", x_max=9)
    with pytest.raises(OptionError, match="already in time steps of its own: got tau scaled; omit it"):
        read_nir(tmp_path / "b.nir", tau="scaled")


def test_conventions_of_our_metadata(tmp_path: Path) -> None:
    own = {"spikeloom": {"version": 1, "dialect": "norse", "tau": "scaled", "x_max": 4}}
    network = read_nir(write(tmp_path / "a.nir", LAYER, lif(), metadata=own))
    dynamics: Any = network.populations[0].dynamics
    assert network.x_max == 4 and np.isclose(1 - dynamics.beta, 1e-4)


# ---------------------------------------------------------------------------------------------- metadata of other tools


def test_foreign_metadata_from_the_command_line(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = shared / "faults"
    command = ["simulate", str(faults / "foreign_metadata.nir"), "--data", str(faults / "always_on.npz")]
    assert main([*command, "--executor", "float", "--dialect", "nir"]) == 0
    taken = capsys.readouterr()
    assert "warning: the file's metadata says dt 0.001 and reset subtract, which is taken; --dt" in taken.err
    assert "output spikes: 13\n" in taken.out  # a reset to 0 gives 10
    assert main([*command, "--executor", "float", "--dialect", "nir", "--reset", "zero", "--dt", "1e-3"]) == 0
    overridden = capsys.readouterr()
    assert "warning" not in overridden.err and "output spikes: 10\n" in overridden.out


@pytest.mark.filterwarnings("ignore:the file's metadata says")
@pytest.mark.parametrize(
    ("metadata", "dt", "mode"),
    [
        ({"dt": 1e-3}, 1e-3, ResetMode.VALUE),
        ({"dt": np.array([2e-3])}, 2e-3, ResetMode.VALUE),
        (
            {"sim": {"dt": np.float32(0.5e-3)}, "dtype": "float32", "preset": "fast"},
            0.5e-3,
            ResetMode.VALUE,
        ),
        ({"dt": 1e-3, "reset_mechanism": "subtract", "spikeloom_note": "dt"}, 1e-3, ResetMode.SUBTRACT),
        ({"dt": 1e-3, "Reset": "zero", "reset_delay": True}, 1e-3, ResetMode.VALUE),
    ],
)
def test_unmistakable_metadata_is_taken(tmp_path: Path, metadata: dict[str, Any], dt: float, mode: ResetMode) -> None:
    network = read_nir(write(tmp_path / "a.nir", LAYER, lif(), metadata=metadata), dialect="nir")
    dynamics: Any = network.populations[0].dynamics
    assert network.dt == pytest.approx(dt, rel=1e-6) and dynamics.reset_mode is mode
    assert dynamics.reset_place is (ResetPlace.NEXT if "reset_delay" in metadata else ResetPlace.SAME)


@pytest.mark.parametrize(
    ("metadata", "options", "message"),
    [
        ({"dt": "1e-3"}, {}, r"'dt' in the metadata of the graph is '1e-3'; give --dt SECONDS"),
        ({"dt": -1.0}, {}, "'dt' in the metadata of the graph is -1.0; give --dt"),
        ({"dt": np.nan}, {}, "is nan; give --dt"),
        ({"dt": True}, {}, "is True; give --dt"),
        ({"dt": np.array([1e-3, 1e-4])}, {}, r"'dt' in the metadata of the graph is of shape \(2,\); give --dt"),
        ({"dt_ms": 1.0}, {}, "'dt_ms' in the metadata of the graph is 1.0; give --dt"),
        ({"time_step": 1e-3}, {}, "'time_step' in the metadata.*give --dt"),
        ({"dt": 1e-3, "run": {"dt": 1e-4}}, {}, "'dt' .* is 0.001, 'dt' .* is 0.0001; give --dt"),
        ({"reset": "soft"}, {"dt": 1e-3}, "'reset' in the metadata of the graph is 'soft'; give --reset subtract"),
        ({"soft_reset": True}, {"dt": 1e-3}, "'soft_reset' in the metadata of the graph is True; give --reset"),
        ({"reset_delay": "no"}, {"dt": 1e-3}, "'reset_delay' .* is 'no'; give --reset-delay or --no-reset-delay"),
        ({"dt": 1e-3}, {"dialect": "sinabs"}, "is 0.001, and sinabs counts time in steps; give --dt"),
    ],
)
def test_metadata_that_may_mean_something_is_asked_for(
    tmp_path: Path, metadata: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "a.nir", LAYER, lif(), metadata=metadata)
    with pytest.raises(OptionError, match=message) as caught:
        read_nir(path, **({"dialect": "nir"} | options))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    said = {"dialect": "nir", "dt": 1e-3, "reset": "value", "reset_delay": False}
    assert isinstance(read(path, **said), LIF)  # who says it is not asked


def _with_node_metadata(*entries: dict[str, Any] | None) -> list[nir.NIRNode]:
    nodes: list[nir.NIRNode] = []
    for index, entry in enumerate(entries):
        neurons = lif()
        neurons.metadata = entry or {}
        nodes += [nir.Linear(np.ones((2, 2 if index else 3))), neurons]
    return nodes


@pytest.mark.filterwarnings("ignore:the file's metadata says")
def test_metadata_of_nodes(tmp_path: Path) -> None:
    both = _with_node_metadata({"dt": 1e-3, "reset": "subtract"}, {"dt": 1e-3, "reset": "subtract"})
    network = read_nir(write(tmp_path / "a.nir", *both), dialect="nir")
    assert network.dt == 1e-3
    assert all(p.dynamics.reset_mode is ResetMode.SUBTRACT for p in network.populations)  # type: ignore[union-attr]
    differ = write(tmp_path / "b.nir", *_with_node_metadata({"reset": "subtract"}, {"reset": "zero"}))
    with pytest.raises(OptionError, match="of node 'n1' is 'subtract', 'reset' in the metadata of node 'n3' is 'zero'"):
        read_nir(differ, dialect="nir", dt=1e-3)
    one = write(tmp_path / "c.nir", *_with_node_metadata({"reset": "subtract"}, None))
    with pytest.raises(OptionError, match="and node 'n3' says nothing of it; give --reset"):
        read_nir(one, dialect="nir", dt=1e-3)


# ------------------------------------------------------------------------------------------------ odd and hostile files

NIR = {"dialect": "nir", "dt": 1e-3}
ODD: dict[str, tuple[list[nir.NIRNode], dict[str, Any], str]] = {
    "NaN tau": ([LAYER, lif(tau=np.nan)], NIR, "numbers are finite: tau of node 'n1' holds NaN"),
    "tau of one neuron NaN, Norse": (
        [LAYER, lif(tau=[0.01, np.nan])],
        {"dialect": "norse"},
        "tau of node 'n1' holds NaN",
    ),
    "infinite tau, Norse": ([LAYER, lif(tau=np.inf)], {"dialect": "norse"}, "tau of node 'n1' holds Inf"),
    "tau below dt": ([LAYER, lif(tau=5e-4)], NIR, "tau lies between one time step.*0.0005 with the time step 0.001"),
    "tau below dt, one neuron": ([LAYER, lif(tau=[0.01, 5e-4])], NIR, "has 0.0005 with the time step 0.001"),
    "negative tau": ([LAYER, lif(tau=-0.01)], NIR, "tau is positive: node 'n1' has -0.01"),
    "negative tau, Rockpool": ([LAYER, lif(tau=-0.01)], {"dialect": "rockpool", "dt": 1e-3}, "tau is positive"),
    "zero tau, Spyx": ([LAYER, lif(tau=0.0)], {"dialect": "spyx"}, "Spyx writes its beta for r"),
    "zero r, Rockpool": ([LAYER, lif(r=0.0)], {"dialect": "rockpool"}, "'rockpool' fixes no time step"),
    "negative r, Rockpool": ([LAYER, lif(r=-3.0)], {"dialect": "rockpool"}, "'rockpool' fixes no time step"),
    "negative r, snnTorch": (
        [LAYER, lif(r=-100.0)],
        {"dialect": "snntorch", "reset": "zero", "reset_delay": False},
        "r is tau/dt",
    ),
    "zero tau, snnTorch": (
        [LAYER, lif(tau=0.0)],
        {"dialect": "snntorch", "reset": "zero", "reset_delay": False},
        "r is tau/dt",
    ),
    "CubaLIF, negative synapse": (
        [LAYER, cuba(tau_syn=-1.0)],
        {"dialect": "norse", "tau": "seconds"},
        "tau is positive",
    ),
    "three of two": ([LAYER, nir.LIF(*(np.ones(3) for _ in range(4)))], NIR, "one entry per neuron .2.: r of node"),
    "huge dt": ([LAYER, lif()], {"dialect": "nir", "dt": 1e300}, "between one time step"),
    "tiny dt": ([LAYER, lif()], {"dialect": "nir", "dt": 1e-300}, "between one time step"),
    "tiny dt, Norse": ([LAYER, lif()], {"dialect": "norse", "dt": 1e-300}, "between one time step"),
    "tiny dt, Sinabs": ([LAYER, lif()], {"dialect": "sinabs", "dt": 1e-300}, "between one time step"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_numbers_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    nodes, options, message = ODD[name]
    with pytest.raises(InputError, match=message) as caught:
        read_nir(write(tmp_path / "a.nir", *nodes), **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_odd_numbers_that_are_right(tmp_path: Path) -> None:
    away = read(write(tmp_path / "a.nir", LAYER, lif(v_reset=[-0.5, 0.25])), **NIR)
    assert away.v_reset.tolist() == [-0.5, 0.25] and away.v_init == 0
    batched = lif()
    for field in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        setattr(batched, field, np.array([[1.0, 2.0]]) * np.atleast_2d(getattr(batched, field)))
    axes = read(write(tmp_path / "b.nir", LAYER, batched), **NIR)
    assert np.allclose(axes.beta, [0.9, 0.95]) and axes.threshold.tolist() == [1, 2]
    scalars = lif()
    for field, value in {"tau": 0.01, "r": 1.0, "v_leak": [0.0], "v_threshold": 1.0, "v_reset": [[0.0, -1.0]]}.items():
        setattr(scalars, field, np.array(value))
    mixed = read(write(tmp_path / "c.nir", LAYER, scalars), **NIR)
    assert mixed.beta.shape == () and mixed.v_reset.tolist() == [0, -1]
    numbered = write(tmp_path / "d.nir", LAYER, nir.IF(np.full(2, 1e4), np.ones(2)), version="")
    with h5py.File(numbered, "r+") as file:
        del file["version"]
        file["version"] = 3  # no version of nir: what was written is not known
    with pytest.raises(OptionError, match="does not fix the reset"):
        read_nir(numbered, dialect="spikingjelly")
    assert isinstance(read(numbered, **NIR), IF)

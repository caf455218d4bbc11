"""NIR files: round trips without loss, graphs that are read or refused, and the conventions of each dialect."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import (
    IF,
    LI,
    LIF,
    Arithmetic,
    CubaLIF,
    Decay,
    Drive,
    Fire,
    IntegerDynamics,
    Kind,
    ResetMode,
    ResetPlace,
    Rounding,
)
from spikeloom.hdl.errors import InputError, ModelError, OptionError

NIR: dict[str, Any] = {"dialect": "nir", "dt": 1e-4}

# ------------------------------------------------------------------------------------------------- round trips


def _float_dynamics(rng: np.random.Generator, kind: type, size: int) -> Any:
    def parameter(low: float, high: float) -> Any:
        return rng.uniform(low, high) if rng.random() < 0.5 else rng.uniform(low, high, size)

    values: dict[str, Any] = {"r": parameter(0.1, 3), "v_init": parameter(-1, 1)}
    if kind is not IF:
        values |= {"beta": parameter(0, 0.99), "v_leak": parameter(-1, 1)}
        values["arithmetic"] = rng.choice(list(Arithmetic))
        values["arithmetic"] = Arithmetic(values["arithmetic"])
    if kind is not LI:
        values |= {"threshold": parameter(0.1, 3), "v_reset": parameter(-1, 1), "fire": Fire(rng.choice(list(Fire)))}
        mode, place = rng.choice(
            [("subtract", "same"), ("subtract", "next"), ("subtract", "snntorch_same"), ("value", "next")]
        )
        values |= {"reset_mode": ResetMode(mode), "reset_place": ResetPlace(place)}
    if kind is CubaLIF:
        values |= {"alpha": parameter(0, 0.99), "w_in": parameter(0.1, 2), "drive": Drive(rng.choice(list(Drive)))}
    return kind(**values)


def _integer_dynamics(rng: np.random.Generator, kind: Kind, size: int) -> IntegerDynamics:
    decay = Decay(c=rng.integers(0, 128, size), k=7, rounding=Rounding(rng.choice(list(Rounding))))
    return IntegerDynamics(
        kind=kind,
        fire=rng.integers(-5000, 5000, size),
        sub=rng.integers(0, 5000),
        v_reset=rng.integers(-9, 9),
        decay=None if kind is Kind.IF else decay,
        decay_syn=Decay(c=3, k=4) if kind is Kind.CUBALIF else None,
        drive=Drive(rng.choice(list(Drive))),
        reset_mode=ResetMode(rng.choice(["subtract", "value"])),
        reset_place=ResetPlace(rng.choice(["same", "next"])),
        state_bits=int(rng.integers(14, 33)),
        fraction_bits=int(rng.integers(0, 8)),
        scale=rng.uniform(1e-4, 1, size),
    )


def random_network(seed: int, integer: bool) -> Network:
    """A network with everything the IR has: all neuron models, recurrence, delays, several projections, odd names."""
    rng = np.random.default_rng(seed)
    names = ["hidden", "a;\nb/../c", "π" * 300, "output"]
    sizes = dict(zip(names, rng.integers(1, 9, len(names)).tolist(), strict=True))
    kinds = rng.permutation(np.array([IF, LIF, CubaLIF, LI], object))
    shapes = {name: (size, 1, 1) if rng.random() < 0.3 else (size,) for name, size in sizes.items()}
    populations = []
    for name, kind in zip(names, kinds, strict=True):
        size = sizes[name]
        dynamics = _integer_dynamics(rng, Kind(kind.__name__), size) if integer else _float_dynamics(rng, kind, size)
        bias = rng.integers(-9, 9, size) if integer else rng.normal(size=size) * (rng.random() < 0.7)
        populations.append(Population(name=name, shape=shapes[name], dynamics=dynamics, bias=bias))
    input_shape = (2, 3) if rng.random() < 0.5 else (6,)
    sizes[INPUT] = 6
    edges = [(INPUT, names[0]), *pairwise(names), (INPUT, names[2]), (names[2], names[1])]

    def projection(pre: str, post: str) -> Projection:
        shape = (sizes[pre], sizes[post])
        recurrent = (pre, post) == (names[2], names[1])
        delay = rng.integers(1, 5, shape) if rng.random() < 0.3 else int(recurrent)
        weights: Any = rng.normal(size=shape)
        if integer:
            scale = rng.uniform(0.01, 1, sizes[post])
            weights = Quantised(codes=rng.integers(-7, 8, shape), bits=4, scale=scale)
        return Projection(
            pre=pre,
            post=post,
            connectivity=Dense(weights=weights),
            delay=delay,
            shift=int(rng.integers(0, 5)) if integer else 0,
        )

    return Network(
        input_shape=input_shape,
        populations=tuple(populations),
        projections=tuple(projection(*edge) for edge in edges),
        output=names[-1],
        x_max=int(rng.integers(1, 9)),
        dtype=str(rng.choice(["float32", "float64"])),
        dt=None if rng.random() < 0.3 else float(rng.uniform(1e-5, 1e-2)),
        dialect="norse",
        name=f"random {seed}",
    )


def flattened(value: Any) -> Any:
    """A network as nested tuples that compare, arrays with type, shape and bytes."""
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes())
    if dataclasses.is_dataclass(value):
        parts = ((f.name, flattened(getattr(value, f.name))) for f in dataclasses.fields(value))
        return (type(value).__name__, *parts)
    if isinstance(value, tuple):
        return tuple(flattened(item) for item in value)
    return (type(value).__name__, value)


@pytest.mark.parametrize("integer", [False, True], ids=["float", "integer"])
@pytest.mark.parametrize("seed", range(12))
def test_round_trip_loses_nothing(tmp_path: Path, seed: int, integer: bool) -> None:
    network = random_network(seed, integer)
    first, second = tmp_path / "a.nir", tmp_path / "b.nir"
    write_nir(network, first)
    again = read_nir(first)
    assert flattened(again) == flattened(network)
    write_nir(again, second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("integer", [False, True], ids=["float", "integer"])
def test_bytes_do_not_depend_on_the_hash_seed(tmp_path: Path, integer: bool) -> None:
    write_nir(random_network(3, integer), tmp_path / "here.nir")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_nir import random_network\n"
        "from spikeloom.compiler.frontends.nir.writer import write_nir\n"
        "write_nir(random_network(3, sys.argv[2] == 'True'), sys.argv[3])"
    )
    there = tmp_path / "there.nir"
    arguments = [sys.executable, "-c", script, str(Path(__file__).parent), str(integer), str(there)]
    subprocess.run(arguments, check=True, env={**os.environ, "PYTHONHASHSEED": "77"})
    assert there.read_bytes() == (tmp_path / "here.nir").read_bytes()


@pytest.mark.parametrize("integer", [False, True], ids=["float", "integer"])
def test_files_pass_through_the_nir_library(tmp_path: Path, integer: bool) -> None:
    network = random_network(5, integer)
    write_nir(network, tmp_path / "a.nir")
    nir.write(tmp_path / "b.nir", nir.read(tmp_path / "a.nir", type_check=False))
    assert flattened(read_nir(tmp_path / "b.nir")) == flattened(network)


def test_other_tools_see_the_real_network(tmp_path: Path) -> None:
    dynamics = LIF(beta=0.75, threshold=2.0, v_reset=0.5)
    network = _network(dynamics, weights=[[1.0, -2.0]], bias=[0.5, 0.25], dt=1e-3)
    write_nir(network, tmp_path / "a.nir")
    graph = nir.read(tmp_path / "a.nir")
    assert sorted(graph.edges) == [("input", "projection0"), ("neurons", "output"), ("projection0", "neurons")]
    layer, neurons = graph.nodes["projection0"], graph.nodes["neurons"]
    assert np.array_equal(layer.weight, [[1], [-2]]) and np.array_equal(layer.bias, [0.5, 0.25])
    assert np.allclose(neurons.tau, 4e-3) and np.array_equal(neurons.r, [4, 4])  # the gain r*dt/tau is 1
    assert np.array_equal(neurons.v_threshold, [2, 2]) and np.array_equal(neurons.v_reset, [0.5, 0.5])


def test_other_tools_see_integers_dequantised(tmp_path: Path) -> None:
    dynamics = IntegerDynamics(kind=Kind.LIF, fire=12, sub=12, decay=Decay(c=1, k=2), fraction_bits=2, scale=0.5)
    weights = Quantised(codes=[[3, -1]], bits=4, scale=0.5)
    network = _network(dynamics, weights=weights, bias=[4, 8])
    write_nir(network, tmp_path / "a.nir")
    graph = nir.read(tmp_path / "a.nir")
    assert np.array_equal(graph.nodes["projection0"].weight, [[1.5], [-0.5]])
    assert np.array_equal(graph.nodes["projection0"].bias, [0.5, 1])
    assert np.array_equal(graph.nodes["neurons"].v_threshold, [1.5, 1.5])
    assert np.allclose(graph.nodes["neurons"].tau, 4e-4)


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nir"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nir, "write", fail)
    with pytest.raises(InputError, match="No space left"):
        write_nir(_network(IF(threshold=1.0)), path)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.nir"]


def test_write_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    network = _network(IF(threshold=1.0))
    with pytest.raises(InputError, match=r"must be writable.*No such file"):
        write_nir(network, tmp_path / "nowhere" / "a.nir")
    with pytest.raises(ModelError, match="without NUL"):
        write_nir(dataclasses.replace(network, name="a\0b"), tmp_path / "a.nir")
    with pytest.raises(ModelError, match="finite"):
        write_nir(_network(IF(threshold=np.nan)), tmp_path / "a.nir")


def _network(dynamics: Any, weights: Any = ((1.0,),), bias: Any = 0, **fields: Any) -> Network:
    weights = weights if isinstance(weights, Quantised) else np.array(weights)
    pre, post = weights.shape
    return Network(
        input_shape=(pre,),
        populations=(Population(name="neurons", shape=(post,), dynamics=dynamics, bias=bias),),
        projections=(Projection(pre=INPUT, post="neurons", connectivity=Dense(weights=weights)),),
        output="neurons",
        **fields,
    )


# ------------------------------------------------------------------------------------------ options over metadata


def test_options_win_over_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    write_nir(_network(LIF(beta=0.5, threshold=1.0, v_reset=0.5), dt=1e-3, dialect="snntorch"), path)
    assert read_nir(path, dialect="norse").dialect == "snntorch"  # the dialect comes last
    dynamics: Any = read_nir(path, fire="ge", reset_delay=True, dt=1e-3).populations[0].dynamics
    assert (dynamics.fire, dynamics.reset_place) == (Fire.GE, ResetPlace.NEXT)
    dynamics = read_nir(path, reset="value").populations[0].dynamics
    assert (dynamics.reset_mode, dynamics.v_reset, dynamics.reset_place) == (ResetMode.VALUE, 0.5, ResetPlace.SAME)
    dynamics = read_nir(path, reset="zero").populations[0].dynamics
    assert (dynamics.reset_mode, dynamics.v_reset) == (ResetMode.VALUE, 0)
    dynamics = read_nir(path, reset="subtract", reset_delay=False).populations[0].dynamics
    assert dynamics.reset_place is ResetPlace.SNNTORCH_SAME
    kept = LIF(beta=0.5, threshold=1.0, reset_place=ResetPlace.SNNTORCH_SAME)
    write_nir(_network(kept), tmp_path / "b.nir")
    dynamics = read_nir(tmp_path / "b.nir", fire="ge").populations[0].dynamics
    assert (dynamics.fire, dynamics.reset_place) == (Fire.GE, ResetPlace.SNNTORCH_SAME)
    with pytest.raises(OptionError, match="already in time steps of its own: got dt"):
        read_nir(path, dt=1e-4)


def test_integers_do_not_change(tmp_path: Path) -> None:
    dynamics = IntegerDynamics(kind=Kind.IF, fire=3, sub=3)
    write_nir(_network(dynamics, weights=Quantised(codes=[[1]], bits=2), bias=1), tmp_path / "a.nir")
    with pytest.raises(OptionError, match="neurons are fixed: got reset and fire"):
        read_nir(tmp_path / "a.nir", reset="zero", fire="ge")


def _write(path: Path, *nodes: nir.NIRNode, **metadata: Any) -> Path:
    graph = nir.NIRGraph.from_list(*nodes, type_check=False)
    graph.metadata = metadata
    nir.write(path, graph)
    return path


def _lif(n: int = 2, **changes: Any) -> nir.LIF:
    node = nir.LIF(tau=np.full(n, 1e-3), r=np.ones(n), v_leak=np.zeros(n), v_threshold=np.ones(n))
    for name, value in changes.items():  # the library itself refuses parameters of different shapes
        setattr(node, name, value)
    return node


LAYER = nir.Linear(np.arange(6.0).reshape(2, 3))


def test_conventions_in_metadata(tmp_path: Path) -> None:
    conventions = {"version": 1, "dialect": "snntorch", "reset": "zero", "reset_delay": True, "dt": 2e-4}
    path = _write(tmp_path / "a.nir", LAYER, _lif(r=np.full(2, 5.0)), spikeloom=conventions)
    network = read_nir(path)
    dynamics: Any = network.populations[0].dynamics
    assert (network.dialect, network.dt, dynamics.fire) == ("snntorch", 2e-4, Fire.GT)
    assert (dynamics.reset_mode, dynamics.reset_place) == (ResetMode.VALUE, ResetPlace.NEXT)
    assert np.allclose(dynamics.beta, 0.8) and dynamics.r == 1
    dynamics = read_nir(path, reset="subtract", reset_delay=False, fire="ge").populations[0].dynamics
    assert (dynamics.reset_place, dynamics.fire) == (ResetPlace.SNNTORCH_SAME, Fire.GE)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"version": 2}, "version.* is 1, got 2"),
        ({"version": "one"}, "version.* is an integer"),
        ({}, "version.*got 'nothing'"),
        ({"version": 1, "colour": 3}, "colour.*not part of the schema"),
        ({"version": 1, "dialect": "norze"}, "did you mean 'norse'"),
        ({"version": 1, "dt": -1.0}, "positive number of seconds"),
        ({"version": 1, "dt": np.nan}, "finite number"),
        ({"version": 1, "dialect": {"a": 1}}, "dialect.*is a string"),
        ({"version": 1, "network": 3}, "network.*is a group"),
        ({"version": 1, "network": {"name": "x"}}, "populations.*is a group"),
    ],
)
def test_metadata_is_not_trusted(tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    path = _write(tmp_path / "a.nir", LAYER, _lif(), spikeloom=metadata)
    with pytest.raises(InputError, match=message) as caught:
        read_nir(path, dialect="nir")
    assert "\n" not in str(caught.value)


def _change_metadata(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    graph = nir.read(path, type_check=False)
    change(graph.metadata["spikeloom"]["network"])
    nir.write(path, graph)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "weights": (lambda n: n["projections"]["0"].update(weights=np.ones((3, 3))), "shape \\(pre, post\\)"),
    "one dimension": (lambda n: n["projections"]["0"].update(weights=np.ones(3)), "shape \\(pre, post\\)"),
    "weights of text": (lambda n: n["projections"]["0"].update(weights="many"), "weights.*holds floats"),
    "NaN": (lambda n: n["projections"]["0"].update(weights=np.full((1, 2), np.nan)), "weights.*is finite"),
    "other weights": (lambda n: n["projections"]["0"].update(weights=np.ones((1, 2))), "describes the file's nodes"),
    "post": (lambda n: n["projections"]["0"].update(post=np.int64(7)), "number of a population"),
    "post is the input": (lambda n: n["projections"]["0"].update(post=np.int64(-1)), "number of a population"),
    "output": (lambda n: n.update(output=np.int64(-1)), "number of a population"),
    "model": (lambda n: n["populations"]["0"].update(model="Network"), "is one of IF, LIF"),
    "enumeration": (lambda n: n["populations"]["0"]["dynamics"].update(fire="eq"), "is one of gt, ge"),
    "missing": (lambda n: n["populations"]["0"]["dynamics"].pop("beta"), "beta.*got 'nothing'"),
    "unknown": (lambda n: n["populations"]["0"]["dynamics"].update(gamma=np.ones(2)), "not part of the schema"),
    "numbering": (lambda n: n["populations"].update({"2": n["populations"].pop("0")}), "numbered from 0"),
    "no population": (lambda n: n.update(populations={}, projections={}), "number of a population"),
    "size": (lambda n: n["populations"]["0"].update(shape=np.array([1 << 40])), "has shape|weights have the shape"),
    "x_max": (lambda n: n.update(x_max=np.int64(1000)), "x_max"),
    "beta": (lambda n: n["populations"]["0"]["dynamics"].update(beta=np.float64(1.5)), "0 to 1"),
    "nodes": (lambda n: n.update(input_shape=np.array([1, 1])), "describes the file's nodes: edge"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_network_metadata_is_not_trusted(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.nir"
    write_nir(_network(LIF(beta=[0.5, 0.25], threshold=1.0), weights=[[1.0, 2.0]]), path)
    change, message = CHANGES[name]
    _change_metadata(path, change)
    with pytest.raises(ModelError, match=message) as caught:
        read_nir(path)
    assert "\n" not in str(caught.value)


def test_step_edges_are_written_where_there_are_some_and_read_from_older_files(tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    plain = _network(LIF(beta=[0.5, 0.25], threshold=1.0), weights=[[1.0, 2.0]])
    loop = Projection(pre="neurons", post="neurons", connectivity=Dense(weights=np.eye(2)), delay=1)
    network = dataclasses.replace(plain, projections=(*plain.projections, loop))
    assert [p.step_edge for p in network.projections] == [False, True]
    write_nir(network, path)
    stored = nir.read(path, type_check=False).metadata["spikeloom"]["network"]["projections"]
    assert "step_edge" not in stored["0"] and stored["1"]["step_edge"] == 1
    _change_metadata(path, lambda n: n["projections"]["1"].pop("step_edge"))
    assert flattened(read_nir(path)) == flattened(network)
    for change, message in (
        ({"step_edge": np.int64(0)}, "step_edge.*is 1, or absent where spikes act in their own step, got 0"),
        ({"delay": np.int8(0)}, "a step edge has a delay of a step or more: projection 'neurons' -> 'neurons'"),
    ):
        write_nir(network, path)
        _change_metadata(path, lambda n, change=change: n["projections"]["1"].update(change))  # type: ignore[misc]
        with pytest.raises(ModelError, match=message):
            read_nir(path)


def test_nodes_changed_behind_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    write_nir(_network(LIF(beta=0.5, threshold=1.0)), path)
    graph = nir.read(path)
    graph.nodes["neurons"].v_threshold = graph.nodes["neurons"].v_threshold * 2
    nir.write(path, graph)
    with pytest.raises(ModelError, match="v_threshold of node 'neurons' differs"):
        read_nir(path)


# --------------------------------------------------------------------------------------------------- conventions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"give --dialect snntorch\|norse\|spikingjelly\|sinabs\|nir"),
        ({"dt": 1e-3, "reset": "zero", "reset_delay": False, "fire": "gt"}, "give --dialect"),
        ({"dialect": "snntorch"}, r"give --reset subtract\|zero\|value and --reset-delay or --no-reset-delay"),
        ({"dialect": "snntorch", "reset": "zero"}, r"known; give --reset-delay or --no-reset-delay"),
        ({"dialect": "snntorch", "reset_delay": True}, r"known; give --reset subtract\|zero\|value$"),
        ({"dialect": "brian"}, "dialect is one of snntorch.*got 'brian'"),
        ({"dialect": "nir", "reset": "none"}, "reset is one of subtract, zero, value"),
        ({"dialect": "nir", "fire": ">"}, "fire is one of gt, ge"),
        ({"dialect": "nir", "dt": 0}, "positive number of seconds"),
        ({"dialect": "nir", "dt": float("inf")}, "positive number of seconds"),
        ({"dialect": "nir", "dt": True}, "positive number of seconds"),
        ({"dialect": "nir", "reset_delay": "yes"}, "True or False"),
    ],
)
def test_open_or_wrong_conventions_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = _write(tmp_path / "a.nir", LAYER, _lif())
    with pytest.raises(OptionError, match=message) as caught:
        read_nir(path, **options)
    assert "\n" not in str(caught.value)


def _dynamics(tmp_path: Path, node: nir.NIRNode, **options: Any) -> Any:
    return read_nir(_write(tmp_path / "a.nir", LAYER, node), **options).populations[0].dynamics


@pytest.mark.parametrize(
    ("dialect", "beta", "r", "arithmetic", "fire", "mode", "v_init"),
    [
        ("nir", 0.9, 2.0, Arithmetic.EULER, Fire.GT, ResetMode.VALUE, 0.0),
        ("norse", 0.999, 2.0, Arithmetic.EULER, Fire.GT, ResetMode.VALUE, 0.25),
        ("spikingjelly", 0.9, 2.0, Arithmetic.EULER_DIVIDE, Fire.GE, ResetMode.VALUE, 0.25),
    ],
)
def test_dialects_that_fix_everything(
    tmp_path: Path,
    dialect: str,
    beta: float,
    r: float,
    arithmetic: Arithmetic,
    fire: Fire,
    mode: ResetMode,
    v_init: float,
) -> None:
    quarter = np.full(2, 0.25)
    node = _lif(r=np.full(2, 2.0), v_leak=quarter, v_reset=quarter)
    dynamics = _dynamics(tmp_path, node, dialect=dialect, dt=1e-4 if dialect == "nir" else None)
    assert np.allclose(dynamics.beta, beta) and dynamics.beta.shape == ()  # the same for all neurons
    assert (dynamics.r, dynamics.v_leak, dynamics.v_reset, dynamics.v_init) == (r, 0.25, 0.25, v_init)
    assert (dynamics.arithmetic, dynamics.fire, dynamics.reset_mode) == (arithmetic, fire, mode)
    assert dynamics.reset_place is ResetPlace.SAME


def test_sinabs_counts_in_steps(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.nir", LAYER, _lif(tau=np.array([10.0, 20.0])))
    network = read_nir(path, dialect="sinabs")
    dynamics: Any = network.populations[0].dynamics
    alpha = np.exp([-1 / 10, -1 / 20])
    assert np.allclose(dynamics.beta, alpha) and np.allclose(dynamics.r, 1 - alpha)
    assert (dynamics.fire, dynamics.reset_mode, network.dt) == (Fire.GE, ResetMode.SUBTRACT, None)
    readout = nir.LI(tau=np.array([10.0, 20.0]), r=np.ones(2), v_leak=np.zeros(2))
    assert _dynamics(tmp_path, readout, dialect="sinabs").r == 1  # ExpLeak does not scale its input
    with pytest.raises(ModelError, match="between one time step and"):
        _dynamics(tmp_path, _lif(), dialect="sinabs")  # a time constant in seconds


@pytest.mark.parametrize(
    ("dialect", "r", "gain"), [("nir", 1e4, 1.0), ("spikingjelly", 1e4, 1.0), ("sinabs", 1.0, 1.0), ("norse", 1.0, 1.0)]
)
def test_integrate_and_fire_gain(tmp_path: Path, dialect: str, r: float, gain: float) -> None:
    options = NIR if dialect == "nir" else {"dialect": dialect}
    dynamics = _dynamics(tmp_path, nir.IF(r=np.full(2, r), v_threshold=np.ones(2)), **options)
    assert isinstance(dynamics, IF) and np.allclose(dynamics.r, gain)


@pytest.mark.parametrize(
    ("reset", "delay", "mode", "place"),
    [
        ("subtract", True, ResetMode.SUBTRACT, ResetPlace.NEXT),
        ("subtract", False, ResetMode.SUBTRACT, ResetPlace.SNNTORCH_SAME),
        ("zero", True, ResetMode.VALUE, ResetPlace.NEXT),
        ("zero", False, ResetMode.VALUE, ResetPlace.SAME),
    ],
)
def test_snntorch_resets(tmp_path: Path, reset: str, delay: bool, mode: ResetMode, place: ResetPlace) -> None:
    beta = np.array([0.9, 0.5], np.float32)
    node = _lif(
        tau=1e-4 / (1 - beta), r=1e-4 / (1 - beta) / 1e-4, v_leak=np.zeros(2), v_threshold=np.ones(2), v_reset=beta
    )
    dynamics = _dynamics(tmp_path, node, dialect="snntorch", reset=reset, reset_delay=delay)
    assert (dynamics.reset_mode, dynamics.reset_place, dynamics.fire) == (mode, place, Fire.GT)
    assert np.array_equal(dynamics.beta, beta) and (dynamics.r, dynamics.v_reset) == (1, 0)
    assert dynamics.arithmetic is Arithmetic.DECAY


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.125, 0.3, 0.5, 0.55, 0.9, 0.95, 0.99, 0.9999, 1.0, 1.25, -0.5])
def test_snntorch_decays_come_back_exactly(tmp_path: Path, beta: float) -> None:
    single = np.full(2, beta, np.float32)
    with np.errstate(divide="ignore"):
        tau = np.float32(1e-4) / (1 - single)
    node = _lif(tau=tau, r=tau / np.float32(1e-4))
    dynamics = _dynamics(tmp_path, node, dialect="snntorch", reset="zero", reset_delay=True)
    assert dynamics.beta == np.clip(single[0], 0, 1)  # as snnTorch clips it in every step


@pytest.mark.parametrize(
    ("node", "options", "message"),
    [
        (_lif(v_leak=np.ones(2)), {"dialect": "snntorch"}, "snntorch neurons leak towards 0.*v_leak 1"),
        (_lif(v_leak=np.ones(2)), {"dialect": "sinabs"}, "sinabs neurons leak|time step"),
        (_lif(v_leak=np.ones(2)), {"dialect": "spikingjelly"}, "leak towards v_reset"),
        (_lif(v_threshold=-np.ones(2)), {"dialect": "snntorch"}, "threshold below 0.*has -1"),
        (nir.IF(r=np.ones(2), v_threshold=np.ones(2)), {"dialect": "snntorch"}, "snnTorch writes no IF"),
        (nir.LI(tau=np.ones(2), r=np.ones(2), v_leak=np.zeros(2)), {"dialect": "snntorch"}, "snnTorch writes no LI"),
        (_lif(tau=np.full(2, 1e-5)), NIR, "between one time step.*1e-05 with the time step 0.0001"),
        (_lif(tau=np.zeros(2)), {"dialect": "norse"}, "tau is positive"),
        (_lif(tau=np.full(2, np.inf)), NIR, "tau of node 'lif' holds Inf"),
        (_lif(r=np.full(2, np.inf)), {"dialect": "snntorch"}, "r of node 'lif' holds Inf"),
        (_lif(v_threshold=np.full(2, np.inf)), {"dialect": "nir"}, "v_threshold of node 'lif' holds NaN or Inf"),
        (_lif(r=np.full(2, np.nan)), {"dialect": "nir"}, "r of node 'lif' holds NaN"),
        (
            _lif(tau=np.ones(3)),
            NIR,
            r"one entry per neuron \(2\): tau of node 'lif' has the shape \(3,\)",
        ),
    ],
)
def test_parameters_that_a_dialect_cannot_have(
    tmp_path: Path, node: nir.NIRNode, options: dict[str, Any], message: str
) -> None:
    resets = {"reset": "zero", "reset_delay": False} if options["dialect"] == "snntorch" else {}
    with pytest.raises(ModelError, match=message) as caught:
        _dynamics(tmp_path, node, **options, **resets)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------- graphs


def _graph(tmp_path: Path, nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], **options: Any) -> Network:
    nir.write(tmp_path / "g.nir", nir.NIRGraph(nodes, edges, type_check=False), compression=None)
    return read_nir(tmp_path / "g.nir", **(options or NIR))


def _nodes(**changes: nir.NIRNode | None) -> dict[str, nir.NIRNode]:
    nodes: dict[str, nir.NIRNode | None] = {
        "in": nir.Input(np.array([3])),
        "fc": LAYER,
        "lif": _lif(),
        "out": nir.Output(np.array([2])),
    }
    return {name: node for name, node in (nodes | changes).items() if node is not None}


EDGES = [("in", "fc"), ("fc", "lif"), ("lif", "out")]


def test_weights_are_transposed_and_biases_kept(tmp_path: Path) -> None:
    affine = nir.Affine(np.arange(6.0, dtype=np.float32).reshape(2, 3), np.array([1.0, 2.0], np.float32))
    network = _graph(tmp_path, _nodes(fc=affine), EDGES)
    assert np.array_equal(network.projections[0].weights, [[0, 3], [1, 4], [2, 5]])  # type: ignore[arg-type]
    assert np.array_equal(network.populations[0].bias, [1, 2])
    assert (network.input_shape, network.output, network.dtype) == ((3,), "lif", "float32")
    assert _graph(tmp_path, _nodes(), EDGES).dtype == "float64"


def test_scalars_are_broadcast(tmp_path: Path) -> None:
    scalar = nir.LIF(*(np.array(value) for value in (1e-3, 1.0, 0.0, 1.0)))
    mixed = _lif(v_threshold=np.array([0.5]), tau=np.array(2e-3))
    for node, threshold in ((scalar, 1.0), (mixed, 0.5)):
        dynamics: Any = _graph(tmp_path, _nodes(lif=node), EDGES).populations[0].dynamics
        assert dynamics.threshold == threshold and dynamics.beta.shape == ()


def test_order_is_canonical(tmp_path: Path) -> None:
    two = nir.Linear(np.eye(2))
    nodes = _nodes(b=_lif(), fcb=nir.Linear(np.ones((2, 3))), skip=two, deep=two, last=_lif(), out2=None)
    edges = [
        *[("in", "fc"), ("fc", "lif"), ("in", "fcb"), ("fcb", "b")],
        *[("lif", "skip"), ("b", "deep"), ("skip", "last"), ("deep", "last"), ("last", "out")],
    ]
    network = _graph(tmp_path, nodes, edges)
    assert [p.name for p in network.populations] == ["b", "lif", "last"]
    assert [(p.pre, p.post) for p in network.projections] == [
        (INPUT, "b"),
        (INPUT, "lif"),
        ("b", "last"),
        ("lif", "last"),
    ]
    shuffled = _graph(tmp_path, dict(reversed(nodes.items())), edges[::-1])
    assert flattened(shuffled) == flattened(network)


def test_flatten_keeps_the_order(tmp_path: Path) -> None:
    flatten = nir.Flatten({"input": np.array([1, 3, 1])}, start_dim=0, end_dim=-1)
    nodes = _nodes(**{"in": nir.Input(np.array([1, 3, 1]))}, flat=flatten)
    network = _graph(tmp_path, nodes, [("in", "flat"), ("flat", "fc"), *EDGES[1:]])
    assert network.input_shape == (1, 3, 1) and network.input_size == 3


def test_batch_axes(tmp_path: Path) -> None:
    batched = {"in": nir.Input(np.array([1, 3])), "out": nir.Output(np.array([1, 2]))}
    assert _graph(tmp_path, _nodes(**batched), EDGES).input_shape == (3,)
    batched = {"in": nir.Input(np.array([16, 3])), "out": nir.Output(np.array([16, 2]))}
    for dialect in ("norse", "sinabs"):  # with a sample's batch or time axis
        nodes = _nodes(**batched, lif=_lif(tau=np.full(2, 5.0)))
        assert _graph(tmp_path, nodes, EDGES, dialect=dialect).input_shape == (3,)
    with pytest.raises(ModelError, match=r"shapes connect: 'in' puts out \(16, 3\)"):
        _graph(tmp_path, _nodes(**batched), EDGES)


def test_a_node_called_input(tmp_path: Path) -> None:
    nodes = _nodes(input=_lif(), lif=None)
    network = _graph(tmp_path, nodes, [("in", "fc"), ("fc", "input"), ("input", "out")])
    assert network.output == "input_"


@pytest.mark.parametrize("name", ["a;\nb", "x" * 30_000, "); drop", "ü\u2028é", "'\"", "..", "%s{0}"])
def test_odd_names_are_data(tmp_path: Path, name: str) -> None:
    nodes = _nodes(lif=None) | {name: _lif()}
    edges = [("in", "fc"), ("fc", name), (name, "out")]
    assert _graph(tmp_path, nodes, edges).output == name
    nodes[name] = _lif(5)
    with pytest.raises(ModelError, match="one entry per neuron") as caught:
        _graph(tmp_path, nodes, edges)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


BAD_GRAPHS: dict[str, tuple[dict[str, nir.NIRNode | None], list[tuple[str, str]], str]] = {
    "convolution": (
        {"fc": nir.Conv1d(3, np.ones((2, 3, 1)), 1, 0, 1, 1, np.zeros(2))},
        EDGES,
        r"a Conv1d takes maps of 2 axes: \(3,\) arrives at node 'fc'; give the input its shape",
    ),
    "integrators": (
        {"fc": nir.I(np.ones(3))},
        EDGES,
        "supported NIR nodes are Affine, AvgPool2d, .*: node 'fc' is a 'I': an integrator without",
    ),
    "CubaLIF": (
        {"lif": nir.CubaLIF(*(np.ones(2) for _ in range(5)))},
        EDGES,
        "as snnTorch or Norse wrote them: node 'lif' comes with the dialect 'nir'",
    ),
    "no input": ({"in": None}, EDGES[1:], "one Input node: this one has 0"),
    "two inputs": ({"in2": nir.Input(np.array([3]))}, [*EDGES, ("in2", "fc")], "one Input node: this one has 2"),
    "no output": ({"out": None}, EDGES[:2], "one Output node: this one has 0"),
    "edge to nowhere": ({}, [*EDGES, ("lif", "gone")], "names 'gone', which does not exist"),
    "repeated edge": ({}, [*EDGES, EDGES[0]], "'in' -> 'fc' is repeated"),
    "no edges": ({}, [], "has edges: this one has none"),
    "dangling node": ({"more": _lif()}, [*EDGES, ("fc", "more")], "'more' has none, it does not reach the output"),
    "unused node": ({"more": LAYER}, [*EDGES, ("more", "lif")], "'more' has none, the input does not reach it"),
    "after the output": ({"more": LAYER}, [*EDGES, ("out", "more")], "'more' has none"),
    "self loop": ({}, [*EDGES, ("lif", "lif")], "'lif' -> 'lif' joins LIF and LIF; put a Linear between them"),
    "input loop": ({}, [*EDGES, ("lif", "in")], "nothing leads to the input: 'lif' -> 'in' does"),
    "two layers": ({"fc2": nir.Linear(np.eye(3))}, [("in", "fc2"), ("fc2", "fc"), *EDGES[1:]], "joins Linear and Lin"),
    "no neurons": ({"lif": None}, [("in", "fc"), ("fc", "out")], "'fc' -> 'out' joins Linear and Output"),
    "no layer": (
        {"fc": None, "lif": _lif(3), "out": nir.Output(np.array([3]))},
        [("in", "lif"), ("lif", "out")],
        "joins Input and LIF",
    ),
    "neurons on neurons": ({"b": _lif()}, [*EDGES[:2], ("lif", "b"), ("b", "out")], "joins LIF and LIF"),
    "hidden LI": (
        {
            "lif": nir.LI(np.ones(2), np.ones(2), np.zeros(2)),
            "fc2": nir.Linear(np.eye(2)),
            "lif2": _lif(),
        },
        [("in", "fc"), ("fc", "lif"), ("lif", "fc2"), ("fc2", "lif2"), ("lif2", "out")],
        "LI neurons are a readout",
    ),
    "two outputs": ({"b": _lif()}, [*EDGES, ("fc", "b"), ("b", "out")], "Output nodes have one source: .out. has 2"),
    "input size": ({"in": nir.Input(np.array([4]))}, EDGES, r"'in' puts out \(4,\), node 'fc' takes \(3,\)"),
    "output size": ({"out": nir.Output(np.array([7]))}, EDGES, r"'out' expects \(7,\), \(2,\) arrives"),
    "flat weights": ({"fc": nir.Linear(np.ones((2, 3, 3)))}, EDGES, r"shape \(outputs, inputs\)"),
    "bias size": ({"fc": nir.Affine(np.ones((2, 3)), np.ones(5))}, EDGES, r"bias is a scalar or.*\(2\)"),
    "NaN weights": ({"fc": nir.Linear(np.full((2, 3), np.nan))}, EDGES, "weight of node 'fc' holds NaN"),
    "Inf bias": (
        {"fc": nir.Affine(np.ones((2, 3)), np.array([1, np.inf]))},
        EDGES,
        "bias of node 'fc' holds NaN or Inf",
    ),
    "partial flatten": (
        {"in": nir.Input(np.array([3, 1])), "flat": nir.Flatten({"input": np.array([3, 1])}, start_dim=1)},
        [("in", "flat"), ("flat", "fc"), *EDGES[1:]],
        r"'flat' puts out \(3, 1\)",
    ),
    "flatten of another shape": (
        {"flat": nir.Flatten({"input": np.array([5])}, start_dim=0)},
        [("in", "flat"), ("flat", "fc"), *EDGES[1:]],
        r"'flat' expects \(5,\), \(3,\) arrives",
    ),
    "different sizes meet": (
        {"fc2": nir.Linear(np.ones((4, 3)))},
        [*EDGES, ("in", "fc2"), ("fc2", "lif")],
        "what meets in a neuron has one size.*'fc' 2, 'fc2' 4",
    ),
    "shape of floats": ({"in": nir.Input(np.array([3.5]))}, EDGES, "list of positive integers"),
    "negative shape": ({"in": nir.Input(np.array([-3]))}, EDGES, "list of positive integers"),
}


@pytest.mark.parametrize("name", BAD_GRAPHS)
def test_bad_graphs_are_refused(tmp_path: Path, name: str) -> None:
    changes, edges, message = BAD_GRAPHS[name]
    with pytest.raises(ModelError, match=message) as caught:
        _graph(tmp_path, _nodes(**changes), edges)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------ the NIR paper's graphs


def test_reference_graphs(shared: Path) -> None:
    folder = shared / "data" / "nir"
    norse: Any = read_nir(folder / "lif_norse.nir", dialect="norse").populations[0].dynamics
    assert 1 - norse.beta == np.float32(1e-3) * np.float32(400) and np.isclose(norse.threshold, 0.1)
    rockpool = read_nir(folder / "lif_rockpool.nir", dialect="rockpool")  # declares its output as (1, 1, 1)
    assert (rockpool.output, rockpool.input_shape, rockpool.dt) == ("1_LIFNeuronTorch", (1,), 1e-4)
    two = read_nir(folder / "two_lif_neurons.nir", **NIR)
    first: Any = two.population("lif1").dynamics
    assert [p.name for p in two.populations] == ["lif1", "lif2"] and two.dtype == "float64"
    assert np.isclose(first.beta, 0.99) and first.v_leak == 1.2
    with pytest.raises(OptionError, match="give --dialect"):
        read_nir(folder / "two_lif_neurons.nir")
    cnn = read_nir(folder / "cnn_sinabs.nir", dialect="sinabs")
    assert [p.shape for p in cnn.populations] == [(16, 16, 16), (16, 16, 16), (8, 8, 8), (256,), (10,)]

"""Neurons that are proven silent leave the core; the network, its recordings and its regressions keep them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz.networks import networks
from fuzz.oracle import Data
from fuzz.stimuli import stimuli
from golden import network_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spikeloom.compiler import load_samples, read_nir, write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.flow.compile import CompileOptions, compile_network
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import Decay, Drive, IntegerDynamics, Kind, ResetMode, ResetPlace
from spikeloom.compiler.neurons.reachable import silent_neurons
from spikeloom.compiler.output.build_folder import BuildFolder
from spikeloom.compiler.plan.engine_folding import EngineKind
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.lean import lean_for, read_lean, without_silent
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import InputError, MismatchError
from spikeloom.sim import simulate
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.numbering import of_core, of_whole
from spikeloom.sim.reference import run_reference
from spikeloom.sim.regress import regress, regress_core


def one(weights: list[int], bias: int = 0, **dynamics: Any) -> Network:
    """One neuron with those weights from inputs of 0 or 1."""
    given: dict[str, Any] = {"kind": Kind.IF, "fire": 9, "sub": 10, "state_bits": 12} | dynamics
    codes = np.array([weights]).T
    return Network(
        input_shape=(len(weights),),
        populations=(Population(name="n", shape=(1,), dynamics=IntegerDynamics(**given), bias=np.array(bias)),),
        projections=(Projection(pre=INPUT, post="n", connectivity=Dense(weights=Quantised(codes=codes, bits=6))),),
        output="n",
    )


HALF = Decay(c=1, k=1)  # what is left of x is x - (x + 1 >> 1)


@pytest.mark.parametrize(
    ("network", "silent"),
    [
        (one([0, 0]), True),
        (one([-3, 0]), True),
        (one([0, 0], bias=1), False),  # without a leak it gets there
        (one([1, -3]), False),
        (one([0, 0], bias=5, kind=Kind.LIF, decay=HALF), True),  # 5, 7, 8, 9, 9, ...: at the threshold is not above it
        (one([0, 0], bias=6, kind=Kind.LIF, decay=HALF), False),
        (one([3, 2], kind=Kind.LIF, decay=HALF), True),
        (one([3, 3], kind=Kind.LIF, decay=HALF), False),
        (one([31, -31], bias=-26, kind=Kind.LIF, decay=HALF), True),  # 31 - 26 = 5
        (one([31, -31], bias=-25, kind=Kind.LIF, decay=HALF), False),
        (one([0, 0], bias=-5, fire=-1), True),
        (one([0, 0], bias=-5, fire=-1, reset_place=ResetPlace.SNNTORCH_SAME, reset_mode=ResetMode.SUBTRACT), False),
        (one([3, 2], kind=Kind.CUBALIF, decay=HALF, decay_syn=Decay(c=1, k=0)), True),  # no current is left over
        (one([3, 2], kind=Kind.CUBALIF, decay=HALF, decay_syn=HALF), False),
        (one([3, 2], kind=Kind.CUBALIF, decay=HALF, decay_syn=Decay(c=1, k=0), drive=Drive.OLD), True),
        (one([20, 20], kind=Kind.LI, decay=HALF), True),
    ],
)  # fmt: skip
def test_what_is_proven(network: Network, silent: bool) -> None:
    assert silent_neurons(network, network.populations[0]).tolist() == [silent]
    loudest = np.broadcast_to(network.projections[0].weights.codes[:, 0] > 0, (1, 40, 2))  # type: ignore[union-attr]
    fired = run_reference(network, loudest.astype(np.uint8)).spikes.any()
    assert fired != silent or network.population("n").dynamics.fire < 0  # type: ignore[union-attr]


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_core_without_them_does_the_same(data: st.DataObject) -> None:
    """On random networks of everything that the IR has; what leaves is silent, and nobody else changes."""
    drawn: Data = data.draw(networks(hardware=False))
    network = network_of(drawn)
    lean = without_silent(network)
    assert lean.network.population(network.output).size == network.population(network.output).size
    for run in data.draw(stimuli(drawn))["runs"]:
        spikes = np.array([run["steps"]], np.int64).astype(np.uint8)
        whole = run_reference(network, spikes, membranes=True)
        expected, got = of_core(lean, whole), run_reference(lean.network, spikes, membranes=True)
        back = of_whole(lean, got, spikes)
        for name in whole.populations:
            for one_side, other in ((expected, got), (whole, back)):
                a, b = one_side.populations[name], other.populations[name]
                assert np.array_equal(a.spikes, b.spikes) and np.array_equal(a.membranes, b.membranes)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ a network


def weights(rng: np.random.Generator, pre: int, post: int) -> np.ndarray:
    return rng.integers(-3, 8, (pre, post))


def network() -> Network:
    """Silent: of `a` neurons 1 (no synapse, a bias below the threshold) and 4 (all weights below 0), so of `b` the
    neuron 2, which only hears those two."""
    rng = np.random.default_rng(1)
    into_a, into_b, into_out = weights(rng, 5, 6), weights(rng, 6, 5), weights(rng, 5, 3)
    into_a[:, 1], into_a[:, 4] = 0, -np.abs(into_a[:, 4])
    into_b[:, 2] = [0, 7, 0, 0, 7, 0]
    lif: dict[str, Any] = {"kind": Kind.LIF, "decay": Decay(c=1, k=3), "state_bits": 9}
    sizes = {"a": 6, "b": 5, "out": 3}
    bias = {"a": np.array([0, 1, 0, 0, 0, -1]), "b": np.zeros(5, np.int64), "out": np.zeros(3, np.int64)}
    populations = tuple(
        Population(
            name=name,
            shape=(size,),
            dynamics=IntegerDynamics(**lif, fire=np.arange(10, 10 + size), sub=np.arange(11, 11 + size)),
            bias=bias[name],
        )
        for name, size in sizes.items()
    )
    joined = ((INPUT, "a", into_a), ("a", "b", into_b), ("b", "out", into_out))
    projections = tuple(
        Projection(pre=pre, post=post, connectivity=Dense(weights=Quantised(codes=codes, bits=4)))
        for pre, post, codes in joined
    )
    return Network(input_shape=(5,), populations=populations, projections=projections, output="out", name="lean")


SPIKES = (np.random.default_rng(2).random((3, 6, 5)) < 0.5).astype(np.uint8)


def test_who_leaves() -> None:
    lean = without_silent(network())
    assert {name: kept.tolist() for name, kept in lean.kept.items()} == {"a": [0, 2, 3, 5], "b": [0, 1, 3, 4]}
    assert lean.left_out == 3 and [p.size for p in lean.network.populations] == [4, 4, 3]
    assert lean.network.population("a").dynamics.fire.tolist() == [10, 12, 13, 15]  # type: ignore[union-attr]
    assert lean.whole.population("a").bias[1] == 1  # its membrane moves, below the threshold
    membranes = run_reference(network(), SPIKES, membranes=True).populations["a"].membranes
    assert membranes is not None and membranes[..., 1].max() > 0


def test_outputs_stay_and_so_does_one_of_all() -> None:
    quiet = replace(network(), projections=tuple(_emptied(p) for p in network().projections))
    lean = without_silent(quiet)
    assert [p.size for p in lean.network.populations] == [1, 1, 3]
    assert not run_reference(lean.network, SPIKES).spikes.any()


def _emptied(projection: Projection) -> Projection:
    codes = np.zeros_like(projection.weights.codes)  # type: ignore[union-attr]
    return replace(projection, connectivity=Dense(weights=Quantised(codes=codes, bits=4)))


def test_nobody_leaves_a_network_in_use(tmp_path: Path) -> None:
    awake = replace(network(), projections=(network().projections[2],), populations=network().populations[1:])
    awake = replace(
        awake,
        projections=(
            replace(awake.projections[0], pre="b"),
            Projection(pre=INPUT, post="b", connectivity=Dense(weights=Quantised(codes=np.full((5, 5), 7), bits=4))),
        ),
    )
    assert without_silent(awake).network is awake
    build = compile_network(awake, tmp_path / "build", CompileOptions(verilog_only=True))
    assert not build.numbering_file.exists() and build.report()["network"]["silent_neurons"] == 0


FOLDINGS = {
    "shared": shared_folding,
    "pipelined": pipelined_folding,
    "lanes": lambda net: pipelined_folding(net, 3),
    "vector": lambda net: Folding(
        engines=tuple(engine_folding((p.name,), kind=EngineKind.VECTOR, lanes=0) for p in net.populations)
    ),
}


@pytest.mark.parametrize("name", FOLDINGS)
def test_cores_of_every_kind_equal_the_reference(name: str) -> None:
    lean = lean_for(network(), FOLDINGS[name](network()))
    assert lean.left_out == 3
    got = run_amaranth(make_plan(lean.network, "ice40", FOLDINGS[name](network())), SPIKES, membranes=True, stress=1)
    expected, back = run_reference(network(), SPIKES, membranes=True), of_whole(lean, got, SPIKES)
    for population in ("a", "b", "out"):
        ours, theirs = back.populations[population], expected.populations[population]
        assert np.array_equal(ours.spikes, theirs.spikes) and np.array_equal(ours.membranes, theirs.membranes)  # type: ignore[arg-type]


def test_a_folding_that_needs_all_neurons_gets_them() -> None:
    """Six lanes of `a`; the others leave all the same."""
    wide = Folding(engines=(engine_folding(("a",), lanes=6), engine_folding(("b",)), engine_folding(("out",))))
    assert list(lean_for(network(), wide).kept) == ["b"]
    wide = Folding(engines=(engine_folding(("a",), lanes=6), engine_folding(("b",), lanes=5), engine_folding(("out",))))
    assert not lean_for(network(), wide).kept


# ----------------------------------------------------------------------------------------------- the build folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildFolder:
    return compile_network(network(), tmp_path_factory.mktemp("lean") / "build", CompileOptions(verilog_only=True))


def test_a_build_folder_has_the_network_and_the_numbering(built: BuildFolder) -> None:
    assert [p.size for p in read_nir(built.network_file).populations] == [6, 5, 3]
    assert json.loads(built.numbering_file.read_text()) == {"kept": {"a": [0, 2, 3, 5], "b": [0, 1, 3, 4]}}
    report = built.report()
    assert (report["network"]["neurons"], report["network"]["silent_neurons"]) == (14, 3)
    assert [layer["neurons"] for layer in report["layers"]] == [4, 4, 3]
    assert "numbering.json" in built.manifest["outputs"] and not built.changed_files()


@pytest.mark.parametrize("level", ["rtl", pytest.param("netlist", marks=pytest.mark.slow)])
def test_regressions_cover_the_network(built: BuildFolder, level: str) -> None:
    result = regress(network(), built.path, SPIKES, level=level)
    assert result.left_out == 3
    assert (result.spikes_compared, result.membranes_compared) == (18 * (11 + 3), 18 * 11)


@pytest.mark.parametrize("executor", ["amaranth", "verilog"])
def test_recordings_have_all_neurons(built: BuildFolder, executor: str) -> None:
    got = simulate(network(), SPIKES, executor=executor, membranes=True, folder=built.path)
    expected = run_reference(network(), SPIKES, membranes=True)
    for name, population in expected.populations.items():
        assert np.array_equal(got.populations[name].spikes, population.spikes)
        assert np.array_equal(got.populations[name].membranes, population.membranes)  # type: ignore[arg-type]


def test_a_divergence_names_the_neuron_of_the_network(built: BuildFolder) -> None:
    lean = read_lean(built.numbering_file, network())
    expected = of_core(lean, run_reference(network(), SPIKES, membranes=True))
    membranes = expected.populations["a"].membranes
    assert membranes is not None
    membranes[0, 0, 2] += 1  # the core's third neuron of `a` is the network's number 3
    with pytest.raises(MismatchError, match=r"sample 0, step 0, population 'a', neuron 3: membrane expected"):
        regress_core(lean.network, built.path, SPIKES, expected, traced=True, kept=lean.kept)


def test_a_core_that_lacks_a_neuron_in_use_is_rejected(built: BuildFolder, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    shutil.copytree(built.path, folder)
    (folder / "numbering.json").write_text('{"kept": {"a": [1, 2, 3, 5], "b": [0, 1, 3, 4]}}')
    with pytest.raises(MismatchError, match=r"population 'a', neuron 0: the core lacks it, as one that never"):
        regress(network(), folder, SPIKES)


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", '{"kept": []}', '{"kept": {"a": []}}', '{"kept": {"a": [0, 0]}}', '{"kept": {"a": [2, 1]}}',
        '{"kept": {"a": [6]}}', '{"kept": {"a": [-1]}}', '{"kept": {"a": [true]}}', '{"kept": {"a": [0.5]}}',
        '{"kept": {"a": "0"}}', '{"kept": {"out": [0]}}', '{"kept": {"c": [0]}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_numberings_that_are_none_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "numbering.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"a numbering (lists the neurons|must )") as caught:
        read_lean(path, network())
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_command_line_says_who_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], built: BuildFolder
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("s.npz", spikes=SPIKES)
    assert main(["regress", str(built.path), "--data", "s.npz"]) == 0
    shown = capsys.readouterr().out
    assert "3 neurons that can never fire: the core lacks them, in the reference they did not" in shown
    said = "14 neurons (3 that never fire are not in the core)"
    assert main(["report", str(built.path)]) == 0
    assert said in capsys.readouterr().out
    assert main(["report", str(built.path), "--html", "page.html"]) == 0
    assert said in Path("page.html").read_text()
    write_nir(network(), "n.nir")
    assert main(["estimate", "n.nir", "--data", "s.npz", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    cycles = make_plan(without_silent(network()).network)
    assert figures["cycles_per_sample"] == pytest.approx(built_cycles(cycles, load_samples("s.npz").spikes), abs=0.01)


def built_cycles(plan: Any, spikes: np.ndarray) -> float:
    from spikeloom.sim.amaranth_executor import measure_cycles

    return float(np.mean(measure_cycles(plan, spikes)))

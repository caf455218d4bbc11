"""Estimates of cost, clock, cycles and work: what is exact, what follows from structure, and a look at the tools."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import chain, connect, random_spikes
from spikeloom.boards.boards import BOARDS
from spikeloom.boards.devices import DEVICES
from spikeloom.boards.toolchain import build
from spikeloom.compiler import write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.cycles.count import count_cycles
from spikeloom.compiler.estimate.estimate import COEFFICIENTS, estimate, parts_of, path_amounts
from spikeloom.compiler.estimate.neurons import leak_cost
from spikeloom.compiler.estimate.parts import Parts
from spikeloom.compiler.ir.network import INPUT, Network
from spikeloom.compiler.ir.neurons import Decay, Kind, ResetMode, ResetPlace, Rounding
from spikeloom.compiler.plan.folding import Folding, pipelined_folding, shared_folding
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import ModelError
from spikeloom.hdl.link.linked_core import LinkedCore
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.neurons.decay import DecayFormat
from spikeloom.sim.reference import run_reference

FAMILIES = [family.value for family in Family]


def trains_of(network: Network, spikes: np.ndarray) -> dict[str, np.ndarray]:
    recording = run_reference(network, spikes)
    return recording.trains(spikes)


@pytest.mark.parametrize("family", FAMILIES)
def test_block_rams_are_those_of_the_plan_and_of_the_link(family: str) -> None:
    network = chain(1, (40, 30, 8))
    plan = make_plan(network, family)
    assert estimate(plan).resources.brams == plan.brams
    assert estimate(plan, link=link_of(network)).resources.brams == plan.brams + 1


def test_cycles_are_those_that_the_model_counts() -> None:
    network = chain(2, (20, 10, 4))
    plan = make_plan(network)
    trains = trains_of(network, random_spikes(1, network, 3, 5))
    assert estimate(plan, spikes=trains).cycles == np.mean(count_cycles(plan, trains))
    without = estimate(plan)
    assert without.cycles is None and without.work is None


@pytest.mark.parametrize("fold", [shared_folding, pipelined_folding])
def test_work_is_counted(fold: Any) -> None:
    """Every event of a neuron with n synapses is n operations; every neuron is updated in every step."""
    network = chain(3, (6, 5, 4))
    plan = make_plan(network, folding=fold(network))
    spikes = random_spikes(2, network, 2, 7, 0.5)
    trains = trains_of(network, spikes)
    work = estimate(plan, spikes=trains).work
    assert work is not None
    events = (trains[INPUT].sum() + trains["p0"].sum()) / 2
    assert work.events == pytest.approx(events)
    assert work.neuron_updates == 7 * 9
    synapses = sum(
        float(trains[p.pre].sum(axis=(0, 1)) @ np.count_nonzero(p.weights.codes, axis=1)) / 2  # type: ignore[union-attr]
        for p in network.projections
    )
    assert synapses <= work.synaptic_operations  # bridges and zeros of dense rows count too
    assert work.memory_writes == pytest.approx(work.synaptic_operations + work.neuron_updates)
    # an entry and a neuron for each operation, a neuron and its parameters for each update, directories
    directories = work.memory_reads - 2 * (work.synaptic_operations + work.neuron_updates)
    assert 0 <= directories <= work.events + 1e-9
    mean = {name: train.mean(axis=(0, 1)) for name, train in trains.items()}
    again = estimate(plan, rates=mean, steps=7).work
    assert again is not None and again.synaptic_operations == pytest.approx(work.synaptic_operations)


@pytest.mark.parametrize("family", FAMILIES)
def test_more_takes_more(family: str) -> None:
    network = chain(4, (30, 20, 10))
    shared, pipelined = (
        estimate(make_plan(network, family, fold(network))) for fold in (shared_folding, pipelined_folding)
    )
    wide = estimate(make_plan(chain(4, (30, 20, 10), state_bits=20), family))
    for name in ("luts", "ffs", "lcs"):
        assert getattr(pipelined.resources, name) > getattr(shared.resources, name)
    assert wide.resources.luts > shared.resources.luts
    linked = estimate(make_plan(network, family), link=link_of(network))
    assert linked.resources.luts > shared.resources.luts + 100


def test_parts_that_were_never_measured_count_as_they_are() -> None:
    plan = make_plan(chain(4, (30, 20, 10)))
    measured = json.loads(files("spikeloom.compiler.estimate").joinpath(COEFFICIENTS).read_text())["ice40"]
    bare = estimate(plan, factors={**measured, "luts": {}, "ffs": {}}).resources
    parts = parts_of(plan)
    assert (bare.luts, bare.ffs) == (round(sum(parts.luts.values())), round(sum(parts.ffs.values())))


def test_the_longest_path_sets_the_clock() -> None:
    parts = Parts(paths={("bank", 2, 10), ("walker", 5, 4)}, blocks=9)
    delays = {"bank": 1.0, "walker": 0.5, "level": 1.0, "carry": 0.1}
    found = path_amounts(parts, 2000, delays)
    assert found == {"constant": 1.0, "kiloluts": 2.0, "spread": 3.0, "walker": 1.0, "level": 5, "carry": 4}
    assert path_amounts(parts, 0, delays | {"carry": 1.0})["bank"] == 1.0


def test_slower_devices_are_slower() -> None:
    plan = make_plan(chain(4, (30, 20, 10)))
    assert estimate(plan, device="up5k").fmax_mhz < estimate(plan, device="hx8k").fmax_mhz
    assert estimate(plan, device="hx8k").fmax_mhz == estimate(plan).fmax_mhz


@pytest.mark.parametrize("family", FAMILIES)
def test_every_rule_has_an_estimate(family: str) -> None:
    for place in ResetPlace:
        for mode in ResetMode:
            if mode is ResetMode.NONE or (mode is ResetMode.VALUE and place is ResetPlace.SNNTORCH_SAME):
                continue
            network = chain(5, (9, 7, 5), reset_place=place, reset_mode=mode)
            figures = estimate(make_plan(network, family))
            assert 50 < figures.resources.luts < 2000 and 20 < figures.fmax_mhz < 300


def test_designs_without_a_cycle_model_have_no_cycles() -> None:
    network = chain(6, (12, 8, 4))
    plan = make_plan(network, "ecp5", Folding(engines=(engine_folding(populations=("p0", "p1"), skips=True),)))
    trains = trains_of(network, random_spikes(1, network, 1, 3))
    figures = estimate(plan, spikes=trains)
    assert figures.cycles is None and figures.work is not None
    assert estimate(plan, rates=dict.fromkeys(trains, 0.1), steps=3).cycles is None
    with pytest.raises(ModelError, match="simulate it"):
        count_cycles(plan, trains)


@pytest.mark.parametrize(
    ("c", "k", "rounding", "sums", "carries"),
    [(1, 1, "nearest", 0, 0), (1, 2, "floor", 1, 11), (1, 4, "nearest", 1, 14), (13, 8, "toward_zero", 3, 36)],
)
def test_what_a_leak_costs(c: int, k: int, rounding: Any, sums: int, carries: int) -> None:
    """V/2 is a shift; V - V/4 is a sum of two; more terms are reduced to two by full adders."""
    cost = leak_cost(DecayFormat(c=c, k=k, rounding=rounding), 10)
    assert (cost.sums, cost.carries) == (sums, carries)
    assert (cost.full_adders > 0) == (c == 13)


@pytest.mark.parametrize("k", [0, 4])
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("changes", [{}, {"kind": Kind.CUBALIF, "decay_syn": Decay(c=1, k=0)}], ids=["LIF", "CubaLIF"])
def test_leaks_that_keep_all_or_nothing_have_a_cost(k: int, keeps: bool, changes: dict[str, Any]) -> None:
    for rounding in Rounding:
        network = chain(1, (9, 7, 5), decay=Decay(c=0 if keeps else 1 << k, k=k, rounding=rounding), **changes)
        for folding in (shared_folding(network), pipelined_folding(network)):
            assert estimate(make_plan(network, folding=folding)).resources.lcs > 0


def sparse_chain() -> Network:
    """Few synapses, which compressed rows hold best."""
    rng = np.random.default_rng(7)
    network = chain(7, (300, 60, 10))
    projections = (connect(rng, INPUT, "p0", (300, 60), density=0.05), connect(rng, "p0", "p1", (60, 10), density=0.05))
    return replace(network, projections=projections)


def test_the_measured_factors_are_complete() -> None:
    """What the benchmark fits is what the estimate asks for."""
    data = json.loads(files("spikeloom.compiler.estimate").joinpath(COEFFICIENTS).read_text(encoding="utf-8"))
    for family in FAMILIES:
        network = sparse_chain()
        parts = parts_of(make_plan(network, family), link_of(network))
        assert set(parts.luts) <= data[family]["luts"].keys()
        assert set(parts.ffs) <= data[family]["ffs"].keys()
        assert data[family].keys() == {"luts", "ffs", "lcs", "period_ns", "slower"}
        assert all(any(device.startswith(prefix) for device in DEVICES) for prefix in data[family]["slower"])


@pytest.mark.slow
def test_an_estimate_comes_close_to_the_tools(tmp_path: Path) -> None:
    network = chain(8, (100, 40, 10))
    plan = make_plan(network)
    (tmp_path / "logs").mkdir()
    built = build(LinkedCore(plan.core(), link_of(network), 12, plan.family), DEVICES["hx8k"], tmp_path)
    figures = estimate(plan, device="hx8k", link=link_of(network))
    used = built.utilisation.used
    assert figures.resources.brams == used.brams
    assert figures.resources.luts == pytest.approx(used.luts, rel=0.15)
    assert figures.resources.lcs == pytest.approx(used.lcs, rel=0.15)
    assert figures.fmax_mhz == pytest.approx(built.timing.fmax_mhz, rel=0.3)


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.nir"
    write_nir(chain(9, (20, 12, 4)), path)
    return path


def test_the_command_says_what_fits(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", str(model), "--board", "icebreaker"]) == 0
    text = capsys.readouterr().out
    for word in ("Block RAMs", "Fmax", "Fits", "yes", "random samples", "synaptic operations"):
        assert word in text


def test_the_command_gives_json(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = chain(9, (20, 12, 4))
    spikes = random_spikes(1, network, 3, 5)
    np.savez_compressed(tmp_path / "data.npz", spikes=spikes)
    argv = ["estimate", str(model), "--device", "hx1k", "--data", str(tmp_path / "data.npz"), "--json"]
    assert main([*argv, "--fold", "pipelined"]) == 0
    summary = json.loads(capsys.readouterr().out)
    plan = make_plan(network, folding=pipelined_folding(network))
    assert summary["cycles_per_sample"] == round(float(np.mean(count_cycles(plan, trains_of(network, spikes)))), 2)
    assert summary["activity"] == {"samples": 3, "steps": 5, "stimulus": "samples"}
    assert summary["resources"]["brams"] == {"estimated": plan.brams + 1, "available": 16}
    assert summary["fits"] is True and summary["device"] == "hx1k"
    assert main(["estimate", str(model), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["fits"] is None and alone["resources"]["brams"]["estimated"] == make_plan(network).brams


def test_mistakes_are_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folding = tmp_path / "f.json"
    folding.write_text('{"engines": [{"populations": ["nobody"]}]}')
    for argv, message in (
        (["--device", "hx9k"], "an unknown device"),
        (["--folding", str(folding)], "names the network's populations"),
        (["--data", str(tmp_path / "none.npz")], "none.npz"),
        (["--board", next(iter(BOARDS)), "--bits", "4"], "quantised already"),
    ):
        assert main(["estimate", str(model), *argv]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert message in error


def test_the_command_knows_encoders_and_where_weights_lie(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["estimate", str(model), "--board", "icebreaker", "--json"]
    found = []
    for options in ([], ["--encoder", "rate", "--steps", "8"], ["--weights", "spram"]):
        assert main([*command, *options]) == 0
        found.append(json.loads(capsys.readouterr().out))
    plain, encoded, moved = (part["resources"] for part in found)
    assert encoded["lcs"]["estimated"] > plain["lcs"]["estimated"] and found[1]["activity"]["steps"] == 8
    assert moved["spram"]["estimated"] >= 1 and moved["brams"]["estimated"] < plain["brams"]["estimated"]
    assert main([*command, "--encoder", "rate"]) == 2
    assert "choose --steps" in capsys.readouterr().err
    assert main(["estimate", str(model), "--encoder", "rate", "--steps", "8"]) == 2

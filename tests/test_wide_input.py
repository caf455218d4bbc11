"""Cores whose input brings beats of several events: what they do, how long they take, where they are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import chain, random_spikes
from shipped import run_shipped
from spikeloom.compiler import write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.cycles.count import busy_cycles, count_cycles
from spikeloom.compiler.encodings.vector import count_beats, pack_beats
from spikeloom.compiler.estimate.candidates import wide_foldings
from spikeloom.compiler.flow.estimation import estimate_network
from spikeloom.compiler.flow.options import CompileOptions
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.plan.folding import Folding, folding_data, input_beats, read_folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import Plan, make_plan
from spikeloom.hdl.errors import InputError, ModelError
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.streams.tokens import BeatShape
from spikeloom.sim.amaranth_executor import measure_cycles, run_amaranth
from spikeloom.sim.reference import run_reference
from spikeloom.sim.regress import regress
from spikeloom.sim.verilog_executor import core_in, emit_core
from test_plan import branching

NETWORK = replace(chain(3, (23, 12, 5)), x_max=2)
SPIKES = random_spikes(5, NETWORK, 2, 4, 0.6)


def wide(events: int, lanes: int = 0, neurons_per_cycle: int = 1) -> Folding:
    first = engine_folding(
        ("p0",), kind="vector", lanes=lanes, events_per_beat=events, neurons_per_cycle=neurons_per_cycle
    )
    return Folding(engines=(first, engine_folding(("p1",))), wide=True)


@pytest.mark.parametrize(
    ("family", "events", "lanes", "neurons_per_cycle"),
    [("ice40", 3, 0, 2), ("ecp5", 2, 6, 1), ("ecp5", 4, 0, 5)],
)
def test_it_computes_the_reference_in_the_cycles_of_the_model(
    family: str, events: int, lanes: int, neurons_per_cycle: int
) -> None:
    plan = make_plan(NETWORK, family, wide(events, lanes, neurons_per_cycle))
    expected = run_reference(NETWORK, SPIKES, membranes=True)
    assert expected.spikes.any()
    got = run_amaranth(plan, SPIKES, membranes=True, stress=3)
    for name, population in expected.populations.items():
        assert np.array_equal(got.populations[name].spikes, population.spikes)
        assert np.array_equal(got.populations[name].membranes, population.membranes)
    assert np.array_equal(run_shipped(plan, SPIKES), expected.spikes)
    trains = expected.trains(SPIKES)
    cycles = count_cycles(plan, trains)
    assert cycles == measure_cycles(plan, SPIKES)
    assert np.all(np.max(busy_cycles(plan, trains), axis=0) <= cycles)


def test_beats_are_counted_as_they_are_packed() -> None:
    """The fullest bank says how many there are, over the slots that it has."""
    shape = BeatShape(addresses=10, slots=4, banks=2)
    events = np.array([[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 1, 0, 1, 0], [9, 0, 0, 0, 0, 0, 0, 0, 0, 1]])
    addresses = [np.repeat(np.arange(10), step).tolist() for step in events]
    assert count_beats(shape, events).tolist() == [0, 3, 5] == [len(pack_beats(shape, step)) for step in addresses]


@pytest.mark.parametrize(("family", "events", "bits"), [("ice40", 16, 2 + 16 + 16 * 1), ("ecp5", 6, 2 + 6 + 6 * 3)])
def test_the_shape_of_the_input(family: str, events: int, bits: int) -> None:
    shape = input_beats(NETWORK, wide(events), Family(family))
    assert (shape.slots, shape.layout.size) == (events, bits)
    assert shape.banks == (events if family == "ice40" else events // 2)
    assert input_beats(NETWORK, replace(wide(4), wide=False), Family(family)) == BeatShape(addresses=23)


def test_its_verilog_takes_payloads_wider_than_a_word(tmp_path: Path) -> None:
    """With an abort, stalls and beats that are not full; more than 64 bits wide."""
    network = chain(4, (90, 8, 3))
    plan = make_plan(network, "ecp5", wide(14, neurons_per_cycle=3))
    assert plan.beats is not None and plan.beats.layout.size == 2 + 14 + 14 * 4
    for traced in (True, False):
        emit_core(network, "ecp5", core_in(tmp_path, traced), plan.folding)
    result = regress(network, tmp_path, random_spikes(6, network, 2, 3, 0.5), family="ecp5")
    assert (result.spikes_compared, result.membranes_compared) == (2 * 3 * (8 + 3 + 3), 2 * 3 * (8 + 3))


# --------------------------------------------------------------------------------------------------- refused


def test_what_has_no_wide_input_is_refused() -> None:
    rule = "a wide input leads to one engine that takes several events per beat, and to nothing else: "
    narrow = replace(wide(1), wide=True)
    with pytest.raises(ModelError, match=f"^{rule}that of 'p0' takes one event at a time; make it a vector engine"):
        make_plan(NETWORK, "ice40", narrow)
    network = branching(5)
    engines = tuple(engine_folding((p.name,), kind="vector", lanes=0, events_per_beat=2) for p in network.populations)
    with pytest.raises(ModelError, match=f"^{rule}the input also reaches the engine of '"):
        make_plan(network, "ice40", Folding(engines=engines, wide=True))


@pytest.mark.parametrize("value", ['"yes"', "1", "null"])
def test_a_file_says_true_or_false(tmp_path: Path, value: str) -> None:
    file = tmp_path / "folding.json"
    file.write_text(f'{{"engines": [{{"populations": ["p0", "p1"]}}], "wide": {value}}}')
    with pytest.raises(InputError, match="wide is true or false"):
        read_folding(file)


def test_any_number_of_events_is_built_for_a_wide_input_only(tmp_path: Path) -> None:
    file = tmp_path / "folding.json"
    file.write_text(json.dumps(folding_data(wide(3))))
    assert read_folding(file) == wide(3)
    assert make_plan(NETWORK, "ice40", wide(3)).beats == BeatShape(addresses=23, slots=3, banks=3)
    with pytest.raises(ModelError, match="the nearest are 2 and 4, and the core's wide input takes any"):
        make_plan(NETWORK, "ice40", replace(wide(3), wide=False))


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_nir(NETWORK, tmp_path / "net.nir")
    np.savez_compressed(tmp_path / "data.npz", spikes=SPIKES)
    (tmp_path / "folding.json").write_text(json.dumps(folding_data(replace(wide(3), wide=False))))
    (tmp_path / "two.json").write_text(json.dumps(folding_data(wide(2))))
    return tmp_path / "net.nir"


@pytest.mark.slow
def test_it_is_compiled_reported_and_regressed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, data = model.with_name("build"), str(model.with_name("data.npz"))
    argv = ["compile", str(model), "--emit", "verilog", "--wide", "--folding", str(model.with_name("folding.json"))]
    assert main([*argv, "--data", data, "--output", str(folder)]) == 0
    assert "wide input: 3 events per beat in 3 banks, rows of 3 bits, payload of 14 bits" in capsys.readouterr().out
    report = json.loads((folder / "report.json").read_text())
    assert report["input"] == {"wide": True, "slots": 3, "banks": 3, "row_bits": 3, "payload_bits": 14}
    plan = make_plan(NETWORK, "ice40", wide(3))
    assert report["latency"]["cycles_per_sample"] == np.mean(cycles_of(plan))
    assert read_folding(folder / "folding.json") == wide(3)
    assert main(["regress", str(folder), "--data", data]) == 0
    assert "equal: 176 spikes and 136 membranes of 2 samples of 4 steps (rtl, icarus)" in capsys.readouterr().out


def cycles_of(plan: Plan) -> list[int]:
    return count_cycles(plan, run_reference(plan.network, SPIKES).trains(SPIKES))


def test_estimates_are_of_the_core_alone(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["estimate", str(model), "--folding", str(model.with_name("two.json")), "--device", "lfe5u-25f"]
    assert main([*argv, "--data", str(model.with_name("data.npz")), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    plan = make_plan(NETWORK, "ecp5", wide(2))
    assert summary["host_link"] is False and summary["resources"]["brams"]["estimated"] == plan.brams
    assert summary["cycles_per_sample"] == round(float(np.mean(cycles_of(plan))), 2)
    assert main(argv) == 0
    assert "Estimate (the core alone, lfe5u-25f)" in capsys.readouterr().out


def test_estimates_widen_a_narrow_folding_where_asked() -> None:
    options = CompileOptions(verilog_only=True, wide=True, folding=replace(wide(2), wide=False))
    assert estimate_network(NETWORK, options).plan.folding == wide(2)


RULE = "a wide input is for a design of your own: the host link sends one event at a time"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--board", "icebreaker", "--emit", "verilog", "--wide"], f"{RULE}, and the board 'icebreaker' has it"),
        (["--device", "hx8k", "--wide"], f"{RULE}; take --emit verilog, or leave the input narrow"),
        (["--emit", "verilog", "--wide"], "that of 'p0' takes one event at a time"),
        (["--device", "hx8k", "--folding", "two.json"], f"{RULE}; take --emit verilog"),
        (["--emit", "verilog", "--folding", "folding.json"], "the nearest are 2 and 4"),
    ],
)
def test_where_it_is_refused(model: Path, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = [str(model.with_name(text)) if text.endswith(".json") else text for text in argv]
    assert main(["compile", str(model), *found, "--output", str(model.with_name("build"))]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not model.with_name("build").exists()


def test_a_chosen_folding_may_be_wide() -> None:
    found = list(wide_foldings(chain(1, (20, 9, 4))))
    assert [(folding.wide, folding.engines[0].takes_beats) for folding in found] == [(True, True)] * 2
    assert not any(folding.engines[1].takes_beats for folding in found)
    with pytest.raises(ModelError, match="takes one event at a time"):
        list(wide_foldings(large()))


def large() -> Network:
    """Too many neurons for a vector engine."""
    return chain(1, (2, 600))

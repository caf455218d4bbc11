"""fit_to_target: what it searches, what it promises, what it refuses."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from spikeloom.compiler import Network, Samples
from spikeloom.compiler.ir.fingerprint import fingerprint
from spikeloom.compiler.ir.readout import ReadBy, Readout
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.optimizer import (
    AccuracyFloorError,
    Candidate,
    FitResult,
    NothingFitsError,
    Status,
    evaluation,
    fit_to_target,
)
from spikeloom.compiler.optimizer import fit as fit_module
from spikeloom.compiler.optimizer import search as search_module
from spikeloom.compiler.optimizer.candidate import Outcome, Prediction, candidates_of, pareto_front
from spikeloom.compiler.optimizer.choice import ranked
from spikeloom.compiler.optimizer.database import Database
from spikeloom.compiler.optimizer.evaluation import evaluate, packed, unpacked
from spikeloom.compiler.optimizer.front_plot import front_svg
from spikeloom.compiler.optimizer.point import Point
from spikeloom.compiler.optimizer.space import make_space, smallest_brams
from spikeloom.compiler.optimizer.subject import Subject, make_subject, network_of
from spikeloom.compiler.optimizer.target import Target, find_target
from spikeloom.compiler.optimizer.verification import Measurement, binding
from spikeloom.hdl.errors import InputError, ModelError, OptionError, SampleError
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.resources import Resources
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")

SIZES = (24, 16, 4)


def weights(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.6, shape) for shape in pairwise(SIZES)]


def samples(count: int = 120, seed: int = 1) -> Samples:
    """Samples whose labels are what the float network says."""
    rng = np.random.default_rng(seed)
    spikes = (rng.random((count, 8, SIZES[0])) < 0.3).astype(np.uint8)
    return Samples(spikes=spikes, labels=run_float(network_of(weights()), spikes).predicted)


def subject(**options: Any) -> Subject:
    return make_subject(None, weights(), **{"data": samples(), "method": "magnitude"} | options)


def fitted(**options: Any) -> FitResult:
    """A search that says nothing."""
    given = {"data": samples(), "method": "magnitude", "trials": 4, "target": "ice40"} | options
    return fit_to_target(**{"weights": weights(), "watch": lambda status: None, "hear": lambda line: None} | given)


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every candidate fits; the list has what was asked of the tools. Few foldings, to be quick."""
    asked: list[tuple[Any, ...]] = []

    def verify(*arguments: Any) -> Measurement:
        asked.append(arguments[1:])
        used = Resources(luts=100, lcs=120, brams=4)
        return Measurement(tools="none", resources=used, fmax_mhz=40.0, clock_mhz=12.0)

    monkeypatch.setattr(fit_module, "verify_candidate", verify)
    monkeypatch.setattr(evaluation, "LANES", ())
    return asked


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[Point]:
    """The points that were computed, not remembered."""
    points: list[Point] = []

    def counted(about: Subject, point: Point, target_id: str) -> Outcome:
        points.append(point)
        return evaluate(about, point, target_id)

    monkeypatch.setattr(search_module, "evaluate", counted)
    return points


# ----------------------------------------------------------------------------------------------- with the tools


@pytest.fixture(scope="module")
def real() -> FitResult:
    return fitted(layer_shapes=[(24, 16), (16, 4)], trials=3)


def test_the_summary_reads_like_the_tutorials(real: FitResult) -> None:
    lines = real.summary().splitlines()
    assert lines[0] == "Target: ice40 up5k (5280 LUTs, 30 BRAMs)"
    assert re.fullmatch(r"Selected: (Q\d|ternary).*, \d+% pruning.*", lines[1])
    assert lines[2].startswith("Neurons: LIF, beta 0.9, threshold 1, reset by subtraction")
    assert re.fullmatch(r"Estimated: (\d+ LUTs, )?\d+ BRAMs, .*cycles per sample", lines[3])
    assert re.fullmatch(r"Measured: \d+ LUTs, \d+ BRAMs, \d+ MHz - FITS", lines[4])
    assert re.fullmatch(r"Accuracy impact: [+-]\d+\.\d points \(48 test samples, 95% CI \+-\d+\.\d\)", lines[5])
    assert len(lines) == 6


def test_the_result_is_what_was_measured(real: FitResult) -> None:
    assert real.fits and real.measured.resources is not None
    assert 100 < real.measured.resources.luts < 1500
    assert real.measured.fmax_mhz is not None and real.measured.fmax_mhz > 12
    assert real.network.is_integer and real.accuracy is not None
    assert real.measured.resources.brams == real.selected.prediction.resources.brams
    assert real.verified[-1].candidate is real.selected
    assert real.selected in real.candidates and set(real.front) <= set(real.candidates)


def test_the_result_is_json_and_a_picture(real: FitResult) -> None:
    from xml.etree import ElementTree

    data = json.loads(json.dumps(real.data()))
    assert data["selected"]["estimated"]["resources"]["brams"] == real.selected.prediction.resources.brams
    assert data["measured"]["fits"] is True and len(data["candidates"]) == len(real.candidates)
    assert ElementTree.fromstring(real.svg()).tag.endswith("svg")


@pytest.mark.slow
def test_artix7_is_synthesised_and_says_so() -> None:
    result = fitted(target="artix7", trials=2, data=None)
    lines = result.summary().splitlines()
    assert lines[0] == "Target: artix7 xc7a35t (20800 LUTs, 100 BRAMs)"
    assert re.fullmatch(
        r"Measured: \d+ LUTs, \d+ BRAMs, \d+ FFs \(synth_xilinx for the XC7A35T, not placed\) - FITS", lines[-1]
    )
    assert result.measured.fmax_mhz is None and result.accuracy is None


# ---------------------------------------------------------------------------------------------------- arguments


def test_without_data_there_is_no_accuracy_line(no_tools: list[Any]) -> None:
    result = fitted(data=None, method=None)
    assert "ccuracy" not in result.summary() and "Agreement" not in result.summary()
    assert "Neurons: LIF" in result.summary()
    assert result.measure == "weights kept" and result.selected.quality > 0.99


def test_data_without_labels_are_judged_by_the_networks_own_classes(no_tools: list[Any]) -> None:
    result = fitted(data=samples().spikes)
    assert re.search(r"Agreement: \d+\.\d% of 36 samples get the original's class", result.summary())


def test_every_form_of_network_and_data(no_tools: list[Any], tmp_path: Path) -> None:
    network, data = network_of(weights()), samples()
    np.savez(tmp_path / "data.npz", spikes=data.spikes, labels=data.labels)
    layers = [{"weight": matrix, "bias": np.zeros(matrix.shape[1])} for matrix in weights()]
    forms: list[dict[str, Any]] = [
        {"weights": weights(), "data": data},
        {"weights": layers, "data": {"spikes": data.spikes, "labels": data.labels}},
        {"weights": network, "data": (data.spikes, data.labels)},
        {"weights": None, "layer_shapes": network, "data": tmp_path / "data.npz"},
    ]
    results = [fitted(trials=1, **form) for form in forms]
    assert len({result.selected.quality for result in results}) == 1
    assert [result.default_neurons for result in results] == [True, True, False, False]


def test_samples_of_a_test_of_their_own(no_tools: list[Any]) -> None:
    seen, unseen = samples(60), samples(50, seed=2)
    both = Samples(
        spikes=np.concatenate([unseen.spikes, seen.spikes[:10]]),
        labels=np.concatenate([unseen.labels, seen.labels[:10]]),  # type: ignore[arg-type, list-item]
    )
    result = fitted(data=seen, test=both)
    assert result.accuracy is not None and result.accuracy.samples == 50
    assert result.selected.outcome.judged == 42  # 60 less the 18 of calibration


def test_the_parts_of_the_data_share_no_sample() -> None:
    about = subject()
    assert about.calibration is not None and about.validation is not None and about.test is not None
    parts = [about.calibration, about.validation.spikes, about.test.spikes]
    assert [len(part) for part in parts] == [36, 36, 48]
    assert len({sample.tobytes() for part in parts for sample in part}) == 120


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"layer_shapes": [(24, 17), (17, 4)]}, ModelError, r"got \[\(24, 17\), \(17, 4\)\], the weights have \[\(24"),
        ({"layer_shapes": [(24, 16)]}, ModelError, "layer_shapes are the shapes of the weights"),
        ({"layer_shapes": [24, 16, 4]}, ModelError, "layer_shapes are pairs"),
        ({"weights": None}, ModelError, "none are given; pass weights"),
        ({"weights": [np.ones((4, 3)), np.ones((5, 2))]}, ModelError, "layer"),
        ({"weights": [np.full((24, 16), np.nan), np.ones((16, 4))]}, ModelError, "finite"),
        ({"weights": quantise(network_of(weights()), 4)}, ModelError, "quantised already"),
        ({"target": "ice41"}, OptionError, "an unknown target: 'ice41'; did you mean ice40"),
        ({"target": 5}, OptionError, "a target is the name"),
        ({"method": "magic"}, OptionError, "a compression method is one of"),
        ({"trials": 0}, OptionError, "trials is a whole number from 1"),
        ({"workers": -1}, OptionError, "workers is a whole number from 1"),
        ({"seed": 1.5}, OptionError, "seed is a whole number"),
        ({"goal": "beauty"}, OptionError, "a goal is one of area, latency"),
        ({"accuracy_floor": 97}, OptionError, "such as 0.97: got 97"),
        ({"accuracy_floor": 0.9, "data": None, "method": None}, SampleError, "no data are given"),
        ({"accuracy_floor": 0.9, "data": samples().spikes}, SampleError, "the data have no labels"),
        ({"data": None, "method": "osbc"}, SampleError, "osbc compression needs samples"),
        ({"data": None, "finetune": samples()}, OptionError, "none are given; add data"),
        ({"data": samples(19)}, SampleError, "20 samples at least: got 19"),
        ({"data": samples().spikes[..., :5]}, SampleError, "24 inputs"),
        ({"data": (samples().spikes, np.full(120, 4))}, SampleError, "labels are 0 to 3"),
        ({"data": (samples().spikes, np.zeros(7, int))}, SampleError, "labels are 120 whole numbers"),
        ({"data": (samples().spikes,)}, SampleError, "a pair of spikes and labels"),
        ({"data": {"images": 1}}, SampleError, "the keys are 'images'"),
        ({"data": "nothing.npz"}, SampleError, "nothing.npz"),
        ({"finetune": samples().spikes}, SampleError, "fine-tuning needs labels"),
        ({"finetune": samples()}, SampleError, "all 120 are among them"),
        ({"scheduler": "no address"}, OptionError, "a scheduler answers at its address"),
    ],
)
def test_mistakes_are_typed_and_in_one_line(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        fitted(**options)
    assert "\n" not in str(caught.value)


def test_a_network_is_given_once() -> None:
    with pytest.raises(OptionError, match="both a Network and weights are given"):
        fit_to_target(network_of(weights()), weights())


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(OptionError, match=r"pip install '\.\[fit\]' in Spikeloom's checkout"):
        fitted()


@pytest.mark.parametrize(
    ("id", "title", "family"),
    [
        ("ice40", "ice40 up5k", Family.ICE40),
        ("ECP5", "ecp5 lfe5u-25f", Family.ECP5),
        ("artix7", "artix7 xc7a35t", Family.ECP5),
        ("icestick", "icestick, ice40 hx1k", Family.ICE40),
        ("hx8k", "ice40 hx8k", Family.ICE40),
        ("ulx3s-85f", "ulx3s-85f, ecp5 lfe5u-85f", Family.ECP5),
    ],
)
def test_targets(id: str, title: str, family: Family) -> None:
    target = find_target(id)
    assert (target.title, target.family) == (title, family)


# --------------------------------------------------------------------------------------------------- the points


def test_a_point_says_how_to_compress() -> None:
    point = Point(form="Q4", sparsity=0.5, removed=0.25, layers=(("output", "ternary", 0.0),))
    outcome = evaluate(subject(), point, "ice40")
    assert outcome.failure is None
    network = unpacked(outcome.network)
    assert [p.weights.scheme for p in network.projections] == ["fixed_point", "ternary"]  # type: ignore[union-attr]
    assert outcome.sizes == ((16, network.populations[0].size), (4, 4))
    assert network.populations[0].size <= 12
    weighed = sum(np.count_nonzero(p.weights.codes) for p in network.projections)  # type: ignore[union-attr]
    assert outcome.sparsity == pytest.approx(1 - weighed / (24 * 16 + 16 * 4))
    about = subject()
    assert about.validation is not None and about.validation.labels is not None
    right = run_reference(network, about.validation.spikes).accuracy(about.validation.labels)
    assert (outcome.quality, outcome.judged) == (right, 36)
    candidate = candidates_of([outcome], find_target("ice40"))[0]
    assert candidate.label.startswith(f"Q4 (output ternary), {100 * outcome.sparsity:.0f}% pruning, structural (16->")


def test_a_point_that_cannot_be_compressed_is_a_failure() -> None:
    about = replace(subject(), calibration=np.zeros((3, 8, 24), np.uint8), method="activity")
    outcome = evaluate(about, Point(form="Q4", sparsity=0.5), "ice40")
    assert outcome.failure is not None and "hold spikes" in outcome.failure
    assert Outcome.read(json.dumps(outcome.data()), b"") == outcome


def test_outcomes_survive_the_database() -> None:
    outcome = evaluate(subject(), Point(form="Q3", sparsity=0.25), "ecp5")
    with Database(None) as rows:
        rows.put("key", outcome.data(), outcome.network)
        stored = rows.get("key")
    assert stored is not None and Outcome.read(*stored) == outcome


def test_fewer_weights_keep_less() -> None:
    about = make_subject(None, weights())
    kept = [evaluate(about, Point(form=form, sparsity=s), "ice40").quality for form, s in TRADES]
    assert kept == sorted(kept, reverse=True) and kept[0] > 0.99 and 0.3 < kept[-1] < 0.7


TRADES = (("Q8", 0.0), ("Q4", 0.0), ("Q4", 0.5), ("Q4", 0.9))


def test_the_room_for_weights_is_what_the_plan_allows() -> None:
    network = network_of([np.random.default_rng(0).normal(0, 1, (128, 32)), np.ones((32, 4))])
    target = small_target(4)
    space = make_space(network, target)
    assert 0 < space.room["Q8"] <= space.room["Q4"] <= space.room["ternary"] < 1
    for form, room in [("Q8", space.room["Q8"]), ("ternary", space.room["ternary"])]:
        assert smallest_brams(network, target, form, round(1 - room, 4)) <= 4
    assert space.names == ("hidden1", "output") and space.narrows
    assert all(p.sparsity >= round(1 - space.room[p.form], 4) for p in space.starts())


def test_a_network_of_one_population_has_no_structure(no_tools: list[Any]) -> None:
    single = [np.random.default_rng(0).normal(0, 0.6, (24, 4))]
    result = fitted(weights=single, data=samples().spikes, trials=2)
    assert {candidate.folding for candidate in result.candidates} >= {"shared"}
    assert all(candidate.outcome.point.removed == 0 for candidate in result.candidates)


def small_target(brams: int, id: str = "hx1k", **changes: int) -> Target:
    target = find_target(id)
    return replace(target, capacity=replace(target.capacity, brams=brams, **changes))


# --------------------------------------------------------------------------------------------------- the choice


def candidate(quality: float, brams: int, cycles: float = 100, judged: int = 100) -> Candidate:
    prediction = Prediction(resources=Resources(brams=brams), cycles=cycles)
    outcome = Outcome(
        point=Point(form="Q4", sparsity=0.5), quality=quality, judged=judged, foldings=(("shared", prediction),)
    )
    return candidates_of([outcome], small_target(16))[0]


def test_the_front_has_what_nothing_beats() -> None:
    best, small, fast = candidate(0.9, 10), candidate(0.8, 5), candidate(0.7, 8, cycles=50)
    beaten = [candidate(0.8, 6), candidate(0.9, 10, cycles=101), candidate(0.7, 5)]
    assert set(pareto_front([*beaten, best, small, fast])) == {best, small, fast}
    assert pareto_front([best, candidate(0.9, 10)]) == (best,)


def test_the_drawn_front_never_turns_back() -> None:
    """Its line are steps to the right and up; points that are there for their cycles stay off it."""
    front = [candidate(0.6, 2), candidate(0.9, 10), candidate(0.7, 8, cycles=50), candidate(0.8, 5)]
    drawn = front_svg("<target>", "accuracy", [*front, candidate(0.5, 9)], front, front[3])
    (line,) = re.findall('class="line" d="([^"]*)"', drawn)
    corners = [(float(x), float(y)) for x, y in re.findall(r"H([\d.]+)V([\d.]+)", line)]
    assert len(corners) == 2 and corners == sorted(corners, key=lambda corner: (corner[0], -corner[1]))
    assert drawn.count('class="front"') == 3 and drawn.count('class="fast"') == 1
    assert re.findall(r">(\d)   [\d.]+%, (\d+)% full", drawn) == [("1", "12"), ("2", "31"), ("3", "62")]
    assert "&lt;target&gt;" in drawn and ElementTree.fromstring(drawn).tag.endswith("svg")
    assert 'class="line"' not in front_svg("none", "accuracy", [], [], None)


def test_without_a_floor_size_decides_within_a_standard_error() -> None:
    best, near, far = candidate(0.90, 10), candidate(0.88, 5), candidate(0.85, 2)  # one standard error is 0.03
    assert ranked([far, best, near, candidate(0.99, 17)], None, "area") == [near, best, far]


def test_with_a_floor_the_smallest_or_the_fastest_that_reaches_it() -> None:
    large, small, low = candidate(0.95, 10, cycles=10), candidate(0.91, 5, cycles=20), candidate(0.89, 2)
    assert ranked([large, low, small], 0.9, "area") == [small, large]
    assert ranked([large, low, small], 0.9, "latency") == [large, small]
    assert ranked([low], 0.9, "area") == []


def test_the_same_seed_gives_the_same_result_whatever_the_workers(no_tools: list[Any]) -> None:
    heard: list[Status] = []
    first = fitted(trials=12, watch=heard.append)
    assert [status.finished for status in heard] == list(range(1, 13))
    assert heard[-1].best is not None and heard[-1].seconds_left == 0
    second = fitted(trials=12)
    other = fitted(trials=12, seed=1)
    points = [[c.outcome.point for c in result.candidates] for result in (first, second, other)]
    assert points[0] == points[1] != points[2]
    assert first.data() == second.data()


@pytest.mark.slow
def test_a_scheduler_finds_the_same(no_tools: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(evaluation, "LANES", (2, 4, 8))  # as in the other process
    alone = fitted(trials=3)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as cluster:
        parallel = fitted(trials=3, scheduler=cluster.scheduler_address, target="ice40")
    assert parallel.data() == alone.data()
    networks = [[fingerprint(unpacked(c.outcome.network)) for c in r.candidates] for r in (alone, parallel)]
    assert networks[0] == networks[1]


# -------------------------------------------------------------------------------------------------- what fails


def with_target(monkeypatch: pytest.MonkeyPatch, target: Target) -> None:
    monkeypatch.setattr(fit_module, "find_target", lambda id: target)


def test_a_floor_that_nothing_reaches_shows_the_front(no_tools: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with_target(monkeypatch, small_target(3))
    with pytest.raises(AccuracyFloorError) as caught:
        fitted(accuracy_floor=1.0, trials=3)
    message = str(caught.value)
    assert message.startswith("an accuracy floor must be reached: 100.0% is by none of the ")
    assert "(the float network has 100.0%); the best: " in message and "BRAMs; lower the floor" in message
    assert caught.value.front and caught.value.exit_status == 2
    assert no_tools == []


def test_a_floor_that_is_reached_is_reported(no_tools: list[Any]) -> None:
    result = fitted(accuracy_floor=0.5)
    last = result.summary().splitlines()[-1]
    assert re.fullmatch(
        r"Accuracy floor 50\.0%: (met|NOT MET), [\d.]+% on the test samples \(95% CI .*\), [\d.]+% on the valid.*",
        last,
    )


def test_neurons_that_do_not_fit_at_any_sparsity(monkeypatch: pytest.MonkeyPatch) -> None:
    with_target(monkeypatch, small_target(1))
    with pytest.raises(NothingFitsError) as caught:
        fitted()
    message = str(caught.value)
    assert re.match(r"a network must fit its target: ice40 hx1k has 1 block RAMs, and with hardly any", message)
    assert "for its 20 neurons and 24 inputs" in message


def test_a_design_that_the_tools_refuse_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        Measurement(tools="none", problem="the design needs 1,402 logic cells, the iCE40HX1K has 1,280"),
        Measurement(tools="none", resources=Resources(luts=5, brams=1), fmax_mhz=20.0, clock_mhz=12.0),
    ]
    monkeypatch.setattr(fit_module, "verify_candidate", lambda *arguments: answers[len(heard_problems(heard))])
    heard: list[str] = []
    result = fitted(hear=heard.append)
    assert [trial.measured for trial in result.verified] == answers
    assert heard_problems(heard)[0].endswith("needs 1,402 logic cells, the iCE40HX1K has 1,280")


def heard_problems(heard: list[str]) -> list[str]:
    return [line for line in heard if line.startswith("does not do: ")]


def test_when_the_tools_refuse_all_the_nearest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = "the design needs 1,402 logic cells, the iCE40HX1K has 1,280"
    monkeypatch.setattr(fit_module, "verify_candidate", lambda *a: Measurement(tools="none", problem=problem))
    with pytest.raises(NothingFitsError) as caught:
        fitted(trials=2)
    message = str(caught.value)
    assert f", {problem} (" in message and "% pruning on)" in message
    assert "\n" not in message and caught.value.front


def test_what_binds() -> None:
    capacity = find_target("hx1k").capacity
    assert binding(Resources(luts=5, brams=16), capacity) is None
    assert binding(Resources(luts=1300, brams=17), capacity) == (
        "the design needs 1,300 LUTs of 1,280 and 17 block RAMs of 16"
    )


# ------------------------------------------------------------------------------------------------- the database


def test_an_interrupted_search_goes_on_where_it_was(
    no_tools: list[Any], evaluated: list[Point], tmp_path: Path
) -> None:
    def interrupt(status: Status) -> None:
        if status.finished == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(trials=12, database=tmp_path / "fit.sqlite", watch=interrupt)
    assert len(evaluated) == 5
    whole = fitted(trials=12, database=tmp_path / "fit.sqlite")
    assert len(evaluated) == len(set(evaluated)) <= 12
    before, asked = len(evaluated), len(no_tools)
    again = fitted(trials=12, database=tmp_path / "fit.sqlite")
    assert (len(evaluated), len(no_tools)) == (before, asked)
    assert again.data() == whole.data()
    assert fitted(trials=12).data() == whole.data()


@pytest.mark.parametrize(
    "changes", [{"data": samples(seed=3)}, {"weights": weights(1)}, {"target": "ecp5"}, {"seed": 2}]
)
def test_another_search_remembers_nothing(
    no_tools: list[Any], evaluated: list[Point], tmp_path: Path, changes: dict[str, Any]
) -> None:
    fitted(trials=1, database=tmp_path / "fit.sqlite")
    fitted(**{"trials": 1, "database": tmp_path / "fit.sqlite"} | changes)
    assert len(evaluated) == 2


def test_rows_that_we_did_not_write_are_computed_again(
    no_tools: list[Any], evaluated: list[Point], tmp_path: Path
) -> None:
    file = tmp_path / "fit.sqlite"
    fitted(trials=1, database=file)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE finished SET value = '{\"point\": 3}'")
    fitted(trials=1, database=file)
    assert len(evaluated) == 2 and len(no_tools) == 2


def a_text(path: Path) -> Path:
    path.write_text("not a database, but long enough to be read as if it were one" * 20)
    return path


def anothers(path: Path) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (value TEXT)")
    return path


def a_folder(path: Path) -> Path:
    path.mkdir()
    return path


def under_a_file(path: Path) -> Path:
    path.write_text("")
    return path / "fit.sqlite"


@pytest.mark.parametrize("make", [a_text, anothers, a_folder, under_a_file])
def test_a_file_that_cannot_be_the_database(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "file")
    with pytest.raises(InputError, match=r"a search's database is a file of its own: .*; name another --database"):
        fitted(database=path)
    if make is anothers:
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]


def test_a_stored_network_is_read_as_hostile_input() -> None:
    network = quantise(network_of(weights()), 4)
    assert fingerprint(unpacked(packed(network)).projections) == fingerprint(network.projections)
    with pytest.raises(ModelError, match="a compressed NIR file"):
        unpacked(b"rubbish")


def test_fingerprints_tell_values_apart() -> None:
    values: list[Any] = [
        None,
        0,
        False,
        0.0,
        "0",
        b"0",
        [],
        [[]],
        ["a", "b"],
        ["ab"],
        {"a": 1},
        np.zeros(3),
        np.zeros((3, 1)),
        np.zeros(3, np.float32),
        Point(form="Q4", sparsity=0.5),
        Point(form="Q4", sparsity=0.25),
    ]
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(network_of(weights())) == fingerprint(network_of(weights()))
    assert fingerprint(network_of(weights())) != fingerprint(network_of(weights(1)))
    with pytest.raises(TypeError, match="no fingerprint of a set"):
        fingerprint({1})


def test_a_network_is_not_changed() -> None:
    network: Network = network_of(weights())
    before = fingerprint(network)
    subject_ = make_subject(None, network, data=samples(), method="magnitude")
    evaluate(subject_, Point(form="Q4", sparsity=0.5, removed=0.5), "ice40")
    assert fingerprint(network) == before


def test_what_no_core_can_be_is_refused_before_the_first_trial() -> None:
    read = replace(network_of(weights()), readout=Readout(by=ReadBy.MEMBRANE_LAST))
    heard: list[str] = []
    with pytest.raises(ModelError, match=r"^membranes are read off an output that never resets: population .* resets"):
        fit_to_target(read, target="icestick", data=samples(), method="magnitude", trials=2, hear=heard.append)
    assert heard == []

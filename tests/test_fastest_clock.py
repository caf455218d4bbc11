"""Clocks that follow what a design bears: what a board can make, what is aimed at, and what a build settles on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import chain, random_spikes
from spikeloom.boards.boards import find_board
from spikeloom.boards.clock import ClockPlan, clock_below, clocks_per_bit, fastest_hz, has_pll, plan_clock
from spikeloom.boards.critical_path import Timing
from spikeloom.boards.devices import find_device
from spikeloom.boards.host.facts import read_facts
from spikeloom.boards.toolchain import BuildResult
from spikeloom.compiler import write_nir
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.estimate.estimate import estimate
from spikeloom.compiler.flow.clock import AIMED, BELOW, FASTEST_TRIES, NEAR, Paced, aimed_clock, built_near_fmax
from spikeloom.compiler.flow.folding import with_chosen_folding
from spikeloom.compiler.flow.options import CompileOptions, follows_fmax
from spikeloom.compiler.flow.writing import aside
from spikeloom.compiler.output.build_folder import load_build_folder
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import CapacityError, OptionError, TimingError

BOARD = find_board("icebreaker")
NETWORK = chain(1, (8, 6, 4))


def always(hz: float) -> bool:
    return True


def test_a_board_makes_the_clocks_of_its_pll_or_its_oscillator() -> None:
    assert fastest_hz(BOARD) == 270e6 and fastest_hz(find_device("lfe5u-25f")) == float("inf")
    assert clock_below(BOARD, 39.2e6, always) == plan_clock(BOARD, 39e6)
    assert clock_below(BOARD, 13e6, always) == plan_clock(BOARD, 12e6)  # its own clock, without the PLL
    assert clock_below(BOARD, 1e6, always).hz == 12e6  # the slowest
    assert clock_below(BOARD, 39.2e6, lambda hz: hz % 4e6 == 0).hz == 36e6
    oscillator = find_board("upduino")
    assert [clock_below(oscillator, most, always).hz for most in (27e6, 26e6)] == [24e6, 12e6]  # it may be 10 % off
    assert clock_below(find_device("hx8k"), 61.27e6, always).hz == 61.2e6
    with pytest.raises(OptionError, match="icebreaker has no clock that suits its serial line; choose one by"):
        clock_below(BOARD, 39e6, lambda hz: False)


def test_the_first_clock_is_that_of_the_estimate_and_of_the_line() -> None:
    plan, link = make_plan(NETWORK), link_of(NETWORK)
    fmax_hz = 1e6 * estimate(plan, device="up5k", link=link).fmax_mhz
    free = aimed_clock(BOARD, CompileOptions(fastest=True), plan, link)
    assert 0.9 * fmax_hz < free.hz <= fmax_hz
    default = aimed_clock(BOARD, CompileOptions(), plan, link)
    assert 0.9 * AIMED * fmax_hz < default.hz <= AIMED * fmax_hz
    bound = aimed_clock(BOARD, CompileOptions(baud=3_000_000), plan, link)
    assert bound.hz <= default.hz and clocks_per_bit(bound.hz, 3_000_000) > 4


def test_a_clock_follows_where_there_is_a_pll_and_nobody_wants_another() -> None:
    def follows(target: str = "icebreaker", **options: Any) -> bool:
        return follows_fmax(find_board(target), CompileOptions(**options))

    assert has_pll(BOARD) and follows() and follows("ulx3s-25f") and follows("ecpix5-45f")
    assert not has_pll(find_board("upduino")) and not follows("upduino")  # its oscillator has a divider
    assert not has_pll(find_device("up5k")) and not follows_fmax(find_device("up5k"), CompileOptions())
    assert not any(follows(**options) for options in ({"clock_mhz": 12.0}, {"own_clock": True}, {"verilog_only": True}))
    assert not follows(minimise="luts") and not follows(minimise="brams")
    assert follows(minimise="luts", latency_us=1.0) and follows(minimise="latency")
    assert follows("upduino", fastest=True, minimise="luts")  # asked for


def test_a_folding_that_must_be_in_time_is_weighed_at_the_clock_that_it_will_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def choose(network: Any, family: Any, purpose: Any, *about: Any, **others: Any) -> Any:
        asked.append((purpose.clock_hz, purpose.share))

    monkeypatch.setattr("spikeloom.compiler.flow.folding.choose_folding", choose)
    for options in ({}, {"fastest": True}, {"own_clock": True}):
        chosen = CompileOptions(minimise="latency", **options)
        with_chosen_folding(NETWORK, BOARD, chosen, link_of(NETWORK), None)
    assert asked == [(270e6, AIMED), (270e6, 1.0), (12e6, 1.0)]


OWN = plan_clock(BOARD)


def settled(
    bears: list[float], *, fastest: bool = True, aim: float = 30e6, too_large_above: float = 1e9
) -> tuple[list[float], Paced | None]:
    """The clocks that are tried, in MHz, where 30 are aimed at and the builds reach so many in turn, and what is
    built in the end. What is brought back from aside is tried again, so to speak, as a negative clock."""
    tried: list[float] = []

    def keep() -> Callable[[], None]:
        last = tried[-1]
        return lambda: tried.append(-last)

    def build(clock: ClockPlan) -> BuildResult:
        fmax = bears[min(len(tried), len(bears) - 1)]
        tried.append(round(clock.hz / 1e6, 3))
        if clock.hz > too_large_above:
            raise CapacityError("some cells too many")
        if fmax < clock.hz / 1e6:
            raise TimingError("too slow", fmax_mhz=fmax)
        timing = Timing(constraint_mhz=tried[-1], fmax_mhz=fmax, critical_path=())
        return BuildResult(
            bitstream=Path("top.bin"),
            clock_hz=clock.hz,
            utilisation=None,  # type: ignore[arg-type]
            timing=timing,
            files=(),
            tools=(),
        )

    try:
        return tried, built_near_fmax(BOARD, CompileOptions(fastest=fastest), plan_clock(BOARD, aim), build, keep)
    except TimingError:
        return tried, None


def test_a_clock_that_is_near_what_was_placed_stays() -> None:
    tried, paced = settled([33.0])
    assert tried == [30.0] and paced is not None
    assert paced.choice == "as asked near its Fmax: 91% of it, in build 1"


@pytest.mark.parametrize("bears", [40.0, 25.0])
def test_the_second_build_has_the_clock_that_the_first_bears(bears: float) -> None:
    tried, paced = settled([bears])
    assert tried == [30.0, clock_below(BOARD, BELOW * bears * 1e6, always).hz / 1e6] and paced is not None
    assert paced.clock.hz >= NEAR * bears * 1e6 and paced.clock.pll is not None


def test_what_was_reached_once_comes_back() -> None:
    """A faster one after the first was missed each time."""
    for bears, builds in (([40.0, 30.5, 40.0], 2), ([40.0, 37.0, 34.0, 40.0], FASTEST_TRIES)):
        tried, paced = settled(bears)
        assert tried[0] == -tried[-1] == 30.0 and len(tried) == builds + 1 and paced is not None
        assert paced.clock.hz == 30e6 and paced.built.clock_hz == 30e6
        assert paced.choice == f"as asked near its Fmax: 75% of it, in build 1 of {builds}"


def test_files_that_were_put_aside_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "build"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "a.log").write_text("first")
    with aside(folder) as keep:
        restore = keep()
        (folder / "logs" / "a.log").write_text("second")
        (folder / "logs" / "b.log").write_text("of the second")
        (folder / "top.bit").write_text("of the second")
        restore()
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["a.log"]
    assert (folder / "logs" / "a.log").read_text() == "first"


def test_where_no_clock_is_reached_the_boards_own_has_the_last_build() -> None:
    tried, paced = settled([29.0, 27.0, 25.0, 24.0])
    assert tried[-1] == 12.0 and paced is not None and paced.clock == OWN
    assert settled([29.0, 27.0, 25.0, 11.0])[1] is None


def test_by_default_the_first_build_that_reaches_its_clock_stays_where_that_is_not_far_from_its_fmax() -> None:
    tried, paced = settled([37.5], fastest=False)
    assert tried == [30.0] and paced is not None and paced.clock.hz == 30e6
    said = "near its Fmax by the board's PLL: 80% of it, in build 1 (--clock-mhz board: 12 MHz)"
    assert paced.choice == said


def test_by_default_a_clock_that_is_far_from_what_was_placed_follows_it() -> None:
    faster = clock_below(BOARD, AIMED * 50e6, always).hz / 1e6
    tried, paced = settled([50.0, 46.0], fastest=False)
    assert tried == [30.0, faster] and paced is not None and paced.clock.hz == 1e6 * faster
    assert "98% of it, in build 2 (" in paced.choice
    tried, paced = settled([50.0, 44.0], fastest=False)
    assert tried == [30.0, faster, -30.0] and paced is not None and paced.clock.hz == 30e6
    assert "60% of it, in build 1 of 2 (" in paced.choice
    assert settled([50.0], fastest=False, too_large_above=30e6)[0] == [30.0, faster, -30.0]


def test_by_default_a_clock_that_was_missed_follows_what_was_placed() -> None:
    tried, paced = settled([27.0], fastest=False)
    assert tried == [30.0, clock_below(BOARD, BELOW * 27e6, always).hz / 1e6] and paced is not None
    tried, paced = settled([27.0, 24.0, 20.0], fastest=False)
    assert len(tried) == 3 and tried[-1] == 12.0 and paced is not None and paced.clock == OWN
    assert paced.choice == "the board's own: 60% of its Fmax, in build 3"
    assert settled([27.0, 24.0, 11.0], fastest=False)[1] is None


def test_by_default_a_design_that_bears_no_faster_clock_has_the_boards_own() -> None:
    tried, paced = settled([13.0], fastest=False, aim=12e6)
    assert tried == [12.0] and paced is not None and paced.clock == OWN
    assert paced.choice == "the board's own: 92% of its Fmax, in build 1"
    assert settled([11.0], fastest=False, aim=12e6) == ([12.0], None)


def test_a_design_that_a_faster_clock_makes_too_large_has_the_boards_own() -> None:
    tried, paced = settled([60.0], fastest=False, too_large_above=12e6)
    assert tried == [30.0, 12.0] and paced is not None and paced.clock == OWN
    for fastest, most in ((True, 12e6), (False, 1e6)):
        with pytest.raises(CapacityError):
            settled([60.0], fastest=fastest, too_large_above=most)


def test_bare_verilog_and_an_unknown_device_have_no_fastest_clock(tmp_path: Path, capsys: Any) -> None:
    write_nir(NETWORK, tmp_path / "net.nir")
    argv = [str(tmp_path / "net.nir"), "--clock-mhz", "max"]
    assert main(["compile", *argv, "--emit", "verilog", "--output", str(tmp_path / "b")]) == 2
    assert "--clock-mhz max is for a bitstream: bare Verilog has no placement; leave it out" in capsys.readouterr().err
    assert main(["estimate", *argv]) == 2
    assert "the fastest clock is that of a device: none is given" in capsys.readouterr().err
    assert main(["estimate", *argv, "--board", "icebreaker", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert 0.9 * told["fmax_mhz"] < told["clock_mhz"] <= told["fmax_mhz"]
    assert main(["estimate", argv[0], "--board", "icebreaker", "--json"]) == 0
    assert 12.0 < json.loads(capsys.readouterr().out)["clock_mhz"] <= AIMED * told["fmax_mhz"]
    assert main(["estimate", *argv[:-1], "board", "--board", "icebreaker", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clock_mhz"] == 12.0
    assert main(["estimate", *argv[:-1], "fast"]) == 2
    assert "must be a number: 'fast'; or say max or board" in capsys.readouterr().err


@pytest.mark.slow
def test_a_build_runs_near_its_fmax_and_its_line_follows(tmp_path: Path) -> None:
    write_nir(NETWORK, tmp_path / "net.nir")
    np.savez(tmp_path / "samples.npz", spikes=random_spikes(1, NETWORK, samples=1))
    argv = ["compile", str(tmp_path / "net.nir"), "--board", "icebreaker", "--clock-mhz", "max"]
    assert main([*argv, "--output", str(tmp_path / "b")]) == 0
    build = load_build_folder(tmp_path / "b")
    timing, facts = build.report()["timing"], read_facts(tmp_path / "b")
    assert timing["met"] and timing["clock_mhz"] >= 0.8 * timing["fmax_mhz"]
    assert re.fullmatch(r"as asked near its Fmax: \d+% of it, in build \d( of \d)?", timing["clock_choice"])
    assert build.options["fastest"] and build.options["clock_mhz"] * 1e6 == pytest.approx(facts.clock_hz)
    pll = plan_clock(BOARD, facts.clock_hz).pll
    assert pll is not None
    text = (tmp_path / "b" / "top.v").read_text()
    assert re.search(rf"\.DIVF\(7'h0*{pll.divf:x}\)", text)  # type: ignore[union-attr]
    assert facts.clock_hz / facts.clocks_per_bit == pytest.approx(facts.baud, rel=0.02)
    data = ["--data", str(tmp_path / "samples.npz"), "--limit", "1"]
    assert main(["regress", str(tmp_path / "b"), *data, "--level", "pins"]) == 0

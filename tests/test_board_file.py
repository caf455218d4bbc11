"""Boards that a file describes: those that come along, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest
from networks import chain
from spikeloom.boards import boards
from spikeloom.boards.board_file import read_board_file
from spikeloom.boards.boards import add_board, find_board
from spikeloom.boards.clock import clocks_per_bit, fastest_baud, plan_clock
from spikeloom.boards.top import BoardTop
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.plan.host_link import link_of
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import OptionError
from spikeloom.hdl.link.linked_core import LinkedCore

FILES = Path(boards.__file__).parent / "files"
NETWORK = chain(6, (12, 9, 6), fire=14, sub=15)

CONSTRAINTS = {
    "icesugar-nano": {"clk_0__io": "D1", "uart_0__rx__io": "A3", "uart_0__tx__io": "B3", "led_0__io": "B6"},
    "tinyfpga-bx": {"clk_0__io": "B2", "uart_0__rx__io": "A2", "uart_0__tx__io": "A1", "led_0__io": "B3"},
    "colorlight-i5": {"clk_0__io": "P3", "uart_0__rx__io": "H18", "uart_0__tx__io": "J17", "led_0__io": "U16"},
}


@pytest.fixture(autouse=True)
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test tells of boards is forgotten."""
    monkeypatch.setattr(boards, "_DESCRIBED", {})


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_the_files_that_come_along_describe_boards(name: str) -> None:
    board = read_board_file(FILES / f"{name}.toml")
    add_board(board)
    assert find_board(name.upper()) is board and board.loaders
    clock = plan_clock(board)
    plan = make_plan(NETWORK, board.device.family)
    core = LinkedCore(
        plan.core(), link_of(NETWORK), clocks_per_bit(clock.hz, fastest_baud(board, clock.hz)), plan.family
    )
    platform = board.create_platform()
    files = platform.prepare(BoardTop(core, board, clock), "top", emit_src=False).files
    on_ice40 = board.device.family.value == "ice40"
    for port, pin in CONSTRAINTS[name].items():
        line = f"set_io {port} {pin}\n" if on_ice40 else f'LOCATE COMP "{port}" SITE "{pin}";'
        assert line in files["top.pcf" if on_ice40 else "top.lpf"]
    assert board.nextpnr_package(platform) in ("cm36", "cm81", "CABGA381")


def test_a_file_may_have_pins_for_a_microcontroller(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(f'{TEXT}\n[spi]\ncs_n = "E1"\ncopi = "E2"\ncipo = "E3"\nsck = "F1"\n')
    board = read_board_file(tmp_path / "my.toml")
    plan = make_plan(NETWORK, board.device.family)
    core = LinkedCore(plan.core(), link_of(NETWORK), None, plan.family)
    files = board.create_platform().prepare(BoardTop(core, board, plan_clock(board)), "top", emit_src=False).files
    pins = {"cs_n": "E1", "copi": "E2", "cipo": "E3", "sck": "F1"}
    assert all(f"set_io host_spi_0__{name}__io {pin}\n" in files["top.pcf"] for name, pin in pins.items())
    assert "uart" not in files["top.pcf"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_bitstreams_are_built_for_them(name: str, tmp_path: Path) -> None:
    write_nir(NETWORK, tmp_path / "n.nir")
    argv = ["compile", tmp_path / "n.nir", "--board-file", FILES / f"{name}.toml", "--output", tmp_path / "out"]
    assert main(list(map(str, argv))) == 0
    assert (tmp_path / "out" / ("top.bit" if name == "colorlight-i5" else "top.bin")).stat().st_size


TEXT = (FILES / "icesugar-nano.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id = ", "a board file is TOML: .* is not"),
        (TEXT.replace('pin = "D1"', ""), r"a board file must hold clock\.pin: .* does not; see docs/boards.md"),
        (TEXT.replace("mhz = 12", 'mhz = "12"'), r'a board file must hold .*number as clock\.mhz: .* has "12"'),
        (TEXT.replace("[led]", "[light]"), "a board file has no light: .* does; see docs/boards.md"),
        (TEXT.replace('pin = "B6"', 'pin = "B6"\npins = 1'), r"a board file has no led\.pins: "),
        (TEXT.replace('"B6"', r'"B6\nset_io x A1"'), "a pin, a package or a speed is letters and digits: "),
        (TEXT.replace('"B6"', '"A3"'), "a pin has one purpose: .* names one of D1, A3, B3, A3 twice"),
        (TEXT.replace('id = "icesugar-nano"', 'id = "../x"'), "a board's id is a word of small letters"),
        (TEXT.replace('"lp1k"', '"lp2k"'), "an unknown device: 'lp2k'; did you mean"),
        (TEXT.replace('"{file}"', '"top.bin"'), "a loader's arguments hold {file}: .* has 'icesprog' without"),
        (TEXT.replace('"icesprog"', '"rm -rf"'), "a loader's tool is a program's name: .* has 'rm -rf'"),
        (TEXT.replace("baud = 115_200", "baud = 7"), "a board has a clock up to 1000 MHz and 300 to 12,000,000 baud"),
    ],
)
def test_a_file_that_describes_no_board_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "board.toml").write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=f"^{message}"):
        read_board_file(tmp_path / "board.toml")


def test_an_id_that_is_taken_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nir(NETWORK, tmp_path / "n.nir")
    (tmp_path / "board.toml").write_text(TEXT.replace('id = "icesugar-nano"', 'id = "icestick"'), encoding="utf-8")
    assert main(["estimate", str(tmp_path / "n.nir"), "--board-file", str(tmp_path / "board.toml")]) == 2
    assert "a board's id is its own: 'icestick' is Lattice iCEstick; give it another" in capsys.readouterr().err


def test_an_estimate_is_for_a_board_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nir(NETWORK, tmp_path / "n.nir")
    assert main(["estimate", str(tmp_path / "n.nir"), "--board-file", str(FILES / "tinyfpga-bx.toml")]) == 0
    assert "7,680" in capsys.readouterr().out

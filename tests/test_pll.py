"""PLL settings against the tools of Project IceStorm and Project Trellis."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from amaranth import Const, Signal
from spikeloom.boards.pll import TOLERANCE, Ecp5Pll, Ice40Pll, find_pll
from spikeloom.hdl.emit.tools import find_tool, run_tool
from spikeloom.hdl.errors import OptionError
from spikeloom.hdl.memories.memory import Family


def ask(tool: str, input_mhz: float, output_mhz: float, folder: Path) -> str:
    log = folder / "log"
    run_tool([*find_tool(tool), "-i", str(input_mhz), "-o", str(output_mhz)], cwd=folder, log=log)
    return log.read_text()


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found.group(1))


@pytest.mark.parametrize(
    ("input_mhz", "output_mhz"), [(12, 24), (12, 20), (12, 48.2), (25, 33.3), (100, 50), (12, 250)]
)
def test_ice40_settings_are_as_good_as_icepll(input_mhz: float, output_mhz: float, tmp_path: Path) -> None:
    theirs = ask("icepll", input_mhz, output_mhz, tmp_path)
    ours = find_pll(Family.ICE40, input_mhz * 1e6, output_mhz * 1e6)
    assert isinstance(ours, Ice40Pll)
    assert ours.output_hz / 1e6 == pytest.approx(number(r"F_PLLOUT:\s*(\S+) MHz \(achieved\)", theirs), abs=0.001)
    same = Ice40Pll(
        input_hz=input_mhz * 1e6,
        divr=int(number(r"DIVR:\s*(\d+)", theirs)),
        divf=int(number(r"DIVF:\s*(\d+)", theirs)),
        divq=int(number(r"DIVQ:\s*(\d+)", theirs)),
    )
    assert same.output_hz == pytest.approx(ours.output_hz)
    assert same.filter_range == number(r"FILTER_RANGE:\s*(\d+)", theirs)


@pytest.mark.parametrize(
    ("input_mhz", "output_mhz"), [(25, 60), (100, 50), (48, 60), (12, 60), (25, 133.3), (100, 400)]
)
def test_ecp5_settings_are_as_good_as_ecppll(input_mhz: float, output_mhz: float, tmp_path: Path) -> None:
    theirs = ask("ecppll", input_mhz, output_mhz, tmp_path)
    ours = find_pll(Family.ECP5, input_mhz * 1e6, output_mhz * 1e6)
    assert isinstance(ours, Ecp5Pll)
    error = abs(number(r"clkout0 frequency: (\S+) MHz", theirs) - output_mhz)
    assert abs(ours.output_hz / 1e6 - output_mhz) <= error + 0.001
    assert 400e6 <= ours.vco_hz <= 800e6


@pytest.mark.parametrize(
    ("family", "input_hz", "output_hz", "message"),
    [
        (Family.ICE40, 12e6, 10e6, r"iCE40 PLL cannot make 10 MHz from 12 MHz; ask for 16.125 MHz, the nearest"),
        (Family.ICE40, 12e6, 400e6, r"cannot make 400 MHz from 12 MHz; ask for 270 MHz, the nearest"),
        (Family.ICE40, 4e6, 24e6, r"iCE40 PLL takes 10 to 133 MHz, not 4 MHz"),
        (Family.ECP5, 25e6, 900e6, r"ECP5 PLL cannot make 900 MHz from 25 MHz; ask for 400 MHz, the nearest"),
        (Family.ECP5, 1e6, 50e6, r"ECP5 PLL takes 8 to 400 MHz, not 1 MHz"),
        (Family.ECP5, 12e6, 33.3e6, r"cannot make 33\.3 MHz from 12 MHz; ask for 32 MHz, the nearest"),
    ],
)
def test_what_no_pll_can_make(family: Family, input_hz: float, output_hz: float, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        find_pll(family, input_hz, output_hz)


def test_the_pad_primitive_is_for_ports() -> None:
    pll = find_pll(Family.ICE40, 12e6, 24e6)
    assert isinstance(pll, Ice40Pll)
    assert pll.create(Signal(), Signal(), Signal()).type == "SB_PLL40_CORE"


@pytest.mark.parametrize("output_hz", [20e6, 33e6, 50e6, 60e6, 100e6])
@pytest.mark.parametrize("family", list(Family))
def test_the_primitive_is_set_to_the_frequency(family: Family, output_hz: float) -> None:
    """By the formulas of the data sheets, from the parameters that the tools get."""
    pll = find_pll(family, 25e6, output_hz)
    primitive = pll.create(Signal(), Signal(), Signal())
    told = {name: Const.cast(value).value for name, value in primitive.parameters.items() if not isinstance(value, str)}
    if family is Family.ICE40:
        vco_hz = 25e6 / (told["DIVR"] + 1) * (told["DIVF"] + 1)
        got_hz = vco_hz / 2 ** told["DIVQ"]
        assert 533e6 <= vco_hz <= 1066e6
    else:
        got_hz = 25e6 / told["CLKI_DIV"] * told["CLKFB_DIV"]
        assert 400e6 <= got_hz * told["CLKOP_DIV"] <= 800e6
    assert got_hz == pytest.approx(pll.output_hz) == pytest.approx(output_hz, rel=TOLERANCE)

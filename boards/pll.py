"""Settings of the phase-locked loops: from a board's clock to the frequency that a design wants.

The ranges are those of the data sheets as Project IceStorm's `icepll` and Project Trellis's `ecppll` use them, and the
results agree with theirs (tests/test_pll.py). Frequencies are in hertz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from amaranth import Const, Instance, Signal
from amaranth.hdl import IOPort

from ..hdl.errors import OptionError
from ..hdl.memories.memory import Family

TOLERANCE = 0.02
"""How far from the wanted frequency, relatively, a PLL's frequency may lie."""


@dataclass(frozen=True, kw_only=True)
class Ice40Pll:
    """An iCE40 PLL with simple feedback: output = input / (divr + 1) * (divf + 1) / 2**divq."""

    input_hz: float
    divr: int
    divf: int
    divq: int

    @property
    def pfd_hz(self) -> float:
        """The frequency at the phase detector."""
        return self.input_hz / (self.divr + 1)

    @property
    def vco_hz(self) -> float:
        """The frequency of the oscillator."""
        return self.pfd_hz * (self.divf + 1)

    @property
    def output_hz(self) -> float:
        """The frequency that comes out."""
        return self.vco_hz / 2**self.divq

    @property
    def filter_range(self) -> int:
        """The loop filter's setting, by the frequency at the phase detector."""
        return 1 + sum(self.pfd_hz >= limit for limit in (17e6, 26e6, 44e6, 66e6, 101e6))

    def create(self, source: Signal | IOPort, output: Signal, locked: Signal) -> Instance:
        """The primitive; `source` is a signal, or the port itself where the clock enters at the PLL's own pad."""
        pad = isinstance(source, IOPort)
        return Instance(
            "SB_PLL40_PAD" if pad else "SB_PLL40_CORE",
            ("io" if pad else "i", "PACKAGEPIN" if pad else "REFERENCECLK", source),
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(self.divr, 4),
            p_DIVF=Const(self.divf, 7),
            p_DIVQ=Const(self.divq, 3),
            p_FILTER_RANGE=Const(self.filter_range, 3),
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=output,
            o_LOCK=locked,
        )


@dataclass(frozen=True, kw_only=True)
class Ecp5Pll:
    """An ECP5 PLL that is fed back from its output: output = input / clki_div * clkfb_div."""

    input_hz: float
    clki_div: int
    clkfb_div: int
    clkop_div: int

    @property
    def output_hz(self) -> float:
        """The frequency that comes out."""
        return self.input_hz / self.clki_div * self.clkfb_div

    @property
    def vco_hz(self) -> float:
        """The frequency of the oscillator."""
        return self.output_hz * self.clkop_div

    def create(self, source: Signal, output: Signal, locked: Signal) -> Instance:
        """The primitive."""
        return Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{self.input_hz / 1e6:g}",
            a_FREQUENCY_PIN_CLKOP=f"{self.output_hz / 1e6:g}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC",
            p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=self.clki_div,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=self.clkop_div,
            p_CLKOP_CPHASE=self.clkop_div // 2,
            p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            p_CLKFB_DIV=self.clkfb_div,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_CLKI=source,
            i_CLKFB=output,
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=output,
            o_LOCK=locked,
        )


Pll = Ice40Pll | Ecp5Pll


def find_pll(family: Family, input_hz: float, output_hz: float) -> Pll:
    """The settings whose output lies nearest to `output_hz`.

    Raises `OptionError` when the PLL does not take the input, or misses the output by more than `TOLERANCE`.
    """
    name, lowest_hz, highest_hz, settings = _PLLS[family]
    if not lowest_hz <= input_hz <= highest_hz:
        raise OptionError(
            f"an {name} PLL takes {lowest_hz / 1e6:g} to {highest_hz / 1e6:g} MHz, not {input_hz / 1e6:g} MHz; "
            "use that clock as it is"
        )
    best = min(settings(input_hz), key=lambda pll: (abs(pll.output_hz - output_hz), abs(pll.vco_hz - 600e6)))
    if abs(best.output_hz - output_hz) > TOLERANCE * output_hz:
        raise OptionError(
            f"an {name} PLL cannot make {output_hz / 1e6:g} MHz from {input_hz / 1e6:g} MHz; "
            f"ask for {best.output_hz / 1e6:.6g} MHz, the nearest"
        )
    return best


def pll_outputs(family: Family, input_hz: float) -> list[float]:
    """The frequencies that a family's PLL can make of an input, none where it does not take it, the slowest first."""
    _, lowest_hz, highest_hz, settings = _PLLS[family]
    return sorted({pll.output_hz for pll in settings(input_hz)}) if lowest_hz <= input_hz <= highest_hz else []


def _ice40_settings(input_hz: float) -> Iterator[Ice40Pll]:
    """All valid settings: phase detector 10 to 133 MHz, oscillator 533 to 1066 MHz, output 16 to 275 MHz."""
    for divr in range(16):
        if not 10e6 <= input_hz / (divr + 1) <= 133e6:
            continue
        for divf in range(128):
            for divq in range(1, 7):
                pll = Ice40Pll(input_hz=input_hz, divr=divr, divf=divf, divq=divq)
                if 533e6 <= pll.vco_hz <= 1066e6 and 16e6 <= pll.output_hz <= 275e6:
                    yield pll


def _ecp5_settings(input_hz: float) -> Iterator[Ecp5Pll]:
    """All valid settings: phase detector from 3.125 MHz, oscillator 400 to 800 MHz, output 10 to 400 MHz."""
    for clki_div in range(1, 129):
        pfd_hz = input_hz / clki_div
        if pfd_hz < 3.125e6:
            break
        for clkfb_div in range(1, 81):
            output_hz = pfd_hz * clkfb_div
            if not 10e6 <= output_hz <= 400e6:
                continue
            for clkop_div in range(max(1, round(400e6 / output_hz)), min(128, round(800e6 / output_hz)) + 1):
                pll = Ecp5Pll(input_hz=input_hz, clki_div=clki_div, clkfb_div=clkfb_div, clkop_div=clkop_div)
                if 400e6 <= pll.vco_hz <= 800e6:
                    yield pll


# The family's name, its range of inputs, and its settings.
_PLLS: dict[Family, tuple[str, float, float, Callable[[float], Iterator[Pll]]]] = {
    Family.ICE40: ("iCE40", 10e6, 133e6, _ice40_settings),
    Family.ECP5: ("ECP5", 8e6, 400e6, _ecp5_settings),
}

"""The lines of the hardware's table: goals, what others reached, and figures in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Figures = dict[str, float]

STEPS_OF_AN_IMAGE = 25


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure and its limit: at most so much, or at least."""

    figure: str
    limit: float
    at_least: bool = False

    def met(self, figures: Mapping[str, float]) -> bool | None:
        """None where it was not measured."""
        if self.figure not in figures:
            return None
        value = figures[self.figure]
        return value >= self.limit if self.at_least else value <= self.limit

    def missed_by(self, figures: Mapping[str, float]) -> float:
        """How far, relative to the limit; 0 where it is met."""
        distance = figures[self.figure] - self.limit
        return max(0.0, (-distance if self.at_least else distance) / self.limit)


NAMES = {
    "lcs": "LC",
    "comb": "COMB",
    "luts": "LUT4",
    "ffs": "FF",
    "brams": "block RAMs",
    "dp16kd": "DP16KD",
    "kbit": "kbit of block RAM",
    "spram": "SPRAM",
    "fmax_mhz": "MHz",
    "core_lcs": "LC (core)",
    "cycles_per_step": "cycles per step",
    "us_per_step": "us per step",
    "us_per_image": "us per image",
    "accuracy": "% accuracy",
    "seconds": "s",
    "cpu_seconds": "s of processor time",
    "ratio": "of the bound",
    "events_per_step": "input events per step",
    "synapses": "synapses",
}
"""How figures are called in the table, and their order."""


@dataclass(frozen=True)
class Row:
    """One line of the table: how it is measured, what for, and what others reached."""

    id: str
    title: str
    goals: tuple[Goal, ...] = ()
    rival: str = "-"


@dataclass(frozen=True)
class Result:
    """What became of a row: figures by name and remarks on how, or why there are none; and the sources' commit."""

    figures: Figures
    remarks: tuple[str, ...] = ()
    missing: str = ""
    commit: str = ""

    @property
    def measured(self) -> bool:
        return not self.missing


@dataclass(frozen=True)
class Rival:
    """Others' work in the plot, quoted; latency in microseconds per image of 25 steps, or as published.

    `comb` are all logic cells of an ECP5, where they are known, and `source` says whose figures they are.
    """

    name: str
    luts: float
    us_per_image: float
    source: str
    comb: float | None = None


SPIKER = "Spiker+ (quoted, dense) 7,808 LUT4 (11,854 COMB), 31 DP16KD, 924 cycles per step at 46 MHz"
SPIKER_SMALL = "Spiker+ (quoted, dense) 3,027 LC, 11 block RAMs, 69 MHz, 103 cycles per step"
SYNTZULU = "SYNtzulu (quoted, SoC) 3,467 LC, 2,400 cycles per step"

RIVALS = (
    Rival("Spiker+ 784-128-10", 7808, 924 / 46 * STEPS_OF_AN_IMAGE, "its sources through the same tools", comb=11854),
    Rival("Flexi-NeurA 256-128-10 (Xilinx)", 1623, 1100, "as published"),
)
"""Neither's sources are here, so that no command of ours makes these figures again: quoted, all of them."""

ROWS = (
    Row(
        "icestick",
        "MNIST 784-128-10, whole design with host link, iCEstick (iCE40HX1K)",
        (
            Goal(figure="lcs", limit=1100),
            Goal(figure="brams", limit=16),
            Goal(figure="core_lcs", limit=400),
            Goal(figure="accuracy", limit=97.0, at_least=True),
        ),
        "none known that fits",
    ),
    Row(
        "ecp5",
        "MNIST 784-128-10, core, smallest fold, ECP5-25k",
        (Goal(figure="luts", limit=500), Goal(figure="dp16kd", limit=6)),
        SPIKER,
    ),
    Row(
        "fast",
        "MNIST 784-128-10, core, smallest fold with registers on its way, ECP5-25k",
        (
            Goal(figure="luts", limit=310),
            Goal(figure="dp16kd", limit=6),
            Goal(figure="fmax_mhz", limit=110, at_least=True),
        ),
        SPIKER,
    ),
    Row(
        "queued",
        "MNIST 784-128-10, core, an engine per layer with a queue between them, ECP5-25k",
        (
            Goal(figure="cycles_per_step", limit=708),
            Goal(figure="dp16kd", limit=12),
        ),
        SPIKER,
    ),
    Row(
        "queued4",
        "MNIST 784-128-10, core, four lanes, a queue and one lane, ECP5-25k",
        (Goal(figure="cycles_per_step", limit=236),),
        SPIKER,
    ),
    Row(
        "queued8",
        "MNIST 784-128-10, core, eight lanes and two, with queues, ECP5-25k",
        (Goal(figure="cycles_per_step", limit=155),),
        SPIKER,
    ),
    Row(
        "slotted2",
        "MNIST 784-128-10, core, words of two synapses, ECP5-25k",
        (
            Goal(figure="luts", limit=500),
            Goal(figure="cycles_per_step", limit=340),
            Goal(figure="dp16kd", limit=12),
            Goal(figure="fmax_mhz", limit=100, at_least=True),
        ),
        SPIKER,
    ),
    Row(
        "slotted4",
        "MNIST 784-128-10, core, words of four synapses, ECP5-25k",
        (
            Goal(figure="luts", limit=640),
            Goal(figure="cycles_per_step", limit=230),
            Goal(figure="dp16kd", limit=12),
            Goal(figure="fmax_mhz", limit=100, at_least=True),
        ),
        SPIKER,
    ),
    Row(
        "slotted8",
        "MNIST 784-128-10, core, words of eight synapses, ECP5-25k",
        (
            Goal(figure="luts", limit=850),
            Goal(figure="cycles_per_step", limit=165),
            Goal(figure="us_per_step", limit=1.5),
            Goal(figure="dp16kd", limit=12),
            Goal(figure="fmax_mhz", limit=100, at_least=True),
        ),
        SPIKER,
    ),
    Row(
        "slotted8-2",
        "MNIST 784-128-10, core, words of eight synapses, a pass of two neurons per cycle, ECP5-25k",
        (
            Goal(figure="luts", limit=1000),
            Goal(figure="us_per_step", limit=1),
            Goal(figure="fmax_mhz", limit=100, at_least=True),
        ),
        SPIKER,
    ),
    Row(
        "slotted16-2",
        "MNIST 784-128-10, core, words of sixteen synapses, a pass of two neurons per cycle, ECP5-25k",
        (Goal(figure="us_per_step", limit=1),),
        SPIKER,
    ),
    Row(
        "vector2",
        "MNIST 784-128-10, core, two events per beat, ECP5-25k",
        (
            Goal(figure="cycles_per_step", limit=64),
            Goal(figure="us_per_step", limit=1.2),
            Goal(figure="us_per_image", limit=30),
            Goal(figure="luts", limit=5000),
            Goal(figure="dp16kd", limit=48),
        ),
        SPIKER,
    ),
    Row(
        "vector3",
        "MNIST 784-128-10, core, three events per beat, ECP5-25k",
        (
            Goal(figure="cycles_per_step", limit=40),
            Goal(figure="us_per_image", limit=30),
            Goal(figure="luts", limit=5000),
            Goal(figure="dp16kd", limit=48),
        ),
        SPIKER,
    ),
    Row(
        "hx8k-small",
        "64-32-10, 90 % sparse, core, smallest fold, iCE40HX8K",
        (
            Goal(figure="lcs", limit=400),
            Goal(figure="brams", limit=4),
            Goal(figure="cycles_per_step", limit=110),
            Goal(figure="fmax_mhz", limit=90, at_least=True),
        ),
        SPIKER_SMALL,
    ),
    Row(
        "hx8k-fast",
        "64-32-10, 90 % sparse, core, fast fold, iCE40HX8K",
        (
            Goal(figure="lcs", limit=900),
            Goal(figure="brams", limit=8),
            Goal(figure="cycles_per_step", limit=40),
            Goal(figure="fmax_mhz", limit=90, at_least=True),
        ),
        SPIKER_SMALL,
    ),
    Row(
        "up5k-pruned",
        "32-64-128-64-12, 8 bits, 80 % pruned, core without SPRAM, iCE40UP5K",
        (Goal(figure="lcs", limit=600), Goal(figure="brams", limit=30), Goal(figure="spram", limit=0)),
        SYNTZULU,
    ),
    Row(
        "up5k-dense",
        "32-64-128-64-12, 8 bits, dense, whole design, weights from flash in SPRAM, iCEBreaker (iCE40UP5K)",
        (Goal(figure="lcs", limit=5280), Goal(figure="brams", limit=30), Goal(figure="spram", limit=4)),
        SYNTZULU,
    ),
    Row(
        "mnist16",
        "MNIST 16 x 16 images 256-128-10, core, an engine per layer, ECP5-25k",
        (
            Goal(figure="luts", limit=450),
            Goal(figure="kbit", limit=64),
            Goal(figure="us_per_image", limit=200),
            Goal(figure="accuracy", limit=97.5, at_least=True),
        ),
        "Flexi-NeurA (quoted, Xilinx) 1,623 cells, 252 kbit, 1.1 ms, 97.2 %",
    ),
    Row(
        "nmnist",
        "N-MNIST 2312-512-10, core, words of four synapses, a pass of two neurons per cycle, ECP5-25k",
        (Goal(figure="cycles_per_step", limit=400),),
    ),
    Row(
        "nmnist-up5k",
        "N-MNIST 2312-512-10, whole design with host link, weights from flash in SPRAM, iCEBreaker (iCE40UP5K)",
        (Goal(figure="lcs", limit=1000),),
    ),
    Row(
        "compile",
        "784-128-10 for an iCE40UP5K, from .nir to bitstream and report, warm tools",
        (Goal(figure="cpu_seconds", limit=60),),
    ),
    Row(
        "stored",
        "bits stored, layers of over 2,000 synapses, one lane",
        (Goal(figure="ratio", limit=1.25),),
        "full pointers 1.36 to 1.47 (quoted)",
    ),
)


def number(value: float) -> str:
    """As many digits as tell something."""
    if value == round(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 20 else f"{value:.2f}"


def shown(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{number(figures[name])} {label}" for name, label in NAMES.items() if name in figures)


def verdict(goal: Goal, figures: Mapping[str, float]) -> str:
    """One goal and whether it is met."""
    sign = ">=" if goal.at_least else "<="
    text = f"{NAMES[goal.figure]} {sign} {number(goal.limit)}"
    met = goal.met(figures)
    if met is None:
        return f"{text}: not measured"
    if met:
        return f"{text}: met ({number(figures[goal.figure])})"
    return f"{text}: **missed** by {goal.missed_by(figures):.1%} ({number(figures[goal.figure])})"

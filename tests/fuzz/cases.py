"""Whole cases: a network, a folding of it, a stimulus; drawn at random or kept from a failure."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from .foldings import foldings
from .networks import networks
from .oracle import Data
from .stimuli import stimuli

FORMAT = 1
KEPT = Path(__file__).parent / "kept"
"""Where failures are kept, shrunk, one JSON file each; the tests run them all."""


@st.composite
def cases(draw: st.DrawFn, *, uniform: bool = False) -> Data:
    """A network that the hardware has, with everything that it takes to run it."""
    network = draw(networks())
    family = draw(st.sampled_from(("ice40", "ecp5")))
    return {
        "format": FORMAT,
        "family": family,
        "network": network,
        "folding": draw(foldings(network, family)),
        "headroom": draw(st.sampled_from((None, None, None, 0.0, 0.3))),
        "traced": draw(st.booleans()),
        "stimulus": draw(stimuli(network, uniform=uniform)),
    }


def keep(case: Data, name: str) -> Path:
    """Write a case into `KEPT`."""
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"{name}.json"
    file.write_text(json.dumps(case) + "\n", encoding="ascii")
    return file


def kept() -> list[Path]:
    """The files of all that were kept."""
    return sorted(KEPT.glob("*.json"))


def read_case(file: Path) -> Data:
    """A case from its file. Raises ValueError for a format that this program does not know."""
    case: Data = json.loads(file.read_text(encoding="ascii"))
    if case["format"] != FORMAT:
        raise ValueError(f"{file} has format {case['format']}, this program knows {FORMAT}")
    return case

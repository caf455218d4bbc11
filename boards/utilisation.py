"""What a design uses of a device: nextpnr's own figures where it gives them, yosys's where it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..hdl.memories.memory import Family
from ..hdl.resources import Resources

# nextpnr's names in the `utilization` of its report.
_REPORTED: dict[Family, dict[str, str]] = {
    Family.ICE40: {
        "lcs": "ICESTORM_LC",
        "brams": "ICESTORM_RAM",
        "spram": "ICESTORM_SPRAM",
        "dsps": "ICESTORM_DSP",
    },
    Family.ECP5: {"ffs": "TRELLIS_FF", "lcs": "TRELLIS_COMB", "brams": "DP16KD", "dsps": "MULT18X18D"},
}

# nextpnr's figures that only its log holds: the sum of the numbers found.
_LOGGED: dict[Family, dict[str, str]] = {
    Family.ICE40: {
        "luts": r"(\d+) LCs used as LUT4 (?:only|and DFF)$",
        "ffs": r"(\d+) LCs used as (?:LUT4 and DFF|DFF only)$",
    },
    Family.ECP5: {"luts": r"logic LUTs:\s*(\d+)/"},
}

_NEXTPNR = "nextpnr"
_YOSYS = "yosys"


@dataclass(frozen=True, kw_only=True)
class Utilisation:
    """What is used of what there is; `sources` says for each figure whether "nextpnr" or "yosys" counted it."""

    used: Resources
    available: Resources
    sources: Mapping[str, str]


def count_cells(cells: Mapping[str, int]) -> Resources:
    """Resources of a synthesised netlist of either family, from the number of cells of each type.

    `lcs` is a lower bound on iCE40, where nextpnr packs a LUT and a flip-flop into one logic cell when it can.
    """

    def total(pattern: str) -> int:
        return sum(count for name, count in cells.items() if re.fullmatch(pattern, name))

    ice40_luts, ecp5_luts = total("SB_LUT4"), total("LUT4")
    ffs = total("SB_DFF.*|TRELLIS_FF")
    distributed = total("TRELLIS_DPR16X4")
    return Resources(
        luts=ice40_luts + ecp5_luts,
        ffs=ffs,
        lcs=max(ice40_luts, total("SB_CARRY"), total("SB_DFF.*")) + ecp5_luts + 2 * total("CCU2C") + 6 * distributed,
        brams=total("SB_RAM40_4K.*|DP16KD|PDPW16KD"),
        spram=total("SB_SPRAM256KA"),
        dsps=total("SB_MAC16|MULT18X18D"),
    )


def read_utilisation(
    report: Mapping[str, Any], log: str, cells: Mapping[str, int], family: Family, available: Resources
) -> Utilisation:
    """The utilisation of a placed design, from nextpnr's report and log and from yosys's count of `cells`."""
    used = {field.name: getattr(count_cells(cells), field.name) for field in fields(Resources)}
    sources = dict.fromkeys(used, _YOSYS)
    for name, pattern in _LOGGED[family].items():
        numbers = re.findall(pattern, log, re.MULTILINE)
        if numbers:
            used[name], sources[name] = sum(map(int, numbers)), _NEXTPNR
    for name, reported in _REPORTED[family].items():
        # What a device lacks, its report leaves out: an HX1K has no SPRAM.
        used[name], sources[name] = int(report["utilization"].get(reported, {"used": 0})["used"]), _NEXTPNR
    if family is Family.ECP5:
        sources["spram"] = _NEXTPNR
    return Utilisation(used=Resources(**used), available=available, sources=sources)


def read_overflow(log: str, family: Family) -> Resources:
    """What nextpnr's log says that a design needs, be it more than the device has."""
    used = {}
    for name, reported in _REPORTED[family].items():
        found = re.search(rf"{reported}:\s*(\d+)/", log)
        used[name] = int(found.group(1)) if found else 0
    return Resources(**used)

"""What a design costs on a Xilinx Artix-7, as far as open tools tell: yosys's `synth_xilinx`, without placement.

There is no open place-and-route for the 7 series among our tools, so nothing is said of timing and there is no
bitstream. The count is of the design with its host link; memories come shaped for the ECP5, whose blocks of 18 kbit
are as large as half a block RAM of the Artix-7.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..hdl.emit.emit import to_rtlil
from ..hdl.emit.tools import find_tool, read_tool_json, run_tool
from ..hdl.resources import Resources
from .critical_path import TOP
from .top import SerialCore

ARTIX7_CAPACITY = Resources(luts=20_800, ffs=41_600, brams=100, dsps=90)
"""The XC7A35T. `luts` have six inputs, `brams` are RAMB18 (a RAMB36 is two), `lcs` are not counted."""

_LUTS_OF_MEMORY = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM128X1S": 2}
"""LUTs of a distributed memory that takes more than one."""


def synthesise_artix7(core: SerialCore, folder: Path, *, native: bool = False) -> Resources:
    """What `synth_xilinx` makes of a core with its host link.

    Writes `top.il`, `stat.json` and `logs/` into an existing folder. Raises `ToolError` when yosys fails.
    """
    (folder / "top.il").write_text(to_rtlil(core, TOP), encoding="utf-8")
    passes = ["read_rtlil top.il", f"synth_xilinx -family xc7 -flatten -noiopad -top {TOP}"]
    passes.append("tee -q -o stat.json stat -json")
    (folder / "logs").mkdir(exist_ok=True)
    argv = [*find_tool("yosys", native), "-q", "-l", "logs/yosys.log", "-p", "; ".join(passes)]
    log = folder / "logs" / "yosys.console.log"
    run_tool(argv, cwd=folder, log=log, outputs=["stat.json"])
    return count_artix7_cells(read_tool_json(folder / "stat.json", log, "design", "num_cells_by_type"))


def count_artix7_cells(cells: dict[str, int]) -> Resources:
    """Resources of a netlist of 7-series cells, from the number of cells of each type."""

    def total(pattern: str) -> int:
        return sum(count for name, count in cells.items() if re.fullmatch(pattern, name))

    memories = sum(
        _LUTS_OF_MEMORY.get(name, 1) * n for name, n in cells.items() if re.fullmatch(r"RAM\d+(M|X.*)", name)
    )
    return Resources(
        luts=total(r"LUT\d|INV|SRL.*") + memories,
        ffs=total("FD[RSCP]E(_1)?"),
        brams=total("RAMB18E1") + 2 * total("RAMB36E1"),
        dsps=total("DSP48E1"),
    )

"""Whether the Verilog of a build folder says no more than its RTLIL.

A build folder may come from anybody, and a simulator does what Verilog says: it opens files and calls programs. RTLIL,
from which `spikeloom compile` has yosys write that Verilog, is hardware and nothing else.
"""

from __future__ import annotations

from pathlib import Path

from ..compiler.output.build_folder import MAX_OUTPUT_BYTES
from ..hdl.emit.emit import verilog_from_rtlil
from ..hdl.errors import InputError
from ..hdl.files import read_regular
from .verilog_executor import run_folder


def require_own_verilog(folder: Path, name: str) -> None:
    """InputError where `NAME.v` in a build folder is not what yosys makes of `NAME.il`; ToolError where it fails.

    Verilog that is missing is for others to miss.
    """
    rtlil, verilog = folder / f"{name}.il", folder / f"{name}.v"
    if not verilog.exists():
        return
    if not rtlil.exists():
        raise InputError(f"a build folder has a file {rtlil.name}: {rtlil} is missing; compile again")
    theirs = read_regular(verilog, "a build's Verilog", MAX_OUTPUT_BYTES)
    with run_folder() as work:
        (work / "core.il").write_bytes(read_regular(rtlil, "a build's RTLIL", MAX_OUTPUT_BYTES))
        verilog_from_rtlil(work / "core.il", work / "core.v", work / "verilog.log")
        if (work / "core.v").read_bytes() == theirs:
            return
    raise InputError(
        f"a build's Verilog must be that of its RTLIL: {verilog} is not what this yosys makes of {rtlil.name}; "
        "compile again, or have it run as it is with --trust"
    )

"""One function for every way of executing a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..compiler.ir.network import Network
from ..compiler.names import EXECUTORS
from ..compiler.plan.folding import Folding
from ..hdl.errors import ModelError, OptionError, quoted
from .numbering import lean_in, of_whole
from .recording import Recording


def simulate(
    network: Network,
    spikes: npt.NDArray[Any],
    *,
    executor: str = "float",
    membranes: bool = False,
    folder: Path | None = None,
    family: str = "ice40",
    folding: Folding | None = None,
    dsp: bool = False,
    simulator: str = "icarus",
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Run a network on `spikes`, integers 0..x_max [samples, steps, inputs], and record every population.

    `executor` is "float" (an integer network runs as the real numbers that it stands for), "reference" (the integer
    reference), "amaranth" (the core in Amaranth's simulator), "verilog" (the core's Verilog) or "netlist" (the core
    after synthesis), the last two under cocotb with `simulator` "icarus" or "verilator" and with the core of the build
    folder `folder` where one is given. Neurons that a build's core lacks are silent in its recordings, with the
    reference's membranes. `family` is the device family that the core is planned or synthesised for,
    `folding` which engine runs which populations (by default the smallest core's), `dsp` whether synthesis may use an
    iCE40's multipliers. `membranes` records V after each step too; `progress(done, total)` counts samples, or steps.

    Raises OptionError for an unknown executor, ModelError for a float network where integers are needed or for what
    the hardware lacks, SampleError, ToolError, and MismatchError where a core hangs or breaks its protocol.
    """
    if executor not in EXECUTORS:
        raise OptionError(f"the executor is one of {', '.join(EXECUTORS)}: got {quoted(executor)}")
    if executor == "float":
        return _run_float(network, spikes, membranes, progress)
    if not network.is_integer:
        raise ModelError(
            f"the executor {executor!r} runs integer networks: {quoted(network.name)} is float; quantise it first"
        )
    if executor == "reference":
        from .reference import run_reference

        return run_reference(network, spikes, membranes, progress)
    if executor == "amaranth":
        from ..compiler.plan.plan import make_plan
        from .amaranth_executor import run_amaranth

        lean = lean_in(folder, network)
        recording = run_amaranth(make_plan(lean.network, family, folding), spikes, membranes, progress)
        return of_whole(lean, recording, spikes)
    from .verilog_executor import run_verilog

    level = "rtl" if executor == "verilog" else "netlist"
    return run_verilog(
        network,
        spikes,
        membranes,
        progress,
        level=level,
        folder=folder,
        family=family,
        folding=folding,
        dsp=dsp,
        simulator=simulator,
    )


def _run_float(
    network: Network,
    spikes: npt.NDArray[Any],
    membranes: bool,
    progress: Callable[[int, int], None] | None,
) -> Recording:
    from ..compiler.lowering.quantise import dequantise
    from .float_executor import run_float

    return run_float(dequantise(network) if network.is_integer else network, spikes, membranes, progress)

"""The regression: every spike and every membrane of the hardware against the integer reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..compiler.ir.arrays import IntArray, SpikeArray
from ..compiler.ir.network import Network
from ..hdl.errors import MismatchError
from .cocotb_runner import require_simulator
from .divergence import CLASS, EVENTS, MEMBRANE, READING, SPIKE
from .inputs import checked_spikes
from .numbering import lean_in, of_core
from .recording import Recording
from .reference import run_reference
from .stimulus import make_stimulus
from .verilog_executor import CoreRun, beats_of, core_in, make_bench, run_core, run_folder

_STRESS_SEED = 1


@dataclass(frozen=True, kw_only=True)
class RegressionResult:
    """What a regression compared, all of it equal.

    `spikes_compared` and `membranes_compared` are the neuron-steps that the bench says it compared: every
    population's on the traced core, and the output's spikes once more on the shipped core. Where that gives readings
    of membranes in place of spikes, `readings_compared` counts these and the classes, of both cores. `cycles` are the
    shipped core's clock cycles of each sample, from its first token in to its end out at full speed, back to back;
    `waves` are the waveform files. `left_out` neurons are not in the cores (`plan.lean`): nothing of them is compared,
    but the reference kept them silent.
    """

    simulator: str
    level: str
    samples: int
    steps: int
    spikes_compared: int
    membranes_compared: int
    cycles: tuple[int, ...]
    waves: tuple[Path, ...]
    left_out: int = 0
    readings_compared: int = 0


def regress(
    network: Network,
    folder: Path,
    spikes: npt.NDArray[Any],
    *,
    family: str = "ice40",
    dsp: bool = False,
    simulator: str = "icarus",
    level: str = "rtl",
    waves: Path | None = None,
    stress: int = _STRESS_SEED,
    progress: Callable[[int, int], None] | None = None,
) -> RegressionResult:
    """Compare the cores in a build folder with the reference on `spikes`, integers 0..x_max [samples, steps, inputs].

    The function is long for its options, which most of its lines explain. Samples run back to back. The traced core
    shows spikes and membranes of every population while the input pauses and the output stalls at random (`stress` is
    the seed); the shipped core runs at full speed and must give the output spikes, also after a sample that is aborted
    half way. `level` is "rtl" (the emitted Verilog) or "netlist" (the RTLIL synthesised for `family` first, with `dsp`
    where an iCE40 may use its multipliers), `simulator` "icarus" or "verilator". `waves` is the FST file for the traced
    core's waveforms; the shipped core's lie beside it. `progress(done, total)` counts steps, once per core.

    Raises MismatchError with the first divergence (or where the core broke its protocol or hung), SampleError,
    InputError for a folder without the cores, OptionError, ToolError.
    """
    inputs = checked_spikes(network, spikes)
    require_simulator(simulator, waves is not None)
    lean = lean_in(folder, network)
    expected = of_core(lean, run_reference(network, inputs, membranes=True))
    steps = len(inputs) * inputs.shape[1]
    runs: list[CoreRun] = []
    files: list[Path] = []
    for traced in (True, False):
        file = None if waves is None else wave_file(waves, traced)
        try:
            runs.append(
                regress_core(
                    lean.network,
                    folder,
                    inputs,
                    expected,
                    kept=lean.kept,
                    traced=traced,
                    family=family,
                    dsp=dsp,
                    simulator=simulator,
                    level=level,
                    stress=stress,
                    waves=file,
                    progress=_offset(progress, len(runs) * steps, 2 * steps),
                )
            )
        except MismatchError as error:
            hint = f"; waveforms: {file}" if file is not None and file.is_file() else ""
            raise MismatchError(f"{'traced' if traced else 'shipped'} core, {error}{hint}") from None
        files += [file] if file is not None else []
    traced_run, shipped_run = runs
    return RegressionResult(
        simulator=simulator,
        level=level,
        samples=len(inputs),
        steps=inputs.shape[1],
        spikes_compared=traced_run.compared[SPIKE] + shipped_run.compared[EVENTS],
        membranes_compared=traced_run.compared[MEMBRANE],
        cycles=shipped_run.cycles,
        waves=tuple(files),
        left_out=lean.left_out,
        readings_compared=sum(run.compared.get(quantity, 0) for run in runs for quantity in (READING, CLASS)),
    )


def regress_core(
    network: Network,
    folder: Path,
    inputs: SpikeArray,
    expected: Recording,
    *,
    traced: bool,
    kept: Mapping[str, IntArray] | None = None,
    family: str = "ice40",
    dsp: bool = False,
    simulator: str = "icarus",
    level: str = "rtl",
    stress: int = _STRESS_SEED,
    waves: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CoreRun:
    """One core of a build folder against `expected`, the reference's recording with membranes; see `regress`.

    `network` is what the core runs and `kept` the whole network's numbers of its neurons (`plan.lean`). The traced core
    is compared in everything it shows, the shipped one in its output spikes. Raises as `regress` does.
    """
    abort = None if traced else min(1, len(inputs) - 1)
    source = core_in(folder, traced)
    beats = beats_of(source, network, family)
    stimulus = make_stimulus(inputs, stress=stress if traced else None, abort=abort, beats=beats)
    with run_folder() as work:
        bench = make_bench(source, level, family, work, dsp=dsp)
        return run_core(
            bench,
            network,
            stimulus,
            inputs.shape[:2],
            work,
            traced=traced,
            simulator=simulator,
            expected=expected,
            kept=kept,
            stress=stress if traced else None,
            waves=waves,
            progress=progress,
        )


def wave_file(waves: Path, traced: bool) -> Path:
    """Where the waveforms of a core go, the traced or the shipped one."""
    return waves if traced else waves.with_name(f"{waves.stem}-shipped{waves.suffix}")


def _offset(progress: Callable[[int, int], None] | None, before: int, total: int) -> Callable[[int, int], None] | None:
    """Progress of one part as progress of the whole."""
    if progress is None:
        return None
    report = progress
    return lambda done, _: report(before + done, total)

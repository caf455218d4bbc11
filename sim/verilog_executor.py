"""The emitted Verilog of a core, or its post-synthesis netlist, executed by a Verilog simulator under cocotb."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import IntArray, SpikeArray
from ..compiler.ir.network import Network
from ..compiler.output.build_folder import FOLDING, WEIGHTS
from ..compiler.output.flash_image import MAX_IMAGE_BYTES, parse_flash_image, plan_flash
from ..compiler.plan.folding import Folding, default_folding, folding_data, input_beats, read_folding
from ..compiler.plan.monitors import monitors_of
from ..compiler.plan.plan import make_plan
from ..compiler.plan.readout import folded_readout
from ..hdl.emit.emit import cells_sim, device_cells_sim, netlist_from_rtlil, to_rtlil, verilog_from_rtlil
from ..hdl.errors import InputError, MismatchError, ToolError
from ..hdl.files import read_regular
from ..hdl.memories.memory import Family
from ..hdl.neurons.readout import ReadoutFormat
from ..hdl.staging import scratch_folder
from ..hdl.streams.tokens import BeatShape
from .cocotb_runner import WAVES, Bench, require_simulator, run_bench
from .divergence import Divergence, Readings, check_output
from .inputs import checked_spikes
from .limits import drain_cycles, hang_cycles, run_cycles
from .numbering import lean_in, of_whole
from .observer import describe_problem
from .readout import readings
from .recording import PopulationRecording, Recording, with_membranes
from .stimulus import Stimulus, make_stimulus

LEVELS = ("rtl", "netlist")
_MODULE = "spikeloom.sim.cocotb_bench"
_OUTCOME = "outcome.json"


@dataclass(frozen=True, kw_only=True)
class CoreSource:
    """A core's RTLIL, Verilog and folding files and its top module; `traced` is whether it has monitors.

    `weights` is the file with what its SPRAMs must be loaded with; it is there if the core has any.
    """

    rtlil: Path
    verilog: Path
    folding: Path
    top: str
    traced: bool
    weights: Path


@dataclass(frozen=True, eq=False, kw_only=True)
class CoreRun:
    """What one core did: output `events` [samples, steps, outputs]; `populations` if it was traced.

    A core that gives readings has these and the classes in place of events (`sim.readout.readings`). `cycles` are each
    sample's clock cycles from its first token in to its end out, `total_cycles` those of the run, `compared` how many
    values of each quantity were held against what was expected (`sim.divergence`).
    """

    events: SpikeArray
    readings: Readings | None
    populations: dict[str, PopulationRecording]
    cycles: tuple[int, ...]
    total_cycles: int
    compared: Mapping[str, int]


def core_in(folder: Path, traced: bool) -> CoreSource:
    """A core's files by the names that they have in a build folder."""
    name = "core_traced" if traced else "core"
    return CoreSource(
        rtlil=folder / f"{name}.il",
        verilog=folder / f"{name}.v",
        folding=folder / FOLDING,
        top=f"spikeloom_{name}",
        traced=traced,
        weights=folder / WEIGHTS,
    )


def run_verilog(
    network: Network,
    spikes: npt.NDArray[Any],
    membranes: bool = False,
    progress: Callable[[int, int], None] | None = None,
    *,
    level: str = "rtl",
    folder: Path | None = None,
    family: str = "ice40",
    folding: Folding | None = None,
    dsp: bool = False,
    simulator: str = "icarus",
    stress: int | None = None,
) -> Recording:
    """Run an integer network's traced core on `spikes`, integers 0..x_max [samples, steps, inputs].

    `level` is "rtl" (the emitted Verilog) or "netlist" (synthesised for `family` first, with `dsp` where an iCE40 may
    use its multipliers). The core is taken from the build folder `folder` where one is given, else it is emitted with
    `folding` (by default the smallest core's). `stress` is the seed of random input gaps and output stalls; without it
    the core runs at full speed. `progress(done, total)` counts steps. Raises ModelError, SampleError, ToolError, and
    MismatchError where the core breaks its protocol or its output events differ from its output population's spikes.
    """
    inputs = checked_spikes(network, spikes)
    require_simulator(simulator)
    lean = lean_in(folder, network)
    network = lean.network
    with run_folder() as work:
        source = core_in(work if folder is None else folder, traced=True)
        if folder is None:
            emit_core(network, family, source, folding)
        stimulus = make_stimulus(inputs, stress=stress, beats=beats_of(source, network, family))
        bench = make_bench(source, level, family, work, dsp=dsp)
        run = run_core(
            bench,
            network,
            stimulus,
            inputs.shape[:2],
            work,
            traced=True,
            simulator=simulator,
            stress=stress,
            progress=progress,
        )
        readout = folded_readout(network, folding_of(source.folding, network))
    check_output(network, readout, run.populations[network.output], run.events, run.readings)
    return of_whole(lean, _recording(network, run, membranes), inputs)


@contextmanager
def run_folder() -> Iterator[Path]:
    """A temporary folder to run tools in; when one fails there, its log outlives the folder."""
    with scratch_folder() as folder:
        try:
            yield folder
        except ToolError as error:
            if error.log is None or folder not in error.log.parents or not error.log.is_file():
                raise
            message = str(error).removesuffix(f"; see {error.log}")
            with tempfile.NamedTemporaryFile(prefix="spikeloom-", suffix=".log", delete=False) as kept:
                shutil.copyfile(error.log, kept.name)
            raise ToolError(message, Path(kept.name)) from None


def emit_core(network: Network, family: str, source: CoreSource, folding: Folding | None = None) -> None:
    """Write the RTLIL and Verilog of a network's core. Raises ModelError for what the hardware lacks."""
    plan = make_plan(network, family, folding)
    source.folding.write_text(json.dumps(folding_data(plan.folding)), encoding="utf-8")
    source.rtlil.write_text(to_rtlil(plan.core(trace=source.traced), source.top), encoding="utf-8")
    if plan.sprams:
        source.weights.write_bytes(plan_flash(plan)[1])
    verilog_from_rtlil(source.rtlil, source.verilog, source.rtlil.with_name("emit.log"))


def folding_of(file: Path, network: Network) -> Folding:
    """The folding that a file holds, or where there is none the smallest core's."""
    return read_folding(file) if file.is_file() else default_folding(network)


def beats_of(source: CoreSource, network: Network, family: str) -> BeatShape | None:
    """What the wide input of a core brings at once; None where it brings tokens."""
    folding = folding_of(source.folding, network)
    return input_beats(network, folding, Family(family)) if folding.wide else None


def make_bench(source: CoreSource, level: str, family: str, work: Path, *, dsp: bool = False) -> Bench:
    """The Verilog to simulate at a level, with the core's files copied (and synthesised) into `work`.

    Raises InputError for a file that is missing or an unknown level.
    """
    if level not in LEVELS:
        raise InputError(f"the level is one of {', '.join(LEVELS)}: got {level!r}")
    original = source.verilog if level == "rtl" else source.rtlil
    if not original.is_file():
        raise InputError(f"a build folder has a file {original.name}: {original} is missing; compile again")
    copy = work / original.name
    for file in (original, source.weights, source.folding):
        if file.parent != work and file.is_file():
            shutil.copyfile(file, work / file.name)
    if level == "rtl":
        return Bench(sources=[copy, *device_cells_sim(family)], top=source.top, module=_MODULE)
    netlist = work / "netlist.v"
    netlist_from_rtlil(copy, netlist, family, source.top, work / "synthesis.log", dsp=dsp)
    cells = cells_sim(family)
    return Bench(sources=[netlist, *cells.sources], top=source.top, module=_MODULE, defines=cells.defines)


def run_core(
    bench: Bench,
    network: Network,
    stimulus: Stimulus,
    shape: tuple[int, ...],
    work: Path,
    *,
    traced: bool,
    simulator: str,
    expected: Recording | None = None,
    kept: Mapping[str, IntArray] | None = None,
    stress: int | None = None,
    waves: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CoreRun:
    """Run one core on a stimulus of `shape` = (samples, steps) in the run folder `work`.

    With `expected`, everything recorded must equal it; messages number neurons by `kept` where the core lacks some
    (`plan.lean`). `waves` is the file for waveforms. Raises MismatchError with the first divergence, and ToolError.
    """
    _write_job(work, network, stimulus, shape, traced, expected, stress)
    try:
        run_bench(
            bench,
            work,
            simulator=simulator,
            outcome=_OUTCOME,
            waves=waves is not None,
            total=shape[0] * shape[1],
            progress=progress,
        )
    finally:
        if waves is not None and (work / WAVES).is_file():
            waves.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(work / WAVES, waves)
    return _read_outcome(work, network, traced, kept or {})


def _write_job(
    work: Path,
    network: Network,
    stimulus: Stimulus,
    shape: tuple[int, ...],
    traced: bool,
    expected: Recording | None,
    stress: int | None,
) -> None:
    names = [population.name for population in network.populations]
    folding = folding_of(work / FOLDING, network)
    monitors = monitors_of(network, folding) if traced else ()
    readout = folded_readout(network, folding)
    job: dict[str, Any] = {
        **vars(stimulus),
        "payloads": _payload_bytes(stimulus.payloads),
        "shape": np.array(shape),
        "outputs": network.size_of(network.output),
        "readout": _readout_numbers(readout),
        "output": names.index(network.output),
        "traced": np.array([network.size_of(name) for name in names] if traced else [], np.int64),
        "stress": -1 if stress is None else stress,
        "warm_up": int(np.count_nonzero(stimulus.samples == 0)) // 2,
        "hang_cycles": hang_cycles(network),
        "run_cycles": run_cycles(network, *shape),
        "drain_cycles": drain_cycles(network),
        "loads": _loads(work / WEIGHTS),
        "monitors": np.array([monitor.population for monitor in monitors], np.int64),
        "in_turn": np.array([monitor.in_turn for monitor in monitors], bool),
    }
    for port, monitor in enumerate(monitors):
        job |= {f"numbers{port}": np.array(monitor.numbers), f"neurons{port}": np.array(monitor.neurons)}
    if expected is not None:
        for index, name in enumerate(names):
            recorded = expected.populations[name]
            job[f"spikes{index}"] = recorded.spikes
            if recorded.membranes is not None:
                job[f"membranes{index}"] = recorded.membranes
            if name == network.output and readout is not None and recorded.membranes is not None:
                job[f"readings{index}"], job[f"classes{index}"] = readings(readout, recorded.membranes)
    np.savez(work / "job.npz", **job)


def _readout_numbers(form: ReadoutFormat | None) -> npt.NDArray[np.int64]:
    """What the bench must know of a readout; nothing where there is none."""
    numbers = [] if form is None else [form.value_bits, not form.every_step, form.names_class]
    return np.array(numbers, np.int64)


def _payload_bytes(payloads: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """uint8 [tokens, bytes], low bytes first: those of beats are more than an integer of NumPy has."""
    values = payloads.tolist()
    width = max(1, -(-max(values).bit_length() // 8))
    return np.frombuffer(b"".join(value.to_bytes(width, "little") for value in values), np.uint8).reshape(-1, width)


def _loads(weights: Path) -> npt.NDArray[np.int64]:
    """(SPRAM, address, word) of everything to load, int64 [words, 3]; nothing where there is no such file."""
    if not weights.is_file():
        return np.zeros((0, 3), np.int64)
    image = parse_flash_image(read_regular(weights, "a weights image", MAX_IMAGE_BYTES))
    block, address = np.divmod(np.arange(len(image.words)), 1 << image.address_bits)
    return np.stack([block, address, np.array(image.words)], axis=1)


def _read_outcome(work: Path, network: Network, traced: bool, kept: Mapping[str, IntArray]) -> CoreRun:
    outcome = json.loads((work / _OUTCOME).read_text(encoding="ascii"))
    status = outcome.pop("status")
    names = [population.name for population in network.populations]
    if status == "divergence":
        divergence = Divergence(**outcome)
        name = names[divergence.population]
        if name in kept:
            divergence = replace(divergence, neuron=int(kept[name][divergence.neuron]))
        raise MismatchError(divergence.describe(name))
    if status == "protocol":
        raise MismatchError(describe_problem(**outcome, populations=names))
    with np.load(work / "recorded.npz") as recorded:
        arrays = dict(recorded)
    populations = {
        name: PopulationRecording(spikes=arrays[f"spikes{index}"], membranes=arrays[f"membranes{index}"])
        for index, name in enumerate(names if traced else [])
    }
    return CoreRun(
        events=arrays["events"],
        readings=(arrays["readings"], arrays["classes"]) if "readings" in arrays else None,
        populations=populations,
        cycles=tuple(outcome["cycles"]),
        total_cycles=outcome["total_cycles"],
        compared=outcome["compared"],
    )


def _recording(network: Network, run: CoreRun, membranes: bool) -> Recording:
    shown = with_membranes(network, membranes)
    populations = {
        name: recorded if name in shown else PopulationRecording(spikes=recorded.spikes)
        for name, recorded in run.populations.items()
    }
    return Recording.of(network, populations)

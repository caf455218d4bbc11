"""A cable with faults: a pseudo-terminal for a host, whose bytes go to a board's and back, or do not.

`Relay` is the cable; what becomes of the bytes on their way is a `Fault` in each direction. `bad_cable` makes one of
the faults that `spikeloom board --faults` names.
"""

from __future__ import annotations

import math
import os
import random
import select
import threading
import time
import tty
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

SILENT_SECONDS = 0.5
PULLED_SECONDS = 0.5
"""How long a silence lasts, and how long a cable is out."""

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


class Faults:
    """The faults of one direction (`CABLE_FAULTS`), each at random once in so many bytes on average."""

    def __init__(self, every: Mapping[str, int], seed: int) -> None:
        self._rates = {name: 1 / bytes_ for name, bytes_ in every.items()}
        self._random = random.Random(seed)
        self._silent_until = 0.0

    def __call__(self, data: bytes) -> bytes:
        return b"".join(self._carried(byte) for byte in data)

    def _carried(self, byte: int) -> bytes:
        if self._strikes("silent"):
            self._silent_until = time.monotonic() + SILENT_SECONDS
        if time.monotonic() < self._silent_until or self._strikes("lost"):
            return b""
        if self._strikes("flipped"):
            byte ^= 1 << self._random.randrange(8)
        return bytes([byte]) * (2 if self._strikes("doubled") else 1)

    def _strikes(self, name: str) -> bool:
        return self._random.random() < self._rates.get(name, 0.0)


class Relay:
    """`port` is a link to the terminal that the host has; `pull` takes it away and `plug` brings another.

    Once `most` bytes have gone by, no others do. With `pulled_every`, the cable is out for a while whenever so many
    have.
    """

    def __init__(
        self,
        folder: Path,
        board: str,
        to_board: Fault = as_it_is,
        to_host: Fault = as_it_is,
        *,
        pulled_every: float = math.inf,
        name: str = "port",
    ) -> None:
        self.port = str(folder / name)
        self._pulled_every = pulled_every
        self._next_pull = pulled_every
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
            if self.carried >= self._next_pull:
                self.pull()
                time.sleep(PULLED_SECONDS)
                self._next_pull = self.carried + self._pulled_every
                self.plug()

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


def bad_cable(link: Path, board: str, every: Mapping[str, int], seed: int = 1) -> Relay:
    """A cable from a board's terminal to a symbolic link that a host opens, with each of the faults once in so many
    bytes: of either direction, and of both together where it is pulled."""
    to_board, to_host = (Faults(every, seed + n) for n in range(2))
    return Relay(link.parent, board, to_board, to_host, pulled_every=every.get("pulled", math.inf), name=link.name)

"""The line to a board: bytes out, bytes in, and what its operating system says when there is none."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

from ...hdl.errors import LineError, OptionError

_WRITE_SECONDS = 10.0


class LostLineError(LineError):
    """The line is gone: its cable was pulled, or whoever was at its other end left."""


class Line(Protocol):
    """A line to a board."""

    name: str
    now: float
    """When the last call of `write` began or of `read` ended, in seconds since some moment."""

    def write(self, data: bytes) -> None:
        """Send bytes. Raises LostLineError."""

    def read(self, seconds: float) -> bytes:
        """What has come, at least one byte; nothing where none comes for so long. Raises LostLineError."""

    def reopen(self) -> None:
        """Open the line again after it was lost. Raises LostLineError where it is not back."""

    def close(self) -> None:
        """Let the port go."""


class SerialLine:
    """A serial port, or a pseudo-terminal, of which nobody else has hold: 8 data bits, no parity, one stop bit."""

    def __init__(self, port: str, baud: int) -> None:
        """Raises OptionError, in one line that says what to do, where the port cannot be had."""
        self.name = port
        self.now = time.perf_counter()
        self._baud = baud
        self._port = _open(port, baud)

    def write(self, data: bytes) -> None:
        self.now = time.perf_counter()
        try:
            self._port.write(data)
        except OSError as error:  # pyserial's errors are of that kind
            raise self._lost(error) from None

    def read(self, seconds: float) -> bytes:
        try:
            self._port.timeout = seconds
            data = bytes(self._port.read(1) + self._port.read(self._port.in_waiting))
        except (OSError, TypeError) as error:  # pyserial trips over a port that vanishes while it waits
            raise self._lost(error) from None
        self.now = time.perf_counter()
        return data

    def reopen(self) -> None:
        self.close()
        try:
            self._port = _open(self.name, self._baud)
        except OptionError as error:
            raise LostLineError(str(error)) from None

    def close(self) -> None:
        with suppress(OSError):  # where it is gone already
            self._port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _lost(self, error: Exception) -> LostLineError:
        return LostLineError(f"the line to the board must stay: {self.name} is gone ({error}); plug the board in again")


def _open(port: str, baud: int) -> Any:
    import serial

    try:
        return serial.Serial(port, baud, exclusive=True, write_timeout=_WRITE_SECONDS)
    except (OSError, ValueError) as error:
        raise OptionError(_reason(port, baud, error)) from None


def _reason(port: str, baud: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    words = str(error)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return f"a port must be there: {port} is not; plug the board in, or take --port auto to see which ports are"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"a port must be yours to open: {port} is not; sudo usermod -aG dialout $USER (on Arch uucp), log in again"
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in words:
        return f"a port has one user at a time: {port} is busy; close the other program (fuser {port} names it)"
    if isinstance(error, ValueError):
        return f"a port must know the rate of the build: {port} does not know {baud} baud; compile with another --baud"
    return f"a port must be a serial line: {port} is not ({words}); take another, or --port auto"

"""Ctrl-C and SIGTERM as exceptions that nothing swallows."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

RETRY_SECONDS = 0.01


class Terminated(BaseException):
    """SIGTERM arrived: unwind, so that nothing half-written stays."""


class _Raiser:
    """The signal handler: it raises, but waits for the end of a destructor, which would drop the exception.

    Amaranth's components have destructors, and a design makes thousands of them.
    """

    def __init__(self) -> None:
        self._number = signal.SIGINT

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            self._number = signal.Signals(number)
        if _in_destructor(frame):
            signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
            return
        raise KeyboardInterrupt if self._number == signal.SIGINT else Terminated


def _in_destructor(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this block SIGINT raises KeyboardInterrupt and SIGTERM raises `Terminated`.

    An ignored SIGINT, as in a background job, stays ignored. Outside the main thread, which alone may set handlers,
    nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM, signal.SIGALRM]
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        numbers.append(signal.SIGINT)
    raiser = _Raiser()
    previous = {number: signal.signal(number, raiser) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

"""A board that is plugged in: samples in, answers out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ...hdl.errors import LineError, SampleError
from .answers import Answers, Profile, answers_of
from .certainty import Exit
from .exchange import Arrival, DisturbedError, Exchange, require_identity
from .facts import LinkFacts, read_facts
from .line import Line, LostLineError, SerialLine

PATIENCE_SECONDS = 3.0
"""How long a device may be silent that owes a reply, on top of what its slowest step takes."""

RECONNECT_SECONDS = 30.0
"""How long a board may be unplugged."""

MOST_FAILURES = 10
"""Disturbances without an answer in between after which a line is given up."""

ALONE = 32
"""The most samples that are sent alone to measure their latency unless more are asked for."""

_RETRY_SECONDS = 0.2


class Board:
    """A board with the design of a build, whatever is behind its port: `with Board(port, build) as board`.

    Samples are sent as often as it takes: frames that were spoilt are repeated, and a board that was unplugged goes on
    where it was. An answer counts once its sample is complete, and a sample is repeated only without one.
    """

    def __init__(
        self,
        port: str | Line,
        build: str | Path | LinkFacts,
        *,
        patience: float | None = None,
        reconnect: float = RECONNECT_SECONDS,
    ) -> None:
        """`port` is the name of a serial port, or a line; `build` a build folder.

        Raises OptionError where the port cannot be had, LineError where the board is silent or has another design, and
        InputError for a folder that is no build for a board.
        """
        self.facts = build if isinstance(build, LinkFacts) else read_facts(build)
        slowest = 10 * self.facts.silent_cycles / self.facts.clock_hz
        self._patience = PATIENCE_SECONDS + slowest if patience is None else patience
        self._reconnect = reconnect
        self._line = SerialLine(port, self.facts.baud) if isinstance(port, str) else port
        self._exchange = Exchange(self._line, self.facts.form, self._patience)
        try:
            self._require_identity()
        except BaseException:
            self._line.close()
            raise

    def predict(
        self,
        samples: npt.NDArray[Any],
        profile: bool = False,
        progress: Callable[[int, int], None] | None = None,
        alone: int | None = None,
        early_exit: int | None = None,
    ) -> Answers:
        """The answers to `samples`: spikes, integers 0..x_max [samples, steps, inputs...], or for a device that takes
        images pixels 0..255 [samples, inputs...].

        With `profile` the first of them go alone, `alone` or by default a quarter, which shows their latency. With
        `early_exit` a sample ends once its class leads by so many spikes (`certainty`). Raises OptionError where that
        cannot be told, SampleError, and LineError where the line fails for good; what it says tells how far it came.
        """
        checked = _checked(self.facts, samples)
        share = -(-min(4 * ALONE, len(checked)) // 4) if alone is None else min(alone, len(checked))
        first = share if profile else 0
        exit = None if early_exit is None else Exit.of(self.facts, early_exit)
        session = _Session(self._exchange, len(checked), progress, exit)
        began = self._exchange.traffic.sent, self._exchange.traffic.received
        self._run(session, checked[:first], window=1)
        self._run(session, checked, window=None)
        single, together = session.arrivals[:first], session.arrivals[first:]
        measured = None
        if profile:
            measured = Profile(
                latencies=tuple(arrival.ended - arrival.began for arrival in single),
                samples=len(together),
                seconds=together[-1].ended - together[0].began if together else 0.0,
                sent=self._exchange.traffic.sent - began[0],
                received=self._exchange.traffic.received - began[1],
                repeated=session.repeated,
            )
        steps = checked.shape[1] if self.facts.coding is None else 1
        return answers_of(self.facts, [arrival.replies for arrival in session.arrivals], steps, measured, exit)

    def close(self) -> None:
        """Let the port go."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self, session: _Session, samples: npt.NDArray[np.uint8], window: int | None) -> None:
        """Send what has no answer yet, from the first such sample on, until all have."""
        failures = 0
        while len(session.arrivals) < len(samples):
            before = len(session.arrivals)
            try:
                session.exchange.run(samples[before:], window, session.take, session.exit)
                return
            except LostLineError as error:
                problem: LineError = error
                session.repeated += 1
                self._come_back(session, error)
            except DisturbedError as error:
                problem = error
                session.repeated += 1
                self._settle(session)
            failures = failures + 1 if len(session.arrivals) == before else 1
            if failures >= MOST_FAILURES:
                raise LineError(f"{session.so_far}: {problem}; {MOST_FAILURES} times in a row, so check the wiring")

    def _settle(self, session: _Session) -> None:
        """Drop what is under way, here and in the device."""
        try:
            self._require_identity(known=True)
        except LostLineError as error:
            self._come_back(session, error)
        except LineError as error:
            raise LineError(f"{session.so_far}: {error}") from None

    def _come_back(self, session: _Session, lost: LostLineError) -> None:
        """Wait until a board that was unplugged is back. Raises LineError where it is not, or has lost its design."""
        for _ in range(max(1, round(self._reconnect / _RETRY_SECONDS))):
            time.sleep(_RETRY_SECONDS)
            try:
                self._line.reopen()
                self._require_identity(known=True)
                return
            except LostLineError as error:
                lost = error
            except LineError as error:
                raise LineError(f"{session.so_far}: {error}") from None
        raise LineError(f"{session.so_far}: {lost}")

    def _require_identity(self, *, known: bool = False) -> None:
        require_identity(self._exchange.identify(known=known), self.facts.form, self._line.name, self._patience)


class _Session:
    """What has been answered so far."""

    def __init__(
        self, exchange: Exchange, total: int, progress: Callable[[int, int], None] | None, exit: Exit | None
    ) -> None:
        self.exchange = exchange
        self.exit = exit
        self.total = total
        self.arrivals: list[Arrival] = []
        self.repeated = 0
        self._progress = progress

    def take(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        if self._progress is not None:
            self._progress(len(self.arrivals), self.total)

    @property
    def so_far(self) -> str:
        return f"{len(self.arrivals)} of {self.total} samples were answered"


def _checked(facts: LinkFacts, samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The samples with flat inputs. Raises SampleError."""
    given: npt.NDArray[Any] = np.asarray(samples)
    leading = 1 if facts.coding is not None else 2
    what = "images [samples, inputs]" if leading == 1 else "spikes [samples, steps, inputs]"
    if given.dtype.kind not in "biu":
        raise SampleError(f"samples are integers: got {given.dtype}; round and convert them")
    if given.ndim <= leading or 0 in given.shape:
        raise SampleError(f"samples are {what}: got the shape {given.shape}")
    flat = given.reshape(*given.shape[:leading], -1)
    if flat.shape[-1] != facts.inputs:
        raise SampleError(f"samples are {what} of {facts.inputs} inputs: got the shape {given.shape}")
    most = 255 if facts.coding is not None else facts.x_max
    if int(flat.min()) < 0 or int(flat.max()) > most:
        raise SampleError(f"values of an input are 0..{most}: got {int(flat.min())} to {int(flat.max())}")
    return flat.astype(np.uint8)

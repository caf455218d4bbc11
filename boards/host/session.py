"""What goes over a line, kept in a file, and run again without a board.

A file of lines of JSON: first what it is, then each event in its order, [what, seconds, bytes in hexadecimal]. `out` is
what the host sent, `in` what came, `quiet` that nothing came for as long as the host waited, `lost` that the line was
gone and `back` that it was there again.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...hdl.errors import InputError, LineError
from ...hdl.files import read_regular
from ...hdl.json_files import ShapeError, decoded
from ...hdl.staging import replacement
from .line import Line, LostLineError

SESSION_SCHEMA = 1

_MAX_BYTES = 1 << 30
_KINDS = ("out", "in", "quiet", "lost", "back")


class RecordingLine:
    """A line whose bytes are kept until `save`."""

    def __init__(self, line: Line) -> None:
        self.name = line.name
        self.now = line.now
        self._line = line
        self._start = line.now
        self._events: list[tuple[str, float, str]] = []

    def write(self, data: bytes) -> None:
        try:
            self._line.write(data)
        except LostLineError:
            self._keep("lost")
            raise
        self._keep("out", data)

    def read(self, seconds: float) -> bytes:
        try:
            data = self._line.read(seconds)
        except LostLineError:
            self._keep("lost")
            raise
        self._keep("in" if data else "quiet", data)
        return data

    def reopen(self) -> None:
        self._line.reopen()
        self._keep("back")

    def close(self) -> None:
        self._line.close()

    def save(self, path: Path, identity: int) -> None:
        """Write the file, whole or not at all."""
        head = {"schema_version": SESSION_SCHEMA, "identity": identity}
        lines = [json.dumps(head), *(json.dumps(event) for event in self._events)]
        with replacement(path) as file:
            file.write_text("\n".join(lines) + "\n", encoding="ascii")

    def _keep(self, kind: str, data: bytes = b"") -> None:
        self.now = self._line.now
        self._events.append((kind, round(self.now - self._start, 7), data.hex()))


@dataclass(frozen=True)
class _Head:
    schema_version: int
    identity: int


@dataclass(frozen=True)
class _Event:
    kind: str
    time: float
    data: bytes
    sent: int
    """Bytes that the host had sent before."""


class ReplayedLine:
    """A board that says what it said to another host, which sent the same bytes."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is no session."""
        self.name = str(path)
        self.now = 0.0
        text = read_regular(path, "a recorded session", _MAX_BYTES).decode("utf-8", "replace").splitlines()
        try:
            head = decoded(text[0] if text else "", _Head)
            events = [decoded(line, tuple[str, float, str]) for line in text[1:]]
            self._events, self._due = _in_order(events)
        except (ShapeError, ValueError) as error:
            raise InputError(f"a recorded session is what --record writes: {path} is not ({error})") from None
        if head.schema_version != SESSION_SCHEMA:
            raise InputError(
                f"a recorded session has the schema_version {SESSION_SCHEMA}: {path} has {head.schema_version}"
            )
        self._times = deque((event.time, event.sent) for event in self._events if event.kind == "out")
        self._events = deque(event for event in self._events if event.kind != "out")
        self._sent = 0

    def write(self, data: bytes) -> None:
        there = self._due[self._sent : self._sent + len(data)]
        if there != data:
            raise LineError(
                f"a session is replayed with what it was recorded with: byte {self._sent + _common(there, data)} to "
                f"the board is another than in {self.name}; give the same build, samples and mode"
            )
        while self._times and self._times[0][1] <= self._sent:
            self.now = self._times.popleft()[0]
        self._sent += len(data)

    def read(self, seconds: float) -> bytes:
        if not self._events or self._events[0].sent > self._sent:
            return b""
        event = self._events.popleft()
        self.now = event.time
        if event.kind == "lost":
            raise LostLineError(f"the line to the board must stay: it was gone when {self.name} was recorded")
        return event.data

    def reopen(self) -> None:
        if not self._events or self._events[0].kind != "back":
            raise LostLineError(f"the line to the board must stay: {self.name} ends without it")
        self._events.popleft()

    def close(self) -> None:
        pass


def _in_order(events: list[Any]) -> tuple[deque[_Event], bytes]:
    """The events, and all that the host sent. Raises ValueError for what is none."""
    found, sent = deque[_Event](), bytearray()
    for kind, time, text in events:
        if kind not in _KINDS:
            raise ValueError(f"an event is one of {', '.join(_KINDS)}")
        found.append(_Event(kind, time, bytes.fromhex(text), len(sent)))
        if kind == "out":
            sent += found[-1].data
    return found, bytes(sent)


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))

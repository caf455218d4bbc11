"""Events of cameras and cochleas, (t, x, y, p), as frames of counts per time step.

A recording is four arrays of one length: times in microseconds, columns, rows and polarities. `addresses` puts it into
steps of one width, cropped and downsampled as wanted, as events of a network's inputs, and `frames` as counts;
`read_nmnist` reads a file of N-MNIST or N-Caltech101, and `event_files` those of cameras.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, SampleError, quoted
from ...hdl.files import open_regular, read_regular

Array = npt.NDArray[Any]

MAX_EVENT_BYTES = 1 << 30
"""A file of events is no larger than this."""

MAX_EVENTS = 1 << 26
"""A recording has no more events than this: words of a few bytes may stand for many."""

MAX_FRAME_VALUES = 1 << 30
"""So many values the frames of a recording have at most."""

_LARGEST_COUNT = 255


@dataclass(frozen=True, eq=False)
class Events:
    """A recording: `t` int64 in microseconds, `x` columns, `y` rows and `p` polarities (channels), int64, (events,)."""

    t: npt.NDArray[np.int64]
    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    p: npt.NDArray[np.int64]

    @classmethod
    def of(cls, t: Array, x: Array, y: Array, p: Array) -> Events:
        """A recording of any arrays of whole numbers (or booleans); SampleError where they do not fit together."""
        arrays = {"t": np.asarray(t), "x": np.asarray(x), "y": np.asarray(y), "p": np.asarray(p)}
        for name, array in arrays.items():
            if array.ndim != 1 or array.dtype.kind not in "iub" or len(array) != len(arrays["t"]):
                raise SampleError(
                    f"events are arrays t, x, y and p of whole numbers, all of one length ({len(arrays['t'])}): {name} "
                    f"is {array.dtype} of shape {array.shape}"
                )
        return cls(**{name: array.astype(np.int64) for name, array in arrays.items()})

    def __len__(self) -> int:
        return len(self.t)

    def between(self, start: int, stop: int) -> Events:
        """The events from `start` to before `stop`, microseconds; their time counts from `start`."""
        kept = (self.t >= start) & (self.t < stop)
        return Events(t=self.t[kept] - start, x=self.x[kept], y=self.y[kept], p=self.p[kept])

    def from_first(self) -> Events:
        """The same, with time counted from the earliest event."""
        return Events(t=self.t - self.t.min(), x=self.x, y=self.y, p=self.p) if len(self) else self

    def require_inside(self, *, rows: int, columns: int, channels: int = 2) -> Events:
        """The same; SampleError where an event lies beside a sensor of this size."""
        for name, values, limit in (("p", self.p, channels), ("x", self.x, columns), ("y", self.y, rows)):
            if np.any((values < 0) | (values >= limit)):
                raise SampleError(f"{name} of an event is 0 to {limit - 1}: it has {values.min()} to {values.max()}")
        return self


def read_event_bytes(path: str | Path, first: int | None = None) -> bytes:
    """A file of events as it is, or its `first` bytes. Raises SampleError where it cannot be read or is no file."""
    try:
        if first is None:
            return read_regular(Path(path), "events", MAX_EVENT_BYTES, SampleError)
        with open_regular(Path(path), "events", MAX_EVENT_BYTES, SampleError) as file:
            return file.read(first)
    except OSError as error:
        raise SampleError(f"events must be readable: {quoted(str(path))} is not ({error.strerror or error})") from error


def read_nmnist(path: str | Path) -> Events:
    """The events of an N-MNIST file: 5 bytes each, x, y, then 1 bit of polarity and 23 of microseconds, high first.

    Raises SampleError for a file that cannot be read or holds no whole events.
    """
    data = read_event_bytes(path)
    if len(data) % 5:
        raise SampleError(f"an N-MNIST file has 5 bytes for each event: {quoted(str(path))} has {len(data)} bytes")
    if len(data) > 5 * MAX_EVENTS:
        raise SampleError(f"a recording has at most {MAX_EVENTS:,} events: {quoted(str(path))} has {len(data) // 5:,}")
    rows = np.frombuffer(data, np.uint8).reshape(-1, 5).astype(np.int64)
    t = (rows[:, 2] & 0x7F) << 16 | rows[:, 3] << 8 | rows[:, 4]
    return Events(t=t, x=rows[:, 0], y=rows[:, 1], p=rows[:, 2] >> 7)


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What frames are made of: `channels` polarities and `rows` x `columns` pixels of a sensor, of which `crop`
    (top, left, rows, columns) is kept and each `downsample` x `downsample` pixels become one.

    Pixels that are left over at the end are dropped.
    """

    channels: int
    rows: int
    columns: int
    crop: tuple[int, int, int, int] | None = None
    downsample: int = 1

    def __post_init__(self) -> None:
        top, left, rows, columns = self.window
        if min(self.channels, self.rows, self.columns, rows, columns) < 1 or min(top, left) < 0:
            raise OptionError(f"a sensor has channels, rows and columns, and a crop lies on it: got {self}")
        if top + rows > self.rows or left + columns > self.columns:
            raise OptionError(
                f"a crop lies on its sensor of {self.rows} x {self.columns}: {rows} x {columns} from row {top} and "
                f"column {left} on do not"
            )
        if not 1 <= self.downsample <= min(rows, columns):
            raise OptionError(f"downsample is 1 to {min(rows, columns)} pixels: got {self.downsample}")

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Top, left, rows and columns of what is kept."""
        return (0, 0, self.rows, self.columns) if self.crop is None else self.crop

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a frame."""
        return self.channels, self.window[2] // self.downsample, self.window[3] // self.downsample


@dataclass(frozen=True, eq=False)
class AddressEvents:
    """Events of a network's inputs in the order of their steps: `step` and `address` = (c * rows + y) * columns + x,
    int64 (events,). An input that has several events in a step is there so many times.
    """

    step: npt.NDArray[np.int64]
    address: npt.NDArray[np.int64]


def addresses(events: Events, sensor: Sensor, *, step_us: int, steps: int) -> AddressEvents:
    """The events in steps of `step_us` microseconds, on the sensor's cropped and downsampled pixels.

    Time counts from 0 of the recording's clock; what comes after the last step or lies beside the crop is left out.
    Raises SampleError for events beside the sensor.
    """
    if step_us < 1 or steps < 1:
        raise OptionError(f"steps are one or more, of a microsecond or more: got {steps} steps of {step_us} us")
    _, rows, columns = sensor.shape
    events.require_inside(rows=sensor.rows, columns=sensor.columns, channels=sensor.channels)
    top, left, _, _ = sensor.window
    step, y, x = events.t // step_us, (events.y - top) // sensor.downsample, (events.x - left) // sensor.downsample
    kept = (step >= 0) & (step < steps) & (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    address = ((events.p * rows + y) * columns + x)[kept]
    order = np.argsort(step[kept], kind="stable")
    return AddressEvents(step=step[kept][order], address=address[order])


def frames(events: Events, sensor: Sensor, *, step_us: int, steps: int, largest: int = 1) -> npt.NDArray[np.uint8]:
    """The number of events in each step and pixel, [steps, channel, row, column], cut off at `largest`.

    Steps and pixels are those of `addresses`, whose errors these are.
    """
    if step_us < 1 or steps < 1 or not 1 <= largest <= _LARGEST_COUNT:
        raise OptionError(
            f"frames have steps of a microsecond or more and counts of 1 to {_LARGEST_COUNT}: got {steps} steps of "
            f"{step_us} us, largest count {largest}"
        )
    size = math.prod(sensor.shape)
    if steps * size > MAX_FRAME_VALUES:
        raise OptionError(f"frames have at most {MAX_FRAME_VALUES} values: {steps} steps of {sensor.shape} have more")
    put = addresses(events, sensor, step_us=step_us, steps=steps)
    counts = np.bincount(put.step * size + put.address, minlength=steps * size)
    return np.minimum(counts, largest).astype(np.uint8).reshape(steps, *sensor.shape)

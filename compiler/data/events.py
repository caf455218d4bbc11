"""Events of cameras and cochleas, (t, x, y, p), as frames of counts per time step.

A recording is four arrays of one length: times in microseconds, columns, rows and polarities. `frames` puts it into
steps of one width, cropped and downsampled as wanted; `read_nmnist` reads a file of N-MNIST or N-Caltech101.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, SampleError, quoted
from ...hdl.files import read_regular

Array = npt.NDArray[Any]

MAX_EVENT_BYTES = 1 << 30
"""A file of events is no larger than this."""

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


def read_nmnist(path: str | Path) -> Events:
    """The events of an N-MNIST file: 5 bytes each, x, y, then 1 bit of polarity and 23 of microseconds, high first.

    Raises SampleError for a file that cannot be read or holds no whole events.
    """
    try:
        data = read_regular(Path(path), "events", MAX_EVENT_BYTES, SampleError)
    except OSError as error:
        raise SampleError(f"events must be readable: {quoted(str(path))} is not ({error.strerror or error})") from error
    if len(data) % 5:
        raise SampleError(f"an N-MNIST file has 5 bytes for each event: {quoted(str(path))} has {len(data)} bytes")
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


def frames(events: Events, sensor: Sensor, *, step_us: int, steps: int, largest: int = 1) -> npt.NDArray[np.uint8]:
    """The number of events in each step and pixel, [steps, channel, row, column], cut off at `largest`.

    Time counts from 0 of the recording's clock; steps are `step_us` microseconds wide, and what comes
    after the last is left out. Raises SampleError for events beside the sensor.
    """
    if step_us < 1 or steps < 1 or not 1 <= largest <= _LARGEST_COUNT:
        raise OptionError(
            f"frames have steps of a microsecond or more and counts of 1 to {_LARGEST_COUNT}: got {steps} steps of "
            f"{step_us} us, largest count {largest}"
        )
    channels, rows, columns = sensor.shape
    if steps * channels * rows * columns > MAX_FRAME_VALUES:
        raise OptionError(f"frames have at most {MAX_FRAME_VALUES} values: {steps} steps of {sensor.shape} have more")
    for name, values, limit in (
        ("p", events.p, sensor.channels),
        ("x", events.x, sensor.columns),
        ("y", events.y, sensor.rows),
    ):
        if np.any((values < 0) | (values >= limit)):
            raise SampleError(f"{name} of an event is 0 to {limit - 1}: it has {values.min()} to {values.max()}")
    top, left, _, _ = sensor.window
    step, y, x = events.t // step_us, (events.y - top) // sensor.downsample, (events.x - left) // sensor.downsample
    kept = (step >= 0) & (step < steps) & (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    place = ((step * channels + events.p) * rows + y) * columns + x
    counts = np.bincount(place[kept], minlength=steps * channels * rows * columns)
    return np.minimum(counts, largest).astype(np.uint8).reshape(steps, channels, rows, columns)

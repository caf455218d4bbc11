"""Events as frames, and N-MNIST's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.data.events import Events, Sensor, frames, read_nmnist
from spikeloom.hdl.errors import InputError, OptionError, SampleError

SENSOR = Sensor(channels=2, rows=4, columns=6)


def events(*rows: tuple[int, int, int, int]) -> Events:
    """Of rows (t, x, y, p)."""
    t, x, y, p = np.array(rows).T
    return Events.of(t, x, y, p)


def test_an_n_mnist_file(tmp_path: Path) -> None:
    """x, y, then a bit of polarity and 23 of time, high byte first."""
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([3, 5, 0x80 | 0x12, 0x34, 0x56, 33, 0, 0x00, 0x00, 0x07]))
    found = read_nmnist(path)
    assert found.x.tolist() == [3, 33] and found.y.tolist() == [5, 0] and found.p.tolist() == [1, 0]
    assert found.t.tolist() == [0x123456, 7]
    path.write_bytes(b"1234567")
    with pytest.raises(SampleError, match=r"5 bytes for each event: '.*a\.bin' has 7 bytes"):
        read_nmnist(path)
    with pytest.raises(SampleError, match=r"events must be readable: .* is not"):
        read_nmnist(tmp_path / "none.bin")
    with pytest.raises(InputError, match="a folder"):
        read_nmnist(tmp_path)


def test_counts_of_steps_and_pixels() -> None:
    recording = events((0, 1, 2, 0), (999, 1, 2, 0), (1000, 5, 3, 1), (2999, 0, 0, 0), (3000, 0, 0, 0))
    found = frames(recording, SENSOR, step_us=1000, steps=3, largest=255)
    assert found.shape == (3, 2, 4, 6) and found.dtype == np.uint8 and found.sum() == 4
    assert found[0, 0, 2, 1] == 2 and found[1, 1, 3, 5] == 1 and found[2, 0, 0, 0] == 1
    assert frames(recording, SENSOR, step_us=1000, steps=3).max() == 1
    assert frames(Events.of(*np.zeros((4, 0), int)), SENSOR, step_us=1, steps=2).sum() == 0


def test_crops_and_larger_pixels() -> None:
    sensor = Sensor(channels=1, rows=6, columns=8, crop=(1, 2, 5, 4), downsample=2)
    assert sensor.shape == (1, 2, 2)
    rng = np.random.default_rng(0)
    recording = Events.of(np.zeros(200, int), rng.integers(0, 8, 200), rng.integers(0, 6, 200), np.zeros(200, bool))
    whole = frames(recording, Sensor(channels=1, rows=6, columns=8), step_us=5, steps=1, largest=255)[0, 0]
    expected = whole[1:5, 2:6].reshape(2, 2, 2, 2).sum(axis=(1, 3))
    assert np.array_equal(frames(recording, sensor, step_us=5, steps=1, largest=255)[0, 0], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": (0, 3, 4, 4)}, "a crop lies on its sensor of 4 x 6: 4 x 4 from row 0 and column 3 on do not"),
        ({"crop": (-1, 0, 4, 4)}, "a crop lies on it: got"),
        ({"downsample": 5}, "downsample is 1 to 4 pixels: got 5"),
        ({"channels": 0}, "a sensor has channels, rows and columns"),
    ],
)
def test_sensors_that_are_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Sensor(**({"channels": 2, "rows": 4, "columns": 6} | change))


def test_events_beside_the_sensor_and_bad_arrays() -> None:
    for row, message in (
        ((0, 6, 0, 0), "x of an event is 0 to 5: it has 6 to 6"),
        ((0, 0, 4, 0), "y of an event is 0 to 3"),
        ((0, 0, 0, 2), "p of an event is 0 to 1"),
    ):
        with pytest.raises(SampleError, match=message):
            frames(events(row), SENSOR, step_us=1, steps=1)
    with pytest.raises(SampleError, match=r"all of one length \(2\): y is int64 of shape \(3,\)"):
        Events.of(np.zeros(2, int), np.zeros(2, int), np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(SampleError, match="x is float64"):
        Events.of(np.zeros(2, int), np.zeros(2), np.zeros(2, int), np.zeros(2, int))
    for change in ({"step_us": 0}, {"steps": 0}, {"largest": 256}):
        with pytest.raises(OptionError, match="frames have steps of a microsecond or more"):
            frames(events((0, 0, 0, 0)), SENSOR, **({"step_us": 1, "steps": 1, "largest": 1} | change))
    with pytest.raises(OptionError, match="frames have at most 1073741824 values"):
        frames(events((0, 0, 0, 0)), SENSOR, step_us=1, steps=1 << 30)

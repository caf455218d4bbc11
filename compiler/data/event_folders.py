"""Data sets of event cameras as users have them on disk: folders of classes, and DVS128 Gesture."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...hdl.errors import OptionError, SampleError, plain, quoted
from ...hdl.files import read_regular
from .aedat import read_aedat2, read_aedat3
from .event_files import read_events
from .events import MAX_FRAME_VALUES, Events, Sensor, frames
from .samples import Samples

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The folders of CIFAR10-DVS, and its classes in order."""

CIFAR10_DVS_SENSOR = Sensor(channels=2, rows=128, columns=128)
GESTURES = 11

ORIENTATIONS = ("spikingjelly", "tonic")
"""How the two frameworks turn CIFAR10-DVS: half a turn apart, and with exchanged polarities."""

_MAX_TEXT = 1 << 20
_EVENT_SUFFIXES = (".aedat", ".aedat4", ".dat", ".raw", ".bin")


@dataclass(frozen=True, eq=False)
class LabelledEvents:
    """A recording, its class, and the file's name with which to speak of it."""

    events: Events
    label: int
    name: str


def class_folders(folder: str | Path) -> Iterator[LabelledEvents]:
    """The recordings of a folder that has one of files for each class, as N-MNIST and N-Caltech101 come.

    Classes are numbered in the order of their names: by number where all are numbers. Raises SampleError.
    """
    folder = Path(folder)
    names = sorted((path.name for path in _entries(folder) if path.is_dir()), key=_natural)
    if not names:
        raise SampleError(f"recordings lie in a folder for each class: {quoted(str(folder))} has none")
    for label, name in enumerate(names):
        for path in _event_files(folder / name):
            yield LabelledEvents(read_events(path), label, f"{name}/{path.name}")


def cifar10_dvs(folder: str | Path, orientation: str = "spikingjelly") -> Iterator[LabelledEvents]:
    """The recordings of CIFAR10-DVS: a folder with `airplane` to `truck`, of .aedat files.

    Times count from a recording's first event. Not all classes have to be there; the picture lies as in the framework
    whose `orientation` is asked for. Raises SampleError and OptionError.
    """
    if orientation not in ORIENTATIONS:
        raise OptionError(f"an orientation is {' or '.join(ORIENTATIONS)}: got {quoted(orientation)}")
    folder = Path(folder)
    there = {path.name for path in _entries(folder) if path.is_dir()}
    if not there & set(CIFAR10):
        raise SampleError(f"CIFAR10-DVS has folders {CIFAR10[0]} to {CIFAR10[-1]}: {quoted(str(folder))} has none")
    for label, name in enumerate(CIFAR10):
        for path in _event_files(folder / name) if name in there else ():
            found = read_aedat2(path, "dvs128").from_first()
            # A DVS128 counts columns from the right, and an event that became brighter has polarity 0.
            x, y, p = found.y, found.x, found.p
            if orientation == "spikingjelly":
                x, y, p = 127 - x, 127 - y, 1 - p
            yield LabelledEvents(Events(t=found.t, x=x, y=y, p=p), label, f"{name}/{path.name}")


def dvs_gesture(folder: str | Path, part: str = "train") -> Iterator[LabelledEvents]:
    """The gestures of DVS128 Gesture's `part`, train or test, each cut out of its recording; classes 0 to 10.

    The folder has trials_to_train.txt and trials_to_test.txt, which list files user*.aedat, and beside each of these
    user*_labels.csv with class (1 to 11), begin and end in microseconds. Raises SampleError and OptionError.
    """
    if part not in ("train", "test"):
        raise OptionError(f"DVS128 Gesture has the parts train and test: got {quoted(part)}")
    folder = Path(folder)
    for name in filter(None, map(str.strip, _text(folder / f"trials_to_{part}.txt").splitlines())):
        if not re.fullmatch(r"[\w-]{1,80}\.aedat", name):
            raise SampleError(f"trials_to_{part}.txt lists names of .aedat files: it has {quoted(name)}")
        events = read_aedat3(folder / name).require_inside(rows=128, columns=128)
        stem = name.removesuffix(".aedat")
        for number, (label, start, stop) in enumerate(_gestures(folder / f"{stem}_labels.csv")):
            yield LabelledEvents(events.between(start, stop), label - 1, f"{stem} {number}")


def _gestures(path: Path) -> list[tuple[int, int, int]]:
    """Class, begin and end of each gesture."""
    rows = []
    for line in _text(path).splitlines()[1:]:
        if not line.strip():
            continue
        found = re.fullmatch(r"\s*(\d{1,2})\s*,\s*(\d{1,12})\s*,\s*(\d{1,12})\s*", line)
        if found is None or not 1 <= int(found[1]) <= GESTURES or int(found[2]) > int(found[3]):
            raise SampleError(
                f"a line of labels is a class of 1 to {GESTURES}, its begin and its end: {plain(path.name)} has "
                f"{quoted(line)}"
            )
        rows.append((int(found[1]), int(found[2]), int(found[3])))
    return rows


def as_samples(
    recordings: Iterable[LabelledEvents], sensor: Sensor, *, step_us: int, steps: int, largest: int = 1
) -> Samples:
    """Recordings as the samples that networks take, of frames as `events.frames` makes them.

    Raises SampleError for an event beside the sensor, with the recording's name, and where there is no recording;
    OptionError for more values than MAX_FRAME_VALUES.
    """
    parts, labels = [], []
    values = 0
    for recording in recordings:
        values += steps * math.prod(sensor.shape)
        if values > MAX_FRAME_VALUES:
            raise OptionError(f"samples have at most {MAX_FRAME_VALUES:,} values: take fewer recordings or steps")
        try:
            parts.append(frames(recording.events, sensor, step_us=step_us, steps=steps, largest=largest))
        except SampleError as error:
            raise SampleError(f"{error}, in {plain(recording.name)}") from None
        labels.append(recording.label)
    if not parts:
        raise SampleError("samples need at least one recording: there is none")
    return Samples(spikes=np.stack(parts).reshape(len(parts), steps, -1), labels=np.array(labels, np.int64))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise SampleError(f"recordings need a folder: {quoted(str(folder))} is none ({error.strerror})") from error


def _event_files(folder: Path) -> list[Path]:
    found = (path for path in _entries(folder) if path.suffix.lower() in _EVENT_SUFFIXES)
    return sorted(found, key=lambda path: _natural(path.name))


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    """Names in the order in which people count: 9 before 10."""
    return tuple((text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d{0,18})", name))


def _text(path: Path) -> str:
    try:
        return read_regular(path, "a list of recordings", _MAX_TEXT, SampleError).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SampleError(f"a list of recordings must be readable: {quoted(str(path))} is not ({reason})") from error

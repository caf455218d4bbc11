"""What weights are trained on: samples as they are, images that are encoded afresh, recordings of events that vary.

A `Material` gives the samples of an epoch by their numbers. What it says of randomness is all in the generator that it
is given, so that training repeats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...hdl.errors import OptionError, SampleError
from ...hdl.images.coding import Encoder, ImageCoding
from ..data.events import Events, Sensor, frames
from ..data.images import as_pixels, encode
from ..ir.arrays import IntArray, SpikeArray

Labels = npt.NDArray[np.int64]

WHITE = 256
"""A pixel p spikes in p of so many steps."""


class Material(Protocol):
    """Samples to train on, with a class each (`labels`, int64 [samples]), in every step ([samples, steps]) or without.

    Samples may be `fresh` in every epoch, and even show something else (`augmented`).
    """

    @property
    def labels(self) -> Labels | None:
        """The classes of all samples."""

    @property
    def fresh(self) -> bool:
        """Whether samples vary from epoch to epoch."""

    @property
    def augmented(self) -> bool:
        """Whether what they show varies, not its code alone."""

    def __len__(self) -> int:
        """How many samples an epoch has."""

    def take(self, numbers: IntArray, rng: np.random.Generator) -> SpikeArray:
        """Those samples as uint8 [samples, steps, inputs]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrays:
    """Samples as they are: `spikes` uint8 [samples, steps, inputs]."""

    spikes: SpikeArray
    labels: Labels | None = None

    def __post_init__(self) -> None:
        _check_labels(self.labels, len(self.spikes))

    @property
    def fresh(self) -> bool:
        """They do not vary."""
        return False

    @property
    def augmented(self) -> bool:
        """They do not vary."""
        return False

    def __len__(self) -> int:
        return len(self.spikes)

    def take(self, numbers: IntArray, rng: np.random.Generator) -> SpikeArray:
        """Those samples; nothing is random."""
        return self.spikes[numbers]


@dataclass(frozen=True, eq=False, kw_only=True)
class Images:
    """Images, `pixels` [samples, inputs...] of 0 to 255 or bool, that `coding` makes spikes of.

    A rate code draws its random numbers anew in every epoch, independent for all pixels and steps; the other codes are
    those of `spikeloom.compiler.data.images`. Raises SampleError for what are no images.
    """

    pixels: npt.NDArray[Any]
    coding: ImageCoding
    labels: Labels | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", as_pixels(self.pixels))
        _check_labels(self.labels, len(self.pixels))

    @property
    def fresh(self) -> bool:
        """Only a rate code varies."""
        return self.coding.encoder is Encoder.RATE

    @property
    def augmented(self) -> bool:
        """They show the same image."""
        return False

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, numbers: IntArray, rng: np.random.Generator) -> SpikeArray:
        """Those images, encoded."""
        return self.encoded(self.pixels[numbers], rng)

    def encoded(self, pixels: npt.NDArray[np.uint8], rng: np.random.Generator) -> SpikeArray:
        """What is made of `pixels` [samples, inputs], of these images or changed ones."""
        if not self.fresh:
            return encode(pixels, self.coding)
        drawn = rng.integers(WHITE, size=(len(pixels), self.coding.steps, pixels.shape[1]), dtype=np.uint8)
        return (pixels[:, None] > drawn).astype(np.uint8)


@dataclass(frozen=True, eq=False, kw_only=True)
class Recordings:
    """Recordings of events, each changed a little in every epoch before its events are counted in frames.

    Frames have `steps` steps of `step_us` microseconds on the `sensor`, counts up to `largest`. In an epoch all events
    of a recording are turned about the middle of its picture by `rotation` degrees at most and moved by `shift` of the
    picture's size at most; each event is left out with the probability `drop` and comes earlier or later by a normal
    deviate of `jitter` steps. What leaves picture or time is lost.
    """

    events: Sequence[Events]
    sensor: Sensor
    step_us: int
    steps: int
    labels: Labels | None = None
    largest: int = 1
    shift: float = 0.06
    rotation: float = 10.0
    drop: float = 0.1
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not len(self.events):
            raise SampleError("recordings to train on are one or more: there are none")
        _check_labels(self.labels, len(self.events))
        for name, most in (("shift", 1.0), ("rotation", 180.0), ("drop", 1.0), ("jitter", math.inf)):
            value = getattr(self, name)
            if not 0 <= value <= most or math.isinf(value):
                raise OptionError(f"{name} of recordings is 0 to {most:g}: got {value:g}")

    @classmethod
    def of_frames(
        cls, spikes: SpikeArray, shape: tuple[int, int, int], labels: Labels | None = None, **options: float
    ) -> Recordings:
        """Recordings of what frames [samples, steps, channels * rows * columns] count, a step for the unit of time."""
        channels, rows, columns = shape
        return cls(
            events=[_events_of(sample, shape) for sample in spikes],
            sensor=Sensor(channels=channels, rows=rows, columns=columns),
            step_us=1,
            steps=spikes.shape[1],
            labels=labels,
            largest=max(1, int(spikes.max(initial=0))),
            **options,
        )

    @property
    def fresh(self) -> bool:
        """They vary where anything may change."""
        return any(getattr(self, name) > 0 for name in ("shift", "rotation", "drop", "jitter"))

    @property
    def augmented(self) -> bool:
        """They show another recording where they vary."""
        return self.fresh

    def __len__(self) -> int:
        return len(self.events)

    def take(self, numbers: IntArray, rng: np.random.Generator) -> SpikeArray:
        """Those recordings as frames, changed at random."""
        taken = [self._frames(self._varied(self.events[number], rng)) for number in numbers]
        return np.stack(taken).reshape(len(taken), self.steps, -1)

    def _frames(self, events: Events) -> SpikeArray:
        return frames(events, self.sensor, step_us=self.step_us, steps=self.steps, largest=self.largest)

    def _varied(self, events: Events, rng: np.random.Generator) -> Events:
        """The events of a recording, turned, moved, fewer and at other times; those beside the sensor are gone."""
        angle = math.radians(self.rotation) * rng.uniform(-1, 1)
        top, left, rows, columns = self.sensor.window
        middle_y, middle_x = top + (rows - 1) / 2, left + (columns - 1) / 2
        down, right = (self.shift * size * rng.uniform(-1, 1) for size in (rows, columns))
        kept = rng.random(len(events)) >= self.drop
        t, p = events.t[kept], events.p[kept]
        y, x = events.y[kept] - middle_y, events.x[kept] - middle_x
        turned_y = np.rint(math.cos(angle) * y + math.sin(angle) * x + middle_y + down)
        turned_x = np.rint(math.cos(angle) * x - math.sin(angle) * y + middle_x + right)
        t = np.rint(t + self.jitter * self.step_us * rng.standard_normal(len(t))).astype(np.int64)
        inside = (turned_y >= 0) & (turned_y < self.sensor.rows) & (turned_x >= 0) & (turned_x < self.sensor.columns)
        return Events.of(t[inside], turned_x[inside].astype(np.int64), turned_y[inside].astype(np.int64), p[inside])


def _events_of(sample: SpikeArray, shape: tuple[int, int, int]) -> Events:
    """What a sample [steps, inputs] counts, as events: one for each of a count."""
    step, address = np.nonzero(sample)
    counts = sample[step, address]
    step, address = np.repeat(step, counts), np.repeat(address, counts)
    p, y, x = np.unravel_index(address, shape)
    return Events.of(step, x, y, p)


def _check_labels(labels: Labels | None, count: int) -> None:
    if labels is not None and len(labels) != count:
        raise SampleError(f"every training sample has a label: got {count} samples and {len(labels)} labels")

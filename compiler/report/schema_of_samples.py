"""The types of what report.json says of the network on samples (see `schema`)."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

Source = Literal["measured", "estimated"]


class ActivityData(TypedDict):
    samples: int
    spikes_per_sample: dict[str, float]
    rate_per_step: dict[str, list[float]]
    source: Source


ClassData = TypedDict(
    "ClassData",
    {
        "class": int,
        "samples": int,
        "right": int,
        "low": float,
        "high": float,
        "taken_for": list[list[int]],
    },
)


class RasterLayerData(TypedDict):
    population: str
    rows: list[str]


class RasterData(TypedDict):
    sample: int
    steps: int
    layers: list[RasterLayerData]
    source: Source


class TraceData(TypedDict):
    population: str
    neuron: int
    threshold: float | None
    float: list[float]
    integer: list[float]
    spikes: str


class TracesData(TypedDict):
    sample: int
    steps: int
    neurons: list[TraceData]
    source: Source


class EarlyExitData(TypedDict):
    margin: int
    samples: int
    steps: int
    steps_taken: float
    classes_changed: int
    accuracy: NotRequired[float]
    cycles: NotRequired[float]
    cycles_taken: NotRequired[float]
    cycles_of_samples: NotRequired[int]


class AccuracyData(TypedDict):
    samples: int
    stimulus: NotRequired[str]
    float: float | None
    float_samples: NotRequired[int | None]
    float_stimulus: NotRequired[str | None]
    compressed: NotRequired[float | None]
    integer: float | None
    integer_interval: NotRequired[list[float] | None]
    per_class: NotRequired[list[ClassData]]
    confusion: NotRequired[list[list[int]] | None]
    readout: NotRequired[str]
    source: Source

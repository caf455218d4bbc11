"""The arrays of the IR: read-only copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

IntArray = npt.NDArray[np.int64]

SpikeArray = npt.NDArray[np.uint8]
"""Spikes, or counts of them: [..., neuron]."""

SpikesByPopulation = Mapping[str, SpikeArray]
"""Spikes [samples, steps, neurons] by population, and of the input under `INPUT`."""


def freeze(instance: object, names: tuple[str, ...], dtype: type) -> None:
    for name in names:
        value = getattr(instance, name)
        if value is None:
            continue
        array: npt.NDArray[Any] = np.array(value, dtype=dtype)  # a copy, so that nobody else can write it
        array.setflags(write=False)
        object.__setattr__(instance, name, array)


def array_fields(cls: type[Any]) -> tuple[str, ...]:
    """The fields of a dataclass that hold float arrays, or may."""
    return tuple(name for name, hint in get_type_hints(cls).items() if hint in (FloatArray, FloatArray | None))


def zero() -> FloatArray:
    return np.zeros(())


def one() -> FloatArray:
    return np.ones(())


def zero_int() -> IntArray:
    return np.zeros((), np.int64)

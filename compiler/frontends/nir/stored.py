"""How the metadata of a NIR file holds things: fields of dataclasses and arrays as HDF5 groups and data sets.

Nothing that is read is trusted: types, shapes and names are checked here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from typing import Any, TypeVar, get_type_hints

import h5py
import numpy as np
import numpy.typing as npt

from ....hdl.errors import ModelError, quoted
from ...ir.arrays import FloatArray, IntArray
from ...ir.neurons import Decay
from ...ir.origin import LayerCompression
from .hdf5_guard import CheckedFile

VERSION = 1

Stored = dict[str, Any]
T = TypeVar("T")


def store_fields(instance: Any) -> Stored:
    stored: Stored = {}
    for field in fields(instance):
        value = getattr(instance, field.name)
        if isinstance(value, np.ndarray):
            stored[field.name] = shrunk(value)
        elif isinstance(value, Decay):
            stored[field.name] = store_fields(value)
        elif isinstance(value, str):
            stored[field.name] = str(value)
        elif isinstance(value, float):
            stored[field.name] = np.float64(value)
        elif isinstance(value, tuple):
            stored[field.name] = {str(i): store_fields(item) for i, item in enumerate(value)}
        elif value is not None:
            stored[field.name] = np.int64(value)
    return stored


def shrunk(array: npt.NDArray[Any]) -> Any:
    """The array in the smallest type that holds it exactly; a scalar where the shape is (), as NIR stores those."""
    kinds = (np.float32,) if array.dtype.kind == "f" else (np.int8, np.int16, np.int32)
    for kind in kinds:
        with np.errstate(over="ignore"):
            small = array.astype(kind)
        if np.array_equal(small.astype(array.dtype), array):
            array = small
            break
    return array if array.shape else array[()]


def read_fields(cls: type[T], parent: Reader, name: str) -> T:
    """An instance of a dataclass of the IR from the group `name`, every field by its annotated type."""
    return read_instance(cls, parent.group(name, names_of(cls)))


def names_of(cls: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


def read_instance(cls: type[T], reader: Reader) -> T:
    declared: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    values = {}
    for field in declared:
        optional = field.default is None and field.default_factory is MISSING
        if optional and not reader.has(field.name):
            continue
        values[field.name] = _read_field(reader, field.name, hints[field.name])
    return cls(**values)


def _read_field(reader: Reader, name: str, hint: Any) -> Any:
    if hint in (FloatArray, FloatArray | None):
        return reader.floats(name)
    if hint in (IntArray, IntArray | None):
        return reader.integers(name)
    if hint in (int, int | None):
        return reader.integer(name)
    if hint in (float, float | None):
        return reader.number(name)
    if hint in (str, str | None):
        return reader.text(name)
    if hint == Decay | None:
        return read_fields(Decay, reader, name)
    if hint == tuple[LayerCompression, ...]:
        names = names_of(LayerCompression)
        return tuple(read_instance(LayerCompression, r) for r in reader.numbered(name, names))
    return reader.choice(name, hint)


class Reader:
    """One group of the metadata, whose entries must be among `allowed`."""

    def __init__(self, file: CheckedFile, group: h5py.Group, allowed: Iterable[str] | None) -> None:
        self.file = file
        self.entries = group
        unknown = sorted(set(group) - set(allowed)) if allowed is not None else []
        if unknown:
            raise self.error(unknown[0], "is not part of the schema", "an entry")

    def error(self, field: str, rule: str, got: object) -> ModelError:
        """A ModelError about one entry."""
        where = quoted(f"{self.entries.name}/{field}")
        return ModelError(
            f"Spikeloom's metadata follows its schema: {where} {rule}, got {quoted(got)}; write the file again"
        )

    def check_version(self) -> None:
        """Raise unless the schema's version is ours."""
        version = self.integer("version")
        if version != VERSION:
            raise self.error("version", f"is {VERSION}", version)

    def has(self, field: str) -> bool:
        """Whether there is such an entry."""
        return field in self.entries

    def group(self, field: str, allowed: Iterable[str] | None) -> Reader:
        """A group in this one."""
        item = self.entries.get(field)
        if not isinstance(item, h5py.Group):
            raise self.error(field, "is a group", "nothing" if item is None else "an array")
        return Reader(self.file, item, allowed)

    def numbered(self, field: str, allowed: Iterable[str]) -> list[Reader]:
        """The groups 0, 1, 2, ... in a group."""
        outer = self.group(field, None)
        names = [str(i) for i in range(len(outer.entries))]
        if set(names) != set(outer.entries):
            raise self.error(field, "holds groups numbered from 0", sorted(outer.entries)[:3])
        return [outer.group(name, allowed) for name in names]

    def _array(self, field: str, kinds: str, rule: str) -> npt.NDArray[Any]:
        item = self.entries.get(field)
        if not isinstance(item, h5py.Dataset):
            raise self.error(field, rule, "nothing" if item is None else "a group")
        if item.dtype.kind not in kinds:
            raise self.error(field, rule, str(item.dtype))
        return self.file.array(item)

    def floats(self, field: str) -> FloatArray:
        """Finite floats."""
        array = self._array(field, "f", "holds floats")
        if not np.isfinite(array).all():
            raise self.error(field, "is finite", "NaN or Inf")
        return array.astype(np.float64)

    def integers(self, field: str) -> IntArray:
        """Signed integers."""
        return self._array(field, "i", "holds signed integers").astype(np.int64)

    def integer(self, field: str) -> int:
        """One integer, or a boolean as 0 or 1."""
        array = self._array(field, "ib", "is an integer")
        if array.shape != ():
            raise self.error(field, "is one integer", array.shape)
        return int(array)

    def number(self, field: str) -> float:
        """One float."""
        array = self._array(field, "fi", "is a number")
        if array.shape != () or not math.isfinite(array):
            raise self.error(field, "is one finite number", array.tolist())
        return float(array)

    def shape(self, field: str) -> tuple[int, ...]:
        """A tuple of integers."""
        array = self.integers(field)
        if array.ndim != 1:
            raise self.error(field, "is a list of integers", array.shape)
        return tuple(int(length) for length in array)

    def text(self, field: str) -> str:
        """A string."""
        item = self.entries.get(field)
        if not isinstance(item, h5py.Dataset):
            raise self.error(field, "is a string", "nothing" if item is None else "a group")
        return self.file.text(item)

    def choice(self, field: str, choices: type[StrEnum]) -> StrEnum:
        """A member of an enumeration."""
        value = self.text(field)
        if value not in list(choices):
            raise self.error(field, f"is one of {', '.join(choices)}", value)
        return choices(value)

"""Spikeloom's metadata in a NIR file: a network in full, or only the conventions that NIR leaves open.

The graph's metadata has a group `spikeloom` with `version` and either `network`, every field of the IR under its own
name (docs/nir.md has the schema), or any of `dialect`, `dt`, `reset`, `reset_delay`, `fire`, `tau`, `x_max`, `x_min`
and `max_spikes`. Nothing in it is trusted: types, ranges and names are checked here, the network's rules by the
verifier.
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
from ...ir.connectivity import Dense, Quantised
from ...ir.network import INPUT, Network, Population, Projection
from ...ir.neurons import MODELS, Decay, Dynamics, IntegerDynamics
from ...ir.origin import ERRORS, Compression, Judged, LayerCompression, Origin
from ...ir.readout import Readout
from .dialects import Options
from .hdf5_guard import CheckedFile

VERSION = 1
INPUT_INDEX = -1
"""What a projection's `pre` holds for the network's input; populations are numbered from 0."""

_DYNAMICS: dict[str, type[Dynamics]] = {
    cls.__name__: cls for cls in (*(model.dynamics for model in MODELS.values()), IntegerDynamics)
}
_CONVENTIONS = ("dialect", "dt", "reset", "reset_delay", "fire", "tau", "x_max", "x_min", "max_spikes")
_NETWORK = (
    *("name", "dialect", "dtype", "dt", "x_max", "x_min", "input_shape", "output", "readout", "origin"),
    *("populations", "projections"),
)
_ORIGIN = ("steps", "original", "compressed", "errors")
_COMPRESSION = ("method", "sparsity", "bits", "scheme", "layers")
_POPULATION = ("name", "shape", "bias", "model", "dynamics")
_PROJECTION = ("pre", "post", "weights", "quantised", "delay", "shift", "step_edge")

Stored = dict[str, Any]
T = TypeVar("T")


# ----------------------------------------------------------------------------------------------------- writing


def network_metadata(network: Network) -> Stored:
    """The whole network as nested dictionaries of strings and arrays, which is what NIR metadata can hold."""
    index = {p.name: i for i, p in enumerate(network.populations)} | {INPUT: INPUT_INDEX}
    stored: Stored = {
        "name": network.name,
        "dialect": network.dialect,
        "dtype": network.dtype,
        "x_max": np.int64(network.x_max),
        "input_shape": _shrunk(np.array(network.input_shape, np.int64)),
        "output": np.int64(index[network.output]),
        "populations": {str(i): _store_population(p) for i, p in enumerate(network.populations)},
        "projections": {str(i): _store_projection(p, index) for i, p in enumerate(network.projections)},
    }
    if network.x_min:
        stored["x_min"] = np.int64(network.x_min)
    if network.dt is not None:
        stored["dt"] = np.float64(network.dt)
    if network.readout is not None:
        stored["readout"] = _store_fields(network.readout)
    if network.origin is not None:
        stored["origin"] = _store_origin(network.origin)
    return {"version": np.int64(VERSION), "network": stored}


def _store_population(population: Population) -> Stored:
    return {
        "name": population.name,
        "shape": _shrunk(np.array(population.shape, np.int64)),
        "bias": _shrunk(population.bias),
        "model": type(population.dynamics).__name__,
        "dynamics": _store_fields(population.dynamics),
    }


def _store_projection(projection: Projection, index: dict[str, int]) -> Stored:
    connectivity = projection.connectivity
    stored: Stored = {
        "pre": np.int64(index[projection.pre]),
        "post": np.int64(index[projection.post]),
        "delay": _shrunk(projection.delay),
        "shift": np.int64(projection.shift),
    }
    if projection.step_edge:
        stored["step_edge"] = np.int64(1)
    if connectivity.is_integer:
        stored["quantised"] = _store_fields(connectivity.quantised)
    else:
        stored["weights"] = _shrunk(connectivity.real)
    return stored


def _store_origin(origin: Origin) -> Stored:
    stored: Stored = {"steps": {str(i): _store_fields(step) for i, step in enumerate(origin.steps)}}
    for name, judged in (("original", origin.original), ("compressed", origin.compressed)):
        if judged is not None:
            stored[name] = _store_fields(judged)
    return stored | ({"errors": np.array(origin.errors, np.float64)} if origin.errors else {})


def _store_fields(instance: Any) -> Stored:
    stored: Stored = {}
    for field in fields(instance):
        value = getattr(instance, field.name)
        if isinstance(value, np.ndarray):
            stored[field.name] = _shrunk(value)
        elif isinstance(value, Decay):
            stored[field.name] = _store_fields(value)
        elif isinstance(value, str):
            stored[field.name] = str(value)
        elif isinstance(value, float):
            stored[field.name] = np.float64(value)
        elif isinstance(value, tuple):
            stored[field.name] = {str(i): _store_fields(item) for i, item in enumerate(value)}
        elif value is not None:
            stored[field.name] = np.int64(value)
    return stored


def _shrunk(array: npt.NDArray[Any]) -> Any:
    """The array in the smallest type that holds it exactly; a scalar where the shape is (), as NIR stores those."""
    kinds = (np.float32,) if array.dtype.kind == "f" else (np.int8, np.int16, np.int32)
    for kind in kinds:
        with np.errstate(over="ignore"):
            small = array.astype(kind)
        if np.array_equal(small.astype(array.dtype), array):
            array = small
            break
    return array if array.shape else array[()]


# ----------------------------------------------------------------------------------------------------- reading


def holds_network(group: h5py.Group) -> bool:
    """Whether the metadata holds a network; else it holds conventions at most."""
    return "network" in group


def read_conventions(file: CheckedFile, group: h5py.Group) -> Options:
    """The conventions in the metadata of a file that holds no network; OptionError where they are not valid."""
    reader = _Reader(file, group, ("version", *_CONVENTIONS))
    reader.check_version()
    return Options(
        dialect=reader.text("dialect") if reader.has("dialect") else None,
        dt=reader.number("dt") if reader.has("dt") else None,
        reset=reader.text("reset") if reader.has("reset") else None,
        reset_delay=bool(reader.integer("reset_delay")) if reader.has("reset_delay") else None,
        fire=reader.text("fire") if reader.has("fire") else None,
        tau=reader.text("tau") if reader.has("tau") else None,
        x_max=reader.integer("x_max") if reader.has("x_max") else None,
        x_min=reader.integer("x_min") if reader.has("x_min") else None,
        max_spikes=reader.integer("max_spikes") if reader.has("max_spikes") else None,
    )


def read_network(file: CheckedFile, group: h5py.Group) -> Network:
    """The network in the metadata, field by field; ModelError for anything that is missing, unknown or mistyped.

    The rules of the IR are left to the verifier.
    """
    outer = _Reader(file, group, ("version", "network"))
    outer.check_version()
    reader = outer.group("network", _NETWORK)
    populations = tuple(_read_population(r) for r in reader.numbered("populations", _POPULATION))
    names = [p.name for p in populations]
    return Network(
        name=reader.text("name"),
        dialect=reader.text("dialect"),
        dtype=reader.text("dtype"),
        dt=reader.number("dt") if reader.has("dt") else None,
        x_max=reader.integer("x_max"),
        x_min=reader.integer("x_min") if reader.has("x_min") else 0,
        input_shape=reader.shape("input_shape"),
        output=_name(reader, "output", names),
        readout=_read_fields(Readout, reader, "readout") if reader.has("readout") else None,
        origin=_read_origin(reader.group("origin", _ORIGIN)) if reader.has("origin") else None,
        populations=populations,
        projections=tuple(_read_projection(r, names) for r in reader.numbered("projections", _PROJECTION)),
    )


def _read_origin(reader: _Reader) -> Origin:
    errors = reader.floats("errors") if reader.has("errors") else np.zeros((0, len(ERRORS)))
    if errors.ndim != 2:
        raise reader.error("errors", "have the shape (populations, errors)", errors.shape)
    return Origin(
        steps=tuple(_read_instance(Compression, r) for r in reader.numbered("steps", _COMPRESSION)),
        original=_read_fields(Judged, reader, "original") if reader.has("original") else None,
        compressed=_read_fields(Judged, reader, "compressed") if reader.has("compressed") else None,
        errors=tuple(tuple(row) for row in errors.tolist()),
    )


def _read_population(reader: _Reader) -> Population:
    model = reader.text("model")
    if model not in _DYNAMICS:
        raise reader.error("model", f"is one of {', '.join(_DYNAMICS)}", model)
    dynamics = _read_fields(_DYNAMICS[model], reader, "dynamics")
    integer = isinstance(dynamics, IntegerDynamics)
    bias = reader.integers("bias") if integer else reader.floats("bias")
    return Population(name=reader.text("name"), shape=reader.shape("shape"), dynamics=dynamics, bias=bias)


def _read_projection(reader: _Reader, names: list[str]) -> Projection:
    quantised = reader.has("quantised")
    weights = _read_fields(Quantised, reader, "quantised") if quantised else reader.floats("weights")
    shape = weights.shape
    if len(shape) != 2:
        raise reader.error("weights", "have the shape (pre, post)", shape)
    return Projection(
        pre=_name(reader, "pre", names, or_input=True),
        post=_name(reader, "post", names),
        connectivity=Dense(weights=weights),
        delay=reader.integers("delay"),
        shift=reader.integer("shift"),
        step_edge=_is_step_edge(reader),
    )


def _is_step_edge(reader: _Reader) -> bool:
    """Whether the projection says that it is one; older files, without a word for it, say so by a delay."""
    if not reader.has("step_edge"):
        return False
    value = reader.integer("step_edge")
    if value != 1:
        raise reader.error("step_edge", "is 1, or absent where spikes act in their own step", value)
    return True


def _name(reader: _Reader, field: str, names: list[str], or_input: bool = False) -> str:
    index = reader.integer(field)
    if or_input and index == INPUT_INDEX:
        return INPUT
    if not 0 <= index < len(names):
        raise reader.error(field, "is the number of a population", index)
    return names[index]


def _read_fields(cls: type[T], parent: _Reader, name: str) -> T:
    """An instance of a dataclass of the IR from the group `name`, every field by its annotated type."""
    return _read_instance(cls, parent.group(name, _names_of(cls)))


def _names_of(cls: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


def _read_instance(cls: type[T], reader: _Reader) -> T:
    declared: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    values = {}
    for field in declared:
        optional = field.default is None and field.default_factory is MISSING
        if optional and not reader.has(field.name):
            continue
        values[field.name] = _read_field(reader, field.name, hints[field.name])
    return cls(**values)


def _read_field(reader: _Reader, name: str, hint: Any) -> Any:
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
        return _read_fields(Decay, reader, name)
    if hint == tuple[LayerCompression, ...]:
        names = _names_of(LayerCompression)
        return tuple(_read_instance(LayerCompression, r) for r in reader.numbered(name, names))
    return reader.choice(name, hint)


class _Reader:
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

    def group(self, field: str, allowed: Iterable[str] | None) -> _Reader:
        """A group in this one."""
        item = self.entries.get(field)
        if not isinstance(item, h5py.Group):
            raise self.error(field, "is a group", "nothing" if item is None else "an array")
        return _Reader(self.file, item, allowed)

    def numbered(self, field: str, allowed: Iterable[str]) -> list[_Reader]:
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
